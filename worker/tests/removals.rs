//! Conversations that are removed while work on them runs or waits: nothing of them is left behind.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod support;

use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use common::cloud::files::{At, IfMatch, Space};
use common::cloud::queue::Outgoing;
use common::domain::ids::{CommandId, ProjectUser, SessionId, ThreadId};
use common::domain::job::Job;
use common::domain::names::{Queue, SiteTarget};
use common::domain::outcome::JobOutcome;
use common::domain::session::Session;
use common::domain::thread::Thread;
use common::domain::timestamp::Timestamp;
use common::messages::WorkDraft;
use serde_json::{Value, json};
use support::{Running, World, work};

const KEY: &str = "bakery#amelia";
const THREAD: &str = "aaaaaa1";

/// An agent that remembers and edits at once. One that is told to be slow then says so and goes on without end.
const AGENT: &str = r#"#!/usr/bin/env node
const fs = require("node:fs");
const folder = process.env.CLAUDE_CONFIG_DIR + "/projects/" + process.cwd().replace(/[^A-Za-z0-9]/g, "-");
const slow = fs.readFileSync(0, "utf8").includes("be slow");
fs.mkdirSync(folder, { recursive: true });
fs.writeFileSync(folder + "/s-1.jsonl", "said\n");
fs.writeFileSync("site/half.html", "half\n");
console.log(JSON.stringify({ type: "system", subtype: "init", session_id: "s-1" }));
console.log(JSON.stringify({ type: "assistant", message: { id: "m-1", model: "m", usage: { output_tokens: 1 } } }));
if (slow) {
  fs.writeFileSync(process.argv[1] + ".hangs", "");
  setInterval(() => {}, 9e9);
} else {
  console.log(JSON.stringify({ type: "result", subtype: "success", result: "done", num_turns: 1 }));
}
"#;

fn start(world: &World) -> Running {
    let claude = world.path("claude");
    std::fs::write(&claude, AGENT).unwrap();
    std::fs::set_permissions(&claude, std::fs::Permissions::from_mode(0o755)).unwrap();
    world.worker_with_agent(&format!("'{}'", claude.display()), &[])
}

fn thread() -> ThreadId {
    ThreadId::parse(THREAD).unwrap()
}

/// Queues work as hermes does: with its row.
async fn order(world: &World, body: Value) {
    let draft = WorkDraft::parse(&body.to_string(), "m", Timestamp::default()).unwrap();
    let row =
        draft.complete("amelia".parse().unwrap(), thread(), String::new()).to_job(world.cloud.clock.now());
    world.cloud.store.insert(&row).await.unwrap();
    world.order(KEY, body).await;
}

/// Removes the conversation as hermes does: it is marked, its work is stopped, then what is there is cleared away.
async fn remove(world: &World, commands: &[&str]) {
    mark(world).await;
    let now = world.cloud.clock.now();
    for command in commands {
        let stop = |job: &mut Job| {
            job.stop_requested = Some(now);
            ControlFlow::Continue(())
        };
        world.cloud.store.update::<Job>(&CommandId::parse(command).unwrap(), stop).await.unwrap();
        let claim = world.cloud.claims.get(&ProjectUser::parse(KEY).unwrap()).await.unwrap();
        if let Some(owner) = claim.and_then(|claim| claim.owner) {
            let stop = json!({"type": "control", "version": 1, "action": "stop-job", "commandId": command});
            let control = Queue::Control(owner);
            world.cloud.queues.send(&control, Outgoing::standard(stop.to_string())).await.unwrap();
        }
    }
    for key in left(world, commands).await {
        world.cloud.files.delete(&At::object(key), IfMatch::Any).await.unwrap();
    }
    world.cloud.store.remove::<Session>(&SessionId::of_thread(&thread())).await.unwrap();
}

async fn mark(world: &World) {
    let now = world.cloud.clock.now();
    let removed = |thread: &mut Thread| {
        thread.removed_at = Some(now);
        ControlFlow::Continue(())
    };
    assert!(world.cloud.store.update::<Thread>(&thread(), removed).await.unwrap().is_some());
}

/// Objects of the conversation.
async fn left(world: &World, commands: &[&str]) -> Vec<String> {
    let mut found = world.cloud.files.list(&Space::Objects, &format!("sessions/{THREAD}/")).await.unwrap();
    for command in commands {
        for key in [format!("transcripts/{command}.jsonl"), format!("wip/{command}")] {
            if world.cloud.files.exists(&At::object(&key)).await.unwrap() {
                found.push(key);
            }
        }
    }
    found
}

async fn session(world: &World) -> Option<Session> {
    let row = world.cloud.store.load::<Session>(&SessionId::of_thread(&thread())).await.unwrap();
    row.map(|row| row.value)
}

async fn preview(world: &World) -> Vec<String> {
    let row = world.cloud.store.load::<Thread>(&thread()).await.unwrap().unwrap().value;
    let target = SiteTarget::Thread(row.project_id, row.preview_key);
    world.cloud.files.list(&Space::Site(target), "").await.unwrap()
}

async fn hangs(world: &World) {
    let says = world.path("claude.hangs");
    world.until("an agent in the middle of its work", async || says.exists().then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_removed_in_the_middle_of_the_agents_work_leaves_nothing_behind() {
    let world = World::new();
    world.bakery().await;
    let worker = start(&world);
    order(&world, work("c-1", THREAD, "be slow")).await;
    hangs(&world).await;
    remove(&world, &["c-1"]).await;
    let result = world.result().await;
    assert_eq!((result.command_id.as_str(), result.outcome), ("c-1", JobOutcome::Stopped), "{result:?}");
    assert_eq!(left(&world, &["c-1"]).await, [""; 0]);
    assert_eq!((session(&world).await, preview(&world).await.len()), (None, 0));
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_that_is_only_stopped_is_remembered() {
    let world = World::new();
    world.bakery().await;
    let worker = start(&world);
    order(&world, work("c-1", THREAD, "be slow")).await;
    hangs(&world).await;
    let stop = json!({"type": "control", "version": 1, "action": "stop-job", "commandId": "c-1"});
    let claim = world.cloud.claims.get(&ProjectUser::parse(KEY).unwrap()).await.unwrap().unwrap();
    let control = Queue::Control(claim.owner.unwrap());
    let mark = |job: &mut Job| {
        job.stop_requested = Some(Timestamp::default());
        ControlFlow::Continue(())
    };
    world.cloud.store.update::<Job>(&CommandId::parse("c-1").unwrap(), mark).await.unwrap();
    world.cloud.queues.send(&control, Outgoing::standard(stop.to_string())).await.unwrap();
    assert_eq!(world.result().await.outcome, JobOutcome::Stopped);
    let all = [format!("sessions/{THREAD}/agent.jsonl"), "transcripts/c-1.jsonl".to_owned()];
    assert_eq!(left(&world, &["c-1"]).await, all);
    assert!(session(&world).await.is_some());
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_that_waits_or_comes_late_ends_before_it_begins_and_the_preview_goes() {
    let world = World::new();
    let remote = world.bakery().await;
    let worker = start(&world);
    order(&world, work("c-1", THREAD, "be quick")).await;
    assert_eq!(world.result().await.outcome, JobOutcome::Changed);
    assert!(!preview(&world).await.is_empty() && session(&world).await.is_some());
    worker.stop().await;
    let tip = remote.tip("thread-aaaaaa1");

    order(&world, work("c-2", THREAD, "be quick again")).await;
    remove(&world, &["c-1", "c-2"]).await;
    let down = json!({"type": "work", "version": 1, "commandId": "c-3", "projectId": "bakery", "userId": "amelia",
        "threadId": THREAD, "action": "take-down"});
    order(&world, down).await;
    // Two that were under way when it was removed: nobody marked them, and their mails came in after it.
    let later = world.cloud.clock.now().plus(Duration::from_hours(1));
    let wrote = |thread: &mut Thread| {
        thread.last_activity = later;
        ControlFlow::Continue(())
    };
    world.cloud.store.update::<Thread>(&thread(), wrote).await.unwrap();
    order(&world, work("c-4", THREAD, "be slow")).await;
    let publish = json!({"type": "work", "version": 1, "commandId": "c-5", "projectId": "bakery", "userId": "amelia",
        "threadId": THREAD, "action": "publish"});
    order(&world, publish).await;

    let worker = start(&world);
    for (command, outcome) in [
        ("c-2", JobOutcome::Stopped),
        ("c-3", JobOutcome::Answered),
        ("c-4", JobOutcome::Stopped),
        ("c-5", JobOutcome::Stopped),
    ] {
        let result = world.result().await;
        assert_eq!((result.command_id.as_str(), result.outcome), (command, outcome), "{result:?}");
        assert_eq!(command != "c-3", result.summary.contains("was removed before"), "{}", result.summary);
    }
    assert_eq!(left(&world, &["c-1", "c-2", "c-4", "c-5"]).await, [""; 0]);
    assert_eq!((session(&world).await, preview(&world).await.len()), (None, 0));
    assert_eq!(remote.tip("thread-aaaaaa1"), tip, "its branch stays as it was");
    worker.stop().await;
}
