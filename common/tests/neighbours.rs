//! Two processes write to one database: a busy one does not starve the other.
#![allow(clippy::unwrap_used, reason = "a test: a panic is how it fails")]

mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use common::cloud::Cloud;
use common::cloud::queue::Outgoing;
use common::domain::names::Queue;
use support::{open, role, runtime, say, start};

const TEST: &str = "a_busy_process_does_not_starve_its_neighbour";
const SENDERS: usize = 64;
const SENDS: usize = 200;
/// A neighbour that is starved waits for as long as the other one is busy.
const BAR: Duration = Duration::from_secs(1);

#[test]
fn a_busy_process_does_not_starve_its_neighbour() {
    if let Some((_, dir)) = role() {
        return runtime().block_on(keep_busy(&dir));
    }
    let dir = tempfile::tempdir().unwrap();
    let busy = start(&[], TEST, "busy", dir.path());
    assert_eq!(busy.hears().as_deref(), Some("busy"));
    let slowest = runtime().block_on(async {
        let cloud = open(dir.path());
        let mut slowest = Duration::ZERO;
        for _ in 0..SENDS {
            let began = Instant::now();
            cloud.queues.send(&Queue::Unclaimed, Outgoing::standard("x")).await.unwrap();
            slowest = slowest.max(began.elapsed());
        }
        let theirs = cloud.queues.depth(&Queue::Output).await.unwrap().visible;
        assert!(theirs > u64::try_from(SENDS).unwrap(), "the other process was not busy: {theirs} sends");
        slowest
    });
    assert!(slowest <= BAR, "one send took {slowest:?}");
}

/// Sends until it is killed, so that the database is never at rest.
async fn keep_busy(dir: &Path) {
    let cloud: Cloud = open(dir);
    cloud.queues.send(&Queue::Output, Outgoing::standard("x")).await.unwrap();
    say("busy");
    for _ in 0..SENDERS {
        let cloud = cloud.clone();
        tokio::spawn(async move {
            loop {
                cloud.queues.send(&Queue::Output, Outgoing::standard("x")).await.unwrap();
            }
        });
    }
    std::future::pending::<()>().await;
}
