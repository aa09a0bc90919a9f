//! A worker that is killed in the middle of its job.

use common::domain::outcome::JobOutcome;

use crate::support::program::Program;
use crate::support::{AGENT, World, work};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s35_a_killed_worker_is_followed_by_another_that_finishes_its_job_once() {
    let world = World::new();
    let remote = world.bakery().await;
    let slow = format!("'{AGENT}' --delay-ms 60000");
    let short = [("SANDBOX", "off"), ("HERMES_LEASE_SECS", "2"), ("AGENT_COMMAND", slow.as_str())];
    let mut program = Program::start(&world, &short);
    program.says("is ready");
    world.order("bakery#amelia", work("c-1", "abcdef1", "change \"7 to 18\" to \"8 to 20\"")).await;
    let started = async || world.job("c-1").await.filter(|job| job.attempts == 1);
    world.until("the agent's start", started).await;
    program.child.kill().unwrap();
    program.child.wait().unwrap();

    let next = world.worker(&["--lease-secs", "2"]);
    let key = "bakery#amelia".parse().unwrap();
    let taken_over = async || {
        world.announce("bakery#amelia").await;
        world.cloud.claims.get(&key).await.unwrap().filter(|row| row.epoch.0 == 2)
    };
    world.until("the take-over", taken_over).await;
    let result = world.result().await;
    assert_eq!(result.outcome, JobOutcome::Changed, "{result:?}");
    assert_eq!(world.job("c-1").await.unwrap().attempts, 2);
    assert_eq!(remote.messages("thread-abcdef1").len(), 1);
    assert!(!world.path("data/workspaces/bakery-amelia.2").exists(), "the agent of before was killed");
    next.stop().await;
}
