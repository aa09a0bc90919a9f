//! The tables over DynamoDB: every write is one conditional update that also draws the row's next version, so that versions
//! grow whatever was expected, and one that was never used before begins a row.

use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder as Update;
use aws_sdk_dynamodb::types::{ReturnValue, ReturnValuesOnConditionCheckFailure as OnFailure};
use serde_json::Value;
use uuid::Uuid;

use super::attempts::Attempts;
use super::claim_row::{Item, get, number, text};
use super::error::failed;
use super::names::Names;
use super::store_item::{self, BODY, VERSION, WRITE_ID};
use super::store_pages::Wanted;
use crate::clock::Clock;
use crate::cloud::store::shape::{self, Place};
use crate::cloud::store::{Cursor, Expect, Key, Page, Query, Row, Store, Table, Version};
use crate::cloud::{CloudError, Result};

/// Milliseconds are shifted by so much to make the first version of a row: room for the writes of its life.
const VERSION_BITS: u32 = 20;

/// The door.
pub(super) struct AwsStore {
    dynamodb: Client,
    names: Arc<Names>,
    clock: Clock,
}

impl AwsStore {
    /// Over this client.
    pub(super) fn new(dynamodb: Client, names: Arc<Names>, clock: Clock) -> Self {
        Self { dynamodb, names, clock }
    }

    /// A number that no earlier row of this key had: the time, and chance for two of one millisecond.
    fn first_version(&self) -> i64 {
        let chance = i64::from(Uuid::new_v4().as_fields().0 >> (32 - VERSION_BITS));
        (self.clock.now().millis() << VERSION_BITS) | chance
    }

    fn update(&self, table: Table, place: &Place, body: &Value, write_id: &str) -> Update {
        let mut set = vec![
            "#body = :body".to_owned(),
            "#version = if_not_exists(#version, :first) + :one".to_owned(),
            "#write = :write".to_owned(),
        ];
        let mut remove = Vec::new();
        let mut update = self
            .dynamodb
            .update_item()
            .table_name(self.names.table(table))
            .set_key(Some(store_item::key(place)))
            .expression_attribute_names("#body", BODY)
            .expression_attribute_names("#version", VERSION)
            .expression_attribute_names("#write", WRITE_ID)
            .expression_attribute_values(":body", text(body.to_string()))
            .expression_attribute_values(":first", number(self.first_version()))
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(":write", text(write_id))
            .return_values(ReturnValue::UpdatedNew)
            .return_values_on_condition_check_failure(OnFailure::AllOld);
        for (index, (name, value)) in store_item::indexed(&place.spec, body).into_iter().enumerate() {
            update = update.expression_attribute_names(format!("#f{index}"), name);
            match value {
                Some(value) => {
                    set.push(format!("#f{index} = :f{index}"));
                    update = update.expression_attribute_values(format!(":f{index}"), value);
                }
                None => remove.push(format!("#f{index}")),
            }
        }
        let removed =
            if remove.is_empty() { String::new() } else { format!(" REMOVE {}", remove.join(", ")) };
        update.update_expression(format!("SET {}{removed}", set.join(", ")))
    }

    async fn page(&self, table: Table, wanted: Wanted, query: Option<&Query>) -> Result<Page> {
        let mut page = Page { rows: Vec::new(), next: None };
        let mut after = wanted.after.clone();
        loop {
            let room = i32::try_from(wanted.limit - page.rows.len()).unwrap_or(i32::MAX);
            let (items, last) = match query {
                Some(query) => self.queried(table, &wanted, query, room, after).await?,
                None => self.scanned(table, room, after).await?,
            };
            for item in items {
                page.rows.push(store_item::read(&wanted.spec, &item)?);
            }
            page.next = wanted.write_cursor(last.as_ref());
            after = last;
            if page.next.is_none() || page.rows.len() >= wanted.limit {
                return Ok(page);
            }
        }
    }

    async fn queried(
        &self,
        table: Table,
        wanted: &Wanted,
        query: &Query,
        room: i32,
        after: Option<Item>,
    ) -> Result<(Vec<Item>, Option<Item>)> {
        let request = self
            .dynamodb
            .query()
            .table_name(self.names.table(table))
            .set_index_name(wanted.index.map(|index| index.name.to_owned()))
            .key_condition_expression("#partition = :partition")
            .expression_attribute_names("#partition", wanted.partition())
            .expression_attribute_values(":partition", text(&query.partition))
            .scan_index_forward(!query.descending)
            .limit(room)
            .set_exclusive_start_key(after);
        let answer = request.send().await.map_err(|error| failed("listing rows", &error))?;
        Ok((answer.items.unwrap_or_default(), answer.last_evaluated_key))
    }

    async fn scanned(
        &self,
        table: Table,
        room: i32,
        after: Option<Item>,
    ) -> Result<(Vec<Item>, Option<Item>)> {
        let request = self.dynamodb.scan().table_name(self.names.table(table)).limit(room);
        let answer = request.set_exclusive_start_key(after).send().await;
        let answer = answer.map_err(|error| failed("listing all rows", &error))?;
        Ok((answer.items.unwrap_or_default(), answer.last_evaluated_key))
    }
}

#[async_trait]
impl Store for AwsStore {
    async fn get(&self, table: Table, key: &Key) -> Result<Option<Row>> {
        let place = Place::of(table, key)?;
        let request = self.dynamodb.get_item().table_name(self.names.table(table)).consistent_read(true);
        let answer = request.set_key(Some(store_item::key(&place))).send().await;
        let answer = answer.map_err(|error| failed(&format!("reading the {place}"), &error))?;
        answer.item.as_ref().map(|item| store_item::read(&place.spec, item)).transpose()
    }

    async fn put(&self, table: Table, body: Value, expect: Expect) -> Result<Version> {
        let place = Place::of(table, &shape::key_of(table, &body)?)?;
        shape::check_indexes(table, &body)?;
        shape::check_size(&place, body.to_string().len())?;
        let write_id = Uuid::new_v4().simple().to_string();
        let update = self.update(table, &place, &body, &write_id);
        let update = match expect {
            Expect::Any => update,
            Expect::Absent => update.condition_expression("attribute_not_exists(#version)"),
            Expect::Version(version) => update
                .condition_expression("#version = :expected")
                .expression_attribute_values(":expected", number(version.0)),
        };
        let found = match update.send().await {
            Ok(answer) => answer.attributes,
            Err(error) => match refused(&error) {
                // The first try was ours, and only its answer was lost.
                Some(row) if get(row, WRITE_ID) == Some(&write_id) => Some(row.clone()),
                _ if is_refusal(&error) => return Err(place.changed()),
                _ => return Err(failed(&format!("writing the {place}"), &error)),
            },
        };
        found.and_then(|item| store_item::version(&item)).ok_or_else(|| {
            CloudError::unavailable(format!("writing the {place}"), "it came without a version")
        })
    }

    async fn delete(&self, table: Table, key: &Key, expect: Expect) -> Result<()> {
        let place = Place::of(table, key)?;
        let request = self
            .dynamodb
            .delete_item()
            .table_name(self.names.table(table))
            .set_key(Some(store_item::key(&place)))
            .return_values_on_condition_check_failure(OnFailure::AllOld);
        let request = match expect {
            Expect::Any => request,
            Expect::Absent => request
                .condition_expression("attribute_not_exists(#version)")
                .expression_attribute_names("#version", VERSION),
            Expect::Version(version) => request
                .condition_expression("#version = :expected")
                .expression_attribute_names("#version", VERSION)
                .expression_attribute_values(":expected", number(version.0)),
        };
        let attempts = Attempts::default();
        match request.customize().interceptor(attempts.clone()).send().await {
            Ok(_) => Ok(()),
            Err(error) => match error.as_service_error() {
                Some(aws_sdk_dynamodb::operation::delete_item::DeleteItemError::ConditionalCheckFailedException(
                    refusal,
                )) => {
                    // What a first try deleted is not there for the second.
                    let gone = refusal.item.as_ref().is_none_or(Item::is_empty);
                    if gone && attempts.were_repeated() { Ok(()) } else { Err(place.changed()) }
                }
                _ => Err(failed(&format!("deleting the {place}"), &error)),
            },
        }
    }

    async fn query(&self, table: Table, query: Query) -> Result<Page> {
        let wanted = Wanted::query(table.spec(), &query)?;
        self.page(table, wanted, Some(&query)).await
    }

    async fn scan(&self, table: Table, limit: usize, after: Option<Cursor>) -> Result<Page> {
        let wanted = Wanted::scan(table.spec(), limit, after.as_ref())?;
        self.page(table, wanted, None).await
    }
}

fn is_refusal<R>(error: &SdkError<UpdateItemError, R>) -> bool {
    error.as_service_error().is_some_and(UpdateItemError::is_conditional_check_failed_exception)
}

fn refused<R>(error: &SdkError<UpdateItemError, R>) -> Option<&Item> {
    match error.as_service_error()? {
        UpdateItemError::ConditionalCheckFailedException(refusal) => refusal.item.as_ref(),
        _ => None,
    }
}
