//! Objects that are kept for a time only: raw mails, bodies of large messages, unfinished work. They go by the time of their
//! last writing, as the lifecycle of a bucket has it.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::disk::Disk;
use super::paths;
use crate::cloud::files::{At, Space};
use crate::domain::names::OBJECTS_KEPT_FOR_DAYS;
use crate::domain::timestamp::Timestamp;

/// How often a process looks for them.
const EVERY: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// When this process last looked.
#[derive(Debug, Default)]
pub(super) struct Looks(Mutex<Option<Instant>>);

impl Looks {
    /// Whether it is time to look; whoever is told so looks.
    pub(super) fn is_due(&self) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = last.is_none_or(|at| at.elapsed() >= EVERY);
        if due {
            *last = Some(Instant::now());
        }
        due
    }
}

/// Removes the objects whose time is over; what cannot be removed is tried again later.
pub(super) fn expire(disk: &Disk, objects: &Path, now: Timestamp) {
    for (prefix, days) in OBJECTS_KEPT_FOR_DAYS {
        let last_written = before(now, DAY * u32::from(days));
        let keys = match paths::list(objects, prefix) {
            Ok(keys) => keys,
            Err(error) => {
                tracing::warn!(%error, "old objects below {prefix} cannot be looked for");
                continue;
            }
        };
        let old = keys.into_iter().filter(|key| is_older(&objects.join(key), last_written));
        let removed = old
            .map(|key| At { space: Space::Objects, key })
            .filter(|at| remove(disk, at, last_written))
            .count();
        if removed > 0 {
            tracing::info!(removed, "objects below {prefix} were removed after {days} days");
        }
    }
}

fn before(now: Timestamp, age: Duration) -> SystemTime {
    let now = Duration::from_millis(u64::try_from(now.millis()).unwrap_or_default());
    UNIX_EPOCH + now.saturating_sub(age)
}

/// Whether a file was last written before then.
pub(super) fn is_older(path: &PathBuf, than: SystemTime) -> bool {
    std::fs::symlink_metadata(path).and_then(|about| about.modified()).is_ok_and(|modified| modified < than)
}

fn remove(disk: &Disk, at: &At, last_written: SystemTime) -> bool {
    disk.forget(at, last_written)
        .inspect_err(|error| tracing::warn!(%error, "an old object cannot be removed yet"))
        .unwrap_or(false)
}
