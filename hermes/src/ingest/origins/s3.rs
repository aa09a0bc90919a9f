//! Amazon S3: the event that says that an object was made (version 2.x of its record).

use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::{NoMail, Pointer};

/// The most objects one event tells of.
const MAX_RECORDS: usize = 10;

/// Whether it is the event that S3 sends when notifications are set up.
pub fn is_test(value: &Value) -> bool {
    value.get("Event").and_then(Value::as_str) == Some("s3:TestEvent")
}

/// The objects that were made; none when it is no event of S3.
pub fn read(value: &Value) -> Result<Option<Vec<Pointer>>, NoMail> {
    let Some(records) = value.get("Records").and_then(Value::as_array) else { return Ok(None) };
    if records.len() > MAX_RECORDS {
        return Err(NoMail("an event of S3 about too many objects"));
    }
    let made = records.iter().filter(|record| {
        let text = |field: &str| record.get(field).and_then(Value::as_str).unwrap_or_default();
        text("eventSource") == "aws:s3" && text("eventName").starts_with("ObjectCreated:")
    });
    let pointers: Option<Vec<Pointer>> = made.map(pointer).collect();
    match pointers {
        Some(pointers) if !pointers.is_empty() => Ok(Some(pointers)),
        _ => Err(NoMail("records that tell of no new object")),
    }
}

/// Keys are written like form fields: `+` is a space, the rest percent-encoded.
fn pointer(record: &Value) -> Option<Pointer> {
    let text = |path: &str| record.pointer(path).and_then(Value::as_str).filter(|text| !text.is_empty());
    let key = text("/s3/object/key")?.replace('+', " ");
    let key = percent_decode_str(&key).decode_utf8().ok()?.into_owned();
    Some(Pointer { bucket: text("/s3/bucket/name")?.to_owned(), key, receipt: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn record(event: &str, key: &str) -> Value {
        json!({"eventSource": "aws:s3", "eventName": event, "s3": {"bucket": {"name": "mails"}, "object": {"key": key}}})
    }

    #[test]
    fn a_new_object_is_a_place() {
        let event = json!({"Records": [record("ObjectCreated:Put", "in/Happy+Face%20%2B1.eml")]});
        let wanted = Pointer { bucket: "mails".into(), key: "in/Happy Face +1.eml".into(), receipt: None };
        assert_eq!(read(&event), Ok(Some(vec![wanted])));
        assert!(is_test(&json!({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "mails"})));
    }

    #[test]
    fn other_events_are_none() {
        assert!(read(&json!({"Records": [record("ObjectRemoved:Delete", "x")]})).is_err());
        assert!(read(&json!({"Records": []})).is_err());
        assert!(read(&json!({"Records": [record("ObjectCreated:Put", "")]})).is_err());
        assert_eq!(read(&json!({"content": "x"})), Ok(None));
    }
}
