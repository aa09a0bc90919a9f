//! A look at a mail's structure before a parser builds it: by the parser's own steps, so that both see the same parts, but
//! nothing is kept. What would cost a parser far more than its bytes is refused here.

use mail_parser::parsers::MessageStream;
use mail_parser::{ContentType, GetHeader, Header, HeaderName, HeaderValue};
use memchr::memmem;

use super::parse::PARSER;

/// Parts of one mail, those of mails within it included.
pub(super) const MAX_PARTS: usize = 1000;
/// Mails within mails: a parser keeps them inside each other.
const MAX_NESTED: usize = 100;
/// The same for those that are encoded (RFC 2046, section 5.2.1 forbids it): a parser calls itself for each.
const MAX_NESTED_ENCODED: usize = 3;
/// Header bytes and lines of all parts together.
const MAX_HEADER_BYTES: usize = 1_250_000;
const MAX_HEADER_LINES: usize = 50_000;
/// Marks of parameters in pieces and in other letters (RFC 2231) in one field: for each a parser compares all its parameters.
const MAX_MARKS: usize = 1000;
/// RFC 2046, section 5.1.1, allows 70.
const MAX_BOUNDARY_BYTES: usize = 100;
/// A mail within a mail that is encoded is decoded to be looked into.
const MAX_ENCODED_BYTES: usize = 8 * 1024 * 1024;
/// A parser looks through the rest of a mail for each boundary that never comes; so often through all of it is too much.
const MAX_SEARCHES: usize = 4;
/// A mail with so few bytes, and with so few of them to be looked through again and again, is cheap whatever it says.
const CHEAP_BYTES: usize = 1024 * 1024;
const CHEAP_STEPS: usize = 16 * 1024 * 1024;

/// What an encoded word begins with (RFC 2047, section 2).
const ENCODED_WORD: &[u8] = b"=?";

type Refused = &'static str;

const TOO_MANY: Refused = "it has more than 1,000 parts";
const TOO_DEEP: Refused = "its parts are nested too deeply";
const TOO_WIDE: Refused = "the headers of its parts are larger than 1.25 MB, or longer than 50,000 lines";
const TOO_MANY_WORDS: Refused = "its header has encoded words that never end";
const TOO_MANY_MARKS: Refused = "one of its header fields has parameters in more than 1,000 pieces";

/// Why a mail with this structure is not built, if so.
pub(super) fn refusal(raw: &[u8]) -> Option<Refused> {
    if is_cheap(raw) {
        return None;
    }
    Walk::default().through(raw, MAX_NESTED_ENCODED).err()
}

/// Whether it can be told without a walk that it is: each part begins with two dashes, each mail within it says "message" or
/// is a part of a "digest".
fn is_cheap(raw: &[u8]) -> bool {
    let parts = memmem::find_iter(raw, b"--").take(MAX_PARTS).count() + 1;
    let lines = memchr::memchr_iter(b'\n', raw).take(MAX_HEADER_LINES).count();
    let marks = memchr::memchr2_iter(b'*', b'\'', raw).take(MAX_MARKS).count();
    let words = memmem::find_iter(raw, ENCODED_WORD).take(CHEAP_STEPS / raw.len().max(1) + 1).count();
    raw.len() <= CHEAP_BYTES
        && parts < MAX_PARTS
        && parts * raw.len() <= CHEAP_STEPS
        && words * raw.len() <= CHEAP_STEPS
        && lines < MAX_HEADER_LINES
        && marks < MAX_MARKS
        && !says_mails(raw)
}

/// Whether one of the words for mails within it stands there, in whatever case: looked for by a mark of each that is rare.
fn says_mails(raw: &[u8]) -> bool {
    let stands = |at: Option<usize>, word: &[u8]| {
        at.and_then(|at| raw.get(at..at + word.len())).is_some_and(|found| found.eq_ignore_ascii_case(word))
    };
    memchr::memchr2_iter(b'g', b'G', raw)
        .any(|at| stands(Some(at), b"global") || stands(at.checked_sub(2), b"digest"))
        || memmem::find_iter(raw, b"822").any(|at| stands(at.checked_sub(3), b"rfc822"))
}

/// What was met so far.
#[derive(Default)]
struct Walk {
    parts: usize,
    nested: usize,
    header_bytes: usize,
    header_lines: usize,
    searched: usize,
    decoded: usize,
}

/// What the parts of a level are, as far as it matters for what they contain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The one part of a mail.
    Mail,
    Digest,
    Other,
}

/// Where the walk stands: among parts between these boundaries.
struct Level {
    kind: Kind,
    boundary: Option<Vec<u8>>,
}

/// What the header of a part says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    None,
    Base64,
    QuotedPrintable,
}

impl Walk {
    /// Goes the way of `MessageParser::parse`.
    fn through(&mut self, raw: &[u8], depth: usize) -> Result<(), Refused> {
        let mut headers = Vec::new();
        let mut stream = MessageStream::new(raw);
        let mut level = Level { kind: Kind::Mail, boundary: None };
        let mut above: Vec<Level> = Vec::new();
        loop {
            self.header(&raw[stream.offset()..])?;
            headers.clear();
            if !stream.parse_headers(&PARSER, &mut headers) {
                return Ok(());
            }
            self.part()?;
            let kind = content_type(&headers);
            if let Some(boundary) = kind.filter(|kind| kind.ctype() == "multipart").and_then(boundary) {
                if boundary.len() > MAX_BOUNDARY_BYTES {
                    return Err("one of its boundaries is longer than 100 bytes");
                }
                if stream.seek_next_part(boundary) {
                    let digest = kind.and_then(ContentType::subtype) == Some("digest");
                    let inner = if digest { Kind::Digest } else { Kind::Other };
                    above.push(std::mem::replace(
                        &mut level,
                        Level { kind: inner, boundary: Some(boundary.to_vec()) },
                    ));
                    stream.skip_crlf();
                    continue;
                }
                self.search(raw.len(), stream.remaining())?;
            }
            let encoding = encoding(&headers);
            let is_mail = is_mail(kind, level.kind);
            if is_mail && encoding == Encoding::None {
                self.nest()?;
                let boundary = level.boundary.take();
                above.push(std::mem::replace(&mut level, Level { kind: Kind::Mail, boundary }));
                continue;
            }
            self.body(&mut stream, encoding, &mut level, is_mail.then_some(depth))?;
            if level.boundary.is_none() {
                if stream.offset() >= raw.len() {
                    return Ok(());
                }
                continue;
            }
            if !leave(&mut stream, &mut level, &mut above) {
                return Ok(());
            }
        }
    }

    /// Steps over what lies below a header.
    fn body(
        &mut self,
        stream: &mut MessageStream<'_>,
        encoding: Encoding,
        level: &mut Level,
        mail: Option<usize>,
    ) -> Result<(), Refused> {
        let boundary = level.boundary.as_deref().unwrap_or_default();
        let (end, decoded) = match encoding {
            Encoding::None => stream.mime_part(boundary),
            Encoding::Base64 => stream.decode_base64_mime(boundary),
            Encoding::QuotedPrintable => stream.decode_quoted_printable_mime(boundary),
        };
        if end == usize::MAX {
            if !stream.seek_part_end(level.boundary.as_deref()).1 {
                level.boundary = None;
            }
        } else if let Some(depth) = mail.and_then(|depth| depth.checked_sub(1)) {
            self.nest()?;
            if decoded.len() > MAX_ENCODED_BYTES {
                return Err("a large mail within it is encoded");
            }
            self.through(&decoded, depth)?;
        }
        Ok(())
    }

    /// Before a parser builds its fields: the header ends with the first line that says nothing, and is no continuation of the
    /// one above.
    fn header(&mut self, rest: &[u8]) -> Result<(), Refused> {
        let (mut marks, mut at) = (0, 0);
        for line in rest.split_inclusive(|byte| *byte == b'\n') {
            self.header_bytes += line.len();
            self.header_lines += 1;
            if self.header_bytes > MAX_HEADER_BYTES || self.header_lines > MAX_HEADER_LINES {
                return Err(TOO_WIDE);
            }
            let goes_on = line.starts_with(b" ") || line.starts_with(b"\t");
            if line.trim_ascii().is_empty() && !goes_on {
                break;
            }
            self.words(rest, at, line)?;
            at += line.len();
            marks = if goes_on { marks } else { 0 } + memchr::memchr2_iter(b'*', b'\'', line).count();
            if marks > MAX_MARKS {
                return Err(TOO_MANY_MARKS);
            }
        }
        Ok(())
    }

    /// A parser decodes from each mark of an encoded word to the end of the word, or of the field when it has none.
    fn words(&mut self, rest: &[u8], line_at: usize, line: &[u8]) -> Result<(), Refused> {
        for at in memmem::find_iter(line, ENCODED_WORD) {
            let mut word = MessageStream::new(&rest[line_at + at + 1..]);
            word.decode_rfc2047();
            self.decoded += word.offset();
            if self.decoded > CHEAP_STEPS {
                return Err(TOO_MANY_WORDS);
            }
        }
        Ok(())
    }

    fn part(&mut self) -> Result<(), Refused> {
        self.parts += 1;
        if self.parts > MAX_PARTS { Err(TOO_MANY) } else { Ok(()) }
    }

    fn nest(&mut self) -> Result<(), Refused> {
        self.nested += 1;
        if self.nested > MAX_NESTED { Err(TOO_DEEP) } else { Ok(()) }
    }

    /// A boundary was looked for in vain.
    fn search(&mut self, all: usize, rest: usize) -> Result<(), Refused> {
        self.searched += rest;
        let allowed = (MAX_SEARCHES * all).max(CHEAP_STEPS);
        if self.searched > allowed { Err("its parts have boundaries that never come") } else { Ok(()) }
    }
}

/// Behind a part: on to the next one of this level, or of the levels above when it was the last. Whether there is more.
fn leave(stream: &mut MessageStream<'_>, level: &mut Level, above: &mut Vec<Level>) -> bool {
    loop {
        if level.kind == Kind::Mail {
            let Some(mut outer) = above.pop() else { return false };
            outer.boundary = level.boundary.take();
            *level = outer;
        }
        if !stream.is_multipart_end() {
            return true;
        }
        let Some(outer) = above.pop() else { return false };
        *level = outer;
        let next = level.boundary.as_ref().and_then(|boundary| stream.seek_next_part_offset(boundary));
        if next.is_none() {
            return false;
        }
    }
}

fn content_type<'a>(headers: &'a Vec<Header<'_>>) -> Option<&'a ContentType<'a>> {
    headers.header_value(&HeaderName::ContentType)?.as_content_type()
}

fn boundary<'a>(kind: &'a ContentType<'_>) -> Option<&'a [u8]> {
    kind.attribute("boundary").map(str::as_bytes)
}

fn encoding(headers: &Vec<Header<'_>>) -> Encoding {
    match headers.header_value(&HeaderName::ContentTransferEncoding) {
        Some(HeaderValue::Text(said)) if said.eq_ignore_ascii_case("base64") => Encoding::Base64,
        Some(HeaderValue::Text(said)) if said.eq_ignore_ascii_case("quoted-printable") => {
            Encoding::QuotedPrintable
        }
        _ => Encoding::None,
    }
}

/// Whether a part is a mail (RFC 2046, sections 5.1.5 and 5.2.1).
fn is_mail(kind: Option<&ContentType<'_>>, level: Kind) -> bool {
    match kind {
        Some(kind) => kind.ctype() == "message" && matches!(kind.subtype(), Some("rfc822" | "global")),
        None => level == Kind::Digest,
    }
}

#[cfg(test)]
mod tests {
    use mail_parser::{Message, PartType};

    use super::*;

    const MIXED: &str = "Content-Type: multipart/mixed; boundary=b\n\n";

    /// How many parts the parser makes of it.
    fn built(message: &Message<'_>) -> usize {
        let within = message.parts.iter().map(|part| match &part.body {
            PartType::Message(message) => built(message),
            _ => 0,
        });
        message.parts.len() + within.sum::<usize>()
    }

    fn walked(raw: &[u8]) -> usize {
        let mut walk = Walk::default();
        assert_eq!(walk.through(raw, MAX_NESTED_ENCODED), Ok(()), "{}", String::from_utf8_lossy(raw));
        walk.parts
    }

    fn encoded(text: &str) -> String {
        let text = text.replace('=', "=3D");
        format!("Content-Type: message/rfc822\nContent-Transfer-Encoding: quoted-printable\n\n{text}")
    }

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
        let many = "=?utf-8?Q?Am=C3=A9lie?= <a@b.c>,\r\n ".repeat(10_000);
        assert_eq!(refusal(format!("To: {many}=?utf-8?b?eA==?= <d@e.f>\r\n\r\nhello").as_bytes()), None);
    }

    #[test]
    fn the_walk_meets_the_parts_that_the_parser_makes() {
        let inner = format!("{MIXED}--b\n\none\n--b\nContent-Type: text/html\n\n<p>two\n--b--\n");
        let mails = [
            "From: a@b.c\n\nhello".to_owned(),
            inner.clone(),
            format!("Content-Type: message/rfc822\n\n{inner}"),
            format!("Content-Type: message /rfc822\n\n{inner}"),
            format!("Content-Type: message(x)/rfc822\n\n{inner}"),
            format!("Content-Type: message\n /rfc822\n\n{inner}"),
            encoded(&inner),
            encoded(&encoded(&inner)),
            format!("{}=ZZ", encoded(&inner)),
            encoded(&inner).replace("quoted-printable", "base64"),
            format!("Content-Type: multipart/mixed; xboundary=1; boundary=o\n\n--o\n{inner}\n--o\n\nthree\n--o--"),
            format!("Content-Type: multipart/digest; boundary*=utf-8''o\n\n--o\n\n{inner}\n--o\n\n{inner}--o--"),
            format!("Content-Type: multipart/mixed; boundary=never\n\n--o\n\n{inner}"),
            format!("Content-Type: multipart/mixed; boundary=o\n\n--o\nContent-Type: message/rfc822\n\n{inner}\n--o\n\nlast"),
            "Content-Type: multipart/mixed; boundary=b\n\nx --b y: z\n\none--btwo: x\n\nthree--b--".to_owned(),
            "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Transfer-Encoding: quoted-printable\n\n=ZZ--b\n\nx".to_owned(),
            "a: b\n \nc: d\n\n:From: x\n\nx".to_owned(),
        ];
        for raw in &mails {
            let built = PARSER.parse(raw.as_bytes()).map_or(0, |message| built(&message));
            assert_eq!(walked(raw.as_bytes()), built, "{raw}");
        }
    }

    #[test]
    fn what_multiplies_is_refused_however_it_is_written() {
        let digest = "Content-Type: multipart/digest; boundary*=utf-8''b\n\n--b\n\n";
        let deep = "Content-Type: message/rfc822\n\n".repeat(1000);
        let all = [
            format!("{MIXED}{}", "--b\n\n".repeat(1001)),
            format!("Content-Type: multipart/mixed; xboundary=1; boundary=b\n\n{}", "--b\n\n".repeat(1001)),
            format!("{MIXED}{}", "x--b\n\n".repeat(1001)),
            "Content-Type: message/rfc822\n\n".repeat(101),
            "Content-Type: message /rfc822\n\n".repeat(101),
            "Content-Type: message\n /rfc822\n\n".repeat(101),
            "Content-Type: message(x)/GLOBAL\n\n".repeat(101),
            digest.repeat(101),
            encoded(&deep),
            format!("{MIXED}--b\nTo: {}\n\n", "a@b,".repeat(1_100_000)),
            format!("{MIXED}--b\n{}\n", "a:\n".repeat(60_000)),
            format!("{MIXED}--b\nX: y\n \n{}\n", "a:\n".repeat(60_000)),
            format!("{MIXED}--b\nX: y\n\t\nTo: {}\n\n", "a@b,".repeat(1_100_000)),
            format!("Content-Type: text/plain;{}\n\nx", " n*1=x;".repeat(2500)),
            format!("Content-Type: multipart/mixed; boundary=\"{0}x\"\n\n{0}", "-".repeat(40_000)),
            format!("Subject: {}\n\nx", "=?aa?q?x".repeat(8_000)),
            format!("To: {}\n\nx", "=?aa?q?x ".repeat(8_000)),
            format!("To: {}=zz?=\n\nx", "=?aa?Q?x\n ".repeat(8_000)),
            format!("{MIXED}--b\nContent-Type: text/plain; name=\"{}\"\n\n", "=?aa?q?x".repeat(8_000)),
            format!(
                "{MIXED}{}{}",
                "--b\nContent-Type: multipart/mixed; boundary=never\n\n".repeat(900),
                "x".repeat(900_000)
            ),
        ];
        for raw in all {
            assert!(refusal(raw.as_bytes()).is_some(), "{}", &raw[..80]);
        }
    }
}
