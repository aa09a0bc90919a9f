//! A change that does not build, or must not be published, goes back to the agent before it is given up; also when the run
//! that committed it did not live to see it built.

use common::domain::job::StepName;
use common::domain::timestamp::Timestamp;

use super::agent::{self, Errand};
use super::build::{self, LOCK_BEHIND, LOCK_OF_THE_SOURCE};
use super::handover::{Checkout, Commit};
use super::journal::Journal;
use super::message::Purpose;
use super::{Ending, Failure, JobContext, Trouble, built, commit, followed, purpose_after, save, show};

/// So often a change goes back to the agent.
const MAX_REPAIRS: u32 = 2;

/// A repair that came to no end, and the commit that its edits are saved in.
type Unmended = (Trouble, Option<Commit>);

/// Build and publish; what does not build, or must not be published, goes back to the agent. The commit is the last one.
pub(super) async fn show_mended(
    context: &JobContext,
    journal: &mut Journal,
    checkout: &Checkout,
    mut commit: Commit,
    ending: &mut Ending,
) -> (Commit, Result<Timestamp, Trouble>) {
    let mut rounds = 0;
    loop {
        let failure = match show_locked(context, journal, checkout, &mut commit).await {
            Err(Trouble::Failed(failure)) if failure.is_for_the_agent() => failure,
            shown => return (commit, shown),
        };
        if rounds == MAX_REPAIRS || !may_be_mended(checkout) {
            return (commit, Err(failure.into()));
        }
        rounds += 1;
        match mend(context, journal, checkout, &commit, &failure, ending).await {
            Ok(Some(mended)) => commit = mended,
            Ok(None) | Err((Trouble::Failed(_), _)) => return (commit, Err(failure.into())),
            Err((cut @ Trouble::Cut(_), saved)) => return (saved.unwrap_or(commit), Err(cut)),
        }
    }
}

/// Build and publish. Where the lock file of the packages does not fit what the change made of their list, it follows first:
/// who edits has no way to the registry.
async fn show_locked(
    context: &JobContext,
    journal: &mut Journal,
    checkout: &Checkout,
    commit: &mut Commit,
) -> Result<Timestamp, Trouble> {
    let behind = match show(context, journal, checkout, commit).await {
        Err(Trouble::Failed(failure)) if is_of_the_lock(&failure) && may_be_mended(checkout) => failure,
        shown => return shown,
    };
    let locked = lock(context, journal, checkout, commit).await?;
    *commit = locked.ok_or(behind)?;
    show(context, journal, checkout, commit).await
}

/// Whether the lock file does not fit, be it since this change or since one whose own could not be made to follow.
fn is_of_the_lock(failure: &Failure) -> bool {
    [LOCK_BEHIND, LOCK_OF_THE_SOURCE].contains(&failure.code)
}

/// The change with a lock file that fits it, as the commit in its place; none when nothing came of it.
async fn lock(
    context: &JobContext,
    journal: &mut Journal,
    checkout: &Checkout,
    commit: &Commit,
) -> Result<Option<Commit>, Trouble> {
    tracing::info!(command.id = %context.work.command_id, "the lock file of the packages follows their list");
    built::undo(checkout, commit).await?;
    journal.step_after_failure(StepName::Commit).await?;
    build::lock(context, checkout, commit).await?;
    let made = commit::make(context, checkout, Purpose::Done).await?;
    Ok(made.filter(|made| made.tree != commit.tree).map(|made| with_files_of(checkout, commit, made)))
}

/// Not where the conversation has gone on since an earlier run finished this command.
fn may_be_mended(checkout: &Checkout) -> bool {
    checkout.finished.is_none_or(|finished| finished == checkout.newest)
}

/// One more run of the agent, on what went wrong; its edits take the place of the commit, which nobody has seen yet, or go
/// on top of the one that an earlier run finished. None when it changed nothing.
async fn mend(
    context: &JobContext,
    journal: &mut Journal,
    checkout: &Checkout,
    commit: &Commit,
    failure: &Failure,
    ending: &mut Ending,
) -> Result<Option<Commit>, Unmended> {
    tracing::info!(command.id = %context.work.command_id, reason = failure.code, "the change goes back to the agent");
    built::undo(checkout, commit).await.map_err(unsaved)?;
    journal.step_after_failure(StepName::Agent).await.map_err(unsaved)?;
    let session = ending.agent_session_id.take();
    let errand = Errand::Repair { log: &failure.detail, session: session.as_deref() };
    let (report, trouble) = match followed(context, journal, agent::run(context, checkout, &errand)).await {
        Ok(report) => (report, None),
        Err((trouble, report)) => (report, Some(trouble)),
    };
    ending.usage = ending.usage.and(report.usage);
    ending.agent_session_id = report.session_id.or(session);
    if let Some(trouble) = trouble {
        return Err(cut_short(context, checkout, trouble).await);
    }
    journal.step(StepName::Commit).await.map_err(unsaved)?;
    let made = commit::make(context, checkout, Purpose::Done).await.map_err(unsaved)?;
    Ok(made.filter(|made| made.tree != commit.tree).map(|made| with_files_of(checkout, commit, made)))
}

fn unsaved(trouble: impl Into<Trouble>) -> Unmended {
    (trouble.into(), None)
}

/// What the agent had done by then is committed as unfinished, with the change that it was to mend.
async fn cut_short(context: &JobContext, checkout: &Checkout, trouble: Trouble) -> Unmended {
    let purpose = purpose_after(&trouble).filter(|_| matches!(trouble, Trouble::Cut(_)));
    match purpose {
        Some(purpose) => (trouble, save::unfinished(context, checkout, purpose).await),
        None => (trouble, None),
    }
}

/// On top of what an earlier run finished, the commit holds the repair alone; the job did both.
fn with_files_of(checkout: &Checkout, before: &Commit, mut made: Commit) -> Commit {
    if checkout.finished.is_some() {
        made.files.extend(
            before.files.iter().filter(|path| !made.files.contains(path)).cloned().collect::<Vec<_>>(),
        );
    }
    made
}
