//! Mails whose words are encrypted, which nobody here can read, or stand within a signature in plain text. Pure.

use mail_parser::{ContentType, Message, MessagePart, MimeHeaders, PartType};

use super::structure::MAX_PARTS;

const ENCRYPTED: &str = "-----BEGIN PGP MESSAGE-----";
const ENCRYPTED_END: &str = "-----END PGP MESSAGE-----";
const SIGNED: &str = "-----BEGIN PGP SIGNED MESSAGE-----";
const SIGNATURE: &str = "-----BEGIN PGP SIGNATURE-----";
const SIGNATURE_END: &str = "-----END PGP SIGNATURE-----";

/// What of a mail's text can be read, and whether its author wrote something that cannot: then neither code nor a subject
/// stands for their words.
pub(super) fn opened(message: &Message<'_>, text: String) -> (String, bool) {
    if is_sealed(first(message)) && !is_file(first(message), &text) {
        return (String::new(), true);
    }
    let is_sealed = message.parts.iter().any(is_sealed);
    match below_code(&text) {
        Some(below) => (below.to_owned(), true),
        None => (unsigned(text), is_sealed),
    }
}

/// What a mail shows first: its first part, or the first one in that.
fn first<'a, 'x>(message: &'a Message<'x>) -> &'a MessagePart<'x> {
    let mut part = message.root_part();
    for _ in 0..MAX_PARTS {
        let PartType::Multipart(ids) = &part.body else { break };
        let Some(inner) = ids.first().and_then(|id| message.parts.get(*id as usize)) else { break };
        if is_sealed(part) {
            break;
        }
        part = inner;
    }
    part
}

/// Whether it is a file beside words: a signed contract, which somebody attached.
fn is_file(part: &MessagePart<'_>, text: &str) -> bool {
    let is_own = part.attachment_name().is_none_or(|name| name.eq_ignore_ascii_case("smime.p7m"));
    !is_own && part.content_disposition().is_some_and(ContentType::is_attachment) && !text.trim().is_empty()
}

/// Whether only a key opens it (RFC 3156; RFC 8551, section 3), or a program that knows what is signed within.
fn is_sealed(part: &MessagePart<'_>) -> bool {
    let Some(kind) = part.content_type() else { return false };
    let (class, subtype) = (kind.ctype(), kind.subtype().unwrap_or_default());
    let is = |known: &str| subtype.eq_ignore_ascii_case(known);
    if class.eq_ignore_ascii_case("multipart") {
        return is("encrypted");
    }
    let is_cards =
        || kind.attribute("smime-type").is_some_and(|said| said.trim().eq_ignore_ascii_case("certs-only"));
    let is_named = || part.attachment_name().is_some_and(|name| name.to_ascii_lowercase().ends_with(".p7m"));
    class.eq_ignore_ascii_case("application")
        && (is("pgp-encrypted")
            || (is("pkcs7-mime") || is("x-pkcs7-mime")) && !is_cards()
            || is("octet-stream") && is_named())
}

/// What stands below a text in code (RFC 9580, section 6.2), when nothing stands above it.
fn below_code(text: &str) -> Option<&str> {
    let code =
        text.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}').strip_prefix(ENCRYPTED)?;
    Some(code.split_once(ENCRYPTED_END).map_or("", |(_, below)| below))
}

/// Where a line stands in a signed text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Outside,
    /// Among the fields above its words, which end with an empty line.
    Head,
    Words,
    Signature,
}

/// A text without what its signature adds to it (RFC 9580, section 7): the lines around it, and the dashes before dashes.
fn unsigned(text: String) -> String {
    let ends = text.lines().enumerate().filter(|(_, line)| line.trim_end() == SIGNATURE_END);
    let Some((last, _)) = ends.last().filter(|_| text.contains(SIGNED)) else { return text };
    let (mut all, mut place) = (String::with_capacity(text.len()), Place::Outside);
    for (at, line) in text.lines().enumerate() {
        let (kept, next) = step(place, line, at < last);
        for part in kept.into_iter().flat_map(|line| [line, "\n"]) {
            all.push_str(part);
        }
        place = next;
    }
    all
}

/// What of a line is of the author, and where the next one stands; `ends` says whether a signature ends below.
fn step(place: Place, line: &str, ends: bool) -> (Option<&str>, Place) {
    let mark = line.trim_end();
    match place {
        Place::Outside if mark == SIGNED && ends => (None, Place::Head),
        Place::Outside => (Some(line), place),
        Place::Head if mark.is_empty() => (None, Place::Words),
        Place::Head if is_field(mark) => (None, place),
        Place::Head | Place::Words if mark == SIGNATURE => (None, Place::Signature),
        Place::Head | Place::Words => (Some(line.strip_prefix("- ").unwrap_or(line)), Place::Words),
        Place::Signature if mark == SIGNATURE_END => (None, Place::Outside),
        Place::Signature => (None, place),
    }
}

fn is_field(line: &str) -> bool {
    line.split_once(": ").is_some_and(|(name, _)| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'))
}

#[cfg(test)]
mod tests {
    use crate::mail::{ParsedMail, instruction, read, trace::Trace};

    const CODE: &str = "-----BEGIN PGP MESSAGE-----\r\nVersion: 1\r\n\r\nhQEMA5nQwjJ2\r\n=abcd\r\n-----END PGP MESSAGE-----\r\n";

    fn order(mail: &ParsedMail) -> String {
        instruction::instruction(mail, &mut Trace::default()).new
    }

    /// The instruction of a mail of this kind about the home page, and whether it is sealed.
    fn asked(kind: &str, body: &str) -> (String, bool) {
        let raw = format!("From: a@b.c\r\nSubject: Home page\r\nContent-Type: {kind}\r\n\r\n{body}");
        let mail = read(raw.as_bytes()).unwrap();
        (order(&mail), mail.is_sealed)
    }

    #[test]
    fn neither_code_nor_a_subject_stands_for_words_that_are_encrypted() {
        let pgp = "--x\r\nContent-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n--x\r\nContent-Type: application/octet-stream; name=encrypted.asc\r\n\r\ncode\r\n--x--";
        let smime = "--x\r\nContent-Type: application/pkcs7-mime; smime-type=enveloped-data\r\n\r\ncode\r\n--x\r\n\r\nChecked by Example Scanner.\r\n--x--";
        let emptied = format!("--x\r\n\r\n\r\n{pgp}");
        let html = CODE.replace("\r\n", "<br>");
        for (kind, body) in [
            ("multipart/encrypted; protocol=\"application/pgp-encrypted\"; boundary=x", pgp),
            ("multipart/encrypted; boundary=x", "code"),
            ("multipart/mixed; boundary=x", &emptied),
            ("multipart/mixed; boundary=x", smime),
            ("application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m", "code"),
            ("application/x-pkcs7-mime; smime-type=signed-data", "code"),
            ("application/octet-stream; name=smime.P7M", "code"),
            ("text/plain", CODE),
            ("text/plain", &CODE[..60]),
            ("text/plain", &format!("{CODE}\r\nThanks,\r\n")),
            ("text/html", &html),
        ] {
            assert_eq!(asked(kind, body), (String::new(), true), "{kind} {body}");
        }
    }

    #[test]
    fn what_can_be_read_is() {
        let told = format!("Show this as an example:\r\n\r\n{CODE}");
        let file = "--x\r\n\r\nPut up the file.\r\n--x\r\nContent-Type: application/pkcs7-mime; name=a.p7m\r\n\r\ncode\r\n--x--";
        let cards = "--x\r\n\r\n\r\n--x\r\nContent-Type: application/pkcs7-mime; smime-type=certs-only\r\n\r\ncode\r\n--x--";
        let contract = "--x\r\nContent-Type: application/octet-stream; name=contract.pdf.p7m\r\nContent-Disposition: attachment\r\n\r\ncode\r\n--x\r\n\r\nPut it up.\r\n--x--";
        for (kind, body, wanted) in [
            ("text/plain", format!("{CODE}\r\nMake it blue."), "Make it blue."),
            ("text/plain", told.clone(), told.trim_end()),
            ("multipart/mixed; boundary=x", file.to_owned(), "Put up the file."),
            ("multipart/mixed; boundary=x", cards.to_owned(), "Home page"),
            ("multipart/mixed; boundary=x", contract.to_owned(), "Put it up."),
        ] {
            assert_eq!(asked(kind, &body).0, wanted.replace("\r\n", "\n"), "{body}");
        }
    }

    #[test]
    fn what_a_signature_adds_to_a_text_is_no_word_of_its_author() {
        let signed = "-----BEGIN PGP SIGNED MESSAGE-----\r\nHash: SHA256\r\n\r\nMake it blue.\r\n\r\n- - the door\r\n- - the roof\r\n-----BEGIN PGP SIGNATURE-----\r\nVersion: 1\r\n\r\niQEz\r\n=abcd\r\n-----END PGP SIGNATURE-----\r\n";
        let wanted = "Make it blue.\n\n- the door\n- the roof";
        assert_eq!(asked("text/plain", signed).0, wanted);
        assert_eq!(asked("text/plain", &format!("Hello,\r\n{signed}")).0, format!("Hello,\n{wanted}"));
        let closed = signed.replace("- - the roof", "- -- \r\nAnna");
        assert_eq!(asked("text/plain", &closed).0, "Make it blue.\n\n- the door");
        let bare = signed.replace("Hash: SHA256\r\n", "");
        assert_eq!(asked("text/plain", &bare).0, wanted);
        let open = "-----BEGIN PGP SIGNED MESSAGE-----\r\n\r\n- a list";
        assert_eq!(asked("text/plain", open).0, open.replace("\r\n", "\n"));
    }
}
