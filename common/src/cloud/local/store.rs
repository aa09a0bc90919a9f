//! The tables over SQLite: one SQL table each, the body as JSON, the indexes as generated columns (see the migration).

use async_trait::async_trait;
use serde_json::Value;

use super::db::Db;
use super::store_rows::{self, Place};
use crate::cloud::store::{Cursor, Expect, Key, Page, Query, Row, Store, Table, Version};
use crate::cloud::{CloudError, Result};

/// The largest row (DynamoDB: 400 KB).
const MAX_ROW_BYTES: usize = 400 * 1024;

/// The door.
pub(super) struct LocalStore {
    db: Db,
}

impl LocalStore {
    /// Over this database.
    pub(super) fn new(db: Db) -> Self {
        Self { db }
    }
}

#[async_trait]
impl Store for LocalStore {
    async fn get(&self, table: Table, key: &Key) -> Result<Option<Row>> {
        let place = Place::of(table, key)?;
        self.db.read("reading a row", move |rows| store_rows::get(rows, &place)).await
    }

    async fn put(&self, table: Table, body: Value, expect: Expect) -> Result<Version> {
        let place = Place::of(table, &key_of(table, &body)?)?;
        check_indexes(table, &body)?;
        let text = body.to_string();
        if text.len() > MAX_ROW_BYTES {
            return Err(CloudError::Invalid(format!("{place} has more than {MAX_ROW_BYTES} bytes")));
        }
        self.db.write("writing a row", move |tx| store_rows::put(tx, &place, &text, expect)).await
    }

    async fn delete(&self, table: Table, key: &Key, expect: Expect) -> Result<()> {
        let place = Place::of(table, key)?;
        self.db.write("deleting a row", move |tx| store_rows::delete(tx, &place, expect)).await
    }

    async fn query(&self, table: Table, query: Query) -> Result<Page> {
        let wanted = store_rows::Wanted::query(table, query)?;
        self.db.read("listing rows", move |rows| store_rows::page(rows, &wanted)).await
    }

    async fn scan(&self, table: Table, limit: usize, after: Option<Cursor>) -> Result<Page> {
        let wanted = store_rows::Wanted::scan(table, limit, after)?;
        self.db.read("listing all rows", move |rows| store_rows::page(rows, &wanted)).await
    }
}

fn key_of(table: Table, body: &Value) -> Result<Key> {
    let spec = table.spec();
    let part = |field: &str| {
        body.get(field)
            .and_then(Value::as_str)
            .map(str::to_owned)
            .ok_or_else(|| CloudError::Invalid(format!("a row of {} needs the text {field}", spec.name)))
    };
    Ok(Key { partition: part(spec.partition)?, sort: spec.sort.map(part).transpose()? })
}

/// The fields of an index are texts, or are not there (DynamoDB refuses others).
fn check_indexes(table: Table, body: &Value) -> Result<()> {
    let spec = table.spec();
    let fields = spec.indexes.iter().flat_map(|index| std::iter::once(index.partition).chain(index.sort));
    for field in fields {
        match body.get(field) {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) if !text.is_empty() => {}
            Some(_) => {
                return Err(CloudError::Invalid(format!(
                    "the field {field} of a row of {} is not a text (or is empty), but an index is made of it",
                    spec.name
                )));
            }
        }
    }
    Ok(())
}
