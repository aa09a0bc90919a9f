//! Many users at once, a few workers: everybody is served, in fair order, and nothing grows.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use common::domain::ids::ProjectUser;
use common::domain::timestamp::Timestamp;
use serde_json::{Value, json};

use super::traces::Traces;
use crate::api::Api;
use crate::mail::Letter;
use crate::process::Program;
use crate::world::{World, demo_agent, plain_site};

const LIMIT: Duration = Duration::from_mins(20);

/// How it went.
#[derive(Debug, Clone)]
pub struct Burst {
    /// Users that were served.
    pub served: usize,
    /// Jobs of each worker.
    pub by_worker: BTreeMap<String, usize>,
    /// By how many places somebody was served later than they came, at most.
    pub overtaken: usize,
    /// From the first mail to the last end.
    pub took: Duration,
    /// Memory in KiB and open files of each program, after the first round and after the last.
    pub growth: Vec<(String, [u64; 2], [u64; 2])>,
    /// What stays behind.
    pub traces: Traces,
}

impl fmt::Display for Burst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "users served {}, in {:.1} s", self.served, self.took.as_secs_f64())?;
        writeln!(f, "jobs of each worker {:?}", self.by_worker.values().collect::<Vec<_>>())?;
        write!(f, "served later than they came by at most {} places", self.overtaken)?;
        for (name, first, last) in &self.growth {
            write!(f, "\n{name}: {} -> {} KiB, {} -> {} open files", first[0], last[0], first[1], last[1])?;
        }
        write!(f, "\n{}", self.traces)
    }
}

/// So many users write at once, `rounds` times; so many workers serve them.
pub async fn burst(workers: usize, users: usize, rounds: usize) -> anyhow::Result<Burst> {
    let mut world = World::temporary()?;
    let api = world.start_hermes("127.0.0.1:0").await?;
    for _ in 0..workers {
        world.start_worker(&demo_agent("")?, &[]).await?;
    }
    let (site, build) = plain_site()?;
    let remote =
        world.add_project("bakery", site.path(), Some(build), ("user-0@example.org", "user-0")).await?;
    for user in 1..users {
        let body = json!({"projectId": "bakery", "userId": format!("user-{user}")});
        api.put(&format!("/v1/senders/user-{user}@example.org"), &body).await?;
    }
    let begun = Instant::now();
    let (mut jobs, mut sizes) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        jobs.push(one_round(&api, users, round).await?);
        sizes.push(sizes_of(&mut world)?);
        remote.pack().await?;
    }
    let took = begun.elapsed();
    let all: Vec<&Value> = jobs.iter().flatten().collect();
    for job in &all {
        ensure!(job["outcome"] == "changed", "{job}");
        let branch = job["branch"].as_str().context("a branch")?;
        ensure!(remote.commits_beyond_main(branch)? == 1, "not one commit: {job}");
    }
    let answers = world.answers()?;
    ensure!(answers == all.len(), "{answers} answers to {} mails", all.len());
    let mut by_worker = BTreeMap::new();
    for job in &all {
        *by_worker.entry(job["workerId"].to_string()).or_default() += 1;
    }
    let overtaken = jobs.iter().map(|round| overtaken(round)).collect::<anyhow::Result<Vec<_>>>()?;
    let (first, last) = (sizes.first().cloned().unwrap_or_default(), sizes.pop().unwrap_or_default());
    let keys = (0..users).map(|user| ProjectUser::parse(&format!("bakery#user-{user}")));
    let traces = Traces::of(&world, &keys.collect::<Result<Vec<_>, _>>()?).await?;
    traces.are_no_more_than(all.len(), users, workers)?;
    let growth = first.into_iter().zip(last).map(|((name, first), (_, last))| (name, first, last)).collect();
    world.stop().await?;
    let overtaken = overtaken.into_iter().max().unwrap_or(0);
    Ok(Burst { served: all.len(), by_worker, overtaken, took, growth, traces })
}

/// The jobs of all users, in the order in which their mails came.
async fn one_round(api: &Api, users: usize, round: usize) -> anyhow::Result<Vec<Value>> {
    let mut commands = Vec::new();
    for user in 0..users {
        // No two are alike, and none is what stands there already.
        let wish = format!("change \"7 to 18\" to \"user {user}, round {round}\"");
        let letter = Letter::new(&format!("user-{user}@example.org"), "Hours", &wish);
        let accepted = api.order(letter.to_bytes()).await?;
        let text = |field: &str| accepted[field].as_str().map(ToOwned::to_owned).context("an id");
        commands.push((text("commandId")?, text("mailId")?));
    }
    let mut jobs = Vec::new();
    for (command, mail) in commands {
        jobs.push(api.job_done(&command, LIMIT).await?);
        api.answered(&mail, LIMIT).await?;
    }
    Ok(jobs)
}

/// By how many places somebody began later than they came, at most.
fn overtaken(jobs: &[Value]) -> anyhow::Result<usize> {
    let mut begun = Vec::new();
    for (place, job) in jobs.iter().enumerate() {
        let at = job["steps"][0]["startedAt"].as_str().and_then(Timestamp::parse).context("a first step")?;
        begun.push((at, place));
    }
    begun.sort_unstable();
    Ok(begun.iter().enumerate().map(|(turn, (_, place))| turn.saturating_sub(*place)).max().unwrap_or(0))
}

type Sizes = Vec<(String, [u64; 2])>;

fn sizes_of(world: &mut World) -> anyhow::Result<Sizes> {
    let size = |program: &Program| -> anyhow::Result<[u64; 2]> {
        Ok([program.resident_bytes()? / 1024, open_files(program.pid()?)?])
    };
    let mut sizes = vec![("hermes".to_owned(), size(world.hermes()?)?)];
    for (place, worker) in world.workers.iter().enumerate() {
        sizes.push((format!("worker {}", place + 1), size(worker)?));
    }
    Ok(sizes)
}

/// Without the few files by which processes wake each other: there are 64 of them, opened when first needed.
fn open_files(pid: u32) -> anyhow::Result<u64> {
    let mut count = 0;
    for entry in std::fs::read_dir(format!("/proc/{pid}/fd"))? {
        let file = std::fs::read_link(entry?.path()).unwrap_or_default();
        count += u64::from(!file.iter().any(|part| part == "wake"));
    }
    Ok(count)
}
