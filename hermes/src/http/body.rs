//! Reading what a caller sends: within a size, within a time, as the type that is expected.

use std::time::Duration;

use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::problem::Problem;
use crate::inbound::Held;

/// The largest JSON body.
pub(super) const MAX_JSON_BYTES: usize = 1024 * 1024;
/// The longest pause of a caller between two pieces of a body.
const MAX_PAUSE: Duration = Duration::from_secs(10);

/// Whoever sends less than this in the long run is cut off.
const LEAST_BYTES_PER_SEC: usize = 16 * 1024;

/// How much, and how long, a body may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) max_bytes: usize,
    pub(super) within: Duration,
}

/// Reads a body. What is too large is read on for a while and thrown away, since a caller that is still writing would not
/// see the answer.
pub(super) async fn read(headers: &HeaderMap, body: Body, bounds: Bounds) -> Result<Bytes, Problem> {
    within(headers, body, bounds, None).await
}

/// The same, for which room is taken as it comes.
pub(super) async fn read_held(
    headers: &HeaderMap,
    body: Body,
    bounds: Bounds,
    held: &mut Held,
) -> Result<Bytes, Problem> {
    within(headers, body, bounds, Some(held)).await
}

async fn within(
    headers: &HeaderMap,
    body: Body,
    bounds: Bounds,
    held: Option<&mut Held>,
) -> Result<Bytes, Problem> {
    let announced =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > 4 * bounds.max_bytes) {
        return Err(too_large(bounds.max_bytes));
    }
    match tokio::time::timeout(bounds.within, collect(body, bounds.max_bytes, held)).await {
        Ok(collected) => collected,
        Err(_) => Err(too_slow()),
    }
}

async fn collect(mut body: Body, max_bytes: usize, mut held: Option<&mut Held>) -> Result<Bytes, Problem> {
    let (mut kept, mut seen, begun) = (BytesMut::new(), 0, Instant::now());
    loop {
        let frame = tokio::time::timeout_at(due(begun, seen), body.frame()).await.map_err(|_| too_slow())?;
        let Some(frame) = frame else { break };
        let frame =
            frame.map_err(|_| Problem::bad_request("the connection broke before the whole body had come"))?;
        let Ok(data) = frame.into_data() else { continue };
        seen += data.len();
        if seen > 4 * max_bytes {
            break;
        }
        if seen <= max_bytes {
            if let Some(held) = &mut held {
                held.grow(data.len()).map_err(|_| no_room())?;
            }
            kept.extend_from_slice(&data);
        } else {
            kept = BytesMut::new();
            if let Some(held) = &mut held {
                held.keep(0);
            }
        }
    }
    if seen > max_bytes { Err(too_large(max_bytes)) } else { Ok(kept.freeze()) }
}

/// Until when more has to come: soon, and never behind the least rate.
fn due(begun: Instant, seen: usize) -> Instant {
    let paid_for = Duration::from_secs((seen / LEAST_BYTES_PER_SEC) as u64);
    (Instant::now() + MAX_PAUSE).min(begun + MAX_PAUSE + paid_for)
}

pub(super) fn no_room() -> Problem {
    let detail = "too many large mails are on their way in; nothing was acknowledged, send it again";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(5)
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

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;

    use super::*;
    use crate::inbound::{Caller, Inbound};

    const BOUNDS: Bounds = Bounds { max_bytes: 40 * 1024 * 1024, within: Duration::from_mins(2) };

    /// So many bytes every few seconds, so often.
    fn trickle(bytes: usize, every: Duration, times: usize) -> Body {
        let pieces = futures_util::stream::unfold(0, move |sent| async move {
            tokio::time::sleep(every).await;
            let piece = Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; bytes]));
            (sent < times).then_some((piece, sent + 1))
        });
        Body::from_stream(pieces)
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_sends_a_byte_now_and_then_is_cut_off() {
        let begun = Instant::now();
        let body = trickle(1, Duration::from_secs(9), 1000);
        let refused = read(&HeaderMap::new(), body, BOUNDS).await.unwrap_err();
        assert_eq!(refused.into_response().status(), StatusCode::REQUEST_TIMEOUT);
        assert!(begun.elapsed() <= MAX_PAUSE, "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_sends_slowly_but_steadily_is_not() {
        let body = trickle(LEAST_BYTES_PER_SEC * 5, Duration::from_secs(5), 20);
        let read = read(&HeaderMap::new(), body, BOUNDS).await.unwrap();
        assert_eq!(read.len(), LEAST_BYTES_PER_SEC * 100);
    }

    #[tokio::test(start_paused = true)]
    async fn room_is_taken_as_bytes_come_and_given_back_for_what_is_too_large() {
        let room = Inbound::of_bytes(100);
        let mut held = room.held_for(Caller::Known);
        let bounds = Bounds { max_bytes: 60, ..BOUNDS };
        let whole = read_held(&HeaderMap::new(), Body::from(vec![b'x'; 60]), bounds, &mut held).await;
        assert_eq!(whole.unwrap().len(), 60);
        let mut second = room.held_for(Caller::Known);
        let refused =
            read_held(&HeaderMap::new(), Body::from(vec![b'x'; 41]), bounds, &mut second).await.unwrap_err();
        assert_eq!(refused.into_response().status(), StatusCode::SERVICE_UNAVAILABLE);
        drop(held);
        let body = trickle(30, Duration::from_secs(1), 4);
        let refused = read_held(&HeaderMap::new(), body, bounds, &mut second).await.unwrap_err();
        assert_eq!(refused.into_response().status(), StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(room.held_for(Caller::Known).grow(100), Ok(()), "what is thrown away takes no room");
    }
}
