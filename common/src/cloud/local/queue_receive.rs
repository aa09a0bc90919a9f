//! Receiving: which messages come next, what happens to them, and which are received no more.

use rusqlite::{Connection, Row, params};
use uuid::Uuid;

use super::fault::Outcome;
use super::queue_rows::{NewRow, Source, found, from_json, insert, made};
use super::writer::Tx;
use crate::cloud::queue::{Delivery, RETENTION, Receipt};
use crate::domain::timestamp::Timestamp;

/// What a receive found.
pub(super) struct Received {
    /// Messages, now in flight.
    pub(super) deliveries: Vec<Delivery>,
    /// When the next one becomes visible by itself.
    pub(super) next_visible: Option<Timestamp>,
}

/// Takes up to `max` messages into flight; moves those that were received too often to the dead queue.
pub(super) fn receive(tx: &mut Tx<'_>, source: &Source, max: usize, now: Timestamp) -> Outcome<Received> {
    let mut deliveries = Vec::new();
    let Some(queue_id) = found(tx, &source.name)? else {
        return Ok(Received { deliveries, next_visible: None });
    };
    forget_old(tx, now)?;
    loop {
        let mut buried = false;
        for waiting in candidates(tx, source, queue_id, max - deliveries.len(), now)? {
            match &source.redrive {
                Some((dead, receives)) if waiting.receive_count >= *receives => {
                    bury(tx, dead, waiting, now)?;
                    buried = true;
                }
                _ => deliveries.push(deliver(tx, source, waiting, now)?),
            }
        }
        if !buried || deliveries.len() == max {
            let next_visible = next_visible(tx, queue_id, now)?;
            return Ok(Received { deliveries, next_visible });
        }
    }
}

fn forget_old(tx: &Connection, now: Timestamp) -> Outcome<()> {
    let oldest = now.millis().saturating_sub(i64::try_from(RETENTION.as_millis()).unwrap_or(i64::MAX));
    tx.prepare_cached("DELETE FROM messages WHERE sent_at <= ?1")?.execute([oldest])?;
    Ok(())
}

struct Waiting {
    seq: i64,
    message_id: String,
    group: Option<String>,
    body: String,
    attributes: String,
    sent_at: i64,
    receive_count: u32,
}

impl Waiting {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            seq: row.get(0)?,
            message_id: row.get(1)?,
            group: row.get(2)?,
            body: row.get(3)?,
            attributes: row.get(4)?,
            sent_at: row.get(5)?,
            receive_count: row.get(6)?,
        })
    }
}

/// Standard queues: whatever became visible first.
const STANDARD: &str = "
    SELECT seq, message_id, group_id, body, attributes, sent_at, receive_count
    FROM messages INDEXED BY messages_by_visibility
    WHERE queue_id = ?1 AND visible_at <= ?2
    ORDER BY visible_at, seq LIMIT ?3";

/// FIFO queues: in the order of sending, but nothing of a group that has a message in flight.
const FIFO: &str = "
    SELECT seq, message_id, group_id, body, attributes, sent_at, receive_count
    FROM messages INDEXED BY messages_in_order
    WHERE queue_id = ?1 AND group_id NOT IN (
        SELECT group_id FROM messages INDEXED BY messages_by_visibility WHERE queue_id = ?1 AND visible_at > ?2
    )
    ORDER BY seq LIMIT ?3";

fn candidates(
    tx: &Connection,
    source: &Source,
    queue_id: i64,
    max: usize,
    now: Timestamp,
) -> Outcome<Vec<Waiting>> {
    let mut statement = tx.prepare_cached(if source.queue.is_fifo() { FIFO } else { STANDARD })?;
    let limit = i64::try_from(max).unwrap_or(i64::MAX);
    let rows = statement.query_map(params![queue_id, now.millis(), limit], Waiting::read)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn deliver(tx: &Connection, source: &Source, waiting: Waiting, now: Timestamp) -> Outcome<Delivery> {
    let receive = Uuid::new_v4().simple().to_string();
    tx.prepare_cached(
        "UPDATE messages SET receive_count = receive_count + 1, handle = ?2, visible_at = ?3 WHERE seq = ?1",
    )?
    .execute(params![waiting.seq, receive, now.plus(source.visibility()).millis()])?;
    let handle = format!("{}.{receive}", waiting.message_id);
    Ok(Delivery {
        message_id: waiting.message_id,
        body: waiting.body,
        group: waiting.group,
        attributes: from_json(&waiting.attributes),
        receive_count: waiting.receive_count + 1,
        sent_at: Timestamp::from_millis(waiting.sent_at),
        receipt: Receipt { queue: source.queue.clone(), handle },
    })
}

/// Moves a message to the dead queue; there it counts its receives anew.
fn bury(tx: &mut Tx<'_>, dead: &str, waiting: Waiting, now: Timestamp) -> Outcome<()> {
    let mut attributes = from_json(&waiting.attributes);
    attributes.insert("reason".to_owned(), format!("received {} times", waiting.receive_count));
    tx.prepare_cached("DELETE FROM messages WHERE seq = ?1")?.execute([waiting.seq])?;
    let row = NewRow {
        message_id: &waiting.message_id,
        group: waiting.group.as_deref(),
        body: &waiting.body,
        attributes: &attributes,
        sent_at: Timestamp::from_millis(waiting.sent_at),
        visible_at: now,
    };
    insert(tx, made(tx, dead, now)?, &row)?;
    tx.wake(dead);
    Ok(())
}

fn next_visible(tx: &Connection, queue_id: i64, now: Timestamp) -> Outcome<Option<Timestamp>> {
    let at: Option<i64> = tx
        .prepare_cached("SELECT min(visible_at) FROM messages WHERE queue_id = ?1 AND visible_at > ?2")?
        .query_row(params![queue_id, now.millis()], |row| row.get(0))?;
    Ok(at.map(Timestamp::from_millis))
}
