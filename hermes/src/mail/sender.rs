//! Who wrote it, and what shows that they did. The value that is checked here is the value that is used later.

use common::domain::ids::EmailAddress;
use common::domain::outcome::MailEnding;

use super::parse::{Author, ParsedMail};
use super::trace::{Stage, Trace};

/// What is known about the genuineness of the stated author.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authenticity {
    /// The operator trusts everybody who can reach us (`HERMES_TRUST=all`, loopback only).
    Vouched,
    /// Nothing was verified.
    Unverified,
}

/// The one author, if it is shown that they wrote it.
pub fn sender(
    mail: &ParsedMail,
    authenticity: Authenticity,
    trace: &mut Trace,
) -> Result<EmailAddress, MailEnding> {
    let address = match &mail.author {
        Author::One(address) => address,
        Author::Absent => {
            trace.note(Stage::Sender, "it has no From field");
            return Err(MailEnding::Malformed);
        }
        Author::Unclear(reason) => {
            trace.note(Stage::Sender, format!("its author is not clear: {reason}"));
            return Err(MailEnding::Unauthenticated);
        }
    };
    match authenticity {
        Authenticity::Vouched => {
            trace.note(Stage::Sender, format!("{address}, taken at their word because HERMES_TRUST=all"));
            Ok(address.clone())
        }
        Authenticity::Unverified => {
            trace.note(
                Stage::Sender,
                format!(
                    "{address} was not verified: this version cannot check SPF, DKIM or DMARC yet; \
                     on a machine that only you can reach, set HERMES_TRUST=all"
                ),
            );
            Err(MailEnding::Unauthenticated)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender_of(from: &str, authenticity: Authenticity) -> Result<EmailAddress, MailEnding> {
        let raw = format!("{from}Subject: x\r\n\r\nhello");
        sender(&crate::mail::read(raw.as_bytes()).unwrap(), authenticity, &mut Trace::default())
    }

    #[test]
    fn nobody_is_believed_without_a_voucher() {
        assert_eq!(sender_of("From: a@b.c\r\n", Authenticity::Unverified), Err(MailEnding::Unauthenticated));
        assert_eq!(sender_of("From: A <A@b.c>\r\n", Authenticity::Vouched).unwrap().as_str(), "a@b.c");
    }

    #[test]
    fn an_unclear_author_is_nobody_even_with_a_voucher() {
        assert_eq!(
            sender_of("From: a@b.c, d@e.f\r\n", Authenticity::Vouched),
            Err(MailEnding::Unauthenticated)
        );
        assert_eq!(sender_of("", Authenticity::Vouched), Err(MailEnding::Malformed));
    }
}
