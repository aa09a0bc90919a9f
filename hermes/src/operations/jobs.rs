//! Jobs: what ran and runs, ordering one without a mail, and stopping it.

use std::ops::ControlFlow;

use common::cloud::store::Query;
use common::cloud::{Cloud, Result as CloudResult};
use common::domain::ids::{CommandId, MailId, ProjectId, ProjectUser, SessionId, ThreadId, UserId};
use common::domain::job::{Job, JobState, WorkAction};
use common::messages::{Work, WorkContext};

use super::pages::{back_in_time, newest_first};
use super::{Listed, OperationError, Result, Slice, workers};
use crate::dispatch;
use crate::ingest::uuid_at;

/// Which jobs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobFilter {
    /// Of this site.
    pub project: Option<ProjectId>,
    /// Of this person.
    pub user: Option<UserId>,
    /// In this state.
    pub state: Option<JobState>,
}

impl JobFilter {
    fn lets_pass(&self, job: &Job) -> bool {
        self.project.as_ref().is_none_or(|id| job.project_id == *id)
            && self.user.as_ref().is_none_or(|id| job.user_id == *id)
            && self.state.is_none_or(|state| job.state == state)
    }
}

/// Jobs, newest first.
pub async fn list(cloud: &Cloud, filter: &JobFilter, slice: Slice) -> Result<Listed<Job>> {
    let wanted = |job: &Job| filter.lets_pass(job);
    if let (Some(project), Some(user)) = (&filter.project, &filter.user) {
        let query = Query::index("project-index", ProjectUser::new(project.clone(), user.clone()));
        return newest_first(&*cloud.store, query, &slice, wanted).await;
    }
    back_in_time(&*cloud.store, "all-index", cloud.clock.now(), &slice, wanted).await
}

/// One job.
pub async fn get(cloud: &Cloud, id: &CommandId) -> Result<Job> {
    let row = cloud.store.load::<Job>(id).await?;
    row.map(|row| row.value).ok_or_else(|| unknown(id))
}

/// Orders work that no mail asked for.
pub(super) async fn order(
    cloud: &Cloud,
    action: WorkAction,
    release: Option<u64>,
    (project, user, thread): (&ProjectId, &UserId, &ThreadId),
) -> Result<Job> {
    let command = CommandId::from_uuid(uuid_at(cloud.clock.now()));
    tracing::info!(command.id = %command, thread.id = %thread, "an operator ordered work for {project}: {action}");
    Ok(order_as(cloud, command, action, release, (project, user, thread)).await?)
}

/// Orders work that nobody asked for, under a command that is the same whenever the work is.
pub async fn order_as(
    cloud: &Cloud,
    command: CommandId,
    action: WorkAction,
    release: Option<u64>,
    (project, user, thread): (&ProjectId, &UserId, &ThreadId),
) -> CloudResult<Job> {
    let work = Work {
        command_id: command,
        session_id: SessionId::of_thread(thread),
        thread_id: thread.clone(),
        project_id: project.clone(),
        user_id: user.clone(),
        repo_url: String::new(),
        action,
        release,
        instruction: action.as_str().to_owned(),
        branch: None,
        attachments: Vec::new(),
        context: WorkContext::default(),
        previous_commit: None,
        task_token: None,
        timestamp: cloud.clock.now(),
    };
    dispatch::order(cloud, &work).await
}

/// Stops a job, wherever it is: the mark is what counts, the order to its worker makes it quick. A job that has ended stays
/// as it is.
pub async fn stop(cloud: &Cloud, id: &CommandId) -> Result<Job> {
    stop_for(cloud, id, None).await
}

/// The same, for a mail that asked for it, which is answered when the job has ended: one that an operator stopped before, too.
pub async fn stop_for(cloud: &Cloud, id: &CommandId, mail: Option<&MailId>) -> Result<Job> {
    let now = cloud.clock.now();
    let mut ended = false;
    let mark = |job: &mut Job| {
        ended = !job.is_open() || job.outcome.is_some();
        let nobody_is_answered = job.stopped_by.is_none() && mail.is_some();
        if ended || (job.stop_requested.is_some() && !nobody_is_answered) {
            return ControlFlow::Break(());
        }
        job.stop_requested.get_or_insert(now);
        job.stopped_by = mail.cloned();
        ControlFlow::Continue(())
    };
    let Some(job) = cloud.store.update::<Job>(id, mark).await? else { return Err(unknown(id)) };
    if !ended {
        tracing::info!(command.id = %id, project.key = %job.project_key, "somebody asked for a job to be stopped");
        tell_its_worker(cloud, &job).await?;
    }
    Ok(job)
}

/// Work that waits without an owner is announced: a worker that takes it answers that it was stopped.
async fn tell_its_worker(cloud: &Cloud, job: &Job) -> Result<()> {
    let claim = cloud.claims.get(&job.project_key).await?;
    let alive = claim.filter(|claim| dispatch::unowned(Some(claim), cloud.clock.now()).is_none());
    let Some(owner) = alive.and_then(|claim| claim.owner) else {
        return Ok(dispatch::announce(cloud, &job.project_key, Some(&job.thread_id), None).await?);
    };
    workers::stop_job(cloud, owner, &job.project_key, &job.command_id).await
}

fn unknown(id: &CommandId) -> OperationError {
    OperationError::NotFound(format!("job {id} is not known; `hermes jobs list` shows the latest"))
}
