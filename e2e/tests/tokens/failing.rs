//! Runs that fail in every way in which words of others are told on: at the clone, the agent, the build, the push.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use e2e::api::Api;
use e2e::claude_api::{ScriptedApi, Turn};
use e2e::mail::Letter;
use e2e::remote::Remote;
use e2e::world::{World, plain_site};
use rusqlite::Connection;
use serde_json::{Value, json};
use uuid::Uuid;

use super::left::{Left, plant};
use super::{LIMIT, NOSY, text};

/// git's own server over https on the loopback, which takes one token; it ends with this.
struct Server {
    process: Child,
    host: String,
    certificate: String,
}

impl Server {
    #[allow(clippy::disallowed_methods, reason = "programs are started as the other side would start them")]
    fn of(repositories: &Path, beside: &Path, token: &str) -> Self {
        let [certificate, key, script, log] =
            ["certificate.pem", "key.pem", "git_server.py", "requests.log"].map(|name| beside.join(name));
        let words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
                     -addext subjectAltName=DNS:localhost";
        let mut openssl = Command::new("openssl");
        openssl.args(words.split_whitespace()).arg("-keyout").arg(&key).arg("-out").arg(&certificate);
        assert!(openssl.stderr(Stdio::null()).status().unwrap().success());
        let server = include_str!("../../../worker/tests/support/git_server.py");
        std::fs::write(&script, server.replace("the-right-token", token)).unwrap();
        let mut server = Command::new("python3");
        server.arg(&script).args([&certificate, &key]).arg(repositories).arg(&log);
        let mut process = server.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut port = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut port).unwrap();
        let host = format!("localhost:{}", port.trim());
        Self { process, host, certificate: certificate.display().to_string() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// A build that tells all it finds, and fails.
const TELLING: &str = r#"
const { readFileSync, readdirSync } = require("node:fs");
const look = (path) => { try { return readFileSync(path, "utf8"); } catch (error) { return ""; } };
console.error("MARK", JSON.stringify(process.env), look(".git/config"));
for (const id of readdirSync("/proc")) console.error(look("/proc/" + id + "/environ"), look("/proc/" + id + "/cmdline"));
process.exit(1);
"#;

/// A host that takes the token in, and gives it back with its refusal.
fn refusing(repository: &Path, token: &str) {
    let hook = repository.join("hooks/pre-receive");
    std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
    // It lies outside of what is searched.
    std::fs::write(&hook, format!("#!/bin/sh\necho \"MARK no, $(cat {token})\" >&2\nexit 1\n")).unwrap();
    std::fs::set_permissions(hook, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// A project of this name, its owner, and what its mail ends as.
async fn fails(api: &Api, name: &str, words: &str, expected: &[&str]) -> Value {
    let letter = Letter::new(&format!("{name}@example.org"), "Secrets", words);
    let accepted = api.order(letter.to_bytes()).await.unwrap();
    let job = api.job_done(text(&accepted, "commandId"), LIMIT).await.unwrap();
    assert!(expected.contains(&text(&job, "outcome")), "{name}: {job}");
    api.answered(text(&accepted, "mailId"), LIMIT).await.unwrap();
    job
}

#[tokio::test]
async fn no_secret_is_left_by_runs_that_fail_at_the_clone_the_agent_the_build_or_the_push() {
    let fresh = |start: &str| format!("{start}{}", Uuid::new_v4().simple());
    let (model, git) = (fresh("sk-ant-api03-"), format!("{}abcd", fresh("ghp_")));
    let api_of_model = ScriptedApi::start(vec![Turn::Say("Hello.".into())]).await.unwrap();
    let mut world = World::temporary().unwrap();
    let root = world.data_dir().parent().unwrap().to_owned();
    let beside = tempfile::tempdir().unwrap();
    let server = Server::of(&root.join("remotes"), beside.path(), &git);
    let kept = beside.path().join("token");
    std::fs::write(&kept, &git).unwrap();

    let settings = [("HERMES_LOG_LEVEL", "debug"), ("HERMES_REPO_HOSTS", server.host.as_str())];
    let program = e2e::process::binary("hermes").unwrap();
    let api = world.start_hermes_with(&program, "127.0.0.1:0", &settings).await.unwrap();
    let base_url = api_of_model.base_url();
    let settings = [
        ("SANDBOX", "namespaces"),
        ("WORKER_CAPACITY", "4"),
        ("HERMES_LOG_LEVEL", "debug"),
        ("HERMES_REPO_HOSTS", &server.host),
        ("SSL_CERT_FILE", &server.certificate),
        ("ANTHROPIC_BASE_URL", base_url.as_str()),
        ("ANTHROPIC_API_KEY", &model),
        ("GITHUB_TOKEN", &git),
    ];
    world.start_worker(&format!("node --input-type=module -e '{NOSY}'"), &settings).await.unwrap();

    let (folder, build) = plain_site().unwrap();
    for name in ["bakery", "gone", "agent", "build", "push"] {
        let path = world.remote_path(name);
        if name != "gone" {
            Remote::from_folder(folder.path(), &path).unwrap();
        }
        let mut body = json!({"defaultBranch": "main", "build": build.clone()});
        body["repoUrl"] = format!("https://{}/git/{name}.git", server.host).into();
        if name == "build" {
            body["build"]["command"] = json!(["node", "-e", TELLING]);
        }
        api.put(&format!("/v1/projects/{name}"), &body).await.unwrap();
        let sender = json!({"projectId": name, "userId": "amelia"});
        api.put(&format!("/v1/senders/{name}@example.org"), &sender).await.unwrap();
    }
    refusing(&world.remote_path("push"), &kept.display().to_string());

    let fine = fails(&api, "bakery", "Tell me everything.", &["changed"]);
    let gone = fails(&api, "gone", "Tell me everything.", &["refused", "failed"]);
    let agent = fails(&api, "agent", "Fail on purpose.", &["agent-failed"]);
    let build = fails(&api, "build", "Tell me everything.", &["build-failed"]);
    let push = fails(&api, "push", "Tell me everything.", &["refused", "failed"]);
    let (_, gone, agent, build, push) = tokio::join!(fine, gone, agent, build, push);
    for job in [&gone, &agent, &build, &push] {
        assert!(!text(job, "error").is_empty(), "{job}");
    }
    assert!(text(&build, "error").contains("MARK"), "what the build said is told on: {build}");
    assert!(api_of_model.seen().keys.iter().all(|key| *key == model));

    let mut logs = vec![world.workers[0].log(), world.hermes().unwrap().log()];
    world.stop().await.unwrap();
    let left = Left::by(&world, &root, &logs);
    assert!(left.kinds_of("MARK ").is_superset(&BTreeSet::from(["file", "row"])));
    for secret in [&*model, &*git] {
        assert_eq!(left.places_of(secret), BTreeSet::new());
    }
    for secret in [&*model, &*git] {
        plant(&world, &root, secret);
        logs.push(format!("a line with {secret}"));
        let found = Left::by(&world, &root, &logs).kinds_of(secret);
        assert_eq!(found, BTreeSet::from(["file", "log", "mail", "object", "row"]));
        Connection::open(world.data_dir().join("hermes.db"))
            .unwrap()
            .execute_batch("DROP TABLE planted")
            .unwrap();
    }
    println!(
        "{} things of a run and four that failed: 0 secrets; each planted one found in 5 places",
        left.0.len()
    );
}
