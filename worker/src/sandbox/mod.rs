//! Where agent and build run: behind namespaces, as other users, or (said out loud) beside the worker. A step asks for a
//! [`Cell`], tells it what to start, and gets a [`Launch`]; it does not know which walls there are.

mod bubblewrap;
mod cell;
pub mod cgroup;
mod owners;
pub mod quota;
mod ready;
mod system;

use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::Arc;

use clap::ValueEnum;

pub use cell::{Cell, View, Who};
pub use ready::{Ground, NoSandbox};

use crate::gateway::Gateway;
use crate::inside::Account;
use crate::meter::Meter;
use crate::process::end_user;
use cgroup::Cgroups;
use system::System;

/// How agent and build are kept apart from the worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Own user, process, mount, network, IPC and host name namespaces.
    Namespaces,
    /// Other users of this machine; for machines without user namespaces.
    Uid,
    /// Not at all: with the rights of the worker.
    Off,
}

/// What one agent or build may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Memory of all its processes.
    pub memory_bytes: u64,
    /// Processes and threads.
    pub processes: u64,
    /// Its folders together, and any single file.
    pub disk_bytes: u64,
}

/// The walls of this worker, and what is let through them.
#[derive(Debug, Clone)]
pub struct Sandbox {
    walls: Walls,
    gateway: Gateway,
}

#[derive(Debug, Clone)]
enum Walls {
    Off,
    Namespaces(Arc<Namespaces>),
    Uid(Arc<Users>),
}

/// What bubblewrap is told, besides what differs from job to job.
#[derive(Debug)]
struct Namespaces {
    bubblewrap: String,
    inside: String,
    /// Who children are outside; the worker's own user when it cannot become another.
    account: Option<Account>,
    system: System,
    limits: Limits,
    cgroups: Cgroups,
}

/// Two users of this machine.
#[derive(Debug)]
struct Users {
    inside: String,
    agent: Account,
    build: Account,
    /// Nobody else on this machine uses these users meanwhile.
    _held: [UnixDatagram; 2],
    system: System,
    limits: Limits,
    cgroups: Cgroups,
}

impl Sandbox {
    /// No walls.
    pub fn off(gateway: Gateway) -> Self {
        Self { walls: Walls::Off, gateway }
    }

    /// The same walls, with what goes to the model counted by this meter.
    #[must_use]
    pub fn metered(&self, meter: &Meter) -> Self {
        Self { walls: self.walls.clone(), gateway: self.gateway.metered(meter) }
    }

    /// What one agent or build may use; without walls, whatever it likes.
    pub fn limits(&self) -> Option<Limits> {
        match &self.walls {
            Walls::Off => None,
            Walls::Namespaces(namespaces) => Some(namespaces.limits),
            Walls::Uid(users) => Some(users.limits),
        }
    }

    /// Ends what was left running as the users of children, which are nobody else's: by a worker that was killed, or by a job that
    /// nobody waited for.
    pub async fn end_orphans(&self) {
        let Walls::Uid(users) = &self.walls else { return };
        for account in [users.agent, users.build] {
            end_user(users.inside.clone(), &account.to_string()).await;
        }
    }

    /// Which walls these are.
    pub fn mode(&self) -> Mode {
        match self.walls {
            Walls::Off => Mode::Off,
            Walls::Namespaces(_) => Mode::Namespaces,
            Walls::Uid(_) => Mode::Uid,
        }
    }
}

/// The program that lies beside the worker; beside the folder of the tests when it is they who run.
fn inside_program() -> Option<PathBuf> {
    const NAME: &str = "sandbox-inside";
    let own = std::env::current_exe().ok()?;
    let folders = own.ancestors().skip(1).take(2);
    folders.map(|folder| folder.join(NAME)).find(|path| crate::config::is_program(path))
}
