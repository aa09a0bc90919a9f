//! What a claim is being used for, as its worker says it: the one job that runs for a project+user. It tells hermes which
//! job newer work may interrupt; whoever acts on it names the command, so that an outdated row does no harm.

use serde::{Deserialize, Serialize};

use super::claim::Epoch;
use super::ids::{CommandId, Nonce, ProjectUser, ThreadId, WorkerId};
use super::job::WorkAction;
use super::project::Preempt;
use super::timestamp::Timestamp;

/// A row of the active-jobs table; there while the job runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ActiveJob {
    /// For whom.
    pub project_key: ProjectUser,
    /// The job.
    pub command_id: CommandId,
    /// What it does.
    #[serde(default)]
    pub action: WorkAction,
    /// Its conversation.
    pub thread_id: ThreadId,
    /// The worker.
    pub container_id: WorkerId,
    /// Its process.
    pub nonce: Nonce,
    /// Under which fence.
    pub epoch: Epoch,
    /// The job that this one took the place of, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preempted: Option<CommandId>,
    /// Since when it runs.
    pub started_at: Timestamp,
}

impl ActiveJob {
    /// Whether newer work of the same owner may take its place. A job that took the place of another runs to its end, so
    /// that a quick series of mails does not keep everything from being done; so does one that switches a site.
    pub fn gives_way_to(&self, newer: &CommandId, thread: &ThreadId, policy: Preempt) -> bool {
        let allowed = match policy {
            Preempt::OtherThread => self.thread_id != *thread,
            Preempt::Always => true,
            Preempt::Never => false,
        };
        let ends_first = self.preempted.is_some() || self.action.switches_a_site();
        allowed && !ends_first && self.command_id != *newer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running(preempted: Option<&str>) -> ActiveJob {
        ActiveJob {
            project_key: ProjectUser::parse("bakery#amelia").unwrap(),
            command_id: CommandId::parse("c-1").unwrap(),
            action: WorkAction::Edit,
            thread_id: ThreadId::parse("aaaaaa1").unwrap(),
            container_id: WorkerId::parse("w-1").unwrap(),
            nonce: Nonce::parse("0a1b2c3d").unwrap(),
            epoch: Epoch(1),
            preempted: preempted.map(|id| CommandId::parse(id).unwrap()),
            started_at: Timestamp::default(),
        }
    }

    #[test]
    fn s46_the_policy_says_which_newer_work_interrupts() {
        let newer = CommandId::parse("c-2").unwrap();
        let (same, other) = (ThreadId::parse("aaaaaa1").unwrap(), ThreadId::parse("bbbbbb2").unwrap());
        let job = running(None);
        assert!(job.gives_way_to(&newer, &other, Preempt::OtherThread));
        assert!(!job.gives_way_to(&newer, &same, Preempt::OtherThread));
        assert!(job.gives_way_to(&newer, &same, Preempt::Always));
        assert!(!job.gives_way_to(&newer, &other, Preempt::Never));
    }

    #[test]
    fn s47_a_job_that_took_the_place_of_another_runs_to_its_end() {
        let (newer, other) = (CommandId::parse("c-3").unwrap(), ThreadId::parse("cccccc3").unwrap());
        assert!(!running(Some("c-0")).gives_way_to(&newer, &other, Preempt::Always));
        assert!(!running(None).gives_way_to(&CommandId::parse("c-1").unwrap(), &other, Preempt::Always));
    }

    #[test]
    fn a_job_that_switches_a_site_runs_to_its_end() {
        let (newer, other) = (CommandId::parse("c-2").unwrap(), ThreadId::parse("bbbbbb2").unwrap());
        for (action, gives_way) in [
            (WorkAction::Edit, true),
            (WorkAction::Check, true),
            (WorkAction::Publish, false),
            (WorkAction::Undo, false),
            (WorkAction::TakeDown, false),
        ] {
            let job = ActiveJob { action, ..running(None) };
            assert_eq!(job.gives_way_to(&newer, &other, Preempt::Always), gives_way, "{action}");
        }
    }
}
