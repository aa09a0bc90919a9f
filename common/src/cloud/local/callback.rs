//! The task tokens over SQLite: the first answer to a token is kept, later ones find that nobody waits any more.

use async_trait::async_trait;
use rusqlite::params;

use super::db::Db;
use super::fault::Outcome;
use super::writer::Tx;
use crate::clock::Clock;
use crate::cloud::callback::{Callback, Errand, Heard, limits};
use crate::cloud::{CloudError, Result};
use crate::domain::timestamp::Timestamp;

/// The door.
pub(super) struct LocalCallback {
    db: Db,
    clock: Clock,
}

impl LocalCallback {
    /// Over this database.
    pub(super) fn new(db: Db, clock: Clock) -> Self {
        Self { db, clock }
    }

    async fn answer(&self, token: &str, answer: Answer) -> Result<Heard> {
        limits::check_token(token)?;
        let (token, now) = (token.to_owned(), self.clock.now());
        self.db.write("answering a task", move |tx| record(tx, &token, &answer, now)).await
    }
}

enum Answer {
    Success { output: String },
    Failure { error: String, cause: String },
}

#[async_trait]
impl Callback for LocalCallback {
    async fn success(&self, token: &str, output: &str) -> Result<Heard> {
        limits::check_output(output)?;
        self.answer(token, Answer::Success { output: output.to_owned() }).await
    }

    async fn failure(&self, token: &str, error: &str, cause: &str) -> Result<Heard> {
        let (error, cause) = limits::cut(error, cause);
        self.answer(token, Answer::Failure { error, cause }).await
    }

    async fn heartbeat(&self, token: &str) -> Result<Heard> {
        limits::check_token(token)?;
        let (token, now) = (token.to_owned(), self.clock.now());
        self.db.write("sending a task's sign of life", move |tx| beat(tx, &token, now)).await
    }

    async fn hand_over(&self, errand: &Errand) -> Result<()> {
        let command = &errand.command;
        Err(CloudError::Invalid(format!("there is no state machine on this machine to hand {command} to")))
    }
}

fn record(tx: &mut Tx<'_>, token: &str, answer: &Answer, now: Timestamp) -> Outcome<Heard> {
    let (state, output, error, cause) = match answer {
        Answer::Success { output } => ("success", Some(output), None, None),
        Answer::Failure { error, cause } => ("failure", None, Some(error), Some(cause)),
    };
    let written = tx
        .prepare_cached(
            "INSERT INTO task_answers (token, state, output, error, cause, answered_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (token) DO UPDATE SET state = excluded.state, output = excluded.output,
                error = excluded.error, cause = excluded.cause, answered_at = excluded.answered_at
             WHERE state = 'waiting'",
        )?
        .execute(params![token, state, output, error, cause, now.millis()])?;
    Ok(heard(written))
}

fn beat(tx: &mut Tx<'_>, token: &str, now: Timestamp) -> Outcome<Heard> {
    let written = tx
        .prepare_cached(
            "INSERT INTO task_answers (token, state, heartbeat_at) VALUES (?1, 'waiting', ?2)
             ON CONFLICT (token) DO UPDATE SET heartbeat_at = excluded.heartbeat_at WHERE state = 'waiting'",
        )?
        .execute(params![token, now.millis()])?;
    Ok(heard(written))
}

fn heard(written: usize) -> Heard {
    if written == 1 { Heard::Yes } else { Heard::NoLonger }
}
