//! A message becomes a work whose blanks are filled: the user behind an address, a thread, the project's repository; and
//! the rows it needs exist. The same message always becomes the same work.

use std::sync::Arc;

use common::cloud::store::{Query, Store};
use common::cloud::{CloudError, Result};
use common::domain::ids::{EmailAddress, ProjectId, ThreadId, UserId};
use common::domain::job::Job;
use common::domain::names::PreviewKey;
use common::domain::project::{Project, Sender};
use common::domain::thread::Thread;
use common::domain::timestamp::Timestamp;
use common::messages::{UserRef, Work, WorkDraft};
use uuid::Uuid;

/// A work and its project, when the project is registered.
#[derive(Debug)]
pub struct Intake {
    /// The work.
    pub work: Work,
    /// Its project.
    pub project: Option<Project>,
}

/// What is missing when neither the message nor the project names a repository.
pub const NO_REPOSITORY: &str = "repoUrl not in message";

/// Fills the blanks. A work whose repository is known to nobody keeps an empty `repo_url`.
pub async fn complete(store: &Arc<dyn Store>, draft: WorkDraft) -> Result<Intake> {
    let user_id = match &draft.user {
        UserRef::Id(id) => id.clone(),
        UserRef::Address(address) => user_of(store, address, &draft.project_id).await?,
    };
    let project = store.load::<Project>(&draft.project_id).await?.map(|stored| stored.value);
    let thread_id = thread_of(&draft);
    let known = project.as_ref().map(|project| project.repo_url.clone());
    let repo_url = draft.repo_url.clone().or(known).unwrap_or_default();
    Ok(Intake { work: draft.complete(user_id, thread_id, repo_url), project })
}

/// The user an address stands for: as registered for this project, else one of its own.
async fn user_of(store: &Arc<dyn Store>, address: &EmailAddress, project: &ProjectId) -> Result<UserId> {
    let (senders, _) = store.find::<Sender>(Query::partition(address)).await?;
    let registered = senders.into_iter().find(|sender| sender.project_id == *project);
    Ok(registered.map_or_else(|| UserId::of_address(address), |sender| sender.user_id))
}

/// The thread of a message; of one that names none, the same again for a redelivery.
pub fn thread_of(draft: &WorkDraft) -> ThreadId {
    let own = || Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("thread:{}", draft.command_id).as_bytes());
    draft.thread_id.clone().unwrap_or_else(|| ThreadId::from_uuid(own()))
}

/// The row of the job; made when hermes did not.
pub async fn ensure_job(store: &Arc<dyn Store>, work: &Work, now: Timestamp) -> Result<Job> {
    insert_absent(store, &work.command_id, || work.to_job(now)).await
}

/// The row of the thread; made when hermes did not.
pub async fn ensure_thread(store: &Arc<dyn Store>, work: &Work, now: Timestamp) -> Result<Thread> {
    let new = || Thread {
        thread_id: work.thread_id.clone(),
        project_key: work.project_user(),
        project_id: work.project_id.clone(),
        user_id: work.user_id.clone(),
        subject: work.context.subject.clone().unwrap_or_default(),
        branch: work.branch_name(),
        preview_key: PreviewKey::random(),
        created_at: now,
        last_activity: now,
        removed_at: None,
        ttl: None,
    };
    insert_absent(store, &work.thread_id, new).await
}

async fn insert_absent<T: common::cloud::store::Record>(
    store: &Arc<dyn Store>,
    id: &T::Id,
    new: impl Fn() -> T,
) -> Result<T> {
    if let Some(stored) = store.load::<T>(id).await? {
        return Ok(stored.value);
    }
    let row = new();
    match store.insert(&row).await {
        Ok(_) => Ok(row),
        Err(CloudError::Conflict(what)) => {
            let stored = store.load::<T>(id).await?;
            stored.map(|stored| stored.value).ok_or(CloudError::Conflict(what))
        }
        Err(error) => Err(error),
    }
}
