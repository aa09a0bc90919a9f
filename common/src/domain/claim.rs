//! Who may work for a project+user: the pure rules. The SQL and DynamoDB conditions restate them; the contract suite
//! shows that they agree.
//!
//! Times in a record are information only. A claim lapses when somebody has watched an unchanged [`ClaimVersion`] for
//! one whole lease on its own monotonic clock, never because a written time has passed.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::ids::{Owner, ProjectUser};
use super::timestamp::Timestamp;

/// Rewritten by every take and renewal; an unchanged one means that the owner is silent.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClaimVersion(String);

impl ClaimVersion {
    /// A version nobody else has written.
    pub fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid.simple().to_string())
    }

    /// The version as it is stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A version read back from a table.
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }
}

/// Grows by one at every change of owner and never goes back: the fence of every outside effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl std::fmt::Display for Epoch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Whether somebody holds the claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClaimStatus {
    /// A worker holds it.
    Held,
    /// It was given back; the row stays so that the epoch never goes back.
    Free,
}

/// One row of the ownership table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClaimRecord {
    /// What is claimed.
    pub project_key: ProjectUser,
    /// Who holds it; absent when free, so that the index by worker lists live claims only.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
    /// The fence.
    pub epoch: Epoch,
    /// The sign of life.
    pub version: ClaimVersion,
    /// How long an unchanged version must be watched before the claim may be taken over.
    pub lease_secs: u64,
    /// When the present owner took it (information only).
    pub claimed_at: Timestamp,
    /// When the owner last renewed it (information only).
    pub last_activity: Timestamp,
    /// Held or free.
    pub status: ClaimStatus,
    /// Where the owner listens for interrupts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub control_queue: Option<String>,
}

/// What somebody who wants the claim brings along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Take {
    /// Who wants it.
    pub owner: Owner,
    /// The version to write.
    pub version: ClaimVersion,
    /// A version that the contender has watched unchanged for a whole lease, if it has.
    pub lapsed: Option<ClaimVersion>,
    /// How long the new owner's lease is.
    pub lease_secs: u64,
    /// Where the new owner listens.
    pub control_queue: Option<String>,
    /// The contender's wall clock (information only).
    pub now: Timestamp,
}

/// The right to act for a project+user: what every effect and every further claim write must carry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fence {
    /// What is claimed.
    pub project_key: ProjectUser,
    /// By whom.
    #[serde(flatten)]
    pub owner: Owner,
    /// Since which change of owner.
    pub epoch: Epoch,
}

/// Why a claim write was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// A live owner holds the claim.
    Held(Box<ClaimRecord>),
    /// The writer is not, or no longer, the owner.
    FenceLost,
}

/// take: the row is absent or free, or its version was watched unchanged for a lease. A repeated take by the same owner
/// with the same version is the lost answer of the first one.
pub fn take(key: &ProjectUser, current: Option<&ClaimRecord>, wanted: &Take) -> Result<ClaimRecord, Refused> {
    if let Some(row) = current {
        if row.owner.as_ref() == Some(&wanted.owner) && row.version == wanted.version {
            return Ok(row.clone());
        }
        let lapsed = wanted.lapsed.as_ref() == Some(&row.version);
        if row.status == ClaimStatus::Held && !lapsed {
            return Err(Refused::Held(Box::new(row.clone())));
        }
    }
    Ok(ClaimRecord {
        project_key: key.clone(),
        owner: Some(wanted.owner.clone()),
        epoch: Epoch(current.map_or(0, |row| row.epoch.0) + 1),
        version: wanted.version.clone(),
        lease_secs: wanted.lease_secs,
        claimed_at: wanted.now,
        last_activity: wanted.now,
        status: ClaimStatus::Held,
        control_queue: wanted.control_queue.clone(),
    })
}

/// renew: only the owner of this epoch.
pub fn renew(
    current: Option<&ClaimRecord>,
    fence: &Fence,
    version: ClaimVersion,
    now: Timestamp,
) -> Result<ClaimRecord, Refused> {
    let row = owned(current, fence)?;
    Ok(ClaimRecord { version, last_activity: now, ..row.clone() })
}

/// release: only the owner of this epoch; the row stays as free.
pub fn release(
    current: Option<&ClaimRecord>,
    fence: &Fence,
    version: ClaimVersion,
    now: Timestamp,
) -> Result<ClaimRecord, Refused> {
    let row = owned(current, fence)?;
    Ok(freed(row, version, now))
}

/// free: what the sweep does to a claim whose version it has watched unchanged for a lease.
pub fn free_lapsed(
    current: Option<&ClaimRecord>,
    lapsed: &ClaimVersion,
    version: ClaimVersion,
    now: Timestamp,
) -> Result<ClaimRecord, Refused> {
    match current {
        Some(row) if row.status == ClaimStatus::Held && row.version == *lapsed => {
            Ok(freed(row, version, now))
        }
        _ => Err(Refused::FenceLost),
    }
}

fn freed(row: &ClaimRecord, version: ClaimVersion, now: Timestamp) -> ClaimRecord {
    ClaimRecord {
        owner: None,
        control_queue: None,
        version,
        last_activity: now,
        status: ClaimStatus::Free,
        ..row.clone()
    }
}

fn owned<'a>(current: Option<&'a ClaimRecord>, fence: &Fence) -> Result<&'a ClaimRecord, Refused> {
    current
        .filter(|row| {
            row.status == ClaimStatus::Held
                && row.owner.as_ref() == Some(&fence.owner)
                && row.epoch == fence.epoch
        })
        .ok_or(Refused::FenceLost)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{Nonce, WorkerId};

    fn owner(worker: &str) -> Owner {
        Owner { worker: WorkerId::parse(worker).unwrap(), nonce: Nonce::parse("0000").unwrap() }
    }

    fn key() -> ProjectUser {
        ProjectUser::parse("amelia#scott").unwrap()
    }

    fn wish(worker: &str, version: &str) -> Take {
        Take {
            owner: owner(worker),
            version: ClaimVersion(version.into()),
            lapsed: None,
            lease_secs: 45,
            control_queue: None,
            now: Timestamp::from_millis(0),
        }
    }

    fn fence(worker: &str, epoch: u64) -> Fence {
        Fence { project_key: key(), owner: owner(worker), epoch: Epoch(epoch) }
    }

    #[test]
    fn an_absent_claim_can_be_taken() {
        let row = take(&key(), None, &wish("a", "v1")).unwrap();
        assert_eq!((row.epoch, row.status), (Epoch(1), ClaimStatus::Held));
    }

    #[test]
    fn a_live_claim_cannot_be_taken() {
        let row = take(&key(), None, &wish("a", "v1")).unwrap();
        assert_eq!(take(&key(), Some(&row), &wish("b", "v2")), Err(Refused::Held(Box::new(row))));
    }

    #[test]
    fn a_claim_watched_unchanged_for_a_lease_can_be_taken_over() {
        let row = take(&key(), None, &wish("a", "v1")).unwrap();
        let over =
            take(&key(), Some(&row), &Take { lapsed: Some(row.version.clone()), ..wish("b", "v2") }).unwrap();
        assert_eq!(over.epoch, Epoch(2));
        let renewed =
            renew(Some(&row), &fence("a", 1), ClaimVersion("v3".into()), Timestamp::default()).unwrap();
        assert!(
            take(&key(), Some(&renewed), &Take { lapsed: Some(row.version), ..wish("b", "v2") }).is_err()
        );
    }

    #[test]
    fn a_lost_answer_is_recognised() {
        let row = take(&key(), None, &wish("a", "v1")).unwrap();
        assert_eq!(take(&key(), Some(&row), &wish("a", "v1")).unwrap().epoch, Epoch(1));
    }

    #[test]
    fn two_processes_with_one_id_are_two_owners() {
        let row = take(&key(), None, &wish("a", "v1")).unwrap();
        let mut twin = wish("a", "v2");
        twin.owner.nonce = Nonce::parse("1111").unwrap();
        assert!(take(&key(), Some(&row), &twin).is_err());
    }

    #[test]
    fn a_former_owner_can_neither_renew_nor_release() {
        let row = take(&key(), None, &wish("a", "v1")).unwrap();
        let over =
            take(&key(), Some(&row), &Take { lapsed: Some(row.version.clone()), ..wish("b", "v2") }).unwrap();
        let late = ClaimVersion("v9".into());
        assert_eq!(
            renew(Some(&over), &fence("a", 1), late.clone(), Timestamp::default()),
            Err(Refused::FenceLost)
        );
        assert_eq!(release(Some(&over), &fence("a", 1), late, Timestamp::default()), Err(Refused::FenceLost));
    }

    #[test]
    fn a_released_row_stays_free_and_keeps_its_epoch() {
        let row = take(&key(), None, &wish("a", "v1")).unwrap();
        let free =
            release(Some(&row), &fence("a", 1), ClaimVersion("v2".into()), Timestamp::default()).unwrap();
        assert_eq!((free.status, free.owner.clone(), free.epoch), (ClaimStatus::Free, None, Epoch(1)));
        assert_eq!(take(&key(), Some(&free), &wish("b", "v3")).unwrap().epoch, Epoch(2));
    }

    #[test]
    fn the_sweep_frees_only_the_version_it_watched() {
        let row = take(&key(), None, &wish("a", "v1")).unwrap();
        let fresh = ClaimVersion("v2".into());
        assert!(
            free_lapsed(Some(&row), &ClaimVersion("old".into()), fresh.clone(), Timestamp::default())
                .is_err()
        );
        assert!(free_lapsed(Some(&row), &row.version, fresh, Timestamp::default()).is_ok());
    }
}
