//! Receiving from a queue for as long as the program runs: long polling, backing off while the queue does not answer (and
//! saying so to the readiness check), ending on the shutdown token. While what the work itself needs does not answer,
//! nothing is received: a queue counts receives, and would give up on messages that nobody could work off.

use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use common::cloud::queue::{Delivery, MAX_BATCH, MAX_WAIT, Outgoing};
use common::cloud::{CloudError, Result};
use common::domain::names::Queue;
use common::domain::text;
use tokio_util::sync::CancellationToken;

use crate::app::App;

/// A receive under way is given so long to end at shutdown.
const LAST_RECEIVE: Duration = Duration::from_millis(200);

/// A message that fails for a reason of its own, and not only once, is left alone for so long.
const PUT_OFF: Duration = Duration::from_hours(1);

/// What to do after a message could not be worked off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// The same one again: what was in the way is over.
    TryAgain,
    /// The next one; this one comes again, or is set aside.
    GoOn,
}

/// How soon the doors answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answers {
    /// All did.
    AtOnce,
    /// Not all did at first.
    AtLast,
}

/// The messages of one queue.
pub struct Feed {
    app: Arc<App>,
    queue: Queue,
    part: &'static str,
    stop: CancellationToken,
    waits: backon::ExponentialBackoff,
    /// Whether all that the work needs has answered since the start.
    begun: bool,
    /// How long a receive waits for a message: not at all after one that failed, so that it is soon known to be well again.
    patience: Duration,
}

impl Feed {
    /// Messages of `queue` until `stop`; `part` is how the readiness check calls it.
    pub fn new(app: Arc<App>, queue: Queue, part: &'static str, stop: CancellationToken) -> Self {
        Self { app, queue, part, stop, waits: backoff(), begun: false, patience: MAX_WAIT }
    }

    /// The next messages, at least one; none when it is time to stop.
    pub async fn next(&mut self) -> Option<Vec<Delivery>> {
        if !self.begun {
            self.answers().await;
            self.begun = true;
        }
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

    /// What to do about a message that could not be worked off. While doors do not answer it is kept in hand, however long
    /// that takes; when they all do, the trouble is its own, and it has as many tries as its queue gives.
    pub async fn failed(&mut self, delivery: &Delivery, error: &CloudError) -> Then {
        tracing::warn!(%error, message.id = delivery.message_id, "a message of the {} could not be handled", self.part);
        if error.is_retryable() && self.answers().await == Answers::AtLast {
            return Then::TryAgain;
        }
        if !self.stop.is_cancelled()
            && let Err(error) = self.put_off(delivery, error).await
        {
            tracing::warn!(%error, message.id = delivery.message_id, "a message comes again sooner than it should");
        }
        Then::GoOn
    }

    /// Waits until tables, queues and files answer, or it is time to stop.
    async fn answers(&mut self) -> Answers {
        let mut answers = Answers::AtOnce;
        loop {
            let silent = self.app.silent_doors().await;
            if silent.is_empty() {
                self.well();
                return answers;
            }
            answers = Answers::AtLast;
            self.wait(&silent.join("; ")).await;
            if self.stop.is_cancelled() {
                return Answers::AtOnce;
            }
        }
    }

    /// The first time it comes again by itself; the last time people have to look at it.
    async fn put_off(&self, delivery: &Delivery, error: &CloudError) -> Result<()> {
        match self.queue.redrive() {
            Some((dead, most)) if delivery.receive_count >= most => {
                set_aside(&self.app, delivery, dead, &format!("tried {most} times, the last time: {error}"))
                    .await
            }
            _ if delivery.receive_count > 1 => self.app.cloud.queues.extend(&delivery.receipt, PUT_OFF).await,
            _ => Ok(()),
        }
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
        tracing::warn!(error, "the {} cannot be worked off; next try in {} ms", self.part, wait.as_millis());
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
