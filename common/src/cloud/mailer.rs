//! The door for outgoing mail.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::{CloudError, Result};
use crate::domain::ids::EmailAddress;

/// A finished mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutgoingMail {
    /// One per mail we ever mean to send: 1 to 100 of `[A-Za-z0-9_-]`. Where the carrier allows it, a second send with
    /// the same key changes nothing.
    pub dedup_key: String,
    /// The envelope's recipient.
    pub to: EmailAddress,
    /// The message (RFC 5322).
    pub bytes: Bytes,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Where the sent mail can be found (a path on the local cloud), for people.
    pub place: String,
    /// The Message-ID the carrier really used, when it is not ours; without angle brackets.
    pub message_id: Option<String>,
}

/// Whether mail can go out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ready {
    /// It can; who carries it.
    Yes(String),
    /// It stays on this machine: where.
    StaysHere(String),
    /// Somebody has to do something first: what.
    NotYet(String),
}

/// The door.
#[async_trait]
pub trait Mailer: Send + Sync {
    /// Sends one mail to one recipient.
    async fn send(&self, mail: &OutgoingMail) -> Result<Sent>;

    /// Whether a mail from this address could go out now. Nothing is sent. An error says that this is not known, or why the
    /// carrier does not let us in.
    async fn ready(&self, from: &EmailAddress) -> Result<Ready>;

    /// How long sending may take at most; after that nobody is at it any more.
    fn longest(&self) -> Duration;

    /// Whether its mails leave this machine.
    fn goes_out(&self) -> bool;
}

/// What can be the key of a mail.
pub(super) fn check_key(dedup_key: &str) -> Result<()> {
    let legal = (1..=100).contains(&dedup_key.len())
        && dedup_key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if legal {
        Ok(())
    } else {
        let shown: String = dedup_key.chars().take(100).collect();
        Err(CloudError::Invalid(format!(
            "the mail key {shown:?} is not 1 to 100 letters, digits, '-' or '_'"
        )))
    }
}
