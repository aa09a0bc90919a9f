//! What SQS refuses is refused by every cloud, before anything is sent.

use std::time::Duration;

use super::{MAX_BATCH, MAX_CARRIED_BYTES, MAX_WAIT, Outgoing, Receipt};
use crate::cloud::{CloudError, Result};
use crate::domain::names::Queue;
use crate::domain::text::is_sendable;

/// The longest delay of a message (SQS: 15 minutes).
const MAX_DELAY: Duration = Duration::from_mins(15);
/// The longest visibility (SQS: 12 hours).
const MAX_VISIBILITY: Duration = Duration::from_hours(12);
/// The most attributes of a message (SQS: 10, of which one is ours).
const MAX_ATTRIBUTES: usize = 9;

/// How much may be asked for at once.
pub(in crate::cloud) fn check_receive(queue: &Queue, max: usize, wait: Duration) -> Result<()> {
    if (1..=MAX_BATCH).contains(&max) && wait <= MAX_WAIT {
        return Ok(());
    }
    let rule = format!("1 to {MAX_BATCH} messages and at most {} s", MAX_WAIT.as_secs());
    Err(CloudError::Invalid(format!("receiving from {queue}: {rule} at a time")))
}

/// How long a delivery may be kept.
pub(in crate::cloud) fn check_visibility(receipt: &Receipt, visibility: Duration) -> Result<()> {
    if visibility <= MAX_VISIBILITY {
        return Ok(());
    }
    Err(CloudError::Invalid(format!("a message of {} cannot be kept longer than 12 h", receipt.queue)))
}

/// What may be sent.
pub(in crate::cloud) fn check(queue: &Queue, message: &Outgoing) -> Result<()> {
    let refuse = |rule: &str| Err(CloudError::Invalid(format!("sending to {queue}: {rule}")));
    if message.body.is_empty() {
        return refuse("the message is empty");
    }
    if size_bytes(message) > MAX_CARRIED_BYTES {
        return refuse(&format!("the message has more than {MAX_CARRIED_BYTES} bytes"));
    }
    if !message.body.chars().all(is_sendable) {
        return refuse("the message has control characters or non-characters");
    }
    if message.attributes.len() > MAX_ATTRIBUTES {
        return refuse(&format!("the message has more than {MAX_ATTRIBUTES} attributes"));
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

/// The size as SQS counts it: body, names, values and types of attributes.
pub(in crate::cloud) fn size_bytes(message: &Outgoing) -> usize {
    let attributes: usize = message.attributes.iter().map(|(name, value)| name.len() + value.len() + 6).sum();
    message.body.len() + attributes
}

fn is_fifo_id(id: &str) -> bool {
    (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic())
}
