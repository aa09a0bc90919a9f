//! What can go wrong inside a database closure, and how it is told outside.

use std::path::Path;

use rusqlite::ErrorCode;

use crate::cloud::CloudError;

/// The result of a database closure.
pub(super) type Outcome<T> = Result<T, Fault>;

/// A refusal of ours, or a failure of SQLite.
#[derive(Debug)]
pub(super) enum Fault {
    /// The rule says no.
    Refused(CloudError),
    /// SQLite says no.
    Sql(rusqlite::Error),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<CloudError> for Fault {
    fn from(error: CloudError) -> Self {
        Self::Refused(error)
    }
}

impl Fault {
    /// Whether somebody else has the database for a moment.
    pub(super) fn is_busy(&self) -> bool {
        use ErrorCode::{DatabaseBusy, DatabaseLocked};
        matches!(self, Self::Sql(error) if matches!(error.sqlite_error_code(), Some(DatabaseBusy | DatabaseLocked)))
    }

    /// The error for the caller who tried `what`.
    pub(super) fn told(self, what: &str, database: &Path) -> CloudError {
        match self {
            Self::Refused(error) => error,
            Self::Sql(error) => sql(what, database, &error),
        }
    }
}

/// The error for a caller whose call met this failure of SQLite.
pub(super) fn sql(what: &str, database: &Path, error: &rusqlite::Error) -> CloudError {
    let place = database.display();
    match advice(error) {
        Some(advice) => CloudError::unavailable(what, format!("{place}: {error}; {advice}")),
        None => CloudError::Invalid(format!("{what}: {place}: {error}")),
    }
}

/// What to do about a failure that may pass; none for one that cannot.
pub(super) fn advice(error: &rusqlite::Error) -> Option<&'static str> {
    match error.sqlite_error_code()? {
        ErrorCode::DiskFull => Some("the disk is full, make room on it"),
        ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied => Some(
            "it cannot be written, check its owner, its rights and whether its file system is mounted read-only",
        ),
        ErrorCode::SystemIoFailure => {
            Some("the file system failed, check that the disk has room and is healthy")
        }
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
            Some("another process holds it, look for a stopped hermes or worker")
        }
        ErrorCode::OutOfMemory => Some("no memory is left, make some free"),
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => {
            Some("the file is damaged, stop hermes and its workers and put a backup in its place")
        }
        _ => None,
    }
}
