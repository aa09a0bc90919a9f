//! Every state that three workers and two keys can reach under the pure claim rules with up to two failures (crashes,
//! pauses, lost answers, failed calls), and every state of three workers and one key however much fails. hermes sends,
//! sweeps and announces.
//!
//! Time is abstract: a version can have been watched for a lease at any moment at which its owner is not both awake and
//! in time, because such an owner stops itself before; a version from before can be tried at any moment. A call happens
//! at once, its answer may be lost. The search is our own: that good steps can always lead out of trouble needs the
//! steps backwards from the end, and the known model checkers only follow them forwards.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test: a panic is how it fails, and the figures are its answer"
)]

mod owner;
mod rules;
mod search;
mod state;
mod steps;

use std::time::Duration;

use common::domain::claim::{self, Refused};
use rules::{Adoption, Faults, LastLook, Rules, Sending, Sweeping};
use search::{Counterexample, Explored, explore};
use steps::Wrong;

fn passes(what: &str, rules: &Rules) -> Explored {
    let explored = explore(rules).unwrap_or_else(|found| panic!("{what}: {found:#?}"));
    println!("{what}: {} states, {} steps, depth {}", explored.states, explored.steps, explored.depth);
    explored
}

fn fails(rules: &Rules) -> Counterexample {
    explore(rules).map(drop).expect_err("a broken rule must be found out")
}

#[test]
fn no_state_has_two_live_owners_a_stale_effect_or_a_stranded_message() {
    passes("3 workers, 2 keys, up to 2 failures", &Rules::ours());
}

#[test]
fn the_same_holds_for_one_key_however_much_fails() {
    passes("3 workers, 1 key, any failures", &Rules { faults: Faults::Unlimited, keys: 1, ..Rules::ours() });
}

#[test]
fn the_same_holds_for_two_workers_however_much_fails() {
    passes(
        "2 workers, 2 keys, any failures",
        &Rules { faults: Faults::Unlimited, workers: 2, ..Rules::ours() },
    );
}

#[test]
fn nobody_needs_the_sweep_while_nothing_fails() {
    let rules = Rules { faults: Faults::AtMost(0), sweeping: Sweeping::No, ..Rules::ours() };
    passes("3 workers, 2 keys, nothing fails, no sweep", &rules);
}

#[test]
fn an_unconditional_release_is_found_out() {
    let rules = Rules {
        release: |row, _, version, now| {
            let row = row.ok_or(Refused::FenceLost)?;
            claim::free_lapsed(Some(row), &row.version, version, now)
        },
        ..Rules::ours()
    };
    assert_eq!(fails(&rules).wrong, Wrong::TwoLiveOwners);
}

#[test]
fn a_take_that_does_not_wait_for_the_lease_is_found_out() {
    let rules = Rules {
        take: |key, row, wanted| {
            let lapsed = row.map(|row| row.version.clone());
            claim::take(key, row, &claim::Take { lapsed, ..wanted.clone() })
        },
        ..Rules::ours()
    };
    assert_eq!(fails(&rules).wrong, Wrong::TwoLiveOwners);
}

/// The clock of the contender is ten minutes ahead, as clocks are.
#[test]
fn a_take_by_the_time_in_the_row_is_found_out() {
    let rules = Rules {
        take: |key, row, wanted| {
            let now = wanted.now.plus(Duration::from_mins(10));
            let expired = row.filter(|row| now.since(row.last_activity).as_secs() > row.lease_secs);
            let lapsed = expired.map(|row| row.version.clone());
            claim::take(key, row, &claim::Take { lapsed, ..wanted.clone() })
        },
        ..Rules::ours()
    };
    assert_eq!(fails(&rules).wrong, Wrong::TwoLiveOwners);
}

#[test]
fn a_take_that_does_not_raise_the_epoch_is_found_out() {
    let rules = Rules {
        take: |key, row, wanted| {
            let taken = claim::take(key, row, wanted)?;
            let epoch = row.map_or(taken.epoch, |row| row.epoch);
            Ok(claim::ClaimRecord { epoch, ..taken })
        },
        ..Rules::ours()
    };
    assert_eq!(fails(&rules).wrong, Wrong::TwoLiveOwners);
}

#[test]
fn an_unconditional_renewal_is_found_out() {
    let rules = Rules {
        renew: |row, _, version, _| {
            let row = row.ok_or(Refused::FenceLost)?;
            Ok(claim::ClaimRecord { version, ..row.clone() })
        },
        ..Rules::ours()
    };
    assert_eq!(fails(&rules).wrong, Wrong::TwoLiveOwners);
}

#[test]
fn a_sweep_that_frees_whatever_version_it_finds_is_found_out() {
    let rules = Rules {
        free_lapsed: |row, _, version, now| {
            let present = row.ok_or(Refused::FenceLost)?.version.clone();
            claim::free_lapsed(row, &present, version, now)
        },
        ..Rules::ours()
    };
    assert_eq!(fails(&rules).wrong, Wrong::TwoLiveOwners);
}

#[test]
fn work_that_is_sent_after_the_claim_was_read_is_found_out() {
    let rules = Rules {
        faults: Faults::AtMost(0),
        sweeping: Sweeping::No,
        sending: Sending::AfterTheRead,
        ..Rules::ours()
    };
    assert_eq!(fails(&rules).wrong, Wrong::Stranded);
}

#[test]
fn an_effect_without_a_fence_is_found_out() {
    let rules = Rules { admits: |_, _| true, ..Rules::ours() };
    assert_eq!(fails(&rules).wrong, Wrong::StaleEffect);
}

#[test]
fn an_effect_that_is_made_again_is_found_out() {
    let rules = Rules { adoption: Adoption::Never, ..Rules::ours() };
    assert_eq!(fails(&rules).wrong, Wrong::DoubleEffect);
}

#[test]
fn claims_that_never_lapse_are_found_out() {
    let rules = Rules {
        take: |key, row, wanted| claim::take(key, row, &claim::Take { lapsed: None, ..wanted.clone() }),
        free_lapsed: |_, _, _, _| Err(Refused::FenceLost),
        workers: 2,
        keys: 1,
        ..Rules::ours()
    };
    assert_eq!(fails(&rules).wrong, Wrong::Stranded);
}

#[test]
fn a_release_without_a_last_look_is_found_out() {
    let rules = Rules {
        faults: Faults::AtMost(0),
        sweeping: Sweeping::No,
        last_look: LastLook::Never,
        ..Rules::ours()
    };
    assert_eq!(fails(&rules).wrong, Wrong::Stranded);
}
