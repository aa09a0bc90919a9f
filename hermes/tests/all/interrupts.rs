//! Newer work while a job runs: who is asked to make way, and who is not.

use common::domain::active_job::ActiveJob;
use common::domain::claim::Epoch;
use common::domain::ids::{CommandId, Nonce, Owner, ProjectUser, ThreadId, WorkerId};
use common::domain::job::WorkAction;
use common::domain::names::Queue;
use common::messages::{Interrupt, Order};
use hermes::operations::jobs::order_as;
use serde_json::json;

use crate::support::{World, mail, text};

const KEY: &str = "amelia#scott";

/// What the worker of [`World::claimed`] says that it does.
fn running() -> ActiveJob {
    ActiveJob {
        project_key: ProjectUser::parse(KEY).unwrap(),
        command_id: CommandId::parse("c-running").unwrap(),
        action: WorkAction::Edit,
        thread_id: ThreadId::parse("othertalk").unwrap(),
        container_id: WorkerId::parse("worker-1").unwrap(),
        nonce: Nonce::parse("0a1b2c3d").unwrap(),
        epoch: Epoch(1),
        preempted: None,
        started_at: common::domain::timestamp::Timestamp::default(),
    }
}

fn control() -> Queue {
    let (worker, nonce) = (WorkerId::parse("worker-1").unwrap(), Nonce::parse("0a1b2c3d").unwrap());
    Queue::Control(Owner { worker, nonce })
}

async fn busy(job: ActiveJob) -> World {
    let world = World::with_scott().await;
    world.claimed(KEY).await;
    world.cloud().store.save(&job).await.unwrap();
    world
}

/// The interrupts that a mail leads to.
async fn interrupts(world: &World, id: &str) -> (String, Vec<Interrupt>) {
    let answer = world.accepted(mail(id, "open at 9")).await;
    let orders = world.drain(&control()).await;
    let read = |body: &str| match Order::parse(body).unwrap() {
        Order::Interrupt(interrupt) => interrupt,
        other => panic!("{other:?}"),
    };
    let orders = orders.iter().map(|delivery| read(&delivery.body)).collect();
    (text(&answer, "commandId").to_owned(), orders)
}

#[tokio::test]
async fn s45_work_on_another_thread_names_the_running_job_to_its_worker() {
    let world = busy(running()).await;
    let (command, orders) = interrupts(&world, "1").await;
    assert_eq!(orders.len(), 1);
    assert_eq!(orders[0].command_id.as_str(), "c-running");
    assert_eq!(orders[0].new_message_id, command);
    assert_eq!(world.works(KEY).await.len(), 1, "the work itself is in the queue");
    assert_eq!(world.announcements().await, 0);
}

#[tokio::test]
async fn s46_work_on_the_same_thread_waits_its_turn_unless_the_project_says_always() {
    let world = busy(running()).await;
    let (command, _) = interrupts(&world, "1").await;
    let same = ActiveJob { thread_id: world.job(&command).await.thread_id, ..running() };
    world.cloud().store.save(&same).await.unwrap();
    let reply = mail("2", "and close at 5").replace("\r\n\r\n", "\r\nIn-Reply-To: <1@example.org>\r\n\r\n");
    world.accepted(reply).await;
    assert_eq!(world.drain(&control()).await.len(), 0);

    let always = json!({"repoUrl": "https://github.com/you/amelia.git", "preempt": "always"});
    world.call("PUT", "/v1/projects/amelia", Some(always)).await;
    let reply = mail("3", "no, at 6").replace("\r\n\r\n", "\r\nIn-Reply-To: <1@example.org>\r\n\r\n");
    world.accepted(reply).await;
    assert_eq!(world.drain(&control()).await.len(), 1);
}

#[tokio::test]
async fn s47_a_job_that_took_the_place_of_another_is_left_alone() {
    let world = busy(ActiveJob { preempted: Some("c-earlier".parse().unwrap()), ..running() }).await;
    assert_eq!(interrupts(&world, "1").await.1, []);
}

#[tokio::test]
async fn a_publication_is_not_interrupted() {
    let world = busy(ActiveJob { action: WorkAction::Publish, ..running() }).await;
    assert_eq!(interrupts(&world, "1").await.1, []);
}

#[tokio::test]
async fn a_project_may_let_nothing_interrupt() {
    let world = busy(running()).await;
    let never = json!({"repoUrl": "https://github.com/you/amelia.git", "preempt": "never"});
    world.call("PUT", "/v1/projects/amelia", Some(never)).await;
    assert_eq!(interrupts(&world, "1").await.1, []);
}

#[tokio::test]
async fn a_preflight_waits_its_turn() {
    let world = busy(running()).await;
    let (status, found) = world.call("POST", "/v1/projects/amelia/preflight", None).await;
    assert_eq!(status, axum::http::StatusCode::ACCEPTED, "{found}");
    assert_eq!(world.drain(&control()).await.len(), 0, "nobody's work is stopped for it");
    assert_eq!(world.works(KEY).await.len(), 1);
}

#[tokio::test]
async fn nobodys_work_makes_way_for_taking_a_preview_down() {
    let world = World::with_scott().await;
    let answer = world.accepted(mail("1", "open at 9")).await;
    let thread = ThreadId::parse(text(&answer, "threadId")).unwrap();
    world.works(KEY).await;
    world.claimed(KEY).await;
    world.cloud().store.save(&running()).await.unwrap();
    let (project, user) = ("amelia".parse().unwrap(), "scott".parse().unwrap());
    let command = CommandId::parse("c-down").unwrap();
    let whose = (&project, &user, &thread);
    order_as(world.cloud(), command, WorkAction::TakeDown, Some(1), whose).await.unwrap();
    assert_eq!((world.works(KEY).await.len(), world.drain(&control()).await.len()), (1, 0));
}

#[tokio::test]
async fn a_row_that_a_former_owner_left_behind_interrupts_nobody() {
    let world = busy(ActiveJob { epoch: Epoch(0), ..running() }).await;
    assert_eq!(interrupts(&world, "1").await.1, []);
}
