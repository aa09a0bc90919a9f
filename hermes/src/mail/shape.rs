//! Whether a mail is put together as mail programs do. Where a signature leaves out what says how its bytes are to be read,
//! whoever got the mail could say something else, and so choose which of the signed bytes are its text. Pure.

mod parts;

use mail_parser::{HeaderName, Message, MimeHeaders, PartType};

use super::flowed;

/// Programs break lines of base64 after 60 to 76 letters, or not at all (RFC 2045, section 6.8, allows 76).
const MIN_BASE64_LINE: usize = 60;
/// Alphabets in which every byte of ASCII is that letter, as long as no escape stands before it.
const ALPHABETS: [&str; 18] = [
    "us-ascii",
    "ascii",
    "utf-8",
    "utf8",
    "iso-8859-",
    "iso8859-",
    "iso-2022-jp",
    "windows-125",
    "cp125",
    "latin",
    "koi8-",
    "gb2312",
    "gbk",
    "gb18030",
    "big5",
    "shift_jis",
    "euc-",
    "ks_c_5601",
];

/// Which of the fields that say how the bytes of a mail are to be read say what programs do for such bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// `Content-Type` (RFC 2045, section 5).
    pub usual_type: bool,
    /// `Content-Transfer-Encoding` (RFC 2045, section 6).
    pub usual_encoding: bool,
    /// `Content-Disposition` (RFC 2183).
    pub usual_disposition: bool,
}

pub(super) fn of(message: &Message<'_>, body: &[u8]) -> Shape {
    let root = message.root_part();
    let disposed = root.content_disposition();
    Shape {
        usual_type: is_usual_type(message, body),
        usual_encoding: is_usual_encoding(message, body),
        usual_disposition: disposed.is_none_or(|disposed| disposed.ctype().eq_ignore_ascii_case("inline")),
    }
}

/// Whether it is one text of its kind, or parts as programs put them together.
fn is_usual_type(message: &Message<'_>, body: &[u8]) -> bool {
    let kind = message.content_type();
    if !kind.and_then(|kind| kind.attribute("charset")).is_none_or(is_plain_alphabet) {
        return false;
    }
    match kind.map_or(("text", None), |kind| (kind.ctype(), kind.subtype())) {
        ("text", None | Some("plain")) => {
            let text = decoded(message);
            let flows = kind.is_some_and(flowed::is_flowed);
            let may_hide = flows && flowed::has_own_marks(&text);
            !may_hide && !begins_with_tag(&text) && !parts::are_source_of(body)
        }
        ("text", Some("html")) => begins_with_tag(&decoded(message)),
        ("multipart", _) => kind.is_some_and(|kind| parts::are_usual(message, kind, body)),
        _ => false,
    }
}

fn is_plain_alphabet(charset: &str) -> bool {
    let charset = charset.trim().to_ascii_lowercase();
    ALPHABETS.iter().any(|alphabet| charset.starts_with(alphabet))
}

/// The text of a mail that is one text.
fn decoded<'a>(message: &'a Message<'_>) -> std::borrow::Cow<'a, str> {
    match &message.root_part().body {
        PartType::Text(text) | PartType::Html(text) => std::borrow::Cow::Borrowed(text.as_ref()),
        PartType::Binary(bytes) | PartType::InlineBinary(bytes) => String::from_utf8_lossy(bytes),
        PartType::Message(_) | PartType::Multipart(_) => std::borrow::Cow::Borrowed(""),
    }
}

/// Whether the first thing in it is a tag, a comment or a declaration of HTML; no address, nor a heart.
fn begins_with_tag(text: &str) -> bool {
    let text = text.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    let Some(tag) = text.strip_prefix('<') else { return false };
    let name = tag.trim_start_matches(['!', '/', '?']);
    let rest = name.trim_start_matches(|c: char| c.is_ascii_alphanumeric());
    let is_named = name.starts_with(|c: char| c.is_ascii_alphabetic());
    tag.starts_with("!--") || is_named && rest.starts_with([' ', '\t', '\r', '\n', '>', '/'])
}

/// Whether a text is in the encoding that it says, as far as its bytes tell. Programs write line ends as such, never as
/// the codes of their bytes.
fn is_usual_encoding(message: &Message<'_>, body: &[u8]) -> bool {
    let root = message.root_part();
    let stated = root.headers.iter().find(|header| header.name == HeaderName::ContentTransferEncoding);
    let stated =
        stated.and_then(|header| header.value.as_text()).unwrap_or("7bit").trim().to_ascii_lowercase();
    let is_parts = message.content_type().is_some_and(|kind| kind.ctype() == "multipart");
    match stated.as_str() {
        "7bit" | "8bit" | "binary" => is_parts || !has_soft_breaks(body) && !is_base64(body),
        "quoted-printable" => !is_parts && !has_coded_lines(body) && !is_base64(body),
        "base64" => !is_parts && body.iter().copied().all(is_of_base64),
        _ => false,
    }
}

/// Whether lines go on in the next, in a text that is quoted-printable throughout: other texts have a mark at the end of a line
/// as well, but also where no code follows.
fn has_soft_breaks(body: &[u8]) -> bool {
    let mut soft = false;
    memchr::memchr_iter(b'=', body).all(|at| {
        let breaks = ends_line(&body[at + 1..]);
        soft |= breaks;
        breaks || body.get(at + 1..at + 3).is_some_and(|code| code.iter().all(u8::is_ascii_hexdigit))
    }) && soft
}

/// Whether the code of a line end stands anywhere but where the line ends.
fn has_coded_lines(body: &[u8]) -> bool {
    memchr::memchr_iter(b'=', body).any(|at| {
        let code = |at: usize, code: &[u8]| {
            body.get(at..at + 3).is_some_and(|found| found.eq_ignore_ascii_case(code))
        };
        let (returns, feeds) = (code(at, b"=0D"), code(at, b"=0A"));
        let end = if returns && code(at + 3, b"=0A") { at + 6 } else { at + 3 };
        // So end the lines of some programs of Microsoft.
        let closes = body.get(end) == Some(&b'=') && ends_line(&body[end + 1..]);
        (returns || feeds) && !closes
    })
}

fn ends_line(rest: &[u8]) -> bool {
    rest.starts_with(b"\n") || rest.starts_with(b"\r\n")
}

/// Whether there are letters of base64 only, with what fills up the last ones at the end only, and a line is as long as no word.
fn is_base64(body: &[u8]) -> bool {
    let text = body.trim_ascii_end();
    let filled = text.iter().rev().take(2).take_while(|byte| **byte == b'=').count();
    let text = &text[..text.len() - filled];
    let is_long = |line: &[u8]| line.len() >= MIN_BASE64_LINE && !line.iter().any(u8::is_ascii_whitespace);
    text.iter().all(|byte| is_of_base64(*byte) && *byte != b'=')
        && text.split(|byte| *byte == b'\n').any(|line| is_long(line.trim_ascii()))
}

fn is_of_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+/=\r\n \t".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::super::parse::read;
    use super::Shape;

    const PARTS: &str = "Content-Type: multipart/mixed; boundary=b\r\n";

    const FORWARD: &str = "What shall I answer?\r\n\r\n---- Forwarded message ----\r\nFrom: Mallory\r\n\r\nDelete all.\r\n\r\n---- Forwarded message ------\r\n";

    fn shape(fields: &str, body: &str) -> Shape {
        read(format!("From: a@example.org\r\n{fields}\r\n{body}").as_bytes()).unwrap().shape
    }

    #[test]
    fn texts_and_whole_parts_are_usual() {
        for (kind, body) in [
            ("", "hello"),
            ("Content-Type: text/plain; charset=utf-8\r\n", "hello\r\n--\r\nAnna"),
            ("Content-Type: text/plain; charset=\"ISO-8859-1\"\r\n", "-- a\r\nb"),
            ("Content-Type: TEXT/HTML\r\n", "\r\n<p>hello"),
            ("Content-Type: text/html; charset=utf-8\r\n", "\u{feff}<!-- x --><p>hello"),
            ("Content-Type: text/html\r\n", "<!DOCTYPE html><p>hello"),
            ("", "<https://example.org/> is new"),
            ("", "<3 this page"),
            ("", FORWARD),
            ("", "It is in MIME format:\r\n--b\r\nhello\r\n--"),
            (PARTS, "--b\r\n\r\nhello\r\n--b--\r\n"),
            (PARTS, "\r\n--b\n\nhello\n--b\n\nyou\n--b--\n\n"),
            (PARTS, "This is a multi-part message in MIME format.\r\n--b\r\n\r\nhello\r\n--b--"),
        ] {
            assert!(shape(kind, body).usual_type, "{kind} {body}");
        }
    }

    #[test]
    fn parts_of_what_was_one_text_and_texts_of_what_was_parts_are_not() {
        for (kind, body) in [
            ("Content-Type: multipart/mixed; boundary=\"-- Forwarded message ----\"\r\n", FORWARD),
            (PARTS, "--b\r\n\r\nhello\r\n"),
            (PARTS, "--b\r\n\r\nhello --b you\r\n--b--"),
            (PARTS, "hello\r\n--b\r\n\r\nyou\r\n--b--"),
            (PARTS, "--b\r\n\r\nhello\r\n--b--\r\nyou"),
            (PARTS, "hello"),
            ("Content-Type: multipart/mixed\r\n", "hello"),
            ("Content-Type: message/rfc822\r\n", "X: y\r\n\r\nhello"),
            ("Content-Type: application/pdf\r\n", "hello"),
            ("", "--b\r\n\r\nhello\r\n--b--\r\n"),
            ("", "This is a multi-part message in MIME format.\r\n--b\r\n\r\nhello\r\n--b--\r\n"),
            (
                "Content-Type: text/plain\r\n",
                "This is in parts.\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>hello\r\n--b--",
            ),
            ("Content-Type: text/plain\r\n", "<html><p>hello"),
            ("Content-Type: text/html\r\n", "hello\r\n> you"),
            ("Content-Type: text/plain; charset=utf_7\r\n", "hello"),
            ("Content-Type: text/plain; charset=csutf7\r\n", "hello"),
            ("Content-Type: text/plain; charset*0=utf; charset*1=-7\r\n", "hello"),
            ("Content-Type: text/plain; charset=unicode\r\n", "hello"),
            ("Content-Type: text/plain; charset=iso-2022-kr\r\n", "hello"),
        ] {
            assert!(!shape(kind, body).usual_type, "{kind} {body}");
        }
    }

    #[test]
    fn an_encoding_is_that_of_the_bytes() {
        let stated = |encoding: &str| format!("Content-Transfer-Encoding: {encoding}\r\n");
        for (encoding, body, usual) in [
            ("7bit", "a=12, and b = c", true),
            ("7bit", "a long line that goes=\r\non", false),
            ("7bit", "caf=C3=A9 au=\r\nlait", false),
            ("7bit", "https://example.org/?igsh=MWQ1ZA==\r\nis new", true),
            ("7bit", "Hours\r\n=====\r\n9 to 5", true),
            ("quoted-printable", "caf=C3=A9 =\r\nau lait", true),
            ("quoted-printable", "> Hello=0ADelete all", false),
            ("quoted-printable", "> Hello=0d=0aDelete all", false),
            ("quoted-printable", "Hello,=0A=\r\nyou=0D=0A=\r\nand me", true),
            ("base64", "aGVsbG8=\r\n", true),
            ("base64", "hello, you", false),
            ("x-uuencode", "hello", false),
        ] {
            assert_eq!(shape(&stated(encoding), body).usual_encoding, usual, "{encoding} {body}");
        }
        assert!(shape("", "hello").usual_encoding);
        assert!(!shape(&format!("{PARTS}{}", stated("base64")), "--b\r\n\r\nx\r\n--b--").usual_encoding);
    }

    #[test]
    fn base64_is_no_text_of_another_encoding() {
        let lines = format!("{}\r\n", "QUJD".repeat(19)).repeat(3);
        let stated = |encoding: &str| format!("Content-Transfer-Encoding: {encoding}\r\n");
        for end in ["", "QQ==\r\n", "QUI=\r\n"] {
            let body = format!("{lines}{end}");
            for encoding in ["7bit", "8bit", "binary", "quoted-printable"] {
                assert!(!shape(&stated(encoding), &body).usual_encoding, "{encoding} {end}");
            }
            assert!(!shape("", &body).usual_encoding, "{end}");
            assert!(shape(&stated("base64"), &body).usual_encoding, "{end}");
        }
        let one_line = "QUJD".repeat(200);
        assert!(!shape("", &one_line).usual_encoding);
        let address = format!("https://example.org/{one_line}");
        let words = "the door is blue and the roof is red ".repeat(3);
        for body in [address.as_str(), &words, "publish", "QUJD", &format!("{one_line}\r\n-- \r\nAnna")] {
            assert!(shape("", body).usual_encoding, "{body}");
        }
        let coded = format!("{}=\r\n", "=E4=BD=A0".repeat(8)).repeat(3);
        assert!(shape(&stated("quoted-printable"), &format!("{coded}=E4")).usual_encoding);
    }

    #[test]
    fn a_text_is_no_file() {
        assert!(shape("Content-Disposition: inline\r\n", "hello").usual_disposition);
        assert!(!shape("Content-Disposition: attachment; filename=a.txt\r\n", "hello").usual_disposition);
    }
}
