//! What nobody else would notice: mails without an ending, work whose owner fell silent or that nobody heard of, answers
//! that were not sent. Every function may run at any time and any number of times, and what fails for one key stops no other.
//! It reads sparse indexes, page by page; a queue is asked for its depth only when its work waits for very long.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::cloud::queue::Depth;
use common::cloud::store::{Query, Record};
use common::cloud::{CloudError, Result};
use common::domain::claim::{ClaimRecord, ClaimStatus, ClaimVersion};
use common::domain::ids::{CommandId, MailId, ProjectUser};
use common::domain::job::{Job, PENDING};
use common::domain::names::Queue;
use common::domain::timestamp::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::app::App;
use crate::ingest::record::{MailRecord, OPEN};
use crate::outbox::OutboxRecord;
use crate::unclaimed::{Alarms, GIVE_UP_AFTER, GivenUp};
use crate::{dispatch, ingest, outbox, previews, results, tidy, unclaimed, untold};

/// How often it runs, unless it is told otherwise.
pub const INTERVAL: Duration = Duration::from_secs(15);
/// After a sweep that found nothing open the next one comes after so many intervals, unless a mail or a result comes before:
/// each look is a call that somebody pays for.
const QUIET_INTERVALS: u32 = 4;
/// Whoever is still at it is given so long.
const GRACE: Duration = Duration::from_secs(10);
/// Work that takes longer is acknowledged.
pub const LATE: Duration = Duration::from_mins(3);
/// Work without an owner that waits for so long may never have reached its queue, or be lost there: it is asked.
pub const DOUBTED_AFTER: Duration = Duration::from_mins(30);
/// So long lies between the two looks at a queue after which it counts as empty: what SQS says of a queue is right within a
/// minute (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_GetQueueAttributes.html>).
pub const LOOK_AGAIN_AFTER: Duration = Duration::from_mins(5);
/// A queue whose head waits is looked at again after so long: fewer times in a day than make it give a message up.
const LOOK_AGAIN_LATER: Duration = Duration::from_mins(30);
/// Why work is given up that no queue holds.
pub const LOST: &str = "its order was lost: no queue holds it. Send it again, please";

/// What is remembered from one run to the next; losing it costs time, never correctness.
pub struct Sweeper {
    app: Arc<App>,
    interval: Duration,
    previews_kept: Option<Duration>,
    alarms: Alarms,
    tidied: Option<Instant>,
    previews_seen: Option<Instant>,
    rows_seen: AtomicUsize,
    watched: HashMap<ProjectUser, Watched>,
    looks: HashMap<ProjectUser, Look>,
    /// Since when work lies at the head of a queue that is not overdue.
    waits: HashMap<ProjectUser, Timestamp>,
}

/// What a queue was seen to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// Something, at that time.
    Full(Timestamp),
    /// Nothing, at that time.
    Empty(Timestamp),
}

impl Look {
    fn at(self) -> Timestamp {
        match self {
            Self::Full(at) | Self::Empty(at) => at,
        }
    }
}

/// A claim's sign of life, and since when it has been the same on our own monotonic clock.
struct Watched {
    version: ClaimVersion,
    since: Instant,
}

/// The keys with open work.
type Waiting = HashMap<ProjectUser, Queued>;

/// The open work of a key.
#[derive(Default)]
struct Queued {
    /// How long its oldest waits.
    waited: Duration,
    /// What waits for longer than anybody shall.
    overdue: Vec<CommandId>,
    /// What waits for so long that it may have no message.
    doubted: Vec<CommandId>,
    /// What takes longer than [`LATE`] and was not acknowledged.
    late: Vec<CommandId>,
}

impl Queued {
    fn note(&mut self, job: Job, age: Duration) {
        self.waited = self.waited.max(age);
        let heard = job.acknowledged_at.is_some() || job.stop_requested.is_some();
        let command = job.command_id;
        if (LATE..GIVE_UP_AFTER).contains(&age) && !heard && job.mail_id.is_some() {
            self.late.push(command.clone());
        }
        if age >= DOUBTED_AFTER {
            self.doubted.push(command.clone());
        }
        if age > GIVE_UP_AFTER {
            self.overdue.push(command);
        }
    }
}

/// Sweeps now and then at every interval, less often while nothing is open, until it is told to stop. Previews are taken
/// down when nobody wrote on their conversation for so long; never when that is not said.
pub async fn run(
    app: Arc<App>,
    interval: Duration,
    previews_kept: Option<Duration>,
    stop: CancellationToken,
) {
    let mut sweeper = Sweeper { interval, previews_kept, ..Sweeper::new(Arc::clone(&app)) };
    while !stop.is_cancelled() {
        sweeper.sweep().await;
        let open = sweeper.rows_seen.swap(0, Ordering::Relaxed);
        let whole = if open == 0 { interval * QUIET_INTERVALS } else { interval };
        tokio::select! {
            () = rest(&app, interval, whole) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// What comes while all is quiet is looked after one interval later.
async fn rest(app: &App, interval: Duration, whole: Duration) {
    tokio::select! {
        () = tokio::time::sleep(whole) => {}
        () = app.stirred.notified(), if whole > interval => tokio::time::sleep(interval).await,
    }
}

impl Sweeper {
    /// One that has seen nothing yet.
    pub fn new(app: Arc<App>) -> Self {
        Self {
            app,
            interval: INTERVAL,
            previews_kept: None,
            alarms: Alarms::default(),
            tidied: None,
            previews_seen: None,
            rows_seen: AtomicUsize::new(0),
            watched: HashMap::new(),
            looks: HashMap::new(),
            waits: HashMap::new(),
        }
    }

    fn grace(&self) -> Duration {
        GRACE.min(self.interval)
    }

    /// Everything once; what fails is logged and comes up again next time.
    pub async fn sweep(&mut self) {
        let outcomes = [
            ("open mails", self.finish_open_mails().await),
            ("untold endings", self.tell_endings().await),
            ("waiting work", self.rescue_waiting_work().await),
            ("unsent answers", self.send_pending_answers().await),
            ("dead workers", self.tidy().await),
            ("old previews", self.expire_previews().await),
        ];
        for (what, outcome) in outcomes {
            if let Err(error) = outcome {
                // What could not be looked at may be open.
                self.rows_seen.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(%error, "the sweep could not look after {what}; it tries again in {} s", self.interval.as_secs());
            }
        }
    }

    /// Mails that were accepted and have no ending: their run was cut short.
    pub async fn finish_open_mails(&self) -> Result<()> {
        let now = self.app.cloud.clock.now();
        let mut open = Vec::new();
        let note = |mail: MailRecord| {
            if now.since(mail.received_at) >= self.grace() {
                open.push(mail.mail_id);
            }
        };
        self.each(Query::index("open-index", OPEN), note).await?;
        for id in open {
            if let Err(error) = self.finish_mail(&id).await {
                tracing::warn!(%error, mail.id = %id, "a mail without an ending could not be finished yet");
            }
        }
        Ok(())
    }

    async fn tidy(&mut self) -> Result<()> {
        if self.tidied.is_some_and(|at| at.elapsed() < tidy::INTERVAL) {
            return Ok(());
        }
        tidy::dead_workers(&self.app).await?;
        self.tidied = Some(Instant::now());
        Ok(())
    }

    async fn expire_previews(&mut self) -> Result<()> {
        let Some(kept) = self.previews_kept else { return Ok(()) };
        if self.previews_seen.is_some_and(|at| at.elapsed() < previews::INTERVAL) {
            return Ok(());
        }
        previews::expire(&self.app.cloud, kept).await?;
        self.previews_seen = Some(Instant::now());
        Ok(())
    }

    async fn finish_mail(&self, id: &MailId) -> Result<()> {
        match self.app.cloud.store.load::<MailRecord>(id).await? {
            Some(stored) if stored.value.ending.is_none() => {
                ingest::resume(&self.app, stored).await.map(drop)
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Jobs that ended and whose results never came.
    pub async fn tell_endings(&self) -> Result<()> {
        let now = self.app.cloud.clock.now();
        let mut ended = Vec::new();
        let note = |job: Job| ended.extend(untold::is_untold(&job, now).then_some(job.command_id));
        self.each(Query::index("pending-index", PENDING), note).await?;
        for command in ended {
            tracing::warn!(command.id = %command, "the result of a job never came; its row says how it ended");
            if let Err(error) = untold::settle(&self.app, &command).await {
                tracing::warn!(%error, command.id = %command, "a job whose result never came could not be closed yet");
            }
        }
        Ok(())
    }

    /// Work that waits although nobody alive owns its project+user: lapsed claims are set free, and it is announced.
    pub async fn rescue_waiting_work(&mut self) -> Result<()> {
        let waiting = self.waiting().await?;
        self.watched.retain(|key, _| waiting.contains_key(key));
        self.looks.retain(|key, _| waiting.contains_key(key));
        self.waits.retain(|key, _| waiting.contains_key(key));
        self.app.announced.keep(|key| waiting.contains_key(key));
        self.alarms.keep(|key| waiting.contains_key(key));
        for (key, queued) in waiting {
            self.acknowledge(&queued.late).await;
            if let Err(error) = self.rescue(&key, &queued).await {
                tracing::warn!(%error, project.key = %key, "waiting work could not be looked after; the next sweep tries again");
            }
        }
        Ok(())
    }

    /// Owners hear once that their mail arrived when its work takes longer. When that cannot be said now, the next sweep
    /// tries again; the work itself is not touched.
    async fn acknowledge(&self, late: &[CommandId]) {
        for command in late {
            if let Err(error) = results::acknowledge(&self.app, command).await {
                tracing::warn!(%error, command.id = %command, "an acknowledgement could not be sent; the next sweep tries again");
            }
        }
    }

    async fn waiting(&self) -> Result<Waiting> {
        let now = self.app.cloud.clock.now();
        let mut waiting = Waiting::new();
        let note = |job: Job| {
            let age = now.since(job.created_at);
            if age >= self.grace() {
                waiting.entry(job.project_key.clone()).or_default().note(job, age);
            }
        };
        self.each(Query::index("pending-index", PENDING), note).await?;
        Ok(waiting)
    }

    async fn rescue(&mut self, key: &ProjectUser, queued: &Queued) -> Result<()> {
        if !self.is_ownerless(key).await? {
            self.looks.remove(key);
            return Ok(());
        }
        self.alarms.raise(key, queued.waited);
        self.give_up(key, &queued.overdue).await?;
        if queued.doubted.is_empty() || !self.has_lost_its_work(key).await? {
            return self.announce(key).await;
        }
        for command in &queued.doubted {
            if self.is_being_ordered(command).await? {
                continue;
            }
            tracing::error!(command.id = %command, project.key = %key, "work that no queue holds is closed");
            results::give_up(&self.app, command, LOST).await?;
        }
        Ok(())
    }

    /// A queue counts receives: where something that is not overdue lies before what is, it is left alone for a while.
    async fn give_up(&mut self, key: &ProjectUser, overdue: &[CommandId]) -> Result<()> {
        let now = self.app.cloud.clock.now();
        let waits = self.waits.get(key).is_some_and(|at| now.since(*at) < LOOK_AGAIN_LATER);
        if overdue.is_empty() || waits {
            return Ok(());
        }
        match unclaimed::give_up(&self.app, key, overdue).await? {
            GivenUp::All => self.waits.remove(key),
            GivenUp::ToTheFirstThatWaits => self.waits.insert(key.clone(), now),
        };
        Ok(())
    }

    /// Whether its mail has no ending yet: whoever finishes the mail sends the order.
    async fn is_being_ordered(&self, command: &CommandId) -> Result<bool> {
        let store = &*self.app.cloud.store;
        let job = store.load::<Job>(command).await?;
        let Some(mail) = job.and_then(|row| row.value.mail_id) else { return Ok(false) };
        Ok(store.load::<MailRecord>(&mail).await?.is_some_and(|row| row.value.ending.is_none()))
    }

    /// Whether the queue of a key, which nobody takes from, was empty at two looks.
    async fn has_lost_its_work(&mut self, key: &ProjectUser) -> Result<bool> {
        let now = self.app.cloud.clock.now();
        let before = self.looks.get(key).copied();
        if before.is_some_and(|look| now.since(look.at()) < LOOK_AGAIN_AFTER) {
            return Ok(false);
        }
        let depth = self.app.cloud.queues.depth(&Queue::Input(key.clone())).await?;
        let look = if depth == Depth::default() { Look::Empty(now) } else { Look::Full(now) };
        self.looks.insert(key.clone(), look);
        Ok(matches!((before, look), (Some(Look::Empty(_)), Look::Empty(_))))
    }

    /// Answers that are written down and were not sent.
    pub async fn send_pending_answers(&self) -> Result<()> {
        let now = self.app.cloud.clock.now();
        let mut pending = Vec::new();
        let note = |answer: OutboxRecord| {
            if now.since(answer.created_at) >= self.grace() && answer.is_due(now) {
                pending.push(answer.dedup_key);
            }
        };
        self.each(Query::index("state-index", "pending"), note).await?;
        for key in pending {
            if let Err(error) = self.send_answer(&key).await {
                tracing::warn!(%error, "the answer {key} could not be sent yet; the next sweep tries again");
            }
        }
        Ok(())
    }

    async fn send_answer(&self, key: &String) -> Result<()> {
        match self.app.cloud.store.load::<OutboxRecord>(key).await? {
            Some(stored) => outbox::deliver(&self.app, stored).await,
            None => Ok(()),
        }
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
                self.app.announced.forget(key);
                Ok(true)
            }
            Err(CloudError::FenceLost(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Announces a key again, unless it was announced only just.
    async fn announce(&self, key: &ProjectUser) -> Result<()> {
        if !self.app.announced.is_due(key, self.interval) {
            return Ok(());
        }
        dispatch::announce(&self.app.cloud, key, None, None).await?;
        tracing::info!(project.key = %key, "waiting work is announced again");
        self.app.announced.again(key);
        Ok(())
    }

    /// Shows all rows of an index, oldest first; only one page of them is held at a time.
    async fn each<T: Record>(&self, mut query: Query, mut note: impl FnMut(T)) -> Result<()> {
        loop {
            let (page, next) = self.app.cloud.store.find::<T>(query.clone()).await?;
            self.rows_seen.fetch_add(page.len(), Ordering::Relaxed);
            page.into_iter().for_each(&mut note);
            if next.is_none() {
                return Ok(());
            }
            query.after = next;
        }
    }
}
