//! What a queue does not take.

use std::time::Duration;

use super::Stage;
use super::queues::assert_invalid;
use crate::cloud::queue::{MAX_CARRIED_BYTES, MAX_MESSAGE_BYTES, Outgoing};

const NO_WAIT: Duration = Duration::ZERO;
const SECOND: Duration = Duration::from_secs(1);

pub(super) async fn more_than_ten_at_a_time_is_invalid(stage: Stage) {
    let queue = stage.standard();
    assert_invalid(stage.cloud.queues.receive(&queue, 11, NO_WAIT).await);
    assert_invalid(stage.cloud.queues.receive(&queue, 0, NO_WAIT).await);
    assert_invalid(stage.cloud.queues.receive(&queue, 1, 21 * SECOND).await);
}

pub(super) async fn the_largest_message_is_taken(stage: Stage) {
    let queue = stage.standard();
    stage.put(&queue, &"x".repeat(MAX_MESSAGE_BYTES)).await;
    assert_eq!(stage.take_one(&queue).await.body.len(), MAX_MESSAGE_BYTES);
}

pub(super) async fn a_larger_message_is_carried(stage: Stage) {
    let (standard, fifo) = (stage.standard(), stage.fifo());
    let body = format!("{}ü", "x".repeat(MAX_MESSAGE_BYTES));
    stage.put(&standard, &body).await;
    let message = Outgoing::fifo(body.clone(), "g", "id").attribute("reason", "long");
    stage.cloud.queues.send(&fifo, message).await.unwrap();
    for (queue, notes) in [(standard, 0), (fifo, 1)] {
        let found = stage.take_one(&queue).await;
        assert!(found.body == body, "{} bytes", found.body.len());
        assert_eq!(found.attributes.len(), notes);
        stage.done(&found).await;
    }
}

pub(super) async fn attributes_count_for_the_size(stage: Stage) {
    let queue = stage.standard();
    let body = "x".repeat(MAX_MESSAGE_BYTES - 5);
    let message = Outgoing::standard(body.clone()).attribute("reason", "long");
    stage.cloud.queues.send(&queue, message.clone()).await.unwrap();
    let found = stage.take_one(&queue).await;
    assert!(found.body == body);
    assert_eq!(found.attributes, message.attributes);
}

pub(super) async fn a_message_beyond_all_bounds_is_invalid(stage: Stage) {
    let message = Outgoing::standard("x".repeat(MAX_CARRIED_BYTES + 1));
    assert_invalid(stage.cloud.queues.send(&stage.standard(), message).await);
}

pub(super) async fn an_empty_message_is_invalid(stage: Stage) {
    assert_invalid(stage.cloud.queues.send(&stage.standard(), Outgoing::standard("")).await);
}

pub(super) async fn control_characters_are_invalid(stage: Stage) {
    for body in ["a\0b", "a\u{1b}b", "a\u{fffe}b"] {
        assert_invalid(stage.cloud.queues.send(&stage.standard(), Outgoing::standard(body)).await);
    }
}

pub(super) async fn a_group_is_invalid_on_a_standard_queue(stage: Stage) {
    assert_invalid(stage.cloud.queues.send(&stage.standard(), Outgoing::fifo("x", "group", "id")).await);
}

pub(super) async fn a_delay_beyond_fifteen_minutes_is_invalid(stage: Stage) {
    let message = Outgoing { delay: 901 * SECOND, ..Outgoing::standard("x") };
    assert_invalid(stage.cloud.queues.send(&stage.standard(), message).await);
}

pub(super) async fn a_visibility_beyond_twelve_hours_is_invalid(stage: Stage) {
    let queue = stage.standard();
    stage.put(&queue, "x").await;
    let found = stage.take_one(&queue).await;
    assert_invalid(stage.cloud.queues.extend(&found.receipt, 43_201 * SECOND).await);
}
