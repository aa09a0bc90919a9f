//! Files that survive a power cut: content synced, then its folder; and locks that hold across processes.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use uuid::Uuid;

/// How long to pause between two looks at a lock that another process holds.
const LOOK_AGAIN: Duration = Duration::from_micros(250);

/// Makes the entries of a folder durable.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Writes the bytes to a new file and syncs it; the caller moves it to its place.
pub(super) fn write_unfinished(folder: &Path, bytes: &[u8]) -> io::Result<Unfinished> {
    let unfinished = Unfinished { path: folder.join(Uuid::new_v4().simple().to_string()) };
    let mut file = OpenOptions::new().create_new(true).write(true).open(&unfinished.path)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    Ok(unfinished)
}

/// Copies a file to a new one and syncs that.
pub(super) fn copy_unfinished(folder: &Path, from: &Path) -> io::Result<Unfinished> {
    let unfinished = Unfinished { path: folder.join(Uuid::new_v4().simple().to_string()) };
    std::fs::copy(from, &unfinished.path)?;
    File::open(&unfinished.path)?.sync_all()?;
    Ok(unfinished)
}

/// A file that is not in its place yet; dropped, it is gone.
pub(super) struct Unfinished {
    path: PathBuf,
}

impl Unfinished {
    /// Where it lies for now.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // After a rename there is nothing left to remove.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A lock file of the data directory. The lock is the kernel's: it ends with the process that holds it.
pub(super) fn open_lock(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(false).write(true).open(path)
}

/// Takes the lock unless somebody else keeps it for longer than `limit`. It ends when the file is dropped or unlocked.
pub(super) fn lock_within(file: &File, limit: Duration) -> io::Result<()> {
    let deadline = Instant::now() + limit;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if Instant::now() >= deadline => {
                return Err(ErrorKind::TimedOut.into());
            }
            Err(TryLockError::WouldBlock) => std::thread::park_timeout(LOOK_AGAIN),
        }
    }
}

/// What somebody who reads of this failure should do.
pub(super) fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "the disk is full, make room on it",
        ErrorKind::ReadOnlyFilesystem => "its file system is mounted read-only, mount it writable",
        ErrorKind::PermissionDenied => "give this user the right to write there, or name another directory",
        ErrorKind::FileTooLarge => "the file is larger than this process may write, raise its limit",
        ErrorKind::TimedOut => "another process holds its lock, look for a stopped hermes or worker",
        _ => "check the disk and the rights of the directory",
    }
}
