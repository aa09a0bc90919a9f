//! What a worker says of itself, and how it ends when it is told to.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod support;

use common::cloud::failing::{Calls, Failing, Fate, Operation, Plan, When};
use common::cloud::queue::Outgoing;
use common::domain::container::{Container, ContainerStatus};
use common::domain::ids::WorkerId;
use common::domain::names::Queue;
use common::domain::outcome::JobOutcome;
use serde_json::json;
use support::{AGENT, World, work};

const KEY: &str = "bakery#amelia";
const HOURS: &str = "change \"7 to 18\" to \"8 to 20\"";

async fn row(world: &World) -> Option<Container> {
    let id = WorkerId::parse("w-1").unwrap();
    world.cloud.store.load::<Container>(&id).await.unwrap().map(|stored| stored.value)
}

async fn says(world: &World, status: ContainerStatus) -> Container {
    world.until("the row", async || row(world).await.filter(|row| row.status == status)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s74_a_drained_worker_finishes_its_job_takes_nothing_new_and_ends() {
    let world = World::new();
    world.bakery().await;
    let slow = format!("'{AGENT}' --delay-ms 3000");
    // With this grace a mere shutdown would cut the job off at once.
    let limits = ["--container-id", "w-1", "--capacity", "2", "--shutdown-grace-secs", "12"];
    let worker = world.worker_with_agent(&slow, &limits);
    world.order(KEY, work("c-1", "aaaaaa1", HOURS)).await;
    let started = async || world.job("c-1").await.filter(|job| job.attempts == 1);
    world.until("the agent's start", started).await;
    let control = Queue::Control(says(&world, ContainerStatus::Running).await.owner());
    let order = json!({"type": "CONTROL", "version": 1, "action": "drain"}).to_string();
    world.cloud.queues.send(&control, Outgoing::standard(order)).await.unwrap();
    says(&world, ContainerStatus::Draining).await;
    let mut other = work("c-2", "bbbbbb2", HOURS);
    other["userId"] = json!("bob");
    world.order("bakery#bob", other).await;

    assert_eq!(world.result().await.outcome, JobOutcome::Changed, "it was not cut off");
    worker.ends().await;
    assert_eq!((world.holder(KEY).await, world.holder("bakery#bob").await), (None, None));
    assert_eq!(world.depth(Queue::Unclaimed).await, 1, "somebody else's work is left to others");
    assert_eq!(world.job("c-2").await, None);
    assert_eq!(row(&world).await.unwrap().status, ContainerStatus::Terminated);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_earlier_process_of_the_same_name_does_not_write_over_the_later_one() {
    let world = World::new();
    let earlier = world.worker(&["--container-id", "w-1", "--capacity", "3"]);
    let first = says(&world, ContainerStatus::Running).await;
    assert_eq!(first.capacity, 3);
    let later = world.worker(&["--container-id", "w-1"]);
    let second = world.until("the later process", async || {
        row(&world).await.filter(|row| row.nonce != first.nonce && row.status == ContainerStatus::Running)
    });
    let second = second.await;
    earlier.stop().await;
    assert_eq!(row(&world).await.unwrap(), second);
    later.stop().await;
    assert_eq!(row(&world).await.unwrap().status, ContainerStatus::Terminated);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_answer_that_fails_at_the_start_does_not_end_a_worker() {
    let world = World::new();
    let plan = Plan::passing().with(Calls::Of(Operation::Receive), When::Nth(1), Fate::FailBefore);
    let cloud = Failing::wrap(world.cloud.clone(), plan.clone());
    let worker = world.worker_over(cloud, &["--container-id", "w-1"]);
    says(&world, ContainerStatus::Running).await;
    assert_eq!(plan.count(Operation::Receive, Fate::FailBefore), 1);
    worker.stop().await;
}
