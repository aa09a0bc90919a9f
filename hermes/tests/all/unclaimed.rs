//! Work that nobody claims, and what dead workers leave behind.

use std::time::Duration;

use common::cloud::failing::{Calls, Fate, Operation, When};
use common::cloud::queue::Outgoing;
use common::domain::container::{Container, ContainerStatus};
use common::domain::ids::{Nonce, Owner, ProjectUser, WorkerId};
use common::domain::job::JobState;
use common::domain::names::Queue;
use common::domain::outcome::JobOutcome;
use hermes::sweep::{DOUBTED_AFTER, LOOK_AGAIN_AFTER, LOST, Sweeper};
use hermes::tidy;
use hermes::unclaimed::{GIVE_UP_AFTER, NOBODY};

use crate::support::{World, mail, text};

const A_MINUTE: Duration = Duration::from_mins(1);

#[tokio::test]
async fn s64_work_that_is_never_claimed_goes_to_the_dead_letters_and_its_sender_is_told_once() {
    let world = World::with_scott().await;
    let old = world.accepted(mail("1", "change 7 to 8")).await;
    world.clock.advance(GIVE_UP_AFTER);
    let new = world.accepted(mail("2", "change 8 to 9")).await;
    let mut sweeper = Sweeper::new(world.app.clone());
    sweeper.rescue_waiting_work().await.unwrap();
    assert!(world.job(text(&old, "commandId")).await.is_open(), "its time is not over");
    world.clock.advance(A_MINUTE);
    for _ in 0..2 {
        sweeper.rescue_waiting_work().await.unwrap();
    }
    let job = world.job(text(&old, "commandId")).await;
    assert_eq!((job.state, job.outcome), (JobState::Done, Some(JobOutcome::Failed)));
    assert_eq!(job.error.as_deref(), Some(NOBODY));
    assert_eq!(world.outbox().len(), 1);
    let dead = world.drain(&Queue::Dead).await;
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].attributes["reason"], NOBODY);
    assert!(dead[0].body.contains(text(&old, "commandId")));

    let works = world.works("amelia#scott").await;
    assert_eq!(works.len(), 1, "what is younger waits on");
    assert_eq!(works[0]["commandId"], new["commandId"]);
    let key = ProjectUser::parse("amelia#scott").unwrap();
    let claim = world.cloud().claims.get(&key).await.unwrap().unwrap();
    assert!(claim.owner.is_none(), "hermes gives the claim back");
}

#[tokio::test]
async fn s64_work_whose_owner_lives_is_never_given_up() {
    let world = World::with_scott().await;
    let accepted = world.accepted(mail("1", "change 7 to 8")).await;
    world.clock.advance(GIVE_UP_AFTER + A_MINUTE);
    world.claimed("amelia#scott").await;
    Sweeper::new(world.app.clone()).rescue_waiting_work().await.unwrap();
    assert!(world.job(text(&accepted, "commandId")).await.is_open());
    assert!(world.drain(&Queue::Dead).await.is_empty());
    assert_eq!(world.works("amelia#scott").await.len(), 1);
}

#[tokio::test]
async fn what_lies_before_overdue_work_and_no_worker_would_run_is_not_in_its_way() {
    let world = World::with_scott().await;
    let old = world.accepted(mail("1", "change 7 to 8")).await;
    let ended = world.accepted(mail("2", "change 8 to 9")).await;
    let queue = Queue::Input(ProjectUser::parse("amelia#scott").unwrap());
    let [first, second] = world.drain(&queue).await.try_into().unwrap();
    // An earlier hermes closed the second, and was killed before it deleted its message.
    world.report(world.result(text(&ended, "commandId")).await.to_json()).await;
    for (nth, body) in ["no work", second.body.as_str(), first.body.as_str()].into_iter().enumerate() {
        let message = Outgoing::fifo(body.to_owned(), "amelia#scott", format!("again-{nth}"));
        world.cloud().queues.send(&queue, message).await.unwrap();
    }
    world.clock.advance(GIVE_UP_AFTER + A_MINUTE);
    Sweeper::new(world.app.clone()).rescue_waiting_work().await.unwrap();
    let job = world.job(text(&old, "commandId")).await;
    assert_eq!((job.is_open(), job.error.as_deref()), (false, Some(NOBODY)));
    let dead = world.drain(&Queue::Dead).await;
    let reasons: Vec<&str> = dead.iter().map(|letter| letter.attributes["reason"].as_str()).collect();
    assert_eq!(reasons, ["it is no work", "its work has ended", NOBODY]);
    assert_eq!(world.outbox().len(), 2, "the answer of the one, and that of the other");
}

#[tokio::test]
async fn work_whose_order_is_on_no_queue_is_closed_and_answered_and_other_work_is_not() {
    let world = World::with_scott().await;
    world.sender("amy@example.org", "amelia", "amy").await;
    let lost = world.accepted(mail("1", "change 7 to 8")).await;
    world.drain(&Queue::Input(ProjectUser::parse("amelia#scott").unwrap())).await;
    let waits = world.accepted(mail("2", "change 8 to 9").replace("scott@", "amy@")).await;
    let mut sweeper = Sweeper::new(world.app.clone());
    let mut open = Vec::new();
    for _ in 0..3 {
        world.clock.advance(DOUBTED_AFTER.max(LOOK_AGAIN_AFTER));
        sweeper.rescue_waiting_work().await.unwrap();
        open.push(world.job(text(&lost, "commandId")).await.is_open());
    }
    assert_eq!(open, [true, false, false], "after a second look");
    let job = world.job(text(&lost, "commandId")).await;
    assert_eq!((job.outcome, job.error.as_deref()), (Some(JobOutcome::Failed), Some(LOST)));
    let answers: Vec<String> =
        world.outbox().into_iter().filter(|mail| mail.contains("Something went wrong on our side")).collect();
    let [answer] = answers.as_slice() else { panic!("{answers:?}") };
    assert!(answer.contains("To: scott@example.org"), "{answer}");
    assert!(world.job(text(&waits, "commandId")).await.is_open());
    assert_eq!(world.works("amelia#amy").await.len(), 1);
}

#[tokio::test]
async fn an_owner_who_comes_between_two_looks_may_have_the_work_in_hand() {
    let world = World::with_scott().await;
    let accepted = world.accepted(mail("1", "change 7 to 8")).await;
    world.drain(&Queue::Input(ProjectUser::parse("amelia#scott").unwrap())).await;
    let mut sweeper = Sweeper::new(world.app.clone());
    world.clock.advance(DOUBTED_AFTER);
    sweeper.rescue_waiting_work().await.unwrap();
    world.claimed("amelia#scott").await;
    world.clock.advance(LOOK_AGAIN_AFTER);
    sweeper.rescue_waiting_work().await.unwrap();
    assert!(world.job(text(&accepted, "commandId")).await.is_open());
}

#[tokio::test]
async fn what_waits_before_work_that_was_lost_is_not_worn_out_by_looking_at_it() {
    let world = World::with_scott().await;
    let queue = Queue::Input(ProjectUser::parse("amelia#scott").unwrap());
    let lost = world.accepted(mail("1", "change 7 to 8")).await;
    world.drain(&queue).await;
    world.clock.advance(GIVE_UP_AFTER);
    world.accepted(mail("2", "change 8 to 9")).await;
    let mut sweeper = Sweeper::new(world.app.clone());
    for _ in 0..150 {
        world.clock.advance(A_MINUTE);
        sweeper.rescue_waiting_work().await.unwrap();
    }
    assert!(world.job(text(&lost, "commandId")).await.is_open(), "something is on its queue");
    assert!(world.drain(&Queue::Dead).await.is_empty());
    let [left] = world.drain(&queue).await.try_into().unwrap();
    assert!(left.receive_count < 12, "{}", left.receive_count);
}

#[tokio::test]
async fn work_whose_order_is_still_being_sent_is_not_lost() {
    let world = World::with_scott().await;
    world.plan.add(Calls::Of(Operation::Send), When::Always, Fate::FailBefore);
    let (status, _) = world.post(mail("1", "change 7 to 8")).await;
    assert_eq!(status, axum::http::StatusCode::SERVICE_UNAVAILABLE);
    let mut sweeper = Sweeper::new(world.app.clone());
    for _ in 0..3 {
        world.clock.advance(DOUBTED_AFTER);
        sweeper.sweep().await;
    }
    world.plan.heal();
    sweeper.sweep().await;
    let works = world.works("amelia#scott").await;
    assert_eq!(works.len(), 1);
    assert!(world.job(text(&works[0], "commandId")).await.is_open());
    assert!(!world.outbox().iter().any(|mail| mail.contains("Something went wrong on our side")));
}

fn container(nonce: &str, world: &World) -> Container {
    Container {
        container_id: WorkerId::parse(&format!("worker-{nonce}")).unwrap(),
        nonce: Nonce::parse(nonce).unwrap(),
        started_at: world.cloud().clock.now(),
        last_activity: world.cloud().clock.now(),
        status: ContainerStatus::Running,
        capacity: 1,
        task_arn: None,
        left: Vec::new(),
    }
}

async fn orders(world: &World, owner: &Owner) -> u64 {
    world.cloud().queues.depth(&Queue::Control(owner.clone())).await.unwrap().visible
}

#[tokio::test]
async fn the_control_queue_of_a_dead_worker_is_removed_and_in_the_end_its_row() {
    let world = World::empty("all");
    let dead = container("aaaa", &world);
    world.cloud().store.save(&dead).await.unwrap();
    let order = common::cloud::queue::Outgoing::standard("{}");
    world.cloud().queues.send(&Queue::Control(dead.owner()), order.clone()).await.unwrap();
    world.clock.advance(Duration::from_mins(11));
    let alive = container("bbbb", &world);
    world.cloud().store.save(&alive).await.unwrap();
    world.cloud().queues.send(&Queue::Control(alive.owner()), order).await.unwrap();

    tidy::dead_workers(&world.app).await.unwrap();
    assert_eq!((orders(&world, &dead.owner()).await, orders(&world, &alive.owner()).await), (0, 1));
    assert!(world.cloud().store.load::<Container>(&dead.container_id).await.unwrap().is_some());
    world.clock.advance(Duration::from_hours(24));
    tidy::dead_workers(&world.app).await.unwrap();
    assert!(world.cloud().store.load::<Container>(&dead.container_id).await.unwrap().is_none());
}

#[tokio::test]
async fn a_result_that_never_comes_is_made_up_for_from_the_row_and_a_late_one_changes_nothing() {
    let world = World::with_scott().await;
    let accepted = world.accepted(mail("1", "change 7 to 8")).await;
    let command = text(&accepted, "commandId").to_owned();
    let late = world.result(&command).await.to_json();
    let id = command.parse().unwrap();
    let ends = |job: &mut common::domain::job::Job| {
        (job.state, job.outcome) = (JobState::Running, Some(JobOutcome::Changed));
        job.summary = Some("The site says 8 now.".into());
        std::ops::ControlFlow::Continue(())
    };
    world.cloud().store.update::<common::domain::job::Job>(&id, ends).await.unwrap();
    let sweeper = Sweeper::new(world.app.clone());
    world.clock.advance(hermes::untold::AFTER.saturating_sub(A_MINUTE));
    sweeper.tell_endings().await.unwrap();
    assert!(world.job(&command).await.is_open(), "its result may come yet");
    world.clock.advance(A_MINUTE);
    for _ in 0..2 {
        sweeper.tell_endings().await.unwrap();
    }
    let job = world.job(&command).await;
    assert_eq!((job.state, job.pending, job.outcome), (JobState::Done, None, Some(JobOutcome::Changed)));
    assert!(job.preview_url.unwrap().contains(".amelia.localhost"));
    assert_eq!(world.outbox().len(), 1);
    world.report(late).await;
    assert_eq!(world.outbox().len(), 1);
}
