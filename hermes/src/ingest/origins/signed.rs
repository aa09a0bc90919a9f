//! Secrets and signatures of those who bring mails: HMAC-SHA256 of a caller of ours and of Mailgun, user and password
//! (RFC 7617), the ECDSA signature of SendGrid.

use std::str::FromStr;
use std::time::Duration;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use common::domain::timestamp::Timestamp;
use hmac::{Hmac, KeyInit, Mac};
use mail_parser::decoders::base64::base64_decode;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// How far a caller's clock may be from ours, and how old a signed request may be.
const MAX_SKEW: Duration = Duration::from_mins(5);

/// A secret of the settings; never shown.
#[derive(Clone)]
pub struct Shared(String);

impl FromStr for Shared {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim().len() < 16 {
            return Err("a secret of at least 16 characters is needed".into());
        }
        Ok(Self(text.trim().to_owned()))
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shared(…)")
    }
}

impl Shared {
    /// Whether `tag`, in hex, is the HMAC-SHA256 of these parts in a row; takes the same time wherever they differ.
    pub fn signed(&self, parts: &[&[u8]], tag: &str) -> bool {
        let (Ok(tag), Ok(mut mac)) = (hex::decode(tag), Hmac::<Sha256>::new_from_slice(self.0.as_bytes()))
        else {
            return false;
        };
        for part in parts {
            mac.update(part);
        }
        mac.verify_slice(&tag).is_ok()
    }

    /// Whether an Authorization header shows these words (`user:password`) by the Basic scheme.
    pub fn shown_as_basic(&self, authorization: &str) -> bool {
        let Some((scheme, words)) = authorization.split_once(' ') else { return false };
        let shown = base64_decode(words.trim().as_bytes()).unwrap_or_default();
        let same: bool = Sha256::digest(shown).ct_eq(&Sha256::digest(&self.0)).into();
        scheme.eq_ignore_ascii_case("basic") && same
    }
}

/// Whether a time in Unix seconds is about now.
pub fn is_recent(unix_secs: &str, now: Timestamp) -> bool {
    is_within(unix_secs, now, MAX_SKEW)
}

/// Whether a time in Unix seconds is about now, or was, as long ago at most.
pub fn is_within(unix_secs: &str, now: Timestamp, longest: Duration) -> bool {
    let now = now.millis() / 1000;
    let age = unix_secs.parse::<i64>().ok().and_then(|secs| now.checked_sub(secs));
    age.is_some_and(|age| match u64::try_from(age) {
        Ok(past) => past <= longest.as_secs(),
        Err(_) => age.unsigned_abs() <= MAX_SKEW.as_secs(),
    })
}

/// SendGrid's public key, as its settings show it: SPKI in base64.
#[derive(Debug, Clone)]
pub struct EcdsaKey(Vec<u8>);

impl FromStr for EcdsaKey {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let der = base64_decode(text.trim().as_bytes()).unwrap_or_default();
        match x509_parser::prelude::FromDer::from_der(&der) {
            Ok((_, x509_parser::x509::SubjectPublicKeyInfo { subject_public_key, .. })) => {
                Ok(Self(subject_public_key.data.to_vec()))
            }
            Err(_) => Err("a public key in base64 is needed, as SendGrid shows it".into()),
        }
    }
}

impl EcdsaKey {
    /// Whether `signature`, in base64, is that of the timestamp and the body in a row.
    pub fn signed(&self, timestamp: &str, body: &[u8], signature: &str) -> bool {
        let Some(signature) = base64_decode(signature.as_bytes()) else { return false };
        let message = [timestamp.as_bytes(), body].concat();
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.0).verify(&message, &signature).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared(text: &str) -> Shared {
        text.parse().unwrap()
    }

    #[test]
    fn a_tag_needs_the_secret() {
        // RFC 4231, test case 2, with a secret of usual length instead of its "Jefe".
        let secret = shared("JefeJefeJefeJefe");
        let mut mac = Hmac::<Sha256>::new_from_slice(b"JefeJefeJefeJefe").unwrap();
        mac.update(b"what do ya want for nothing?");
        let tag = hex::encode(mac.finalize().into_bytes());
        assert!(secret.signed(&[b"what do ya want ", b"for nothing?"], &tag));
        assert!(!secret.signed(&[b"what do ya want for nothing!"], &tag));
        assert!(!secret.signed(&[b"what do ya want for nothing?"], &tag[..62]));
        assert!(!shared("anothersecret!!!").signed(&[b"what do ya want for nothing?"], &tag));
        assert!("short".parse::<Shared>().is_err());
    }

    #[test]
    fn user_and_password_are_shown_whole() {
        let secret = shared("hermes:open-sesame-1");
        assert!(secret.shown_as_basic("Basic aGVybWVzOm9wZW4tc2VzYW1lLTE="));
        for wrong in
            ["Basic aGVybWVzOm9wZW4=", "Bearer aGVybWVzOm9wZW4tc2VzYW1lLTE=", "Basic", "Basic ???", ""]
        {
            assert!(!secret.shown_as_basic(wrong), "{wrong}");
        }
    }

    #[test]
    fn old_and_future_requests_are_not_recent() {
        let now = Timestamp::parse("2026-03-03T10:00:00Z").unwrap();
        let secs = now.millis() / 1000;
        assert!(is_recent(&secs.to_string(), now) && is_recent(&(secs - 299).to_string(), now));
        for off in [secs - 301, secs + 301, 0, i64::MIN, i64::MAX] {
            assert!(!is_recent(&off.to_string(), now), "{off}");
        }
        assert!(!is_recent("now", now));
        let hour = Duration::from_hours(1);
        for (off, good) in [(-3600, true), (-3601, false), (300, true), (301, false)] {
            assert_eq!(is_within(&(secs + off).to_string(), now, hour), good, "{off}");
        }
    }
}
