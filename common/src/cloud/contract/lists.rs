//! Rows in the order of a key or an index, page by page.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::Stage;
use super::queues::assert_invalid;
use crate::cloud::store::{Cursor, Expect, Query, Table};

impl Stage {
    async fn make_jobs(&self, count: usize, created_at: impl Fn(usize) -> String) -> BTreeSet<String> {
        let mut ids = BTreeSet::new();
        for index in 0..count {
            let id = format!("c{index:03}");
            let at = created_at(index);
            self.insert(Table::Jobs, json!({"commandId": id, "projectKey": "a#b", "createdAt": at})).await;
            ids.insert(id);
        }
        ids
    }
}

pub(super) async fn a_partition_is_ordered_by_its_sort_field(stage: Stage) {
    for id in ["b", "a", "c"] {
        stage.insert(Table::Access, json!({"kind": "token", "id": id})).await;
    }
    stage.insert(Table::Access, json!({"kind": "audit", "id": "z"})).await;
    assert_eq!(stage.all(Table::Access, Query::partition("token"), "id").await, ["a", "b", "c"]);
    let newest = Query::partition("token").newest_first().limit(2);
    assert_eq!(stage.all(Table::Access, newest, "id").await, ["c", "b", "a"]);
}

pub(super) async fn an_index_is_ordered_both_ways(stage: Stage) {
    stage.make_jobs(3, |index| format!("2026-01-0{}", 3 - index)).await;
    let query = Query::index("project-index", "a#b");
    assert_eq!(stage.all(Table::Jobs, query.clone(), "commandId").await, ["c002", "c001", "c000"]);
    assert_eq!(stage.all(Table::Jobs, query.newest_first(), "commandId").await, ["c000", "c001", "c002"]);
}

pub(super) async fn a_row_without_the_field_is_not_in_the_index(stage: Stage) {
    let row = |id: &str, more: Value| {
        let mut body = json!({"commandId": id, "createdAt": "2026-01-01"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    stage.insert(Table::Jobs, row("in", json!({"pending": "1"}))).await;
    stage.insert(Table::Jobs, row("out", json!({}))).await;
    stage.insert(Table::Jobs, row("null", json!({"pending": null}))).await;
    stage.insert(Table::Jobs, json!({"commandId": "unsorted", "pending": "1"})).await;
    assert_eq!(stage.all(Table::Jobs, Query::index("pending-index", "1"), "commandId").await, ["in"]);
}

pub(super) async fn a_row_leaves_an_index_with_its_field(stage: Stage) {
    let at = "2026-01-01";
    stage.insert(Table::Jobs, json!({"commandId": "c", "pending": "1", "createdAt": at})).await;
    let done = json!({"commandId": "c", "createdAt": at});
    stage.cloud.store.put(Table::Jobs, done, Expect::Any).await.unwrap();
    assert!(stage.all(Table::Jobs, Query::index("pending-index", "1"), "commandId").await.is_empty());
}

pub(super) async fn pages_show_every_row_once(stage: Stage) {
    let ids = stage.make_jobs(25, |index| format!("2026-01-{:02}", index + 1)).await;
    for query in [Query::index("project-index", "a#b"), Query::index("project-index", "a#b").newest_first()] {
        let shown = stage.all(Table::Jobs, query.limit(10), "commandId").await;
        assert_eq!((shown.len(), shown.into_iter().collect::<BTreeSet<_>>()), (25, ids.clone()));
    }
}

pub(super) async fn pages_of_equal_sort_values_show_every_row_once(stage: Stage) {
    let ids = stage.make_jobs(7, |_| "2026-01-01".to_owned()).await;
    let shown = stage.all(Table::Jobs, Query::index("project-index", "a#b").limit(2), "commandId").await;
    assert_eq!((shown.len(), shown.into_iter().collect::<BTreeSet<_>>()), (7, ids));
}

pub(super) async fn a_scan_shows_every_row_once(stage: Stage) {
    let ids = stage.make_jobs(7, |_| "2026-01-01".to_owned()).await;
    let (mut shown, mut after) = (Vec::new(), None);
    loop {
        let page = stage.cloud.store.scan(Table::Jobs, 3, after).await.unwrap();
        shown.extend(page.rows.iter().map(|row| row.body["commandId"].as_str().unwrap().to_owned()));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!((shown.len(), shown.into_iter().collect::<BTreeSet<_>>()), (7, ids));
}

pub(super) async fn an_unknown_index_is_invalid(stage: Stage) {
    assert_invalid(stage.cloud.store.query(Table::Jobs, Query::index("colour-index", "red")).await);
}

pub(super) async fn a_foreign_cursor_is_invalid(stage: Stage) {
    let after = Some(Cursor("not a cursor".to_owned()));
    let query = Query { after: after.clone(), ..Query::index("project-index", "a#b") };
    assert_invalid(stage.cloud.store.query(Table::Jobs, query).await);
    assert_invalid(stage.cloud.store.scan(Table::Jobs, 1, after).await);
}

pub(super) async fn a_field_of_an_index_is_text(stage: Stage) {
    for pending in [json!(1), json!(true), json!("")] {
        let body = json!({"commandId": "c", "pending": pending, "createdAt": "2026-01-01"});
        assert_invalid(stage.cloud.store.put(Table::Jobs, body, Expect::Any).await);
    }
}

pub(super) async fn every_table_takes_rows(stage: Stage) {
    for table in Table::ALL {
        let spec = table.spec();
        let fields = [Some(spec.partition), spec.sort].into_iter().flatten();
        let indexed = spec.indexes.iter().flat_map(|index| [Some(index.partition), index.sort]).flatten();
        let body: serde_json::Map<_, _> =
            fields.chain(indexed).map(|field| (field.to_owned(), json!("v"))).collect();
        stage.insert(table, Value::Object(body)).await;
        for index in spec.indexes {
            assert_eq!(stage.all(table, Query::index(index.name, "v"), spec.partition).await, ["v"]);
        }
        assert_eq!(stage.all(table, Query::partition("v"), spec.partition).await, ["v"]);
    }
}
