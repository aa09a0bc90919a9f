//! The live site: a thread's preview put up as it is, or an earlier release of it put up again. No checkout, no agent, no
//! build: every byte is among the releases already.

use common::cloud::{CloudError, Result as CloudResult};
use common::domain::job::{StepName, WorkAction};
use common::domain::names::SiteTarget;
use common::domain::outcome::JobOutcome;
use common::domain::site::{Manifest, Release};

use super::journal::Journal;
use super::publish::{Choice, Contents, Publication, Wanted, release, unless_stopped};
use super::{Cut, Ending, Failure, JobContext, Trouble};

/// Puts the thread's preview up as the live site.
pub(super) async fn publish(
    context: &JobContext,
    journal: &mut Journal,
    ending: &mut Ending,
) -> Result<JobOutcome, Trouble> {
    begin(context, journal).await?;
    let preview = Publication::of(context, context.target.clone());
    let live = Publication::of(context, target(context.work.action, &context.target));
    let put = async {
        let Some((shown, _)) = preview.settled().await? else { return Ok(Came::Nothing) };
        live.put_up(&Contents::default(), |now| choose_preview(context, &shown, now)).await
    };
    end(context, unless_stopped(context, put).await?, ending)
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
    end(context, unless_stopped(context, put).await?, ending)
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

fn choose_preview(context: &JobContext, shown: &Manifest, now: Option<&Manifest>) -> Choice<Came> {
    if let Some(now) = now {
        if let Some(done) = done_before(context, now) {
            return Choice::Leave(Came::Up(done));
        }
        if now.files == shown.files {
            return Choice::Leave(Came::Same);
        }
    }
    let release = release(context, &shown.release.commit_id);
    Choice::PutUp(Wanted { release, files: shown.files.clone() })
}

fn choose_earlier(context: &JobContext, now: Option<&Manifest>) -> Choice<Came> {
    let Some(now) = now else { return Choice::Leave(Came::Nothing) };
    if let Some(done) = done_before(context, now) {
        return Choice::Leave(Came::Up(done));
    }
    match (context.work.release, now.earlier.first()) {
        (Some(number), _) if number == now.release.number => Choice::Leave(Came::Same),
        (Some(number), _) if now.earlier.iter().any(|earlier| earlier.number == number) => {
            Choice::Restore(number, release(context, ""))
        }
        (Some(number), _) => Choice::Leave(Came::Unknown(number)),
        (None, Some(before)) => Choice::Restore(before.number, release(context, "")),
        (None, None) => Choice::Leave(Came::Nothing),
    }
}

fn end(context: &JobContext, came: CloudResult<Came>, ending: &mut Ending) -> Result<JobOutcome, Trouble> {
    let came = came.map_err(failure)?;
    ending.summary = said(context.work.action, &came);
    Ok(match came {
        Came::Up(release) => {
            ending.commit_id = Some(release.commit_id).filter(|id| !id.is_empty());
            ending.published_at = Some(release.published_at);
            JobOutcome::Changed
        }
        Came::Same | Came::Nothing | Came::Unknown(_) => JobOutcome::Answered,
    })
}

fn said(action: WorkAction, came: &Came) -> String {
    match (came, action) {
        (Came::Up(release), _) if release.restores.is_some() => {
            format!("Your visitors see version {} again.", release.restores.unwrap_or_default())
        }
        (Came::Up(_), _) => "Your visitors see what the preview showed.".to_owned(),
        (Came::Same, _) => "Your visitors see this version already.".to_owned(),
        (Came::Nothing, WorkAction::Undo) => "There is no earlier version to go back to.".to_owned(),
        (Came::Nothing, _) => "This conversation has no preview that could be published yet.".to_owned(),
        (Came::Unknown(number), _) => format!("Version {number} is not kept (any more)."),
    }
}

fn failure(error: CloudError) -> Trouble {
    match error {
        CloudError::FenceLost(_) => Trouble::Cut(Cut::FenceLost),
        error => {
            let text = "The live site could not be switched. Nothing is lost: the preview is as it was.";
            Failure::new(JobOutcome::PublishFailed, "publish-failed", text, error).into()
        }
    }
}

/// Where the work of a thread is shown at its end: its own preview, or the live site.
pub fn target(action: WorkAction, preview: &SiteTarget) -> SiteTarget {
    match action {
        WorkAction::Edit => preview.clone(),
        WorkAction::Publish | WorkAction::Undo => SiteTarget::Live(preview.project().clone()),
        WorkAction::Check => SiteTarget::Preview(preview.project().clone()),
    }
}
