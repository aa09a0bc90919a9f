//! The six doors over SQLite and a directory on this machine, shared by hermes and its workers as separate processes.
//!
//! `DIR/hermes.db` holds queues, claims, tables and task answers; `DIR/objects/` and `DIR/sites/<host>/` the files;
//! `DIR/outbox/*.eml` the sent mail; `DIR/wake/` is touched when a queue gets a message.

mod callback;
mod claims;
mod db;
mod disk;
mod durable;
mod expiry;
mod fault;
mod files;
mod layout;
mod mailer;
mod part;
mod paths;
mod queue;
mod queue_receive;
mod queue_rows;
mod schema;
#[cfg(feature = "smtp")]
pub mod smtp;
mod store;
mod store_rows;
mod wake;
mod writer;

use std::path::Path;
use std::sync::Arc;

use super::{Cloud, Result};
use crate::clock::Clock;
use crate::domain::names::Prefix;
use db::Db;
use layout::Layout;
use wake::Wake;

/// Opens (and makes, when absent) the cloud in a data directory.
pub fn open(data_dir: &Path, prefix: Prefix, clock: Clock) -> Result<Cloud> {
    let layout = Layout::create(data_dir)?;
    let wake = Arc::new(Wake::new(layout.wake()));
    let db = Db::open(&layout, Arc::clone(&wake))?;
    Ok(Cloud {
        queues: Arc::new(queue::LocalQueues::new(db.clone(), wake, prefix, clock.clone())),
        claims: Arc::new(claims::LocalClaims::new(db.clone())),
        store: Arc::new(store::LocalStore::new(db.clone(), clock.clone())),
        files: Arc::new(files::LocalFiles::new(layout.clone(), clock.clone())),
        mailer: Arc::new(mailer::LocalMailer::new(layout)),
        callback: Arc::new(callback::LocalCallback::new(db, clock.clone())),
        clock,
    })
}
