//! Reading what a caller sends: within a size, within a time, as the type that is expected.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::problem::Problem;

/// The largest JSON body.
pub(super) const MAX_JSON_BYTES: usize = 1024 * 1024;
/// The longest pause of a caller between two pieces of a body.
const MAX_PAUSE: Duration = Duration::from_secs(10);

/// How much, and how long, a body may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) max_bytes: usize,
    pub(super) within: Duration,
}

/// Reads a body. What is too large is read on for a while and thrown away, since a caller that is still writing would not
/// see the answer.
pub(super) async fn read(headers: &HeaderMap, body: Body, bounds: Bounds) -> Result<Bytes, Problem> {
    let announced =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > 4 * bounds.max_bytes) {
        return Err(too_large(bounds.max_bytes));
    }
    match tokio::time::timeout(bounds.within, collect(body, bounds.max_bytes)).await {
        Ok(collected) => collected,
        Err(_) => Err(too_slow()),
    }
}

/// Room for a body until the answer is dropped: as much as it is long, or may be at most.
pub(super) fn reserve(
    room: &Arc<Semaphore>,
    body: &Body,
    bounds: Bounds,
) -> Result<OwnedSemaphorePermit, Problem> {
    let length = body.size_hint().exact().and_then(|length| usize::try_from(length).ok());
    let bytes = length.map_or(bounds.max_bytes, |length| length.min(bounds.max_bytes));
    Arc::clone(room).try_acquire_many_owned(u32::try_from(bytes).unwrap_or(u32::MAX)).map_err(|_| {
        let detail = "too many large mails are on their way in; nothing was acknowledged, send it again";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(5)
    })
}

async fn collect(mut body: Body, max_bytes: usize) -> Result<Bytes, Problem> {
    let (mut kept, mut seen) = (BytesMut::new(), 0);
    loop {
        let frame = tokio::time::timeout(MAX_PAUSE, body.frame()).await.map_err(|_| too_slow())?;
        let Some(frame) = frame else { break };
        let frame =
            frame.map_err(|_| Problem::bad_request("the connection broke before the whole body had come"))?;
        let Ok(data) = frame.into_data() else { continue };
        seen += data.len();
        if seen > 4 * max_bytes {
            break;
        }
        if seen <= max_bytes {
            kept.extend_from_slice(&data);
        } else {
            kept = BytesMut::new();
        }
    }
    if seen > max_bytes { Err(too_large(max_bytes)) } else { Ok(kept.freeze()) }
}

fn too_large(max_bytes: usize) -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        format!("the body is larger than {} MB; send less", max_bytes / 1024 / 1024),
    )
}

fn too_slow() -> Problem {
    Problem::new(
        StatusCode::REQUEST_TIMEOUT,
        "the body came too slowly; send it again on a faster connection",
    )
}

/// A JSON body.
pub(super) struct ApiJson<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for ApiJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let bounds = Bounds { max_bytes: MAX_JSON_BYTES, within: MAX_PAUSE };
        let bytes = read(&parts.headers, body, bounds).await?;
        serde_json::from_slice(&bytes).map(Self).map_err(|error| {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, format!("the JSON body is not right: {error}"))
        })
    }
}

/// What stands in the path.
pub(super) struct ApiPath<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for ApiPath<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(path) = Path::<T>::from_request_parts(parts, state)
            .await
            .map_err(|error: PathRejection| Problem::bad_request(error.body_text()))?;
        Ok(Self(path))
    }
}

/// Query parameters.
pub(super) struct ApiQuery<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for ApiQuery<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Query(query) = Query::<T>::from_request_parts(parts, state)
            .await
            .map_err(|error: QueryRejection| Problem::bad_request(error.body_text()))?;
        Ok(Self(query))
    }
}
