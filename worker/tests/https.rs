//! Repositories over https: the real program against a real git server on the loopback, whose certificate it is told to
//! trust. What is refused is refused before the agent runs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]
#![allow(clippy::disallowed_methods, reason = "programs are started here as a person starts them")]

mod support;

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::Receiver;

use common::cloud::files::At;
use common::domain::job::OutcomeNote;
use common::domain::names;
use common::domain::outcome::JobOutcome;
use common::messages::JobResult;
use notify::event::AccessKind;
use notify::{EventKind, RecursiveMode, Watcher as _};
use support::{AGENT, Remote, World, work};

const KEY: &str = "bakery#amelia";
const HOURS: &str = "change \"7 to 18\" to \"8 to 20\"";
const SERVER: &str = include_str!("support/git_server.py");

/// A child that ends with the test.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

struct Stand {
    world: World,
    remote: Remote,
    port: String,
    server: Ends,
}

impl Stand {
    async fn new() -> Self {
        let world = World::new();
        let remote = world.bakery().await;
        let [certificate, key, script, log] =
            ["certificate.pem", "key.pem", "git_server.py", "requests.log"].map(|name| world.path(name));
        let made = Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
                "-days",
                "2",
            ])
            .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout"])
            .arg(&key)
            .arg("-out")
            .arg(&certificate)
            .stderr(Stdio::null())
            .status();
        assert!(made.unwrap().success(), "a certificate is made");
        std::fs::write(&script, SERVER).unwrap();
        let mut server = Command::new("python3");
        server.arg(&script).args([&certificate, &key]).arg(world.dir.path()).arg(&log);
        let mut server = server.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut port = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut port).unwrap();
        Self { world, remote, port: port.trim().to_owned(), server: Ends(server) }
    }

    fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.port)
    }

    /// A worker process with this token, which trusts the server.
    fn worker(&self, token: &str) -> Ends {
        let hosts = format!("localhost:{},localhost", self.port);
        let mut command = Command::new(env!("CARGO_BIN_EXE_worker"));
        command.arg("run").env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("SANDBOX", "off");
        command.env("HERMES_DATA_DIR", self.world.path("data")).env("HERMES_REPO_HOSTS", hosts);
        command.env("AGENT_COMMAND", format!("'{AGENT}'")).env("GITHUB_TOKEN", token);
        command.env("SSL_CERT_FILE", self.world.path("certificate.pem"));
        Ends(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    async fn order_to(&self, command: &str, thread: &str, instruction: &str) -> JobResult {
        let mut message = work(command, thread, instruction);
        message["repoUrl"] = self.url("/git/bakery.git").into();
        self.world.order(KEY, message).await;
        self.world.result().await
    }

    async fn order(&self, command: &str, path: &str) -> JobResult {
        let mut message = work(command, "abcdef1", HOURS);
        message["repoUrl"] = self.url(path).into();
        self.world.order(KEY, message).await;
        self.world.result().await
    }

    fn requests(&self) -> String {
        std::fs::read_to_string(self.world.path("requests.log")).unwrap_or_default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repository_is_cloned_shallow_edited_and_pushed_over_https_with_a_token() {
    let stand = Stand::new().await;
    for number in 0..5 {
        stand.remote.commit("main", &[("site/old.txt", &number.to_string())], "history");
    }
    let _worker = stand.worker("the-right-token");
    let first = stand.order("c-1", "/git/bakery.git").await;
    assert_eq!(first.outcome, JobOutcome::Changed, "{first:?}\n{}", stand.requests());
    assert!(stand.remote.file("thread-abcdef1", "site/index.html").unwrap().contains("8 to 20"));
    let git = stand.world.path("data/workspaces/bakery-amelia/repo/.git");
    assert_eq!(
        std::fs::read_to_string(git.join("shallow")).unwrap().lines().count(),
        1,
        "one commit was fetched"
    );
    for file in ["config", "HEAD", "FETCH_HEAD"] {
        let text = std::fs::read_to_string(git.join(file)).unwrap_or_default();
        assert!(!text.contains("the-right-token"), "{file}: {text}");
    }
    let requests = stand.requests();
    let asked = requests.find("service=git-receive-pack token").unwrap();
    let fetched = requests.find("POST /git/bakery.git/git-upload-pack").unwrap();
    assert!(asked < fetched, "the right to push comes first: {requests}");

    // Warm, and onto commits of others.
    let theirs = stand.remote.commit("thread-abcdef1", &[("site/about.html", "Since 1919\n")], "theirs");
    let mut message = work("c-2", "abcdef1", "change \"8 to 20\" to \"9 to 21\"");
    message["repoUrl"] = stand.url("/git/bakery.git").into();
    stand.world.order(KEY, message).await;
    let second = stand.world.result().await;
    assert_eq!(second.outcome, JobOutcome::Changed, "{second:?}");
    let repo = stand.remote.repo();
    let tip = repo.find_commit(stand.remote.tip("thread-abcdef1").unwrap()).unwrap();
    assert_eq!(tip.parent_id(0).unwrap(), theirs);
}

/// A folder that knows nothing yet has one commit of each branch, and fetches the rest only where it has to know it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_conversation_starts_from_what_is_live_in_a_shallow_clone_too() {
    let stand = Stand::new().await;
    for number in 0..5 {
        stand.remote.commit("main", &[("site/old.txt", &number.to_string())], "history");
    }
    let _worker = stand.worker("the-right-token");
    let order = async |user: &str, mut message: serde_json::Value| {
        message["userId"] = user.into();
        message["repoUrl"] = stand.url("/git/bakery.git").into();
        stand.world.order(&format!("bakery#{user}"), message).await;
        let result = stand.world.result().await;
        assert_eq!(result.outcome, JobOutcome::Changed, "{result:?}\n{}", stand.requests());
        result
    };
    let publish = |command: &str| {
        serde_json::json!({"type": "work", "version": 1, "commandId": command, "projectId": "bakery",
            "threadId": "aaaaaa1", "action": "publish"})
    };
    let shallow = |user: &str| {
        let file = stand.world.path(&format!("data/workspaces/bakery-{user}/repo/.git/shallow"));
        std::fs::read_to_string(file).unwrap_or_default().lines().count()
    };
    let parent = |branch: &str| {
        let repo = stand.remote.repo();
        let tip = repo.find_commit(stand.remote.tip(branch).unwrap()).unwrap();
        tip.parent_id(0).unwrap()
    };
    order("amelia", work("c-1", "aaaaaa1", HOURS)).await;
    order("amelia", publish("c-2")).await;
    let first = stand.remote.tip("thread-aaaaaa1").unwrap();
    order("bob", work("c-3", "bbbbbb2", "add a page about rye")).await;
    assert_eq!(parent("thread-bbbbbb2"), first);
    assert_eq!(shallow("bob"), 2, "two commits were fetched, and no history");

    order("amelia", work("c-4", "aaaaaa1", "change \"Since 1920\" to \"Since 1921\"")).await;
    order("amelia", publish("c-5")).await;
    let second = stand.remote.tip("thread-aaaaaa1").unwrap();
    order("amelia", work("c-6", "aaaaaa1", "change \"Since 1921\" to \"Since 1922\"")).await;
    order("carol", work("c-7", "cccccc3", "add a page about rye")).await;
    assert_eq!(parent("thread-cccccc3"), second, "what is live, not where its conversation has got to");
    order("bob", work("c-8", "dddddd4", "add a page about oats")).await;
    assert_eq!(parent("thread-dddddd4"), second);
}

/// What is compared with is one of the commits that a shallow clone has not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_done_before_is_told_by_its_own_files_in_a_shallow_clone_too() {
    let stand = Stand::new().await;
    let text = |subject: &str, thread: &str, trailer: &str| {
        format!("{subject}\n\nHours\n\nThread: {thread}\n{trailer}\nRequested-By: x\n")
    };
    let key = format!("AKIA{}", "ABCDEFGH234567AB");
    stand.remote.commit("main", &[("site/old.txt", &key)], "theirs");
    for half in ["a", "b"] {
        let unfinished = text("WIP: Auto-save: Stopped", "aaaaaa1", "Unfinished-Command-Id: c-0");
        stand.remote.commit("thread-aaaaaa1", &[("site/index.html", half)], &unfinished);
    }
    let done = text("Hours", "bbbbbb2", "Command-Id: c-2");
    stand.remote.commit("thread-bbbbbb2", &[("site/index.html", "whole")], &done);
    let _worker = stand.worker("the-right-token");
    let going_on = stand.order_to("c-1", "aaaaaa1", "go on").await;
    assert_eq!(going_on.outcome, JobOutcome::Changed, "{going_on:?}\n{}", stand.requests());
    assert_eq!(going_on.files_changed, ["site/index.html"]);
    let again = stand.order_to("c-2", "bbbbbb2", HOURS).await;
    assert_eq!(again.outcome, JobOutcome::Changed, "{again:?}\n{}", stand.requests());
    assert_eq!(again.files_changed, ["site/index.html"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s57_bad_credentials_and_no_right_to_push_fail_clearly_before_the_agent_runs() {
    for token in ["a-wrong-token", "a-reading-token", ""] {
        let stand = Stand::new().await;
        let _worker = stand.worker(token);
        let result = stand.order("c-1", "/git/bakery.git").await;
        assert_eq!(result.outcome, JobOutcome::Refused, "{token}: {result:?}");
        assert!(result.summary.contains("not allowed to change the source"), "{}", result.summary);
        assert_eq!(stand.world.job("c-1").await.unwrap().attempts, 0, "no money was spent");
        let said = serde_json::to_string(&result).unwrap();
        assert!(token.is_empty() || !said.contains(token), "{said}");
        assert_eq!(stand.remote.branches(), ["main"]);
        assert!(!stand.requests().contains("POST"), "nothing was fetched: {}", stand.requests());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redirects_lead_to_the_same_host_only_and_private_addresses_are_not_connected_to() {
    let stand = Stand::new().await;
    let _worker = stand.worker("the-right-token");
    let moved = stand.order("c-1", "/moved/bakery.git").await;
    assert_eq!(moved.outcome, JobOutcome::Changed, "{moved:?}");

    let away = stand.order("c-2", "/away/bakery.git").await;
    assert!(!away.success && away.error.unwrap().contains("redirect"), "{}", away.summary);
    let job = stand.world.job("c-2").await.unwrap();
    assert!(job.steps.iter().all(|step| step.name.as_str() == "checkout"), "no money was spent: {job:?}");

    let missing = stand.order("c-3", "/nowhere/bakery.git").await;
    assert_eq!(missing.outcome, JobOutcome::Refused, "{missing:?}");
    assert!(missing.summary.contains("could not be found"), "{}", missing.summary);

    let mut message = work("c-4", "abcdef1", HOURS);
    message["repoUrl"] = "https://localhost/git/bakery.git".into();
    stand.world.order(KEY, message).await;
    let result = stand.world.result().await;
    assert_eq!(result.outcome, JobOutcome::Refused, "{result:?}");
    assert!(result.error.unwrap().contains("not a public address"), "{}", result.summary);
}

/// Addresses that are no repositories of ours: a server that listens on this port and a repository that lies in this
/// folder are what they would reach.
fn hostile_urls(port: u16, folder: &Path) -> Vec<String> {
    let here = folder.display().to_string();
    let many = (0..300).map(|_| "a").collect::<Vec<_>>().join("/../");
    let fixed = [
        "a",
        "-oProxyCommand=x",
        "--upload-pack=touch canary",
        "ext::sh -c touch% canary",
        "git@github.com:a/b.git",
        "github.com:a/b.git",
        "https:",
        "https://",
        "https:///a/b",
        "https:\\\\github.com\\a",
        "https://github.com",
        "https://github.com/",
        "https://evil.example/a",
        "https://github.com.evil.example/a",
        "https://github.com@evil.example/a",
        "https://evil.example#@github.com/a",
        "https://evil.example?@github.com/a",
        "https://user:secret@github.com/a",
        "https://token@github.com/a",
        "https://github.com/a b",
        "https://github.com/a\nb",
        "https://github.com/a\u{85}b",
        "https://github.com/a\tb",
        "https://github.com/a?x=1",
        "https://github.com/a#b",
        "https://169.254.169.254/latest/meta-data",
        "https://metadata.google.internal/a",
        "https://localhost/a",
        "ldap://localhost/a",
    ];
    let of_port = ["http", "git", "ssh", "ftp", "gopher", "rsync", "git+ssh"]
        .map(|scheme| format!("{scheme}://localhost:{port}/a"))
        .into_iter()
        .chain(
            [
                "127.0.0.1",
                "127.1",
                "2130706433",
                "0x7f.1",
                "0177.0.0.1",
                "0.0.0.0",
                "[::1]",
                "[::ffff:127.0.0.1]",
            ]
            .map(|host| format!("https://{host}:{port}/a")),
        )
        .chain(
            ["localhost.", "LOCALHOST%2e", "github.com", "127.0.0.1.nip.io"]
                .map(|host| format!("https://{host}:{port}/a")),
        );
    let of_folder = [
        format!("file://{here}/bakery.git"),
        format!("FILE://{here}/bakery.git"),
        format!("file://localhost{here}/bakery.git"),
        format!("file:{here}/bakery.git"),
        format!("{here}/bakery.git"),
        format!("file://{here}/{many}/bakery.git"),
        format!("https://github.com/../../../..{here}/bakery.git?"),
    ];
    fixed.into_iter().map(ToOwned::to_owned).chain(of_port).chain(of_folder).collect()
}

/// What was opened before this file, which is opened now.
fn opened_before(opened: &Receiver<PathBuf>, mark: &Path) -> Vec<PathBuf> {
    std::fs::File::open(mark).unwrap();
    let next = || opened.recv_timeout(support::LIMIT).unwrap();
    std::iter::from_fn(|| Some(next()).filter(|path| path != mark)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_hostile_repository_urls_open_no_socket_and_no_file() {
    let stand = Stand::new().await;
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let (told, opened) = std::sync::mpsc::channel();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let event = event.unwrap();
        if matches!(event.kind, EventKind::Access(AccessKind::Open(_))) {
            event.paths.into_iter().for_each(|path| told.send(path).unwrap_or_default());
        }
    })
    .unwrap();
    watcher.watch(&stand.remote.path, RecursiveMode::Recursive).unwrap();
    // The watcher opens folders itself while it looks for them.
    opened_before(&opened, &stand.remote.path.join("HEAD"));
    let _worker = stand.worker("the-right-token");
    let urls = hostile_urls(listener.local_addr().unwrap().port(), stand.world.dir.path());
    assert!(urls.len() >= 50, "{}", urls.len());
    for (number, url) in urls.iter().enumerate() {
        let command = format!("c-{number}");
        let mut message = work(&command, "abcdef1", HOURS);
        message["repoUrl"] = url.as_str().into();
        stand.world.order(KEY, message).await;
        let result = stand.world.result().await;
        assert_eq!(result.outcome, JobOutcome::Refused, "{url}: {result:?}");
        assert_eq!(stand.world.job(&command).await.unwrap().attempts, 0, "{url}");
        assert!(!serde_json::to_string(&result).unwrap().contains("secret@"), "{url}");
    }
    let met = listener.accept();
    assert_eq!(met.unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "somebody connected");
    assert!(stand.requests().is_empty(), "{}", stand.requests());
    assert_eq!(
        opened_before(&opened, &stand.remote.path.join("config")),
        [] as [&Path; 0],
        "the repository was opened"
    );
    println!("{} repository URLs: 0 sockets, 0 opens", urls.len());
}

/// As a host refuses a file that the token must not touch, or a secret in what is pushed.
const REFUSES_RYE: &str =
    "#!/bin/sh\n[ -e seen ] || { touch seen; exit 1; }\n! git cat-file -e \"$3:rye/index.html\"\n";

/// Ends the server in the middle of a push.
const DIES: &str = "#!/bin/sh\nkill -9 PID\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_the_remote_could_not_be_given_is_told_as_one_that_is_kept() {
    let stand = Stand::new().await;
    let hook = stand.remote.path.join("hooks/update");
    std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
    std::fs::write(&hook, DIES.replace("PID", &stand.server.0.id().to_string())).unwrap();
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
    let _worker = stand.worker("the-right-token");
    let ended = stand.order("c-1", "/git/bakery.git").await;
    assert_eq!(
        (ended.outcome, &ended.note),
        (JobOutcome::Failed, &Some(OutcomeNote::NotPushed)),
        "{ended:?}"
    );
    let bundle = At::object(names::wip_key(&"c-1".parse().unwrap()));
    assert!(stand.world.cloud.files.exists(&bundle).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_remote_refuses_is_put_aside_and_in_nobodys_way() {
    let stand = Stand::new().await;
    let hook = stand.remote.path.join("hooks/update");
    std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
    std::fs::write(&hook, REFUSES_RYE).unwrap();
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
    let _worker = stand.worker("the-right-token");
    let first = stand.order("c-1", "/git/bakery.git").await;
    assert_eq!(first.outcome, JobOutcome::Changed, "asked once more, it takes it: {first:?}");

    let refused = stand.order_to("c-2", "abcdef1", "add a page about rye").await;
    assert_eq!((refused.outcome, &refused.commit_id), (JobOutcome::Refused, &None), "{refused:?}");
    let error = refused.error.unwrap();
    assert!(error.contains("change-refused") && error.contains("hook declined"), "{error}");
    assert!(
        refused.summary.contains("hook declined") && refused.files_changed.is_empty(),
        "{}",
        refused.summary
    );
    let bundle = At::object(names::wip_key(&"c-2".parse().unwrap()));
    assert!(stand.world.cloud.files.get(&bundle).await.unwrap().is_none());

    for (command, thread) in [("c-3", "bbbbbb2"), ("c-4", "abcdef1")] {
        let next = stand.order_to(command, thread, "change \"1920\" to \"1921\"").await;
        assert_eq!(
            (next.outcome, next.files_changed),
            (JobOutcome::Changed, vec!["site/about.html".to_owned()])
        );
    }
    assert_eq!(stand.remote.messages("thread-abcdef1").len(), 2);
    let folder = git2::Repository::open(stand.world.path("data/workspaces/bakery-amelia/repo")).unwrap();
    let kept = folder.references_glob("refs/hermes/kept/thread-abcdef1-*").unwrap().next().unwrap().unwrap();
    let kept = kept.peel_to_tree().unwrap();
    assert!(kept.get_path(Path::new("rye/index.html")).is_ok());

    // Where nobody has what was refused, its pages are not missed either.
    let refused = stand.order_to("c-5", "abcdef1", "add a page about rye").await;
    assert_eq!(refused.outcome, JobOutcome::Refused);
    std::fs::remove_dir_all(stand.world.path("data/workspaces/bakery-amelia")).unwrap();
    let next = stand.order_to("c-6", "abcdef1", "change \"1921\" to \"1922\"").await;
    assert_eq!(next.outcome, JobOutcome::Changed, "{next:?}");
}
