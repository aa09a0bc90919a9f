//! The queues over SQLite: this file checks what comes in and waits; [`super::queue_rows`] and
//! [`super::queue_receive`] have the rules.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::db::Db;
use super::queue_receive::{self, Received};
use super::queue_rows::{self, Handle, Source};
use super::wake::Wake;
use crate::clock::Clock;
use crate::cloud::queue::{
    Delivery, Depth, MAX_BATCH, MAX_MESSAGE_BYTES, MAX_WAIT, Outgoing, Queues, Receipt,
};
use crate::cloud::{CloudError, Result};
use crate::domain::names::{Prefix, Queue};
use crate::domain::text::is_sendable;
use crate::domain::timestamp::Timestamp;

/// The longest delay of a message (SQS: 15 minutes).
const MAX_DELAY: Duration = Duration::from_mins(15);
/// The longest visibility (SQS: 12 hours).
const MAX_VISIBILITY: Duration = Duration::from_hours(12);
/// The most attributes of a message (SQS: 10).
const MAX_ATTRIBUTES: usize = 10;
/// How often a waiter looks whether somebody has moved a stepped clock.
const STEPPED_LOOK: Duration = Duration::from_millis(10);

/// The door.
pub(super) struct LocalQueues {
    db: Db,
    wake: Arc<Wake>,
    prefix: Prefix,
    clock: Clock,
}

impl LocalQueues {
    /// Over this database.
    pub(super) fn new(db: Db, wake: Arc<Wake>, prefix: Prefix, clock: Clock) -> Self {
        Self { db, wake, prefix, clock }
    }

    fn source(&self, queue: &Queue) -> Source {
        Source::new(queue, &self.prefix)
    }

    async fn receive_now(&self, queue: &Queue, max: usize) -> Result<Received> {
        let (source, now) = (self.source(queue), self.clock.now());
        self.db.write("receiving a message", move |tx| queue_receive::receive(tx, &source, max, now)).await
    }

    /// How long to wait before looking again although nobody sent anything.
    fn pause(&self, left: Duration, next_visible: Option<Timestamp>) -> Duration {
        match (next_visible, &self.clock) {
            (None, _) => left,
            (Some(_), Clock::Stepped(_)) => left.min(STEPPED_LOOK),
            (Some(at), Clock::System) => left.min(at.since(self.clock.now()) + Duration::from_millis(1)),
        }
    }
}

#[async_trait]
impl Queues for LocalQueues {
    async fn send(&self, queue: &Queue, message: Outgoing) -> Result<String> {
        check(queue, &message)?;
        let (source, now) = (self.source(queue), self.clock.now());
        self.db.write("sending a message", move |tx| queue_rows::send(tx, &source, &message, now)).await
    }

    async fn receive(&self, queue: &Queue, max: usize, wait: Duration) -> Result<Vec<Delivery>> {
        if max == 0 || max > MAX_BATCH || wait > MAX_WAIT {
            let rule = format!("1 to {MAX_BATCH} messages and at most {} s", MAX_WAIT.as_secs());
            return Err(CloudError::Invalid(format!("receiving from {queue}: {rule} at a time")));
        }
        let deadline = Instant::now() + wait;
        let mut listener = (!wait.is_zero()).then(|| self.wake.listen(&queue.name(&self.prefix)));
        loop {
            let received = self.receive_now(queue, max).await?;
            let left = deadline.saturating_duration_since(Instant::now());
            match &mut listener {
                Some(listener) if received.deliveries.is_empty() && !left.is_zero() => {
                    listener.heard(self.pause(left, received.next_visible)).await;
                }
                _ => return Ok(received.deliveries),
            }
        }
    }

    async fn extend(&self, receipt: &Receipt, visibility: Duration) -> Result<()> {
        if visibility > MAX_VISIBILITY {
            return Err(CloudError::Invalid(format!(
                "a message of {} cannot be kept longer than 12 h",
                receipt.queue
            )));
        }
        let (source, now) = (self.source(&receipt.queue), self.clock.now());
        let handle = Handle::parse(receipt)?;
        let until = now.plus(visibility);
        self.db
            .write("keeping a message", move |tx| queue_rows::extend(tx, &source, &handle, now, until))
            .await
    }

    async fn delete(&self, receipt: &Receipt) -> Result<()> {
        let (source, handle) = (self.source(&receipt.queue), Handle::parse(receipt)?);
        self.db.write("deleting a message", move |tx| queue_rows::delete(tx, &source, &handle)).await
    }

    async fn remove_queue(&self, queue: &Queue) -> Result<()> {
        let source = self.source(queue);
        self.db.write("removing a queue", move |tx| queue_rows::remove(tx, &source)).await
    }

    async fn depth(&self, queue: &Queue) -> Result<Depth> {
        let (source, now) = (self.source(queue), self.clock.now());
        self.db.read("measuring a queue", move |rows| queue_rows::depth(rows, &source, now)).await
    }
}

/// What SQS refuses is refused here as well.
fn check(queue: &Queue, message: &Outgoing) -> Result<()> {
    let refuse = |rule: &str| Err(CloudError::Invalid(format!("sending to {queue}: {rule}")));
    if message.body.is_empty() {
        return refuse("the message is empty");
    }
    if size_bytes(message) > MAX_MESSAGE_BYTES {
        return refuse(&format!("the message has more than {MAX_MESSAGE_BYTES} bytes"));
    }
    if !message.body.chars().all(is_sendable) {
        return refuse("the message has control characters or non-characters");
    }
    if message.attributes.len() > MAX_ATTRIBUTES {
        return refuse("the message has more than 10 attributes");
    }
    if message.attributes.iter().any(|(name, value)| name.is_empty() || value.is_empty()) {
        return refuse("an attribute of the message is empty");
    }
    match (queue.is_fifo(), &message.group, &message.dedup) {
        (true, Some(group), Some(dedup)) if is_fifo_id(group) && is_fifo_id(dedup) => {}
        (true, ..) => {
            return refuse("it needs a group and a deduplication id of 1 to 128 printable ASCII characters");
        }
        (false, None, None) => {}
        (false, ..) => return refuse("only FIFO queues know groups and deduplication ids"),
    }
    if queue.is_fifo() && !message.delay.is_zero() {
        return refuse("a FIFO queue has no delays");
    }
    if message.delay > MAX_DELAY {
        return refuse("a message cannot be delayed for longer than 15 minutes");
    }
    Ok(())
}

fn size_bytes(message: &Outgoing) -> usize {
    // SQS counts the type of an attribute ("String") as well.
    let attributes: usize = message.attributes.iter().map(|(name, value)| name.len() + value.len() + 6).sum();
    message.body.len() + attributes
}

fn is_fifo_id(id: &str) -> bool {
    (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic())
}
