//! A mail's bytes in two: the fields of the header, and what lies below as far as it tells one mail from another.

use common::domain::names::ContentHash;
use common::domain::text;
use mail_parser::{HeaderName, Message};

/// Where the body begins: behind the first empty line.
pub(super) fn length(raw: &[u8]) -> usize {
    let mut at = 0;
    for line in raw.split_inclusive(|byte| *byte == b'\n') {
        at += line.len();
        if matches!(line, b"\n" | b"\r\n") && at > line.len() {
            return at;
        }
    }
    raw.len()
}

/// Header fields with their continuation lines joined (RFC 5322, section 2.2.3), without control characters: what the
/// header says is shown in traces and on terminals.
pub(super) fn unfold(header: &[u8]) -> Vec<(String, String)> {
    let header = String::from_utf8_lossy(header);
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in header.lines() {
        if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.last_mut() {
                value.push(' ');
                value.push_str(text::one_line(line).trim());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            let name = text::one_line(name).trim().to_ascii_lowercase();
            fields.push((name, text::one_line(value).trim().to_owned()));
        }
    }
    fields
}

/// Whether each line is a field, or goes on with the one above it. Readers differ in what they do with any other: it ends the
/// header for one, and is skipped by the next.
pub(super) fn is_all_fields(header: &[u8]) -> bool {
    let mut lines = header.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let is_field = |line: &[u8]| line.iter().position(|byte| *byte == b':').is_some_and(|at| at > 0);
    let begins = lines.next().is_some_and(|line| is_field(line) && !is_continuation(line));
    begins && lines.all(|line| line.is_empty() || is_continuation(line) || is_field(line))
}

/// Whether there are no control characters among its lines. Some readers take them for blanks, or for nothing at all, and a
/// signature need not tell: one address would be two, and one mail many.
pub(super) fn is_printed(header: &[u8]) -> bool {
    header.split(|byte| *byte == b'\n').all(|line| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        line.iter().all(|byte| !byte.is_ascii_control() || *byte == b'\t')
    })
}

/// Whether a carriage return stands where no line ends. A signature need not tell (RFC 6376, section 3.4, knows whole line
/// ends only), so that each one more makes another mail of the same.
pub(super) fn has_stray_returns(body: &[u8]) -> bool {
    memchr::memchr_iter(b'\r', body).any(|at| !matches!(body.get(at + 1), Some(b'\n' | b'\r') | None))
}

fn is_continuation(line: &[u8]) -> bool {
    line.starts_with(b" ") || line.starts_with(b"\t")
}

/// Whether there is one of the fields that mails have and other texts do not.
pub(super) fn looks_like_mail(headers: &[(String, String)]) -> bool {
    const KNOWN: [&str; 17] = [
        "from",
        "to",
        "cc",
        "subject",
        "date",
        "message-id",
        "received",
        "return-path",
        "sender",
        "reply-to",
        "in-reply-to",
        "references",
        "mime-version",
        "content-type",
        "content-transfer-encoding",
        "content-disposition",
        "delivered-to",
    ];
    headers.iter().any(|(name, _)| KNOWN.contains(&name.as_str()))
}

/// Whether a signed mail has fields with a blank before their colon, as old programs wrote them (RFC 5322, section 4.5):
/// those who check signatures take them for fields of another name, so that anybody may add one that is said to be signed.
pub(super) fn is_signed_beside_blanks(headers: &[(String, String)], header: &[u8]) -> bool {
    let signs = |name: &str| name.starts_with("arc-") || name.ends_with("-signature");
    let is_behind_blank = |line: &[u8]| {
        let at = memchr::memchr(b':', line).filter(|at| *at > 0);
        at.is_some_and(|at| matches!(line[at - 1], b' ' | b'\t')) && !is_continuation(line)
    };
    headers.iter().any(|(name, _)| signs(name))
        && header.split(|byte| *byte == b'\n').any(|line| is_behind_blank(line) && is_known(line))
}

fn is_known(line: &[u8]) -> bool {
    unfold(line).iter().any(|(name, _)| HeaderName::parse(name.as_str()).is_some_and(|name| !is_other(&name)))
}

/// Whether the parser found the fields that are here, each as often. It knows fields by names with blanks in them, or behind a
/// colon (`F rom: x`, `:From: x`), which others take for fields of another name, or for none: what one of them has shown to be
/// genuine the other would not have read.
pub(super) fn is_seen_alike(headers: &[(String, String)], message: &Message<'_>) -> bool {
    let known = message.headers().iter().map(|header| &header.name).filter(|name| !is_other(name));
    let mut seen: Vec<String> = known.map(|name| name.as_str().to_ascii_lowercase()).collect();
    let mut here: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
    here.retain(|name| HeaderName::parse(*name).is_some_and(|name| !is_other(&name)));
    seen.sort_unstable();
    here.sort_unstable();
    seen == here
}

fn is_other(name: &HeaderName<'_>) -> bool {
    matches!(name, HeaderName::Other(_))
}

/// The hash of all lines, each with a line feed behind it, as a signature sees them at its most lenient (RFC 6376, section
/// 3.4.4): spaces and tabs count as one space, at the end of a line as none, and empty lines at the end do not count. Some
/// paths change these, and whoever sends a signed mail again may.
pub(super) fn body_hash(body: &[u8]) -> ContentHash {
    let mut lines = Vec::with_capacity(body.len() + 1);
    let (mut from, mut line_at, mut written) = (0, 0, 0);
    for at in memchr::memchr3_iter(b' ', b'\t', b'\n', body).chain([body.len()]) {
        lines.extend_from_slice(&body[from..at]);
        from = at + 1;
        let line = &lines[line_at..];
        if matches!(body.get(at), Some(b' ' | b'\t')) {
            if line.last() != Some(&b' ') {
                lines.push(b' ');
            }
            continue;
        }
        let line = line.trim_ascii_end().len();
        lines.truncate(line_at + line);
        lines.push(b'\n');
        line_at = lines.len();
        if line > 0 {
            written = line_at;
        }
    }
    ContentHash::of(&lines[..written])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn continuation_lines_are_joined_and_names_are_in_lower_case() {
        let fields = unfold(b"Subject: Opening\r\n  hours \r\nno field\r\nTO : a@b.c\r\n\r\n");
        let wanted = [("subject", "Opening hours"), ("to", "a@b.c")];
        assert_eq!(fields, wanted.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn escapes_of_a_terminal_do_not_come_through() {
        let fields = unfold("X\u{1b}[2J-Loud: yes\u{1b}]0;owned\u{7}\r\n \u{9b}31m\r\n\r\n".as_bytes());
        assert_eq!(fields, [("x[2j-loud".to_owned(), "yes]0;owned 31m".to_owned())]);
    }

    #[test]
    fn the_same_lines_have_the_same_hash() {
        let one = body_hash(b"a\r\n\r\nb\r\n");
        for same in [&b"a\n\nb"[..], b"a\n\nb\n\n", b"a\r\n\nb\r\n\r\n"] {
            assert_eq!(body_hash(same), one, "{same:?}");
        }
        for same in [&b"a \r\n\t\r\nb"[..], b"a\n\nb \t\n \n"] {
            assert_eq!(body_hash(same), one, "{same:?}");
        }
        assert_eq!(body_hash(b"a  b\t \tc\n\td"), body_hash(b"a b c\n d"));
        for (one, other) in [(&b"a b"[..], &b"ab"[..]), (b" a", b"a"), (b"a\nb", b"a b")] {
            assert_ne!(body_hash(one), body_hash(other), "{one:?}");
        }
        for other in [&b"a\nb"[..], b"a\n\nb c", b"\na\n\nb", b""] {
            assert_ne!(body_hash(other), one, "{other:?}");
        }
        assert_eq!(body_hash(b""), body_hash(b"\r\n\r\n"));
    }
}
