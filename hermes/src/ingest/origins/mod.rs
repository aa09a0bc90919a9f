//! The ways on which mails come from elsewhere, as pure functions: what a service sends in, the mail's bytes and what is said
//! about its sender out. Signatures are checked here too, by well-kept crates; nothing here fetches anything.

pub mod feedback;
pub mod mailgun;
pub mod postmark;
pub mod s3;
pub mod sendgrid;
pub mod ses;
pub mod signed;
pub mod sns;

use mail_parser::decoders::base64::base64_decode;

use super::verify::Word;
use crate::mail::verdict::SesReceipt;

/// A message that holds no mail.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a mail: {0}")]
pub struct NoMail(pub &'static str);

/// A mail out of its envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming {
    /// Its bytes.
    pub raw: Vec<u8>,
    /// What is said about its sender.
    pub word: Word,
}

/// Where a mail lies in S3, for a cloud that can read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer {
    /// The bucket.
    pub bucket: String,
    /// The object.
    pub key: String,
    /// The verdicts of SES, if it is SES that says where it lies.
    pub receipt: Option<SesReceipt>,
}

impl Pointer {
    /// What is said about the sender of the mail that lies there.
    pub fn word(&self) -> Word {
        self.receipt.map_or(Word::Nothing, Word::Ses)
    }
}

/// MIME as text, or in base64: MIME has a colon in its first line, base64 has none anywhere.
pub(super) fn mime(content: &str) -> Vec<u8> {
    if !content.contains(':')
        && let Some(bytes) = base64_decode(content.as_bytes())
        && !bytes.is_empty()
    {
        return bytes;
    }
    content.as_bytes().to_vec()
}
