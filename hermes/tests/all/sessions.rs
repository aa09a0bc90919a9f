//! Sessions as operators see them: derived from rows and the time, whatever happened to their worker.

use std::time::Duration;

use axum::http::StatusCode;
use common::domain::claim::Epoch;
use common::domain::container::{Container, ContainerStatus};
use common::domain::ids::{CommandId, Nonce, ProjectUser, SessionId, ThreadId, WorkerId};
use common::domain::session::{RunEnd, RunId, Session, Writer};
use serde_json::Value;

use crate::support::{World, text};

fn by(worker: &str, epoch: u64) -> Writer {
    Writer { worker: WorkerId::parse(worker).unwrap(), epoch: Epoch(epoch) }
}

/// A conversation of scott's that ended a run just now.
async fn session(world: &World, thread: &str, key: &str) -> Session {
    let now = world.cloud().clock.now();
    let thread = ThreadId::parse(thread).unwrap();
    let key = ProjectUser::parse(key).unwrap();
    let mut session = Session::new(SessionId::of_thread(&thread), thread, key, by("worker-1", 1), now);
    let command_id = CommandId::parse("c-1").unwrap();
    let run = RunId { command_id, delivery: 1, epoch: Epoch(1) };
    session.ended(by("worker-1", 1), run, RunEnd::default(), now).unwrap();
    world.cloud().store.save(&session).await.unwrap();
    session
}

async fn worker(world: &World) {
    let now = world.cloud().clock.now();
    let row = Container {
        container_id: WorkerId::parse("worker-1").unwrap(),
        nonce: Nonce::parse("0a1b2c3d").unwrap(),
        started_at: now,
        last_activity: now,
        status: ContainerStatus::Running,
        capacity: 2,
        task_arn: None,
        left: Vec::new(),
    };
    world.cloud().store.save(&row).await.unwrap();
}

async fn get(world: &World, path: &str) -> Value {
    let (status, answer) = world.call("GET", path, None).await;
    assert_eq!(status, StatusCode::OK, "{path}: {answer}");
    answer
}

async fn sessions_on_the_worker(world: &World) -> Value {
    get(world, "/v1/workers").await["workers"][0]["sessions"].clone()
}

#[tokio::test]
async fn s83_all_conversations_of_a_user_are_listed_on_their_worker_and_counted_right_after_a_crash_too() {
    let world = World::with_scott().await;
    worker(&world).await;
    world.claimed("amelia#scott").await;
    for thread in ["aaaaaa1", "bbbbbb2", "cccccc3"] {
        session(&world, thread, "amelia#scott").await;
    }
    session(&world, "dddddd4", "amelia#ann").await;
    for (filter, count) in [
        ("", 4),
        ("?workerId=worker-1", 4),
        ("?projectId=amelia&userId=scott", 3),
        ("?projectId=amelia", 4),
        ("?userId=ann", 1),
        ("?workerId=worker-2", 0),
        ("?projectId=amelia&userId=scott&workerId=worker-2", 0),
    ] {
        let listed = get(&world, &format!("/v1/sessions{filter}")).await;
        let found = listed["sessions"].as_array().unwrap();
        assert_eq!((found.len(), &listed["active"]), (count, &count.into()), "{filter}: {listed}");
    }
    assert_eq!(sessions_on_the_worker(&world).await, 3, "ann's claim is not its any more");

    // The worker is gone, and another one takes the claim.
    let key = ProjectUser::parse("amelia#scott").unwrap();
    let claim = world.cloud().claims.get(&key).await.unwrap().unwrap();
    let version = common::domain::claim::ClaimVersion::from_stored("freed".into());
    let now = world.cloud().clock.now();
    world.cloud().claims.free_lapsed(&key, &claim.version, &version, now).await.unwrap();
    assert_eq!(sessions_on_the_worker(&world).await, 0);
}

#[tokio::test]
async fn s85_a_session_that_is_over_counts_no_more_and_its_claim_is_idle() {
    let world = World::with_scott().await;
    worker(&world).await;
    world.claimed("amelia#scott").await;
    session(&world, "aaaaaa1", "amelia#scott").await;
    let used = async || text(&get(&world, "/v1/claims/amelia/scott").await, "used").to_owned();
    assert_eq!(used().await, "held");
    world.clock.advance(Duration::from_secs(1199));
    assert_eq!((used().await, sessions_on_the_worker(&world).await), ("held".to_owned(), 1.into()));
    world.clock.advance(Duration::from_secs(1));
    assert_eq!((used().await, sessions_on_the_worker(&world).await), ("idle".to_owned(), 0.into()));
    let listed = get(&world, "/v1/sessions?projectId=amelia&userId=scott").await;
    assert_eq!((text(&listed["sessions"][0], "standing"), &listed["active"]), ("expired", &0.into()));
}

#[tokio::test]
async fn sessions_come_in_pages() {
    let world = World::with_scott().await;
    for thread in ["aaaaaa1", "bbbbbb2", "cccccc3"] {
        session(&world, thread, "amelia#scott").await;
    }
    for path in ["/v1/sessions?limit=2", "/v1/sessions?projectId=amelia&userId=scott&limit=2"] {
        let first = get(&world, path).await;
        assert_eq!(first["sessions"].as_array().unwrap().len(), 2, "{first}");
        let cursor = percent_encoding::utf8_percent_encode(
            text(&first, "nextCursor"),
            percent_encoding::NON_ALPHANUMERIC,
        )
        .to_string();
        let second = get(&world, &format!("{path}&cursor={cursor}")).await;
        assert_eq!(second["sessions"].as_array().unwrap().len(), 1, "{second}");
    }
    let (status, _) = world.call("GET", "/v1/sessions?cursor=nonsense", None).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}
