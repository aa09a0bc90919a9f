//! What lies where in the data directory, and the check that it can be used at all.

use std::fs::{DirBuilder, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::durable;
use crate::cloud::{CloudError, Result};

/// What lies unfinished for longer was left by a process that is gone.
const MAX_UNFINISHED: Duration = Duration::from_hours(1);

/// The data directory.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    root: PathBuf,
}

impl Layout {
    /// Makes the directory (only we may look into it) and its folders, and checks that they can be written.
    pub(super) fn create(root: &Path) -> Result<Self> {
        let layout = Self { root: absolute(root)? };
        layout.make_root()?;
        for folder in [
            layout.objects(),
            layout.sites(),
            layout.outbox(),
            layout.wake(),
            layout.unfinished(),
            layout.locks(),
        ] {
            make_folder(&folder)?;
        }
        let now = layout.check_writable()?;
        layout.clear_leftovers(now);
        Ok(layout)
    }

    fn make_root(&self) -> Result<()> {
        let fresh: Vec<&Path> = self.root.ancestors().take_while(|folder| !folder.exists()).collect();
        DirBuilder::new().recursive(true).mode(0o700).create(&self.root).map_err(|error| {
            if self.root.is_file() || error.kind() == ErrorKind::AlreadyExists {
                CloudError::Invalid(format!(
                    "the data directory {} is not a directory: name another one (--data-dir)",
                    self.root.display()
                ))
            } else {
                self.unusable(&error)
            }
        })?;
        fresh
            .into_iter()
            .filter_map(Path::parent)
            .try_for_each(durable::sync_folder)
            .map_err(|error| self.unusable(&error))
    }

    /// The answer is the present time of the file system.
    fn check_writable(&self) -> Result<SystemTime> {
        let probe = self.unfinished().join("probe");
        OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .open(&probe)
            .and_then(|probe| probe.metadata()?.modified())
            .map_err(|e| self.unusable(&e))
    }

    /// A process that was killed may have left a file half written; nobody writes one for so long.
    fn clear_leftovers(&self, now: SystemTime) {
        for entry in std::fs::read_dir(self.unfinished()).into_iter().flatten().flatten() {
            let age = entry.metadata().and_then(|about| about.modified()).ok();
            let age = age.and_then(|modified| now.duration_since(modified).ok());
            if age.is_some_and(|age| age > MAX_UNFINISHED)
                && let Err(error) = std::fs::remove_file(entry.path())
            {
                tracing::warn!(%error, "a file that was left half written cannot be removed from {}", entry.path().display());
            }
        }
    }

    fn unusable(&self, error: &std::io::Error) -> CloudError {
        let advice = durable::advice(error);
        CloudError::Invalid(format!(
            "the data directory {} cannot be used ({error}): {advice}",
            self.root.display()
        ))
    }

    /// The data directory itself.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Queues, claims and tables.
    pub(super) fn database(&self) -> PathBuf {
        self.root.join("hermes.db")
    }

    /// The private objects.
    pub(super) fn objects(&self) -> PathBuf {
        self.root.join("objects")
    }

    /// One folder per host name.
    pub(super) fn sites(&self) -> PathBuf {
        self.root.join("sites")
    }

    /// Sent mail.
    pub(super) fn outbox(&self) -> PathBuf {
        self.root.join("outbox")
    }

    /// Files that are touched when a queue gets a message.
    pub(super) fn wake(&self) -> PathBuf {
        self.root.join("wake")
    }

    /// Files that are still being written.
    pub(super) fn unfinished(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// Lock files; they are empty.
    pub(super) fn locks(&self) -> PathBuf {
        self.root.join("locks")
    }
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|e| {
        CloudError::Invalid(format!("the data directory {} has no absolute path: {e}", path.display()))
    })
}

fn make_folder(folder: &Path) -> Result<()> {
    let unusable = |error: std::io::Error| {
        CloudError::Invalid(format!(
            "{} cannot be made ({error}): {}",
            folder.display(),
            durable::advice(&error)
        ))
    };
    if folder.is_dir() {
        return Ok(());
    }
    match std::fs::create_dir(folder) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists && folder.is_dir() => {}
        Err(error) => return Err(unusable(error)),
    }
    folder.parent().map_or(Ok(()), durable::sync_folder).map_err(unusable)
}
