//! A child that runs, with everything it started: asked to stop, waited for, then killed to the last process.

use std::fs::File;
use std::io;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{Asked, Bounds, Exceeded};
use crate::leftovers::{first_child, is_alive, kill_holders};
use crate::process::Launch;
use crate::secrets::Secrets;

/// How long the first child of bubblewrap is looked for, and how long its end is waited for.
const LOOKS: u32 = 400;
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// Ending what is left of a user takes no longer.
const END_USER: Duration = Duration::from_secs(5);

/// A child and all that it started.
#[derive(Debug)]
pub struct Running {
    child: Child,
    group: Option<Pid>,
    namespace: Arc<OnceLock<Pid>>,
    lock: Option<Arc<File>>,
    bounds: Bounds,
    full: Arc<AtomicBool>,
    watches: Vec<JoinHandle<()>>,
}

impl Running {
    pub(super) fn new(child: Child, lock: Option<Arc<File>>, bounds: Bounds) -> Self {
        let group = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        let mut running = Self {
            child,
            group,
            namespace: Arc::default(),
            lock,
            bounds,
            full: Arc::default(),
            watches: Vec::new(),
        };
        running.watch();
        running
    }

    fn watch(&mut self) {
        let (Some(group), namespace) = (self.group, Arc::clone(&self.namespace)) else { return };
        if self.bounds.asked == Asked::Namespace {
            self.watches.push(tokio::spawn(async move {
                for _ in 0..LOOKS {
                    if let Some(first) = first_child(group) {
                        namespace.get_or_init(|| first);
                        return;
                    }
                    tokio::time::sleep(LOOK_EVERY).await;
                }
            }));
        }
        if let Some(quota) = self.bounds.quota.clone() {
            let (full, cage) = (Arc::clone(&self.full), self.bounds.cage.clone());
            self.watches.push(tokio::spawn(async move {
                quota.is_exceeded(cage.clone()).await;
                full.store(true, Ordering::Release);
                tracing::warn!("a child wrote more than it may and is killed");
                kill_group(Some(group));
                if let Some(cage) = cage {
                    cage.clear();
                }
            }));
        }
    }

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

    /// Ends all of it: asks, waits for the leader, kills what is left. Says which bound it met, if it met one.
    pub async fn stop(&mut self, grace: Duration) -> Option<Exceeded> {
        self.ask();
        if timeout(grace, self.child.wait()).await.is_err() {
            tracing::debug!("a child did not stop when asked and is killed");
        }
        kill_group(self.group);
        if let Err(error) = self.child.wait().await {
            tracing::warn!(%error, "a killed child could not be waited for");
        }
        self.namespace_ended().await;
        if let Some((inside, account)) = self.bounds.user.take() {
            end_user(inside, &account.to_string()).await;
        }
        if let Some(lock) = self.lock.clone() {
            tokio::task::spawn_blocking(move || kill_holders(&lock)).await.ok();
        }
        let exceeded = self.exceeded();
        if let Some(cage) = self.bounds.cage.take() {
            cage.remove().await;
        }
        exceeded
    }

    fn ask(&self) {
        let asked = match self.bounds.asked {
            Asked::Group => self.group,
            Asked::Namespace => self.namespace.get().copied(),
        };
        if let Some(group) = asked {
            // The group may be gone already, which is what we want.
            killpg(group, Signal::SIGTERM).ok();
        }
    }

    /// What is in a namespace is gone a moment after its first process was killed.
    async fn namespace_ended(&self) {
        let Some(first) = self.namespace.get() else { return };
        for _ in 0..LOOKS {
            if !is_alive(*first) {
                return;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        tracing::warn!(process = first.as_raw(), "a namespace did not end");
    }

    fn exceeded(&self) -> Option<Exceeded> {
        let cage = self.bounds.cage.as_ref();
        if self.full.load(Ordering::Acquire) {
            Some(Exceeded::Disk)
        } else if cage.is_some_and(|cage| cage.ran_out_of_memory()) {
            Some(Exceeded::Memory)
        } else {
            cage.is_some_and(|cage| cage.ran_out_of_processes()).then_some(Exceeded::Processes)
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        kill_group(self.group);
        for watch in &self.watches {
            watch.abort();
        }
    }
}

/// What is behind namespaces dies with bubblewrap.
fn kill_group(group: Option<Pid>) {
    if let Some(group) = group {
        killpg(group, Signal::SIGKILL).ok();
    }
}

/// Kills every process of a user that is only for this child.
pub(crate) async fn end_user(inside: String, account: &str) {
    let argv = [inside.as_str(), "kill", "--account", account].map(str::to_owned).to_vec();
    let launch = Launch {
        argv,
        dir: "/".into(),
        env: std::collections::BTreeMap::new(),
        lock: None,
        bounds: Bounds::default(),
    };
    let cancel = tokio_util::sync::CancellationToken::new();
    if let Err(error) = Box::pin(launch.run(END_USER, 1024, &Secrets::default(), &cancel)).await {
        tracing::warn!(%error, account, "the processes of a user could not be ended");
    }
}
