//! Projects that several make at once, or whose making was cut short.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use common::cloud::failing::{Calls, Door, Fate, When};
use common::cloud::store::{Cursor, Expect, Key, Page, Query, Row, Store, Table, Version};
use common::cloud::{Cloud, Result};
use common::domain::budget::Limits;
use common::domain::ids::{EmailAddress, ProjectId};
use common::domain::project::{Build, Preempt, Project, Role};
use common::domain::repo_url::RepoRules;
use futures_util::future::BoxFuture;
use hermes::operations::projects::{self, ProjectSettings};
use hermes::operations::senders::{self, SenderSettings};
use serde_json::Value;
use tokio::sync::Mutex;

use crate::support::World;

/// Tables on which something else is done before the nth call.
struct Between {
    store: Arc<dyn Store>,
    nth: usize,
    calls: AtomicUsize,
    then: Mutex<Option<BoxFuture<'static, ()>>>,
}

impl Between {
    async fn call(&self) {
        if self.calls.fetch_add(1, Ordering::SeqCst) == self.nth
            && let Some(then) = self.then.lock().await.take()
        {
            then.await;
        }
    }
}

#[async_trait]
impl Store for Between {
    async fn get(&self, table: Table, key: &Key) -> Result<Option<Row>> {
        self.call().await;
        self.store.get(table, key).await
    }

    async fn put(&self, table: Table, body: Value, expect: Expect) -> Result<Version> {
        self.call().await;
        self.store.put(table, body, expect).await
    }

    async fn delete(&self, table: Table, key: &Key, expect: Expect) -> Result<()> {
        self.call().await;
        self.store.delete(table, key, expect).await
    }

    async fn query(&self, table: Table, query: Query) -> Result<Page> {
        self.call().await;
        self.store.query(table, query).await
    }

    async fn scan(&self, table: Table, limit: usize, after: Option<Cursor>) -> Result<Page> {
        self.call().await;
        self.store.scan(table, limit, after).await
    }
}

fn amelia() -> ProjectId {
    ProjectId::parse("amelia").unwrap()
}

async fn put(cloud: &Cloud, url: &str) -> hermes::operations::Result<()> {
    let rules = RepoRules { hosts: vec!["github.com".into()], allow_files: false };
    let settings = ProjectSettings {
        repo_url: format!("https://github.com/you/{url}.git"),
        default_branch: None,
        build: Build::default(),
        preempt: Preempt::default(),
        limits: Limits::default(),
        require_dmarc: true,
    };
    projects::put(cloud, &rules, &amelia(), settings).await.map(drop)
}

async fn register(cloud: &Cloud, address: &str, user: &str) {
    let settings =
        SenderSettings { project_id: amelia(), user: user.to_owned(), role: Role::Owner, language: None };
    senders::put(cloud, &EmailAddress::parse(address).unwrap(), settings).await.unwrap();
}

/// Who may write, and as whom.
async fn registered(cloud: &Cloud) -> Vec<(String, String)> {
    let all = senders::all(cloud).await.unwrap().items.into_iter();
    let mut all: Vec<_> = all.map(|row| (row.address.to_string(), row.user_id.to_string())).collect();
    all.sort();
    all
}

/// Where a project was removed but for its senders.
async fn left_behind() -> World {
    let world = World::empty("all");
    put(world.cloud(), "earlier").await.unwrap();
    register(world.cloud(), "both@example.org", "earlier").await;
    register(world.cloud(), "gone@example.org", "earlier").await;
    world.cloud().store.remove::<Project>(&amelia()).await.unwrap();
    world
}

#[tokio::test]
async fn senders_of_a_project_that_another_call_made_meanwhile_are_kept_wherever_it_came_between() {
    let mut nth = 0;
    loop {
        let world = left_behind().await;
        let cloud = world.cloud().clone();
        let other = async move {
            put(&cloud, "other").await.unwrap();
            register(&cloud, "both@example.org", "now").await;
            register(&cloud, "new@example.org", "now").await;
        };
        let then = Mutex::new(Some(Box::pin(other) as BoxFuture<'static, ()>));
        let store =
            Arc::new(Between { store: world.cloud().store.clone(), nth, calls: AtomicUsize::new(0), then });
        let slow = Cloud { store: store.clone(), ..world.cloud().clone() };
        put(&slow, "slow").await.unwrap();
        if store.then.lock().await.is_some() {
            break;
        }
        let wanted = ["both@example.org", "new@example.org"].map(|who| (who.to_owned(), "now".to_owned()));
        assert_eq!(registered(world.cloud()).await, wanted, "before call {nth}");
        let kept = projects::get(world.cloud(), &amelia()).await.unwrap();
        assert_eq!(
            kept.repo_url, "https://github.com/you/slow.git",
            "before call {nth}: who ends last says it"
        );
        nth += 1;
    }
    assert!(nth >= 6, "it was held before {nth} calls");
}

#[tokio::test]
async fn a_making_that_was_cut_short_is_completed_by_another() {
    for fate in [Fate::FailBefore, Fate::LoseAnswer] {
        let mut nth = 0;
        loop {
            nth += 1;
            let world = left_behind().await;
            world.plan.add(Calls::Through(Door::Store), When::Nth(nth), fate);
            let whole = put(world.cloud(), "new").await.is_ok();
            world.plan.heal();
            if whole {
                break;
            }
            put(world.cloud(), "new").await.unwrap();
            assert_eq!(registered(world.cloud()).await, [], "{fate:?} of call {nth}");
        }
        assert!(nth > 4, "{nth} calls");
    }
}

#[tokio::test]
async fn a_project_that_is_made_while_its_name_is_given_up_keeps_its_senders_or_goes_with_all_of_them() {
    let (mut nth, mut kept) = (0, 0);
    loop {
        let world = World::empty("all");
        put(world.cloud(), "earlier").await.unwrap();
        register(world.cloud(), "both@example.org", "earlier").await;
        register(world.cloud(), "gone@example.org", "earlier").await;
        let cloud = world.cloud().clone();
        let other = async move {
            put(&cloud, "other").await.unwrap();
            register(&cloud, "both@example.org", "now").await;
            register(&cloud, "new@example.org", "now").await;
        };
        let then = Mutex::new(Some(Box::pin(other) as BoxFuture<'static, ()>));
        let store =
            Arc::new(Between { store: world.cloud().store.clone(), nth, calls: AtomicUsize::new(0), then });
        let slow = Cloud { store: store.clone(), ..world.cloud().clone() };
        projects::remove(&slow, &amelia()).await.unwrap();
        if store.then.lock().await.is_some() {
            break;
        }
        let now = ["both@example.org", "new@example.org"].map(|who| (who.to_owned(), "now".to_owned()));
        let there = projects::get(world.cloud(), &amelia()).await.is_ok();
        kept += usize::from(there);
        let wanted = if there { now.to_vec() } else { Vec::new() };
        assert_eq!(registered(world.cloud()).await, wanted, "before call {nth}");
        nth += 1;
    }
    assert!(kept >= 1 && nth > kept, "kept {kept} of {nth} times");
}
