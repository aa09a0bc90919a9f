//! Stopping a job by the API: the mark on its row, the order to its worker, one answer.

use axum::http::StatusCode;
use common::domain::ids::{Nonce, Owner, WorkerId};
use common::domain::job::JobState;
use common::domain::names::Queue;
use common::domain::outcome::JobOutcome;
use common::messages::{Control, ControlAction, Order};

use crate::support::{World, mail, text};

async fn ordered() -> (World, String) {
    let world = World::with_scott().await;
    let answer = world.accepted(mail("1", "change 7 to 8")).await;
    world.announcements().await;
    (world, text(&answer, "commandId").to_owned())
}

/// The orders for the worker of [`World::claimed`].
async fn orders(world: &World) -> Vec<Control> {
    let (worker, nonce) = (WorkerId::parse("worker-1").unwrap(), Nonce::parse("0a1b2c3d").unwrap());
    let all = world.drain(&Queue::Control(Owner { worker, nonce })).await;
    let read = |body: &str| match Order::parse(body).unwrap() {
        Order::Control(control) => control,
        other => panic!("{other:?}"),
    };
    all.iter().map(|delivery| read(&delivery.body)).collect()
}

#[tokio::test]
async fn s78_a_stop_marks_the_job_and_tells_the_worker_that_holds_the_claim() {
    let (world, command) = ordered().await;
    world.claimed("amelia#scott").await;
    let (status, job) = world.call("POST", &format!("/v1/jobs/{command}/stop"), None).await;
    assert_eq!((status, text(&job, "state")), (StatusCode::ACCEPTED, "pending"));
    assert!(text(&job, "stopRequested").starts_with("2026-03-03T10:00:00"), "{job}");
    assert!(world.job(&command).await.stop_requested.is_some());
    let orders = orders(&world).await;
    assert_eq!(orders.len(), 1);
    assert_eq!(orders[0].action, ControlAction::StopJob);
    assert_eq!(orders[0].command_id.as_ref().unwrap().as_str(), command);
    assert_eq!(world.announcements().await, 0);
}

#[tokio::test]
async fn s78_stopped_work_without_a_worker_is_announced_and_answered_once() {
    let (world, command) = ordered().await;
    let path = format!("/v1/jobs/{command}/stop");
    world.call("POST", &path, None).await;
    assert_eq!(world.announcements().await, 1);
    let mut result = world.result(&command).await;
    (result.outcome, result.success) = (JobOutcome::Stopped, false);
    world.report(result.to_json()).await;
    world.report(result.to_json()).await;
    assert_eq!(world.outbox().len(), 1);
    assert!(world.outbox()[0].contains("The work was stopped."));

    let (status, job) = world.call("POST", &path, None).await;
    assert_eq!((status, text(&job, "outcome")), (StatusCode::ACCEPTED, "stopped"));
    assert_eq!(world.announcements().await, 0, "it has ended");
}

#[tokio::test]
async fn a_job_that_has_ended_is_not_marked_and_an_unknown_one_is_not_there() {
    let (world, command) = ordered().await;
    world.claimed("amelia#scott").await;
    world.report(world.result(&command).await.to_json()).await;
    let (status, job) = world.call("POST", &format!("/v1/jobs/{command}/stop"), None).await;
    assert_eq!((status, text(&job, "outcome")), (StatusCode::ACCEPTED, "changed"));
    let row = world.job(&command).await;
    assert_eq!((row.state, row.stop_requested), (JobState::Done, None));
    assert!(orders(&world).await.is_empty());
    assert_eq!(world.call("POST", "/v1/jobs/nowhere/stop", None).await.0, StatusCode::NOT_FOUND);
}
