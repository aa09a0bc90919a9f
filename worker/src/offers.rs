//! What lies on the unclaimed queue: news that somebody has work and no owner. News give no right; here the claim rule is
//! applied to them. Work that was put there by hand is moved to its FIFO queue first.

use std::collections::HashMap;
use std::time::Duration;

use common::cloud::Result;
use common::cloud::claims::TakeAnswer;
use common::cloud::queue::{Delivery, Outgoing};
use common::domain::claim::{ClaimRecord, ClaimStatus, ClaimVersion, Fence, Take};
use common::domain::ids::ProjectUser;
use common::domain::names::Queue;
use common::messages::{Offer, WorkDraft};
use tokio::time::Instant;

use crate::intake;
use crate::me::{Me, new_version};

/// Entries about claims that nobody asked for any more are forgotten after so long.
const FORGET_AFTER: Duration = Duration::from_mins(10);

/// Reads an offer and says who has work. Garbage goes to the dead letters and is nobody's.
pub async fn read(me: &Me, delivery: &Delivery) -> Result<Option<ProjectUser>> {
    match Offer::parse(&delivery.body, &delivery.message_id, me.cloud.clock.now()) {
        Ok(Offer::Claim(request)) => Ok(Some(request.project_user())),
        Ok(Offer::Work(draft)) => move_to_input(me, delivery, *draft).await,
        Err(malformed) => {
            me.bury(delivery, None, &malformed.to_string()).await?;
            Ok(None)
        }
    }
}

/// Sends work to the queue of its project+user: once, because every redelivery has the same deduplication id, and after
/// that the same command.
async fn move_to_input(me: &Me, delivery: &Delivery, draft: WorkDraft) -> Result<Option<ProjectUser>> {
    let intake = intake::complete(&me.cloud.store, draft).await?;
    let key = intake.work.project_user();
    if intake.work.repo_url.is_empty() {
        me.bury(delivery, None, intake::NO_REPOSITORY).await?;
        return Ok(None);
    }
    intake::ensure_job(&me.cloud.store, &intake.work, me.cloud.clock.now()).await?;
    let dedup = format!("{}-1", intake.work.command_id);
    let message = Outgoing::fifo(intake.work.to_json(), key.to_string(), dedup);
    me.cloud.queues.send(&Queue::Input(key.clone()), message).await?;
    tracing::info!(project.key = %key, command.id = %intake.work.command_id, "work put on the unclaimed queue by hand was moved to its own queue");
    Ok(Some(key))
}

/// What to do with a claim request.
#[derive(Debug)]
pub enum Verdict {
    /// The claim is ours; it was asked for at this time.
    Taken(Fence, Instant),
    /// There is nothing to do about it.
    Satisfied,
    /// Its owner may be dead: look again after this time.
    Later(Duration),
}

/// What was seen of claims that others hold, on this worker's own monotonic clock.
#[derive(Debug, Default)]
pub struct Watched(HashMap<ProjectUser, (ClaimVersion, Instant)>);

impl Watched {
    /// Whether a claim could be taken at all, before another one is given up for it.
    pub async fn glance(&mut self, me: &Me, key: &ProjectUser) -> Result<Option<Verdict>> {
        if is_empty(me, key).await? {
            return Ok(Some(Verdict::Satisfied));
        }
        let held = me.cloud.claims.get(key).await?.filter(|row| row.status == ClaimStatus::Held);
        Ok(held.filter(|row| !self.lapsed(row, Instant::now())).map(|row| after_held(&row, me)))
    }

    /// Tries to take a claim.
    pub async fn take(&mut self, me: &Me, key: &ProjectUser) -> Result<Verdict> {
        if is_empty(me, key).await? {
            return Ok(Verdict::Satisfied);
        }
        let asked_at = Instant::now();
        let row = match me.cloud.claims.take(key, &wish(me, None)).await? {
            TakeAnswer::Taken(fence) => return Ok(self.taken(fence, asked_at)),
            TakeAnswer::Held(row) => row,
        };
        if !self.lapsed(&row, asked_at) {
            return Ok(after_held(&row, me));
        }
        tracing::warn!(project.key = %key, "the owner of a claim was silent for a whole lease; the claim is taken over");
        match me.cloud.claims.take(key, &wish(me, Some(row.version))).await? {
            TakeAnswer::Taken(fence) => Ok(self.taken(fence, asked_at)),
            TakeAnswer::Held(row) => Ok(after_held(&row, me)),
        }
    }

    fn taken(&mut self, fence: Fence, asked_at: Instant) -> Verdict {
        self.0.remove(&fence.project_key);
        Verdict::Taken(fence, asked_at)
    }

    /// Whether this very version was first seen a whole lease ago.
    fn lapsed(&mut self, row: &ClaimRecord, now: Instant) -> bool {
        self.0.retain(|_, (_, seen)| now.duration_since(*seen) < FORGET_AFTER);
        let entry = self.0.entry(row.project_key.clone()).or_insert_with(|| (row.version.clone(), now));
        if entry.0 != row.version {
            *entry = (row.version.clone(), now);
        }
        now.duration_since(entry.1) >= Duration::from_secs(row.lease_secs)
    }
}

async fn is_empty(me: &Me, key: &ProjectUser) -> Result<bool> {
    let depth = me.cloud.queues.depth(&Queue::Input(key.clone())).await?;
    Ok(depth.visible + depth.in_flight + depth.delayed == 0)
}

/// A live owner will do the work. One that may be dead is looked at again; times in the row are only a hint for that.
fn after_held(row: &ClaimRecord, me: &Me) -> Verdict {
    let lease = Duration::from_secs(row.lease_secs);
    if me.cloud.clock.now().since(row.last_activity) > lease / 2 {
        Verdict::Later((lease / 5).clamp(Duration::from_secs(1), Duration::from_secs(5)))
    } else {
        Verdict::Satisfied
    }
}

fn wish(me: &Me, lapsed: Option<ClaimVersion>) -> Take {
    Take {
        owner: me.owner.clone(),
        version: new_version(),
        lapsed,
        lease_secs: me.claims.lease_secs,
        control_queue: Some(me.control_queue().to_string()),
        now: me.cloud.clock.now(),
    }
}

#[cfg(test)]
mod tests {
    use common::domain::claim::Epoch;
    use common::domain::timestamp::Timestamp;
    use uuid::Uuid;

    use super::*;

    fn row(version: u128) -> ClaimRecord {
        ClaimRecord {
            project_key: ProjectUser::parse("amelia#scott").unwrap(),
            owner: None,
            epoch: Epoch(1),
            version: ClaimVersion::from_uuid(Uuid::from_u128(version)),
            lease_secs: 45,
            claimed_at: Timestamp::default(),
            last_activity: Timestamp::default(),
            status: ClaimStatus::Held,
            control_queue: None,
        }
    }

    #[test]
    fn a_claim_lapses_when_one_version_was_seen_for_a_whole_lease() {
        let mut watched = Watched::default();
        let start = Instant::now();
        let at = |secs| start + Duration::from_secs(secs);
        assert!(!watched.lapsed(&row(1), start));
        assert!(!watched.lapsed(&row(1), at(44)));
        assert!(watched.lapsed(&row(1), at(45)));
    }

    #[test]
    fn a_renewal_starts_the_watch_anew() {
        let mut watched = Watched::default();
        let start = Instant::now();
        assert!(!watched.lapsed(&row(1), start));
        assert!(!watched.lapsed(&row(2), start + Duration::from_secs(40)));
        assert!(!watched.lapsed(&row(2), start + Duration::from_secs(80)));
        assert!(watched.lapsed(&row(2), start + Duration::from_secs(85)));
    }
}
