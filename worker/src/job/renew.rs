//! A damaged checkout put aside and made anew. What never got to the remote comes along; the damaged folder itself is
//! kept until the next one.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use git2::{BranchType, Repository};

use crate::git::{self, During as _, GitError, GitKind};

/// Makes the checkout anew; when that fails, the damaged one is back in its place.
pub(super) fn renew<T>(path: &Path, make: impl Fn(&Path) -> git::Result<T>) -> git::Result<T> {
    let aside = path.with_extension("damaged");
    remove(&aside)?;
    fs::rename(path, &aside).during("put a damaged checkout aside")?;
    let result = fs::create_dir(path)
        .during("make a folder for the checkout")
        .and_then(|()| make(path))
        .and_then(|made| if carry_over(&aside, path) { make(path) } else { Ok(made) });
    if result.is_err() {
        remove(path)?;
        fs::rename(&aside, path).during("put a damaged checkout back")?;
    }
    result
}

fn remove(folder: &Path) -> git::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).during(format!("remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// Takes over the branches with commits that the new copy has not; whether there were any.
fn carry_over(from: &Path, to: &Path) -> bool {
    let carried = open_damaged(from).and_then(|old| {
        let new = git::open(to)?;
        join_shallow(&old, &new)?;
        let mut carried = false;
        for (name, tip) in local_branches(&old)? {
            carried |= new.find_commit(tip).is_err() && take(&new, from, &name);
        }
        Ok(carried)
    });
    carried.unwrap_or_else(|error| {
        tracing::warn!(%error, folder = %from.display(), "nothing could be taken over from a damaged checkout; it is kept");
        false
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
