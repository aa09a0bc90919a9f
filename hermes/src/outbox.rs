//! Mails we mean to send. A row is written before the mail is sent and marked right after, so that a crash in between sends it
//! again under the same key: once into the local outbox, at least once over carriers that know no key. No address gets more
//! than a few an hour: what is worth saying later waits, the rest is left unsaid, and its mail says so.

use std::time::Duration;

use common::cloud::mailer::{OutgoingMail, Sent};
use common::cloud::store::{Key, Record, Stored, Table};
use common::cloud::{CloudError, Result};
use common::domain::ids::{CommandId, EmailAddress, MailId, ProjectUser, ThreadId};
use common::domain::job::Job;
use common::domain::thread::Direction;
use common::domain::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::dispatch::remember;
use crate::ingest::record::MailRecord;
use crate::limits::{self, Room, Share};
use crate::sending::{self, hand_on};
use crate::suppressions::{self, Suppression};
use crate::{confirmations, returned};

/// After a failed attempt the next one waits so long, twice as long after each, up to the longest.
const FIRST_WAIT: Duration = Duration::from_secs(15);
const LONGEST_WAIT: Duration = Duration::from_mins(10);
/// A carrier that takes a mail for so long from nobody is no longer asked.
const GIVE_UP_AFTER: Duration = Duration::from_hours(72);
/// What answers a command or asks back is of no use any more after so long.
const FORGOTTEN_AFTER: Duration = Duration::from_hours(24);

/// How far a mail has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutboxState {
    /// To be sent; or sent at `sent_at`, and not everybody knows yet.
    Pending,
    /// The carrier has it, and all that follows from it is written down.
    Sent,
    /// It cannot be written, or the carrier will never take it.
    Failed,
    /// Its address had its share for so long that it was not worth saying any more, or is one that we do not write to.
    Suppressed,
}

/// What a mail is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// The one answer to a mail that became work.
    #[default]
    Answer,
    /// The work takes longer than usual.
    Acknowledgement,
    /// A question back.
    Question,
    /// Why a mail became no work.
    Notice,
    /// The answer to a command.
    Command,
    /// Whether they wrote the mail.
    Confirmation,
}

impl Purpose {
    /// The first word of the keys of such mails.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answer => "answer",
            Self::Acknowledgement => "ack",
            Self::Question => "question",
            Self::Notice => "notice",
            Self::Command => "command",
            Self::Confirmation => "confirmation",
        }
    }

    /// The key of the one mail of this purpose about something.
    pub fn key(self, about: impl std::fmt::Display) -> String {
        format!("{}-{about}", self.as_str())
    }

    /// Whether it is the one answer to its mail; otherwise that comes separately.
    fn is_the_answer(self) -> bool {
        !matches!(self, Self::Acknowledgement | Self::Confirmation)
    }

    /// For how long it waits when its address had its share; without an end if it is late rather than never said.
    fn patience(self) -> Option<Duration> {
        match self {
            Self::Answer => None,
            Self::Command | Self::Question => Some(FORGOTTEN_AFTER),
            Self::Confirmation => Some(confirmations::ASKED_WITHIN),
            Self::Acknowledgement | Self::Notice => Some(Duration::ZERO),
        }
    }

    /// With which others it is counted.
    fn share(self) -> Share {
        match self {
            Self::Confirmation => Share::Confirmations,
            Self::Answer | Self::Acknowledgement | Self::Question | Self::Notice | Self::Command => {
                Share::Answers
            }
        }
    }
}

/// A row of the outbox table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OutboxRecord {
    /// One per mail we ever mean to send.
    pub dedup_key: String,
    /// What it is for.
    #[serde(default)]
    pub purpose: Purpose,
    /// How far it has come.
    pub state: OutboxState,
    /// To whom.
    pub to: EmailAddress,
    /// The message (RFC 5322); only its words when it could not be written.
    pub message: String,
    /// Its Message-ID without angle brackets.
    pub message_id: String,
    /// The mail it answers.
    pub mail_id: MailId,
    /// The conversation it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<Conversation>,
    /// How often it was tried.
    pub attempts: u32,
    /// How often the carrier did not say whether it took it: so often the owner may have it twice.
    #[serde(default)]
    pub unanswered: u32,
    /// Not before then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// Where the carrier put it, or why it did not take it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// When it was written.
    pub created_at: Timestamp,
    /// When the carrier took it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<Timestamp>,
    /// Whether the carrier gave it a Message-ID of its own.
    #[serde(default)]
    pub renamed: bool,
    /// Until when the row is kept, in Unix seconds; garbage collection only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<i64>,
}

impl OutboxRecord {
    /// Whether it is time to try it.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.state == OutboxState::Pending && self.not_before.is_none_or(|at| at <= now)
    }

    /// What makes it one of its purpose.
    fn about(&self) -> Option<&str> {
        self.dedup_key.strip_prefix(self.purpose.as_str())?.strip_prefix('-')
    }

    /// Whether it is still of use to who reads it then.
    fn is_worth_saying(&self, then: Timestamp) -> bool {
        self.purpose.patience().is_none_or(|patience| then.since(self.created_at) <= patience)
    }
}

/// Which thread of whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Conversation {
    /// Whose.
    pub project_key: ProjectUser,
    /// Which.
    pub thread_id: ThreadId,
}

impl Record for OutboxRecord {
    const TABLE: Table = Table::Outbox;
    type Id = String;
    fn key(id: &String) -> Key {
        Key::of(id)
    }
}

/// Writes a mail down and sends it, or hands it on to the loop that does. Once it is written down, a carrier that does not answer is no error: the sweep tries
/// again.
pub async fn post(app: &App, mut record: OutboxRecord) -> Result<()> {
    if record.state == OutboxState::Pending {
        record.not_before = Some(in_hand(app));
    }
    let stored = match app.cloud.store.insert(&record).await {
        // On the heap: every way of mail ends in here, and would carry it along.
        Ok(version) if record.state == OutboxState::Pending => {
            return Box::pin(hand_on(app, Stored { value: record, version })).await;
        }
        Ok(_) => return Ok(()),
        Err(CloudError::Conflict(_)) => {
            match app.cloud.store.load::<OutboxRecord>(&record.dedup_key).await? {
                Some(earlier) => earlier,
                None => {
                    return Err(CloudError::unavailable(
                        "read the outbox",
                        "a row vanished while it was read",
                    ));
                }
            }
        }
        Err(error) => return Err(error),
    };
    Box::pin(deliver(app, stored)).await
}

/// Sends a mail that is written down, or hands it on, unless it was sent, has to wait, or somebody else is at it.
pub async fn deliver(app: &App, stored: Stored<OutboxRecord>) -> Result<()> {
    if !stored.value.is_due(app.cloud.clock.now()) {
        return Ok(());
    }
    let Some(stored) = reserve(app, stored).await? else { return Ok(()) };
    if stored.value.sent_at.is_some() {
        note_name(app, &stored.value).await?;
        return tell(app, stored).await;
    }
    hand_on(app, stored).await
}

/// Sends a mail whose reservation may have run out meanwhile, unless somebody else is at it.
pub(crate) async fn send_reserved_anew(app: &App, stored: Stored<OutboxRecord>) -> Result<()> {
    match reserve(app, stored).await? {
        Some(stored) => send(app, stored).await,
        None => Ok(()),
    }
}

/// Nothing when somebody else wrote to its row meanwhile.
async fn reserve(app: &App, mut stored: Stored<OutboxRecord>) -> Result<Option<Stored<OutboxRecord>>> {
    stored.value.not_before = Some(in_hand(app));
    stored.version = match app.cloud.store.replace(&stored).await {
        Ok(version) => version,
        Err(CloudError::Conflict(_)) => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(Some(stored))
}

/// Until then nobody else tries a mail that is tried now: a carrier without idempotency keys would carry it twice.
fn in_hand(app: &App) -> Timestamp {
    let wait = if app.line.is_open() { sending::MAX_WAIT } else { Duration::ZERO };
    app.cloud.clock.now().plus(wait + app.cloud.mailer.longest())
}

/// Sends a mail that nobody else has in hand.
pub(crate) async fn send(app: &App, mut stored: Stored<OutboxRecord>) -> Result<()> {
    stored.value.not_before = None;
    if let Some(entry) = suppressions::find(app, &stored.value.to).await? {
        return leave_unsent(app, stored, &entry).await;
    }
    if is_too_late(app, &stored.value).await? {
        return let_go(app, stored, "it would have come too late").await;
    }
    let row = &stored.value;
    match limits::take_automatic(app, row.purpose.share(), &row.to, &row.dedup_key).await? {
        Room::Taken => carry(app, stored).await,
        Room::None { what, until } => hold(app, stored, &what, until).await,
    }
}

/// Whether a mail that its carrier did not take for long is of no use any more.
async fn is_too_late(app: &App, row: &OutboxRecord) -> Result<bool> {
    match row.purpose {
        Purpose::Answer | Purpose::Notice => Ok(false),
        Purpose::Command | Purpose::Question | Purpose::Confirmation => {
            Ok(!row.is_worth_saying(app.cloud.clock.now()))
        }
        Purpose::Acknowledgement => {
            let Some(job) = row.about().and_then(|id| CommandId::parse(id).ok()) else { return Ok(false) };
            let job = app.cloud.store.load::<Job>(&job).await?;
            Ok(job.is_some_and(|job| !job.value.is_open()))
        }
    }
}

/// A mail that is not sent any more; the one that it answers says so, unless its answer is still to come.
async fn let_go(app: &App, mut stored: Stored<OutboxRecord>, why: &str) -> Result<()> {
    let row = &mut stored.value;
    tracing::warn!(mail.id = %row.mail_id, "a mail is not sent: {why}");
    row.state = OutboxState::Suppressed;
    row.note.get_or_insert_with(|| why.to_owned());
    if row.purpose != Purpose::Acknowledgement {
        returned::mark(app, &row.mail_id, &format!("was not sent: {why}")).await?;
    }
    save(app, &stored).await
}

/// Nobody is asked to carry a mail to an address of the list; the mail that it answers says so.
async fn leave_unsent(app: &App, mut stored: Stored<OutboxRecord>, entry: &Suppression) -> Result<()> {
    let row = &mut stored.value;
    let why = format!("was not sent: {} is written to no more, {}", entry.address, entry.reason.words());
    tracing::warn!(mail.id = %row.mail_id, "a mail {why}; `hermes suppressions remove` lets later ones go");
    row.state = OutboxState::Suppressed;
    row.note = Some(why.clone());
    returned::mark(app, &row.mail_id, &why).await?;
    save(app, &stored).await
}

async fn hold(app: &App, mut stored: Stored<OutboxRecord>, what: &str, until: Timestamp) -> Result<()> {
    let row = &mut stored.value;
    row.note = Some(format!("held back: {what}"));
    if row.is_worth_saying(until) {
        tracing::warn!(mail.id = %row.mail_id, "a mail waits until {until}: {what}");
        row.not_before = Some(until);
        return save(app, &stored).await;
    }
    let_go(app, stored, &format!("there were {what}")).await
}

async fn carry(app: &App, stored: Stored<OutboxRecord>) -> Result<()> {
    let mail = OutgoingMail {
        dedup_key: stored.value.dedup_key.clone(),
        to: stored.value.to.clone(),
        bytes: stored.value.message.clone().into(),
    };
    match app.cloud.mailer.send(&mail).await {
        Ok(sent) => record_sent(app, stored, sent).await,
        Err(error) => record_failure(app, stored, error).await,
    }
}

/// A mail that the carrier has is never sent again, whatever fails from here on: that is written down first.
async fn record_sent(app: &App, mut stored: Stored<OutboxRecord>, sent: Sent) -> Result<()> {
    let row = &mut stored.value;
    row.attempts += 1;
    row.sent_at = Some(app.cloud.clock.now());
    row.note = Some(sent.place);
    row.renamed = sent.message_id.is_some();
    row.message_id = sent.message_id.unwrap_or(std::mem::take(&mut row.message_id));
    row.not_before = Some(in_hand(app));
    tracing::info!(mail.id = %row.mail_id, unanswered = row.unanswered, "a mail was sent: {}", row.purpose.as_str());
    // With it, what the carrier calls the mail: a bounce may come at any time, and names nothing else.
    let (marked, named) = tokio::join!(app.cloud.store.replace(&stored), note_name(app, &stored.value));
    stored.version = match marked {
        Ok(version) => version,
        Err(CloudError::Conflict(_)) => return Ok(()),
        Err(error) => return Err(error),
    };
    named?;
    tell(app, stored).await
}

/// Writes down what others look for when a mail was sent: its place in the conversation, and that its mail has its answer.
/// Whoever is cut short leaves it to the sweep.
async fn tell(app: &App, mut stored: Stored<OutboxRecord>) -> Result<()> {
    let row = &stored.value;
    tokio::try_join!(note_place(app, row), note_answer(app, row))?;
    stored.value.state = OutboxState::Sent;
    stored.value.not_before = None;
    save(app, &stored).await
}

async fn note_name(app: &App, row: &OutboxRecord) -> Result<()> {
    if row.renamed {
        return returned::note_carried(app, &row.message_id, &row.dedup_key).await;
    }
    Ok(())
}

async fn note_place(app: &App, row: &OutboxRecord) -> Result<()> {
    let Some(Conversation { project_key, thread_id }) = &row.conversation else { return Ok(()) };
    let store = &*app.cloud.store;
    let key = project_key.clone();
    remember(store, key, &row.message_id, thread_id, Direction::Outbound, row.created_at).await
}

async fn note_answer(app: &App, row: &OutboxRecord) -> Result<()> {
    if !row.purpose.is_the_answer() {
        return Ok(());
    }
    let answered = |mail: &mut MailRecord| {
        mail.reply_message_id = Some(row.message_id.clone());
        mail.unreached = None;
        std::ops::ControlFlow::Continue(())
    };
    app.cloud.store.update::<MailRecord>(&row.mail_id, answered).await.map(drop)
}

async fn record_failure(app: &App, mut stored: Stored<OutboxRecord>, error: CloudError) -> Result<()> {
    let row = &mut stored.value;
    row.attempts += 1;
    row.note = Some(error.to_string());
    // Only this error leaves open whether the mail went out.
    row.unanswered += u32::from(matches!(error, CloudError::Unavailable { .. }));
    let now = app.cloud.clock.now();
    if error.is_retryable() && now.since(row.created_at) < GIVE_UP_AFTER {
        let wait = FIRST_WAIT.saturating_mul(1 << (row.attempts - 1).min(10)).min(LONGEST_WAIT);
        row.not_before = Some(now.plus(wait));
        tracing::warn!(%error, mail.id = %row.mail_id, "an answer could not be sent; it is tried again in {} s", wait.as_secs());
    } else {
        tracing::error!(%error, mail.id = %row.mail_id, "an answer can never be sent");
        row.state = OutboxState::Failed;
        returned::mark(app, &row.mail_id, &format!("could not be sent: {error}")).await?;
    }
    save(app, &stored).await
}

/// Two senders of one row write the same; the slower one's write may be lost.
async fn save(app: &App, stored: &Stored<OutboxRecord>) -> Result<()> {
    match app.cloud.store.replace(stored).await {
        Ok(_) | Err(CloudError::Conflict(_)) => Ok(()),
        Err(error) => Err(error),
    }
}
