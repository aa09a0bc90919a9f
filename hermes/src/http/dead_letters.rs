//! `/v1/dead-letters`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;
use super::body::ApiPath;
use super::problem::{Problem, ProblemBody};
use crate::operations::dead_letters::{self, DeadLetter, Requeued};

/// A message that was put aside.
#[derive(Serialize, ToSchema)]
#[schema(as = DeadLetter)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeadLetterView {
    /// The queue's id of it.
    message_id: String,
    /// `dead`, `email-dead`, `unclaimed-dead` or `output-dead`.
    queue: String,
    /// Why it was put aside.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// RFC 3339; when it was put there.
    since: String,
    /// `project#user`, for work.
    #[serde(skip_serializing_if = "Option::is_none")]
    project_key: Option<String>,
    /// The job, for work.
    #[serde(skip_serializing_if = "Option::is_none")]
    command_id: Option<String>,
    /// The message as it is.
    body: String,
}

impl From<DeadLetter> for DeadLetterView {
    fn from(letter: DeadLetter) -> Self {
        Self {
            message_id: letter.message_id,
            queue: letter.queue.to_string(),
            reason: letter.reason,
            since: letter.since.to_string(),
            project_key: letter.key.map(|key| key.to_string()),
            command_id: letter.command.map(|command| command.to_string()),
            body: letter.body,
        }
    }
}

/// The messages that were put aside.
#[derive(Serialize, ToSchema)]
#[schema(as = DeadLetters)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeadLettersView {
    /// Oldest first within a queue, of one project+user ten at most.
    dead_letters: Vec<DeadLetterView>,
}

/// Where a message went that is tried again.
#[derive(Serialize, ToSchema)]
#[schema(as = Requeued)]
#[serde(rename_all = "camelCase")]
pub(super) struct RequeuedView {
    /// The queue.
    queue: String,
    /// The new job, for work.
    #[serde(skip_serializing_if = "Option::is_none")]
    command_id: Option<String>,
}

impl From<Requeued> for RequeuedView {
    fn from(requeued: Requeued) -> Self {
        Self { queue: requeued.queue.to_string(), command_id: requeued.command.map(|id| id.to_string()) }
    }
}

/// Messages that were put aside, each with its reason.
#[utoipa::path(get, path = "/v1/dead-letters", operation_id = "listDeadLetters", tag = "jobs",
    responses(
        (status = 200, description = "The dead letters", body = DeadLettersView),
        (status = 401, description = "The token is missing or wrong", body = ProblemBody, content_type = "application/problem+json")))]
pub(super) async fn list(State(api): State<Arc<Api>>) -> Result<Json<DeadLettersView>, Problem> {
    let letters = dead_letters::list(&api.app.cloud).await?;
    Ok(Json(DeadLettersView { dead_letters: letters.into_iter().map(Into::into).collect() }))
}

/// Lets a dead letter be tried again; work becomes a new job that names the old one.
#[utoipa::path(post, path = "/v1/dead-letters/{messageId}/requeue", operation_id = "requeueDeadLetter", tag = "jobs",
    params(("messageId" = String, Path)),
    responses(
        (status = 202, description = "It is tried again", body = RequeuedView),
        (status = 401, description = "The token is missing or wrong", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "There is no such dead letter", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "It cannot be read, so it cannot be tried again", body = ProblemBody, content_type = "application/problem+json")))]
pub(super) async fn requeue(
    State(api): State<Arc<Api>>,
    ApiPath(id): ApiPath<String>,
) -> Result<(StatusCode, Json<RequeuedView>), Problem> {
    let requeued = dead_letters::requeue(&api.app.cloud, &id).await?;
    Ok((StatusCode::ACCEPTED, Json(requeued.into())))
}

/// Discards a dead letter for good: what cannot be read can be tried no more.
#[utoipa::path(delete, path = "/v1/dead-letters/{messageId}", operation_id = "discardDeadLetter", tag = "jobs",
    params(("messageId" = String, Path)),
    responses(
        (status = 200, description = "It is gone; this is what it was", body = DeadLetterView),
        (status = 401, description = "The token is missing or wrong", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "There is no such dead letter", body = ProblemBody, content_type = "application/problem+json")))]
pub(super) async fn discard(
    State(api): State<Arc<Api>>,
    ApiPath(id): ApiPath<String>,
) -> Result<Json<DeadLetterView>, Problem> {
    Ok(Json(dead_letters::discard(&api.app.cloud, &id).await?.into()))
}
