//! The tables over SQLite: one SQL table each, the body as JSON, the indexes as generated columns (see the
//! migrations). Rows that have expired (`ttl`) are deleted now and then, as DynamoDB does.

use async_trait::async_trait;
use serde_json::Value;

use super::db::Db;
use super::store_rows;
use super::writer::Tx;
use crate::clock::Clock;
use crate::cloud::Result;
use crate::cloud::store::shape::{self, Place};
use crate::cloud::store::{Cursor, Expect, Key, Page, Query, Row, Store, Table, Version};

/// The door.
pub(super) struct LocalStore {
    db: Db,
    clock: Clock,
}

impl LocalStore {
    /// Over this database; the clock says which rows have expired.
    pub(super) fn new(db: Db, clock: Clock) -> Self {
        Self { db, clock }
    }
}

#[async_trait]
impl Store for LocalStore {
    async fn get(&self, table: Table, key: &Key) -> Result<Option<Row>> {
        let place = Place::of(table, key)?;
        self.db.look("reading a row", move |rows| store_rows::get(rows, &place)).await
    }

    async fn put(&self, table: Table, body: Value, expect: Expect) -> Result<Version> {
        let place = Place::of(table, &shape::key_of(table, &body)?)?;
        shape::check_indexes(table, &body)?;
        let text = body.to_string();
        shape::check_size(&place, text.len())?;
        let now = self.clock.now();
        let put = move |tx: &mut Tx<'_>| {
            let version = store_rows::put(tx, &place, &text, expect)?;
            store_rows::expire(tx, &place, version, now)?;
            Ok(version)
        };
        self.db.write("writing a row", put).await
    }

    async fn delete(&self, table: Table, key: &Key, expect: Expect) -> Result<()> {
        let place = Place::of(table, key)?;
        self.db.write("deleting a row", move |tx| store_rows::delete(tx, &place, expect)).await
    }

    async fn query(&self, table: Table, query: Query) -> Result<Page> {
        let wanted = store_rows::Wanted::query(table, query)?;
        if wanted.is_short() {
            return self.db.look("listing rows", move |rows| store_rows::page(rows, &wanted)).await;
        }
        self.db.read("listing rows", move |rows| store_rows::page(rows, &wanted)).await
    }

    async fn scan(&self, table: Table, limit: usize, after: Option<Cursor>) -> Result<Page> {
        let wanted = store_rows::Wanted::scan(table, limit, after)?;
        self.db.read("listing all rows", move |rows| store_rows::page(rows, &wanted)).await
    }
}
