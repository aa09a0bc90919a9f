//! `/v1/threads`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use common::domain::ids::ThreadId;

use super::Api;
use super::body::ApiPath;
use super::jobs::JobView;
use super::problem::{Problem, ProblemBody};
use crate::operations::threads;

/// Removes a conversation: mails lead to it no more, its preview is taken down, and what the agent remembers of it goes. Its
/// branch stays, and what was published from it.
#[utoipa::path(delete, path = "/v1/threads/{threadId}", operation_id = "removeThread", tag = "jobs",
    params(("threadId" = String, Path)),
    responses(
        (status = 202, description = "It is removed; the job takes its preview down", body = JobView),
        (status = 401, description = "The token is missing or wrong", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "There is no such conversation", body = ProblemBody, content_type = "application/problem+json")))]
pub(super) async fn remove(
    State(api): State<Arc<Api>>,
    ApiPath(id): ApiPath<String>,
) -> Result<(StatusCode, Json<JobView>), Problem> {
    let job = threads::remove(&api.app.cloud, &ThreadId::parse(&id)?).await?;
    Ok((StatusCode::ACCEPTED, Json(job.into())))
}
