//! Previews that are taken down, or that no answer has shown, and that are put up again when somebody goes on with their
//! conversation.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod support;

use common::cloud::files::{At, Space};
use common::domain::claim::Epoch;
use common::domain::ids::ProjectUser;
use common::domain::job::OutcomeNote;
use common::domain::names::SiteTarget;
use common::domain::outcome::JobOutcome;
use common::domain::site::Manifest;
use common::messages::JobResult;
use serde_json::{Value, json};
use support::{Remote, Running, World, work};

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

/// Nothing is put live: neither what is shown, nor anything else.
async fn is_not_put_live(world: &World, command: &str) {
    let before = pages(world, &live()).await;
    let refused = act(world, command, json!({"action": "publish"})).await;
    assert_eq!((refused.outcome, &refused.note), (JobOutcome::Answered, &Some(OutcomeNote::NeverShown)));
    assert!(refused.summary.contains("show the preview again"), "{}", refused.summary);
    assert_eq!((refused.s3_bucket, pages(world, &live()).await), (None, before));
}

/// The branch is shown as it is, and then put live.
async fn is_shown_and_put_live(world: &World, command: &str) -> JobResult {
    let again = act(world, command, json!({"instruction": "show the preview again"})).await;
    assert_eq!(again.outcome, JobOutcome::Changed, "{again:?}");
    let published = act(world, &format!("{command}-live"), json!({"action": "publish"})).await;
    assert_eq!((published.outcome, published.note), (JobOutcome::Changed, None));
    assert_eq!(manifest(world, &live()).await.files, manifest(world, &shown(&again)).await.files);
    again
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_remote_did_not_take_is_not_put_live() {
    let world = World::new();
    let remote = world.bakery().await;
    let worker = world.worker(&[]);
    world.order(KEY, work("c-1", THREAD, "change \"7 to 18\" to \"8 to 20\"")).await;
    world.result().await;
    let lock = remote.path.join("refs/heads/thread-aaaaaa1.lock");
    std::fs::write(&lock, "").unwrap();
    let refused = act(&world, "c-2", json!({"instruction": "change \"Since 1920\" to \"Since 1921\""})).await;
    assert_eq!((refused.outcome, refused.s3_bucket), (JobOutcome::Refused, None));
    is_not_put_live(&world, "c-3").await;
    std::fs::remove_file(lock).unwrap();
    is_shown_and_put_live(&world, "c-4").await;
    worker.stop().await;
}

const BUILDS: (&str, &str) = ("build.sh", "cp -RT site dist\n");
const BREAKS: (&str, &str) = ("build.sh", "echo it cannot be built; exit 1\n");

/// Opens later each time, mends what does not build, and lets somebody else go first.
const AGENT: &str = "const fs = require('fs'); const asked = fs.readFileSync(0, 'utf8'); setTimeout(() => {\
    if (asked.includes('it cannot be built')) fs.writeFileSync('build.sh', 'cp -RT site dist\\n');\
    else if (asked.includes('open later')) fs.appendFileSync('site/index.html', 'later\\n');\
    console.log(JSON.stringify({type: 'result', subtype: 'success', result: 'done'})); }, 1000)";

/// A site that its source builds, with a preview.
async fn built_by_its_source(world: &World) -> (Remote, Running) {
    let remote = world.remote("bakery", support::SITE);
    remote.commit("main", &[BUILDS], "build");
    world.project_built_by("bakery", &remote, &["sh", "build.sh"]).await;
    std::fs::write(world.path("agent.js"), AGENT).unwrap();
    let worker = world.worker_with_agent(&format!("node '{}'", world.path("agent.js").display()), &[]);
    assert_eq!(act(world, "c-1", json!({"instruction": "open later"})).await.outcome, JobOutcome::Changed);
    (remote, worker)
}

/// A job in whose way somebody else comes.
async fn overtaken(world: &World, remote: &Remote, command: &str, theirs: &[(&str, &str)]) -> JobResult {
    overtaken_at(world, remote, (command, "open later"), theirs).await
}

async fn overtaken_at(
    world: &World,
    remote: &Remote,
    (command, instruction): (&str, &str),
    theirs: &[(&str, &str)],
) -> JobResult {
    world.order(KEY, work(command, THREAD, instruction)).await;
    let started = async || world.job(command).await.filter(|job| job.attempts == 1).map(|_| ());
    world.until("the agent's start", started).await;
    remote.commit("thread-aaaaaa1", theirs, "theirs");
    world.result().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_branch_that_does_not_build_with_what_came_meanwhile_is_mended_before_it_is_put_live() {
    let world = World::new();
    let (remote, worker) = built_by_its_source(&world).await;
    let failed = overtaken(&world, &remote, "c-2", &[BREAKS]).await;
    assert_eq!(failed.outcome, JobOutcome::BuildFailed, "{failed:?}");
    is_not_put_live(&world, "c-3").await;
    let again = is_shown_and_put_live(&world, "c-4").await;
    assert_eq!(again.files_changed, ["build.sh"]);
    assert_eq!(remote.tip("thread-aaaaaa1").map(|id| id.to_string()), again.commit_id);
    assert_eq!(world.page(&again, "index.html").unwrap().matches("later").count(), 2);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_conflict_what_is_on_the_branch_can_be_put_live_and_nothing_else() {
    let world = World::new();
    let (remote, worker) = built_by_its_source(&world).await;
    let conflict = overtaken(&world, &remote, "c-2", &[("site/index.html", "closed\n"), BREAKS]).await;
    assert_eq!(conflict.outcome, JobOutcome::PushConflict, "{conflict:?}");
    is_not_put_live(&world, "c-3").await;
    let again = is_shown_and_put_live(&world, "c-4").await;
    assert_eq!(world.page(&again, "index.html").unwrap(), "closed\n");

    let conflict = overtaken(&world, &remote, "c-5", &[("site/index.html", "open\n")]).await;
    assert_eq!(conflict.outcome, JobOutcome::PushConflict, "{conflict:?}");
    assert_eq!(world.page(&conflict, "index.html").unwrap(), "open\n");
    let published = act(&world, "c-6", json!({"action": "publish"})).await;
    assert_eq!(published.outcome, JobOutcome::Changed, "{published:?}");
    assert_eq!(manifest(&world, &live()).await.files, manifest(&world, &shown(&conflict)).await.files);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_shown_again_is_on_the_branch_although_earlier_work_conflicts_with_it() {
    let world = World::new();
    let (remote, worker) = built_by_its_source(&world).await;
    take_down(&world, "c-2", 1).await;
    world.commit_unpushed("site/index.html", "ours\n", "ours");
    let again = ("c-3", "show the preview again");
    let again = overtaken_at(&world, &remote, again, &[("site/index.html", "theirs\n")]).await;
    assert_eq!((again.outcome, again.aside.len()), (JobOutcome::Changed, 1), "{again:?}");
    assert_eq!(remote.file(&again.aside[0], "site/index.html").unwrap(), "ours\n");
    assert_eq!(world.page(&again, "index.html").unwrap(), "theirs\n");
    assert_eq!(again.commit_id, remote.tip("thread-aaaaaa1").map(|id| id.to_string()));
    worker.stop().await;
}
