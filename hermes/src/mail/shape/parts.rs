//! Whether parts stand together as the kind of their whole says. Whoever says another kind has a reader take other parts for
//! the text. Pure.

use std::collections::HashSet;

use mail_parser::{ContentType, Message, MessagePart, MimeHeaders, PartType};
use memchr::memmem;

/// Above the first part a program may say that it is in parts, in so many lines.
const MAX_PREAMBLE_LINES: usize = 3;

/// Whether parts that are said to be of this kind begin and end where the body does, and are not as likely of a kind of which
/// other parts would be the text.
pub(super) fn are_usual(message: &Message<'_>, kind: &ContentType<'_>, body: &[u8]) -> bool {
    let ids = message.root_part().sub_parts().unwrap_or_default();
    let parts: Vec<_> = ids.iter().filter_map(|id| message.parts.get(*id as usize)).collect();
    is_around(kind, body) && is_kind_of(kind.subtype().unwrap_or_default(), &parts)
}

fn is_kind_of(kind: &str, parts: &[&MessagePart<'_>]) -> bool {
    let [_, others @ ..] = parts else { return false };
    let several = others.iter().any(|part| is_shown(part));
    let are_mails = parts.iter().any(|part| begins_as_mail(part));
    let are_alternatives = are_alternatives(parts);
    !are_mails
        && match kind {
            "alternative" => are_alternatives,
            "mixed" => !(several && are_alternatives || others.iter().any(|part| is_referred_to(part))),
            "related" => !several,
            "signed" | "encrypted" => matches!(others, [last] if kind_of(last).0 == "application"),
            _ => false,
        }
}

/// Whether they may be one text in several forms, none of them twice, and none a file; the plain one is the first.
fn are_alternatives(parts: &[&MessagePart<'_>]) -> bool {
    let [first, others @ ..] = parts else { return false };
    let mut met = HashSet::new();
    let is_form = |part: &MessagePart<'_>| {
        let kind = kind_of(part);
        kind.0 != "multipart" || matches!(kind.1, "related" | "mixed")
    };
    let is_plain_first = kind_of(first) == PLAIN || !others.iter().any(|part| is_shown(part));
    is_plain_first && parts.iter().all(|part| is_form(part) && !is_file(part) && met.insert(kind_of(part)))
}

/// What a part without a kind is (RFC 2045, section 5.2).
const PLAIN: (&str, &str) = ("text", "plain");

fn kind_of<'a>(part: &'a MessagePart<'_>) -> (&'a str, &'a str) {
    part.content_type().map_or(PLAIN, |kind| (kind.ctype(), kind.subtype().unwrap_or_default()))
}

fn is_file(part: &MessagePart<'_>) -> bool {
    is_attached(part) || part.attachment_name().is_some()
}

fn is_attached(part: &MessagePart<'_>) -> bool {
    part.content_disposition().is_some_and(ContentType::is_attachment)
}

/// Whether a reader that meets it below others takes it for text, or looks for text in it.
fn is_shown(part: &MessagePart<'_>) -> bool {
    let is_named = part.content_type().is_some_and(|kind| kind.has_attribute("name"));
    match kind_of(part) {
        PLAIN | ("text", "html") => !is_named && !is_attached(part),
        (kind, _) => kind == "multipart",
    }
}

/// Whether it is a text that another part shows within its own (RFC 2387; RFC 2557).
fn is_referred_to(part: &MessagePart<'_>) -> bool {
    is_shown(part) && (part.content_id().is_some() || part.content_location().is_some())
}

/// Whether a part without a kind is a mail, as in a digest (RFC 2046, section 5.1.5).
fn begins_as_mail(part: &MessagePart<'_>) -> bool {
    let PartType::Text(text) = &part.body else { return false };
    let says_author = |line: &str| line.get(..5).is_some_and(|name| name.eq_ignore_ascii_case("from:"));
    part.content_type().is_none() && text.lines().take_while(|line| !line.trim().is_empty()).any(says_author)
}

/// Whether the boundary stands on the first and on the last line, and elsewhere at the beginning of lines only.
fn is_around(kind: &ContentType<'_>, body: &[u8]) -> bool {
    let Some(boundary) = kind.attribute("boundary") else { return false };
    let mark = format!("--{boundary}");
    let mut marks = memmem::find_iter(body, mark.as_bytes()).peekable();
    let Some(first) = marks.peek().copied() else { return false };
    let begins_lines = marks.all(|at| at == 0 || body[at - 1] == b'\n');
    let end = format!("{mark}--");
    begins_lines && is_preamble(&body[..first]) && body.trim_ascii_end().ends_with(end.as_bytes())
}

/// Whether a text is the source of parts, which come to an end.
pub(super) fn are_source_of(body: &[u8]) -> bool {
    let lines = || body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
    let Some(mark) = first_mark(body) else { return false };
    lines().any(|line| line.strip_suffix(b"--") == Some(mark))
}

/// The first line with which parts may begin: behind what a program writes above them, or with a field of a part below it.
fn first_mark(body: &[u8]) -> Option<&[u8]> {
    let mut begin = memmem::find_iter(body, b"--").filter(|at| *at == 0 || body[at - 1] == b'\n').enumerate();
    begin.find_map(|(before, at)| {
        let mut lines = body[at..].split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
        let mark = lines.next().filter(|mark| mark.len() > 2)?;
        let is_field = |line: &[u8]| line.get(..8).is_some_and(|name| name.eq_ignore_ascii_case(b"content-"));
        let begins = lines.next().is_some_and(is_field) || before == 0 && is_preamble(&body[..at]);
        begins.then_some(mark)
    })
}

/// Whether there is nothing, or what programs write for those that know no parts.
fn is_preamble(above: &[u8]) -> bool {
    let lines = above.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).count();
    lines == 0 || lines <= MAX_PREAMBLE_LINES && memmem::find(above, b"MIME").is_some()
}

#[cfg(test)]
mod tests {
    use super::super::super::parse::read;

    const CARD: &str = "text/vcard; name=a.vcf";
    const IMAGE: &str = "image/png; name=a.png\r\nContent-Disposition: inline; filename=a.png";
    const FILE: &str = "application/pdf; name=a.pdf\r\nContent-Disposition: attachment; filename=a.pdf";
    const LETTER: &str = "text/plain\r\nContent-Disposition: attachment";
    const NAMED: &str = "text/plain; name=letter.txt";
    const SHOWN: &str = "text/plain\r\nContent-Disposition: inline; filename=letter.txt";
    const SIGNATURE: &str = "application/pgp-signature";
    const MAIL: &str = "message/rfc822\r\n\r\nFrom: b@example.org";
    const UNTYPED_MAIL: &str = "\r\n\r\n\r\nSubject: x\r\nFrom: b@example.org\r\nTo: c@example.org";
    const FRAME: &str = "text/html\r\nContent-ID: <frame@example.org>";
    const ALTERNATIVE: &str = "multipart/alternative; boundary=c\r\n\r\n--c\r\n\r\nx\r\n--c--";
    const RELATED: &str =
        "multipart/related; boundary=c\r\n\r\n--c\r\nContent-Type: text/html\r\n\r\n<p>x\r\n--c--";
    const MIXED: &str =
        "multipart/mixed; boundary=c\r\n\r\n--c\r\nContent-Type: text/html\r\n\r\n<p>x\r\n--c--";

    /// Whether a mail of such parts, each of which says its kind, is usual as one of this kind.
    fn is_usual(kind: &str, parts: &[&str]) -> bool {
        let part = |kind: &&str| match kind.strip_prefix("\r\n") {
            Some(untyped) => format!("--b{untyped}\r\n\r\nhello\r\n"),
            None => format!("--b\r\nContent-Type: {kind}\r\n\r\nhello\r\n"),
        };
        let parts: String = parts.iter().map(part).collect();
        let head = format!("From: a@example.org\r\nContent-Type: multipart/{kind}; boundary=b");
        read(format!("{head}\r\n\r\n{parts}--b--\r\n").as_bytes()).unwrap().shape.usual_type
    }

    #[test]
    fn parts_as_mail_programs_put_them_together_are_usual() {
        for (kind, parts) in [
            ("mixed", &["text/plain"][..]),
            ("mixed", &["text/plain", IMAGE]),
            ("mixed", &["text/plain", IMAGE, "text/plain"]),
            ("mixed", &["text/html", IMAGE, "text/html"]),
            ("mixed", &["text/plain", LETTER, NAMED, CARD, FILE]),
            ("mixed", &["text/plain", SHOWN]),
            ("mixed", &["text/plain", MAIL]),
            ("mixed", &["text/plain", "text/calendar"]),
            ("mixed", &["text/html", "text/plain"]),
            ("mixed", &[ALTERNATIVE, FILE]),
            ("mixed", &[ALTERNATIVE, "text/plain"]),
            ("mixed", &[ALTERNATIVE, MAIL]),
            ("mixed", &[RELATED, FILE]),
            ("mixed", &["text/plain", ALTERNATIVE]),
            ("mixed", &[IMAGE]),
            ("alternative", &["text/plain", "text/html"]),
            ("alternative", &["text/plain", "text/x-amp-html", "text/html"]),
            ("alternative", &["text/plain", RELATED]),
            ("alternative", &["text/plain", MIXED]),
            ("alternative", &["text/plain", "text/html", "text/calendar; method=REQUEST"]),
            ("alternative", &["text/html"]),
            ("related", &["text/html", IMAGE, IMAGE]),
            ("related", &[ALTERNATIVE, IMAGE]),
            ("signed", &[MIXED, SIGNATURE]),
            ("signed", &["text/plain", "application/pkcs7-signature; name=smime.p7s"]),
            ("encrypted", &["application/pgp-encrypted", "application/octet-stream; name=encrypted.asc"]),
        ] {
            assert!(is_usual(kind, parts), "{kind} {parts:?}");
        }
    }

    #[test]
    fn parts_of_which_another_kind_would_show_others_are_not() {
        for (kind, parts) in [
            ("alternative", &["text/plain", LETTER][..]),
            ("alternative", &[ALTERNATIVE, LETTER]),
            ("alternative", &["text/plain", "text/html", NAMED]),
            ("alternative", &["text/html", SHOWN]),
            ("alternative", &["text/plain", "text/plain"]),
            ("alternative", &["text/html", "text/plain"]),
            ("alternative", &[ALTERNATIVE, "text/plain"]),
            ("alternative", &["text/plain", IMAGE, "text/plain"]),
            ("mixed", &["text/plain", "text/html"]),
            ("mixed", &["text/plain", RELATED]),
            ("mixed", &["text/html", IMAGE, FRAME]),
            ("mixed", &[UNTYPED_MAIL, UNTYPED_MAIL]),
            ("related", &["text/plain", IMAGE, "text/plain"]),
            ("related", &["text/plain", "text/html"]),
            ("related", &["text/plain", SHOWN]),
            ("related", &["text/plain", RELATED]),
            ("signed", &["text/plain", "text/plain"]),
            ("signed", &["text/plain", "text/plain", SIGNATURE]),
            ("digest", &["text/plain", MAIL]),
            ("digest", &[UNTYPED_MAIL]),
            ("report", &["text/plain", FILE]),
            ("form-data", &["text/plain"]),
            ("x-any", &["text/plain"]),
        ] {
            assert!(!is_usual(kind, parts), "{kind} {parts:?}");
        }
    }
}
