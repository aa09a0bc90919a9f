//! What is kept about each inbound mail: a row of the mails table.

use common::cloud::store::{Key, Record, Table};
use common::domain::ids::{CommandId, EmailAddress, MailId, ProjectUser, ThreadId};
use common::domain::language::Language;
use common::domain::names::{ContentHash, RECORDS_KEPT};
use common::domain::outcome::{JobOutcome, MailEnding};
use common::domain::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::mail::ParsedMail;
use crate::mail::dkim::OwnSignatures;
use crate::mail::trace::Trace;
use crate::mail::verdict::Evidence;

/// The partition of the sparse `open` index.
pub const OPEN: &str = "1";
/// The most recipients and references that are kept.
const MAX_LISTED: usize = 20;

/// On which way a mail came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// Posted to the API.
    Http,
    /// Received from the email queue.
    Queue,
    /// Posted by Postmark.
    Postmark,
    /// Posted by Mailgun.
    Mailgun,
    /// Posted by SendGrid.
    Sendgrid,
    /// Posted by SNS.
    Sns,
    /// Given on the command line.
    CommandLine,
}

/// A row of the mails table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MailRecord {
    /// The same for every delivery of the same mail.
    pub mail_id: MailId,
    /// The day it came, UTC.
    pub day: String,
    /// When it came first; copies that were not shown to be genuine do not count once one is.
    pub received_at: Timestamp,
    /// `"1"` until it has an ending: the partition of the index that the sweep reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open: Option<String>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ending: Option<MailEnding>,
    /// On which way it came.
    pub origin: Origin,
    /// What showed who wrote it when it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
    /// Whether less than everything showed, when it was decided, that its author wrote it to us. Rows of old do not tell.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub doubted: bool,
    /// Who says they wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender: Option<EmailAddress>,
    /// To whom.
    pub recipients: Vec<EmailAddress>,
    /// One line; may be empty.
    pub subject: String,
    /// Its Message-ID without angle brackets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// The mails it refers to, oldest first.
    #[serde(default)]
    pub references: Vec<String>,
    /// Where its bytes lie among the objects.
    pub raw_key: String,
    /// How many they are.
    pub size_bytes: usize,
    /// The work it became; chosen before anything else was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command_id: Option<CommandId>,
    /// The conversation; chosen likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread_id: Option<ThreadId>,
    /// Whose work it became.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_key: Option<ProjectUser>,
    /// Which rule said what.
    pub trace: Trace,
    /// What its author reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<Language>,
    /// How its job ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<JobOutcome>,
    /// The Message-ID of our answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_message_id: Option<String>,
    /// Why its owner did not get what we wrote: what became of our mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreached: Option<String>,
    /// Until when the row is kept, in Unix seconds; garbage collection only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<i64>,
}

impl Record for MailRecord {
    const TABLE: Table = Table::Mails;
    type Id = MailId;
    fn key(id: &MailId) -> Key {
        Key::of(id)
    }
}

impl MailRecord {
    /// A mail without an ending, as far as its bytes tell.
    pub fn open(
        mail: Option<&ParsedMail>,
        raw_key: String,
        raw: &[u8],
        origin: Origin,
        at: Timestamp,
    ) -> Self {
        let references = mail.map(references).unwrap_or_default();
        Self {
            mail_id: mail.map_or_else(|| id_of(&[raw]), mail_id),
            day: at.day(),
            received_at: at,
            open: Some(OPEN.to_owned()),
            ending: None,
            origin,
            evidence: None,
            doubted: false,
            sender: mail.and_then(|mail| match &mail.author {
                crate::mail::parse::Author::One(address) => Some(address.clone()),
                _ => None,
            }),
            recipients: mail.map(|mail| listed(&mail.recipients)).unwrap_or_default(),
            subject: mail.map(|mail| mail.subject.clone()).unwrap_or_default(),
            message_id: mail.and_then(|mail| mail.message_id.clone()),
            references,
            raw_key,
            size_bytes: raw.len(),
            command_id: None,
            thread_id: None,
            project_key: None,
            trace: Trace::default(),
            language: None,
            outcome: None,
            reply_message_id: None,
            unreached: None,
            ttl: Some(at.ttl(RECORDS_KEPT)),
        }
    }

    /// Gives it its ending.
    pub fn end(&mut self, ending: MailEnding, trace: Trace) {
        self.open = None;
        self.ending = Some(ending);
        self.trace = trace;
    }
}

fn listed<T: Clone>(items: &[T]) -> Vec<T> {
    items[items.len().saturating_sub(MAX_LISTED)..].to_vec()
}

fn references(mail: &ParsedMail) -> Vec<String> {
    let chain: Vec<String> = mail.header("references").flat_map(crate::mail::thread::message_ids).collect();
    listed(&chain)
}

/// Recipient, Message-ID and body: what a second delivery of the same mail has in common with the first, whatever path it
/// took. Of what its author signed only that, as a signature sees it: whoever sends it again may change the rest.
fn mail_id(mail: &ParsedMail) -> MailId {
    let signed = OwnSignatures::of(mail);
    let recipients: Vec<&str> = recipients(mail, signed.as_ref()).map(EmailAddress::as_str).collect();
    let identity = identity(mail, signed.as_ref());
    let author = format!("{:?}", mail.author);
    id_of(&[
        recipients.join(",").as_bytes(),
        identity.as_bytes(),
        author.as_bytes(),
        spaced(&mail.subject).as_bytes(),
        mail.body_hash.as_str().as_bytes(),
    ])
}

/// To whom its author wrote: of a signed mail what is signed of To and Cc, which may be nothing.
fn recipients<'a>(
    mail: &'a ParsedMail,
    signed: Option<&OwnSignatures<'_>>,
) -> impl Iterator<Item = &'a EmailAddress> {
    let (to, cc, all) = signed.map_or((false, false, true), |own| (own.cover("to"), own.cover("cc"), false));
    let some = |addresses: &'a [EmailAddress], taken: bool| addresses.iter().filter(move |_| taken);
    some(&mail.to, to).chain(some(&mail.cc, cc)).chain(some(&mail.addressed, all))
}

/// What tells two mails with the same words apart: the Message-ID, where a signature leaves it out the date; without either
/// the whole header.
fn identity(mail: &ParsedMail, signed: Option<&OwnSignatures<'_>>) -> String {
    let date = mail.header("date").find(|date| !date.is_empty()).map(spaced);
    let date = date.map(|date| format!("date {date}"));
    if signed.is_some_and(|own| !own.cover("message-id")) {
        return date.unwrap_or_default();
    }
    let stated = mail.message_id.clone().or(date);
    stated.unwrap_or_else(|| format!("header {:?}", mail.headers))
}

/// With one space between words.
fn spaced(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// 32 hex digits of the hash of all parts, each behind its length.
fn id_of(parts: &[&[u8]]) -> MailId {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    let digits = hex::encode(&hash.finalize()[..16]);
    MailId::parse(&digits).unwrap_or_else(|_| unreachable!("32 hex digits are a mail id"))
}

/// The key of a raw mail among the objects.
pub fn raw_key(raw: &[u8]) -> String {
    common::domain::names::raw_mail_key(&ContentHash::of(raw))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(raw: &str) -> MailId {
        let mail = crate::mail::read(raw.as_bytes()).unwrap();
        MailRecord::open(Some(&mail), String::new(), raw.as_bytes(), Origin::Http, Timestamp::default())
            .mail_id
    }

    #[test]
    fn the_same_mail_on_another_path_is_the_same_mail() {
        let mail = "From: a@b.c\r\nTo: x@y.z\r\nMessage-ID: <1@b.c>\r\n\r\nhello";
        assert_eq!(id(mail), id(&format!("Received: by somebody\r\n{mail}")));
        assert_ne!(id(mail), id(&mail.replace("<1@", "<2@")));
        assert_ne!(id(mail), id(&mail.replace("hello", "hallo")));
        assert_ne!(id(mail), id(&mail.replace("x@y.z", "w@y.z")));
    }

    #[test]
    fn without_a_message_id_the_date_tells_mails_with_the_same_words_apart() {
        let mail = "From: a@b.c\r\nTo: x@y.z\r\nDate: Tue, 3 Mar 2026 10:00:00 +0000\r\n\r\npublish";
        assert_eq!(id(mail), id(mail));
        assert_eq!(id(mail), id(&format!("Received: by somebody\r\n{mail}")));
        assert_ne!(id(mail), id(&mail.replace("3 Mar", "4 Mar")));
        let bare = "From: a@b.c\r\nTo: x@y.z\r\n\r\npublish";
        assert_eq!(id(bare), id(bare));
        assert_ne!(id(bare), id(&format!("X-Mailer: another\r\n{bare}")));
        let broken = bare.replace("\r\n\r\n", "\r\nMessage-ID: none\r\nDate: today\r\n\r\n");
        assert_ne!(
            id(&broken),
            id(&broken.replace("today", "tomorrow")),
            "an id that is none does not count"
        );
    }

    #[test]
    fn of_a_signed_mail_only_what_is_signed_tells_it_from_another() {
        let signed = |fields: &str| {
            format!(
                "DKIM-Signature: v=1; d=b.c; h={fields}; b=x\r\nFrom: a@b.c\r\nTo: x@y.z\r\nSubject: one two\r\nDate: Tue, 3 Mar 2026 10:00:00 +0000\r\nMessage-ID: <1@b.c>\r\n\r\nhello you\r\n"
            )
        };
        let changes = [
            ("<1@", "<2@"),
            ("To: x@y.z", "To: x@y.z\r\nCc: w@y.z"),
            ("To: x@y.z", "Delivered-To: w@y.z\r\nTo: x@y.z"),
            ("one two", "one  two"),
            ("hello you", "hello \t you "),
            ("Date: Tue, 3", "Date: Tue,  3"),
        ];
        let mail = signed("from:to:subject:date");
        for (from, to) in changes {
            assert_eq!(id(&mail), id(&mail.replace(from, to)), "{to:?}");
        }
        for (from, to) in [("hello", "hallo"), ("10:00:00", "10:00:01"), ("x@y.z", "w@y.z"), ("a@b", "d@b")] {
            assert_ne!(id(&mail), id(&mail.replace(from, to)), "{to:?}");
        }
        let unaddressed = signed("from:subject:date:message-id");
        assert_eq!(
            id(&unaddressed),
            id(&unaddressed.replace("x@y.z", "w@y.z")),
            "whom it goes to is not signed"
        );
        let whole = signed("from:to:cc:subject:date:message-id");
        for (from, to) in &changes[..2] {
            assert_ne!(id(&whole), id(&whole.replace(from, to)), "signed: {to:?}");
        }
    }

    #[test]
    fn the_ends_of_lines_do_not_make_another_mail() {
        let mail = "From: a@b.c\r\nTo: x@y.z\r\nMessage-ID: <1@b.c>\r\n\r\none\r\n\r\ntwo";
        for ending in ["", "\r\n", "\r\n\r\n", "\n"] {
            let again = format!("{mail}{ending}");
            assert_eq!(id(mail), id(&again), "{ending:?}");
            assert_eq!(id(mail), id(&again.replace("\r\n", "\n")), "{ending:?}");
        }
        assert_ne!(id(mail), id(&mail.replace("one\r\n\r\ntwo", "one\r\ntwo")));
    }

    #[test]
    fn a_hop_does_not_make_another_mail_but_another_mailbox_does() {
        let mail = "From: a@b.c\r\nTo: x@y.z\r\nMessage-ID: <1@b.c>\r\n\r\nhello";
        let forwarded = format!("Delivered-To: v@y.z\r\nX-Original-To: w@y.z\r\n{mail}");
        assert_eq!(id(mail), id(&forwarded));
        let blind = |mailbox: &str| {
            format!("Delivered-To: {mailbox}\r\nFrom: a@b.c\r\nMessage-ID: <1@b.c>\r\n\r\nhello")
        };
        assert_ne!(id(&blind("x@y.z")), id(&blind("w@y.z")), "blind copies to two mailboxes are two orders");
        assert_eq!(id(&blind("x@y.z")), id(&format!("Delivered-To: v@y.z\r\n{}", blind("x@y.z"))));
    }

    #[test]
    fn an_ending_takes_it_off_the_list_of_open_mails() {
        let mut record = MailRecord::open(None, "k".into(), b"x", Origin::Queue, Timestamp::default());
        assert_eq!(serde_json::to_value(&record).unwrap()["open"], OPEN);
        record.end(MailEnding::Malformed, Trace::default());
        assert!(serde_json::to_value(&record).unwrap().get("open").is_none());
    }
}
