//! The tables.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use serde_json::{Value, json};

use super::Stage;
use super::queues::assert_invalid;
use crate::cloud::CloudError;
use crate::cloud::store::{Expect, Key, Query, Row, Table, Version};
use crate::domain::ids::ProjectId;
use crate::domain::project::{Build, Preempt, Project};
use crate::domain::timestamp::Timestamp;

impl Stage {
    pub(super) async fn insert(&self, table: Table, body: Value) -> Version {
        self.cloud.store.put(table, body, Expect::Absent).await.unwrap()
    }

    async fn row_of(&self, table: Table, key: &Key) -> Option<Row> {
        self.cloud.store.get(table, key).await.unwrap()
    }

    /// The values of one field of all pages of a query.
    pub(super) async fn all(&self, table: Table, mut query: Query, field: &str) -> Vec<String> {
        let mut values = Vec::new();
        loop {
            let page = self.cloud.store.query(table, query.clone()).await.unwrap();
            assert!(page.rows.len() <= query.limit);
            values.extend(page.rows.iter().map(|row| row.body[field].as_str().unwrap().to_owned()));
            match page.next {
                Some(next) => query.after = Some(next),
                None => return values,
            }
        }
    }
}

fn assert_conflict<T: std::fmt::Debug>(answer: Result<T, CloudError>) {
    assert!(matches!(answer, Err(CloudError::Conflict(_))), "{answer:?}");
}

fn container(id: &str, note: &str) -> Value {
    json!({"containerId": id, "note": note})
}

pub(super) async fn a_row_is_read_as_it_was_written(stage: Stage) {
    let body = json!({
        "containerId": "c", "text": "Zürich 東京 \u{0} '\"", "whole": 9_007_199_254_740_991_i64, "part": 0.25,
        "yes": true, "none": null, "list": [1, "two", []], "deep": {"er": {"e": []}}, "": "unnamed"
    });
    let version = stage.insert(Table::Containers, body.clone()).await;
    assert_eq!(stage.row_of(Table::Containers, &Key::of("c")).await, Some(Row { body, version }));
}

pub(super) async fn an_absent_row_is_none(stage: Stage) {
    assert_eq!(stage.row_of(Table::Jobs, &Key::of("nobody")).await, None);
}

pub(super) async fn a_row_is_made_once(stage: Stage) {
    stage.insert(Table::Containers, container("c", "first")).await;
    let again = stage.cloud.store.put(Table::Containers, container("c", "second"), Expect::Absent).await;
    assert_conflict(again);
    let row = stage.row_of(Table::Containers, &Key::of("c")).await.unwrap();
    assert_eq!(row.body["note"], "first");
}

pub(super) async fn a_row_is_replaced_on_its_version(stage: Stage) {
    let first = stage.insert(Table::Containers, container("c", "first")).await;
    let put =
        stage.cloud.store.put(Table::Containers, container("c", "second"), Expect::Version(first)).await;
    let second = put.unwrap();
    assert!(second.0 > first.0);
    let row = stage.row_of(Table::Containers, &Key::of("c")).await.unwrap();
    assert_eq!((row.body, row.version), (container("c", "second"), second));
}

pub(super) async fn a_stale_version_is_a_conflict(stage: Stage) {
    let first = stage.insert(Table::Containers, container("c", "1")).await;
    stage.cloud.store.put(Table::Containers, container("c", "2"), Expect::Any).await.unwrap();
    let late = Expect::Version(first);
    assert_conflict(stage.cloud.store.put(Table::Containers, container("c", "3"), late).await);
    assert_conflict(stage.cloud.store.delete(Table::Containers, &Key::of("c"), late).await);
}

pub(super) async fn a_version_of_nothing_is_a_conflict(stage: Stage) {
    let some = Expect::Version(Version(1));
    assert_conflict(stage.cloud.store.put(Table::Containers, container("c", "x"), some).await);
    assert_conflict(stage.cloud.store.delete(Table::Containers, &Key::of("c"), some).await);
}

pub(super) async fn a_row_made_again_has_a_new_version(stage: Stage) {
    let mut seen = BTreeSet::new();
    for _ in 0..3 {
        let version = stage.insert(Table::Containers, container("c", "x")).await;
        assert!(seen.insert(version.0), "{version:?} was used before");
        stage.cloud.store.delete(Table::Containers, &Key::of("c"), Expect::Any).await.unwrap();
    }
}

pub(super) async fn a_row_is_deleted_on_its_version(stage: Stage) {
    let version = stage.insert(Table::Containers, container("c", "x")).await;
    let (key, expect) = (Key::of("c"), Expect::Version(version));
    stage.cloud.store.delete(Table::Containers, &key, expect).await.unwrap();
    assert_eq!(stage.row_of(Table::Containers, &key).await, None);
}

pub(super) async fn deleting_nothing_is_fine(stage: Stage) {
    stage.cloud.store.delete(Table::Jobs, &Key::of("nobody"), Expect::Any).await.unwrap();
}

pub(super) async fn a_row_without_its_key_is_invalid(stage: Stage) {
    for body in [json!({"note": "x"}), json!({"containerId": 7}), json!({"containerId": ""}), json!("c")] {
        assert_invalid(stage.cloud.store.put(Table::Containers, body, Expect::Any).await);
    }
    assert_invalid(stage.cloud.store.put(Table::Senders, json!({"address": "a@b.c"}), Expect::Any).await);
}

pub(super) async fn a_key_of_the_wrong_shape_is_invalid(stage: Stage) {
    assert_invalid(stage.cloud.store.get(Table::Senders, &Key::of("a@b.c")).await);
    assert_invalid(stage.cloud.store.get(Table::Jobs, &Key::pair("a", "b")).await);
}

pub(super) async fn a_two_part_key_finds_one_row(stage: Stage) {
    for (address, project) in [("a@x", "p"), ("a@x", "q"), ("b@x", "p")] {
        stage.insert(Table::Senders, json!({"address": address, "projectId": project})).await;
    }
    let row = stage.row_of(Table::Senders, &Key::pair("a@x", "q")).await.unwrap();
    assert_eq!(row.body, json!({"address": "a@x", "projectId": "q"}));
    stage.cloud.store.delete(Table::Senders, &Key::pair("a@x", "q"), Expect::Any).await.unwrap();
    assert_eq!(stage.all(Table::Senders, Query::partition("a@x"), "projectId").await, ["p"]);
    assert_eq!(
        stage.all(Table::Senders, Query::index("project-index", "p"), "address").await,
        ["a@x", "b@x"]
    );
}

pub(super) async fn a_row_beyond_400_kb_is_invalid(stage: Stage) {
    let body = container("c", &"x".repeat(400 * 1024));
    assert_invalid(stage.cloud.store.put(Table::Containers, body, Expect::Any).await);
}

fn project(id: &ProjectId) -> Project {
    Project {
        project_id: id.clone(),
        repo_url: "https://example.org/a.git".to_owned(),
        default_branch: None,
        build: Build::default(),
        preempt: Preempt::default(),
        limits: crate::domain::budget::Limits::default(),
        require_dmarc: true,
        created_at: Timestamp::from_millis(1),
        updated_at: Timestamp::from_millis(1),
    }
}

pub(super) async fn a_record_is_read_decided_and_written(stage: Stage) {
    let store = &*stage.cloud.store;
    let id = stage.project("site");
    store.insert(&project(&id)).await.unwrap();
    assert_conflict(store.insert(&project(&id)).await);
    let changed = store.update::<Project>(&id, |row| {
        row.default_branch = Some("main".to_owned());
        ControlFlow::Continue(())
    });
    assert_eq!(changed.await.unwrap().unwrap().default_branch.as_deref(), Some("main"));
    let left = store.update::<Project>(&id, |row| {
        row.default_branch = None;
        ControlFlow::Break(())
    });
    assert_eq!(left.await.unwrap().unwrap().default_branch.as_deref(), Some("main"));
    let stored = store.load::<Project>(&id).await.unwrap().unwrap();
    assert_eq!(stored.value.default_branch.as_deref(), Some("main"));
    store.remove::<Project>(&id).await.unwrap();
    assert_eq!(store.load::<Project>(&id).await.unwrap(), None);
    assert_eq!(store.update::<Project>(&id, |_| ControlFlow::Continue(())).await.unwrap(), None);
}

pub(super) async fn counting_together_loses_nothing(stage: Stage) {
    let count = |count: u64| json!({"kind": "rate", "id": "mails", "count": count});
    stage.insert(Table::Limits, count(0)).await;
    let counters: Vec<_> = (0..8)
        .map(|_| {
            let store = stage.cloud.store.clone();
            tokio::spawn(async move {
                let mut done = 0;
                while done < 5 {
                    let key = Key::pair("rate", "mails");
                    let row = store.get(Table::Limits, &key).await.unwrap().unwrap();
                    let next = count(row.body["count"].as_u64().unwrap() + 1);
                    match store.put(Table::Limits, next, Expect::Version(row.version)).await {
                        Ok(_) => done += 1,
                        Err(CloudError::Conflict(_)) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            })
        })
        .collect();
    for counter in counters {
        counter.await.unwrap();
    }
    let row = stage.row_of(Table::Limits, &Key::pair("rate", "mails")).await.unwrap();
    assert_eq!(row.body["count"], 40);
}
