//! What may be taken once only: the message of SNS, the token of Mailgun. A row of the access table for each, written after
//! its mail has its ending, so that what was cut short may come again.

use std::time::Duration;

use common::cloud::Result;
use common::cloud::store::{Key, Record, Table};
use common::domain::ids::MailId;
use common::domain::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

use crate::app::App;

/// Such requests are refused by their age long before.
const KEPT: Duration = Duration::from_hours(24);

/// One that was taken.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Seen {
    kind: String,
    id: String,
    at: Timestamp,
    /// The mail it brought.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mail_id: Option<MailId>,
    /// Unix seconds; garbage collection only.
    ttl: i64,
}

impl Record for Seen {
    const TABLE: Table = Table::Access;
    type Id = (&'static str, String);
    fn key((kind, id): &Self::Id) -> Key {
        Key::pair(kind, id)
    }
}

/// The row of one that was taken before.
pub async fn find(app: &App, kind: &'static str, id: &str) -> Result<Option<Seen>> {
    Ok(app.cloud.store.load::<Seen>(&(kind, id.to_owned())).await?.map(|row| row.value))
}

/// Notes that it was taken.
pub async fn mark(app: &App, kind: &'static str, id: &str, mail_id: Option<MailId>) -> Result<()> {
    let now = app.cloud.clock.now();
    let seen = Seen { kind: kind.into(), id: id.into(), at: now, mail_id, ttl: now.ttl(KEPT) };
    app.cloud.store.save(&seen).await?;
    Ok(())
}
