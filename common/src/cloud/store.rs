//! The door to the tables: rows of JSON under a key, written on a condition. Every rule ("only if pending", "only under
//! a newer epoch") is a read, a pure decision and a write on condition of the version that was read.

pub(super) mod shape;

use std::ops::ControlFlow;

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{CloudError, Result};
use crate::domain::active_job::ActiveJob;
use crate::domain::budget::Month;
use crate::domain::container::Container;
use crate::domain::ids::{CommandId, EmailAddress, ProjectId, ProjectUser, SessionId, ThreadId, WorkerId};
use crate::domain::job::Job;
use crate::domain::project::{Project, Sender};
use crate::domain::session::Session;
use crate::domain::thread::{Thread, ThreadMapping};

/// Every table there is, but the ownership table, which has a door of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Table {
    /// Worker processes.
    Containers,
    /// Live conversations and where their agent stopped.
    EditSessions,
    /// Which thread a Message-ID belongs to.
    ThreadMappings,
    /// Conversations.
    Threads,
    /// What a claim is being used for.
    ActiveJobs,
    /// Inbound mails.
    Mails,
    /// Runs of work.
    Jobs,
    /// Sites.
    Projects,
    /// Addresses that stand for users.
    Senders,
    /// Mails we mean to send.
    Outbox,
    /// Tokens, confirmations, audit.
    Access,
    /// Budgets, rates, suppression.
    Limits,
}

/// A second way into a table: rows that have the partition field, ordered by the sort field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexSpec {
    /// Its name.
    pub name: &'static str,
    /// The JSON field it is partitioned by; rows without it are not in the index.
    pub partition: &'static str,
    /// The JSON field it is ordered by (then by key).
    pub sort: Option<&'static str>,
}

/// The shape of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableSpec {
    /// Its name after the prefix.
    pub name: &'static str,
    /// The JSON field that is the (partition) key.
    pub partition: &'static str,
    /// The JSON field that is the sort key.
    pub sort: Option<&'static str>,
    /// Its indexes.
    pub indexes: &'static [IndexSpec],
}

impl Table {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Containers,
        Self::EditSessions,
        Self::ThreadMappings,
        Self::Threads,
        Self::ActiveJobs,
        Self::Mails,
        Self::Jobs,
        Self::Projects,
        Self::Senders,
        Self::Outbox,
        Self::Access,
        Self::Limits,
    ];

    /// Name, key fields and indexes.
    pub fn spec(self) -> TableSpec {
        const fn index(name: &'static str, partition: &'static str, sort: Option<&'static str>) -> IndexSpec {
            IndexSpec { name, partition, sort }
        }
        const fn table(
            name: &'static str,
            partition: &'static str,
            sort: Option<&'static str>,
            indexes: &'static [IndexSpec],
        ) -> TableSpec {
            TableSpec { name, partition, sort, indexes }
        }
        match self {
            Self::Containers => table("containers", "containerId", None, &[]),
            Self::EditSessions => table(
                "edit-sessions",
                "sessionId",
                None,
                &const {
                    [
                        index("project-index", "projectKey", Some("lastActivity")),
                        index("container-index", "containerId", Some("lastActivity")),
                    ]
                },
            ),
            Self::ThreadMappings => table(
                "thread-mappings",
                "projectKey",
                Some("messageId"),
                &const { [index("thread-index", "threadId", None)] },
            ),
            Self::Threads => table(
                "threads",
                "threadId",
                None,
                &const { [index("project-index", "projectKey", Some("lastActivity"))] },
            ),
            Self::ActiveJobs => table("active-jobs", "projectKey", None, &[]),
            Self::Mails => table(
                "mails",
                "mailId",
                None,
                &const {
                    [
                        index("day-index", "day", Some("receivedAt")),
                        index("command-index", "commandId", None),
                        index("open-index", "open", Some("receivedAt")),
                    ]
                },
            ),
            Self::Jobs => table(
                "jobs",
                "commandId",
                None,
                &const {
                    [
                        index("project-index", "projectKey", Some("createdAt")),
                        index("pending-index", "pending", Some("createdAt")),
                        index("all-index", "day", Some("createdAt")),
                    ]
                },
            ),
            Self::Projects => table("projects", "projectId", None, &[]),
            Self::Senders => table(
                "senders",
                "address",
                Some("projectId"),
                &const { [index("project-index", "projectId", Some("address"))] },
            ),
            Self::Outbox => table(
                "outbox",
                "dedupKey",
                None,
                &const { [index("state-index", "state", Some("createdAt"))] },
            ),
            Self::Access => table("access", "kind", Some("id"), &[]),
            Self::Limits => table("limits", "kind", Some("id"), &[]),
        }
    }
}

/// The key of a row.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// The value of the partition field.
    pub partition: String,
    /// The value of the sort field, for tables that have one.
    pub sort: Option<String>,
}

impl Key {
    /// The key of a table without a sort field.
    pub fn of(partition: impl ToString) -> Self {
        Self { partition: partition.to_string(), sort: None }
    }

    /// The key of a table with one.
    pub fn pair(partition: impl ToString, sort: impl ToString) -> Self {
        Self { partition: partition.to_string(), sort: Some(sort.to_string()) }
    }
}

/// Grows with every write of a row; a row that was deleted and made again starts anew with a version never used before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Version(pub i64);

/// The condition of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Whatever is there.
    Any,
    /// Only if there is no such row.
    Absent,
    /// Only if the row is as it was read.
    Version(Version),
}

/// A row as it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Its JSON object; the key fields are part of it.
    pub body: Value,
    /// Which state of the row this is.
    pub version: Version,
}

/// Which rows, in which order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// An index by name; none = the table's own key, ordered by its sort field.
    pub index: Option<&'static str>,
    /// The value of the partition field.
    pub partition: String,
    /// Newest (largest sort value) first.
    pub descending: bool,
    /// At most so many.
    pub limit: usize,
    /// Where an earlier page ended.
    pub after: Option<Cursor>,
}

impl Query {
    /// Rows of an index, ascending.
    pub fn index(name: &'static str, partition: impl ToString) -> Self {
        Self {
            index: Some(name),
            partition: partition.to_string(),
            descending: false,
            limit: 100,
            after: None,
        }
    }

    /// Rows with one partition key, ascending by sort key.
    pub fn partition(partition: impl ToString) -> Self {
        Self { index: None, partition: partition.to_string(), descending: false, limit: 100, after: None }
    }

    /// Largest first.
    #[must_use]
    pub fn newest_first(mut self) -> Self {
        self.descending = true;
        self
    }

    /// At most so many.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }
}

/// Where a page ended; opaque.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(pub String);

/// One page of rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// The rows.
    pub rows: Vec<Row>,
    /// Set when there may be more.
    pub next: Option<Cursor>,
}

/// The door.
#[async_trait]
pub trait Store: Send + Sync {
    /// One row, read consistently.
    async fn get(&self, table: Table, key: &Key) -> Result<Option<Row>>;

    /// Writes a row; its key fields are taken from the body. [`CloudError::Conflict`] when the condition does not hold.
    async fn put(&self, table: Table, body: Value, expect: Expect) -> Result<Version>;

    /// Deletes a row; fine when there is none and nothing was expected.
    async fn delete(&self, table: Table, key: &Key, expect: Expect) -> Result<()>;

    /// Rows by key or index (indexes are eventually consistent on AWS).
    async fn query(&self, table: Table, query: Query) -> Result<Page>;

    /// All rows, in no order; for small tables and operators.
    async fn scan(&self, table: Table, limit: usize, after: Option<Cursor>) -> Result<Page>;
}

/// What is kept as a row of a table.
pub trait Record: Serialize + DeserializeOwned + Send + Sync {
    /// Where.
    const TABLE: Table;
    /// What identifies one.
    type Id: ?Sized;
    /// Its key.
    fn key(id: &Self::Id) -> Key;
}

/// A record and the state of the row it was read from.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored<T> {
    /// The record.
    pub value: T,
    /// For a conditional write.
    pub version: Version,
}

/// How often a read-decide-write is tried again after somebody else wrote in between.
const MAX_CONFLICTS: usize = 20;

impl dyn Store + '_ {
    /// Reads a record.
    pub async fn load<T: Record>(&self, id: &T::Id) -> Result<Option<Stored<T>>> {
        self.get(T::TABLE, &T::key(id)).await?.map(decode).transpose()
    }

    /// Writes a record that must not exist yet; [`CloudError::Conflict`] when it does.
    pub async fn insert<T: Record>(&self, value: &T) -> Result<Version> {
        self.put(T::TABLE, encode(value)?, Expect::Absent).await
    }

    /// Writes a record whatever is there.
    pub async fn save<T: Record>(&self, value: &T) -> Result<Version> {
        self.put(T::TABLE, encode(value)?, Expect::Any).await
    }

    /// Writes a record over the state it was read from.
    pub async fn replace<T: Record>(&self, stored: &Stored<T>) -> Result<Version> {
        self.put(T::TABLE, encode(&stored.value)?, Expect::Version(stored.version)).await
    }

    /// Deletes a record.
    pub async fn remove<T: Record>(&self, id: &T::Id) -> Result<()> {
        self.delete(T::TABLE, &T::key(id), Expect::Any).await
    }

    /// Reads a record, lets `decide` change it, and writes it on condition of what was read; again when somebody else
    /// wrote in between. `Break` writes nothing. The answer is the record as it now stands, none when there is none.
    pub async fn update<T: Record + Clone>(
        &self,
        id: &T::Id,
        decide: impl FnMut(&mut T) -> ControlFlow<()>,
    ) -> Result<Option<T>> {
        self.update_known(id, &mut None, decide).await
    }

    /// The same for a row that was written before: it is read only when somebody else wrote it since, and before `Break`
    /// is believed.
    pub async fn update_known<T: Record + Clone>(
        &self,
        id: &T::Id,
        known: &mut Option<Stored<T>>,
        mut decide: impl FnMut(&mut T) -> ControlFlow<()>,
    ) -> Result<Option<T>> {
        for _ in 0..MAX_CONFLICTS {
            let remembered = known.take();
            let is_remembered = remembered.is_some();
            let stored = match remembered {
                Some(stored) => Some(stored),
                None => self.load::<T>(id).await?,
            };
            let Some(mut stored) = stored else { return Ok(None) };
            let before = stored.value.clone();
            match (decide(&mut stored.value), is_remembered) {
                (ControlFlow::Break(()), true) => continue,
                (ControlFlow::Break(()), false) => return Ok(Some(before)),
                (ControlFlow::Continue(()), _) => {}
            }
            match self.replace(&stored).await {
                Ok(version) => {
                    *known = Some(Stored { value: stored.value.clone(), version });
                    return Ok(Some(stored.value));
                }
                Err(CloudError::Conflict(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Err(CloudError::Throttled(format!(
            "a row of {} is written by too many at once",
            T::TABLE.spec().name
        )))
    }

    /// One page of records.
    pub async fn find<T: Record>(&self, query: Query) -> Result<(Vec<T>, Option<Cursor>)> {
        Ok(records(self.query(T::TABLE, query).await?))
    }

    /// One page of all records.
    pub async fn list<T: Record>(
        &self,
        limit: usize,
        after: Option<Cursor>,
    ) -> Result<(Vec<T>, Option<Cursor>)> {
        Ok(records(self.scan(T::TABLE, limit, after).await?))
    }
}

/// The rows of a page. One that cannot be read is left out and told: it must not hide all others.
fn records<T: Record>(page: Page) -> (Vec<T>, Option<Cursor>) {
    let read = |row| match decode(row) {
        Ok(stored) => Some(stored.value),
        Err(error) => {
            tracing::error!(%error, "a row is left out of a list");
            None
        }
    };
    (page.rows.into_iter().filter_map(read).collect(), page.next)
}

fn encode<T: Record>(value: &T) -> Result<Value> {
    serde_json::to_value(value)
        .map_err(|e| CloudError::Invalid(format!("row of {}: {e}", T::TABLE.spec().name)))
}

fn decode<T: Record>(row: Row) -> Result<Stored<T>> {
    let value = serde_json::from_value(row.body)
        .map_err(|e| CloudError::Invalid(format!("row of {} cannot be read: {e}", T::TABLE.spec().name)))?;
    Ok(Stored { value, version: row.version })
}

/// Declares which table a record is kept in and by what it is found.
macro_rules! record {
    ($record:ty, $table:ident, $id:ty, $key:expr) => {
        impl Record for $record {
            const TABLE: Table = Table::$table;
            type Id = $id;
            fn key(id: &Self::Id) -> Key {
                let key: fn(&$id) -> Key = $key;
                key(id)
            }
        }
    };
}

record!(Project, Projects, ProjectId, |id| Key::of(id));
record!(Sender, Senders, (EmailAddress, ProjectId), |(address, project)| Key::pair(address, project));
record!(Thread, Threads, ThreadId, |id| Key::of(id));
record!(ThreadMapping, ThreadMappings, (ProjectUser, String), |(key, message_id)| Key::pair(key, message_id));
record!(Job, Jobs, CommandId, |id| Key::of(id));
record!(Container, Containers, WorkerId, |id| Key::of(id));
record!(Session, EditSessions, SessionId, |id| Key::of(id));
record!(ActiveJob, ActiveJobs, ProjectUser, |key| Key::of(key));
record!(Month, Limits, String, |id| Key::pair(Month::KIND, id));
