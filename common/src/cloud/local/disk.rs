//! Files on the disk. A write goes to a new file, is synced, and takes its place by a rename under a lock that holds
//! across processes; then its folder is synced.

use std::collections::HashSet;
use std::fs::{File, Metadata};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

use super::durable::{self, Unfinished};
use super::expiry;
use super::layout::Layout;
use super::part;
use super::paths::{self, Found};
use crate::cloud::files::{At, Etag, FileContent, FilePart, Headers, IfMatch, Space};
use crate::cloud::{CloudError, Result};

/// How long another process may hold the lock of a key.
const LOCK: Duration = Duration::from_secs(15);
/// How many folders are remembered as synced.
const MAX_REMEMBERED: usize = 4096;

/// The directory, with blocking calls.
pub(super) struct Disk {
    layout: Layout,
    /// Folders whose own entry is known to be on the disk.
    synced: Mutex<HashSet<PathBuf>>,
}

impl Disk {
    /// Below this directory.
    pub(super) fn new(layout: Layout) -> Self {
        Self { layout, synced: Mutex::default() }
    }

    fn root(&self, at: &At) -> PathBuf {
        paths::folder(&self.layout, &at.space)
    }

    fn path(&self, at: &At) -> PathBuf {
        self.root(at).join(&at.key)
    }

    /// What lies at a place.
    pub(super) fn look(&self, doing: &str, at: &At) -> Result<Found> {
        paths::look(&self.root(at), &at.key).map_err(|e| failed(doing, at, &e))
    }

    /// Writes a file if the condition holds.
    pub(super) fn put(&self, at: &At, bytes: &[u8], condition: &IfMatch) -> Result<Etag> {
        if *condition == IfMatch::Absent && self.look("writing", at)? == Found::File {
            return Err(self.taken(at));
        }
        let fresh = durable::write_unfinished(&self.layout.unfinished(), bytes)
            .map_err(|e| failed("writing", at, &e))?;
        let about = std::fs::metadata(fresh.path()).map_err(|e| failed("writing", at, &e))?;
        self.place(at, &fresh, condition)?;
        Ok(etag(bytes, &about))
    }

    /// A file that is there already. Whoever wrote it may not have come to the sync of its folder yet, and the caller
    /// may take our conflict for "it is safely stored", so it is synced before we say so.
    fn taken(&self, at: &At) -> CloudError {
        let path = self.path(at);
        let synced = self
            .make_folder(path.parent().unwrap_or(&path))
            .and_then(|()| File::open(&path)?.sync_all())
            .and_then(|()| path.parent().map_or(Ok(()), durable::sync_folder));
        match synced {
            Ok(()) => CloudError::Conflict(at.to_string()),
            Err(error) => failed("writing", at, &error),
        }
    }

    fn place(&self, at: &At, fresh: &Unfinished, condition: &IfMatch) -> Result<()> {
        let path = self.path(at);
        let guard = self.lock(at)?;
        let found = self.look("writing", at)?;
        match (condition, found) {
            (IfMatch::Any, _) | (IfMatch::Absent, Found::Nothing | Found::Folder) => {}
            (IfMatch::Absent, Found::File) => return Err(self.taken(at)),
            (IfMatch::Etag(expected), Found::File) if self.etag_of(at)? == *expected => {}
            (IfMatch::Etag(_), _) => return Err(CloudError::Conflict(at.to_string())),
        }
        if found == Found::Folder {
            clear_folder(at, &path)?;
        }
        self.rename(fresh, &path).map_err(|error| match error.kind() {
            ErrorKind::NotADirectory | ErrorKind::AlreadyExists => below_a_file(at),
            _ => failed("writing", at, &error),
        })?;
        drop(guard);
        path.parent().map_or(Ok(()), durable::sync_folder).map_err(|e| failed("writing", at, &e))
    }

    fn rename(&self, fresh: &Unfinished, path: &Path) -> io::Result<()> {
        if let Some(folder) = path.parent() {
            self.make_folder(folder)?;
        }
        std::fs::rename(fresh.path(), path)
    }

    /// Makes the folders of a file, each durable in its parent.
    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        if folder == self.layout.root() || self.is_synced(folder) {
            return if folder.is_dir() { Ok(()) } else { self.make_again(folder) };
        }
        self.make_new(folder)
    }

    fn make_again(&self, folder: &Path) -> io::Result<()> {
        self.synced.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.make_new(folder)
    }

    fn make_new(&self, folder: &Path) -> io::Result<()> {
        let Some(parent) = folder.parent() else { return Ok(()) };
        self.make_folder(parent)?;
        match std::fs::create_dir(folder) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists && folder.is_dir() => {}
            made => made?,
        }
        // Also when somebody else made it: they may not have come to this sync yet.
        durable::sync_folder(parent)?;
        self.remember(folder);
        Ok(())
    }

    fn is_synced(&self, folder: &Path) -> bool {
        self.synced.lock().unwrap_or_else(PoisonError::into_inner).contains(folder)
    }

    fn remember(&self, folder: &Path) {
        let mut synced = self.synced.lock().unwrap_or_else(PoisonError::into_inner);
        if synced.len() >= MAX_REMEMBERED {
            synced.clear();
        }
        synced.insert(folder.to_owned());
    }

    fn lock(&self, at: &At) -> Result<File> {
        let bucket = Sha256::digest(at.to_string().as_bytes())[0] % 64;
        let locked = || -> io::Result<File> {
            let file = durable::open_lock(&self.layout.locks().join(format!("files-{bucket:02}")))?;
            durable::lock_within(&file, LOCK)?;
            Ok(file)
        };
        locked().map_err(|e| failed("locking", at, &e))
    }

    /// Reads a file.
    pub(super) fn get(&self, at: &At) -> Result<Option<FileContent>> {
        if self.look("reading", at)? != Found::File {
            return Ok(None);
        }
        match read(&self.path(at)) {
            Ok((bytes, etag)) => {
                Ok(Some(FileContent { etag, bytes: bytes.into(), headers: Headers::of(at) }))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("reading", at, &error)),
        }
    }

    /// Reads part of a file.
    pub(super) fn read_range(&self, at: &At, offset: u64, len: usize) -> Result<Option<FilePart>> {
        if self.look("reading", at)? != Found::File {
            return Ok(None);
        }
        match part::read(&self.path(at), offset, len) {
            Ok(part) => Ok(Some(part)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("reading", at, &error)),
        }
    }

    /// The etag of a file; none when nothing is there.
    pub(super) fn etag(&self, at: &At) -> Result<Option<Etag>> {
        match self.look("looking for", at)? {
            Found::File => self.etag_of(at).map(Some),
            Found::Nothing | Found::Folder => Ok(None),
        }
    }

    fn etag_of(&self, at: &At) -> Result<Etag> {
        read(&self.path(at)).map(|(_, etag)| etag).map_err(|e| failed("reading", at, &e))
    }

    /// Copies a file if the condition holds for the place it goes to.
    pub(super) fn copy(&self, from: &At, to: &At, condition: &IfMatch) -> Result<Etag> {
        if self.look("copying", from)? != Found::File {
            return Err(CloudError::NotFound(from.to_string()));
        }
        let copied = durable::copy_unfinished(&self.layout.unfinished(), &self.path(from));
        let fresh = copied.map_err(|error| match error.kind() {
            ErrorKind::NotFound => CloudError::NotFound(from.to_string()),
            _ => failed("copying", from, &error),
        })?;
        let (_, etag) = read(fresh.path()).map_err(|e| failed("copying", from, &e))?;
        self.place(to, &fresh, condition)?;
        Ok(etag)
    }

    /// Deletes a file if the condition holds; fine when there is none.
    pub(super) fn delete(&self, at: &At, condition: &IfMatch) -> Result<()> {
        let _guard = self.lock(at)?;
        if self.look("deleting", at)? != Found::File {
            return Ok(());
        }
        match condition {
            IfMatch::Any => {}
            IfMatch::Etag(expected) if self.etag_of(at)? == *expected => {}
            IfMatch::Etag(_) | IfMatch::Absent => return Err(CloudError::Conflict(at.to_string())),
        }
        let path = self.path(at);
        std::fs::remove_file(&path)
            .and_then(|()| path.parent().map_or(Ok(()), durable::sync_folder))
            .map_err(|e| failed("deleting", at, &e))
    }

    /// Deletes a file that was last written before then; whether it was.
    pub(super) fn forget(&self, at: &At, last_written: SystemTime) -> Result<bool> {
        let _guard = self.lock(at)?;
        let path = self.path(at);
        if self.look("deleting", at)? != Found::File || !expiry::is_older(&path, last_written) {
            return Ok(false);
        }
        // Not synced: what comes back after a crash is removed again.
        std::fs::remove_file(&path).map_err(|e| failed("deleting", at, &e))?;
        Ok(true)
    }

    /// The keys below a prefix, in order.
    pub(super) fn list(&self, space: &Space, prefix: &str) -> Result<Vec<String>> {
        paths::list(&paths::folder(&self.layout, space), prefix).map_err(|e| {
            CloudError::unavailable("listing files", format!("{prefix}: {e}; {}", durable::advice(&e)))
        })
    }
}

/// Makes way for a file where keys used to lie below; keys that still do are no reason to lose them.
fn clear_folder(at: &At, path: &Path) -> Result<()> {
    remove_empty(path).map_err(|_| {
        CloudError::Invalid(format!(
            "{at} cannot be written: there are keys below it, as if it were a folder"
        ))
    })
}

/// Removes a folder that holds nothing but empty folders.
fn remove_empty(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            return Err(ErrorKind::DirectoryNotEmpty.into());
        }
        remove_empty(&entry.path())?;
    }
    std::fs::remove_dir(folder)
}

fn read(path: &Path) -> io::Result<(Vec<u8>, Etag)> {
    let mut file = File::open(path)?;
    let about = file.metadata()?;
    let mut bytes = Vec::with_capacity(usize::try_from(about.len()).unwrap_or_default());
    file.read_to_end(&mut bytes)?;
    let etag = etag(&bytes, &about);
    Ok((bytes, etag))
}

/// Of the content and of the file: a file is never written in place, so the same bytes written again are another one.
/// Whoever holds the etag of the first writing learns that there were others in between.
fn etag(bytes: &[u8], about: &Metadata) -> Etag {
    let hash = hex::encode(Sha256::digest(bytes));
    Etag(format!("{hash}-{:x}-{:x}.{:x}", about.ino(), about.mtime(), about.mtime_nsec()))
}

fn below_a_file(at: &At) -> CloudError {
    CloudError::Invalid(format!("{at} cannot be written: a beginning of its key is a file, not a folder"))
}

fn failed(doing: &str, at: &At, error: &io::Error) -> CloudError {
    if error.kind() == ErrorKind::InvalidInput {
        // Something else lies there; asking again does not change it.
        return CloudError::Invalid(format!("{doing} {at}: {error}"));
    }
    CloudError::unavailable(format!("{doing} {at}"), format!("{error}; {}", durable::advice(error)))
}
