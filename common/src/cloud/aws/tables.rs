//! The tables as DynamoDB is told to make them: on demand, keyed and indexed as the door states.

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
    ProjectionType, ScalarAttributeType,
};

use super::claim_row::{CONTAINER_ID, PROJECT_KEY};
use crate::cloud::store::{IndexSpec, TableSpec};
use crate::cloud::{CloudError, Result};
use crate::domain::names::OWNERSHIP_TABLE;

/// Claims by worker: live ones only, for a free row has no worker.
pub(super) const CONTAINER_INDEX: &str = "containerId-index";
/// When a row may be forgotten, in seconds.
pub(super) const TTL: &str = "ttl";
pub(super) const BILLING: BillingMode = BillingMode::PayPerRequest;

/// The ownership table.
pub(super) const OWNERSHIP: TableSpec = TableSpec {
    name: OWNERSHIP_TABLE,
    partition: PROJECT_KEY,
    sort: None,
    indexes: &[IndexSpec { name: CONTAINER_INDEX, partition: CONTAINER_ID, sort: Some(PROJECT_KEY) }],
};

/// The key of a table or an index.
pub(super) fn keys(partition: &str, sort: Option<&str>) -> Result<Vec<KeySchemaElement>> {
    let element = |name: &str, kind| KeySchemaElement::builder().attribute_name(name).key_type(kind).build();
    let hash = std::iter::once(element(partition, KeyType::Hash));
    let range = sort.map(|name| element(name, KeyType::Range));
    hash.chain(range).collect::<std::result::Result<_, _>>().map_err(wrong)
}

/// The fields that keys are made of, each once.
pub(super) fn fields(spec: &TableSpec) -> Result<Vec<AttributeDefinition>> {
    let of_indexes = spec.indexes.iter().flat_map(|index| std::iter::once(index.partition).chain(index.sort));
    let mut names: Vec<&str> = std::iter::once(spec.partition).chain(spec.sort).chain(of_indexes).collect();
    names.sort_unstable();
    names.dedup();
    let text = |name| {
        AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::S).build()
    };
    names.into_iter().map(text).collect::<std::result::Result<_, _>>().map_err(wrong)
}

/// An index with whole rows.
pub(super) fn index(spec: &IndexSpec) -> Result<GlobalSecondaryIndex> {
    GlobalSecondaryIndex::builder()
        .index_name(spec.name)
        .set_key_schema(Some(keys(spec.partition, spec.sort)?))
        .projection(Projection::builder().projection_type(ProjectionType::All).build())
        .build()
        .map_err(wrong)
}

fn wrong(error: impl std::fmt::Display) -> CloudError {
    CloudError::Invalid(format!("the shape of a table: {error}"))
}
