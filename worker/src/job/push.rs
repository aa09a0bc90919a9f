//! The branch on the remote: only ever moved forward. A remote that moved is rebased onto; a conflict keeps both sides.

use std::sync::Arc;
use std::time::Duration;

use common::domain::ids::CommandId;

use super::handover::{Checkout, Pushed};
use super::message::Identity;
use super::rebase::{Rebased, rebase};
use super::repeated::find_finished;
use super::workspace::Workspace;
use super::{Cut, JobContext, Trouble};
use crate::git::{self, Access, During as _, GitError, GitKind, Oid, off_thread};

/// So often somebody else may push between our looking and our pushing.
const MAX_RACES: usize = 4;
/// A remote that does not take something is asked once more after this: somebody may just have been writing there.
const SECOND_THOUGHTS: Duration = Duration::from_secs(1);

/// Pushes the commit.
pub async fn push(context: &JobContext, checkout: &Checkout, commit: Oid) -> Result<Pushed, Trouble> {
    let order = Arc::new(Order {
        workspace: checkout.workspace.clone(),
        access: checkout.access.clone(),
        branch: checkout.branch.clone(),
        aside: aside(&checkout.branch, context.work.command_id.as_str()),
        identity: context.settings.identity.clone(),
        command: context.work.command_id.clone(),
    });
    let (mut ours, mut was_refused) = (commit, false);
    for round in 0..MAX_RACES {
        // The first follows on a claim that was confirmed just now.
        if round > 0 && !(context.still_ours)().await {
            return Err(Trouble::Cut(Cut::FenceLost));
        }
        let order = Arc::clone(&order);
        match off_thread(move || order.round(ours)).await {
            Ok(Round::Ended(pushed)) => return Ok(pushed),
            Ok(Round::Again(tip)) => ours = tip,
            Err(error) if error.kind == GitKind::Refused && !was_refused => {
                was_refused = true;
                tokio::time::sleep(SECOND_THOUGHTS).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
    let what = format!("push {} to {}", checkout.branch, checkout.access.url);
    let why = "somebody else pushed each time in between";
    Err(GitError::new(GitKind::Unreachable, what, why).into())
}

/// What came of one attempt.
enum Round {
    Ended(Pushed),
    /// The remote had moved; this goes on top of it.
    Again(Oid),
}

/// `thread-{id}-conflict-{end of the command}`.
fn aside(branch: &str, command: &str) -> String {
    let short = &command[command.len().saturating_sub(8)..];
    format!("{branch}-conflict-{}", short.trim_matches(['-', '_']))
}

struct Order {
    workspace: Workspace,
    access: Access,
    branch: String,
    aside: String,
    identity: Identity,
    command: CommandId,
}

impl Order {
    fn round(&self, ours: Oid) -> git::Result<Round> {
        let repo = git::open(&self.workspace.repo())?;
        match git::push(&repo, &self.access, ours, &self.branch) {
            Ok(()) => return self.there(&repo, ours),
            Err(error) if error.kind == GitKind::Moved => {}
            Err(error) => return Err(error),
        }
        let heads = git::fetch(&repo, &self.access, |_| Some(self.branch.clone()))?;
        let Some(theirs) = heads.branch(&self.branch) else { return Ok(Round::Again(ours)) };
        if git::contains(&repo, theirs, ours) {
            return self.there(&repo, ours);
        }
        let done = find_finished(&repo, theirs, &self.command)?;
        // A repair goes on top of the commit that it repairs.
        if let Some(done) = done.filter(|done| !git::contains(&repo, ours, *done)) {
            tracing::warn!(commit = %done, "the remote branch has the commit of this command already; it is adopted instead of ours");
            self.set_local(&repo, theirs)?;
            return Ok(Round::Ended(Pushed::There(done)));
        }
        match rebase(&repo, ours, theirs, &self.identity.signature()?)? {
            Rebased::Onto(tip) => Ok(Round::Again(tip)),
            Rebased::Conflict => self.keep_both(&repo, ours, theirs),
        }
    }

    fn there(&self, repo: &git2::Repository, commit: Oid) -> git::Result<Round> {
        self.set_local(repo, commit)?;
        Ok(Round::Ended(Pushed::There(commit)))
    }

    fn keep_both(&self, repo: &git2::Repository, ours: Oid, theirs: Oid) -> git::Result<Round> {
        git::push(repo, &self.access, ours, &self.aside)?;
        self.set_local(repo, theirs)?;
        Ok(Round::Ended(Pushed::Conflict { kept_on: self.aside.clone() }))
    }

    fn set_local(&self, repo: &git2::Repository, commit: Oid) -> git::Result<()> {
        let name = format!("refs/heads/{}", self.branch);
        repo.reference(&name, commit, true, "pushed").during("move the local branch")?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::aside;

    #[test]
    fn the_branch_for_a_conflict_is_a_legal_ref() {
        for command in ["c", "0198c0de-0000-7000-8000-0123456789ab", "x_-"] {
            let name = aside("thread-abcdef1", command);
            assert!(git2::Reference::is_valid_name(&format!("refs/heads/{name}")), "{name}");
        }
    }
}
