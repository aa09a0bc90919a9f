//! `/v1/projects`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use common::domain::budget::Limits;
use common::domain::ids::ProjectId;
use common::domain::project::{Build, Preempt, Project};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body::{ApiJson, ApiPath, ApiQuery};
use super::problem::{Problem, ProblemBody};
use super::{Api, PageQuery};
use crate::operations::projects::{self, ProjectSettings};
use crate::operations::{Listed, Written};

/// How a site is built.
#[derive(Serialize, Deserialize, ToSchema)]
#[schema(as = Build)]
pub(super) struct BuildBody {
    /// Program and arguments; default `["npm", "run", "build"]`.
    #[serde(default = "default_command")]
    command: Vec<String>,
    /// The folder with the built site, relative to the repository; default `dist`.
    #[serde(default = "default_output")]
    output: String,
}

fn default_command() -> Vec<String> {
    Build::default().command
}

fn default_output() -> String {
    Build::default().output
}

/// Bounds of the agent, for one request unless the name says otherwise.
#[derive(Default, Serialize, Deserialize, ToSchema)]
#[schema(as = Limits)]
#[serde(rename_all = "camelCase", default)]
#[allow(clippy::struct_field_names, reason = "each is a maximum, and so it is called on the wire")]
pub(super) struct LimitsBody {
    /// Turns of the agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_turns: Option<u32>,
    /// Minutes on the wall clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_minutes: Option<u32>,
    /// US dollars.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_cost_usd: Option<f64>,
    /// US dollars of one conversation.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_thread_cost_usd: Option<f64>,
    /// US dollars of the project in one month (UTC).
    #[serde(skip_serializing_if = "Option::is_none")]
    max_month_cost_usd: Option<f64>,
}

/// What an operator says about a project.
#[derive(Deserialize, ToSchema)]
#[schema(as = ProjectSettings)]
#[serde(rename_all = "camelCase")]
pub(super) struct ProjectBody {
    /// Where its source lives: `https://host/owner/name.git` on an allowed host.
    #[schema(example = "https://github.com/you/bakery.git")]
    repo_url: String,
    /// The branch new conversations start from, or from what is live beyond it; default: what the remote's HEAD names.
    default_branch: Option<String>,
    /// How it is built.
    build: Option<BuildBody>,
    /// When newer work may interrupt: `other-thread` (default), `always`, `never`.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "other-thread")]
    preempt: Preempt,
    /// Bounds of one run.
    #[serde(default)]
    limits: LimitsBody,
    /// Whether a mail counts only when DMARC passed for its author's domain; `false`: a DKIM signature or an SPF pass of the
    /// very domain is enough where it has no DMARC policy. Default `true`.
    #[serde(default = "yes")]
    require_dmarc: bool,
}

fn yes() -> bool {
    true
}

/// A project.
#[derive(Serialize, ToSchema)]
#[schema(as = Project)]
#[serde(rename_all = "camelCase")]
pub(super) struct ProjectView {
    /// The site.
    project_id: String,
    /// Where its source lives.
    repo_url: String,
    /// The branch new conversations start from, or from what is live beyond it.
    #[serde(skip_serializing_if = "Option::is_none")]
    default_branch: Option<String>,
    /// How it is built.
    build: BuildBody,
    /// When newer work may interrupt.
    #[schema(value_type = String)]
    preempt: Preempt,
    /// Bounds of one run.
    limits: LimitsBody,
    /// Whether a mail counts only when DMARC passed for its author's domain.
    require_dmarc: bool,
    /// RFC 3339.
    created_at: String,
    /// RFC 3339.
    updated_at: String,
}

/// Projects, part of them.
#[derive(Serialize, ToSchema)]
#[schema(as = Projects)]
#[serde(rename_all = "camelCase")]
pub(super) struct ProjectsView {
    /// In no order.
    projects: Vec<ProjectView>,
    /// Give it as `cursor`; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

impl From<Project> for ProjectView {
    fn from(project: Project) -> Self {
        Self {
            project_id: project.project_id.to_string(),
            repo_url: project.repo_url,
            default_branch: project.default_branch,
            build: BuildBody { command: project.build.command, output: project.build.output },
            preempt: project.preempt,
            limits: LimitsBody {
                max_turns: project.limits.max_turns,
                max_minutes: project.limits.max_minutes,
                max_cost_usd: project.limits.max_cost_usd,
                max_thread_cost_usd: project.limits.max_thread_cost_usd,
                max_month_cost_usd: project.limits.max_month_cost_usd,
            },
            require_dmarc: project.require_dmarc,
            created_at: project.created_at.to_string(),
            updated_at: project.updated_at.to_string(),
        }
    }
}

impl From<ProjectBody> for ProjectSettings {
    fn from(body: ProjectBody) -> Self {
        Self {
            repo_url: body.repo_url,
            default_branch: body.default_branch,
            build: body
                .build
                .map_or_else(Build::default, |build| Build { command: build.command, output: build.output }),
            preempt: body.preempt,
            limits: Limits {
                max_turns: body.limits.max_turns,
                max_minutes: body.limits.max_minutes,
                max_cost_usd: body.limits.max_cost_usd,
                max_thread_cost_usd: body.limits.max_thread_cost_usd,
                max_month_cost_usd: body.limits.max_month_cost_usd,
            },
            require_dmarc: body.require_dmarc,
        }
    }
}

/// Makes a project, or gives it other settings.
#[utoipa::path(put, path = "/v1/projects/{projectId}", operation_id = "putProject", tag = "projects",
    params(("projectId" = String, Path, description = "1 to 39 of a-z, 0-9 and '-'")), request_body = ProjectBody,
    responses(
        (status = 200, description = "It has these settings now", body = ProjectView),
        (status = 201, description = "It was made", body = ProjectView),
        (status = 400, description = "The id is not valid", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "The token is missing or wrong", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "A setting breaks a rule", body = ProblemBody, content_type = "application/problem+json")))]
pub(super) async fn put(
    State(api): State<Arc<Api>>,
    ApiPath(id): ApiPath<String>,
    ApiJson(body): ApiJson<ProjectBody>,
) -> Result<(StatusCode, Json<ProjectView>), Problem> {
    let id = ProjectId::parse(&id)?;
    let (project, written) = projects::put(&api.app.cloud, &api.repos, &id, body.into()).await?;
    Ok((status(written), Json(project.into())))
}

pub(super) fn status(written: Written) -> StatusCode {
    match written {
        Written::Created => StatusCode::CREATED,
        Written::Replaced => StatusCode::OK,
    }
}

/// One project.
#[utoipa::path(get, path = "/v1/projects/{projectId}", operation_id = "getProject", tag = "projects",
    params(("projectId" = String, Path)),
    responses(
        (status = 200, description = "The project", body = ProjectView),
        (status = 401, description = "The token is missing or wrong", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "There is none", body = ProblemBody, content_type = "application/problem+json")))]
pub(super) async fn get(
    State(api): State<Arc<Api>>,
    ApiPath(id): ApiPath<String>,
) -> Result<Json<ProjectView>, Problem> {
    let project = projects::get(&api.app.cloud, &ProjectId::parse(&id)?).await?;
    Ok(Json(project.into()))
}

/// Takes a project off the list, and those who may write about it. Its repository, its sites and its history stay.
#[utoipa::path(delete, path = "/v1/projects/{projectId}", operation_id = "deleteProject", tag = "projects",
    params(("projectId" = String, Path)),
    responses(
        (status = 204, description = "It is gone"),
        (status = 401, description = "The token is missing or wrong", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "There is none", body = ProblemBody, content_type = "application/problem+json")))]
pub(super) async fn remove(
    State(api): State<Arc<Api>>,
    ApiPath(id): ApiPath<String>,
) -> Result<StatusCode, Problem> {
    projects::remove(&api.app.cloud, &ProjectId::parse(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// All projects.
#[utoipa::path(get, path = "/v1/projects", operation_id = "listProjects", tag = "projects", params(PageQuery),
    responses(
        (status = 200, description = "Projects", body = ProjectsView),
        (status = 401, description = "The token is missing or wrong", body = ProblemBody, content_type = "application/problem+json")))]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    ApiQuery(page): ApiQuery<PageQuery>,
) -> Result<Json<ProjectsView>, Problem> {
    let Listed { items, next } = projects::list(&api.app.cloud, page.slice()).await?;
    Ok(Json(ProjectsView { projects: items.into_iter().map(Into::into).collect(), next_cursor: next }))
}
