//! SendGrid's Inbound Parse with "POST the raw, full MIME message": form fields, the raw mail in `email`, and the connection
//! on which it came. The whole body is signed (ECDSA over timestamp and body, by a security policy of the webhook).

use std::net::IpAddr;

use serde_json::Value;

use super::super::verify::{Smtp, Word};
use super::{Incoming, NoMail};

/// The names of the fields that matter.
pub const FIELDS: [&str; 3] = ["email", "sender_ip", "envelope"];

/// The fields that matter.
#[derive(Debug, Default)]
pub struct Form {
    email: Vec<u8>,
    sender_ip: Option<IpAddr>,
    mail_from: Option<String>,
}

impl Form {
    /// Takes a field; others are left out.
    pub fn take(&mut self, name: &str, value: Vec<u8>) {
        match name {
            "email" => self.email = value,
            "sender_ip" => self.sender_ip = String::from_utf8_lossy(&value).trim().parse().ok(),
            "envelope" => {
                let envelope = serde_json::from_slice::<Value>(&value).unwrap_or_default();
                self.mail_from = envelope.get("from").and_then(Value::as_str).map(str::to_owned);
            }
            _ => {}
        }
    }

    /// The mail.
    pub fn into_mail(self) -> Result<Incoming, NoMail> {
        if self.email.is_empty() {
            return Err(NoMail("there is no email field: switch on \"POST the raw, full MIME message\""));
        }
        let smtp = self.sender_ip.zip(self.mail_from);
        let smtp = smtp.map(|(ip, mail_from)| Smtp { ip, helo: String::new(), mail_from });
        Ok(Incoming { raw: self.email, word: Word::Provider(smtp) })
    }
}
