//! Newer work takes the place of a running job: which job runs is written down so that hermes can name it, an order is
//! checked against what really happens, and the interrupted work goes back into the queue behind the newcomer.

use std::ops::ControlFlow;

use backon::Retryable as _;
use common::cloud::queue::Outgoing;
use common::cloud::store::{Expect, Query, Record as _, Store};
use common::cloud::{CloudError, Result};
use common::domain::active_job::ActiveJob;
use common::domain::claim::Fence;
use common::domain::ids::CommandId;
use common::domain::job::{Job, JobState};
use common::domain::names::Queue;
use common::messages::{Interrupt, Work};

use crate::job::Interrupted;
use crate::me::{Me, hasty};

/// So many of the owner's latest jobs are looked through for interrupted ones.
const LATEST: usize = 50;

/// Says that this job runs. Without it nobody interrupts the job, which does no harm.
pub async fn runs(me: &Me, fence: &Fence, work: &Work, row: &Job) {
    let active = ActiveJob {
        project_key: fence.project_key.clone(),
        command_id: work.command_id.clone(),
        action: work.action,
        thread_id: work.thread_id.clone(),
        container_id: fence.owner.worker.clone(),
        nonce: fence.owner.nonce.clone(),
        epoch: fence.epoch,
        preempted: row.preempted.clone(),
        started_at: me.cloud.clock.now(),
    };
    if let Err(error) = write(&*me.cloud.store, active).await {
        tracing::warn!(command.id = %work.command_id, %error, "the running job could not be written down, so that nothing can interrupt it");
    }
}

/// Never over the row of a newer owner.
async fn write(store: &dyn Store, active: ActiveJob) -> Result<()> {
    let Some(mut stored) = store.load::<ActiveJob>(&active.project_key).await? else {
        return store.insert(&active).await.map(drop);
    };
    if stored.value.epoch > active.epoch {
        return Err(CloudError::FenceLost(active.project_key.to_string()));
    }
    stored.value = active;
    store.replace(&stored).await.map(drop)
}

/// Says that no job runs any more.
pub async fn runs_no_more(me: &Me, fence: &Fence) {
    let key = &fence.project_key;
    let store = &*me.cloud.store;
    let removed = async {
        match store.load::<ActiveJob>(key).await? {
            Some(stored) if stored.value.epoch == fence.epoch => {
                let ours = Expect::Version(stored.version);
                match store.delete(ActiveJob::TABLE, &ActiveJob::key(key), ours).await {
                    // A newer owner has written it meanwhile.
                    Err(CloudError::Conflict(_)) => Ok(()),
                    removed => removed,
                }
            }
            Some(_) | None => Ok(()),
        }
    };
    if let Err(error) = removed.await {
        tracing::warn!(project.key = %key, %error, "a job that has ended is still written down as running; orders about it are ignored");
    }
}

/// Whose work is meant to go first, if it still waits. An order that comes twice, or late, finds that it does not.
pub async fn newcomer(me: &Me, order: &Interrupt) -> Option<CommandId> {
    let command = match CommandId::parse(&order.new_message_id) {
        Ok(command) => command,
        Err(error) => {
            tracing::warn!(%error, "an interrupt that names no work is ignored");
            return None;
        }
    };
    match me.cloud.store.load::<Job>(&command).await {
        Ok(Some(row)) if waits(&row.value) => Some(command),
        Ok(_) => {
            tracing::info!(command.id = %command, "an interrupt for work that does not wait any more is ignored");
            None
        }
        Err(error) => {
            tracing::warn!(%error, command.id = %command, "an interrupt could not be checked; the newer work waits its turn");
            None
        }
    }
}

fn waits(job: &Job) -> bool {
    job.state == JobState::Pending && job.outcome.is_none() && job.preempted.is_none()
}

/// Notes whose place the newer work took, then queues the interrupted work once more, behind it. The deduplication id is a
/// new one, and nobody waits for the old task token any more.
pub async fn queue_again(me: &Me, fence: &Fence, work: &Work, row: &Job, newer: &CommandId) -> Result<()> {
    let note = |job: &mut Job| {
        if job.epoch > fence.epoch {
            return ControlFlow::Break(());
        }
        job.preempted = Some(work.command_id.clone());
        ControlFlow::Continue(())
    };
    me.cloud.store.update::<Job>(newer, note).await?;
    let again = Work { task_token: None, ..work.clone() };
    let dedup = format!("{}-{}", work.command_id, row.next_delivery());
    let message = Outgoing::fifo(again.to_json(), fence.project_key.to_string(), dedup);
    let queue = Queue::Input(fence.project_key.clone());
    let send = || me.cloud.queues.send(&queue, message.clone());
    send.retry(hasty()).when(CloudError::is_retryable).await.map(drop)
}

/// What was interrupted on the thread of this work and is not finished yet, this work itself included.
pub async fn unfinished(store: &dyn Store, work: &Work) -> Result<Vec<Interrupted>> {
    let latest = Query::index("project-index", work.project_user()).newest_first().limit(LATEST);
    let (jobs, _) = store.find::<Job>(latest).await?;
    let open = jobs.into_iter().filter(|job| {
        job.thread_id == work.thread_id && job.interruptions > 0 && job.is_open() && job.outcome.is_none()
    });
    Ok(open
        .map(|job| {
            if job.command_id == work.command_id {
                Interrupted::Itself
            } else {
                Interrupted::Another(job.instruction)
            }
        })
        .collect())
}
