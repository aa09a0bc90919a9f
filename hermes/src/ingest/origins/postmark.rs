//! Postmark's inbound webhook: JSON with the raw mail, which has to be switched on for the server ("Include raw email content
//! in JSON payload"). It is not signed; Postmark shows the user and password that stand in the webhook's address.

use serde::Deserialize;

use super::super::verify::Word;
use super::{Incoming, NoMail};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Payload {
    raw_email: Option<String>,
}

/// The mail in a payload.
pub fn read(payload: &[u8]) -> Result<Incoming, NoMail> {
    let payload: Payload =
        serde_json::from_slice(payload).map_err(|_| NoMail("the payload is not that of Postmark"))?;
    let raw = payload.raw_email.filter(|raw| !raw.is_empty()).ok_or(NoMail(
        "the payload has no RawEmail: switch on \"Include raw email content in JSON payload\" of the inbound stream",
    ))?;
    Ok(Incoming { raw: raw.into_bytes(), word: Word::Provider(None) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_raw_mail_is_taken_and_nothing_else() {
        let payload = br#"{"From": "a@b.c", "RawEmail": "From: a@b.c\r\n\r\nhello", "TextBody": "other"}"#;
        assert_eq!(read(payload).unwrap().raw, b"From: a@b.c\r\n\r\nhello");
        for none in [&b"{}"[..], b"{\"TextBody\": \"x\"}", b"[]", b"x", b"{\"RawEmail\": \"\"}"] {
            assert!(read(none).is_err());
        }
    }
}
