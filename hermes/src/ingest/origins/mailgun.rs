//! Mailgun's route to an address that ends in `mime`: form fields, the raw mail in `body-mime`. The signature covers a
//! timestamp and a token, which is taken once; the mail itself is judged by its own signatures.

use std::time::Duration;

use common::domain::timestamp::Timestamp;

use super::super::verify::Word;
use super::signed::{Shared, is_within};
use super::{Incoming, NoMail};

/// It sends again what was not taken, for eight hours, and may sign that only once. Shorter than tokens are kept.
const SIGNED_WITHIN: Duration = Duration::from_hours(12);

/// The fields that show who sends it.
pub const SIGNATURE: [&str; 3] = ["timestamp", "token", "signature"];
/// The field that is the mail.
pub const MAIL: [&str; 1] = ["body-mime"];

/// The fields that matter.
#[derive(Debug, Default)]
pub struct Form {
    /// Unix seconds.
    pub timestamp: String,
    /// 50 random characters.
    pub token: String,
    /// HMAC-SHA256 of the two, in hex.
    pub signature: String,
    /// The mail.
    pub body_mime: Vec<u8>,
}

impl Form {
    /// Takes a field; others are left out.
    pub fn take(&mut self, name: &str, value: Vec<u8>) {
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        match name {
            "timestamp" => self.timestamp = text(&value),
            "token" => self.token = text(&value),
            "signature" => self.signature = text(&value),
            "body-mime" => self.body_mime = value,
            _ => {}
        }
    }

    /// Whether Mailgun signed it, and lately.
    pub fn is_genuine(&self, key: &Shared, now: Timestamp) -> bool {
        is_within(&self.timestamp, now, SIGNED_WITHIN)
            && !self.token.is_empty()
            && key.signed(&[self.timestamp.as_bytes(), self.token.as_bytes()], &self.signature)
    }

    /// The mail.
    pub fn into_mail(self) -> Result<Incoming, NoMail> {
        if self.body_mime.is_empty() {
            return Err(NoMail("there is no body-mime: the route's address has to end in mime"));
        }
        Ok(Incoming { raw: self.body_mime, word: Word::Provider(None) })
    }
}
