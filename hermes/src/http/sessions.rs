//! `/v1/sessions`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use common::domain::ids::{ProjectId, UserId, WorkerId};
use common::domain::session::SessionStanding;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::body::ApiQuery;
use super::problem::{Problem, ProblemBody};
use crate::operations::sessions::{self, Seen, SessionFilter};
use crate::operations::{Listed, Slice};

/// The conversation on a thread.
#[derive(Serialize, ToSchema)]
#[schema(as = Session)]
#[serde(rename_all = "camelCase")]
pub(super) struct SessionView {
    /// Its id.
    session_id: String,
    /// The thread.
    thread_id: String,
    /// `project#user`.
    project_key: String,
    /// The worker that last had it.
    worker_id: String,
    /// `active` (a job runs, or one ended less than 20 minutes ago), `expired` or `closed`.
    #[schema(value_type = String)]
    standing: SessionStanding,
    /// The job that runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    running: Option<String>,
    /// Turns of the agent in all its runs.
    turns: u32,
    /// US dollars of all its runs.
    cost_usd: f64,
    /// RFC 3339.
    created_at: String,
    /// RFC 3339.
    last_activity: String,
}

impl From<Seen> for SessionView {
    fn from(Seen { session, standing }: Seen) -> Self {
        Self {
            session_id: session.session_id.to_string(),
            thread_id: session.thread_id.to_string(),
            project_key: session.project_key.to_string(),
            worker_id: session.container_id.to_string(),
            standing,
            running: session.running.map(|command| command.to_string()),
            turns: session.turns,
            cost_usd: session.cost_usd,
            created_at: session.created_at.to_string(),
            last_activity: session.last_activity.to_string(),
        }
    }
}

/// Sessions.
#[derive(Serialize, ToSchema)]
#[schema(as = Sessions)]
#[serde(rename_all = "camelCase")]
pub(super) struct SessionsView {
    /// The latest activity first, where an owner or a worker was asked for.
    sessions: Vec<SessionView>,
    /// How many of these are active.
    active: usize,
    /// Give it as `cursor` with the next call; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// Which sessions.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
pub(super) struct SessionQuery {
    /// Only of this site.
    project_id: Option<String>,
    /// Only of this person.
    user_id: Option<String>,
    /// Only on this worker.
    worker_id: Option<String>,
    /// At most so many entries (1 to 200, default 50).
    limit: Option<usize>,
    /// The `nextCursor` of the page before.
    cursor: Option<String>,
}

/// Sessions: which conversations go on, and on which worker.
#[utoipa::path(get, path = "/v1/sessions", operation_id = "listSessions", tag = "jobs", params(SessionQuery),
    responses(
        (status = 200, description = "Sessions", body = SessionsView),
        (status = 400, description = "A parameter is not right", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "The token is missing or wrong", body = ProblemBody, content_type = "application/problem+json")))]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    ApiQuery(query): ApiQuery<SessionQuery>,
) -> Result<Json<SessionsView>, Problem> {
    let filter = SessionFilter {
        project: query.project_id.as_deref().map(ProjectId::parse).transpose()?,
        user: query.user_id.as_deref().map(UserId::parse).transpose()?,
        worker: query.worker_id.as_deref().map(WorkerId::parse).transpose()?,
    };
    let slice = Slice::new(query.limit, query.cursor);
    let Listed { items, next } = sessions::list(&api.app.cloud, &filter, slice).await?;
    let active = items.iter().filter(|seen| seen.standing == SessionStanding::Active).count();
    let sessions = items.into_iter().map(Into::into).collect();
    Ok(Json(SessionsView { sessions, active, next_cursor: next }))
}
