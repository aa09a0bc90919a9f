//! Which services may bring something into an environment: SES mails into the private bucket, SNS and S3 notices onto the email
//! queue, each from this account only. Our statements are known by their Sid; what else a policy says stays.

use serde_json::{Value, json};

use super::Ground;
use crate::cloud::{CloudError, Result};
use crate::domain::names::INBOUND_MAIL_PREFIX;

/// SES may put mails where hermes reads them (as Amazon's "Giving permissions to Amazon SES for email receiving" has it).
pub(super) async fn of_bucket(ground: &Ground, bucket: &str) -> Result<Vec<Value>> {
    let (names, account) = (&ground.names, ground.names.account().await?);
    let (partition, region) = (names.partition(), names.region());
    Ok(vec![json!({
        "Sid": "HermesMailFromSes",
        "Effect": "Allow",
        "Principal": {"Service": "ses.amazonaws.com"},
        "Action": "s3:PutObject",
        "Resource": format!("arn:{partition}:s3:::{bucket}/{INBOUND_MAIL_PREFIX}*"),
        "Condition": {
            "StringEquals": {"aws:SourceAccount": account},
            "StringLike": {"aws:SourceArn": format!("arn:{partition}:ses:{region}:{account}:receipt-rule-set/*")},
        },
    })])
}

/// Topics whose names begin with the prefix, and the private bucket, may put notices on the email queue.
pub(super) async fn of_email_queue(ground: &Ground, queue_arn: &str) -> Result<Vec<Value>> {
    let (names, account) = (&ground.names, ground.names.account().await?);
    let (partition, region, prefix) = (names.partition(), names.region(), names.prefix.as_str());
    let bucket = names.objects_bucket().await?;
    let sends = |sid: &str, service: &str, source: String| {
        json!({
            "Sid": sid,
            "Effect": "Allow",
            "Principal": {"Service": service},
            "Action": "sqs:SendMessage",
            "Resource": queue_arn,
            "Condition": {
                "StringEquals": {"aws:SourceAccount": account},
                "StringLike": {"aws:SourceArn": source},
            },
        })
    };
    let topics = format!("arn:{partition}:sns:{region}:{account}:{prefix}-*");
    Ok(vec![
        sends("HermesNoticesFromSns", "sns.amazonaws.com", topics),
        sends("HermesNoticesFromS3", "s3.amazonaws.com", format!("arn:{partition}:s3:::{bucket}")),
    ])
}

/// Whether a policy says all of this.
pub(super) fn says(policy: Option<&str>, ours: &[Value]) -> bool {
    let found = policy.and_then(|text| serde_json::from_str::<Value>(text).ok()).unwrap_or_default();
    let statements = statements(&found);
    ours.iter().all(|wanted| statements.contains(wanted))
}

/// The policy with these statements in the place of older ones of the same Sid.
pub(super) fn with(policy: Option<&str>, ours: &[Value]) -> Result<String> {
    let unreadable = |error| CloudError::Invalid(format!("the policy that is there cannot be read: {error}"));
    let empty = || Ok(json!({"Version": "2012-10-17"}));
    let mut document: Value = policy.map_or_else(empty, serde_json::from_str).map_err(unreadable)?;
    let mut all = statements(&document);
    all.retain(|there| !ours.iter().any(|new| new["Sid"] == there["Sid"]));
    all.extend_from_slice(ours);
    document["Statement"] = all.into();
    Ok(document.to_string())
}

/// A policy has a list of statements, or a single one.
fn statements(policy: &Value) -> Vec<Value> {
    match policy.get("Statement") {
        Some(Value::Array(all)) => all.clone(),
        Some(one @ Value::Object(_)) => vec![one.clone()],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_of_others_stay_and_older_ones_of_ours_go() {
        let theirs = json!({"Sid": "Theirs", "Effect": "Deny"});
        let old = json!({"Sid": "HermesMailFromSes", "Effect": "Allow", "Action": "s3:*"});
        let new = json!({"Sid": "HermesMailFromSes", "Effect": "Allow", "Action": "s3:PutObject"});
        let before = json!({"Version": "2012-10-17", "Id": "kept", "Statement": [theirs, old]}).to_string();
        assert!(!says(Some(&before), std::slice::from_ref(&new)) && !says(None, std::slice::from_ref(&new)));
        let after = with(Some(&before), std::slice::from_ref(&new)).unwrap();
        assert!(says(Some(&after), &[theirs, new.clone()]));
        let after: Value = serde_json::from_str(&after).unwrap();
        assert_eq!((after["Statement"].as_array().unwrap().len(), &after["Id"]), (2, &json!("kept")));
        let alone = with(Some(&json!({"Statement": old}).to_string()), std::slice::from_ref(&new)).unwrap();
        assert!(says(Some(&alone), &[new]));
        assert!(with(Some("{"), &[]).is_err());
    }
}
