//! One message of a claim: read, completed, run, written down, reported and only then deleted. What failed comes back
//! later, what failed for good goes to the dead letters; nothing is run again that has an outcome.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use common::checkpoint::{self, Point};
use common::cloud::queue::Delivery;
use common::cloud::{CloudError, Result};
use common::domain::ids::CommandId;
use common::domain::job::{Job, MAX_ATTEMPTS, OutcomeNote, WorkAction};
use common::domain::names::SiteTarget;
use common::domain::outcome::{JobOutcome, Retry};
use common::domain::session::{RunEnd, Session};
use common::domain::timestamp::Timestamp;
use common::messages::{Work, WorkDraft};
use futures_util::FutureExt as _;
use tokio::sync::OnceCell;
use tokio::time::timeout;

use crate::budgets;
use crate::intake::{self, Intake};
use crate::interrupts;
use crate::job::journal::Journal;
use crate::job::{self, Cut, Ending, Interrupted, JobContext, Run, StillOurs, Stopper};
use crate::lease::{InFlight, Lease};
use crate::me::new_version;
use crate::meter::{Allowance, Meter};
use crate::poison;
use crate::removals;
use crate::report;
use crate::sessions;
use crate::spent;
use crate::tenure::{Standing, Tenure};

/// A message that we could not even look at (a table does not answer) comes back after this.
const AFTER_TROUBLE: Duration = Duration::from_secs(5);
const LONGEST_TROUBLE: Duration = Duration::from_mins(1);
/// One that breaks us, or cannot be read, will not get better: it comes back soon, and is put aside the third time.
const AFTER_BREAKING: Duration = Duration::from_secs(2);
/// A message that comes back within this keeps its claim busy.
const LONGEST_EXPECTATION: Duration = Duration::from_secs(10);
/// How long a renewal before a push may take; after that the heartbeat decides.
const RENEWAL_LIMIT: Duration = Duration::from_secs(2);
/// What is kept of the grace for stopping and saving a job.
const SAVE_SECS: u64 = 12;

/// Works a message off. The answer says when it comes back, if it does.
pub async fn handle(tenure: &Tenure, lease: &Lease, delivery: &Delivery) -> Option<Duration> {
    let message = Message { tenure, lease, delivery };
    let working = Box::pin(message.work_off());
    let worked_off = AssertUnwindSafe(working).catch_unwind().await;
    let handled = worked_off.unwrap_or_else(|panic| {
        Err(CloudError::Invalid(format!("the worker broke at it: {}", poison::words(&*panic))))
    });
    lease.put_down();
    let (me, fence) = (&tenure.me, &tenure.fence);
    let error = match handled {
        Ok(again) => return again,
        Err(CloudError::FenceLost(_)) => return None,
        Err(error) => error,
    };
    if !error.is_retryable() && delivery.receive_count >= MAX_ATTEMPTS {
        match poison::end(me, fence, delivery, &error.to_string()).await {
            Ok(()) => return None,
            Err(error) => {
                tracing::warn!(project.key = %fence.project_key, %error, "a message could not be put aside");
            }
        }
    }
    let after = if error.is_retryable() { pause_after(delivery.receive_count) } else { AFTER_BREAKING };
    tracing::warn!(project.key = %fence.project_key, %error, "a message could not be handled and comes back after {} s", after.as_secs());
    me.give_back(delivery, after).await;
    // Nobody else waits for this claim that long: it is quiet meanwhile.
    (after <= LONGEST_EXPECTATION).then_some(after)
}

/// 5 s, 10 s, ... one minute: a table that does not answer for hours must not use up the receives of a message.
fn pause_after(receives: u32) -> Duration {
    let doublings = receives.saturating_sub(1).min(4);
    (AFTER_TROUBLE * 2u32.pow(doublings)).min(LONGEST_TROUBLE)
}

struct Message<'a> {
    tenure: &'a Tenure,
    lease: &'a Lease,
    delivery: &'a Delivery,
}

type Again = Option<Duration>;

/// The thread's preview, and when somebody last wrote on the thread.
struct Shown {
    preview: SiteTarget,
    written_at: Timestamp,
}

/// What a job has to know before it runs.
struct Known {
    /// Its session as it was before.
    session: Option<Session>,
    /// What its agent may use.
    allowance: Allowance,
}

/// What a run means for its session.
fn run_end(run: &Run) -> RunEnd {
    let (Run::Ended(_, ending) | Run::Cut(_, ending)) = run;
    ending.for_the_session()
}

impl Message<'_> {
    async fn work_off(&self) -> Result<Again> {
        let me = &self.tenure.me;
        checkpoint::reach(Point::MessageReceived).await;
        let draft =
            match WorkDraft::parse(&self.delivery.body, &self.delivery.message_id, me.cloud.clock.now()) {
                Ok(draft) => draft,
                Err(malformed) => return self.bury(&malformed.to_string()).await,
            };
        let intake = intake::complete(&me.cloud.store, draft).await?;
        let work = &intake.work;
        let ours = &self.tenure.fence.project_key;
        if work.project_user() != *ours {
            let reason = format!("the message is for {}, which has another queue", work.project_user());
            return self.bury(&reason).await;
        }
        let now = me.cloud.clock.now();
        let (thread, interrupted) = tokio::try_join!(
            intake::ensure_thread(&me.cloud.store, work, now),
            interrupts::unfinished(&*me.cloud.store, work)
        )?;
        if thread.project_key != *ours {
            return self.bury(&format!("thread {} belongs to somebody else", thread.thread_id)).await;
        }
        let row = intake::ensure_job(&me.cloud.store, work, now).await?;
        if row.project_key != *ours || row.thread_id != thread.thread_id {
            return self.bury(&format!("command {} belongs to other work", row.command_id)).await;
        }
        checkpoint::reach(Point::JobRowReady).await;
        let preview = SiteTarget::Thread(work.project_id.clone(), thread.preview_key.clone());
        let target = job::live::target(work.action, &preview);
        if let Some(outcome) = row.outcome {
            tracing::info!(command.id = %work.command_id, %outcome, "this work has its outcome already; it is told once more");
            return self.report(work, &row, outcome, &target).await;
        }
        spent::catch_up(me, &self.tenure.fence, work, &row).await?;
        let mut journal = self.journal(&row);
        if thread.removed_at.is_some() && work.action.goes_on_with_a_conversation() {
            removals::forget(&me.cloud, work).await?;
            let text = "This conversation was removed before the work was done.";
            let ending = Ending { summary: text.to_owned(), ..Ending::default() };
            return self.finish(&mut journal, work, &target, JobOutcome::Stopped, &ending).await;
        }
        if row.stop_requested.is_some() {
            return self.stopped(&mut journal, work, &target, Ending::default()).await;
        }
        if work.repo_url.is_empty() && matches!(work.action, WorkAction::Edit | WorkAction::Check) {
            let text = "Your site is not set up yet: nobody has told us where its source is.";
            return self
                .end_badly(&mut journal, work, &target, JobOutcome::Refused, text, intake::NO_REPOSITORY)
                .await;
        }
        if row.attempts >= MAX_ATTEMPTS {
            let text = "We tried three times and failed each time. Somebody will have to look into it.";
            let reason = format!("{} attempts were begun and none came to an end", row.attempts);
            return self.end_badly(&mut journal, work, &target, JobOutcome::Failed, text, &reason).await;
        }
        let shown = Shown { preview, written_at: thread.written_at() };
        let run = Box::pin(self.run(intake, interrupted, &row, &mut journal, shown)).await?;
        self.settle(journal, run, target).await
    }

    fn journal(&self, row: &Job) -> Journal {
        let me = &self.tenure.me;
        Journal::of(Arc::clone(&me.cloud.store), me.cloud.clock.clone(), &self.tenure.fence, row)
    }

    /// Runs the job; a shutdown lets it finish as long as there is time to save it afterwards.
    async fn run(
        &self,
        intake: Intake,
        interrupted: Vec<Interrupted>,
        row: &Job,
        journal: &mut Journal,
        shown: Shown,
    ) -> Result<(Work, Run)> {
        let me = &self.tenure.me;
        let stopper = Stopper::default();
        let work = &intake.work;
        tracing::info!(
            session.id = %work.session_id, thread.id = %work.thread_id, command.id = %work.command_id,
            project.key = %self.tenure.fence.project_key, attempt = journal.attempt, "a job begins"
        );
        let Known { session, allowance } = self.begins(&intake, row, &stopper).await?;
        checkpoint::reach(Point::MessageCarried).await;
        let context = JobContext {
            live: OnceCell::new(),
            shown: OnceCell::new(),
            epoch: self.tenure.fence.epoch,
            project: intake.project,
            interrupted,
            session,
            meter: Meter::new(allowance),
            target: shown.preview,
            written_at: shown.written_at,
            settings: Arc::clone(&me.jobs),
            files: Arc::clone(&me.cloud.files),
            clock: me.cloud.clock.clone(),
            stopper: stopper.clone(),
            still_ours: self.still_ours(),
            work: intake.work,
        };
        let run = {
            let job = job::run(&context, journal);
            tokio::pin!(job);
            tokio::select! {
                run = &mut job => run,
                () = self.time_is_up() => {
                    stopper.stop(Cut::Shutdown);
                    job.await
                }
            }
        };
        let told = spent::ended(me, &self.tenure.fence, &context.work, &journal.run, run_end(&run));
        ((), journal.is_told) = tokio::join!(self.runs_no_more(), told);
        Ok((context.work, run))
    }

    /// Says that the job runs, and asks what it has to know before it does.
    async fn begins(&self, intake: &Intake, row: &Job, stopper: &Stopper) -> Result<Known> {
        let (me, fence, work) = (&self.tenure.me, &self.tenure.fence, &intake.work);
        self.tenure.stand(Standing::Busy(Some((work.command_id.clone(), stopper.clone()))));
        let in_flight = InFlight {
            receipt: self.delivery.receipt.clone(),
            task_token: work.task_token.clone(),
            stopper: stopper.clone(),
        };
        let limits = intake.project.as_ref().map(|project| project.limits).unwrap_or_default();
        let ((), (), session, month_usd) = tokio::join!(
            self.lease.carry(in_flight),
            interrupts::runs(me, fence, work, row),
            sessions::begins(me, fence, work),
            budgets::month(me, &fence.project_key.project, &limits)
        );
        let known = session.and_then(|session| {
            let thread_usd = session.as_ref().map_or(0.0, |session| session.cost_usd);
            Ok(Known { allowance: Allowance::of(&limits, row.usage, thread_usd, month_usd?), session })
        });
        if known.is_err() {
            self.runs_no_more().await;
        }
        known
    }

    async fn runs_no_more(&self) {
        self.tenure.stand(Standing::Busy(None));
        interrupts::runs_no_more(&self.tenure.me, &self.tenure.fence).await;
    }

    async fn time_is_up(&self) {
        let me = &self.tenure.me;
        me.shutdown.cancelled().await;
        let left = me.claims.shutdown_grace().as_secs().saturating_sub(SAVE_SECS);
        tokio::time::sleep(Duration::from_secs(left)).await;
    }

    /// A renewed claim is ours; no answer leaves the decision to the heartbeat.
    fn still_ours(&self) -> StillOurs {
        let me = Arc::clone(&self.tenure.me);
        let fence = self.tenure.fence.clone();
        let lost = self.lease.lost().clone();
        Arc::new(move || {
            let (me, fence, lost) = (Arc::clone(&me), fence.clone(), lost.clone());
            Box::pin(async move {
                let version = new_version();
                let renew = me.cloud.claims.renew(&fence, &version, me.cloud.clock.now());
                let renewed = timeout(RENEWAL_LIMIT, renew).await;
                !matches!(renewed, Ok(Err(CloudError::FenceLost(_)))) && !lost.is_cancelled()
            })
        })
    }

    /// Writes down, reports and deletes, or gives back.
    async fn settle(
        &self,
        mut journal: Journal,
        (work, run): (Work, Run),
        target: SiteTarget,
    ) -> Result<Again> {
        match run {
            Run::Ended(outcome, ending) if outcome.retry() == Retry::Again => {
                if journal.attempt < MAX_ATTEMPTS {
                    return self.try_again(&mut journal, outcome, &ending).await;
                }
                self.bury_copy(ending.error.as_deref().unwrap_or(outcome.as_str())).await?;
                journal.charged = true;
                self.finish(&mut journal, &work, &target, outcome, &ending).await
            }
            Run::Ended(outcome, ending) => self.finish(&mut journal, &work, &target, outcome, &ending).await,
            Run::Cut(Cut::FenceLost, _) => {
                tracing::warn!(command.id = %work.command_id, "the job was stopped because its claim was lost; its next owner runs it");
                Ok(None)
            }
            Run::Cut(Cut::Shutdown, ending) => {
                journal.hand_back(&ending).await?;
                self.lease.put_down();
                self.tenure.me.give_back(self.delivery, Duration::ZERO).await;
                tracing::info!(command.id = %work.command_id, "the job was handed back because this worker shuts down");
                Ok(None)
            }
            Run::Cut(Cut::Interrupted(newer), mut ending) => {
                "Newer work of yours goes first; this one is taken up again right after it."
                    .clone_into(&mut ending.summary);
                self.make_way(&mut journal, &work, &target, &newer, &ending).await
            }
            Run::Cut(Cut::Stopped, ending) => self.stopped(&mut journal, &work, &target, *ending).await,
        }
    }

    async fn stopped(
        &self,
        journal: &mut Journal,
        work: &Work,
        target: &SiteTarget,
        mut ending: Ending,
    ) -> Result<Again> {
        "The work was stopped. What was done so far is kept.".clone_into(&mut ending.summary);
        self.finish(journal, work, target, JobOutcome::Stopped, &ending).await
    }

    /// The interrupted work goes behind the newcomer, which is received next.
    async fn make_way(
        &self,
        journal: &mut Journal,
        work: &Work,
        target: &SiteTarget,
        newer: &CommandId,
        ending: &Ending,
    ) -> Result<Again> {
        let row = journal.interrupt(ending).await?;
        interrupts::queue_again(&self.tenure.me, &self.tenure.fence, work, &row, newer).await?;
        tracing::info!(
            session.id = %work.session_id, thread.id = %work.thread_id, command.id = %work.command_id,
            project.key = %self.tenure.fence.project_key, newer = %newer, "the job was interrupted and waits behind newer work"
        );
        self.report(work, &row, JobOutcome::Interrupted, target).await
    }

    async fn try_again(&self, journal: &mut Journal, outcome: JobOutcome, ending: &Ending) -> Result<Again> {
        journal.try_again(ending).await?;
        // 2 s, then 8 s.
        let after = Duration::from_secs(2 * 4u64.pow(journal.attempt.saturating_sub(1)));
        tracing::warn!(
            command.id = %journal.command, attempt = journal.attempt, %outcome,
            error = ending.error, "an attempt failed and is repeated after {} s", after.as_secs()
        );
        self.lease.put_down();
        self.tenure.me.give_back(self.delivery, after).await;
        Ok(Some(after))
    }

    async fn end_badly(
        &self,
        journal: &mut Journal,
        work: &Work,
        target: &SiteTarget,
        outcome: JobOutcome,
        summary: &str,
        reason: &str,
    ) -> Result<Again> {
        self.bury_copy(reason).await?;
        journal.attempt -= 1;
        journal.charged = true;
        let ending =
            Ending { summary: summary.to_owned(), error: Some(reason.to_owned()), ..Ending::default() };
        self.finish(journal, work, target, outcome, &ending).await
    }

    async fn finish(
        &self,
        journal: &mut Journal,
        work: &Work,
        target: &SiteTarget,
        outcome: JobOutcome,
        ending: &Ending,
    ) -> Result<Again> {
        checkpoint::reach(Point::JobRan).await;
        let note = self.note(work, outcome, ending).await;
        let row = journal.finish(outcome, &Ending { note, ..ending.clone() }).await?;
        checkpoint::reach(Point::OutcomeWritten).await;
        if work.action.switches_a_site() && !matches!(outcome, JobOutcome::Changed | JobOutcome::Answered) {
            self.tenure.me.halfway.notify_one();
        }
        tracing::info!(
            session.id = %work.session_id, thread.id = %work.thread_id, command.id = %work.command_id,
            project.key = %self.tenure.fence.project_key, %outcome, commit = ending.commit_id,
            error = ending.error, took_ms = ending.usage.duration_ms, "the job ended: {outcome}"
        );
        self.report(work, &row, outcome, target).await
    }

    /// A switch that was begun, by an earlier run too, goes on however its job ended.
    async fn note(&self, work: &Work, outcome: JobOutcome, ending: &Ending) -> Option<OutcomeNote> {
        if ending.note.is_some() || outcome.is_success() {
            return ending.note.clone();
        }
        let files = Arc::clone(&self.tenure.me.cloud.files);
        let live = SiteTarget::Live(work.project_id.clone());
        let goes_on = job::live::goes_on(files, work.action, live, &work.command_id).await;
        goes_on.then_some(OutcomeNote::GoesOn)
    }

    async fn report(
        &self,
        work: &Work,
        row: &Job,
        outcome: JobOutcome,
        target: &SiteTarget,
    ) -> Result<Again> {
        let me = &self.tenure.me;
        if row.stop_requested.is_some() {
            removals::after_stop(&me.cloud, work).await?;
        }
        let public = me.cloud.files.public_host(target);
        let result = report::result(work, row, outcome, target, public.as_ref(), &me.owner.worker);
        report::send(&me.cloud, &result, work.task_token.as_deref()).await?;
        checkpoint::reach(Point::ResultSent).await;
        if row.outcome.is_some() {
            // No run of it comes after this one that could do so.
            spent::catch_up(me, &self.tenure.fence, work, row).await?;
        }
        self.lease.put_down();
        me.delete(self.delivery).await?;
        checkpoint::reach(Point::MessageDeleted).await;
        Ok(None)
    }

    async fn bury_copy(&self, reason: &str) -> Result<()> {
        self.tenure.me.bury(self.delivery, Some(&self.tenure.fence.project_key), reason).await
    }

    /// Nobody waits for the job of a message that is put aside.
    async fn bury(&self, reason: &str) -> Result<Again> {
        let me = &self.tenure.me;
        poison::put_aside(me, &self.tenure.fence, self.delivery, reason).await?;
        Ok(None)
    }
}
