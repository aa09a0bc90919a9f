//! Builds that take all there is: each is ended by the bound it meets, with a reason, and the next job is as any other.
//! The bounds are small, so that the machine does not notice.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test may"
)]

mod support;

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use common::domain::outcome::JobOutcome;
use support::{World, work};

const KEY: &str = "bakery#amelia";
const BOUNDS: [&str; 6] =
    ["--sandbox-memory-mb", "160", "--sandbox-processes", "48", "--sandbox-disk-mb", "64"];
/// From the start of the job to its end: a runaway is ended as soon as it meets its bound, not by the time limit.
const SOON: Duration = Duration::from_secs(20);

/// Ends well when nobody holds it.
const FORK_BOMB: &str = "import os,time\nfor i in range(2000):\n  try:\n    if os.fork()==0:\n      time.sleep(600)\n  except OSError as error: raise SystemExit('held at %d: %s' % (i, error))\nopen('dist/index.html','w').write(str(i))\n";
const MEMORY: &str = "hold=[]\nwhile True: hold.append(bytearray(8*1024*1024))\n";
const DISK: &str = "import os\nfor number in range(200):\n  with open('dist/%d'%number,'wb') as file:\n    for part in range(32): file.write(os.urandom(65536))\n  os.sync()\nimport time\ntime.sleep(600)\n";
/// Open, but without a name: no walk through the folders finds them.
const NAMELESS: &str = "import os,time\nhold=[]\nfor number in range(200):\n  file=open('dist/x','wb')\n  os.unlink('dist/x')\n  hold.append(file)\n  for part in range(32): file.write(os.urandom(65536))\n  file.flush()\n  os.fsync(file.fileno())\ntime.sleep(600)\n";
/// Deeper than any path goes.
const DEEP: &str = "import os,time\nos.chdir('dist')\nfor level in range(2200):\n  os.mkdir('d')\n  os.chdir('d')\nfor number in range(200):\n  with open('%d'%number,'wb') as file:\n    for part in range(32): file.write(os.urandom(65536))\n  os.sync()\ntime.sleep(600)\n";
/// Trees for whoever cleans up: in the site, in the home and among the temporary files.
const DEEP_LEFT: &str = "import os\nfor place in ('dist/deep','.cache/deep',os.environ['HOME']+'/deep',os.environ['TMPDIR']+'/deep'):\n  here=os.open('.',os.O_RDONLY)\n  os.makedirs(place,exist_ok=True)\n  os.chdir(place)\n  for level in range(2200):\n    os.mkdir('d')\n    os.chdir('d')\n  os.fchdir(here)\nraise SystemExit(7)\n";
/// Nothing of it is on the disk: whoever is not held ends well.
const HUGE_FILE: &str = "with open('dist/huge','wb') as file:\n  file.seek(100*1024**3)\n  file.write(b'x')\nos.remove('dist/huge')\nopen('dist/index.html','w').write('done')\n";
const DAEMON: &str = "import os,time\nif os.fork()==0:\n  os.setsid()\n  if os.fork()==0:\n    for fd in range(3): os.close(fd)\n    while True: time.sleep(1)\n  os._exit(0)\nopen('dist/index.html','w').write('done')\n";

struct Runaway {
    outcome: JobOutcome,
    error: String,
    /// How often the agent was started.
    agents: usize,
    took: Duration,
}

/// Users of this machine that no other test has: what is left of one's processes is killed with its child.
fn users_of_its_own() -> u32 {
    static TAKEN: AtomicU32 = AtomicU32::new(59_200);
    TAKEN.fetch_add(2, Ordering::Relaxed)
}

/// Builds a site by this script behind the walls, then an ordinary one on the same worker.
async fn run_away(mode: &str, script: &str) -> Runaway {
    let world = World::new();
    let first_user = users_of_its_own();
    let uid = first_user.to_string();
    let workspaces = world.path("workspaces").display().to_string();
    if mode == "uid" {
        open_for_others(&world);
    }
    let site = [("site/index.html", "7 to 18\n"), ("build.py", script), (".gitignore", "dist/\n")];
    let wild = world.remote("bakery", &site);
    let command = [
        "/usr/bin/python3",
        "-c",
        "import os; os.makedirs('dist',exist_ok=True); exec(open('build.py').read())",
    ];
    world.project_built_by("bakery", &wild, &command).await;
    let arguments =
        [&["--sandbox", mode, "--sandbox-uid", &uid, "--workspace-path", &workspaces][..], &BOUNDS].concat();
    let worker = world.worker_with_agent(&agent_for_all(&world), &arguments);
    let begun = Instant::now();
    world.order(KEY, work("c-1", "abcdef1", "change \"7 to 18\" to \"8 to 20\"")).await;
    let result = world.result().await;
    let took = begun.elapsed();
    let steps = world.job("c-1").await.unwrap().steps;
    let agents = steps.iter().filter(|step| step.name.as_str() == "agent").count();
    assert_eq!(alive(first_user) + alive(first_user + 1), 0, "everything that was started is gone");

    if mode == "uid" {
        let folder = world.path("workspaces/bakery-amelia").metadata().unwrap();
        assert_eq!(folder.permissions().mode() & 0o077, 0, "the children of others do not get in");
    }
    world.project("bakery", &wild).await;
    world.order(KEY, work("c-2", "abcdef2", "change \"7 to 18\" to \"9 to 21\"")).await;
    let next = world.result().await;
    assert_eq!(next.outcome, JobOutcome::Changed, "the next job is as any other: {next:?}");
    worker.stop().await;
    Runaway { outcome: result.outcome, error: result.error.unwrap_or_default(), agents, took }
}

/// Other users pass through the folder of the test, and may not enter the data directory.
fn open_for_others(world: &World) {
    let set = |path: &std::path::Path, mode| {
        std::fs::create_dir_all(path).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    set(world.dir.path(), 0o711);
    set(&world.path("data"), 0o700);
    set(&world.path("workspaces"), 0o711);
}

/// The demo agent where other users can start it, wherever it was built.
fn agent_for_all(world: &World) -> String {
    let copy = world.path("demo-agent");
    std::fs::copy(support::AGENT, &copy).unwrap();
    format!("'{}'", copy.display())
}

/// How many processes a user of this machine has.
fn alive(uid: u32) -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let line = format!("Uid:\t{uid}\t");
    let of_user = |path: &std::path::PathBuf| {
        std::fs::read_to_string(path.join("status"))
            .is_ok_and(|status| status.contains(&line) && !status.contains("State:\tZ"))
    };
    processes.map(|entry| entry.path()).filter(of_user).count()
}

async fn is_ended(mode: &str, script: &str, reason: &str) {
    let runaway = run_away(mode, script).await;
    assert_eq!(runaway.outcome, JobOutcome::BuildFailed, "{}", runaway.error);
    assert!(runaway.error.contains(reason), "{}", runaway.error);
    let is_of_the_source = !runaway.error.starts_with("build-limit: ");
    assert_eq!(runaway.agents, if is_of_the_source { 2 } else { 1 }, "{}", runaway.error);
    assert!(runaway.took < SOON, "{:?}", runaway.took);
    eprintln!("{mode}: {reason:?} ended it after {:?}", runaway.took);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fork_bomb_is_ended() {
    is_ended("namespaces", FORK_BOMB, "more processes").await;
    is_ended("uid", FORK_BOMB, "held at").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_build_that_takes_all_memory_is_ended() {
    is_ended("namespaces", MEMORY, "more memory").await;
    is_ended("uid", MEMORY, "more memory").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_build_that_fills_the_disk_is_ended() {
    is_ended("namespaces", DISK, "wrote more").await;
    is_ended("uid", DISK, "wrote more").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_walk_finds_counts_as_well() {
    is_ended("namespaces", NAMELESS, "wrote more").await;
    is_ended("namespaces", DEEP, "wrote more").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tree_that_is_too_deep_is_in_nobodys_way() {
    for mode in ["namespaces", "uid"] {
        let left = run_away(mode, DEEP_LEFT).await;
        assert_eq!(left.outcome, JobOutcome::BuildFailed, "{}", left.error);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_a_hundred_gigabytes_is_not_begun() {
    is_ended("namespaces", HUGE_FILE, "File too large").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_ends_with_the_build_that_left_it() {
    for mode in ["namespaces", "uid"] {
        let left = run_away(mode, DAEMON).await;
        assert_eq!(left.outcome, JobOutcome::Changed, "{}", left.error);
    }
}

/// Such a one has no lock of a folder that would tell of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_worker_left_running_as_another_user_is_ended_by_the_next_one() {
    let world = World::new();
    open_for_others(&world);
    world.bakery().await;
    let workspaces = world.path("workspaces").display().to_string();
    let first_user = users_of_its_own();
    let left = |uid| std::process::Command::new("/bin/sleep").arg("60").uid(uid).gid(uid).spawn().unwrap();
    let mut left = [first_user, first_user + 1].map(left);
    assert_eq!(alive(first_user) + alive(first_user + 1), 2);
    let first = first_user.to_string();
    let arguments = ["--sandbox", "uid", "--sandbox-uid", &first, "--workspace-path", &workspaces];
    let worker = world.worker_with_agent(&agent_for_all(&world), &arguments);
    let ended = async || (alive(first_user) + alive(first_user + 1) == 0).then_some(());
    world.until("the end of both", ended).await;
    for process in &mut left {
        process.wait().unwrap();
    }
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_workers_of_a_machine_do_not_run_children_as_the_same_users() {
    let world = World::new();
    open_for_others(&world);
    let workspaces = world.path("workspaces").display().to_string();
    let first_user = users_of_its_own();
    let ends = async |uid: u32, capacity: &str| {
        let uid = uid.to_string();
        let arguments = ["--sandbox", "uid", "--sandbox-uid", &uid, "--workspace-path", &workspaces];
        world.refused(&[&arguments[..], &["--capacity", capacity]].concat()).await
    };
    assert!(ends(first_user, "2").await.contains("WORKER_CAPACITY"));
    let first = first_user.to_string();
    let arguments = ["--sandbox", "uid", "--sandbox-uid", &first, "--workspace-path", &workspaces];
    world.bakery().await;
    let worker = world.worker_with_agent(&agent_for_all(&world), &arguments);
    world.order(KEY, work("c-1", "abcdef1", "change \"7 to 18\" to \"8 to 20\"")).await;
    assert_eq!(world.result().await.outcome, JobOutcome::Changed);
    for overlapping in [first_user, first_user + 1] {
        let said = ends(overlapping, "1").await;
        assert!(said.contains("SANDBOX_UID of its own"), "{said}");
    }
    worker.stop().await;
}

/// A file system of its own with little room.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    /// None for those who may not mount one.
    fn at(place: std::path::PathBuf) -> Option<Self> {
        std::fs::create_dir_all(&place).unwrap();
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=2m", "none"])
            .arg(&place)
            .status();
        mounted.is_ok_and(|status| status.success()).then_some(Self(place))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        std::process::Command::new("umount").arg("-l").arg(&self.0).status().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_no_damage_of_a_checkout() {
    let world = World::new();
    let Some(disk) = SmallDisk::at(world.path("small")) else { return };
    let remote = world.bakery().await;
    let place = disk.0.display().to_string();
    let worker = world.worker_with_agent(&format!("'{}'", support::AGENT), &["--workspace-path", &place]);
    let hours = "change \"7 to 18\" to \"8 to 20\"";
    world.order(KEY, work("c-1", "abcdef1", hours)).await;
    assert_eq!(world.result().await.outcome, JobOutcome::Changed);
    let folder = disk.0.join("bakery-amelia");
    let before = folder.join("repo").metadata().unwrap();
    remote.commit("main", &[("large.txt", &"x".repeat(4 << 20))], "large");
    world.order(KEY, work("c-2", "abcdef2", hours)).await;
    let result = world.result().await;
    let error = result.error.unwrap_or_default();
    assert_eq!(result.outcome, JobOutcome::Failed, "{error}");
    assert!(error.starts_with("machine: ") && error.contains("No space left on device"), "{error}");
    assert_eq!(folder.join("repo").metadata().unwrap().ino(), before.ino(), "it is not made anew");
    assert!(!folder.join("repo.aside").exists() && !folder.join("repo.damaged").exists());
    worker.stop().await;
}
