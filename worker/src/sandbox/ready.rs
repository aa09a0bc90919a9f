//! From settings to walls, tried before any work is taken: a worker whose walls do not stand does not start.

use std::collections::BTreeMap;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::unistd::Uid;
use tokio_util::sync::CancellationToken;

use super::bubblewrap::{self, INSIDE, Job};
use super::cgroup::Cgroups;
use super::system::System;
use super::{Mode, Namespaces, Sandbox, Users, View, Walls, inside_program};
use crate::config::{Programs, SandboxSettings};
use crate::gateway::Gateway;
use crate::inside::Account;
use crate::process::{Asked, Bounds, End, Launch};
use crate::secrets::Secrets;

const TRIAL: Duration = Duration::from_secs(10);
const KEPT_BYTES: usize = 2000;
/// Below the working folders: what is made up for children.
const OWN_FOLDER: &str = ".sandbox";

/// The walls that were asked for do not stand here.
#[derive(Debug, thiserror::Error)]
#[error(
    "{asked}, but {missing}; `worker doctor` says what this machine can do. SANDBOX=off starts without walls: agent and \
     build then have the rights of this worker, so set it only if you trust the repositories and the agent with them"
)]
pub struct NoSandbox {
    asked: &'static str,
    /// What is missing, and what to do.
    pub missing: String,
}

/// Where walls are built.
#[derive(Debug)]
pub struct Ground<'a> {
    /// What was asked for.
    pub settings: &'a SandboxSettings,
    /// The data directory, which no child sees.
    pub data: &'a Path,
    /// The working folders, of which a child sees its own.
    pub workspaces: &'a Path,
    /// Where programs are.
    pub programs: &'a Programs,
    /// The agent's program.
    pub agent: &'a Path,
    /// How many jobs may run at a time.
    pub capacity: u16,
}

impl Sandbox {
    /// Builds the walls that were asked for, and tries them.
    pub async fn build(ground: &Ground<'_>, gateway: Gateway) -> Result<Self, NoSandbox> {
        let (asked, mode) = match ground.settings.mode {
            None => ("SANDBOX is not set and means namespaces", Mode::Namespaces),
            Some(Mode::Namespaces) => ("SANDBOX=namespaces is wanted", Mode::Namespaces),
            Some(Mode::Uid) => ("SANDBOX=uid is wanted", Mode::Uid),
            Some(Mode::Off) => ("SANDBOX=off is wanted", Mode::Off),
        };
        let walls = match mode {
            Mode::Off => {
                tracing::warn!(
                    "SANDBOX=off: agent and build run with the rights of this worker; use repositories that you trust"
                );
                Ok(Walls::Off)
            }
            Mode::Namespaces => ground.namespaces().await.map(|walls| Walls::Namespaces(Arc::new(walls))),
            Mode::Uid => ground.users().map(|users| Walls::Uid(Arc::new(users))),
        };
        let walls = walls.map_err(|missing| NoSandbox { asked, missing })?;
        Ok(Self { walls, gateway })
    }
}

impl Ground<'_> {
    async fn namespaces(&self) -> Result<Namespaces, String> {
        let missing = "bubblewrap (bwrap) is not on the PATH: install it (apt-get install bubblewrap)";
        let bubblewrap = self.programs.find("bwrap").ok_or(missing)?;
        let root = Uid::effective().is_root();
        let walls = Namespaces {
            bubblewrap,
            inside: inside()?,
            account: root.then_some(self.settings.uid.account(0)),
            system: self.system()?,
            limits: self.settings.limits(),
            cgroups: Cgroups::find(),
        };
        walls.trial(&self.own_folder()).await?;
        warn_of_missing_groups(&walls.cgroups);
        Ok(walls)
    }

    fn users(&self) -> Result<Users, String> {
        if !Uid::effective().is_root() {
            return Err("only a worker that runs as root can become other users".to_owned());
        }
        if self.capacity > 1 {
            return Err("the jobs of WORKER_CAPACITY would run as the same users and reach each other: set it to 1, and start more workers, each with a SANDBOX_UID of its own".to_owned());
        }
        if let Some(open) = self.open_to_others() {
            return Err(open);
        }
        let cgroups = Cgroups::find();
        warn_of_missing_groups(&cgroups);
        Ok(Users {
            inside: inside()?,
            agent: self.settings.uid.account(0),
            build: self.settings.uid.account(1),
            _held: [held(self.settings.uid.account(0))?, held(self.settings.uid.account(1))?],
            system: self.system()?,
            limits: self.settings.limits(),
            cgroups,
        })
    }

    fn own_folder(&self) -> PathBuf {
        self.workspaces.join(OWN_FOLDER)
    }

    fn system(&self) -> Result<System, String> {
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let hidden = [real(self.data), real(self.workspaces)];
        let etc = self.own_folder().join("etc");
        System::collect(self.programs, self.agent, &self.settings.show, &etc, &hidden)
            .map_err(|error| format!("{}: {error}", etc.display()))
    }

    /// Other users must pass through to the working folders, and may not see what else lies there.
    fn open_to_others(&self) -> Option<String> {
        let (data, workspaces) = (self.data.canonicalize().ok()?, self.workspaces.canonicalize().ok()?);
        if workspaces.starts_with(&data) {
            return Some(format!(
                "the working folders lie within the data directory {}, which other users may not enter: set WORKSPACE_PATH to a folder beside it",
                data.display()
            ));
        }
        if mode(&data) & 0o007 != 0 {
            return Some(format!(
                "other users may look into the data directory: chmod 0700 {}",
                data.display()
            ));
        }
        let closed = workspaces.ancestors().find(|folder| mode(folder) & 0o001 == 0)?;
        Some(format!(
            "other users cannot pass through {} to the working folders: chmod o+x, or set WORKSPACE_PATH to another place",
            closed.display()
        ))
    }
}

/// Says on this machine that the user is taken, for as long as the answer lives: at the end of a child whatever runs as its
/// user is killed.
fn held(account: Account) -> Result<UnixDatagram, String> {
    let name = format!("hermes-sandbox-{}", account.uid);
    let bound = SocketAddr::from_abstract_name(name).and_then(|address| UnixDatagram::bind_addr(&address));
    bound.map_err(|error| {
        let uid = account.uid;
        format!("another worker of this machine runs children as user {uid} ({error}): give each a SANDBOX_UID of its own, two apart")
    })
}

fn mode(path: &Path) -> u32 {
    path.metadata().map_or(0, |meta| meta.mode())
}

fn inside() -> Result<String, String> {
    let found = inside_program().and_then(|path| path.to_str().map(str::to_owned));
    found.ok_or_else(|| {
        "sandbox-inside does not lie beside the worker: install both from the same build".to_owned()
    })
}

fn warn_of_missing_groups(cgroups: &Cgroups) {
    if !cgroups.bound_memory() || !cgroups.bound_processes() {
        tracing::warn!(
            "no control groups can be made here: memory and processes are bounded for each process only (see `worker doctor`)"
        );
    }
}

impl Namespaces {
    /// Starts our own program behind the walls.
    async fn trial(&self, folder: &Path) -> Result<(), String> {
        let launch = self
            .trial_launch(&folder.join("trial"))
            .map_err(|error| format!("{}: {error}", folder.display()))?;
        let ran = launch.run(TRIAL, KEPT_BYTES, &Secrets::default(), &CancellationToken::new()).await;
        let finished = ran.map_err(|error| error.to_string())?;
        match finished.end {
            End::Exited(status) if status.success() => Ok(()),
            _ => Err(format!(
                "this machine refused a trial: {}; user namespaces may be switched off (sysctl kernel.unprivileged_userns_clone, \
                 kernel.apparmor_restrict_unprivileged_userns, user.max_user_namespaces; in Docker see docker-compose.yml)",
                finished.output
            )),
        }
    }

    fn trial_launch(&self, folder: &Path) -> io::Result<Launch> {
        let part = |name: &str| {
            let path = folder.join(name);
            std::fs::create_dir_all(&path)?;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
            Ok::<_, io::Error>(path)
        };
        let outside = View {
            repo: part("repo")?,
            home: part("home")?,
            tmp: part("tmp")?,
            attachments: folder.join("none"),
        };
        let within = View {
            repo: "/site".into(),
            home: "/home/site".into(),
            tmp: "/tmp".into(),
            attachments: "/attachments".into(),
        };
        let cage = self.cgroups.make(self.limits)?.map(Arc::new);
        let env = BTreeMap::new();
        let job = Job { outside: &outside, within: &within, attachments: None, door: None, env: &env };
        let program = [INSIDE, "--version"].map(str::to_owned);
        let argv = self.words(&job, cage.as_deref(), program.to_vec());
        let bounds = Bounds { cage, asked: Asked::Namespace, ..Bounds::default() };
        Ok(Launch { argv, dir: "/".into(), env, lock: None, bounds })
    }

    /// All words from our own program outside to the child's.
    pub(super) fn words(
        &self,
        job: &Job<'_>,
        cage: Option<&super::cgroup::Cage>,
        argv: Vec<String>,
    ) -> Vec<String> {
        let mut words = super::cell::enter(&self.inside, self.limits, &self.cgroups, cage);
        words.push("--".to_owned());
        words.extend(bubblewrap::argv(&self.bubblewrap, &self.system, self.account, &self.inside, job));
        words.extend(bubblewrap::serve(self.account, self.limits.processes, job.door));
        words.extend(argv);
        words
    }
}
