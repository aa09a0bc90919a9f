//! A letter becomes a message that mail programs thread under the mail it answers and that no machine answers.

use std::time::{Duration, SystemTime};

use common::domain::ids::EmailAddress;
use common::domain::timestamp::Timestamp;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message, MultiPart};

use super::Letter;

/// The most ids of earlier mails that a reply names.
const MAX_REFERENCES: usize = 20;

/// What is written around a letter.
#[derive(Debug, Clone)]
pub struct Envelope<'a> {
    /// Who we are.
    pub from: &'a Mailbox,
    /// Where a reply goes, when that is another address.
    pub reply_to: Option<&'a EmailAddress>,
    /// Whom we answer.
    pub to: &'a EmailAddress,
    /// Our own id, without angle brackets.
    pub message_id: &'a str,
    /// The mail we answer.
    pub in_reply_to: Option<&'a str>,
    /// What that mail referred to, oldest first.
    pub references: &'a [String],
    /// When it is written.
    pub at: Timestamp,
}

/// A letter that cannot become a message.
#[derive(Debug, thiserror::Error)]
pub enum Unwritable {
    /// We may not write to this address.
    #[error("no mail can be written to {0}: {1}")]
    Address(EmailAddress, lettre::address::AddressError),
    /// Something of the header is missing.
    #[error("the mail could not be put together: {0}")]
    Message(#[from] lettre::error::Error),
}

/// Puts the message together (RFC 5322; threading per section 3.6.4, automatic marks per RFC 3834).
pub fn compose(letter: &Letter, envelope: &Envelope<'_>) -> Result<String, Unwritable> {
    let to = mailbox(envelope.to)?;
    let millis = u64::try_from(envelope.at.millis()).unwrap_or(0);
    let mut message = Message::builder()
        .from(envelope.from.clone())
        .to(to)
        .date(SystemTime::UNIX_EPOCH + Duration::from_millis(millis))
        .message_id(Some(format!("<{}>", envelope.message_id)))
        .subject(&letter.subject)
        .raw_header(raw("Auto-Submitted", "auto-replied"))
        .raw_header(raw("X-Auto-Response-Suppress", "All"));
    if let Some(answered) = envelope.in_reply_to {
        message = message.in_reply_to(format!("<{answered}>")).references(references(envelope, answered));
    }
    if let Some(address) = envelope.reply_to {
        message = message.reply_to(mailbox(address)?);
    }
    let body = MultiPart::alternative_plain_html(letter.text.clone(), letter.html.clone());
    Ok(String::from_utf8_lossy(&message.multipart(body)?.formatted()).into_owned())
}

fn mailbox(address: &EmailAddress) -> Result<Mailbox, Unwritable> {
    let parsed = address.as_str().parse().map_err(|reason| Unwritable::Address(address.clone(), reason))?;
    Ok(Mailbox::new(None, parsed))
}

fn references(envelope: &Envelope<'_>, answered: &str) -> String {
    let from = envelope.references.len().saturating_sub(MAX_REFERENCES);
    let earlier = envelope.references[from..].iter().filter(|id| *id != answered);
    let ids: Vec<String> =
        earlier.map(String::as_str).chain([answered]).map(|id| format!("<{id}>")).collect();
    ids.join(" ")
}

fn raw(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn composed(subject: &str) -> String {
        let letter =
            Letter { subject: subject.into(), text: "Grüße\n".into(), html: "<p>Grüße</p>".into() };
        let from: Mailbox = "Hermes <hermes@localhost>".parse().unwrap();
        let to = EmailAddress::parse("scott@example.org").unwrap();
        let reply_to = EmailAddress::parse("hermes+abcdef.k@localhost").unwrap();
        let references = ["a@x".to_owned(), "b@x".to_owned()];
        compose(
            &letter,
            &Envelope {
                from: &from,
                reply_to: Some(&reply_to),
                to: &to,
                message_id: "k.c1@localhost",
                in_reply_to: Some("b@x"),
                references: &references,
                at: Timestamp::from_millis(1_700_000_000_000),
            },
        )
        .unwrap()
    }

    #[test]
    fn a_reply_threads_and_is_marked_as_automatic() {
        let message = composed("Re: Hours");
        for line in [
            "In-Reply-To: <b@x>\r\n",
            "References: <a@x> <b@x>\r\n",
            "Message-ID: <k.c1@localhost>\r\n",
            "Auto-Submitted: auto-replied\r\n",
            "X-Auto-Response-Suppress: All\r\n",
            "To: scott@example.org\r\n",
            "Reply-To: hermes+abcdef.k@localhost\r\n",
            "Date: Tue, 14 Nov 2023 22:13:20 +0000\r\n",
        ] {
            assert!(message.contains(line), "{line} in {message}");
        }
    }

    #[test]
    fn both_forms_are_read_back_and_it_counts_as_automatic() {
        let message = composed("Re: Öffnungszeiten");
        let mail = crate::mail::read(message.as_bytes()).unwrap();
        assert_eq!((mail.subject.as_str(), mail.text.trim()), ("Re: Öffnungszeiten", "Grüße"));
        assert!(mail.header("content-type").any(|kind| kind.starts_with("multipart/alternative")));
        let own = EmailAddress::parse("x@y.z").unwrap();
        let key = crate::secrets::SecretKey::fleeting();
        let desk = crate::mail::Desk { own: &own, places: &[], key: &key };
        assert!(crate::mail::screen::screen(&mail, desk, &mut crate::mail::trace::Trace::default()).is_err());
    }

    #[test]
    fn a_subject_cannot_add_a_header_field() {
        let message = composed("Re: x\r\nBcc: evil@example.org");
        let header = message.split("\r\n\r\n").next().unwrap();
        assert!(!header.lines().any(|line| line.starts_with("Bcc")), "{header}");
    }
}
