//! Tests over several processes: a test starts its own binary once more and plays another role there.
#![allow(
    dead_code,
    clippy::panic,
    reason = "each test binary uses its part, and a panic is how a test fails"
)]

pub(crate) mod strace;

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use common::clock::Clock;
use common::cloud::{Cloud, local};
use common::domain::names::Prefix;

const ROLE: &str = "CLOUD_TEST_ROLE";
const DIRECTORY: &str = "CLOUD_TEST_DIRECTORY";
/// The longest wait for another process, also on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_mins(2);

/// The part that this process plays, when a test started it as another one.
#[allow(clippy::disallowed_methods, reason = "how a test tells its own binary what to play")]
pub(crate) fn role() -> Option<(String, PathBuf)> {
    Some((std::env::var(ROLE).ok()?, PathBuf::from(std::env::var_os(DIRECTORY)?)))
}

pub(crate) fn open(dir: &Path) -> Cloud {
    local::open(dir, Prefix::parse("test").unwrap(), Clock::System).unwrap()
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Tells the starting test something: one line, one write. The other lines of a test binary do not begin with '@'.
pub(crate) fn say(words: &str) {
    let line = format!("\n@{words}\n");
    let mut out = std::io::stdout().lock();
    out.write_all(line.as_bytes()).and_then(|()| out.flush()).unwrap();
}

/// A process that plays a role; it is killed when this is dropped.
pub(crate) struct Other {
    child: Child,
    lines: Receiver<String>,
}

/// Starts this binary once more, in `test`, as `role`; behind a program such as strace when `before` names one.
pub(crate) fn start(before: &[&str], test: &str, role: &str, dir: &Path) -> Other {
    let this = std::env::current_exe().unwrap();
    let words: Vec<&str> = before.iter().copied().chain([this.to_str().unwrap()]).collect();
    #[allow(
        clippy::disallowed_methods,
        reason = "a test starts itself; worker::process is not for this crate"
    )]
    let mut child = Command::new(words[0])
        .args(&words[1..])
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(ROLE, role)
        .env(DIRECTORY, dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{} cannot be started ({error}): install it", words[0]));
    let out = child.stdout.take().unwrap();
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        let said = BufReader::new(out).lines().map_while(Result::ok);
        for line in said.filter_map(|line| line.strip_prefix('@').map(str::to_owned)) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    Other { child, lines }
}

impl Other {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next thing it says; none when it has ended.
    pub(crate) fn hears(&self) -> Option<String> {
        match self.lines.recv_timeout(LIMIT) {
            Ok(line) => Some(line),
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => None,
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => panic!("the other process says nothing"),
        }
    }

    /// Whatever it has said so far and will say before it ends.
    pub(crate) fn rest(&self) -> Vec<String> {
        std::iter::from_fn(|| self.hears()).collect()
    }

    /// Kills it with SIGKILL, in the middle of whatever it does.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its good end.
    pub(crate) fn ended_well(mut self) {
        let deadline = Instant::now() + LIMIT;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                assert!(status.success(), "{status}");
                return;
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
        panic!("the other process does not end");
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The processor time a process has used.
pub(crate) fn processor_time(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The name in parentheses may contain blanks; utime and stime are fields 14 and 15, in hundredths of a second.
    let fields: Vec<&str> = stat[stat.rfind(')').unwrap() + 2..].split(' ').collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

/// Runs a program to its end.
#[allow(clippy::disallowed_methods, reason = "a test sets its stage; worker::process is not for this crate")]
pub(crate) fn succeeds(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}
