//! What nobody else would notice: mails without an ending, work whose owner fell silent or that nobody heard of, answers
//! that were not sent. Every function may run at any time and any number of times. It reads sparse indexes, never queues.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use common::cloud::store::{Query, Record};
use common::cloud::{CloudError, Result};
use common::domain::claim::{ClaimRecord, ClaimStatus, ClaimVersion};
use common::domain::ids::ProjectUser;
use common::domain::job::{Job, PENDING};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::app::App;
use crate::ingest::record::{MailRecord, OPEN};
use crate::outbox::OutboxRecord;
use crate::{dispatch, ingest, outbox};

/// How often it runs.
pub const INTERVAL: Duration = Duration::from_secs(15);
/// Whoever is still at it is given so long.
const GRACE: Duration = Duration::from_secs(10);
/// The first and the longest pause between two announcements of one key.
const ANNOUNCE_AFTER: Duration = Duration::from_mins(1);
const ANNOUNCE_AT_MOST_AFTER: Duration = Duration::from_mins(10);
/// The most rows of one run.
const MAX_ROWS: usize = 10_000;

/// What is remembered from one run to the next; losing it costs time, never correctness.
pub struct Sweeper {
    app: Arc<App>,
    watched: HashMap<ProjectUser, Watched>,
    announced: HashMap<ProjectUser, Announced>,
}

/// A claim's sign of life, and since when it has been the same on our own monotonic clock.
struct Watched {
    version: ClaimVersion,
    since: Instant,
}

struct Announced {
    at: Instant,
    pause: Duration,
}

/// Sweeps now and then every [`INTERVAL`] until it is told to stop.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    let mut sweeper = Sweeper::new(app);
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => sweeper.sweep().await,
            () = stop.cancelled() => return,
        }
    }
}

impl Sweeper {
    /// One that has seen nothing yet.
    pub fn new(app: Arc<App>) -> Self {
        Self { app, watched: HashMap::new(), announced: HashMap::new() }
    }

    /// Everything once; what fails is logged and comes up again next time.
    pub async fn sweep(&mut self) {
        let outcomes = [
            ("open mails", self.finish_open_mails().await),
            ("waiting work", self.rescue_waiting_work().await),
            ("unsent answers", self.send_pending_answers().await),
        ];
        for (what, outcome) in outcomes {
            if let Err(error) = outcome {
                tracing::warn!(%error, "the sweep could not look after {what}; it tries again in {} s", INTERVAL.as_secs());
            }
        }
    }

    /// Mails that were accepted and have no ending: their run was cut short.
    pub async fn finish_open_mails(&self) -> Result<()> {
        let store = &*self.app.cloud.store;
        let now = self.app.cloud.clock.now();
        let open = self.all::<MailRecord>(Query::index("open-index", OPEN)).await?;
        for mail in open.iter().filter(|mail| now.since(mail.received_at) >= GRACE) {
            let Some(stored) = store.load::<MailRecord>(&mail.mail_id).await? else { continue };
            if stored.value.ending.is_none()
                && let Err(error) = ingest::resume(&self.app, stored).await
            {
                tracing::warn!(%error, mail.id = %mail.mail_id, "a mail without an ending could not be finished yet");
            }
        }
        Ok(())
    }

    /// Work that waits although nobody alive owns its project+user: lapsed claims are set free, and it is announced.
    pub async fn rescue_waiting_work(&mut self) -> Result<()> {
        let now = self.app.cloud.clock.now();
        let waiting = self.all::<Job>(Query::index("pending-index", PENDING)).await?;
        let keys: HashSet<ProjectUser> = waiting
            .into_iter()
            .filter(|job| now.since(job.created_at) >= GRACE)
            .map(|job| job.project_key)
            .collect();
        self.watched.retain(|key, _| keys.contains(key));
        self.announced.retain(|key, _| keys.contains(key));
        for key in keys {
            if self.is_ownerless(&key).await? {
                self.announce(&key).await?;
            }
        }
        Ok(())
    }

    /// Answers that are written down and were not sent.
    pub async fn send_pending_answers(&self) -> Result<()> {
        let store = &*self.app.cloud.store;
        let now = self.app.cloud.clock.now();
        let pending = self.all::<OutboxRecord>(Query::index("state-index", "pending")).await?;
        for record in pending.iter().filter(|record| now.since(record.created_at) >= GRACE) {
            if let Some(stored) = store.load::<OutboxRecord>(&record.dedup_key).await? {
                outbox::deliver(&self.app, stored).await?;
            }
        }
        Ok(())
    }

    async fn is_ownerless(&mut self, key: &ProjectUser) -> Result<bool> {
        let Some(claim) = self.app.cloud.claims.get(key).await? else { return Ok(true) };
        if claim.status == ClaimStatus::Free {
            self.watched.remove(key);
            return Ok(true);
        }
        if !self.has_lapsed(key, &claim) {
            return Ok(false);
        }
        self.free(key, &claim).await
    }

    /// Whether we have watched this very version for a whole lease.
    fn has_lapsed(&mut self, key: &ProjectUser, claim: &ClaimRecord) -> bool {
        let now = Instant::now();
        match self.watched.get(key) {
            Some(watched) if watched.version == claim.version => {
                now.duration_since(watched.since) >= Duration::from_secs(claim.lease_secs)
            }
            Some(_) | None => {
                let watched = Watched { version: claim.version.clone(), since: now };
                self.watched.insert(key.clone(), watched);
                false
            }
        }
    }

    async fn free(&mut self, key: &ProjectUser, claim: &ClaimRecord) -> Result<bool> {
        let version = ClaimVersion::from_uuid(Uuid::new_v4());
        let now = self.app.cloud.clock.now();
        self.watched.remove(key);
        match self.app.cloud.claims.free_lapsed(key, &claim.version, &version, now).await {
            Ok(()) => {
                tracing::info!(project.key = %key, "a claim was set free: its owner has been silent for a whole lease");
                // The owner is gone: what was announced before does not count.
                self.announced.remove(key);
                Ok(true)
            }
            Err(CloudError::FenceLost(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Announces a key, with pauses that double.
    async fn announce(&mut self, key: &ProjectUser) -> Result<()> {
        let now = Instant::now();
        let pause = match self.announced.get(key) {
            Some(last) if now.duration_since(last.at) < last.pause => return Ok(()),
            Some(last) => (last.pause * 2).min(ANNOUNCE_AT_MOST_AFTER),
            None => ANNOUNCE_AFTER,
        };
        dispatch::announce(&self.app.cloud, key, None, None).await?;
        tracing::info!(project.key = %key, "waiting work is announced again");
        self.announced.insert(key.clone(), Announced { at: now, pause });
        Ok(())
    }

    /// All rows of an index, oldest first.
    async fn all<T: Record>(&self, mut query: Query) -> Result<Vec<T>> {
        let mut rows = Vec::new();
        loop {
            let (page, next) = self.app.cloud.store.find::<T>(query.clone()).await?;
            rows.extend(page);
            if next.is_none() || rows.len() >= MAX_ROWS {
                return Ok(rows);
            }
            query.after = next;
        }
    }
}
