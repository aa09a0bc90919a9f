//! Two processes over one data directory: a message wakes the other one at once, and both cost nothing while they wait.
#![allow(clippy::unwrap_used, reason = "a test: a panic is how it fails")]

mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use common::cloud::Cloud;
use common::cloud::queue::{MAX_WAIT, Outgoing};
use common::domain::names::Queue;
use support::{open, processor_time, role, runtime, say, start};

const TEST: &str = "a_message_wakes_another_process_and_waiting_costs_nothing";
const SENDS: usize = 50;
const ROUNDS: usize = 3;
/// From one process to the other: the bar of the design.
const BAR: Duration = Duration::from_millis(50);
/// How long both are watched while idle.
const IDLE: Duration = Duration::from_secs(6);

#[test]
fn a_message_wakes_another_process_and_waiting_costs_nothing() {
    match role() {
        Some((role, dir)) if role == "answer" => runtime().block_on(answer(&dir)),
        Some((_, dir)) => runtime().block_on(ask(&dir)),
        None => watch(),
    }
}

/// The test itself. The machine may be busy with other things, so the best of three rounds counts; a process that looks
/// now and then instead of being woken passes none.
fn watch() {
    let dir = tempfile::tempdir().unwrap();
    let answering = start(&[], TEST, "answer", dir.path());
    assert_eq!(answering.hears().as_deref(), Some("ready"));
    let asking = start(&[], TEST, "ask", dir.path());
    let rounds: Vec<Duration> =
        (0..ROUNDS).map(|_| Duration::from_micros(asking.hears().unwrap().parse().unwrap())).collect();
    assert!(rounds.iter().any(|slowest| *slowest <= BAR), "{SENDS} round trips took up to {rounds:?}");
    assert_eq!(asking.hears().as_deref(), Some("idle"));
    let pids = [answering.pid(), asking.pid()];
    let before = pids.map(processor_time);
    let began = Instant::now();
    assert_eq!(asking.hears().as_deref(), Some("idle no longer"));
    let spans = began.elapsed();
    for (pid, before) in pids.into_iter().zip(before) {
        let used = processor_time(pid).saturating_sub(before);
        assert!(used.as_secs_f64() <= spans.as_secs_f64() * 0.005, "idle for {spans:?}, worked for {used:?}");
    }
}

/// Sends back whatever comes.
async fn answer(dir: &Path) {
    let cloud = open(dir);
    say("ready");
    loop {
        let body = next(&cloud, &Queue::Unclaimed, MAX_WAIT).await;
        if let Some(body) = body {
            cloud.queues.send(&Queue::Output, Outgoing::standard(body)).await.unwrap();
        }
    }
}

/// Measures round trips: each wakes the other process and is woken by it, so a wake-up takes no longer than one of them.
async fn ask(dir: &Path) {
    let cloud = open(dir);
    for _ in 0..ROUNDS {
        let mut slowest = Duration::ZERO;
        for index in 0..SENDS {
            let began = Instant::now();
            cloud.queues.send(&Queue::Unclaimed, Outgoing::standard(format!("{index}"))).await.unwrap();
            assert_eq!(next(&cloud, &Queue::Output, MAX_WAIT).await, Some(format!("{index}")));
            slowest = slowest.max(began.elapsed());
        }
        say(&slowest.as_micros().to_string());
    }
    say("idle");
    assert_eq!(next(&cloud, &Queue::Output, IDLE).await, None);
    say("idle no longer");
    // Until it is killed, so that it can still be looked at.
    next(&cloud, &Queue::Output, MAX_WAIT).await;
}

async fn next(cloud: &Cloud, queue: &Queue, wait: Duration) -> Option<String> {
    let found = cloud.queues.receive(queue, 1, wait).await.unwrap().pop()?;
    cloud.queues.delete(&found.receipt).await.unwrap();
    Some(found.body)
}
