//! What came of a work, told to the output queue and to whoever waits for its task token. Always made from the job's row,
//! so that telling it twice tells the same.

use backon::Retryable as _;
use common::cloud::callback::Heard;
use common::cloud::queue::Outgoing;
use common::cloud::{Cloud, CloudError, Result};
use common::domain::ids::WorkerId;
use common::domain::job::{Job, StepName};
use common::domain::names::{PublicHost, Queue, SiteTarget};
use common::domain::outcome::JobOutcome;
use common::messages::{JobResult, Work};

use crate::me::hasty;

/// What whoever waits for the token of an interrupted work is told.
const PREEMPTED: &str = "PREEMPTED";

/// Who waits for a token takes no more of why it failed.
const MAX_CAUSE_BYTES: usize = 32_768;

/// The result that a finished row states; `public` is where browsers get the site, when it is not from hermes.
pub fn result(
    work: &Work,
    job: &Job,
    outcome: JobOutcome,
    target: &SiteTarget,
    public: Option<&PublicHost>,
    me: &WorkerId,
) -> JobResult {
    let shown = matches!(outcome, JobOutcome::Changed | JobOutcome::PushConflict);
    let published = job.steps.iter().rfind(|step| step.name == StepName::Publish);
    JobResult {
        command_id: work.command_id.clone(),
        session_id: work.session_id.clone(),
        thread_id: work.thread_id.clone(),
        project_id: work.project_id.clone(),
        user_id: work.user_id.clone(),
        success: outcome.is_success(),
        outcome,
        note: job.note.clone(),
        summary: job.summary.clone().unwrap_or_default(),
        s3_bucket: shown.then(|| public.map_or_else(|| target.local_host(), PublicHost::to_string)),
        s3_url: public.filter(|_| shown).map(PublicHost::url),
        deployment_time: published.and_then(|step| step.ended_at).filter(|_| shown),
        branch: Some(job.branch.clone()),
        commit_id: job.commit_id.clone(),
        files_changed: job.files_changed.clone(),
        aside: job.aside.clone(),
        error: job.error.clone(),
        error_code: job.error.as_ref().map(|_| outcome.as_str().to_owned()),
        interrupted: outcome == JobOutcome::Interrupted,
        usage: job.usage,
        worker_id: job.worker_id.clone().unwrap_or_else(|| me.clone()),
        epoch: job.epoch,
    }
}

/// Tells it.
pub async fn send(cloud: &Cloud, result: &JobResult, task_token: Option<&str>) -> Result<()> {
    let text = result.to_json();
    let send = || cloud.queues.send(&Queue::Output, Outgoing::standard(text.clone()));
    send.retry(hasty()).when(CloudError::is_retryable).await?;
    let Some(token) = task_token else { return Ok(()) };
    let answer = || answer(cloud, token, result, &text);
    match answer.retry(hasty()).when(CloudError::is_retryable).await {
        Ok(Heard::Yes) => {}
        Err(error) if error.is_retryable() => return Err(error),
        // The job is done; a token that can never be answered must not bring it back.
        Err(error) => {
            tracing::warn!(command.id = %result.command_id, %error, "the task token cannot be answered");
        }
        Ok(Heard::NoLonger) => {
            tracing::info!(command.id = %result.command_id, "nobody waits for this task token any more");
        }
    }
    Ok(())
}

async fn answer(cloud: &Cloud, token: &str, result: &JobResult, text: &str) -> Result<Heard> {
    if result.success {
        cloud.callback.success(token, text).await
    } else {
        let cause = result.error.as_deref().unwrap_or(&result.summary);
        let cause = &cause[..cause.floor_char_boundary(MAX_CAUSE_BYTES)];
        let error = if result.interrupted { PREEMPTED } else { result.outcome.as_str() };
        cloud.callback.failure(token, error, cause).await
    }
}

#[cfg(test)]
mod tests {
    use common::domain::timestamp::Timestamp;
    use common::messages::WorkDraft;

    use super::*;

    /// The result of some work that published to a project's preview.
    fn reported(outcome: JobOutcome, public: Option<&PublicHost>) -> JobResult {
        let text = r#"{"type": "work", "projectId": "amelia", "userId": "scott", "repoUrl": "https://github.com/you/x.git",
            "instruction": "x"}"#;
        let draft = WorkDraft::parse(text, "m-1", Timestamp::from_millis(0)).unwrap();
        let (user, thread) = ("scott".parse().unwrap(), "aaaaaa1".parse().unwrap());
        let work = draft.complete(user, thread, "https://github.com/you/x.git".to_owned());
        let job = work.to_job(Timestamp::from_millis(0));
        let target = SiteTarget::Preview(work.project_id.clone());
        result(&work, &job, outcome, &target, public, &"w-1".parse().unwrap())
    }

    #[test]
    fn a_result_says_where_browsers_get_the_site_when_a_bucket_shows_it() {
        let public = PublicHost::of_bucket("edit.amelia.webordinary.com".to_owned());
        let told = reported(JobOutcome::Changed, public.as_ref());
        assert_eq!(told.s3_bucket.as_deref(), Some("edit.amelia.webordinary.com"));
        assert_eq!(told.s3_url.as_deref(), Some("https://edit.amelia.webordinary.com/"));
        let by_hermes = reported(JobOutcome::Changed, None);
        assert_eq!((by_hermes.s3_bucket.as_deref(), by_hermes.s3_url), (Some("edit.amelia.localhost"), None));
        let failed = reported(JobOutcome::BuildFailed, public.as_ref());
        assert_eq!((failed.s3_bucket, failed.s3_url), (None, None), "nothing new is shown");
    }
}
