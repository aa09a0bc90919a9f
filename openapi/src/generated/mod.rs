#![allow(
    clippy::all,
    clippy::pedantic,
    clippy::expect_used,
    missing_docs,
    dead_code,
    unreachable_pub,
    reason = "generated code"
)]
//! Generated from `hermes.json`.

#[rustfmt::skip]
mod client;
#[rustfmt::skip]
mod types;

pub use client::*;
pub use types::*;
