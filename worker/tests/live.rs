//! The live site: put up from a preview, taken back, and put up again, byte for byte; by a worker that has no agent and
//! for a project that cannot be built any more.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod support;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

use bytes::Bytes;
use common::cloud::files::{At, Headers, IfMatch, Space};
use common::domain::ids::{CommandId, ProjectUser};
use common::domain::job::{Job, OutcomeNote};
use common::domain::names::SiteTarget;
use common::domain::outcome::JobOutcome;
use common::domain::project::Project;
use common::domain::site::Manifest;
use common::domain::thread::Thread;
use common::domain::timestamp::Timestamp;
use common::messages::JobResult;
use serde_json::json;
use support::{World, work};

const KEY: &str = "bakery#amelia";

/// Every object of a site: its bytes and what it is served with.
type Pages = BTreeMap<String, (Bytes, Option<Headers>)>;

async fn pages(world: &World, target: &SiteTarget) -> Pages {
    let mut pages = Pages::new();
    for path in world.cloud.files.list(&Space::Site(target.clone()), "").await.unwrap() {
        let content = world.cloud.files.get(&At::page(target, path.clone())).await.unwrap().unwrap();
        pages.insert(path, (content.bytes, content.headers));
    }
    pages
}

fn live() -> SiteTarget {
    SiteTarget::Live("bakery".parse().unwrap())
}

fn shown(result: &JobResult) -> SiteTarget {
    SiteTarget::from_local_host(result.s3_bucket.as_ref().expect("it was published")).unwrap()
}

async fn manifest(world: &World) -> Manifest {
    let content = world.cloud.files.get(&At::object(live().manifest_key())).await.unwrap().unwrap();
    serde_json::from_slice(&content.bytes).unwrap()
}

async fn act(world: &World, command: &str, action: &str, thread: &str) -> JobResult {
    act_as(world, "amelia", command, &json!({"action": action, "threadId": thread})).await
}

async fn act_as(world: &World, user: &str, command: &str, more: &serde_json::Value) -> JobResult {
    let mut body =
        json!({"type": "work", "version": 1, "commandId": command, "projectId": "bakery", "userId": user});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    world.order(&format!("bakery#{user}"), body).await;
    let result = world.result().await;
    assert_eq!(result.command_id.as_str(), command);
    result
}

/// Two conversations, each with a preview, and then a worker that can neither edit nor build.
async fn two_previews(world: &World) -> (Pages, Pages, support::Running) {
    let remote = world.bakery().await;
    let worker = world.worker(&[]);
    world.order(KEY, work("c-1", "aaaaaa1", "change \"7 to 18\" to \"8 to 20\"")).await;
    let first = world.result().await;
    world.order(KEY, work("c-2", "bbbbbb2", "add a page about rye")).await;
    let second = world.result().await;
    worker.stop().await;
    world.project_built_by("bakery", &remote, &["false"]).await;
    let worker = world.worker_with_agent("false", &[]);
    let both = (pages(world, &shown(&first)).await, pages(world, &shown(&second)).await);
    assert_ne!(both.0, both.1);
    (both.0, both.1, worker)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s77_publish_undo_undo_switches_the_live_site_back_and_forth_byte_for_byte() {
    let world = World::new();
    let (first, second, worker) = two_previews(&world).await;
    assert_eq!(pages(&world, &live()).await, Pages::new());

    let published = act(&world, "c-3", "publish", "aaaaaa1").await;
    assert_eq!(published.outcome, JobOutcome::Changed, "{published:?}");
    assert_eq!(shown(&published), live());
    assert_eq!(pages(&world, &live()).await, first);
    assert_eq!(act(&world, "c-4", "publish", "bbbbbb2").await.outcome, JobOutcome::Changed);
    assert_eq!(pages(&world, &live()).await, second);
    for (command, expected) in [("c-5", &first), ("c-6", &second), ("c-7", &first)] {
        let undone = act(&world, command, "undo", "bbbbbb2").await;
        assert_eq!(undone.outcome, JobOutcome::Changed, "{undone:?}");
        assert_eq!(pages(&world, &live()).await, *expected, "{command}");
    }

    let job = world.job("c-5").await.unwrap();
    let steps: Vec<_> = job.steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!((steps, job.transcript_key, job.usage.turns), (vec!["publish"], None, 0));
    let manifest = manifest(&world).await;
    assert_eq!((manifest.release.number, manifest.release.restores), (5, Some(3)));
    let numbers: Vec<_> = manifest.earlier.iter().map(|release| release.number).collect();
    assert_eq!(numbers, [4, 3, 2, 1]);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_kept_release_can_be_named_and_what_is_none_is_said() {
    let world = World::new();
    let (first, second, worker) = two_previews(&world).await;
    let nothing = act(&world, "c-3", "undo", "aaaaaa1").await;
    assert_eq!((nothing.outcome, nothing.s3_bucket), (JobOutcome::Answered, None));
    assert!(nothing.summary.contains("no earlier version"), "{}", nothing.summary);
    let unknown = act(&world, "c-4", "publish", "cccccc3").await;
    assert_eq!(unknown.outcome, JobOutcome::Answered);
    assert!(unknown.summary.contains("no preview"), "{}", unknown.summary);

    act(&world, "c-5", "publish", "aaaaaa1").await;
    let again = act(&world, "c-6", "publish", "aaaaaa1").await;
    assert!(again.outcome == JobOutcome::Answered && again.summary.contains("already"), "{again:?}");
    act(&world, "c-7", "publish", "bbbbbb2").await;
    act(&world, "c-8", "undo", "bbbbbb2").await;
    let named = json!({"action": "undo", "threadId": "bbbbbb2", "release": 2});
    assert_eq!(act_as(&world, "amelia", "c-9", &named).await.outcome, JobOutcome::Changed);
    assert_eq!(pages(&world, &live()).await, second);
    let named = json!({"action": "undo", "threadId": "bbbbbb2", "release": 77});
    assert!(act_as(&world, "amelia", "c-10", &named).await.summary.contains("77"));
    assert_eq!(pages(&world, &live()).await, second);
    assert_ne!(first, second);
    worker.stop().await;
}

/// The same command again, after its switch but before its end was written down: an undo must not undo itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_switched_the_site_before_its_worker_died_does_not_switch_it_again() {
    let world = World::new();
    let (first, _, worker) = two_previews(&world).await;
    act(&world, "c-3", "publish", "aaaaaa1").await;
    act(&world, "c-4", "publish", "bbbbbb2").await;
    act(&world, "c-5", "undo", "bbbbbb2").await;
    for (command, thread, action) in [("c-5", "bbbbbb2", "undo"), ("c-4", "bbbbbb2", "publish")] {
        forget_outcome(&world, command).await;
        assert_eq!(act(&world, command, action, thread).await.outcome, JobOutcome::Changed);
        assert_eq!(pages(&world, &live()).await, first, "{command}");
    }
    assert_eq!(manifest(&world).await.release.number, 3);
    worker.stop().await;
}

async fn edit(world: &World, user: &str, command: &str, (thread, subject): (&str, &str), instruction: &str) {
    let more = json!({"threadId": thread, "instruction": instruction, "context": {"subject": subject}});
    let edited = act_as(world, user, command, &more).await;
    assert_eq!(edited.outcome, JobOutcome::Changed, "{edited:?}");
}

fn parent(remote: &support::Remote, thread: &str) -> Option<String> {
    let repo = remote.repo();
    let tip = repo.find_commit(remote.tip(&format!("thread-{thread}"))?).unwrap();
    Some(tip.parent_id(0).unwrap().to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_conversation_starts_from_what_is_live_and_takes_nothing_of_it_away() {
    let world = World::new();
    let remote = world.bakery().await;
    let worker = world.worker(&[]);
    let tip = |branch: &str| remote.tip(branch).map(|id| id.to_string());
    edit(&world, "amelia", "c-1", ("aaaaaa1", "Hours"), "change \"7 to 18\" to \"8 to 20\"").await;
    edit(&world, "amelia", "c-2", ("bbbbbb2", ""), "add a page about spelt").await;
    assert_eq!(parent(&remote, "bbbbbb2"), tip("main"), "nothing is live yet");
    act(&world, "c-3", "publish", "aaaaaa1").await;
    let hours = tip("thread-aaaaaa1");
    edit(&world, "amelia", "c-4", ("aaaaaa1", "Hours"), "change \"Bakery\" to \"Bakers\"").await;

    // One whose folder knows the live commit, and one of somebody whose folder knows nothing yet.
    edit(&world, "amelia", "c-5", ("cccccc3", "Age"), "change \"Since 1920\" to \"Since 1921\"").await;
    edit(&world, "bob", "d-1", ("dddddd4", "Title"), "change \"About\" to \"About us\"").await;
    assert_eq!((parent(&remote, "cccccc3"), parent(&remote, "dddddd4")), (hours.clone(), hours.clone()));
    let published = act(&world, "c-6", "publish", "cccccc3").await;
    assert_eq!((published.outcome, published.note), (JobOutcome::Changed, None));
    let both = pages(&world, &live()).await;
    let page = |path: &str| String::from_utf8(both[path].0.to_vec()).unwrap();
    assert!(page("index.html").contains("8 to 20") && page("about.html").contains("1921"), "{both:?}");

    // It was begun before that, so it is without it: nobody takes it away unsaid.
    let title = json!({"action": "publish", "threadId": "dddddd4"});
    let published = act_as(&world, "bob", "d-2", &title).await;
    let age = OutcomeNote::Replaced { subject: Some("Age".into()) };
    assert_eq!((published.outcome, published.note), (JobOutcome::Changed, Some(age.clone())));
    assert!(published.summary.contains("an undo brings that back"), "{}", published.summary);
    forget_outcome(&world, "d-2").await;
    assert_eq!(act_as(&world, "bob", "d-2", &title).await.note, Some(age), "told again, it is the same");
    let undone = act_as(&world, "bob", "d-3", &json!({"action": "undo", "threadId": "dddddd4"})).await;
    assert_eq!((undone.note, pages(&world, &live()).await), (None, both));
    edit(&world, "bob", "d-4", ("eeeeee5", ""), "add a page about barley").await;
    assert_eq!(parent(&remote, "eeeeee5"), tip("thread-cccccc3"), "what is live after the undo");

    // The owner's own people have gone on with the default branch.
    remote.commit("main", &[("site/legal.html", "<p>Legal</p>")], "legal");
    edit(&world, "bob", "d-5", ("ffffff6", ""), "add a page about millet").await;
    assert_eq!(parent(&remote, "ffffff6"), tip("main"));
    let published = act_as(&world, "bob", "d-6", &json!({"action": "publish", "threadId": "ffffff6"})).await;
    assert!(matches!(published.note, Some(OutcomeNote::Replaced { .. })), "{published:?}");
    worker.stop().await;
}

/// The first answer was a question, so there is a branch here and no commit of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_without_a_commit_of_its_own_goes_on_from_what_went_live_meanwhile() {
    let world = World::new();
    let remote = world.bakery().await;
    let worker = world.worker(&[]);
    let nothing = json!({"threadId": "bbbbbb2", "instruction": "change \"no such words\" to \"others\""});
    assert_ne!(act_as(&world, "amelia", "c-1", &nothing).await.outcome, JobOutcome::Changed);
    edit(&world, "amelia", "c-2", ("aaaaaa1", "Hours"), "change \"7 to 18\" to \"8 to 20\"").await;
    act(&world, "c-3", "publish", "aaaaaa1").await;
    edit(&world, "amelia", "c-4", ("bbbbbb2", ""), "change \"Since 1920\" to \"Since 1921\"").await;
    assert_eq!(parent(&remote, "bbbbbb2"), remote.tip("thread-aaaaaa1").map(|id| id.to_string()));
    let published = act(&world, "c-5", "publish", "bbbbbb2").await;
    assert_eq!((published.outcome, published.note), (JobOutcome::Changed, None));
    worker.stop().await;
}

/// Somebody who has seen one preview does not mean the next one, however long their word waits behind it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preview_that_nobody_can_have_seen_who_wants_it_live_is_not_put_live() {
    let world = World::new();
    let (first, _, worker) = two_previews(&world).await;
    let seen = world.cloud.clock.now();
    let publish =
        |at: Timestamp| json!({"action": "publish", "threadId": "aaaaaa1", "timestamp": at.millis()});
    assert_eq!(act_as(&world, "amelia", "c-3", &publish(seen)).await.outcome, JobOutcome::Changed);
    worker.stop().await;
    world.project("bakery", &support::Remote { path: world.path("bakery.git") }).await;
    let worker = world.worker(&[]);
    tokio::time::sleep(Duration::from_millis(5)).await;
    world.order(KEY, work("c-4", "aaaaaa1", "change \"Since 1920\" to \"Since 1921\"")).await;
    let second = pages(&world, &shown(&world.result().await)).await;
    assert_ne!(first, second);

    let early = act_as(&world, "amelia", "c-5", &publish(seen)).await;
    assert_eq!((early.outcome, early.note), (JobOutcome::Answered, Some(OutcomeNote::PreviewChanged)));
    assert_eq!(
        (early.s3_bucket, pages(&world, &live()).await == first),
        (None, true),
        "nothing was put live"
    );
    // What was put live before the preview changed is told as it was, whoever brings its message again.
    forget_outcome(&world, "c-3").await;
    assert_eq!(act_as(&world, "amelia", "c-3", &publish(seen)).await.outcome, JobOutcome::Changed);

    // It was put up before somebody wrote, and its answer went out after that.
    let put_up = world.cloud.clock.now();
    let told = put_up.plus(Duration::from_mins(1));
    let close = |job: &mut Job| {
        job.finished_at = Some(told);
        ControlFlow::Continue(())
    };
    world.cloud.store.update(&CommandId::parse("c-4").unwrap(), close).await.unwrap();
    let unseen = act_as(&world, "amelia", "c-6", &publish(put_up)).await;
    assert_eq!(unseen.note, Some(OutcomeNote::PreviewChanged));
    assert_eq!(act_as(&world, "amelia", "c-7", &publish(told)).await.outcome, JobOutcome::Changed);
    assert_eq!(pages(&world, &live()).await, second);
    worker.stop().await;
}

/// Somebody who wants the version of before back does not mean what somebody else has put live since they wrote.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_somebody_else_put_live_since_an_undo_was_written_stays_live() {
    let world = World::new();
    let (first, second, worker) = two_previews(&world).await;
    act(&world, "c-3", "publish", "aaaaaa1").await;
    let written = world.cloud.clock.now();
    tokio::time::sleep(Duration::from_millis(5)).await;
    act(&world, "c-4", "publish", "bbbbbb2").await;
    let undo = |at: Timestamp| json!({"action": "undo", "threadId": "dddddd4", "timestamp": at.millis()});

    let unseen = act_as(&world, "bob", "d-1", &undo(written)).await;
    assert_eq!((unseen.outcome, unseen.note), (JobOutcome::Answered, Some(OutcomeNote::LiveChanged)));
    assert!(pages(&world, &live()).await == second && unseen.s3_bucket.is_none(), "nothing was switched");
    let since = world.cloud.clock.now();
    assert_eq!(act_as(&world, "bob", "d-2", &undo(since)).await.outcome, JobOutcome::Changed);
    assert_eq!(pages(&world, &live()).await, first);

    // Its own release is newer than it, and so is what whoever wrote it had ordered before that.
    forget_outcome(&world, "d-2").await;
    assert_eq!(act_as(&world, "bob", "d-2", &undo(since)).await.outcome, JobOutcome::Changed);
    assert_eq!(pages(&world, &live()).await, first);
    assert_eq!(act_as(&world, "bob", "d-3", &undo(written)).await.outcome, JobOutcome::Changed);
    assert_eq!(pages(&world, &live()).await, second);
    let named = json!({"action": "undo", "threadId": "bbbbbb2", "release": 1, "timestamp": written.millis()});
    assert_eq!(act_as(&world, "amelia", "c-5", &named).await.outcome, JobOutcome::Changed);
    assert_eq!(pages(&world, &live()).await, first, "a release that is named is meant whatever is live");
    worker.stop().await;
}

async fn forget_outcome(world: &World, command: &str) {
    let forget = |job: &mut Job| {
        job.outcome = None;
        ControlFlow::Continue(())
    };
    world.cloud.store.update(&CommandId::parse(command).unwrap(), forget).await.unwrap();
}

/// Claims are counted per project and user; the live site is shared by all users of a project.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_of_one_project_publish_in_turn_whatever_the_epochs_of_their_claims() {
    let world = World::new();
    let (_, second, worker) = two_previews(&world).await;
    act(&world, "c-3", "publish", "aaaaaa1").await;
    worker.stop().await;
    let key = ProjectUser::parse("bakery#bob").unwrap();
    assert!(world.cloud.claims.get(&key).await.unwrap().is_none());
    let worker = world.worker(&[]);
    world.project("bakery", &support::Remote { path: world.path("bakery.git") }).await;
    let edit = json!({"threadId": "dddddd4", "instruction": "change \"Since 1920\" to \"Since 1921\""});
    let edited = act_as(&world, "bob", "d-1", &edit).await;
    let published = act_as(&world, "bob", "d-2", &json!({"action": "publish", "threadId": "dddddd4"})).await;
    assert_eq!(published.outcome, JobOutcome::Changed, "{published:?}");
    assert_eq!(pages(&world, &live()).await, pages(&world, &shown(&edited)).await);
    act(&world, "c-4", "publish", "bbbbbb2").await;
    assert_eq!(pages(&world, &live()).await, second);
    let fences = manifest(&world).await.fences;
    assert_eq!(fences.len(), 2, "{fences:?}");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_project_made_anew_under_its_name_is_not_taken_back_to_the_site_of_the_one_before() {
    let world = World::new();
    let (first, second, worker) = two_previews(&world).await;
    act(&world, "c-3", "publish", "aaaaaa1").await;
    act(&world, "c-4", "publish", "bbbbbb2").await;
    let now = world.cloud.clock.now();
    let anew = |project: &mut Project| {
        project.created_at = now;
        ControlFlow::Continue(())
    };
    world.cloud.store.update(&"bakery".parse().unwrap(), anew).await.unwrap();
    let undone = act(&world, "c-5", "undo", "bbbbbb2").await;
    assert_eq!(undone.outcome, JobOutcome::Answered, "{undone:?}");
    act(&world, "c-6", "publish", "aaaaaa1").await;
    for named in [json!(null), json!(2)] {
        let undo = json!({"action": "undo", "threadId": "bbbbbb2", "release": named});
        let undone = act_as(&world, "amelia", &format!("undo-{named}"), &undo).await;
        assert_eq!(undone.outcome, JobOutcome::Answered, "{undone:?}");
        assert_eq!(pages(&world, &live()).await, first);
    }
    act(&world, "c-7", "publish", "bbbbbb2").await;
    assert_eq!(pages(&world, &live()).await, second);
    assert_eq!(act(&world, "c-8", "undo", "bbbbbb2").await.outcome, JobOutcome::Changed);
    assert_eq!(pages(&world, &live()).await, first, "its own releases can be put up again");
    worker.stop().await;
}

/// As `hermes projects undo` orders it: as work of the owner of the conversation that the present release shows.
async fn undo_by_an_operator(world: &World, command: &str) -> JobResult {
    let thread = manifest(world).await.release.thread_id.unwrap();
    let row = world.cloud.store.load::<Thread>(&thread).await.unwrap().unwrap().value;
    let more = json!({"action": "undo", "threadId": thread});
    act_as(world, row.user_id.as_str(), command, &more).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_undoes_what_two_users_published_back_and_forth() {
    let world = World::new();
    let (first, _, worker) = two_previews(&world).await;
    act(&world, "c-3", "publish", "aaaaaa1").await;
    worker.stop().await;
    world.project("bakery", &support::Remote { path: world.path("bakery.git") }).await;
    let worker = world.worker(&[]);
    let edit = json!({"threadId": "dddddd4", "instruction": "change \"Since 1920\" to \"Since 1921\""});
    let bobs = act_as(&world, "bob", "d-1", &edit).await;
    let bobs = pages(&world, &shown(&bobs)).await;
    act_as(&world, "bob", "d-2", &json!({"action": "publish", "threadId": "dddddd4"})).await;
    for (command, expected) in [("o-1", &first), ("o-2", &bobs), ("o-3", &first)] {
        let undone = undo_by_an_operator(&world, command).await;
        assert_eq!(undone.outcome, JobOutcome::Changed, "{undone:?}");
        assert_eq!(pages(&world, &live()).await, *expected, "{command}");
    }
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_fails_where_the_live_site_cannot_be_written_to() {
    let world = World::new();
    world.bakery().await;
    let worker = world.worker_with_agent("false", &[]);
    let in_the_way = world.path("data/sites").join(live().local_host());
    std::fs::create_dir_all(in_the_way.parent().unwrap()).unwrap();
    std::fs::write(&in_the_way, "no folder").unwrap();
    let checked = act(&world, "c-1", "check", "eeeeee5").await;
    assert_eq!(checked.outcome, JobOutcome::PublishFailed, "{checked:?}");
    assert!(checked.error.unwrap().starts_with("live-failed: "));
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_fetches_builds_and_shows_the_site_as_it_is_and_pushes_nothing() {
    let world = World::new();
    let remote = world.bakery().await;
    let worker = world.worker_with_agent("false", &[]);
    let checked = act(&world, "c-1", "check", "eeeeee5").await;
    assert_eq!(checked.outcome, JobOutcome::Changed, "{checked:?}");
    assert_eq!(shown(&checked), SiteTarget::Preview("bakery".parse().unwrap()));
    assert!(world.page(&checked, "index.html").unwrap().contains("7 to 18"));
    assert_eq!(remote.branches(), ["main"]);
    let steps: Vec<_> = world.job("c-1").await.unwrap().steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(steps, ["checkout", "build", "publish", "publish"]);
    assert_eq!(pages(&world, &live()).await, BTreeMap::default(), "nothing stays at the live site");

    let left = At::page(&live(), ".hermes-check");
    world
        .cloud
        .files
        .put(&left, b"of a worker that was killed".as_slice().into(), IfMatch::Any)
        .await
        .unwrap();
    assert_eq!(act(&world, "c-3", "check", "eeeeee5").await.outcome, JobOutcome::Changed);
    assert!(!world.cloud.files.exists(&left).await.unwrap());

    world.project_built_by("bakery", &remote, &["ls", "/no such folder"]).await;
    let failed = act(&world, "c-2", "check", "eeeeee5").await;
    assert_eq!(failed.outcome, JobOutcome::BuildFailed, "{failed:?}");
    assert!(failed.error.unwrap().contains("no such folder"));
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n";
    remote.commit("main", &[("src/logo.png", pointer)], "a logo");
    let failed = act(&world, "c-4", "check", "eeeeee5").await;
    let error = failed.error.unwrap();
    assert!(error.contains("no such folder") && error.contains("Git LFS"), "{error}");
    assert!(error.ends_with("- src/logo.png"), "{error}");
    worker.stop().await;
}
