//! The rows of sessions: whose they are, what they used, and what follows from them for the claims.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod support;

use common::cloud::store::Query;
use common::domain::claim::ClaimVersion;
use common::domain::ids::{ProjectUser, SessionId};
use common::domain::outcome::JobOutcome;
use common::domain::session::Session;
use common::domain::timestamp::Timestamp;
use serde_json::json;
use support::{World, work};
use uuid::Uuid;

const AMELIA: &str = "bakery#amelia";
const HOURS: &str = "change \"7 to 18\" to \"8 to 20\"";

async fn session(world: &World, id: &str) -> Option<Session> {
    let id = SessionId::parse(id).unwrap();
    world.cloud.store.load::<Session>(&id).await.unwrap().map(|stored| stored.value)
}

/// Its row once no job runs on it any more.
async fn quiet(world: &World, id: &str) -> Session {
    world.until("the run's end", async || session(world, id).await.filter(|row| row.running.is_none())).await
}

/// The threads of the sessions that a worker has.
async fn threads_of(world: &World, worker: &str) -> Vec<String> {
    let query = Query::index("container-index", worker);
    let (sessions, _) = world.cloud.store.find::<Session>(query).await.unwrap();
    let mut threads: Vec<_> = sessions.into_iter().map(|row| row.thread_id.to_string()).collect();
    threads.sort();
    threads
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_keeps_what_its_runs_used_and_where_the_agent_stopped() {
    let world = World::new();
    world.bakery().await;
    let event = |session: &str| {
        let init = json!({"type": "system", "subtype": "init", "session_id": session});
        let result = json!({"type": "result", "subtype": "success", "is_error": false, "result": "ok",
            "num_turns": 3, "total_cost_usd": 0.25});
        format!("console.log(JSON.stringify({init}));console.log(JSON.stringify({result}));")
    };
    let script = world.path("agent.mjs");
    std::fs::write(&script, event("agent-1")).unwrap();
    let worker = world.worker_with_agent(&format!("node '{}'", script.display()), &["--container-id", "w-1"]);
    world.order(AMELIA, work("c-1", "aaaaaa1", "one")).await;
    assert_eq!(world.result().await.outcome, JobOutcome::Answered);
    let first = quiet(&world, "session-aaaaaa1").await;
    assert_eq!((first.turns, first.cost_usd, first.container_id.as_str()), (3, 0.25, "w-1"));
    assert_eq!(first.agent_session_id.as_deref(), Some("agent-1"));

    std::fs::write(&script, event("agent-2")).unwrap();
    let mut second = work("c-2", "aaaaaa1", "two");
    second["sessionId"] = json!("session-aaaaaa1");
    world.order(AMELIA, second).await;
    assert_eq!(world.result().await.session_id.as_str(), "session-aaaaaa1", "echoed unchanged");
    let row = quiet(&world, "session-aaaaaa1").await;
    assert_eq!((row.turns, row.cost_usd, row.created_at), (6, 0.5, first.created_at));
    assert_eq!(row.agent_session_id.as_deref(), Some("agent-2"));
    assert!(row.last_activity > first.last_activity && row.is_active(world.cloud.clock.now()));
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s83_all_conversations_of_a_user_are_listed_on_the_worker_that_took_them_last() {
    let world = World::new();
    world.bakery().await;
    let first = world.worker(&["--container-id", "w-1"]);
    for (command, thread) in [("c-1", "aaaaaa1"), ("c-2", "bbbbbb2")] {
        world.order(AMELIA, work(command, thread, HOURS)).await;
        assert_eq!(world.result().await.outcome, JobOutcome::Changed);
    }
    quiet(&world, "session-bbbbbb2").await;
    assert_eq!(threads_of(&world, "w-1").await, ["aaaaaa1", "bbbbbb2"]);
    // The first worker is thought to have died: its claim is set free under it, and it takes no new one.
    first.shutdown.cancel();
    let key = ProjectUser::parse(AMELIA).unwrap();
    if let Some(row) = world.cloud.claims.get(&key).await.unwrap() {
        let version = ClaimVersion::from_uuid(Uuid::new_v4());
        world.cloud.claims.free_lapsed(&key, &row.version, &version, Timestamp::default()).await.ok();
    }
    let second = world.worker(&["--container-id", "w-2"]);
    world.order(AMELIA, work("c-3", "cccccc3", HOURS)).await;
    assert_eq!(world.result().await.worker_id.as_str(), "w-2");
    let moved = async || (threads_of(&world, "w-2").await.len() == 3).then_some(());
    world.until("the sessions' move", moved).await;
    assert_eq!(threads_of(&world, "w-1").await, Vec::<String>::new(), "nothing was counted");
    first.ends().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_of_somebody_else_is_left_alone() {
    let world = World::new();
    world.bakery().await;
    let worker = world.worker(&[]);
    let mut theirs = work("c-1", "aaaaaa1", HOURS);
    theirs["userId"] = json!("bob");
    theirs["sessionId"] = json!("shared");
    world.order("bakery#bob", theirs).await;
    world.result().await;
    let before = quiet(&world, "shared").await;
    let mut ours = work("c-2", "bbbbbb2", HOURS);
    ours["sessionId"] = json!("shared");
    world.order(AMELIA, ours).await;
    let result = world.result().await;
    assert_eq!((result.outcome, result.session_id.as_str()), (JobOutcome::Changed, "shared"));
    assert_eq!(session(&world, "shared").await.unwrap(), before);
    worker.stop().await;
}
