//! A row as an item: its JSON as one text, exactly as it was written, beside the fields that keys and indexes are made of
//! (docs/decisions/ says why), its version, and the mark of its last write.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue as Attribute;
use serde_json::Value;

use super::claim_row::{Item, get, text};
use super::tables::TTL;
use crate::cloud::store::shape::{Place, columns};
use crate::cloud::store::{Row, TableSpec, Version};
use crate::cloud::{CloudError, Result};

pub(super) const BODY: &str = "body";
pub(super) const VERSION: &str = "version";
/// Which write made the row as it is.
pub(super) const WRITE_ID: &str = "writeId";

/// The key of a place.
pub(super) fn key(place: &Place) -> HashMap<String, Attribute> {
    let values = columns(&place.spec).into_iter().zip(&place.values);
    values.map(|(name, value)| (name.to_owned(), text(value))).collect()
}

/// The fields of a body that indexes are made of, and the time of its end: each with its value, or none.
pub(super) fn indexed(spec: &TableSpec, body: &Value) -> Vec<(&'static str, Option<Attribute>)> {
    let key = columns(spec);
    let mut names: Vec<&'static str> = spec
        .indexes
        .iter()
        .flat_map(|index| std::iter::once(index.partition).chain(index.sort))
        .filter(|name| !key.contains(name))
        .collect();
    names.sort_unstable();
    names.dedup();
    let value = |name: &'static str| (name, body.get(name).and_then(Value::as_str).map(text));
    let ttl = body.get(TTL).and_then(Value::as_i64).map(|secs| Attribute::N(secs.to_string()));
    names.into_iter().map(value).chain(std::iter::once((TTL, ttl))).collect()
}

/// The row of an item.
pub(super) fn read(spec: &TableSpec, item: &Item) -> Result<Row> {
    let unreadable =
        |what: &str| CloudError::Invalid(format!("a row of {} cannot be read: {what}", spec.name));
    let body = get(item, BODY).ok_or_else(|| unreadable("it has no body"))?;
    Ok(Row {
        body: serde_json::from_str(body).map_err(|error| unreadable(&error.to_string()))?,
        version: version(item).ok_or_else(|| unreadable("it has no version"))?,
    })
}

/// The version of an item.
pub(super) fn version(item: &Item) -> Option<Version> {
    Some(Version(get(item, VERSION)?.parse().ok()?))
}
