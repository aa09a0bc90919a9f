//! The doors over AWS on a bad day: answers that are lost after the call had its effect, throttling, broken connections,
//! and what AWS refuses where no endpoint does.
#![cfg(feature = "aws")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test: a panic is how it fails")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::clock::Clock;
use common::cloud::claims::TakeAnswer;
use common::cloud::contract::endpoint::front::{Call, Front, Verdict, judge};
use common::cloud::contract::endpoint::{Endpoint, fresh_prefix, settings_under};
use common::cloud::files::{At, IfMatch};
use common::cloud::queue::{Outgoing, Receipt};
use common::cloud::store::{Expect, Key, Table, Version};
use common::cloud::{Cloud, CloudError, aws};
use common::domain::claim::{ClaimStatus, ClaimVersion, Epoch, Fence, Take};
use common::domain::ids::{Nonce, Owner, ProjectUser, WorkerId};
use common::domain::names::Queue;
use common::domain::timestamp::Timestamp;
use serde_json::json;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const SHORT: Duration = Duration::from_secs(5);

/// One environment, seen directly and through fronts.
struct Environment {
    prefix: String,
    cloud: Cloud,
}

/// The environment through a front, and how many calls of the operation there were.
struct Through {
    cloud: Cloud,
    calls: Arc<AtomicUsize>,
    _front: Front,
}

impl Through {
    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

impl Environment {
    async fn new() -> Self {
        let prefix = fresh_prefix();
        let settings = settings_under(Endpoint::shared().url(), &prefix);
        aws::provision::make_tables(&settings).await.unwrap();
        Self { prefix, cloud: aws::open(&settings, Clock::System).await.unwrap() }
    }

    /// Through a front that does something to the first `count` calls of an operation.
    async fn with(&self, operation: &'static str, count: usize, deed: Verdict) -> Through {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let decide = move |call: &Call| {
            let meant = call.operation() == operation;
            if meant && counted.fetch_add(1, Ordering::SeqCst) < count { deed.clone() } else { Verdict::Pass }
        };
        let front = Front::before(Endpoint::shared().url(), judge(decide)).await;
        let settings = settings_under(front.url(), &self.prefix);
        Through { cloud: aws::open(&settings, Clock::System).await.unwrap(), calls, _front: front }
    }

    async fn losing(&self, operation: &'static str) -> Through {
        self.with(operation, 1, Verdict::LoseAnswer).await
    }
}

async fn put(cloud: &Cloud, note: &str, expect: Expect) -> Result<Version, CloudError> {
    cloud.store.put(Table::Containers, json!({"containerId": "c", "note": note}), expect).await
}

async fn take(cloud: &Cloud, text: &str) -> Fence {
    match cloud.claims.take(&key(), &wish(text)).await.unwrap() {
        TakeAnswer::Taken(fence) => fence,
        TakeAnswer::Held(row) => panic!("held: {row:?}"),
    }
}

fn key() -> ProjectUser {
    ProjectUser::parse("amelia#scott").unwrap()
}

fn version(text: &str) -> ClaimVersion {
    ClaimVersion::from_stored(text.to_owned())
}

fn wish(text: &str) -> Take {
    let owner = Owner { worker: WorkerId::parse("w").unwrap(), nonce: Nonce::parse("0000").unwrap() };
    Take { owner, version: version(text), lapsed: None, lease_secs: 45, control_queue: None, now: NOW }
}

fn assert_conflict<T: std::fmt::Debug>(answer: Result<T, CloudError>) {
    assert!(matches!(answer, Err(CloudError::Conflict(_))), "{answer:?}");
}

#[tokio::test]
async fn a_lost_answer_of_a_row_that_was_made_is_recognised() {
    let environment = Environment::new().await;
    let lossy = environment.losing("UpdateItem").await;
    let made = put(&lossy.cloud, "first", Expect::Absent).await.unwrap();
    assert_eq!(lossy.calls(), 2, "it was tried again");
    let row = environment.cloud.store.get(Table::Containers, &Key::of("c")).await.unwrap().unwrap();
    assert_eq!(row.version, made);
    assert_conflict(put(&lossy.cloud, "second", Expect::Absent).await);
}

#[tokio::test]
async fn a_lost_answer_of_a_row_that_was_replaced_is_recognised() {
    let environment = Environment::new().await;
    let made = put(&environment.cloud, "first", Expect::Absent).await.unwrap();
    let lossy = environment.losing("UpdateItem").await;
    let replaced = put(&lossy.cloud, "second", Expect::Version(made)).await.unwrap();
    assert!(replaced.0 > made.0);
    assert_eq!(lossy.calls(), 2);
    assert_conflict(put(&lossy.cloud, "third", Expect::Version(made)).await);
}

#[tokio::test]
async fn a_lost_answer_of_a_row_that_was_deleted_is_recognised() {
    let environment = Environment::new().await;
    let made = Expect::Version(put(&environment.cloud, "first", Expect::Absent).await.unwrap());
    let lossy = environment.losing("DeleteItem").await;
    lossy.cloud.store.delete(Table::Containers, &Key::of("c"), made).await.unwrap();
    assert_eq!(lossy.calls(), 2);
    // Without a lost answer the same is a conflict.
    assert_conflict(lossy.cloud.store.delete(Table::Containers, &Key::of("c"), made).await);
}

#[tokio::test]
async fn a_lost_answer_of_a_take_is_recognised() {
    let environment = Environment::new().await;
    let lossy = environment.losing("PutItem").await;
    assert_eq!(take(&lossy.cloud, "v1").await.epoch, Epoch(1));
    assert_eq!(lossy.calls(), 2);
    let row = environment.cloud.claims.get(&key()).await.unwrap().unwrap();
    assert_eq!((row.epoch, row.version), (Epoch(1), version("v1")));
}

#[tokio::test]
async fn a_lost_answer_of_a_renewal_or_a_release_is_recognised() {
    let environment = Environment::new().await;
    let fence = take(&environment.cloud, "v1").await;
    let lossy = environment.losing("UpdateItem").await;
    lossy.cloud.claims.renew(&fence, &version("v2"), NOW).await.unwrap();
    assert_eq!(lossy.calls(), 2);
    let lossy = environment.losing("UpdateItem").await;
    lossy.cloud.claims.release(&fence, &version("v3"), NOW).await.unwrap();
    assert_eq!(lossy.calls(), 2);
    let row = environment.cloud.claims.get(&key()).await.unwrap().unwrap();
    assert_eq!((row.status, row.version), (ClaimStatus::Free, version("v3")));
    // The same release again, with nothing lost, is not ours to make.
    let again = environment.cloud.claims.release(&fence, &version("v3"), NOW).await;
    assert!(matches!(again, Err(CloudError::FenceLost(_))), "{again:?}");
}

#[tokio::test]
async fn a_lost_answer_of_the_sweep_is_recognised() {
    let environment = Environment::new().await;
    take(&environment.cloud, "v1").await;
    let lossy = environment.losing("UpdateItem").await;
    lossy.cloud.claims.free_lapsed(&key(), &version("v1"), &version("v2"), NOW).await.unwrap();
    assert_eq!(lossy.calls(), 2);
}

#[tokio::test]
async fn a_lost_answer_of_a_file_that_was_made_is_recognised() {
    let environment = Environment::new().await;
    let at = At::object("once");
    environment.cloud.files.put(&At::object("first"), "x".into(), IfMatch::Any).await.unwrap();
    let lossy = environment.losing("PUT").await;
    let etag = lossy.cloud.files.put(&at, "x".into(), IfMatch::Absent).await.unwrap();
    assert_eq!(lossy.calls(), 2);
    assert_eq!(environment.cloud.files.get(&at).await.unwrap().unwrap().etag, etag);
    // Somebody else's file of the same bytes is not taken for ours.
    assert_conflict(environment.cloud.files.put(&at, "x".into(), IfMatch::Absent).await);
    let lossy = environment.losing("PUT").await;
    lossy.cloud.files.put(&at, "y".into(), IfMatch::Etag(etag.clone())).await.unwrap();
    assert_conflict(lossy.cloud.files.put(&at, "z".into(), IfMatch::Etag(etag)).await);
}

#[tokio::test]
async fn a_lost_answer_of_a_send_to_a_fifo_queue_sends_once() {
    let environment = Environment::new().await;
    let queue = Queue::Input(key());
    let lossy = environment.losing("SendMessage").await;
    lossy.cloud.queues.send(&queue, Outgoing::fifo("work", "g", "id")).await.unwrap();
    assert_eq!(lossy.calls(), 2);
    let found = environment.cloud.queues.receive(&queue, 10, SHORT).await.unwrap();
    assert_eq!(found.len(), 1);
}

#[tokio::test]
async fn throttled_calls_are_tried_again_and_then_said_to_be_throttled() {
    let environment = Environment::new().await;
    let throttled = || Verdict::json_error(400, "ThrottlingException", "Rate exceeded");
    let few = environment.with("GetItem", 2, throttled()).await;
    assert_eq!(few.cloud.store.get(Table::Jobs, &Key::of("c")).await.unwrap(), None);
    assert_eq!(few.calls(), 3);
    let many = environment.with("GetItem", usize::MAX, throttled()).await;
    let answer = many.cloud.store.get(Table::Jobs, &Key::of("c")).await;
    assert!(matches!(answer, Err(CloudError::Throttled(_))), "{answer:?}");
    assert_eq!(many.calls(), 4, "the tries have an end");
}

#[tokio::test]
async fn a_broken_connection_is_tried_again_and_then_said_to_be_unavailable() {
    let environment = Environment::new().await;
    let few = environment.with("GetItem", 2, Verdict::Break).await;
    assert_eq!(few.cloud.store.get(Table::Jobs, &Key::of("c")).await.unwrap(), None);
    let error = Verdict::json_error(500, "InternalServerError", "on purpose");
    let many = environment.with("GetItem", usize::MAX, error).await;
    let answer = many.cloud.store.get(Table::Jobs, &Key::of("c")).await.unwrap_err();
    assert!(answer.is_retryable(), "{answer}");
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_not_waited_for() {
    let environment = Environment::new().await;
    let slow = environment.with("GetItem", 1, Verdict::Delay(Duration::from_mins(1))).await;
    let began = tokio::time::Instant::now();
    assert_eq!(slow.cloud.store.get(Table::Jobs, &Key::of("c")).await.unwrap(), None);
    assert_eq!(slow.calls(), 2);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_table_that_is_not_there_names_the_way_to_make_it() {
    let settings = settings_under(Endpoint::shared().url(), &fresh_prefix());
    let cloud = aws::open(&settings, Clock::System).await.unwrap();
    let error = cloud.store.get(Table::Jobs, &Key::of("c")).await.unwrap_err();
    assert!(error.is_retryable() && error.to_string().contains("hermes provision"), "{error}");
}

#[tokio::test]
async fn a_queue_removed_less_than_a_minute_ago_is_made_again_later() {
    let environment = Environment::new().await;
    let recently = Verdict::json_error(
        400,
        "QueueDeletedRecently",
        "You must wait 60 seconds after deleting a queue before you can create another with the same name.",
    );
    let front = environment.with("CreateQueue", 1, recently).await;
    let queue = Queue::Control(wish("v").owner);
    let refused = front.cloud.queues.send(&queue, Outgoing::standard("x")).await.unwrap_err();
    assert!(matches!(refused, CloudError::Throttled(_)), "{refused:?}");
    front.cloud.queues.send(&queue, Outgoing::standard("x")).await.unwrap();
}

#[tokio::test]
async fn a_queue_that_was_removed_by_somebody_else_is_made_again() {
    let environment = Environment::new().await;
    let other = environment.with("SendMessage", 0, Verdict::Pass).await;
    let queue = Queue::Input(key());
    environment.cloud.queues.send(&queue, Outgoing::fifo("1", "g", "1")).await.unwrap();
    other.cloud.queues.remove_queue(&queue).await.unwrap();
    environment.cloud.queues.send(&queue, Outgoing::fifo("2", "g", "2")).await.unwrap();
    other.cloud.queues.remove_queue(&queue).await.unwrap();
    assert_eq!(environment.cloud.queues.receive(&queue, 1, Duration::ZERO).await.unwrap(), []);
}

/// Amazon's words for a receipt that is void, which no endpoint says in all places.
#[tokio::test]
async fn a_receipt_that_aws_calls_expired_is_not_found() {
    let environment = Environment::new().await;
    let queue = Queue::Input(key());
    let receipt = Receipt { queue: queue.clone(), handle: "h".to_owned() };
    environment.cloud.queues.send(&queue, Outgoing::fifo("1", "g", "1")).await.unwrap();
    let expired = Verdict::json_error(
        400,
        "InvalidParameterValue",
        "Value h for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired.",
    );
    let front = environment.with("DeleteMessage", 1, expired.clone()).await;
    let answer = front.cloud.queues.delete(&receipt).await;
    assert!(matches!(answer, Err(CloudError::NotFound(_))), "{answer:?}");
    let front = environment.with("ChangeMessageVisibility", 1, expired).await;
    let answer = front.cloud.queues.extend(&receipt, SHORT).await;
    assert!(matches!(answer, Err(CloudError::NotFound(_))), "{answer:?}");
}

#[tokio::test]
async fn a_visibility_of_twelve_hours_in_all_cannot_be_exceeded() {
    let environment = Environment::new().await;
    let queue = Queue::Input(key());
    environment.cloud.queues.send(&queue, Outgoing::fifo("1", "g", "1")).await.unwrap();
    let found = environment.cloud.queues.receive(&queue, 1, SHORT).await.unwrap();
    let beyond = Verdict::json_error(
        400,
        "InvalidParameterValue",
        "Value 43200 for parameter VisibilityTimeout is invalid. Reason: Total VisibilityTimeout for the message is beyond the limit [43200 seconds].",
    );
    let front = environment.with("ChangeMessageVisibility", 1, beyond).await;
    let answer = front.cloud.queues.extend(&found[0].receipt, Duration::from_hours(12)).await;
    assert!(matches!(answer, Err(CloudError::Invalid(_))), "{answer:?}");
}

#[tokio::test]
async fn a_large_message_whose_body_cannot_be_fetched_comes_again() {
    let environment = Environment::new().await;
    let queue = Queue::Input(key());
    let body = "x".repeat(2 * 1024 * 1024);
    environment.cloud.queues.send(&queue, Outgoing::fifo(&body, "g", "1")).await.unwrap();
    let front = environment.with("GET", usize::MAX, Verdict::s3_error(500, "InternalError")).await;
    let answer = front.cloud.queues.receive(&queue, 1, SHORT).await.unwrap_err();
    assert!(answer.is_retryable(), "{answer}");
    let found = environment.cloud.queues.receive(&queue, 1, SHORT).await.unwrap();
    assert!(found[0].body == body, "it was given back at once");
}
