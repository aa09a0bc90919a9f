//! What the programs' steps cost beside those that people would use instead: checkouts beside `git clone --depth 1`,
//! publications to S3 beside s5cmd, the AWS CLI and rclone; in turns, five rounds. And what a mail costs over an
//! AWS-compatible endpoint. Requests are counted by a front before the endpoint, for everybody alike.

#![allow(clippy::print_stdout, reason = "the table is the answer")]
#![allow(clippy::disallowed_methods, reason = "it measures other programs, and is none that is shipped")]

#[path = "rivals/checkouts.rs"]
mod checkouts;
#[path = "rivals/endpoint.rs"]
mod endpoint;
#[path = "rivals/mails.rs"]
mod mails;
#[path = "rivals/publications.rs"]
mod publications;

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

/// Each can be asked for alone.
const PARTS: [&str; 3] = ["mails", "checkouts", "publications"];
const ROUNDS: usize = 5;
const LIMIT: Duration = Duration::from_mins(2);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let asked: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    ensure!(
        asked.iter().all(|part| PARTS.contains(&part.as_str())),
        "usage: rivals [PART...], PART of {PARTS:?}; all when none is named"
    );
    let mut held = Vec::new();
    for part in PARTS.iter().filter(|part| asked.is_empty() || asked.iter().any(|asked| asked == *part)) {
        held.extend(match *part {
            "mails" => mails::count().await?,
            "checkouts" => checkouts::compare().await?,
            _ => publications::compare().await?,
        });
    }
    println!("\n| what | bar | measured | holds |\n|---|---|---|---|");
    for (what, bar, measured) in &held {
        let (sign, holds) = match bar {
            Bar::AtMost(bar) => (format!("<= {bar}"), measured <= bar),
            Bar::AtLeast(bar) => (format!(">= {bar}"), measured >= bar),
        };
        println!("| {what} | {sign} | {measured:.2} | {} |", if holds { "yes" } else { "NO" });
    }
    Ok(())
}

/// What a figure is held to.
#[derive(Clone, Copy)]
enum Bar {
    AtMost(f64),
    AtLeast(f64),
}

/// A line of the second table.
type Held = (String, Bar, f64);

/// The times of one thing, and what else there is to say of it.
struct Times {
    what: &'static str,
    all: Vec<Duration>,
    besides: String,
}

impl Times {
    fn of(what: &'static str) -> Self {
        Self { what, all: Vec::new(), besides: String::new() }
    }

    fn median(&self) -> f64 {
        let mut all = self.all.clone();
        all.sort();
        all.get(all.len() / 2).copied().unwrap_or_default().as_secs_f64()
    }

    fn print(all: &[&Self]) {
        println!("\n| what | least | median | most | besides |\n|---|---|---|---|---|");
        for times in all {
            let [least, most] = [times.all.iter().min(), times.all.iter().max()]
                .map(|time| time.copied().unwrap_or_default().as_secs_f64());
            let (what, median, besides) = (times.what, times.median(), &times.besides);
            println!("| {what} | {least:.3} s | {median:.3} s | {most:.3} s | {besides} |");
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "figures far below 2^52")]
fn figure(count: usize) -> f64 {
    count as f64
}

/// Runs a program to its end.
fn timed(command: &mut Command) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    let output = command.output().with_context(|| format!("{command:?} does not start: run `make bench`"))?;
    let took = begun.elapsed();
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(took)
}
