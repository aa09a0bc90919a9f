//! A worker as `worker::{offers, tenure, lease, work}` decide, one call at a time.

use std::collections::HashMap;
use std::time::Duration;

use common::cloud::claims::TakeAnswer;
use common::cloud::queue::Delivery;
use common::cloud::{Cloud, CloudError};
use common::domain::claim::{ClaimRecord, ClaimStatus, ClaimVersion, Fence, Take};
use common::domain::ids::{CommandId, Nonce, Owner, ProjectUser};
use common::domain::job::Job;
use common::domain::names::Queue;
use common::domain::timestamp::Timestamp;
use common::messages::{Offer, WorkDraft};
use uuid::Uuid;

use super::dice::Dice;
use super::hermes::announce;
use super::schedule::{Fences, LEASE, heard, site_row};
use super::site::{self, Write};
use super::tally::Tally;

/// A claim is given back when there was nothing to do for so long.
const IDLE: Duration = Duration::from_secs(30);

/// A call is repeated so often before its caller looks at the clock again.
const HASTY: usize = 4;

/// What all players see of the world at a moment: the time on a clock that never jumps, and the cloud.
pub(super) struct Moment<'a> {
    pub(super) cloud: &'a Cloud,
    pub(super) at: Duration,
    pub(super) fences: Fences,
}

pub(super) struct Worker {
    owner: Owner,
    skew_millis: i64,
    watched: HashMap<ProjectUser, (ClaimVersion, Duration)>,
    tenure: Option<Tenure>,
    pub(super) paused_until: Duration,
}

struct Tenure {
    fence: Fence,
    confirmed: Duration,
    next_renewal: Duration,
    idle_since: Duration,
    job: Option<Running>,
}

struct Running {
    delivery: Delivery,
    command: CommandId,
    step: Step,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Charge,
    Act,
    Finish,
    Delete,
}

impl Worker {
    pub(super) fn new(index: usize, dice: &mut Dice) -> anyhow::Result<Self> {
        Ok(Self {
            owner: Owner { worker: format!("w{index}").parse()?, nonce: Nonce::from_uuid(Uuid::new_v4()) },
            skew_millis: dice.skew_millis(),
            watched: HashMap::new(),
            tenure: None,
            paused_until: Duration::ZERO,
        })
    }

    /// A new process under the old name: nothing is remembered.
    pub(super) fn crash(&mut self) {
        self.owner.nonce = Nonce::from_uuid(Uuid::new_v4());
        self.watched.clear();
        self.tenure = None;
    }

    /// Whether a job of its own has not had its effect yet.
    pub(super) fn is_working(&self) -> bool {
        self.tenure
            .as_ref()
            .and_then(|it| it.job.as_ref())
            .is_some_and(|job| matches!(job.step, Step::Charge | Step::Act))
    }

    /// Whether a newer owner has begun its job.
    pub(super) async fn is_superseded(&self, cloud: &Cloud) -> anyhow::Result<bool> {
        let Some(Tenure { fence, .. }) = &self.tenure else { return Ok(false) };
        let site = cloud.store.load::<Job>(&site_row(&fence.project_key)?).await?;
        Ok(site.is_some_and(|site| site.value.epoch > fence.epoch))
    }

    /// The claim it acts for, unless it is paused or would stop itself first.
    pub(super) fn acts_for(&self, at: Duration) -> Option<&ProjectUser> {
        let tenure = self.tenure.as_ref()?;
        (at >= self.paused_until && at < tenure.give_up_at()).then_some(&tenure.fence.project_key)
    }

    fn wall(&self, moment: &Moment<'_>) -> Timestamp {
        Timestamp::from_millis(moment.cloud.clock.now().millis() + self.skew_millis)
    }

    /// What it does next. After a pause it goes on where it was before it looks at its clock.
    pub(super) async fn step(
        &mut self,
        moment: &Moment<'_>,
        dice: &mut Dice,
        tally: &mut Tally,
    ) -> anyhow::Result<()> {
        let woke = !self.paused_until.is_zero();
        self.paused_until = Duration::ZERO;
        let Some(mut tenure) = self.tenure.take() else { return self.offer(moment, tally).await };
        let wall = self.wall(moment);
        let keeps = if woke && tenure.job.is_some() {
            tenure.go_on_late(moment, tally).await?
        } else if moment.at >= tenure.give_up_at() {
            false
        } else {
            tenure.renew(moment, wall).await? && tenure.go_on(moment, dice, wall, tally).await?
        };
        if keeps {
            self.tenure = Some(tenure);
            return Ok(());
        }
        last_look(moment, &tenure.fence.project_key).await
    }

    async fn offer(&mut self, moment: &Moment<'_>, tally: &mut Tally) -> anyhow::Result<()> {
        let queues = &moment.cloud.queues;
        let received = heard(queues.receive(&Queue::Unclaimed, 1, Duration::ZERO).await)?;
        let Some(delivery) = received.unwrap_or_default().pop() else { return Ok(()) };
        let Ok(Offer::Claim(request)) =
            Offer::parse(&delivery.body, &delivery.message_id, moment.cloud.clock.now())
        else {
            anyhow::bail!("an offer that cannot be read: {}", delivery.body);
        };
        let after = match heard(self.claim(moment, &request.project_user(), tally).await)? {
            Some(after) => after,
            None => Some(Duration::from_secs(5)),
        };
        match after {
            None => heard(queues.delete(&delivery.receipt).await)?,
            Some(after) => heard(queues.extend(&delivery.receipt, after).await)?,
        };
        Ok(())
    }

    /// Tries to take a claim; the answer says when the request comes back, if it does.
    async fn claim(
        &mut self,
        moment: &Moment<'_>,
        key: &ProjectUser,
        tally: &mut Tally,
    ) -> common::cloud::Result<Option<Duration>> {
        let cloud = moment.cloud;
        let depth = cloud.queues.depth(&Queue::Input(key.clone())).await?;
        if depth.visible + depth.in_flight + depth.delayed == 0 {
            return Ok(None);
        }
        let row = match cloud.claims.take(key, &self.wish(moment, None)).await? {
            TakeAnswer::Taken(fence) => return Ok(self.begin(fence, moment.at)),
            TakeAnswer::Held(row) => row,
        };
        if !self.lapsed(&row, moment.at) {
            return Ok(self.after_held(&row, moment));
        }
        match cloud.claims.take(key, &self.wish(moment, Some(row.version))).await? {
            TakeAnswer::Taken(fence) => {
                tally.take_overs += 1;
                Ok(self.begin(fence, moment.at))
            }
            TakeAnswer::Held(row) => Ok(self.after_held(&row, moment)),
        }
    }

    fn begin(&mut self, fence: Fence, at: Duration) -> Option<Duration> {
        self.watched.remove(&fence.project_key);
        self.tenure =
            Some(Tenure { fence, confirmed: at, next_renewal: at + LEASE / 3, idle_since: at, job: None });
        None
    }

    fn lapsed(&mut self, row: &ClaimRecord, at: Duration) -> bool {
        let seen = self.watched.entry(row.project_key.clone()).or_insert_with(|| (row.version.clone(), at));
        if seen.0 != row.version {
            *seen = (row.version.clone(), at);
        }
        at.saturating_sub(seen.1) >= Duration::from_secs(row.lease_secs)
    }

    fn after_held(&self, row: &ClaimRecord, moment: &Moment<'_>) -> Option<Duration> {
        let silent = self.wall(moment).since(row.last_activity) > LEASE / 2;
        (row.status == ClaimStatus::Held && silent).then_some(Duration::from_secs(5))
    }

    fn wish(&self, moment: &Moment<'_>, lapsed: Option<ClaimVersion>) -> Take {
        Take {
            owner: self.owner.clone(),
            version: new_version(),
            lapsed,
            lease_secs: LEASE.as_secs(),
            control_queue: None,
            now: self.wall(moment),
        }
    }
}

impl Tenure {
    fn give_up_at(&self) -> Duration {
        self.confirmed + LEASE * 5 / 6
    }

    /// The heartbeat, when it is due. False when the claim is lost.
    async fn renew(&mut self, moment: &Moment<'_>, wall: Timestamp) -> anyhow::Result<bool> {
        if moment.at < self.next_renewal {
            return Ok(true);
        }
        match moment.cloud.claims.renew(&self.fence, &new_version(), wall).await {
            Ok(()) => (self.confirmed, self.next_renewal) = (moment.at, moment.at + LEASE / 3),
            Err(CloudError::FenceLost(_)) => return Ok(false),
            Err(error) if error.is_retryable() => self.next_renewal = moment.at + LEASE / 12,
            Err(error) => return Err(error.into()),
        }
        if let Some(job) = &self.job {
            heard(moment.cloud.queues.extend(&job.delivery.receipt, LEASE).await)?;
        }
        Ok(true)
    }

    async fn go_on(
        &mut self,
        moment: &Moment<'_>,
        dice: &mut Dice,
        wall: Timestamp,
        tally: &mut Tally,
    ) -> anyhow::Result<bool> {
        if self.job.is_some() {
            return self.work(moment, tally).await;
        }
        self.receive(moment).await?;
        if self.job.is_none() && moment.at.saturating_sub(self.idle_since) >= IDLE && dice.percent(50) {
            heard(moment.cloud.claims.release(&self.fence, &new_version(), wall).await)?;
            return Ok(false);
        }
        Ok(true)
    }

    async fn receive(&mut self, moment: &Moment<'_>) -> anyhow::Result<()> {
        let queue = Queue::Input(self.fence.project_key.clone());
        let received = heard(moment.cloud.queues.receive(&queue, 1, Duration::ZERO).await)?;
        let Some(delivery) = received.unwrap_or_default().pop() else { return Ok(()) };
        let draft = WorkDraft::parse(&delivery.body, &delivery.message_id, Timestamp::default())?;
        let row = heard(moment.cloud.store.load::<Job>(&draft.command_id).await)?.flatten();
        let Some(row) = row else {
            heard(moment.cloud.queues.extend(&delivery.receipt, Duration::from_secs(5)).await)?;
            return Ok(());
        };
        let step = if row.value.summary.is_some() { Step::Delete } else { Step::Charge };
        self.job = Some(Running { delivery, command: draft.command_id, step });
        Ok(())
    }

    /// What a paused process was about to do, until it gets an answer. False when the claim is lost.
    async fn go_on_late(&mut self, moment: &Moment<'_>, tally: &mut Tally) -> anyhow::Result<bool> {
        let before = self.job.as_ref().map(|job| job.step);
        for _ in 0..HASTY {
            if !self.work(moment, tally).await? {
                return Ok(false);
            }
            if self.job.as_ref().map(|job| job.step) != before {
                break;
            }
        }
        Ok(true)
    }

    /// One step of the job. False when the claim is lost.
    async fn work(&mut self, moment: &Moment<'_>, tally: &mut Tally) -> anyhow::Result<bool> {
        let Some(job) = &mut self.job else { return Ok(true) };
        let store = &*moment.cloud.store;
        let (site, epoch) = (site_row(&self.fence.project_key)?, self.fence.epoch);
        let (what, row, next) = match job.step {
            Step::Charge => (Write::Charge, &site, Step::Act),
            Step::Act => (Write::Effect(&job.command), &site, Step::Finish),
            Step::Finish => (Write::Finish, &job.command, Step::Delete),
            Step::Delete => {
                if heard(moment.cloud.queues.delete(&job.delivery.receipt).await)?.is_some() {
                    (self.job, self.idle_since) = (None, moment.at);
                }
                return Ok(true);
            }
        };
        match site::write(store, row, epoch, what, moment.fences).await {
            Ok(()) => job.step = next,
            Err(CloudError::FenceLost(_)) => {
                tally.refused += 1;
                return Ok(false);
            }
            Err(error) => {
                heard::<()>(Err(error))?;
            }
        }
        Ok(true)
    }
}

/// What comes after a claim was given up or lost: what is received is given back and announced.
async fn last_look(moment: &Moment<'_>, key: &ProjectUser) -> anyhow::Result<()> {
    let queues = &moment.cloud.queues;
    let received = heard(queues.receive(&Queue::Input(key.clone()), 1, Duration::ZERO).await)?;
    let Some(delivery) = received.unwrap_or_default().pop() else { return Ok(()) };
    heard(queues.extend(&delivery.receipt, Duration::ZERO).await)?;
    heard(announce(moment.cloud, key).await)?;
    Ok(())
}

/// A version no claim has had.
pub(super) fn new_version() -> ClaimVersion {
    ClaimVersion::from_uuid(Uuid::new_v4())
}
