//! The contract suite on the local cloud, each case a test of its own, and what only the local cloud promises.
#![allow(clippy::unwrap_used, reason = "a test: a panic is how it fails")]

use common::clock::{Clock, SteppedClock};
use common::cloud::contract::{CASES, Passing, Stage};
use common::cloud::local;
use common::domain::names::Prefix;
use common::domain::timestamp::Timestamp;

const BEGINNING: Timestamp = Timestamp::from_millis(1_767_225_600_000);

fn run(name: &str) {
    let case = CASES.iter().find(|case| case.name == name).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let clock = SteppedClock::starting_at(BEGINNING);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let prefix = Prefix::parse("contract").unwrap();
        let cloud = local::open(dir.path(), prefix, Clock::Stepped(clock.clone())).unwrap();
        (case.run)(Stage::new(cloud, Passing::Stepped(clock))).await;
    });
}

macro_rules! tests {
    ($($door:ident { $($fact:ident: $needs:ident,)+ })+) => {
        $(mod $door {
            $(#[test]
            fn $fact() {
                super::run(concat!(stringify!($door), "::", stringify!($fact)));
            })+
        })+
    };
}

common::contract_cases!(tests);

#[test]
fn there_are_enough_cases() {
    assert!(CASES.len() >= 60, "{}", CASES.len());
}
