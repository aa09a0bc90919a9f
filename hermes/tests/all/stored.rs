//! Mails that SES puts among our objects: read where they may lie and nowhere else, taken like any other mail.

use std::time::Duration;

use axum::http::StatusCode;
use common::cloud::failing::{Calls, Fate, Operation, When};
use common::cloud::files::{At, IfMatch};
use common::cloud::queue::{Depth, Outgoing};
use common::domain::names::Queue;
use hermes::ingest::queue::take;
use serde_json::{Value, json};

use crate::support::{World, base64, mail, text};

/// A mail of scott's as SES writes it down, with its own results on top.
fn received(id: &str, dmarc: &str) -> String {
    let results = format!(
        "Authentication-Results: amazonses.com; spf=pass (x) client-ip=192.0.2.1; envelope-from=scott@example.org; helo=mx; dkim=pass header.i=@example.org; dmarc={} header.from=example.org;",
        dmarc.to_lowercase()
    );
    format!("{results}\r\n{}", mail(id, "change 7 to 8"))
}

/// What SES says about a received mail (`action` says where it went).
fn notice(dmarc: &str, action: &Value) -> Value {
    let verdict = |status: &str| json!({"status": status});
    json!({"notificationType": "Received", "mail": {"messageId": "m"}, "receipt": {"action": action,
        "spfVerdict": verdict("PASS"), "dkimVerdict": verdict("PASS"), "dmarcVerdict": verdict(dmarc)}})
}

fn at(bucket: &str, key: &str) -> Value {
    json!({"type": "S3", "bucketName": bucket, "objectKey": key})
}

fn created(bucket: &str, key: &str) -> Value {
    json!({"eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": bucket}, "object": {"key": key}}})
}

/// In the envelope that a queue gets from a topic.
fn by_topic(message: &Value) -> Value {
    json!({"Type": "Notification", "MessageId": "n", "TopicArn": "arn:aws:sns:us-east-1:1:webordinary-mail",
        "Message": message.to_string()})
}

async fn bucket(world: &World) -> String {
    world.cloud().files.objects_bucket().await.unwrap()
}

async fn store(world: &World, key: &str, raw: String) {
    world.cloud().files.put(&At::object(key), raw.into(), IfMatch::Any).await.unwrap();
}

async fn tell(world: &World, message: &Value) {
    world.cloud().queues.send(&Queue::Email, Outgoing::standard(message.to_string())).await.unwrap();
}

/// Handles the one message of the email queue.
async fn handle(world: &World) -> common::cloud::Result<()> {
    let mut batch = world.cloud().queues.receive(&Queue::Email, 10, Duration::ZERO).await.unwrap();
    assert_eq!(batch.len(), 1);
    take(&world.app, &batch.remove(0)).await
}

async fn waiting(world: &World) -> Depth {
    world.cloud().queues.depth(&Queue::Email).await.unwrap()
}

async fn endings(world: &World) -> Vec<String> {
    let (status, answer) = world.call("GET", "/v1/mails", None).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    answer["mails"].as_array().unwrap().iter().map(|mail| text(mail, "ending").to_owned()).collect()
}

#[tokio::test]
async fn s06_a_mail_in_s3_becomes_the_same_work_by_whatever_notice_it_is_told_of() {
    let key = "mail/inbound/by rule/m+1";
    let lambda = |bucket: &str| {
        let mut record = notice("PASS", &at(bucket, key));
        record.as_object_mut().unwrap().remove("notificationType");
        json!({"Records": [{"eventSource": "aws:ses", "ses": record}]})
    };
    let inline = || {
        let mut whole = notice("PASS", &json!({"type": "SNS", "encoding": "BASE64"}));
        whole["content"] = base64(received("1", "PASS").as_bytes()).into();
        by_topic(&whole)
    };
    for form in 0..6 {
        let world = World::with_scott().await;
        let bucket = bucket(&world).await;
        store(&world, key, received("1", "PASS")).await;
        let event = json!({"Records": [created(&bucket, "mail/inbound/by+rule/m%2B1")]});
        let told = match form {
            0 => by_topic(&notice("PASS", &at(&bucket, key))),
            1 => notice("PASS", &at(&bucket, key)),
            2 => lambda(&bucket),
            3 => event,
            4 => by_topic(&event),
            _ => inline(),
        };
        tell(&world, &told).await;
        handle(&world).await.unwrap();
        let works = world.works("amelia#scott").await;
        assert_eq!((works.len(), text(&works[0], "instruction")), (1, "change 7 to 8"), "{told}");
        assert_eq!(waiting(&world).await, Depth::default(), "{told}");
        let again = world.accepted(received("1", "PASS")).await;
        assert_eq!(text(&again, "commandId"), text(&works[0], "commandId"), "the same mail on another way");
    }
}

#[tokio::test]
async fn the_verdicts_of_ses_count_and_an_event_of_s3_has_none() {
    let world = World::verifying(&[], &[]).await;
    let bucket = bucket(&world).await;
    for (id, dmarc, wanted) in [("1", "PASS", "routed"), ("2", "FAIL", "unauthenticated")] {
        let key = format!("mail/inbound/{id}");
        store(&world, &key, received(id, dmarc)).await;
        tell(&world, &by_topic(&notice(dmarc, &at(&bucket, &key)))).await;
        handle(&world).await.unwrap();
        world.clock.advance(Duration::from_secs(1));
        assert_eq!(endings(&world).await[0], wanted);
    }
    // What stands in the mail itself could have been written by anybody.
    store(&world, "mail/inbound/3", received("3", "PASS")).await;
    tell(&world, &json!({"Records": [created(&bucket, "mail/inbound/3")]})).await;
    handle(&world).await.unwrap();
    assert_eq!(endings(&world).await[0], "unauthenticated");
    assert_eq!(world.works("amelia#scott").await.len(), 1);
}

#[tokio::test]
async fn several_mails_of_one_event_are_all_taken() {
    let world = World::with_scott_and_time().await;
    let bucket = bucket(&world).await;
    for id in ["1", "2", "3"] {
        store(&world, &format!("mail/inbound/{id}"), mail(id, &format!("change {id} to 8"))).await;
    }
    let records: Vec<Value> =
        ["1", "2", "3"].iter().map(|id| created(&bucket, &format!("mail/inbound/{id}"))).collect();
    tell(&world, &json!({"Records": records})).await;
    world.plan.add(Calls::Of(Operation::ReadRange), When::Nth(2), Fate::FailBefore);
    assert!(handle(&world).await.is_err(), "nothing is taken off the queue before all have their ending");
    world.plan.heal();
    take(&world.app, &again(&world).await).await.unwrap();
    assert_eq!(world.works("amelia#scott").await.len(), 3);
    assert_eq!(endings(&world).await, ["routed", "routed", "routed"], "the first was not taken twice");
}

/// The message of the email queue when it comes again.
async fn again(world: &World) -> common::cloud::queue::Delivery {
    world.pass(Duration::from_secs(121));
    world.cloud().queues.receive(&Queue::Email, 1, Duration::from_secs(5)).await.unwrap().remove(0)
}

#[tokio::test]
async fn of_a_place_that_is_not_ours_nothing_is_read_and_the_reason_is_kept() {
    let world = World::with_scott().await;
    let bucket = bucket(&world).await;
    store(&world, "mail/raw/m", mail("1", "change 7 to 8")).await;
    store(&world, "mail/inbound/m", mail("2", "change 7 to 9")).await;
    world.plan.add(Calls::Of(Operation::ReadRange), When::Always, Fate::FailBefore);
    world.plan.add(Calls::Of(Operation::GetFile), When::Always, Fate::FailBefore);
    for told in [
        by_topic(&notice("PASS", &at("somebody-elses", "mail/inbound/m"))),
        by_topic(&notice("PASS", &at(&bucket, "mail/raw/m"))),
        by_topic(&notice("PASS", &at(&bucket, "mail/inbound/../raw/m"))),
        json!({"Records": [created("somebody-elses", "mail/inbound/m")]}),
        json!({"Records": [created(&bucket, "mail/inbound/m"), created(&bucket, "transcripts/m")]}),
    ] {
        tell(&world, &told).await;
        handle(&world).await.unwrap();
        let dead = world.drain(&Queue::EmailDead).await;
        assert_eq!(dead.len(), 1, "{told}");
        let reason = &dead[0].attributes["reason"];
        assert!(reason.contains("mails are read") && dead[0].body.contains("mail"), "{reason}");
    }
    assert_eq!((endings(&world).await.len(), waiting(&world).await), (0, Depth::default()));
}

#[tokio::test]
async fn a_notice_that_is_faster_than_its_mail_comes_again() {
    let world = World::with_scott_and_time().await;
    let bucket = bucket(&world).await;
    tell(&world, &by_topic(&notice("PASS", &at(&bucket, "mail/inbound/m")))).await;
    let missing = handle(&world).await.unwrap_err();
    assert!(missing.is_retryable(), "{missing}");
    assert_eq!((endings(&world).await.len(), waiting(&world).await.in_flight), (0, 1), "it is not lost");
    store(&world, "mail/inbound/m", mail("1", "change 7 to 8")).await;
    take(&world.app, &again(&world).await).await.unwrap();
    assert_eq!((world.works("amelia#scott").await.len(), waiting(&world).await), (1, Depth::default()));
}

#[tokio::test]
async fn a_notice_stays_until_the_ending_of_its_mail_is_written() {
    let world = World::with_scott_and_time().await;
    let bucket = bucket(&world).await;
    store(&world, "mail/inbound/m", mail("1", "change 7 to 8")).await;
    tell(&world, &by_topic(&notice("PASS", &at(&bucket, "mail/inbound/m")))).await;
    world.plan.add(Calls::Of(Operation::Send), When::Always, Fate::FailBefore);
    assert!(handle(&world).await.is_err());
    world.plan.heal();
    assert_eq!(waiting(&world).await.in_flight, 1);
    take(&world.app, &again(&world).await).await.unwrap();
    assert_eq!((endings(&world).await, waiting(&world).await), (vec!["routed".to_owned()], Depth::default()));
}
