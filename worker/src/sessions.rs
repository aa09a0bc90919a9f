//! What the worker writes into the rows of sessions: at each take whose they are now, at each job when it began and what
//! came of it. No job begins whose session is not known; else a table that does not answer keeps nobody waiting for long. A
//! stale owner writes nothing.

use std::ops::ControlFlow;
use std::time::Duration;

use common::cloud::store::{Query, Store};
use common::cloud::{CloudError, Result};
use common::domain::claim::Fence;
use common::domain::ids::{ProjectUser, SessionId};
use common::domain::job::WorkAction;
use common::domain::session::{RunEnd, RunId, Session, Stale, Writer};
use common::domain::timestamp::Timestamp;
use common::messages::Work;
use tokio::time::timeout;

use crate::me::Me;

/// So many of the latest sessions of a project+user are looked at.
const LATEST: usize = 50;
/// Nobody waits longer than this for a row.
const LIMIT: Duration = Duration::from_secs(2);

/// The claim was taken: its active sessions are this worker's now.
pub async fn taken(me: &Me, fence: &Fence) {
    let written = async {
        let now = me.cloud.clock.now();
        let store = &*me.cloud.store;
        for session in latest(store, &fence.project_key).await? {
            if session.running.is_some() || session.is_active(now) {
                change(store, fence, &session.session_id, |row| row.taken(writer(fence))).await?;
            }
        }
        Ok(())
    };
    tell(&fence.project_key, written).await;
}

/// A job begins. The answer is the session as it was found, for whoever goes on with it: what it has used bounds the job, and
/// what is kept for it goes with the job. A table that may answer later is waited for; one that never will is not.
pub async fn begins(me: &Me, fence: &Fence, work: &Work) -> Result<Option<Session>> {
    if is_nobodys(work) {
        return Ok(None);
    }
    match in_time(begin(&*me.cloud.store, fence, work, me.cloud.clock.now())).await {
        Err(error) if error.is_retryable() => Err(error),
        begun => Ok(told(&fence.project_key, begun).flatten()),
    }
}

async fn begin(store: &dyn Store, fence: &Fence, work: &Work, now: Timestamp) -> Result<Option<Session>> {
    let begins = |row: &mut Session| row.begins(writer(fence), work.command_id.clone(), now);
    let found = change(store, fence, &work.session_id, begins).await?;
    if found.is_some() {
        return Ok(found);
    }
    let (id, thread, key) = (work.session_id.clone(), work.thread_id.clone(), fence.project_key.clone());
    let mut row = Session::new(id, thread, key, writer(fence), now);
    row.running = Some(work.command_id.clone());
    match store.insert(&row).await {
        Ok(_) => Ok(None),
        // It was made meanwhile, or is not ours to write.
        Err(CloudError::Conflict(_)) => change(store, fence, &work.session_id, begins).await,
        Err(error) => Err(error),
    }
}

/// A run of a job ended.
pub async fn ended(me: &Me, fence: &Fence, work: &Work, run: &RunId, end: RunEnd) -> Result<()> {
    if is_nobodys(work) {
        return Ok(());
    }
    let now = me.cloud.clock.now();
    let ends = |row: &mut Session| row.ended(writer(fence), run.clone(), end.clone(), now);
    let written = in_time(change(&*me.cloud.store, fence, &work.session_id, ends)).await;
    written.map(drop).inspect_err(|error| warn(&fence.project_key, error))
}

/// Whether somebody was at a session of this project+user lately. Nobody, when the table does not answer.
pub async fn are_active(store: &dyn Store, key: &ProjectUser, now: Timestamp) -> bool {
    let looked = tell(key, async {
        let sessions = latest(store, key).await?;
        Ok(sessions.iter().any(|session| session.is_active(now)))
    });
    looked.await.unwrap_or(false)
}

/// Nobody is at a conversation whose preview is taken down.
fn is_nobodys(work: &Work) -> bool {
    work.action == WorkAction::TakeDown
}

fn writer(fence: &Fence) -> Writer {
    Writer { worker: fence.owner.worker.clone(), epoch: fence.epoch }
}

async fn latest(store: &dyn Store, key: &ProjectUser) -> Result<Vec<Session>> {
    let query = Query::index("project-index", key).newest_first().limit(LATEST);
    Ok(store.find::<Session>(query).await?.0)
}

/// Reads, decides and writes on condition of what was read. The answer is the row as it was, none when there is no such
/// row, when it is somebody else's, or when a newer owner has written it.
async fn change(
    store: &dyn Store,
    fence: &Fence,
    id: &SessionId,
    decide: impl Fn(&mut Session) -> std::result::Result<(), Stale>,
) -> Result<Option<Session>> {
    let mut before = None;
    let change = |row: &mut Session| {
        before = Some(row.clone());
        if row.project_key != fence.project_key || decide(row).is_err() {
            before = None;
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    };
    store.update::<Session>(id, change).await?;
    Ok(before)
}

async fn tell<T>(key: &ProjectUser, work: impl Future<Output = Result<T>>) -> Option<T> {
    told(key, in_time(work).await)
}

async fn in_time<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let late = || Err(CloudError::unavailable("read or write the rows of sessions", "no answer in time"));
    timeout(LIMIT, work).await.unwrap_or_else(|_| late())
}

fn told<T>(key: &ProjectUser, done: Result<T>) -> Option<T> {
    done.inspect_err(|error| warn(key, error)).ok()
}

fn warn(key: &ProjectUser, error: &CloudError) {
    tracing::warn!(project.key = %key, %error, "the rows of sessions could not be read or written");
}
