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
/// So many mails that ask whether their author wrote one go to one address within an hour, beside all others: anybody who has a
/// mail of an owner's can bring them about.
const CONFIRMATIONS_PER_HOUR: u32 = 3;
/// So many mails of one address are listed at least, those with a place in a later hour among them: with the longest address
/// all of it stays below 1 KB.
const LISTED: usize = 8;
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
    automatic: HashMap<(&'static str, String), Stored<Automatic>>,
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

/// Mails that went to one address lately or have a place in a later hour, by their time.
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

impl Automatic {
    /// Takes a place for a mail, or finds the one that it has: now, or from the given time on. Whether the row is another then.
    fn place(&mut self, dedup_key: &str, limit: usize, now: Timestamp) -> (Timestamp, ControlFlow<()>) {
        self.sent.retain(|mail| now.since(mail.at) < HOUR);
        if let Some(own) = self.sent.iter().find(|mail| mail.key == dedup_key) {
            return (own.at, ControlFlow::Break(()));
        }
        let before = self.sent.len().checked_sub(limit).and_then(|place| self.sent.get(place));
        let at = before.map_or(now, |before| before.at.plus(HOUR));
        if at > now && self.sent.len() >= LISTED {
            return (at, ControlFlow::Break(()));
        }
        self.sent.push(Counted { key: dedup_key.to_owned(), at });
        self.ttl = now.ttl(KEPT);
        (at, ControlFlow::Continue(()))
    }
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
const CONFIRMATIONS: &str = "confirmation-mails";
const NOTICES: &str = "notices";

/// Which of the mails to one address are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// Whatever answers its owner.
    Answers,
    /// Whether they wrote a mail: what somebody else brings about uses up no answers.
    Confirmations,
}

impl Share {
    fn kind(self) -> &'static str {
        match self {
            Self::Answers => AUTOMATIC,
            Self::Confirmations => CONFIRMATIONS,
        }
    }

    /// Of each hour; none when mails are not limited.
    fn limit(self, rates: &RateSettings) -> Option<u32> {
        let answers = Some(rates.answers_per_hour).filter(|limit| *limit > 0);
        match self {
            Self::Answers => answers,
            Self::Confirmations => answers.map(|_| CONFIRMATIONS_PER_HOUR),
        }
    }

    fn what(self) -> &'static str {
        match self {
            Self::Answers => "automatic mails",
            Self::Confirmations => "confirmations",
        }
    }
}

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

/// Counts a mail that is about to go to this address; the same mail again is counted once. The first for which there is no room
/// have a place of their own from the time that is told.
pub async fn take_automatic(app: &App, share: Share, to: &EmailAddress, dedup_key: &str) -> Result<Room> {
    let Some(limit) = share.limit(&app.rates) else { return Ok(Room::Taken) };
    let now = app.cloud.clock.now();
    let mut turn = app.turns.wait(to.as_str()).await;
    let key = (share.kind(), to.to_string());
    let mut known = turn.as_mut().and_then(|counts| counts.automatic.remove(&key));
    let mut place = now;
    let first =
        || Automatic { kind: key.0.to_owned(), id: key.1.clone(), sent: Vec::new(), ttl: now.ttl(KEPT) };
    let decide = |row: &mut Automatic| {
        let (at, changed) = row.place(dedup_key, limit as usize, now);
        place = at;
        changed
    };
    upsert(&*app.cloud.store, &key, &mut known, first, decide).await?;
    if let Some(counts) = &mut turn {
        remember(&mut counts.automatic, key, known);
    }
    if place <= now {
        return Ok(Room::Taken);
    }
    Ok(Room::None { what: format!("{limit} {} to {to} within an hour", share.what()), until: place })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: u64) -> Timestamp {
        Timestamp::default().plus(Duration::from_mins(minutes))
    }

    fn empty() -> Automatic {
        let longest = format!("{}@{}", "x".repeat(64), "y".repeat(189));
        Automatic { kind: CONFIRMATIONS.into(), id: longest, sent: Vec::new(), ttl: at(0).ttl(KEPT) }
    }

    fn key(number: usize) -> String {
        crate::outbox::Purpose::Confirmation.key(format!("{number:032x}"))
    }

    #[test]
    fn whoever_finds_no_room_has_a_place_in_a_later_hour_and_keeps_it() {
        let mut row = empty();
        let mut places = |mails: std::ops::Range<usize>, minute| {
            mails.map(|mail| row.place(&key(mail), 3, at(minute)).0).collect::<Vec<_>>()
        };
        let wanted = [0, 0, 0, 60, 60, 60, 120, 120, 120, 120].map(at);
        assert_eq!(places(0..10, 0), wanted);
        assert_eq!(places(0..10, 30), wanted, "the last two have none of their own and ask again");
        assert_eq!(places(3..10, 119), [60, 60, 60, 120, 120, 120, 180].map(at), "now there is one for them");
    }

    #[test]
    fn a_row_stays_below_what_one_write_costs() {
        let mut row = empty();
        for mail in 0..50 {
            let _ = row.place(&key(mail), CONFIRMATIONS_PER_HOUR as usize, at(0));
        }
        let bytes = serde_json::to_vec(&row).unwrap().len();
        assert!(bytes < 1024, "{bytes}");
    }

    #[test]
    fn no_hour_has_more_than_its_share() {
        let (mut row, mut sent) = (empty(), Vec::new());
        for minute in 0..600 {
            for mail in 0..20 {
                let is_new = !sent.iter().any(|(known, _)| *known == mail);
                if is_new && row.place(&key(mail), 3, at(minute)).0 <= at(minute) {
                    sent.push((mail, minute));
                }
            }
        }
        assert_eq!(sent.len(), 20);
        assert!(sent.windows(4).all(|four| four[3].1 - four[0].1 >= 60), "{sent:?}");
    }
}
