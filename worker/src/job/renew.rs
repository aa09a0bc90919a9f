//! A damaged checkout put aside and made anew. What never got to the remote comes along, and the damaged folder itself is
//! kept until the next one; where something could not come along it is kept for good.

use std::fs;
use std::path::{Path, PathBuf};

use git2::{BranchType, Repository};

use super::checkout::ENDED;
use crate::folders;
use crate::git::{self, During as _, GitError, GitKind};

/// A checkout that is not used any more and has work which is nowhere else is called so, with a number behind it.
pub(super) const KEPT: &str = "repo.kept-";

/// An old checkout that could not be removed is called so, with a number behind it; whoever tidies tries again.
pub(super) const GONE: &str = "repo.gone-";

/// Where a checkout lies while another one is made in its place: there only until that one is whole.
pub(super) fn aside_of(path: &Path) -> PathBuf {
    path.with_extension("aside")
}

/// What nobody needs any more is called so before it is removed: a kill leaves no half of it where it was.
fn gone_of(path: &Path) -> PathBuf {
    path.with_extension("gone")
}

/// Brings to an end what a run that was killed had begun: the checkout that was to be made anew is back in its place.
pub(super) fn settle(path: &Path) -> git::Result<()> {
    remove(&gone_of(path))?;
    if aside_of(path).exists() {
        tracing::warn!(folder = %path.display(), "a checkout was not made anew to the end; the one before is back");
        put_back(path)?;
    }
    Ok(())
}

fn put_back(path: &Path) -> git::Result<()> {
    remove(path)?;
    fs::rename(aside_of(path), path).during("put a damaged checkout back")
}

/// Makes the checkout anew; when that fails, the damaged one is back in its place.
pub(super) fn renew<T>(path: &Path, make: impl Fn(&Path) -> git::Result<T>) -> git::Result<T> {
    let aside = aside_of(path);
    fs::rename(path, &aside).during("put a damaged checkout aside")?;
    let mut left_behind = false;
    let result = fs::create_dir(path)
        .during("make a folder for the checkout")
        .and_then(|()| make(path))
        .and_then(|made| {
            let carried = carry_over(&aside, path);
            left_behind = carried.left > 0;
            if carried.taken > 0 { make(path) } else { Ok(made) }
        });
    if result.is_err() {
        put_back(path)?;
    } else if left_behind {
        keep(&aside)?;
    } else {
        let damaged = path.with_extension("damaged");
        remove(&damaged)?;
        fs::rename(&aside, damaged).during("keep a damaged checkout until the next one")?;
    }
    result
}

/// Makes room for a clone of another repository: one that has work which is nowhere else is kept for good.
pub(super) fn leave(path: &Path, holds_work: bool) -> git::Result<()> {
    if holds_work {
        keep(path)?;
    } else {
        fs::rename(path, gone_of(path)).during("put a checkout away")?;
    }
    fs::create_dir(path).during("make a folder for the checkout")?;
    remove(&gone_of(path))
}

/// An old checkout that cannot be removed now is put out of the way: no job fails because of it.
fn remove(folder: &Path) -> git::Result<()> {
    let Err(error) = folders::remove(folder) else { return Ok(()) };
    tracing::warn!(%error, folder = %folder.display(), "an old checkout could not be removed yet");
    fs::rename(folder, free_name(folder, GONE)).during(format!("put {} out of the way", folder.display()))
}

/// The first name of this kind that nothing has.
fn free_name(beside: &Path, kind: &str) -> PathBuf {
    let named = |number: u32| beside.with_file_name(format!("{kind}{number}"));
    let mut number = 1;
    while named(number).exists() {
        number += 1;
    }
    named(number)
}

/// Under a name that nobody removes.
fn keep(aside: &Path) -> git::Result<()> {
    let free = free_name(aside, KEPT);
    tracing::warn!(folder = %free.display(), "a checkout with work that is nowhere else is kept aside");
    fs::rename(aside, free).during("keep a checkout aside")
}

/// How many branches came along, and how many did not.
#[derive(Default)]
struct Carried {
    taken: usize,
    left: usize,
}

/// Takes over the branches with commits that the new copy has not.
fn carry_over(from: &Path, to: &Path) -> Carried {
    let carried = open_damaged(from).and_then(|old| {
        let new = git::open(to)?;
        join_shallow(&old, &new)?;
        let mut carried = Carried::default();
        for (name, tip) in local_branches(&old)? {
            if new.find_commit(tip).is_err() {
                let counter = if take(&new, from, &name) { &mut carried.taken } else { &mut carried.left };
                *counter += 1;
            }
        }
        // Nothing waits for these: they are no reason to keep the damaged one.
        for name in
            old.references_glob(&format!("{ENDED}*")).during("list what was kept aside")?.names().flatten()
        {
            take(&new, from, name);
        }
        Ok(carried)
    });
    carried.unwrap_or_else(|error| {
        tracing::warn!(%error, folder = %from.display(), "nothing could be taken over from a damaged checkout");
        Carried { taken: 0, left: 1 }
    })
}

/// Opens it even when its HEAD is what was damaged.
fn open_damaged(path: &Path) -> git::Result<Repository> {
    git::open(path).or_else(|_| {
        fs::write(path.join(".git/HEAD"), "ref: refs/heads/hermes-unborn\n").during("mend HEAD")?;
        git::open(path)
    })
}

fn local_branches(repo: &Repository) -> git::Result<Vec<(String, git::Oid)>> {
    let branches =
        repo.branches(Some(BranchType::Local)).during("list the branches of a damaged checkout")?;
    let named = branches
        .flatten()
        .filter_map(|(branch, _)| Some((branch.get().name().ok()?.to_owned(), branch.get().target()?)));
    Ok(named.collect())
}

fn take(new: &Repository, from: &Path, name: &str) -> bool {
    let what = format!("take {name} over from {}", from.display());
    let taken = from
        .to_str()
        .ok_or_else(|| GitError::new(GitKind::Other, &what, "the path is not text"))
        .and_then(|url| {
            let mut remote = new.remote_anonymous(url).during(&what)?;
            remote.fetch(&[format!("+{name}:{name}")], None, None).during(&what)
        });
    match &taken {
        Ok(()) => tracing::info!(branch = name, "a branch was taken over from a damaged checkout"),
        Err(error) => tracing::warn!(%error, "a branch stays in the damaged checkout"),
    }
    taken.is_ok()
}

/// Where the history of either is cut off, so that commits of the old one are whole in the new one.
fn join_shallow(old: &Repository, new: &Repository) -> git::Result<()> {
    let read = |repo: &Repository| fs::read_to_string(repo.path().join("shallow")).unwrap_or_default();
    let (old, mut text) = (read(old), read(new));
    let missing = old.lines().filter(|line| !text.lines().any(|known| known == *line)).collect::<Vec<_>>();
    if missing.is_empty() {
        return Ok(());
    }
    text.extend(missing.iter().flat_map(|line| [line, "\n"]));
    fs::write(new.path().join("shallow"), text).during("note where the history is cut off")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folders::tests::as_ordinary_user;

    #[test]
    fn an_old_checkout_that_cannot_be_removed_is_in_nobodys_way() {
        let stand = tempfile::tempdir().unwrap();
        if !nix::unistd::Uid::effective().is_root() {
            return;
        }
        let path = stand.path().join("repo");
        for name in ["repo", "repo.gone"] {
            fs::create_dir_all(stand.path().join(name).join("of-somebody-else/x")).unwrap();
        }
        fs::create_dir(stand.path().join("repo.aside")).unwrap();
        as_ordinary_user(stand.path(), || settle(&path).unwrap());
        assert!(path.exists() && !path.join("of-somebody-else").exists(), "the one before is back");
        for name in ["repo.gone-1", "repo.gone-2"] {
            assert!(stand.path().join(name).join("of-somebody-else").exists(), "{name}");
        }
    }

    fn commit_on(path: &Path, branch: &str) -> git::Oid {
        let repo = git::open_or_init(path).unwrap();
        let who = git2::Signature::now("a", "a@example.org").unwrap();
        let blob = repo.blob(branch.as_bytes()).unwrap();
        let mut tree = repo.treebuilder(None).unwrap();
        tree.insert("page", blob, 0o100_644).unwrap();
        let tree = repo.find_tree(tree.write().unwrap()).unwrap();
        repo.commit(Some(&format!("refs/heads/{branch}")), &who, &who, branch, &tree, &[]).unwrap()
    }

    fn renewed(path: &Path) {
        renew(path, |path| git::open_or_init(path).map(drop)).unwrap();
    }

    #[test]
    fn a_damaged_checkout_whose_commits_cannot_come_along_is_never_removed() {
        let stand = tempfile::tempdir().unwrap();
        let path = stand.path().join("repo");
        fs::create_dir(&path).unwrap();
        let lost = commit_on(&path, "thread-x").to_string();
        let object = Path::new(".git/objects").join(&lost[..2]).join(&lost[2..]);
        fs::remove_file(path.join(&object)).unwrap();
        renewed(&path);
        let kept = stand.path().join("repo.kept-1");
        assert!(kept.join(".git").exists());
        commit_on(&path, "thread-y");
        let ended = commit_on(&path, "thread-z");
        let repo = git::open(&path).unwrap();
        let name = format!("{ENDED}thread-z-1");
        repo.find_reference("refs/heads/thread-z").unwrap().rename(&name, true, "ended").unwrap();
        renewed(&path);
        renewed(&path);
        assert_eq!(git::open(&path).unwrap().refname_to_id(&name).unwrap(), ended);
        assert!(git::local_branch(&git::open(&path).unwrap(), "thread-y").is_some(), "whole ones come along");
        assert!(kept.join(".git/refs/heads/thread-x").exists());
    }
}
