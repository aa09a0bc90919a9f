//! Newer work takes the place of a running job: nothing is lost, nothing runs twice, the claim stays.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod support;

use std::sync::Mutex;

use async_trait::async_trait;
use common::cloud::Cloud;
use common::cloud::callback::{Callback, Errand, Heard};
use common::cloud::queue::Outgoing;
use common::domain::active_job::ActiveJob;
use common::domain::ids::{CommandId, ProjectUser};
use common::domain::names::{Queue, SiteTarget};
use common::domain::outcome::JobOutcome;
use common::domain::timestamp::Timestamp;
use common::messages::{Work, WorkDraft};
use serde_json::{Value, json};
use support::{Running, World, input, work};

const KEY: &str = "bakery#amelia";
const ONE: &str = "aaaaaa1";
const TWO: &str = "bbbbbb2";

/// An agent that writes its prompt to `site/LAST-WORD.html`. One whose first word is `slow` leaves half of a page and a
/// child that will not stop when asked, and goes on only when the file `go` is there.
const AGENT: &str = r#"
import { spawn } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
const say = (event) => console.log(JSON.stringify(event));
const [, , go] = process.argv;
const prompt = readFileSync(0, "utf8");
const words = prompt.split("<instruction>")[1].split("</instruction>")[0].trim().split(" ");
const page = `site/${words.at(-1)}.html`;
say({ type: "system", subtype: "init", session_id: "s" });
const finish = () => {
  writeFileSync(page, prompt);
  say({ type: "result", subtype: "success", is_error: false, result: "done" });
  process.exit(0);
};
if (words[0] === "slow" && !existsSync(go)) {
  const stubborn = "process.on('SIGTERM', () => {}); console.log('up'); setInterval(() => {}, 9e9)";
  const child = spawn(process.execPath, ["-e", stubborn], { stdio: ["ignore", "pipe", "ignore"] });
  child.stdout.once("data", () => {
    writeFileSync(page, "half\n");
    writeFileSync(`${go}.pids`, `${process.pid} ${child.pid}`);
  });
  setInterval(() => existsSync(go) && finish(), 20);
} else {
  finish();
}
"#;

/// A build that leaves word of itself and goes on only when the file `go` is there.
const BUILD: &str = r#"
const { cpSync, existsSync, writeFileSync } = require("node:fs");
const go = process.argv[1];
writeFileSync(`${go}.pids`, `${process.pid}`);
setInterval(() => { if (existsSync(go)) { cpSync("site", "dist", { recursive: true }); process.exit(0); } }, 20);
"#;

fn start(world: &World) -> Running {
    let script = world.path("agent.mjs");
    std::fs::write(&script, AGENT).unwrap();
    let agent = format!("node '{}' '{}'", script.display(), world.path("go").display());
    world.worker_with_agent(&agent, &["--container-id", "w-1"])
}

fn complete(body: &Value) -> Work {
    let draft = WorkDraft::parse(&body.to_string(), "m", Timestamp::default()).unwrap();
    let thread = draft.thread_id.clone().unwrap();
    draft.complete("amelia".parse().unwrap(), thread, String::new())
}

/// Queues work as hermes does: with its row, without an announcement.
async fn queue(world: &World, body: Value) {
    let row = complete(&body).to_job(world.cloud.clock.now());
    world.cloud.store.insert(&row).await.unwrap();
    world.put(KEY, &body.to_string()).await;
}

async fn control(world: &World) -> Queue {
    let claim = world.cloud.claims.get(&ProjectUser::parse(KEY).unwrap()).await.unwrap().unwrap();
    Queue::Control(claim.owner.expect("it is held"))
}

/// Sends an interrupt and waits until the worker has read it.
async fn interrupt(world: &World, running: &str, newer: &str) {
    let order = json!({"type": "INTERRUPT", "version": 1, "projectId": "bakery", "userId": "amelia",
        "commandId": running, "newThreadId": TWO, "newMessageId": newer, "reason": "newer", "timestamp": 1});
    let control = control(world).await;
    world.cloud.queues.send(&control, Outgoing::standard(order.to_string())).await.unwrap();
    world.until("the order's end", async || (world.depth(control.clone()).await == 0).then_some(())).await;
}

/// Waits until agent or build say that they hang; the processes that must be gone later.
async fn hangs(world: &World) -> Vec<u32> {
    let path = world.path("go.pids");
    let pids = async || std::fs::read_to_string(&path).ok().filter(|text| !text.is_empty());
    let pids = world.until("half of the work", pids).await;
    std::fs::remove_file(&path).unwrap();
    pids.split(' ').map(|pid| pid.parse().unwrap()).collect()
}

fn is_gone(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    status.rsplit(')').next().is_none_or(|rest| rest.is_empty() || rest.trim_start().starts_with('Z'))
}

fn go_on(world: &World) {
    std::fs::write(world.path("go"), "").unwrap();
}

async fn next(world: &World) -> (String, JobOutcome) {
    let result = world.result().await;
    assert_eq!(result.epoch.0, 1, "the claim is kept");
    assert_eq!(result.interrupted, result.outcome == JobOutcome::Interrupted);
    (result.command_id.to_string(), result.outcome)
}

fn ended(command: &str, outcome: JobOutcome) -> (String, JobOutcome) {
    (command.to_owned(), outcome)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s45_s49_a_running_agent_makes_way_and_its_work_is_kept_and_runs_again() {
    let world = World::new();
    let remote = world.bakery().await;
    let worker = start(&world);
    let mut first = work("c-1", ONE, "slow one");
    first["taskToken"] = json!("token-1");
    queue(&world, first).await;
    world.announce(KEY).await;
    let pids = hangs(&world).await;
    let key = ProjectUser::parse(KEY).unwrap();
    let active = world.cloud.store.load::<ActiveJob>(&key).await.unwrap().unwrap().value;
    assert_eq!((active.command_id.as_str(), active.container_id.as_str()), ("c-1", "w-1"));
    queue(&world, work("c-2", TWO, "quick two")).await;
    interrupt(&world, "c-1", "c-2").await;

    assert_eq!(next(&world).await, ended("c-1", JobOutcome::Interrupted));
    assert!(pids.iter().all(|pid| is_gone(*pid)), "the whole group is gone: {pids:?}");
    assert_eq!(remote.file("thread-aaaaaa1", "site/one.html").unwrap(), "half\n");
    assert!(remote.messages("thread-aaaaaa1")[0].starts_with("WIP: Auto-save: Interrupted by newer work\n"));
    let waits = world.cloud.callback.heartbeat("token-1").await.unwrap();
    assert_eq!(waits, Heard::NoLonger, "its token was answered");
    assert_eq!(next(&world).await, ended("c-2", JobOutcome::Changed));
    assert_eq!(world.job("c-2").await.unwrap().preempted, Some(CommandId::parse("c-1").unwrap()));
    go_on(&world);
    assert_eq!(next(&world).await, ended("c-1", JobOutcome::Changed), "nobody announced it");
    let row = world.job("c-1").await.unwrap();
    assert_eq!((row.attempts, row.interruptions), (1, 1), "the interrupted attempt is not charged");
    assert_eq!(remote.messages("thread-aaaaaa1").len(), 2, "the saved half and the work");
    world.until("the queue's end", async || (world.depth(input(KEY)).await == 0).then_some(())).await;
    assert_eq!(world.cloud.store.load::<ActiveJob>(&key).await.unwrap(), None);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_too_large_costs_no_other_edit_of_an_agent_that_makes_way() {
    let world = World::new();
    let remote = world.bakery().await;
    let worker = start(&world);
    queue(&world, work("c-1", ONE, "slow one")).await;
    world.announce(KEY).await;
    hangs(&world).await;
    let large = world.path("data/workspaces/bakery-amelia/repo/site/all.tar");
    std::fs::File::create(&large).unwrap().set_len(150 * 1024 * 1024).unwrap();
    queue(&world, work("c-2", TWO, "quick two")).await;
    interrupt(&world, "c-1", "c-2").await;
    assert_eq!(next(&world).await, ended("c-1", JobOutcome::Interrupted));
    assert_eq!(remote.file("thread-aaaaaa1", "site/one.html").unwrap(), "half\n");
    assert_eq!(remote.file("thread-aaaaaa1", "site/all.tar"), None);
    assert_eq!(next(&world).await, ended("c-2", JobOutcome::Changed));
    go_on(&world);
    assert_eq!(next(&world).await, ended("c-1", JobOutcome::Changed));
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s49_a_running_build_makes_way_and_the_finished_edits_are_not_made_again() {
    let world = World::new();
    let remote = world.remote("bakery", support::SITE);
    let go = world.path("go").display().to_string();
    world.project_built_by("bakery", &remote, &["node", "-e", BUILD, &go]).await;
    let worker = start(&world);
    queue(&world, work("c-1", ONE, "quick one")).await;
    world.announce(KEY).await;
    let pids = hangs(&world).await;
    queue(&world, work("c-2", TWO, "quick two")).await;
    interrupt(&world, "c-1", "c-2").await;
    assert_eq!(next(&world).await, ended("c-1", JobOutcome::Interrupted));
    assert!(pids.iter().all(|pid| is_gone(*pid)));
    let finished = remote.tip("thread-aaaaaa1");
    assert!(finished.is_some(), "the finished commit is safe");
    go_on(&world);
    assert_eq!(next(&world).await, ended("c-2", JobOutcome::Changed));
    let last = world.result().await;
    assert_eq!((last.command_id.as_str(), last.outcome), ("c-1", JobOutcome::Changed));
    assert_eq!(remote.tip("thread-aaaaaa1"), finished, "no second commit");
    assert!(world.page(&last, "one.html").is_some());
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s47_s48_a_wrong_a_repeated_and_a_late_interrupt_change_nothing() {
    let world = World::new();
    world.bakery().await;
    let worker = start(&world);
    queue(&world, work("c-1", ONE, "slow one")).await;
    world.announce(KEY).await;
    hangs(&world).await;
    queue(&world, work("c-2", TWO, "quick two")).await;
    interrupt(&world, "c-9", "c-2").await;
    interrupt(&world, "c-1", "no id: / \n").await;
    interrupt(&world, "c-1", "c-7").await;
    interrupt(&world, "c-1", "c-2").await;
    assert_eq!(next(&world).await, ended("c-1", JobOutcome::Interrupted));
    assert_eq!(next(&world).await, ended("c-2", JobOutcome::Changed));
    hangs(&world).await;
    // The same order delivered once more, while the work runs again.
    interrupt(&world, "c-1", "c-2").await;
    go_on(&world);
    assert_eq!(next(&world).await, ended("c-1", JobOutcome::Changed));
    assert_eq!(world.job("c-1").await.unwrap().interruptions, 1);
    queue(&world, work("c-3", ONE, "quick three")).await;
    interrupt(&world, "c-1", "c-3").await;
    assert_eq!(next(&world).await, ended("c-3", JobOutcome::Changed), "c-1 had ended");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_that_is_interrupted_twice_within_minutes_is_not_taken_for_a_duplicate() {
    let world = World::new();
    world.bakery().await;
    let worker = start(&world);
    queue(&world, work("c-1", ONE, "slow one")).await;
    world.announce(KEY).await;
    for newer in ["c-2", "c-3"] {
        hangs(&world).await;
        queue(&world, work(newer, TWO, "quick two")).await;
        interrupt(&world, "c-1", newer).await;
        assert_eq!(next(&world).await, ended("c-1", JobOutcome::Interrupted));
        assert_eq!(next(&world).await.0, newer);
    }
    go_on(&world);
    assert_eq!(next(&world).await, ended("c-1", JobOutcome::Changed));
    let row = world.job("c-1").await.unwrap();
    assert_eq!((row.attempts, row.interruptions), (1, 2));
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s50_the_next_runs_on_the_thread_are_told_what_was_interrupted() {
    let world = World::new();
    let remote = world.bakery().await;
    let worker = start(&world);
    queue(&world, work("c-1", ONE, "slow one")).await;
    world.announce(KEY).await;
    hangs(&world).await;
    queue(&world, work("c-2", ONE, "quick two")).await;
    queue(&world, work("c-3", TWO, "quick three")).await;
    interrupt(&world, "c-1", "c-3").await;
    assert_eq!(next(&world).await, ended("c-1", JobOutcome::Interrupted));
    go_on(&world);
    for command in ["c-2", "c-3", "c-1"] {
        assert_eq!(next(&world).await, ended(command, JobOutcome::Changed));
    }
    let told = |thread: &str, page: &str| remote.file(&format!("thread-{thread}"), page).unwrap();
    let other = told(ONE, "site/two.html");
    assert!(other.contains("An earlier request was interrupted") && other.contains("> slow one"), "{other}");
    assert!(told(ONE, "site/one.html").contains("An earlier run of this very request was interrupted"));
    assert!(!told(TWO, "site/three.html").contains("interrupted"), "another conversation");
    queue(&world, work("c-4", ONE, "quick four")).await;
    next(&world).await;
    assert!(!told(ONE, "site/four.html").contains("interrupted"), "it is finished by now");
    worker.stop().await;
}

/// Keeps what it is told.
#[derive(Default)]
struct Ears(Mutex<Vec<(String, String)>>);

impl Ears {
    fn heard(&self) -> Vec<(String, String)> {
        self.0.lock().unwrap().clone()
    }
}

#[async_trait]
impl Callback for Ears {
    async fn success(&self, token: &str, _output: &str) -> common::cloud::Result<Heard> {
        self.0.lock().unwrap().push((token.to_owned(), "success".to_owned()));
        Ok(Heard::Yes)
    }

    async fn failure(&self, _token: &str, error: &str, cause: &str) -> common::cloud::Result<Heard> {
        self.0.lock().unwrap().push((error.to_owned(), cause.to_owned()));
        Ok(Heard::Yes)
    }

    async fn heartbeat(&self, _token: &str) -> common::cloud::Result<Heard> {
        Ok(Heard::Yes)
    }

    async fn hand_over(&self, _errand: &Errand) -> common::cloud::Result<()> {
        panic!("workers hand nothing over")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s45_whoever_waits_for_interrupted_work_hears_preempted() {
    let world = World::new();
    let ears = std::sync::Arc::new(Ears::default());
    let cloud = Cloud { callback: ears.clone(), ..world.cloud.clone() };
    let order = complete(&work("c-1", ONE, "slow one"));
    let row = order.to_job(world.cloud.clock.now());
    let key = common::domain::names::PreviewKey::random();
    let target = SiteTarget::Thread("bakery".parse().unwrap(), key);
    for outcome in [JobOutcome::Interrupted, JobOutcome::Stopped] {
        let result = worker::report::result(&order, &row, outcome, &target, None, &"w-1".parse().unwrap());
        worker::report::send(&cloud, &result, Some("token-1")).await.unwrap();
    }
    let heard: Vec<String> = ears.heard().into_iter().map(|(error, _)| error).collect();
    assert_eq!(heard, ["PREEMPTED", "stopped"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s41_whoever_waits_for_failed_work_hears_its_outcome_and_why_within_the_limits_of_a_token() {
    let world = World::new();
    let ears = std::sync::Arc::new(Ears::default());
    let cloud = Cloud { callback: ears.clone(), ..world.cloud.clone() };
    let order = complete(&work("c-1", ONE, "slow one"));
    let mut row = order.to_job(world.cloud.clock.now());
    row.error = Some("npm: no such file\n".repeat(4_000));
    let target = SiteTarget::Preview("bakery".parse().unwrap());
    let failed = JobOutcome::BuildFailed;
    let result = worker::report::result(&order, &row, failed, &target, None, &"w-1".parse().unwrap());
    worker::report::send(&cloud, &result, Some("token-1")).await.unwrap();
    let [(error, cause)] = &ears.heard()[..] else { panic!("told once: {:?}", ears.heard()) };
    assert!(error == "build-failed" && error.len() <= 256);
    assert!(cause.starts_with("npm: no such file") && cause.chars().count() <= 32_768, "{}", cause.len());
    // A real token takes it.
    worker::report::send(&world.cloud, &result, Some("token-2")).await.unwrap();
    assert_eq!(world.cloud.callback.success("token-2", "1").await.unwrap(), Heard::NoLonger);
}
