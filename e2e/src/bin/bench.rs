//! Measures the running programs from outside and prints a table: memory and CPU when idle, time to ready, time from a
//! message to the agent's start, what one edit costs besides agent and build, accepted mails per second.

#![allow(clippy::print_stdout, reason = "the table is the answer")]

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use e2e::api::Api;
use e2e::figures::{self, lasted, step, time};
use e2e::mail::Letter;
use e2e::process::{Program, binary};
use e2e::reliability::burst;
use e2e::world::{World, demo_agent, plain_site};
use tokio::task::JoinSet;

/// In this order; each can be asked for alone.
const PARTS: [&str; 10] =
    ["idle", "ready", "edits", "mails", "answered", "steady", "interrupts", "second-user", "growth", "jobs"];
const EDITS: usize = 30;
const MAILS: usize = 3000;
const AT_ONCE: usize = 64;
const ANSWERED: usize = 1000;
const STEADY: usize = 2000;
const SITES: usize = 10;
const OWNERS: usize = 10;
/// Of the kernel's accounting (`USER_HZ`).
const MILLIS_PER_TICK: f64 = 10.0;
const JOB_LIMIT: Duration = Duration::from_mins(1);

/// One line of the table.
struct Row {
    what: &'static str,
    bar: String,
    figure: String,
    holds: Holds,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Holds {
    Yes,
    No,
}

impl Row {
    fn at_most(what: &'static str, unit: &str, bar: f64, figure: f64) -> Self {
        let holds = if figure <= bar { Holds::Yes } else { Holds::No };
        Self { what, bar: format!("<= {bar} {unit}"), figure: format!("{figure:.2} {unit}"), holds }
    }

    fn at_least(what: &'static str, unit: &str, bar: f64, figure: f64) -> Self {
        let holds = if figure >= bar { Holds::Yes } else { Holds::No };
        Self { what, bar: format!(">= {bar} {unit}"), figure: format!("{figure:.0} {unit}"), holds }
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let asked: Vec<String> = std::env::args().skip(1).collect();
    ensure!(
        asked.iter().all(|part| PARTS.contains(&part.as_str())),
        "usage: bench [PART...], PART of {PARTS:?}; all when none is named"
    );
    println!("| what | bar | measured | holds |\n|---|---|---|---|");
    for part in PARTS.iter().filter(|part| asked.is_empty() || asked.iter().any(|asked| asked == *part)) {
        print(&match *part {
            "idle" => idle().await?,
            "ready" => ready().await?,
            "edits" => edits().await?,
            "mails" => mails_per_second().await?,
            "answered" => vec![answered_mails().await?],
            "steady" => vec![steady_mails().await?],
            "interrupts" => making_way().await?,
            "second-user" => vec![second_user().await?],
            "growth" => growth().await?,
            _ => thousands_of_jobs().await?,
        });
    }
    Ok(())
}

/// Each as soon as it is known.
fn print(rows: &[Row]) {
    for row in rows {
        let holds = if row.holds == Holds::Yes { "yes" } else { "NO" };
        println!("| {} | {} | {} | {holds} |", row.what, row.bar, row.figure);
    }
}

/// Memory and CPU of both programs while nothing happens.
async fn idle() -> anyhow::Result<Vec<Row>> {
    const WATCHED: Duration = Duration::from_secs(20);
    let mut world = World::temporary()?;
    world.start_hermes("127.0.0.1:0").await?;
    world.start_worker(&demo_agent("")?, &[]).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = (world.hermes()?.cpu_ticks()?, world.workers[0].cpu_ticks()?);
    tokio::time::sleep(WATCHED).await;
    let mib = |program: &Program| Ok::<_, anyhow::Error>(figure(program.resident_bytes()?) / 1024.0 / 1024.0);
    let percent = |ticks: u64| figure(ticks) / WATCHED.as_secs_f64();
    let hermes = world.hermes()?;
    let (hermes_mib, hermes_cpu) = (mib(hermes)?, percent(hermes.cpu_ticks()? - before.0));
    let worker = &world.workers[0];
    let (worker_mib, worker_cpu) = (mib(worker)?, percent(worker.cpu_ticks()? - before.1));
    world.stop().await?;
    Ok(vec![
        Row::at_most("hermes, idle memory", "MiB", 20.0, hermes_mib),
        Row::at_most("worker, idle memory", "MiB", 25.0, worker_mib),
        Row::at_most("hermes, idle CPU", "%", 0.5, hermes_cpu),
        Row::at_most("worker, idle CPU", "%", 0.5, worker_cpu),
    ])
}

/// From start to the ready line, on an existing data directory; the median of nine.
async fn ready() -> anyhow::Result<Vec<Row>> {
    let mut world = World::temporary()?;
    let (mut hermes, mut worker) = (Vec::new(), Vec::new());
    let (path, worker_path, agent) = (binary("hermes")?, binary("worker")?, demo_agent("")?);
    for _ in 0..9 {
        let begun = Instant::now();
        world.start_hermes_with(&path, "127.0.0.1:0", &[]).await?;
        hermes.push(begun.elapsed());
        let begun = Instant::now();
        world.start_worker_with(&worker_path, &agent, &[]).await?;
        worker.push(begun.elapsed());
        world.stop().await?;
    }
    Ok(vec![
        Row::at_most("hermes, start to ready (median of 9)", "ms", 100.0, millis(quantile(&mut hermes, 50))),
        Row::at_most("worker, start to ready (median of 9)", "ms", 100.0, millis(quantile(&mut worker, 50))),
    ])
}

/// One edit after the other by the demo agent, on a site whose build is a copy.
async fn edits() -> anyhow::Result<Vec<Row>> {
    let (mut world, api, _site) = bakery().await?;
    world.start_worker(&demo_agent("")?, &[]).await?;
    let (mut starts, mut besides) = (Vec::new(), Vec::new());
    for number in 0..=EDITS {
        // Every mail starts a conversation of its own, from the same default branch.
        let letter =
            Letter::new("amelia@example.org", "Hours", &format!("change \"7 to 18\" to \"8 to {number}\""));
        let begun = Instant::now();
        let accepted = api.order(letter.to_bytes()).await?;
        let command = accepted["commandId"].as_str().context("a commandId")?.to_owned();
        let job = api.job_done(&command, JOB_LIMIT).await?;
        api.answered(accepted["mailId"].as_str().context("a mailId")?, JOB_LIMIT).await?;
        let whole = begun.elapsed();
        if number == 0 {
            continue; // the first one clones
        }
        starts.push(step(&job, "agent", "startedAt")?.since(time(&job["createdAt"])?));
        let outside = [lasted(&job, "agent")?, lasted(&job, "build")?].iter().sum();
        besides.push(whole.saturating_sub(outside));
    }
    world.stop().await?;
    Ok(vec![
        Row::at_most(
            "FIFO message to agent start, warm checkout, p50",
            "ms",
            50.0,
            millis(quantile(&mut starts, 50)),
        ),
        Row::at_most(
            "FIFO message to agent start, warm checkout, p99",
            "ms",
            200.0,
            millis(quantile(&mut starts, 99)),
        ),
        Row::at_most(
            "one edit besides agent and build, mail to answer, p50",
            "ms",
            1500.0,
            millis(quantile(&mut besides, 50)),
        ),
        Row::at_most(
            "one edit besides agent and build, mail to answer, p99",
            "ms",
            1500.0,
            millis(quantile(&mut besides, 99)),
        ),
    ])
}

/// Mails posted by many senders at once, each counted, durable and dispatched before its 202; and what one costs in hermes.
async fn mails_per_second() -> anyhow::Result<Vec<Row>> {
    let (mut world, api) = agency().await?;
    let before = world.hermes()?.cpu_ticks()?;
    let begun = Instant::now();
    let mut posts = JoinSet::new();
    for number in 0..MAILS {
        if posts.len() == AT_ONCE {
            posts.join_next().await.context("a post")???;
        }
        posts.spawn(post(api.clone(), number));
    }
    while let Some(posted) = posts.join_next().await {
        posted??;
    }
    let took = begun.elapsed().as_secs_f64();
    let spent = world.hermes()?.cpu_ticks()? - before;
    world.stop().await?;
    let mails = f64::from(u32::try_from(MAILS)?);
    Ok(vec![
        Row::at_least("P3 accepted mails, durable, 64 at once", "per s", 1000.0, mails / took),
        Row::at_most(
            "P2 CPU in hermes per accepted mail",
            "ms",
            1.5,
            figure(spent) * MILLIS_PER_TICK / mails,
        ),
    ])
}

/// Commands are answered as they are accepted: a letter is written, laid out, kept and put into the outbox.
async fn answered_mails() -> anyhow::Result<Row> {
    let (mut world, api) = agency().await?;
    let before = world.hermes()?.cpu_ticks()?;
    for number in 0..ANSWERED {
        let letter = Letter::new(&sender(number), "Please", "help");
        let (status, body) = api.post_mail(letter.to_bytes()).await?;
        ensure!(body["ending"] == "command-done", "{status} {body}");
    }
    // They are sent by a loop of its own.
    let all = || async { Ok((std::fs::read_dir(world.outbox())?.count() >= ANSWERED).then_some(())) };
    e2e::wait::until("the last letters", Duration::from_mins(1), all).await?;
    let spent = world.hermes()?.cpu_ticks()? - before;
    world.stop().await?;
    let each = figure(spent) * MILLIS_PER_TICK / f64::from(u32::try_from(ANSWERED)?);
    Ok(Row::at_most("P2 the same, answered at once with a letter in the outbox", "ms", 1.5, each))
}

/// Mails posted one after the other at a steady pace, whatever became of those before.
async fn steady_mails() -> anyhow::Result<Row> {
    const PACE: Duration = Duration::from_millis(5);
    let (mut world, api) = agency().await?;
    let mut posts = JoinSet::new();
    let mut pace = tokio::time::interval(PACE);
    for number in 0..STEADY {
        pace.tick().await;
        let api = api.clone();
        posts.spawn(async move {
            let begun = Instant::now();
            post(api, number).await.map(|()| begun.elapsed())
        });
    }
    let mut waits = Vec::new();
    while let Some(posted) = posts.join_next().await {
        waits.push(posted??);
    }
    world.stop().await?;
    let p99 = millis(quantile(&mut waits, 99));
    Ok(Row::at_most("P4 webhook to durable acknowledgement at 200 per s, p99", "ms", 20.0, p99))
}

async fn post(api: Api, number: usize) -> anyhow::Result<()> {
    let words = format!("change \"7 to 18\" to \"{number}\"");
    api.order(Letter::new(&sender(number), "Hours", &words).to_bytes()).await.map(drop)
}

fn sender(number: usize) -> String {
    format!("owner-{}@example.org", number % (SITES * OWNERS))
}

/// Many sites of many owners, under the limits of every installation but the one on answers.
async fn agency() -> anyhow::Result<(World, Api)> {
    let limits = [("HERMES_SENDER_MAILS_PER_HOUR", "200"), ("HERMES_PROJECT_MAILS_PER_HOUR", "1000")];
    let mut world = World::temporary()?;
    let api = world.start_hermes_with(&binary("hermes")?, "127.0.0.1:0", &limits).await?;
    for number in 0..SITES * OWNERS {
        let site = format!("site-{}", number % SITES);
        if number < SITES {
            let body = serde_json::json!({"repoUrl": format!("https://github.com/you/{site}.git")});
            api.put(&format!("/v1/projects/{site}"), &body).await?;
        }
        let body = serde_json::json!({"projectId": site, "userId": format!("owner-{number}")});
        api.put(&format!("/v1/senders/{}", sender(number)), &body).await?;
    }
    Ok((world, api))
}

/// Newer work interrupts a running job, whose agent ends when it is asked to, or never.
async fn making_way() -> anyhow::Result<Vec<Row>> {
    let obeys = demo_agent("--hang")?;
    let mut obeying = figures::interrupts(&obeys, 20).await?;
    let mut deaf = figures::interrupts(&format!("env --ignore-signal=TERM {obeys}"), 5).await?;
    let seconds = |times: &mut [Duration]| quantile(times, 95).as_secs_f64();
    Ok(vec![
        Row::at_most("interrupt to work kept, an agent that obeys, p95", "s", 1.0, seconds(&mut obeying)),
        Row::at_most("interrupt to work kept, an agent that does not, p95", "s", 6.0, seconds(&mut deaf)),
    ])
}

/// One worker at its capacity with an idle claim, somebody else writes.
async fn second_user() -> anyhow::Result<Row> {
    let mut times = figures::second_user(&demo_agent("")?, 10).await?;
    let slowest = quantile(&mut times, 100).as_secs_f64();
    Ok(Row::at_most("second user of the only worker, mail to job start, slowest of 10", "s", 5.0, slowest))
}

/// 10,000 project+users and 100,000 threads are stored, against none.
async fn growth() -> anyhow::Result<Vec<Row>> {
    let (empty, full) = figures::growth(&demo_agent("")?, 10_000, 100_000).await?;
    let ratio = |full: Duration, empty: Duration| full.as_secs_f64() / empty.as_secs_f64();
    let (taken, claimed) = (ratio(full.taken, empty.taken), ratio(full.claimed, empty.claimed));
    Ok(vec![
        Row::at_most("mail to 202, 10,000 users and 100,000 threads stored / none", "x", 1.2, taken),
        Row::at_most("order to job start, the same", "x", 1.2, claimed),
    ])
}

/// 50 users order 40 times each from two workers: what is bigger after the last round than after the first.
async fn thousands_of_jobs() -> anyhow::Result<Vec<Row>> {
    let burst = burst(2, 50, 40).await?;
    println!("\n{burst}\n");
    let times = |last: u64, first: u64| figure(last) / figure(first);
    let worst = |of: fn(&[u64; 2], &[u64; 2]) -> (u64, u64), name: &str| {
        let programs = burst.growth.iter().filter(|(program, ..)| program.starts_with(name));
        programs
            .map(|(_, first, last)| of(first, last))
            .map(|(first, last)| times(last, first))
            .fold(0.0, f64::max)
    };
    let memory = |first: &[u64; 2], last: &[u64; 2]| (first[0], last[0]);
    let files = |first: &[u64; 2], last: &[u64; 2]| (first[1], last[1]);
    Ok(vec![
        Row::at_most("hermes, memory after 2,000 jobs / after 50", "x", 1.2, worst(memory, "hermes")),
        Row::at_most("worker, memory after 1,000 jobs / after 25", "x", 1.2, worst(memory, "worker")),
        Row::at_most("open files of either, the same", "x", 1.2, worst(files, "")),
    ])
}

async fn bakery() -> anyhow::Result<(World, Api, tempfile::TempDir)> {
    let mut world = World::temporary()?;
    let api = world.start_hermes("127.0.0.1:0").await?;
    let (folder, build) = plain_site()?;
    world.add_project("bakery", folder.path(), Some(build), ("amelia@example.org", "amelia")).await?;
    Ok((world, api, folder))
}

/// The smallest duration that `percent` of them do not exceed.
fn quantile(all: &mut [Duration], percent: usize) -> Duration {
    all.sort();
    let rank = (all.len() * percent).div_ceil(100).clamp(1, all.len().max(1));
    all.get(rank - 1).copied().unwrap_or_default()
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

#[allow(clippy::cast_precision_loss, reason = "figures far below 2^52")]
fn figure(count: u64) -> f64 {
    count as f64
}
