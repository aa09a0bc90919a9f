//! The tables: on demand, with their indexes, and with the expiry of rows that say when they may be forgotten. The ownership
//! table has none: its epochs never go back.

use std::time::Duration;

use aws_sdk_dynamodb::types::{
    CreateGlobalSecondaryIndexAction, GlobalSecondaryIndexUpdate, IndexStatus, TableDescription, TableStatus,
    Tag, TimeToLiveSpecification, TimeToLiveStatus,
};

use super::{Ground, OWNER_TAG, foreign, is_due};
use crate::cloud::aws::error::{failed, says};
use crate::cloud::aws::tables::{self, BILLING, OWNERSHIP, TTL};
use crate::cloud::provision::{Item, Kind, Standing};
use crate::cloud::store::{IndexSpec, Table, TableSpec};
use crate::cloud::{CloudError, Result};
use crate::domain::names;

const NO_TABLE: &[&str] = &["ResourceNotFoundException"];
const THERE: &[&str] = &["ResourceInUseException"];
/// A table and its indexes are made within seconds, an index of many rows takes longer.
const PATIENCE: Duration = Duration::from_mins(5);
const PAUSE: Duration = Duration::from_millis(500);

fn all(ground: &Ground) -> Vec<(String, TableSpec)> {
    let others = Table::ALL.into_iter().map(|table| (ground.names.table(table), table.spec()));
    std::iter::once((ground.names.ownership_table(), OWNERSHIP)).chain(others).collect()
}

/// How they stand.
pub(super) async fn look(ground: &Ground) -> Result<Vec<Item>> {
    let mut items = Vec::new();
    for (name, spec) in all(ground) {
        let standing = match another_prefix(ground, &name, &spec) {
            Some(foreign) => foreign,
            None => standing(ground, &name, &spec).await?,
        };
        items.push(Item { kind: Kind::Table, name, standing });
    }
    Ok(items)
}

/// Makes and mends those that are due.
pub(super) async fn make(ground: &Ground, items: &[Item]) -> Result<()> {
    for (name, spec) in all(ground).into_iter().filter(|(name, _)| is_due(items, name)) {
        if find(ground, &name).await?.is_none() {
            create(ground, &name, &spec).await?;
        }
        let found = ready(ground, &name).await?;
        for index in spec.indexes.iter().filter(|index| !has_index(&found, index)) {
            add_index(ground, &name, &spec, index).await?;
            ready(ground, &name).await?;
        }
        if spec.name != OWNERSHIP.name && !expires(ground, &name).await? {
            let expiry = TimeToLiveSpecification::builder().enabled(true).attribute_name(TTL).build();
            let expiry =
                expiry.map_err(|error| CloudError::Invalid(format!("the expiry of {name}: {error}")))?;
            let update = ground.clients.dynamodb.update_time_to_live().table_name(&name);
            let update = update.time_to_live_specification(expiry).send().await;
            update.map_err(|error| failed(&format!("setting up the expiry of {name}"), &error))?;
        }
    }
    Ok(())
}

/// A table of another name that is this table's of another environment.
fn another_prefix(ground: &Ground, name: &str, spec: &TableSpec) -> Option<Standing> {
    let other = name.strip_suffix(spec.name)?.strip_suffix('-')?;
    let ours = names::table(&ground.names.prefix, spec.name) == name;
    (!ours).then(|| Standing::Foreign(format!("its prefix is {other}")))
}

async fn standing(ground: &Ground, name: &str, spec: &TableSpec) -> Result<Standing> {
    let Some(found) = find(ground, name).await? else { return Ok(Standing::Missing) };
    if let Some(standing) = foreign(&ground.names.prefix, tag(ground, name, &found).await?.as_deref()) {
        return Ok(standing);
    }
    let mut wrong = Vec::new();
    if found.key_schema.as_deref() != Some(tables::keys(spec.partition, spec.sort)?.as_slice()) {
        return Ok(Standing::Foreign("its key is another; it is no table of ours".to_owned()));
    }
    let missing = spec.indexes.iter().filter(|index| !has_index(&found, index));
    wrong.extend(missing.map(|index| format!("the index {} is missing", index.name)));
    if spec.name != OWNERSHIP.name && !expires(ground, name).await? {
        wrong.push(format!("rows do not expire by {TTL}"));
    }
    Ok(if wrong.is_empty() { Standing::Ready } else { Standing::Differs(wrong.join("; ")) })
}

async fn find(ground: &Ground, name: &str) -> Result<Option<TableDescription>> {
    match ground.clients.dynamodb.describe_table().table_name(name).send().await {
        Ok(answer) => Ok(answer.table),
        Err(error) if says(&error, NO_TABLE) => Ok(None),
        Err(error) => Err(failed(&format!("looking at the table {name}"), &error)),
    }
}

async fn tag(ground: &Ground, name: &str, found: &TableDescription) -> Result<Option<String>> {
    let Some(arn) = &found.table_arn else { return Ok(None) };
    let answer = ground.clients.dynamodb.list_tags_of_resource().resource_arn(arn).send().await;
    let tags = answer.map_err(|error| failed(&format!("reading the tags of {name}"), &error))?.tags;
    Ok(tags.unwrap_or_default().into_iter().find(|tag| tag.key == OWNER_TAG).map(|tag| tag.value))
}

async fn create(ground: &Ground, name: &str, spec: &TableSpec) -> Result<()> {
    let wrong = |error| CloudError::Invalid(format!("the tag of {name}: {error}"));
    let owner = Tag::builder().key(OWNER_TAG).value(ground.names.prefix.as_str()).build().map_err(wrong)?;
    let indexes = spec.indexes.iter().map(tables::index).collect::<Result<Vec<_>>>()?;
    let request = ground
        .clients
        .dynamodb
        .create_table()
        .table_name(name)
        .billing_mode(BILLING)
        .set_key_schema(Some(tables::keys(spec.partition, spec.sort)?))
        .set_attribute_definitions(Some(tables::fields(spec)?))
        .set_global_secondary_indexes((!indexes.is_empty()).then_some(indexes))
        .tags(owner);
    match request.send().await {
        Ok(_) => Ok(()),
        Err(error) if says(&error, THERE) => Ok(()),
        Err(error) => Err(failed(&format!("making the table {name}"), &error)),
    }
}

async fn add_index(ground: &Ground, name: &str, spec: &TableSpec, index: &IndexSpec) -> Result<()> {
    let wrong = |error| CloudError::Invalid(format!("the index {} of {name}: {error}", index.name));
    let whole = tables::index(index)?;
    let create = CreateGlobalSecondaryIndexAction::builder()
        .index_name(index.name)
        .set_key_schema(Some(whole.key_schema))
        .set_projection(whole.projection)
        .build()
        .map_err(wrong)?;
    let request = ground
        .clients
        .dynamodb
        .update_table()
        .table_name(name)
        .set_attribute_definitions(Some(tables::fields(spec)?))
        .global_secondary_index_updates(GlobalSecondaryIndexUpdate::builder().create(create).build());
    let answer = request.send().await;
    answer.map(|_| ()).map_err(|error| failed(&format!("adding the index {} to {name}", index.name), &error))
}

/// Waits until a table and its indexes can be used.
async fn ready(ground: &Ground, name: &str) -> Result<TableDescription> {
    let what = format!("waiting for the table {name}");
    let wait = async {
        loop {
            match find(ground, name).await? {
                Some(found) if is_active(&found) => return Ok(found),
                _ => tokio::time::sleep(PAUSE).await,
            }
        }
    };
    let waited = tokio::time::timeout(PATIENCE, wait).await;
    waited.map_err(|_| CloudError::unavailable(what, "it is not active yet; run this once more"))?
}

fn is_active(found: &TableDescription) -> bool {
    let indexes = found.global_secondary_indexes.as_deref().unwrap_or_default();
    found.table_status == Some(TableStatus::Active)
        && indexes.iter().all(|index| index.index_status.as_ref().is_none_or(|it| *it == IndexStatus::Active))
}

fn has_index(found: &TableDescription, index: &IndexSpec) -> bool {
    let indexes = found.global_secondary_indexes.as_deref().unwrap_or_default();
    indexes.iter().any(|found| found.index_name.as_deref() == Some(index.name))
}

async fn expires(ground: &Ground, name: &str) -> Result<bool> {
    let answer = ground.clients.dynamodb.describe_time_to_live().table_name(name).send().await;
    let answer = answer.map_err(|error| failed(&format!("looking at the expiry of {name}"), &error))?;
    let status = answer.time_to_live_description.and_then(|found| found.time_to_live_status);
    Ok(matches!(status, Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling)))
}
