//! What the loops over queues do while something behind them does not answer: a queue counts how often a message was
//! received, and gives up on one that nobody could work off.

use std::time::Duration;

use common::cloud::failing::{Calls, Door, Fate, Operation, When};
use common::cloud::files::{At, IfMatch};
use common::cloud::queue::{Depth, Outgoing};
use common::domain::names::Queue;
use hermes::feed::{Feed, Then};
use hermes::ingest::queue::{run, take};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::support::{World, mail, text, until};

const NOTHING: Depth = Depth { visible: 0, in_flight: 0, delayed: 0 };

async fn depth(world: &World, queue: &Queue) -> Depth {
    world.cloud().queues.depth(queue).await.unwrap()
}

async fn put(world: &World, body: String) {
    world.cloud().queues.send(&Queue::Email, Outgoing::standard(body)).await.unwrap();
}

#[tokio::test]
async fn s82_mails_that_come_while_tables_or_files_are_out_of_reach_for_hours_get_their_endings_after() {
    for (door, asked) in [(Door::Store, Operation::GetRow), (Door::Files, Operation::PutFile)] {
        let world = World::with_scott().await;
        let stop = CancellationToken::new();
        let running = tokio::spawn(run(world.app.clone(), stop.clone()));
        until("it has begun", async || world.plan.count(Operation::Receive, Fate::Pass) == 1).await;
        world.plan.add(Calls::Through(door), When::Always, Fate::FailBefore);
        for id in 1..=12 {
            put(&world, mail(&id.to_string(), "change 7 to 8")).await;
        }
        until("unready", async || !world.app.health.failing().is_empty()).await;
        let received = world.plan.count(Operation::Receive, Fate::Pass);
        for hour in 0..3 {
            let tried = world.plan.count(asked, Fate::FailBefore);
            world.clock.advance(Duration::from_hours(1));
            until("asked again", async || world.plan.count(asked, Fate::FailBefore) > tried).await;
            assert_eq!(world.plan.count(Operation::Receive, Fate::Pass), received, "{door:?}, hour {hour}");
        }
        world.plan.heal();
        until("all are worked off", async || depth(&world, &Queue::Email).await == NOTHING).await;
        assert_eq!(depth(&world, &Queue::EmailDead).await, NOTHING, "{door:?}");
        assert_eq!(world.works("amelia#scott").await.len(), 12, "{door:?}");
        until("well", async || world.app.health.failing().is_empty()).await;
        stop.cancel();
        running.await.unwrap();
    }
}

#[tokio::test]
async fn whoever_starts_in_an_outage_receives_nothing_before_it_is_over() {
    let world = World::with_scott().await;
    world.plan.add(Calls::Through(Door::Store), When::Always, Fate::FailBefore);
    put(&world, mail("1", "change 7 to 8")).await;
    let stop = CancellationToken::new();
    let running = tokio::spawn(run(world.app.clone(), stop.clone()));
    until("asked again", async || world.plan.count(Operation::GetRow, Fate::FailBefore) > 2).await;
    assert_eq!(world.plan.count(Operation::Receive, Fate::Pass), 0);
    assert!(!world.app.health.failing().is_empty());
    world.plan.heal();
    until("it is worked off", async || depth(&world, &Queue::Email).await == NOTHING).await;
    assert_eq!(world.works("amelia#scott").await.len(), 1);
    stop.cancel();
    running.await.unwrap();
}

/// Receives the one message and tries it; what is to be done next, if it comes at all.
async fn tried(world: &World, feed: &mut Feed) -> Option<Then> {
    let mut batch = world.cloud().queues.receive(&Queue::Email, 10, Duration::ZERO).await.unwrap();
    let delivery = batch.pop()?;
    let error = take(&world.app, &delivery).await.expect_err("its mail is not there");
    Some(feed.failed(&delivery, &error).await)
}

#[tokio::test]
async fn a_message_with_trouble_of_its_own_has_an_hour_before_people_have_to_look_at_it() {
    let world = World::with_scott().await;
    let bucket = world.cloud().files.objects_bucket().await.unwrap();
    let object = json!({"bucket": {"name": bucket}, "object": {"key": "mail/inbound/m1"}});
    put(
        &world,
        json!({"Records": [{"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": object}]})
            .to_string(),
    )
    .await;
    let mut feed = Feed::new(world.app.clone(), Queue::Email, "email queue", CancellationToken::new());
    assert_eq!(tried(&world, &mut feed).await, Some(Then::GoOn));
    world.clock.advance(Duration::from_mins(2));
    assert_eq!(tried(&world, &mut feed).await, Some(Then::GoOn), "soon the first time");
    world.clock.advance(Duration::from_mins(59));
    assert_eq!(tried(&world, &mut feed).await, None, "later the second time");
    world.clock.advance(Duration::from_mins(1));
    assert_eq!(tried(&world, &mut feed).await, Some(Then::GoOn));
    assert_eq!(depth(&world, &Queue::Email).await, NOTHING);
    let dead = world.drain(&Queue::EmailDead).await;
    let [dead] = dead.as_slice() else { panic!("{dead:?}") };
    assert!(dead.attributes["reason"].contains("nothing lies at mail/inbound/m1 yet"), "{dead:?}");
    // Its mail came at last: people put the message back.
    world
        .cloud()
        .files
        .put(&At::object("mail/inbound/m1"), mail("1", "x").into(), IfMatch::Any)
        .await
        .unwrap();
    put(&world, dead.body.clone()).await;
    let again = world.cloud().queues.receive(&Queue::Email, 1, Duration::ZERO).await.unwrap().remove(0);
    take(&world.app, &again).await.unwrap();
    assert_eq!(text(&world.works("amelia#scott").await[0], "instruction"), "x");
}
