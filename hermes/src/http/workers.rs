//! `/v1/workers`

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use common::domain::container::ContainerStatus;
use common::domain::ids::WorkerId;
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;
use super::problem::{Problem, ProblemBody};
use crate::operations::workers::{self, Worker};

/// A worker.
#[derive(Serialize, ToSchema)]
#[schema(as = Worker)]
#[serde(rename_all = "camelCase")]
pub(super) struct WorkerView {
    /// Its id.
    worker_id: String,
    /// The task of ECS that it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    task_arn: Option<String>,
    /// `starting`, `running`, `draining` or `terminated`, as it said last.
    #[schema(value_type = String)]
    status: ContainerStatus,
    /// Whether it is thought to be alive: it has said something lately.
    alive: bool,
    /// How many project+users it works for at once.
    capacity: u16,
    /// How many it works for.
    claims: usize,
    /// Which: `project#user`.
    works_for: Vec<String>,
    /// How many conversations of these are active on it.
    sessions: usize,
    /// RFC 3339.
    started_at: String,
    /// RFC 3339.
    last_activity: String,
}

impl From<Worker> for WorkerView {
    fn from(worker: Worker) -> Self {
        let Worker { container, alive, claims, works_for, sessions } = worker;
        Self {
            worker_id: container.container_id.to_string(),
            task_arn: container.task_arn,
            status: container.status,
            alive,
            capacity: container.capacity,
            claims,
            sessions,
            works_for: works_for.iter().map(ToString::to_string).collect(),
            started_at: container.started_at.to_string(),
            last_activity: container.last_activity.to_string(),
        }
    }
}

/// The workers.
#[derive(Serialize, ToSchema)]
#[schema(as = Workers)]
pub(super) struct WorkersView {
    /// Those that started last first.
    workers: Vec<WorkerView>,
}

/// The workers and what they do.
#[utoipa::path(get, path = "/v1/workers", operation_id = "listWorkers", tag = "jobs",
    responses(
        (status = 200, description = "The workers", body = WorkersView),
        (status = 401, description = "The token is missing or wrong", body = ProblemBody, content_type = "application/problem+json")))]
pub(super) async fn list(State(api): State<Arc<Api>>) -> Result<Json<WorkersView>, Problem> {
    let workers = workers::list(&api.app.cloud).await?;
    Ok(Json(WorkersView { workers: workers.into_iter().map(Into::into).collect() }))
}

/// Lets a worker finish what it does, take nothing new, and exit.
#[utoipa::path(post, path = "/v1/workers/{workerId}/drain", operation_id = "drainWorker", tag = "jobs",
    params(("workerId" = String, Path)),
    responses(
        (status = 202, description = "It was told"),
        (status = 401, description = "The token is missing or wrong", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "No worker of this name is alive", body = ProblemBody, content_type = "application/problem+json")))]
pub(super) async fn drain(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    workers::drain(&api.app.cloud, &WorkerId::parse(&id)?).await?;
    Ok(StatusCode::ACCEPTED)
}
