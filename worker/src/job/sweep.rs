//! What agents, builds and killed runs leave in a checkout beside its files: locks of git, repositories inside the
//! repository, pipes and sockets, old builds. No link is followed.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::FileType;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use git2::Repository;

use super::caches::Caches;
use super::tree::TooMuch;
use super::{amount, settings};
use crate::folders;
use crate::git::{self, During as _, Oid};

/// Never committed, so never looked into before staging.
const NEVER_STAGED: &str = "node_modules";
/// libgit2 looks into so many folders within one another, the root aside.
const MAX_LEVELS: usize = 99;

/// Removes the locks of git processes that are gone: whoever calls this holds the folder.
pub(super) fn remove_locks(git: &Path) -> git::Result<()> {
    each_below(git, TooMuch::LeftOut, &mut |path, kind| {
        if kind.is_dir() {
            return Ok(if path == git.join("objects") { Then::Leave } else { Then::Enter });
        }
        Ok(if path.extension().is_some_and(|ending| ending == "lock") { Then::Remove } else { Then::Leave })
    })
}

/// Makes the working tree one that git can look through: what was shut is opened, repositories inside it become plain
/// folders, and where not all has to be kept, folders that lie too deep are removed.
pub(super) fn make_plain(root: &Path, too_much: TooMuch) -> git::Result<()> {
    let git = root.join(".git");
    each_below(root, too_much, &mut |path, kind| {
        let name = path.file_name().unwrap_or_default();
        let levels = || path.strip_prefix(root).unwrap_or(path).components().count();
        Ok(if path == git || (kind.is_dir() && name == NEVER_STAGED) {
            Then::Leave
        } else if name == ".git" {
            Then::Remove
        } else if !kind.is_dir() {
            // What it lacks even so, whoever reads it is told.
            folders::let_in(path).ok();
            Then::Leave
        } else if too_much == TooMuch::LeftOut && levels() > MAX_LEVELS {
            Then::Remove
        } else {
            Then::Enter
        })
    })
}

/// Removes what an agent would take its settings from, in every folder.
pub(super) fn remove_settings(root: &Path) -> git::Result<()> {
    let git = root.join(".git");
    each_below(root, TooMuch::LeftOut, &mut |path, kind| {
        Ok(if settings::is_one(path.file_name().unwrap_or_default()) {
            Then::Remove
        } else if kind.is_dir() && path != git {
            Then::Enter
        } else {
            Then::Leave
        })
    })
}

/// Removes whatever the index, which is that of the commit, does not have, but for caches with the names given that may be
/// kept. Without a name no cache is looked at.
pub(super) fn remove_unknown(repo: &Repository, commit: Oid, keep: &[&str]) -> git::Result<()> {
    let Some(root) = repo.workdir() else { return Ok(()) };
    let index = repo.index().during("clean the checkout")?;
    let (mut files, mut folders) = (HashSet::new(), HashSet::new());
    for entry in index.iter() {
        let path = PathBuf::from(OsStr::from_bytes(&entry.path));
        folders.extend(path.ancestors().skip(1).map(Path::to_owned));
        files.insert(path);
    }
    let root_git = root.join(".git");
    let caches = Caches::of(repo, commit, root, keep);
    each_below(root, TooMuch::LeftOut, &mut |path, kind| {
        let inside = path.strip_prefix(root).unwrap_or(path);
        Ok(if path == root_git || (kind.is_dir() && caches.keep(path, &files)) {
            Then::Leave
        } else if kind.is_dir() && folders.contains(inside) {
            Then::Enter
        } else if files.contains(inside) {
            Then::Leave
        } else {
            Then::Remove
        })
    })?;
    if keep.is_empty() {
        return Ok(());
    }
    caches.looked_at().during("note that caches were looked at")
}

/// Empties a working tree; what is committed stays.
pub(super) fn empty(root: &Path) -> git::Result<()> {
    let git = root.join(".git");
    each_below(root, TooMuch::LeftOut, &mut |path, _| {
        Ok(if path == git { Then::Leave } else { Then::Remove })
    })?;
    match std::fs::remove_file(git.join("index")) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).during("reset the index"),
        _ => Ok(()),
    }
}

/// What becomes of an entry.
enum Then {
    Leave,
    Enter,
    Remove,
}

/// Folders that were shut are opened. What has a longer path than any source is removed, or refused.
fn each_below(
    root: &Path,
    too_much: TooMuch,
    decide: &mut impl FnMut(&Path, FileType) -> git::Result<Then>,
) -> git::Result<()> {
    let mut open = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        let what = || format!("look through {}", folder.display());
        folders::let_in(&folder).ok();
        for entry in std::fs::read_dir(&folder).during(what())? {
            let entry = entry.during(what())?;
            let (path, kind) = (entry.path(), entry.file_type().during(what())?);
            let then = match amount::check_path(path.strip_prefix(root).unwrap_or(&path)) {
                Err(_) if too_much == TooMuch::LeftOut => Then::Remove,
                checked => checked.and_then(|()| decide(&path, kind))?,
            };
            match then {
                Then::Leave => {}
                Then::Enter => open.push(path),
                Then::Remove => folders::remove(&path).during(format!("remove {}", path.display()))?,
            }
        }
    }
    Ok(())
}
