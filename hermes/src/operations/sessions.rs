//! Sessions: which conversations go on, and on which worker. How many are active follows from their rows and the time.

use common::cloud::Cloud;
use common::cloud::store::Query;
use common::domain::active_job::ActiveJob;
use common::domain::claim::ClaimRecord;
use common::domain::ids::{ProjectId, ProjectUser, UserId, WorkerId};
use common::domain::session::{Session, SessionStanding};
use serde::Serialize;

use super::pages::newest_first;
use super::{Listed, OperationError, Result, Slice};

/// So many sessions of one worker or owner are counted.
const MOST: usize = 1_000;

/// Which sessions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionFilter {
    /// Of this site.
    pub project: Option<ProjectId>,
    /// Of this person.
    pub user: Option<UserId>,
    /// Last taken by this worker.
    pub worker: Option<WorkerId>,
}

impl SessionFilter {
    fn lets_pass(&self, session: &Session) -> bool {
        self.project.as_ref().is_none_or(|id| session.project_key.project == *id)
            && self.user.as_ref().is_none_or(|id| session.project_key.user == *id)
            && self.worker.as_ref().is_none_or(|id| session.container_id == *id)
    }

    /// The index that holds them all, if one does.
    fn query(&self) -> Option<Query> {
        if let (Some(project), Some(user)) = (&self.project, &self.user) {
            let key = ProjectUser::new(project.clone(), user.clone());
            return Some(Query::index("project-index", key));
        }
        self.worker.as_ref().map(|worker| Query::index("container-index", worker))
    }
}

/// A session as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// Its row.
    pub session: Session,
    /// Active, expired or closed at present.
    pub standing: SessionStanding,
}

/// What a claim is being used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ClaimUse {
    /// A job runs.
    Busy,
    /// A session was active lately.
    Held,
    /// Neither.
    Idle,
}

/// Sessions, those with the latest activity first where an owner or a worker is asked for, else in no order.
pub async fn list(cloud: &Cloud, filter: &SessionFilter, slice: Slice) -> Result<Listed<Seen>> {
    let now = cloud.clock.now();
    let listed = match filter.query() {
        Some(query) => newest_first(&*cloud.store, query, &slice, |row| filter.lets_pass(row)).await?,
        None => among_all(cloud, filter, &slice).await?,
    };
    let seen = |session: Session| Seen { standing: session.standing(now), session };
    Ok(Listed { items: listed.items.into_iter().map(seen).collect(), next: listed.next })
}

async fn among_all(cloud: &Cloud, filter: &SessionFilter, slice: &Slice) -> Result<Listed<Session>> {
    let page = cloud.store.list::<Session>(slice.limit, slice.after.clone()).await;
    let (mut items, next) = page.map_err(|error| OperationError::of_page(slice.after.as_ref(), error))?;
    items.retain(|session| filter.lets_pass(session));
    Ok(Listed { items, next: next.map(|cursor| cursor.0) })
}

/// How many sessions of these project+users are active on a worker: none, once it works for nobody.
pub async fn active_on(cloud: &Cloud, worker: &WorkerId, works_for: &[ProjectUser]) -> Result<usize> {
    if works_for.is_empty() {
        return Ok(0);
    }
    let now = cloud.clock.now();
    let query = Query::index("container-index", worker).newest_first().limit(MOST);
    let (sessions, _) = cloud.store.find::<Session>(query).await?;
    let counts = |session: &&Session| session.is_active(now) && works_for.contains(&session.project_key);
    Ok(sessions.iter().filter(counts).count())
}

/// What a held claim is being used for.
pub async fn use_of(cloud: &Cloud, claim: &ClaimRecord) -> Result<ClaimUse> {
    let active = cloud.store.load::<ActiveJob>(&claim.project_key).await?;
    if active.is_some_and(|row| row.value.epoch == claim.epoch) {
        return Ok(ClaimUse::Busy);
    }
    let now = cloud.clock.now();
    let query = Query::index("project-index", &claim.project_key).newest_first().limit(MOST);
    let (sessions, _) = cloud.store.find::<Session>(query).await?;
    Ok(if sessions.iter().any(|session| session.is_active(now)) { ClaimUse::Held } else { ClaimUse::Idle })
}
