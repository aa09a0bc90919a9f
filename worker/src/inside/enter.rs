//! Before the walls are up: joins the control groups that were made for this child, takes limits on and becomes the next
//! program. What it takes on, everything that comes after has as well.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use nix::sys::resource::{Resource, setrlimit};

use super::account::Account;
use super::{filter, walls};

/// What is taken on.
#[derive(Debug, Args)]
pub struct Enter {
    /// A `cgroup.procs` to be written into.
    #[arg(long, value_name = "FILE")]
    cgroup: Vec<PathBuf>,
    /// No file may grow beyond.
    #[arg(long, value_name = "BYTES")]
    max_file_bytes: u64,
    /// No process may write to more memory.
    #[arg(long, value_name = "BYTES")]
    max_data_bytes: Option<u64>,
    /// The user may have no more processes.
    #[arg(long, value_name = "COUNT")]
    max_processes: Option<u64>,
    /// Who to become.
    #[arg(long, value_name = "UID:GID")]
    account: Option<Account>,
    /// What may be read, where the kernel knows Landlock; with none nothing is fenced.
    #[arg(long, value_name = "PATH")]
    read: Vec<PathBuf>,
    /// What may be written.
    #[arg(long, value_name = "PATH")]
    write: Vec<PathBuf>,
    /// The only port that may be connected to.
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// What to become.
    #[arg(last = true, required = true)]
    argv: Vec<String>,
}

impl Enter {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        for group in &self.cgroup {
            // 0 is whoever writes.
            std::fs::write(group, "0").with_context(|| format!("join {}", group.display()))?;
        }
        bound(Resource::RLIMIT_CORE, Some(0))?;
        bound(Resource::RLIMIT_FSIZE, Some(self.max_file_bytes))?;
        bound(Resource::RLIMIT_DATA, self.max_data_bytes)?;
        bound(Resource::RLIMIT_NPROC, self.max_processes)?;
        if let Some(account) = self.account {
            account.become_it()?;
            walls::raise(&self.read, &self.write, self.port)?;
            filter::install(filter::Network::OfTheMachine)?;
        }
        let (program, arguments) = self.argv.split_first().context("nothing to become")?;
        #[allow(clippy::disallowed_methods, reason = "it is no child: this process becomes it")]
        let error = std::process::Command::new(program).args(arguments).exec();
        Err(error).with_context(|| format!("start {program}"))
    }
}

/// A limit that cannot be taken back.
pub(super) fn bound(resource: Resource, limit: Option<u64>) -> anyhow::Result<()> {
    let Some(limit) = limit else { return Ok(()) };
    setrlimit(resource, limit, limit).with_context(|| format!("set {resource:?} to {limit}"))
}
