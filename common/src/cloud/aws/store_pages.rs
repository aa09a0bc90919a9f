//! Pages of rows: what is asked of DynamoDB, and where a page ended. DynamoDB ends a page at 1 MB whatever was asked for, so
//! a page of ours may be several of its.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::types::AttributeValue as Attribute;

use super::claim_row::{Item, text};
use crate::cloud::store::shape::columns;
use crate::cloud::store::{Cursor, IndexSpec, Query, TableSpec};
use crate::cloud::{CloudError, Result};

/// Which rows.
pub(super) struct Wanted {
    pub(super) spec: TableSpec,
    pub(super) index: Option<IndexSpec>,
    pub(super) limit: usize,
    pub(super) after: Option<HashMap<String, Attribute>>,
}

impl Wanted {
    /// The rows of a query.
    pub(super) fn query(spec: TableSpec, query: &Query) -> Result<Self> {
        let index = match query.index {
            None => None,
            Some(name) => Some(
                *spec
                    .indexes
                    .iter()
                    .find(|index| index.name == name)
                    .ok_or_else(|| CloudError::Invalid(format!("{} has no index {name}", spec.name)))?,
            ),
        };
        Self { spec, index, limit: query.limit, after: None }.after(query.after.as_ref())
    }

    /// All rows.
    pub(super) fn scan(spec: TableSpec, limit: usize, after: Option<&Cursor>) -> Result<Self> {
        Self { spec, index: None, limit, after: None }.after(after)
    }

    fn after(mut self, cursor: Option<&Cursor>) -> Result<Self> {
        if self.limit == 0 {
            return Err(CloudError::Invalid(format!("a page of {} needs room for one row", self.spec.name)));
        }
        self.after = cursor.map(|cursor| self.read_cursor(cursor)).transpose()?;
        Ok(self)
    }

    /// The field that all rows of a query share.
    pub(super) fn partition(&self) -> &'static str {
        self.index.map_or(self.spec.partition, |index| index.partition)
    }

    /// The fields that say where a page ended.
    fn position(&self) -> Vec<&'static str> {
        let of_index = self.index.iter().flat_map(|index| std::iter::once(index.partition).chain(index.sort));
        let mut names: Vec<_> = columns(&self.spec).into_iter().chain(of_index).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    fn read_cursor(&self, Cursor(cursor): &Cursor) -> Result<HashMap<String, Attribute>> {
        hex::decode(cursor)
            .ok()
            .and_then(|bytes| serde_json::from_slice::<BTreeMap<String, String>>(&bytes).ok())
            .filter(|values| values.keys().map(String::as_str).eq(self.position()))
            .map(|values| values.into_iter().map(|(name, value)| (name, text(value))).collect())
            .ok_or_else(|| {
                CloudError::Invalid(format!("{cursor:.80} is no cursor of this list of {}", self.spec.name))
            })
    }

    /// Where DynamoDB says that its page ended; none when there was no more.
    pub(super) fn write_cursor(&self, last: Option<&Item>) -> Option<Cursor> {
        let last = last.filter(|key| !key.is_empty())?;
        let value = |name: &'static str| Some((name, last.get(name)?.as_s().ok()?.as_str()));
        let values: BTreeMap<_, _> = self.position().into_iter().filter_map(value).collect();
        Some(Cursor(hex::encode(serde_json::json!(values).to_string())))
    }
}
