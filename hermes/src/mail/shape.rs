//! Whether a mail is cut into parts as mail programs do. Where a signature leaves out the `Content-Type`, whoever got the mail
//! could name another one, and so choose which of the signed bytes are its text. Pure.

use mail_parser::{ContentType, Message, MimeHeaders};
use memchr::memmem;

/// Above the first part a program may say that it is in parts, in so many lines.
const MAX_PREAMBLE_LINES: usize = 3;

/// Whether it is one text, or parts that begin and end where the body does.
pub(super) fn is_usual(message: &Message<'_>, body: &[u8]) -> bool {
    let Some(kind) = message.content_type() else { return true };
    match (kind.ctype(), kind.subtype()) {
        ("text", Some("plain" | "html")) => true,
        ("multipart", _) => is_around(kind, body),
        _ => false,
    }
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

/// Whether there is nothing, or what programs write for those that know no parts.
fn is_preamble(above: &[u8]) -> bool {
    let lines = above.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).count();
    lines == 0 || lines <= MAX_PREAMBLE_LINES && memmem::find(above, b"MIME").is_some()
}

#[cfg(test)]
mod tests {
    use super::super::parse::read;

    fn is_usual(kind: &str, body: &str) -> bool {
        read(format!("From: a@example.org\r\n{kind}\r\n{body}").as_bytes()).unwrap().usual
    }

    #[test]
    fn texts_and_whole_parts_are_usual() {
        for (kind, body) in [
            ("", "hello"),
            ("Content-Type: text/plain; charset=utf-8\r\n", "hello"),
            ("Content-Type: TEXT/HTML\r\n", "<p>hello"),
            ("Content-Type: multipart/mixed; boundary=b\r\n", "--b\r\n\r\nhello\r\n--b--\r\n"),
            ("Content-Type: multipart/mixed; boundary=b\r\n", "\r\n--b\n\nhello\n--b\n\nyou\n--b--\n\n"),
            (
                "Content-Type: multipart/mixed; boundary=b\r\n",
                "This is a multi-part message in MIME format.\r\n--b\r\n\r\nhello\r\n--b--",
            ),
        ] {
            assert!(is_usual(kind, body), "{kind} {body}");
        }
    }

    #[test]
    fn parts_of_what_was_one_text_are_not() {
        let forward = "What shall I answer?\r\n\r\n---- Forwarded message ----\r\nFrom: Mallory\r\n\r\nDelete all.\r\n\r\n---- Forwarded message ------\r\n";
        for (kind, body) in [
            ("Content-Type: multipart/mixed; boundary=\"-- Forwarded message ----\"\r\n", forward),
            ("Content-Type: multipart/mixed; boundary=b\r\n", "--b\r\n\r\nhello\r\n"),
            ("Content-Type: multipart/mixed; boundary=b\r\n", "--b\r\n\r\nhello --b you\r\n--b--"),
            ("Content-Type: multipart/mixed; boundary=b\r\n", "hello\r\n--b\r\n\r\nyou\r\n--b--"),
            ("Content-Type: multipart/mixed; boundary=b\r\n", "--b\r\n\r\nhello\r\n--b--\r\nyou"),
            ("Content-Type: multipart/mixed; boundary=b\r\n", "hello"),
            ("Content-Type: multipart/mixed\r\n", "hello"),
            ("Content-Type: message/rfc822\r\n", "X: y\r\n\r\nhello"),
            ("Content-Type: application/pdf\r\n", "hello"),
        ] {
            assert!(!is_usual(kind, body), "{kind} {body}");
        }
    }
}
