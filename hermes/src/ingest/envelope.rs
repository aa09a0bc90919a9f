//! What a message of the email queue holds: raw MIME, `{"content": ...}` with raw or base64 MIME, a notice of SES or S3 about
//! a mail that came, what became of one that we sent, or any of these inside an SNS notification. Pure.

use serde_json::Value;

use super::origins::feedback::{self, Feedback};
use super::origins::{Incoming, NoMail, Pointer, mime, s3, ses};
use super::verify::Word;

/// How deep notifications may be wrapped.
const MAX_DEPTH: usize = 3;

/// What it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    /// The mail itself.
    Mail(Incoming),
    /// Where mails lie.
    Stored(Vec<Pointer>),
    /// What became of a mail that we sent.
    Feedback(Feedback),
    /// Nothing that anything follows from: a note that the notifications work, an event about a mail that went well.
    Nothing,
}

/// Opens a message.
pub fn open(body: &str) -> Result<Opened, NoMail> {
    unwrap(body, 0)
}

fn unwrap(body: &str, depth: usize) -> Result<Opened, NoMail> {
    if depth > MAX_DEPTH {
        return Err(NoMail("notifications are wrapped in each other without end"));
    }
    let Ok(value) = serde_json::from_str::<Value>(body) else {
        return if body.trim_start().starts_with('{') {
            Err(NoMail("it begins like JSON and is none"))
        } else if feedback::is_topic_test(body) {
            Ok(Opened::Nothing)
        } else {
            Ok(Opened::Mail(Incoming { raw: body.as_bytes().to_vec(), word: Word::Nothing }))
        };
    };
    let text = |field: &str| value.get(field).and_then(Value::as_str);
    match (text("Type"), text("Message")) {
        (Some("Notification"), Some(message)) => return unwrap(message, depth + 1),
        (Some(_), _) if text("content").is_none() => {
            return Err(NoMail("an SNS message that is no notification of a mail"));
        }
        _ => {}
    }
    if s3::is_test(&value) {
        return Ok(Opened::Nothing);
    }
    if let Some(opened) = ses::read(&value)? {
        return Ok(opened);
    }
    if let Some(pointers) = s3::read(&value)? {
        return Ok(Opened::Stored(pointers));
    }
    let content = text("content").ok_or(NoMail(
        "JSON without a mail; expected raw MIME, {\"content\": ...}, a notice of SES or S3, or an SNS notification",
    ))?;
    Ok(Opened::Mail(Incoming { raw: mime(content), word: Word::Nothing }))
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
            let wanted = Incoming { raw: MIME.as_bytes().to_vec(), word: Word::Nothing };
            assert_eq!(open(body), Ok(Opened::Mail(wanted)), "{body}");
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
            r#"{"notificationType":"Bounce","bounce":{}}"#,
            r#"{"Records":[{"eventSource":"aws:sqs"}]}"#,
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
