//! The live site: a thread's preview put up as it is, or an earlier release of it put up again; and a preview taken down.
//! No checkout, no agent, no build: every byte is among the releases already.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use common::cloud::files::{At, Files, IfMatch};
use common::cloud::store::Store;
use common::cloud::{CloudError, Result as CloudResult};
use common::domain::ids::{CommandId, ThreadId};
use common::domain::job::{Job, OutcomeNote, StepName, WorkAction};
use common::domain::names::SiteTarget;
use common::domain::outcome::JobOutcome;
use common::domain::site::{Manifest, Release};
use common::domain::thread::Thread;
use common::domain::timestamp::Timestamp;
use common::messages::Work;

use tokio::time::timeout;

use super::journal::Journal;
use super::publish::{Choice, Contents, Publication, Wanted, made, release, shown, unless_stopped};
use super::{Cut, Ending, Failure, JobContext, Trouble};

/// So long a job that was cut off may go on with a switch that it has begun.
const SWITCH_LIMIT: Duration = Duration::from_secs(10);
/// What lies at the live site for a moment.
const PROBE_NAME: &str = ".hermes-check";
const PROBE: &[u8] = b"whether this site can be written to\n";
/// Nobody waits longer than this to hear whether a switch goes on.
const LOOK_LIMIT: Duration = Duration::from_secs(5);

/// Puts the thread's preview up as the live site.
pub(super) async fn publish(
    context: &JobContext,
    journal: &mut Journal,
    ending: &mut Ending,
) -> Result<JobOutcome, Trouble> {
    begin(context, journal).await?;
    let preview = Publication::of(context, context.target.clone());
    let live = Publication::of(context, target(context.work.action, &context.target));
    let store = &*journal.store;
    let put = async {
        let Some((shown, _)) = preview.settled().await? else { return Ok(Came::Nothing) };
        if shown.is_taken_down() {
            return Ok(Came::Expired);
        }
        let seen = seen(context, store, &shown.release).await?;
        live.put_up(&Contents::default(), |now| choose_preview(context, &shown, seen, now)).await
    };
    end(context, to_its_end(context, &live, put, ending).await?, &*journal.store, ending).await
}

/// Whether whoever ordered this can have seen a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Yes,
    /// Its answer went out later, or is still to come.
    NotYet,
    /// No answer shows it.
    Never,
}

/// The answer that shows a release goes out when its job is closed, by the clock that times orders, too; where nobody was to
/// be answered, what counts is when it was put up.
async fn seen(context: &JobContext, store: &dyn Store, shown: &Release) -> CloudResult<Seen> {
    let job = store.load::<Job>(&shown.command_id).await?;
    Ok(seen_at(context.work.timestamp, shown, job.as_ref().map(|row| &row.value)))
}

fn seen_at(time: Timestamp, shown: &Release, job: Option<&Job>) -> Seen {
    let since = match job {
        Some(job) if hides(job, shown) => return Seen::Never,
        Some(job) if job.outcome.is_none() || job.finished_at.is_some() || job.mail_id.is_some() => {
            job.finished_at
        }
        Some(_) | None => Some(shown.published_at),
    };
    if since.is_some_and(|since| since <= time) { Seen::Yes } else { Seen::NotYet }
}

/// Whether a job has ended without showing the release that it put up. After a conflict, what is shown is the branch without
/// its commit.
fn hides(job: &Job, shown: &Release) -> bool {
    match job.outcome {
        None | Some(JobOutcome::Changed) => false,
        Some(JobOutcome::PushConflict) => job.commit_id.as_ref() == Some(&shown.commit_id),
        Some(_) => true,
    }
}

/// Whether the thread had a preview, and none is up that can be published. An answer does not wait for whoever cannot say.
pub(super) async fn lacks_a_preview(context: &JobContext, store: &dyn Store) -> bool {
    is_gone_or_hidden(context, store).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "it is not known whether the preview is up");
        false
    })
}

/// What an earlier run of this work put up was not answered for, either.
async fn is_gone_or_hidden(context: &JobContext, store: &dyn Store) -> CloudResult<bool> {
    let Some(shown) = shown(context).await? else { return Ok(false) };
    let release = &shown.release;
    if shown.is_taken_down() || release.command_id == context.work.command_id {
        return Ok(true);
    }
    let job = store.load::<Job>(&release.command_id).await?;
    Ok(job.is_some_and(|row| hides(&row.value, release)))
}

/// Finishes what somebody began to put up here and left; nothing where all is in place. Whoever is still at it is not
/// disturbed: each page is written on condition of what lay there.
pub async fn settle(files: Arc<dyn Files>, target: SiteTarget) -> CloudResult<()> {
    Publication::of_others(files, target).settled().await.map(drop)
}

/// Writes a page to the live site that no site has and takes it away again: whether a preview could be made the live site.
pub(super) async fn probe(context: &JobContext) -> Result<(), Trouble> {
    let at = At::page(&SiteTarget::Live(context.work.project_id.clone()), PROBE_NAME);
    let written = async {
        // One may be left of a check whose worker was killed.
        context.files.put(&at, Bytes::from_static(PROBE), IfMatch::Any).await?;
        context.files.delete(&at, IfMatch::Any).await
    };
    unless_stopped(context, written).await?.map_err(|error| {
        let text = "The live site cannot be written to.";
        Failure::new(JobOutcome::PublishFailed, "live-failed", text, error).into()
    })
}

/// Whether a switch that this command began goes on, or is done, however its job ended. Whoever cannot say says no.
pub async fn goes_on(
    files: Arc<dyn Files>,
    action: WorkAction,
    live: SiteTarget,
    command: &CommandId,
) -> bool {
    if !matches!(action, WorkAction::Publish | WorkAction::Undo) {
        return false;
    }
    let publication = Publication::of_others(files, live);
    let looked = timeout(LOOK_LIMIT, publication.has_put_up(command)).await;
    matches!(looked, Ok(Ok(true)))
}

/// Puts the release before the present one up again, or the one that is named.
pub(super) async fn undo(
    context: &JobContext,
    journal: &mut Journal,
    ending: &mut Ending,
) -> Result<JobOutcome, Trouble> {
    begin(context, journal).await?;
    let live = Publication::of(context, target(context.work.action, &context.target));
    let stored = Contents::default();
    let put = live.put_up(&stored, |now| choose_earlier(context, now));
    end(context, to_its_end(context, &live, put, ending).await?, &*journal.store, ending).await
}

/// Takes the thread's preview down: its pages go, its manifest stays with the fences. The releases of the live site stay.
pub(super) async fn take_down(
    context: &JobContext,
    journal: &mut Journal,
    ending: &mut Ending,
) -> Result<JobOutcome, Trouble> {
    begin(context, journal).await?;
    let preview = Publication::of(context, target(context.work.action, &context.target));
    let stored = Contents::default();
    let put = preview.put_up(&stored, |now| choose_none(context, now));
    end(context, to_its_end(context, &preview, put, ending).await?, &*journal.store, ending).await
}

/// Runs until the job is cut off; from its manifest on it comes to its end, within a limit, unless the claim is lost. Where it
/// does not, the ending says that the switch goes on.
async fn to_its_end<T>(
    context: &JobContext,
    switched: &Publication,
    work: impl Future<Output = CloudResult<T>>,
    ending: &mut Ending,
) -> Result<CloudResult<T>, Trouble> {
    let done = until_cut_off(context, switched, work).await;
    let is_done = matches!(done, Ok(Ok(_)));
    if !is_done && switched.goes_on() && context.work.action != WorkAction::TakeDown {
        ending.note = Some(OutcomeNote::GoesOn);
    }
    done
}

async fn until_cut_off<T>(
    context: &JobContext,
    switched: &Publication,
    work: impl Future<Output = T>,
) -> Result<T, Trouble> {
    tokio::pin!(work);
    tokio::select! {
        done = &mut work => return Ok(done),
        () = context.stopper.token().cancelled() => {}
    }
    let cut = context.stopper.stopped().unwrap_or(Cut::Stopped);
    let has_begun = switched.has_begun() || switched.goes_on();
    if cut == Cut::FenceLost || !has_begun {
        return Err(Trouble::Cut(cut));
    }
    timeout(SWITCH_LIMIT, work).await.map_err(|_| Trouble::Cut(cut))
}

async fn begin(context: &JobContext, journal: &mut Journal) -> Result<(), Trouble> {
    journal.step_unless_stopped(StepName::Publish).await?;
    journal.charge().await?;
    if !(context.still_ours)().await {
        return Err(Trouble::Cut(Cut::FenceLost));
    }
    Ok(())
}

/// What came of it.
enum Came {
    /// The live site is this release now.
    Up(Release),
    /// It was so already.
    Same,
    /// There is no preview, or no earlier release.
    Nothing,
    /// The preview was taken down.
    Expired,
    /// The preview is another one than whoever wants it live can have seen.
    Changed,
    /// The preview is of work that did not come to its end.
    NeverShown,
    /// Somebody else has put up what is live since this was asked for.
    LiveChanged,
    /// The release that was named is not kept.
    Unknown(u64),
}

impl From<Release> for Came {
    fn from(release: Release) -> Self {
        Self::Up(release)
    }
}

/// The release that this very command put up in an earlier run.
fn done_before(context: &JobContext, now: &Manifest) -> Option<Release> {
    let mut all = std::iter::once(&now.release).chain(&now.earlier);
    all.find(|release| release.command_id == context.work.command_id).cloned()
}

fn choose_preview(
    context: &JobContext,
    shown: &Manifest,
    seen: Seen,
    now: Option<&Manifest>,
) -> Choice<Came> {
    if let Some(now) = now {
        if let Some(done) = done_before(context, now) {
            return Choice::Leave(Came::Up(done));
        }
        if now.files == shown.files {
            return Choice::Leave(Came::Same);
        }
    }
    match seen {
        Seen::Yes => {}
        Seen::NotYet => return Choice::Leave(Came::Changed),
        Seen::Never => return Choice::Leave(Came::NeverShown),
    }
    let replaces = now.and_then(|now| replaced(context, shown, now));
    let release = Release { replaces, ..release(context, &shown.release.commit_id) };
    Choice::PutUp(Wanted { release, includes: Vec::new(), files: shown.files.clone() })
}

/// The other conversation whose change is live and is not part of what is shown.
fn replaced(context: &JobContext, shown: &Manifest, now: &Manifest) -> Option<ThreadId> {
    let live = now.releases_since(made(context)).next()?;
    let is_part = live.commit_id == shown.release.commit_id || shown.includes.contains(&live.commit_id);
    live.thread_id.clone().filter(|thread| *thread != context.work.thread_id && !is_part)
}

fn choose_earlier(context: &JobContext, now: Option<&Manifest>) -> Choice<Came> {
    let Some(now) = now else { return Choice::Leave(Came::Nothing) };
    if let Some(done) = done_before(context, now) {
        return Choice::Leave(Came::Up(done));
    }
    let earlier: Vec<_> = now.releases_since(made(context)).skip(1).collect();
    match (context.work.release, earlier.first()) {
        (Some(number), _) if number == now.release.number => Choice::Leave(Came::Same),
        (Some(number), _) if earlier.iter().any(|earlier| earlier.number == number) => {
            Choice::Restore(number, release(context, ""))
        }
        (Some(number), _) => Choice::Leave(Came::Unknown(number)),
        (None, Some(_)) if !is_meant(&context.work, &now.release) => Choice::Leave(Came::LiveChanged),
        (None, Some(before)) => Choice::Restore(before.number, release(context, "")),
        (None, None) => Choice::Leave(Came::Nothing),
    }
}

/// Whether whoever wants the live site of before back can mean that this release goes: it was up when they wrote, or they have
/// ordered it themselves.
fn is_meant(work: &Work, live: &Release) -> bool {
    live.published_at <= work.timestamp || live.user_id.as_ref() == Some(&work.user_id)
}

/// A preview that is another by now than the one that was meant stays up, as does one that somebody wrote about since.
fn choose_none(context: &JobContext, now: Option<&Manifest>) -> Choice<Came> {
    // Without a number the conversation was removed: whatever it shows goes.
    let is_meant = |now: &Manifest| context.work.release.is_none_or(|number| number == now.release.number);
    let is_idle = context.written_at <= context.work.timestamp;
    if !is_idle || now.is_none_or(|now| !is_meant(now) || now.is_taken_down()) {
        return Choice::Leave(Came::Same);
    }
    Choice::PutUp(Wanted { release: release(context, ""), includes: Vec::new(), files: BTreeMap::new() })
}

async fn end(
    context: &JobContext,
    came: CloudResult<Came>,
    store: &dyn Store,
    ending: &mut Ending,
) -> Result<JobOutcome, Trouble> {
    let goes_on = ending.note.is_some();
    let came = came.map_err(|error| failure(context.work.action, goes_on, error))?;
    ending.note = note(store, &came).await;
    ending.summary = said(context.work.action, &came);
    Ok(match came {
        Came::Up(_) if context.work.action == WorkAction::TakeDown => JobOutcome::Answered,
        Came::Up(release) => {
            ending.commit_id = Some(release.commit_id).filter(|id| !id.is_empty());
            ending.published_at = Some(release.published_at);
            JobOutcome::Changed
        }
        Came::Same
        | Came::Nothing
        | Came::Expired
        | Came::Changed
        | Came::NeverShown
        | Came::LiveChanged
        | Came::Unknown(_) => JobOutcome::Answered,
    })
}

/// What there is to say besides.
async fn note(store: &dyn Store, came: &Came) -> Option<OutcomeNote> {
    match came {
        Came::Changed => Some(OutcomeNote::PreviewChanged),
        Came::NeverShown => Some(OutcomeNote::NeverShown),
        Came::LiveChanged => Some(OutcomeNote::LiveChanged),
        Came::Up(Release { replaces: Some(thread), .. }) => {
            // The site is switched; whoever cannot say which conversation it was says that it was one.
            let row = timeout(LOOK_LIMIT, store.load::<Thread>(thread)).await;
            let subject = row.ok().and_then(Result::ok).flatten().map(|row| row.value.subject);
            Some(OutcomeNote::Replaced { subject: subject.filter(|text| !text.trim().is_empty()) })
        }
        Came::Up(_) | Came::Same | Came::Nothing | Came::Expired | Came::Unknown(_) => None,
    }
}

fn said(action: WorkAction, came: &Came) -> String {
    match (came, action) {
        (Came::Up(_), WorkAction::TakeDown) => {
            "The preview was taken down: its conversation was removed, or nobody has written for long."
                .to_owned()
        }
        (Came::Same, WorkAction::TakeDown) => {
            "There is no preview, or it is in use again, or another by now, and stays up.".to_owned()
        }
        (Came::Up(release), _) if release.restores.is_some() => {
            format!("Your visitors see version {} again.", release.restores.unwrap_or_default())
        }
        (Came::Up(Release { replaces: Some(_), .. }), _) => {
            "Your visitors see what the preview showed. What another conversation had put live is not part of it; \
            an undo brings that back."
                .to_owned()
        }
        (Came::Up(_), _) => "Your visitors see what the preview showed.".to_owned(),
        (Came::Same, _) => "Your visitors see this version already.".to_owned(),
        (Came::Nothing, WorkAction::Undo) => "There is no earlier version to go back to.".to_owned(),
        (Came::Nothing, _) => "This conversation has no preview that could be published yet.".to_owned(),
        (Came::Expired, _) => {
            "The preview of this conversation was taken down, because nobody had written for long. \
            Answer \"show the preview again\": it is put up again, and can then be published."
                .to_owned()
        }
        (Came::Changed, _) => {
            "The preview has changed since this was asked for, so nothing was put live. Look at it, and ask again."
                .to_owned()
        }
        (Came::NeverShown, _) => {
            "What the preview shows is of work that did not come to its end, so nothing was put live. \
            Answer \"show the preview again\", or write what you want: what you are shown then can be published."
                .to_owned()
        }
        (Came::LiveChanged, _) => {
            "Somebody else has put another version live since this was asked for, so nothing was taken back. \
            Look at the live site, and ask again."
                .to_owned()
        }
        (Came::Unknown(number), _) => format!("Version {number} is not kept (any more)."),
    }
}

fn failure(action: WorkAction, goes_on: bool, error: CloudError) -> Trouble {
    if matches!(error, CloudError::FenceLost(_)) {
        return Trouble::Cut(Cut::FenceLost);
    }
    let (code, text) = match action {
        WorkAction::TakeDown => ("publish-failed", "The preview could not be taken down."),
        _ if goes_on => (
            "switch-goes-on",
            "The live site is being switched. That has begun and goes on by itself; it is complete in a few minutes.",
        ),
        _ => (
            "publish-failed",
            "The live site could not be switched. Nothing is lost: the preview is as it was.",
        ),
    };
    Failure::new(JobOutcome::PublishFailed, code, text, error).into()
}

/// Where the work of a thread is shown at its end: its own preview, or the live site.
pub fn target(action: WorkAction, preview: &SiteTarget) -> SiteTarget {
    match action {
        WorkAction::Edit | WorkAction::TakeDown => preview.clone(),
        WorkAction::Publish | WorkAction::Undo => SiteTarget::Live(preview.project().clone()),
        WorkAction::Check => SiteTarget::Preview(preview.project().clone()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn seen_of(ended: Option<JobOutcome>, more: serde_json::Value) -> Seen {
        let mut job = json!({"commandId": "c", "projectKey": "a#b", "projectId": "a", "userId": "b", "threadId": "abcdef1",
            "branch": "thread-abcdef1", "instruction": "", "state": "done", "attempts": 1, "outcome": ended,
            "commitId": "ours", "createdAt": 0, "day": ""});
        job.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let job = serde_json::from_value(job).unwrap();
        let shown =
            json!({"number": 1, "commandId": "c", "commitId": "ours", "action": "edit", "publishedAt": 5});
        seen_at(Timestamp::from_millis(9), &serde_json::from_value(shown).unwrap(), Some(&job))
    }

    #[test]
    fn only_what_an_answer_shows_was_seen() {
        let sent = |at: i64| json!({"mailId": "m", "finishedAt": at});
        for more in [json!({}), sent(9)] {
            assert_eq!(seen_of(Some(JobOutcome::Changed), more), Seen::Yes);
        }
        assert_eq!(seen_of(Some(JobOutcome::Changed), sent(10)), Seen::NotYet);
        for more in [json!({}), json!({"mailId": "m"})] {
            assert_eq!(seen_of(None, more), Seen::NotYet, "it is to be run again");
        }
        for ended in [
            JobOutcome::Stopped,
            JobOutcome::BuildFailed,
            JobOutcome::PublishFailed,
            JobOutcome::Refused,
            JobOutcome::Failed,
            JobOutcome::PushConflict,
        ] {
            assert_eq!(seen_of(Some(ended), sent(9)), Seen::Never, "{ended}");
        }
        let without = json!({"commitId": "another", "finishedAt": 9});
        assert_eq!(seen_of(Some(JobOutcome::PushConflict), without), Seen::Yes, "the branch as it is");
    }
}
