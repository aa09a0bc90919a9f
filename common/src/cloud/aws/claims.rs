//! The ownership table over DynamoDB. A take reads the row, lets the pure rule of [`crate::domain::claim`] decide and
//! writes on condition of the version that was read; renewing and giving up are single conditional writes that restate
//! the rule. A condition that fails on a repeated try is held against the row itself: it may be our own first write.

use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder as Update;
use aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure as OnFailure;

use super::attempts::Attempts;
use super::claim_row::{self, CONTAINER_ID, Item, PROJECT_KEY, get, number, text};
use super::error::failed;
use super::names::Names;
use super::tables::CONTAINER_INDEX;
use crate::cloud::claims::{Claims, TakeAnswer};
use crate::cloud::{CloudError, Result};
use crate::domain::claim::{self, ClaimRecord, ClaimStatus, ClaimVersion, Fence, Refused, Take};
use crate::domain::ids::{ProjectUser, WorkerId};
use crate::domain::timestamp::Timestamp;

/// How often a take that met another writer is decided anew.
const MAX_TURNS: usize = 8;

const IS_OURS: &str = "#status = :held AND containerId = :worker AND nonce = :nonce AND epoch = :epoch";
const SET_FREE: &str =
    "SET #status = :free, version = :version, lastActivity = :now REMOVE containerId, nonce, controlQueueUrl";

/// The door.
pub(super) struct AwsClaims {
    dynamodb: Client,
    table: String,
}

impl AwsClaims {
    /// Over this client.
    pub(super) fn new(dynamodb: Client, names: &Arc<Names>) -> Self {
        Self { dynamodb, table: names.ownership_table() }
    }

    /// Writes the row if nobody else did since `seen` was read.
    async fn write(&self, seen: Option<&ClaimRecord>, row: &ClaimRecord) -> Result<Written> {
        let put = self.dynamodb.put_item().table_name(&self.table).set_item(Some(claim_row::write(row)));
        let put = match seen {
            None => put.condition_expression("attribute_not_exists(projectKey)"),
            Some(seen) => put
                .condition_expression("version = :seen")
                .expression_attribute_values(":seen", text(seen.version.as_str())),
        };
        match put.send().await {
            Ok(_) => Ok(Written::Yes),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(PutItemError::is_conditional_check_failed_exception) =>
            {
                Ok(Written::ByAnother)
            }
            Err(error) => Err(failed("taking a claim", &error)),
        }
    }

    fn update(&self, key: &ProjectUser, version: &ClaimVersion, now: Timestamp) -> Update {
        self.dynamodb
            .update_item()
            .table_name(&self.table)
            .key(PROJECT_KEY, text(key.to_string()))
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":version", text(version.as_str()))
            .expression_attribute_values(":now", number(now.millis()))
            .expression_attribute_values(":held", text(claim_row::word(ClaimStatus::Held)))
            .return_values_on_condition_check_failure(OnFailure::AllOld)
    }

    async fn give_up(
        &self,
        what: &str,
        key: &ProjectUser,
        update: Update,
        ours: &ClaimVersion,
    ) -> Result<()> {
        let update = update
            .update_expression(SET_FREE)
            .expression_attribute_values(":free", text(claim_row::word(ClaimStatus::Free)));
        let is_ours =
            |row: &Item| get(row, "status") == Some("free") && get(row, "version") == Some(ours.as_str());
        change(what, key, update, is_ours).await
    }

    async fn pages(&self, worker: Option<&WorkerId>) -> Result<Vec<ClaimRecord>> {
        let (mut rows, mut after) = (Vec::new(), None);
        loop {
            let (items, next) = if let Some(worker) = worker {
                let page = self.query(worker).set_exclusive_start_key(after).send().await;
                let page = page.map_err(|error| failed("listing the claims of a worker", &error))?;
                (page.items, page.last_evaluated_key)
            } else {
                let page = self.dynamodb.scan().table_name(&self.table).index_name(CONTAINER_INDEX);
                let page = page.set_exclusive_start_key(after).send().await;
                let page = page.map_err(|error| failed("listing claims", &error))?;
                (page.items, page.last_evaluated_key)
            };
            for item in items.unwrap_or_default() {
                rows.push(claim_row::read(&item)?);
            }
            after = next.filter(|key| !key.is_empty());
            if after.is_none() {
                rows.sort_by_cached_key(|row| row.project_key.to_string());
                return Ok(rows);
            }
        }
    }

    fn query(&self, worker: &WorkerId) -> aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder {
        self.dynamodb
            .query()
            .table_name(&self.table)
            .index_name(CONTAINER_INDEX)
            .key_condition_expression(format!("{CONTAINER_ID} = :worker"))
            .expression_attribute_values(":worker", text(worker.as_str()))
    }
}

enum Written {
    Yes,
    ByAnother,
}

#[async_trait]
impl Claims for AwsClaims {
    async fn get(&self, key: &ProjectUser) -> Result<Option<ClaimRecord>> {
        let request = self.dynamodb.get_item().table_name(&self.table).consistent_read(true);
        let answer = request.key(PROJECT_KEY, text(key.to_string())).send().await;
        let answer = answer.map_err(|error| failed("reading a claim", &error))?;
        answer.item.as_ref().map(claim_row::read).transpose()
    }

    async fn take(&self, key: &ProjectUser, wanted: &Take) -> Result<TakeAnswer> {
        for _ in 0..MAX_TURNS {
            let seen = self.get(key).await?;
            let row = match claim::take(key, seen.as_ref(), wanted) {
                Err(Refused::Held(row)) => return Ok(TakeAnswer::Held(row)),
                Err(Refused::FenceLost) => return Err(lost(key)),
                Ok(row) => row,
            };
            // The same row as before is the lost answer of an earlier take.
            let ours = seen.as_ref() == Some(&row);
            if ours || matches!(self.write(seen.as_ref(), &row).await?, Written::Yes) {
                let owner = wanted.owner.clone();
                return Ok(TakeAnswer::Taken(Fence { project_key: key.clone(), owner, epoch: row.epoch }));
            }
        }
        Err(CloudError::Throttled(format!("the claim on {key} is written by too many at once")))
    }

    async fn renew(&self, fence: &Fence, version: &ClaimVersion, now: Timestamp) -> Result<()> {
        let key = &fence.project_key;
        let update = owned(self.update(key, version, now), fence)
            .update_expression("SET version = :version, lastActivity = :now");
        // Renewing twice is renewing: a lost answer needs no recognition.
        change("renewing a claim", key, update, |_| false).await
    }

    async fn release(&self, fence: &Fence, version: &ClaimVersion, now: Timestamp) -> Result<()> {
        let key = &fence.project_key;
        let update = owned(self.update(key, version, now), fence);
        self.give_up("releasing a claim", key, update, version).await
    }

    async fn free_lapsed(
        &self,
        key: &ProjectUser,
        lapsed: &ClaimVersion,
        version: &ClaimVersion,
        now: Timestamp,
    ) -> Result<()> {
        let update = self
            .update(key, version, now)
            .condition_expression("#status = :held AND version = :lapsed")
            .expression_attribute_values(":lapsed", text(lapsed.as_str()));
        self.give_up("freeing a claim", key, update, version).await
    }

    async fn held_by(&self, worker: &WorkerId) -> Result<Vec<ClaimRecord>> {
        self.pages(Some(worker)).await
    }

    async fn held(&self, limit: usize) -> Result<Vec<ClaimRecord>> {
        let mut rows = self.pages(None).await?;
        rows.truncate(limit);
        Ok(rows)
    }
}

fn owned(update: Update, fence: &Fence) -> Update {
    update
        .condition_expression(IS_OURS)
        .expression_attribute_values(":worker", text(fence.owner.worker.as_str()))
        .expression_attribute_values(":nonce", text(fence.owner.nonce.as_str()))
        .expression_attribute_values(":epoch", number(fence.epoch.0))
}

/// Makes a change that only its rightful writer may make.
async fn change(
    what: &str,
    key: &ProjectUser,
    update: Update,
    is_ours: impl Fn(&Item) -> bool,
) -> Result<()> {
    let attempts = Attempts::default();
    match update.customize().interceptor(attempts.clone()).send().await {
        Ok(_) => Ok(()),
        Err(error) => match refused(&error) {
            Some(row) if attempts.were_repeated() && is_ours(row) => Ok(()),
            Some(_) => Err(lost(key)),
            None if is_refusal(&error) => Err(lost(key)),
            None => Err(failed(what, &error)),
        },
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

fn lost(key: &ProjectUser) -> CloudError {
    CloudError::FenceLost(key.to_string())
}
