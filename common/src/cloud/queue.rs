//! The door to the queues: at-least-once delivery with receipts, visibility and dead letters; FIFO queues keep the order
//! within a group and block a group while one of its messages is in flight (the semantics of Amazon SQS).

pub(super) mod limits;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;

use super::Result;
use crate::domain::names::Queue;
use crate::domain::timestamp::Timestamp;

/// The longest wait of one receive (SQS: 20 s).
pub const MAX_WAIT: Duration = Duration::from_secs(20);
/// The most messages of one receive (SQS: 10).
pub const MAX_BATCH: usize = 10;
/// The largest message that a queue itself holds, body and attributes together (SQS since August 2025: 1 MiB).
pub const MAX_MESSAGE_BYTES: usize = 1024 * 1024;
/// The largest message that crosses a queue: above [`MAX_MESSAGE_BYTES`] its body lies among the objects (on AWS) and the
/// queue holds where.
pub const MAX_CARRIED_BYTES: usize = 48 * 1024 * 1024;
/// How long a deduplication id is remembered (SQS: 5 minutes).
pub const DEDUPLICATION: Duration = Duration::from_mins(5);
/// How long messages are kept.
pub const RETENTION: Duration = Duration::from_hours(14 * 24);

/// A message on its way in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outgoing {
    /// The text.
    pub body: String,
    /// FIFO: messages of one group keep their order.
    pub group: Option<String>,
    /// FIFO: a second send with this id within five minutes changes nothing.
    pub dedup: Option<String>,
    /// Standard queues: invisible for so long.
    pub delay: Duration,
    /// Short notes beside the body, such as the `reason` of a dead letter.
    pub attributes: BTreeMap<String, String>,
}

impl Outgoing {
    /// A message for a standard queue.
    pub fn standard(body: impl Into<String>) -> Self {
        Self { body: body.into(), ..Self::default() }
    }

    /// A message for a FIFO queue.
    pub fn fifo(body: impl Into<String>, group: impl Into<String>, dedup: impl Into<String>) -> Self {
        Self { body: body.into(), group: Some(group.into()), dedup: Some(dedup.into()), ..Self::default() }
    }

    /// With a note.
    #[must_use]
    pub fn attribute(mut self, name: &str, value: impl Into<String>) -> Self {
        self.attributes.insert(name.to_owned(), value.into());
        self
    }
}

/// The right to delete or extend one delivery.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Receipt {
    /// The queue it was received from.
    pub queue: Queue,
    /// The queue's own handle for this receive; an older one of the same message is void.
    pub handle: String,
}

/// A received message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The queue's id of the message, the same at every delivery.
    pub message_id: String,
    /// The text.
    pub body: String,
    /// FIFO: the group.
    pub group: Option<String>,
    /// Notes beside the body.
    pub attributes: BTreeMap<String, String>,
    /// How often it was received, this time included.
    pub receive_count: u32,
    /// When it was sent.
    pub sent_at: Timestamp,
    /// For delete and extend.
    pub receipt: Receipt,
}

/// How full a queue is. Approximate on AWS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Depth {
    /// Can be received now.
    pub visible: u64,
    /// Received and not yet deleted.
    pub in_flight: u64,
    /// Sent with a delay that has not passed.
    pub delayed: u64,
}

/// The door. Queues are made on first use with the attributes that [`Queue`] states.
#[async_trait]
pub trait Queues: Send + Sync {
    /// Sends; the answer is the queue's message id (of the first one, for a duplicate).
    async fn send(&self, queue: &Queue, message: Outgoing) -> Result<String>;

    /// Receives up to `max` (at most [`MAX_BATCH`]) messages, waiting up to `wait` (at most [`MAX_WAIT`]) for the first
    /// one. Dropping the future may lose a receive until its visibility ends, so callers drive it to its end.
    async fn receive(&self, queue: &Queue, max: usize, wait: Duration) -> Result<Vec<Delivery>>;

    /// Keeps a delivery invisible for so long from now; zero gives it back. A void receipt is [`super::CloudError::NotFound`].
    async fn extend(&self, receipt: &Receipt, visibility: Duration) -> Result<()>;

    /// Ends a delivery. Deleting what is already gone is fine; a void receipt of a message that was delivered again is
    /// [`super::CloudError::NotFound`] for FIFO queues and changes nothing.
    async fn delete(&self, receipt: &Receipt) -> Result<()>;

    /// Removes a whole queue (a worker's control queue at its end).
    async fn remove_queue(&self, queue: &Queue) -> Result<()>;

    /// How full a queue is; all zero for one that does not exist yet.
    async fn depth(&self, queue: &Queue) -> Result<Depth>;
}
