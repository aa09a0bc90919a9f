//! Amazon SES about a mail that we sent: bounces and complaints, as identity notifications (`notificationType`) and by event
//! publishing (`eventType`) have them.

use common::domain::text;
use serde_json::Value;

use super::NoMail;

/// The tag by which we know the mail; it comes back with event publishing only.
const KEY_TAG: &str = "hermes-mail";
/// What a mail server said is cut after so many characters.
const MAX_DETAIL_CHARS: usize = 300;
/// Other events, of which nothing follows for a mail.
const WITHOUT_CONSEQUENCE: [&str; 9] = [
    "AmazonSnsSubscriptionSucceeded",
    "Send",
    "Delivery",
    "DeliveryDelay",
    "Open",
    "Click",
    "Subscription",
    "Rendering Failure",
    "RenderingFailure",
];
/// How SES begins the note by which it tries a topic for event publishing; it is no JSON.
const TOPIC_TEST: &str = "Successfully validated SNS topic for Amazon SES event publishing";

/// What became of a mail after SES took it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feedback {
    /// What SES calls the mail.
    pub ses_id: String,
    /// What we called it when we gave it to SES.
    pub key: Option<String>,
    /// What happened.
    pub fate: Fate,
    /// What the receiving side said, as one line; may be empty.
    pub detail: String,
}

/// What happened to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The address takes no mail, now and later.
    BouncedForGood,
    /// It could not be delivered this time: a full mailbox, a mail that is too large, a server that is away.
    BouncedThisTime,
    /// Its reader calls it spam.
    Complained,
    /// SES would not send it.
    Rejected,
}

impl Fate {
    /// As a sentence goes on after "the mail".
    pub fn words(self) -> &'static str {
        match self {
            Self::BouncedForGood => "bounced: the address takes no mail",
            Self::BouncedThisTime => "bounced: it could not be delivered this time",
            Self::Complained => "was reported as spam by its reader",
            Self::Rejected => "was rejected by SES",
        }
    }
}

/// What an event of SES says about a mail of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// Something follows from it.
    Feedback(Feedback),
    /// Nothing follows from it.
    Nothing,
}

/// Whether this text is the note by which SES tries a topic.
pub fn is_topic_test(text: &str) -> bool {
    text.starts_with(TOPIC_TEST)
}

/// Reads an event about a mail of ours; none when it is about something else.
pub fn read(value: &Value) -> Result<Option<Said>, NoMail> {
    let word = |field: &str| value.get(field).and_then(Value::as_str);
    let Some(kind) = word("eventType").or(word("notificationType")) else { return Ok(None) };
    let (fate, detail) = match kind {
        "Bounce" => (bounce(value), said_by_server(value)),
        "Complaint" => match complaint(value) {
            Some(detail) => (Fate::Complained, detail),
            None => return Ok(Some(Said::Nothing)),
        },
        "Reject" => (Fate::Rejected, text_at(value, "/reject/reason").to_owned()),
        other if WITHOUT_CONSEQUENCE.contains(&other) => return Ok(Some(Said::Nothing)),
        _ => return Ok(None),
    };
    let ses_id = text_at(value, "/mail/messageId");
    if ses_id.is_empty() {
        return Err(NoMail("feedback of SES that does not say about which mail"));
    }
    let key = value.pointer(&format!("/mail/tags/{KEY_TAG}/0")).and_then(Value::as_str);
    Ok(Some(Said::Feedback(Feedback {
        ses_id: ses_id.to_owned(),
        key: key.map(str::to_owned),
        fate,
        detail: text::one_line(&detail.split_whitespace().collect::<Vec<_>>().join(" "))
            .chars()
            .take(MAX_DETAIL_CHARS)
            .collect(),
    })))
}

/// Only what is permanent says something about later mails.
fn bounce(value: &Value) -> Fate {
    match text_at(value, "/bounce/bounceType") {
        "Permanent" => Fate::BouncedForGood,
        _ => Fate::BouncedThisTime,
    }
}

fn said_by_server(value: &Value) -> String {
    let kind = text_at(value, "/bounce/bounceSubType");
    let status = text_at(value, "/bounce/bouncedRecipients/0/status");
    let said = text_at(value, "/bounce/bouncedRecipients/0/diagnosticCode");
    [kind, status, said].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The kind of a complaint (RFC 5965, section 7.3); none when it says the contrary.
fn complaint(value: &Value) -> Option<String> {
    let kind = text_at(value, "/complaint/complaintFeedbackType");
    let sub = text_at(value, "/complaint/complaintSubType");
    (kind != "not-spam").then(|| if kind.is_empty() { sub } else { kind }.to_owned())
}

fn text_at<'a>(value: &'a Value, path: &str) -> &'a str {
    value.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fate(value: &Value) -> Option<Fate> {
        match read(value) {
            Ok(Some(Said::Feedback(feedback))) => Some(feedback.fate),
            other => {
                assert_eq!(other, Ok(Some(Said::Nothing)), "{value}");
                None
            }
        }
    }

    #[test]
    fn a_bounce_says_which_mail_and_what_the_server_said() {
        let event = json!({"eventType": "Bounce", "bounce": {"bounceType": "Permanent", "bounceSubType": "General",
            "bouncedRecipients": [{"emailAddress": "scott@example.org", "action": "failed", "status": "5.1.1",
                "diagnosticCode": "smtp; 550 5.1.1\r\n user unknown"}]},
            "mail": {"messageId": "0100-a", "tags": {"hermes-mail": ["answer-c-1"], "ses:from-domain": ["x"]}}});
        let wanted = Feedback {
            ses_id: "0100-a".into(),
            key: Some("answer-c-1".into()),
            fate: Fate::BouncedForGood,
            detail: "General 5.1.1 smtp; 550 5.1.1 user unknown".into(),
        };
        assert_eq!(read(&event), Ok(Some(Said::Feedback(wanted))));
    }

    #[test]
    fn only_permanent_bounces_are_for_good() {
        for (kind, wanted) in [
            ("Permanent", Fate::BouncedForGood),
            ("Transient", Fate::BouncedThisTime),
            ("Undetermined", Fate::BouncedThisTime),
            ("", Fate::BouncedThisTime),
        ] {
            let notice = json!({"notificationType": "Bounce", "bounce": {"bounceType": kind}, "mail": {"messageId": "1"}});
            assert_eq!(fate(&notice), Some(wanted), "{kind}");
        }
    }

    #[test]
    fn a_complaint_counts_unless_it_says_that_it_is_none() {
        for (kind, wanted) in [
            (json!("abuse"), Some(Fate::Complained)),
            (json!(null), Some(Fate::Complained)),
            (json!("not-spam"), None),
        ] {
            let notice = json!({"notificationType": "Complaint", "complaint": {"complaintFeedbackType": kind},
                "mail": {"messageId": "1"}});
            assert_eq!(fate(&notice), wanted, "{kind}");
        }
    }

    #[test]
    fn of_other_events_nothing_follows() {
        for kind in WITHOUT_CONSEQUENCE {
            assert_eq!(fate(&json!({"eventType": kind, "mail": {"messageId": "1"}})), None, "{kind}");
        }
        assert_eq!(read(&json!({"notificationType": "Received"})), Ok(None));
        assert_eq!(read(&json!({"eventType": "Surprise"})), Ok(None));
        assert!(read(&json!({"notificationType": "Bounce"})).is_err());
        assert!(is_topic_test("Successfully validated SNS topic for Amazon SES event publishing."));
    }
}
