//! Disasters for longer than a test run has time for, and the figures: every named point of a job killed, frozen and ended,
//! so many rounds; a burst of many users; a storm of kills and failing calls.

#![allow(clippy::print_stdout, reason = "the figures are the answer")]

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use common::checkpoint::Point;
use e2e::reliability::{Disaster, Met, Weather, burst, meet_all, storm};

/// Disasters for the real programs (debug builds).
#[derive(Parser)]
struct Arguments {
    /// How often every point meets each disaster.
    #[arg(long, env = "ROUNDS", default_value_t = 50)]
    rounds: usize,
    /// Users that write at once.
    #[arg(long, env = "USERS", default_value_t = 200)]
    users: usize,
    /// How often they do so: nothing may grow.
    #[arg(long, env = "TIMES", default_value_t = 10)]
    times: usize,
    /// Mails of the storm.
    #[arg(long, env = "MAILS", default_value_t = 10_000)]
    mails: u64,
    /// Kills of the storm.
    #[arg(long, env = "KILLS", default_value_t = 200)]
    kills: u64,
    /// The seed of the storm.
    #[arg(long, env = "SEED", default_value_t = 1)]
    seed: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let mut holds = true;
    for disaster in [Disaster::Killed, Disaster::Frozen, Disaster::Ended] {
        holds &= rounds(disaster, arguments.rounds).await?;
    }
    if arguments.users > 0 {
        println!("two workers: {}", burst(2, arguments.users, 1).await?);
        println!("three workers: {}", burst(3, arguments.users, arguments.times).await?);
    }
    if arguments.mails > 0 {
        let Arguments { mails, kills, seed, .. } = arguments;
        let storm = storm(Weather { seed, mails, kills, faults_percent: 5 }).await?;
        println!("{storm}");
        holds &= storm.is_clean();
    }
    Ok(if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn rounds(disaster: Disaster, rounds: usize) -> anyhow::Result<bool> {
    let all: Vec<Point> = Point::ALL
        .iter()
        .copied()
        .filter(|point| {
            disaster != Disaster::Frozen || !matches!(point, Point::ResultSent | Point::MessageDeleted)
        })
        .collect();
    let mut met: Vec<Met> = Vec::new();
    for _ in 0..rounds {
        met.extend(meet_all(all.clone(), disaster).await?);
    }
    let late = met.iter().filter(|one| disaster == Disaster::Killed && !one.in_time()).count();
    let slowest = met.iter().filter_map(|one| one.taken_over).max().unwrap_or(Duration::ZERO);
    println!(
        "{disaster:?}: {} points x {rounds}, effects exactly once in all, slowest take-over {:.1} s (lease 5 s), later than two leases {late}",
        all.len(),
        slowest.as_secs_f64()
    );
    Ok(late == 0)
}
