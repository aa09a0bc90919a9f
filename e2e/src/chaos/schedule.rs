//! One schedule from its seed: trouble first, then everything works again and all work must get done.

use std::time::Duration;

use common::clock::{Clock, SteppedClock};
use common::cloud::failing::{Calls, Failing, Fate, Plan, When};
use common::cloud::{Cloud, CloudError, local};
use common::domain::ids::{CommandId, ProjectUser};
use common::domain::job::Job;
use common::domain::names::Queue;
use common::domain::timestamp::Timestamp;
use common::messages::{Work, WorkDraft};
use serde_json::json;

use super::dice::Dice;
use super::hermes::Hermes;
use super::site;
use super::tally::Tally;
use super::worker::{Moment, Worker};

/// The lease of every claim.
pub(super) const LEASE: Duration = Duration::from_secs(45);
const WORKERS: usize = 3;
const KEYS: usize = 2;
const MESSAGES: usize = 4;
/// How many turns of trouble, and how many of peace at most, a schedule has; a turn is up to five seconds.
const TROUBLE: usize = 100;
const PEACE: usize = 600;

/// Whether stale writes are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fences {
    /// As in the programs.
    Kept,
    /// Taken out, to see that this is noticed.
    TakenOut,
}

/// Plays these seeds one after the other on one cloud in a temporary directory; the first bad seed is told.
pub async fn run(seeds: impl Iterator<Item = u64>, fences: Fences, on_bad: fn(u64)) -> anyhow::Result<Tally> {
    // A disk in memory, where there is one: every write waits for the disk.
    let memory = std::path::Path::new("/dev/shm");
    let place = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let dir = tempfile::Builder::new().prefix("hermes-chaos-").tempdir_in(place)?;
    let clock = SteppedClock::starting_at(Timestamp::from_millis(1_700_000_000_000));
    let cloud = local::open(dir.path(), "chaos".parse()?, Clock::Stepped(clock.clone()))?;
    let mut all = Tally::default();
    for seed in seeds {
        let tally = play(&cloud, &clock, seed, fences).await?;
        if !tally.is_clean() {
            on_bad(seed);
        }
        all += tally;
    }
    Ok(all)
}

async fn play(cloud: &Cloud, clock: &SteppedClock, seed: u64, fences: Fences) -> anyhow::Result<Tally> {
    let mut dice = Dice::seeded(seed);
    cloud.queues.remove_queue(&Queue::Unclaimed).await?;
    let works = works(cloud, seed, &mut dice).await?;
    let plan = Plan::seeded(seed).with(Calls::Any, When::Chance(0.3), Fate::LoseAnswer).with(
        Calls::Any,
        When::Chance(0.05),
        Fate::FailBefore,
    );
    let shaky = Failing::wrap(cloud.clone(), plan.clone());
    let mut tally = Tally { schedules: 1, ..Tally::default() };
    let mut hermes = Hermes::new(works.clone(), &mut dice);
    let mut workers =
        (0..WORKERS).map(|it| Worker::new(it, &mut dice)).collect::<anyhow::Result<Vec<_>>>()?;
    let mut at = Duration::from_secs(1);
    for turn in 0..TROUBLE + PEACE {
        let troubled = turn < TROUBLE;
        if turn == TROUBLE {
            plan.heal();
        }
        let awake = workers.iter().all(|worker| worker.paused_until.is_zero());
        if !troubled && awake && hermes.outbound.is_empty() && undone(cloud, &works).await? == 0 {
            break;
        }
        let pause = dice.secs(1, 5);
        clock.advance(pause);
        at += pause;
        let moment = Moment { cloud: &shaky, at, fences };
        hermes.step(&moment, &mut dice, &mut tally).await?;
        for index in 0..WORKERS {
            let worker = &workers[index];
            // The worst moment to wake: somebody newer has begun.
            let sleeps = at < worker.paused_until;
            if sleeps && !(dice.percent(30) && worker.is_superseded(cloud).await?) {
                continue;
            }
            workers[index].step(&moment, &mut dice, &mut tally).await?;
            if troubled {
                trouble(&mut workers, index, at, &mut dice);
            }
        }
        tally.two_owners += two_owners(&workers, at);
    }
    tally.lost_answers = plan.count_all(Fate::LoseAnswer);
    tally.stranded = undone(cloud, &works).await? + hermes.outbound.len() as u64;
    tally.done = works.len() as u64 - tally.stranded;
    for key in keys(seed)? {
        if let Some(stored) = cloud.store.load::<Job>(&site_row(&key)?).await? {
            site::judge(&stored.value, &mut tally);
        }
    }
    Ok(tally)
}

/// Stops a worker in the middle of its job, for longer than a lease, or kills it. One is left to take over.
fn trouble(workers: &mut [Worker], index: usize, at: Duration, dice: &mut Dice) {
    let paused = workers.iter().filter(|worker| !worker.paused_until.is_zero()).count();
    if paused < WORKERS - 1 && workers[index].is_working() && dice.percent(90) {
        workers[index].paused_until = at + dice.secs(120, 600);
    } else if dice.percent(2) {
        workers[index].crash();
    }
}

fn two_owners(workers: &[Worker], at: Duration) -> u64 {
    let acting: Vec<&ProjectUser> = workers.iter().filter_map(|worker| worker.acts_for(at)).collect();
    let twice = |(place, key): (usize, &&ProjectUser)| acting[..place].contains(key);
    acting.iter().enumerate().filter(|it| twice(*it)).count() as u64
}

fn keys(seed: u64) -> anyhow::Result<Vec<ProjectUser>> {
    (0..KEYS).map(|index| Ok(ProjectUser::parse(&format!("site{index}#user{seed}"))?)).collect()
}

/// The row that stands for what the world sees of a project+user.
pub(super) fn site_row(key: &ProjectUser) -> anyhow::Result<CommandId> {
    Ok(CommandId::parse(&format!("{}-{}", key.project, key.user))?)
}

/// The works of a schedule in no order, and the rows of their sites.
async fn works(cloud: &Cloud, seed: u64, dice: &mut Dice) -> anyhow::Result<Vec<Work>> {
    let mut works = Vec::new();
    for key in keys(seed)? {
        for index in 0..MESSAGES {
            works.push(work(&key, &format!("{}-{}-{index}", key.project, key.user))?);
        }
        let site = work(&key, site_row(&key)?.as_str())?.to_job(cloud.clock.now());
        cloud.store.save(&Job { pending: None, ..site }).await?;
    }
    for place in (1..works.len()).rev() {
        works.swap(place, usize::try_from(dice.roll(place as u64 + 1))?);
    }
    Ok(works)
}

fn work(key: &ProjectUser, command: &str) -> anyhow::Result<Work> {
    let message = json!({"type": "work", "commandId": command, "projectId": key.project, "userId": key.user,
        "threadId": "aaaaaa1", "repoUrl": "file:///nowhere", "instruction": "go"});
    let draft = WorkDraft::parse(&message.to_string(), command, Timestamp::default())?;
    Ok(draft.complete(key.user.clone(), "aaaaaa1".parse()?, "file:///nowhere".to_owned()))
}

async fn undone(cloud: &Cloud, works: &[Work]) -> anyhow::Result<u64> {
    let mut count = 0;
    for work in works {
        let row = cloud.store.load::<Job>(&work.command_id).await?;
        count += u64::from(row.is_none_or(|row| row.value.summary.is_none()));
    }
    Ok(count)
}

/// The answer of a call; none when there was none, or when the thing has moved on.
pub(super) fn heard<T>(answer: common::cloud::Result<T>) -> anyhow::Result<Option<T>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(CloudError::FenceLost(_) | CloudError::NotFound(_)) => Ok(None),
        Err(error) if error.is_retryable() => Ok(None),
        Err(error) => Err(error.into()),
    }
}
