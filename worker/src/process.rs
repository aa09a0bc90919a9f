//! The one place that starts children: an argument vector, an environment that starts empty, an own process group, and a
//! deadline. A group is asked to stop, waited for, then killed; it is killed when its [`Running`] is dropped.
//!
//! What left the group is known by the workspace lock that it inherited, and killed at the end as well. A worker that is
//! killed itself cannot take its children along (that needs `unsafe` code before `exec`): the lock keeps the next worker
//! out of their folder until it has killed them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use command_fds::CommandFdExt as _;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::leftovers::kill_holders;
use crate::secrets::Secrets;

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
        let group = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        Ok(Running { child, group, lock: self.lock.clone() })
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
        running.stop(STOP_GRACE).await;
        let words = [last_words(stdout).await, last_words(stderr).await];
        Ok(Finished { end, output: join_output(words.map(|bytes| secrets.tail(&bytes, keep_bytes))) })
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
}

/// A child and its process group.
#[derive(Debug)]
pub struct Running {
    child: Child,
    group: Option<Pid>,
    lock: Option<Arc<File>>,
}

impl Running {
    /// Its process id, until it was waited for.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Its input; taken once.
    pub fn take_stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// Its output; taken once.
    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Its complaints; taken once.
    pub fn take_stderr(&mut self) -> Option<ChildStderr> {
        self.child.stderr.take()
    }

    /// Waits for the leader of the group.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Ends the whole group and what left it with the lock: asks, waits for the leader, kills what is left.
    pub async fn stop(&mut self, grace: Duration) {
        self.signal(Signal::SIGTERM);
        if timeout(grace, self.child.wait()).await.is_err() {
            tracing::debug!("a child did not stop when asked and is killed");
        }
        self.signal(Signal::SIGKILL);
        if let Err(error) = self.child.wait().await {
            tracing::warn!(%error, "a killed child could not be waited for");
        }
        if let Some(lock) = self.lock.clone() {
            tokio::task::spawn_blocking(move || kill_holders(&lock)).await.ok();
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // The group may be gone already, which is what we want.
            killpg(group, signal).ok();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
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
