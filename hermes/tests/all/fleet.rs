//! Workers as hermes deals with them: whom it offers work first, and what it does for those that are gone.

use std::time::Duration;

use common::cloud::queue::{Depth, Outgoing};
use common::domain::claim::Epoch;
use common::domain::container::{Container, ContainerStatus};
use common::domain::ids::{Nonce, Owner, ProjectUser, SessionId, ThreadId, WorkerId};
use common::domain::names::Queue;
use common::domain::session::{Session, Writer};
use common::messages::Order;
use hermes::tidy;

use crate::support::{World, mail};

const KEY: &str = "amelia#scott";

fn owner(worker: &str, nonce: &str) -> Owner {
    Owner { worker: WorkerId::parse(worker).unwrap(), nonce: Nonce::parse(nonce).unwrap() }
}

fn row(world: &World, owner: Owner, status: ContainerStatus) -> Container {
    let now = world.cloud().clock.now();
    Container {
        container_id: owner.worker,
        nonce: owner.nonce,
        started_at: now,
        last_activity: now,
        status,
        capacity: 1,
        task_arn: None,
        left: Vec::new(),
    }
}

/// A worker that served scott last.
async fn warm(world: &World, status: ContainerStatus) -> Owner {
    let owner = owner("worker-9", "99999999");
    world.cloud().store.save(&row(world, owner.clone(), status)).await.unwrap();
    let thread = ThreadId::parse("earlier").unwrap();
    let by = Writer { worker: owner.worker.clone(), epoch: Epoch(1) };
    let key = ProjectUser::parse(KEY).unwrap();
    let now = world.cloud().clock.now();
    let session = Session::new(SessionId::of_thread(&thread), thread, key, by, now);
    world.cloud().store.save(&session).await.unwrap();
    owner
}

async fn depth(world: &World, queue: &Queue) -> Depth {
    world.cloud().queues.depth(queue).await.unwrap()
}

#[tokio::test]
async fn work_is_offered_first_to_the_worker_that_served_its_owner_last_and_to_all_two_seconds_later() {
    let world = World::with_scott().await;
    let warm = warm(&world, ContainerStatus::Running).await;
    world.accepted(mail("1", "open at 9")).await;
    let offers = world.drain(&Queue::Control(warm)).await;
    assert_eq!(offers.len(), 1);
    match Order::parse(&offers[0].body).unwrap() {
        Order::Offer(request) => assert_eq!(request.project_user().to_string(), KEY),
        other => panic!("{other:?}"),
    }
    assert_eq!(depth(&world, &Queue::Unclaimed).await, Depth { delayed: 1, ..Depth::default() });
    world.clock.advance(Duration::from_millis(2001));
    assert_eq!(world.announcements().await, 1);
}

#[tokio::test]
async fn work_waits_for_no_worker_that_is_gone_full_or_draining() {
    for case in ["silent", "full", "draining", "ended"] {
        let world = World::with_scott().await;
        let status = match case {
            "draining" => ContainerStatus::Draining,
            "ended" => ContainerStatus::Terminated,
            _ => ContainerStatus::Running,
        };
        let warm = warm(&world, status).await;
        if case == "silent" {
            world.clock.advance(Duration::from_secs(91));
        }
        if case == "full" {
            world.claimed_by("amelia#other", &warm).await;
        }
        world.accepted(mail("1", "open at 9")).await;
        assert_eq!(world.drain(&Queue::Control(warm)).await.len(), 0, "{case}");
        assert_eq!(world.announcements().await, 1, "{case}: at once");
    }
}

async fn order_waits(world: &World, owner: &Owner) -> bool {
    depth(world, &Queue::Control(owner.clone())).await.visible > 0
}

async fn with_a_queue(world: &World, owner: &Owner) {
    world.cloud().queues.send(&Queue::Control(owner.clone()), Outgoing::standard("{}")).await.unwrap();
}

async fn said(world: &World, worker: &str) -> Option<Container> {
    let id = WorkerId::parse(worker).unwrap();
    world.cloud().store.load::<Container>(&id).await.unwrap().map(|stored| stored.value)
}

#[tokio::test]
async fn a_worker_that_owns_a_claim_is_left_alone_until_the_claim_has_lapsed() {
    let world = World::with_scott().await;
    let silent = owner("w-1", "0000");
    world.claimed_by("amelia#other", &silent).await;
    world.cloud().store.save(&row(&world, silent.clone(), ContainerStatus::Running)).await.unwrap();
    with_a_queue(&world, &silent).await;
    world.clock.advance(Duration::from_hours(48));
    tidy::dead_workers(&world.app).await.unwrap();
    assert!(order_waits(&world, &silent).await && said(&world, "w-1").await.is_some());
}

#[tokio::test]
async fn what_an_earlier_process_of_the_same_name_left_is_removed_while_the_later_one_works() {
    let world = World::with_scott().await;
    let (earlier, later) = (owner("w-1", "0000"), owner("w-1", "1111"));
    let left = vec![earlier.nonce.clone()];
    let row = Container { left, ..row(&world, later.clone(), ContainerStatus::Running) };
    world.cloud().store.save(&row).await.unwrap();
    for owner in [&earlier, &later] {
        with_a_queue(&world, owner).await;
    }
    tidy::dead_workers(&world.app).await.unwrap();
    assert_eq!((order_waits(&world, &earlier).await, order_waits(&world, &later).await), (false, true));
    assert_eq!(said(&world, "w-1").await.unwrap(), Container { left: Vec::new(), ..row });
}
