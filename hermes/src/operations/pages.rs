//! Pages of long lists: only entries that a filter lets pass, and only so many looked at for one page. Lists that go back
//! in time lie in an index by day, newest first, and a page goes on through the days before, over any gap.

use common::cloud::store::{Cursor, Query, Record, Store};
use common::domain::timestamp::Timestamp;

use super::{Listed, MAX_PAGE, OperationError, Result, Slice};

/// At most so many entries are looked at for one page; then it ends early and says where to go on.
const MAX_ROWS: usize = 2_000;
/// At most so many days.
const MAX_DAYS: usize = 1_000;
/// There was no hermes before.
const FIRST_DAY: &str = "2026-01-01";
const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;

/// The entries of one partition that `wanted` lets pass, newest first.
pub(super) async fn newest_first<T: Record>(
    store: &dyn Store,
    query: Query,
    slice: &Slice,
    wanted: impl Fn(&T) -> bool,
) -> Result<Listed<T>> {
    let mut filling = Filling::new(store, slice.limit, wanted);
    let next = filling.take(&query, slice.after.clone()).await?;
    Ok(Listed { items: filling.items, next: next.map(|cursor| cursor.0) })
}

/// The entries that `wanted` lets pass, newest first. The cursor is `day` or `day~cursor within the day`.
pub(super) async fn back_in_time<T: Record>(
    store: &dyn Store,
    index: &'static str,
    now: Timestamp,
    slice: &Slice,
    wanted: impl Fn(&T) -> bool,
) -> Result<Listed<T>> {
    let (mut day, mut within) = start(slice.after.as_ref(), now)?;
    let mut filling = Filling::new(store, slice.limit, wanted);
    let mut days = 0;
    while day.day().as_str() >= FIRST_DAY {
        let date = day.day();
        if days == MAX_DAYS || filling.is_full() {
            return Ok(Listed { items: filling.items, next: Some(date) });
        }
        if let Some(Cursor(next)) = filling.take(&Query::index(index, &date), within.take()).await? {
            return Ok(Listed { items: filling.items, next: Some(format!("{date}~{next}")) });
        }
        day = Timestamp::from_millis(day.millis() - DAY_MILLIS);
        days += 1;
    }
    Ok(Listed { items: filling.items, next: None })
}

fn start(after: Option<&Cursor>, now: Timestamp) -> Result<(Timestamp, Option<Cursor>)> {
    let Some(Cursor(text)) = after else { return Ok((now, None)) };
    let (date, within) = match text.split_once('~') {
        Some((date, within)) => (date, Some(Cursor(within.to_owned()))),
        None => (text.as_str(), None),
    };
    let noon = Timestamp::parse(&format!("{date}T12:00:00Z"))
        .ok_or_else(|| OperationError::BadCursor("it does not begin with a day".into()))?;
    Ok((noon, within))
}

/// A page that fills.
struct Filling<'a, T, W> {
    store: &'a dyn Store,
    limit: usize,
    wanted: W,
    items: Vec<T>,
    /// How many entries were looked at.
    rows: usize,
}

impl<'a, T: Record, W: Fn(&T) -> bool> Filling<'a, T, W> {
    fn new(store: &'a dyn Store, limit: usize, wanted: W) -> Self {
        Self { store, limit, wanted, items: Vec::new(), rows: 0 }
    }

    fn is_full(&self) -> bool {
        self.items.len() >= self.limit || self.rows >= MAX_ROWS
    }

    /// Takes from one partition until the page is full; then says where, if there is more.
    async fn take(&mut self, query: &Query, mut after: Option<Cursor>) -> Result<Option<Cursor>> {
        loop {
            let (found, next) = self.find(query, self.size(), after.clone()).await?;
            let all = found.len();
            let used = self.keep(found);
            if used < all {
                // Only the end of a page has a cursor: the same page, ending where we stopped.
                return Ok(self.find(query, used, after).await?.1);
            }
            if next.is_none() || self.is_full() {
                return Ok(next);
            }
            after = next;
        }
    }

    /// As many as are missing, but no small steps where a filter drops most.
    fn size(&self) -> usize {
        let missing = self.limit - self.items.len();
        if self.rows == self.items.len() { missing } else { MAX_PAGE }
    }

    async fn find(
        &self,
        query: &Query,
        limit: usize,
        after: Option<Cursor>,
    ) -> Result<(Vec<T>, Option<Cursor>)> {
        let mut query = query.clone().newest_first().limit(limit);
        query.after.clone_from(&after);
        self.store.find::<T>(query).await.map_err(|error| OperationError::of_page(after.as_ref(), error))
    }

    /// Keeps what is wanted until the page is full; the answer is how many were looked at.
    fn keep(&mut self, found: Vec<T>) -> usize {
        let before = self.rows;
        for row in found {
            if self.is_full() {
                break;
            }
            self.rows += 1;
            if (self.wanted)(&row) {
                self.items.push(row);
            }
        }
        self.rows - before
    }
}
