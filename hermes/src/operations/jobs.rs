//! Jobs, and the claims under which they run.

use common::cloud::Cloud;
use common::cloud::store::Query;
use common::domain::claim::ClaimRecord;
use common::domain::ids::{CommandId, ProjectId, ProjectUser, UserId};
use common::domain::job::{Job, JobState};

use super::pages::back_in_time;
use super::{Listed, MAX_PAGE, OperationError, Result, Slice};

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
    if let (Some(project), Some(user)) = (&filter.project, &filter.user) {
        let key = ProjectUser::new(project.clone(), user.clone());
        return of_owner(cloud, &key, filter, slice).await;
    }
    let wanted = |job: &Job| filter.lets_pass(job);
    back_in_time(&*cloud.store, "all-index", cloud.clock.now(), &slice, wanted).await
}

async fn of_owner(cloud: &Cloud, key: &ProjectUser, filter: &JobFilter, slice: Slice) -> Result<Listed<Job>> {
    let mut query = Query::index("project-index", key).newest_first().limit(slice.limit);
    query.after = slice.after;
    let (mut items, next) = cloud.store.find::<Job>(query).await?;
    items.retain(|job| filter.lets_pass(job));
    Ok(Listed { items, next: next.map(|cursor| cursor.0) })
}

/// One job.
pub async fn get(cloud: &Cloud, id: &CommandId) -> Result<Job> {
    let row = cloud.store.load::<Job>(id).await?;
    row.map(|row| row.value).ok_or_else(|| {
        OperationError::NotFound(format!("job {id} is not known; `hermes jobs list` shows the latest"))
    })
}

/// Who works for whom at present.
pub async fn claims(cloud: &Cloud) -> Result<Vec<ClaimRecord>> {
    Ok(cloud.claims.held(MAX_PAGE).await?)
}
