//! Workers whose doors hang, fail or break them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod support;

use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use common::cloud::failing::{Calls, Door, Failing, Fate, Operation, Plan, When};
use common::cloud::files::{At, Etag, FileContent, FilePart, Files, IfMatch, Space};
use common::cloud::queue::Outgoing;
use common::cloud::{Cloud, Result};
use common::domain::ids::{CommandId, ProjectUser};
use common::domain::job::{Job, OutcomeNote};
use common::domain::names::{PublicHost, Queue, SiteTarget};
use common::domain::outcome::JobOutcome;
use common::domain::timestamp::Timestamp;
use common::messages::WorkDraft;
use serde_json::{Value, json};
use support::{World, work};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

const AMELIA: &str = "bakery#amelia";
const HOURS: &str = "change \"7 to 18\" to \"8 to 20\"";

/// What becomes of a call that the test looks out for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    /// Pages are not put up until the test lets them go.
    HangsAtPages,
    /// What an agent remembers, and what it said, is never taken.
    HangsAtMemories,
    /// Looking for kept work of `c-1` breaks the worker.
    BreaksAtKeptWork,
    /// Nothing special.
    Plain,
}

/// The files of a cloud, in some mood.
struct Moody {
    files: Arc<dyn Files>,
    mood: Mutex<Mood>,
    reached: Notify,
    let_go: CancellationToken,
}

impl Moody {
    fn over(cloud: &Cloud, mood: Mood) -> (Arc<Self>, Cloud) {
        let moody = Arc::new(Self {
            files: cloud.files.clone(),
            mood: Mutex::new(mood),
            reached: Notify::new(),
            let_go: CancellationToken::new(),
        });
        (moody.clone(), Cloud { files: moody, ..cloud.clone() })
    }

    fn is(&self, mood: Mood) -> bool {
        *self.mood.lock().unwrap() == mood
    }

    async fn page(&self, at: &At) {
        if self.is(Mood::HangsAtPages) && matches!(at.space, Space::Site(_)) {
            self.reached.notify_one();
            self.let_go.cancelled().await;
        }
    }
}

#[async_trait]
impl Files for Moody {
    async fn put(&self, at: &At, bytes: Bytes, condition: IfMatch) -> Result<Etag> {
        self.page(at).await;
        if self.is(Mood::HangsAtMemories)
            && ["sessions/", "transcripts/"].iter().any(|of| at.key.starts_with(of))
        {
            std::future::pending::<()>().await;
        }
        self.files.put(at, bytes, condition).await
    }

    async fn get(&self, at: &At) -> Result<Option<FileContent>> {
        assert!(!(self.is(Mood::BreaksAtKeptWork) && at.key == "wip/c-1"), "broken on purpose");
        self.files.get(at).await
    }

    async fn read_range(&self, at: &At, offset: u64, len: usize) -> Result<Option<FilePart>> {
        self.files.read_range(at, offset, len).await
    }

    async fn etag(&self, at: &At) -> Result<Option<Etag>> {
        self.files.etag(at).await
    }

    async fn copy(&self, from: &At, to: &At, condition: IfMatch) -> Result<Etag> {
        self.page(to).await;
        self.files.copy(from, to, condition).await
    }

    async fn delete(&self, at: &At, condition: IfMatch) -> Result<()> {
        self.files.delete(at, condition).await
    }

    async fn list(&self, space: &Space, prefix: &str) -> Result<Vec<String>> {
        self.files.list(space, prefix).await
    }

    async fn objects_bucket(&self) -> Result<String> {
        self.files.objects_bucket().await
    }

    fn public_host(&self, site: &SiteTarget) -> Option<PublicHost> {
        self.files.public_host(site)
    }
}

/// Queues work as hermes does: with its row, without an announcement.
async fn queue(world: &World, body: Value) {
    note(world, &body).await;
    world.put(AMELIA, &body.to_string()).await;
}

/// The row of this work.
async fn note(world: &World, body: &Value) {
    let draft = WorkDraft::parse(&body.to_string(), "m", Timestamp::default()).unwrap();
    let thread = draft.thread_id.clone().unwrap();
    let work = draft.complete("amelia".parse().unwrap(), thread, String::new());
    world.cloud.store.insert(&work.to_job(world.cloud.clock.now())).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s49_a_publication_that_hangs_makes_way_and_is_finished_later() {
    let world = World::new();
    let remote = world.bakery().await;
    let (moody, cloud) = Moody::over(&world.cloud, Mood::HangsAtPages);
    let worker = world.worker_over(cloud, &[]);
    queue(&world, work("c-1", "aaaaaa1", HOURS)).await;
    world.announce(AMELIA).await;
    moody.reached.notified().await;
    queue(&world, work("c-2", "bbbbbb2", "change \"Since 1920\" to \"Since 1921\"")).await;
    *moody.mood.lock().unwrap() = Mood::Plain;
    let claim = world.cloud.claims.get(&ProjectUser::parse(AMELIA).unwrap()).await.unwrap().unwrap();
    let order = json!({"type": "INTERRUPT", "version": 1, "projectId": "bakery", "userId": "amelia",
        "commandId": "c-1", "newThreadId": "bbbbbb2", "newMessageId": "c-2", "reason": "newer", "timestamp": 1});
    let control = Queue::Control(claim.owner.unwrap());
    world.cloud.queues.send(&control, Outgoing::standard(order.to_string())).await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..3 {
        let result = world.result().await;
        if result.command_id.as_str() == "c-1" && result.outcome == JobOutcome::Changed {
            assert!(world.page(&result, "index.html").unwrap().contains("8 to 20"));
        }
        seen.push((result.command_id.to_string(), result.outcome));
    }
    let expected =
        [("c-1", JobOutcome::Interrupted), ("c-2", JobOutcome::Changed), ("c-1", JobOutcome::Changed)];
    assert_eq!(seen, expected.map(|(command, outcome)| (command.to_owned(), outcome)));
    assert_eq!(remote.messages("thread-aaaaaa1").len(), 1, "the finished edits were not made again");
    worker.stop().await;
}

/// The CLI as it is seen from outside: it remembers, has done half of its work, and goes on without an end.
const HALFWAY: &str = r#"#!/usr/bin/env node
const fs = require("node:fs");
const folder = process.env.CLAUDE_CONFIG_DIR + "/projects/" + process.cwd().replace(/[^A-Za-z0-9]/g, "-");
fs.mkdirSync(folder, { recursive: true });
fs.writeFileSync(folder + "/s-1.jsonl", "said\n");
console.log(JSON.stringify({ type: "system", subtype: "init", session_id: "s-1" }));
console.log(JSON.stringify({ type: "assistant", message: { id: "m-1", model: "m", usage: { output_tokens: 1 } } }));
fs.writeFileSync("site/half.html", "half");
setInterval(() => {}, 9e9);
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unfinished_work_is_pushed_at_a_shutdown_whatever_becomes_of_what_its_agent_remembers() {
    let world = World::new();
    let remote = world.bakery().await;
    let claude = world.path("claude");
    std::fs::write(&claude, HALFWAY).unwrap();
    std::fs::set_permissions(&claude, std::fs::Permissions::from_mode(0o755)).unwrap();
    let (_moody, cloud) = Moody::over(&world.cloud, Mood::HangsAtMemories);
    let worker = world.worker_with_agent_over(cloud, claude.to_str().unwrap(), &[]);
    queue(&world, work("c-1", "aaaaaa1", HOURS)).await;
    world.announce(AMELIA).await;
    let half = world.path("data/workspaces/bakery-amelia/repo/site/half.html");
    world.until("half of the work", async || half.exists().then_some(())).await;
    worker.stop().await;
    assert_eq!(remote.file("thread-aaaaaa1", "site/half.html").as_deref(), Some("half"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_breaks_the_worker_is_put_aside_and_told_once_and_the_next_one_has_its_turn() {
    let world = World::new();
    world.bakery().await;
    let (_moody, cloud) = Moody::over(&world.cloud, Mood::BreaksAtKeptWork);
    let worker = world.worker_over(cloud, &[]);
    queue(&world, work("c-1", "aaaaaa1", HOURS)).await;
    queue(&world, work("c-2", "bbbbbb2", HOURS)).await;
    world.announce(AMELIA).await;
    let (broken, next) = (world.result().await, world.result().await);
    assert_eq!((broken.command_id.as_str(), broken.outcome), ("c-1", JobOutcome::Failed));
    assert!(broken.error.unwrap().contains("broken on purpose"));
    assert_eq!((next.command_id.as_str(), next.outcome), ("c-2", JobOutcome::Changed));
    let dead = world.next(Queue::Dead).await;
    assert!(dead.attributes["reason"].contains("received 3 times"), "{:?}", dead.attributes);
    assert_eq!(world.job("c-1").await.unwrap().outcome, Some(JobOutcome::Failed));
    assert_eq!(world.depth(Queue::Output).await, 0, "told once");
    assert_eq!(next.epoch.0, 1, "the claim was kept");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_of_no_thread_that_names_a_job_of_another_is_put_aside_without_it() {
    let world = World::new();
    world.bakery().await;
    let order = work("c-1", "aaaaaa1", HOURS);
    note(&world, &order).await;
    let mut stray = order.clone();
    stray.as_object_mut().unwrap().remove("threadId").unwrap();
    world.put(AMELIA, &stray.to_string()).await;
    world.put(AMELIA, &order.to_string()).await;
    let worker = world.worker(&[]);
    world.announce(AMELIA).await;
    let result = world.result().await;
    assert_eq!((result.command_id.as_str(), result.outcome), ("c-1", JobOutcome::Changed), "{result:?}");
    let reason = world.next(Queue::Dead).await.attributes["reason"].clone();
    assert_eq!(reason, "command c-1 belongs to other work");
    assert_eq!(world.depth(Queue::Output).await, 0, "told once");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_whose_claims_fail_asks_less_and_takes_the_work_when_they_work_again() {
    let world = World::new();
    world.bakery().await;
    let plan = Plan::passing().with(Calls::Through(Door::Claims), When::Always, Fate::FailBefore);
    let worker = world.worker_over(Failing::wrap(world.cloud.clone(), plan.clone()), &[]);
    for _ in 0..20 {
        world.announce(AMELIA).await;
    }
    queue(&world, work("c-1", "aaaaaa1", HOURS)).await;
    let asked = async || {
        let asked = plan.count(Operation::Take, Fate::FailBefore);
        (asked >= 2).then_some(asked)
    };
    let asked = world.until("the second try", asked).await;
    assert!(asked <= 3, "twenty requests lie there, and it paused in between: {asked}");
    plan.heal();
    assert_eq!(world.result().await.outcome, JobOutcome::Changed);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s43_a_site_that_takes_no_pages_for_a_while_gets_them_by_the_next_try_and_the_agent_runs_once() {
    let world = World::new();
    let remote = world.bakery().await;
    let plan = Plan::passing().with(Calls::Of(Operation::CopyFile), When::Always, Fate::FailBefore);
    let worker = world.worker_over(Failing::wrap(world.cloud.clone(), plan.clone()), &[]);
    queue(&world, work("c-1", "aaaaaa1", HOURS)).await;
    world.announce(AMELIA).await;
    world.until("a push without a preview", async || remote.tip("thread-aaaaaa1")).await;
    assert!(
        remote.file("thread-aaaaaa1", "site/index.html").unwrap().contains("8 to 20"),
        "the work is kept"
    );
    plan.heal();
    let result = world.result().await;
    assert_eq!(result.outcome, JobOutcome::Changed, "{result:?}");
    assert!(world.page(&result, "index.html").unwrap().contains("8 to 20"));
    assert_eq!(world.job("c-1").await.unwrap().attempts, 2);
    assert_eq!(remote.messages("thread-aaaaaa1").len(), 1, "the finished edits were not made again");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s43_a_site_that_takes_no_pages_at_all_is_told_and_the_branch_is_whole() {
    let world = World::new();
    let remote = world.bakery().await;
    let plan = Plan::passing().with(Calls::Of(Operation::CopyFile), When::Always, Fate::FailBefore);
    let worker = world.worker_over(Failing::wrap(world.cloud.clone(), plan.clone()), &[]);
    queue(&world, work("c-1", "aaaaaa1", HOURS)).await;
    world.announce(AMELIA).await;
    let failed = world.result().await;
    assert_eq!((failed.outcome, failed.success), (JobOutcome::PublishFailed, false), "{failed:?}");
    assert!(failed.summary.contains("Your change is kept"), "{}", failed.summary);
    assert!(failed.error.unwrap().contains("failed by the plan"), "the operator learns why");
    assert_eq!((failed.s3_bucket, world.job("c-1").await.unwrap().attempts), (None, 3));
    assert_eq!(world.next(Queue::Dead).await.group.as_deref(), Some(AMELIA));
    assert!(remote.file("thread-aaaaaa1", "site/index.html").unwrap().contains("8 to 20"));
    assert_eq!(remote.messages("thread-aaaaaa1").len(), 1, "three tries, one commit");

    plan.heal();
    queue(&world, work("c-2", "aaaaaa1", "change \"Since 1920\" to \"Since 1921\"")).await;
    let next = world.result().await;
    assert_eq!(next.outcome, JobOutcome::Changed, "{next:?}");
    assert!(world.page(&next, "index.html").unwrap().contains("8 to 20"), "nothing was lost");
    assert!(world.page(&next, "about.html").unwrap().contains("Since 1921"));
    worker.stop().await;
}

/// A preview of the conversation `aaaaaa1`, and its publication under way: the first page hangs.
async fn publishing(world: &World) -> (Arc<Moody>, support::Running) {
    world.bakery().await;
    let (moody, cloud) = Moody::over(&world.cloud, Mood::Plain);
    let worker = world.worker_over(cloud, &[]);
    queue(world, work("c-1", "aaaaaa1", HOURS)).await;
    world.announce(AMELIA).await;
    assert_eq!(world.result().await.outcome, JobOutcome::Changed);
    *moody.mood.lock().unwrap() = Mood::HangsAtPages;
    let publish = json!({"type": "work", "version": 1, "commandId": "c-2", "threadId": "aaaaaa1",
        "projectId": "bakery", "userId": "amelia", "action": "publish"});
    queue(world, publish).await;
    world.announce(AMELIA).await;
    moody.reached.notified().await;
    (moody, worker)
}

/// Sends an order to the worker and waits until it has obeyed.
async fn tell(world: &World, order: Value) {
    let claim = world.cloud.claims.get(&ProjectUser::parse(AMELIA).unwrap()).await.unwrap().unwrap();
    let control = Queue::Control(claim.owner.unwrap());
    world.cloud.queues.send(&control, Outgoing::standard(order.to_string())).await.unwrap();
    world.until("the order's end", async || (world.depth(control.clone()).await == 0).then_some(())).await;
}

async fn live_page(world: &World) -> Option<String> {
    let live = SiteTarget::Live("bakery".parse().unwrap());
    let page = world.cloud.files.get(&At::page(&live, "index.html")).await.unwrap()?;
    Some(String::from_utf8(page.bytes.to_vec()).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_site_whose_switch_has_begun_is_switched_whoever_interrupts_or_stops_it() {
    let world = World::new();
    let (moody, worker) = publishing(&world).await;
    queue(&world, work("c-3", "bbbbbb2", "change \"Since 1920\" to \"Since 1921\"")).await;
    let interrupt = json!({"type": "INTERRUPT", "version": 1, "projectId": "bakery", "userId": "amelia",
        "commandId": "c-2", "newThreadId": "bbbbbb2", "newMessageId": "c-3", "reason": "newer", "timestamp": 1});
    tell(&world, interrupt).await;
    tell(&world, json!({"type": "control", "version": 1, "action": "stop-job", "commandId": "c-2"})).await;
    moody.let_go.cancel();
    let published = world.result().await;
    assert_eq!(
        (published.command_id.as_str(), published.outcome),
        ("c-2", JobOutcome::Changed),
        "{published:?}"
    );
    assert!(live_page(&world).await.unwrap().contains("8 to 20"));
    assert_eq!(world.result().await.outcome, JobOutcome::Changed, "the newer work has its turn then");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switch_that_hangs_when_it_is_stopped_is_finished_when_the_site_takes_pages_again() {
    let world = World::new();
    let (moody, worker) = publishing(&world).await;
    tell(&world, json!({"type": "control", "version": 1, "action": "stop-job", "commandId": "c-2"})).await;
    let stopped = world.result().await;
    assert_eq!(stopped.outcome, JobOutcome::Stopped, "its time is limited");
    assert_eq!(stopped.note, Some(OutcomeNote::GoesOn));
    moody.let_go.cancel();
    world.until("the switch", async || live_page(&world).await.filter(|page| page.contains("8 to 20"))).await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_site_that_three_tries_left_half_way_is_finished_without_another_order() {
    let world = World::new();
    world.bakery().await;
    let worker = world.worker(&[]);
    queue(&world, work("c-1", "aaaaaa1", HOURS)).await;
    world.announce(AMELIA).await;
    assert_eq!(world.result().await.outcome, JobOutcome::Changed);
    worker.stop().await;

    let broken = Plan::passing().with(Calls::Of(Operation::CopyFile), When::Always, Fate::FailBefore);
    let worker = world.worker_over(Failing::wrap(world.cloud.clone(), broken.clone()), &[]);
    let publish = json!({"type": "work", "version": 1, "commandId": "c-2", "threadId": "aaaaaa1",
        "projectId": "bakery", "userId": "amelia", "action": "publish"});
    queue(&world, publish).await;
    world.announce(AMELIA).await;
    let failed = world.result().await;
    assert_eq!((failed.outcome, failed.note), (JobOutcome::PublishFailed, Some(OutcomeNote::GoesOn)));
    assert!(failed.error.unwrap().starts_with("switch-goes-on"));
    assert_eq!(live_page(&world).await, None);
    broken.heal();
    world.until("the switch", async || live_page(&world).await.filter(|page| page.contains("8 to 20"))).await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switch_is_only_said_to_go_on_when_it_was_begun() {
    let world = World::new();
    world.bakery().await;
    let worker = world.worker(&[]);
    queue(&world, work("c-1", "aaaaaa1", HOURS)).await;
    world.announce(AMELIA).await;
    assert_eq!(world.result().await.outcome, JobOutcome::Changed);
    worker.stop().await;

    let broken = Plan::passing().with(Calls::Of(Operation::PutFile), When::Always, Fate::FailBefore);
    let worker = world.worker_over(Failing::wrap(world.cloud.clone(), broken.clone()), &[]);
    let mut publish = json!({"type": "work", "version": 1, "commandId": "c-2", "threadId": "aaaaaa1",
        "projectId": "bakery", "userId": "amelia", "action": "publish"});
    queue(&world, publish.clone()).await;
    world.announce(AMELIA).await;
    let failed = world.result().await;
    assert_eq!((failed.outcome, failed.note), (JobOutcome::PublishFailed, None));
    broken.heal();

    // It was begun by a worker that died, and stopped before another one had its turn.
    publish["commandId"] = "c-3".into();
    queue(&world, publish.clone()).await;
    assert_eq!(world.result().await.outcome, JobOutcome::Changed);
    let again = |job: &mut Job| {
        (job.outcome, job.stop_requested) = (None, Some(Timestamp::from_millis(1)));
        ControlFlow::Continue(())
    };
    world.cloud.store.update(&CommandId::parse("c-3").unwrap(), again).await.unwrap();
    world.put(AMELIA, &publish.to_string()).await;
    let stopped = world.result().await;
    assert_eq!((stopped.outcome, stopped.note), (JobOutcome::Stopped, Some(OutcomeNote::GoesOn)));
    worker.stop().await;
}
