//! Random schedules against the claims; `make chaos` plays twenty times as many.

#![allow(clippy::print_stdout, reason = "the counts are part of the answer")]

use e2e::chaos::{self, Fences};

#[tokio::test]
async fn random_schedules_make_no_stale_or_double_effect_and_strand_nothing() {
    let bad = |seed| println!("bad: SEED={seed} make chaos");
    let tally = chaos::run(0..500, Fences::Kept, bad).await.unwrap();
    println!("{tally}");
    assert!(tally.is_clean(), "{tally}");
    assert!(tally.is_telling(), "{tally}");
}

#[tokio::test]
async fn schedules_without_fences_are_found_out() {
    let tally = chaos::run(0..50, Fences::TakenOut, |_| {}).await.unwrap();
    assert!(tally.stale_effects > 0, "{tally}");
}
