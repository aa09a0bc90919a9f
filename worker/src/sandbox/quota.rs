//! How much the folders of a child hold, and its open files that have no name any more. A walk is dear, so that the free space
//! of the file system says when one is due.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::statvfs::statvfs;
use nix::unistd::Pid;

use super::cgroup::Cage;

/// How often the free space is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);
const LOOKS_PER_WALK: u32 = 60;
const BLOCK_BYTES: u64 = 512;
/// What a file costs that has nothing in it.
const MIN_FILE_BYTES: u64 = 1024;

/// Folders that together may hold so much.
#[derive(Debug, Clone)]
pub struct Quota {
    /// On one file system.
    pub folders: Vec<PathBuf>,
    /// At most.
    pub max_bytes: u64,
}

impl Quota {
    /// Ends when they hold more. What was opened by those in the cage and then removed counts, too.
    pub async fn is_exceeded(self, cage: Option<Arc<Cage>>) {
        let mut held = self.measured(cage.clone()).await;
        let mut free_before = self.free();
        let mut tick = tokio::time::interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut looks = 0;
        while held <= self.max_bytes {
            tick.tick().await;
            looks += 1;
            let free = self.free();
            // Others write to and clear the same disk; only a walk tells whose it is.
            if looks % LOOKS_PER_WALK == 0 || free_before.saturating_sub(free) > (self.max_bytes - held) / 2 {
                held = self.measured(cage.clone()).await;
                free_before = free;
            }
        }
    }

    async fn measured(&self, cage: Option<Arc<Cage>>) -> u64 {
        let folders = self.folders.clone();
        let walk = move || {
            let named = folders.iter().map(|folder| held(folder)).fold(0, u64::saturating_add);
            let disk = folders.first().and_then(|folder| folder.metadata().ok()).map(|meta| meta.dev());
            let nameless = cage.zip(disk).map_or(0, |(cage, disk)| without_name(&cage.inmates(), disk));
            named.saturating_add(nameless)
        };
        tokio::task::spawn_blocking(walk).await.unwrap_or_default()
    }

    /// Free bytes of the file system; a folder that is gone says nothing.
    fn free(&self) -> u64 {
        let found = self.folders.first().and_then(|folder| statvfs(folder).ok());
        found.map_or(0, |stat| stat.blocks_available().saturating_mul(stat.fragment_size()))
    }
}

/// Bytes on the disk below a folder, without following links. What vanishes meanwhile holds nothing; a folder that cannot be
/// looked into, because it lies deeper than paths go or its owner has shut it, holds too much, since nobody can say how much.
fn held(folder: &Path) -> u64 {
    let mut sum: u64 = 0;
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        match held_in(&folder, &mut folders) {
            Ok(bytes) => sum = sum.saturating_add(bytes),
            Err(error) if is_gone(&error) => {}
            Err(_) => return u64::MAX,
        }
    }
    sum
}

/// Bytes of what lies in a folder itself; its folders are still to be looked into.
fn held_in(folder: &Path, folders: &mut Vec<PathBuf>) -> io::Result<u64> {
    let mut sum = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let meta = match entry.metadata() {
            Err(error) if is_gone(&error) => continue,
            meta => meta?,
        };
        sum += (meta.blocks() * BLOCK_BYTES).max(MIN_FILE_BYTES);
        if meta.is_dir() {
            folders.push(entry.path());
        }
    }
    Ok(sum)
}

/// Whether there is nothing, or something else than a folder by now.
fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Bytes of files on this disk that have no name, and that these processes hold open or in their memory.
fn without_name(processes: &[Pid], disk: u64) -> u64 {
    let mut seen = BTreeMap::new();
    for process in processes {
        let process = PathBuf::from(format!("/proc/{process}"));
        // A thread may have files of its own, which the process does not list.
        let of_threads = entries(&process.join("task")).map(|thread| thread.join("fd"));
        let held = of_threads.chain([process.join("map_files")]).flat_map(|folder| entries(&folder));
        for meta in held.filter_map(|file| file.metadata().ok()) {
            if meta.is_file() && meta.nlink() == 0 && meta.dev() == disk {
                seen.insert(meta.ino(), meta.blocks() * BLOCK_BYTES);
            }
        }
    }
    seen.values().sum()
}

/// What lies in a folder; nothing where it is gone.
fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folders::tests::{as_ordinary_user, set_rights};

    #[tokio::test]
    async fn folders_that_hold_too_much_are_noticed_at_once() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("x")).unwrap();
        std::fs::write(folder.path().join("x/a"), vec![1; 100_000]).unwrap();
        let quota = Quota { folders: vec![folder.path().to_owned()], max_bytes: 50_000 };
        tokio::time::timeout(Duration::from_secs(5), quota.is_exceeded(None)).await.unwrap();
    }

    #[test]
    fn a_folder_that_nobody_may_look_into_holds_too_much() {
        let folder = tempfile::tempdir().unwrap();
        let shut = folder.path().join("shut");
        as_ordinary_user(folder.path(), || {
            std::fs::create_dir(&shut).unwrap();
            std::fs::write(shut.join("0"), "x").unwrap();
            assert!(held(folder.path()) < 100_000);
            for mode in [0, 0o300, 0o400] {
                set_rights(&shut, mode);
                assert_eq!(held(folder.path()), u64::MAX, "{mode:o}");
            }
            set_rights(&shut, 0o700);
        });
    }

    #[test]
    fn a_link_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/usr", folder.path().join("usr")).unwrap();
        assert!(held(folder.path()) < 10_000);
    }

    #[test]
    fn an_open_file_that_was_removed_still_counts() {
        let folder = tempfile::tempdir().unwrap();
        let disk = folder.path().metadata().unwrap().dev();
        let before = without_name(&[Pid::this()], disk);
        let path = folder.path().join("x");
        let mut file = std::fs::File::create(&path).unwrap();
        std::io::Write::write_all(&mut file, &vec![1; 300_000]).unwrap();
        file.sync_all().unwrap();
        assert_eq!(held(folder.path()) / 100_000, 3);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(held(folder.path()), 0);
        assert!(without_name(&[Pid::this()], disk) >= before + 300_000);
    }

    #[test]
    fn what_a_thread_keeps_to_itself_counts() {
        use nix::sched::{CloneFlags, unshare};
        let folder = tempfile::tempdir().unwrap();
        let disk = folder.path().metadata().unwrap().dev();
        let before = without_name(&[Pid::this()], disk);
        let path = folder.path().join("x");
        let (held, until) = (std::sync::Barrier::new(2), std::sync::Barrier::new(2));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                unshare(CloneFlags::CLONE_FILES).unwrap();
                let mut file = std::fs::File::create(&path).unwrap();
                std::io::Write::write_all(&mut file, &vec![1; 30_000_000]).unwrap();
                file.sync_all().unwrap();
                std::fs::remove_file(&path).unwrap();
                held.wait();
                until.wait();
            });
            held.wait();
            let now = without_name(&[Pid::this()], disk);
            until.wait();
            assert!(now >= before + 20_000_000, "{before} {now}");
        });
    }
}
