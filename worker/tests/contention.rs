//! Several workers and several users: who gets which claim, who waits, and who makes room for whom.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod support;

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Duration;

use common::cloud::queue::Outgoing;
use common::cloud::store::{Expect, Table};
use common::domain::claim::ClaimRecord;
use common::domain::ids::{ProjectUser, SessionId};
use common::domain::names::Queue;
use common::domain::outcome::JobOutcome;
use common::domain::session::{Session, SessionStatus};
use common::messages::{ClaimRequest, JobResult, Order};
use serde_json::{Value, json};
use support::{AGENT, Running, World, input, work};
use tokio::time::Instant;

const AMELIA: &str = "bakery#amelia";
const BOB: &str = "bakery#bob";
const CAROL: &str = "bakery#carol";
const DAVE: &str = "bakery#dave";
const HOURS: &str = "change \"7 to 18\" to \"8 to 20\"";

/// An agent that goes on only when the file `go` is there.
const GATED: &str = r#"
import { existsSync } from "node:fs";
const finish = () => console.log(JSON.stringify({ type: "result", subtype: "success", result: "ok" }));
console.log(JSON.stringify({ type: "system", subtype: "init", session_id: "s" }));
const timer = setInterval(() => { if (existsSync(process.argv[2])) { clearInterval(timer); finish(); } }, 20);
"#;

fn gate(world: &World) -> PathBuf {
    world.path("go")
}

fn gated(world: &World, arguments: &[&str]) -> Running {
    let script = world.path("agent.mjs");
    std::fs::write(&script, GATED).unwrap();
    let agent = format!("node '{}' '{}'", script.display(), gate(world).display());
    world.worker_with_agent(&agent, arguments)
}

fn of(user: &str, command: &str) -> Value {
    let mut work = work(command, &format!("{user}-thread"), HOURS);
    work["userId"] = json!(user);
    work
}

async fn runs(world: &World, command: &str) {
    let started = async || world.job(command).await.filter(|job| job.attempts == 1);
    world.until("the agent's start", started).await;
}

async fn claim(world: &World, key: &str) -> Option<ClaimRecord> {
    world.cloud.claims.get(&ProjectUser::parse(key).unwrap()).await.unwrap()
}

/// Waits until nothing runs under the claim: then it may be given up for others.
async fn is_quiet(world: &World, user: &str) {
    let id = SessionId::parse(&format!("session-{user}-thread")).unwrap();
    let quiet = async || {
        let row = world.cloud.store.load::<Session>(&id).await.unwrap()?;
        let empty = world.depth(input(&format!("bakery#{user}"))).await == 0;
        (row.value.running.is_none() && empty).then_some(())
    };
    world.until("the run's end", quiet).await;
}

async fn close_session(world: &World, user: &str) {
    let id = SessionId::parse(&format!("session-{user}-thread")).unwrap();
    let close = |row: &mut Session| {
        row.status = SessionStatus::Closed;
        ControlFlow::Continue(())
    };
    world.cloud.store.update::<Session>(&id, close).await.unwrap().expect("it has a row");
}

fn ends(result: &JobResult) -> (&str, JobOutcome) {
    (result.command_id.as_str(), result.outcome)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s24_of_two_idle_workers_exactly_one_gets_the_claim() {
    let world = World::new();
    world.bakery().await;
    let (one, two) = (gated(&world, &["--container-id", "w-1"]), gated(&world, &["--container-id", "w-2"]));
    world.put(AMELIA, &of("amelia", "c-1").to_string()).await;
    for _ in 0..4 {
        world.announce(AMELIA).await;
    }
    runs(&world, "c-1").await;
    let asked = async || (world.depth(Queue::Unclaimed).await == 0).then_some(());
    world.until("the requests' end", asked).await;
    let row = claim(&world, AMELIA).await.unwrap();
    assert_eq!(row.epoch.0, 1, "nobody else ever had it");
    let held = world.cloud.claims.held(10).await.unwrap();
    assert_eq!(held.len(), 1, "{held:?}");
    std::fs::write(gate(&world), "").unwrap();
    assert_eq!(world.result().await.worker_id, row.owner.unwrap().worker);
    assert_eq!(world.depth(Queue::Output).await, 0, "one run");
    one.stop().await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s29_a_busy_worker_leaves_somebody_else_to_another_worker() {
    let world = World::new();
    world.bakery().await;
    let busy = gated(&world, &["--container-id", "w-1"]);
    world.order(AMELIA, of("amelia", "c-1")).await;
    runs(&world, "c-1").await;
    world.order(BOB, of("bob", "c-2")).await;
    let other = world.worker(&["--container-id", "w-2"]);
    let first = world.result().await;
    assert_eq!((ends(&first), first.worker_id.as_str()), (("c-2", JobOutcome::Changed), "w-2"));
    assert_eq!(world.holder(AMELIA).await.as_deref(), Some("w-1"), "a busy claim is never given up");
    std::fs::write(gate(&world), "").unwrap();
    assert_eq!(world.result().await.worker_id.as_str(), "w-1");
    busy.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s29_without_another_worker_somebody_else_waits_until_the_busy_one_is_free() {
    let world = World::new();
    world.bakery().await;
    let worker = gated(&world, &[]);
    world.order(AMELIA, of("amelia", "c-1")).await;
    runs(&world, "c-1").await;
    world.order(BOB, of("bob", "c-2")).await;
    std::fs::write(gate(&world), "").unwrap();
    for command in ["c-1", "c-2"] {
        assert_eq!(world.result().await.command_id.as_str(), command);
    }
    assert_eq!(claim(&world, AMELIA).await.unwrap().epoch.0, 1);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s30_s32_three_users_of_one_worker_are_served_side_by_side_each_in_order() {
    let world = World::new();
    world.bakery().await;
    let worker = gated(&world, &["--container-id", "w-1", "--capacity", "3"]);
    for (user, first, second) in [("amelia", "a-1", "a-2"), ("bob", "b-1", "b-2"), ("carol", "c-1", "c-2")] {
        let key = format!("bakery#{user}");
        world.put(&key, &of(user, first).to_string()).await;
        world.put(&key, &of(user, second).to_string()).await;
        world.announce(&key).await;
    }
    for command in ["a-1", "b-1", "c-1"] {
        runs(&world, command).await;
    }
    world.order(DAVE, of("dave", "d-1")).await;
    assert_eq!(world.cloud.claims.held(10).await.unwrap().len(), 3, "no more than it has room for");
    std::fs::write(gate(&world), "").unwrap();
    let mut done = Vec::new();
    for _ in 0..7 {
        let result = world.result().await;
        assert_eq!(result.outcome, JobOutcome::Answered, "{result:?}");
        done.push(result.command_id.to_string());
    }
    let at = |command: &str| {
        done.iter().position(|it| it == command).unwrap_or_else(|| panic!("{command}: {done:?}"))
    };
    assert!(at("a-1") < at("a-2") && at("b-1") < at("b-2") && at("c-1") < at("c-2"), "{done:?}");
    assert!(at("d-1") > 2, "{done:?}");
    worker.stop().await;
    assert_eq!(world.cloud.claims.held(10).await.unwrap(), [], "all are given back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s31_two_projects_of_one_user_do_not_meet() {
    let world = World::new();
    let bakery = world.bakery().await;
    let florist = world.remote("florist", support::SITE);
    world.project("florist", &florist).await;
    let worker = world.worker(&["--capacity", "2"]);
    world.order(AMELIA, of("amelia", "c-1")).await;
    let mut other = of("amelia", "c-2");
    other["projectId"] = json!("florist");
    other["threadId"] = json!("florist-thread");
    other["instruction"] = json!("change \"7 to 18\" to \"10 to 12\"");
    world.order("florist#amelia", other).await;
    let mut results = [world.result().await, world.result().await];
    results.sort_by_key(|result| result.command_id.clone());
    assert_eq!(results.each_ref().map(ends), [("c-1", JobOutcome::Changed), ("c-2", JobOutcome::Changed)]);
    assert!(bakery.file("thread-amelia-thread", "site/index.html").unwrap().contains("8 to 20"));
    assert!(florist.file("thread-florist-thread", "site/index.html").unwrap().contains("10 to 12"));
    assert_eq!((bakery.branches().len(), florist.branches().len()), (2, 2));
    assert_ne!(results[0].s3_bucket, results[1].s3_bucket);
    for folder in ["bakery-amelia", "florist-amelia"] {
        assert!(world.path("data/workspaces").join(folder).is_dir(), "{folder}");
    }
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s73_s85_an_idle_claim_makes_room_before_one_that_is_held_for_an_active_session() {
    let world = World::new();
    world.bakery().await;
    let worker = world.worker(&["--capacity", "2"]);
    for user in ["bob", "amelia"] {
        world.order(&format!("bakery#{user}"), of(user, user)).await;
        world.result().await;
        is_quiet(&world, user).await;
    }
    close_session(&world, "bob").await;
    world.order(CAROL, of("carol", "carol")).await;
    assert_eq!(world.result().await.outcome, JobOutcome::Changed);
    assert_eq!((world.holder(BOB).await, world.holder(AMELIA).await.is_some()), (None, true));
    is_quiet(&world, "carol").await;
    // Both that are left are held; the longest quiet one makes room.
    world.order(DAVE, of("dave", "dave")).await;
    assert_eq!(world.result().await.outcome, JobOutcome::Changed);
    assert_eq!((world.holder(AMELIA).await, world.holder(CAROL).await.is_some()), (None, true));
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s84_without_a_waiter_a_claim_is_kept_for_the_whole_idle_time_after_its_last_activity() {
    let world = World::new();
    world.bakery().await;
    let worker = world.worker(&["--idle-release-secs", "3"]);
    for command in ["c-1", "c-2"] {
        world.order(AMELIA, of("amelia", command)).await;
        world.result().await;
    }
    let last = Instant::now();
    world.is_free(AMELIA).await;
    let kept = last.elapsed();
    assert!(kept >= Duration::from_millis(2500) && kept < Duration::from_secs(10), "{kept:?}");
    assert_eq!(claim(&world, AMELIA).await.unwrap().epoch.0, 1, "it was never let go in between");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s88_two_processes_of_one_name_are_two_owners_and_one_wins() {
    let world = World::new();
    world.bakery().await;
    let twins = [gated(&world, &["--container-id", "w-1"]), gated(&world, &["--container-id", "w-1"])];
    world.order(AMELIA, of("amelia", "c-1")).await;
    runs(&world, "c-1").await;
    let winner = claim(&world, AMELIA).await.unwrap();
    for _ in 0..4 {
        world.announce(AMELIA).await;
    }
    world.order(BOB, of("bob", "c-2")).await;
    runs(&world, "c-2").await;
    let other = claim(&world, BOB).await.unwrap();
    assert_eq!(winner.owner.as_ref().unwrap().worker, other.owner.as_ref().unwrap().worker);
    assert_ne!(winner.owner, other.owner, "the nonce tells them apart");
    let same = claim(&world, AMELIA).await.unwrap();
    assert_eq!((same.owner, same.epoch), (winner.owner, winner.epoch));
    std::fs::write(gate(&world), "").unwrap();
    world.result().await;
    world.result().await;
    for twin in twins {
        twin.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s89_work_that_was_dead_is_delivered_again_when_it_is_sent_with_another_deduplication_id() {
    let world = World::new();
    world.bakery().await;
    let worker = world.worker(&[]);
    let mut unready = of("amelia", "c-1");
    unready["projectId"] = json!("florist");
    world.order("florist#amelia", unready).await;
    assert_eq!(world.result().await.outcome, JobOutcome::Refused);
    let dead = world.next(Queue::Dead).await;
    assert_eq!(dead.attributes["reason"], "repoUrl not in message");
    // The project is set up now; whoever sends the work again gives it a new command, as a replay does.
    let remote = world.remote("florist", support::SITE);
    world.project("florist", &remote).await;
    let mut again: Value = serde_json::from_str(&dead.body).unwrap();
    again["commandId"] = json!("c-2");
    world.order("florist#amelia", again).await;
    let second = world.result().await;
    assert_eq!(ends(&second), ("c-2", JobOutcome::Changed));
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_with_room_claims_what_is_offered_to_it_first() {
    let world = World::new();
    world.bakery().await;
    let worker = world.worker(&["--container-id", "w-1"]);
    world.order(AMELIA, of("amelia", "c-1")).await;
    world.result().await;
    let control = Queue::Control(claim(&world, AMELIA).await.unwrap().owner.unwrap());
    let offer = async |key: &str| {
        let key = ProjectUser::parse(key).unwrap();
        let request = ClaimRequest {
            project_id: key.project,
            user_id: key.user,
            queue_url: None,
            thread_id: None,
            message_id: None,
            timestamp: world.cloud.clock.now(),
        };
        let text = Order::Offer(request).to_json();
        world.cloud.queues.send(&control, Outgoing::standard(text)).await.unwrap();
        world
            .until("the order's end", async || (world.depth(control.clone()).await == 0).then_some(()))
            .await;
    };
    is_quiet(&world, "amelia").await;
    world.put(BOB, &of("bob", "c-2").to_string()).await;
    offer(BOB).await;
    assert_eq!(world.holder(AMELIA).await.as_deref(), Some("w-1"), "an offer gives nobody's place away");
    let release = json!({"type": "CONTROL", "action": "release", "projectKey": AMELIA}).to_string();
    world.cloud.queues.send(&control, Outgoing::standard(release)).await.unwrap();
    world.is_free(AMELIA).await;
    // Nothing was announced.
    world
        .until("room", async || {
            offer(BOB).await;
            world.holder(BOB).await
        })
        .await;
    assert_eq!(world.result().await.command_id.as_str(), "c-2");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_whose_row_cannot_be_read_is_put_aside_and_the_next_one_has_its_turn() {
    let world = World::new();
    world.bakery().await;
    let broken = json!({"commandId": "c-1", "projectKey": AMELIA, "createdAt": "2026-01-01", "state": 7});
    world.cloud.store.put(Table::Jobs, broken, Expect::Absent).await.unwrap();
    world.put(AMELIA, &of("amelia", "c-1").to_string()).await;
    world.put(AMELIA, &of("amelia", "c-2").to_string()).await;
    let begun = Instant::now();
    let worker = world.worker(&[]);
    world.announce(AMELIA).await;
    let next = world.result().await;
    assert_eq!(ends(&next), ("c-2", JobOutcome::Changed));
    assert!(begun.elapsed() < Duration::from_secs(45), "within one visibility: {:?}", begun.elapsed());
    let reason = world.next(Queue::Dead).await.attributes["reason"].clone();
    assert!(reason.contains("received 3 times") && reason.contains("cannot be read"), "{reason}");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s72_three_workers_serve_a_burst_of_many_users_and_starve_nobody() {
    const USERS: usize = 24;
    let world = World::new();
    world.bakery().await;
    let slow = format!("'{AGENT}' --delay-ms 20");
    let workers = ["w-1", "w-2", "w-3"]
        .map(|name| world.worker_with_agent(&slow, &["--container-id", name, "--capacity", "2"]));
    for number in 0..USERS {
        let user = format!("user{number:02}");
        world.order(&format!("bakery#{user}"), of(&user, &user)).await;
    }
    let mut served = std::collections::BTreeMap::<String, Vec<String>>::new();
    for _ in 0..USERS {
        let result = world.result().await;
        assert_eq!(result.outcome, JobOutcome::Changed, "{result:?}");
        served.entry(result.worker_id.to_string()).or_default().push(result.user_id.to_string());
    }
    let mut users: Vec<_> = served.values().flatten().cloned().collect();
    users.sort();
    users.dedup();
    assert_eq!(users.len(), USERS, "each once: {served:?}");
    assert_eq!(served.len(), 3, "all workers took part: {served:?}");
    for worker in workers {
        worker.stop().await;
    }
}
