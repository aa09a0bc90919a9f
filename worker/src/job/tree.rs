//! The working tree: made equal to a commit, cleaned, and read back as a git tree without what must not be committed.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use git2::build::CheckoutBuilder;
use git2::{
    Delta, Diff, DiffDelta, DiffOptions, FileMode, Index, IndexAddOption, Repository, RepositoryState,
};

use super::amount::{Change, check_tree, is_readable, may_be_committed};
use super::{settings, sweep};
use crate::git::{self, During as _, GitError, GitKind, Oid};
use crate::leaks::new_credential;
use crate::secrets::Secrets;

/// The file mode of a link to another repository.
const GITLINK: u32 = 0o160_000;

/// Larger files of a source are no text.
const MAX_TEXT_BYTES: usize = 32 * 1024 * 1024;

/// What becomes of a change that is more than a commit may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TooMuch {
    /// All of it is refused.
    Refused,
    /// What can be kept is kept: files that are too large or lie too deep are left out, and where there is too much of what
    /// is new, all of that.
    LeftOut,
}

/// Stages the working tree, honouring `.gitignore`; the tree when it differs from the commit's.
pub(super) fn stage(repo: &Repository, before: Oid, too_much: TooMuch) -> git::Result<Option<Oid>> {
    if let Some(root) = repo.workdir() {
        sweep::make_plain(root, too_much)?;
    }
    let old = repo.find_commit(before).and_then(|commit| commit.tree()).during(STAGE)?;
    let staging = Staging { repo, root: repo.workdir().unwrap_or(repo.path()), old, too_much };
    let mut index = repo.index().during(STAGE)?;
    if index.read(true).is_err() || index.has_conflicts() {
        index.read_tree(&staging.old).during(STAGE)?;
    }
    match staging.stage(&mut index, true) {
        Err(error) if error.kind == GitKind::TooLarge && too_much == TooMuch::LeftOut => {
            tracing::warn!(%error, "what is new is too much to be saved; only changes of files that were there before are");
            index.read_tree(&staging.old).during(STAGE)?;
            staging.stage(&mut index, false)
        }
        staged => staged,
    }
}

const STAGE: &str = "stage what was changed";

/// A working tree on its way to a commit.
struct Staging<'a> {
    repo: &'a Repository,
    root: &'a Path,
    old: git2::Tree<'a>,
    too_much: TooMuch,
}

impl Staging<'_> {
    /// With files that are new, or only with changes of those that the index has.
    fn stage(&self, index: &mut Index, with_new: bool) -> git::Result<Option<Oid>> {
        self.check_amount(index, with_new)?;
        let mut out = |path: &Path, _: &[u8]| {
            let path = self.root.join(path);
            i32::from(has_another_name(&path) || self.is_left_out(length(&path)))
        };
        if with_new {
            index.add_all(["*"], IndexAddOption::DEFAULT, Some(&mut out)).during(STAGE)?;
        }
        index.update_all(["*"], Some(&mut out)).during(STAGE)?;
        drop_new_gitlinks(index, &self.old)?;
        tell(&settings::keep(self.repo, index, &self.old)?);
        let tree = index.write_tree().during(STAGE)?;
        if tree != self.old.id() {
            check_tree(self.repo, tree)?;
        }
        index.write().during(STAGE)?;
        Ok((tree != self.old.id()).then_some(tree))
    }

    /// Counts what would be staged. Files that the index takes for changed are read: those that are as they were, such as
    /// files that have another owner now, it knows again from then on.
    fn check_amount(&self, index: &Index, with_new: bool) -> git::Result<()> {
        let mut how = DiffOptions::new();
        how.include_typechange(true).update_index(true);
        how.include_untracked(with_new).recurse_untracked_dirs(with_new);
        let changed = unless_too_deep(self.repo.diff_index_to_workdir(Some(index), Some(&mut how)))?;
        let mut change = Change::default();
        for path in changed.deltas().filter_map(|delta| delta.new_file().path()) {
            let bytes = length(&self.root.join(path));
            if bytes.is_some() && !self.is_left_out(bytes) {
                change.count(path, bytes.unwrap_or_default());
            }
        }
        change.check()
    }

    fn is_left_out(&self, bytes: Option<u64>) -> bool {
        self.too_much == TooMuch::LeftOut && bytes.is_some_and(|bytes| !may_be_committed(bytes))
    }
}

/// Tells of changes that are not committed.
fn tell(dropped: &[PathBuf]) {
    if let Some(first) = dropped.first() {
        let (first, changes) = (first.display(), dropped.len());
        tracing::warn!(%first, changes, "settings of agents, or what their links lead to, were changed; that is not committed");
    }
}

/// The bytes of what lies there; those of a link are none.
fn length(path: &Path) -> Option<u64> {
    path.symlink_metadata().ok().map(|meta| if meta.is_file() { meta.len() } else { 0 })
}

/// libgit2 does not go into more than a hundred folders within one another, and tells it by its message only.
fn unless_too_deep<T>(counted: Result<T, git2::Error>) -> git::Result<T> {
    const WHAT: &str = "count what was changed";
    match counted {
        Err(error) if error.message().contains("nesting too deep") => {
            Err(GitError::new(GitKind::TooLarge, WHAT, "more than 100 folders lie in one another"))
        }
        counted => counted.during(WHAT),
    }
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
    let old = base.map(|id| repo.find_commit(id)?.tree()).transpose().during(what)?;
    let new = repo.find_tree(tree).during(what)?;
    repo.diff_tree_to_tree(old.as_ref(), Some(&new), None).during(what)
}

/// The first changed file that holds a secret of this worker, or a credential that it did not hold before: what, where. What
/// cannot be read cannot be said to hold none.
pub(super) fn secret_in(
    repo: &Repository,
    diff: &Diff<'_>,
    secrets: &Secrets,
) -> git::Result<Option<String>> {
    let objects = repo.odb().during("look for secrets in what was changed")?;
    for delta in diff.deltas().filter(has_content) {
        let file = delta.new_file();
        let path = file.path().unwrap_or_else(|| "?".as_ref()).display().to_string();
        let what = format!("look for secrets in {path}");
        objects.read_header(file.id()).during(&what)?;
        if !is_readable(&objects, file.id()) {
            return Ok(Some(format!("no secret can be looked for in {path}, which is too large")));
        }
        let blob = repo.find_blob(file.id()).during(&what)?;
        if secrets.found_in(blob.content()) {
            return Ok(Some(format!("a secret of this worker stands in {path}")));
        }
        let old = Some(delta.old_file().id()).filter(|old| is_readable(&objects, *old));
        let old = old.and_then(|old| repo.find_blob(old).ok());
        let before = old.as_ref().map_or(&[][..], |old| old.content());
        if let Some(rule) = new_credential(blob.content(), before) {
            return Ok(Some(format!("a credential ({rule}) stands in {path}")));
        }
    }
    Ok(None)
}

/// Whether there is a file or link now. What a link to another repository stands for is not here.
fn has_content(delta: &DiffDelta<'_>) -> bool {
    delta.status() != Delta::Deleted && delta.new_file().mode() != FileMode::Commit
}

/// The files of a tree, by way of an index, whose paths are bytes: libgit2's walk ends at a name that is not UTF-8.
pub(super) fn files(tree: &git2::Tree<'_>) -> Result<Index, git2::Error> {
    let mut index = Index::new()?;
    index.read_tree(tree)?;
    Ok(index)
}

/// Shows the files of a commit one after another, as text, until the answer is that it is enough. Larger ones are data.
pub(super) fn each_text(
    repo: &Repository,
    commit: Oid,
    mut look: impl FnMut(&str) -> bool,
) -> git::Result<()> {
    let what = "search the source";
    let tree = repo.find_commit(commit).and_then(|commit| commit.tree()).during(what)?;
    let index = files(&tree).during(what)?;
    let objects = repo.odb().during(what)?;
    for entry in index.iter() {
        if text(repo, &objects, entry.id).is_some_and(|text| !look(&text)) {
            break;
        }
    }
    Ok(())
}

/// Shows the path of each file of a diff that was there before, with its text of before, until the answer is that it is enough.
/// What is no text is empty.
pub(super) fn each_text_before(
    repo: &Repository,
    diff: &Diff<'_>,
    mut look: impl FnMut(&Path, &str) -> bool,
) -> git::Result<()> {
    let objects = repo.odb().during("search what was changed")?;
    for old in diff.deltas().map(|delta| delta.old_file()).filter(git2::DiffFile::exists) {
        let text = text(repo, &objects, old.id()).filter(|text| !text.contains('\0'));
        if !look(old.path().unwrap_or_else(|| "".as_ref()), &text.unwrap_or_default()) {
            break;
        }
    }
    Ok(())
}

/// What a file says, unless it is too large to be text.
fn text(repo: &Repository, objects: &git2::Odb<'_>, file: Oid) -> Option<String> {
    let size = objects.read_header(file).map_or(usize::MAX, |(size, _)| size);
    let blob = (size <= MAX_TEXT_BYTES).then(|| repo.find_blob(file).ok()).flatten()?;
    Some(String::from_utf8_lossy(blob.content()).into_owned())
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
        sweep::make_plain(root, TooMuch::LeftOut)?;
    }
    let target = repo.find_commit(commit).during(&what)?;
    let mut how = CheckoutBuilder::new();
    how.force().remove_untracked(true).disable_filters(true);
    let name = format!("refs/heads/{branch}");
    repo.reference(&name, commit, true, "checkout").during(&what)?;
    repo.checkout_tree(target.as_object(), Some(&mut how)).during(&what)?;
    repo.set_head(&name).during(&what)?;
    sweep::remove_unknown(repo, commit, keep)
}

#[cfg(test)]
mod tests {
    use nix::fcntl::{OFlag, openat};
    use nix::sys::stat::{Mode, mkdirat};

    use super::*;

    /// A checkout of a commit with this page, edited since.
    fn edited(root: &Path) -> (Repository, Oid) {
        let repo = git::open_or_init(root).unwrap();
        let who = git2::Signature::now("a", "a@example.org").unwrap();
        let (page, blob) = (Path::new("page.html"), repo.blob(b"before").unwrap());
        let page = git2::build::TreeUpdateBuilder::new()
            .upsert(page, blob, git2::FileMode::Blob)
            .create_updated(&repo, &empty_tree(&repo))
            .unwrap();
        let before = repo.commit(None, &who, &who, "page", &repo.find_tree(page).unwrap(), &[]).unwrap();
        check_out(&repo, "main", before, &[]).unwrap();
        std::fs::write(root.join("page.html"), "edited").unwrap();
        (repo, before)
    }

    fn empty_tree(repo: &Repository) -> git2::Tree<'_> {
        repo.find_tree(repo.treebuilder(None).unwrap().write().unwrap()).unwrap()
    }

    fn sparse(path: &Path, megabytes: u64) {
        std::fs::File::create(path).unwrap().set_len(megabytes * 1024 * 1024).unwrap();
    }

    /// Folders whose path is longer than the system takes, made step by step; the first of them.
    fn folders_with_long_names(root: &Path) -> PathBuf {
        let name = "d".repeat(255);
        let mut here: std::os::fd::OwnedFd = std::fs::File::open(root).unwrap().into();
        for _ in 0..20 {
            mkdirat(&here, name.as_str(), Mode::S_IRWXU).unwrap();
            here = openat(&here, name.as_str(), OFlag::O_DIRECTORY, Mode::empty()).unwrap();
        }
        openat(&here, "file", OFlag::O_CREAT | OFlag::O_WRONLY, Mode::S_IRWXU).unwrap();
        root.join(name)
    }

    /// The files of what is staged, and whether the whole would be refused.
    fn kept(repo: &Repository, before: Oid) -> (Vec<String>, bool) {
        let whole = stage(repo, before, TooMuch::Refused);
        let refused = whole.is_err_and(|error| error.kind == GitKind::TooLarge);
        let tree = repo.find_tree(stage(repo, before, TooMuch::LeftOut).unwrap().unwrap()).unwrap();
        let page = tree.get_name("page.html").unwrap().id();
        assert_eq!(repo.find_blob(page).unwrap().content(), b"edited");
        (tree.iter().map(|entry| entry.name().unwrap().to_owned()).collect(), refused)
    }

    #[test]
    fn of_unfinished_work_whatever_fits_is_kept() {
        let stand = tempfile::tempdir().unwrap();
        let (repo, before) = edited(stand.path());
        let in_root = |name: &str| stand.path().join(name);
        std::fs::write(in_root("new.html"), "new").unwrap();
        let kept = || kept(&repo, before);
        let all = vec!["new.html".to_owned(), "page.html".to_owned()];
        assert_eq!(kept(), (all.clone(), false));
        sparse(&in_root("all.tar"), 101);
        assert_eq!(kept(), (all.clone(), true), "a file is too large");
        std::fs::remove_file(in_root("all.tar")).unwrap();
        let deep = in_root(&"d/".repeat(99));
        std::fs::create_dir_all(&deep).unwrap();
        let with_folder = [vec!["d".to_owned()], all.clone()].concat();
        std::fs::write(deep.join("f"), "as deep as may be").unwrap();
        assert_eq!(kept(), (with_folder.clone(), false));
        std::fs::create_dir(deep.join("d")).unwrap();
        std::fs::write(deep.join("d/f"), "too deep").unwrap();
        assert_eq!(kept(), (with_folder, true), "a file lies too deep");
        std::fs::remove_dir_all(in_root("d")).unwrap();
        let long = folders_with_long_names(stand.path());
        assert_eq!(kept(), (all.clone(), true), "a folder has a path that is too long");
        std::fs::remove_dir_all(&long).unwrap();
        folders_with_long_names(stand.path());
        check_out(&repo, "main", before, &[]).unwrap();
        assert!(!long.exists() && in_root("page.html").exists());
        std::fs::write(in_root("page.html"), "edited").unwrap();
        (0..11).for_each(|number| sparse(&in_root(&format!("{number}.tar")), 100));
        assert_eq!(kept(), (vec!["page.html".to_owned()], true), "there is too much that is new");
    }

    #[test]
    fn files_that_were_only_given_to_somebody_are_read_once() {
        let stand = tempfile::tempdir().unwrap();
        let (repo, before) = edited(stand.path());
        let page = stand.path().join("page.html");
        let written = page.metadata().unwrap().modified().unwrap();
        let put_back = |text: &str| {
            std::fs::write(&page, text).unwrap();
            std::fs::File::open(&page).unwrap().set_modified(written).unwrap();
        };
        let known = || {
            let there = page.metadata().unwrap();
            let index = git::open(stand.path()).unwrap().index().unwrap();
            let entry = index.get_path("page.html".as_ref(), 0).unwrap();
            let changed = (i64::from(entry.ctime.seconds()), i64::from(entry.ctime.nanoseconds()));
            changed == (there.ctime(), there.ctime_nsec())
        };
        put_back("before");
        assert!(!known());
        assert_eq!(stage(&repo, before, TooMuch::Refused).unwrap(), None);
        assert!(known());
        put_back("edited");
        let staged = stage(&repo, before, TooMuch::Refused).unwrap();
        assert!(staged.is_some(), "same length, same time, and not the same");
    }

    /// A tree with such entries.
    fn tree_of(repo: &Repository, entries: &[(&str, Oid, FileMode)]) -> Oid {
        let mut change = git2::build::TreeUpdateBuilder::new();
        for (path, id, mode) in entries {
            change.upsert(*path, *id, *mode);
        }
        change.create_updated(repo, &empty_tree(repo)).unwrap()
    }

    #[test]
    fn what_cannot_be_read_is_not_said_to_hold_no_secret() {
        let stand = tempfile::tempdir().unwrap();
        let (repo, before) = edited(stand.path());
        let found = |tree: Oid| secret_in(&repo, &diff(&repo, Some(before), tree)?, &Secrets::default());
        let key = format!("AKIA{}", "ABCDEFGH234567AB");
        let (lost, held) = (repo.blob(b"lost").unwrap(), repo.blob(key.as_bytes()).unwrap());
        let elsewhere = ("other", before, FileMode::Commit);
        let nothing = tree_of(&repo, &[elsewhere, ("a.html", lost, FileMode::Blob)]);
        assert_eq!(found(nothing).unwrap(), None, "a page is gone, and a repository is linked to");
        let both = [("a.html", lost, FileMode::Blob), elsewhere, ("b.html", held, FileMode::Blob)];
        let both = tree_of(&repo, &both);
        assert!(found(both).unwrap().unwrap().contains("b.html"));
        let id = lost.to_string();
        let object = repo.path().join("objects").join(&id[..2]).join(&id[2..]);
        for broken in [&b"no object"[..], b""] {
            std::fs::remove_file(&object).unwrap();
            std::fs::write(&object, broken).unwrap();
            let repo = git::open(stand.path()).unwrap();
            let error = secret_in(&repo, &diff(&repo, Some(before), both).unwrap(), &Secrets::default());
            assert!(error.unwrap_err().to_string().contains("look for secrets in a.html"));
        }
        std::fs::remove_file(&object).unwrap();
        let repo = git::open(stand.path()).unwrap();
        let gone = secret_in(&repo, &diff(&repo, Some(before), nothing).unwrap(), &Secrets::default());
        assert_eq!(gone.unwrap_err().kind, GitKind::Corrupt);
    }

    #[test]
    fn a_second_name_of_another_file_is_not_committed() {
        let stand = tempfile::tempdir().unwrap();
        let (foreign, root) = (stand.path().join("foreign"), stand.path().join("repo"));
        std::fs::write(&foreign, "not theirs\n").unwrap();
        std::fs::create_dir(&root).unwrap();
        let repo = git::open_or_init(&root).unwrap();
        let who = git2::Signature::now("a", "a@example.org").unwrap();
        let before = repo.commit(Some("HEAD"), &who, &who, "empty", &empty_tree(&repo), &[]).unwrap();
        std::fs::hard_link(&foreign, root.join("stolen.txt")).unwrap();
        assert_eq!(stage(&repo, before, TooMuch::Refused).unwrap(), None);
        std::fs::write(root.join("own.txt"), "theirs\n").unwrap();
        let staged = repo.find_tree(stage(&repo, before, TooMuch::Refused).unwrap().unwrap()).unwrap();
        assert!(has(&staged, "own.txt") && !has(&staged, "stolen.txt"));
        std::fs::remove_file(root.join("own.txt")).unwrap();
        std::fs::hard_link(&foreign, root.join("own.txt")).unwrap();
        let staged = stage(&repo, before, TooMuch::Refused).unwrap().map(|id| repo.find_tree(id).unwrap());
        let own = staged.as_ref().and_then(|tree| tree.get_name("own.txt"));
        assert!(own.is_none_or(|own| repo.find_blob(own.id()).unwrap().content() == b"theirs\n"));
    }
}
