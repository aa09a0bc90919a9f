//! Instructions while programs are killed at random, calls fail, answers get lost and mails come twice: in the end every
//! accepted mail is done or dead-lettered, with one answer and at most one commit.

use std::collections::BTreeSet;
use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::chaos::Dice;
use crate::mail::Letter;
use crate::process::binary;
use crate::remote::Remote;
use crate::wait;
use crate::world::{World, demo_agent, plain_site};

const USERS: u64 = 12;
const WORKERS: usize = 3;
const HERMES: [(&str, &str); 1] = [("HERMES_SWEEP_SECS", "1")];
const WORKER: [(&str, &str); 2] = [("HERMES_LEASE_SECS", "3"), ("SHUTDOWN_GRACE_SECS", "12")];
const LIMIT: Duration = Duration::from_hours(1);
/// So many mails are on their way at once, so that whoever is killed is in the middle of something.
const AHEAD: usize = 100;
/// Every hundredth mail comes twice.
const TWICE_PERCENT: u64 = 1;

/// What is in store.
#[derive(Debug, Clone, Copy)]
pub struct Weather {
    /// The seed of everything that happens by chance.
    pub seed: u64,
    /// How many mails.
    pub mails: u64,
    /// How many `kill -9` of either program.
    pub kills: u64,
    /// So many percent of all calls fail, and so many lose their answers.
    pub faults_percent: u32,
}

/// How it went.
#[derive(Debug, Clone, Default)]
pub struct Storm {
    /// Mails that were accepted.
    pub accepted: u64,
    /// Jobs that changed the site.
    pub changed: u64,
    /// Jobs that ended otherwise: each has its answer.
    pub otherwise: u64,
    /// Mails that were posted twice.
    pub twice: u64,
    /// Kills of hermes and of workers.
    pub kills: [u64; 2],
    /// Accepted and neither done nor dead-lettered.
    pub lost: u64,
    /// Jobs with more than one commit, or an answer more or less than one.
    pub doubled: u64,
    /// How long it took.
    pub took: Duration,
}

impl fmt::Display for Storm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "accepted {}, of these twice {}, in {:.0} s",
            self.accepted,
            self.twice,
            self.took.as_secs_f64()
        )?;
        writeln!(f, "kill -9 of hermes {}, of workers {}", self.kills[0], self.kills[1])?;
        write!(
            f,
            "changed {}, ended otherwise {}, lost {} (0), doubled {} (0)",
            self.changed, self.otherwise, self.lost, self.doubled
        )
    }
}

impl Storm {
    /// Nothing lost, nothing doubled.
    pub fn is_clean(&self) -> bool {
        self.lost + self.doubled == 0 && self.accepted == self.changed + self.otherwise
    }
}

struct Sea {
    world: World,
    remote: Remote,
    dice: Dice,
    weather: Weather,
    storm: Storm,
    starts: u64,
    commands: Vec<(String, String)>,
    settled: usize,
}

/// Lets it come.
pub async fn storm(weather: Weather) -> anyhow::Result<Storm> {
    let begun = Instant::now();
    let mut world = World::temporary()?;
    let (site, build) = plain_site()?;
    world.start_hermes_with(&binary("hermes")?, "127.0.0.1:0", &HERMES).await?;
    let remote =
        world.add_project("bakery", site.path(), Some(build), ("user-0@example.org", "user-0")).await?;
    for user in 1..USERS {
        let body = json!({"projectId": "bakery", "userId": format!("user-{user}")});
        world.api()?.put(&format!("/v1/senders/user-{user}@example.org"), &body).await?;
    }
    let dice = Dice::seeded(weather.seed);
    let (storm, commands) = (Storm::default(), Vec::new());
    let mut sea = Sea { world, remote, dice, weather, storm, starts: 0, commands, settled: 0 };
    for _ in 0..WORKERS {
        sea.start_worker().await?;
    }
    for number in 0..weather.mails {
        sea.settle_but(AHEAD).await?;
        sea.post(number).await?;
        // As many kills as asked for, spread over the mails.
        if (number + 1) * weather.kills / weather.mails > number * weather.kills / weather.mails {
            sea.kill().await?;
        }
    }
    sea.settle_but(0).await?;
    sea.judge().await?;
    sea.world.stop().await?;
    sea.storm.took = begun.elapsed();
    Ok(sea.storm)
}

impl Sea {
    fn faults(&mut self) {
        self.starts += 1;
        let chance = format!("{}:{}", self.weather.seed * 1000 + self.starts, self.weather.faults_percent);
        self.world.further = match self.weather.faults_percent {
            0 => Vec::new(),
            _ => vec!["--faults".to_owned(), chance],
        };
    }

    async fn start_worker(&mut self) -> anyhow::Result<()> {
        self.faults();
        self.world.start_worker(&demo_agent("")?, &WORKER).await
    }

    /// Posts a mail until it is taken, as whoever sends mails does.
    async fn post(&mut self, number: u64) -> anyhow::Result<()> {
        let user = self.dice.roll(USERS);
        let wish = format!("change \"7 to 18\" to \"8 to {number}\"");
        let letter = Letter::new(&format!("user-{user}@example.org"), "Hours", &wish).to_bytes();
        let times = if self.dice.percent(TWICE_PERCENT) { 2 } else { 1 };
        self.storm.twice += times - 1;
        let mut answers = BTreeSet::new();
        for _ in 0..times {
            let api = self.world.api()?.clone();
            let taken = wait::until("the mail to be taken", LIMIT, || async {
                match api.post_mail(letter.clone()).await {
                    Ok((StatusCode::ACCEPTED, answer)) => Ok(Some(answer)),
                    Ok((status, _)) if status.is_server_error() => Ok(None),
                    Ok((status, answer)) => bail!("{status} {answer}"),
                    Err(_) => Ok(None),
                }
            });
            let answer = taken.await?;
            let text = |field: &str| answer[field].as_str().map(ToOwned::to_owned);
            answers.insert((text("commandId").context("a commandId")?, text("mailId").context("a mailId")?));
        }
        ensure!(answers.len() == 1, "one mail became two: {answers:?}");
        self.storm.accepted += 1;
        self.commands.extend(answers);
        Ok(())
    }

    async fn kill(&mut self) -> anyhow::Result<()> {
        if self.dice.percent(25) {
            self.world.hermes()?.kill().await?;
            self.storm.kills[0] += 1;
            self.faults();
            self.world.start_hermes_with(&binary("hermes")?, "127.0.0.1:0", &HERMES).await?;
        } else {
            let place = usize::try_from(self.dice.roll(WORKERS as u64))?;
            self.world.workers[place].kill().await?;
            self.world.workers.swap_remove(place);
            self.storm.kills[1] += 1;
            self.start_worker().await?;
        }
        Ok(())
    }

    /// Waits for the ending of every mail but the last ones.
    async fn settle_but(&mut self, last: usize) -> anyhow::Result<()> {
        let api = self.world.api()?;
        let due = self.commands.len().saturating_sub(last).max(self.settled);
        for (command, mail) in &self.commands[self.settled..due] {
            let (job, answer) = (format!("/v1/jobs/{command}"), format!("/v1/mails/{mail}"));
            wait::until(&format!("the ending of {command}"), LIMIT, || async {
                let ends = |found: anyhow::Result<Value>, field: &str| {
                    found.ok().is_some_and(|value| value[field].is_string())
                };
                let done = ends(api.get(&job).await, "finishedAt");
                Ok((done && ends(api.get(&answer).await, "replyMessageId")).then_some(()))
            })
            .await?;
        }
        self.settled = due;
        Ok(())
    }

    async fn judge(&mut self) -> anyhow::Result<()> {
        let api = self.world.api()?.clone();
        let answers = self.world.answers()? as u64;
        for (command, _) in &self.commands {
            let path = format!("/v1/jobs/{command}");
            let job = wait::until("a job", LIMIT, || async { Ok(api.get(&path).await.ok()) }).await?;
            if job["state"] != "done" {
                self.storm.lost += 1;
            } else if job["outcome"] == "changed" {
                let branch = job["branch"].as_str().context("a branch")?;
                self.storm.changed += 1;
                self.storm.doubled += u64::from(self.remote.finished_commits(branch, command)? != 1);
            } else {
                self.storm.otherwise += 1;
            }
        }
        self.storm.doubled += answers.abs_diff(self.storm.accepted);
        Ok(())
    }
}
