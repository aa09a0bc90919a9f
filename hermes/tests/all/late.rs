//! Work that takes longer is acknowledged: once, late, and never at the cost of the work.

use std::time::Duration;

use common::cloud::failing::{Calls, Fate, Operation, When};
use hermes::sweep::Sweeper;

use crate::support::{World, mail, text};

fn words(sent: &str) -> String {
    hermes::mail::read(sent.as_bytes()).unwrap().text
}

async fn sweep_after(world: &World, wait: Duration) {
    world.clock.advance(wait);
    Sweeper::new(world.app.clone()).sweep().await;
}

#[tokio::test]
async fn work_done_within_three_minutes_is_not_acknowledged() {
    let world = World::with_scott().await;
    let order = world.accepted(mail("1", "change 7 to 8")).await;
    sweep_after(&world, Duration::from_secs(179)).await;
    assert!(world.outbox().is_empty());
    world.report(world.result(text(&order, "commandId")).await.to_json()).await;
    sweep_after(&world, Duration::from_mins(5)).await;
    assert_eq!(world.outbox().len(), 1, "the answer");
}

#[tokio::test]
async fn work_that_takes_longer_is_acknowledged_once_and_still_answered() {
    let world = World::with_scott().await;
    let order = world.accepted(mail("1", "change 7 to 8")).await;
    for _ in 0..4 {
        sweep_after(&world, Duration::from_mins(3)).await;
    }
    let sent = world.outbox();
    assert_eq!(sent.len(), 1);
    assert!(words(&sent[0]).contains("Your mail has arrived"), "{}", sent[0]);
    let id = text(&order, "mailId");
    assert_eq!(world.mail(id).await.reply_message_id, None, "that was not the answer");
    world.report(world.result(text(&order, "commandId")).await.to_json()).await;
    assert_eq!(world.outbox().len(), 2);
    assert!(world.mail(id).await.reply_message_id.is_some());
}

#[tokio::test]
async fn s10_an_acknowledgement_that_cannot_be_sent_is_tried_again_alone() {
    let world = World::with_scott().await;
    let order = world.accepted(mail("1", "change 7 to 8")).await;
    world.plan.add(Calls::Of(Operation::SendMail), When::Always, Fate::FailBefore);
    for _ in 0..3 {
        sweep_after(&world, Duration::from_mins(4)).await;
    }
    assert!(world.outbox().is_empty());
    assert!(world.job(text(&order, "commandId")).await.is_open());
    world.plan.heal();
    sweep_after(&world, Duration::from_mins(11)).await;
    assert_eq!(world.outbox().len(), 1);
    assert_eq!(world.works("amelia#scott").await.len(), 1, "exactly one work message");
}

#[tokio::test]
async fn an_acknowledgement_that_no_carrier_took_is_not_sent_behind_the_answer() {
    let world = World::with_scott().await;
    let order = world.accepted(mail("1", "change 7 to 8")).await;
    world.plan.add(Calls::Of(Operation::SendMail), When::Always, Fate::FailBefore);
    sweep_after(&world, Duration::from_mins(4)).await;
    world.report(world.result(text(&order, "commandId")).await.to_json()).await;
    world.plan.heal();
    sweep_after(&world, Duration::from_mins(11)).await;
    let sent = world.outbox();
    assert_eq!(sent.len(), 1, "{sent:?}");
    assert!(words(&sent[0]).contains("Your site was changed."), "{}", sent[0]);
    assert_eq!(world.mail(text(&order, "mailId")).await.unreached, None);
}

#[tokio::test]
async fn s21_a_reply_that_only_quotes_the_acknowledgement_continues_its_conversation() {
    let world = World::with_scott().await;
    let order = world.accepted(mail("1", "change 7 to 8")).await;
    sweep_after(&world, Duration::from_mins(4)).await;
    let quoted: Vec<String> = words(&world.outbox()[0]).lines().map(|line| format!("> {line}")).collect();
    let quoted = quoted.join("\r\n");
    let reply = mail("2", &format!("Thanks, and the title too please\r\n\r\n{quoted}"));
    let reply = world.accepted(reply).await;
    assert_eq!(reply["threadId"], order["threadId"]);
    assert_ne!(reply["commandId"], order["commandId"]);
}
