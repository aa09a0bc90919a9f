//! What a job writes into its row while it runs: steps with their times, attempts, the ending. Every write is refused
//! when a newer owner has written before.

use std::ops::ControlFlow;
use std::sync::Arc;

use common::clock::Clock;
use common::cloud::store::{Store, Stored};
use common::cloud::{CloudError, Result};
use common::domain::budget::{Spent, Usage};
use common::domain::claim::{Epoch, Fence};
use common::domain::ids::{CommandId, WorkerId};
use common::domain::job::{Job, JobState, OutcomeNote, Step, StepName};
use common::domain::outcome::JobOutcome;
use common::domain::session::{Left, RunEnd, RunId};

use super::{Cut, Ending, Trouble};

/// The row of one job, as one run under one fence may write it.
pub struct Journal {
    /// The tables.
    pub store: Arc<dyn Store>,
    /// The time.
    pub clock: Clock,
    /// Which row.
    pub command: CommandId,
    /// Who writes.
    pub worker: WorkerId,
    /// Under which fence.
    pub epoch: Epoch,
    /// The number of this attempt, counted from 1.
    pub attempt: u32,
    /// Whether it was counted yet.
    pub charged: bool,
    /// Which run of the job it is.
    pub run: RunId,
    /// What the runs before it used.
    pub before: Usage,
    /// Whether its session and its month know what came of this run.
    pub is_told: bool,
    /// The row as it was last written here.
    pub known: Option<Stored<Job>>,
}

impl Journal {
    /// For the next run of a job whose row stands like this.
    pub fn of(store: Arc<dyn Store>, clock: Clock, fence: &Fence, row: &Job) -> Self {
        let command = row.command_id.clone();
        Self {
            store,
            clock,
            worker: fence.owner.worker.clone(),
            epoch: fence.epoch,
            attempt: row.attempts + 1,
            charged: false,
            run: RunId { command_id: command.clone(), delivery: row.next_delivery(), epoch: fence.epoch },
            before: row.usage,
            is_told: false,
            command,
            known: None,
        }
    }

    /// Begins this step, unless somebody asked for the job to be stopped.
    pub async fn step_unless_stopped(&mut self, name: StepName) -> std::result::Result<(), Trouble> {
        let job = self.begin(name, "done").await?;
        if job.stop_requested.is_some() { Err(Trouble::Cut(Cut::Stopped)) } else { Ok(()) }
    }

    /// Ends the step before and begins this one.
    pub async fn step(&mut self, name: StepName) -> Result<()> {
        self.begin(name, "done").await.map(drop)
    }

    /// The same when the step before failed but the job goes on.
    pub async fn step_after_failure(&mut self, name: StepName) -> Result<()> {
        self.begin(name, "failed").await.map(drop)
    }

    /// Counts this attempt, once.
    pub async fn charge(&mut self) -> Result<()> {
        self.charged = true;
        self.write(|_job| {}).await.map(drop)
    }

    /// Counts this attempt and begins the step of the agent in one write, unless somebody asked for the job to be stopped.
    pub async fn charge_agent(&mut self) -> std::result::Result<(), Trouble> {
        self.charged = true;
        let begun = self.step_unless_stopped(StepName::Agent).await;
        self.charged = begun.is_ok();
        begun
    }

    /// Writes down what the agent has used so far.
    pub async fn used(&mut self, usage: Usage) -> Result<()> {
        let used = self.used_by(RunEnd { usage, ..RunEnd::default() });
        self.write(|job| used.tell(job)).await.map(drop)
    }

    /// Writes down which branches lie beside that of the job, and says which do by all that its runs have met.
    pub async fn aside(&mut self, found: &[String]) -> Result<Vec<String>> {
        if let Some(row) = &self.known
            && found.iter().all(|branch| row.value.aside.contains(branch))
        {
            return Ok(row.value.aside.clone());
        }
        self.write(|job| add(&mut job.aside, found)).await.map(|job| job.aside)
    }

    /// Takes the count back: the attempt was cut short by our own shutdown. The job waits again.
    pub async fn hand_back(&mut self, ending: &Ending) -> Result<()> {
        self.charged = false;
        let (now, used) = (self.clock.now(), self.used_by(ending.for_the_session()));
        self.write(|job| {
            used.tell(job);
            keep(job, ending);
            job.state = JobState::Pending;
            end_step(job, now, "handed back");
        })
        .await
        .map(drop)
    }

    /// Writes down that newer work goes first: the attempt is not charged, the job waits again.
    pub async fn interrupt(&mut self, ending: &Ending) -> Result<Job> {
        self.charged = false;
        let (now, used) = (self.clock.now(), self.used_by(ending.for_the_session()));
        self.write(|job| {
            used.tell(job);
            keep(job, ending);
            job.state = JobState::Pending;
            job.interruptions += 1;
            job.summary = Some(ending.summary.clone());
            job.error = None;
            job.commit_id.clone_from(&ending.commit_id);
            job.files_changed.clone_from(&ending.files_changed);
            job.transcript_key.clone_from(&ending.transcript_key);
            end_step(job, now, "interrupted");
        })
        .await
    }

    /// Writes down that this attempt failed and the job waits for the next one.
    pub async fn try_again(&mut self, ending: &Ending) -> Result<()> {
        self.charged = true;
        let (now, used) = (self.clock.now(), self.used_by(ending.for_the_session()));
        self.write(|job| {
            used.tell(job);
            keep(job, ending);
            job.state = JobState::Pending;
            job.error.clone_from(&ending.error);
            job.note = ending.note.clone().or_else(|| job.note.take());
            end_step(job, now, "failed, will be tried again");
        })
        .await
        .map(drop)
    }

    /// Writes the outcome down. hermes closes the row when the result arrives.
    pub async fn finish(&mut self, outcome: JobOutcome, ending: &Ending) -> Result<Job> {
        let (now, used) = (self.clock.now(), self.used_by(ending.for_the_session()));
        self.write(|job| {
            used.tell(job);
            keep(job, ending);
            end_step(job, now, outcome.as_str());
            job.outcome = Some(outcome);
            let before = job.note.take().filter(|note| holds_after(note, outcome));
            job.note = ending.note.clone().or(before);
            job.summary = Some(ending.summary.clone());
            job.error.clone_from(&ending.error);
            job.commit_id.clone_from(&ending.commit_id);
            job.files_changed.clone_from(&ending.files_changed);
            job.transcript_key.clone_from(&ending.transcript_key);
        })
        .await
    }

    /// What the job has used, when this came of this run.
    fn used_by(&self, end: RunEnd) -> Used {
        let in_all = self.before.and(end.usage);
        let untold = (!self.is_told && !end.is_nothing()).then(|| Spent { run: self.run.clone(), end });
        Used { in_all, untold }
    }

    async fn begin(&mut self, name: StepName, before: &str) -> Result<Job> {
        let now = self.clock.now();
        let step = Step { name, attempt: self.attempt, started_at: now, ended_at: None, result: None };
        self.write(|job| {
            end_step(job, now, before);
            job.state = JobState::Running;
            job.steps.push(step.clone());
        })
        .await
    }

    async fn write(&mut self, change: impl Fn(&mut Job)) -> Result<Job> {
        let mut stale = false;
        let row = self.store.update_known::<Job>(&self.command, &mut self.known, |job| {
            stale = job.epoch > self.epoch;
            if stale {
                return ControlFlow::Break(());
            }
            job.epoch = self.epoch;
            job.worker_id = Some(self.worker.clone());
            job.attempts = if self.charged { self.attempt } else { self.attempt - 1 };
            // Whoever begins a run has told what the one before it used.
            job.uncounted.take_if(|spent| spent.run != self.run);
            change(job);
            ControlFlow::Continue(())
        });
        match row.await? {
            _ if stale => Err(CloudError::FenceLost(format!("job {}", self.command))),
            None => Err(CloudError::NotFound(format!("job {}", self.command))),
            Some(job) => Ok(job),
        }
    }
}

/// What a job has used, and what of it nobody else knows yet.
struct Used {
    in_all: Usage,
    untold: Option<Spent>,
}

impl Used {
    fn tell(&self, job: &mut Job) {
        job.usage = self.in_all;
        job.uncounted.clone_from(&self.untold);
    }
}

fn end_step(job: &mut Job, now: common::domain::timestamp::Timestamp, result: &str) {
    if let Some(step) = job.steps.last_mut().filter(|step| step.ended_at.is_none()) {
        step.ended_at = Some(now);
        step.result = Some(result.to_owned());
    }
}

/// What stays of a run however its job goes on.
fn keep(job: &mut Job, ending: &Ending) {
    add(&mut job.aside, &ending.aside);
    if matches!(ending.left, Left::Nothing(_)) {
        // The remote has what an earlier attempt could not push.
        job.note.take_if(|note| *note == OutcomeNote::NotPushed);
    }
}

/// Those that are not among them yet.
fn add(branches: &mut Vec<String>, more: &[String]) {
    for branch in more {
        if !branches.contains(branch) {
            branches.push(branch.clone());
        }
    }
}

/// What an earlier attempt began goes on, unless this one has brought it to its end. What it made is not there yet, unless this
/// one came further than that.
fn holds_after(note: &OutcomeNote, outcome: JobOutcome) -> bool {
    if *note == OutcomeNote::NotPushed { outcome == JobOutcome::Failed } else { !outcome.is_success() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(note: OutcomeNote) -> Job {
        let row = serde_json::json!({
            "commandId": "c1", "projectKey": "amelia#scott", "projectId": "amelia", "userId": "scott",
            "threadId": "abcdef", "branch": "thread-abcdef", "instruction": "x", "state": "running", "attempts": 1,
            "note": note, "aside": ["thread-abcdef-kept-1"], "createdAt": 0, "day": "1970-01-01"
        });
        serde_json::from_value(row).unwrap()
    }

    #[test]
    fn what_an_attempt_could_not_push_is_noted_until_another_one_has_pushed_all() {
        for (left, stays) in [(Left::Kept, true), (Left::Unchanged, true), (Left::Nothing(Vec::new()), false)]
        {
            let mut row = job(OutcomeNote::NotPushed);
            keep(&mut row, &Ending { left: left.clone(), ..Ending::default() });
            assert_eq!(row.note.is_some(), stays, "{left:?}");
        }
        let mut row = job(OutcomeNote::GoesOn);
        keep(&mut row, &Ending { left: Left::Nothing(Vec::new()), ..Ending::default() });
        assert_eq!(row.note, Some(OutcomeNote::GoesOn));
    }

    #[test]
    fn branches_that_runs_have_met_are_each_named_once() {
        let mut row = job(OutcomeNote::GoesOn);
        for name in ["1", "2", "2"] {
            let aside = vec![format!("thread-abcdef-kept-{name}")];
            keep(&mut row, &Ending { aside, ..Ending::default() });
        }
        assert_eq!(row.aside, ["thread-abcdef-kept-1", "thread-abcdef-kept-2"]);
    }
}
