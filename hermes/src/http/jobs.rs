//! `/v1/jobs`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use common::domain::ids::{CommandId, ProjectId, UserId};
use common::domain::job::{Job, JobState, Step, StepName, WorkAction};
use common::domain::outcome::JobOutcome;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::body::{ApiPath, ApiQuery};
use super::problem::{Problem, ProblemBody};
use crate::operations::jobs::{self, JobFilter};
use crate::operations::{Listed, Slice};

/// One step of a job.
#[derive(Serialize, ToSchema)]
#[schema(as = Step)]
#[serde(rename_all = "camelCase")]
pub(super) struct StepView {
    /// `checkout`, `agent`, `commit`, `build`, `publish` or `push`.
    #[schema(value_type = String)]
    name: StepName,
    /// In which attempt, counted from 1.
    attempt: u32,
    /// RFC 3339.
    started_at: String,
    /// RFC 3339; absent while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<String>,
    /// What came of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<String>,
}

impl From<Step> for StepView {
    fn from(step: Step) -> Self {
        Self {
            name: step.name,
            attempt: step.attempt,
            started_at: step.started_at.to_string(),
            ended_at: step.ended_at.map(|at| at.to_string()),
            result: step.result,
        }
    }
}

/// What a job used.
#[derive(Serialize, ToSchema)]
#[schema(as = Usage)]
#[serde(rename_all = "camelCase")]
pub(super) struct UsageView {
    /// US dollars.
    cost_usd: f64,
    /// Turns of the agent.
    turns: u32,
    /// Milliseconds from start to end.
    duration_ms: u64,
}

/// One run of one work.
#[derive(Serialize, ToSchema)]
#[schema(as = Job)]
#[serde(rename_all = "camelCase")]
pub(super) struct JobView {
    /// The work.
    command_id: String,
    /// `project#user`.
    project_key: String,
    /// The site.
    project_id: String,
    /// The person.
    user_id: String,
    /// The conversation.
    thread_id: String,
    /// The branch it works on.
    branch: String,
    /// The mail that ordered it; absent for work sent by hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    mail_id: Option<String>,
    /// Who gets the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    requested_by: Option<String>,
    /// `edit`, `publish`, `undo`, `check` or `take-down`.
    #[schema(value_type = String)]
    action: WorkAction,
    /// The new words of the mail.
    instruction: String,
    /// `pending`, `running` or `done`.
    #[schema(value_type = String)]
    state: JobState,
    /// How often the agent was started for it.
    attempts: u32,
    /// How often newer work took its place.
    interruptions: u32,
    /// The job that it tries again.
    #[serde(skip_serializing_if = "Option::is_none")]
    replay_of: Option<String>,
    /// RFC 3339; when somebody asked for it to be stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_requested: Option<String>,
    /// The worker that last ran it.
    #[serde(skip_serializing_if = "Option::is_none")]
    worker_id: Option<String>,
    /// Its steps so far.
    steps: Vec<StepView>,
    /// How it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    outcome: Option<JobOutcome>,
    /// What was done, in plain words.
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<String>,
    /// The commit on the branch.
    #[serde(skip_serializing_if = "Option::is_none")]
    commit_id: Option<String>,
    /// Paths that the commit touches.
    files_changed: Vec<String>,
    /// Branches on the remote with what was done on the conversation and conflicts with what others did there.
    aside: Vec<String>,
    /// Where the result can be looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    preview_url: Option<String>,
    /// What went wrong, for the operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// What it used.
    usage: UsageView,
    /// Where the agent's transcript is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    transcript_key: Option<String>,
    /// RFC 3339.
    created_at: String,
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<String>,
}

impl From<Job> for JobView {
    fn from(job: Job) -> Self {
        Self {
            command_id: job.command_id.to_string(),
            project_key: job.project_key.to_string(),
            project_id: job.project_id.to_string(),
            user_id: job.user_id.to_string(),
            thread_id: job.thread_id.to_string(),
            branch: job.branch,
            mail_id: job.mail_id.map(|id| id.to_string()),
            requested_by: job.requested_by.map(|address| address.to_string()),
            action: job.action,
            instruction: job.instruction,
            state: job.state,
            attempts: job.attempts,
            interruptions: job.interruptions,
            replay_of: job.replay_of.map(|id| id.to_string()),
            stop_requested: job.stop_requested.map(|at| at.to_string()),
            worker_id: job.worker_id.map(|id| id.to_string()),
            steps: job.steps.into_iter().map(Into::into).collect(),
            outcome: job.outcome,
            summary: job.summary,
            commit_id: job.commit_id,
            files_changed: job.files_changed,
            aside: job.aside,
            preview_url: job.preview_url,
            error: job.error,
            usage: UsageView {
                cost_usd: job.usage.cost_usd,
                turns: job.usage.turns,
                duration_ms: job.usage.duration_ms,
            },
            transcript_key: job.transcript_key,
            created_at: job.created_at.to_string(),
            finished_at: job.finished_at.map(|at| at.to_string()),
        }
    }
}

/// Jobs, part of them.
#[derive(Serialize, ToSchema)]
#[schema(as = Jobs)]
#[serde(rename_all = "camelCase")]
pub(super) struct JobsView {
    /// Newest first.
    jobs: Vec<JobView>,
    /// Give it as `cursor`; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// Which jobs.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
pub(super) struct JobQuery {
    /// Only of this site.
    project_id: Option<String>,
    /// Only of this person.
    user_id: Option<String>,
    /// Only `pending`, `running` or `done`.
    #[param(value_type = Option<String>)]
    state: Option<JobState>,
    /// At most so many entries (1 to 200, default 50).
    limit: Option<usize>,
    /// The `nextCursor` of the page before.
    cursor: Option<String>,
}

/// Jobs, newest first.
#[utoipa::path(get, path = "/v1/jobs", operation_id = "listJobs", tag = "jobs", params(JobQuery),
    responses(
        (status = 200, description = "Jobs", body = JobsView),
        (status = 400, description = "A parameter is not right", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "The token is missing or wrong", body = ProblemBody, content_type = "application/problem+json")))]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    ApiQuery(query): ApiQuery<JobQuery>,
) -> Result<Json<JobsView>, Problem> {
    let filter = JobFilter {
        project: query.project_id.as_deref().map(ProjectId::parse).transpose()?,
        user: query.user_id.as_deref().map(UserId::parse).transpose()?,
        state: query.state,
    };
    let slice = Slice::new(query.limit, query.cursor);
    let Listed { items, next } = jobs::list(&api.app.cloud, &filter, slice).await?;
    Ok(Json(JobsView { jobs: items.into_iter().map(Into::into).collect(), next_cursor: next }))
}

/// One job with its steps.
#[utoipa::path(get, path = "/v1/jobs/{commandId}", operation_id = "getJob", tag = "jobs",
    params(("commandId" = String, Path)),
    responses(
        (status = 200, description = "The job", body = JobView),
        (status = 401, description = "The token is missing or wrong", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "There is none", body = ProblemBody, content_type = "application/problem+json")))]
pub(super) async fn get(
    State(api): State<Arc<Api>>,
    ApiPath(id): ApiPath<String>,
) -> Result<Json<JobView>, Problem> {
    let job = jobs::get(&api.app.cloud, &CommandId::parse(&id)?).await?;
    Ok(Json(job.into()))
}

/// Stops a job. A running one ends within seconds, its unfinished work is kept; a waiting one ends when its turn comes.
#[utoipa::path(post, path = "/v1/jobs/{commandId}/stop", operation_id = "stopJob", tag = "jobs",
    params(("commandId" = String, Path)),
    responses(
        (status = 202, description = "It is being stopped, or has ended already: `state` says which", body = JobView),
        (status = 401, description = "The token is missing or wrong", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "There is none", body = ProblemBody, content_type = "application/problem+json")))]
pub(super) async fn stop(
    State(api): State<Arc<Api>>,
    ApiPath(id): ApiPath<String>,
) -> Result<(StatusCode, Json<JobView>), Problem> {
    let job = jobs::stop(&api.app.cloud, &CommandId::parse(&id)?).await?;
    Ok((StatusCode::ACCEPTED, Json(job.into())))
}
