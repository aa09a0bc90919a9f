//! `/v1/claims`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use common::domain::claim::ClaimRecord;
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;
use super::problem::{Problem, ProblemBody};
use crate::operations::jobs;

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
    /// Grows by one at every change of owner.
    epoch: u64,
    /// How long the owner may be silent.
    lease_secs: u64,
    /// RFC 3339.
    claimed_at: String,
    /// RFC 3339.
    last_activity: String,
}

impl From<ClaimRecord> for ClaimView {
    fn from(claim: ClaimRecord) -> Self {
        Self {
            project_key: claim.project_key.to_string(),
            worker_id: claim.owner.map(|owner| owner.worker.to_string()),
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
    let claims = jobs::claims(&api.app.cloud).await?;
    Ok(Json(ClaimsView { claims: claims.into_iter().map(Into::into).collect() }))
}
