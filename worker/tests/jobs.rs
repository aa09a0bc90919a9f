//! Jobs from message to result: real SQLite, real git remotes, the real demo agent.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod support;

use common::cloud::files::{At, IfMatch};
use common::domain::job::JobState;
use common::domain::names::{ContentHash, Queue, SiteTarget};
use common::domain::outcome::JobOutcome;
use common::domain::site::Manifest;
use common::domain::timestamp::Timestamp;
use common::messages::JobResult;
use git2::Repository;
use serde_json::json;
use support::{World, input, work};

const KEY: &str = "bakery#amelia";
const HOURS: &str = "change \"7 to 18\" to \"8 to 20\"";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s51_a_first_message_is_cloned_edited_built_published_and_pushed() {
    let world = World::new();
    let remote = world.bakery().await;
    let worker = world.worker(&[]);
    world.order(KEY, work("c-1", "abcdef1", HOURS)).await;
    let result = world.result().await;
    assert_eq!(result.outcome, JobOutcome::Changed, "{result:?}");
    assert!(result.success && result.error.is_none());
    assert_eq!(result.files_changed, ["site/index.html"]);
    assert!(result.summary.contains("demo agent"), "{}", result.summary);
    assert_eq!(result.branch.as_deref(), Some("thread-abcdef1"));
    assert_eq!(result.commit_id, remote.tip("thread-abcdef1").map(|id| id.to_string()));
    assert_eq!(world.page(&result, "index.html").unwrap(), "<title>Bakery</title><p>Open 8 to 20</p>\n");
    assert_eq!(remote.messages("thread-abcdef1").len(), 1);
    assert!(remote.file("main", "site/index.html").unwrap().contains("7 to 18"), "main is left alone");

    let job = world.job("c-1").await.unwrap();
    assert_eq!((job.state, job.attempts, job.outcome), (JobState::Running, 1, Some(JobOutcome::Changed)));
    let steps: Vec<_> = job.steps.iter().map(|step| (step.name.as_str(), step.ended_at.is_some())).collect();
    let names = ["checkout", "agent", "commit", "build", "publish", "push"];
    assert_eq!(steps, names.map(|name| (name, true)));
    let transcript = world.cloud.files.get(&At::object(job.transcript_key.unwrap())).await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&transcript.bytes).contains("\"type\":\"result\""));
    world.until("the delivery's end", async || (world.depth(input(KEY)).await == 0).then_some(())).await;
    worker.stop().await;
    assert_eq!(world.holder(KEY).await, None, "the claim is given back at the end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s52_a_branch_that_only_the_remote_has_is_continued() {
    let world = World::new();
    let remote = world.bakery().await;
    let earlier = remote.commit("thread-abcdef1", &[("site/about.html", "Since 1919\n")], "earlier");
    let worker = world.worker(&[]);
    world.order(KEY, work("c-1", "abcdef1", HOURS)).await;
    let result = world.result().await;
    assert_eq!(result.outcome, JobOutcome::Changed, "{result:?}");
    assert_eq!(world.page(&result, "about.html").unwrap(), "Since 1919\n");
    let tip = remote.repo().find_commit(remote.tip("thread-abcdef1").unwrap()).unwrap().parent_id(0).unwrap();
    assert_eq!(tip, earlier);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s53_what_was_left_in_the_folder_is_kept_on_its_own_branch() {
    let world = World::new();
    let remote = world.bakery().await;
    let worker = world.worker(&[]);
    world.order(KEY, work("c-1", "aaaaaa1", HOURS)).await;
    world.result().await;
    let folder = world.path("data/workspaces/bakery-amelia/repo");
    std::fs::write(folder.join("site/about.html"), "half done\n").unwrap();
    std::fs::write(folder.join("site/new.html"), "untracked\n").unwrap();

    world.order(KEY, work("c-2", "bbbbbb2", "change \"1920\" to \"1921\"")).await;
    let other = world.result().await;
    assert_eq!(other.files_changed, ["site/about.html"], "{other:?}");
    assert!(world.page(&other, "new.html").is_none(), "it is not on the other thread's site");
    world.order(KEY, work("c-3", "aaaaaa1", "change \"8 to 20\" to \"9 to 21\"")).await;
    world.result().await;
    assert_eq!(remote.file("thread-aaaaaa1", "site/new.html").unwrap(), "untracked\n");
    assert_eq!(remote.file("thread-aaaaaa1", "site/about.html").unwrap(), "half done\n");
    assert!(remote.file("thread-bbbbbb2", "site/new.html").is_none());
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s54_new_commits_on_the_remote_are_rebased_onto() {
    let world = World::new();
    let remote = world.bakery().await;
    let worker = world.worker_with_agent(&format!("'{}' --delay-ms 1000", support::AGENT), &[]);
    world.order(KEY, work("c-1", "abcdef1", HOURS)).await;
    agent_started(&world, "c-1").await;
    let theirs = remote.commit("thread-abcdef1", &[("site/about.html", "Since 1919\n")], "theirs");
    let result = world.result().await;
    assert_eq!(result.outcome, JobOutcome::Changed, "{result:?}");
    let tip = remote.repo().find_commit(remote.tip("thread-abcdef1").unwrap()).unwrap().parent_id(0).unwrap();
    assert_eq!(tip, theirs);
    assert!(remote.file("thread-abcdef1", "site/index.html").unwrap().contains("8 to 20"));
    assert_eq!(result.commit_id, remote.tip("thread-abcdef1").map(|id| id.to_string()));
    assert!(world.page(&result, "about.html").unwrap().contains("Since 1919"), "both sides are shown");
    assert!(world.page(&result, "index.html").unwrap().contains("8 to 20"));
    assert_eq!(shown_commit(&world, &result).await, remote.tip("thread-abcdef1"));
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_cannot_be_built_and_conflicts_is_told_with_its_branch() {
    let world = World::new();
    let remote = world.remote("bakery", support::SITE);
    world.project_built_by("bakery", &remote, &["false"]).await;
    let worker = world.worker_with_agent(&format!("'{}' --delay-ms 1000", support::AGENT), &[]);
    world.order(KEY, work("c-1", "abcdef1", HOURS)).await;
    agent_started(&world, "c-1").await;
    remote.commit("thread-abcdef1", &[("site/index.html", "closed\n")], "theirs");
    let result = world.result().await;
    let aside = remote.branches().into_iter().find(|name| name.contains("-conflict-")).unwrap();
    assert_eq!((result.outcome, &result.aside[..]), (JobOutcome::BuildFailed, &[aside][..]), "{result:?}");
    worker.stop().await;
}

/// The commit that the preview of a result says that it was built from.
async fn shown_commit(world: &World, result: &JobResult) -> Option<git2::Oid> {
    let target = SiteTarget::from_local_host(result.s3_bucket.as_ref()?)?;
    let manifest = world.cloud.files.get(&At::object(target.manifest_key())).await.unwrap()?;
    let manifest: Manifest = serde_json::from_slice(&manifest.bytes).unwrap();
    manifest.release.commit_id.parse().ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s55_a_conflict_keeps_both_sides_and_leaves_no_half_merge() {
    let world = World::new();
    let remote = world.bakery().await;
    let worker = world.worker_with_agent(&format!("'{}' --delay-ms 1000", support::AGENT), &[]);
    world.order(KEY, work("c-1", "abcdef1", HOURS)).await;
    agent_started(&world, "c-1").await;
    let theirs = remote.commit("thread-abcdef1", &[("site/index.html", "closed\n")], "theirs");
    let result = world.result().await;
    assert_eq!(result.outcome, JobOutcome::PushConflict, "{result:?}");
    assert_eq!(remote.tip("thread-abcdef1"), Some(theirs), "theirs stands");
    let aside = remote.branches().into_iter().find(|name| name.contains("-conflict-")).unwrap();
    assert_eq!((&result.aside[..], &*result.summary), (&[aside.clone()][..], ""));
    assert!(remote.file(&aside, "site/index.html").unwrap().contains("8 to 20"), "ours is kept");
    let repo = Repository::open(world.path("data/workspaces/bakery-amelia/repo")).unwrap();
    assert_eq!(repo.state(), git2::RepositoryState::Clean);
    assert!(!repo.index().unwrap().has_conflicts());
    assert_eq!(world.page(&result, "index.html").unwrap(), "closed\n", "what is shown is on the branch");
    assert_eq!(shown_commit(&world, &result).await, Some(theirs));

    world.order(KEY, work("c-2", "abcdef1", "change \"closed\" to \"open\"")).await;
    let next = world.result().await;
    assert_eq!(next.outcome, JobOutcome::Changed, "the next job goes on from theirs: {next:?}");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s56_a_folder_in_the_middle_of_a_merge_is_recovered() {
    let world = World::new();
    let remote = world.bakery().await;
    let worker = world.worker(&[]);
    world.order(KEY, work("c-1", "abcdef1", HOURS)).await;
    world.result().await;
    {
        let repo = Repository::open(world.path("data/workspaces/bakery-amelia/repo")).unwrap();
        let who = git2::Signature::now("x", "x@example.org").unwrap();
        let base = repo.head().unwrap().peel_to_commit().unwrap().parent(0).unwrap();
        let mut change = git2::build::TreeUpdateBuilder::new();
        let blob = repo.blob(b"other\n").unwrap();
        change.upsert("site/index.html", blob, git2::FileMode::Blob);
        let tree = repo.find_tree(change.create_updated(&repo, &base.tree().unwrap()).unwrap()).unwrap();
        let other = repo.commit(None, &who, &who, "other", &tree, &[&base]).unwrap();
        repo.merge(&[&repo.find_annotated_commit(other).unwrap()], None, None).unwrap();
        assert!(repo.index().unwrap().has_conflicts());
        assert_eq!(repo.state(), git2::RepositoryState::Merge);
    }
    world.order(KEY, work("c-2", "abcdef1", "change \"8 to 20\" to \"9 to 21\"")).await;
    let result = world.result().await;
    assert_eq!(result.outcome, JobOutcome::Changed, "{result:?}");
    assert!(!remote.file("thread-abcdef1", "site/index.html").unwrap().contains("<<<<"));
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_checkout_is_made_anew() {
    let world = World::new();
    world.bakery().await;
    let worker = world.worker(&[]);
    world.order(KEY, work("c-1", "abcdef1", HOURS)).await;
    world.result().await;
    let git = world.path("data/workspaces/bakery-amelia/repo/.git");
    std::fs::remove_dir_all(git.join("objects")).unwrap();
    std::fs::write(git.join("index"), "garbage").unwrap();
    world.order(KEY, work("c-2", "abcdef1", "change \"8 to 20\" to \"9 to 21\"")).await;
    let result = world.result().await;
    assert_eq!(result.outcome, JobOutcome::Changed, "{result:?}");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s58_shell_text_of_an_instruction_is_committed_literally() {
    let world = World::new();
    let remote = world.bakery().await;
    let worker = world.worker(&[]);
    let canary = world.path("canary");
    let nasty = format!("`touch {0}` $(touch {0}) 'x' {1}", canary.display(), "long ".repeat(100));
    world.order(KEY, work("c-1", "abcdef1", &format!("change \"7 to 18\" to \"{nasty}\""))).await;
    let result = world.result().await;
    assert_eq!(result.outcome, JobOutcome::Changed, "{result:?}");
    let message = remote.messages("thread-abcdef1").remove(0);
    let subject = message.lines().next().unwrap();
    assert!(
        subject.starts_with("change \"7 to 18\" to \"`touch") && subject.chars().count() <= 72,
        "{subject}"
    );
    assert!(message.contains(nasty.trim()), "{message}");
    assert!(message.contains("\nThread: abcdef1\nCommand-Id: c-1\nRequested-By: amelia@example.org\n"));
    assert!(world.page(&result, "index.html").unwrap().contains("$(touch"));
    assert!(!canary.exists());
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s59_two_conversations_about_one_file_have_branches_and_previews_of_their_own() {
    let world = World::new();
    let remote = world.bakery().await;
    let worker = world.worker(&[]);
    world.order(KEY, work("c-1", "aaaaaa1", HOURS)).await;
    world.order(KEY, work("c-2", "bbbbbb2", "change \"7 to 18\" to \"6 to 12\"")).await;
    let (first, second) = (world.result().await, world.result().await);
    world.order(KEY, work("c-3", "aaaaaa1", "change \"Since 1920\" to \"Since 1921\"")).await;
    let third = world.result().await;
    for result in [&first, &second, &third] {
        assert_eq!(result.outcome, JobOutcome::Changed, "{result:?}");
    }
    assert_ne!(first.s3_bucket, second.s3_bucket);
    assert_eq!(first.s3_bucket, third.s3_bucket);
    for (branch, result, own, others) in
        [("thread-aaaaaa1", &third, "8 to 20", "6 to 12"), ("thread-bbbbbb2", &second, "6 to 12", "8 to 20")]
    {
        assert_eq!(result.branch.as_deref(), Some(branch));
        let (page, source) =
            (world.page(result, "index.html").unwrap(), remote.file(branch, "site/index.html").unwrap());
        assert!(page.contains(own) && !page.contains(others), "{page}");
        assert_eq!(page, source);
    }
    assert!(world.page(&third, "about.html").unwrap().contains("Since 1921"));
    assert!(world.page(&second, "about.html").unwrap().contains("Since 1920"));
    assert!(remote.file("main", "site/index.html").unwrap().contains("7 to 18"));
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_changes_nothing_is_answered_without_a_build() {
    let world = World::new();
    let remote = world.bakery().await;
    let worker = world.worker(&[]);
    world.order(KEY, work("c-1", "abcdef1", "what is this?")).await;
    let result = world.result().await;
    assert_eq!((result.outcome, result.success), (JobOutcome::Answered, true), "{result:?}");
    assert_eq!((result.commit_id, result.s3_bucket), (None, None));
    assert_eq!(remote.branches(), ["main"]);
    assert!(world.job("c-1").await.unwrap().steps.iter().all(|step| step.name.as_str() != "build"));
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_developer_calls_unfinished_is_no_work_of_ours() {
    let world = World::new();
    let remote = world.bakery().await;
    let key = format!("AKIA{}", "ABCDEFGH234567AB");
    let theirs = remote.commit("main", &[("site/new.html", &key)], "WIP: redesign\n");
    let worker = world.worker(&[]);
    world.order(KEY, work("c-1", "abcdef1", "what is this?")).await;
    let answered = world.result().await;
    assert_eq!(
        (answered.outcome, answered.commit_id),
        (JobOutcome::Answered, None),
        "{:?}",
        answered.summary
    );
    assert_eq!(remote.branches(), ["main"]);
    world.order(KEY, work("c-2", "abcdef1", HOURS)).await;
    let changed = world.result().await;
    assert_eq!(changed.files_changed, ["site/index.html"], "{changed:?}");
    let repo = remote.repo();
    let tip = repo.find_commit(remote.tip("thread-abcdef1").unwrap()).unwrap();
    assert_eq!(tip.parent_id(0).unwrap(), theirs);
    worker.stop().await;
}

const ASKING: &str =
    "console.log(JSON.stringify({type:'result',subtype:'success',result:'QUESTION: Which?'}))";

/// Unfinished work of a command, with an edit that nobody has finished.
fn left_unfinished(remote: &support::Remote, thread: &str, command: &str) -> git2::Oid {
    let text =
        format!("WIP: Auto-save: Stopped\n\nHours\n\nThread: {thread}\nUnfinished-Command-Id: {command}\n");
    remote.commit(&format!("thread-{thread}"), &[("site/index.html", "half\n")], &text)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_does_not_finish_what_somebody_left_unfinished_and_who_goes_on_sees_it() {
    let world = World::new();
    let remote = world.bakery().await;
    left_unfinished(&remote, "aaaaaa1", "c-0");
    let worker = world.worker(&[]);
    world.order(KEY, work("c-1", "aaaaaa1", "go on")).await;
    let shown = world.result().await;
    assert_eq!(shown.outcome, JobOutcome::Changed, "there was nothing left to do: {shown:?}");
    assert_eq!(world.page(&shown, "index.html").unwrap(), "half\n");
    worker.stop().await;

    let worker = world.worker_with_agent(&format!("node -e \"{ASKING}\""), &[]);
    let asking = left_unfinished(&remote, "cccccc3", "c-3");
    world.order(KEY, work("c-3", "cccccc3", HOURS)).await;
    let question = world.result().await;
    assert_eq!(
        (question.outcome, question.commit_id),
        (JobOutcome::Question, None),
        "{:?}",
        question.summary
    );
    assert_eq!(remote.tip("thread-cccccc3"), Some(asking));
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_page_leaves_the_site_and_the_same_contents_are_stored_once() {
    let world = World::new();
    let remote = world.bakery().await;
    let worker = world.worker(&[]);
    world.order(KEY, work("c-1", "abcdef1", "add a page about rye")).await;
    let first = world.result().await;
    assert!(world.page(&first, "index.html").is_some());
    let new_page = first.files_changed[0].clone();
    let stored =
        world.cloud.files.list(&common::cloud::files::Space::Objects, "releases/bakery/").await.unwrap();
    remote.remove("thread-abcdef1", "site/about.html");
    world.order(KEY, work("c-2", "abcdef1", HOURS)).await;
    let second = world.result().await;
    assert_eq!(first.s3_bucket, second.s3_bucket, "one thread, one preview ({new_page})");
    assert!(world.page(&second, "about.html").is_none(), "{second:?}");
    let after =
        world.cloud.files.list(&common::cloud::files::Space::Objects, "releases/bakery/").await.unwrap();
    assert_eq!(after.len(), stored.len() + 1, "only the changed page was stored");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s42_a_failed_build_keeps_the_work_and_the_site_that_was_up() {
    let world = World::new();
    let remote = world.bakery().await;
    let worker = world.worker(&[]);
    world.order(KEY, work("c-1", "abcdef1", HOURS)).await;
    let up = world.result().await;
    world.project_built_by("bakery", &remote, &["ls", "/no such folder"]).await;
    world.order(KEY, work("c-2", "abcdef1", "change \"8 to 20\" to \"9 to 21\"")).await;
    let result = world.result().await;
    assert_eq!(result.outcome, JobOutcome::BuildFailed, "{result:?}");
    assert!(result.error.unwrap().contains("no such folder"), "the log is shown to the operator");
    assert!(!result.summary.contains("no such folder") && result.summary.contains("stays up"));
    assert!(
        remote.file("thread-abcdef1", "site/index.html").unwrap().contains("9 to 21"),
        "the work is kept"
    );
    assert!(world.page(&up, "index.html").unwrap().contains("8 to 20"));
    assert_eq!(world.job("c-2").await.unwrap().attempts, 1);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s44_an_agent_that_fails_three_times_ends_in_the_dead_queue_and_the_next_work_goes_on() {
    let world = World::new();
    world.bakery().await;
    let worker = world.worker_with_agent(&format!("'{}' --fail", support::AGENT), &[]);
    world.order(KEY, work("c-1", "abcdef1", HOURS)).await;
    let result = world.result().await;
    assert_eq!((result.outcome, result.success), (JobOutcome::AgentFailed, false), "{result:?}");
    assert!(result.error.unwrap().contains("told to fail"));
    let dead = world.next(Queue::Dead).await;
    assert_eq!(dead.group.as_deref(), Some(KEY));
    assert!(dead.attributes["reason"].contains("told to fail"), "{dead:?}");
    assert!(dead.body.contains("c-1"));
    assert_eq!(world.job("c-1").await.unwrap().attempts, 3);
    worker.stop().await;

    let worker = world.worker(&[]);
    world.order(KEY, work("c-2", "abcdef1", HOURS)).await;
    assert_eq!(world.result().await.outcome, JobOutcome::Changed);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repositories_that_cannot_be_used_are_refused_before_the_agent_runs() {
    let world = World::new();
    world.bakery().await;
    let worker = world.worker(&[]);
    let missing = format!("file://{}", world.path("missing.git").display());
    for (command, url) in [("c-1", missing.as_str()), ("c-2", "https://evil.example/x"), ("c-3", "ext::id")] {
        let mut message = work(command, "abcdef1", HOURS);
        message["repoUrl"] = json!(url);
        world.order(KEY, message).await;
        let result = world.result().await;
        assert_eq!(result.outcome, JobOutcome::Refused, "{url}: {result:?}");
        assert!(!result.summary.is_empty() && result.error.is_some());
        assert_eq!(world.job(command).await.unwrap().attempts, 0, "no money was spent");
    }
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_without_any_repository_is_refused_with_its_reason() {
    let world = World::new();
    let worker = world.worker(&[]);
    world.order(KEY, work("c-1", "abcdef1", HOURS)).await;
    let result = world.result().await;
    assert_eq!(result.outcome, JobOutcome::Refused);
    assert_eq!(world.next(Queue::Dead).await.attributes["reason"], "repoUrl not in message");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_of_the_worker_is_never_committed_or_told() {
    const TOKEN: &str = "ghp_not_a_real_token_1";
    let world = World::new();
    let remote = world.bakery().await;
    let worker = world.worker(&["--github-token", TOKEN]);
    world.order(KEY, work("c-1", "abcdef1", &format!("change \"7 to 18\" to \"{TOKEN}\""))).await;
    let result = world.result().await;
    assert_eq!(result.outcome, JobOutcome::Refused, "{result:?}");
    assert!(!format!("{result:?}").contains(TOKEN));
    assert_eq!(remote.branches(), ["main"]);
    let key = world.job("c-1").await.unwrap().transcript_key.unwrap();
    let transcript = world.cloud.files.get(&At::object(key)).await.unwrap().unwrap();
    assert!(!String::from_utf8_lossy(&transcript.bytes).contains(TOKEN));
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s39_work_that_has_its_outcome_is_told_again_but_not_run_again() {
    let world = World::new();
    let remote = world.bakery().await;
    let worker = world.worker(&[]);
    let message = work("c-1", "abcdef1", HOURS);
    world.order(KEY, message.clone()).await;
    let first = world.result().await;
    world.order(KEY, message).await;
    let second = world.result().await;
    assert_eq!(first.to_json(), second.to_json());
    assert_eq!(remote.messages("thread-abcdef1").len(), 1);
    assert_eq!(world.job("c-1").await.unwrap().attempts, 1);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_is_on_the_branch_already_is_adopted_without_the_agent() {
    let world = World::new();
    let remote = world.bakery().await;
    let text = "Hours\n\nHours\n\nThread: abcdef1\nCommand-Id: c-1\nRequested-By: x\n";
    let done = remote.commit("thread-abcdef1", &[("site/index.html", "8 to 20\n")], text);
    let worker = world.worker_with_agent(&format!("'{}' --fail", support::AGENT), &[]);
    world.order(KEY, work("c-1", "abcdef1", HOURS)).await;
    let result = world.result().await;
    assert_eq!(result.outcome, JobOutcome::Changed, "{result:?}");
    assert_eq!(result.commit_id, Some(done.to_string()));
    assert_eq!(result.files_changed, ["site/index.html"]);
    assert_eq!(world.page(&result, "index.html").unwrap(), "8 to 20\n");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_folder_is_left_to_whoever_holds_it() {
    let world = World::new();
    world.bakery().await;
    let folder = world.path("data/workspaces/bakery-amelia");
    std::fs::create_dir_all(&folder).unwrap();
    let lock = std::fs::File::create(folder.join("lock")).unwrap();
    lock.lock().unwrap();
    let worker = world.worker(&[]);
    world.order(KEY, work("c-1", "abcdef1", HOURS)).await;
    assert_eq!(world.result().await.outcome, JobOutcome::Changed);
    assert!(world.path("data/workspaces/bakery-amelia.2/repo/.git").is_dir());
    assert!(!folder.join("repo/.git").exists());
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_and_refs_of_the_agent_become_one_commit_of_ours() {
    let world = World::new();
    let remote = world.bakery().await;
    let script = world.path("agent.mjs");
    std::fs::write(
        &script,
        r##"
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
const git = (...args) => execFileSync("git", ["-c", "user.name=a", "-c", "user.email=a@example.org", ...args]);
writeFileSync("site/index.html", "by the agent\n");
git("checkout", "-q", "-b", "elsewhere");
git("commit", "-q", "-a", "-m", "my own commit");
writeFileSync("site/more.html", "more\n");
writeFileSync(".git/hooks/pre-commit", "#!/bin/false\n", { mode: 0o755 });
console.log(JSON.stringify({ type: "result", subtype: "success", is_error: false, result: "done" }));
"##,
    )
    .unwrap();
    let worker = world.worker_with_agent(&format!("node '{}'", script.display()), &[]);
    world.order(KEY, work("c-1", "abcdef1", HOURS)).await;
    let result = world.result().await;
    assert_eq!(result.outcome, JobOutcome::Changed, "{result:?}");
    assert_eq!(result.files_changed, ["site/index.html", "site/more.html"]);
    let messages = remote.messages("thread-abcdef1");
    assert!(messages.len() == 1 && messages[0].contains("Command-Id: c-1"), "{messages:?}");
    assert_eq!(remote.branches().len(), 2);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_branch_that_cannot_exist_is_refused_and_a_thread_of_another_project_is_put_aside() {
    let world = World::new();
    let remote = world.bakery().await;
    let worker = world.worker(&[]);
    let mut message = work("c-1", "abcdef1", HOURS);
    message["branch"] = json!("x:refs/heads/main");
    world.order(KEY, message).await;
    assert_eq!(world.result().await.outcome, JobOutcome::Refused);
    assert_eq!(remote.branches(), ["main"]);
    worker.stop().await;

    world.project("florist", &remote).await;
    let worker = world.worker(&[]);
    let mut foreign = work("c-2", "abcdef1", HOURS);
    foreign["projectId"] = json!("florist");
    world.order("florist#amelia", foreign).await;
    assert!(world.next(Queue::Dead).await.attributes["reason"].contains("somebody else"));
    assert_eq!(remote.branches(), ["main"]);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_with_a_thread_or_command_of_somebody_else_is_put_aside() {
    let world = World::new();
    let remote = world.bakery().await;
    world.project("florist", &remote).await;
    let worker = world.worker(&["--capacity", "3"]);
    world.order(KEY, work("c-1", "abcdef1", HOURS)).await;
    let first = world.result().await;
    assert_eq!(first.outcome, JobOutcome::Changed, "{first:?}");
    let foreign = |command: &str, thread: &str, project: &str, user: &str| {
        let mut message = work(command, thread, "change \"8 to 20\" to \"stolen\"");
        (message["projectId"], message["userId"]) = (json!(project), json!(user));
        message
    };
    world.order("bakery#bob", foreign("c-2", "abcdef1", "bakery", "bob")).await;
    let reason = world.next(Queue::Dead).await.attributes["reason"].clone();
    assert_eq!(reason, "thread abcdef1 belongs to somebody else");
    assert!(world.job("c-2").await.is_none(), "nothing is left waiting");
    for (key, project, user) in [("bakery#bob", "bakery", "bob"), ("florist#amelia", "florist", "amelia")] {
        world.order(key, foreign("c-1", &format!("bbbbbb{}", user.len()), project, user)).await;
        assert_eq!(world.next(Queue::Dead).await.attributes["reason"], "command c-1 belongs to other work");
    }
    assert_eq!(world.depth(Queue::Output).await, 0, "nobody is told of it");
    assert_eq!(remote.messages("thread-abcdef1").len(), 1);
    assert_eq!(remote.branches().len(), 2);
    assert_eq!(world.page(&first, "index.html").unwrap(), "<title>Bakery</title><p>Open 8 to 20</p>\n");
    worker.stop().await;
}

/// hermes has written the row of the job down before: whoever asked waits for its end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_job_of_a_message_that_is_put_aside_ends_and_is_told_once() {
    let world = World::new();
    world.bakery().await;
    let worker = world.worker(&["--capacity", "3"]);
    world.order(KEY, work("c-1", "abcdef1", HOURS)).await;
    assert_eq!(world.result().await.outcome, JobOutcome::Changed);
    let mut message = work("c-2", "abcdef1", HOURS);
    message["userId"] = json!("bob");
    let draft = common::messages::WorkDraft::parse(&message.to_string(), "m", Timestamp::default()).unwrap();
    let bobs = draft.complete("bob".parse().unwrap(), "abcdef1".parse().unwrap(), String::new());
    world.cloud.store.insert(&bobs.to_job(world.cloud.clock.now())).await.unwrap();
    world.order("bakery#bob", message).await;
    let result = world.result().await;
    assert_eq!((result.command_id.as_str(), result.outcome), ("c-2", JobOutcome::Failed));
    let reason = world.next(Queue::Dead).await.attributes["reason"].clone();
    assert_eq!(reason, "thread abcdef1 belongs to somebody else");
    let job = world.job("c-2").await.unwrap();
    assert_eq!((job.outcome, job.error), (Some(JobOutcome::Failed), Some(reason)));
    // Neither is a job that another message is about.
    world.order(KEY, work("c-1", "bbbbbb2", HOURS)).await;
    assert_eq!(world.next(Queue::Dead).await.attributes["reason"], "command c-1 belongs to other work");
    assert_eq!(world.job("c-1").await.unwrap().outcome, Some(JobOutcome::Changed));
    assert_eq!(world.depth(Queue::Output).await, 0);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_a_build_or_an_earlier_agent_left_is_seen_by_the_next_agent() {
    let world = World::new();
    let remote = world.bakery().await;
    let script = world.path("agent.mjs");
    std::fs::write(
        &script,
        r#"
import { appendFileSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
const { HOME, TMPDIR, CLAUDE_CONFIG_DIR } = process.env;
const seen = [HOME, TMPDIR].flatMap((folder) => readdirSync(folder, { recursive: true }));
mkdirSync(CLAUDE_CONFIG_DIR, { recursive: true });
writeFileSync(CLAUDE_CONFIG_DIR + "/left-by-the-agent", "x");
appendFileSync("site/index.html", "more\n");
console.log(JSON.stringify({ type: "result", subtype: "success", result: "seen: " + JSON.stringify(seen) }));
"#,
    )
    .unwrap();
    let build = "const fs=require('fs');fs.cpSync('site','dist',{recursive:true});\
        for(const home of [process.env.HOME,'../home','../agent-home']){\
        fs.mkdirSync(home+'/.claude',{recursive:true});fs.writeFileSync(home+'/.claude/settings.json','{}')}\
        fs.writeFileSync(process.env.TMPDIR+'/planted','x')";
    world.project_built_by("bakery", &remote, &["node", "-e", build]).await;
    let worker = world.worker_with_agent(&format!("node '{}'", script.display()), &[]);
    for command in ["c-1", "c-2"] {
        world.order(KEY, work(command, "abcdef1", HOURS)).await;
        let result = world.result().await;
        assert_eq!(result.outcome, JobOutcome::Changed, "{result:?}");
        assert_eq!(result.summary, "seen: []");
    }
    worker.stop().await;
    let planted = world.path("data/workspaces/bakery-amelia/build-home/.claude/settings.json");
    assert!(planted.is_file(), "the build did plant it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attachments_of_one_name_all_arrive_and_only_as_they_were_sent() {
    let world = World::new();
    world.bakery().await;
    let script = world.path("agent.mjs");
    std::fs::write(
        &script,
        r#"
import { readdirSync, readFileSync } from "node:fs";
const files = readdirSync("../attachments").sort().map((name) => [name, readFileSync("../attachments/" + name, "utf8")]);
console.log(JSON.stringify({ type: "result", subtype: "success", result: JSON.stringify(files) }));
"#,
    )
    .unwrap();
    let worker = world.worker_with_agent(&format!("node '{}'", script.display()), &[]);
    let mut attachments = Vec::new();
    for text in ["one", "two"] {
        let key = format!("mails/m-1/attachments/{text}");
        world.cloud.files.put(&At::object(&key), text.into(), IfMatch::Any).await.unwrap();
        attachments.push(json!({"key": key, "name": "photo.jpg", "mimeType": "image/jpeg",
            "sizeBytes": text.len(), "sha256": ContentHash::of(text.as_bytes())}));
    }
    let mut message = work("c-1", "abcdef1", HOURS);
    message["attachments"] = json!(attachments);
    world.order(KEY, message.clone()).await;
    let result = world.result().await;
    assert_eq!(result.summary, r#"[["photo-2.jpg","two"],["photo.jpg","one"]]"#, "{result:?}");

    for (command, field, value) in
        [("c-2", "sizeBytes", json!(4)), ("c-3", "sha256", json!(ContentHash::of(b"another")))]
    {
        let mut other = message.clone();
        (other["commandId"], other["attachments"][1][field]) = (json!(command), value);
        world.order(KEY, other).await;
        let result = world.result().await;
        assert_eq!(result.outcome, JobOutcome::Refused, "{result:?}");
        assert!(result.summary.contains("send them again"), "{result:?}");
    }
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_of_a_build_does_not_outlive_its_job() {
    let world = World::new();
    let remote = world.bakery().await;
    let build = "const fs=require('fs');fs.cpSync('site','dist',{recursive:true});\
        const isLock=(fd)=>{try{return fs.readlinkSync('/proc/self/fd/'+fd).endsWith('/lock')}catch{}};\
        const stdio=['ignore','ignore','ignore',...fs.readdirSync('/proc/self/fd').map(Number).filter(isLock)];\
        const c=require('child_process').spawn('sleep',['1000'],{detached:true,stdio});c.unref();\
        fs.writeFileSync('dist/pid',String(c.pid))";
    world.project_built_by("bakery", &remote, &["node", "-e", build]).await;
    let worker = world.worker(&[]);
    world.order(KEY, work("c-1", "abcdef1", HOURS)).await;
    let result = world.result().await;
    assert_eq!(result.outcome, JobOutcome::Changed, "{result:?}");
    let daemon = world.page(&result, "pid").unwrap();
    let gone = async || {
        let stat = std::fs::read_to_string(format!("/proc/{daemon}/stat")).unwrap_or_default();
        (stat.is_empty() || stat.contains(") Z ")).then_some(())
    };
    world.until("the daemon's end", gone).await;
    world.order(KEY, work("c-2", "abcdef1", "change \"8 to 20\" to \"9 to 21\"")).await;
    assert_eq!(world.result().await.outcome, JobOutcome::Changed);
    assert!(!world.path("data/workspaces/bakery-amelia.2").exists(), "its folder is free");
    worker.stop().await;
}

async fn agent_started(world: &World, command: &str) {
    let started = async || world.job(command).await.filter(|job| job.attempts == 1).map(|_| ());
    world.until("the agent's start", started).await;
}

/// Says one message of a model and goes on when it is told to.
const AT_WORK: &str = "const fs=require('fs');\
    console.log(JSON.stringify({type:'assistant',message:{id:'m-1',model:'claude-haiku-4-5',usage:{input_tokens:1000,output_tokens:200}}}));\
    const t=setInterval(()=>{if(fs.existsSync(process.argv[1])){clearInterval(t);\
    console.log(JSON.stringify({type:'result',subtype:'success',result:'done'}))}},20)";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_an_agent_works_its_job_says_what_it_has_used() {
    let world = World::new();
    world.bakery().await;
    let go = world.path("go");
    let worker = world.worker_with_agent(&format!("node -e \"{AT_WORK}\" '{}'", go.display()), &[]);
    world.order(KEY, work("c-1", "abcdef1", "what is new?")).await;
    let used = world
        .until("a word of what it used", async || {
            let usage = world.job("c-1").await?.usage;
            (usage.turns > 0).then_some(usage)
        })
        .await;
    assert_eq!((used.turns, used.cost_usd), (1, 0.002));
    std::fs::write(&go, "").unwrap();
    let result = world.result().await;
    assert_eq!((result.outcome, result.usage.cost_usd), (JobOutcome::Answered, 0.002), "{result:?}");
    worker.stop().await;
}
