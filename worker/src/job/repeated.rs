//! Commits that never reached the remote although their command did: another run has done it over there meanwhile.

use std::collections::HashMap;

use common::domain::ids::CommandId;
use git2::Repository;

use super::message;
use super::tree::diff;
use crate::git::{self, During as _, Oid};

/// How far back commits are looked at.
const HISTORY: usize = 200;

/// Commits of ours to be left out.
#[derive(Debug, Default)]
pub(super) struct Repeated {
    /// Which.
    pub(super) commits: Vec<Oid>,
    /// Whether one of them changes something else than its counterpart.
    pub(super) differ: bool,
}

/// The commit that finished a command, on the way back from this one.
pub(super) fn find_finished(repo: &Repository, tip: Oid, command: &CommandId) -> git::Result<Option<Oid>> {
    let what = "look for the commit of this command";
    let mut walk = repo.revwalk().during(what)?;
    walk.push(tip).during(what)?;
    for commit in walk.take(HISTORY).flatten() {
        let found = repo.find_commit(commit).during(what)?;
        if found.message().is_ok_and(|text| message::is_finished(text, command)) {
            return Ok(Some(commit));
        }
    }
    Ok(None)
}

/// The commits that only `ours` has and whose command is finished in the history of `theirs`.
pub(super) fn repeated(repo: &Repository, ours: Oid, theirs: Oid) -> git::Result<Repeated> {
    let done = commits(repo, theirs, ours)?
        .into_iter()
        .filter_map(|(id, text)| Some((message::finished_command(&text)?.to_owned(), id)))
        .collect::<HashMap<_, _>>();
    let mut repeated = Repeated::default();
    for (id, text) in commits(repo, ours, theirs)? {
        if let Some(other) = message::command(&text).and_then(|command| done.get(command)) {
            repeated.differ |= change(repo, id)? != change(repo, *other)?;
            repeated.commits.push(id);
        }
    }
    Ok(repeated)
}

/// Id and message of the commits that one tip has and the other has not.
fn commits(repo: &Repository, of: Oid, without: Oid) -> git::Result<Vec<(Oid, String)>> {
    let what = "compare our commits with the remote's";
    let mut walk = repo.revwalk().during(what)?;
    walk.push(of).during(what)?;
    walk.hide(without).during(what)?;
    let read = |id: Oid| {
        let commit = repo.find_commit(id).during(what)?;
        Ok((id, commit.message().unwrap_or_default().to_owned()))
    };
    walk.take(HISTORY).flatten().map(read).collect()
}

/// What identifies the change that a commit makes.
fn change(repo: &Repository, id: Oid) -> git::Result<Oid> {
    let what = "compare two commits of one command";
    let commit = repo.find_commit(id).during(what)?;
    diff(repo, commit.parent_id(0).ok(), commit.tree_id())?.patchid(None).during(what)
}
