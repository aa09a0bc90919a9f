//! `/v1/claims`

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use common::domain::ids::{ProjectId, ProjectUser, UserId};
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;
use super::problem::{Problem, ProblemBody};
use crate::operations::sessions::ClaimUse;
use crate::operations::workers::{self, Claim};

/// Who works for a project+user.
#[derive(Serialize, ToSchema)]
#[schema(as = Claim)]
#[serde(rename_all = "camelCase")]
pub(super) struct ClaimView {
    /// `project#user`.
    project_key: String,
    /// The worker.
    #[serde(skip_serializing_if = "Option::is_none")]
    worker_id: Option<String>,
    /// `busy` (a job runs), `held` (a session was active within 20 minutes) or `idle`.
    #[schema(value_type = String)]
    used: ClaimUse,
    /// Grows by one at every change of owner.
    epoch: u64,
    /// How long the owner may be silent.
    lease_secs: u64,
    /// RFC 3339.
    claimed_at: String,
    /// RFC 3339.
    last_activity: String,
}

impl From<Claim> for ClaimView {
    fn from(Claim { record: claim, used }: Claim) -> Self {
        Self {
            project_key: claim.project_key.to_string(),
            worker_id: claim.owner.map(|owner| owner.worker.to_string()),
            used,
            epoch: claim.epoch.0,
            lease_secs: claim.lease_secs,
            claimed_at: claim.claimed_at.to_string(),
            last_activity: claim.last_activity.to_string(),
        }
    }
}

/// The claims that are held.
#[derive(Serialize, ToSchema)]
#[schema(as = Claims)]
pub(super) struct ClaimsView {
    /// By key.
    claims: Vec<ClaimView>,
}

/// Who works for whom at present.
#[utoipa::path(get, path = "/v1/claims", operation_id = "listClaims", tag = "jobs",
    responses(
        (status = 200, description = "The claims that are held", body = ClaimsView),
        (status = 401, description = "The token is missing or wrong", body = ProblemBody, content_type = "application/problem+json")))]
pub(super) async fn list(State(api): State<Arc<Api>>) -> Result<Json<ClaimsView>, Problem> {
    let claims = workers::claims(&api.app.cloud).await?;
    Ok(Json(ClaimsView { claims: claims.into_iter().map(Into::into).collect() }))
}

/// Who works for somebody.
#[utoipa::path(get, path = "/v1/claims/{projectId}/{userId}", operation_id = "getClaim", tag = "jobs",
    params(("projectId" = String, Path), ("userId" = String, Path)),
    responses(
        (status = 200, description = "The claim", body = ClaimView),
        (status = 401, description = "The token is missing or wrong", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "Nobody holds it", body = ProblemBody, content_type = "application/problem+json")))]
pub(super) async fn get(
    State(api): State<Arc<Api>>,
    Path((project, user)): Path<(String, String)>,
) -> Result<Json<ClaimView>, Problem> {
    let key = ProjectUser::new(ProjectId::parse(&project)?, UserId::parse(&user)?);
    Ok(Json(workers::claim(&api.app.cloud, &key).await?.into()))
}

/// Lets a claim be given back as soon as no job runs under it.
#[utoipa::path(delete, path = "/v1/claims/{projectId}/{userId}", operation_id = "releaseClaim", tag = "jobs",
    params(("projectId" = String, Path), ("userId" = String, Path)),
    responses(
        (status = 202, description = "Its owner was told"),
        (status = 401, description = "The token is missing or wrong", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "Nobody holds it", body = ProblemBody, content_type = "application/problem+json")))]
pub(super) async fn release(
    State(api): State<Arc<Api>>,
    Path((project, user)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let key = ProjectUser::new(ProjectId::parse(&project)?, UserId::parse(&user)?);
    workers::release(&api.app.cloud, &key).await?;
    Ok(StatusCode::ACCEPTED)
}
