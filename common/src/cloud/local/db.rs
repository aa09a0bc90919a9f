//! The database as the doors see it: closures to write and to read. All writes of this process go through one thread,
//! which commits whatever waits in one transaction (one sync serves all); reads run beside it on their own connections.

use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::fault::{Fault, Outcome};
use super::layout::Layout;
use super::schema;
use super::wake::Wake;
use super::writer::{self, Answer, Tx, Write};
use crate::cloud::{CloudError, Result};

/// Threads that read what takes long or has to wait.
const READERS: usize = 1;
/// Stacks of our threads; SQLite needs little.
const STACK_BYTES: usize = 512 * 1024;

type Read = Box<dyn FnOnce(std::result::Result<&Connection, &CloudError>) + Send>;

/// A handle; clones share the threads, which end with the last of them.
#[derive(Clone)]
pub(super) struct Db {
    writer: mpsc::Sender<Write>,
    readers: mpsc::Sender<Read>,
    /// For what takes microseconds: read where it is asked for, without a way to another thread and back.
    here: Arc<Mutex<Option<Connection>>>,
    path: Arc<Path>,
}

impl Db {
    /// Opens the database and starts its threads.
    pub(super) fn open(layout: &Layout, wake: Arc<Wake>) -> Result<Self> {
        let path = layout.database();
        let connection = schema::open(&path, &layout.locks().join("open"))?;
        let (writer, waiting) = mpsc::channel();
        let turn = layout.locks().join("turn");
        let place = path.clone();
        spawn("hermes-db-write", move || writer::run(connection, &place, &turn, &wake, &waiting))?;
        Ok(Self { writer, readers: start_readers(&path)?, here: Arc::default(), path: path.into() })
    }

    /// Runs a closure inside the next transaction and answers when that is on the disk. An error undoes what this
    /// closure wrote and nothing else.
    pub(super) async fn write<T, F>(&self, what: &'static str, run: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Tx<'_>) -> Outcome<T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let path = Arc::clone(&self.path);
        let write: Write = Box::new(move |tx| {
            let outcome = tx.map(|tx| tx.apart(run));
            Answer::new(move |committed| {
                let told = match (committed, outcome) {
                    (Err(error), _) => Err(error.under(what)),
                    (Ok(()), Some(outcome)) => outcome.map_err(|fault| fault.told(what, &path)),
                    (Ok(()), None) => Err(CloudError::unavailable(what, "it was not tried")),
                };
                // Nobody listens when the caller's future was dropped.
                let _ = answer.send(told);
            })
        });
        self.writer.send(write).map_err(|_| self.ended(what))?;
        answered.await.map_err(|_| self.ended(what))?
    }

    /// Runs a closure on a reading connection; it sees everything that was committed before.
    pub(super) async fn read<T, F>(&self, what: &'static str, run: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Outcome<T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let path = Arc::clone(&self.path);
        let read: Read = Box::new(move |connection| {
            let outcome = match connection {
                Ok(connection) => run(connection).map_err(|fault| fault.told(what, &path)),
                Err(error) => Err(CloudError::unavailable(what, error)),
            };
            let _ = answer.send(outcome);
        });
        self.readers.send(read).map_err(|_| self.ended(what))?;
        answered.await.map_err(|_| self.ended(what))?
    }

    /// The same for a few rows: read at once, unless somebody else reads so or the database is busy.
    pub(super) async fn look<T, F>(&self, what: &'static str, run: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> Outcome<T> + Send + 'static,
    {
        match self.read_here(&run) {
            Some(Ok(found)) => Ok(found),
            Some(Err(fault)) if !fault.is_busy() => Err(fault.told(what, &self.path)),
            Some(Err(_)) | None => self.read(what, run).await,
        }
    }

    fn read_here<T>(&self, run: impl Fn(&Connection) -> Outcome<T>) -> Option<Outcome<T>> {
        let mut here = self.here.try_lock().ok()?;
        if here.is_none() {
            *here = schema::connect_impatient(&self.path).ok();
        }
        here.as_ref().map(run)
    }

    fn ended(&self, what: &str) -> CloudError {
        CloudError::unavailable(
            what,
            format!("the thread of {} has ended: restart the program", self.path.display()),
        )
    }
}

fn start_readers(path: &Path) -> Result<mpsc::Sender<Read>> {
    let (readers, reads) = mpsc::channel();
    let reads = Arc::new(Mutex::new(reads));
    for _ in 0..READERS {
        let (path, reads) = (path.to_owned(), Arc::clone(&reads));
        spawn("hermes-db-read", move || run_reads(&path, &reads))?;
    }
    Ok(readers)
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<()> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .stack_size(STACK_BYTES)
        .spawn(run)
        .map(|_| ())
        .map_err(|e| CloudError::unavailable("starting a thread for the database", e))
}

/// Connects at the first read, so that opening stays quick.
fn run_reads(path: &Path, reads: &Mutex<mpsc::Receiver<Read>>) {
    let mut connection = None;
    while let Some(read) = next(reads) {
        if connection.is_none() {
            match schema::connect(path) {
                Ok(fresh) => connection = Some(fresh),
                Err(error) => {
                    read(Err(&Fault::Sql(error).told("opening the database", path)));
                    continue;
                }
            }
        }
        if let Some(connection) = &connection {
            read(Ok(connection));
        }
    }
}

fn next(reads: &Mutex<mpsc::Receiver<Read>>) -> Option<Read> {
    reads.lock().ok()?.recv().ok()
}
