//! `/v1/projects/{projectId}/preflight`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use common::domain::ids::{CommandId, ProjectId};
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;
use super::body::ApiPath;
use super::jobs::JobView;
use super::problem::{Problem, ProblemBody};
use crate::operations::preflight::{self, Check, CheckState, Preflight};

/// One thing that has to be right.
#[derive(Serialize, ToSchema)]
#[schema(as = Check)]
#[serde(rename_all = "camelCase")]
pub(super) struct CheckView {
    /// `senders`, `mail identity`, `worker`, `source`, `build`, `preview` or `live site`.
    name: &'static str,
    /// `ok`, `weak`, `failed` or `waiting`.
    #[schema(value_type = String)]
    state: CheckState,
    /// What was found.
    said: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    to_do: Option<String>,
}

/// Whether a project is ready.
#[derive(Serialize, ToSchema)]
#[schema(as = Preflight)]
pub(super) struct PreflightView {
    /// The job that fetches, builds and shows the site.
    job: JobView,
    /// What is known so far.
    checks: Vec<CheckView>,
}

impl From<Preflight> for PreflightView {
    fn from(preflight: Preflight) -> Self {
        let view = |Check { name, state, said, to_do }| CheckView { name, state, said, to_do };
        Self { job: preflight.job.into(), checks: preflight.checks.into_iter().map(view).collect() }
    }
}

/// Checks whether a project is ready for its first mail: who may write, where answers come from, and by a job of a worker
/// that the source can be fetched and pushed to, the site built, its preview put up and its live site written to.
#[utoipa::path(post, path = "/v1/projects/{projectId}/preflight", operation_id = "preflightProject", tag = "projects",
    params(("projectId" = String, Path)),
    responses(
        (status = 202, description = "What is known so far, and the job that does the rest", body = PreflightView),
        (status = 401, description = "The token is missing or wrong", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "There is no such project", body = ProblemBody, content_type = "application/problem+json")))]
pub(super) async fn post(
    State(api): State<Arc<Api>>,
    ApiPath(id): ApiPath<String>,
) -> Result<(StatusCode, Json<PreflightView>), Problem> {
    let app = &api.app;
    let preflight = preflight::begin(&app.cloud, &app.mail_from.address, &ProjectId::parse(&id)?).await?;
    Ok((StatusCode::ACCEPTED, Json(preflight.into())))
}

/// How the checks stand that were ordered before: by the job that the order named.
#[utoipa::path(get, path = "/v1/projects/{projectId}/preflight/{commandId}", operation_id = "getPreflight", tag = "projects",
    params(("projectId" = String, Path), ("commandId" = String, Path)),
    responses(
        (status = 200, description = "What is known by now", body = PreflightView),
        (status = 401, description = "The token is missing or wrong", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "There is no such order", body = ProblemBody, content_type = "application/problem+json")))]
pub(super) async fn get(
    State(api): State<Arc<Api>>,
    ApiPath((project, command)): ApiPath<(String, String)>,
) -> Result<Json<PreflightView>, Problem> {
    let (project, command) = (ProjectId::parse(&project)?, CommandId::parse(&command)?);
    let app = &api.app;
    Ok(Json(preflight::get(&app.cloud, &app.mail_from.address, &project, &command).await?.into()))
}
