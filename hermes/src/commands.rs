//! Mails of one word, carried out: no model, no queue. `stop` marks the open work of its conversation and is answered when
//! that has stopped; the others are answered at once.

use common::cloud::store::{Query, Store};
use common::cloud::{CloudError, Result};
use common::domain::ids::{MailId, ProjectUser};
use common::domain::job::{Job, JobState};
use common::domain::outcome::JobOutcome;
use common::domain::thread::Thread;

use crate::answers;
use crate::app::App;
use crate::ingest::record::MailRecord;
use crate::mail::MailCommand;
use crate::mail::trace::{Stage, Trace};
use crate::operations::{OperationError, jobs};
use crate::outbox::{Conversation, OutboxRecord, Purpose};
use crate::reply::{Activity, Topic};
use crate::route::Commanded;

/// The most jobs that are looked at, newest first.
const MAX_LOOKED_AT: usize = 500;
/// The most that are named to the owner.
const MAX_NAMED: usize = 10;
const PAGE: usize = 100;

/// Does what a mail commands.
pub async fn carry_out(app: &App, wanted: &Commanded, mail: &MailRecord, trace: &mut Trace) -> Result<()> {
    let topic = match wanted.command {
        MailCommand::Stop => {
            let marked = stop(app, wanted, &mail.mail_id).await?;
            trace.note(Stage::Dispatch, format!("{marked} jobs are asked to stop"));
            if marked > 0 {
                return Ok(());
            }
            Topic::NothingToStop
        }
        MailCommand::Status => Topic::Status(status(app, &wanted.project_user).await?),
        MailCommand::Help => Topic::Help,
        // These switch the live site: work, which route makes of them.
        MailCommand::Publish | MailCommand::Undo => Topic::WhichPreview,
    };
    answers::command(app, mail, topic, wanted.conversation()).await
}

/// Marks the open work of the conversation, or of the whole project+user when it is about none. A mail that is handled
/// again finds its own marks; one behind another that asked the same finds that one's, and has its answer.
async fn stop(app: &App, wanted: &Commanded, mail: &MailId) -> Result<usize> {
    let mut marked = 0;
    for job in open_jobs(&*app.cloud.store, &wanted.project_user).await? {
        if wanted.thread.as_ref().is_some_and(|thread| *thread != job.thread_id) {
            continue;
        }
        let job = jobs::stop_for(&app.cloud, &job.command_id, Some(mail)).await.map_err(of_cloud)?;
        let stopping = job.is_open() && job.outcome.is_none() && job.stop_requested.is_some();
        marked += usize::from(stopping || job.stopped_by.as_ref() == Some(mail));
    }
    Ok(marked)
}

fn of_cloud(error: OperationError) -> CloudError {
    match error {
        OperationError::Cloud(error) => error,
        other => CloudError::unavailable("stop a job", other),
    }
}

async fn open_jobs(store: &dyn Store, key: &ProjectUser) -> Result<Vec<Job>> {
    let (mut open, mut looked_at) = (Vec::new(), 0);
    let mut query = Query::index("project-index", key).newest_first().limit(PAGE);
    loop {
        let (page, next) = store.find::<Job>(query.clone()).await?;
        looked_at += page.len();
        open.extend(page.into_iter().filter(Job::is_open));
        if next.is_none() || looked_at >= MAX_LOOKED_AT {
            return Ok(open);
        }
        query.after = next;
    }
}

async fn status(app: &App, key: &ProjectUser) -> Result<Vec<Activity>> {
    let now = app.cloud.clock.now();
    let mut work = Vec::new();
    for job in open_jobs(&*app.cloud.store, key).await?.into_iter().rev().take(MAX_NAMED) {
        let thread = app.cloud.store.load::<Thread>(&job.thread_id).await?;
        let begun = job.steps.first().map_or(job.created_at, |step| step.started_at);
        work.push(Activity {
            subject: thread.map(|row| row.value.subject).unwrap_or_default(),
            running_minutes: (job.state == JobState::Running).then(|| now.since(begun).as_secs() / 60),
        });
    }
    Ok(work)
}

/// Answers the mail that stopped this job, which has ended: once, however many jobs it stopped. The Message-ID
/// of that answer when it stands for the one to the job's own mail as well, whose author reads it.
pub async fn stopped(app: &App, job: &Job) -> Result<Option<String>> {
    let store = &*app.cloud.store;
    let Some(stopper) = &job.stopped_by else { return Ok(None) };
    let Some(mail) = store.load::<MailRecord>(stopper).await? else { return Ok(None) };
    let conversation = answers::conversation(job);
    if job.outcome == Some(JobOutcome::Stopped) {
        answers::stopped(app, &mail.value, Topic::Ended(job), conversation).await?;
        if mail.value.sender != job.requested_by {
            return Ok(None);
        }
        let answer = store.load::<OutboxRecord>(&Purpose::Answer.key(stopper)).await?;
        return Ok(answer.map(|row| row.value.message_id));
    }
    // Some close a job only when it is answered.
    let is_left =
        |other: &Job| other.command_id != job.command_id && other.stopped_by.as_ref() == Some(stopper);
    if !open_jobs(store, &job.project_key).await?.iter().any(is_left) {
        answers::stopped(app, &mail.value, Topic::DoneBeforeStopped, conversation).await?;
    }
    Ok(None)
}

impl Commanded {
    fn conversation(&self) -> Option<Conversation> {
        let thread = self.thread.clone()?;
        Some(Conversation { project_key: self.project_user.clone(), thread_id: thread })
    }
}
