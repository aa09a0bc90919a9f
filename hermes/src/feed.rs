//! Receiving from a queue for as long as the program runs: long polling, backing off while the queue does not answer (and
//! saying so to the readiness check), ending on the shutdown token.

use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use common::cloud::Result;
use common::cloud::queue::{Delivery, MAX_BATCH, MAX_WAIT, Outgoing};
use common::domain::names::Queue;
use common::domain::text;
use tokio_util::sync::CancellationToken;

use crate::app::App;

/// A receive under way is given so long to end at shutdown.
const LAST_RECEIVE: Duration = Duration::from_millis(200);

/// The messages of one queue.
pub struct Feed {
    app: Arc<App>,
    queue: Queue,
    part: &'static str,
    stop: CancellationToken,
    waits: backon::ExponentialBackoff,
    /// How long a receive waits for a message: not at all after one that failed, so that it is soon known to be well again.
    patience: Duration,
}

impl Feed {
    /// Messages of `queue` until `stop`; `part` is how the readiness check calls it.
    pub fn new(app: Arc<App>, queue: Queue, part: &'static str, stop: CancellationToken) -> Self {
        Self { app, queue, part, stop, waits: backoff(), patience: MAX_WAIT }
    }

    /// The next messages, at least one; none when it is time to stop.
    pub async fn next(&mut self) -> Option<Vec<Delivery>> {
        while !self.stop.is_cancelled() {
            match self.receive().await? {
                Ok(batch) => {
                    self.well();
                    if !batch.is_empty() {
                        return Some(batch);
                    }
                }
                Err(error) => self.wait(&error.to_string()).await,
            }
        }
        None
    }

    async fn receive(&self) -> Option<Result<Vec<Delivery>>> {
        let receive = self.app.cloud.queues.receive(&self.queue, MAX_BATCH, self.patience);
        tokio::pin!(receive);
        tokio::select! {
            received = &mut receive => Some(received),
            () = self.stop.cancelled() => tokio::time::timeout(LAST_RECEIVE, receive).await.ok(),
        }
    }

    fn well(&mut self) {
        self.app.health.well(self.part);
        self.waits = backoff();
        self.patience = MAX_WAIT;
    }

    async fn wait(&mut self, error: &str) {
        let wait = self.waits.next().unwrap_or(Duration::from_secs(30));
        tracing::warn!(error, "the {} cannot be read; next try in {} ms", self.part, wait.as_millis());
        self.app.health.ill(self.part, error);
        self.patience = Duration::ZERO;
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = self.stop.cancelled() => {}
        }
    }
}

fn backoff() -> backon::ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(200))
        .with_max_delay(Duration::from_secs(30))
        .with_jitter()
        .without_max_times()
        .build()
}

/// Moves a message that cannot be read to a dead queue, with the reason, so that it is not tried again.
pub async fn set_aside(app: &App, delivery: &Delivery, to: Queue, reason: &str) -> Result<()> {
    tracing::warn!(
        message.id = delivery.message_id,
        "a message of {} cannot be used and is moved to {to}: {reason}",
        delivery.receipt.queue
    );
    let message = Outgoing::standard(delivery.body.clone()).attribute("reason", text::one_line(reason));
    app.cloud.queues.send(&to, message).await?;
    app.cloud.queues.delete(&delivery.receipt).await
}
