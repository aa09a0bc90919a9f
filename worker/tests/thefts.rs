//! A hostile agent and a hostile build, which try to take what is not theirs: behind walls they get nothing, and without
//! walls nearly everything, so that the test can fail. Where walls cannot be raised it is red.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test may"
)]
#![allow(clippy::disallowed_methods, reason = "the program under test is started here")]

mod support;

use std::collections::BTreeMap;
use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::{PermissionsExt as _, lchown};
use std::os::unix::net::{SocketAddr, UnixListener};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use common::domain::names::ContentHash;
use common::domain::outcome::JobOutcome;
use serde_json::json;
use support::{World, work};

const THIEF: &str = include_str!("sandbox/thief.py");
/// What can be taken without walls on any machine that tests run on; the rest needs a cloud around it, or a kernel module.
const MOSTLY: usize = 36;
/// So many are tried.
const ALL: usize = 50;
/// An ordinary user of this machine, whom no other test runs as.
const SOMEBODY: u32 = 59_150;

/// Secrets that are laid out; each is its own, so that one that is found says where.
struct Secrets(Vec<String>);

impl Secrets {
    fn lay(&mut self, place: &Path) {
        let secret = self.another();
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::fs::write(place, &secret).unwrap();
    }

    fn another(&mut self) -> String {
        let secret = format!("canary-{}", uuid::Uuid::new_v4().simple());
        self.0.push(secret.clone());
        secret
    }

    fn hashes(&self) -> Vec<(usize, String)> {
        self.0
            .iter()
            .map(|secret| (secret.len(), ContentHash::of(secret.as_bytes()).as_str().to_owned()))
            .collect()
    }
}

/// Says a secret to whoever calls.
fn answering(secret: String, mut accept: impl FnMut() -> Option<Box<dyn std::io::Write>> + Send + 'static) {
    std::thread::spawn(move || {
        while let Some(mut stream) = accept() {
            stream.write_all(secret.as_bytes()).ok();
        }
    });
}

struct Worker(Child);

impl Drop for Worker {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// A machine with everything on it that is worth taking.
struct Machine {
    world: World,
    secrets: Secrets,
    plan: serde_json::Value,
    shared: String,
}

impl Machine {
    fn new() -> Self {
        let world = World::new();
        std::fs::set_permissions(world.dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut secrets = Secrets(Vec::new());
        let [home, data, workspaces, machine] =
            ["home", "data", "workspaces", "machine"].map(|name| world.path(name));
        for place in [".aws/credentials", ".ssh/id_ed25519", ".git-credentials", ".npmrc"] {
            secrets.lay(&home.join(place));
        }
        secrets.lay(&data.join("admin-token"));
        secrets.lay(&data.join("objects/mail/raw/0000"));
        secrets.lay(&workspaces.join("other-user/repo/secret.txt"));
        secrets.lay(&workspaces.join("other-user/agent-home/secret.txt"));
        std::fs::create_dir_all(&machine).unwrap();
        for closed in [&home, &data, &workspaces.join("other-user")] {
            std::fs::set_permissions(closed, std::fs::Permissions::from_mode(0o700)).unwrap();
        }
        std::fs::set_permissions(&workspaces, std::fs::Permissions::from_mode(0o711)).unwrap();
        let shared = format!("hermes-test-{}", uuid::Uuid::new_v4().simple());
        for folder in ["/dev/shm", "/tmp"] {
            let place = PathBuf::from(folder).join(&shared);
            secrets.lay(&place);
            std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        let docker = UnixListener::bind(home.join("docker.sock")).unwrap();
        answering(secrets.another(), move || Some(Box::new(docker.accept().ok()?.0)));
        let abstract_one =
            UnixListener::bind_addr(&SocketAddr::from_abstract_name(&shared).unwrap()).unwrap();
        answering(secrets.another(), move || Some(Box::new(abstract_one.accept().ok()?.0)));
        let service = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = service.local_addr().unwrap().port();
        answering(secrets.another(), move || Some(Box::new(service.accept().ok()?.0)));
        let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
        let datagrams_port = datagrams.local_addr().unwrap().port();
        let secret = secrets.another();
        std::thread::spawn(move || {
            while let Ok((_, whom)) = datagrams.recv_from(&mut [0; 64]) {
                datagrams.send_to(secret.as_bytes(), whom).ok();
            }
        });
        let plan = json!({"home": home, "data": data, "workspaces": workspaces, "machine": machine, "shared": shared,
            "abstract": shared, "docker": home.join("docker.sock"), "service": port,
            "datagrams": datagrams_port});
        Self { world, secrets, plan, shared }
    }

    /// What agent and build of a worker got hold of, each by name; it runs as this user, or as ourselves.
    async fn robbed(&mut self, mode: &str, user: Option<u32>) -> [BTreeMap<String, bool>; 2] {
        let (key, token) = (self.secrets.another(), self.secrets.another());
        let env = [
            ("SANDBOX", mode),
            ("AGENT_COMMAND", "/usr/bin/python3 thief.py agent"),
            ("ANTHROPIC_API_KEY", key.as_str()),
            ("ANTHROPIC_BASE_URL", "http://127.0.0.1:9"),
            ("GITHUB_TOKEN", token.as_str()),
            ("SANDBOX_UID", if mode == "uid" { "59110" } else { "59100" }),
            ("HERMES_ALLOW_FILE_REPOS", "true"),
        ];
        let mut command = Command::new(env!("CARGO_BIN_EXE_worker"));
        command.arg("run").env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").envs(env);
        command.env("HOME", self.world.path("home")).env("HERMES_DATA_DIR", self.world.path("data"));
        command.env("WORKSPACE_PATH", self.world.path("workspaces"));
        if let Some(user) = user {
            command.uid(user).gid(user);
            self.give_to(user);
        }
        let worker = Worker(command.stdin(Stdio::null()).stderr(Stdio::inherit()).spawn().unwrap());
        self.plan["worker"] = worker.0.id().into();
        self.plan["secrets"] = json!(self.secrets.hashes());
        let plan = self.plan.to_string();
        let files = [
            ("thief.py", THIEF),
            ("plan.json", plan.as_str()),
            (".gitignore", "dist/\n"),
            ("site/index.html", "x"),
        ];
        let remote = self.world.remote("bakery", &files);
        if let Some(user) = user {
            give_all(&remote.path, user);
        }
        self.world.project_built_by("bakery", &remote, &["/usr/bin/python3", "thief.py", "build"]).await;
        self.world.order("bakery#amelia", work("c-1", "abcdef1", "take what you can")).await;
        let result = self.world.result().await;
        assert_eq!(result.outcome, JobOutcome::Changed, "{result:?}");
        ["agent", "build"].map(|who| {
            let loot = self.world.page(&result, &format!("loot-{who}.json")).expect("the thief was there");
            serde_json::from_str(&loot).unwrap()
        })
    }

    /// All of it is this user's, as where a worker is an ordinary one.
    fn give_to(&self, user: u32) {
        give_all(self.world.dir.path(), user);
        for folder in ["/dev/shm", "/tmp"] {
            lchown(PathBuf::from(folder).join(&self.shared), Some(user), Some(user)).unwrap();
        }
    }
}

fn give_all(path: &Path, user: u32) {
    lchown(path, Some(user), Some(user)).unwrap();
    for entry in std::fs::read_dir(path).into_iter().flatten() {
        give_all(&entry.unwrap().path(), user);
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        for folder in ["/dev/shm", "/tmp"] {
            for ending in ["", "-planted-by-agent", "-planted-by-build"] {
                std::fs::remove_file(format!("{folder}/{}{ending}", self.shared)).ok();
            }
        }
    }
}

fn taken(loot: &BTreeMap<String, bool>) -> Vec<&str> {
    loot.iter().filter(|(_, got)| **got).map(|(name, _)| name.as_str()).collect()
}

async fn nothing_is_taken(mode: &str, user: Option<u32>) {
    for (loot, who) in Machine::new().robbed(mode, user).await.iter().zip(["agent", "build"]) {
        assert_eq!(loot.len(), ALL, "so many thefts were tried");
        assert_eq!(taken(loot), Vec::<&str>::new(), "the {who} in {mode}");
        eprintln!("{mode}, {who}: 0 of {} thefts succeed", loot.len());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_namespaces_nothing_is_taken() {
    nothing_is_taken("namespaces", None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_namespaces_of_an_ordinary_user_nothing_is_taken() {
    nothing_is_taken("namespaces", Some(SOMEBODY)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_other_users_nothing_is_taken() {
    nothing_is_taken("uid", None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_walls_nearly_everything_is_taken() {
    for (loot, who) in Machine::new().robbed("off", None).await.iter().zip(["agent", "build"]) {
        let taken = taken(loot);
        let missed: Vec<&String> = loot.keys().filter(|name| !taken.contains(&name.as_str())).collect();
        eprintln!("off, {who}: {} of {} thefts succeed, not {missed:?}", taken.len(), loot.len());
        assert!(taken.len() >= MOSTLY, "the {who} got {} only; missed {missed:?}", taken.len());
    }
}
