//! Claims as workers hold them: taken, kept, given up for whoever waits, lost and taken over. No message is stranded.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod support;

use std::time::Duration;

use common::cloud::callback::Heard;
use common::cloud::claims::TakeAnswer;
use common::cloud::queue::Outgoing;
use common::domain::claim::{ClaimVersion, Fence, Take};
use common::domain::ids::{CommandId, Owner, ProjectUser};
use common::domain::names::Queue;
use common::domain::outcome::JobOutcome;
use common::domain::project::Sender;
use common::domain::timestamp::Timestamp;
use serde_json::{Value, json};
use support::{AGENT, World, input, work};
use uuid::Uuid;

const AMELIA: &str = "bakery#amelia";
const BOB: &str = "bakery#bob";
const HOURS: &str = "change \"7 to 18\" to \"8 to 20\"";

fn of_bob(mut work: Value) -> Value {
    work["userId"] = json!("bob");
    work
}

/// Somebody else takes a claim.
async fn take_by_hand(world: &World, key: &str, lease_secs: u64) -> Fence {
    let wish = Take {
        owner: Owner { worker: "rival".parse().unwrap(), nonce: "0000".parse().unwrap() },
        version: ClaimVersion::from_uuid(Uuid::new_v4()),
        lapsed: None,
        lease_secs,
        control_queue: None,
        now: world.cloud.clock.now(),
    };
    match world.cloud.claims.take(&ProjectUser::parse(key).unwrap(), &wish).await.unwrap() {
        TakeAnswer::Taken(fence) => fence,
        TakeAnswer::Held(row) => panic!("held by {row:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s27_a_worker_without_any_project_is_ready_and_waits() {
    let world = World::new();
    let worker = world.worker(&["--container-id", "w-1"]);
    world.announce(AMELIA).await;
    world.until("the request's end", async || (world.depth(Queue::Unclaimed).await == 0).then_some(())).await;
    assert_eq!(world.holder(AMELIA).await, None, "an empty queue is not worth a claim");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s28_an_idle_claim_ends_and_the_worker_serves_the_next_one() {
    let world = World::new();
    world.bakery().await;
    let worker = world.worker(&["--idle-release-secs", "1"]);
    world.order(AMELIA, work("c-1", "aaaaaa1", HOURS)).await;
    assert_eq!(world.result().await.outcome, JobOutcome::Changed);
    world.is_free(AMELIA).await;
    world.order(BOB, of_bob(work("c-2", "bbbbbb2", HOURS))).await;
    assert_eq!(world.result().await.outcome, JobOutcome::Changed);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s71_s73_one_worker_serves_two_owners_and_an_idle_claim_yields_at_once() {
    let world = World::new();
    world.bakery().await;
    let worker = world.worker(&["--container-id", "w-1"]);
    world.order(AMELIA, work("c-1", "aaaaaa1", HOURS)).await;
    let first = world.result().await;
    assert_eq!(world.holder(AMELIA).await.as_deref(), Some("w-1"), "idle claims are kept for 30 minutes");
    world.order(BOB, of_bob(work("c-2", "bbbbbb2", HOURS))).await;
    let second = world.result().await;
    assert_eq!((first.worker_id.as_str(), second.worker_id.as_str()), ("w-1", "w-1"));
    assert_eq!(world.holder(AMELIA).await, None);
    assert_eq!(world.holder(BOB).await.as_deref(), Some("w-1"));
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s87_a_message_that_meets_a_claim_being_given_up_is_announced_again() {
    let world = World::new();
    world.bakery().await;
    let worker = world.worker(&[]);
    world.order(AMELIA, work("c-1", "aaaaaa1", HOURS)).await;
    world.result().await;
    world.order(BOB, of_bob(work("c-2", "bbbbbb2", HOURS))).await;
    world.result().await;
    // The receive for amelia is still under way, but the claim is gone; nobody announces this work.
    world.put(AMELIA, &work("c-3", "aaaaaa1", "change \"8 to 20\" to \"9 to 21\"").to_string()).await;
    let third = world.result().await;
    assert_eq!((third.command_id, third.outcome), ("c-3".parse().unwrap(), JobOutcome::Changed));
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s25_a_live_claim_is_not_stolen_and_its_request_is_dropped() {
    let world = World::new();
    world.bakery().await;
    let rival = take_by_hand(&world, AMELIA, 45).await;
    let worker = world.worker(&[]);
    world.order(AMELIA, work("c-1", "aaaaaa1", HOURS)).await;
    world.until("the request's end", async || (world.depth(Queue::Unclaimed).await == 0).then_some(())).await;
    assert_eq!(world.holder(AMELIA).await.as_deref(), Some("rival"));
    assert_eq!(world.depth(input(AMELIA)).await, 1);
    world
        .cloud
        .claims
        .release(&rival, &ClaimVersion::from_uuid(Uuid::new_v4()), Timestamp::default())
        .await
        .unwrap();
    world.announce(AMELIA).await;
    assert_eq!(world.result().await.outcome, JobOutcome::Changed);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s26_a_claim_that_was_silent_for_a_lease_is_taken_over() {
    let world = World::new();
    world.bakery().await;
    take_by_hand(&world, AMELIA, 2).await;
    let worker = world.worker(&["--lease-secs", "2"]);
    world.put(AMELIA, &work("c-1", "aaaaaa1", HOURS).to_string()).await;
    let over = async || {
        world.announce(AMELIA).await;
        world.holder(AMELIA).await.filter(|holder| holder != "rival")
    };
    world.until("the take-over", over).await;
    let result = world.result().await;
    assert_eq!(result.outcome, JobOutcome::Changed);
    assert_eq!(result.epoch.0, 2, "the fence has moved on");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s36_a_worker_that_lost_its_claim_stops_its_job_and_pushes_nothing() {
    let world = World::new();
    let remote = world.bakery().await;
    let worker = world.worker_with_agent(&format!("'{AGENT}' --delay-ms 60000"), &["--lease-secs", "3"]);
    world.order(AMELIA, work("c-1", "aaaaaa1", HOURS)).await;
    let started = async || world.job("c-1").await.filter(|job| job.attempts == 1);
    world.until("the agent's start", started).await;
    let key = ProjectUser::parse(AMELIA).unwrap();
    let lapse = async || {
        let row = world.cloud.claims.get(&key).await.unwrap().unwrap();
        let new = ClaimVersion::from_uuid(Uuid::new_v4());
        world.cloud.claims.free_lapsed(&key, &row.version, &new, Timestamp::default()).await.ok()
    };
    world.until("the sweep", lapse).await;
    take_by_hand(&world, AMELIA, 45).await;
    // The agent's child holds the folder's lock until it is gone.
    let lock = std::fs::File::open(world.path("data/workspaces/bakery-amelia/lock")).unwrap();
    world.until("the job's end", async || lock.try_lock().ok()).await;
    assert_eq!(remote.branches(), ["main"]);
    assert_eq!(world.depth(Queue::Output).await, 0, "a stale owner tells nothing");
    assert_eq!(world.job("c-1").await.unwrap().outcome, None);
    worker.stop().await;
    assert_eq!(world.holder(AMELIA).await.as_deref(), Some("rival"), "what is not ours is not released");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s33_s34_a_long_job_keeps_its_claim_and_its_message() {
    let world = World::new();
    world.bakery().await;
    let slow = format!("'{AGENT}' --delay-ms 5000");
    let worker = world.worker_with_agent(&slow, &["--lease-secs", "2", "--idle-release-secs", "1"]);
    world.order(AMELIA, work("c-1", "aaaaaa1", HOURS)).await;
    let result = world.result().await;
    assert_eq!((result.outcome, result.epoch.0), (JobOutcome::Changed, 1));
    assert_eq!(world.job("c-1").await.unwrap().attempts, 1, "it was delivered once");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s30_two_workers_serve_two_users_at_the_same_time() {
    let world = World::new();
    world.bakery().await;
    let slow = format!("'{AGENT}' --delay-ms 1500");
    let one = world.worker_with_agent(&slow, &["--container-id", "w-1"]);
    let two = world.worker_with_agent(&slow, &["--container-id", "w-2"]);
    world.order(AMELIA, work("c-1", "aaaaaa1", HOURS)).await;
    world.order(BOB, of_bob(work("c-2", "bbbbbb2", HOURS))).await;
    let (first, second) = (world.result().await, world.result().await);
    assert_ne!(first.worker_id, second.worker_id);
    assert_ne!(first.s3_bucket, second.s3_bucket, "each has a preview");
    one.stop().await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_worker_with_capacity_serves_others_while_one_user_fails() {
    let world = World::new();
    let remote = world.bakery().await;
    let worker = world.worker(&["--capacity", "2"]);
    // amelia's remote does not exist as a folder of git: that fails again and again.
    std::fs::create_dir(world.path("empty.git")).unwrap();
    let mut failing = work("c-1", "aaaaaa1", HOURS);
    failing["repoUrl"] = json!(format!("file://{}", world.path("empty.git").display()));
    world.order(AMELIA, failing).await;
    world.order(BOB, of_bob(work("c-2", "bbbbbb2", HOURS))).await;
    let mut outcomes = [world.result().await, world.result().await].map(|it| (it.command_id, it.outcome));
    outcomes.sort_by_key(|(command, _)| command.clone());
    assert!(!outcomes[0].1.is_success(), "{outcomes:?}");
    assert_eq!(outcomes[1].1, JobOutcome::Changed);
    assert!(remote.tip("thread-bbbbbb2").is_some());
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s32_messages_of_one_user_are_worked_off_in_order() {
    let world = World::new();
    let remote = world.bakery().await;
    for (command, from, to) in
        [("c-1", "7 to 18", "A"), ("c-2", "Open A", "Open B"), ("c-3", "Open B", "Open C")]
    {
        world
            .put(AMELIA, &work(command, "aaaaaa1", &format!("change \"{from}\" to \"{to}\"")).to_string())
            .await;
    }
    world.announce(AMELIA).await;
    let worker = world.worker(&[]);
    for command in ["c-1", "c-2", "c-3"] {
        let result = world.result().await;
        assert_eq!((result.command_id.as_str(), result.outcome), (command, JobOutcome::Changed));
    }
    assert!(remote.file("thread-aaaaaa1", "site/index.html").unwrap().contains("Open C"));
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s70_bare_work_on_the_unclaimed_queue_is_moved_and_worked_off_once() {
    let world = World::new();
    let remote = world.bakery().await;
    let worker = world.worker(&[]);
    let bare = json!({"type": "work", "projectId": "bakery", "userId": "amelia", "repoUrl": remote.url(),
        "instruction": HOURS});
    world.unclaimed(&bare.to_string()).await;
    let result = world.result().await;
    assert_eq!(result.outcome, JobOutcome::Changed, "{result:?}");
    assert!(world.job(result.command_id.as_str()).await.is_some(), "it has a row");
    world
        .until("both queues' end", async || {
            let left = world.depth(Queue::Unclaimed).await + world.depth(input(AMELIA)).await;
            (left == 0).then_some(())
        })
        .await;
    assert_eq!(world.depth(Queue::Output).await, 0, "one result");
    assert_eq!(remote.branches().len(), 2, "one branch beside main");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_stands_for_the_registered_user_and_a_missing_repository_is_the_projects() {
    let world = World::new();
    world.bakery().await;
    let sender = Sender {
        address: "amelia@example.org".parse().unwrap(),
        project_id: "bakery".parse().unwrap(),
        user_id: "amelia".parse().unwrap(),
        role: common::domain::project::Role::Owner,
        language: None,
        created_at: Timestamp::default(),
    };
    world.cloud.store.save(&sender).await.unwrap();
    let worker = world.worker(&["--capacity", "2"]);
    for (address, command) in [("Amelia@Example.org", "c-1"), ("stranger@example.org", "c-2")] {
        let bare = json!({"type": "work", "commandId": command, "projectId": "bakery", "userId": address,
            "content": HOURS});
        world.unclaimed(&bare.to_string()).await;
    }
    let mut users = [world.result().await, world.result().await].map(|it| (it.command_id, it.user_id));
    users.sort_by_key(|(command, _)| command.clone());
    assert_eq!(users[0].1.as_str(), "amelia");
    assert!(users[1].1.as_str().starts_with("stranger-"), "{users:?}");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_on_each_queue_is_put_aside_with_its_reason_and_work_goes_on() {
    let world = World::new();
    world.bakery().await;
    let worker = world.worker(&[]);
    for garbage in ["no json", "{}", "{\"type\":\"NONSENSE\"}", "[1]"] {
        world.unclaimed(garbage).await;
        let dead = world.next(Queue::UnclaimedDead).await;
        assert_eq!(dead.body, garbage);
        assert!(!dead.attributes["reason"].is_empty());
    }
    let unknown =
        json!({"type": "work", "projectId": "nobody", "userId": "x", "instruction": "hi"}).to_string();
    world.unclaimed(&unknown).await;
    assert_eq!(world.next(Queue::UnclaimedDead).await.attributes["reason"], "repoUrl not in message");

    world.put(AMELIA, "no json").await;
    world.put(AMELIA, &of_bob(work("c-9", "aaaaaa1", HOURS)).to_string()).await;
    world.order(AMELIA, work("c-1", "aaaaaa1", HOURS)).await;
    let owner = world.until("the claim", async || {
        let row = world.cloud.claims.get(&ProjectUser::parse(AMELIA).unwrap()).await.unwrap()?;
        row.owner
    });
    let control = Queue::Control(owner.await);
    world.cloud.queues.send(&control, Outgoing::standard("no order")).await.unwrap();
    assert_eq!(world.result().await.outcome, JobOutcome::Changed, "the good work behind it is done");
    let dead = world.next(Queue::Dead).await;
    assert_eq!((dead.body.as_str(), dead.group.as_deref()), ("no json", Some(AMELIA)));
    assert!(world.next(Queue::Dead).await.attributes["reason"].contains("another queue"));
    world.until("the order's end", async || (world.depth(control.clone()).await == 0).then_some(())).await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s37_a_shutdown_saves_the_work_hands_the_message_back_and_charges_no_attempt() {
    let world = World::new();
    let remote = world.bakery().await;
    let half = "require('fs').writeFileSync('site/about.html','half\\n');setInterval(()=>{},9e9)";
    let worker = world.worker_with_agent(&format!("node -e \"{half}\""), &["--shutdown-grace-secs", "13"]);
    world.order(AMELIA, work("c-1", "aaaaaa1", HOURS)).await;
    let edited = world.path("data/workspaces/bakery-amelia/repo/site/about.html");
    let half_done = async || std::fs::read_to_string(&edited).ok().filter(|text| text == "half\n");
    world.until("half of the work", half_done).await;
    let begun = tokio::time::Instant::now();
    worker.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(13), "within the grace");
    assert_eq!(remote.file("thread-aaaaaa1", "site/about.html").unwrap(), "half\n");
    assert!(remote.messages("thread-aaaaaa1")[0].starts_with("WIP: Auto-save: Container shutdown\n"));
    assert_eq!(world.holder(AMELIA).await, None);
    let depth = world.cloud.queues.depth(&input(AMELIA)).await.unwrap();
    assert_eq!((depth.visible, depth.in_flight), (1, 0));
    assert_eq!(world.job("c-1").await.unwrap().attempts, 0);

    let worker = world.worker(&[]);
    world.announce(AMELIA).await;
    let result = world.result().await;
    assert_eq!(result.outcome, JobOutcome::Changed, "{result:?}");
    assert_eq!(result.files_changed, ["site/about.html", "site/index.html"], "both halves");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_stop_a_job_release_a_claim_and_drain_the_worker() {
    let world = World::new();
    world.bakery().await;
    let worker = world.worker_with_agent(&format!("'{AGENT}' --delay-ms 60000"), &[]);
    world.order(AMELIA, work("c-1", "aaaaaa1", HOURS)).await;
    let started = async || world.job("c-1").await.filter(|job| job.attempts == 1);
    world.until("the agent's start", started).await;
    let key = ProjectUser::parse(AMELIA).unwrap();
    let owner = world.cloud.claims.get(&key).await.unwrap().unwrap().owner.unwrap();
    let control = Queue::Control(owner);
    let order = async |order: Value| {
        world.cloud.queues.send(&control, Outgoing::standard(order.to_string())).await.unwrap();
    };
    order(json!({"type": "CONTROL", "action": "stop-job", "commandId": "another"})).await;
    order(json!({"type": "CONTROL", "action": "stop-job", "commandId": "c-1"})).await;
    assert_eq!(world.result().await.outcome, JobOutcome::Stopped);
    order(json!({"type": "CONTROL", "action": "release", "projectKey": AMELIA})).await;
    world.is_free(AMELIA).await;
    order(json!({"type": "CONTROL", "action": "drain"})).await;
    worker.stop().await;
    assert_eq!(world.cloud.queues.depth(&control).await.unwrap(), common::cloud::queue::Depth::default());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_stopped_and_conflicts_with_what_others_pushed_is_told_with_its_branch() {
    let world = World::new();
    let remote = world.bakery().await;
    let worker = world.worker(&[]);
    world.order(AMELIA, work("c-1", "aaaaaa1", HOURS)).await;
    assert_eq!(world.result().await.outcome, JobOutcome::Changed);
    worker.stop().await;
    let half = "require('fs').writeFileSync('site/about.html','half\\n');setInterval(()=>{},9e9)";
    let worker = world.worker_with_agent(&format!("node -e \"{half}\""), &[]);
    world.order(AMELIA, work("c-2", "aaaaaa1", HOURS)).await;
    let edited = world.path("data/workspaces/bakery-amelia/repo/site/about.html");
    let half_done = async || std::fs::read_to_string(&edited).ok().filter(|text| text == "half\n");
    world.until("half of the work", half_done).await;
    remote.commit("thread-aaaaaa1", &[("site/about.html", "theirs\n")], "theirs");
    let owner =
        world.cloud.claims.get(&ProjectUser::parse(AMELIA).unwrap()).await.unwrap().unwrap().owner.unwrap();
    let order = json!({"type": "CONTROL", "action": "stop-job", "commandId": "c-2"}).to_string();
    world.cloud.queues.send(&Queue::Control(owner), Outgoing::standard(order)).await.unwrap();
    let stopped = world.result().await;
    let aside = remote.branches().into_iter().find(|name| name.contains("-conflict-")).unwrap();
    assert_eq!(stopped.outcome, JobOutcome::Stopped);
    assert_eq!(stopped.aside, [aside], "{stopped:?}");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s78_work_that_was_stopped_before_its_turn_never_starts_and_is_told_once() {
    let world = World::new();
    let remote = world.bakery().await;
    let message = work("c-1", "aaaaaa1", HOURS);
    let draft = common::messages::WorkDraft::parse(&message.to_string(), "m", Timestamp::default()).unwrap();
    let stopped = draft.complete("amelia".parse().unwrap(), "aaaaaa1".parse().unwrap(), remote.url());
    let mut row = stopped.to_job(world.cloud.clock.now());
    row.stop_requested = Some(Timestamp::from_millis(1));
    world.cloud.store.insert(&row).await.unwrap();
    world.order(AMELIA, message).await;
    let worker = world.worker(&[]);
    let result = world.result().await;
    assert_eq!((result.command_id.as_str(), result.outcome), ("c-1", JobOutcome::Stopped));
    let row = world.job("c-1").await.unwrap();
    assert_eq!((row.attempts, row.steps.len()), (0, 0), "nothing was begun");
    world.order(AMELIA, work("c-2", "aaaaaa1", HOURS)).await;
    assert_eq!(world.result().await.command_id.as_str(), "c-2", "the stopped work is not queued again");
    assert_eq!(remote.branches().len(), 2, "the branch of c-2 beside main");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_whose_worker_died_three_times_is_not_tried_a_fourth_time() {
    let world = World::new();
    world.bakery().await;
    let message = work("c-1", "aaaaaa1", HOURS);
    let draft = common::messages::WorkDraft::parse(&message.to_string(), "m", Timestamp::default()).unwrap();
    let poison = draft.complete("amelia".parse().unwrap(), "aaaaaa1".parse().unwrap(), "file:///x".into());
    let mut row = poison.to_job(world.cloud.clock.now());
    row.attempts = 3;
    world.cloud.store.insert(&row).await.unwrap();
    let worker = world.worker(&[]);
    world.order(AMELIA, message).await;
    let result = world.result().await;
    assert_eq!(result.outcome, JobOutcome::Failed, "{result:?}");
    assert!(world.next(Queue::Dead).await.attributes["reason"].contains("3 attempts"));
    assert_eq!(world.job("c-1").await.unwrap().attempts, 3);
    assert_eq!(result.command_id, CommandId::parse("c-1").unwrap());
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s39_a_task_token_is_answered_and_an_impossible_one_does_not_bring_the_work_back() {
    let world = World::new();
    world.bakery().await;
    let worker = world.worker(&[]);
    for (command, token) in [("c-1", "token-1".to_owned()), ("c-2", "x".repeat(5000))] {
        let mut message = work(command, "aaaaaa1", HOURS);
        message["taskToken"] = json!(token);
        world.order(AMELIA, message).await;
        world.result().await;
        world
            .until("the delivery's end", async || (world.depth(input(AMELIA)).await == 0).then_some(()))
            .await;
    }
    let later = world.cloud.callback.success("token-1", "{}").await.unwrap();
    assert_eq!(later, Heard::NoLonger, "the worker has answered it");
    assert_eq!(world.depth(Queue::Output).await, 0, "each told once");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s40_a_task_token_nobody_waits_for_ends_the_job_quietly() {
    let world = World::new();
    world.bakery().await;
    let worker = world.worker(&[]);
    let mut message = work("c-1", "aaaaaa1", HOURS);
    message["taskToken"] = json!("expired");
    world.cloud.callback.failure("expired", "TimedOut", "nobody waits").await.unwrap();
    world.order(AMELIA, message).await;
    assert_eq!(world.result().await.outcome, JobOutcome::Changed);
    world.until("the delivery's end", async || (world.depth(input(AMELIA)).await == 0).then_some(())).await;
    worker.stop().await;
}
