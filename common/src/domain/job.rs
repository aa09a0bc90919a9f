//! One run of one work, as both programs write it down. hermes makes the row (`pending`) before it sends the work; the
//! worker that holds the claim moves it on; hermes closes it when the result arrives.

use serde::{Deserialize, Serialize};

use super::budget::{Spent, Usage};
use super::claim::Epoch;
use super::ids::{CommandId, EmailAddress, MailId, ProjectId, ProjectUser, ThreadId, UserId, WorkerId};
use super::left_out::LeftOut;
use super::outcome::JobOutcome;
use super::timestamp::Timestamp;

/// After this many failed attempts a work goes to the dead queue.
pub const MAX_ATTEMPTS: u32 = 3;

/// What a work asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WorkAction {
    /// The site is changed as the instruction says.
    #[default]
    Edit,
    /// The thread's preview becomes the live site, byte for byte; no agent, no build.
    Publish,
    /// The live site becomes what it was before it was last switched; no agent, no build.
    Undo,
    /// The site is built as it is and put up as the project's own preview, to see whether that works; no agent, no push.
    Check,
    /// The thread's preview is taken down, unless somebody has written or it has changed since this was ordered.
    TakeDown,
}

impl WorkAction {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Edit => "edit",
            Self::Publish => "publish",
            Self::Undo => "undo",
            Self::Check => "check",
            Self::TakeDown => "take-down",
        }
    }

    /// Whether it exchanges what visitors or the owner see for something that is there already; that takes a moment, and
    /// half of it must not be left.
    pub fn switches_a_site(self) -> bool {
        matches!(self, Self::Publish | Self::Undo | Self::TakeDown)
    }

    /// Whether it goes on with its conversation, so that it makes no sense without one.
    pub fn goes_on_with_a_conversation(self) -> bool {
        matches!(self, Self::Edit | Self::Publish)
    }

    /// Whether nobody waits for it: no other work makes way for it.
    pub fn is_unhurried(self) -> bool {
        matches!(self, Self::Check | Self::TakeDown)
    }
}

impl std::fmt::Display for WorkAction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What there is to say besides how a job ended: of a switch of the live site, or of a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "kebab-case")]
pub enum OutcomeNote {
    /// It has begun, and is brought to its end whatever became of its job.
    GoesOn,
    /// There was none: the preview is another one than whoever asked for it can have seen.
    PreviewChanged,
    /// There was none: the preview is of work that did not come to its end, so that no answer has shown it.
    NeverShown,
    /// The change was made and is kept, and the remote has not got it yet: it gets it with the next work on its conversation.
    NotPushed,
    /// There was none: somebody else has put another version live since the one of before was wanted back.
    LiveChanged,
    /// It took the place of what another conversation had put live, which is not part of it.
    Replaced {
        /// The subject of that conversation, when it is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        subject: Option<String>,
    },
    /// A newer program says something else; as good as none.
    #[serde(other)]
    Unknown,
}

/// Where a job is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// Ordered; waits in the queue.
    Pending,
    /// A worker is at it.
    Running,
    /// Ended, with an outcome.
    Done,
}

/// The steps of a job, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepName {
    /// The branch in a clean working tree.
    Checkout,
    /// The agent's edits.
    Agent,
    /// The edits as a commit.
    Commit,
    /// The site from its source.
    Build,
    /// The site put up as a preview.
    Publish,
    /// The branch on the remote.
    Push,
}

impl StepName {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Checkout => "checkout",
            Self::Agent => "agent",
            Self::Commit => "commit",
            Self::Build => "build",
            Self::Publish => "publish",
            Self::Push => "push",
        }
    }
}

impl std::fmt::Display for StepName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One step as it went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// Which.
    pub name: StepName,
    /// In which attempt, counted from 1.
    pub attempt: u32,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended; absent while it runs, or when the worker died in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// What came of it, in one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
}

/// A row of the jobs table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Job {
    /// The command.
    pub command_id: CommandId,
    /// Whose, also the index by owner.
    pub project_key: ProjectUser,
    /// The site.
    pub project_id: ProjectId,
    /// The person.
    pub user_id: UserId,
    /// The conversation.
    pub thread_id: ThreadId,
    /// The branch it works on.
    pub branch: String,
    /// The mail that ordered it; absent for work sent by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mail_id: Option<MailId>,
    /// Who gets the answer; absent for work sent by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_by: Option<EmailAddress>,
    /// What it is to do.
    #[serde(default)]
    pub action: WorkAction,
    /// The new words of the mail.
    pub instruction: String,
    /// Where it is in its life.
    pub state: JobState,
    /// Set to `"1"` until the job is done: the partition of the sparse index that the sweep reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<String>,
    /// How often the agent was started for it.
    pub attempts: u32,
    /// How often newer work took its place; it waits again each time.
    #[serde(default)]
    pub interruptions: u32,
    /// The job whose place it took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preempted: Option<CommandId>,
    /// The job that it tries again, by an operator's wish.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay_of: Option<CommandId>,
    /// When somebody asked for it to be stopped; the worker looks at this before the agent starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_requested: Option<Timestamp>,
    /// The mail that asked for it; it is answered when the work has stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_by: Option<MailId>,
    /// When its owner was told that it takes longer than usual.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged_at: Option<Timestamp>,
    /// The worker that last ran it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker_id: Option<WorkerId>,
    /// The fence under which it was last written: a lower one may not write.
    #[serde(default)]
    pub epoch: Epoch,
    /// Its steps so far.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<JobOutcome>,
    /// What there is to say besides how it ended: of a switch of the live site, or of a change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<OutcomeNote>,
    /// What the agent says it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// The commit on the branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit_id: Option<String>,
    /// Paths that the commit touches.
    #[serde(default)]
    pub files_changed: Vec<String>,
    /// Branches on the remote with what was done on its conversation and conflicts with what others did there: its owner has to
    /// hear of them, whatever became of the run that met them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aside: Vec<String>,
    /// Files that came with its mail and did not go along.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
    /// Where the result can be looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview_url: Option<String>,
    /// What went wrong, for the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What it used, in all its runs.
    #[serde(default)]
    pub usage: Usage,
    /// What its last run has used of that, and what else came of it, until its session and its month know it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uncounted: Option<Spent>,
    /// Where the agent's transcript lies among the objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transcript_key: Option<String>,
    /// When it was ordered.
    pub created_at: Timestamp,
    /// The day of that, UTC: the partition of the index that lists jobs by time.
    pub day: String,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// Until when its row is kept, in Unix seconds; garbage collection only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<i64>,
}

/// The partition of the sparse `pending` index.
pub const PENDING: &str = "1";

impl Job {
    /// The number in the deduplication id of its next message: no two sends of one work may share it, since a queue drops
    /// the second one.
    pub fn next_delivery(&self) -> u32 {
        1 + self.attempts + self.interruptions
    }

    /// Whether it has not ended yet.
    pub fn is_open(&self) -> bool {
        self.state != JobState::Done
    }

    /// What there is to say besides its outcome, as far as this program knows it.
    pub fn known_note(&self) -> Option<&OutcomeNote> {
        self.note.as_ref().filter(|note| **note != OutcomeNote::Unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_of_tomorrow_stops_nobody_and_says_nothing() {
        let written = serde_json::json!({
            "commandId": "c1", "projectKey": "amelia#scott", "projectId": "amelia", "userId": "scott",
            "threadId": "abcdef", "branch": "thread-abcdef", "instruction": "x", "state": "pending", "attempts": 1,
            "note": {"code": "of-tomorrow", "subject": "Hours", "pages": [1, 2]}, "createdAt": 0, "day": "1970-01-01"
        });
        let job: Job = serde_json::from_value(written).unwrap();
        assert_eq!((&job.note, job.known_note()), (&Some(OutcomeNote::Unknown), None));
        let again: Job = serde_json::from_value(serde_json::to_value(&job).unwrap()).unwrap();
        assert_eq!(again, job);
        let known = Job { note: Some(OutcomeNote::NotPushed), ..job };
        assert_eq!(known.known_note(), Some(&OutcomeNote::NotPushed));
    }
}
