//! One page of a site as an answer: whole, in part, or not at all when the caller has it already. Its bytes are read piece
//! by piece, each when the caller has taken the one before.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use common::cloud::files::{At, Etag, FilePart, Files};
use common::cloud::{Cloud, CloudError};
use common::domain::site::{cache_control, content_type};
use futures_util::stream::try_unfold;
use http_range_header::{EndPosition, StartPosition, SyntacticallyCorrectRange, parse_range_header};
use tokio::sync::OwnedSemaphorePermit;

/// How much is read at once.
const PIECE_BYTES: usize = 256 * 1024;

/// What the caller wants of a page.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    /// GET or HEAD.
    pub(super) method: &'a Method,
    /// Conditions and ranges.
    pub(super) headers: &'a HeaderMap,
}

impl Asked<'_> {
    fn text(&self, name: header::HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Whether the beginning of the page is certainly part of the answer.
    fn is_plain(&self) -> bool {
        let conditions = [header::IF_NONE_MATCH, header::RANGE];
        self.method == Method::GET && !conditions.iter().any(|name| self.headers.contains_key(name))
    }

    fn knows(&self, etag: &str) -> bool {
        let tags = self.text(header::IF_NONE_MATCH).unwrap_or_default();
        tags.split(',').map(|tag| tag.trim().trim_start_matches("W/")).any(|tag| tag == etag || tag == "*")
    }

    /// The one range that is asked for. Several at once, and what is no range, are answered with the whole page.
    fn range(&self, etag: &str) -> Option<SyntacticallyCorrectRange> {
        let is_of_this = self.text(header::IF_RANGE).is_none_or(|tag| tag == etag);
        let ranges = parse_range_header(self.text(header::RANGE)?).ok()?.ranges;
        match ranges.as_slice() {
            [one] if is_of_this && self.method == Method::GET => Some(*one),
            _ => None,
        }
    }
}

/// Whether a page is there; a path that the door refuses is not.
pub(super) async fn is_there(cloud: &Cloud, at: &At) -> Result<bool, CloudError> {
    match cloud.files.exists(at).await {
        Err(CloudError::Invalid(_)) => Ok(false),
        found => found,
    }
}

/// A page that is there.
pub(super) struct Page {
    files: Arc<dyn Files>,
    at: At,
    first: FilePart,
}

impl Page {
    /// Opens a page; a path that the door refuses is not there.
    pub(super) async fn open(cloud: &Cloud, at: At, asked: Asked<'_>) -> Result<Option<Self>, CloudError> {
        let wanted = if asked.is_plain() { PIECE_BYTES } else { 0 };
        match cloud.files.read_range(&at, 0, wanted).await {
            Err(CloudError::Invalid(_) | CloudError::NotFound(_)) => Ok(None),
            read => Ok(read?.map(|first| Self { files: Arc::clone(&cloud.files), at, first })),
        }
    }

    /// The answer; `slot` is given back when the caller has all of it, or is gone.
    pub(super) fn answer(self, status: StatusCode, asked: Asked<'_>, slot: OwnedSemaphorePermit) -> Response {
        let (etag, total) = (format!("\"{}\"", self.first.etag.0.trim_matches('"')), self.first.total);
        let mut response = if asked.knows(&etag) {
            StatusCode::NOT_MODIFIED.into_response()
        } else if let Some(range) = asked.range(&etag) {
            self.part(bounds(range, total), slot)
        } else {
            let body = if asked.method == Method::HEAD { Body::empty() } else { self.body(0..total, slot) };
            (status, typed(&self.at.key, total), body).into_response()
        };
        let headers = response.headers_mut();
        headers.extend(HeaderValue::try_from(etag).map(|etag| (header::ETAG, etag)));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache_control(&self.at.key)));
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        response
    }

    fn part(&self, range: Option<Range<u64>>, slot: OwnedSemaphorePermit) -> Response {
        let total = self.first.total;
        let Some(range) = range else {
            let unsatisfied = [(header::CONTENT_RANGE, format!("bytes */{total}"))];
            return (StatusCode::RANGE_NOT_SATISFIABLE, unsatisfied).into_response();
        };
        let place = format!("bytes {}-{}/{total}", range.start, range.end - 1);
        let about = typed(&self.at.key, range.end - range.start);
        (StatusCode::PARTIAL_CONTENT, about, [(header::CONTENT_RANGE, place)], self.body(range, slot))
            .into_response()
    }

    fn body(&self, range: Range<u64>, slot: OwnedSemaphorePermit) -> Body {
        let reading = Reading {
            files: Arc::clone(&self.files),
            at: self.at.clone(),
            etag: self.first.etag.clone(),
            ready: if range.start == 0 { self.first.bytes.clone() } else { Bytes::new() },
            range,
            _slot: slot,
        };
        Body::from_stream(try_unfold(reading, Reading::next))
    }
}

fn typed(path: &str, length: u64) -> [(header::HeaderName, String); 2] {
    [(header::CONTENT_TYPE, content_type(path)), (header::CONTENT_LENGTH, length.to_string())]
}

/// Which bytes a range means; none when there are no such bytes.
fn bounds(range: SyntacticallyCorrectRange, total: u64) -> Option<Range<u64>> {
    let start = match range.start {
        StartPosition::Index(index) => index,
        StartPosition::FromLast(count) => total.saturating_sub(count),
    };
    let end = match range.end {
        EndPosition::Index(last) => last.saturating_add(1).min(total),
        EndPosition::LastByte => total,
    };
    (start < end).then_some(start..end)
}

/// A page that is being sent.
struct Reading {
    files: Arc<dyn Files>,
    at: At,
    etag: Etag,
    /// What was read already.
    ready: Bytes,
    range: Range<u64>,
    _slot: OwnedSemaphorePermit,
}

impl Reading {
    async fn next(mut self) -> io::Result<Option<(Bytes, Self)>> {
        if self.range.is_empty() {
            return Ok(None);
        }
        let bytes = self.piece().await?;
        self.range.start += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Ok(Some((bytes, self)))
    }

    async fn piece(&mut self) -> io::Result<Bytes> {
        if !self.ready.is_empty() {
            return Ok(std::mem::take(&mut self.ready));
        }
        let left = usize::try_from(self.range.end - self.range.start).unwrap_or(usize::MAX);
        let read = self.files.read_range(&self.at, self.range.start, left.min(PIECE_BYTES)).await;
        match read.map_err(io::Error::other)? {
            Some(part) if part.etag == self.etag && !part.bytes.is_empty() => Ok(part.bytes),
            // Old and new bytes are never mixed: the connection breaks, and the caller asks again.
            _ => Err(io::Error::other(format!("{} was replaced while it was sent", self.at))),
        }
    }
}
