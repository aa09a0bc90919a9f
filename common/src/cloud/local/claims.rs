//! The ownership table over SQLite: every operation reads the row, lets the pure rule of [`crate::domain::claim`]
//! decide, and writes on condition of the version it read, all in one transaction.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::db::Db;
use super::fault::Outcome;
use super::writer::Tx;
use crate::cloud::claims::{Claims, TakeAnswer};
use crate::cloud::{CloudError, Result};
use crate::domain::claim::{self, ClaimRecord, ClaimStatus, ClaimVersion, Epoch, Fence, Refused, Take};
use crate::domain::ids::{Nonce, Owner, ProjectUser, WorkerId};
use crate::domain::timestamp::Timestamp;

/// The door.
pub(super) struct LocalClaims {
    db: Db,
}

impl LocalClaims {
    /// Over this database.
    pub(super) fn new(db: Db) -> Self {
        Self { db }
    }
}

#[async_trait]
impl Claims for LocalClaims {
    async fn get(&self, key: &ProjectUser) -> Result<Option<ClaimRecord>> {
        let key = key.clone();
        self.db.look("reading a claim", move |rows| find(rows, &key)).await
    }

    async fn take(&self, key: &ProjectUser, wanted: &Take) -> Result<TakeAnswer> {
        let (key, wanted) = (key.clone(), wanted.clone());
        let decide = move |row: Option<&ClaimRecord>, key: &ProjectUser| claim::take(key, row, &wanted);
        match self.db.write("taking a claim", move |tx| change(tx, &key, decide)).await? {
            Ok(row) => taken(row),
            Err(Refused::Held(row)) => Ok(TakeAnswer::Held(row)),
            Err(Refused::FenceLost) => Err(CloudError::FenceLost("a claim that was being taken".to_owned())),
        }
    }

    async fn renew(&self, fence: &Fence, version: &ClaimVersion, now: Timestamp) -> Result<()> {
        let (fence, version) = (fence.clone(), version.clone());
        let key = fence.project_key.clone();
        let decide =
            move |row: Option<&ClaimRecord>, _: &ProjectUser| claim::renew(row, &fence, version, now);
        self.keep("renewing a claim", key, decide).await
    }

    async fn release(&self, fence: &Fence, version: &ClaimVersion, now: Timestamp) -> Result<()> {
        let (fence, version) = (fence.clone(), version.clone());
        let key = fence.project_key.clone();
        let decide =
            move |row: Option<&ClaimRecord>, _: &ProjectUser| claim::release(row, &fence, version, now);
        self.keep("releasing a claim", key, decide).await
    }

    async fn free_lapsed(
        &self,
        key: &ProjectUser,
        lapsed: &ClaimVersion,
        version: &ClaimVersion,
        now: Timestamp,
    ) -> Result<()> {
        let (lapsed, version) = (lapsed.clone(), version.clone());
        let decide =
            move |row: Option<&ClaimRecord>, _: &ProjectUser| claim::free_lapsed(row, &lapsed, version, now);
        self.keep("freeing a claim", key.clone(), decide).await
    }

    async fn held_by(&self, worker: &WorkerId) -> Result<Vec<ClaimRecord>> {
        let worker = worker.clone();
        self.db
            .read("listing the claims of a worker", move |rows| {
                let which = "WHERE container_id = ?1 ORDER BY project_key";
                list(rows, which, &[&worker.as_str()])
            })
            .await
    }

    async fn held(&self, limit: usize) -> Result<Vec<ClaimRecord>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.db
            .read("listing claims", move |rows| {
                list(rows, "WHERE status = 'held' ORDER BY project_key LIMIT ?1", &[&limit])
            })
            .await
    }
}

impl LocalClaims {
    /// A change that only the owner may make.
    async fn keep<F>(&self, what: &'static str, key: ProjectUser, decide: F) -> Result<()>
    where
        F: FnOnce(Option<&ClaimRecord>, &ProjectUser) -> std::result::Result<ClaimRecord, Refused>
            + Send
            + 'static,
    {
        let name = key.to_string();
        match self.db.write(what, move |tx| change(tx, &key, decide)).await? {
            Ok(_) => Ok(()),
            Err(Refused::FenceLost | Refused::Held(_)) => Err(CloudError::FenceLost(name)),
        }
    }
}

fn taken(row: ClaimRecord) -> Result<TakeAnswer> {
    let owner = row.owner.ok_or_else(|| CloudError::Invalid("a claim was taken by nobody".to_owned()))?;
    Ok(TakeAnswer::Taken(Fence { project_key: row.project_key, owner, epoch: row.epoch }))
}

fn change<F>(
    tx: &mut Tx<'_>,
    key: &ProjectUser,
    decide: F,
) -> Outcome<std::result::Result<ClaimRecord, Refused>>
where
    F: FnOnce(Option<&ClaimRecord>, &ProjectUser) -> std::result::Result<ClaimRecord, Refused>,
{
    let current = find(tx, key)?;
    match decide(current.as_ref(), key) {
        Err(refused) => Ok(Err(refused)),
        Ok(row) => {
            write(tx, current.as_ref().map(|row| &row.version), &row)?;
            Ok(Ok(row))
        }
    }
}

const COLUMNS: &str = "project_key, container_id, nonce, epoch, version, lease_secs, claimed_at, last_activity, \
                       status, control_queue";

fn find(rows: &Connection, key: &ProjectUser) -> Outcome<Option<ClaimRecord>> {
    Ok(rows
        .prepare_cached(&format!("SELECT {COLUMNS} FROM container_ownership WHERE project_key = ?1"))?
        .query_row([key.to_string()], read)
        .optional()?)
}

fn list(rows: &Connection, which: &str, params: &[&dyn rusqlite::ToSql]) -> Outcome<Vec<ClaimRecord>> {
    let mut statement = rows.prepare_cached(&format!("SELECT {COLUMNS} FROM container_ownership {which}"))?;
    let records = statement.query_map(params, read)?;
    Ok(records.collect::<rusqlite::Result<_>>()?)
}

fn write(tx: &Connection, expected: Option<&ClaimVersion>, row: &ClaimRecord) -> Outcome<()> {
    let written = tx
        .prepare_cached(&format!(
            "INSERT INTO container_ownership ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
             ON CONFLICT (project_key) DO UPDATE SET
                container_id = excluded.container_id, nonce = excluded.nonce, epoch = excluded.epoch,
                version = excluded.version, lease_secs = excluded.lease_secs, claimed_at = excluded.claimed_at,
                last_activity = excluded.last_activity, status = excluded.status,
                control_queue = excluded.control_queue
             WHERE version = ?11"
        ))?
        .execute(params![
            row.project_key.to_string(),
            row.owner.as_ref().map(|owner| owner.worker.as_str()),
            row.owner.as_ref().map(|owner| owner.nonce.as_str()),
            i64::try_from(row.epoch.0).unwrap_or(i64::MAX),
            row.version.as_str(),
            i64::try_from(row.lease_secs).unwrap_or(i64::MAX),
            row.claimed_at.millis(),
            row.last_activity.millis(),
            word(row.status),
            row.control_queue,
            expected.map(ClaimVersion::as_str)
        ])?;
    if written == 1 { Ok(()) } else { Err(CloudError::FenceLost(row.project_key.to_string()).into()) }
}

fn word(status: ClaimStatus) -> &'static str {
    match status {
        ClaimStatus::Held => "held",
        ClaimStatus::Free => "free",
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<ClaimRecord> {
    let owner = match (row.get::<_, Option<String>>(1)?, row.get::<_, Option<String>>(2)?) {
        (Some(worker), Some(nonce)) => Some(Owner {
            worker: WorkerId::parse(&worker).map_err(|e| unreadable(1, e))?,
            nonce: Nonce::parse(&nonce).map_err(|e| unreadable(2, e))?,
        }),
        _ => None,
    };
    Ok(ClaimRecord {
        project_key: ProjectUser::parse(&row.get::<_, String>(0)?).map_err(|e| unreadable(0, e))?,
        status: if owner.is_some() { ClaimStatus::Held } else { ClaimStatus::Free },
        owner,
        epoch: Epoch(u64::try_from(row.get::<_, i64>(3)?).unwrap_or(0)),
        version: ClaimVersion::from_stored(row.get(4)?),
        lease_secs: u64::try_from(row.get::<_, i64>(5)?).unwrap_or(0),
        claimed_at: Timestamp::from_millis(row.get(6)?),
        last_activity: Timestamp::from_millis(row.get(7)?),
        control_queue: row.get(9)?,
    })
}

fn unreadable(column: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(error))
}
