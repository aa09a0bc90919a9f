//! A table that does not answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use common::cloud::store::{Cursor, Expect, Key, Page, Query, Row, Store, Table, Version};
use common::cloud::{Cloud, Result};
use serde_json::Value;

/// A store of which one table does not answer until it is let go.
pub struct Silent {
    store: Arc<dyn Store>,
    table: Table,
    asked: AtomicUsize,
    answers: AtomicBool,
}

impl Silent {
    pub fn over(cloud: &Cloud, table: Table) -> (Arc<Self>, Cloud) {
        let (asked, answers) = (AtomicUsize::new(0), AtomicBool::new(false));
        let silent = Arc::new(Self { store: cloud.store.clone(), table, asked, answers });
        (silent.clone(), Cloud { store: silent, ..cloud.clone() })
    }

    /// How often it was asked in vain.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    pub fn let_go(&self) {
        self.answers.store(true, Ordering::Relaxed);
    }

    pub fn fall_silent(&self) {
        self.answers.store(false, Ordering::Relaxed);
    }
}

#[async_trait]
impl Store for Silent {
    async fn get(&self, table: Table, key: &Key) -> Result<Option<Row>> {
        if table == self.table && !self.answers.load(Ordering::Relaxed) {
            self.asked.fetch_add(1, Ordering::Relaxed);
            std::future::pending::<()>().await;
        }
        self.store.get(table, key).await
    }

    async fn put(&self, table: Table, body: Value, expect: Expect) -> Result<Version> {
        self.store.put(table, body, expect).await
    }

    async fn delete(&self, table: Table, key: &Key, expect: Expect) -> Result<()> {
        self.store.delete(table, key, expect).await
    }

    async fn query(&self, table: Table, query: Query) -> Result<Page> {
        self.store.query(table, query).await
    }

    async fn scan(&self, table: Table, limit: usize, after: Option<Cursor>) -> Result<Page> {
        self.store.scan(table, limit, after).await
    }
}
