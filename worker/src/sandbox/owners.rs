//! Whose the files are. A child that is another user than the worker is given its folders before it starts; what must stay
//! the worker's (the history, the folder itself) stays.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, lchown};
use std::path::{Path, PathBuf};

use crate::inside::Account;

/// Other files within the checkout are the child's, but it can neither rename nor replace what is not.
const SHARED_FOLDER: u32 = 0o1770;
/// Whoever is told a path gets through, and sees nothing on the way.
const PASSABLE: u32 = 0o711;
/// Nobody else gets in: children of other jobs are the same users.
const SHUT: u32 = 0o700;

/// Gives everything below to the user, but `.git` of a checkout. Links are given, never followed.
pub(super) fn give(folder: &Path, to: Account) -> io::Result<()> {
    lchown(folder, Some(to.uid), Some(to.gid))?;
    give_below(folder, to)
}

/// The same for a checkout, which stays the worker's with the child as its group.
pub(super) fn give_checkout(repo: &Path, to: Account) -> io::Result<()> {
    lchown(repo, None, Some(to.gid))?;
    std::fs::set_permissions(repo, std::fs::Permissions::from_mode(SHARED_FOLDER))?;
    for entry in std::fs::read_dir(repo)? {
        let entry = entry?;
        if entry.file_name() != ".git"
            && let Some(folder) = give_entry(entry.path(), to)?
        {
            give_below(&folder, to)?;
        }
    }
    Ok(())
}

/// Lets others pass through a folder to what they may see in it.
pub(super) fn let_through(folder: &Path) -> io::Result<()> {
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(PASSABLE))
}

/// Lets nobody else in any more.
pub(super) fn shut(folder: &Path) -> io::Result<()> {
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(SHUT))
}

fn give_below(folder: &Path, to: Account) -> io::Result<()> {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in shallow(std::fs::read_dir(folder))?.into_iter().flatten() {
            folders.extend(shallow(give_entry(entry?.path(), to))?.flatten());
        }
    }
    Ok(())
}

/// What lies deeper than paths go was made by the user itself, step by step.
fn shallow<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::InvalidFilename => Ok(None),
        result => result.map(Some),
    }
}

/// Gives one thing; a folder whose content is still to be given comes back.
fn give_entry(path: PathBuf, to: Account) -> io::Result<Option<PathBuf>> {
    let meta = path.symlink_metadata()?;
    if !is_its_own(&meta, to) && !is_shared(&meta) {
        lchown(&path, Some(to.uid), Some(to.gid))?;
    } else if meta.is_dir() && path.ends_with("node_modules") {
        // Whoever installed them is the same user; they are many.
        return Ok(None);
    }
    Ok(meta.is_dir().then_some(path))
}

fn is_its_own(meta: &Metadata, to: Account) -> bool {
    (meta.uid(), meta.gid()) == (to.uid, to.gid)
}

/// A second name of a file may lie anywhere, and the file may be anybody's.
fn is_shared(meta: &Metadata) -> bool {
    !meta.is_dir() && meta.nlink() > 1
}
