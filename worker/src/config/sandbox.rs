//! How agent and build are kept apart from the worker, and what they may use.

use std::path::PathBuf;

use clap::Args;

use crate::gateway::Hosts;
use crate::inside::Account;
use crate::sandbox::{Limits, Mode};

/// The walls and the limits.
#[derive(Debug, Clone, Args)]
pub struct SandboxSettings {
    /// How agent and build are kept apart from the worker [default: namespaces]: `namespaces` (bubblewrap), `uid` (other
    /// users of this machine; weaker, for a worker that runs as root where there are no user namespaces), `off` (not at
    /// all: only for repositories and an agent that you trust).
    #[arg(long = "sandbox", env = "SANDBOX", value_enum, value_name = "MODE", hide_possible_values = true)]
    pub mode: Option<Mode>,

    /// A worker that runs as root runs the agent as this user, and builds as the next one (in `uid` mode, where each worker of
    /// a machine needs users of its own).
    #[arg(long = "sandbox-uid", env = "SANDBOX_UID", value_name = "UID", default_value = "59000", value_parser = FirstUser::parse)]
    pub uid: FirstUser,

    /// Memory of one agent or build.
    #[arg(long = "sandbox-memory-mb", env = "SANDBOX_MEMORY_MB", value_name = "MB", default_value_t = 4096, value_parser = clap::value_parser!(u64).range(64..))]
    pub memory_mb: u64,

    /// Processes and threads of one agent or build.
    #[arg(long = "sandbox-processes", env = "SANDBOX_PROCESSES", value_name = "COUNT", default_value_t = 512, value_parser = clap::value_parser!(u64).range(16..))]
    pub processes: u64,

    /// What the checkout, home and temporary files of one agent or build may hold together.
    #[arg(long = "sandbox-disk-mb", env = "SANDBOX_DISK_MB", value_name = "MB", default_value_t = 8192, value_parser = clap::value_parser!(u64).range(16..))]
    pub disk_mb: u64,

    /// Where a build may connect to: registries of packages, as `host` (TLS), `host:port` (TLS) or `http://host:port`. The
    /// host of npm_config_registry is always one.
    #[arg(
        long = "sandbox-registry-hosts",
        env = "SANDBOX_REGISTRY_HOSTS",
        value_name = "HOSTS",
        default_value = "registry.npmjs.org"
    )]
    pub registry_hosts: Hosts,

    /// More folders that agent and build may read (programs outside /usr that are not on the PATH).
    #[arg(long = "sandbox-show", env = "SANDBOX_SHOW", value_name = "DIRS", value_delimiter = ':')]
    pub show: Vec<PathBuf>,
}

impl SandboxSettings {
    /// What one agent or build may use.
    pub fn limits(&self) -> Limits {
        const MB: u64 = 1024 * 1024;
        Limits {
            memory_bytes: self.memory_mb.saturating_mul(MB),
            processes: self.processes,
            disk_bytes: self.disk_mb.saturating_mul(MB),
        }
    }
}

/// The first of two users of this machine, neither of them root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FirstUser(u32);

impl FirstUser {
    /// A number that is not root's, with room for the next.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(uid @ 1..=0x7fff_fffe) => Ok(Self(uid)),
            _ => Err(format!("{text:?} is no number of an ordinary user")),
        }
    }

    /// The user so many behind it, and its group.
    pub fn account(self, further: u32) -> Account {
        let id = self.0 + further;
        Account { uid: id, gid: id }
    }
}
