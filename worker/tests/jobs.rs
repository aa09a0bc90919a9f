//! Jobs from message to result: real SQLite, real git remotes, the real demo agent.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod support;

use common::domain::job::JobState;
use common::domain::outcome::JobOutcome;
use support::{World, work};

const KEY: &str = "bakery#amelia";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s51_a_first_message_is_cloned_edited_built_published_and_pushed() {
    let world = World::new();
    let remote = world.bakery().await;
    let worker = world.worker(&[]);
    world.order(KEY, work("c-1", "abcdef1", "change \"7 to 18\" to \"8 to 20\"")).await;
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
    world
        .until("the delivery's end", async || (world.depth(support::input(KEY)).await == 0).then_some(()))
        .await;
    worker.stop().await;
    assert_eq!(world.holder(KEY).await, None, "the claim is given back at the end");
}
