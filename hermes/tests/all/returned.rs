//! Mails of ours that come back: seen at the mail that they answered, and nobody is written to who takes no mail.

use std::time::Duration;

use axum::http::StatusCode;
use common::cloud::failing::{Calls, Fate, Operation, When};
use common::cloud::queue::{Depth, Outgoing};
use common::domain::names::Queue;
use hermes::ingest::queue::take;
use hermes::outbox::{OutboxRecord, OutboxState};
use serde_json::{Value, json};

use crate::support::{World, mail, text};

/// What SES says about the answer to a command, by event publishing.
fn event(command: &str, kind: &str, more: &Value) -> Value {
    let mut event = json!({"eventType": kind, "mail": {"messageId": "0100-a", "source": "hermes@localhost",
        "destination": ["scott@example.org"], "tags": {"hermes-mail": [format!("answer-{command}")]}}});
    event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    event
}

fn bounce(command: &str, kind: &str) -> Value {
    let who = json!([{"emailAddress": "scott@example.org", "action": "failed", "status": "5.1.1",
        "diagnosticCode": "smtp; 550 user unknown"}]);
    let bounce = json!({"bounceType": kind, "bounceSubType": "General", "bouncedRecipients": who});
    event(command, "Bounce", &json!({"bounce": bounce}))
}

fn complaint(command: &str, kind: &str) -> Value {
    let complaint = json!({"complaintFeedbackType": kind, "complainedRecipients": [{"emailAddress": "scott@example.org"}]});
    event(command, "Complaint", &json!({"complaint": complaint}))
}

/// A mail whose work is done; its command and its own id.
async fn done(world: &World, id: &str) -> (String, String) {
    let accepted = world.accepted(mail(id, "change 7 to 8")).await;
    let command = text(&accepted, "commandId").to_owned();
    world.report(world.result(&command).await.to_json()).await;
    (command, text(&accepted, "mailId").to_owned())
}

/// Brings what SES says over a topic to the email queue, and lets hermes handle it.
async fn told(world: &World, event: &Value) -> common::cloud::Result<()> {
    let body = json!({"Type": "Notification", "MessageId": "n", "Message": event.to_string()}).to_string();
    world.cloud().queues.send(&Queue::Email, Outgoing::standard(body)).await.unwrap();
    let mut batch = world.cloud().queues.receive(&Queue::Email, 10, Duration::ZERO).await.unwrap();
    take(&world.app, &batch.remove(0)).await
}

async fn unreached(world: &World, mail: &str) -> Option<String> {
    let (status, answer) = world.call("GET", &format!("/v1/mails/{mail}"), None).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    answer["ownerNotReached"].as_str().map(str::to_owned)
}

async fn list(world: &World) -> Vec<Value> {
    let (status, answer) = world.call("GET", "/v1/suppressions", None).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    answer["suppressions"].as_array().unwrap().clone()
}

async fn state(world: &World, command: &str) -> OutboxState {
    let key = format!("answer-{command}");
    world.cloud().store.load::<OutboxRecord>(&key).await.unwrap().unwrap().value.state
}

#[tokio::test]
async fn an_address_that_takes_no_mail_is_written_to_no_more_until_an_operator_says_so() {
    let world = World::with_scott().await;
    let (command, first) = done(&world, "1").await;
    assert_eq!((world.outbox().len(), unreached(&world, &first).await), (1, None));
    for _ in 0..2 {
        told(&world, &bounce(&command, "Permanent")).await.unwrap();
    }
    let why = unreached(&world, &first).await.unwrap();
    assert!(why.contains("bounced") && why.contains("550 user unknown"), "{why}");
    let entries = list(&world).await;
    assert_eq!(entries.len(), 1, "the same again changes nothing");
    assert_eq!((text(&entries[0], "address"), text(&entries[0], "reason")), ("scott@example.org", "bounced"));
    assert_eq!(text(&entries[0], "mailId"), first);

    let (command, second) = done(&world, "2").await;
    assert_eq!((world.outbox().len(), state(&world, &command).await), (1, OutboxState::Suppressed));
    let why = unreached(&world, &second).await.unwrap();
    assert!(why.contains("was not sent: scott@example.org is written to no more"), "{why}");

    let path = "/v1/suppressions/Scott@Example.org";
    assert_eq!(world.call("DELETE", path, None).await.0, StatusCode::NO_CONTENT);
    assert_eq!(world.call("DELETE", path, None).await.0, StatusCode::NOT_FOUND);
    let (command, third) = done(&world, "3").await;
    assert_eq!((world.outbox().len(), state(&world, &command).await), (2, OutboxState::Sent));
    assert_eq!((unreached(&world, &third).await, list(&world).await.len()), (None, 0));
}

#[tokio::test]
async fn a_reader_who_complains_is_written_to_no_more_and_one_who_does_the_contrary_is() {
    let world = World::with_scott().await;
    let (command, mail) = done(&world, "1").await;
    told(&world, &complaint(&command, "not-spam")).await.unwrap();
    assert_eq!((unreached(&world, &mail).await, list(&world).await.len()), (None, 0));
    told(&world, &complaint(&command, "abuse")).await.unwrap();
    assert!(unreached(&world, &mail).await.unwrap().contains("reported as spam"));
    assert_eq!(text(&list(&world).await[0], "reason"), "complained");
}

#[tokio::test]
async fn a_bounce_of_this_time_is_seen_and_later_mails_go() {
    let world = World::with_scott().await;
    let (command, mail) = done(&world, "1").await;
    for kind in ["Transient", "Undetermined"] {
        told(&world, &bounce(&command, kind)).await.unwrap();
    }
    assert!(unreached(&world, &mail).await.unwrap().contains("this time"));
    assert!(list(&world).await.is_empty());
    done(&world, "2").await;
    assert_eq!(world.outbox().len(), 2);
}

#[tokio::test]
async fn what_is_about_no_mail_of_ours_or_about_one_that_went_well_changes_nothing() {
    let world = World::with_scott().await;
    let (command, mail) = done(&world, "1").await;
    told(&world, &bounce("another", "Permanent")).await.unwrap();
    told(&world, &event(&command, "Delivery", &json!({"delivery": {}}))).await.unwrap();
    told(&world, &json!({"notificationType": "AmazonSnsSubscriptionSucceeded", "message": "x"}))
        .await
        .unwrap();
    assert_eq!((unreached(&world, &mail).await, list(&world).await.len()), (None, 0));
    let depth = world.cloud().queues.depth(&Queue::Email).await.unwrap();
    assert_eq!((depth, world.drain(&Queue::EmailDead).await.len()), (Depth::default(), 0));
}

#[tokio::test]
async fn what_comes_before_the_mail_is_written_down_as_sent_comes_again() {
    let world = World::with_scott_and_time().await;
    world.plan.add(Calls::Of(Operation::SendMail), When::Always, Fate::FailBefore);
    let (command, mail) = done(&world, "1").await;
    world.plan.heal();
    let early = told(&world, &bounce(&command, "Permanent")).await.unwrap_err();
    assert!(early.is_retryable(), "{early}");
    assert_eq!((unreached(&world, &mail).await, state(&world, &command).await), (None, OutboxState::Pending));
}

#[tokio::test]
async fn a_mail_is_known_by_what_its_carrier_calls_it_too() {
    let world = World::with_scott().await;
    let (command, mail) = done(&world, "1").await;
    let carried = "0100-b@eu-west-1.amazonses.com";
    hermes::returned::note_carried(&world.app, carried, &format!("answer-{command}")).await.unwrap();
    let mut notice = bounce(&command, "Permanent");
    notice["mail"] = json!({"messageId": "0100-b"});
    notice["notificationType"] = notice.as_object_mut().unwrap().remove("eventType").unwrap();
    told(&world, &notice).await.unwrap();
    assert!(unreached(&world, &mail).await.is_some());
}
