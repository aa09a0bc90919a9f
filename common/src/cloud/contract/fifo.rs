//! FIFO queues.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::Stage;
use super::queues::{assert_invalid, assert_not_found};
use crate::cloud::queue::Outgoing;
use crate::domain::names::Queue;

const SECOND: Duration = Duration::from_secs(1);

impl Stage {
    /// Sends with the body as its deduplication id.
    async fn line_up(&self, queue: &Queue, group: &str, bodies: &[&str]) {
        for body in bodies {
            self.send_as(queue, group, body, body).await;
        }
    }

    async fn send_as(&self, queue: &Queue, group: &str, body: &str, dedup: &str) -> String {
        self.cloud.queues.send(queue, Outgoing::fifo(body, group, dedup)).await.unwrap()
    }

    async fn batch(&self, queue: &Queue) -> Vec<String> {
        let found = self.cloud.queues.receive(queue, 10, 5 * SECOND).await.unwrap();
        found.into_iter().map(|delivery| delivery.body).collect()
    }
}

pub(super) async fn order_is_kept(stage: Stage) {
    let queue = stage.fifo();
    stage.line_up(&queue, "g", &["1", "2", "3"]).await;
    for expected in ["1", "2", "3"] {
        let found = stage.take_one(&queue).await;
        assert_eq!((found.body.as_str(), found.group.as_deref()), (expected, Some("g")));
        stage.done(&found).await;
    }
}

pub(super) async fn a_batch_of_one_group_is_in_order(stage: Stage) {
    let queue = stage.fifo();
    stage.line_up(&queue, "g", &["1", "2", "3"]).await;
    assert_eq!(stage.batch(&queue).await, ["1", "2", "3"]);
}

pub(super) async fn a_group_is_blocked_while_in_flight(stage: Stage) {
    let queue = stage.fifo();
    stage.line_up(&queue, "g", &["1", "2"]).await;
    stage.take_one(&queue).await;
    stage.assert_nothing(&queue).await;
}

pub(super) async fn other_groups_go_on(stage: Stage) {
    let queue = stage.fifo();
    stage.line_up(&queue, "a", &["a1", "a2"]).await;
    stage.line_up(&queue, "b", &["b1"]).await;
    assert_eq!(stage.take_one(&queue).await.body, "a1");
    assert_eq!(stage.take_one(&queue).await.body, "b1");
    stage.assert_nothing(&queue).await;
}

pub(super) async fn the_next_comes_after_the_delete(stage: Stage) {
    let queue = stage.fifo();
    stage.line_up(&queue, "g", &["1", "2"]).await;
    let first = stage.take_one(&queue).await;
    stage.done(&first).await;
    assert_eq!(stage.take_one(&queue).await.body, "2");
}

pub(super) async fn a_message_given_back_comes_first_again(stage: Stage) {
    let queue = stage.fifo();
    stage.line_up(&queue, "g", &["1", "2"]).await;
    let first = stage.take_one(&queue).await;
    stage.give_back(&first).await;
    assert_eq!(stage.batch(&queue).await, ["1", "2"]);
}

pub(super) async fn a_message_that_timed_out_comes_first_again(stage: Stage) {
    let queue = stage.fifo();
    stage.line_up(&queue, "g", &["1", "2"]).await;
    let first = stage.take_one(&queue).await;
    stage.cloud.queues.extend(&first.receipt, SECOND).await.unwrap();
    stage.pass(2 * SECOND).await;
    let again = stage.take_one(&queue).await;
    assert_eq!((again.body.as_str(), again.receive_count), ("1", 2));
}

pub(super) async fn a_duplicate_changes_nothing(stage: Stage) {
    let queue = stage.fifo();
    let first = stage.send_as(&queue, "g", "1", "id").await;
    let second = stage.send_as(&queue, "g", "other words", "id").await;
    assert_eq!(first, second);
    assert_eq!(stage.batch(&queue).await, ["1"]);
}

pub(super) async fn a_duplicate_changes_nothing_after_the_delete(stage: Stage) {
    let queue = stage.fifo();
    stage.line_up(&queue, "g", &["1"]).await;
    let found = stage.take_one(&queue).await;
    stage.done(&found).await;
    stage.line_up(&queue, "g", &["1"]).await;
    stage.assert_nothing(&queue).await;
}

pub(super) async fn a_duplicate_is_known_for_five_minutes(stage: Stage) {
    let queue = stage.fifo();
    stage.line_up(&queue, "g", &["1"]).await;
    let found = stage.take_one(&queue).await;
    stage.done(&found).await;
    stage.pass(Duration::from_secs(299)).await;
    stage.line_up(&queue, "g", &["1"]).await;
    stage.assert_nothing(&queue).await;
    stage.pass(2 * SECOND).await;
    stage.line_up(&queue, "g", &["1"]).await;
    assert_eq!(stage.batch(&queue).await, ["1"]);
}

pub(super) async fn the_same_id_on_two_queues_is_no_duplicate(stage: Stage) {
    let other = Queue::Input(stage.key("other"));
    stage.line_up(&stage.fifo(), "g", &["1"]).await;
    stage.line_up(&other, "g", &["1"]).await;
    assert_eq!(stage.batch(&other).await, ["1"]);
}

pub(super) async fn a_void_receipt_cannot_delete(stage: Stage) {
    let queue = stage.fifo();
    stage.line_up(&queue, "g", &["1", "2"]).await;
    let first = stage.take_one(&queue).await;
    stage.cloud.queues.extend(&first.receipt, SECOND).await.unwrap();
    stage.pass(2 * SECOND).await;
    let second = stage.take_one(&queue).await;
    assert_not_found(stage.cloud.queues.delete(&first.receipt).await);
    stage.give_back(&second).await;
    assert_eq!(stage.take_one(&queue).await.body, "1");
}

pub(super) async fn a_void_receipt_cannot_extend(stage: Stage) {
    let queue = stage.fifo();
    stage.line_up(&queue, "g", &["1"]).await;
    let first = stage.take_one(&queue).await;
    stage.cloud.queues.extend(&first.receipt, SECOND).await.unwrap();
    stage.pass(2 * SECOND).await;
    stage.take_one(&queue).await;
    assert_not_found(stage.cloud.queues.extend(&first.receipt, Duration::ZERO).await);
    stage.assert_nothing(&queue).await;
}

pub(super) async fn a_message_needs_a_group_and_an_id(stage: Stage) {
    let whole = Outgoing::fifo("x", "g", "id");
    for message in [
        Outgoing { group: None, ..whole.clone() },
        Outgoing { dedup: None, ..whole.clone() },
        Outgoing { group: Some("two words".to_owned()), ..whole.clone() },
        Outgoing { dedup: Some("x".repeat(129)), ..whole },
    ] {
        assert_invalid(stage.cloud.queues.send(&stage.fifo(), message).await);
    }
}

pub(super) async fn a_delay_is_invalid(stage: Stage) {
    let message = Outgoing { delay: SECOND, ..Outgoing::fifo("x", "g", "id") };
    assert_invalid(stage.cloud.queues.send(&stage.fifo(), message).await);
}

pub(super) async fn a_waiting_receive_wakes_when_its_group_is_free(stage: Stage) {
    let queue = stage.fifo();
    stage.line_up(&queue, "g", &["1", "2"]).await;
    let first = stage.take_one(&queue).await;
    let (next, ()) = tokio::join!(stage.cloud.queues.receive(&queue, 1, 20 * SECOND), async {
        tokio::task::yield_now().await;
        stage.done(&first).await;
    });
    assert_eq!(next.unwrap()[0].body, "2");
}

pub(super) async fn two_receivers_never_share_a_group(stage: Stage) {
    let queue = stage.fifo();
    let groups: Vec<String> = (0..3).map(|index| format!("g{index}")).collect();
    for index in 0..10 {
        for group in &groups {
            stage.line_up(&queue, group, &[&format!("{group}-{index}")]).await;
        }
    }
    let busy = Arc::new(Mutex::new(HashSet::new()));
    let workers: Vec<_> =
        (0..4).map(|_| tokio::spawn(work_off(stage.clone(), queue.clone(), Arc::clone(&busy)))).collect();
    let mut handled = 0;
    for worker in workers {
        handled += worker.await.unwrap();
    }
    assert_eq!(handled, 30);
}

/// Takes and ends messages; nobody else may be at the same group meanwhile.
async fn work_off(stage: Stage, queue: Queue, busy: Arc<Mutex<HashSet<String>>>) -> usize {
    let mut handled = 0;
    loop {
        let found = stage.cloud.queues.receive(&queue, 1, SECOND).await.unwrap();
        let Some(delivery) = found.first() else { return handled };
        let group = delivery.group.clone().unwrap();
        assert!(busy.lock().unwrap().insert(group.clone()), "{group} has two receivers");
        tokio::task::yield_now().await;
        busy.lock().unwrap().remove(&group);
        stage.done(delivery).await;
        handled += 1;
    }
}
