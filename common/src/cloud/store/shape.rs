//! What a row must look like in every cloud: its key, the fields of its indexes, its size.

use std::fmt;

use serde_json::Value;

use super::{Key, Table, TableSpec};
use crate::cloud::{CloudError, Result};

/// The largest row (DynamoDB: 400 KB).
const MAX_ROW_BYTES: usize = 400 * 1024;

/// One row's place: its table and the values of its key fields.
#[derive(Debug, Clone)]
pub(in crate::cloud) struct Place {
    /// The table's shape.
    pub(in crate::cloud) spec: TableSpec,
    /// The values of [`columns`].
    pub(in crate::cloud) values: Vec<String>,
}

impl Place {
    /// A key that has the shape of the table's.
    pub(in crate::cloud) fn of(table: Table, key: &Key) -> Result<Self> {
        let spec = table.spec();
        let values: Vec<String> = std::iter::once(key.partition.clone()).chain(key.sort.clone()).collect();
        if values.len() != columns(&spec).len() || values.iter().any(String::is_empty) {
            let columns = columns(&spec).join(" and ");
            return Err(CloudError::Invalid(format!("a row of {} is found by {columns}", spec.name)));
        }
        Ok(Self { spec, values })
    }

    /// Somebody else wrote it.
    pub(in crate::cloud) fn changed(&self) -> CloudError {
        CloudError::Conflict(self.to_string())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "row {} of {}", self.values.join(" / "), self.spec.name)
    }
}

/// The key fields of a table.
pub(in crate::cloud) fn columns(spec: &TableSpec) -> Vec<&'static str> {
    std::iter::once(spec.partition).chain(spec.sort).collect()
}

/// The size of a row as JSON.
pub(in crate::cloud) fn check_size(place: &Place, size_bytes: usize) -> Result<()> {
    if size_bytes <= MAX_ROW_BYTES {
        return Ok(());
    }
    Err(CloudError::Invalid(format!("{place} has more than {MAX_ROW_BYTES} bytes")))
}

/// The key that a body names.
pub(in crate::cloud) fn key_of(table: Table, body: &Value) -> Result<Key> {
    let spec = table.spec();
    let part = |field: &str| {
        body.get(field)
            .and_then(Value::as_str)
            .map(str::to_owned)
            .ok_or_else(|| CloudError::Invalid(format!("a row of {} needs the text {field}", spec.name)))
    };
    Ok(Key { partition: part(spec.partition)?, sort: spec.sort.map(part).transpose()? })
}

/// The fields of an index are texts, or are not there (DynamoDB refuses others).
pub(in crate::cloud) fn check_indexes(table: Table, body: &Value) -> Result<()> {
    let spec = table.spec();
    let fields = spec.indexes.iter().flat_map(|index| std::iter::once(index.partition).chain(index.sort));
    for field in fields {
        match body.get(field) {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) if !text.is_empty() => {}
            Some(_) => {
                return Err(CloudError::Invalid(format!(
                    "the field {field} of a row of {} is not a text (or is empty), but an index is made of it",
                    spec.name
                )));
            }
        }
    }
    Ok(())
}
