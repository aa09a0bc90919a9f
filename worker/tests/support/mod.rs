//! A world for one test: a local cloud in a temporary folder, bare git remotes, workers in this process. In the test
//! `claims_on_aws` the cloud is an AWS-compatible endpoint instead.

#![allow(dead_code, unreachable_pub, reason = "every test file uses another part")]

pub mod program;
pub mod silent;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser as _;
use common::clock::Clock;
use common::cloud::Cloud;
use common::cloud::files::At;
use common::cloud::queue::{Delivery, Outgoing};
use common::domain::budget::Limits;
use common::domain::ids::{CommandId, ProjectUser};
use common::domain::job::Job;
use common::domain::names::{Queue, SiteTarget};
use common::domain::project::{Build, Preempt, Project};
use common::domain::timestamp::Timestamp;
use common::messages::{ClaimRequest, JobResult};
use git2::{Oid, Repository, Signature};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use worker::config::{Action, Cli, RunSettings};
use worker::start::StartError;

/// Nothing here takes longer.
pub const LIMIT: Duration = Duration::from_secs(40);
pub const AGENT: &str = env!("CARGO_BIN_EXE_demo-agent");

pub struct World {
    pub dir: tempfile::TempDir,
    pub cloud: Cloud,
    /// What workers are told of the cloud beside its folder.
    place: Vec<String>,
}

/// Whether this file is part of a test whose name says so.
fn is_on_aws() -> bool {
    module_path!().split("::").next().is_some_and(|test| test.ends_with("_on_aws"))
}

/// A worker in this process; ended by `stop`.
pub struct Running {
    pub shutdown: CancellationToken,
    task: JoinHandle<Result<(), StartError>>,
}

impl Running {
    pub async fn stop(self) {
        self.shutdown.cancel();
        self.ends().await;
    }

    /// It ends by itself.
    pub async fn ends(self) {
        timeout(LIMIT, self.task).await.expect("a worker ends").unwrap().unwrap();
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl World {
    pub fn new() -> Self {
        if is_on_aws() {
            let (cloud, place) = on_aws();
            return Self::over(cloud, place);
        }
        let dir = tempfile::tempdir().unwrap();
        Self { cloud: here(dir.path()), dir, place: Vec::new() }
    }

    /// A world over this cloud, of which workers are told so.
    pub fn over(cloud: Cloud, place: Vec<String>) -> Self {
        Self { dir: tempfile::tempdir().unwrap(), cloud, place }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Starts a worker with the demo agent; later arguments win.
    pub fn worker(&self, arguments: &[&str]) -> Running {
        self.worker_with_agent(&format!("'{AGENT}'"), arguments)
    }

    pub fn worker_with_agent(&self, agent: &str, arguments: &[&str]) -> Running {
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(worker::start(self.settings(agent, arguments), shutdown.clone()));
        Running { shutdown, task }
    }

    /// What a worker says that does not start.
    pub async fn refused(&self, arguments: &[&str]) -> String {
        let settings = self.settings(&format!("'{AGENT}'"), arguments);
        worker::start(settings, CancellationToken::new()).await.expect_err("it does not start").to_string()
    }

    /// A worker with the demo agent over another cloud than the world's.
    pub fn worker_over(&self, cloud: Cloud, arguments: &[&str]) -> Running {
        self.worker_with_agent_over(cloud, &format!("'{AGENT}'"), arguments)
    }

    pub fn worker_with_agent_over(&self, cloud: Cloud, agent: &str, arguments: &[&str]) -> Running {
        let shutdown = CancellationToken::new();
        let settings = self.settings(agent, arguments);
        let task = tokio::spawn(worker::start::work_over(cloud, settings, shutdown.clone()));
        Running { shutdown, task }
    }

    fn settings(&self, agent: &str, arguments: &[&str]) -> RunSettings {
        let data = self.path("data").display().to_string();
        let fixed = ["worker", "run", "--data-dir", &data, "--agent-command", agent, "--allow-file-repos"];
        // Most tests are about something else; walls cost each job a moment.
        let open: &[&str] = if arguments.contains(&"--sandbox") { &[] } else { &["--sandbox", "off"] };
        let place = self.place.iter().map(String::as_str);
        let all = fixed.into_iter().chain(place).chain(open.iter().chain(arguments).copied());
        let Action::Run(settings) = Cli::try_parse_from(all).unwrap().command else { unreachable!() };
        *settings
    }

    /// A bare remote with one commit on `main`.
    pub fn remote(&self, name: &str, files: &[(&str, &str)]) -> Remote {
        let path = self.path(&format!("{name}.git"));
        let repo = Repository::init_bare(&path).unwrap();
        repo.set_head("refs/heads/main").unwrap();
        let remote = Remote { path };
        remote.commit("main", files, "first");
        remote
    }

    /// A project whose site is the folder `site`, copied.
    pub async fn project(&self, id: &str, remote: &Remote) {
        self.project_built_by(id, remote, &["cp", "-RT", "site", "dist"]).await;
    }

    pub async fn project_built_by(&self, id: &str, remote: &Remote, command: &[&str]) {
        let now = Timestamp::from_millis(1);
        let command = command.iter().map(|word| (*word).to_owned()).collect();
        let project = Project {
            project_id: id.parse().unwrap(),
            repo_url: remote.url(),
            default_branch: Some("main".into()),
            build: Build { command, output: "dist".into() },
            preempt: Preempt::default(),
            limits: Limits::default(),
            require_dmarc: true,
            created_at: now,
            updated_at: now,
        };
        self.cloud.store.save(&project).await.unwrap();
    }

    /// The bakery of amelia, with its remote.
    pub async fn bakery(&self) -> Remote {
        let remote = self.remote("bakery", SITE);
        self.project("bakery", &remote).await;
        remote
    }

    /// A commit in the folder of amelia that never got to the remote.
    pub fn commit_unpushed(&self, path: &str, text: &str, message: &str) -> Oid {
        let repo = Repository::open(self.path("data/workspaces/bakery-amelia/repo")).unwrap();
        let parent = repo.head().unwrap().peel_to_commit().unwrap();
        let mut change = git2::build::TreeUpdateBuilder::new();
        change.upsert(path, repo.blob(text.as_bytes()).unwrap(), git2::FileMode::Blob);
        let tree = repo.find_tree(change.create_updated(&repo, &parent.tree().unwrap()).unwrap()).unwrap();
        let who = Signature::now("x", "x@example.org").unwrap();
        let id = repo.commit(Some("HEAD"), &who, &who, message, &tree, &[&parent]).unwrap();
        repo.checkout_head(Some(git2::build::CheckoutBuilder::new().force())).unwrap();
        id
    }

    /// Puts a message on a FIFO queue, without announcing it.
    pub async fn put(&self, key: &str, body: &str) {
        let message = Outgoing::fifo(body, key, uuid::Uuid::new_v4().to_string());
        self.cloud.queues.send(&input(key), message).await.unwrap();
    }

    pub async fn announce(&self, key: &str) {
        let key = ProjectUser::parse(key).unwrap();
        let request = ClaimRequest {
            project_id: key.project,
            user_id: key.user,
            queue_url: Some("https://elsewhere.example/queue".into()),
            thread_id: None,
            message_id: None,
            timestamp: Timestamp::from_millis(1),
        };
        self.unclaimed(&request.to_json()).await;
    }

    pub async fn unclaimed(&self, body: &str) {
        self.cloud.queues.send(&Queue::Unclaimed, Outgoing::standard(body)).await.unwrap();
    }

    /// Orders work as hermes does.
    pub async fn order(&self, key: &str, work: Value) {
        self.put(key, &work.to_string()).await;
        self.announce(key).await;
    }

    /// The next message of a queue, deleted.
    pub async fn next(&self, queue: Queue) -> Delivery {
        let deadline = Instant::now() + LIMIT;
        while Instant::now() < deadline {
            let wait = Duration::from_secs(10);
            if let Some(delivery) = self.cloud.queues.receive(&queue, 1, wait).await.unwrap().pop() {
                self.cloud.queues.delete(&delivery.receipt).await.unwrap();
                return delivery;
            }
        }
        panic!("nothing arrived on {queue}");
    }

    pub async fn result(&self) -> JobResult {
        JobResult::parse(&self.next(Queue::Output).await.body).unwrap()
    }

    pub async fn job(&self, command: &str) -> Option<Job> {
        let id = CommandId::parse(command).unwrap();
        self.cloud.store.load::<Job>(&id).await.unwrap().map(|stored| stored.value)
    }

    /// Waits until something holds, looking again and again.
    pub async fn until<T>(&self, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        let found = async {
            loop {
                tick.tick().await;
                if let Some(found) = look().await {
                    return found;
                }
            }
        };
        timeout(LIMIT, found).await.unwrap_or_else(|_| panic!("{what} did not happen"))
    }

    pub async fn holder(&self, key: &str) -> Option<String> {
        let row = self.cloud.claims.get(&ProjectUser::parse(key).unwrap()).await.unwrap()?;
        row.owner.map(|owner| owner.worker.to_string())
    }

    pub async fn is_held(&self, key: &str) {
        self.until("a claim", async || self.holder(key).await).await;
    }

    pub async fn is_free(&self, key: &str) {
        self.until("a release", async || self.holder(key).await.is_none().then_some(())).await;
    }

    pub async fn depth(&self, queue: Queue) -> u64 {
        let depth = self.cloud.queues.depth(&queue).await.unwrap();
        depth.visible + depth.in_flight + depth.delayed
    }

    /// The published page of a result.
    pub fn page(&self, result: &JobResult, path: &str) -> Option<String> {
        let host = result.s3_bucket.as_ref().expect("it was published");
        if is_on_aws() {
            let at = At::page(&SiteTarget::from_local_host(host).unwrap(), path);
            let page = waited_for(self.cloud.files.get(&at)).unwrap();
            return page.map(|page| String::from_utf8(page.bytes.to_vec()).unwrap());
        }
        std::fs::read_to_string(self.path("data").join("sites").join(host).join(path)).ok()
    }
}

fn here(dir: &Path) -> Cloud {
    let prefix = "webordinary".parse().unwrap();
    common::cloud::local::open(&dir.join("data"), prefix, Clock::System).unwrap()
}

/// An environment of its own at the endpoint of this process, and what tells a worker of it.
#[cfg(feature = "aws")]
fn on_aws() -> (Cloud, Vec<String>) {
    use common::cloud::aws;
    use common::cloud::contract::endpoint::{Endpoint, arguments, fresh_prefix, settings_under};
    let (url, prefix) = (Endpoint::shared().url(), fresh_prefix());
    let settings = settings_under(url, &prefix);
    let cloud = waited_for(async {
        aws::provision::make_tables(&settings).await.unwrap();
        aws::open(&settings, Clock::System).await.unwrap()
    });
    (cloud, arguments(url, &prefix))
}

#[cfg(not(feature = "aws"))]
fn on_aws() -> (Cloud, Vec<String>) {
    unreachable!("this test needs the feature")
}

fn waited_for<T>(future: impl Future<Output = T>) -> T {
    tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(future))
}

pub const SITE: &[(&str, &str)] = &[
    ("site/index.html", "<title>Bakery</title><p>Open 7 to 18</p>\n"),
    ("site/about.html", "<title>About</title><p>Since 1920</p>\n"),
    (".gitignore", "dist/\n"),
];

pub fn input(key: &str) -> Queue {
    Queue::Input(ProjectUser::parse(key).unwrap())
}

/// A work message; the thread is named after the command unless given.
pub fn work(command: &str, thread: &str, instruction: &str) -> Value {
    json!({"type": "work", "version": 1, "commandId": command, "threadId": thread, "projectId": "bakery",
        "userId": "amelia", "instruction": instruction, "context": {"from": "amelia@example.org"}})
}

pub struct Remote {
    pub path: PathBuf,
}

impl Remote {
    pub fn url(&self) -> String {
        format!("file://{}", self.path.display())
    }

    pub fn repo(&self) -> Repository {
        Repository::open_bare(&self.path).unwrap()
    }

    pub fn tip(&self, branch: &str) -> Option<Oid> {
        self.repo().refname_to_id(&format!("refs/heads/{branch}")).ok()
    }

    /// Adds a commit to a branch, which begins at `main`'s tip.
    pub fn commit(&self, branch: &str, files: &[(&str, &str)], message: &str) -> Oid {
        let repo = self.repo();
        let parent = self.tip(branch).or_else(|| self.tip("main")).map(|tip| repo.find_commit(tip).unwrap());
        let mut changes = git2::build::TreeUpdateBuilder::new();
        for (path, text) in files {
            changes.upsert(*path, repo.blob(text.as_bytes()).unwrap(), git2::FileMode::Blob);
        }
        let empty = repo.find_tree(repo.treebuilder(None).unwrap().write().unwrap()).unwrap();
        let base = parent.as_ref().map_or(empty, |commit| commit.tree().unwrap());
        let tree = repo.find_tree(changes.create_updated(&repo, &base).unwrap()).unwrap();
        let who = Signature::now("Somebody", "somebody@example.org").unwrap();
        let parents: Vec<_> = parent.iter().collect();
        let id = repo.commit(None, &who, &who, message, &tree, &parents).unwrap();
        repo.reference(&format!("refs/heads/{branch}"), id, true, "test").unwrap();
        id
    }

    /// Adds a commit without a file.
    pub fn remove(&self, branch: &str, path: &str) {
        let repo = self.repo();
        let parent = repo.find_commit(self.tip(branch).unwrap()).unwrap();
        let mut changes = git2::build::TreeUpdateBuilder::new();
        changes.remove(path);
        let tree = changes.create_updated(&repo, &parent.tree().unwrap()).unwrap();
        let (tree, who) =
            (repo.find_tree(tree).unwrap(), Signature::now("Somebody", "somebody@example.org").unwrap());
        repo.commit(Some(&format!("refs/heads/{branch}")), &who, &who, "remove", &tree, &[&parent]).unwrap();
    }

    pub fn file(&self, branch: &str, path: &str) -> Option<String> {
        let repo = self.repo();
        let tree = repo.find_commit(self.tip(branch)?).unwrap().tree().unwrap();
        let entry = tree.get_path(Path::new(path)).ok()?;
        let blob = repo.find_blob(entry.id()).unwrap();
        Some(String::from_utf8(blob.content().to_vec()).unwrap())
    }

    /// The messages of the commits that a branch has beyond `main`, newest first.
    pub fn messages(&self, branch: &str) -> Vec<String> {
        let repo = self.repo();
        let mut walk = repo.revwalk().unwrap();
        walk.push(self.tip(branch).unwrap()).unwrap();
        walk.hide(self.tip("main").unwrap()).unwrap();
        let message = |id: Result<Oid, git2::Error>| {
            repo.find_commit(id.unwrap()).unwrap().message().unwrap().to_owned()
        };
        walk.map(message).collect()
    }

    pub fn branches(&self) -> Vec<String> {
        let repo = self.repo();
        let names =
            repo.branches(None).unwrap().map(|branch| branch.unwrap().0.name().unwrap().unwrap().to_owned());
        names.collect()
    }
}
