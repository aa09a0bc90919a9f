//! How much is too much: mails taken from one sender and for one project, mails sent to one address, notices a day. Counts
//! are rows of the limits table, written on condition of what was read, so that several hermes count together.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::ControlFlow;
use std::time::Duration;

use common::cloud::store::{Key, Record, Store, Stored, Table};
use common::cloud::{CloudError, Result};
use common::domain::ids::{EmailAddress, MailId, ProjectId};
use common::domain::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, MutexGuard};

use crate::app::App;
use crate::config::RateSettings;

/// Both windows.
const HOUR: Duration = Duration::from_hours(1);
/// No window and no day is longer.
const KEPT: Duration = Duration::from_hours(48);
/// How many keys are counted at the same time.
const TURNS: usize = 64;
/// Whoever waited so long goes without a turn: the condition of the write decides.
const MAX_TURN: Duration = Duration::from_secs(10);
/// The most counts of a turn that are remembered.
const MAX_KNOWN: usize = 256;

/// One at a time for each key within this process, so that many mails of one sender do not spoil each other's write. Between
/// processes the condition of the write decides.
#[derive(Debug)]
pub struct Turns(Vec<Mutex<Counts>>);

/// The counts of a turn as this process wrote them last: they are read again only when another process wrote since.
#[derive(Debug, Default)]
struct Counts {
    rates: HashMap<(&'static str, String), Stored<Rate>>,
    automatic: HashMap<String, Stored<Automatic>>,
}

/// Remembers a count, and forgets all when there are many.
fn remember<K: Hash + Eq, T>(counts: &mut HashMap<K, Stored<T>>, key: K, known: Option<Stored<T>>) {
    let Some(known) = known else { return };
    if counts.len() >= MAX_KNOWN {
        counts.clear();
    }
    counts.insert(key, known);
}

impl Default for Turns {
    fn default() -> Self {
        Self((0..TURNS).map(|_| Mutex::default()).collect())
    }
}

impl Turns {
    fn of(&self, key: &str) -> Option<&Mutex<Counts>> {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        self.0.get(usize::try_from(hasher.finish() % TURNS as u64).unwrap_or(0))
    }

    async fn wait(&self, key: &str) -> Option<MutexGuard<'_, Counts>> {
        tokio::time::timeout(MAX_TURN, self.of(key)?.lock()).await.ok()
    }

    /// Whether this process knows of room for one more mail, and nobody is counting one just now. It holds nothing for whoever
    /// asks: of several that hear of the last place at once, one takes it, and the others' mails were counted for the project
    /// as well.
    fn has_room(&self, key: &(&'static str, String), limit: u32, now: Timestamp) -> bool {
        let turn = self.of(&key.1).and_then(|turn| turn.try_lock().ok());
        turn.is_some_and(|counts| counts.rates.get(key).is_some_and(|known| known.value.has_room(limit, now)))
    }
}

/// Mails counted since the window began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rate {
    kind: String,
    id: String,
    since: Timestamp,
    count: u32,
    /// Unix seconds; garbage collection only.
    #[serde(default)]
    ttl: i64,
    /// The mails that were counted last, by the beginnings of their ids: a mail that is taken up again, even beside its first
    /// run, is counted once.
    #[serde(default)]
    lately: Vec<String>,
}

impl Rate {
    fn has_room(&self, limit: u32, now: Timestamp) -> bool {
        self.count < limit || now.since(self.since) >= HOUR
    }
}

/// So many of them, and so much of each: all of it stays below 1 KB, the unit that a write costs.
const LATELY: usize = 64;
const MARK_CHARS: usize = 8;

/// Mails that went to one address lately.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Automatic {
    kind: String,
    id: String,
    sent: Vec<Counted>,
    /// Unix seconds; garbage collection only.
    #[serde(default)]
    ttl: i64,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Counted {
    key: String,
    at: Timestamp,
}

/// A notice that was given: which mail brought it about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Notice {
    kind: String,
    id: String,
    mail_id: MailId,
    /// Unix seconds; garbage collection only.
    #[serde(default)]
    ttl: i64,
}

macro_rules! counted {
    ($($record:ty),+) => {$(
        impl Record for $record {
            const TABLE: Table = Table::Limits;
            type Id = (&'static str, String);
            fn key(id: &Self::Id) -> Key {
                Key::pair(id.0, &id.1)
            }
        }
    )+};
}

counted!(Rate, Automatic, Notice);

const OF_SENDER: &str = "mails-of-sender";
const OF_PROJECT: &str = "mails-of-project";
const AUTOMATIC: &str = "automatic-mails";
const NOTICES: &str = "notices";

/// Whether there is room for one more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Room {
    /// There is, and it is taken.
    Taken,
    /// There is none; whose, and when the next will be free.
    None {
        /// What was used up.
        what: String,
        /// From then on it is worth trying again.
        until: Timestamp,
    },
}

/// Counts a mail that is about to become work; the same mail again is counted once. What its sender may not send is not
/// counted for the project; so both are counted at once only where the sender is known to have room.
pub async fn take_mail(app: &App, mail: &MailId, sender: &EmailAddress, project: &ProjectId) -> Result<Room> {
    let RateSettings { sender_mails_per_hour, project_mails_per_hour, .. } = app.rates;
    let of_sender = count(app, mail, (OF_SENDER, sender.as_str()), sender_mails_per_hour);
    let of_project = count(app, mail, (OF_PROJECT, project.as_str()), project_mails_per_hour);
    let key = (OF_SENDER, sender.to_string());
    if app.turns.has_room(&key, sender_mails_per_hour, app.cloud.clock.now()) {
        let (of_sender, of_project) = tokio::try_join!(of_sender, of_project)?;
        return Ok(if of_sender == Room::Taken { of_project } else { of_sender });
    }
    let of_sender = of_sender.await?;
    if of_sender != Room::Taken {
        return Ok(of_sender);
    }
    of_project.await
}

async fn count(app: &App, mail: &MailId, (kind, id): (&'static str, &str), limit: u32) -> Result<Room> {
    if limit == 0 {
        return Ok(Room::Taken);
    }
    let now = app.cloud.clock.now();
    let mut turn = app.turns.wait(id).await;
    let key = (kind, id.to_owned());
    let mut known = turn.as_mut().and_then(|counts| counts.rates.remove(&key));
    let mut room = Room::Taken;
    let mark = mail.as_str().chars().take(MARK_CHARS).collect::<String>();
    let first = || Rate {
        kind: kind.to_owned(),
        id: id.to_owned(),
        since: now,
        count: 0,
        ttl: now.ttl(KEPT),
        lately: Vec::new(),
    };
    let decide = |rate: &mut Rate| {
        if rate.lately.contains(&mark) {
            room = Room::Taken;
            return ControlFlow::Break(());
        }
        if now.since(rate.since) >= HOUR {
            (rate.since, rate.count, rate.ttl) = (now, 0, now.ttl(KEPT));
        }
        if rate.count >= limit {
            room = Room::None {
                what: format!("{limit} mails of {id} within an hour"),
                until: rate.since.plus(HOUR),
            };
            return ControlFlow::Break(());
        }
        room = Room::Taken;
        rate.count += 1;
        let beyond = (rate.lately.len() + 1).saturating_sub(LATELY);
        rate.lately.drain(..beyond);
        rate.lately.push(mark.clone());
        ControlFlow::Continue(())
    };
    upsert(&*app.cloud.store, &key, &mut known, first, decide).await?;
    if let Some(counts) = &mut turn {
        remember(&mut counts.rates, key, known);
    }
    Ok(room)
}

/// Counts a mail that is about to go to this address; the same mail again is counted once.
pub async fn take_automatic(app: &App, to: &EmailAddress, dedup_key: &str) -> Result<Room> {
    let limit = app.rates.answers_per_hour;
    if limit == 0 {
        return Ok(Room::Taken);
    }
    let now = app.cloud.clock.now();
    let mut turn = app.turns.wait(to.as_str()).await;
    let mut known = turn.as_mut().and_then(|counts| counts.automatic.remove(to.as_str()));
    let mut room = Room::Taken;
    let first =
        || Automatic { kind: AUTOMATIC.to_owned(), id: to.to_string(), sent: Vec::new(), ttl: now.ttl(KEPT) };
    let decide = |row: &mut Automatic| {
        row.sent.retain(|mail| now.since(mail.at) < HOUR);
        room = Room::Taken;
        if row.sent.iter().any(|mail| mail.key == dedup_key) {
            return ControlFlow::Break(());
        }
        if let Some(oldest) = row.sent.first().filter(|_| row.sent.len() >= limit as usize) {
            let what = format!("{limit} automatic mails to {to} within an hour");
            room = Room::None { what, until: oldest.at.plus(HOUR) };
            return ControlFlow::Break(());
        }
        row.sent.push(Counted { key: dedup_key.to_owned(), at: now });
        row.ttl = now.ttl(KEPT);
        ControlFlow::Continue(())
    };
    upsert(&*app.cloud.store, &(AUTOMATIC, to.to_string()), &mut known, first, decide).await?;
    if let Some(counts) = &mut turn {
        remember(&mut counts.automatic, to.to_string(), known);
    }
    Ok(room)
}

/// Whether this mail is the one that may bring about a notice of this kind to its author today.
pub async fn take_notice(app: &App, to: &EmailAddress, what: &str, mail: &MailId) -> Result<bool> {
    let now = app.cloud.clock.now();
    let id = format!("{to} {what} {}", now.day());
    let notice = Notice { kind: NOTICES.to_owned(), id, mail_id: mail.clone(), ttl: now.ttl(KEPT) };
    match app.cloud.store.insert(&notice).await {
        Ok(_) => Ok(true),
        Err(CloudError::Conflict(_)) => {
            let earlier = app.cloud.store.load::<Notice>(&(NOTICES, notice.id)).await?;
            Ok(earlier.is_some_and(|row| row.value.mail_id == *mail))
        }
        Err(error) => Err(error),
    }
}

/// Lets `decide` change a row, which begins as `first` when there is none.
async fn upsert<T: Record + Clone>(
    store: &dyn Store,
    id: &T::Id,
    known: &mut Option<Stored<T>>,
    first: impl Fn() -> T,
    mut decide: impl FnMut(&mut T) -> ControlFlow<()>,
) -> Result<()>
where
    T::Id: Sized,
{
    if store.update_known::<T>(id, known, &mut decide).await?.is_some() {
        return Ok(());
    }
    let mut value = first();
    if decide(&mut value).is_break() {
        return Ok(());
    }
    match store.insert(&value).await {
        Ok(version) => {
            *known = Some(Stored { value, version });
            Ok(())
        }
        Err(CloudError::Conflict(_)) => store.update_known::<T>(id, known, decide).await.map(drop),
        Err(error) => Err(error),
    }
}
