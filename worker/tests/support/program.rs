//! The real program, told of a world: what it says and how it ends.

#![allow(clippy::disallowed_methods, reason = "the program under test is started here")]

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::lchown;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{AGENT, LIMIT, World};

/// A started `worker run`; killed when it is dropped.
pub struct Program {
    pub child: Child,
    lines: Receiver<String>,
    pub log: Vec<String>,
}

impl Program {
    pub fn start(world: &World, env: &[(&str, &str)]) -> Self {
        Self::spawn(world, Command::new(env!("CARGO_BIN_EXE_worker")), env)
    }

    /// As a user who is not root, to whom the whole world belongs.
    pub fn start_as(user: u32, world: &World, env: &[(&str, &str)]) -> Self {
        let copy = world.path("worker");
        if !copy.exists() {
            std::fs::copy(env!("CARGO_BIN_EXE_worker"), &copy).unwrap();
        }
        give(world.dir.path(), user);
        let mut command = Command::new(copy);
        command.uid(user).gid(user);
        Self::spawn(world, command, env)
    }

    fn spawn(world: &World, mut command: Command, env: &[(&str, &str)]) -> Self {
        command.arg("run").args(&world.place).env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin");
        command.env("HERMES_DATA_DIR", world.path("data")).env("HERMES_ALLOW_FILE_REPOS", "true");
        command.env("AGENT_COMMAND", format!("'{AGENT}'")).envs(env.iter().copied());
        command.stdin(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (send, lines) = channel();
        let reader = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || reader.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        Self { child, lines, log: Vec::new() }
    }

    /// Reads the log until a line has this text.
    pub fn says(&mut self, text: &str) {
        while !self.log.iter().any(|line| line.contains(text)) {
            let line = self.lines.recv_timeout(LIMIT);
            self.log.push(line.unwrap_or_else(|_| panic!("it never said {text:?}: {:#?}", self.log)));
        }
    }

    pub fn ends(&mut self) -> ExitStatus {
        while let Ok(line) = self.lines.recv_timeout(LIMIT) {
            self.log.push(line);
        }
        self.child.wait().unwrap()
    }

    pub fn terminate(mut self) -> (ExitStatus, Vec<String>) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), Signal::SIGTERM).unwrap();
        (self.ends(), std::mem::take(&mut self.log))
    }
}

/// Gives a folder and all that is in it to somebody.
pub fn give(path: &Path, user: u32) {
    lchown(path, Some(user), Some(user)).unwrap();
    if path.symlink_metadata().unwrap().is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            give(&entry.unwrap().path(), user);
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
