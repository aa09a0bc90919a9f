//! Whether hermes lives, and whether it can work.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;
use super::problem::{Problem, ProblemBody};

/// How it fares.
#[derive(Serialize, ToSchema)]
#[schema(as = Health)]
pub(super) struct HealthView {
    /// `ok` or `ready`.
    status: &'static str,
}

/// Is the process alive?
#[utoipa::path(get, path = "/healthz", operation_id = "healthz", tag = "health", security(()),
    responses((status = 200, description = "It is", body = HealthView)))]
pub(super) async fn healthz() -> Json<HealthView> {
    Json(HealthView { status: "ok" })
}

/// Can it take mail? Asks the tables and the queues themselves, and writes a file.
#[utoipa::path(get, path = "/readyz", operation_id = "readyz", tag = "health", security(()), responses(
    (status = 200, description = "It can", body = HealthView),
    (status = 503, description = "Something behind it does not answer", body = ProblemBody, content_type = "application/problem+json")))]
pub(super) async fn readyz(State(api): State<Arc<Api>>) -> Result<Json<HealthView>, Problem> {
    let obstacles = api.app.obstacles().await;
    if obstacles.is_empty() {
        return Ok(Json(HealthView { status: "ready" }));
    }
    tracing::debug!(?obstacles, "not ready");
    let parts: Vec<&str> = obstacles.iter().filter_map(|text| text.split(':').next()).collect();
    let detail = format!("these do not answer at present: {}; the log says why", parts.join(", "));
    Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(5))
}
