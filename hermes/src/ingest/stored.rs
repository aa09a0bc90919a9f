//! Mails that a mail service put among our own objects and only tells of (SES over S3). What a notice says about their place
//! is held against the one place where they may lie before anything is read; then they go the way of every mail.

use bytes::Bytes;
use common::cloud::files::At;
use common::cloud::{CloudError, Result};
use common::domain::names::INBOUND_MAIL_PREFIX;

use super::origins::Pointer;
use super::record::{MailRecord, Origin};
use super::verify::Word;
use super::{Arrival, accept};
use crate::app::App;
use crate::mail::MAX_RAW_BYTES;

/// A place at which nothing is read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotOurs {
    /// Somebody else's bucket.
    #[error("it says that a mail lies in the bucket {0:?}; mails are read from {1} only")]
    Bucket(String, String),
    /// Not where mails are put.
    #[error("it says that a mail lies at {0:?}; mails are read below {1} only")]
    Key(String, &'static str),
}

/// Takes these mails, each like one that came itself, with what whoever told of them says besides; the same ones again change
/// nothing. Nothing is read unless all lie where they may. One that is not there yet is an error that may be tried again: the notice was faster.
pub async fn take(
    app: &App,
    pointers: &[Pointer],
    origin: Origin,
    says: impl Fn(Word) -> Word,
) -> Result<std::result::Result<Vec<MailRecord>, NotOurs>> {
    let bucket = app.cloud.files.objects_bucket().await?;
    let places: std::result::Result<Vec<At>, NotOurs> =
        pointers.iter().map(|pointer| place(pointer, &bucket)).collect();
    let places = match places {
        Ok(places) => places,
        Err(not_ours) => return Ok(Err(not_ours)),
    };
    let mut records = Vec::new();
    for (pointer, at) in pointers.iter().zip(places) {
        let arrival = Arrival { raw: read(app, &at).await?, origin, word: says(pointer.word()) };
        records.push(accept(app, arrival).await?.record);
    }
    Ok(Ok(records))
}

/// Where a mail may be read, by what a notice says.
fn place(pointer: &Pointer, bucket: &str) -> std::result::Result<At, NotOurs> {
    if pointer.bucket != bucket {
        return Err(NotOurs::Bucket(pointer.bucket.clone(), bucket.to_owned()));
    }
    let at = At::object(&pointer.key);
    if pointer.key.starts_with(INBOUND_MAIL_PREFIX) && at.is_legal() {
        Ok(at)
    } else {
        Err(NotOurs::Key(pointer.key.clone(), INBOUND_MAIL_PREFIX))
    }
}

/// One byte more than a mail may have is enough to see that it has too many.
async fn read(app: &App, at: &At) -> Result<Bytes> {
    let found = app.cloud.files.read_range(at, 0, MAX_RAW_BYTES + 1).await?;
    let missing = || CloudError::unavailable("read a mail", format!("nothing lies at {} yet", at.key));
    found.map(|part| part.bytes).ok_or_else(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(bucket: &str, key: &str) -> std::result::Result<At, NotOurs> {
        place(&Pointer { bucket: bucket.into(), key: key.into(), receipt: None }, "ours")
    }

    #[test]
    fn mails_are_read_at_one_place_only() {
        assert_eq!(at("ours", "mail/inbound/m1"), Ok(At::object("mail/inbound/m1")));
        assert_eq!(at("ours", "mail/inbound/by-rule/m1"), Ok(At::object("mail/inbound/by-rule/m1")));
        for bucket in ["theirs", "Ours", "ours ", "ours/mail", ""] {
            assert!(matches!(at(bucket, "mail/inbound/m1"), Err(NotOurs::Bucket(..))), "{bucket:?}");
        }
        for key in [
            "mail/raw/m1",
            "mail/inbound/",
            "mail/inbound",
            "mail/inbound/../raw/m1",
            "mail/inbound//m1",
            "mail/inbound/./m1",
            "/mail/inbound/m1",
            "Mail/inbound/m1",
            "mail/inbound/\0",
            "mail/inbound\\m1",
            "",
        ] {
            assert!(matches!(at("ours", key), Err(NotOurs::Key(..))), "{key:?}");
        }
    }
}
