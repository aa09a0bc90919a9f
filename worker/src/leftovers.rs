//! Processes that outlived the job that started them: they left its process group, or their worker was killed. They are
//! known by the workspace lock that they inherited, and by nothing else.

use std::fs::{File, read_dir, read_link, read_to_string};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Somebody who forks while they are looked for is found by the next look.
const LOOKS: u32 = 5;

/// Kills whoever still holds this lock beside us.
pub fn kill_holders(lock: &File) {
    let Ok(path) = read_link(format!("/proc/self/fd/{}", lock.as_raw_fd())) else { return };
    for _ in 0..LOOKS {
        let holders = holders(&path);
        if holders.is_empty() {
            return;
        }
        for holder in holders {
            tracing::warn!(process = holder.as_raw(), "a process that outlived its job is killed");
            // It may have ended meanwhile.
            kill(holder, Signal::SIGKILL).ok();
        }
    }
}

/// Kills what still holds one of these locks although the worker that took it is gone.
pub fn end_orphans(locks: impl Iterator<Item = PathBuf>) {
    let table = table();
    for lock in locks.filter_map(|path| File::open(path).ok()) {
        if is_orphan_of(&table, &lock) {
            kill_holders(&lock);
        }
    }
}

/// Whether the process that took a lock is gone, so that whoever holds it has outlived its worker. When in doubt it is
/// not.
pub fn is_orphaned(lock: &File) -> bool {
    is_orphan_of(&table(), lock)
}

/// All locks of this machine.
fn table() -> String {
    read_to_string("/proc/locks").unwrap_or_default()
}

fn is_orphan_of(table: &str, lock: &File) -> bool {
    let Ok(inode) = lock.metadata().map(|meta| meta.ino()) else { return false };
    let mut takers = table.lines().filter_map(|line| taker(line, inode)).peekable();
    takers.peek().is_some() && takers.all(|taker| taker > 0 && !Path::new(&format!("/proc/{taker}")).exists())
}

/// The first child of a process, while it has one.
pub fn first_child(process: Pid) -> Option<Pid> {
    let children = read_to_string(format!("/proc/{process}/task/{process}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok().map(Pid::from_raw)
}

/// Whether a process runs; one that is dead and not waited for does not.
pub fn is_alive(process: Pid) -> bool {
    let state = read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    state.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// Who took this lock: `1: FLOCK  ADVISORY  WRITE 1234 08:01:5678 0 EOF`.
fn taker(line: &str, inode: u64) -> Option<i32> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [_, "FLOCK", _, _, process, place, ..] = fields.as_slice() else { return None };
    let same = place.rsplit(':').next()? == inode.to_string();
    same.then(|| process.parse().unwrap_or_default())
}

/// Our own children between fork and exec are still ourselves.
fn holders(lock: &Path) -> Vec<Pid> {
    let own = read_link("/proc/self/exe").ok();
    let processes = read_dir("/proc").into_iter().flatten().flatten();
    let holds = |process: &PathBuf| {
        let mut files = read_dir(process.join("fd")).into_iter().flatten().flatten();
        files.any(|file| read_link(file.path()).is_ok_and(|open| open == lock))
            && read_link(process.join("exe")).ok() != own
    };
    let id = |process: PathBuf| process.file_name()?.to_str()?.parse().ok().map(Pid::from_raw);
    processes.map(|process| process.path()).filter(holds).filter_map(id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_taker_of_a_lock_is_read() {
        let line = "1: FLOCK  ADVISORY  WRITE 1234 08:01:5678 0 EOF";
        assert_eq!(taker(line, 5678), Some(1234));
        assert_eq!(taker(line, 78), None);
        assert_eq!(taker(&line.replace("FLOCK", "POSIX"), 5678), None);
    }

    #[test]
    fn a_lock_of_a_living_process_is_not_orphaned() {
        let folder = tempfile::tempdir().unwrap();
        let file = File::create(folder.path().join("lock")).unwrap();
        assert!(!is_orphaned(&file), "nobody took it");
        file.lock().unwrap();
        assert!(!is_orphaned(&file));
    }
}
