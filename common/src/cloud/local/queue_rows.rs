//! The rules of the queues as steps inside one transaction. Times are given; nothing here waits.

use std::collections::BTreeMap;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::fault::Outcome;
use super::writer::Tx;
use crate::cloud::queue::{DEDUPLICATION, Depth, Outgoing, RETENTION, Receipt};
use crate::cloud::{CloudError, Result};
use crate::domain::names::{Prefix, Queue};
use crate::domain::timestamp::Timestamp;

/// A queue with what its rows need to know of it.
pub(super) struct Source {
    pub(super) queue: Queue,
    pub(super) name: String,
    pub(super) redrive: Option<(String, u32)>,
}

impl Source {
    /// The queue under a prefix.
    pub(super) fn new(queue: &Queue, prefix: &Prefix) -> Self {
        Self {
            queue: queue.clone(),
            name: queue.name(prefix),
            redrive: queue.redrive().map(|(dead, receives)| (dead.name(prefix), receives)),
        }
    }

    /// How long a received message stays away.
    pub(super) fn visibility(&self) -> Duration {
        Duration::from_secs(self.queue.visibility_secs())
    }
}

/// A receipt's handle in its two parts: which message, and which receive of it.
pub(super) struct Handle {
    message_id: String,
    receive: String,
}

impl Handle {
    /// Takes a handle that [`receive`] gave out.
    pub(super) fn parse(receipt: &Receipt) -> Result<Self> {
        match receipt.handle.split_once('.') {
            Some((message_id, receive)) => {
                Ok(Self { message_id: message_id.to_owned(), receive: receive.to_owned() })
            }
            None => {
                Err(CloudError::Invalid(format!("{:?} is no receipt of {}", receipt.handle, receipt.queue)))
            }
        }
    }

    fn void(&self, source: &Source) -> CloudError {
        CloudError::NotFound(format!("this receive of message {} of {}", self.message_id, source.queue))
    }
}

/// Puts a message in, unless its deduplication id was used within five minutes.
pub(super) fn send(tx: &mut Tx<'_>, source: &Source, message: &Outgoing, now: Timestamp) -> Outcome<String> {
    let queue_id = made(tx, &source.name, now)?;
    let message_id = Uuid::new_v4().to_string();
    if let Some(dedup) = &message.dedup {
        tx.prepare_cached("DELETE FROM deduplications WHERE ends_at <= ?1")?.execute([now.millis()])?;
        let fresh = tx
            .prepare_cached("INSERT INTO deduplications (queue_id, dedup_id, message_id, ends_at) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING")?
            .execute(params![queue_id, dedup, message_id, now.plus(DEDUPLICATION).millis()])?;
        if fresh == 0 {
            return Ok(tx
                .prepare_cached(
                    "SELECT message_id FROM deduplications WHERE queue_id = ?1 AND dedup_id = ?2",
                )?
                .query_row(params![queue_id, dedup], |row| row.get(0))?);
        }
    }
    let row = NewRow {
        message_id: &message_id,
        group: message.group.as_deref(),
        body: &message.body,
        attributes: &message.attributes,
        sent_at: now,
        visible_at: now.plus(message.delay),
    };
    insert(tx, queue_id, &row)?;
    tx.wake(&source.name);
    Ok(message_id)
}

/// A message as it is put into a queue.
pub(super) struct NewRow<'a> {
    pub(super) message_id: &'a str,
    pub(super) group: Option<&'a str>,
    pub(super) body: &'a str,
    pub(super) attributes: &'a BTreeMap<String, String>,
    pub(super) sent_at: Timestamp,
    pub(super) visible_at: Timestamp,
}

/// Puts a row into a queue.
pub(super) fn insert(tx: &Connection, queue_id: i64, row: &NewRow<'_>) -> Outcome<()> {
    tx.prepare_cached(
        "INSERT INTO messages (queue_id, message_id, group_id, body, attributes, sent_at, visible_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        queue_id,
        row.message_id,
        row.group,
        row.body,
        to_json(row.attributes),
        row.sent_at.millis(),
        row.visible_at.millis()
    ])?;
    Ok(())
}

/// Keeps a message in flight, or gives it back when `until` is `now`.
pub(super) fn extend(
    tx: &mut Tx<'_>,
    source: &Source,
    handle: &Handle,
    now: Timestamp,
    until: Timestamp,
) -> Outcome<()> {
    let Some(queue_id) = found(tx, &source.name)? else { return Err(handle.void(source).into()) };
    let kept = tx
        .prepare_cached(
            "UPDATE messages SET visible_at = ?5
             WHERE queue_id = ?1 AND message_id = ?2 AND handle = ?3 AND visible_at > ?4",
        )?
        .execute(params![queue_id, handle.message_id, handle.receive, now.millis(), until.millis()])?;
    if kept == 0 {
        return Err(handle.void(source).into());
    }
    if until <= now {
        tx.wake(&source.name);
    }
    Ok(())
}

/// Ends a message; only its latest receive may.
pub(super) fn delete(tx: &mut Tx<'_>, source: &Source, handle: &Handle) -> Outcome<()> {
    let Some(queue_id) = found(tx, &source.name)? else { return Ok(()) };
    let deleted = tx
        .prepare_cached("DELETE FROM messages WHERE queue_id = ?1 AND message_id = ?2 AND handle = ?3")?
        .execute(params![queue_id, handle.message_id, handle.receive])?;
    if deleted == 0 {
        let exists = tx
            .prepare_cached("SELECT 1 FROM messages WHERE queue_id = ?1 AND message_id = ?2")?
            .exists(params![queue_id, handle.message_id])?;
        return if exists { Err(handle.void(source).into()) } else { Ok(()) };
    }
    if source.queue.is_fifo() {
        tx.wake(&source.name);
    }
    Ok(())
}

/// Removes a queue with all it holds.
pub(super) fn remove(tx: &mut Tx<'_>, source: &Source) -> Outcome<()> {
    tx.prepare_cached("DELETE FROM queues WHERE name = ?1")?.execute([&source.name])?;
    Ok(())
}

/// Counts the messages of a queue.
pub(super) fn depth(rows: &Connection, source: &Source, now: Timestamp) -> Outcome<Depth> {
    let oldest = now.millis().saturating_sub(i64::try_from(RETENTION.as_millis()).unwrap_or(i64::MAX));
    let counted = rows
        .prepare_cached(
            "SELECT count(*) FILTER (WHERE visible_at <= ?2),
                    count(*) FILTER (WHERE visible_at > ?2 AND handle IS NOT NULL),
                    count(*) FILTER (WHERE visible_at > ?2 AND handle IS NULL)
             FROM messages WHERE queue_id = (SELECT queue_id FROM queues WHERE name = ?1) AND sent_at > ?3",
        )?
        .query_row(params![source.name, now.millis(), oldest], |row| {
            Ok([row.get(0)?, row.get(1)?, row.get(2)?])
        })?;
    let [visible, in_flight, delayed] = counted.map(|count: i64| u64::try_from(count).unwrap_or(0));
    Ok(Depth { visible, in_flight, delayed })
}

/// The queue, when it was used before.
pub(super) fn found(tx: &Connection, name: &str) -> Outcome<Option<i64>> {
    Ok(tx
        .prepare_cached("SELECT queue_id FROM queues WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()?)
}

/// The queue, made on first use.
pub(super) fn made(tx: &Connection, name: &str, now: Timestamp) -> Outcome<i64> {
    if let Some(queue_id) = found(tx, name)? {
        return Ok(queue_id);
    }
    tx.prepare_cached("INSERT INTO queues (name, made_at) VALUES (?1, ?2)")?
        .execute(params![name, now.millis()])?;
    Ok(tx.last_insert_rowid())
}

fn to_json(attributes: &BTreeMap<String, String>) -> String {
    serde_json::json!(attributes).to_string()
}

/// Attributes as they are stored.
pub(super) fn from_json(text: &str) -> BTreeMap<String, String> {
    serde_json::from_str(text).unwrap_or_default()
}
