//! Control groups, version 1 or 2, where this worker may make some: they bound memory and processes of a child and of all
//! that it starts, and they know them all when it is to end.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use uuid::Uuid;

use super::Limits;

/// Where groups can be made on this machine.
#[derive(Debug, Clone, Default)]
pub struct Cgroups {
    memory: Option<PathBuf>,
    processes: Option<PathBuf>,
}

const ROUNDS: u32 = 100;
const ROUND: Duration = Duration::from_millis(10);

impl Cgroups {
    /// Looks where this process may make groups of its own.
    pub fn find() -> Self {
        let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        Self::of(&own, &mounts)
    }

    /// None: nothing is bounded by groups.
    pub fn none() -> Self {
        Self::default()
    }

    /// Whether memory is bounded.
    pub fn bound_memory(&self) -> bool {
        self.memory.is_some()
    }

    /// Whether processes are bounded.
    pub fn bound_processes(&self) -> bool {
        self.processes.is_some()
    }

    fn of(own: &str, mounts: &str) -> Self {
        let place = |controller: &str| {
            parents(own, mounts, controller).into_iter().find(|parent| can_make_groups(parent, controller))
        };
        Self { memory: place("memory"), processes: place("pids") }
    }

    /// A group with these limits for one child; none where none can be made.
    pub fn make(&self, limits: Limits) -> io::Result<Option<Cage>> {
        let name = unique_name();
        let mut folders: Vec<PathBuf> =
            [&self.memory, &self.processes].into_iter().flatten().map(|parent| parent.join(&name)).collect();
        folders.dedup();
        if folders.is_empty() {
            return Ok(None);
        }
        let cage = Cage { folders };
        for folder in &cage.folders {
            std::fs::create_dir(folder)?;
            bound(folder, limits)?;
        }
        Ok(Some(cage))
    }
}

/// Where groups with this controller could be made: below our own in version 1; beside or below it in version 2.
fn parents(own: &str, mounts: &str, controller: &str) -> Vec<PathBuf> {
    let mount = |kind: &str, option: Option<&str>| {
        mounts.lines().find_map(|line| {
            let fields: Vec<&str> = line.split(' ').collect();
            let [_, place, found, options, ..] = fields.as_slice() else { return None };
            let with = option.is_none_or(|wanted| options.split(',').any(|option| option == wanted));
            (*found == kind && with).then(|| PathBuf::from(place))
        })
    };
    let path = |wanted: &dyn Fn(&str) -> bool| {
        own.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let (controllers, path) = (parts.next()?, parts.next()?);
            wanted(controllers).then(|| path.trim_start_matches('/').to_owned())
        })
    };
    let first = mount("cgroup", Some(controller))
        .zip(path(&|controllers| controllers.split(',').any(|name| name == controller)))
        .map(|(mount, path)| vec![mount.join(&path), mount]);
    let second = || {
        let (mount, path) = mount("cgroup2", None).zip(path(&str::is_empty))?;
        let own = mount.join(path);
        Some(own.parent().filter(|_| own != mount).map(Path::to_owned).into_iter().chain([own]).collect())
    };
    first.or_else(second).unwrap_or_default()
}

/// Several workers may share a parent.
fn unique_name() -> String {
    format!("hermes-{}", Uuid::new_v4().simple())
}

/// Tried, since neither rights nor mounts tell.
fn can_make_groups(parent: &Path, controller: &str) -> bool {
    let trial = parent.join(unique_name());
    if std::fs::create_dir(&trial).is_err() {
        return false;
    }
    let knobs: &[&str] = match controller {
        "memory" => &["memory.max", "memory.limit_in_bytes"],
        _ => &["pids.max"],
    };
    let found = knobs.iter().any(|knob| trial.join(knob).exists());
    std::fs::remove_dir(&trial).ok();
    found
}

fn bound(folder: &Path, limits: Limits) -> io::Result<()> {
    let (memory, processes) = (limits.memory_bytes.to_string(), limits.processes.to_string());
    // The order matters: memory with swap may not be less than memory.
    for (knob, value, needed) in [
        ("memory.max", memory.as_str(), true),
        ("memory.swap.max", "0", false),
        ("memory.limit_in_bytes", memory.as_str(), true),
        ("memory.memsw.limit_in_bytes", memory.as_str(), false),
        ("pids.max", processes.as_str(), true),
    ] {
        let path = folder.join(knob);
        if path.exists() {
            match std::fs::write(&path, value) {
                Err(error) if needed => {
                    return Err(io::Error::new(error.kind(), format!("{}: {error}", path.display())));
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// The groups of one child. When it is dropped, whoever is in them is killed.
#[derive(Debug)]
pub struct Cage {
    folders: Vec<PathBuf>,
}

impl Cage {
    /// The files that a process writes itself into.
    pub fn entrances(&self) -> impl Iterator<Item = PathBuf> {
        self.folders.iter().map(|folder| folder.join("cgroup.procs"))
    }

    /// Whoever is in them.
    pub fn inmates(&self) -> Vec<Pid> {
        self.folders.first().map(|folder| inmates(folder)).unwrap_or_default()
    }

    /// Kills whoever is in them until nobody is; bounded.
    pub fn clear(&self) {
        for folder in &self.folders {
            if std::fs::write(folder.join("cgroup.kill"), "1").is_ok() {
                continue;
            }
            for _ in 0..ROUNDS {
                let inmates = inmates(folder);
                if inmates.is_empty() {
                    break;
                }
                for inmate in inmates {
                    // It may have ended meanwhile.
                    kill(inmate, Signal::SIGKILL).ok();
                }
            }
        }
    }

    /// Kills whoever is in them and removes them. Dead processes leave a group a moment after their end.
    pub async fn remove(&self) {
        for _ in 0..ROUNDS {
            self.clear();
            if self.folders.iter().all(|folder| is_removed(folder)) {
                return;
            }
            tokio::time::sleep(ROUND).await;
        }
        tracing::warn!(groups = ?self.folders, "a control group could not be removed");
    }

    /// Whether the kernel killed somebody in them for their memory.
    pub fn ran_out_of_memory(&self) -> bool {
        let count = |(file, word): (&str, &str)| {
            self.folders.iter().filter_map(move |folder| counted(&folder.join(file), word)).sum::<u64>()
        };
        [("memory.events", "oom_kill"), ("memory.oom_control", "oom_kill")]
            .into_iter()
            .map(count)
            .sum::<u64>()
            > 0
    }

    /// Whether a process was refused for their number.
    pub fn ran_out_of_processes(&self) -> bool {
        self.folders.iter().filter_map(|folder| counted(&folder.join("pids.events"), "max")).sum::<u64>() > 0
    }
}

impl Drop for Cage {
    fn drop(&mut self) {
        self.clear();
        for folder in &self.folders {
            is_removed(folder);
        }
    }
}

fn is_removed(folder: &Path) -> bool {
    match std::fs::remove_dir(folder) {
        Ok(()) => true,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

fn inmates(folder: &Path) -> Vec<Pid> {
    let text = std::fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok().filter(|id| *id > 0).map(Pid::from_raw)).collect()
}

fn counted(file: &Path, word: &str) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| line.strip_prefix(word)?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS_1: &str = "cgroup /c/memory cgroup rw,relatime,memory 0 0\ncgroup /c/pids cgroup rw,pids 0 0\ncgroup2 /c/unified cgroup2 rw 0 0\n";
    const OWN_1: &str = "8:pids:/\n4:memory:/a/b\n0::/\n";

    #[test]
    fn groups_of_version_1_lie_below_our_own() {
        assert_eq!(parents(OWN_1, MOUNTS_1, "memory"), ["/c/memory/a/b", "/c/memory"].map(PathBuf::from));
        assert_eq!(parents(OWN_1, MOUNTS_1, "pids")[0], Path::new("/c/pids"));
    }

    #[test]
    fn groups_of_version_2_lie_beside_our_own_where_the_controllers_are_handed_down() {
        let mounts = "cgroup2 /c cgroup2 rw,nsdelegate 0 0\n";
        assert_eq!(parents("0::/s/worker\n", mounts, "memory"), ["/c/s", "/c/s/worker"].map(PathBuf::from));
        assert_eq!(parents("0::/\n", mounts, "pids"), [Path::new("/c")]);
    }

    #[test]
    fn limits_are_written_where_the_kernel_has_them() {
        let folder = tempfile::tempdir().unwrap();
        for knob in ["memory.max", "pids.max"] {
            std::fs::write(folder.path().join(knob), "max").unwrap();
        }
        bound(folder.path(), Limits { memory_bytes: 5, processes: 6, disk_bytes: 7 }).unwrap();
        assert_eq!(std::fs::read_to_string(folder.path().join("memory.max")).unwrap(), "5");
        assert_eq!(std::fs::read_to_string(folder.path().join("pids.max")).unwrap(), "6");
        assert!(!folder.path().join("memory.limit_in_bytes").exists());
    }

    #[test]
    fn counts_are_read() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("memory.oom_control"), "under_oom 0\noom_kill 3\n").unwrap();
        std::fs::write(folder.path().join("pids.events"), "max 0\n").unwrap();
        let cage = Cage { folders: vec![folder.path().to_owned()] };
        assert!(cage.ran_out_of_memory() && !cage.ran_out_of_processes());
    }
}
