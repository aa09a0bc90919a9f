//! hermes as `hermes::{dispatch, sweep}` decide: sends work, then reads the claim; sweeps the `pending` index.

use std::collections::HashMap;
use std::time::Duration;

use common::cloud::queue::Outgoing;
use common::cloud::store::Query;
use common::cloud::{Cloud, CloudError, Result};
use common::domain::claim::{ClaimRecord, ClaimStatus, ClaimVersion};
use common::domain::ids::ProjectUser;
use common::domain::job::{Job, PENDING};
use common::domain::names::Queue;
use common::domain::timestamp::Timestamp;
use common::messages::{ClaimRequest, Work};

use super::dice::Dice;
use super::schedule::heard;
use super::tally::Tally;
use super::worker::{Moment, new_version};

/// How often it sweeps.
const INTERVAL: Duration = Duration::from_secs(15);
/// The first and the longest pause between two announcements.
const ANNOUNCE_AFTER: Duration = Duration::from_mins(1);
const ANNOUNCE_AT_MOST_AFTER: Duration = Duration::from_mins(10);

pub(super) struct Hermes {
    /// Not sent yet; the last one first.
    pub(super) outbound: Vec<Work>,
    skew_millis: i64,
    next_sweep: Duration,
    watched: HashMap<ProjectUser, (ClaimVersion, Duration)>,
    announced: HashMap<ProjectUser, (Duration, Duration)>,
}

impl Hermes {
    pub(super) fn new(outbound: Vec<Work>, dice: &mut Dice) -> Self {
        Self {
            outbound,
            skew_millis: dice.skew_millis(),
            next_sweep: Duration::ZERO,
            watched: HashMap::new(),
            announced: HashMap::new(),
        }
    }

    pub(super) async fn step(
        &mut self,
        moment: &Moment<'_>,
        dice: &mut Dice,
        tally: &mut Tally,
    ) -> anyhow::Result<()> {
        if dice.percent(30)
            && let Some(work) = self.outbound.last()
            && heard(send(moment.cloud, work).await)?.is_some()
        {
            let key = work.project_user();
            self.outbound.pop();
            // Now and then it dies here.
            if dice.percent(90) {
                self.announce_if_unowned(moment, &key).await?;
            }
        }
        if moment.at >= self.next_sweep {
            self.next_sweep = moment.at + INTERVAL;
            heard(self.sweep(moment, tally).await)?;
        }
        Ok(())
    }

    async fn announce_if_unowned(&self, moment: &Moment<'_>, key: &ProjectUser) -> anyhow::Result<()> {
        let now = Timestamp::from_millis(moment.cloud.clock.now().millis() + self.skew_millis);
        let claim = heard(moment.cloud.claims.get(key).await)?;
        if claim.flatten().is_none_or(|row| is_unowned(&row, now)) {
            heard(announce(moment.cloud, key).await)?;
        }
        Ok(())
    }

    async fn sweep(&mut self, moment: &Moment<'_>, tally: &mut Tally) -> Result<()> {
        let (waiting, _) = moment.cloud.store.find::<Job>(Query::index("pending-index", PENDING)).await?;
        let mut keys: Vec<ProjectUser> = waiting.into_iter().map(|job| job.project_key).collect();
        keys.sort_by_key(ToString::to_string);
        keys.dedup();
        self.watched.retain(|key, _| keys.contains(key));
        self.announced.retain(|key, _| keys.contains(key));
        for key in keys {
            if self.is_ownerless(moment, &key, tally).await? {
                self.announce_again(moment, &key).await?;
            }
        }
        Ok(())
    }

    async fn is_ownerless(
        &mut self,
        moment: &Moment<'_>,
        key: &ProjectUser,
        tally: &mut Tally,
    ) -> Result<bool> {
        let claims = &moment.cloud.claims;
        let Some(row) = claims.get(key).await?.filter(|row| row.status == ClaimStatus::Held) else {
            self.watched.remove(key);
            return Ok(true);
        };
        let seen = self.watched.entry(key.clone()).or_insert_with(|| (row.version.clone(), moment.at));
        if seen.0 != row.version {
            *seen = (row.version.clone(), moment.at);
        }
        if moment.at.saturating_sub(seen.1) < Duration::from_secs(row.lease_secs) {
            return Ok(false);
        }
        self.watched.remove(key);
        match claims.free_lapsed(key, &row.version, &new_version(), moment.cloud.clock.now()).await {
            Ok(()) => {
                tally.take_overs += 1;
                self.announced.remove(key);
                Ok(true)
            }
            Err(CloudError::FenceLost(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn announce_again(&mut self, moment: &Moment<'_>, key: &ProjectUser) -> Result<()> {
        let pause = match self.announced.get(key) {
            Some((at, pause)) if moment.at.saturating_sub(*at) < *pause => return Ok(()),
            Some((_, pause)) => (*pause * 2).min(ANNOUNCE_AT_MOST_AFTER),
            None => ANNOUNCE_AFTER,
        };
        announce(moment.cloud, key).await?;
        self.announced.insert(key.clone(), (moment.at, pause));
        Ok(())
    }
}

fn is_unowned(row: &ClaimRecord, now: Timestamp) -> bool {
    row.status == ClaimStatus::Free || now.since(row.last_activity).as_secs() > 2 * row.lease_secs
}

/// The job's row first, then the message; both may be repeated.
async fn send(cloud: &Cloud, work: &Work) -> Result<()> {
    match cloud.store.insert(&work.to_job(cloud.clock.now())).await {
        Ok(_) | Err(CloudError::Conflict(_)) => {}
        Err(error) => return Err(error),
    }
    let key = work.project_user();
    let message = Outgoing::fifo(work.to_json(), key.to_string(), format!("{}-1", work.command_id));
    cloud.queues.send(&Queue::Input(key), message).await.map(drop)
}

/// Says that a project+user has work and perhaps no owner.
pub(super) async fn announce(cloud: &Cloud, key: &ProjectUser) -> Result<()> {
    let request = ClaimRequest {
        project_id: key.project.clone(),
        user_id: key.user.clone(),
        queue_url: None,
        thread_id: None,
        message_id: None,
        timestamp: cloud.clock.now(),
    };
    cloud.queues.send(&Queue::Unclaimed, Outgoing::standard(request.to_json())).await.map(drop)
}
