//! One job from work to ending: checkout, agent, commit, build, publish, push; or a version of the site that is there
//! already put up as the live one. The steps do not know each other; this is where their results are handed on. Nothing here knows who claimed what or which queue the work came from.

pub mod agent;
mod amount;
mod base;
mod begun;
pub mod build;
mod built;
mod bundle;
mod caches;
pub mod checkout;
pub mod commit;
mod context;
mod fetched;
pub mod handover;
pub mod journal;
pub mod live;
mod mend;
pub mod message;
mod origin;
pub mod output;
mod prompt;
pub mod publish;
pub mod push;
mod rebase;
mod renew;
mod repeated;
pub mod room;
mod save;
mod settings;
mod sweep;
mod tree;
pub mod workspace;

use std::time::Duration;

use common::checkpoint::{self, Point};
use common::domain::budget::Usage;
use common::domain::job::{OutcomeNote, StepName, WorkAction};
use common::domain::outcome::JobOutcome;
use common::domain::session::{Left, RunEnd};
use common::domain::timestamp::Timestamp;
use tokio::time::Instant;

use agent::Errand;
use context::CHANGE_REFUSED;
pub use context::{Cut, Failure, Interrupted, JobContext, JobSettings, StillOurs, Stopper, Trouble};
use handover::{AgentReport, Checkout, Commit, Pushed};
use journal::Journal;
use message::Purpose;

use crate::git::Oid;
use crate::text::plain;

/// How a job ended.
#[derive(Debug, Clone, Default)]
pub struct Ending {
    /// What was done, for the owner.
    pub summary: String,
    /// Whether it ends with a question; the job's outcome when nothing was changed.
    pub asks: bool,
    /// What there is to say besides its outcome.
    pub note: Option<OutcomeNote>,
    /// What went wrong, for the operator.
    pub error: Option<String>,
    /// The commit on the branch.
    pub commit_id: Option<String>,
    /// Paths the commit touches.
    pub files_changed: Vec<String>,
    /// Branches with what was done and conflicts with what others did, besides those that the row of the job has.
    pub aside: Vec<String>,
    /// What it used.
    pub usage: Usage,
    /// When the preview was put up.
    pub published_at: Option<Timestamp>,
    /// Where the agent's words lie.
    pub transcript_key: Option<String>,
    /// The agent's own session, for the next run on the thread.
    pub agent_session_id: Option<String>,
    /// Whether the remote has all that was done.
    pub left: Left,
}

impl Ending {
    /// What it means for its session.
    pub fn for_the_session(&self) -> RunEnd {
        let (agent_session_id, left) = (self.agent_session_id.clone(), self.left.clone());
        RunEnd { usage: self.usage, agent_session_id, left }
    }
}

/// What came of a run.
#[derive(Debug)]
pub enum Run {
    /// It ended.
    Ended(JobOutcome, Box<Ending>),
    /// It was cut off; unfinished work is saved where that was still allowed.
    Cut(Cut, Box<Ending>),
}

/// How long a push may go on after its job was cut off.
const PUSH_GRACE: Duration = Duration::from_secs(2);
/// Longer words of the agent, and longer errors, are cut.
const MAX_TEXT_CHARS: usize = 10_000;
/// So often the row of a job is told what its agent has used.
const FOLLOW_EVERY: Duration = Duration::from_secs(2);
/// Nobody waits longer than this for it; the agent is heard again after it.
const FOLLOW_LIMIT: Duration = Duration::from_secs(2);

/// Runs one attempt from checkout to push.
pub async fn run(context: &JobContext, journal: &mut Journal) -> Run {
    let begun = Instant::now();
    let mut ending = Ending::default();
    let result = match context.work.action {
        WorkAction::Edit => steps(context, journal, &mut ending).await,
        WorkAction::Publish => live::publish(context, journal, &mut ending).await,
        WorkAction::Undo => live::undo(context, journal, &mut ending).await,
        WorkAction::Check => check(context, journal, &mut ending).await,
        WorkAction::TakeDown => live::take_down(context, journal, &mut ending).await,
    };
    ending.usage.duration_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    match result {
        Ok(outcome) => Run::Ended(outcome, Box::new(ending)),
        Err(Trouble::Cut(cut)) => Run::Cut(context.stopper.stopped().unwrap_or(cut), Box::new(ending)),
        Err(Trouble::Failed(failure)) => {
            if let Some(cut) = context.stopper.stopped() {
                return Run::Cut(cut, Box::new(ending));
            }
            ending.summary = context.settings.secrets.redact(&failure.owner_text);
            let detail = format!("{}: {}", failure.code, failure.detail);
            ending.error =
                Some(plain(&context.settings.secrets.redact(&plain(&detail, usize::MAX)), MAX_TEXT_CHARS));
            Run::Ended(failure.outcome, Box::new(ending))
        }
    }
}

async fn steps(
    context: &JobContext,
    journal: &mut Journal,
    ending: &mut Ending,
) -> Result<JobOutcome, Trouble> {
    journal.step_unless_stopped(StepName::Checkout).await?;
    checkpoint::reach(Point::CheckoutBegun).await;
    let checkout = told_of(journal, checkout::prepare(context, &*journal.store).await?).await?;
    checkpoint::reach(Point::CheckedOut).await;
    let commit = if let Some(finished) = checkout.finished {
        journal.charge().await?;
        tracing::info!(commit = %finished, "the branch has the commit of this command already; it is taken as it is");
        "Your change was finished by an earlier run and is now shown.".clone_into(&mut ending.summary);
        commit::describe(&checkout, finished).await?
    } else {
        let Some(commit) = edit(context, journal, &checkout, ending).await? else {
            return unchanged(context, journal, &checkout, ending).await;
        };
        commit
    };
    note_commit(ending, &commit);
    let (commit, shown) = mend::show_mended(context, journal, &checkout, commit, ending).await;
    note_commit(ending, &commit);
    push_shown(context, journal, &checkout, &commit, shown, ending).await
}

/// What lies beside the branch is written into the row of the job: its owner hears of it whatever becomes of this run. The agent
/// is told what runs before this one met, too.
async fn told_of(journal: &mut Journal, checkout: Checkout) -> Result<Checkout, Trouble> {
    let aside = journal.aside(&checkout.aside).await?;
    checkout::forget_aside(&checkout).await;
    Ok(Checkout { aside, ..checkout })
}

/// What was shown goes to the remote; so does what could not be shown, and what was cut off.
async fn push_shown(
    context: &JobContext,
    journal: &mut Journal,
    checkout: &Checkout,
    commit: &Commit,
    shown: Result<Timestamp, Trouble>,
    ending: &mut Ending,
) -> Result<JobOutcome, Trouble> {
    match shown {
        Ok(at) => {
            ending.published_at = Some(at);
            journal.step(StepName::Push).await?;
            checkpoint::reach(Point::PushBegun).await;
            let outcome = push_commit(context, checkout, commit, ending).await?;
            show_moved(context, journal, checkout, commit, outcome, ending).await
        }
        Err(Trouble::Failed(failure)) => {
            // The work is kept on its branch, as the answer says; the site that was up stays up.
            journal.step_after_failure(StepName::Push).await?;
            push_commit(context, checkout, commit, ending).await?;
            Err(failure.into())
        }
        Err(Trouble::Cut(cut)) => {
            ending.left = save::keep(context, checkout, commit, &mut ending.aside).await;
            Err(Trouble::Cut(cut))
        }
    }
}

/// A branch on which somebody else was meanwhile is built and shown once more: what was shown is no commit of it. One in whose
/// way our change was is shown without it.
async fn show_moved(
    context: &JobContext,
    journal: &mut Journal,
    checkout: &Checkout,
    built: &Commit,
    outcome: JobOutcome,
    ending: &mut Ending,
) -> Result<JobOutcome, Trouble> {
    let Some(tip) = commit::moved(checkout, built).await? else { return Ok(outcome) };
    tracing::info!(commit = %tip.id, "somebody else changed the branch; it is built and shown as it is now");
    match show(context, journal, checkout, &tip).await {
        Ok(at) => ending.published_at = Some(at),
        Err(trouble) if outcome == JobOutcome::PushConflict => {
            // Another run would make the change anew.
            tracing::warn!(?trouble, "the preview still shows what is not on the branch");
        }
        Err(trouble) => return Err(trouble),
    }
    Ok(outcome)
}

/// Nothing was changed. What is answered and shown has its source on the remote; where there was a preview, and none is up
/// that can be published, the branch is shown as it is, and what does not build goes to the agent.
async fn unchanged(
    context: &JobContext,
    journal: &mut Journal,
    checkout: &Checkout,
    ending: &mut Ending,
) -> Result<JobOutcome, Trouble> {
    ending.left = save::catch_up(context, checkout, &mut ending.aside).await?;
    journal.aside(&ending.aside).await?;
    if ending.asks {
        return Ok(JobOutcome::Question);
    }
    if !live::lacks_a_preview(context, &*journal.store).await {
        return Ok(JobOutcome::Answered);
    }
    let checkout = &checkout::as_pushed(checkout).await?;
    let commit = commit::unchanged(checkout).await?;
    let (commit, shown) = mend::show_mended(context, journal, checkout, commit, ending).await;
    note_commit(ending, &commit);
    if commit.id != checkout.before {
        return push_shown(context, journal, checkout, &commit, shown, ending).await;
    }
    ending.published_at = Some(shown?);
    Ok(JobOutcome::Changed)
}

/// Everything but the agent and the push, on the branch that conversations start from.
async fn check(
    context: &JobContext,
    journal: &mut Journal,
    ending: &mut Ending,
) -> Result<JobOutcome, Trouble> {
    journal.step_unless_stopped(StepName::Checkout).await?;
    let checkout = checkout::prepare(context, &*journal.store).await?;
    journal.charge().await?;
    let commit = commit::unchanged(&checkout).await?;
    ending.commit_id = Some(commit.id.to_string());
    ending.published_at = Some(show(context, journal, &checkout, &commit).await?);
    journal.step(StepName::Publish).await?;
    live::probe(context).await?;
    "The source can be fetched and pushed to, the site can be built, its preview can be put up, and its live site written to."
        .clone_into(&mut ending.summary);
    Ok(JobOutcome::Changed)
}

/// Agent and commit; none when nothing was changed.
async fn edit(
    context: &JobContext,
    journal: &mut Journal,
    checkout: &Checkout,
    ending: &mut Ending,
) -> Result<Option<Commit>, Trouble> {
    if let Some(cut) = context.stopper.stopped() {
        return Err(Trouble::Cut(cut));
    }
    build::can_install(context, checkout)?;
    journal.charge_agent().await?;
    checkpoint::reach(Point::AgentCharged).await;
    let report = match followed(context, journal, agent::run(context, checkout, &Errand::Work)).await {
        Ok(report) => report,
        Err((trouble, report)) => {
            note_agent(ending, report);
            save_unfinished(context, checkout, &trouble, ending).await;
            return Err(trouble);
        }
    };
    note_agent(ending, report);
    checkpoint::reach(Point::AgentEnded).await;
    journal.step(StepName::Commit).await?;
    checkpoint::reach(Point::CommitBegun).await;
    let purpose = if ending.asks { Purpose::Asked } else { Purpose::Done };
    let commit = commit::make(context, checkout, purpose).await;
    checkpoint::reach(Point::Committed).await;
    commit
}

/// Lets the row of the job say what the agent has used so far while it works.
async fn followed<T>(context: &JobContext, journal: &mut Journal, run: impl Future<Output = T>) -> T {
    tokio::pin!(run);
    let mut tick = tokio::time::interval(FOLLOW_EVERY);
    let mut told = Usage::default();
    loop {
        tokio::select! {
            done = &mut run => return done,
            _ = tick.tick() => {}
        }
        let used = context.meter.usage();
        if used != told {
            told = used;
            tracing::info!(command.id = %context.work.command_id, turns = used.turns, cost_usd = used.cost_usd, "the agent goes on");
            // The next time will do as well; whoever lost the claim hears it from the heartbeat.
            tokio::time::timeout(FOLLOW_LIMIT, journal.used(used)).await.ok();
        }
    }
}

fn note_agent(ending: &mut Ending, report: AgentReport) {
    ending.summary = plain(&report.summary, MAX_TEXT_CHARS);
    ending.asks = report.asks;
    ending.usage = report.usage;
    ending.transcript_key = report.transcript_key;
    ending.agent_session_id = report.session_id;
}

fn note_commit(ending: &mut Ending, commit: &Commit) {
    ending.commit_id = Some(commit.id.to_string());
    ending.files_changed.clone_from(&commit.files);
}

/// Build and publish; the time the preview was put up.
async fn show(
    context: &JobContext,
    journal: &mut Journal,
    checkout: &Checkout,
    commit: &Commit,
) -> Result<Timestamp, Trouble> {
    journal.step(StepName::Build).await?;
    built::begins(checkout, commit).await?;
    checkpoint::reach(Point::BuildBegun).await;
    let shown = build_and_publish(context, journal, checkout, commit).await;
    // Whoever was cut off has no time for it; the next run sees the marker.
    if !matches!(shown, Err(Trouble::Cut(_)))
        && let Err(trouble) = built::undo(checkout, commit).await
    {
        tracing::warn!(?trouble, "what a build left could not be cleaned away yet");
    }
    shown
}

async fn build_and_publish(
    context: &JobContext,
    journal: &mut Journal,
    checkout: &Checkout,
    commit: &Commit,
) -> Result<Timestamp, Trouble> {
    let site = build::build(context, checkout, commit).await?;
    checkpoint::reach(Point::Built).await;
    journal.step(StepName::Publish).await?;
    checkpoint::reach(Point::PublishBegun).await;
    let at = publish::publish(context, checkout, &site, &commit.id.to_string()).await;
    checkpoint::reach(Point::Published).await;
    at
}

async fn push_commit(
    context: &JobContext,
    checkout: &Checkout,
    commit: &Commit,
    ending: &mut Ending,
) -> Result<JobOutcome, Trouble> {
    if !(context.still_ours)().await {
        return Err(Trouble::Cut(Cut::FenceLost));
    }
    checkpoint::reach(Point::ClaimConfirmed).await;
    let tip = checkout.tip(commit);
    let pushed = match push_unless_cut(context, checkout, tip).await {
        Ok(pushed) => pushed,
        Err(Trouble::Failed(failure)) if failure.code == CHANGE_REFUSED => {
            ending.left = save::aside(context, checkout, tip).await;
            (ending.commit_id, ending.files_changed) = (None, Vec::new());
            return Err(failure.into());
        }
        Err(trouble) => {
            ending.left = save::elsewhere(context, checkout, tip).await;
            if matches!((&trouble, &ending.left), (Trouble::Failed(_), Left::Kept)) {
                ending.note = Some(OutcomeNote::NotPushed);
            }
            return Err(trouble);
        }
    };
    checkpoint::reach(Point::Pushed).await;
    ending.left = save::forget(context, checkout).await;
    match pushed {
        Pushed::There(id) => {
            if tip == commit.id {
                ending.commit_id = Some(id.to_string());
            }
            Ok(JobOutcome::Changed)
        }
        Pushed::Conflict { kept_on } => {
            ending.summary.clear();
            ending.error = Some(format!("conflict with the remote branch; ours is on {kept_on}"));
            ending.aside.push(kept_on);
            Ok(JobOutcome::PushConflict)
        }
    }
}

/// A push that is nearly done may end; a remote that hangs keeps nobody waiting.
async fn push_unless_cut(context: &JobContext, checkout: &Checkout, tip: Oid) -> Result<Pushed, Trouble> {
    let pushed = context.stopper.within(PUSH_GRACE, push::push(context, checkout, tip)).await;
    pushed.map_err(Trouble::Cut)?
}

/// Commits and keeps what the agent left when the job was cut off or its budget ended.
async fn save_unfinished(context: &JobContext, checkout: &Checkout, trouble: &Trouble, ending: &mut Ending) {
    let Some(purpose) = purpose_after(trouble) else { return };
    let Some(commit) = save::unfinished(context, checkout, purpose).await else { return };
    ending.left = save::keep(context, checkout, &commit, &mut ending.aside).await;
    note_commit(ending, &commit);
}

/// As what edits are saved that the agent did not bring to an end; not at all where that is not allowed or not wanted.
fn purpose_after(trouble: &Trouble) -> Option<Purpose> {
    match trouble {
        Trouble::Cut(Cut::Shutdown) => Some(Purpose::Shutdown),
        Trouble::Cut(Cut::Stopped) => Some(Purpose::Stopped),
        Trouble::Cut(Cut::Interrupted(_)) => Some(Purpose::Interrupted),
        Trouble::Failed(failure) if failure.outcome == JobOutcome::BudgetExhausted => Some(Purpose::Budget),
        Trouble::Cut(Cut::FenceLost) | Trouble::Failed(_) => None,
    }
}
