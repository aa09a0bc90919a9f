//! A look at a mail's structure before a parser builds it: one pass, no memory to speak of. What would cost a parser far
//! more than its bytes is refused here.

use std::collections::{BTreeSet, HashSet};

/// Parts of one mail, those of mails within it included.
pub(super) const MAX_PARTS: usize = 1000;
/// Mails within mails: a parser keeps them inside each other.
const MAX_NESTED: usize = 100;
/// Header bytes of all parts together.
const MAX_HEADER_BYTES: usize = 4 * 1024 * 1024;
/// A mail within a mail that is encoded (RFC 2046, section 5.2.1 forbids it) cannot be looked into here.
const MAX_ENCODED_BYTES: usize = 1024 * 1024;
const MAX_BOUNDARY_BYTES: usize = 200;

/// Where the pass stands.
#[derive(Default)]
struct Pass {
    boundaries: HashSet<Vec<u8>>,
    /// How long the boundaries are, so that a line is compared with few of them.
    lengths: BTreeSet<usize>,
    parts: usize,
    nested: usize,
    header_bytes: usize,
    /// What the header section says so far.
    message: bool,
    encoded: bool,
}

/// Why a mail with this structure is not built, if so.
pub(super) fn refusal(raw: &[u8]) -> Option<&'static str> {
    let mut pass = Pass::default();
    let mut in_header = true;
    for line in raw.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.starts_with(b"--") && pass.is_boundary(&line[2..]) {
            pass.parts += 1;
            in_header = true;
            (pass.message, pass.encoded) = (false, false);
        } else if in_header && line.is_empty() {
            // The header of a mail within follows at once.
            in_header = pass.message;
            pass.nested += usize::from(pass.message);
            if pass.message && pass.encoded && raw.len() > MAX_ENCODED_BYTES {
                return Some("a large mail within it is encoded");
            }
            (pass.message, pass.encoded) = (false, false);
        } else if in_header {
            pass.field(line);
        }
        if pass.parts > MAX_PARTS {
            return Some("it has more than 1,000 parts");
        }
        if pass.nested > MAX_NESTED || pass.boundaries.len() > MAX_PARTS {
            return Some("its parts are nested too deeply");
        }
        if pass.header_bytes > MAX_HEADER_BYTES {
            return Some("the headers of its parts are larger than 4 MB");
        }
    }
    None
}

impl Pass {
    fn is_boundary(&self, rest: &[u8]) -> bool {
        self.lengths
            .iter()
            .take_while(|length| **length <= rest.len())
            .any(|length| self.boundaries.contains(&rest[..*length]))
    }

    fn field(&mut self, line: &[u8]) {
        self.header_bytes += line.len() + 1;
        if self.header_bytes > MAX_HEADER_BYTES {
            return;
        }
        self.message |= find(line, b"message/").is_some();
        self.encoded |= find(line, b"base64").or(find(line, b"quoted-printable")).is_some();
        let Some(at) = find(line, b"boundary") else { return };
        let value = line[at + b"boundary".len()..].trim_ascii_start();
        let Some(value) = value.strip_prefix(b"=").map(<[u8]>::trim_ascii_start) else { return };
        let boundary = match value.strip_prefix(b"\"") {
            Some(quoted) => quoted.split(|byte| *byte == b'"').next(),
            None => value.split(|byte| byte.is_ascii_whitespace() || *byte == b';').next(),
        };
        if let Some(boundary) = boundary.filter(|text| !text.is_empty() && text.len() <= MAX_BOUNDARY_BYTES) {
            self.lengths.insert(boundary.len());
            self.boundaries.insert(boundary.to_vec());
        }
    }
}

/// Where a word stands in a line, in whatever case.
fn find(line: &[u8], word: &[u8]) -> Option<usize> {
    line.windows(word.len()).position(|window| window.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_structures_pass() {
        for raw in [
            "From: a@b.c\r\n\r\nhello",
            "Content-Type: multipart/mixed; boundary=\"x y\"\r\n\r\n--x y\r\n\r\na\r\n--x y--\r\n",
            "Content-Type: message/rfc822\r\n\r\nFrom: a@b.c\r\n\r\nhello",
            "",
        ] {
            assert_eq!(refusal(raw.as_bytes()), None, "{raw}");
        }
    }

    #[test]
    fn what_multiplies_is_refused() {
        let many = format!("Content-Type: multipart/mixed; boundary=x\n\n{}", "--x\n\n".repeat(1001));
        let deep = "Content-Type: message/rfc822\n\n".repeat(101);
        let wide =
            format!("Content-Type: multipart/mixed; boundary=x\n\n--x\nTo: {}\n\n", "a@b,".repeat(1_100_000));
        for raw in [many, deep, wide] {
            assert!(refusal(raw.as_bytes()).is_some(), "{}", &raw[..60]);
        }
    }
}
