//! The facts about claims once more, over an AWS-compatible endpoint: the same tests, another world. Nothing in them
//! knows which one it is.
#![cfg(feature = "aws")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]
#![allow(
    clippy::duplicate_mod,
    reason = "each file brings the world along, as it does when it is a test of its own"
)]

#[path = "../claims.rs"]
mod claims;
#[path = "../contention.rs"]
mod contention;
#[path = "../interrupts.rs"]
mod interrupts;
#[path = "../program/killed.rs"]
mod killed;
#[path = "../support/mod.rs"]
mod support;
mod tokens;
