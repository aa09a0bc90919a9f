//! The sweep: work that waits although nobody alive owns it.

use std::time::Duration;

use common::cloud::failing::{Calls, Fate, Operation, When};
use common::cloud::queue::Outgoing;
use common::domain::ids::ProjectUser;
use common::domain::job::JobState;
use common::domain::names::Queue;
use common::domain::outcome::JobOutcome;
use hermes::sweep::{LOOK_AGAIN_AFTER, Sweeper};
use hermes::unclaimed::GIVE_UP_AFTER;

use crate::support::{World, mail, text};

/// Moves the monotonic clock, and nothing else.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

/// Work waits, its first announcement got lost.
async fn waiting() -> (World, String) {
    let world = World::with_scott().await;
    let answer = world.accepted(mail("1", "change 7 to 8")).await;
    world.announcements().await;
    (world, text(&answer, "commandId").to_owned())
}

#[tokio::test]
async fn waiting_work_without_an_owner_is_announced_again_with_pauses_that_double() {
    let (world, _) = waiting().await;
    let mut sweeper = Sweeper::new(world.app.clone());
    sweeper.rescue_waiting_work().await.unwrap();
    assert_eq!(world.announcements().await, 0, "it has only just been announced");
    world.clock.advance(Duration::from_secs(11));
    let mut said = Vec::new();
    for _ in 0..16 {
        sweeper.rescue_waiting_work().await.unwrap();
        said.push(world.announcements().await);
        pass(Duration::from_secs(15)).await;
    }
    let expected = [0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0];
    assert_eq!(said, expected, "the mail's own, the next sweep's, then a minute, two, ...");
}

#[tokio::test]
async fn new_mail_is_announced_whatever_was_announced_before() {
    let (world, _) = waiting().await;
    world.accepted(mail("2", "change 8 to 9")).await;
    assert_eq!(world.announcements().await, 1);
}

#[tokio::test]
async fn a_key_that_cannot_be_looked_after_does_not_stop_the_others() {
    for nth in 1..=2 {
        let (world, _) = waiting().await;
        world.sender("ann@example.org", "amelia", "ann").await;
        world.accepted(mail("2", "change 8 to 9").replace("scott@", "ann@")).await;
        world.announcements().await;
        world.clock.advance(Duration::from_secs(11));
        pass(Duration::from_secs(61)).await;
        world.plan.add(Calls::Of(Operation::GetClaim), When::Nth(nth), Fate::FailBefore);
        let mut sweeper = Sweeper::new(world.app.clone());
        sweeper.rescue_waiting_work().await.unwrap();
        assert_eq!(world.announcements().await, 1, "call {nth}");
        sweeper.rescue_waiting_work().await.unwrap();
        assert_eq!(world.announcements().await, 1, "the other one's turn comes");
    }
}

#[tokio::test]
async fn more_waiting_work_than_a_page_holds_is_announced_once_a_key() {
    let (world, command) = waiting().await;
    let row = world.job(&command).await;
    for n in 0..250 {
        let command_id = common::domain::ids::CommandId::parse(&format!("more-{n}")).unwrap();
        let project_key = ProjectUser::parse(&format!("amelia#user-{}", n % 50)).unwrap();
        let job = common::domain::job::Job { command_id, project_key, ..row.clone() };
        world.cloud().store.insert(&job).await.unwrap();
    }
    world.clock.advance(Duration::from_secs(11));
    pass(Duration::from_secs(61)).await;
    Sweeper::new(world.app.clone()).rescue_waiting_work().await.unwrap();
    assert_eq!(world.announcements().await, 51);
}

const RETENTION: Duration = common::cloud::queue::RETENTION;

#[tokio::test]
async fn work_that_no_queue_holds_any_more_is_given_up_with_one_answer() {
    let (world, command) = waiting().await;
    world.works("amelia#scott").await;
    let mut sweeper = Sweeper::new(world.app.clone());
    world.clock.advance(RETENTION);
    for _ in 0..2 {
        sweeper.rescue_waiting_work().await.unwrap();
        assert!(world.job(&command).await.is_open(), "somebody may still be at it");
    }
    world.clock.advance(LOOK_AGAIN_AFTER);
    for _ in 0..2 {
        sweeper.rescue_waiting_work().await.unwrap();
    }
    let job = world.job(&command).await;
    assert_eq!((job.state, job.pending, job.outcome), (JobState::Done, None, Some(JobOutcome::Failed)));
    assert!(job.error.unwrap().contains("no queue holds it"));
    assert_eq!(world.outbox().len(), 1);
    assert!(world.outbox()[0].contains("Something went wrong on our side"));
}

#[tokio::test]
async fn old_work_is_kept_while_somebody_has_its_claim_or_the_queue_is_not_empty() {
    let (world, command) = waiting().await;
    world.works("amelia#scott").await;
    world.clock.advance(RETENTION + Duration::from_secs(1));
    world.claimed("amelia#scott").await;
    let mut sweeper = Sweeper::new(world.app.clone());
    sweeper.rescue_waiting_work().await.unwrap();
    assert!(world.job(&command).await.is_open(), "its owner may be at it");

    let (world, command) = waiting().await;
    world.works("amelia#scott").await;
    world.clock.advance(RETENTION + Duration::from_secs(1));
    world.accepted(mail("2", "change 8 to 9")).await;
    let mut sweeper = Sweeper::new(world.app.clone());
    for _ in 0..3 {
        sweeper.rescue_waiting_work().await.unwrap();
        world.clock.advance(LOOK_AGAIN_AFTER);
    }
    assert!(world.job(&command).await.is_open(), "the queue holds something");
    assert!(!world.outbox().iter().any(|mail| mail.contains("Something went wrong on our side")));
}

#[tokio::test]
async fn an_answer_that_was_cut_short_while_work_was_given_up_is_made_up_for() {
    for (nth, fate) in (1..=4).flat_map(|nth| [(nth, Fate::FailBefore), (nth, Fate::LoseAnswer)]) {
        let (world, command) = waiting().await;
        world.works("amelia#scott").await;
        world.clock.advance(RETENTION + Duration::from_secs(1));
        let mut sweeper = Sweeper::new(world.app.clone());
        sweeper.rescue_waiting_work().await.unwrap();
        world.clock.advance(LOOK_AGAIN_AFTER);
        world.plan.add(Calls::Of(Operation::PutRow), When::Nth(nth), fate);
        sweeper.rescue_waiting_work().await.unwrap();
        world.plan.heal();
        world.clock.advance(LOOK_AGAIN_AFTER);
        sweeper.rescue_waiting_work().await.unwrap();
        sweeper.send_pending_answers().await.unwrap();
        assert!(!world.job(&command).await.is_open(), "write {nth}, {fate:?}");
        assert_eq!(world.outbox().len(), 1, "write {nth}, {fate:?}");
    }
}

#[tokio::test]
async fn a_claim_that_shows_no_life_for_a_lease_is_set_free_and_announced() {
    let (world, _) = waiting().await;
    world.claimed("amelia#scott").await;
    world.clock.advance(Duration::from_hours(1));
    let mut sweeper = Sweeper::new(world.app.clone());
    sweeper.rescue_waiting_work().await.unwrap();
    pass(Duration::from_secs(44)).await;
    sweeper.rescue_waiting_work().await.unwrap();
    let key = ProjectUser::parse("amelia#scott").unwrap();
    let claim = world.cloud().claims.get(&key).await.unwrap().unwrap();
    assert!(claim.owner.is_some(), "an hour on the wall clock alone frees nothing");
    assert_eq!(world.announcements().await, 0);
    pass(Duration::from_secs(2)).await;
    sweeper.rescue_waiting_work().await.unwrap();
    let claim = world.cloud().claims.get(&key).await.unwrap().unwrap();
    assert!(claim.owner.is_none());
    assert_eq!(world.announcements().await, 1);
}

#[tokio::test]
async fn a_claim_that_is_renewed_is_left_alone() {
    let (world, _) = waiting().await;
    world.claimed("amelia#scott").await;
    world.clock.advance(Duration::from_secs(11));
    let key = ProjectUser::parse("amelia#scott").unwrap();
    let mut sweeper = Sweeper::new(world.app.clone());
    for round in 0..5 {
        sweeper.rescue_waiting_work().await.unwrap();
        pass(Duration::from_secs(30)).await;
        let claim = world.cloud().claims.get(&key).await.unwrap().unwrap();
        let fence = common::domain::claim::Fence {
            project_key: key.clone(),
            owner: claim.owner.unwrap(),
            epoch: claim.epoch,
        };
        let version = common::domain::claim::ClaimVersion::from_stored(format!("renewed-{round}"));
        world.cloud().claims.renew(&fence, &version, world.cloud().clock.now()).await.unwrap();
    }
    assert_eq!(world.announcements().await, 0);
}

#[tokio::test]
async fn work_that_is_done_is_not_announced() {
    let (world, command) = waiting().await;
    world.report(world.result(&command).await.to_json()).await;
    world.clock.advance(Duration::from_secs(11));
    Sweeper::new(world.app.clone()).sweep().await;
    assert_eq!(world.announcements().await, 0);
}

/// Rows of users who had work once: a job that ended, a claim that was given back.
async fn idle_users(world: &World, like: &common::domain::job::Job, count: usize) {
    let mut writes = tokio::task::JoinSet::new();
    for number in 0..count {
        let (cloud, like) = (world.cloud().clone(), like.clone());
        writes.spawn(async move {
            let key = ProjectUser::parse(&format!("amelia#idle-{number}")).unwrap();
            let command_id = format!("idle-{number}").parse().unwrap();
            let ended = common::domain::job::Job {
                command_id,
                project_key: key.clone(),
                state: JobState::Done,
                pending: None,
                ..like
            };
            cloud.store.insert(&ended).await.unwrap();
            let version = common::domain::claim::ClaimVersion::from_stored(format!("v{number}"));
            let owner = common::domain::ids::Owner {
                worker: "worker-1".parse().unwrap(),
                nonce: common::domain::ids::Nonce::parse("0a1b2c3d").unwrap(),
            };
            let take = common::domain::claim::Take {
                owner,
                version: version.clone(),
                lapsed: None,
                lease_secs: 45,
                control_queue: None,
                now: cloud.clock.now(),
            };
            let taken = cloud.claims.take(&key, &take).await.unwrap();
            let common::cloud::claims::TakeAnswer::Taken(fence) = taken else { panic!("{taken:?}") };
            cloud.claims.release(&fence, &version, cloud.clock.now()).await.unwrap();
        });
        if writes.len() >= 128 {
            writes.join_next().await.unwrap().unwrap();
        }
    }
    while let Some(written) = writes.join_next().await {
        written.unwrap();
    }
}

/// What one sweep costs: calls, and rows that these read.
async fn cost_of_a_sweep(idle: usize) -> (u64, u64) {
    let (world, command) = waiting().await;
    idle_users(&world, &world.job(&command).await, idle).await;
    world.clock.advance(Duration::from_secs(11));
    pass(Duration::from_secs(61)).await;
    let cost = || (world.plan.count_all(Fate::Pass), world.plan.rows_read());
    let before = cost();
    Sweeper::new(world.app.clone()).sweep().await;
    let after = cost();
    assert_eq!(world.announcements().await, 1, "the sweep did its work");
    (after.0 - before.0, after.1 - before.1)
}

#[tokio::test]
async fn a_sweep_costs_the_same_calls_and_rows_with_ten_thousand_idle_users() {
    let (alone, among_many) = (cost_of_a_sweep(0).await, cost_of_a_sweep(10_000).await);
    println!("calls and rows of a sweep: {alone:?} without idle users, {among_many:?} with 10,000");
    assert_eq!(alone, among_many);
    assert!(among_many.0 <= 7 && among_many.1 <= 2, "{among_many:?}");
}

// Of the local cloud alone: the queues of an endpoint have a time of their own.
#[tokio::test]
async fn what_was_put_on_a_queue_by_hand_waits_a_day_too() {
    let world = World::with_scott().await;
    let queue = Queue::Input(ProjectUser::parse("amelia#scott").unwrap());
    let by_hand =
        r#"{"type":"work","projectId":"amelia","userId":"scott","instruction":"x","commandId":"by-hand-1"}"#;
    let message = Outgoing::fifo(by_hand, "amelia#scott", "by-hand-1");
    world.cloud().queues.send(&queue, message).await.unwrap();
    let behind = world.accepted(mail("1", "change 7 to 8")).await;
    world.clock.advance(GIVE_UP_AFTER + Duration::from_mins(1));
    Sweeper::new(world.app.clone()).rescue_waiting_work().await.unwrap();
    assert!(!world.job(text(&behind, "commandId")).await.is_open());
    assert_eq!(world.drain(&Queue::Dead).await.len(), 2);
}
