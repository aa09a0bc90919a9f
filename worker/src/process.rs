//! The one place that starts children: an argument vector, an environment that starts empty, an own process group, and a
//! deadline. A group is asked to stop, waited for, then killed; it is killed when its [`Running`] is dropped.
//!
//! What left the group is known by the workspace lock that it inherited, and killed at the end as well. A worker that is
//! killed itself cannot take its children along (that needs `unsafe` code before `exec`): the lock keeps the next worker
//! out of their folder until it has killed them. Children that have a user to themselves are known by that instead, and
//! behind namespaces there is no need for either: everything in them ends with the worker.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use command_fds::CommandFdExt as _;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::inside::Account;
use crate::sandbox::cgroup::Cage;
use crate::sandbox::quota::Quota;
use crate::secrets::Secrets;

mod running;

pub use running::Running;
pub(crate) use running::end_user;

/// How long a group has between being asked and being killed.
pub const STOP_GRACE: Duration = Duration::from_secs(2);

/// What to start.
#[derive(Debug, Clone)]
pub struct Launch {
    /// Program and arguments. The program is a path: a name would be looked for from within `dir`.
    pub argv: Vec<String>,
    /// Where.
    pub dir: PathBuf,
    /// The whole environment.
    pub env: BTreeMap<String, String>,
    /// A lock that the child and its children hold as long as they live.
    pub lock: Option<Arc<File>>,
    /// What holds it back besides its deadline.
    pub bounds: Bounds,
}

/// What a child may not exceed, and how all of it is reached.
#[derive(Debug, Clone, Default)]
pub struct Bounds {
    /// The control groups it joins.
    pub cage: Option<Arc<Cage>>,
    /// What its folders may hold.
    pub quota: Option<Quota>,
    /// Who is asked to stop.
    pub asked: Asked,
    /// The program that ends every process of the user it runs as, when that user is only for this.
    pub user: Option<(String, Account)>,
}

/// Who hears that it is time to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Asked {
    /// The process group that was started.
    #[default]
    Group,
    /// The group of its first child: what was started is bubblewrap, which would end everything at once.
    Namespace,
}

/// What a child used more of than it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exceeded {
    /// Room on the disk.
    Disk,
    /// Memory.
    Memory,
    /// Processes and threads.
    Processes,
}

impl std::fmt::Display for Exceeded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Disk => "it wrote more than it may (SANDBOX_DISK_MB)",
            Self::Memory => "it used more memory than it may (SANDBOX_MEMORY_MB)",
            Self::Processes => "it started more processes than it may (SANDBOX_PROCESSES)",
        })
    }
}

impl Launch {
    /// Starts it in its own process group with all three streams piped.
    pub fn start(&self) -> io::Result<Running> {
        let (program, arguments) =
            self.argv.split_first().filter(|(program, _)| program.contains('/')).ok_or_else(|| {
                io::Error::new(io::ErrorKind::InvalidInput, "the program is not given by its path")
            })?;
        #[allow(clippy::disallowed_methods, reason = "this is the place that starts children")]
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&self.dir).env_clear().envs(&self.env);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0).kill_on_drop(true);
        if let Some(lock) = &self.lock {
            command.preserved_fds(vec![lock.try_clone()?.into()]);
        }
        let child = command.spawn().map_err(|error| {
            io::Error::new(error.kind(), format!("{program} could not be started: {error}"))
        })?;
        Ok(Running::new(child, self.lock.clone(), self.bounds.clone()))
    }

    /// Runs it to its end without input, keeping the last `keep_bytes` of its output, without secrets.
    pub async fn run(
        &self,
        limit: Duration,
        keep_bytes: usize,
        secrets: &Secrets,
        cancel: &CancellationToken,
    ) -> io::Result<Finished> {
        let read_bytes = keep_bytes + secrets.longest();
        let mut running = self.start()?;
        drop(running.take_stdin());
        let stdout = tokio::spawn(tail(running.take_stdout(), read_bytes));
        let stderr = tokio::spawn(tail(running.take_stderr(), read_bytes));
        let end = tokio::select! {
            status = running.wait() => End::Exited(status?),
            () = tokio::time::sleep(limit) => End::TimedOut,
            () = cancel.cancelled() => End::Cancelled,
        };
        let exceeded = running.stop(STOP_GRACE).await;
        let words = [last_words(stdout).await, last_words(stderr).await];
        let mut output = join_output(words.map(|bytes| secrets.tail(&bytes, keep_bytes)));
        if let Some(exceeded) = exceeded {
            output = format!("{output}\n{exceeded}");
        }
        Ok(Finished { end, output, exceeded })
    }
}

fn join_output(parts: [String; 2]) -> String {
    let parts = parts.iter().map(|part| part.trim());
    parts.filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n")
}

/// How a child came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// By itself.
    Exited(ExitStatus),
    /// Its time was up.
    TimedOut,
    /// We did not want it any more.
    Cancelled,
}

/// A child that ended.
#[derive(Debug)]
pub struct Finished {
    /// How.
    pub end: End,
    /// The tail of what it wrote, standard output before standard error, without secrets.
    pub output: String,
    /// The bound it met, if that was its end.
    pub exceeded: Option<Exceeded>,
}

impl Finished {
    /// One that was not wanted any more before it began.
    pub fn cancelled() -> Self {
        Self { end: End::Cancelled, output: String::new(), exceeded: None }
    }
}

/// How long after the end of a child its pipes are still read: a grandchild that left the group may hold them open.
const PIPE_GRACE: Duration = Duration::from_secs(2);

/// Reads to the end, keeping the last `keep` bytes.
pub async fn tail(stream: Option<impl AsyncRead + Unpin>, keep: usize) -> Vec<u8> {
    let Some(mut stream) = stream else { return Vec::new() };
    let mut kept = Vec::new();
    let mut chunk = vec![0; 8192];
    while let Ok(read @ 1..) = stream.read(&mut chunk).await {
        kept.extend_from_slice(&chunk[..read]);
        if kept.len() > keep * 2 {
            kept.drain(..kept.len() - keep);
        }
    }
    kept.drain(..kept.len().saturating_sub(keep));
    kept
}

/// Waits for a reader of a stopped child's pipe, but not for ever.
pub async fn last_words(reader: tokio::task::JoinHandle<Vec<u8>>) -> Vec<u8> {
    let abort = reader.abort_handle();
    let Ok(words) = timeout(PIPE_GRACE, reader).await else {
        abort.abort();
        return Vec::new();
    };
    words.unwrap_or_default()
}
