//! Workers and claims as operators see them, and orders to workers.

use axum::http::StatusCode;
use common::domain::claim::{ClaimVersion, Fence};
use common::domain::container::{Container, ContainerStatus};
use common::domain::ids::{Nonce, Owner, ProjectUser, WorkerId};
use common::domain::names::Queue;
use common::messages::{Control, ControlAction, Order};

use crate::support::{World, text};

const KEY: &str = "amelia#scott";

fn owner(nonce: &str) -> Owner {
    Owner { worker: WorkerId::parse("worker-1").unwrap(), nonce: Nonce::parse(nonce).unwrap() }
}

/// A row that the worker of [`World::claimed`] (or another process of its name) has just written.
async fn said(world: &World, nonce: &str, status: ContainerStatus) {
    let now = world.cloud().clock.now();
    let Owner { worker, nonce } = owner(nonce);
    let row = Container {
        container_id: worker,
        nonce,
        started_at: now,
        last_activity: now,
        status,
        capacity: 2,
        task_arn: None,
        left: Vec::new(),
    };
    world.cloud().store.save(&row).await.unwrap();
}

async fn orders(world: &World, nonce: &str) -> Vec<Control> {
    let all = world.drain(&Queue::Control(owner(nonce))).await;
    let read = |body: &str| match Order::parse(body).unwrap() {
        Order::Control(control) => control,
        other => panic!("{other:?}"),
    };
    all.iter().map(|delivery| read(&delivery.body)).collect()
}

#[tokio::test]
async fn s74_every_live_process_of_a_name_is_ordered_to_drain() {
    let world = World::with_scott().await;
    world.claimed(KEY).await;
    said(&world, "ffff", ContainerStatus::Running).await;
    let (status, _) = world.call("POST", "/v1/workers/worker-1/drain", None).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    for nonce in ["0a1b2c3d", "ffff"] {
        let orders = orders(&world, nonce).await;
        assert_eq!(orders.iter().map(|order| order.action).collect::<Vec<_>>(), [ControlAction::Drain]);
    }
}

#[tokio::test]
async fn workers_that_ended_or_fell_silent_get_no_orders() {
    let world = World::empty("all");
    said(&world, "ffff", ContainerStatus::Terminated).await;
    let (status, problem) = world.call("POST", "/v1/workers/worker-1/drain", None).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(text(&problem, "detail").contains("hermes workers"));
    said(&world, "ffff", ContainerStatus::Running).await;
    world.clock.advance(std::time::Duration::from_secs(91));
    let (_, list) = world.call("GET", "/v1/workers", None).await;
    assert_eq!(
        (text(&list["workers"][0], "status"), &list["workers"][0]["alive"]),
        ("running", &false.into())
    );
    assert_eq!(world.call("POST", "/v1/workers/worker-1/drain", None).await.0, StatusCode::NOT_FOUND);
    assert!(orders(&world, "ffff").await.is_empty());
}

#[tokio::test]
async fn s86_who_works_for_somebody_is_found_until_the_claim_is_given_back() {
    let world = World::with_scott().await;
    world.claimed(KEY).await;
    said(&world, "0a1b2c3d", ContainerStatus::Running).await;
    let (_, claims) = world.call("GET", "/v1/claims", None).await;
    let found = &claims["claims"][0];
    assert_eq!((text(found, "projectKey"), text(found, "workerId")), (KEY, "worker-1"));
    let (_, list) = world.call("GET", "/v1/workers", None).await;
    let worker = &list["workers"][0];
    assert_eq!((text(worker, "workerId"), &worker["claims"]), ("worker-1", &1.into()));
    assert_eq!(worker["worksFor"], serde_json::json!([KEY]));
    let (_, one) = world.call("GET", "/v1/claims/amelia/scott", None).await;
    assert_eq!(text(&one, "workerId"), "worker-1");

    let path = "/v1/claims/amelia/scott";
    assert_eq!(world.call("DELETE", path, None).await.0, StatusCode::ACCEPTED);
    let orders = orders(&world, "0a1b2c3d").await;
    let key = ProjectUser::parse(KEY).unwrap();
    assert_eq!((orders[0].action, orders[0].project_key.as_ref()), (ControlAction::Release, Some(&key)));
    let claim = world.cloud().claims.get(&key).await.unwrap().unwrap();
    let fence = Fence { project_key: key, owner: claim.owner.expect("only the worker"), epoch: claim.epoch };
    let version = ClaimVersion::from_stored("v2".into());
    world.cloud().claims.release(&fence, &version, world.cloud().clock.now()).await.unwrap();

    let (_, claims) = world.call("GET", "/v1/claims", None).await;
    assert_eq!(claims["claims"].as_array().unwrap().len(), 0);
    let (_, list) = world.call("GET", "/v1/workers", None).await;
    assert_eq!(list["workers"][0]["claims"], 0);
    assert_eq!(world.call("DELETE", path, None).await.0, StatusCode::NOT_FOUND);
    assert_eq!(world.call("GET", path, None).await.0, StatusCode::NOT_FOUND);
}
