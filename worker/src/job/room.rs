//! Room on the disk: when all working folders together are larger than their budget, those that nobody used for the
//! longest time are removed. One that is locked, or holds work that the remote has not got, is never removed.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use git2::{BranchType, Repository, StatusOptions};
use uuid::Uuid;

use super::bundle::unknown_to_the_remote;
use super::renew::{GONE, KEPT, aside_of};
use super::workspace::{Places, attachments_in, built_marker, is_sibling, lock_of, places_in};
use crate::{folders, git, leftovers};

/// What is being removed is called so first, so that nobody works in half a folder.
const REMOVED: &str = ".removed-";
/// `st_blocks` counts these.
const BLOCK_BYTES: u64 = 512;

/// What there was, and what became of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tidied {
    /// Bytes of all folders that are left.
    pub left_bytes: u64,
    /// Bytes of those that were removed.
    pub freed_bytes: u64,
    /// The folders that were removed.
    pub removed: Vec<PathBuf>,
}

struct Folder {
    path: PathBuf,
    bytes: u64,
    last_used: SystemTime,
}

/// How large folders were that nobody has used since: measuring means looking at every file. Losing it costs time.
#[derive(Debug, Default)]
pub struct Sizes(HashMap<PathBuf, (SystemTime, u64)>);

impl Sizes {
    /// These folders, and what each takes; those that are gone are forgotten.
    fn measure(&mut self, used: Vec<(PathBuf, SystemTime)>) -> Vec<Folder> {
        let known = std::mem::take(&mut self.0);
        let mut folders = Vec::with_capacity(used.len());
        for (path, last_used) in used {
            let same = known.get(&path).filter(|(used, _)| *used == last_used);
            // One that is in use is measured anew each time.
            let lasts = same.is_some() || rests(&path);
            let bytes = same.map_or_else(|| size(&path, lasts), |(_, bytes)| *bytes);
            if lasts {
                self.0.insert(path.clone(), (last_used, bytes));
            }
            folders.push(Folder { path, bytes, last_used });
        }
        folders
    }
}

/// Whether nobody works in a folder.
fn rests(folder: &Path) -> bool {
    File::open(lock_of(folder)).is_ok_and(|lock| lock.try_lock_shared().is_ok())
}

/// Ends processes that outlived a worker that was killed, then removes what is not needed and does not fit. Blocks.
pub fn tidy(workspaces: &Path, budget_bytes: u64, sizes: &mut Sizes) -> io::Result<Tidied> {
    finish_removals(workspaces, REMOVED)?;
    let used = used(workspaces)?;
    leftovers::end_orphans(used.iter().map(|(path, _)| lock_of(path)));
    for (path, _) in &used {
        if let Err(error) = forget_agent(path).and_then(|()| finish_removals(path, GONE)) {
            tracing::warn!(%error, folder = %path.display(), "what nobody needs in a working folder could not be removed yet");
        }
    }
    let mut folders = sizes.measure(used);
    folders.sort_by_key(|folder| folder.last_used);
    let mut tidied =
        Tidied { left_bytes: folders.iter().map(|folder| folder.bytes).sum(), ..Tidied::default() };
    for folder in folders {
        let fits = tidied.left_bytes <= budget_bytes;
        let is_wanted = fits && !is_sibling(&folder.path);
        if is_wanted || !remove(workspaces, &folder.path).unwrap_or_else(|error| stays(&folder.path, &error))
        {
            continue;
        }
        tidied.left_bytes -= folder.bytes;
        tidied.freed_bytes += folder.bytes;
        tidied.removed.push(folder.path);
    }
    Ok(tidied)
}

/// Removes what the agent of a worker that was killed left in its home, and what it was given; whoever works in the folder does it themselves.
fn forget_agent(folder: &Path) -> io::Result<()> {
    let Places { home, tmp } = places_in(folder, "agent");
    let has_files = |path: &PathBuf| fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some());
    let full: Vec<_> = [home, tmp, attachments_in(folder)].into_iter().filter(has_files).collect();
    if full.is_empty() {
        return Ok(());
    }
    let lock = File::options().write(true).open(lock_of(folder))?;
    if lock.try_lock().is_ok() {
        full.iter().try_for_each(|path| folders::remove(path))?;
    }
    Ok(())
}

/// Removes what has a name that begins so.
fn finish_removals(within: &Path, begins: &str) -> io::Result<()> {
    for entry in fs::read_dir(within)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(begins) {
            removed(&entry.path());
        }
    }
    Ok(())
}

/// What cannot be removed now is removed later: no folder of one user is in the way of the others.
fn removed(aside: &Path) {
    if let Err(error) = folders::remove(aside) {
        tracing::warn!(%error, folder = %aside.display(), "a folder that nobody needs could not be removed yet");
    }
}

/// The working folders, each with the time of its last use.
fn used(workspaces: &Path) -> io::Result<Vec<(PathBuf, SystemTime)>> {
    let mut used = Vec::new();
    for entry in fs::read_dir(workspaces)? {
        let path = entry?.path();
        // Only what was once locked is a working folder.
        let Ok(lock) = lock_of(&path).symlink_metadata() else { continue };
        if lock.is_file() {
            used.push((path, lock.modified()?));
        }
    }
    Ok(used)
}

fn stays(folder: &Path, error: &io::Error) -> bool {
    tracing::warn!(%error, folder = %folder.display(), "a working folder could not be removed to make room");
    false
}

/// What it takes on the disk. No link is followed; what vanishes meanwhile, or lies deeper than paths go, counts nothing.
/// Where nobody is at work, folders that were shut are opened.
fn size(path: &Path, rests: bool) -> u64 {
    let mut bytes = 0;
    let mut left = vec![path.to_owned()];
    while let Some(path) = left.pop() {
        let Ok(meta) = path.symlink_metadata() else { continue };
        bytes += meta.blocks() * BLOCK_BYTES;
        if meta.is_dir() {
            if rests && let Err(error) = folders::let_in(&path) {
                tracing::warn!(%error, folder = %path.display(), "a folder that was shut is not measured");
            }
            left.extend(fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()));
        }
    }
    bytes
}

/// Whether it could be removed.
fn remove(workspaces: &Path, folder: &Path) -> io::Result<bool> {
    let Ok(lock) = File::options().write(true).open(lock_of(folder)) else { return Ok(false) };
    if lock.try_lock().is_err() {
        return Ok(false);
    }
    let repo = folder.join("repo");
    if holds_unpushed(&repo) || holds_unpushed(&aside_of(&repo)) || holds_kept(folder) {
        tracing::warn!(folder = %folder.display(), "a working folder is kept although there is little room: it holds work that the remote has not got");
        return Ok(false);
    }
    let aside = workspaces.join(format!("{REMOVED}{}", Uuid::new_v4().simple()));
    fs::rename(folder, &aside)?;
    removed(&aside);
    tracing::info!(folder = %folder.display(), "a working folder that was not used for long was removed to make room");
    Ok(true)
}

/// Whether a damaged checkout is kept here whose commits could not be carried over.
fn holds_kept(folder: &Path) -> bool {
    let names = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
    names.into_iter().any(|name| name.to_string_lossy().starts_with(KEPT))
}

/// Whether it has commits or files that were never seen on the remote. When in doubt it has.
pub(super) fn holds_unpushed(path: &Path) -> bool {
    let is_empty = || fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none());
    if !path.exists() || is_empty() {
        return false;
    }
    git::open(path).map_or(true, |repo| {
        is_ahead(&repo).unwrap_or(true) || (!built_marker(path).exists() && is_dirty(&repo).unwrap_or(true))
    })
}

fn is_ahead(repo: &Repository) -> Result<bool, git2::Error> {
    for branch in repo.branches(Some(BranchType::Local))? {
        let Some(tip) = branch?.0.get().target() else { return Ok(true) };
        if !unknown_to_the_remote(repo, tip)?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_dirty(repo: &Repository) -> Result<bool, git2::Error> {
    let mut options = StatusOptions::new();
    options.include_untracked(true).include_ignored(false);
    Ok(!repo.statuses(Some(&mut options))?.is_empty())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::checkout::ENDED;
    use super::*;
    use crate::folders::tests::{as_ordinary_user, set_rights};

    struct Shelf(tempfile::TempDir);

    impl Shelf {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        /// A folder of about 100 kB whose repository is as the remote has it, used so many hours ago.
        fn folder(&self, name: &str, hours_ago: u64) -> PathBuf {
            let path = self.0.path().join(name);
            let repo = path.join("repo");
            fs::create_dir_all(&repo).unwrap();
            let git = git::open_or_init(&repo).unwrap();
            fs::write(repo.join("page.html"), "x".repeat(100_000)).unwrap();
            let mut index = git.index().unwrap();
            index.add_path(Path::new("page.html")).unwrap();
            index.write().unwrap();
            let tree = git.find_tree(index.write_tree().unwrap()).unwrap();
            let who = git2::Signature::now("a", "a@example.org").unwrap();
            let id = git.commit(Some("refs/heads/main"), &who, &who, "one", &tree, &[]).unwrap();
            git.set_head("refs/heads/main").unwrap();
            git.reference("refs/remotes/origin/main", id, true, "test").unwrap();
            let lock = File::create(lock_of(&path)).unwrap();
            let used = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 - hours_ago * 3600);
            lock.set_modified(used).unwrap();
            path
        }

        fn tidy(&self, budget_bytes: u64) -> Vec<String> {
            let removed = tidy(self.0.path(), budget_bytes, &mut Sizes::default()).unwrap().removed;
            removed.iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
        }
    }

    fn unpushed_commit(folder: &Path) {
        let git = git::open(&folder.join("repo")).unwrap();
        let tip = git.head().unwrap().peel_to_commit().unwrap();
        let who = git2::Signature::now("a", "a@example.org").unwrap();
        git.commit(Some("refs/heads/thread-x"), &who, &who, "two", &tip.tree().unwrap(), &[&tip]).unwrap();
    }

    #[test]
    fn the_folders_that_were_not_used_for_longest_go_until_the_rest_fits() {
        let shelf = Shelf::new();
        for (name, hours_ago) in [("b", 2), ("a", 3), ("c", 1)] {
            shelf.folder(name, hours_ago);
        }
        let all = tidy(shelf.0.path(), u64::MAX, &mut Sizes::default()).unwrap();
        assert!(all.removed.is_empty() && all.left_bytes > 300_000, "{all:?}");
        assert_eq!(shelf.tidy(all.left_bytes - 1), ["a"]);
        assert_eq!(shelf.tidy(0), ["b", "c"]);
        assert_eq!(fs::read_dir(shelf.0.path()).unwrap().count(), 0, "nothing is left of them");
    }

    #[test]
    fn a_locked_folder_and_one_with_unpushed_work_are_never_removed() {
        let shelf = Shelf::new();
        let locked = shelf.folder("locked", 9);
        let lock = File::options().write(true).open(lock_of(&locked)).unwrap();
        lock.lock().unwrap();
        unpushed_commit(&shelf.folder("ahead", 8));
        fs::write(shelf.folder("dirty", 7).join("repo/new.html"), "half").unwrap();
        fs::write(shelf.folder("broken", 6).join("repo/.git/HEAD"), "?").unwrap();
        fs::create_dir(shelf.folder("kept", 5).join("repo.kept-1")).unwrap();
        let halfway = shelf.folder("halfway", 4);
        unpushed_commit(&halfway);
        fs::rename(halfway.join("repo"), halfway.join("repo.aside")).unwrap();
        fs::create_dir(halfway.join("repo")).unwrap();
        shelf.folder("plain", 1);
        let ended = shelf.folder("ended", 2);
        unpushed_commit(&ended);
        let git = git::open(&ended.join("repo")).unwrap();
        let mut branch = git.find_reference("refs/heads/thread-x").unwrap();
        branch.rename(&format!("{ENDED}thread-x-1"), true, "its command has ended without it").unwrap();
        assert_eq!(shelf.tidy(0), ["ended", "plain"]);
        drop(lock);
        assert_eq!(shelf.tidy(0), ["locked"]);
    }

    #[test]
    fn what_the_agent_of_a_killed_worker_left_and_was_given_goes_where_nobody_works() {
        let shelf = Shelf::new();
        let [busy, left] = ["busy", "left"].map(|name| {
            let folder = shelf.folder(name, 1);
            ["agent-home/.claude", "attachments"].map(|place| {
                fs::create_dir_all(folder.join(place)).unwrap();
                fs::write(folder.join(place).join("said.jsonl"), "said").unwrap();
                folder.join(place)
            })
        });
        let lock = File::options().write(true).open(lock_of(busy[1].parent().unwrap())).unwrap();
        lock.lock().unwrap();
        assert_eq!(shelf.tidy(u64::MAX), [""; 0]);
        assert_eq!(busy.map(|place| place.exists()), [true; 2]);
        assert_eq!(left.map(|place| place.exists()), [false; 2]);
    }

    #[test]
    fn a_folder_is_measured_again_only_when_it_was_used_again() {
        let shelf = Shelf::new();
        let folder = shelf.folder("bakery-amelia", 2);
        let mut sizes = Sizes::default();
        let mut left = || tidy(shelf.0.path(), u64::MAX, &mut sizes).unwrap().left_bytes;
        let lock = File::options().write(true).open(lock_of(&folder)).unwrap();
        lock.lock().unwrap();
        let first = left();
        fs::write(folder.join("repo/photo.jpg"), "x".repeat(100_000)).unwrap();
        let second = left();
        assert!(second >= first + 100_000, "in use: {first}, {second}");
        lock.unlock().unwrap();
        assert_eq!(left(), second);
        fs::write(folder.join("repo/another.jpg"), "x".repeat(100_000)).unwrap();
        assert_eq!(left(), second, "nobody used it, so nobody looked");
        lock.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000)).unwrap();
        assert!(left() >= second + 100_000);
    }

    #[test]
    fn what_lies_in_a_folder_that_was_shut_counts() {
        let shelf = Shelf::new();
        let home = shelf.0.path().join("build-home");
        as_ordinary_user(shelf.0.path(), || {
            fs::create_dir(&home).unwrap();
            fs::write(home.join("large"), "x".repeat(100_000)).unwrap();
            set_rights(&home, 0o300);
            assert!(size(shelf.0.path(), false) < 100_000, "somebody is at work there");
            assert!(size(shelf.0.path(), true) >= 100_000);
        });
    }

    #[test]
    fn a_sibling_is_removed_when_nobody_uses_it_and_foreign_folders_stay() {
        let shelf = Shelf::new();
        let folder = shelf.folder("bakery-amelia", 2);
        fs::create_dir_all(folder.join("repo.gone-1/x")).unwrap();
        shelf.folder("bakery-amelia.2", 1);
        fs::create_dir_all(shelf.0.path().join(".cache/npm")).unwrap();
        fs::create_dir_all(shelf.0.path().join(".removed-1/repo")).unwrap();
        assert_eq!(shelf.tidy(u64::MAX), ["bakery-amelia.2"]);
        let mut left: Vec<_> =
            fs::read_dir(shelf.0.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, [".cache", "bakery-amelia"], "what an earlier run began to remove is gone too");
        assert!(!folder.join("repo.gone-1").exists());
    }
}
