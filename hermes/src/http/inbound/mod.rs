//! Mail in: raw, from providers, from SNS.

mod form;
pub(super) mod sns;
pub(super) mod webhooks;

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

use super::body::{self, Bounds};
use super::problem::{Problem, ProblemBody};
use super::{Api, auth};
use crate::inbound::{Caller, Held};
use crate::ingest::origins::signed::{Shared, is_recent};
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

/// Takes a raw mail (RFC 5322), with the token; or with `HERMES_INBOUND_SECRET` as the key of an HMAC-SHA256 in hex in
/// `x-hermes-signature`, over the Unix seconds in `x-hermes-timestamp`, a dot, and the body. 202 comes when it is durable and has its ending, whatever that is: a mail of an unknown
/// sender and bytes that are no mail are recorded too. The same mail again gets the same answer and changes nothing.
#[utoipa::path(post, path = "/v1/inbound/raw", operation_id = "postRawMail", tag = "mail",
    request_body(content = String, content_type = "message/rfc822", description = "The mail, at most 40 MB"),
    responses(
        (status = 202, description = "It is kept and has this ending", body = AcceptedView),
        (status = 400, description = "The body is empty", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "Token or signature is missing, wrong or old", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "Larger than 40 MB: ending `too-large`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "Not sent as message/rfc822", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Not acknowledged: send it again after Retry-After seconds", body = ProblemBody, content_type = "application/problem+json")))]
pub(super) async fn post_raw(
    State(api): State<Arc<Api>>,
    request: Request,
) -> Result<(StatusCode, Json<AcceptedView>), Problem> {
    let (parts, body) = request.into_parts();
    let signature = signature(&api, &parts.headers)?;
    let caller = if signature.is_some() { Caller::Stranger } else { Caller::Known };
    let mut room = api.app.inbound.held_for(caller);
    let raw = raw_mail(&parts.headers, body, &mut room).await?;
    if signature.is_some_and(|signature| !signature.covers(&raw)) {
        return Err(Problem::new(StatusCode::UNAUTHORIZED, "the signature is not that of this mail"));
    }
    room.shown();
    let record = ingest::accept(&api.app, Arrival::bare(raw, Origin::Http)).await?.record;
    Ok((StatusCode::ACCEPTED, Json(record.into())))
}

/// The mail that is the body of a request.
pub(super) async fn raw_mail(headers: &HeaderMap, body: Body, room: &mut Held) -> Result<Bytes, Problem> {
    check_type(headers)?;
    let raw = body::read_held(headers, body, BOUNDS, room).await.map_err(Problem::about_mail)?;
    if raw.is_empty() {
        let detail = "the body is empty; send the mail as the body";
        return Err(Problem::bad_request(detail).ending(MailEnding::Malformed));
    }
    Ok(raw)
}

/// A signature of our own, recent and still to be held against the mail.
struct Signature<'a> {
    secret: &'a Shared,
    timestamp: &'a str,
    tag: &'a str,
}

impl Signature<'_> {
    fn covers(&self, raw: &[u8]) -> bool {
        self.secret.signed(&[self.timestamp.as_bytes(), b".", raw], self.tag)
    }
}

/// The signature of a request without the token; it is refused here when it can have none.
fn signature<'a>(api: &'a Api, headers: &'a HeaderMap) -> Result<Option<Signature<'a>>, Problem> {
    if auth::shows_token(api, headers) {
        return Ok(None);
    }
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let stated = text("x-hermes-timestamp").zip(text("x-hermes-signature"));
    let Some((secret, (timestamp, tag))) = api.inbound.inbound_secret.as_ref().zip(stated) else {
        return Err(auth::no_token());
    };
    if !is_recent(timestamp, api.app.cloud.clock.now()) {
        return Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            "x-hermes-timestamp is not of the last five minutes",
        ));
    }
    Ok(Some(Signature { secret, timestamp, tag }))
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
