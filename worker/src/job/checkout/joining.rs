//! What the remote, the folder and the objects have of a branch, brought together: ours on top of what others pushed, and
//! beside it where they conflict.

use common::domain::ids::CommandId;
use git2::Repository;

use super::{Wanted, keep_ended};
use crate::git::{self, Advertised, During as _, GitError, GitKind, Oid};
use crate::job::bundle;
use crate::job::commit::Base;
use crate::job::rebase::{Rebased, rebase_without};
use crate::job::repeated::repeated;

/// Unfinished work is rarely more commits.
const A_FEW: i32 = 20;
/// Where branches are.
const HEADS: &str = "refs/heads/";
const LIST: &str = "look for commits that are kept aside";
/// The branches of all conversations.
const CONVERSATIONS: &str = "thread-*";

/// Two lines of commits, and the tip to go on from.
pub(super) enum Joined {
    /// One on top of the other.
    Together(Oid),
    /// They conflict; ours are kept aside, on this branch.
    Apart(Oid, String),
}

/// Kept work that was taken over.
pub(super) struct Taken {
    /// Whose it is.
    pub(super) command: CommandId,
    /// The branch that it is kept on, where it conflicts with what is there.
    pub(super) kept_on: Option<String>,
}

impl Wanted {
    /// Where the work starts: the remote branch, or what is live, unless ours has commits that never got there.
    pub(super) fn tip(&self, repo: &Repository, advertised: &Advertised) -> git::Result<Joined> {
        let ours = git::local_branch(repo, &self.branch);
        let (_, theirs) = self.source(advertised).ok_or_else(|| {
            let what = format!("choose a branch of {}", self.access.url);
            GitError::new(GitKind::NotFound, what, "it has neither the thread's branch nor a default branch")
        })?;
        let theirs = match &self.live {
            Some(live) if self.is_new(advertised) => live.start(repo, &self.access, advertised, theirs),
            _ => theirs,
        };
        match ours {
            None => Ok(Joined::Together(theirs)),
            Some(ours) if git::contains(repo, theirs, ours) => Ok(Joined::Together(theirs)),
            Some(ours) if git::contains(repo, ours, theirs) => Ok(Joined::Together(ours)),
            Some(ours) if self.is_new(advertised) => Ok(Joined::Together(ours)),
            Some(ours) => self.join(repo, ours, theirs),
        }
    }

    /// Both sides have new commits: ours go on top, but for those of commands that were done over there meanwhile;
    /// when they cannot, they are kept on a branch of their own.
    fn join(&self, repo: &Repository, ours: Oid, theirs: Oid) -> git::Result<Joined> {
        let repeated = repeated(repo, ours, theirs)?;
        if repeated.differ {
            keep_ended(repo, &self.branch, ours)?;
        }
        match rebase_without(repo, ours, theirs, &self.identity.signature()?, &repeated.commits)? {
            Rebased::Onto(tip) => Ok(Joined::Together(tip)),
            Rebased::Conflict => Ok(Joined::Apart(theirs, keep_aside(repo, &self.branch, ours)?)),
        }
    }

    /// Puts what is kept aside of this branch, by earlier runs too, where whoever looks after the source finds it. Those that
    /// the remote has got.
    pub(super) fn push_aside(&self, repo: &Repository, advertised: &Advertised) -> git::Result<Vec<String>> {
        let mut there = Vec::new();
        for (branch, ours) in kept_aside(repo, &self.branch)? {
            let pushed = if advertised.branch(&branch) == Some(ours) {
                Ok(())
            } else {
                git::push(repo, &self.access, ours, &branch)
            };
            match pushed {
                Ok(()) => there.push(branch),
                Err(error) => {
                    tracing::warn!(%error, branch, "commits that are kept aside are not on the remote");
                }
            }
        }
        Ok(there)
    }

    /// Brings what was kept among the objects onto our branch, or onto one beside it; those branches, too. What cannot be
    /// brought stays where it is.
    pub(super) fn take_over(&self, repo: &Repository, advertised: &Advertised) -> Vec<Taken> {
        let mut taken_over = Vec::new();
        for (command, bundle) in &self.kept {
            let deep = self.deepen_for(repo, advertised, bundle);
            match deep.and_then(|()| bundle::read(repo, bundle)).and_then(|tip| self.put_on_branch(repo, tip))
            {
                Ok(kept_on) => taken_over.push(Taken { command: command.clone(), kept_on }),
                Err(error) => {
                    tracing::warn!(%command, %error, "kept work could not be taken over; it stays among the objects");
                }
            }
        }
        taken_over
    }

    /// A shallow copy may lack what a bundle builds on.
    fn deepen_for(&self, repo: &Repository, advertised: &Advertised, bundle: &[u8]) -> git::Result<()> {
        let Ok(header) = bundle::header(bundle) else { return Ok(()) };
        let is_here = |id: &Oid| repo.find_commit(*id).is_ok();
        let is_whole = || header.prerequisites.iter().all(is_here) || is_here(&header.tip);
        if is_whole() {
            return Ok(());
        }
        let Some((branch, _)) = self.source(advertised) else { return Ok(()) };
        git::fetch_whole(repo, &self.access, &branch)?;
        // It may go on from another conversation, whose change was live when this one began.
        if is_whole() { Ok(()) } else { git::fetch_whole(repo, &self.access, CONVERSATIONS) }
    }

    /// In a shallow copy: what is compared with must be here, or all of the source would seem to be the change.
    pub(super) fn deepen_below(
        &self,
        repo: &Repository,
        advertised: &Advertised,
        tip: Oid,
        finished: Option<Oid>,
    ) -> git::Result<()> {
        let is_cut = || {
            let earlier = finished.map(|commit| Base::below(repo, commit)).transpose()?;
            git::Result::Ok(Base::from(repo, Some(tip))?.is_cut || earlier.is_some_and(|base| base.is_cut))
        };
        let Some((branch, _)) = self.source(advertised) else { return Ok(()) };
        if is_cut()? {
            git::fetch_history(repo, &self.access, &branch, A_FEW)?;
        }
        if is_cut()? { git::fetch_whole(repo, &self.access, &branch) } else { Ok(()) }
    }

    /// The branch beside it where it is now, if it conflicts with ours.
    fn put_on_branch(&self, repo: &Repository, tip: Oid) -> git::Result<Option<String>> {
        let onto = match git::local_branch(repo, &self.branch) {
            Some(ours) if git::contains(repo, ours, tip) => return Ok(None),
            Some(ours) if !git::contains(repo, tip, ours) => match self.join(repo, tip, ours)? {
                Joined::Together(tip) => tip,
                Joined::Apart(_, kept_on) => return Ok(Some(kept_on)),
            },
            Some(_) | None => tip,
        };
        let name = format!("refs/heads/{}", self.branch);
        repo.reference(&name, onto, true, "taken over").during("take kept work over")?;
        tracing::info!(branch = self.branch, commit = %onto, "unfinished work that the remote had not got was taken over");
        Ok(None)
    }
}

/// What the branches are called that keep what conflicts with this one.
fn beside(branch: &str) -> String {
    format!("{branch}-kept-")
}

/// On a branch that nobody goes on with; its name.
fn keep_aside(repo: &Repository, branch: &str, ours: Oid) -> git::Result<String> {
    let kept = format!("{}{}", beside(branch), &ours.to_string()[..8]);
    repo.reference(&format!("{HEADS}{kept}"), ours, true, "keep").during("keep commits aside")?;
    tracing::warn!(
        kept,
        "commits that never reached the remote do not go together with it and are kept aside"
    );
    Ok(kept)
}

/// Branches that keep what conflicts with this one, and that no job was told of yet.
fn kept_aside(repo: &Repository, branch: &str) -> git::Result<Vec<(String, Oid)>> {
    let kept = repo.references_glob(&format!("{HEADS}{}*", beside(branch))).during(LIST)?;
    let named = kept
        .flatten()
        .filter_map(|kept| Some((kept.name().ok()?.strip_prefix(HEADS)?.to_owned(), kept.target()?)));
    Ok(named.collect())
}

/// A job was told of these, and the remote has them: they need not be kept here.
pub(super) fn forget(repo: &Repository, branches: &[String]) -> git::Result<()> {
    for branch in branches {
        if let Ok(mut kept) = repo.find_reference(&format!("{HEADS}{branch}")) {
            kept.delete().during(LIST)?;
        }
    }
    Ok(())
}
