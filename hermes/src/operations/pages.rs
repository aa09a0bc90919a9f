//! Lists that go back in time: rows lie in an index by day, newest first, and a page goes on through the days before.

use common::cloud::store::{Cursor, Query, Record, Store};
use common::domain::timestamp::Timestamp;

use super::{Listed, OperationError, Result, Slice};

/// How many days without an entry end a list.
const MAX_EMPTY_DAYS: usize = 31;
const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;

/// The entries that `wanted` lets pass, newest first. The cursor is `day` or `day~cursor within the day`.
pub(super) async fn back_in_time<T: Record>(
    store: &dyn Store,
    index: &'static str,
    now: Timestamp,
    slice: &Slice,
    wanted: impl Fn(&T) -> bool,
) -> Result<Listed<T>> {
    let (mut day, mut within) = start(slice.after.as_ref(), now)?;
    let (mut items, mut empty) = (Vec::new(), 0);
    while empty < MAX_EMPTY_DAYS {
        let date = day.day();
        let mut query = Query::index(index, &date).newest_first().limit(slice.limit - items.len());
        query.after = within.take();
        let (rows, next) = store.find::<T>(query).await?;
        empty = if rows.is_empty() { empty + 1 } else { 0 };
        items.extend(rows.into_iter().filter(&wanted));
        let place = if let Some(Cursor(next)) = next {
            within = Some(Cursor(next.clone()));
            format!("{date}~{next}")
        } else {
            day = Timestamp::from_millis(day.millis() - DAY_MILLIS);
            day.day()
        };
        if items.len() >= slice.limit {
            return Ok(Listed { items, next: Some(place) });
        }
    }
    Ok(Listed { items, next: None })
}

fn start(after: Option<&Cursor>, now: Timestamp) -> Result<(Timestamp, Option<Cursor>)> {
    let Some(Cursor(text)) = after else { return Ok((now, None)) };
    let (date, within) = match text.split_once('~') {
        Some((date, within)) => (date, Some(Cursor(within.to_owned()))),
        None => (text.as_str(), None),
    };
    let noon = Timestamp::parse(&format!("{date}T12:00:00Z"))
        .ok_or_else(|| OperationError::Invalid("the cursor is not one that a page ended with".into()))?;
    Ok((noon, within))
}
