//! Bytes become a mail, or the reason why they are none. Total: whatever the bytes are, the answer is a value, within caps.
//! Header fields that decide something (From, ids, automatic marks) are read from the raw header, field by field, because
//! a lenient parser keeps only one of several.

use std::sync::LazyLock;

use common::domain::ids::EmailAddress;
use common::domain::names::ContentHash;
use common::domain::text;
use mail_parser::{
    ContentType, HeaderName, HeaderValue, Message, MessageParser, MessagePart, MimeHeaders, PartType,
};

use super::attachment;
use super::body::{self, Body};
use super::guard;
use super::header;
use super::sealed;
use super::shape::{self, Shape};
use super::structure::{self, MAX_PARTS};

/// The largest mail we take.
pub const MAX_RAW_BYTES: usize = 40 * 1024 * 1024;
const MAX_HEADER_BYTES: usize = 1024 * 1024;
const MAX_SUBJECT_CHARS: usize = 500;
const MAX_NAME_CHARS: usize = 200;

/// Why some bytes are not a mail that we read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// More bytes than [`MAX_RAW_BYTES`].
    #[error("the mail has {0} bytes; at most {MAX_RAW_BYTES} are taken")]
    TooLarge(usize),
    /// Not a mail, or one beyond the caps.
    #[error("not a mail: {0}")]
    NotAMail(&'static str),
}

/// The author as the header states it (RFC 5322, section 3.6.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Author {
    /// One From field with one address.
    One(EmailAddress),
    /// No From field.
    Absent,
    /// Several fields or addresses, or one that is no address.
    Unclear(String),
}

/// A file that came along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachedFile {
    /// As the sender named it.
    pub name: Option<String>,
    /// Its decoded length.
    pub size_bytes: usize,
    /// Whether somebody meant to send it, as far as that can be told.
    pub is_meant: bool,
}

/// A mail as far as its bytes tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParsedMail {
    /// The header: names in lower case, values unfolded, in order.
    pub headers: Vec<(String, String)>,
    /// Who says they wrote it.
    pub author: Author,
    /// The first address of the first From field as it is written, whether or not that makes an author.
    pub stated_from: Option<String>,
    /// The name beside that address.
    pub author_name: Option<String>,
    /// To whom (To, Cc, and where it was delivered to).
    pub recipients: Vec<EmailAddress>,
    /// The addresses of To.
    pub to: Vec<EmailAddress>,
    /// The addresses of Cc.
    pub cc: Vec<EmailAddress>,
    /// To whom as its author wrote (To and Cc; the first mailbox it was delivered to when there are none): the same on
    /// every path.
    pub addressed: Vec<EmailAddress>,
    /// One line; may be empty.
    pub subject: String,
    /// Without angle brackets.
    pub message_id: Option<String>,
    /// The text; HTML as lines, with marks before what it quotes.
    pub text: String,
    /// Whether its author wrote something that nobody here can read: it is not in the text.
    pub is_sealed: bool,
    /// What the text was made of.
    pub body: Body,
    /// How many characters of HTML were not to be seen; they are not in the text.
    pub hidden: usize,
    /// Why a part of it is one that only machines write, if so.
    pub machine: Option<&'static str>,
    /// What came along.
    pub attachments: Vec<AttachedFile>,
    /// What lies below the header, whatever ends its lines and whatever empty lines follow.
    pub body_hash: ContentHash,
    /// Whether each line of the header is a field, or goes on with one: others may let it end elsewhere when one is not.
    pub all_fields: bool,
    /// Whether carriage returns stand within its lines.
    pub stray_returns: bool,
    /// Which fields that say how its bytes are to be read say what mail programs do.
    pub shape: Shape,
}

impl ParsedMail {
    /// The values of a header field; `name` in lower case.
    pub fn header<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers.iter().filter(move |(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

/// The fields that are read by it; all others are taken from the lines of the header. It loses the line below a `Date` whose
/// zone is `UT`.
pub(super) static PARSER: LazyLock<MessageParser> = LazyLock::new(|| {
    let parser = MessageParser::new().with_mime_headers().with_address_headers();
    parser.header_text(HeaderName::Subject).default_header_ignore()
});

/// Reads a mail.
pub fn read(raw: &[u8]) -> Result<ParsedMail, Unreadable> {
    if raw.len() > MAX_RAW_BYTES {
        return Err(Unreadable::TooLarge(raw.len()));
    }
    let body_at = header::length(raw);
    if body_at > MAX_HEADER_BYTES {
        return Err(Unreadable::NotAMail("the header is larger than 1 MB"));
    }
    if !header::is_printed(&raw[..body_at]) {
        return Err(Unreadable::NotAMail("its header has control characters"));
    }
    let headers = header::unfold(&raw[..body_at]);
    if !header::looks_like_mail(&headers) {
        return Err(Unreadable::NotAMail("it has none of the header fields that every mail has"));
    }
    guard::caught(|| {
        if let Some(reason) = structure::refusal(raw) {
            return Err(Unreadable::NotAMail(reason));
        }
        let message = PARSER.parse(raw).ok_or(Unreadable::NotAMail("no header was found"))?;
        let ends_alike = message.root_part().raw_body_offset() as usize == body_at;
        let differs = header::is_signed_beside_blanks(&headers, &raw[..body_at])
            || !header::is_seen_alike(&headers, &message);
        if !ends_alike || differs {
            return Err(Unreadable::NotAMail("its header can be read in two ways"));
        }
        Ok(extract(&message, headers, raw.split_at(body_at)))
    })
    .unwrap_or(Err(Unreadable::NotAMail("its structure cannot be read")))
}

fn extract(
    message: &Message<'_>,
    headers: Vec<(String, String)>,
    (header, below): (&[u8], &[u8]),
) -> ParsedMail {
    let author = author(message, &headers);
    let (rendered, kind) = body::text(message);
    let (text, is_sealed) = sealed::opened(message, rendered.text);

    let stated = unique(stated_recipients(message, &[HeaderName::To, HeaderName::Cc]));
    let delivered: Vec<String> = delivered_to(&headers).collect();
    // Each hop writes above what was there: the last field is that of the first hop.
    let first_hop = || unique(delivered.last().cloned().into_iter());
    let addressed = if stated.is_empty() { first_hop() } else { stated.clone() };
    let named = stated.iter().map(ToString::to_string);
    let recipients = unique(named.chain(delivered.iter().cloned()));
    let message_id = headers
        .iter()
        .find(|(name, _)| name == "message-id")
        .and_then(|(_, value)| super::thread::message_ids(value).into_iter().next());
    ParsedMail {
        author,
        stated_from: stated_from(message),
        author_name: author_name(message),
        recipients,
        to: unique(stated_recipients(message, &[HeaderName::To])),
        cc: unique(stated_recipients(message, &[HeaderName::Cc])),
        addressed,
        subject: one_line(&spaced(message.subject().unwrap_or_default()), MAX_SUBJECT_CHARS),
        message_id,
        text,
        is_sealed,
        hidden: rendered.hidden,
        body: kind,
        machine: message.parts.iter().find_map(of_machine),
        attachments: attached(message),
        headers,
        body_hash: header::body_hash(below),
        all_fields: header::is_all_fields(header),
        stray_returns: header::has_stray_returns(below),
        shape: shape::of(message, below),
    }
}

fn author(message: &Message<'_>, headers: &[(String, String)]) -> Author {
    let fields = headers.iter().filter(|(name, _)| name == "from").count();
    if fields == 0 {
        return Author::Absent;
    }
    if fields > 1 {
        return Author::Unclear(format!("{fields} From fields"));
    }
    let Some(address) = message.from() else { return Author::Unclear("From holds no address".into()) };
    let mut addresses = address.iter();
    let (first, more) = (addresses.next(), addresses.next().is_some());
    match first.and_then(|found| found.address()) {
        Some(_) if more => Author::Unclear("several addresses in From".into()),
        Some(found) => {
            EmailAddress::parse(found).map_or_else(|e| Author::Unclear(e.to_string()), Author::One)
        }
        None => Author::Unclear("From holds no address".into()),
    }
}

fn stated_from(message: &Message<'_>) -> Option<String> {
    let address = message.from()?.iter().find_map(|found| found.address())?;
    Some(one_line(address, MAX_NAME_CHARS)).filter(|address| !address.is_empty())
}

fn author_name(message: &Message<'_>) -> Option<String> {
    let name = message.from()?.first()?.name()?;
    Some(one_line(name, MAX_NAME_CHARS)).filter(|name| !name.is_empty())
}

fn stated_recipients<'a>(
    message: &'a Message<'_>,
    fields: &'static [HeaderName<'static>],
) -> impl Iterator<Item = String> + 'a {
    message
        .root_part()
        .headers
        .iter()
        .filter(|header| fields.contains(&header.name))
        .filter_map(
            |header| if let HeaderValue::Address(address) = &header.value { Some(address) } else { None },
        )
        .flat_map(|address| address.iter())
        .filter_map(|found| found.address().map(str::to_owned))
}

fn delivered_to(headers: &[(String, String)]) -> impl Iterator<Item = String> {
    headers
        .iter()
        .filter(|(name, _)| matches!(name.as_str(), "delivered-to" | "x-original-to"))
        .map(|(_, value)| value.trim_matches(['<', '>']).to_owned())
}

/// The addresses among the texts, each once.
fn unique(texts: impl Iterator<Item = String>) -> Vec<EmailAddress> {
    let mut all = Vec::new();
    for address in texts.take(MAX_PARTS).filter_map(|text| EmailAddress::parse(&text).ok()) {
        if !all.contains(&address) {
            all.push(address);
        }
    }
    all
}

/// What machines write: reports of delivery (RFC 3464, RFC 6533), of reading (RFC 8098), of abuse (RFC 5965), answers of
/// calendars (RFC 5546, section 1.4), and what stands for a press on a button. Headers, calendars and what somebody passes
/// on within another mail may be files that a person sends.
fn of_machine(part: &MessagePart<'_>) -> Option<&'static str> {
    let kind = part.content_type()?;
    let stated = format!("{}/{}", kind.ctype(), kind.subtype().unwrap_or_default()).to_ascii_lowercase();
    if REPORTS.contains(&stated.as_str()) {
        return Some(IS_REPORT);
    }
    if part.content_disposition().is_some_and(ContentType::is_attachment) {
        return None;
    }
    match stated.as_str() {
        "text/rfc822-headers" | "message/global-headers" => Some(IS_REPORT),
        "text/vnd.google.email-reaction+json" => Some("somebody reacted with a button"),
        "text/calendar" if answers(kind) => Some("a calendar wrote it (RFC 5546)"),
        _ => None,
    }
}

const IS_REPORT: &str = "it is a report (RFC 6522)";
const REPORTS: [&str; 5] = [
    "message/delivery-status",
    "message/disposition-notification",
    "message/feedback-report",
    "message/global-delivery-status",
    "message/global-disposition-notification",
];

/// Whether a calendar tells of what somebody pressed. What invites may be a mail of a person.
fn answers(calendar: &ContentType<'_>) -> bool {
    let method = calendar.attribute("method").unwrap_or_default().to_ascii_uppercase();
    matches!(method.trim(), "REPLY" | "CANCEL" | "COUNTER" | "DECLINECOUNTER" | "REFRESH")
}

/// The files of a mail, and what was attached to mails that came along whole.
fn attached(message: &Message<'_>) -> Vec<AttachedFile> {
    let mut files = Vec::new();
    let mut within: Vec<&Message<'_>> = Vec::new();
    for part in body::files(message) {
        files.push(file(part));
        within.extend(message_of(part));
    }
    let within_pages = attachment::embedded(message).into_iter();
    files.extend(within_pages.map(|picture| AttachedFile {
        name: None,
        size_bytes: picture.bytes.len(),
        is_meant: picture.is_shown && picture.bytes.len() > attachment::MAX_LOGO_BYTES,
    }));
    while let Some(message) = within.pop() {
        for part in message.attachments().take(MAX_PARTS.saturating_sub(files.len())) {
            if part.content_disposition().is_some_and(ContentType::is_attachment) {
                files.push(file(part));
            }
            within.extend(message_of(part));
        }
    }
    files
}

fn file(part: &MessagePart<'_>) -> AttachedFile {
    AttachedFile {
        name: part.attachment_name().map(|name| one_line(name, 200)),
        size_bytes: part.len(),
        is_meant: attachment::is_meant(part),
    }
}

fn message_of<'a, 'x>(part: &'a MessagePart<'x>) -> Option<&'a Message<'x>> {
    if let PartType::Message(message) = &part.body { Some(message) } else { None }
}

/// With one space between words, as a signature sees it (RFC 6376, section 3.4.2).
fn spaced(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Text without line breaks and other control characters, at most so long.
fn one_line(said: &str, max_chars: usize) -> String {
    text::one_line(said).trim().chars().take(max_chars).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &[u8] = b"From: Scott <Scott@Example.org>\r\nTo: amelia@hermes.example\r\nSubject: Opening\r\n hours\r\nMessage-ID: <a@b>\r\n\r\nWe open at 9.\r\n";

    fn author_of(header: &str) -> Author {
        read(format!("{header}\r\nSubject: x\r\n\r\nhello").as_bytes()).unwrap().author
    }

    #[test]
    fn a_plain_mail_is_read() {
        let mail = read(PLAIN).unwrap();
        assert_eq!(mail.author, Author::One(EmailAddress::parse("scott@example.org").unwrap()));
        assert_eq!(mail.subject, "Opening hours");
        assert_eq!(mail.message_id.as_deref(), Some("a@b"));
        assert_eq!(mail.text.trim(), "We open at 9.");
        assert_eq!(mail.recipients, [EmailAddress::parse("amelia@hermes.example").unwrap()]);
    }

    #[test]
    fn what_is_not_a_mail_is_said_to_be_none() {
        for junk in [&b""[..], b"hello", b"{\"type\":\"test\"}", b"\0\xff\xfe", b"a: b\n\nc", b"\r\n\r\n"] {
            assert!(matches!(read(junk), Err(Unreadable::NotAMail(_))), "{junk:?}");
        }
        assert_eq!(read(&vec![b'x'; MAX_RAW_BYTES + 1]), Err(Unreadable::TooLarge(MAX_RAW_BYTES + 1)));
    }

    #[test]
    fn only_one_from_with_one_address_is_an_author() {
        assert!(matches!(author_of("From: a@b.c"), Author::One(_)));
        assert_eq!(author_of("To: a@b.c"), Author::Absent);
        for unclear in [
            "From: a@b.c\r\nFrom: d@e.f",
            "From: a@b.c\r\nfRom: d@e.f",
            "From: a@b.c, d@e.f",
            "From: nobody",
            "From: <>",
            "From: people: a@b.c, d@e.f;",
        ] {
            assert!(matches!(author_of(unclear), Author::Unclear(_)), "{unclear}");
        }
    }

    #[test]
    fn a_display_name_that_looks_like_an_address_is_only_a_name() {
        assert_eq!(
            author_of("From: \"Owner <owner@site.org>\" <attacker@evil.org>"),
            Author::One(EmailAddress::parse("attacker@evil.org").unwrap())
        );
    }

    #[test]
    fn characters_that_no_queue_takes_are_left_out() {
        let raw = "From: a@b.c\r\nSubject: x\u{ffff}y\r\n\r\none\u{1}\u{fffe}\ttwo\u{1f600}\r\n";
        let mail = read(raw.as_bytes()).unwrap();
        assert_eq!((mail.subject.as_str(), mail.text.trim()), ("xy", "one\ttwo\u{1f600}"));
        let encoded = b"From: a@b.c\r\nSubject: =?utf-8?Q?=1B[31mred?=\r\n\r\nhello";
        assert_eq!(read(encoded).unwrap().subject, "[31mred");
    }

    #[test]
    fn a_header_that_can_be_read_in_two_ways_is_none() {
        let two = Err(Unreadable::NotAMail("its header can be read in two ways"));
        for field in
            ["F rom: a@b.c", ":From: a@b.c", "T\to: a@b.c", "Su bject: x", "C c: a@b.c", "Con tent-Type: a/b"]
        {
            let raw = format!("From: a@b.c\r\nX-Y: z\r\n{field}\r\n\r\nhello");
            assert_eq!(read(raw.as_bytes()), two, "{field}");
        }
        for field in [
            "Cc : a@b.c",
            "Cc\t: a@b.c",
            "Subject :y",
            "Date : Sat, 3 Mar 2026 10:00 UT",
            "In-Reply-To : <a@b>",
        ] {
            let raw = format!("{field}\r\nFrom: a@b.c\r\n\r\nhello");
            assert!(read(raw.as_bytes()).is_ok(), "{field}");
            for signature in ["DKIM-Signature", "dkim-signature ", "ARC-Message-Signature"] {
                assert_eq!(read(format!("{signature}: v=1\r\n{raw}").as_bytes()), two, "{field}");
            }
        }
        for field in [
            "X Y: z",
            "From the list: x",
            "From me at 10:00",
            ">From: x",
            "X-Y : z",
            "Date: Sat, 3 Mar 2026 10:00 UT",
        ] {
            let raw = format!("{field}\r\nFrom: a@b.c\r\n\r\nhello");
            assert!(read(raw.as_bytes()).is_ok(), "{field}");
        }
    }
}
