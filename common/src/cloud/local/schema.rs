//! The schema of the database, brought up to date when it is opened. `user_version` counts the migrations applied.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

use super::{durable, fault};
use crate::cloud::{CloudError, Result};

/// Every migration, in order. Those that were released are never changed.
const MIGRATIONS: [&str; 3] = [
    include_str!("migrations/0001_first.sql"),
    include_str!("migrations/0002_expiry.sql"),
    include_str!("migrations/0003_kept.sql"),
];

/// The one connection that writes keeps the pages that every mail touches (KiB, as a negative number), and copies the log into
/// the database when it has so many pages: a page that was written often meanwhile is copied once.
const WRITER: [(&str, i32); 2] = [("cache_size", -4096), ("wal_autocheckpoint", 4000)];

/// How long a reader waits for the database.
const BUSY: Duration = Duration::from_secs(15);

/// A connection with our settings: a commit is synced before it returns, and memory is small.
pub(super) fn connect(database: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(database)?;
    connection.busy_timeout(BUSY)?;
    connection.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA cache_size = -1024;
         PRAGMA temp_store = MEMORY; PRAGMA journal_size_limit = 16777216;",
    )?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// The same, that never waits for the database.
pub(super) fn connect_impatient(database: &Path) -> rusqlite::Result<Connection> {
    let connection = connect(database)?;
    connection.busy_timeout(Duration::ZERO)?;
    Ok(connection)
}

/// Opens the database for writing, makes it when absent and brings it up to date.
pub(super) fn open(database: &Path, lock: &Path) -> Result<Connection> {
    const WHAT: &str = "opening the database";
    let file = |error: std::io::Error| {
        CloudError::unavailable(WHAT, format!("{}: {error}; {}", lock.display(), durable::advice(&error)))
    };
    let guard = durable::open_lock(lock).map_err(file)?;
    durable::lock_within(&guard, BUSY).map_err(file)?;
    let mut connection = connect(database).map_err(|e| fault::sql(WHAT, database, &e))?;
    let found = version(&connection).map_err(|e| fault::sql(WHAT, database, &e))?;
    if found > MIGRATIONS.len() {
        return Err(CloudError::Invalid(format!(
            "{} was written by a newer hermes (schema {found}, this one knows {}): start the newer one, or name another --data-dir",
            database.display(),
            MIGRATIONS.len()
        )));
    }
    for (pragma, value) in WRITER {
        connection.pragma_update(None, pragma, value).map_err(|e| fault::sql(WHAT, database, &e))?;
    }
    if found < MIGRATIONS.len() {
        migrate(&mut connection, found).map_err(|e| fault::sql(WHAT, database, &e))?;
        database.parent().map_or(Ok(()), durable::sync_folder).map_err(file)?;
    }
    Ok(connection)
}

fn version(connection: &Connection) -> rusqlite::Result<usize> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    Ok(usize::try_from(version).unwrap_or(usize::MAX))
}

fn migrate(connection: &mut Connection, found: usize) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    let transaction = connection.transaction()?;
    for migration in &MIGRATIONS[found..] {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "user_version", i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX))?;
    transaction.commit()
}
