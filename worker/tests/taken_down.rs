//! Previews that are taken down, and put up again when somebody goes on with their conversation.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod support;

use common::cloud::files::{At, Space};
use common::domain::claim::Epoch;
use common::domain::ids::ProjectUser;
use common::domain::names::SiteTarget;
use common::domain::outcome::JobOutcome;
use common::domain::site::Manifest;
use common::messages::JobResult;
use serde_json::{Value, json};
use support::{World, work};

const KEY: &str = "bakery#amelia";
const THREAD: &str = "aaaaaa1";

fn shown(result: &JobResult) -> SiteTarget {
    SiteTarget::from_local_host(result.s3_bucket.as_ref().expect("it was published")).unwrap()
}

fn live() -> SiteTarget {
    SiteTarget::Live("bakery".parse().unwrap())
}

async fn pages(world: &World, target: &SiteTarget) -> Vec<String> {
    world.cloud.files.list(&Space::Site(target.clone()), "").await.unwrap()
}

async fn manifest(world: &World, target: &SiteTarget) -> Manifest {
    let content = world.cloud.files.get(&At::object(target.manifest_key())).await.unwrap().unwrap();
    serde_json::from_slice(&content.bytes).unwrap()
}

async fn act(world: &World, command: &str, more: Value) -> JobResult {
    let mut body = json!({"type": "work", "version": 1, "commandId": command, "projectId": "bakery",
        "userId": "amelia", "threadId": THREAD});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    world.order(KEY, body).await;
    let result = world.result().await;
    assert_eq!(result.command_id.as_str(), command);
    result
}

async fn take_down(world: &World, command: &str, release: u64) -> JobResult {
    let result = act(world, command, json!({"action": "take-down", "release": release})).await;
    assert_eq!((result.outcome, &result.s3_bucket), (JobOutcome::Answered, &None), "{result:?}");
    result
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_pages_go_and_its_fence_and_the_live_site_stay() {
    let world = World::new();
    world.bakery().await;
    let worker = world.worker(&[]);
    world.order(KEY, work("c-1", THREAD, "change \"7 to 18\" to \"8 to 20\"")).await;
    let preview = shown(&world.result().await);
    act(&world, "c-2", json!({"action": "publish"})).await;
    assert_eq!(pages(&world, &preview).await, ["about.html", "index.html"]);

    let down = take_down(&world, "c-3", 1).await;
    assert!(down.summary.contains("was taken down"), "{}", down.summary);
    assert_eq!(pages(&world, &preview).await, [""; 0]);
    assert_eq!(pages(&world, &live()).await, ["about.html", "index.html"]);
    let left = manifest(&world, &preview).await;
    let epoch = world.cloud.claims.get(&ProjectUser::parse(KEY).unwrap()).await.unwrap().unwrap().epoch;
    assert!(left.is_taken_down() && left.release.number == 2, "{left:?}");
    let user = "amelia".parse().unwrap();
    assert!(left.outdates(Some(&user), Epoch(epoch.0 - 1)) && !left.outdates(Some(&user), epoch));
    let job = world.job("c-3").await.unwrap();
    let steps: Vec<_> = job.steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!((steps, job.transcript_key, job.preview_url), (vec!["publish"], None, None));

    take_down(&world, "c-4", 1).await;
    take_down(&world, "c-5", 2).await;
    assert_eq!(manifest(&world, &preview).await.release.number, 2, "there is nothing left to take down");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_preview_and_one_that_somebody_wrote_about_since_stay() {
    let world = World::new();
    world.bakery().await;
    let worker = world.worker(&[]);
    world.order(KEY, work("c-1", THREAD, "change \"7 to 18\" to \"8 to 20\"")).await;
    let preview = shown(&world.result().await);
    world.order(KEY, work("c-2", THREAD, "add a page about rye")).await;
    world.result().await;
    let before = (pages(&world, &preview).await, manifest(&world, &preview).await);

    let kept = take_down(&world, "c-3", 1).await;
    assert!(kept.summary.contains("stays up"), "{}", kept.summary);
    assert_eq!((pages(&world, &preview).await, manifest(&world, &preview).await), before);
    let ordered_before = json!({"action": "take-down", "release": 2, "timestamp": 1});
    assert_eq!(act(&world, "c-4", ordered_before).await.outcome, JobOutcome::Answered);
    assert_eq!((pages(&world, &preview).await, manifest(&world, &preview).await), before);
    take_down(&world, "c-5", 2).await;
    assert_eq!(pages(&world, &preview).await, [""; 0]);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn that_of_a_conversation_that_was_removed_goes_whichever_it_is_after_the_work_that_waits_before() {
    let world = World::new();
    world.bakery().await;
    world.order(KEY, work("c-1", THREAD, "change \"7 to 18\" to \"8 to 20\"")).await;
    world.order(KEY, work("c-2", THREAD, "add a page about rye")).await;
    let removal = json!({"type": "work", "version": 1, "commandId": "c-3", "projectId": "bakery", "userId": "amelia",
        "threadId": THREAD, "action": "take-down"});
    world.order(KEY, removal).await;
    let worker = world.worker(&[]);
    let preview = shown(&world.result().await);
    world.result().await;
    let down = world.result().await;
    assert_eq!((down.command_id.as_str(), down.outcome), ("c-3", JobOutcome::Answered));
    assert!(down.summary.contains("was taken down"), "{}", down.summary);
    assert_eq!(pages(&world, &preview).await, [""; 0]);
    assert!(manifest(&world, &preview).await.is_taken_down());
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_was_taken_down_is_never_published_and_comes_back_as_it_was() {
    let world = World::new();
    let remote = world.bakery().await;
    let worker = world.worker(&[]);
    world.order(KEY, work("c-1", THREAD, "change \"7 to 18\" to \"8 to 20\"")).await;
    let preview = shown(&world.result().await);
    let before = manifest(&world, &preview).await.files;
    take_down(&world, "c-2", 1).await;

    let refused = act(&world, "c-3", json!({"action": "publish"})).await;
    assert_eq!((refused.outcome, &refused.s3_bucket), (JobOutcome::Answered, &None), "{refused:?}");
    assert!(refused.summary.contains("show the preview again"), "{}", refused.summary);
    assert_eq!(pages(&world, &live()).await, [""; 0], "an empty site never goes live");

    let tip = remote.tip("thread-aaaaaa1").unwrap();
    let again = act(&world, "c-4", json!({"instruction": "show the preview again"})).await;
    assert_eq!(again.outcome, JobOutcome::Changed, "{again:?}");
    assert_eq!((shown(&again), manifest(&world, &preview).await.files), (preview, before.clone()));
    assert_eq!((remote.tip("thread-aaaaaa1").unwrap(), again.files_changed.len()), (tip, 0));
    assert_eq!(act(&world, "c-5", json!({"action": "publish"})).await.outcome, JobOutcome::Changed);
    assert_eq!(manifest(&world, &live()).await.files, before);
    let nothing = act(&world, "c-6", json!({"instruction": "make it nicer"})).await;
    assert_eq!(nothing.outcome, JobOutcome::Answered, "it is up: there is nothing to show");
    worker.stop().await;
}
