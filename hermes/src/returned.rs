//! Mails of ours that came back: the mail that they answer is marked, so that operators see that its owner was not reached,
//! and an address that takes no mail, or whose reader does not want any, is put on the list of those we do not write to.

use std::ops::ControlFlow;
use std::time::Duration;

use common::cloud::store::{Key, Record, Table};
use common::cloud::{CloudError, Result};
use common::domain::ids::MailId;
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::ingest::origins::feedback::{Fate, Feedback};
use crate::ingest::record::MailRecord;
use crate::outbox::{OutboxRecord, OutboxState};
use crate::suppressions::{self, Reason};

/// The kind of the rows that say what a carrier calls a mail of ours.
const CARRIED: &str = "carried-mail";
/// Nothing is heard of a mail after so long.
const KEPT: Duration = Duration::from_hours(30 * 24);

/// What a carrier calls a mail of ours.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Carried {
    kind: String,
    id: String,
    dedup_key: String,
    /// Unix seconds; garbage collection only.
    ttl: i64,
}

impl Record for Carried {
    const TABLE: Table = Table::Access;
    type Id = (&'static str, String);
    fn key((kind, id): &Self::Id) -> Key {
        Key::pair(kind, id)
    }
}

/// Notes under which Message-ID a carrier sent a mail: what it says of it later names nothing else.
pub async fn note_carried(app: &App, message_id: &str, dedup_key: &str) -> Result<()> {
    let id = carrier_id(message_id).to_owned();
    let ttl = app.cloud.clock.now().ttl(KEPT);
    app.cloud
        .store
        .save(&Carried { kind: CARRIED.into(), id, dedup_key: dedup_key.into(), ttl })
        .await
        .map(drop)
}

/// SES calls a mail by what stands before the `@`.
fn carrier_id(message_id: &str) -> &str {
    message_id.split('@').next().unwrap_or_default()
}

/// Takes what the carrier says about a mail; the same again changes nothing. What is about a mail of somebody else is left.
pub async fn take(app: &App, feedback: &Feedback) -> Result<()> {
    let Some(sent) = sent(app, feedback).await? else {
        tracing::info!(carrier.id = feedback.ses_id, "a mail that is not ours {}", feedback.fate.words());
        return Ok(());
    };
    if sent.state == OutboxState::Pending {
        // What was not written down yet would write over this.
        return Err(CloudError::unavailable("take what SES says of a mail", "it is still being sent"));
    }
    let said = said(feedback);
    tracing::warn!(mail.id = %sent.mail_id, "an owner was not reached: the mail {said}");
    if let Some(reason) = reason(feedback.fate) {
        suppressions::add(app, &sent.to, reason, &feedback.detail, &sent.mail_id).await?;
    }
    note(app, &sent.dedup_key, &said).await?;
    mark(app, &sent.mail_id, &said).await
}

/// The mail that it is about, if it is one of ours.
async fn sent(app: &App, feedback: &Feedback) -> Result<Option<OutboxRecord>> {
    let store = &*app.cloud.store;
    let carried = if feedback.key.is_none() {
        store.load::<Carried>(&(CARRIED, carrier_id(&feedback.ses_id).to_owned())).await?
    } else {
        None
    };
    let key = feedback.key.clone().or(carried.map(|row| row.value.dedup_key));
    let Some(key) = key else { return Ok(None) };
    Ok(store.load::<OutboxRecord>(&key).await?.map(|row| row.value))
}

fn said(feedback: &Feedback) -> String {
    match feedback.detail.as_str() {
        "" => feedback.fate.words().to_owned(),
        detail => format!("{} ({detail})", feedback.fate.words()),
    }
}

fn reason(fate: Fate) -> Option<Reason> {
    match fate {
        Fate::BouncedForGood => Some(Reason::Bounced),
        Fate::Complained => Some(Reason::Complained),
        Fate::BouncedThisTime | Fate::Rejected => None,
    }
}

async fn note(app: &App, dedup_key: &str, said: &str) -> Result<()> {
    let note = |row: &mut OutboxRecord| {
        row.note = Some(said.to_owned());
        ControlFlow::Continue(())
    };
    app.cloud.store.update::<OutboxRecord>(&dedup_key.to_owned(), note).await.map(drop)
}

/// Says of a mail that its owner did not get what we wrote.
pub async fn mark(app: &App, mail: &MailId, why: &str) -> Result<()> {
    let mark = |row: &mut MailRecord| {
        row.unreached = Some(why.to_owned());
        ControlFlow::Continue(())
    };
    app.cloud.store.update::<MailRecord>(mail, mark).await.map(drop)
}
