//! Mail by SES as an account is set up for it (docs/mail-on-aws.md): real objects, topics and notices at the endpoint, a real
//! hermes. SES itself is played: it would put the mail there and publish these very notices.

use e2e::api::Api;
use e2e::mail::Letter;
use e2e::wait;
use serde_json::{Value, json};

use super::stage::{LIMIT, OWNER, Stage};
use super::{pass, text};

/// The mails that hermes has, once there are so many with an ending.
async fn mails(api: &Api, count: usize) -> Vec<Value> {
    wait::until("mails with an ending", LIMIT, || async {
        let all = api.get("/v1/mails").await?["mails"].as_array().cloned().unwrap_or_default();
        let ended = all.len() == count && all.iter().all(|mail| mail["ending"].is_string());
        Ok(ended.then_some(all))
    })
    .await
    .unwrap()
}

/// What SES publishes once it has put a mail there.
fn notice(bucket: &str, key: &str) -> String {
    let passed = json!({"status": "PASS"});
    let action = json!({"type": "S3", "bucketName": bucket, "objectKey": key});
    json!({"notificationType": "Received", "mail": {"messageId": "m"}, "receipt": {"action": action,
        "spfVerdict": passed, "dkimVerdict": passed, "dmarcVerdict": passed}})
    .to_string()
}

fn help(id: &str) -> Letter {
    Letter::new(OWNER, id, "help")
}

/// Over a topic, and over a notice of S3 alone: both come through the policies that provisioning made.
#[tokio::test]
async fn mails_that_ses_puts_into_s3_arrive_and_answers_that_bounce_are_seen() {
    let mut stage = Stage::new("direct", pass).await;
    let api = stage.start_hermes().await;
    stage.bakery().await;
    let topic = stage.topic_to_email_queue("mail").await;
    let bucket = stage.objects_bucket();

    stage.put(&bucket, "mail/inbound/one", help("One").to_bytes()).await;
    stage.publish(&topic, &notice(&bucket, "mail/inbound/one")).await;
    let first = mails(&api, 1).await.remove(0);
    assert_eq!((text(&first, "ending"), text(&first, "origin")), ("command-done", "queue"), "{first}");

    stage.notify_email_queue_of(&bucket, "mail/inbound/").await;
    stage.put(&bucket, "mail/inbound/two", help("Two").to_bytes()).await;
    assert_eq!(mails(&api, 2).await.len(), 2, "the answer of S3 itself was enough");

    let answered = api.answered(text(&first, "mailId"), LIMIT).await.unwrap();
    let carried = text(&answered, "replyMessageId").split('@').next().unwrap().to_owned();
    let bounce = json!({"notificationType": "Bounce", "bounce": {"bounceType": "Permanent", "bounceSubType": "General",
        "bouncedRecipients": [{"emailAddress": OWNER, "status": "5.1.1"}]}, "mail": {"messageId": carried}});
    stage.publish(&topic, &bounce.to_string()).await;
    let path = format!("/v1/mails/{}", text(&first, "mailId"));
    let why = wait::until("the mark of a bounce", LIMIT, || async {
        Ok(api.get(&path).await?["ownerNotReached"].as_str().map(str::to_owned))
    })
    .await
    .unwrap();
    assert!(why.contains("bounced"), "{why}");
    let suppressed = api.get("/v1/suppressions").await.unwrap();
    assert_eq!(suppressed["suppressions"][0]["address"], OWNER, "{suppressed}");

    let before = stage.sent().await.len();
    stage.put(&bucket, "mail/inbound/three", help("Three").to_bytes()).await;
    let last = mails(&api, 3).await.remove(0);
    let why = text(&last, "ownerNotReached");
    assert!(why.contains("was not sent"), "{last}");
    assert_eq!(stage.sent().await.len(), before, "SES was asked for nothing");
    stage.world.stop().await.unwrap();
}
