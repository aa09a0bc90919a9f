//! What workers report becomes a closed job and one answer. The answer is written from the job's row, so that a result
//! that comes twice, or late, tells the owner nothing else.

use std::ops::ControlFlow;
use std::sync::Arc;

use common::cloud::Result;
use common::cloud::queue::Delivery;
use common::cloud::store::Stored;
use common::domain::ids::CommandId;
use common::domain::job::{Job, JobState, OutcomeNote};
use common::domain::names::{Queue, SiteTarget};
use common::domain::outcome::JobOutcome;
use common::domain::text;
use common::domain::timestamp::Timestamp;
use common::messages::JobResult;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::answers;
use crate::app::App;
use crate::commands;
use crate::feed::{Feed, Then, set_aside};
use crate::ingest::record::MailRecord;
use crate::untold;

/// Works the output queue off until it is told to stop.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    let mut feed = Feed::new(app.clone(), Queue::Output, "output queue", stop);
    while let Some(batch) = feed.next().await {
        for delivery in &batch {
            while let Err(error) = take(&app, delivery).await {
                if feed.failed(delivery, &error).await == Then::GoOn {
                    break;
                }
            }
        }
    }
}

/// Handles one message: it is deleted only when what it says is recorded, or it was set aside.
pub async fn take(app: &App, delivery: &Delivery) -> Result<()> {
    app.stirred.notify_one();
    let result = match JobResult::parse(&delivery.body) {
        Ok(result) => result,
        Err(reason) => return set_aside(app, delivery, Queue::OutputDead, &reason.to_string()).await,
    };
    let row = app.cloud.store.load::<Job>(&result.command_id).await?;
    if let Some(reason) = row.as_ref().and_then(|row| contradiction(&row.value, &result)) {
        return set_aside(app, delivery, Queue::OutputDead, &reason).await;
    }
    settle(app, &result, row).await?;
    app.cloud.queues.delete(&delivery.receipt).await
}

/// Where a result says something else than the row of its job about whose work it was.
fn contradiction(job: &Job, result: &JobResult) -> Option<String> {
    let facts = [
        ("projectId", job.project_id.as_str(), result.project_id.as_str()),
        ("userId", job.user_id.as_str(), result.user_id.as_str()),
        ("threadId", job.thread_id.as_str(), result.thread_id.as_str()),
    ];
    let wrong = facts.into_iter().find(|(_, known, said)| known != said);
    wrong.map(|(name, known, said)| {
        format!("the {name} of command {} is {known}, the result says {said}", job.command_id)
    })
}

/// Closes the job that a result is about, whose row was just read, and answers its mail.
async fn settle(app: &App, result: &JobResult, mut row: Option<Stored<Job>>) -> Result<()> {
    if result.interrupted {
        tracing::info!(command.id = %result.command_id, thread.id = %result.thread_id, "a job was interrupted and runs again");
        return Ok(());
    }
    let now = app.cloud.clock.now();
    let address = looked_at(app, result).await?;
    let close = |job: &mut Job| close(job, result, address.as_deref(), now);
    let Some(job) = app.cloud.store.update_known::<Job>(&result.command_id, &mut row, close).await? else {
        tracing::info!(
            command.id = %result.command_id, thread.id = %result.thread_id,
            "a result for work we have no row of: {}", result.outcome
        );
        return Ok(());
    };
    if job.is_open() {
        tracing::warn!(
            command.id = %job.command_id, thread.id = %job.thread_id, project.key = %job.project_key,
            "a result of a worker that lost its claim is ignored"
        );
        return Ok(());
    }
    answer(app, &job).await
}

/// Ends a job that no worker will ever run, and answers its mail; without a row of it there is nothing to end. The answer
/// comes first: whoever is cut short in between does both again, and the answer's key makes it one.
pub async fn give_up(app: &App, command: &CommandId, reason: &str) -> Result<()> {
    let store = &*app.cloud.store;
    let Some(row) = store.load::<Job>(command).await? else { return Ok(()) };
    if !row.value.is_open() {
        return answer(app, &row.value).await;
    }
    if row.value.outcome.is_some() {
        return untold::settle(app, command).await;
    }
    let now = app.cloud.clock.now();
    let failed = |job: &Job| Job {
        state: JobState::Done,
        pending: None,
        outcome: Some(JobOutcome::Failed),
        error: Some(text::lines(reason).into_owned()),
        finished_at: Some(now),
        ..job.clone()
    };
    answer(app, &failed(&row.value)).await?;
    let close = |job: &mut Job| {
        if !job.is_open() {
            return ControlFlow::Break(());
        }
        *job = failed(job);
        ControlFlow::Continue(())
    };
    store.update::<Job>(command, close).await.map(drop)
}

/// Tells the owner of open work that their mail arrived, once ever.
pub async fn acknowledge(app: &App, command: &CommandId) -> Result<()> {
    let store = &*app.cloud.store;
    let Some(row) = store.load::<Job>(command).await? else { return Ok(()) };
    let job = row.value;
    let (Some(mail_id), Some(to)) = (&job.mail_id, &job.requested_by) else { return Ok(()) };
    if !job.is_open() || job.acknowledged_at.is_some() {
        return Ok(());
    }
    if let Some(mail) = store.load::<MailRecord>(mail_id).await? {
        answers::late(app, &job, &mail.value, to).await?;
    }
    let now = app.cloud.clock.now();
    let mark = |job: &mut Job| {
        job.acknowledged_at = Some(now);
        ControlFlow::Continue(())
    };
    store.update::<Job>(command, mark).await.map(drop)
}

/// Only the first result under the newest claim closes a job.
fn close(job: &mut Job, result: &JobResult, address: Option<&str>, now: Timestamp) -> ControlFlow<()> {
    if !job.is_open() || result.epoch < job.epoch {
        return ControlFlow::Break(());
    }
    job.state = JobState::Done;
    job.pending = None;
    job.outcome = Some(result.outcome);
    job.note = result.note.clone().and_then(plain);
    job.summary = Some(text::lines(&result.summary).into_owned()).filter(|text| !text.is_empty());
    job.commit_id = result.commit_id.as_deref().map(text::one_line).or(job.commit_id.take());
    job.files_changed = result.files_changed.iter().map(|path| text::one_line(path)).collect();
    job.aside = result.aside.iter().map(|branch| text::one_line(branch)).collect();
    job.preview_url = address.map(str::to_owned);
    job.error = result.error.as_deref().map(|error| text::lines(error).into_owned());
    job.usage = result.usage;
    job.worker_id = Some(result.worker_id.clone());
    job.epoch = result.epoch;
    job.finished_at = Some(now);
    ControlFlow::Continue(())
}

/// As it is told; what a newer worker says that nobody here knows is not.
fn plain(note: OutcomeNote) -> Option<OutcomeNote> {
    match note {
        OutcomeNote::Replaced { subject } => {
            Some(OutcomeNote::Replaced { subject: subject.as_deref().map(text::one_line) })
        }
        OutcomeNote::GoesOn
        | OutcomeNote::PreviewChanged
        | OutcomeNote::NeverShown
        | OutcomeNote::NotPushed
        | OutcomeNote::LiveChanged => Some(note),
        OutcomeNote::Unknown => None,
    }
}

/// Where its reader is to look: at what has changed when nothing was switched because of that.
async fn looked_at(app: &App, result: &JobResult) -> Result<Option<String>> {
    match result.note {
        Some(OutcomeNote::PreviewChanged) => {
            untold::preview_of(app, &result.project_id, &result.thread_id).await
        }
        Some(OutcomeNote::LiveChanged) => Ok(Some(untold::live_of(app, &result.project_id))),
        _ => Ok(preview(app, result)),
    }
}

/// Where the result can be looked at: the address the worker knows if browsers open it, else ours for a site of the project.
fn preview(app: &App, result: &JobResult) -> Option<String> {
    let known = result.s3_url.as_deref().and_then(|text| Url::parse(text).ok());
    let known = known.filter(|url| matches!(url.scheme(), "http" | "https"));
    known.map(String::from).or_else(|| {
        let site = SiteTarget::from_local_host(result.s3_bucket.as_deref()?)?;
        (*site.project() == result.project_id).then(|| app.site_url(&site))
    })
}

/// One answer per job, to the mail that ordered it; work sent by hand gets none.
pub(crate) async fn answer(app: &App, job: &Job) -> Result<()> {
    tracing::info!(
        command.id = %job.command_id, thread.id = %job.thread_id, project.key = %job.project_key,
        "a job ended as {}", job.outcome.map_or("unknown", JobOutcome::as_str)
    );
    let (Some(mail_id), Some(to)) = (&job.mail_id, &job.requested_by) else { return Ok(()) };
    let outcome = |mail: &mut MailRecord| {
        mail.outcome = job.outcome;
        ControlFlow::Continue(())
    };
    let Some(mail) = app.cloud.store.update::<MailRecord>(mail_id, outcome).await? else {
        tracing::warn!(command.id = %job.command_id, "the mail that ordered a job is no longer kept; nobody is answered");
        return Ok(());
    };
    if let Some(answer) = commands::stopped(app, job).await? {
        let replied = |mail: &mut MailRecord| {
            mail.reply_message_id = Some(answer.clone());
            ControlFlow::Continue(())
        };
        return app.cloud.store.update::<MailRecord>(mail_id, replied).await.map(drop);
    }
    answers::job_ended(app, job, &mail, to).await
}
