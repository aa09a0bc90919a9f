//! Work that no worker claims: an alarm in the log, and in the end the dead letters and an answer, so that nobody waits
//! for ever. hermes takes the claim itself for that, by the same rule as everybody: work is only taken off a queue by its
//! one owner.

use std::collections::HashMap;
use std::time::Duration;

use common::cloud::claims::TakeAnswer;
use common::cloud::queue::{Delivery, Outgoing};
use common::cloud::{CloudError, Result};
use common::domain::claim::{ClaimVersion, Fence, Take};
use common::domain::ids::{CommandId, Nonce, Owner, ProjectUser, WorkerId};
use common::domain::job::Job;
use common::domain::names::Queue;
use common::messages::WorkDraft;
use uuid::Uuid;

use crate::app::App;
use crate::results;

/// Work that waited so long without an owner is worth a look by people; said again whenever that time has doubled.
pub const ALARM_AFTER: Duration = Duration::from_mins(10);
/// Work that waited so long without an owner is given up.
pub const GIVE_UP_AFTER: Duration = Duration::from_hours(24);
/// Why.
pub const NOBODY: &str = "no worker has claimed it for 24 hours";
/// hermes' own claims are short and never renewed.
const LEASE_SECS: u64 = 45;
/// So many messages of a key are put aside at a time, well within a lease.
const MOST: usize = 50;

/// Which keys people were told about, and how long each had waited then.
#[derive(Debug, Default)]
pub struct Alarms(HashMap<ProjectUser, Duration>);

impl Alarms {
    /// Raises the alarm, when it is time.
    pub fn raise(&mut self, key: &ProjectUser, waited: Duration) {
        if self.is_due(key, waited) {
            tracing::error!(
                project.key = %key, waited_secs = waited.as_secs(),
                "work has waited for {} min and no worker claims it: are workers running?", waited.as_secs() / 60
            );
        }
    }

    fn is_due(&mut self, key: &ProjectUser, waited: Duration) -> bool {
        let due = waited >= self.0.get(key).map_or(ALARM_AFTER, |before| *before * 2);
        if due {
            self.0.insert(key.clone(), waited);
        }
        due
    }

    /// Forgets the keys that nothing waits for.
    pub fn keep(&mut self, waits: impl Fn(&ProjectUser) -> bool) {
        self.0.retain(|key, _| waits(key));
    }
}

/// How far a queue was cleared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GivenUp {
    /// There is nothing left, or there may be more of the kind.
    All,
    /// Something lies there whose time is not over.
    ToTheFirstThatWaits,
}

/// Moves these commands, which lie at the head of the key's queue, to the dead letters and answers their mails.
pub async fn give_up(app: &App, key: &ProjectUser, overdue: &[CommandId]) -> Result<GivenUp> {
    let TakeAnswer::Taken(fence) = app.cloud.claims.take(key, &wish(app)?).await? else {
        return Ok(GivenUp::All);
    };
    let put_aside = put_aside(app, key, overdue).await;
    release(app, &fence).await?;
    put_aside
}

fn wish(app: &App) -> Result<Take> {
    let uuid = Uuid::new_v4();
    let worker = WorkerId::parse("hermes").map_err(|error| CloudError::Invalid(error.to_string()))?;
    Ok(Take {
        owner: Owner { worker, nonce: Nonce::from_uuid(uuid) },
        version: ClaimVersion::from_uuid(uuid),
        lapsed: None,
        lease_secs: LEASE_SECS,
        control_queue: None,
        now: app.cloud.clock.now(),
    })
}

async fn put_aside(app: &App, key: &ProjectUser, overdue: &[CommandId]) -> Result<GivenUp> {
    let queues = &app.cloud.queues;
    for _ in 0..MOST {
        let queue = Queue::Input(key.clone());
        let Some(delivery) = queues.receive(&queue, 1, Duration::ZERO).await?.pop() else {
            return Ok(GivenUp::All);
        };
        let draft = WorkDraft::parse(&delivery.body, &delivery.message_id, app.cloud.clock.now());
        let waited = app.cloud.clock.now().since(delivery.sent_at);
        match fate(app, draft.ok().map(|draft| draft.command_id), waited, overdue).await? {
            Head::Waits => {
                queues.extend(&delivery.receipt, Duration::ZERO).await?;
                return Ok(GivenUp::ToTheFirstThatWaits);
            }
            Head::InTheWay(why) => {
                tracing::warn!(message.id = delivery.message_id, project.key = %key, "a message is moved to the dead letters: {why}");
                bury(app, key, &delivery, why).await?;
            }
            Head::Overdue(command) => {
                bury(app, key, &delivery, NOBODY).await?;
                tracing::error!(command.id = %command, project.key = %key, "work is given up: {NOBODY}");
                results::give_up(app, &command, NOBODY).await?;
            }
        }
        queues.delete(&delivery.receipt).await?;
    }
    Ok(GivenUp::All)
}

/// What lies at the head of a queue that nobody works off.
enum Head {
    /// Work whose time is over.
    Overdue(CommandId),
    /// What no worker would run; what lies behind it may be overdue.
    InTheWay(&'static str),
    /// Work whose time is not over.
    Waits,
}

/// An earlier run may have closed the work and ended before its message was deleted.
async fn fate(
    app: &App,
    command: Option<CommandId>,
    waited: Duration,
    overdue: &[CommandId],
) -> Result<Head> {
    let Some(command) = command else { return Ok(Head::InTheWay("it is no work")) };
    if overdue.contains(&command) {
        return Ok(Head::Overdue(command));
    }
    let row = app.cloud.store.load::<Job>(&command).await?;
    Ok(match row {
        Some(row) if !row.value.is_open() => Head::InTheWay("its work has ended"),
        // Put there by hand: no row says how long it waits.
        None if waited > GIVE_UP_AFTER => Head::InTheWay(NOBODY),
        Some(_) | None => Head::Waits,
    })
}

async fn bury(app: &App, key: &ProjectUser, delivery: &Delivery, why: &str) -> Result<()> {
    let copy = Outgoing::fifo(delivery.body.clone(), key.to_string(), delivery.message_id.clone());
    app.cloud.queues.send(&Queue::Dead, copy.attribute("reason", why)).await.map(drop)
}

async fn release(app: &App, fence: &Fence) -> Result<()> {
    let version = ClaimVersion::from_uuid(Uuid::new_v4());
    match app.cloud.claims.release(fence, &version, app.cloud.clock.now()).await {
        Err(CloudError::FenceLost(_)) => Ok(()),
        released => released,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s64_the_alarm_is_raised_after_ten_minutes_and_whenever_the_wait_has_doubled() {
        let key = ProjectUser::parse("amelia#scott").unwrap();
        let mut alarms = Alarms::default();
        let raised: Vec<u64> =
            (0..=60).filter(|mins| alarms.is_due(&key, Duration::from_mins(*mins))).collect();
        assert_eq!(raised, [10, 20, 40]);
        alarms.keep(|_| false);
        assert!(alarms.is_due(&key, ALARM_AFTER), "the next work is another matter");
    }
}
