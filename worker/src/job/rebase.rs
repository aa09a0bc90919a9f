//! Our commits on top of others, in memory: a conflict leaves nothing behind.

use git2::{ErrorCode, Repository, Signature};

use crate::git::{self, During as _, Oid};

/// What came of putting our commits on top of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rebased {
    /// They are there; this is the last one.
    Onto(Oid),
    /// The same lines were changed.
    Conflict,
}

/// Puts the commits that only `ours` has on top of `theirs`, without touching index or working tree.
pub(super) fn rebase(repo: &Repository, ours: Oid, theirs: Oid, who: &Signature<'_>) -> git::Result<Rebased> {
    rebase_without(repo, ours, theirs, who, &[])
}

/// The same, leaving some commits out.
pub(super) fn rebase_without(
    repo: &Repository,
    ours: Oid,
    theirs: Oid,
    who: &Signature<'_>,
    left_out: &[Oid],
) -> git::Result<Rebased> {
    let what = "rebase onto the remote branch";
    let (branch, upstream) =
        (repo.find_annotated_commit(ours).during(what)?, repo.find_annotated_commit(theirs).during(what)?);
    let mut options = git2::RebaseOptions::new();
    options.inmemory(true).quiet(true);
    let mut rebase = repo.rebase(Some(&branch), Some(&upstream), None, Some(&mut options)).during(what)?;
    let mut tip = theirs;
    while let Some(operation) = rebase.next() {
        match operation {
            Ok(operation) if left_out.contains(&operation.id()) => continue,
            Ok(_) if rebase.inmemory_index().during(what)?.has_conflicts() => return Ok(Rebased::Conflict),
            Ok(_) => {}
            Err(error) if is_conflict(&error) => return Ok(Rebased::Conflict),
            Err(error) => return Err(error).during(what),
        }
        match rebase.commit(None, who, None) {
            Ok(commit) => tip = commit,
            Err(error) if error.code() == ErrorCode::Applied => {}
            Err(error) if is_conflict(&error) => return Ok(Rebased::Conflict),
            Err(error) => return Err(error).during(what),
        }
    }
    Ok(Rebased::Onto(tip))
}

fn is_conflict(error: &git2::Error) -> bool {
    matches!(error.code(), ErrorCode::Conflict | ErrorCode::MergeConflict | ErrorCode::Unmerged)
}
