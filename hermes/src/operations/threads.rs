//! Conversations: removing one.

use std::ops::ControlFlow;
use std::time::Duration;

use common::cloud::files::{At, IfMatch, Space};
use common::cloud::store::{Expect, Query, Record};
use common::cloud::{Cloud, Result as CloudResult};
use common::domain::ids::ThreadId;
use common::domain::job::{Job, WorkAction};
use common::domain::names::{agent_memory_prefix, transcript_key, wip_key};
use common::domain::session::Session;
use common::domain::thread::{Thread, ThreadMapping};

use super::jobs::{self, order};
use super::{OperationError, Result};

/// The row of a conversation that was removed is kept for so long: its preview has to be taken down by then, which is ordered
/// again every day while it is up.
const KEPT: Duration = Duration::from_hours(90 * 24);

/// Removes a conversation: no mail leads to it any more, its work is stopped, what the agent remembers of it goes, and a
/// worker is ordered to take its preview down once the work that waits before is done. Its branch stays, and so does what was
/// published from it. Whoever is cut short does it again: every step may be repeated.
pub async fn remove(cloud: &Cloud, id: &ThreadId) -> Result<Job> {
    let now = cloud.clock.now();
    let mark = |thread: &mut Thread| {
        thread.removed_at.get_or_insert(now);
        thread.ttl = Some(now.ttl(KEPT));
        ControlFlow::Continue(())
    };
    let Some(thread) = cloud.store.update::<Thread>(id, mark).await? else {
        return Err(OperationError::NotFound(format!(
            "conversation {id} is not known; `hermes sessions` shows the latest"
        )));
    };
    forget_messages(cloud, id).await?;
    let jobs = jobs_of(cloud, &thread).await?;
    // First the work, then what it left: whoever ends before it is marked has left all by now, and whoever ends after it
    // sees the mark and clears away what it leaves (worker/src/removals.rs).
    for job in jobs.iter().filter(|job| is_to_stop(job)) {
        jobs::stop(cloud, &job.command_id).await?;
    }
    forget_words(cloud, &thread, &jobs).await?;
    let whose = (&thread.project_id, &thread.user_id, id);
    order(cloud, WorkAction::TakeDown, None, whose).await
}

/// Its messages lead nowhere from now on.
async fn forget_messages(cloud: &Cloud, id: &ThreadId) -> CloudResult<()> {
    let mut query = Query::index("thread-index", id);
    loop {
        let (page, next) = cloud.store.find::<ThreadMapping>(query.clone()).await?;
        for mapping in page {
            let key = ThreadMapping::key(&(mapping.project_key, mapping.message_id));
            cloud.store.delete(ThreadMapping::TABLE, &key, Expect::Any).await?;
        }
        if next.is_none() {
            return Ok(());
        }
        query.after = next;
    }
}

fn is_to_stop(job: &Job) -> bool {
    job.is_open() && job.outcome.is_none() && job.action.goes_on_with_a_conversation()
}

async fn jobs_of(cloud: &Cloud, thread: &Thread) -> CloudResult<Vec<Job>> {
    of_owner(cloud, thread, |job: &Job| job.thread_id == thread.thread_id).await
}

/// The rows of its owner that are its own.
async fn of_owner<T: Record>(
    cloud: &Cloud,
    thread: &Thread,
    is_own: impl Fn(&T) -> bool,
) -> CloudResult<Vec<T>> {
    let mut query = Query::index("project-index", &thread.project_key);
    let mut found = Vec::new();
    loop {
        let (page, next) = cloud.store.find::<T>(query.clone()).await?;
        found.extend(page.into_iter().filter(|row| is_own(row)));
        if next.is_none() {
            return Ok(found);
        }
        query.after = next;
    }
}

/// Clears away what is left of a conversation that was removed, whoever left it behind.
pub(crate) async fn forget(cloud: &Cloud, thread: &Thread) -> CloudResult<()> {
    let jobs = jobs_of(cloud, thread).await?;
    forget_words(cloud, thread, &jobs).await
}

/// What the agent remembers, what it said, and what it left unfinished.
async fn forget_words(cloud: &Cloud, thread: &Thread, jobs: &[Job]) -> CloudResult<()> {
    let id = &thread.thread_id;
    let left = cloud.files.list(&Space::Objects, &agent_memory_prefix(id)).await?;
    let of_jobs = jobs.iter().flat_map(|job| [transcript_key(&job.command_id), wip_key(&job.command_id)]);
    for key in left.into_iter().chain(of_jobs) {
        cloud.files.delete(&At::object(key), IfMatch::Any).await?;
    }
    // Whoever orders work may name a session otherwise than we do.
    for session in of_owner(cloud, thread, |session: &Session| session.thread_id == *id).await? {
        cloud.store.remove::<Session>(&session.session_id).await?;
    }
    Ok(())
}
