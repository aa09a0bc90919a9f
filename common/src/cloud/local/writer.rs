//! The one thread of a process that writes. It takes what waits, runs it in one transaction with a savepoint for each
//! closure, and answers everybody after the commit is on the disk.

use std::fs::File;
use std::ops::Deref;
use std::path::Path;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use rusqlite::Connection;

use super::durable;
use super::fault::{self, Fault, Outcome};
use super::wake::{Buckets, Wake};
use crate::cloud::CloudError;

/// The most closures of one transaction.
const MAX_BATCH: usize = 256;
/// How long another process may hold the database before we give up.
const BUSY: Duration = Duration::from_secs(15);
/// How often we look whether it still does.
const LOOK_AGAIN: Duration = Duration::from_micros(250);
/// How long we let others go first. The turn is a courtesy: whoever stands still while holding it stops nobody for longer.
const TURN: Duration = Duration::from_millis(500);

/// A closure that writes (there is no transaction when it could not begin, or has failed as a whole), and says
/// afterwards whom to answer.
pub(super) type Write = Box<dyn FnOnce(Option<&mut Tx<'_>>) -> Answer + Send>;

/// Tells the caller how it went.
pub(super) struct Answer(Tell);

type Tell = Box<dyn FnOnce(Result<(), &Uncommitted>) + Send>;

impl Answer {
    /// Called once, after the commit was done or had failed.
    pub(super) fn new(tell: impl FnOnce(Result<(), &Uncommitted>) + Send + 'static) -> Self {
        Self(Box::new(tell))
    }
}

/// Why a transaction did not get onto the disk.
pub(super) struct Uncommitted(String);

impl Uncommitted {
    /// The error for a caller who tried `what`.
    pub(super) fn under(&self, what: &str) -> CloudError {
        CloudError::unavailable(what, &self.0)
    }
}

/// The transaction as a closure sees it.
pub(super) struct Tx<'a> {
    connection: &'a Connection,
    woken: Buckets,
}

impl Deref for Tx<'_> {
    type Target = Connection;
    fn deref(&self) -> &Connection {
        self.connection
    }
}

impl Tx<'_> {
    /// Wakes, after the commit, whoever waits for this queue.
    pub(super) fn wake(&mut self, queue: &str) {
        self.woken.add(queue);
    }

    /// Runs a closure so that its failure undoes its own writes only.
    pub(super) fn apart<T>(&mut self, run: impl FnOnce(&mut Self) -> Outcome<T>) -> Outcome<T> {
        self.step("SAVEPOINT apart")?;
        match run(self) {
            Ok(value) => {
                self.step("RELEASE apart")?;
                Ok(value)
            }
            Err(fault) => {
                // SQLite has undone everything already when the whole transaction failed.
                if !self.connection.is_autocommit() {
                    self.step("ROLLBACK TO apart")?;
                    self.step("RELEASE apart")?;
                }
                Err(fault)
            }
        }
    }

    fn step(&self, statement: &str) -> Outcome<()> {
        self.connection.prepare_cached(statement)?.execute([]).map(|_| ()).map_err(Fault::Sql)
    }
}

/// Runs until every handle is dropped.
pub(super) fn run(
    mut connection: Connection,
    path: &Path,
    turn: &Path,
    wake: &Wake,
    writes: &Receiver<Write>,
) {
    wait_evenly(&mut connection);
    let turn = durable::open_lock(turn).ok();
    while let Ok(first) = writes.recv() {
        let mut batch: Vec<Write> = Vec::with_capacity(1);
        batch.push(first);
        batch.extend(writes.try_iter().take(MAX_BATCH - 1));
        write_all(&connection, path, turn.as_ref(), wake, batch);
    }
}

/// SQLite's own waiting grows to 100 ms a pause and starves behind a busy process; ours looks again soon.
fn wait_evenly(connection: &mut Connection) {
    let looks = BUSY.as_micros() / LOOK_AGAIN.as_micros();
    let again = move |count: i32| {
        std::thread::park_timeout(LOOK_AGAIN);
        u128::try_from(count).unwrap_or(0) < looks
    };
    if let Err(error) = connection.busy_handler(Some(again)) {
        tracing::warn!(%error, "the database keeps its own way of waiting for other processes");
    }
}

fn write_all(connection: &Connection, path: &Path, turn: Option<&File>, wake: &Wake, batch: Vec<Write>) {
    let begun = begin(connection, turn).map_err(|error| told(path, &error));
    let mut tx = Tx { connection, woken: Buckets::default() };
    let answers: Vec<Answer> = batch
        .into_iter()
        .map(|write| if connection.is_autocommit() { write(None) } else { write(Some(&mut tx)) })
        .collect();
    let committed = begun.and_then(|()| commit(connection).map_err(|error| told(path, &error)));
    if committed.is_ok() {
        wake.signal(tx.woken);
    }
    for Answer(tell) in answers {
        tell(committed.as_ref().copied());
    }
}

/// Takes turns with other processes: whoever waits for the database keeps the turn until it has it, so that a busy
/// process cannot begin again and again before it.
fn begin(connection: &Connection, turn: Option<&File>) -> rusqlite::Result<()> {
    let turn = turn.filter(|file| durable::lock_within(file, TURN).is_ok());
    let begun = connection.execute_batch("BEGIN IMMEDIATE");
    if let Some(Err(error)) = turn.map(File::unlock) {
        tracing::warn!(%error, "the turn at the database could not be given on");
    }
    begun
}

fn commit(connection: &Connection) -> rusqlite::Result<()> {
    let committed = connection.execute_batch("COMMIT");
    if committed.is_err() && !connection.is_autocommit() {
        connection.execute_batch("ROLLBACK")?;
    }
    committed
}

fn told(path: &Path, error: &rusqlite::Error) -> Uncommitted {
    Uncommitted(match fault::advice(error) {
        Some(advice) => format!("{}: {error}; {advice}", path.display()),
        None => format!("{}: {error}", path.display()),
    })
}
