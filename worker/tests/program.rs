//! The real program: how it starts, what it says, and how it ends on SIGTERM.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]
#![allow(clippy::disallowed_methods, reason = "the program under test is started here")]

#[path = "program/killed.rs"]
mod killed;
#[path = "program/shut.rs"]
mod shut;
mod support;

use std::collections::BTreeMap;
use std::path::PathBuf;

use common::domain::job::StepName;
use common::domain::names::Queue;
use common::domain::outcome::JobOutcome;
use support::program::Program;
use support::{Remote, World, work};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s69_old_settings_are_warned_about_and_the_worker_claims_as_usual() {
    let world = World::new();
    world.bakery().await;
    let old = [
        ("SANDBOX", "off"),
        ("CONTAINER_ID", "w-1"),
        ("GIT_REPO_URL", "https://example.org/x"),
        ("PROJECT_ID", "another"),
        ("AUTO_SHUTDOWN_MINUTES", "1"),
    ];
    let mut program = Program::start(&world, &old);
    program.says("worker w-1 is ready and waiting for work");
    for (name, instead) in
        [("GIT_REPO_URL", "repoUrl"), ("PROJECT_ID", "claim"), ("AUTO_SHUTDOWN_MINUTES", "IDLE_RELEASE_SECS")]
    {
        let warning = program.log.iter().find(|line| line.contains(name)).expect("a warning");
        assert!(warning.contains("WARN") && warning.contains(instead), "{warning}");
    }
    assert!(program.log.iter().any(|line| line.contains("WARN") && line.contains("SANDBOX=off")));
    world.order("bakery#amelia", work("c-1", "abcdef1", "change \"7 to 18\" to \"8 to 20\"")).await;
    let result = world.result().await;
    assert_eq!((result.outcome, result.worker_id.as_str()), (JobOutcome::Changed, "w-1"));
    let (status, log) = program.terminate();
    assert!(status.success(), "{log:#?}");
    assert_eq!(world.holder("bakery#amelia").await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_listens_on_no_socket_and_ends_at_once_when_it_is_idle() {
    let world = World::new();
    let mut program = Program::start(&world, &[("SANDBOX", "off")]);
    program.says("is ready");
    let id = program.child.id();
    for table in ["tcp", "tcp6", "udp", "udp6", "unix"] {
        let sockets = sockets_of(id, table);
        assert_eq!(sockets, 0, "{table}");
    }
    let begun = std::time::Instant::now();
    let (status, log) = program.terminate();
    assert!(status.success(), "{log:#?}");
    assert!(begun.elapsed().as_secs() < 5);
    assert_eq!(world.depth(Queue::Unclaimed).await, 0);
}

/// How many listening sockets of a kind a process has (unix: bound ones).
fn sockets_of(process: u32, table: &str) -> usize {
    let links = std::fs::read_dir(format!("/proc/{process}/fd")).unwrap().flatten();
    let own: Vec<String> = links
        .filter_map(|link| std::fs::read_link(link.path()).ok())
        .filter_map(|target| target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']').map(str::to_owned))
        .collect();
    let text = std::fs::read_to_string(format!("/proc/{process}/net/{table}")).unwrap_or_default();
    let listening = |line: &&str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        match table {
            "unix" => fields.len() > 7 && own.iter().any(|inode| fields[6] == inode),
            "udp" | "udp6" => fields.len() > 9 && own.iter().any(|inode| fields[9] == inode),
            _ => fields.len() > 9 && fields[3] == "0A" && own.iter().any(|inode| fields[9] == inode),
        }
    };
    text.lines().filter(listening).count()
}

#[test]
fn without_walls_the_worker_does_not_start_unless_told_so() {
    let world = World::new();
    for env in [
        &[("PATH", "/no/such")][..],
        &[("PATH", "/no/such"), ("SANDBOX", "namespaces")],
        &[("SANDBOX", "uid")],
    ] {
        let mut program = Program::start(&world, env);
        assert!(!program.ends().success());
        let last = program.log.last().unwrap();
        // In uid mode the working folders may not lie within the data directory.
        let missing = last.contains("apt-get install bubblewrap") || last.contains("WORKSPACE_PATH");
        assert!(missing && last.contains("worker doctor") && last.contains("SANDBOX=off"), "{last}");
    }
}

#[test]
fn a_data_directory_that_cannot_be_used_is_an_error_that_says_what_to_do() {
    let world = World::new();
    std::fs::write(world.path("file"), "x").unwrap();
    let file = world.path("file");
    let mut program =
        Program::start(&world, &[("SANDBOX", "off"), ("HERMES_DATA_DIR", file.to_str().unwrap())]);
    assert!(!program.ends().success());
    let last = program.log.last().unwrap();
    assert!(last.contains("ERROR") && last.contains("WORKSPACE_PATH"), "{last}");
}

const DUMP: &str = "require('fs').writeFileSync(process.argv[1],JSON.stringify(process.env))";

/// The environment that a child wrote down.
fn environment(text: &str) -> BTreeMap<String, String> {
    serde_json::from_str(text).unwrap()
}

fn named(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agent_and_build_see_exactly_what_the_lists_allow() {
    let world = World::new();
    let remote = world.bakery().await;
    let build = format!("require('fs').cpSync('site','dist',{{recursive:true}});{DUMP}");
    world.project_built_by("bakery", &remote, &["node", "-e", &build, "dist/build.json"]).await;
    let done = "console.log(JSON.stringify({type:'result',subtype:'success',result:'ok'}))";
    let agent = format!("node -e \"{DUMP};{done}\" site/agent.json");
    let both = [
        ("LANG", "C.UTF-8"),
        ("TZ", "Europe/Berlin"),
        ("HTTPS_PROXY", "http://127.0.0.1:1"),
        ("https_proxy", "http://127.0.0.1:2"),
        ("HTTP_PROXY", "http://127.0.0.1:3"),
        ("http_proxy", "http://127.0.0.1:4"),
        ("NO_PROXY", "localhost"),
        ("no_proxy", "127.0.0.1"),
        ("NODE_EXTRA_CA_CERTS", "/dev/null"),
        ("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt"),
        ("SSL_CERT_DIR", "/etc/ssl/certs"),
    ];
    let for_agent = [("ANTHROPIC_API_KEY", "k-1"), ("ANTHROPIC_BASE_URL", "http://127.0.0.1:5")];
    let for_build =
        [("npm_config_registry", "http://127.0.0.1:6"), ("NPM_CONFIG_REGISTRY", "http://127.0.0.1:7")];
    let hidden = [
        ("SANDBOX", "off"),
        ("AGENT_COMMAND", agent.as_str()),
        ("GITHUB_TOKEN", "ghp_0123456789"),
        ("AWS_SECRET_ACCESS_KEY", "x"),
        ("LD_LIBRARY_PATH", "/x"),
        ("NODE_OPTIONS", "--trace-warnings"),
        ("HOME", "/root"),
        ("PATH", ".:/usr/local/bin::/usr/bin:bin:/bin"),
    ];
    let all = [&both[..], &for_agent, &for_build, &hidden].concat();
    let mut program = Program::start(&world, &all);
    program.says("is ready");
    world.order("bakery#amelia", work("c-1", "abcdef1", "dump")).await;
    let result = world.result().await;
    assert_eq!(result.outcome, JobOutcome::Changed, "{result:?}");

    let folder = world.path("data/workspaces/bakery-amelia").display().to_string();
    let place = |name: &str| format!("{folder}/{name}");
    let common = |who: &str| {
        let (home, tmp) = (place(&format!("{who}-home")), place(&format!("{who}-tmp")));
        let own = [("HOME", home.as_str()), ("TMPDIR", &tmp), ("PATH", "/usr/local/bin:/usr/bin:/bin")];
        named(&[&both[..], &own].concat())
    };
    let config = place("agent-home/.claude");
    let mut expected = common("agent");
    expected.extend(named(&[
        // The gateway is on loopback, and never behind a proxy.
        ("NO_PROXY", "127.0.0.1,localhost,localhost"),
        ("no_proxy", "127.0.0.1,localhost,localhost"),
        ("CLAUDE_CONFIG_DIR", &config),
        ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
        ("DISABLE_AUTOUPDATER", "1"),
    ]));
    let mut seen = environment(&world.page(&result, "agent.json").unwrap());
    let (key, address) = (seen.remove("ANTHROPIC_API_KEY"), seen.remove("ANTHROPIC_BASE_URL"));
    assert!(key.is_some_and(|key| key.starts_with("hermes-")), "a key of this run only");
    assert!(
        address.is_some_and(|address| address.starts_with("http://127.0.0.1:") && !address.ends_with(":5"))
    );
    assert_eq!(seen, expected);

    let cache = world.path("data/workspaces/.cache/npm").display().to_string();
    let mut expected = common("build");
    expected.extend(named(&for_build));
    expected.extend(named(&[("CI", "1"), ("ASTRO_TELEMETRY_DISABLED", "1"), ("npm_config_cache", &cache)]));
    assert_eq!(environment(&world.page(&result, "build.json").unwrap()), expected);
    program.terminate();
}

#[test]
fn a_worker_without_its_agent_does_not_start_and_says_what_to_set() {
    let world = World::new();
    let env = [("SANDBOX", "off"), ("AGENT_COMMAND", "claude"), ("PATH", ".:/no/such/folder")];
    let mut program = Program::start(&world, &env);
    assert!(!program.ends().success());
    let last = program.log.last().unwrap();
    assert!(last.contains("AGENT_COMMAND") && last.contains("`demo-agent`"), "{last}");
    assert!(!program.log.iter().any(|line| line.contains("is ready")));
}

#[test]
fn working_folders_that_cannot_be_used_are_named_as_they_were_chosen() {
    let world = World::new();
    std::fs::write(world.path("file"), "x").unwrap();
    let (data, chosen) = (world.path("file"), world.path("file/chosen"));
    let (data, chosen) = (data.to_str().unwrap(), chosen.to_str().unwrap());
    let default = format!("at {data}/workspaces cannot");
    for (name, value, told) in [
        ("HERMES_DATA_DIR", data, default.as_str()),
        ("EFS_MOUNT_PATH", chosen, "file/chosen cannot"),
        ("WORKSPACE_PATH", chosen, "file/chosen cannot"),
    ] {
        let mut program = Program::start(&world, &[("SANDBOX", "off"), (name, value)]);
        assert!(!program.ends().success());
        assert!(program.log.last().unwrap().contains(told), "{name}: {:?}", program.log);
    }
}

/// The processes that have this text among their arguments.
fn processes_with(text: &str) -> usize {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let arguments =
        |entry: std::fs::DirEntry| std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
    all.map(arguments).filter(|bytes| String::from_utf8_lossy(bytes).split('\0').any(|it| it == text)).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_worker_left_running_is_ended_by_the_next_one_that_starts() {
    let world = World::new();
    world.bakery().await;
    let mark = format!("left-by-{}", std::process::id());
    // A shell would be one more process between the worker and what is left.
    let agent = format!("node -e 'setInterval(()=>{{}},9e9)' {mark}");
    let env = [("SANDBOX", "off"), ("AGENT_COMMAND", agent.as_str())];
    let mut program = Program::start(&world, &env);
    program.says("is ready");
    world.order("bakery#amelia", work("c-1", "abcdef1", "change \"7 to 18\" to \"8 to 20\"")).await;
    world.until("the agent's start", async || (processes_with(&mark) == 1).then_some(())).await;
    program.child.kill().unwrap();
    program.child.wait().unwrap();
    assert_eq!(processes_with(&mark), 1, "it outlives its worker");

    // Nobody hears of the claim that the dead worker holds for another 45 s.
    let mut next = Program::start(&world, &env);
    next.says("is ready");
    world.until("its end", async || (processes_with(&mark) == 0).then_some(())).await;
    next.says("a process that outlived its job is killed");
    next.terminate();
}

/// A remote that keeps whoever opens it waiting for ever.
struct Hanging {
    config: PathBuf,
    away: PathBuf,
}

impl Hanging {
    fn make(remote: &Remote) -> Self {
        let (config, away) = (remote.path.join("config"), remote.path.join("config.away"));
        std::fs::rename(&config, &away).unwrap();
        nix::unistd::mkfifo(&config, nix::sys::stat::Mode::S_IRWXU).unwrap();
        Self { config, away }
    }

    fn heal(self) {
        std::fs::remove_file(&self.config).unwrap();
        std::fs::rename(&self.away, &self.config).unwrap();
    }
}

/// Writes half of a page and stays.
const HALF: &str = "require('fs').writeFileSync('site/about.html','half\\n');setInterval(()=>{},9e9)";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s37_work_outlives_a_shutdown_although_the_remote_hangs_and_another_machine_goes_on_with_it() {
    let world = World::new();
    let remote = world.bakery().await;
    let agent = format!("node -e \"{HALF}\"");
    let env = [("SANDBOX", "off"), ("SHUTDOWN_GRACE_SECS", "13"), ("AGENT_COMMAND", agent.as_str())];
    let mut program = Program::start(&world, &env);
    program.says("is ready");
    world.order("bakery#amelia", work("c-1", "abcdef1", "change \"7 to 18\" to \"8 to 20\"")).await;
    let edited = world.path("data/workspaces/bakery-amelia/repo/site/about.html");
    let half_done = async || std::fs::read_to_string(&edited).ok().filter(|text| text == "half\n");
    world.until("half of the work", half_done).await;
    let hanging = Hanging::make(&remote);
    let begun = std::time::Instant::now();
    let (status, log) = program.terminate();
    assert!(status.success(), "{log:#?}");
    assert!(begun.elapsed().as_secs() < 14, "{:?} {log:#?}", begun.elapsed());
    assert_eq!(world.holder("bakery#amelia").await, None, "{log:#?}");
    assert_eq!(world.job("c-1").await.unwrap().attempts, 0, "the attempt is not charged");
    let kept = common::cloud::files::At::object("wip/c-1");
    let bundle = world.cloud.files.get(&kept).await.unwrap().expect("a bundle").bytes;
    assert!(bundle.starts_with(b"# v2 git bundle\n"));

    hanging.heal();
    assert_eq!(remote.branches(), ["main"]);
    std::fs::remove_dir_all(world.path("data/workspaces")).unwrap();
    let other = world.worker(&[]);
    world.announce("bakery#amelia").await;
    let result = world.result().await;
    assert_eq!(result.outcome, JobOutcome::Changed, "{result:?}");
    assert_eq!(result.files_changed, ["site/about.html", "site/index.html"], "both halves");
    let messages = remote.messages("thread-abcdef1");
    assert!(messages[1].starts_with("WIP: Auto-save: Container shutdown\n"), "{messages:?}");
    assert!(!world.cloud.files.exists(&kept).await.unwrap(), "it is on its branch now");
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_whoever_runs_it_has_set_for_git_changes_nothing() {
    let world = World::new();
    let remote = world.bakery().await;
    let home = world.path("home");
    std::fs::create_dir_all(home.join(".config/git")).unwrap();
    std::fs::write(home.join(".config/git/ignore"), "*.html\n").unwrap();
    let elsewhere = "[url \"file:///nowhere/\"]\n\tinsteadOf = file:///\n[core]\n\tautocrlf = true\n";
    std::fs::write(home.join(".gitconfig"), elsewhere).unwrap();
    let mut program = Program::start(&world, &[("SANDBOX", "off"), ("HOME", home.to_str().unwrap())]);
    program.says("is ready");
    world.order("bakery#amelia", work("c-1", "abcdef1", "add a page about rye")).await;
    let result = world.result().await;
    assert_eq!(result.outcome, JobOutcome::Changed, "{result:?}");
    assert_eq!(result.files_changed, ["rye/index.html"]);
    assert!(remote.file("thread-abcdef1", "rye/index.html").is_some());
    let (status, log) = program.terminate();
    assert!(status.success(), "{log:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s37_a_shutdown_while_a_push_hangs_keeps_the_finished_commit_and_it_is_not_made_again() {
    let world = World::new();
    let remote = world.remote("bakery", support::SITE);
    let go = world.path("go").display().to_string();
    let build = "const fs=require('fs');const t=setInterval(()=>{if(fs.existsSync(process.argv[1])){clearInterval(t);\
                 fs.cpSync('site','dist',{recursive:true})}},20)";
    world.project_built_by("bakery", &remote, &["node", "-e", build, &go]).await;
    let mut program = Program::start(&world, &[("SANDBOX", "off"), ("SHUTDOWN_GRACE_SECS", "13")]);
    program.says("is ready");
    world.order("bakery#amelia", work("c-1", "abcdef1", "change \"7 to 18\" to \"8 to 20\"")).await;
    let is_at = async |name: StepName| {
        let job = world.job("c-1").await?;
        job.steps.last().is_some_and(|step| step.name == name).then_some(())
    };
    world.until("the build", async || is_at(StepName::Build).await).await;
    let hanging = Hanging::make(&remote);
    std::fs::write(&go, "").unwrap();
    world.until("the push", async || is_at(StepName::Push).await).await;
    let (status, log) = program.terminate();
    assert!(status.success(), "{log:#?}");
    assert_eq!(world.holder("bakery#amelia").await, None, "{log:#?}");

    hanging.heal();
    std::fs::remove_dir_all(world.path("data/workspaces")).unwrap();
    // Nobody makes the change a second time: this agent would fail.
    let other = world.worker_with_agent("/bin/false", &[]);
    world.announce("bakery#amelia").await;
    let result = world.result().await;
    assert_eq!(result.outcome, JobOutcome::Changed, "{result:?}");
    assert_eq!(remote.messages("thread-abcdef1").len(), 1);
    assert!(remote.file("thread-abcdef1", "site/index.html").unwrap().contains("8 to 20"));
    other.stop().await;
}
