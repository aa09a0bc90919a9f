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
use crate::cloud::Result;
use crate::cloud::queue::{Delivery, Depth, Outgoing, Queues, Receipt, limits};
use crate::domain::names::{Prefix, Queue};
use crate::domain::timestamp::Timestamp;

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
        limits::check(queue, &message)?;
        let (source, now) = (self.source(queue), self.clock.now());
        self.db.write("sending a message", move |tx| queue_rows::send(tx, &source, &message, now)).await
    }

    async fn receive(&self, queue: &Queue, max: usize, wait: Duration) -> Result<Vec<Delivery>> {
        limits::check_receive(queue, max, wait)?;
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
        limits::check_visibility(receipt, visibility)?;
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
