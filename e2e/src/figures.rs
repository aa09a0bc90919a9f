//! Times that several programs measure: how fast a job makes way, how soon a second user is served, what growth costs.

use std::time::{Duration, Instant};

use anyhow::Context;
use common::clock::Clock;
use common::cloud::{Cloud, local};
use common::domain::ids::{ProjectUser, ThreadId};
use common::domain::names::PreviewKey;
use common::domain::project::Sender;
use common::domain::thread::Thread;
use common::domain::timestamp::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::api::Api;
use crate::mail::Letter;
use crate::wait;
use crate::world::{World, plain_site};

const LIMIT: Duration = Duration::from_mins(2);

/// A world with the bakery of amelia, and further users of it.
pub async fn bakery(users: &[&str]) -> anyhow::Result<(World, Api, tempfile::TempDir)> {
    let mut world = World::temporary()?;
    let api = world.start_hermes("127.0.0.1:0").await?;
    let (folder, build) = plain_site()?;
    world.add_project("bakery", folder.path(), Some(build), ("amelia@example.org", "amelia")).await?;
    for user in users {
        let body = json!({"projectId": "bakery", "userId": user});
        api.put(&format!("/v1/senders/{user}@example.org"), &body).await?;
    }
    Ok((world, api, folder))
}

/// Orders work of a conversation of its own; its command.
pub async fn order(api: &Api, user: &str, wish: &str) -> anyhow::Result<String> {
    let letter = Letter::new(&format!("{user}@example.org"), wish, wish);
    let accepted = api.order(letter.to_bytes()).await?;
    accepted["commandId"].as_str().map(ToOwned::to_owned).context("a commandId")
}

/// From newer work's acceptance to the older job's row that says that its process group is gone and its work is kept.
pub async fn interrupts(agent: &str, times: usize) -> anyhow::Result<Vec<Duration>> {
    let (mut world, api, _site) = bakery(&[]).await?;
    world.start_worker(agent, &[]).await?;
    let mut all = Vec::new();
    for number in 0..times {
        let older = order(&api, "amelia", &format!("add a page about Rye {number}")).await?;
        becomes(&api, &older, "attempts").await?;
        let begun = Instant::now();
        let newer = order(&api, "amelia", &format!("add a page about Spelt {number}")).await?;
        becomes(&api, &older, "interruptions").await?;
        all.push(begun.elapsed());
        for command in [&older, &newer] {
            api.request(Method::POST, &format!("/v1/jobs/{command}/stop"), None).await?;
        }
        for command in [&older, &newer] {
            api.job_done(command, LIMIT).await?;
        }
    }
    world.stop().await?;
    Ok(all)
}

/// Waits until a count of a job is 1.
async fn becomes(api: &Api, command: &str, field: &str) -> anyhow::Result<()> {
    let path = format!("/v1/jobs/{command}");
    wait::until(&format!("{field} of {command}"), LIMIT, || async {
        Ok((api.get(&path).await?[field] == 1).then_some(()))
    })
    .await
}

/// Two users in turns on one worker that serves one at a time: from the acceptance of the mail to the start of its job.
pub async fn second_user(agent: &str, times: usize) -> anyhow::Result<Vec<Duration>> {
    let (mut world, api, _site) = bakery(&["bob"]).await?;
    world.start_worker(agent, &[]).await?;
    let mut all = Vec::new();
    for number in 0..=times {
        let user = if number % 2 == 0 { "amelia" } else { "bob" };
        let command = order(&api, user, &format!("add a page about Rye {number}")).await?;
        let job = api.job_done(&command, LIMIT).await?;
        if number > 0 {
            all.push(waited(&job)?);
        }
    }
    world.stop().await?;
    Ok(all)
}

/// From the order of a job to the start of its first step.
pub fn waited(job: &Value) -> anyhow::Result<Duration> {
    Ok(time(&job["steps"][0]["startedAt"])?.since(time(&job["createdAt"])?))
}

/// A time of one of a job's steps.
pub fn step(job: &Value, name: &str, field: &str) -> anyhow::Result<Timestamp> {
    let steps = job["steps"].as_array().context("steps")?;
    time(
        &steps
            .iter()
            .find(|step| step["name"] == name)
            .with_context(|| format!("no step {name} in {job}"))?[field],
    )
}

/// How long one of a job's steps took.
pub fn lasted(job: &Value, name: &str) -> anyhow::Result<Duration> {
    Ok(step(job, name, "endedAt")?.since(step(job, name, "startedAt")?))
}

/// A time of a record.
pub fn time(value: &Value) -> anyhow::Result<Timestamp> {
    value.as_str().and_then(Timestamp::parse).with_context(|| format!("{value} is no time"))
}

/// Median times of taking a mail, and of claiming a user who has no owner.
#[derive(Debug, Clone, Copy, Default)]
pub struct Latency {
    /// From the post to its 202.
    pub taken: Duration,
    /// From the order to the start of the job.
    pub claimed: Duration,
}

/// An empty system and one with so many project+users and threads, measured in turns.
pub async fn growth(agent: &str, users: usize, threads: usize) -> anyhow::Result<(Latency, Latency)> {
    const ROUNDS: usize = 5;
    const EACH: usize = 20;
    let names: Vec<String> = (0..ROUNDS * EACH).map(|number| format!("user-{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (mut empty, empty_api, _site) = bakery(&names).await?;
    let (mut full, full_api, _other) = bakery(&names).await?;
    fill(&local::open(&full.data_dir(), "webordinary".parse()?, Clock::System)?, users, threads).await?;
    for world in [&mut empty, &mut full] {
        world.start_worker(agent, &[("IDLE_RELEASE_SECS", "1")]).await?;
    }
    let mut times = [(Vec::new(), Vec::new()), (Vec::new(), Vec::new())];
    for round in names.chunks(EACH) {
        for (api, (taken, claimed)) in [&empty_api, &full_api].into_iter().zip(&mut times) {
            for user in round {
                let begun = Instant::now();
                let command = order(api, user, "change \"7 to 18\" to \"8 to 20\"").await?;
                taken.push(begun.elapsed());
                claimed.push(waited(&api.job_done(&command, LIMIT).await?)?);
            }
        }
    }
    empty.stop().await?;
    full.stop().await?;
    let [empty, full] =
        times.map(|(taken, claimed)| Latency { taken: median(taken), claimed: median(claimed) });
    Ok((empty, full))
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// Rows of senders and threads that nobody asks for.
async fn fill(cloud: &Cloud, users: usize, threads: usize) -> anyhow::Result<()> {
    const AT_ONCE: usize = 256;
    let mut writes = JoinSet::new();
    for number in 0..users.max(threads) {
        if writes.len() >= AT_ONCE {
            writes.join_next().await.context("a write")???;
        }
        let cloud = cloud.clone();
        writes.spawn(async move { fill_one(&cloud, number, users, threads).await });
    }
    while let Some(written) = writes.join_next().await {
        written??;
    }
    Ok(())
}

async fn fill_one(cloud: &Cloud, number: usize, users: usize, threads: usize) -> anyhow::Result<()> {
    let now = cloud.clock.now();
    let key = ProjectUser::parse(&format!("site-{}#stored-{}", number % users / 2, number % users))?;
    if number < users {
        let sender = json!({
            "address": format!("stored-{number}@example.org"), "projectId": key.project, "userId": key.user,
            "createdAt": now,
        });
        cloud.store.insert(&serde_json::from_value::<Sender>(sender)?).await?;
    }
    if number < threads {
        let thread_id = ThreadId::parse(&format!("stored-{number:06}"))?;
        let thread = json!({
            "threadId": thread_id, "projectKey": key, "projectId": key.project, "userId": key.user,
            "subject": "Hours", "branch": format!("thread-{thread_id}"), "previewKey": PreviewKey::random(),
            "createdAt": now, "lastActivity": now,
        });
        cloud.store.insert(&serde_json::from_value::<Thread>(thread)?).await?;
    }
    Ok(())
}
