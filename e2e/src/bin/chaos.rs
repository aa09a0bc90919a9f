//! Plays seeded schedules of workers and hermes over the local cloud and prints what happened; red when something
//! happened that must not, or too little did.

#![allow(clippy::print_stdout, reason = "the counts are the answer")]

use std::process::ExitCode;

use clap::Parser;
use e2e::chaos::{self, Fences};

/// Random schedules against the claims.
#[derive(Parser)]
struct Arguments {
    /// How many schedules, with the seeds from 0 on.
    #[arg(long, env = "SCHEDULES", default_value_t = 10_000)]
    schedules: u64,
    /// Only this one.
    #[arg(long, env = "SEED")]
    seed: Option<u64>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let seeds = arguments.seed.map_or(0..arguments.schedules, |seed| seed..seed + 1);
    let bad = |seed| println!("bad: SEED={seed} make chaos");
    let tally = chaos::run(seeds, Fences::Kept, bad).await?;
    println!("{tally}");
    let enough = arguments.seed.is_some() || tally.is_telling();
    Ok(if tally.is_clean() && enough { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
