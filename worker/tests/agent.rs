//! The agent as a child: what it is told, what it sees, and every way in which it can fail to end well.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod support;

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::clock::Clock;
use common::cloud::files::At;
use common::domain::budget::{Limits, Usage};
use common::domain::claim::{Epoch, Fence};
use common::domain::ids::{Nonce, Owner};
use common::domain::names::{PreviewKey, SiteTarget};
use common::domain::outcome::JobOutcome;
use common::domain::project::Project;
use common::domain::repo_url::RepoRules;
use common::domain::timestamp::Timestamp;
use common::messages::WorkDraft;
use support::{Remote, World, work};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::timeout;
use worker::config::ChildEnvironment;
use worker::gateway::{Gateway, Model, Packages};
use worker::job::agent::{AgentCommand, Patience};
use worker::job::journal::Journal;
use worker::job::message::Identity;
use worker::job::{Cut, Ending, JobContext, JobSettings, Run, Stopper, run};
use worker::meter::{Allowance, Meter};
use worker::sandbox::Sandbox;
use worker::secrets::Secrets;

const SHORT: Duration = Duration::from_millis(700);
const LONG: Duration = Duration::from_secs(30);
const EVENT: &str = "console.log(JSON.stringify({type:'assistant'}))";
const RESULT: &str =
    "console.log(JSON.stringify({type:'result',subtype:'success',result:'all done',num_turns:3}))";
const STAY: &str = "setInterval(()=>{},9e9)";

fn patience(first_event: Duration, silence: Duration, after_result: Duration) -> Patience {
    Patience { first_event, silence, after_result }
}

fn node(script: &str) -> String {
    format!("node -e \"{script}\"")
}

/// What an attempt is made in.
struct Stand {
    world: World,
    remote: Remote,
    context: JobContext,
    journal: Journal,
}

/// One attempt with this agent.
async fn attempt(agent: &str, patience: Patience, max_minutes: Option<u32>) -> (JobOutcome, Ending) {
    let mut stand = stand(agent, patience, max_minutes).await;
    match stand.run().await {
        Run::Ended(outcome, ending) => (outcome, *ending),
        Run::Cut(cut, _) => panic!("cut off: {cut:?}"),
    }
}

impl Stand {
    async fn run(&mut self) -> Run {
        let run = run(&self.context, &mut self.journal);
        timeout(support::LIMIT, run).await.expect("the attempt ends")
    }
}

async fn stand(agent: &str, patience: Patience, max_minutes: Option<u32>) -> Stand {
    let world = World::new();
    let remote = world.bakery().await;
    let mut message = work("c-1", "abcdef1", "change \"7 to 18\" to \"8 to 20\"");
    message["repoUrl"] = remote.url().into();
    let draft = WorkDraft::parse(&message.to_string(), "m", Timestamp::default()).unwrap();
    let work = draft.complete("amelia".parse().unwrap(), "abcdef1".parse().unwrap(), remote.url());
    let row = work.to_job(world.cloud.clock.now());
    world.cloud.store.insert(&row).await.unwrap();
    let id = "bakery".parse().unwrap();
    let mut project = world.cloud.store.load::<Project>(&id).await.unwrap().unwrap().value;
    project.limits.max_minutes = max_minutes;
    let owner = Owner { worker: "w-1".parse().unwrap(), nonce: Nonce::parse("00000000").unwrap() };
    let fence = Fence { project_key: row.project_key.clone(), owner, epoch: Epoch(1) };
    let journal = Journal::of(Arc::clone(&world.cloud.store), Clock::System, &fence, &row);
    let environment = ChildEnvironment::of_path("/usr/local/bin:/usr/bin:/bin");
    let agent = AgentCommand::parse(agent).unwrap();
    let settings = JobSettings {
        workspaces: world.path("workspaces"),
        // One that is gone since the start is left as it was.
        agent: agent.resolve(environment.programs()).unwrap_or(agent),
        patience,
        identity: Identity { name: "Worker".into(), email: "worker@example.org".into() },
        repos: RepoRules { hosts: Vec::new(), allow_files: true },
        git_token: None,
        secrets: Secrets::default(),
        environment,
        sandbox: Sandbox::off(Gateway::closed()),
    };
    let context = JobContext {
        interrupted: Vec::new(),
        live: tokio::sync::OnceCell::default(),
        shown: tokio::sync::OnceCell::default(),
        session: None,
        meter: Meter::new(Allowance::of(&project.limits, Usage::default(), 0.0, 0.0)),
        work,
        epoch: Epoch(1),
        project: Some(project),
        target: SiteTarget::Thread(id, PreviewKey::from_bytes(&[1; 12])),
        written_at: Timestamp::default(),
        settings: Arc::new(settings),
        files: Arc::clone(&world.cloud.files),
        clock: Clock::System,
        stopper: Stopper::default(),
        still_ours: Arc::new(|| Box::pin(async { true })),
    };
    Stand { world, remote, context, journal }
}

#[tokio::test]
async fn an_agent_without_a_first_event_is_started_once_more_and_then_has_failed() {
    let (outcome, ending) = attempt(&node(STAY), patience(SHORT, LONG, LONG), None).await;
    assert_eq!(outcome, JobOutcome::AgentFailed);
    assert!(ending.error.unwrap().contains("twice"));
}

#[tokio::test]
async fn an_agent_that_falls_silent_is_stopped() {
    let (outcome, ending) =
        attempt(&node(&format!("{EVENT};{STAY}")), patience(LONG, SHORT, LONG), None).await;
    assert_eq!(outcome, JobOutcome::AgentFailed);
    assert!(ending.error.unwrap().contains("stopped showing signs of life"));
}

/// A model whose answer takes three times as long as an agent may be silent, and comes bit by bit.
async fn slow_model() -> Model {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut line, _) = listener.accept().await.unwrap();
        let (ping, count) = ("data: {\"type\":\"ping\"}\n\n", 12);
        let length = ping.len() * count;
        let head =
            format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {length}\r\n\r\n");
        line.write_all(head.as_bytes()).await.unwrap();
        let mut tick = tokio::time::interval(SHORT / 4);
        for _ in 0..count {
            tick.tick().await;
            line.write_all(ping.as_bytes()).await.unwrap();
        }
        // The other side hangs up.
        line.read_to_end(&mut Vec::new()).await.ok();
    });
    Model::new(Some(&base), None, worker::gateway::client().unwrap()).unwrap()
}

#[tokio::test]
async fn an_agent_that_listens_to_a_long_answer_is_not_silent() {
    let ask = "fetch(process.env.ANTHROPIC_BASE_URL+'/v1/messages',{method:'POST',body:'{}',headers:{'x-api-key':process.env.ANTHROPIC_API_KEY}})";
    let agent = node(&format!("{EVENT};{ask}.then(r=>r.text()).then(()=>{RESULT})"));
    let mut stand = stand(&agent, patience(LONG, SHORT, LONG), None).await;
    let packages = Packages::new("".parse().unwrap(), None, worker::gateway::client().unwrap());
    let gateway = Gateway::new(Some(slow_model().await), packages);
    Arc::get_mut(&mut stand.context.settings).unwrap().sandbox = Sandbox::off(gateway);
    let run = stand.run().await;
    assert!(matches!(run, Run::Ended(JobOutcome::Answered, _)), "{run:?}");
}

#[tokio::test]
async fn a_result_counts_even_when_the_agent_does_not_end() {
    let agent = node(&format!("process.on('SIGTERM',()=>{{}});{EVENT};{RESULT};{STAY}"));
    let (outcome, ending) = attempt(&agent, patience(LONG, LONG, SHORT), None).await;
    assert_eq!(outcome, JobOutcome::Answered, "{ending:?}");
    assert_eq!((ending.summary.as_str(), ending.usage.turns), ("all done", 3));
}

#[tokio::test]
async fn an_agent_that_ends_without_a_result_has_failed_with_its_last_words() {
    let agent = node("console.error('out of memory');process.exitCode=3");
    let (outcome, ending) = attempt(&agent, patience(LONG, LONG, LONG), None).await;
    assert_eq!(outcome, JobOutcome::AgentFailed);
    assert!(ending.error.unwrap().contains("out of memory"));
}

#[tokio::test]
async fn an_agent_that_cannot_be_started_has_failed_with_what_to_check() {
    let (outcome, ending) = attempt("/no/such/agent", patience(LONG, LONG, LONG), None).await;
    assert_eq!(outcome, JobOutcome::AgentFailed);
    assert!(ending.error.unwrap().contains("AGENT_COMMAND"));
}

#[tokio::test]
async fn the_time_limit_of_a_run_ends_it() {
    let agent = node(&format!("require('fs').writeFileSync('site/half.html','x');{EVENT};{STAY}"));
    let (outcome, ending) = attempt(&agent, patience(LONG, LONG, LONG), Some(0)).await;
    assert_eq!(outcome, JobOutcome::BudgetExhausted, "{ending:?}");
}

#[tokio::test]
async fn a_huge_line_and_noise_do_not_disturb_the_stream() {
    let noise = "console.log('x'.repeat(3*1024*1024));console.log('not json');console.log()";
    let (outcome, ending) =
        attempt(&node(&format!("{noise};{RESULT}")), patience(LONG, LONG, LONG), None).await;
    assert_eq!((outcome, ending.summary.as_str()), (JobOutcome::Answered, "all done"));
}

#[tokio::test]
async fn the_agent_sees_its_prompt_and_nothing_of_the_worker() {
    let script = "const p=require('fs').readFileSync(0,'utf8');\
        const r=JSON.stringify({type:'result',subtype:'success',result:Object.keys(process.env).sort().join()+'|'+process.cwd()+'|'+p});\
        console.log(r)";
    let (_, ending) = attempt(&node(script), patience(LONG, LONG, LONG), None).await;
    let parts: Vec<&str> = ending.summary.splitn(3, '|').collect();
    assert_eq!(parts[0], "CLAUDE_CONFIG_DIR,HOME,PATH,TMPDIR");
    assert!(parts[1].ends_with("/bakery-amelia/repo"), "{}", parts[1]);
    assert!(parts[2].contains("<instruction>\nchange \"7 to 18\" to \"8 to 20\"\n</instruction>"));
}

/// The claim is confirmed once, and lost while the remote moves.
#[tokio::test]
async fn a_push_whose_claim_is_lost_between_its_rounds_ends() {
    let edit = "require('fs').writeFileSync('site/new.html','new')";
    let mut stand = stand(&node(&format!("{edit};{EVENT};{RESULT}")), patience(LONG, LONG, LONG), None).await;
    stand.remote.commit("thread-abcdef1", &[("site/about.html", "theirs\n")], "first");
    let (path, asked) = (stand.remote.path.clone(), Arc::new(AtomicUsize::new(0)));
    let moves = Arc::clone(&asked);
    stand.context.still_ours = Arc::new(move || {
        let first = moves.fetch_add(1, Ordering::SeqCst) == 0;
        if first {
            let remote = Remote { path: path.clone() };
            remote.commit("thread-abcdef1", &[("site/about.html", "theirs again\n")], "second");
        }
        Box::pin(async move { first })
    });
    let run = stand.run().await;
    assert!(matches!(run, Run::Cut(Cut::FenceLost, _)), "{run:?}");
    assert_eq!(stand.remote.messages("thread-abcdef1")[0].trim(), "second", "nothing of ours is there");
    assert!(asked.load(Ordering::SeqCst) >= 2);
}

/// What the CLI would remember, and where.
const REMEMBERS: &str = r#"#!/usr/bin/env node
const fs = require("node:fs");
const folder = process.env.CLAUDE_CONFIG_DIR + "/projects/" + process.cwd().replace(/[^A-Za-z0-9]/g, "-");
fs.mkdirSync(folder, { recursive: true });
fs.writeFileSync(folder + "/s-1.jsonl", "said\n");
console.log(JSON.stringify({ type: "system", subtype: "init", session_id: "s-1" }));
console.log(JSON.stringify({ type: "assistant", message: { id: "m-1", model: "m", usage: { output_tokens: 1 } } }));
console.log(JSON.stringify({ type: "result", subtype: "success", result: "nothing to do", num_turns: 1 }));
"#;

#[tokio::test]
async fn what_an_agent_remembers_is_kept_under_a_claim_only() {
    let folder = tempfile::tempdir().unwrap();
    let claude = folder.path().join("claude");
    std::fs::write(&claude, REMEMBERS).unwrap();
    std::fs::set_permissions(&claude, std::fs::Permissions::from_mode(0o755)).unwrap();
    for ours in [false, true] {
        let mut stand = stand(claude.to_str().unwrap(), patience(LONG, LONG, LONG), None).await;
        stand.context.still_ours = Arc::new(move || Box::pin(async move { ours }));
        let run = stand.run().await;
        assert!(matches!(run, Run::Ended(JobOutcome::Answered, _)), "{run:?}");
        let key = At::object("sessions/abcdef1/agent.jsonl");
        assert_eq!(stand.world.cloud.files.exists(&key).await.unwrap(), ours);
        let home = stand.world.path("workspaces/bakery-amelia/agent-home");
        let left: Vec<_> = std::fs::read_dir(home).unwrap().flatten().map(|entry| entry.path()).collect();
        assert!(left.is_empty(), "nothing of it stays on this machine: {left:?}");
    }
}

/// An object that is not written goes after a time.
#[tokio::test]
async fn what_an_agent_remembers_is_written_by_each_of_its_runs() {
    let folder = tempfile::tempdir().unwrap();
    let claude = folder.path().join("claude");
    std::fs::write(&claude, REMEMBERS).unwrap();
    std::fs::set_permissions(&claude, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut stand = stand(claude.to_str().unwrap(), patience(LONG, LONG, LONG), None).await;
    let key = At::object("sessions/abcdef1/agent.jsonl");
    let mut seen = Vec::new();
    for _ in 0..2 {
        stand.context.meter = Meter::new(Allowance::of(&Limits::default(), Usage::default(), 0.0, 0.0));
        let run = stand.run().await;
        assert!(matches!(run, Run::Ended(JobOutcome::Answered, _)), "{run:?}");
        seen.push(stand.world.cloud.files.get(&key).await.unwrap().unwrap());
    }
    assert_eq!(seen[0].bytes, seen[1].bytes);
    assert_ne!(seen[0].etag, seen[1].etag, "each writing has its own on this cloud");
}

/// A branch that cannot be written to stands for a disk that takes too long.
#[tokio::test]
async fn edits_that_cannot_be_committed_at_a_shutdown_are_marked_in_their_folder() {
    let spoil = "const fs=require('fs'),ref='.git/refs/heads/thread-abcdef1';fs.rmSync(ref);fs.mkdirSync(ref);fs.writeFileSync(ref+'/x','?');fs.writeFileSync('site/half.html','half')";
    let mut stand = stand(&node(&format!("{spoil};{EVENT};{STAY}")), patience(LONG, LONG, LONG), None).await;
    let folder = stand.world.path("workspaces/bakery-amelia");
    let (stopper, half) = (stand.context.stopper.clone(), folder.join("repo/site/half.html"));
    let shutdown = async {
        while !half.exists() {
            tokio::task::yield_now().await;
        }
        stopper.stop(Cut::Shutdown);
    };
    let (run, ()) = tokio::join!(stand.run(), shutdown);
    assert!(matches!(run, Run::Cut(Cut::Shutdown, _)), "{run:?}");
    assert!(folder.join("left").exists());
}
