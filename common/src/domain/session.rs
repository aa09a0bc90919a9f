//! The live conversation on a thread: when somebody was last at it, and how its agent goes on where it stopped. Numbers
//! (how many are active, on which worker) are derived from rows and the time; nothing is counted up and down.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::budget::{Usage, dollars};
use super::claim::Epoch;
use super::ids::{CommandId, ProjectUser, SessionId, ThreadId, WorkerId};
use super::timestamp::Timestamp;

/// How long after its last activity a session still counts as active.
pub const ACTIVE_FOR: Duration = Duration::from_mins(20);
/// A run that nothing was heard of for so long has died with its worker.
const LONGEST_RUN: Duration = Duration::from_hours(24);
/// Rows may be collected so long after the last activity.
const KEEP_FOR: Duration = Duration::from_hours(90 * 24);

/// Whether the conversation may go on by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SessionStatus {
    /// It goes on; whether it is active follows from the time.
    #[default]
    Open,
    /// Somebody ended it. New work on its thread opens it again.
    Closed,
}

/// How a session stands at some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SessionStanding {
    /// A job runs, or one ended less than [`ACTIVE_FOR`] ago.
    Active,
    /// Nothing happened for longer.
    Expired,
    /// Somebody ended it.
    Closed,
}

/// A row of the edit-sessions table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    /// One per thread, unless a message brought another id along.
    pub session_id: SessionId,
    /// The conversation.
    pub thread_id: ThreadId,
    /// `projectId#userId`, the index by owner.
    pub project_key: ProjectUser,
    /// The worker that last took the claim it belongs to, the index by worker.
    pub container_id: WorkerId,
    /// Under which fence it was last written: a lower one may not write.
    pub epoch: Epoch,
    /// The agent's own session, so that any worker resumes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_session_id: Option<String>,
    /// The job that runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<CommandId>,
    /// When it began.
    pub created_at: Timestamp,
    /// When a job of it last began or ended.
    pub last_activity: Timestamp,
    /// Open or closed.
    #[serde(default)]
    pub status: SessionStatus,
    /// Turns of the agent in all its runs.
    #[serde(default)]
    pub turns: u32,
    /// US dollars of all its runs.
    #[serde(default)]
    pub cost_usd: f64,
    /// The run whose usage was added last, so that it is added once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted: Option<RunId>,
    /// Work of these commands could not be pushed and lies among the objects until a run on the thread takes it over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<CommandId>,
    /// Seconds since 1970 after which the row may be collected.
    pub ttl: i64,
}

/// One run of a job: two runs of one command are told apart by their number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunId {
    /// The job.
    pub command_id: CommandId,
    /// Which delivery of it.
    pub delivery: u32,
    /// Under which fence.
    pub epoch: Epoch,
}

/// What came of a run, as far as its session is concerned.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RunEnd {
    /// What it used.
    pub usage: Usage,
    /// The agent's session, when the agent told it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_session_id: Option<String>,
    /// Whether work was left that could not be pushed.
    pub left: Left,
}

impl RunEnd {
    /// Whether there is nothing that its session would have to know.
    pub fn is_nothing(&self) -> bool {
        self.usage.is_none() && self.agent_session_id.is_none() && self.left == Left::Unchanged
    }
}

/// What a run left behind that the remote has not.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Left {
    /// Nothing: what was kept of these commands is on the thread's branch now, or nowhere any more.
    Nothing(Vec<CommandId>),
    /// Nothing new, and what was kept before is as it was.
    #[default]
    Unchanged,
    /// Its own work lies among the objects.
    Kept,
}

/// The worker that writes, and under which fence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Writer {
    /// The worker.
    pub worker: WorkerId,
    /// Its fence.
    pub epoch: Epoch,
}

/// The writer lost the claim that the session belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stale;

impl Session {
    /// A session that begins.
    pub fn new(
        session_id: SessionId,
        thread_id: ThreadId,
        project_key: ProjectUser,
        by: Writer,
        now: Timestamp,
    ) -> Self {
        Self {
            session_id,
            thread_id,
            project_key,
            container_id: by.worker,
            epoch: by.epoch,
            agent_session_id: None,
            running: None,
            created_at: now,
            last_activity: now,
            status: SessionStatus::Open,
            turns: 0,
            cost_usd: 0.0,
            counted: None,
            kept: Vec::new(),
            ttl: now.ttl(KEEP_FOR),
        }
    }

    /// The claim was taken: this worker goes on with the session. A job that ran before has ended with its worker.
    pub fn taken(&mut self, by: Writer) -> Result<(), Stale> {
        if by.epoch > self.epoch {
            self.running = None;
        }
        self.written(by)
    }

    /// A job of it begins.
    pub fn begins(&mut self, by: Writer, command: CommandId, now: Timestamp) -> Result<(), Stale> {
        self.written(by)?;
        self.running = Some(command);
        self.status = SessionStatus::Open;
        self.touch(now);
        Ok(())
    }

    /// A job of it ended. Told twice it counts once.
    pub fn ended(&mut self, by: Writer, run: RunId, end: RunEnd, now: Timestamp) -> Result<(), Stale> {
        self.written(by)?;
        self.running = None;
        self.agent_session_id = end.agent_session_id.or(self.agent_session_id.take());
        match end.left {
            Left::Nothing(settled) => self.kept.retain(|command| !settled.contains(command)),
            Left::Unchanged => {}
            Left::Kept if self.kept.contains(&run.command_id) => {}
            Left::Kept => self.kept.push(run.command_id.clone()),
        }
        if self.counted.as_ref() != Some(&run) {
            self.turns = self.turns.saturating_add(end.usage.turns);
            self.cost_usd = dollars(self.cost_usd, end.usage.cost_usd);
            self.counted = Some(run);
        }
        self.touch(now);
        Ok(())
    }

    /// How it stands at this time.
    pub fn standing(&self, now: Timestamp) -> SessionStanding {
        let quiet = now.since(self.last_activity);
        let limit = if self.running.is_some() { LONGEST_RUN } else { ACTIVE_FOR };
        match self.status {
            SessionStatus::Closed => SessionStanding::Closed,
            SessionStatus::Open if quiet < limit => SessionStanding::Active,
            SessionStatus::Open => SessionStanding::Expired,
        }
    }

    /// Whether it is active at this time.
    pub fn is_active(&self, now: Timestamp) -> bool {
        self.standing(now) == SessionStanding::Active
    }

    fn written(&mut self, by: Writer) -> Result<(), Stale> {
        if by.epoch < self.epoch {
            return Err(Stale);
        }
        self.container_id = by.worker;
        self.epoch = by.epoch;
        Ok(())
    }

    fn touch(&mut self, now: Timestamp) {
        self.last_activity = self.last_activity.max(now);
        self.ttl = self.last_activity.ttl(KEEP_FOR);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Timestamp {
        Timestamp::default().plus(Duration::from_secs(secs))
    }

    fn by(worker: &str, epoch: u64) -> Writer {
        Writer { worker: WorkerId::parse(worker).unwrap(), epoch: Epoch(epoch) }
    }

    fn command(id: &str) -> CommandId {
        CommandId::parse(id).unwrap()
    }

    fn run(id: &str, delivery: u32) -> RunId {
        RunId { command_id: command(id), delivery, epoch: Epoch(1) }
    }

    fn session() -> Session {
        let thread = ThreadId::parse("aaaaaa1").unwrap();
        let key = ProjectUser::parse("bakery#amelia").unwrap();
        Session::new(SessionId::of_thread(&thread), thread, key, by("w-1", 1), at(0))
    }

    #[test]
    fn s85_a_session_is_active_while_its_job_runs_and_for_20_minutes_after() {
        let mut session = session();
        session.begins(by("w-1", 1), command("c-1"), at(0)).unwrap();
        assert!(session.is_active(at(3 * 3600)), "a long job");
        session.ended(by("w-1", 1), run("c-1", 1), RunEnd::default(), at(3 * 3600)).unwrap();
        assert!(session.is_active(at(3 * 3600 + 1199)));
        assert_eq!(session.standing(at(3 * 3600 + 1200)), SessionStanding::Expired);
        session.status = SessionStatus::Closed;
        assert_eq!(session.standing(at(3 * 3600)), SessionStanding::Closed);
        session.begins(by("w-1", 1), command("c-2"), at(4 * 3600)).unwrap();
        assert!(session.is_active(at(4 * 3600)), "new work opens it again");
    }

    #[test]
    fn a_run_that_died_with_its_worker_does_not_keep_a_session_active_for_ever() {
        let mut session = session();
        session.begins(by("w-1", 1), command("c-1"), at(0)).unwrap();
        assert!(!session.is_active(at(25 * 3600)));
        session.taken(by("w-2", 2)).unwrap();
        assert_eq!((session.running.clone(), session.container_id.as_str()), (None, "w-2"));
        assert!(session.is_active(at(60)) && !session.is_active(at(1200)));
    }

    #[test]
    fn a_run_that_is_told_twice_counts_once() {
        let mut session = session();
        let end = RunEnd {
            usage: Usage { cost_usd: 0.5, turns: 3, duration_ms: 1 },
            agent_session_id: Some("s-1".to_owned()),
            left: Left::Unchanged,
        };
        for _ in 0..2 {
            session.ended(by("w-1", 1), run("c-1", 1), end.clone(), at(1)).unwrap();
        }
        assert_eq!((session.turns, session.cost_usd), (3, 0.5));
        session.ended(by("w-1", 1), run("c-1", 2), RunEnd { agent_session_id: None, ..end }, at(2)).unwrap();
        assert_eq!((session.turns, session.cost_usd), (6, 1.0));
        let nobody_used = RunEnd { usage: Usage { cost_usd: -9.0, ..Usage::default() }, ..RunEnd::default() };
        session.ended(by("w-1", 1), run("c-1", 3), nobody_used, at(3)).unwrap();
        assert_eq!((session.turns, session.cost_usd), (6, 1.0));
        assert_eq!(session.agent_session_id.as_deref(), Some("s-1"), "kept");
    }

    #[test]
    fn what_could_not_be_pushed_is_remembered_until_it_is_on_the_branch() {
        let mut session = session();
        let left = |left| RunEnd { left, ..RunEnd::default() };
        for left in [left(Left::Kept), left(Left::Kept), left(Left::Unchanged)] {
            session.ended(by("w-1", 1), run("c-1", 1), left, at(1)).unwrap();
        }
        assert_eq!(session.kept, [command("c-1")]);
        for (settled, kept) in
            [(vec![], 1), (vec![command("c-2")], 1), (vec![command("c-2"), command("c-1")], 0)]
        {
            session.ended(by("w-1", 1), run("c-2", 1), left(Left::Nothing(settled)), at(2)).unwrap();
            assert_eq!(session.kept.len(), kept, "nothing else is forgotten");
        }
    }

    #[test]
    fn whatever_came_of_a_run_is_more_than_nothing() {
        assert!(RunEnd::default().is_nothing());
        let usage = Usage { turns: 1, ..Usage::default() };
        for end in [
            RunEnd { usage, ..RunEnd::default() },
            RunEnd { agent_session_id: Some("s-1".to_owned()), ..RunEnd::default() },
            RunEnd { left: Left::Kept, ..RunEnd::default() },
            RunEnd { left: Left::Nothing(vec![command("c-1")]), ..RunEnd::default() },
        ] {
            assert!(!end.is_nothing(), "{end:?}");
            let read: RunEnd = serde_json::from_value(serde_json::to_value(&end).unwrap()).unwrap();
            assert_eq!(read, end);
        }
    }

    #[test]
    fn s36_a_worker_that_lost_the_claim_writes_no_session() {
        let mut session = session();
        session.taken(by("w-2", 2)).unwrap();
        let before = session.clone();
        assert_eq!(session.begins(by("w-1", 1), command("c-1"), at(9)), Err(Stale));
        assert_eq!(session.ended(by("w-1", 1), run("c-1", 1), RunEnd::default(), at(9)), Err(Stale));
        assert_eq!(session.taken(by("w-1", 1)), Err(Stale));
        assert_eq!(session, before);
    }
}
