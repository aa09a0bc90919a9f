//! The rows of sessions: whose they are, what they used, and what follows from them for the claims.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod support;

use common::cloud::store::{Query, Table};
use common::domain::budget::{Limits, Month, Spent, Usage};
use common::domain::claim::{ClaimVersion, Epoch};
use common::domain::ids::{ProjectId, ProjectUser, SessionId, ThreadId};
use common::domain::job::{Job, StepName};
use common::domain::outcome::JobOutcome;
use common::domain::project::Project;
use common::domain::session::{RunEnd, RunId, Session, Writer};
use common::domain::timestamp::Timestamp;
use common::messages::WorkDraft;
use serde_json::json;
use support::silent::Silent;
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

/// A bakery with this bound, where 6 US dollars were used in the month and in a conversation.
async fn used(limits: Limits) -> World {
    let world = World::new();
    world.bakery().await;
    let (store, now) = (&world.cloud.store, world.cloud.clock.now());
    let project: ProjectId = "bakery".parse().unwrap();
    let mut row = store.load::<Project>(&project).await.unwrap().unwrap().value;
    row.limits = limits;
    store.save(&row).await.unwrap();
    store.save(&Month { cost_usd: 6.0, ..Month::new(&project, now) }).await.unwrap();
    let (thread, by) =
        (ThreadId::parse("aaaaaa1").unwrap(), Writer { worker: "w-0".parse().unwrap(), epoch: Epoch(0) });
    let long_ago = Timestamp::from_millis(1);
    let session = Session::new(SessionId::of_thread(&thread), thread, AMELIA.parse().unwrap(), by, long_ago);
    store.save(&Session { cost_usd: 6.0, ..session }).await.unwrap();
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bound_holds_although_what_was_used_is_not_known_at_once() {
    let of_thread = Limits { max_thread_cost_usd: Some(5.0), ..Limits::default() };
    let of_month = Limits { max_month_cost_usd: Some(5.0), ..Limits::default() };
    for (table, limits) in [(Table::EditSessions, of_thread), (Table::Limits, of_month)] {
        let world = used(limits).await;
        let (silent, cloud) = Silent::over(&world.cloud, table);
        let worker = world.worker_over(cloud, &[]);
        world.order(AMELIA, work("c-1", "aaaaaa1", HOURS)).await;
        world.until("a question", async || (silent.asked() > 0).then_some(())).await;
        silent.let_go();
        let result = world.result().await;
        assert_eq!(result.outcome, JobOutcome::BudgetExhausted, "{table:?}: {result:?}");
        worker.stop().await;
    }
}

/// An agent that says it has used so much, and whether that went well.
fn agent_that_costs(world: &World, usd: f64, is_error: bool) -> String {
    let result = json!({"type": "result", "subtype": "success", "is_error": is_error, "result": "so it is",
        "num_turns": 3, "total_cost_usd": usd});
    let script = world.path("agent.mjs");
    std::fs::write(&script, format!("console.log(JSON.stringify({result}));")).unwrap();
    format!("node '{}'", script.display())
}

async fn month(world: &World) -> Month {
    let id = Month::id(&"bakery".parse().unwrap(), world.cloud.clock.now());
    world.cloud.store.load::<Month>(&id).await.unwrap().unwrap().value
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_attempts_at_a_request_share_its_bound() {
    let world = used(Limits { max_cost_usd: Some(3.0), ..Limits::default() }).await;
    let worker = world.worker_with_agent(&agent_that_costs(&world, 4.0, true), &[]);
    world.order(AMELIA, work("c-1", "aaaaaa1", HOURS)).await;
    let result = world.result().await;
    assert_eq!(result.outcome, JobOutcome::BudgetExhausted, "{result:?}");
    assert_eq!((result.usage.cost_usd, result.usage.turns), (3.0, 3), "of the first, up to its bound");
    let row = world.job("c-1").await.unwrap();
    assert_eq!((row.usage.cost_usd, row.attempts, row.uncounted), (3.0, 2, None));
    let session = quiet(&world, "session-aaaaaa1").await;
    assert_eq!((session.cost_usd, month(&world).await.cost_usd), (9.0, 9.0), "once");
    worker.stop().await;
}

/// The row that a worker left which died while its agent worked.
async fn died(world: &World) -> RunId {
    let message = work("c-1", "aaaaaa1", HOURS).to_string();
    let draft = WorkDraft::parse(&message, "m", Timestamp::default()).unwrap();
    let work = draft.complete("amelia".parse().unwrap(), "aaaaaa1".parse().unwrap(), String::new());
    let run = RunId { command_id: work.command_id.clone(), delivery: 1, epoch: Epoch(0) };
    let usage = Usage { cost_usd: 2.0, turns: 5, duration_ms: 0 };
    let row = Job {
        attempts: 1,
        usage,
        uncounted: Some(Spent { run: run.clone(), end: RunEnd { usage, ..RunEnd::default() } }),
        ..work.to_job(world.cloud.clock.now())
    };
    world.cloud.store.insert(&row).await.unwrap();
    run
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_worker_used_that_died_is_counted_once_by_the_next() {
    // The month knew it already.
    let world = used(Limits::default()).await;
    let run = died(&world).await;
    let mut known = world.cloud.store.load::<Month>(&month(&world).await.id).await.unwrap().unwrap();
    known.value.counted.push(run);
    world.cloud.store.replace(&known).await.unwrap();
    let worker = world.worker_with_agent(&agent_that_costs(&world, 0.5, false), &[]);
    world.order(AMELIA, work("c-1", "aaaaaa1", HOURS)).await;
    let result = world.result().await;
    assert_eq!((result.outcome, result.usage.cost_usd, result.usage.turns), (JobOutcome::Answered, 2.5, 8));
    let session = quiet(&world, "session-aaaaaa1").await;
    assert_eq!((session.cost_usd, session.turns), (8.5, 8));
    let month = month(&world).await;
    assert_eq!((month.cost_usd, month.turns), (6.5, 3), "what it knew is not counted again");
    assert_eq!(world.job("c-1").await.unwrap().uncounted, None);
    worker.stop().await;
}

/// An agent that changes a page once it may, and says what that cost.
fn agent_that_waits(world: &World) -> String {
    let may = json!(world.path("may"));
    let init = json!({"type": "system", "subtype": "init", "session_id": "agent-1"});
    let result = json!({"type": "result", "subtype": "success", "is_error": false, "result": "ok",
        "num_turns": 3, "total_cost_usd": 0.5});
    let script = world.path("agent.mjs");
    let text = format!(
        "import fs from 'fs';
        console.log(JSON.stringify({init}));
        const wait = setInterval(() => {{
            if (!fs.existsSync({may})) return;
            clearInterval(wait);
            fs.writeFileSync('site/kept.html', 'kept\\n');
            console.log(JSON.stringify({result}));
        }}, 10);"
    );
    std::fs::write(&script, text).unwrap();
    format!("node '{}'", script.display())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_silent_table_was_not_told_at_the_end_of_a_run_is_told_before_its_message_is_deleted() {
    let world = used(Limits::default()).await;
    let remote = support::Remote { path: world.path("bakery.git") };
    let (silent, cloud) = Silent::over(&world.cloud, Table::EditSessions);
    silent.let_go();
    let agent = agent_that_waits(&world);
    let worker = world.worker_with_agent_over(cloud, &agent, &[]);
    world.order(AMELIA, work("c-1", "aaaaaa1", HOURS)).await;
    let at_the_agent = async || {
        let row = world.job("c-1").await?;
        row.steps.iter().any(|step| step.name == StepName::Agent).then_some(())
    };
    world.until("the agent's step", at_the_agent).await;
    silent.fall_silent();
    // The remote does not take it either, and it cannot be put aside: a name is taken.
    let lock = remote.path.join("refs/heads/thread-aaaaaa1.lock");
    std::fs::write(&lock, "").unwrap();
    let folder = git2::Repository::open(world.path("data/workspaces/bakery-amelia/repo")).unwrap();
    folder.reference("refs/hermes/kept", folder.head().unwrap().target().unwrap(), true, "taken").unwrap();
    std::fs::write(world.path("may"), "").unwrap();
    assert_eq!(world.result().await.outcome, JobOutcome::Refused, "whoever waits is answered");
    assert!(world.job("c-1").await.unwrap().uncounted.is_some());
    silent.let_go();
    let is_told = async || world.job("c-1").await.filter(|row| row.uncounted.is_none());
    world.until("the telling", is_told).await;
    let row = session(&world, "session-aaaaaa1").await.unwrap();
    assert_eq!((row.turns, row.cost_usd, row.agent_session_id.as_deref()), (3, 6.5, Some("agent-1")));
    assert_eq!(row.kept, ["c-1".parse().unwrap()]);
    let month = month(&world).await;
    assert_eq!((month.cost_usd, month.turns), (6.5, 3));
    worker.stop().await;

    // Another machine.
    std::fs::remove_dir_all(world.path("data/workspaces")).unwrap();
    std::fs::remove_file(&lock).unwrap();
    let worker = world.worker(&[]);
    world.order(AMELIA, work("c-2", "aaaaaa1", HOURS)).await;
    world.until("the other job", async || world.job("c-2").await?.outcome).await;
    assert_eq!(remote.file("thread-aaaaaa1", "site/kept.html").as_deref(), Some("kept\n"));
    worker.stop().await;
}
