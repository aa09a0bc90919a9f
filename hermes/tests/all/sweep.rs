//! The sweep: work that waits although nobody alive owns it.

use std::time::Duration;

use common::domain::ids::ProjectUser;
use hermes::sweep::Sweeper;

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
    assert_eq!(said, [1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]);
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
