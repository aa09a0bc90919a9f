//! `/v1/projects/{projectId}/preflight`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use common::domain::ids::ProjectId;
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
pub(super) struct CheckView {
    /// `senders`, `mail identity`, `worker`, `source`, `build` or `preview`.
    name: &'static str,
    /// `ok`, `failed` or `waiting`.
    #[schema(value_type = String)]
    state: CheckState,
    /// What was found, and what to do about it.
    said: String,
}

/// Whether a project is ready.
#[derive(Serialize, ToSchema)]
#[schema(as = Preflight)]
pub(super) struct PreflightView {
    /// The job that fetches, builds and shows the site; ask for it again to see how it goes.
    job: JobView,
    /// What is known so far.
    checks: Vec<CheckView>,
}

impl From<Preflight> for PreflightView {
    fn from(preflight: Preflight) -> Self {
        let view = |Check { name, state, said }| CheckView { name, state, said };
        Self { job: preflight.job.into(), checks: preflight.checks.into_iter().map(view).collect() }
    }
}

/// Checks whether a project is ready for its first mail: who may write, where answers come from, and by a job of a worker
/// that the source can be fetched and pushed to, the site built and its preview put up.
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
