//! `/v1/projects/{projectId}/releases`, `/publish` and `/undo`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use common::domain::ids::{ProjectId, ThreadId};
use common::domain::job::WorkAction;
use common::domain::site::Release;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::body::{ApiJson, ApiPath, ApiQuery};
use super::jobs::JobView;
use super::problem::{Problem, ProblemBody};
use crate::operations::releases;

/// One version of the live site.
#[derive(Serialize, ToSchema)]
#[schema(as = Release)]
#[serde(rename_all = "camelCase")]
pub(super) struct ReleaseView {
    /// Counted from 1.
    number: u64,
    /// `publish` or `undo`.
    #[schema(value_type = String)]
    action: WorkAction,
    /// The job that put it up.
    command_id: String,
    /// The commit it was built from.
    commit_id: String,
    /// The conversation whose preview it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    thread_id: Option<String>,
    /// Who asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<String>,
    /// The earlier release whose files these are, after an undo.
    #[serde(skip_serializing_if = "Option::is_none")]
    restores: Option<u64>,
    /// RFC 3339.
    published_at: String,
}

impl From<Release> for ReleaseView {
    fn from(release: Release) -> Self {
        Self {
            number: release.number,
            action: release.action,
            command_id: release.command_id.to_string(),
            commit_id: release.commit_id,
            thread_id: release.thread_id.map(|id| id.to_string()),
            user_id: release.user_id.map(|id| id.to_string()),
            restores: release.restores,
            published_at: release.published_at.to_string(),
        }
    }
}

/// The versions of the live site that can be put up again.
#[derive(Serialize, ToSchema)]
#[schema(as = Releases)]
pub(super) struct ReleasesView {
    /// The present one first.
    releases: Vec<ReleaseView>,
}

/// What is to be published.
#[derive(Deserialize, ToSchema)]
#[schema(as = PublishOrder)]
#[serde(rename_all = "camelCase")]
pub(super) struct PublishBody {
    /// The conversation whose preview becomes the live site.
    thread_id: String,
}

/// How far to go back.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct UndoQuery {
    /// Which release to put up again; default: the one before the present one.
    release: Option<u64>,
}

/// The versions of the live site: the present one and the last 20 before it.
#[utoipa::path(get, path = "/v1/projects/{projectId}/releases", operation_id = "listReleases", tag = "projects",
    params(("projectId" = String, Path)),
    responses(
        (status = 200, description = "Releases", body = ReleasesView),
        (status = 401, description = "The token is missing or wrong", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "There is no such project", body = ProblemBody, content_type = "application/problem+json")))]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    ApiPath(id): ApiPath<String>,
) -> Result<Json<ReleasesView>, Problem> {
    let releases = releases::list(&api.app.cloud, &ProjectId::parse(&id)?).await?;
    Ok(Json(ReleasesView { releases: releases.into_iter().map(Into::into).collect() }))
}

/// Makes the preview of a conversation the live site, byte for byte: nothing is edited or built anew.
#[utoipa::path(post, path = "/v1/projects/{projectId}/publish", operation_id = "publishProject", tag = "projects",
    params(("projectId" = String, Path)), request_body = PublishBody,
    responses(
        (status = 202, description = "It was ordered; the job tells how it went", body = JobView),
        (status = 401, description = "The token is missing or wrong", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "There is no such project or conversation", body = ProblemBody, content_type = "application/problem+json")))]
pub(super) async fn publish(
    State(api): State<Arc<Api>>,
    ApiPath(id): ApiPath<String>,
    ApiJson(body): ApiJson<PublishBody>,
) -> Result<(StatusCode, Json<JobView>), Problem> {
    let (project, thread) = (ProjectId::parse(&id)?, ThreadId::parse(&body.thread_id)?);
    let job = releases::publish(&api.app.cloud, &project, &thread).await?;
    Ok((StatusCode::ACCEPTED, Json(job.into())))
}

/// Makes the live site what it was before it was last switched; an undo of an undo goes forth again.
#[utoipa::path(post, path = "/v1/projects/{projectId}/undo", operation_id = "undoProject", tag = "projects",
    params(("projectId" = String, Path), UndoQuery),
    responses(
        (status = 202, description = "It was ordered; the job tells how it went", body = JobView),
        (status = 401, description = "The token is missing or wrong", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "There is no such project", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "There is no such release to go back to", body = ProblemBody, content_type = "application/problem+json")))]
pub(super) async fn undo(
    State(api): State<Arc<Api>>,
    ApiPath(id): ApiPath<String>,
    ApiQuery(query): ApiQuery<UndoQuery>,
) -> Result<(StatusCode, Json<JobView>), Problem> {
    let job = releases::undo(&api.app.cloud, &ProjectId::parse(&id)?, query.release).await?;
    Ok((StatusCode::ACCEPTED, Json(job.into())))
}
