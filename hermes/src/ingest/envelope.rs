//! What a message of the email queue holds: raw MIME, `{"content": ...}` with raw or base64 MIME, or either of these inside
//! an SNS notification. Pure.

use mail_parser::decoders::base64::base64_decode;
use serde_json::Value;

/// JSON that holds no mail.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a mail: {0}")]
pub struct NoMail(&'static str);

/// How deep notifications may be wrapped.
const MAX_DEPTH: usize = 3;

/// The mail's bytes.
pub fn open(body: &str) -> Result<Vec<u8>, NoMail> {
    unwrap(body, 0)
}

fn unwrap(body: &str, depth: usize) -> Result<Vec<u8>, NoMail> {
    if depth > MAX_DEPTH {
        return Err(NoMail("notifications are wrapped in each other without end"));
    }
    let Ok(value) = serde_json::from_str::<Value>(body) else {
        return if body.trim_start().starts_with('{') {
            Err(NoMail("it begins like JSON and is none"))
        } else {
            Ok(body.as_bytes().to_vec())
        };
    };
    let text = |field: &str| value.get(field).and_then(Value::as_str);
    match (text("Type"), text("Message"), text("content")) {
        (Some("Notification"), Some(message), _) => unwrap(message, depth + 1),
        (_, _, Some(content)) => Ok(decoded(content)),
        (Some(_), _, None) => Err(NoMail("an SNS message that is no notification of a mail")),
        (None, _, None) => {
            Err(NoMail("JSON without a mail; expected raw MIME, {\"content\": ...} or an SNS notification"))
        }
    }
}

/// MIME has a colon in its first line, base64 has none anywhere.
fn decoded(content: &str) -> Vec<u8> {
    if !content.contains(':')
        && let Some(bytes) = base64_decode(content.as_bytes())
        && !bytes.is_empty()
    {
        return bytes;
    }
    content.as_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const MIME: &str = "From: a@b.c\r\n\r\nhello";
    const BASE64: &str = "RnJvbTogYUBiLmMNCg0KaGVsbG8=";

    #[test]
    fn every_wrapping_holds_the_same_bytes() {
        let content = json!({"content": MIME}).to_string();
        let encoded = json!({"content": BASE64}).to_string();
        let notified = json!({"Type": "Notification", "Message": encoded}).to_string();
        let raw_in_sns = json!({"Type": "Notification", "Message": MIME}).to_string();
        for body in [MIME, &content, &encoded, &notified, &raw_in_sns] {
            assert_eq!(open(body).unwrap(), MIME.as_bytes(), "{body}");
        }
    }

    #[test]
    fn json_without_a_mail_is_refused() {
        for body in [
            r#"{"type":"test"}"#,
            "{}",
            "[1]",
            "7",
            "\"text\"",
            r#"{"Type":"SubscriptionConfirmation","Message":"x"}"#,
            r#"{"broken"#,
        ] {
            assert!(open(body).is_err(), "{body}");
        }
    }

    #[test]
    fn endless_wrapping_has_an_end() {
        let mut body = json!({"content": MIME}).to_string();
        for _ in 0..6 {
            body = json!({"Type": "Notification", "Message": body}).to_string();
        }
        assert!(open(&body).is_err());
    }
}
