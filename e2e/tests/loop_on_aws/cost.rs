//! What it costs on AWS, counted in calls (P14, P15). Nobody asks hermes anything meanwhile.

use std::time::Duration;

use e2e::mail::Letter;

use super::stage::{Calls, OWNER, Stage};
use super::{hours, pass};

/// P15: the most calls for a mail, besides uploads and heartbeats.
const PER_MAIL: usize = 60;
/// P14: the most calls a minute of a worker without a claim, of one with an idle claim, of hermes.
const IDLE_WORKER: usize = 8;
const IDLE_CLAIM: usize = 16;
const IDLE_HERMES: usize = 12;

fn total(calls: &Calls) -> usize {
    calls.values().sum()
}

fn print(what: &str, bar: usize, calls: &Calls) {
    let each: Vec<String> = calls.iter().map(|(name, count)| format!("{count} {name}")).collect();
    println!("{what}: {} calls (bar {bar}): {}", total(calls), each.join(", "));
}

async fn a_minute() {
    tokio::time::sleep(Duration::from_mins(1)).await;
}

/// What a mail costs from its arrival to its answer, both programs together.
async fn cost(stage: &Stage, letter: &Letter) -> Calls {
    stage.hermes.taken();
    stage.worker.taken();
    stage.world.api().unwrap().order(letter.to_bytes()).await.unwrap();
    // The answer is sent by a loop of its own, and what was sent is noted after it.
    stage.hermes.called("SES SendEmail", 1).await;
    stage.hermes.quiet().await;
    stage.worker.quiet().await;
    let mut calls = stage.hermes.taken();
    for (name, count) in stage.worker.taken() {
        *calls.entry(name).or_default() += count;
    }
    // A receive that waited in vain is part of an idle minute (P14): how many end meanwhile is chance.
    let messages = calls.get("DeleteMessage").copied().unwrap_or(0);
    calls.entry("ReceiveMessage".to_owned()).and_modify(|receives| *receives = messages.min(*receives));
    calls.retain(|name, _| !["S3 PUT", "S3 POST", "ChangeMessageVisibility"].contains(&name.as_str()));
    calls
}

#[tokio::test]
async fn p15_a_mail_costs_no_more_calls_than_its_bar() {
    let mut stage = Stage::new("direct", pass).await;
    stage.start_hermes().await;
    stage.start_worker(&[]).await;
    stage.bakery().await;
    let first = cost(&stage, &hours()).await;
    print("P15 the first mail of an owner, queues and buckets made", PER_MAIL, &first);
    let letter = Letter::new(OWNER, "Since", "change \"Since 1920\" to \"Since 1919\"");
    let next = cost(&stage, &letter).await;
    print("P15 a mail of a new conversation", PER_MAIL, &next);
    assert!(total(&next) <= PER_MAIL, "{next:?}");
    stage.worker.taken();
    a_minute().await;
    let worker = stage.worker.taken();
    print("P14 a worker with an idle claim, a minute", IDLE_CLAIM, &worker);
    assert!(total(&worker) <= IDLE_CLAIM, "{worker:?}");
}

#[tokio::test]
async fn p14_hermes_and_a_worker_without_a_claim_make_few_calls() {
    let mut stage = Stage::new("direct", pass).await;
    stage.start_hermes().await;
    stage.start_worker(&[]).await;
    // Queues and buckets are found or made, and the first sweep is over.
    stage.hermes.called("Scan", 1).await;
    stage.hermes.taken();
    stage.worker.taken();
    a_minute().await;
    let (hermes, mut worker) = (stage.hermes.taken(), stage.worker.taken());
    // Once a process: its own row and where its queues are.
    worker.retain(|name, _| !["GetItem containers", "GetQueueUrl"].contains(&name.as_str()));
    print("P14 hermes, a minute", IDLE_HERMES, &hermes);
    print("P14 a worker without a claim, a minute", IDLE_WORKER, &worker);
    assert!(total(&hermes) <= IDLE_HERMES, "{hermes:?}");
    assert!(total(&worker) <= IDLE_WORKER, "{worker:?}");
}
