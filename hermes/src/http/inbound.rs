//! Mail in.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use bytes::Bytes;
use common::domain::outcome::MailEnding;
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;
use super::body::{self, Bounds};
use super::problem::{Problem, ProblemBody};
use crate::ingest::record::{MailRecord, Origin};
use crate::ingest::{self, Arrival};
use crate::mail::MAX_RAW_BYTES;

pub(super) const BOUNDS: Bounds = Bounds { max_bytes: MAX_RAW_BYTES, within: Duration::from_mins(2) };

/// What became of a mail that was taken.
#[derive(Serialize, ToSchema)]
#[schema(as = Accepted)]
#[serde(rename_all = "camelCase")]
pub(super) struct AcceptedView {
    /// The same for every delivery of the same mail.
    mail_id: String,
    /// `routed` (it became work), `unknown-sender`, `unauthenticated`, `malformed`, `automatic`, `question-asked`,
    /// `not-permitted`, `failed`, ...
    ending: String,
    /// The work it became.
    #[serde(skip_serializing_if = "Option::is_none")]
    command_id: Option<String>,
    /// The conversation it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    thread_id: Option<String>,
}

impl From<MailRecord> for AcceptedView {
    fn from(record: MailRecord) -> Self {
        Self {
            mail_id: record.mail_id.to_string(),
            ending: record.ending.map_or("open", MailEnding::as_str).to_owned(),
            command_id: record.command_id.map(|id| id.to_string()),
            thread_id: record.thread_id.map(|id| id.to_string()),
        }
    }
}

/// Takes a raw mail (RFC 5322). 202 comes when it is durable and has its ending, whatever that is: a mail of an unknown
/// sender and bytes that are no mail are recorded too. The same mail again gets the same answer and changes nothing.
#[utoipa::path(post, path = "/v1/inbound/raw", operation_id = "postRawMail", tag = "mail",
    request_body(content = String, content_type = "message/rfc822", description = "The mail, at most 40 MB"),
    responses(
        (status = 202, description = "It is kept and has this ending", body = AcceptedView),
        (status = 400, description = "The body is empty", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "The token is missing or wrong", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "Larger than 40 MB: ending `too-large`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "Not sent as message/rfc822", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Not acknowledged: send it again after Retry-After seconds", body = ProblemBody, content_type = "application/problem+json")))]
pub(super) async fn post_raw(
    State(api): State<Arc<Api>>,
    request: Request,
) -> Result<(StatusCode, Json<AcceptedView>), Problem> {
    let (parts, body) = request.into_parts();
    let _room = body::reserve(&api.app.inbound, &body, BOUNDS)?;
    let raw = raw_mail(&parts.headers, body).await?;
    let record = ingest::accept(&api.app, Arrival::bare(raw, Origin::Http)).await?.record;
    Ok((StatusCode::ACCEPTED, Json(record.into())))
}

/// The mail that is the body of a request.
pub(super) async fn raw_mail(headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
    check_type(headers)?;
    let raw = body::read(headers, body, BOUNDS).await.map_err(Problem::about_mail)?;
    if raw.is_empty() {
        let detail = "the body is empty; send the mail as the body";
        return Err(Problem::bad_request(detail).ending(MailEnding::Malformed));
    }
    Ok(raw)
}

fn check_type(headers: &HeaderMap) -> Result<(), Problem> {
    let stated = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = stated.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("message/rfc822") {
        return Ok(());
    }
    let detail = "send the mail as it is, with the header `content-type: message/rfc822`";
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail))
}
