//! Amazon SES: the notice of a received mail, with the mail inside or with the place in S3 where it lies; and what became of
//! a mail that we sent.

use serde_json::Value;

use super::super::envelope::Opened;
use super::super::verify::Word;
use super::feedback::{self, Said};
use super::{Incoming, NoMail, Pointer, mime};
use crate::mail::verdict::{SesReceipt, SesVerdict};

/// The most mails one event tells of.
const MAX_RECORDS: usize = 10;

/// Reads a notice (`notificationType`) or an event of SES (`Records[].ses`); none when it is neither.
pub fn read(value: &Value) -> Result<Option<Opened>, NoMail> {
    match feedback::read(value)? {
        Some(Said::Feedback(feedback)) => return Ok(Some(Opened::Feedback(feedback))),
        Some(Said::Nothing) => return Ok(Some(Opened::Nothing)),
        None => {}
    }
    if let Some(kind) = value.get("notificationType").and_then(Value::as_str) {
        return match kind {
            "Received" => notice(value).map(Some),
            _ => Err(NoMail("a notice of SES about something else than a received mail")),
        };
    }
    let records = value.get("Records").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let events: Vec<&Value> = records.iter().filter_map(|record| record.get("ses")).collect();
    if events.is_empty() {
        return Ok(None);
    }
    if events.len() > MAX_RECORDS {
        return Err(NoMail("an event of SES about too many mails"));
    }
    let pointers: Result<Vec<Pointer>, NoMail> = events.into_iter().map(pointer).collect();
    Ok(Some(Opened::Stored(pointers?)))
}

fn notice(value: &Value) -> Result<Opened, NoMail> {
    let Some(content) = value.get("content").and_then(Value::as_str) else {
        return Ok(Opened::Stored(vec![pointer(value)?]));
    };
    let raw = match value.pointer("/receipt/action/encoding").and_then(Value::as_str) {
        Some(encoding) if encoding.eq_ignore_ascii_case("UTF8") => content.as_bytes().to_vec(),
        _ => mime(content),
    };
    let word = receipt(value).map_or(Word::Provider(None), Word::Ses);
    Ok(Opened::Mail(Incoming { raw, word }))
}

fn pointer(value: &Value) -> Result<Pointer, NoMail> {
    let text = |path: &str| value.pointer(path).and_then(Value::as_str).filter(|text| !text.is_empty());
    match (text("/receipt/action/bucketName"), text("/receipt/action/objectKey")) {
        (Some(bucket), Some(key)) => {
            Ok(Pointer { bucket: bucket.into(), key: key.into(), receipt: receipt(value) })
        }
        _ => Err(NoMail("a notice of SES without the mail and without its place in S3")),
    }
}

/// The verdicts; one that is missing says nothing.
fn receipt(value: &Value) -> Option<SesReceipt> {
    let receipt = value.get("receipt")?;
    let verdict = |name: &str| match receipt.get(name)?.get("status")?.as_str()? {
        "PASS" => Some(SesVerdict::Pass),
        "FAIL" => Some(SesVerdict::Fail),
        _ => Some(SesVerdict::Gray),
    };
    let said = |name: &str| verdict(name).unwrap_or(SesVerdict::Gray);
    Some(SesReceipt { spf: said("spfVerdict"), dkim: said("dkimVerdict"), dmarc: said("dmarcVerdict") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn received(action: &Value) -> Value {
        json!({"notificationType": "Received", "mail": {"messageId": "m1"}, "receipt": {
            "spfVerdict": {"status": "PASS"}, "dkimVerdict": {"status": "GRAY"}, "dmarcVerdict": {"status": "FAIL"},
            "action": action}})
    }

    #[test]
    fn a_notice_has_the_mail_or_its_place_and_the_verdicts() {
        let said = SesReceipt { spf: SesVerdict::Pass, dkim: SesVerdict::Gray, dmarc: SesVerdict::Fail };
        let mut inline = received(&json!({"type": "SNS", "encoding": "BASE64"}));
        inline["content"] = json!("RnJvbTogYUBiLmMNCg0KaGVsbG8=");
        let wanted = Incoming { raw: b"From: a@b.c\r\n\r\nhello".to_vec(), word: Word::Ses(said) };
        assert_eq!(read(&inline), Ok(Some(Opened::Mail(wanted))));
        let stored = received(&json!({"type": "S3", "bucketName": "b", "objectKey": "in/m1"}));
        let wanted = Pointer { bucket: "b".into(), key: "in/m1".into(), receipt: Some(said) };
        assert_eq!(read(&stored), Ok(Some(Opened::Stored(vec![wanted]))));
        assert!(read(&received(&json!({"type": "SNS"}))).is_err());
    }

    #[test]
    fn notices_of_other_things_are_no_mails() {
        assert!(read(&json!({"notificationType": "Complaint"})).is_err());
        assert_eq!(read(&json!({"content": "x"})), Ok(None));
    }
}
