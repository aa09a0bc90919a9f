//! The real programs as child processes: started until they say that they are ready, looked at, and stopped.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

/// How long a program may take to say that it is ready (debug builds on a busy machine).
const READY: Duration = Duration::from_secs(20);

/// Where the built programs lie: beside the running test or program.
pub fn binary(name: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let found = own.ancestors().skip(1).map(|folder| folder.join(name)).find(|path| path.is_file());
    found.with_context(|| format!("{name} is not built; run `cargo build --workspace --bins` first"))
}

const KEPT: [&str; 11] = [
    "PATH",
    "HOME",
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "NO_PROXY",
    "no_proxy",
    "NODE_EXTRA_CA_CERTS",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];

/// Programs, proxies, certificates and npm's settings of the machine.
#[allow(
    clippy::disallowed_methods,
    reason = "the programs under test are told how this machine reaches the network"
)]
fn kept() -> impl Iterator<Item = (OsString, OsString)> {
    std::env::vars_os().filter(|(name, _)| {
        name.to_str()
            .is_some_and(|name| KEPT.contains(&name) || name.to_lowercase().starts_with("npm_config_"))
    })
}

/// A running program.
pub struct Program {
    name: String,
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    count: watch::Receiver<usize>,
}

impl Program {
    /// Starts a program with a clean environment but for what says where things are, how the network is reached, and
    /// what is given.
    #[allow(clippy::disallowed_methods, reason = "tests start the real programs")]
    pub fn start(path: &Path, args: &[&str], env: &[(&str, &str)]) -> anyhow::Result<Self> {
        let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let mut command = Command::new(path);
        command.args(args).env_clear();
        if name == "worker" {
            // As its image has it.
            command.env("MALLOC_ARENA_MAX", "1");
        }
        command.envs(kept());
        command.envs(env.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().with_context(|| format!("start {}", path.display()))?;
        let stderr = child.stderr.take().context("its log is piped")?;
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (seen, count) = watch::channel(0);
        let kept = Arc::clone(&lines);
        tokio::spawn(async move {
            let mut reader = BufReader::new(stderr).lines();
            while let Ok(Some(line)) = reader.next_line().await {
                let total = {
                    let mut lines = kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    lines.push(line);
                    lines.len()
                };
                seen.send_replace(total);
            }
        });
        Ok(Self { name, child, lines, count })
    }

    /// The log so far.
    pub fn log(&self) -> String {
        self.lines.lock().unwrap_or_else(std::sync::PoisonError::into_inner).join("\n")
    }

    /// Waits for a line of the log that contains `text` and gives it.
    pub async fn line(&mut self, text: &str) -> anyhow::Result<String> {
        self.line_within(text, READY).await
    }

    /// The same with another limit.
    pub async fn line_within(&mut self, text: &str, limit: Duration) -> anyhow::Result<String> {
        let lines = Arc::clone(&self.lines);
        let find = move || {
            let lines = lines.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            lines.iter().find(|line| line.contains(text)).cloned()
        };
        let waited = tokio::time::timeout(limit, async {
            loop {
                if let Some(line) = find() {
                    return Some(line);
                }
                if self.count.changed().await.is_err() {
                    return find();
                }
            }
        });
        match waited.await {
            Ok(Some(line)) => Ok(line),
            Ok(None) => bail!("{} ended before it said {text:?}:\n{}", self.name, self.log()),
            Err(_) => bail!("{} did not say {text:?} within {limit:?}:\n{}", self.name, self.log()),
        }
    }

    /// The process id.
    pub fn pid(&self) -> anyhow::Result<u32> {
        self.child.id().with_context(|| format!("{} has ended", self.name))
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        kill(Pid::from_raw(i32::try_from(self.pid()?)?), signal)
            .with_context(|| format!("signal {}", self.name))
    }

    /// Waits for its end, at most for `limit`.
    pub async fn ended(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        match tokio::time::timeout(limit, self.child.wait()).await {
            Ok(status) => Ok(status?),
            Err(_) => bail!("{} did not end within {limit:?}:\n{}", self.name, self.log()),
        }
    }

    /// `kill -9`, and waits for the end.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill().await.with_context(|| format!("kill {}", self.name))
    }

    /// Resident memory in bytes.
    pub fn resident_bytes(&self) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()?))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS")?;
        let kib: u64 = line.split_whitespace().nth(1).context("no figure")?.parse()?;
        Ok(kib * 1024)
    }

    /// CPU time used so far, user and system together, in clock ticks of 10 ms.
    pub fn cpu_ticks(&self) -> anyhow::Result<u64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid()?))?;
        let after_name = stat.rsplit_once(')').context("odd stat")?.1;
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        let ticks =
            |nth: usize| fields.get(nth).and_then(|field| field.parse::<u64>().ok()).context("odd stat");
        Ok(ticks(11)? + ticks(12)?)
    }
}
