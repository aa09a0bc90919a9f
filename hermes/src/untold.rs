//! Jobs whose worker wrote down how they ended, but whose result never came (it met a hermes that failed too often over
//! it, and lies among the dead letters): all that an answer needs stands in their rows.

use std::ops::ControlFlow;
use std::time::Duration;

use common::cloud::Result;
use common::domain::ids::{CommandId, ProjectId, ThreadId};
use common::domain::job::{Job, JobState, OutcomeNote, WorkAction};
use common::domain::names::SiteTarget;
use common::domain::outcome::JobOutcome;
use common::domain::thread::Thread;
use common::domain::timestamp::Timestamp;

use crate::app::App;
use crate::results;

/// A result is waited for so long: more than an output queue tries to deliver it.
pub const AFTER: Duration = Duration::from_mins(10);

/// Whether the job ended so long ago that its result will not come.
pub fn is_untold(job: &Job, now: Timestamp) -> bool {
    let ended = job.steps.last().and_then(|step| step.ended_at).unwrap_or(job.created_at);
    job.is_open() && job.outcome.is_some() && now.since(ended) >= AFTER
}

/// Answers the mail of such a job by what stands in its row, and closes it. The answer comes first: whoever is cut short in
/// between does both again, and the answer's key makes it one.
pub async fn settle(app: &App, command: &CommandId) -> Result<()> {
    let store = &*app.cloud.store;
    let Some(row) = store.load::<Job>(command).await? else { return Ok(()) };
    if !row.value.is_open() || row.value.outcome.is_none() {
        return Ok(());
    }
    let shown = shown_at(app, &row.value).await?;
    let now = app.cloud.clock.now();
    let closed = |job: &Job| Job {
        state: JobState::Done,
        pending: None,
        preview_url: shown.clone(),
        finished_at: Some(now),
        ..job.clone()
    };
    results::answer(app, &closed(&row.value)).await?;
    let close = |job: &mut Job| {
        if !job.is_open() || job.outcome.is_none() {
            return ControlFlow::Break(());
        }
        *job = closed(job);
        ControlFlow::Continue(())
    };
    store.update::<Job>(command, close).await.map(drop)
}

async fn shown_at(app: &App, job: &Job) -> Result<Option<String>> {
    match job.note {
        Some(OutcomeNote::PreviewChanged) => return preview_of(app, &job.project_id, &job.thread_id).await,
        Some(OutcomeNote::LiveChanged) => return Ok(Some(live_of(app, &job.project_id))),
        _ => {}
    }
    if !matches!(job.outcome, Some(JobOutcome::Changed | JobOutcome::PushConflict)) {
        return Ok(None);
    }
    let site = match job.action {
        WorkAction::Publish | WorkAction::Undo => Some(SiteTarget::Live(job.project_id.clone())),
        WorkAction::Check => Some(SiteTarget::Preview(job.project_id.clone())),
        WorkAction::TakeDown => None,
        WorkAction::Edit => return preview_of(app, &job.project_id, &job.thread_id).await,
    };
    Ok(site.map(|site| app.site_url(&site)))
}

/// The address of a project's live site.
pub(crate) fn live_of(app: &App, project: &ProjectId) -> String {
    app.site_url(&SiteTarget::Live(project.clone()))
}

/// The address of a conversation's own preview.
pub(crate) async fn preview_of(app: &App, project: &ProjectId, thread: &ThreadId) -> Result<Option<String>> {
    let row = app.cloud.store.load::<Thread>(thread).await?;
    let site = row.map(|row| SiteTarget::Thread(project.clone(), row.value.preview_key));
    Ok(site.map(|site| app.site_url(&site)))
}
