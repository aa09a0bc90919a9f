//! Rows of the tables inside one transaction, and pages of them in the order of a key or an index.

use std::fmt::Write as _;

use rusqlite::{Connection, OptionalExtension, ToSql};
use serde_json::Value;

use super::fault::Outcome;
use super::writer::Tx;
use crate::cloud::store::shape::{Place, columns};
use crate::cloud::store::{Cursor, Expect, Page, Query, Row, Table, TableSpec, Version};
use crate::cloud::{CloudError, Result};
use crate::domain::timestamp::Timestamp;

/// The SQL name of a table.
pub(super) fn sql_name(spec: &TableSpec) -> String {
    spec.name.replace('-', "_")
}

fn condition(place: &Place) -> String {
    let equal = |(index, column): (usize, &&str)| format!("{column} = ?{}", index + 1);
    columns(&place.spec).iter().enumerate().map(equal).collect::<Vec<_>>().join(" AND ")
}

/// One row.
pub(super) fn get(rows: &Connection, place: &Place) -> Outcome<Option<Row>> {
    let sql = format!("SELECT body, version FROM {} WHERE {}", sql_name(&place.spec), condition(place));
    let found = rows
        .prepare_cached(&sql)?
        .query_row(rusqlite::params_from_iter(&place.values), |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    found.map(|(body, version)| parse(&place.spec, body, version)).transpose()
}

fn parse(spec: &TableSpec, body: String, version: i64) -> Outcome<Row> {
    let body = serde_json::from_str(&body)
        .map_err(|e| CloudError::Invalid(format!("a row of {} is not JSON: {e}", spec.name)))?;
    Ok(Row { body, version: Version(version) })
}

fn version(rows: &Connection, place: &Place) -> Outcome<Option<Version>> {
    let sql = format!("SELECT version FROM {} WHERE {}", sql_name(&place.spec), condition(place));
    Ok(rows
        .prepare_cached(&sql)?
        .query_row(rusqlite::params_from_iter(&place.values), |row| row.get(0).map(Version))
        .optional()?)
}

fn check(rows: &Connection, place: &Place, expect: Expect) -> Outcome<()> {
    let holds = match expect {
        Expect::Any => true,
        Expect::Absent => version(rows, place)?.is_none(),
        Expect::Version(expected) => version(rows, place)? == Some(expected),
    };
    if holds { Ok(()) } else { Err(place.changed().into()) }
}

/// Writes a row if the condition holds.
pub(super) fn put(tx: &mut Tx<'_>, place: &Place, body: &str, expect: Expect) -> Outcome<Version> {
    check(tx, place, expect)?;
    let version: i64 = tx
        .prepare_cached("UPDATE last_version SET version = version + 1 RETURNING version")?
        .query_row([], |row| row.get(0))?;
    let columns = columns(&place.spec).join(", ");
    let marks: Vec<String> = (1..=place.values.len() + 2).map(|mark| format!("?{mark}")).collect();
    let sql = format!(
        "INSERT INTO {} ({columns}, body, version) VALUES ({})
         ON CONFLICT ({columns}) DO UPDATE SET body = excluded.body, version = excluded.version",
        sql_name(&place.spec),
        marks.join(", ")
    );
    let mut values: Vec<&dyn ToSql> = place.values.iter().map(|value| value as &dyn ToSql).collect();
    values.extend([&body as &dyn ToSql, &version]);
    tx.prepare_cached(&sql)?.execute(values.as_slice())?;
    Ok(Version(version))
}

/// One of so many writes rids its table of rows that have expired, so many at a time: more than are written meanwhile.
const EXPIRY_EVERY: u64 = 64;
const EXPIRED_AT_ONCE: i64 = 256;
/// The tables with rows that expire, each with an index of them.
const EXPIRING: [&str; 7] =
    ["access", "active-jobs", "containers", "edit-sessions", "limits", "thread-mappings", "threads"];

/// The tables whose rows are all kept for the same time: what has expired is among the rows that were written first.
const EXPIRING_IN_ORDER: [&str; 3] = ["jobs", "mails", "outbox"];

/// Whether a version is one of those, which are spread evenly (Fibonacci hashing): however regular writes are, no table is
/// passed over.
fn is_spread(version: i64) -> bool {
    let spread = version.unsigned_abs().wrapping_mul(0x9E37_79B9_7F4A_7C15);
    spread < u64::MAX / EXPIRY_EVERY
}

/// Now and then deletes rows of this table that have expired; `version` is the last one given.
pub(super) fn expire(
    tx: &mut Tx<'_>,
    place: &Place,
    Version(version): Version,
    now: Timestamp,
) -> Outcome<()> {
    if !is_spread(version) {
        return Ok(());
    }
    let table = sql_name(&place.spec);
    let expired = "json_extract(body, '$.ttl') IS NOT NULL AND json_extract(body, '$.ttl') > 0
         AND json_extract(body, '$.ttl') < ?1";
    let sql = match place.spec.name {
        name if EXPIRING.contains(&name) => {
            format!("DELETE FROM {table} WHERE rowid IN (SELECT rowid FROM {table} WHERE {expired} LIMIT ?2)")
        }
        name if EXPIRING_IN_ORDER.contains(&name) => format!(
            "DELETE FROM {table} WHERE rowid IN (SELECT rowid FROM {table} ORDER BY rowid LIMIT ?2)
             AND {expired}"
        ),
        _ => return Ok(()),
    };
    tx.prepare_cached(&sql)?.execute([now.millis() / 1000, EXPIRED_AT_ONCE])?;
    Ok(())
}

/// Deletes a row if the condition holds.
pub(super) fn delete(tx: &mut Tx<'_>, place: &Place, expect: Expect) -> Outcome<()> {
    check(tx, place, expect)?;
    let sql = format!("DELETE FROM {} WHERE {}", sql_name(&place.spec), condition(place));
    tx.prepare_cached(&sql)?.execute(rusqlite::params_from_iter(&place.values))?;
    Ok(())
}

/// Which rows in which order: a partition column (none for all rows) and the columns that order them uniquely.
pub(super) struct Wanted {
    spec: TableSpec,
    partition: Option<(&'static str, String)>,
    order: Vec<&'static str>,
    descending: bool,
    limit: usize,
    after: Option<Vec<String>>,
}

/// So many rows are read within a moment.
const FEW: usize = 100;

impl Wanted {
    /// Whether it takes no more than a moment.
    pub(super) fn is_short(&self) -> bool {
        self.limit <= FEW
    }

    /// The rows of a query.
    pub(super) fn query(table: Table, query: Query) -> Result<Self> {
        let spec = table.spec();
        let (column, mut order) = match query.index {
            None => (spec.partition, spec.sort.into_iter().collect()),
            Some(name) => {
                let index = spec
                    .indexes
                    .iter()
                    .find(|index| index.name == name)
                    .ok_or_else(|| CloudError::Invalid(format!("{} has no index {name}", spec.name)))?;
                let rest = columns(&spec).into_iter().filter(|column| index.sort != Some(*column));
                (index.partition, index.sort.into_iter().chain(rest).collect::<Vec<_>>())
            }
        };
        order.retain(|other| *other != column);
        let partition = Some((column, query.partition));
        Self { spec, partition, order, descending: query.descending, limit: query.limit, after: None }
            .after(query.after)
    }

    /// All rows.
    pub(super) fn scan(table: Table, limit: usize, after: Option<Cursor>) -> Result<Self> {
        let spec = table.spec();
        let order = columns(&spec);
        Self { spec, partition: None, order, descending: false, limit, after: None }.after(after)
    }

    fn after(mut self, cursor: Option<Cursor>) -> Result<Self> {
        if self.limit == 0 {
            return Err(CloudError::Invalid(format!("a page of {} needs room for one row", self.spec.name)));
        }
        self.after = cursor.map(|cursor| self.read_cursor(&cursor)).transpose()?;
        Ok(self)
    }

    fn read_cursor(&self, Cursor(text): &Cursor) -> Result<Vec<String>> {
        hex::decode(text)
            .ok()
            .and_then(|bytes| serde_json::from_slice::<Vec<String>>(&bytes).ok())
            .filter(|values| values.len() == self.order.len())
            .ok_or_else(|| {
                CloudError::Invalid(format!("{text:.80} is no cursor of this list of {}", self.spec.name))
            })
    }

    fn write_cursor(&self, row: &Row) -> Cursor {
        let values: Vec<&str> = self
            .order
            .iter()
            .map(|column| row.body.get(column).and_then(Value::as_str).unwrap_or(""))
            .collect();
        Cursor(hex::encode(serde_json::json!(values).to_string()))
    }

    /// The statement; its parameters are the partition (if any), then the cursor's values, then the limit.
    fn sql(&self) -> String {
        let mut conditions = Vec::new();
        let mut mark = 0;
        let mut next = || {
            mark += 1;
            format!("?{mark}")
        };
        if let Some((column, _)) = &self.partition {
            conditions.push(format!("{column} = {}", next()));
            // Said so that SQLite sees that it may use the sparse index.
            conditions.extend(self.order.iter().map(|column| format!("{column} IS NOT NULL")));
        }
        if self.after.is_some() && !self.order.is_empty() {
            let marks: Vec<String> = self.order.iter().map(|_| next()).collect();
            let than = if self.descending { '<' } else { '>' };
            conditions.push(format!("({}) {than} ({})", self.order.join(", "), marks.join(", ")));
        }
        let mut sql = format!("SELECT body, version FROM {}", sql_name(&self.spec));
        if !conditions.is_empty() {
            let _ = write!(sql, " WHERE {}", conditions.join(" AND "));
        }
        if !self.order.is_empty() {
            let way = if self.descending { " DESC" } else { "" };
            let order: Vec<String> = self.order.iter().map(|column| format!("{column}{way}")).collect();
            let _ = write!(sql, " ORDER BY {}", order.join(", "));
        }
        let _ = write!(sql, " LIMIT {}", next());
        sql
    }

    fn parameters(&self) -> Vec<Box<dyn ToSql>> {
        let partition = self.partition.iter().map(|(_, value)| value.clone());
        let texts = partition.chain(self.after.iter().flatten().cloned());
        let one_more = i64::try_from(self.limit).unwrap_or(i64::MAX).saturating_add(1);
        let limit = std::iter::once(Box::new(one_more) as Box<dyn ToSql>);
        texts.map(|text| Box::new(text) as Box<dyn ToSql>).chain(limit).collect()
    }
}

/// One page, and a cursor when there is more.
pub(super) fn page(rows: &Connection, wanted: &Wanted) -> Outcome<Page> {
    let mut statement = rows.prepare_cached(&wanted.sql())?;
    let found = statement
        .query_map(rusqlite::params_from_iter(wanted.parameters()), |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut page = Page { rows: Vec::new(), next: None };
    for pair in found {
        let (body, version) = pair?;
        if page.rows.len() == wanted.limit {
            page.next = page.rows.last().map(|row| wanted.write_cursor(row));
            break;
        }
        page.rows.push(parse(&wanted.spec, body, version)?);
    }
    Ok(page)
}
