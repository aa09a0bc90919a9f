//! hermes dies, or an answer gets lost, at every single call of a mail's way. Afterwards there is one work, one job, one
//! ending, whatever was repeated.

use std::time::Duration;

use common::cloud::failing::{Calls, Fate, Operation, When};
use common::cloud::files::IfMatch;
use hermes::sweep::Sweeper;

use crate::support::{World, mail, text};

#[tokio::test]
async fn s80_a_mail_cut_short_between_acceptance_and_dispatch_is_dispatched_once() {
    let world = World::with_scott().await;
    world.plan.add(Calls::Of(Operation::Send), When::Always, Fate::FailBefore);
    world.post(mail("1", "change 7 to 8")).await;
    let (_, mails) = world.call("GET", "/v1/mails", None).await;
    let id = text(&mails["mails"][0], "mailId").to_owned();
    let chosen = world.mail(&id).await;
    assert!(chosen.ending.is_none());

    world.plan.heal();
    let sweeper = Sweeper::new(world.app.clone());
    sweeper.finish_open_mails().await.unwrap();
    assert!(world.mail(&id).await.ending.is_none(), "whoever is still at it is given time");
    world.clock.advance(Duration::from_secs(11));
    for _ in 0..3 {
        sweeper.finish_open_mails().await.unwrap();
    }
    let done = world.mail(&id).await;
    assert_eq!(done.ending, Some(common::domain::outcome::MailEnding::Routed));
    assert_eq!((done.command_id, done.thread_id), (chosen.command_id, chosen.thread_id));
    assert_eq!((world.works("amelia#scott").await.len(), world.announcements().await), (1, 1));
}

/// Every call of the way in fails once, before or after it had its effect.
#[tokio::test]
async fn every_single_failure_on_the_way_in_leaves_one_work_and_one_ending() {
    let (mut failed, mut tried) = (0, 0);
    for fate in [Fate::FailBefore, Fate::LoseAnswer] {
        for nth in 1..=25 {
            let world = World::with_scott().await;
            world.plan.add(Calls::Any, When::Nth(nth), fate);
            let (status, _) = world.post(mail("1", "change 7 to 8")).await;
            world.plan.heal();
            tried += 1;
            failed += usize::from(!status.is_success());
            world.clock.advance(Duration::from_secs(20));
            Sweeper::new(world.app.clone()).finish_open_mails().await.unwrap();
            let answer = world.accepted(mail("1", "change 7 to 8")).await;
            assert_eq!(answer["ending"], "routed", "call {nth}, {fate:?}");
            let works = world.works("amelia#scott").await;
            assert_eq!(works.len(), 1, "call {nth}, {fate:?}");
            assert_eq!(works[0]["commandId"], answer["commandId"], "call {nth}, {fate:?}");
            let (_, mails) = world.call("GET", "/v1/mails", None).await;
            assert_eq!(mails["mails"].as_array().unwrap().len(), 1, "call {nth}, {fate:?}");
            assert!(world.announcements().await >= 1, "call {nth}, {fate:?}");
        }
    }
    assert!(failed >= 15, "only {failed} of {tried} schedules met a failure: they prove little");
}

/// The same where a copy came before that was not shown to be genuine.
#[tokio::test]
async fn every_single_failure_of_a_genuine_mail_behind_a_copy_that_is_not_leaves_one_work_and_one_ending() {
    let (mut failed, mut tried) = (0, 0);
    for fate in [Fate::FailBefore, Fate::LoseAnswer] {
        for nth in 1..=25 {
            let world = World::with(&["--trust", "verify", "--authserv-id", "mx.example.net"]).await;
            assert_eq!(world.accepted(found("fail")).await["ending"], "unauthenticated");
            world.plan.add(Calls::Any, When::Nth(nth), fate);
            let (status, _) = world.post(found("pass")).await;
            world.plan.heal();
            tried += 1;
            failed += usize::from(!status.is_success());
            world.clock.advance(Duration::from_secs(20));
            Sweeper::new(world.app.clone()).finish_open_mails().await.unwrap();
            let (_, mails) = world.call("GET", "/v1/mails", None).await;
            let swept = text(&mails["mails"][0], "ending").to_owned();
            assert!(["routed", "unauthenticated"].contains(&swept.as_str()), "call {nth}, {fate:?}: {swept}");
            let answer = world.accepted(found("pass")).await;
            assert_eq!(answer["ending"], "routed", "call {nth}, {fate:?}");
            let works = world.works("amelia#scott").await;
            assert_eq!(works.len(), 1, "call {nth}, {fate:?}");
            assert_eq!(works[0]["commandId"], answer["commandId"], "call {nth}, {fate:?}");
            let (_, mails) = world.call("GET", "/v1/mails", None).await;
            assert_eq!(mails["mails"].as_array().unwrap().len(), 1, "call {nth}, {fate:?}");
        }
    }
    assert!(failed >= 15, "only {failed} of {tried} schedules met a failure: they prove little");
}

/// A mail of scott's, and what the server that we believe found about its author.
fn found(dmarc: &str) -> String {
    let field = format!("Authentication-Results: mx.example.net; dmarc={dmarc} header.from=example.org");
    format!("{field}\r\n{}", mail("1", "change 7 to 8"))
}

/// The same for the way back.
#[tokio::test]
async fn every_single_failure_on_the_way_back_leaves_one_answer() {
    let mut failed = 0;
    for fate in [Fate::FailBefore, Fate::LoseAnswer] {
        for nth in 1..=16 {
            let world = World::with_scott().await;
            let accepted = world.accepted(mail("1", "change 7 to 8")).await;
            let result = world.result(text(&accepted, "commandId")).await.to_json();
            let message = common::cloud::queue::Outgoing::standard(result);
            world.cloud().queues.send(&common::domain::names::Queue::Output, message).await.unwrap();
            world.plan.add(Calls::Any, When::Nth(nth), fate);
            failed += usize::from(world.handle_output().await.is_err());
            world.plan.heal();
            world.clock.advance(Duration::from_secs(61));
            world.handle_output().await.unwrap();
            Sweeper::new(world.app.clone()).send_pending_answers().await.unwrap();
            assert_eq!(world.outbox().len(), 1, "call {nth}, {fate:?}");
            let record = world.mail(text(&accepted, "mailId")).await;
            assert!(record.reply_message_id.is_some() && record.outcome.is_some(), "call {nth}, {fate:?}");
        }
    }
    assert!(failed >= 10, "only {failed} schedules met a failure: they prove little");
}

#[tokio::test]
async fn a_mail_whose_bytes_are_gone_is_not_tried_for_ever() {
    let world = World::with_scott().await;
    world.plan.add(Calls::Of(Operation::Send), When::Always, Fate::FailBefore);
    world.post(mail("1", "change 7 to 8")).await;
    world.plan.heal();
    let (_, mails) = world.call("GET", "/v1/mails", None).await;
    let id = text(&mails["mails"][0], "mailId").to_owned();
    let raw = common::cloud::files::At::object(world.mail(&id).await.raw_key);
    world.cloud().files.delete(&raw, IfMatch::Any).await.unwrap();
    world.clock.advance(Duration::from_secs(11));
    Sweeper::new(world.app.clone()).finish_open_mails().await.unwrap();
    assert_eq!(world.mail(&id).await.ending, Some(common::domain::outcome::MailEnding::Failed));
}

#[tokio::test]
async fn r2_a_mail_that_comes_five_times_within_14_days_has_one_work_and_one_answer() {
    let world = World::with_scott().await;
    let first = world.accepted(mail("1", "change 7 to 8")).await;
    assert_eq!(world.works("amelia#scott").await.len(), 1);
    let result = world.result(text(&first, "commandId")).await.to_json();
    let mut passed = Duration::ZERO;
    let days = Duration::from_hours(24);
    for after in [Duration::from_secs(299), Duration::from_secs(301), Duration::from_hours(1), 14 * days] {
        world.clock.advance(after.saturating_sub(passed));
        passed = after;
        let again = world.accepted(mail("1", "change 7 to 8")).await;
        assert_eq!(again["commandId"], first["commandId"], "after {after:?}");
        assert_eq!(world.works("amelia#scott").await.len(), 0, "after {after:?}");
        // The worker tells what came of it once more, too.
        world.report(result.clone()).await;
        Sweeper::new(world.app.clone()).sweep().await;
        assert_eq!(world.outbox().len(), 1, "after {after:?}");
    }
    let (_, jobs) = world.call("GET", "/v1/jobs?projectId=amelia&userId=scott", None).await;
    assert_eq!(jobs["jobs"].as_array().unwrap().len(), 1);
}
