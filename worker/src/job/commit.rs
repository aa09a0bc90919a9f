//! The agent's edits as one commit of ours on the thread's branch, whatever the agent did to refs, index or HEAD. Known
//! secrets never get into it.

use common::domain::outcome::JobOutcome;
use git2::{Diff, ErrorCode, Repository};

use super::begun::Begun;
use super::handover::{Checkout, Commit};
use super::message::{self, Identity, Purpose};
use super::tree::{TooMuch, diff, leave_middle_of_anything, secret_in, stage};
use super::workspace::Workspace;
use super::{Failure, JobContext, Trouble};
use crate::git::{self, During as _, GitError, GitKind, Oid, off_thread};
use crate::secrets::Secrets;
use crate::text::plain_line;

/// So much room there is for the paths of a commit in a row and in a result.
const MAX_PATHS_CHARS: usize = 100_000;

/// Commits what differs from the commit before; none when nothing does. Unfinished work below counts as finished without
/// another edit, unless the agent has a question.
pub async fn make(
    context: &JobContext,
    checkout: &Checkout,
    purpose: Purpose,
) -> Result<Option<Commit>, Trouble> {
    let order = Order {
        workspace: checkout.workspace.clone(),
        branch: checkout.branch.clone(),
        before: checkout.before,
        message: message::message(&context.work, purpose, &context.settings.secrets),
        identity: context.settings.identity.clone(),
        secrets: context.settings.secrets.clone(),
        purpose,
    };
    let made = off_thread(move || order.commit()).await;
    // What is not in a commit of unfinished work could not be kept.
    let is_all = made.is_ok() && !purpose.is_finished();
    if is_all || is_refused(&made) {
        // Whoever needs the room may have it.
        let marker = checkout.workspace.built_marker();
        tokio::fs::write(marker, "").await.during("note that nothing is worth keeping")?;
    }
    let made = made?;
    if !matches!(made, Made::Secret(_)) {
        Begun::forget(&checkout.workspace.repo());
    }
    match made {
        Made::Nothing => Ok(None),
        Made::Commit(commit) => Ok(Some(commit)),
        Made::Secret(found) => Err(Failure::new(
            JobOutcome::Refused,
            "secret-in-change",
            "The change would have published a password or key, so it was not kept.",
            found,
        )
        .into()),
    }
}

/// Whether it may never be committed.
fn is_refused(made: &git::Result<Made>) -> bool {
    match made {
        Ok(made) => matches!(made, Made::Secret(_)),
        Err(error) => error.kind == GitKind::TooLarge,
    }
}

/// What a commit that an earlier run made touches.
pub async fn describe(checkout: &Checkout, id: Oid) -> Result<Commit, Trouble> {
    let path = checkout.workspace.repo();
    let described = off_thread(move || {
        let repo = git::open(&path)?;
        let commit = repo.find_commit(id).during("read the earlier commit")?;
        let base = Base::below(&repo, id)?;
        if base.is_cut && base.at.is_none() {
            let detail = format!("what {id} goes on from is not here");
            return Err(GitError::new(GitKind::Unreachable, "read the earlier commit", detail));
        }
        Ok((commit.tree_id(), files_of(&diff(&repo, base.at, commit.tree_id())?)))
    });
    let (tree, files) = described.await?;
    Ok(Commit { id, tree, files })
}

/// What the branch is since the push, as a commit, when that is another one than what was built: somebody else's change is
/// below ours, or in its place.
pub async fn moved(checkout: &Checkout, built: &Commit) -> Result<Option<Commit>, Trouble> {
    let (path, branch) = (checkout.workspace.repo(), checkout.branch.clone());
    let (before, files) = (checkout.tip(built), built.files.clone());
    let moved = move || {
        let repo = git::open(&path)?;
        let Some(id) = git::local_branch(&repo, &branch).filter(|now| *now != before) else {
            return Ok(None);
        };
        let tree = repo.find_commit(id).during("read what was pushed")?.tree_id();
        Ok(Some(Commit { id, tree, files }))
    };
    Ok(off_thread(moved).await?)
}

/// The commit that the branch starts from, as one that changes nothing.
pub async fn unchanged(checkout: &Checkout) -> Result<Commit, Trouble> {
    let (path, id) = (checkout.workspace.repo(), checkout.before);
    let tree = off_thread(move || {
        let repo = git::open(&path)?;
        Ok(repo.find_commit(id).during("read the commit to be checked")?.tree_id())
    });
    Ok(Commit { id, tree: tree.await?, files: Vec::new() })
}

enum Made {
    Nothing,
    Commit(Commit),
    Secret(String),
}

struct Order {
    workspace: Workspace,
    branch: String,
    before: Oid,
    message: String,
    identity: Identity,
    secrets: Secrets,
    purpose: Purpose,
}

impl Order {
    fn commit(&self) -> git::Result<Made> {
        let what = format!("commit on {}", self.branch);
        let repo = git::open(&self.workspace.repo())?;
        leave_middle_of_anything(&repo)?;
        // Whatever the agent committed itself becomes part of our one commit.
        let name = format!("refs/heads/{}", self.branch);
        repo.reference(&name, self.before, true, "agent done").during(&what)?;
        repo.set_head(&name).during(&what)?;
        let base = Base::from(&repo, Some(self.before))?.at;
        let too_much = if self.purpose.is_finished() { TooMuch::Refused } else { TooMuch::LeftOut };
        let (tree, unfinished) = match stage(&repo, self.before, too_much)? {
            Some(tree) => (tree, false),
            None if base != Some(self.before) && self.may_finish() => {
                (repo.find_commit(self.before).during(&what)?.tree_id(), true)
            }
            None => return Ok(Made::Nothing),
        };
        let changes = diff(&repo, base, tree)?;
        if let Some(found) = secret_in(&repo, &changes, &self.secrets)? {
            return Ok(Made::Secret(found));
        }
        if unfinished && !self.purpose.is_finished() {
            return Ok(Made::Nothing);
        }
        let (who, tree) = (self.identity.signature()?, repo.find_tree(tree).during(&what)?);
        let parent = repo.find_commit(self.before).during(&what)?;
        let id = repo.commit(Some(&name), &who, &who, &self.message, &tree, &[&parent]).during(&what)?;
        Ok(Made::Commit(Commit { id, tree: tree.id(), files: files_of(&changes) }))
    }

    /// Whether the unfinished work below may become what this command has done, although nothing was added to it: who says
    /// "go on" when there is nothing left to do wants to see it. A question leaves it as it is.
    fn may_finish(&self) -> bool {
        self.purpose != Purpose::Asked
    }
}

/// What a change is compared with: the nearest commit that is not unfinished work of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Base {
    /// The commit; where the history that is here ends before it, the last one that is here. None when there is none at all.
    pub(super) at: Option<Oid>,
    /// Whether the history that is here ends before it.
    pub(super) is_cut: bool,
}

impl Base {
    /// On the way back from a commit, which may be it.
    pub(super) fn from(repo: &Repository, from: Option<Oid>) -> git::Result<Self> {
        let (mut at, mut next) = (None, from);
        while let Some(id) = next {
            let commit = match repo.find_commit(id) {
                Err(error) if error.code() == ErrorCode::NotFound => return Ok(Self { at, is_cut: true }),
                found => found.during("look at the commit before")?,
            };
            if !commit.message().is_ok_and(message::is_wip) {
                return Ok(Self { at: next, is_cut: false });
            }
            (at, next) = (next, git::first_parent(&commit));
        }
        Ok(Self { at: None, is_cut: false })
    }

    /// On the way back from what a commit goes on from.
    pub(super) fn below(repo: &Repository, commit: Oid) -> git::Result<Self> {
        let commit = repo.find_commit(commit).during("look at what a commit goes on from")?;
        Self::from(repo, git::first_parent(&commit))
    }
}

/// The paths it touches; of very many only the first.
fn files_of(diff: &Diff<'_>) -> Vec<String> {
    let mut room = MAX_PATHS_CHARS;
    let paths = diff.deltas().filter_map(|delta| {
        let path = delta.new_file().path().or_else(|| delta.old_file().path())?;
        Some(plain_line(&path.to_string_lossy(), MAX_PATHS_CHARS))
    });
    let fits = |path: &String| {
        room = room.saturating_sub(path.len());
        room > 0
    };
    paths.take_while(fits).collect()
}
