//! Standard queues.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Stage;
use crate::cloud::CloudError;
use crate::cloud::queue::{Delivery, Depth, Outgoing};
use crate::domain::names::Queue;

const NO_WAIT: Duration = Duration::ZERO;
const SECOND: Duration = Duration::from_secs(1);
/// On AWS a receive without a wait may overlook messages, so cases that expect one wait a little.
const SHORT: Duration = Duration::from_secs(5);

impl Stage {
    pub(super) async fn put(&self, queue: &Queue, body: &str) -> String {
        self.cloud.queues.send(queue, Outgoing::standard(body)).await.unwrap()
    }

    /// One message; there must be one.
    pub(super) async fn take_one(&self, queue: &Queue) -> Delivery {
        let mut found = self.cloud.queues.receive(queue, 1, SHORT).await.unwrap();
        assert_eq!(found.len(), 1, "a message of {queue}");
        found.remove(0)
    }

    pub(super) async fn assert_nothing(&self, queue: &Queue) {
        assert_eq!(self.cloud.queues.receive(queue, 10, NO_WAIT).await.unwrap(), []);
    }

    pub(super) async fn give_back(&self, delivery: &Delivery) {
        self.cloud.queues.extend(&delivery.receipt, Duration::ZERO).await.unwrap();
    }

    pub(super) async fn done(&self, delivery: &Delivery) {
        self.cloud.queues.delete(&delivery.receipt).await.unwrap();
    }
}

pub(super) fn assert_invalid<T: std::fmt::Debug>(answer: Result<T, CloudError>) {
    assert!(matches!(answer, Err(CloudError::Invalid(_))), "{answer:?}");
}

pub(super) fn assert_not_found<T: std::fmt::Debug>(answer: Result<T, CloudError>) {
    assert!(matches!(answer, Err(CloudError::NotFound(_))), "{answer:?}");
}

pub(super) async fn a_sent_message_is_received(stage: Stage) {
    let queue = stage.standard();
    let before = stage.cloud.clock.now();
    let id = stage.put(&queue, "hello").await;
    let found = stage.take_one(&queue).await;
    assert_eq!((found.message_id, found.body.as_str(), found.receive_count), (id, "hello", 1));
    assert_eq!((found.group, found.receipt.queue), (None, queue));
    assert!(found.sent_at.since(before) < Duration::from_mins(5));
}

pub(super) async fn an_empty_queue_gives_nothing(stage: Stage) {
    let queue = stage.standard();
    stage.put(&queue, "x").await;
    let only = stage.take_one(&queue).await;
    stage.done(&only).await;
    stage.assert_nothing(&queue).await;
}

pub(super) async fn a_queue_that_was_never_used_is_empty(stage: Stage) {
    stage.assert_nothing(&stage.standard()).await;
    assert_eq!(stage.cloud.queues.depth(&stage.standard()).await.unwrap(), Depth::default());
}

pub(super) async fn text_comes_out_as_it_went_in(stage: Stage) {
    let queue = stage.standard();
    let text = "tab\tline\r\nline  'quote' \"double\" \\ ; -- %s Zürich 東京 \u{1f98b} \u{e000}";
    stage.put(&queue, text).await;
    assert_eq!(stage.take_one(&queue).await.body, text);
}

pub(super) async fn attributes_come_along(stage: Stage) {
    let queue = stage.standard();
    let message = Outgoing::standard("x").attribute("reason", "not JSON: \"ü\"").attribute("by", "hermes");
    stage.cloud.queues.send(&queue, message.clone()).await.unwrap();
    assert_eq!(stage.take_one(&queue).await.attributes, message.attributes);
}

pub(super) async fn a_received_message_is_invisible(stage: Stage) {
    let queue = stage.standard();
    stage.put(&queue, "x").await;
    stage.take_one(&queue).await;
    stage.assert_nothing(&queue).await;
}

pub(super) async fn a_deleted_message_is_gone(stage: Stage) {
    let queue = stage.standard();
    stage.put(&queue, "x").await;
    let found = stage.take_one(&queue).await;
    stage.cloud.queues.extend(&found.receipt, SECOND).await.unwrap();
    stage.done(&found).await;
    stage.pass(2 * SECOND).await;
    stage.assert_nothing(&queue).await;
}

pub(super) async fn deleting_twice_is_fine(stage: Stage) {
    let queue = stage.standard();
    stage.put(&queue, "x").await;
    let found = stage.take_one(&queue).await;
    stage.done(&found).await;
    stage.done(&found).await;
}

pub(super) async fn an_undeleted_message_comes_again(stage: Stage) {
    let queue = stage.standard();
    stage.put(&queue, "x").await;
    let first = stage.take_one(&queue).await;
    stage.cloud.queues.extend(&first.receipt, SECOND).await.unwrap();
    stage.pass(2 * SECOND).await;
    let second = stage.take_one(&queue).await;
    assert_eq!((second.message_id, second.receive_count), (first.message_id, 2));
    assert_ne!(second.receipt.handle, first.receipt.handle);
}

pub(super) async fn a_message_given_back_comes_at_once(stage: Stage) {
    let queue = stage.standard();
    stage.put(&queue, "x").await;
    let first = stage.take_one(&queue).await;
    stage.give_back(&first).await;
    assert_eq!(stage.take_one(&queue).await.receive_count, 2);
}

pub(super) async fn an_extended_message_stays_away(stage: Stage) {
    let queue = stage.standard();
    stage.put(&queue, "x").await;
    let found = stage.take_one(&queue).await;
    stage.cloud.queues.extend(&found.receipt, SECOND).await.unwrap();
    stage.cloud.queues.extend(&found.receipt, 60 * SECOND).await.unwrap();
    stage.pass(2 * SECOND).await;
    stage.assert_nothing(&queue).await;
}

pub(super) async fn a_deleted_message_cannot_be_extended(stage: Stage) {
    let queue = stage.standard();
    stage.put(&queue, "x").await;
    let found = stage.take_one(&queue).await;
    stage.done(&found).await;
    assert_not_found(stage.cloud.queues.extend(&found.receipt, SECOND).await);
}

pub(super) async fn an_older_receipt_cannot_extend(stage: Stage) {
    let queue = stage.standard();
    stage.put(&queue, "x").await;
    let first = stage.take_one(&queue).await;
    stage.give_back(&first).await;
    assert_not_found(stage.cloud.queues.extend(&first.receipt, SECOND).await);
}

pub(super) async fn a_delayed_message_waits(stage: Stage) {
    let queue = stage.standard();
    let message = Outgoing { delay: 2 * SECOND, ..Outgoing::standard("x") };
    stage.cloud.queues.send(&queue, message).await.unwrap();
    stage.assert_nothing(&queue).await;
    stage.pass(3 * SECOND).await;
    assert_eq!(stage.take_one(&queue).await.receive_count, 1);
}

pub(super) async fn a_receive_takes_no_more_than_asked(stage: Stage) {
    let queue = stage.standard();
    for index in 0..5 {
        stage.put(&queue, &format!("{index}")).await;
    }
    let found = stage.cloud.queues.receive(&queue, 3, SHORT).await.unwrap();
    assert!((1..=3).contains(&found.len()), "{}", found.len());
}

pub(super) async fn depth_tells_visible_from_in_flight_and_delayed(stage: Stage) {
    let queue = stage.standard();
    for body in ["1", "2", "3"] {
        stage.put(&queue, body).await;
    }
    stage.take_one(&queue).await;
    let message = Outgoing { delay: 60 * SECOND, ..Outgoing::standard("4") };
    stage.cloud.queues.send(&queue, message).await.unwrap();
    let depth = stage.cloud.queues.depth(&queue).await.unwrap();
    assert_eq!(depth, Depth { visible: 2, in_flight: 1, delayed: 1 });
}

pub(super) async fn a_removed_queue_is_empty(stage: Stage) {
    let queue = stage.standard();
    stage.put(&queue, "x").await;
    stage.cloud.queues.remove_queue(&queue).await.unwrap();
    assert_eq!(stage.cloud.queues.depth(&queue).await.unwrap(), Depth::default());
    stage.cloud.queues.remove_queue(&queue).await.unwrap();
}

pub(super) async fn a_message_received_too_often_is_a_dead_letter(stage: Stage) {
    let id = stage.put(&Queue::Email, "poison").await;
    for _ in 0..3 {
        let found = stage.take_one(&Queue::Email).await;
        stage.give_back(&found).await;
    }
    assert_eq!(stage.cloud.queues.receive(&Queue::Email, 1, SECOND).await.unwrap(), []);
    let dead = stage.take_one(&Queue::EmailDead).await;
    assert_eq!((dead.body.as_str(), dead.message_id), ("poison", id));
}

pub(super) async fn a_message_is_no_dead_letter_before(stage: Stage) {
    stage.put(&Queue::Email, "x").await;
    for _ in 0..2 {
        let found = stage.take_one(&Queue::Email).await;
        stage.give_back(&found).await;
    }
    let third = stage.take_one(&Queue::Email).await;
    assert_eq!(third.receive_count, 3);
    stage.done(&third).await;
    stage.assert_nothing(&Queue::EmailDead).await;
}

pub(super) async fn queues_do_not_mix(stage: Stage) {
    let other = Queue::Control(stage.owner("other", "0000"));
    stage.put(&stage.standard(), "x").await;
    stage.assert_nothing(&other).await;
    stage.cloud.queues.remove_queue(&other).await.unwrap();
    assert_eq!(stage.take_one(&stage.standard()).await.body, "x");
}

pub(super) async fn each_message_goes_to_one_of_many_receivers(stage: Stage) {
    let queue = stage.standard();
    let sent: BTreeSet<String> = (0..40).map(|index| format!("{index}")).collect();
    for body in &sent {
        stage.put(&queue, body).await;
    }
    let receivers: Vec<_> = (0..4).map(|_| tokio::spawn(take_all(stage.clone(), queue.clone()))).collect();
    let mut received = Vec::new();
    for receiver in receivers {
        received.extend(receiver.await.unwrap());
    }
    assert_eq!(received.len(), sent.len());
    assert_eq!(received.into_iter().collect::<BTreeSet<_>>(), sent);
}

async fn take_all(stage: Stage, queue: Queue) -> Vec<String> {
    let mut bodies = Vec::new();
    loop {
        let found = stage.cloud.queues.receive(&queue, 3, SECOND).await.unwrap();
        if found.is_empty() {
            return bodies;
        }
        for delivery in found {
            stage.done(&delivery).await;
            bodies.push(delivery.body);
        }
    }
}
