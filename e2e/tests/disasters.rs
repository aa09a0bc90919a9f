//! A worker that is killed, frozen or told to end at each named point of a job; many users at once; a storm. Effects are
//! counted where the world sees them. `make reliability` does the same for longer.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]
#![allow(clippy::print_stdout, reason = "the figures are part of the answer")]

use common::checkpoint::Point;
use e2e::reliability::{Disaster, Switch, Weather, burst, meet_all, meet_in_switch, storm};

#[tokio::test]
async fn s35_a_worker_killed_at_any_point_is_followed_within_two_leases_and_every_effect_is_made_once() {
    assert!(Point::ALL.len() >= 20);
    let met = meet_all(Point::ALL.to_vec(), Disaster::Killed).await.unwrap();
    let late: Vec<_> = met.iter().filter(|one| !one.in_time()).collect();
    let slowest = met.iter().filter_map(|one| one.taken_over).max().unwrap();
    println!(
        "{} points, the slowest take-over {:.1} s after the kill (lease 5 s)",
        met.len(),
        slowest.as_secs_f64()
    );
    assert!(late.is_empty(), "{late:?}");
}

#[tokio::test]
async fn s36_a_worker_that_slept_through_a_take_over_at_any_point_changes_nothing() {
    let points = [
        Point::MessageCarried,
        Point::AgentEnded,
        Point::Built,
        Point::ContentsStored,
        Point::ManifestWritten,
        Point::PagesWritten,
        Point::ClaimConfirmed,
        Point::Pushed,
        Point::OutcomeWritten,
    ];
    meet_all(points.to_vec(), Disaster::Frozen).await.unwrap();
}

#[tokio::test]
async fn s37_a_worker_told_to_end_at_any_point_ends_in_time_and_every_effect_is_made_once() {
    meet_all(Point::ALL.to_vec(), Disaster::Ended).await.unwrap();
}

#[tokio::test]
async fn s77_a_publication_or_an_undo_whose_worker_dies_at_any_point_happens_once_and_entirely() {
    let killed = [Point::ContentsStored, Point::ManifestWritten, Point::PagesWritten, Point::OutcomeWritten];
    let deaths = killed.map(|point| (point, Disaster::Killed));
    let sleeps = [(Point::ManifestWritten, Disaster::Frozen)];
    let all: Vec<_> = deaths.into_iter().chain(sleeps).collect();
    for switch in [Switch::Publish, Switch::Undo] {
        let mut running = tokio::task::JoinSet::new();
        for (point, disaster) in all.clone() {
            running.spawn(meet_in_switch(point, disaster, switch));
        }
        let met = running.join_all().await;
        let wrong: Vec<_> =
            met.into_iter().filter_map(Result::err).map(|error| format!("{error:#}")).collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}

#[tokio::test]
async fn s67_s68_s72_many_users_at_once_are_all_served_in_fair_order_and_nothing_grows() {
    let burst = burst(3, 15, 2).await.unwrap();
    println!("{burst}");
    assert_eq!(burst.served, 30);
    assert_eq!(burst.by_worker.len(), 3, "every worker served somebody");
    assert!(burst.overtaken <= 6, "{burst}");
    for (name, first, last) in &burst.growth {
        assert!(last[1] <= first[1] + 4, "{name} keeps files open: {burst}");
        assert!(last[0] <= first[0] + first[0] / 4, "{name} grows: {burst}");
    }
}

#[tokio::test]
async fn r1_a_storm_of_kills_loses_nothing_and_doubles_nothing() {
    let storm = storm(Weather { seed: 1, mails: 8, kills: 3, faults_percent: 0 }).await.unwrap();
    println!("{storm}");
    assert!(storm.is_clean(), "{storm}");
    assert_eq!(storm.kills[0] + storm.kills[1], 3);
}
