//! The working tree: made equal to a commit, cleaned, and read back as a git tree without what must not be committed.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use git2::build::CheckoutBuilder;
use git2::{Diff, Index, IndexAddOption, Repository, RepositoryState};

use super::amount::{Change, is_readable};
use super::{settings, sweep};
use crate::git::{self, During as _, Oid};
use crate::leaks::new_credential;
use crate::secrets::Secrets;

/// The file mode of a link to another repository.
const GITLINK: u32 = 0o160_000;

/// Larger files of a source are no text.
const MAX_TEXT_BYTES: usize = 32 * 1024 * 1024;

/// Stages the working tree, honouring `.gitignore`; the tree when it differs from the commit's.
pub(super) fn stage(repo: &Repository, before: Oid) -> git::Result<Option<Oid>> {
    let what = "stage what was changed";
    if let Some(root) = repo.workdir() {
        sweep::remove_nested_repositories(root)?;
    }
    let mut index = repo.index().during(what)?;
    let old = repo.find_commit(before).during(what)?.tree().during(what)?;
    if index.read(true).is_err() || index.has_conflicts() {
        index.read_tree(&old).during(what)?;
    }
    let root = repo.workdir().unwrap_or(repo.path()).to_owned();
    check_amount(&mut index, &root)?;
    let mut own = |path: &Path, _: &[u8]| i32::from(has_another_name(&root.join(path)));
    index.add_all(["*"], IndexAddOption::DEFAULT, Some(&mut own)).during(what)?;
    index.update_all(["*"], Some(&mut own)).during(what)?;
    drop_new_gitlinks(&mut index, &old)?;
    settings::keep(repo, &mut index, &old)?;
    index.write().during(what)?;
    let tree = index.write_tree().during(what)?;
    Ok((tree != old.id()).then_some(tree))
}

/// Counts what would be staged, without reading any of it.
fn check_amount(index: &mut Index, root: &Path) -> git::Result<()> {
    let mut change = Change::default();
    let mut count = |path: &Path, _: &[u8]| {
        let meta = root.join(path).symlink_metadata();
        change.count(path, meta.map_or(0, |meta| if meta.is_file() { meta.len() } else { 0 }));
        // It is left out for now.
        1
    };
    index.add_all(["*"], IndexAddOption::DEFAULT, Some(&mut count)).during("count what was changed")?;
    change.check()
}

/// A second name of a file may be anybody's file, which whoever made the name could not read.
fn has_another_name(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|meta| meta.is_file() && meta.nlink() > 1)
}

/// A repository inside the repository would be committed as a link to nowhere.
fn drop_new_gitlinks(index: &mut Index, old: &git2::Tree<'_>) -> git::Result<()> {
    let links =
        index.iter().filter(|entry| entry.mode == GITLINK).map(|entry| entry.path).collect::<Vec<_>>();
    for path in links {
        let path = String::from_utf8_lossy(&path).into_owned();
        if old.get_path(path.as_ref()).is_err() {
            index.remove_path(path.as_ref()).during("leave a nested repository out")?;
        }
    }
    Ok(())
}

/// Whether a tree has something at this path.
pub(super) fn has(tree: &git2::Tree<'_>, path: &str) -> bool {
    let plain = Path::new(path).components().filter(|part| !matches!(part, Component::CurDir));
    tree.get_path(&plain.collect::<PathBuf>()).is_ok()
}

/// What a tree changes against a commit.
pub(super) fn diff(repo: &Repository, base: Option<Oid>, tree: Oid) -> git::Result<Diff<'_>> {
    let what = "compare with the commit before";
    let old = base.and_then(|id| repo.find_commit(id).ok()).and_then(|commit| commit.tree().ok());
    let new = repo.find_tree(tree).during(what)?;
    repo.diff_tree_to_tree(old.as_ref(), Some(&new), None).during(what)
}

/// The first changed file that holds a secret of this worker, or a credential that it did not hold before: what, where.
pub(super) fn secret_in(repo: &Repository, diff: &Diff<'_>, secrets: &Secrets) -> Option<String> {
    let objects = repo.odb().ok()?;
    for delta in diff.deltas() {
        let file = delta.new_file();
        let path = || file.path().unwrap_or_else(|| "?".as_ref()).display().to_string();
        if objects.exists(file.id()) && !is_readable(&objects, file.id()) {
            return Some(format!("no secret can be looked for in {}, which is too large", path()));
        }
        let Ok(blob) = repo.find_blob(file.id()) else { continue };
        if secrets.found_in(blob.content()) {
            return Some(format!("a secret of this worker stands in {}", path()));
        }
        let old = Some(delta.old_file().id()).filter(|old| is_readable(&objects, *old));
        let old = old.and_then(|old| repo.find_blob(old).ok());
        let before = old.as_ref().map_or(&[][..], |old| old.content());
        if let Some(rule) = new_credential(blob.content(), before) {
            return Some(format!("a credential ({rule}) stands in {}", path()));
        }
    }
    None
}

/// Shows the files of a commit one after another, as text, until the answer is that it is enough. Larger ones are data.
pub(super) fn each_text(
    repo: &Repository,
    commit: Oid,
    mut look: impl FnMut(&str) -> bool,
) -> git::Result<()> {
    let what = "search the source";
    let tree = repo.find_commit(commit).and_then(|commit| commit.tree()).during(what)?;
    // Read by way of an index, whose paths are bytes: libgit2's walk ends at a name that is not UTF-8.
    let mut index = Index::new().during(what)?;
    index.read_tree(&tree).during(what)?;
    let objects = repo.odb().during(what)?;
    for entry in index.iter() {
        let size = objects.read_header(entry.id).map_or(usize::MAX, |(size, _)| size);
        let blob = (size <= MAX_TEXT_BYTES).then(|| repo.find_blob(entry.id).ok()).flatten();
        if blob.is_some_and(|blob| !look(&String::from_utf8_lossy(blob.content()))) {
            break;
        }
    }
    Ok(())
}

/// Ends whatever an interrupted merge, rebase or the like left behind.
pub(super) fn leave_middle_of_anything(repo: &Repository) -> git::Result<()> {
    sweep::remove_locks(repo.path())?;
    if repo.state() != RepositoryState::Clean {
        repo.cleanup_state().during("end an unfinished merge or rebase")?;
        std::fs::remove_dir_all(repo.path().join("rebase-merge")).ok();
        std::fs::remove_dir_all(repo.path().join("rebase-apply")).ok();
    }
    Ok(())
}

/// Makes branch, index and working tree equal to a commit; of all else only caches with the names given stay.
pub(super) fn check_out(repo: &Repository, branch: &str, commit: Oid, keep: &[&str]) -> git::Result<()> {
    let what = format!("check out {branch}");
    if let Some(root) = repo.workdir() {
        sweep::remove_nested_repositories(root)?;
    }
    let target = repo.find_commit(commit).during(&what)?;
    let mut how = CheckoutBuilder::new();
    how.force().remove_untracked(true).disable_filters(true);
    let name = format!("refs/heads/{branch}");
    repo.reference(&name, commit, true, "checkout").during(&what)?;
    repo.checkout_tree(target.as_object(), Some(&mut how)).during(&what)?;
    repo.set_head(&name).during(&what)?;
    sweep::remove_unknown(repo, keep)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_name_of_another_file_is_not_committed() {
        let stand = tempfile::tempdir().unwrap();
        let (foreign, root) = (stand.path().join("foreign"), stand.path().join("repo"));
        std::fs::write(&foreign, "not theirs\n").unwrap();
        std::fs::create_dir(&root).unwrap();
        let repo = git::open_or_init(&root).unwrap();
        let who = git2::Signature::now("a", "a@example.org").unwrap();
        let empty = repo.find_tree(repo.treebuilder(None).unwrap().write().unwrap()).unwrap();
        let before = repo.commit(Some("HEAD"), &who, &who, "empty", &empty, &[]).unwrap();
        std::fs::hard_link(&foreign, root.join("stolen.txt")).unwrap();
        assert_eq!(stage(&repo, before).unwrap(), None);
        std::fs::write(root.join("own.txt"), "theirs\n").unwrap();
        let staged = repo.find_tree(stage(&repo, before).unwrap().unwrap()).unwrap();
        assert!(has(&staged, "own.txt") && !has(&staged, "stolen.txt"));
        std::fs::remove_file(root.join("own.txt")).unwrap();
        std::fs::hard_link(&foreign, root.join("own.txt")).unwrap();
        let staged = stage(&repo, before).unwrap().map(|id| repo.find_tree(id).unwrap());
        let own = staged.as_ref().and_then(|tree| tree.get_name("own.txt"));
        assert!(own.is_none_or(|own| repo.find_blob(own.id()).unwrap().content() == b"theirs\n"));
    }
}
