//! Hands work over: the thread, the Message-ID and the job are written down, the work goes to the project+user's FIFO
//! queue, and only then the claim is read, so that either the owner's next receive finds the work or nobody owns it and it
//! is announced. A running job that has to make way is named to its owner. Every write may be repeated.

use std::time::Duration;

use common::cloud::queue::Outgoing;
use common::cloud::store::{Record, Store, Version};
use common::cloud::{Cloud, CloudError, Result};
use common::domain::active_job::ActiveJob;
use common::domain::claim::{ClaimRecord, ClaimStatus};
use common::domain::ids::{CommandId, MailId, ProjectUser, ThreadId};
use common::domain::job::{Job, JobState};
use common::domain::names::{PreviewKey, Queue};
use common::domain::project::Project;
use common::domain::thread::{Direction, Thread, ThreadMapping};
use common::domain::timestamp::Timestamp;
use common::messages::{ClaimRequest, Interrupt, Order, Work};

use crate::affinity;
use crate::app::App;
use crate::handover;
use crate::ingest::record::MailRecord;
use crate::mail::trace::{Stage, Trace};
use crate::route::Routed;

/// The attempt that a first dispatch stands for: part of the deduplication id.
const FIRST_ATTEMPT: u32 = 1;

/// Hands the work of a mail over.
pub async fn dispatch(app: &App, routed: &Routed, mail: &MailRecord, trace: &mut Trace) -> Result<()> {
    let Routed { work, requested_by, landmarks } = routed;
    let job = Job {
        mail_id: Some(mail.mail_id.clone()),
        requested_by: Some(requested_by.clone()),
        // A mail may have waited for days, for its confirmation or for us; its work has not.
        ..work.to_job(app.cloud.clock.now())
    };
    let store = &*app.cloud.store;
    let (state, (), ()) = tokio::try_join!(
        write_job(store, &job),
        write_thread(store, work, &mail.subject, app.cloud.clock.now()),
        write_mappings(store, work, mail.message_id.as_deref(), landmarks),
    )?;
    if state != JobState::Pending {
        trace.note(Stage::Dispatch, "a worker has it already");
        return Ok(());
    }
    if handover::takes(app.orchestrator, work) {
        return handover::hand_over(app, work, &mail.mail_id, trace).await;
    }
    let queue = Queue::Input(work.project_user());
    app.cloud.queues.send(&queue, fifo(work)).await?;
    trace.note(Stage::Dispatch, format!("sent to {queue}"));
    if let Handed::Announced = announce_or_interrupt(&app.cloud, work, Some(&mail.mail_id), trace).await? {
        app.announced.first(&work.project_user());
    }
    Ok(())
}

/// Hands over work that no mail ordered, on a conversation that is there.
pub async fn order(cloud: &Cloud, work: &Work) -> Result<Job> {
    let job = work.to_job(cloud.clock.now());
    insert(&*cloud.store, &job).await?;
    cloud.queues.send(&Queue::Input(work.project_user()), fifo(work)).await?;
    announce_or_interrupt(cloud, work, None, &mut Trace::default()).await?;
    Ok(job)
}

fn fifo(work: &Work) -> Outgoing {
    let dedup = format!("{}-{FIRST_ATTEMPT}", work.command_id);
    Outgoing::fifo(work.to_json(), work.project_user().to_string(), dedup)
}

/// The state of the job's row, which is made when absent.
async fn write_job(store: &dyn Store, job: &Job) -> Result<JobState> {
    if insert(store, job).await? {
        return Ok(JobState::Pending);
    }
    Ok(store.load::<Job>(&job.command_id).await?.map_or(JobState::Pending, |row| row.value.state))
}

async fn write_thread(store: &dyn Store, work: &Work, subject: &str, now: Timestamp) -> Result<()> {
    let thread = Thread {
        thread_id: work.thread_id.clone(),
        project_key: work.project_user(),
        project_id: work.project_id.clone(),
        user_id: work.user_id.clone(),
        subject: subject.to_owned(),
        branch: work.branch_name(),
        preview_key: PreviewKey::random(),
        created_at: work.timestamp,
        last_activity: now,
        removed_at: None,
        ttl: None,
    };
    if insert(store, &thread).await? {
        return Ok(());
    }
    let touch = |thread: &mut Thread| {
        thread.last_activity = thread.last_activity.max(now);
        std::ops::ControlFlow::Continue(())
    };
    store.update::<Thread>(&work.thread_id, touch).await.map(drop)
}

/// The mail's own id and those it refers to, so that a reply that comes before its parent finds it, and the parent too.
async fn write_mappings(
    store: &dyn Store,
    work: &Work,
    own: Option<&str>,
    landmarks: &[String],
) -> Result<()> {
    let (key, thread) = (work.project_user(), &work.thread_id);
    if let Some(own) = own {
        remember(store, key.clone(), own, thread, Direction::Inbound, work.timestamp).await?;
    }
    for id in landmarks.iter().filter(|id| Some(id.as_str()) != own) {
        remember(store, key.clone(), id, thread, Direction::Mentioned, work.timestamp).await?;
    }
    Ok(())
}

/// Remembers which conversation a message belongs to; the first to say so wins.
pub async fn remember(
    store: &dyn Store,
    project_key: ProjectUser,
    message_id: &str,
    thread_id: &ThreadId,
    direction: Direction,
    at: Timestamp,
) -> Result<()> {
    let mapping = ThreadMapping {
        project_key,
        message_id: message_id.to_owned(),
        thread_id: thread_id.clone(),
        direction,
        ttl: at.ttl(ThreadMapping::KEPT),
    };
    insert(store, &mapping).await.map(drop)
}

/// Whether the row is new; one that was there before is left as it is.
async fn insert<T: Record>(store: &dyn Store, row: &T) -> Result<bool> {
    match store.insert(row).await {
        Ok(Version(_)) => Ok(true),
        Err(CloudError::Conflict(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Who learns that work was sent.
enum Handed {
    /// The live owner of its key, who receives from its queue.
    Owned,
    /// Whoever looks at the unclaimed queue.
    Announced,
}

/// Nobody alive owns it: it is announced. Somebody does: what they are doing may have to make way. A claim that cannot be
/// read is announced: one announcement too many does no harm, one too few strands the work.
async fn announce_or_interrupt(
    cloud: &Cloud,
    work: &Work,
    mail: Option<&MailId>,
    trace: &mut Trace,
) -> Result<Handed> {
    let key = work.project_user();
    let claim = cloud.claims.get(&key).await;
    let reason = match &claim {
        Ok(claim) => unowned(claim.as_ref(), cloud.clock.now()),
        Err(error) => {
            tracing::warn!(%error, project.key = %key, "a claim cannot be read; its work is announced to be safe");
            Some("its claim cannot be read")
        }
    };
    let Some(reason) = reason else {
        trace.note(Stage::Dispatch, "its owner is alive and will find it");
        if let Ok(Some(claim)) = &claim {
            interrupt(cloud, claim, work, trace).await;
        }
        return Ok(Handed::Owned);
    };
    tell_workers(cloud, work, mail, trace).await?;
    trace.note(Stage::Dispatch, format!("announced: {reason}"));
    Ok(Handed::Announced)
}

/// Asks a live owner, if there is one, to let this work go first.
pub async fn interrupt_owner(cloud: &Cloud, work: &Work, trace: &mut Trace) {
    match cloud.claims.get(&work.project_user()).await {
        Ok(Some(claim)) if unowned(Some(&claim), cloud.clock.now()).is_none() => {
            interrupt(cloud, &claim, work, trace).await;
        }
        Ok(_) => {}
        Err(error) => {
            tracing::warn!(%error, command.id = %work.command_id, "a claim cannot be read; its work waits its turn");
        }
    }
}

/// The worker that served its owner last hears of it first, if there is one; all others a moment later.
async fn tell_workers(cloud: &Cloud, work: &Work, mail: Option<&MailId>, trace: &mut Trace) -> Result<()> {
    let key = work.project_user();
    let request = announcement(cloud, &key, Some(&work.thread_id), mail);
    let delay = match affinity::offer(cloud, &key, &request).await {
        Some(worker) => {
            trace.note(Stage::Dispatch, format!("offered first to {worker}, which served its owner last"));
            affinity::HEAD_START
        }
        None => Duration::ZERO,
    };
    let message = Outgoing { delay, ..Outgoing::standard(request.to_json()) };
    cloud.queues.send(&Queue::Unclaimed, message).await.map(drop)
}

/// Asks the owner of the claim to let this work go first. When that does not succeed it waits its turn.
async fn interrupt(cloud: &Cloud, claim: &ClaimRecord, work: &Work, trace: &mut Trace) {
    match ask_to_interrupt(cloud, claim, work).await {
        Ok(Some(running)) => trace.note(Stage::Dispatch, format!("asked its owner to interrupt {running}")),
        Ok(None) => {}
        Err(error) => {
            tracing::warn!(
                %error, command.id = %work.command_id, project.key = %work.project_user(),
                "a running job could not be interrupted; the newer work waits its turn"
            );
        }
    }
}

/// The job that was named to its worker, if one runs that has to make way.
async fn ask_to_interrupt(cloud: &Cloud, claim: &ClaimRecord, work: &Work) -> Result<Option<CommandId>> {
    if work.action.is_unhurried() {
        return Ok(None);
    }
    let Some(owner) = &claim.owner else { return Ok(None) };
    let Some(active) = cloud.store.load::<ActiveJob>(&claim.project_key).await? else { return Ok(None) };
    let running = active.value;
    let project = cloud.store.load::<Project>(&work.project_id).await?;
    let policy = project.map(|row| row.value.preempt).unwrap_or_default();
    if running.epoch != claim.epoch || !running.gives_way_to(&work.command_id, &work.thread_id, policy) {
        return Ok(None);
    }
    let order = Order::Interrupt(Interrupt {
        project_id: work.project_id.clone(),
        user_id: work.user_id.clone(),
        command_id: running.command_id.clone(),
        new_thread_id: work.thread_id.clone(),
        new_message_id: work.command_id.to_string(),
        reason: "newer work of the same owner".to_owned(),
        timestamp: cloud.clock.now(),
    });
    let queue = Queue::Control(owner.clone());
    cloud.queues.send(&queue, Outgoing::standard(order.to_json())).await?;
    Ok(Some(running.command_id))
}

/// Why a claim has no live owner, if so. The written time is a hint only: it decides about an announcement, never about
/// the claim.
pub fn unowned(claim: Option<&ClaimRecord>, now: Timestamp) -> Option<&'static str> {
    match claim {
        None => Some("nobody has claimed it"),
        Some(row) if row.status == ClaimStatus::Free => Some("its claim is free"),
        Some(row) if now.since(row.last_activity).as_secs() > 2 * row.lease_secs => {
            Some("its owner has been silent for more than two leases")
        }
        Some(_) => None,
    }
}

/// Tells the workers that a project+user has work and perhaps no owner.
pub async fn announce(
    cloud: &Cloud,
    key: &ProjectUser,
    thread: Option<&ThreadId>,
    mail: Option<&MailId>,
) -> Result<()> {
    let request = announcement(cloud, key, thread, mail);
    cloud.queues.send(&Queue::Unclaimed, Outgoing::standard(request.to_json())).await.map(drop)
}

/// What is said of work that perhaps has no owner.
pub fn announcement(
    cloud: &Cloud,
    key: &ProjectUser,
    thread: Option<&ThreadId>,
    mail: Option<&MailId>,
) -> ClaimRequest {
    ClaimRequest {
        project_id: key.project.clone(),
        user_id: key.user.clone(),
        queue_url: None,
        thread_id: thread.map(ToString::to_string),
        message_id: mail.map(ToString::to_string),
        timestamp: cloud.clock.now(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::domain::claim::{ClaimVersion, Epoch};

    fn claim(status: ClaimStatus) -> ClaimRecord {
        ClaimRecord {
            project_key: ProjectUser::parse("amelia#scott").unwrap(),
            owner: None,
            epoch: Epoch(1),
            version: ClaimVersion::from_stored("v".into()),
            lease_secs: 45,
            claimed_at: Timestamp::default(),
            last_activity: Timestamp::default(),
            status,
            control_queue: None,
        }
    }

    #[test]
    fn a_claim_is_unowned_when_absent_free_or_silent_for_more_than_two_leases() {
        let after = |secs| Timestamp::default().plus(Duration::from_secs(secs));
        assert!(unowned(None, after(0)).is_some());
        assert!(unowned(Some(&claim(ClaimStatus::Free)), after(0)).is_some());
        assert!(unowned(Some(&claim(ClaimStatus::Held)), after(90)).is_none());
        assert!(unowned(Some(&claim(ClaimStatus::Held)), after(91)).is_some());
    }
}
