//! The walls around one run of an agent or a build: its folders, its way out, its limits.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::bubblewrap::{Job, PORT};
use super::cgroup::{Cage, Cgroups};
use super::quota::Quota;
use super::{Limits, Namespaces, Sandbox, Users, Walls, owners};
use crate::gateway::{Door, Opened};
use crate::inside::Account;
use crate::job::workspace::{Places, Workspace};
use crate::process::{Asked, Bounds, Launch};

/// The gateway's socket in its folder.
pub(super) const SOCKET: &str = "gateway.sock";

/// Who is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// The agent: it reaches the model.
    Agent,
    /// Install and build: they reach the registries of packages.
    Build,
}

/// Where a child finds things.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// The checkout.
    pub repo: PathBuf,
    /// What came with the mail; only an agent is let in.
    pub attachments: PathBuf,
    /// Its home.
    pub home: PathBuf,
    /// Its temporary files.
    pub tmp: PathBuf,
}

/// The walls around one child after the other; what is let through is closed when it is dropped.
#[derive(Debug)]
pub struct Cell<'a> {
    walls: &'a Walls,
    workspace: &'a Workspace,
    who: Who,
    outside: View,
    within: View,
    opened: Option<Opened>,
    _entered: Option<Entered>,
}

/// A folder that its child is let into. It is shut when this is dropped, whatever walls the next child has, also when nobody
/// waited for the cell to the end.
#[derive(Debug)]
struct Entered(Workspace);

impl Sandbox {
    /// Where the agent or build sees things.
    pub fn view(&self, workspace: &Workspace, who: Who) -> View {
        match self.walls {
            Walls::Namespaces(_) => View {
                repo: "/site".into(),
                attachments: "/attachments".into(),
                home: "/home/site".into(),
                tmp: "/tmp".into(),
            },
            Walls::Off | Walls::Uid(_) => View::of(workspace, &workspace.places(who.name())),
        }
    }

    /// Prepares the folders and opens the way out.
    pub async fn cell<'a>(&'a self, workspace: &'a Workspace, who: Who) -> io::Result<Cell<'a>> {
        self.end_orphans().await;
        // Its child before may have left millions of files. Whoever stops waiting leaves the folder held until they are gone.
        let (walls, folder) = (self.walls.clone(), workspace.clone());
        let prepared = tokio::task::spawn_blocking(move || walls.prepare(&folder, who));
        let (outside, entered) = prepared.await.map_err(io::Error::other)??;
        let opened = self.open(workspace, who).await?;
        let within = self.view(workspace, who);
        Ok(Cell { walls: &self.walls, workspace, who, outside, within, opened, _entered: entered })
    }

    async fn open(&self, workspace: &Workspace, who: Who) -> io::Result<Option<Opened>> {
        let door = match who {
            Who::Agent => Door::Model,
            Who::Build => Door::Packages,
        };
        match (&self.walls, who) {
            (Walls::Namespaces(_), _) => self.gateway.open_on_socket(door, &workspace.door(), SOCKET),
            // It has the network as it is.
            (Walls::Off, Who::Build) => Ok(None),
            (Walls::Off, Who::Agent) | (Walls::Uid(_), _) => self.gateway.open_on_loopback(door).await,
        }
    }
}

fn give(view: &View, account: Account) -> io::Result<()> {
    owners::give_checkout(&view.repo, account)?;
    owners::give(&view.home, account)?;
    owners::give(&view.tmp, account)
}

impl Walls {
    /// The folders of a child, as empty as they have to be, given to it, and without the door of the one before.
    fn prepare(&self, workspace: &Workspace, who: Who) -> io::Result<(View, Option<Entered>)> {
        let places = match who {
            Who::Agent => workspace.fresh_agent_places(),
            Who::Build => workspace.build_places(),
        }?;
        crate::folders::remove(&workspace.door())?;
        let view = View::of(workspace, &places);
        let entered = matches!(self, Self::Uid(_)).then(|| Entered::into(workspace.clone())).transpose()?;
        if let Some(account) = self.account(who) {
            give(&view, account)?;
        }
        Ok((view, entered))
    }

    /// Who children are, when they are not the worker's own user.
    fn account(&self, who: Who) -> Option<Account> {
        match (self, who) {
            (Self::Off, _) => None,
            (Self::Namespaces(walls), _) => walls.account,
            (Self::Uid(users), Who::Agent) => Some(users.agent),
            (Self::Uid(users), Who::Build) => Some(users.build),
        }
    }
}

impl Who {
    fn name(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Build => "build",
        }
    }
}

impl View {
    fn of(workspace: &Workspace, places: &Places) -> Self {
        Self {
            repo: workspace.repo(),
            attachments: workspace.attachments(),
            home: places.home.clone(),
            tmp: places.tmp.clone(),
        }
    }

    /// Home and temporary files alone.
    pub fn places(&self) -> Places {
        Places { home: self.home.clone(), tmp: self.tmp.clone() }
    }
}

impl Cell<'_> {
    /// Where the child sees things.
    pub fn view(&self) -> &View {
        &self.within
    }

    /// Where they really are.
    pub fn outside(&self) -> &View {
        &self.outside
    }

    /// What came with the mail: a build makes the site of what was committed.
    fn attachments(&self) -> Option<&Path> {
        (self.who == Who::Agent).then_some(&*self.outside.attachments)
    }

    /// Gives what was laid into its home to the child.
    pub fn hand_over_home(&self) -> io::Result<()> {
        self.walls.account(self.who).map_or(Ok(()), |account| owners::give(&self.outside.home, account))
    }

    /// What must be started, so that this program runs behind the walls with this environment.
    pub fn enclose(&self, argv: Vec<String>, mut env: BTreeMap<String, String>) -> io::Result<Launch> {
        self.way_out(&mut env);
        match self.walls {
            Walls::Off => Ok(Launch {
                argv,
                dir: self.outside.repo.clone(),
                env,
                lock: Some(self.workspace.lock()),
                bounds: Bounds::default(),
            }),
            Walls::Namespaces(walls) => walls.enclose(self, argv, &env),
            Walls::Uid(users) => users.enclose(self, argv, env),
        }
    }

    /// Where the gateway is heard, instead of the network as it is.
    fn way_out(&self, env: &mut BTreeMap<String, String>) {
        if !matches!(self.walls, Walls::Off) {
            env.retain(|name, _| !is_of_the_machine(name));
            // The history belongs to the worker's user; git would refuse to read it.
            let repo = self.within.repo.display().to_string();
            for (name, value) in [("COUNT", "1"), ("KEY_0", "safe.directory"), ("VALUE_0", &repo)] {
                env.insert(format!("GIT_CONFIG_{name}"), value.to_owned());
            }
            if self.who == Who::Build {
                // What is shared with others could be poisoned by any of them.
                let cache = self.within.home.join(".npm").display().to_string();
                env.insert("npm_config_cache".to_owned(), cache);
            }
        }
        if let Some(opened) = &self.opened {
            let port = opened.port().unwrap_or(PORT);
            env.extend(opened.environment(port, env.get("NO_PROXY").map(String::as_str)));
        }
    }

    fn quota(&self, limits: Limits) -> Quota {
        let folders = [&self.outside.repo, &self.outside.home, &self.outside.tmp].map(Clone::clone).into();
        Quota { folders, max_bytes: limits.disk_bytes }
    }
}

impl Entered {
    fn into(workspace: Workspace) -> io::Result<Self> {
        let entered = Self(workspace);
        owners::let_through(entered.0.root()).map(|()| entered)
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        if let Err(error) = owners::shut(self.0.root()) {
            tracing::warn!(%error, "a working folder could not be shut");
        }
    }
}

fn is_of_the_machine(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["http_proxy", "https_proxy", "no_proxy", "npm_config_cache", "npm_config_userconfig"]
        .contains(&name.as_str())
}

impl Namespaces {
    fn enclose(
        &self,
        cell: &Cell<'_>,
        argv: Vec<String>,
        env: &BTreeMap<String, String>,
    ) -> io::Result<Launch> {
        let cage = self.cgroups.make(self.limits)?.map(Arc::new);
        let door = cell.opened.as_ref().map(|_| cell.workspace.door());
        let job = Job {
            outside: &cell.outside,
            within: &cell.within,
            attachments: cell.attachments(),
            door: door.as_deref(),
            env,
        };
        let words = self.words(&job, cage.as_deref(), argv);
        Ok(Launch {
            argv: words,
            dir: "/".into(),
            // What bubblewrap has, the first process behind the walls shows.
            env: BTreeMap::new(),
            // It dies with the worker, and could let go of a lock that it inherited.
            lock: None,
            bounds: Bounds {
                cage,
                quota: Some(cell.quota(self.limits)),
                asked: Asked::Namespace,
                user: None,
            },
        })
    }
}

impl Users {
    fn enclose(
        &self,
        cell: &Cell<'_>,
        argv: Vec<String>,
        env: BTreeMap<String, String>,
    ) -> io::Result<Launch> {
        let account = match cell.who {
            Who::Agent => self.agent,
            Who::Build => self.build,
        };
        let cage = self.cgroups.make(self.limits)?.map(Arc::new);
        let mut words = enter(&self.inside, self.limits, &self.cgroups, cage.as_deref());
        words.extend(["--account".to_owned(), account.to_string()]);
        words.extend(["--max-processes".to_owned(), self.limits.processes.to_string()]);
        let usual = ["/dev", "/proc", "/etc/passwd", "/etc/group", "/etc/hosts", "/etc/nsswitch.conf"];
        let readable = self.system.readable().chain(cell.attachments());
        let readable = readable.map(|path| path.display().to_string());
        for path in readable.chain(usual.map(str::to_owned)) {
            words.extend(["--read".to_owned(), path]);
        }
        let writable = [&cell.outside.repo, &cell.outside.home, &cell.outside.tmp];
        // What is written to /dev/shm outlives it, and belongs to no project.
        let devices = ["/dev/null", "/dev/zero", "/dev/full"].map(str::to_owned);
        for path in writable.map(|path| path.display().to_string()).into_iter().chain(devices) {
            words.extend(["--write".to_owned(), path]);
        }
        if let Some(port) = cell.opened.as_ref().and_then(Opened::port) {
            words.extend(["--port".to_owned(), port.to_string()]);
        }
        words.push("--".to_owned());
        words.extend(argv);
        Ok(Launch {
            argv: words,
            dir: cell.outside.repo.clone(),
            env,
            // Walls do not bind what is open already: it could fill the file, and let go of the lock. It is known by its user.
            lock: None,
            bounds: Bounds {
                cage,
                quota: Some(cell.quota(self.limits)),
                asked: Asked::Group,
                user: Some((self.inside.clone(), account)),
            },
        })
    }
}

/// The words of our own program before the walls, without its `--`.
pub(super) fn enter(inside: &str, limits: Limits, cgroups: &Cgroups, cage: Option<&Cage>) -> Vec<String> {
    let mut words =
        [inside, "enter", "--max-file-bytes", &limits.disk_bytes.to_string()].map(str::to_owned).to_vec();
    if !cgroups.bound_memory() {
        words.extend(["--max-data-bytes".to_owned(), limits.memory_bytes.to_string()]);
    }
    for entrance in cage.iter().flat_map(|cage| cage.entrances()) {
        words.extend(["--cgroup".to_owned(), entrance.display().to_string()]);
    }
    words
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::gateway::Gateway;

    /// On a runtime of one thread, where whatever holds it up holds up all.
    async fn beats_during(work: impl Future<Output = ()>) -> u32 {
        let beats = Arc::new(AtomicU32::default());
        let counted = Arc::clone(&beats);
        let heart = tokio::spawn(async move {
            loop {
                counted.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
        });
        work.await;
        heart.abort();
        beats.load(Ordering::Relaxed)
    }

    fn fill(folder: &std::path::Path) {
        std::fs::create_dir_all(folder).unwrap();
        for number in 0..3000 {
            std::fs::write(folder.join(number.to_string()), "").unwrap();
        }
    }

    #[tokio::test]
    async fn what_a_child_left_is_removed_while_others_go_on() {
        let stand = tempfile::tempdir().unwrap();
        let workspace = Workspace::lock_folder(stand.path()).await.unwrap();
        let sandbox = Sandbox::off(Gateway::closed());
        for who in [Who::Agent, Who::Build] {
            let tmp = workspace.places(who.name()).tmp;
            fill(&tmp);
            fill(&workspace.door());
            let beats = beats_during(async { drop(sandbox.cell(&workspace, who).await.unwrap()) }).await;
            assert!(beats > 100, "{who:?}: {beats}");
            assert!(std::fs::read_dir(tmp).unwrap().next().is_none(), "{who:?}");
            assert!(!workspace.door().exists(), "{who:?}");
        }
    }

    #[tokio::test]
    async fn whoever_stops_waiting_leaves_a_folder_that_nobody_else_takes_until_it_is_empty() {
        let stand = tempfile::tempdir().unwrap();
        let folder = stand.path().join("folder");
        let workspace = Workspace::lock_folder(&folder).await.unwrap();
        let (sandbox, tmp) = (Sandbox::off(Gateway::closed()), workspace.places("build").tmp);
        fill(&tmp);
        let waited = tokio::time::timeout(std::time::Duration::ZERO, sandbox.cell(&workspace, Who::Build));
        assert!(waited.await.is_err());
        drop(workspace);
        let next = Workspace::lock_folder(&folder).await.unwrap();
        let is_empty = std::fs::read_dir(&tmp).unwrap().next().is_none();
        assert!(is_empty || next.root() != folder);
    }
}
