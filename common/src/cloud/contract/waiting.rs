//! Receives that wait.

use std::time::Duration;

use super::Stage;
use crate::cloud::queue::Outgoing;

const SECOND: Duration = Duration::from_secs(1);

pub(super) async fn a_waiting_receive_wakes_when_something_is_sent(stage: Stage) {
    let queue = stage.standard();
    let (found, _) = tokio::join!(stage.cloud.queues.receive(&queue, 1, 20 * SECOND), async {
        tokio::task::yield_now().await;
        stage.put(&queue, "x").await
    });
    assert_eq!(found.unwrap().len(), 1);
}

pub(super) async fn a_waiting_receive_wakes_when_something_is_given_back(stage: Stage) {
    let queue = stage.standard();
    stage.put(&queue, "x").await;
    let first = stage.take_one(&queue).await;
    let (found, ()) = tokio::join!(stage.cloud.queues.receive(&queue, 1, 20 * SECOND), async {
        tokio::task::yield_now().await;
        stage.give_back(&first).await;
    });
    assert_eq!(found.unwrap()[0].receive_count, 2);
}

pub(super) async fn a_waiting_receive_ends_with_its_time(stage: Stage) {
    let began = tokio::time::Instant::now();
    assert_eq!(stage.cloud.queues.receive(&stage.standard(), 1, SECOND).await.unwrap(), []);
    assert!((SECOND..4 * SECOND).contains(&began.elapsed()), "{:?}", began.elapsed());
}

pub(super) async fn a_waiting_receive_gets_what_becomes_visible(stage: Stage) {
    let queue = stage.standard();
    let message = Outgoing { delay: SECOND, ..Outgoing::standard("x") };
    stage.cloud.queues.send(&queue, message).await.unwrap();
    let (found, ()) =
        tokio::join!(stage.cloud.queues.receive(&queue, 1, 10 * SECOND), stage.pass(2 * SECOND));
    assert_eq!(found.unwrap().len(), 1);
}
