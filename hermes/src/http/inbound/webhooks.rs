//! Mail by the webhooks of providers. Each request has to be shown to be the provider's; the mail in it is judged by its own
//! signatures. 200 comes when the mail is durable and has its ending.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use bytes::Bytes;

use super::super::body::{self, no_room};
use super::super::problem::{Problem, ProblemBody};
use super::{AcceptedView, Api, BOUNDS, form};
use crate::inbound::{Caller, Held};
use crate::ingest::origins::signed::is_recent;
use crate::ingest::origins::{Incoming, NoMail, mailgun, postmark, sendgrid};
use crate::ingest::record::{MailRecord, Origin};
use crate::ingest::{self, Arrival, seen};

/// The kind of the rows that say which tokens were taken.
const MAILGUN_TOKEN: &str = "mailgun-token";
/// A string of JSON is put together beside the body, then taken out of there.
const COPIES_OF_JSON: usize = 2;

/// Takes a mail from Postmark's inbound webhook (with raw mails switched on), whose address has user and password in it:
/// `HERMES_POSTMARK_AUTH`.
#[utoipa::path(post, path = "/v1/inbound/postmark", operation_id = "postPostmarkMail", tag = "mail",
    request_body(content = String, content_type = "application/json", description = "What Postmark sends"),
    responses(
        (status = 200, description = "The mail is kept and has this ending", body = AcceptedView),
        (status = 401, description = "User and password are missing or wrong, or the way is not set up", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "Larger than 40 MB", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "There is no raw mail in it", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Not acknowledged: send it again", body = ProblemBody, content_type = "application/problem+json")))]
pub(in super::super) async fn post_postmark(
    State(api): State<Arc<Api>>,
    request: Request,
) -> Result<Json<AcceptedView>, Problem> {
    let secret = set_up(api.inbound.postmark_auth.as_ref(), "HERMES_POSTMARK_AUTH")?;
    if !secret.shown_as_basic(text(request.headers(), header::AUTHORIZATION.as_str())) {
        return Err(refused("the user and password of the webhook's address are missing or wrong"));
    }
    let (_, body, mut room) = read(&api, request, Caller::Known).await?;
    room.grow(COPIES_OF_JSON * body.len()).map_err(|_| no_room())?;
    let mail = postmark::read(&body).map_err(no_mail)?;
    drop(body);
    Ok(Json(accept(&api, mail, Origin::Postmark, room).await?.into()))
}

/// Takes a mail from a route of Mailgun that forwards to this address: `HERMES_MAILGUN_KEY` is the webhook signing key.
#[utoipa::path(post, path = "/v1/inbound/mailgun/mime", operation_id = "postMailgunMail", tag = "mail",
    request_body(content = String, content_type = "*/*", description = "The form fields that Mailgun sends, as multipart/form-data or urlencoded"),
    responses(
        (status = 200, description = "The mail is kept and has this ending", body = AcceptedView),
        (status = 401, description = "The signature is missing, wrong or old, or the way is not set up", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "Larger than 40 MB", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "There is no raw mail in it", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Not acknowledged: send it again", body = ProblemBody, content_type = "application/problem+json")))]
pub(in super::super) async fn post_mailgun(
    State(api): State<Arc<Api>>,
    request: Request,
) -> Result<Json<AcceptedView>, Problem> {
    let key = set_up(api.inbound.mailgun_key.as_ref(), "HERMES_MAILGUN_KEY")?;
    let (headers, body, mut room) = read(&api, request, Caller::Stranger).await?;
    let mut fields = mailgun::Form::default();
    form::fields(&headers, &body, &mailgun::SIGNATURE, |name, value| fields.take(name, value)).await?;
    if !fields.is_genuine(key, api.app.cloud.clock.now()) {
        return Err(refused("the signature is missing, wrong or older than twelve hours"));
    }
    room.shown();
    let token = fields.token.clone();
    if let Some(seen) = seen::find(&api.app, MAILGUN_TOKEN, &token).await? {
        let id = seen.mail_id.ok_or_else(|| refused("the token was used before"))?;
        let record = crate::operations::mails::get(&api.app.cloud, &id).await?;
        return Ok(Json(record.into()));
    }
    room.grow(body.len()).map_err(|_| no_room())?;
    form::fields(&headers, &body, &mailgun::MAIL, |name, value| fields.take(name, value)).await?;
    drop(body);
    let record = accept(&api, fields.into_mail().map_err(no_mail)?, Origin::Mailgun, room).await?;
    seen::mark(&api.app, MAILGUN_TOKEN, &token, Some(record.mail_id.clone())).await?;
    Ok(Json(record.into()))
}

/// Takes a mail from SendGrid's Inbound Parse (raw MIME, with a signature policy): `HERMES_SENDGRID_KEY` is its public key.
#[utoipa::path(post, path = "/v1/inbound/sendgrid", operation_id = "postSendgridMail", tag = "mail",
    request_body(content = String, content_type = "*/*", description = "The form fields that SendGrid sends, as multipart/form-data"),
    responses(
        (status = 200, description = "The mail is kept and has this ending", body = AcceptedView),
        (status = 401, description = "The signature is missing, wrong or old, or the way is not set up", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "Larger than 40 MB", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "There is no raw mail in it", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Not acknowledged: send it again", body = ProblemBody, content_type = "application/problem+json")))]
pub(in super::super) async fn post_sendgrid(
    State(api): State<Arc<Api>>,
    request: Request,
) -> Result<Json<AcceptedView>, Problem> {
    let key = set_up(api.inbound.sendgrid_key.as_ref(), "HERMES_SENDGRID_KEY")?;
    let headers = request.headers();
    let signature = text(headers, "x-twilio-email-event-webhook-signature").to_owned();
    let timestamp = text(headers, "x-twilio-email-event-webhook-timestamp").to_owned();
    if signature.is_empty() || !is_recent(&timestamp, api.app.cloud.clock.now()) {
        return Err(refused("the signature is missing or older than five minutes"));
    }
    let (headers, body, mut room) = read(&api, request, Caller::Stranger).await?;
    if !key.signed(&timestamp, &body, &signature) {
        return Err(refused("the signature is wrong"));
    }
    room.shown();
    room.grow(body.len()).map_err(|_| no_room())?;
    let mut fields = sendgrid::Form::default();
    form::fields(&headers, &body, &sendgrid::FIELDS, |name, value| fields.take(name, value)).await?;
    drop(body);
    let mail = fields.into_mail().map_err(no_mail)?;
    Ok(Json(accept(&api, mail, Origin::Sendgrid, room).await?.into()))
}

/// Takes a mail whose wrapping was let go.
async fn accept(api: &Api, mail: Incoming, origin: Origin, mut room: Held) -> Result<MailRecord, Problem> {
    room.keep(mail.raw.len());
    let arrival = Arrival { raw: mail.raw.into(), origin, word: mail.word };
    Ok(ingest::accept(&api.app, arrival).await?.record)
}

/// The body, and the room it takes until it is dealt with.
async fn read(api: &Api, request: Request, caller: Caller) -> Result<(HeaderMap, Bytes, Held), Problem> {
    let (parts, body) = request.into_parts();
    let mut room = api.app.inbound.held_for(caller);
    let body = body::read_held(&parts.headers, body, BOUNDS, &mut room).await.map_err(Problem::about_mail)?;
    Ok((parts.headers, body, room))
}

/// What a way needs before it is open.
fn set_up<'a, T>(setting: Option<&'a T>, name: &str) -> Result<&'a T, Problem> {
    setting.ok_or_else(|| refused(&format!("this way in is closed; {name} opens it")))
}

fn refused(detail: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, detail)
}

fn no_mail(reason: NoMail) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, reason.to_string())
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}
