//! One job whose worker meets a disaster at a named point.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use common::checkpoint::Point;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::effects::Effects;
use crate::api::Api;
use crate::mail::Letter;
use crate::process::binary;
use crate::remote::Remote;
use crate::wait;
use crate::world::{World, demo_agent, plain_site};

/// The lease of every claim here, so that a take-over takes seconds.
const LEASE: Duration = Duration::from_secs(5);
const WORKER: [(&str, &str); 2] = [("HERMES_LEASE_SECS", "5"), ("SHUTDOWN_GRACE_SECS", "12")];
const HERMES: [(&str, &str); 1] = [("HERMES_SWEEP_SECS", "1")];
pub(super) const LIMIT: Duration = Duration::from_mins(3);
/// So many worlds at once: most of them wait for a lease most of the time.
const AT_ONCE: usize = 5;
/// A write takes no longer, unless somebody else is in the middle of one.
const WRITTEN: Duration = Duration::from_secs(5);
/// The longest shutdown.
const SHUTDOWN: Duration = Duration::from_secs(30);

/// What happens to the worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disaster {
    /// `kill -9`.
    Killed,
    /// SIGSTOP until another worker has done the job, then SIGCONT.
    Frozen,
    /// SIGTERM.
    Ended,
}

/// How a disaster went.
#[derive(Debug, Clone)]
pub struct Met {
    /// Where.
    pub point: Point,
    /// How long after the kill another worker had the claim, where that was needed.
    pub taken_over: Option<Duration>,
}

impl Met {
    /// Whether another worker was there within two leases.
    pub fn in_time(&self) -> bool {
        self.taken_over.is_none_or(|after| after <= 2 * LEASE)
    }
}

/// Lets all these points meet a disaster, several at a time; what went wrong is told together.
pub async fn meet_all(points: Vec<Point>, disaster: Disaster) -> anyhow::Result<Vec<Met>> {
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let mut running = JoinSet::new();
    for point in points {
        let room = Arc::clone(&room);
        running.spawn(async move {
            let _place = room.acquire_owned().await?;
            meet(point, disaster).await.with_context(|| format!("{disaster:?} at {point}"))
        });
    }
    let (mut met, mut wrong) = (Vec::new(), Vec::new());
    while let Some(one) = running.join_next().await {
        match one? {
            Ok(one) => met.push(one),
            Err(error) => wrong.push(format!("{error:#}")),
        }
    }
    ensure!(wrong.is_empty(), "{} went wrong:\n{}", wrong.len(), wrong.join("\n"));
    met.sort_by_key(|one| Point::ALL.iter().position(|point| *point == one.point));
    Ok(met)
}

/// One job whose first worker meets the disaster at this point.
pub async fn meet(point: Point, disaster: Disaster) -> anyhow::Result<Met> {
    let mut scene = Scene::held_at(point).await?;
    let taken_over = match disaster {
        Disaster::Killed => scene.kill(point).await?,
        Disaster::Frozen => scene.freeze().await?,
        Disaster::Ended => scene.end().await?,
    };
    let job = scene.job().await?;
    let effects = scene.effects(&job)?;
    effects.are_made_once(&job)?;
    match disaster {
        Disaster::Frozen => scene.thaw().await?,
        Disaster::Killed | Disaster::Ended => effects.is_put_up_once()?,
    }
    scene.world.stop().await?;
    ensure!(scene.effects(&job)? == effects, "something changed afterwards");
    Ok(Met { point, taken_over })
}

/// A world whose only worker is held at a point of its job.
pub(super) struct Scene {
    pub(super) world: World,
    pub(super) api: Api,
    remote: Remote,
    /// What hermes said of the order.
    pub(super) accepted: Value,
    hold: PathBuf,
    points: tempfile::TempDir,
    _site: tempfile::TempDir,
}

impl Scene {
    /// With hermes and a project, but no worker yet.
    pub(super) async fn new() -> anyhow::Result<Self> {
        let mut world = World::temporary()?;
        let api = world.start_hermes_with(&binary("hermes")?, "127.0.0.1:0", &HERMES).await?;
        let (site, build) = plain_site()?;
        let remote =
            world.add_project("bakery", site.path(), Some(build), ("amelia@example.org", "amelia")).await?;
        let (hold, points) = (PathBuf::new(), tempfile::tempdir()?);
        Ok(Self { world, api, remote, accepted: Value::Null, hold, points, _site: site })
    }

    async fn held_at(point: Point) -> anyhow::Result<Self> {
        let mut scene = Self::new().await?;
        scene.hold(point).await?;
        let letter = Letter::new("amelia@example.org", "Hours", "change \"7 to 18\" to \"8 to 20\"");
        scene.accepted = scene.api.order(letter.to_bytes()).await?;
        scene.reached(point).await?;
        Ok(scene)
    }

    /// A worker that will be held at this point.
    pub(super) async fn hold(&mut self, point: Point) -> anyhow::Result<()> {
        self.hold = self.points.path().join(format!("hold-{point}"));
        std::fs::write(&self.hold, "")?;
        let folder = self.points.path().to_str().context("a folder in UTF-8")?.to_owned();
        self.world.further = vec!["--checkpoints".to_owned(), folder];
        self.another_worker().await?;
        self.world.further.clear();
        Ok(())
    }

    pub(super) async fn reached(&self, point: Point) -> anyhow::Result<()> {
        let reached = self.points.path().join(format!("at-{point}"));
        let there = || async { Ok(reached.exists().then_some(())) };
        wait::until(&format!("the point {point}"), LIMIT, there).await
    }

    pub(super) async fn another_worker(&mut self) -> anyhow::Result<()> {
        self.world.start_worker(&demo_agent("")?, &WORKER).await
    }

    /// How long after its end the other one had the claim, where work was left.
    pub(super) async fn kill(&mut self, point: Point) -> anyhow::Result<Option<Duration>> {
        self.world.workers[0].kill().await?;
        let killed = Instant::now();
        self.another_worker().await?;
        if matches!(point, Point::ResultSent | Point::MessageDeleted) {
            return Ok(None);
        }
        self.world.workers[1].line_within("the claim is taken", LIMIT).await?;
        Ok(Some(killed.elapsed()))
    }

    /// The worker stands still until another one has done the job. While it stands still in the middle of a write, nobody
    /// else can write to the local cloud: that is a disaster of the whole machine, and another moment is taken.
    pub(super) async fn freeze(&mut self) -> anyhow::Result<Option<Duration>> {
        self.world.workers[0].signal(Signal::SIGSTOP)?;
        while !self.others_can_write().await {
            self.world.workers[0].signal(Signal::SIGCONT)?;
            self.world.workers[0].signal(Signal::SIGSTOP)?;
        }
        let stopped = Instant::now();
        self.another_worker().await?;
        self.world.workers[1].line_within("the claim is taken", LIMIT).await?;
        Ok(Some(stopped.elapsed()))
    }

    async fn others_can_write(&self) -> bool {
        let body = json!({"projectId": "bakery", "userId": "amelia"});
        let write = self.api.put("/v1/senders/another-address@example.org", &body);
        let written = tokio::time::timeout(WRITTEN, write).await;
        matches!(written, Ok(Ok(_)))
    }

    pub(super) async fn thaw(&mut self) -> anyhow::Result<()> {
        self.let_go()?;
        let sleeper = &mut self.world.workers[0];
        sleeper.signal(Signal::SIGCONT)?;
        sleeper.line_within("the claim is lost", LIMIT).await.map(drop)
    }

    pub(super) async fn end(&mut self) -> anyhow::Result<Option<Duration>> {
        let worker = &self.world.workers[0];
        worker.signal(Signal::SIGTERM)?;
        self.let_go()?;
        let status = self.world.workers[0].ended(SHUTDOWN).await?;
        ensure!(status.success(), "it ended with {status}:\n{}", self.world.workers[0].log());
        self.another_worker().await?;
        Ok(None)
    }

    fn let_go(&self) -> anyhow::Result<()> {
        std::fs::remove_file(&self.hold).context("let the worker go on")
    }

    pub(super) async fn job(&self) -> anyhow::Result<Value> {
        let command = self.accepted["commandId"].as_str();
        let command = command.with_context(|| format!("no commandId in {}", self.accepted))?;
        let job = self.api.job_done(command, LIMIT).await?;
        if let Some(mail) = self.accepted["mailId"].as_str() {
            self.api.answered(mail, LIMIT).await?;
        }
        Ok(job)
    }

    fn effects(&self, job: &Value) -> anyhow::Result<Effects> {
        Effects::of(&self.world, &self.remote, job)
    }
}
