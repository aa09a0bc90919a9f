//! What was put aside: seen by operators with its reason, and tried again when they say so.

use axum::http::StatusCode;
use common::cloud::failing::{Calls, Fate, Operation, When};
use common::cloud::queue::Outgoing;
use common::domain::budget::Usage;
use common::domain::names::Queue;
use common::domain::outcome::JobOutcome;
use serde_json::Value;

use crate::support::{World, mail, text};

/// A mail whose work failed three times: its worker put the message aside and told the outcome.
async fn failed() -> (World, String) {
    let world = World::with_scott_and_time().await;
    let accepted = world.accepted(mail("1", "change 7 to 8")).await;
    world.announcements().await;
    let command = text(&accepted, "commandId").to_owned();
    let work = world.works("amelia#scott").await.remove(0);
    let copy = Outgoing::fifo(work.to_string(), "amelia#scott", "m-1").attribute("reason", "no model");
    world.cloud().queues.send(&Queue::Dead, copy).await.unwrap();
    let mut result = world.result(&command).await;
    (result.outcome, result.success) = (JobOutcome::AgentFailed, false);
    result.usage.cost_usd = 2.0;
    world.report(result.to_json()).await;
    assert_eq!(world.outbox().len(), 1, "its sender was told once");
    (world, command)
}

async fn letters(world: &World) -> Vec<Value> {
    let (status, answer) = world.call("GET", "/v1/dead-letters", None).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    answer["deadLetters"].as_array().unwrap().clone()
}

#[tokio::test]
async fn s65_s89_a_dead_letter_is_seen_with_its_reason_and_tried_again_as_a_new_job() {
    let (world, command) = failed().await;
    for _ in 0..2 {
        let letters = letters(&world).await;
        assert_eq!(letters.len(), 1, "looking takes nothing away");
        assert_eq!((text(&letters[0], "reason"), text(&letters[0], "queue")), ("no model", "dead"));
        assert_eq!(
            (text(&letters[0], "commandId"), text(&letters[0], "projectKey")),
            (&*command, "amelia#scott")
        );
    }
    let id = text(&letters(&world).await[0], "messageId").to_owned();
    let path = format!("/v1/dead-letters/{id}/requeue");
    let (status, answer) = world.call("POST", &path, None).await;
    assert_eq!((status, text(&answer, "queue")), (StatusCode::ACCEPTED, "input:amelia#scott"));
    let again = text(&answer, "commandId").to_owned();
    assert_ne!(again, command);
    assert!(letters(&world).await.is_empty());
    assert_eq!(world.call("POST", &path, None).await.0, StatusCode::NOT_FOUND);

    assert_eq!(world.announcements().await, 1);
    let works = world.works("amelia#scott").await;
    assert_eq!(works.len(), 1, "within five minutes, too");
    assert_eq!((text(&works[0], "commandId"), text(&works[0], "instruction")), (&*again, "change 7 to 8"));
    let (_, job) = world.call("GET", &format!("/v1/jobs/{again}"), None).await;
    assert_eq!(
        (text(&job, "replayOf"), text(&job, "state"), &job["attempts"]),
        (&*command, "pending", &0.into())
    );
    assert_eq!(world.job(&again).await.usage, Usage::default(), "it has bounds of its own");
    assert_eq!(
        world.job(&command).await.outcome,
        Some(JobOutcome::AgentFailed),
        "the old one stays as it is"
    );
    world.report(world.result(&again).await.to_json()).await;
    assert_eq!(world.outbox().len(), 2, "the second try has its own answer");
}

#[tokio::test]
async fn s65_a_letter_that_is_requeued_twice_in_a_row_becomes_one_job() {
    let (world, _) = failed().await;
    let id = text(&letters(&world).await[0], "messageId").to_owned();
    let path = format!("/v1/dead-letters/{id}/requeue");
    world.plan.add(Calls::Of(Operation::DeleteMessage), When::Nth(1), Fate::FailBefore);
    assert_eq!(world.call("POST", &path, None).await.0, StatusCode::SERVICE_UNAVAILABLE);
    world.pass(std::time::Duration::from_secs(121));
    assert_eq!(world.call("POST", &path, None).await.0, StatusCode::ACCEPTED);
    assert_eq!(world.works("amelia#scott").await.len(), 1);
}

#[tokio::test]
async fn garbage_is_shown_and_cannot_be_tried_again_as_work_but_stays_until_it_is_discarded() {
    let world = World::with_scott().await;
    let garbage = Outgoing::fifo("{", "amelia#scott", "m-1").attribute("reason", "no JSON");
    world.cloud().queues.send(&Queue::Dead, garbage).await.unwrap();
    let id = text(&letters(&world).await[0], "messageId").to_owned();
    let (status, problem) = world.call("POST", &format!("/v1/dead-letters/{id}/requeue"), None).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
    assert_eq!(letters(&world).await.len(), 1);
    let path = format!("/v1/dead-letters/{id}");
    let (status, was) = world.call("DELETE", &path, None).await;
    assert_eq!((status, text(&was, "body"), text(&was, "reason")), (StatusCode::OK, "{", "no JSON"));
    assert!(letters(&world).await.is_empty());
    assert_eq!(world.call("DELETE", &path, None).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_dead_result_goes_back_to_where_results_are_read() {
    let (world, command) = failed().await;
    let result = world.result(&command).await.to_json();
    world.cloud().queues.send(&Queue::OutputDead, Outgoing::standard(result)).await.unwrap();
    let all = letters(&world).await;
    let id =
        text(all.iter().find(|letter| letter["queue"] == "output-dead").unwrap(), "messageId").to_owned();
    let (_, answer) = world.call("POST", &format!("/v1/dead-letters/{id}/requeue"), None).await;
    assert_eq!(text(&answer, "queue"), "output");
    assert_eq!(world.drain(&Queue::Output).await.len(), 1);
}
