//! Mail by SNS over HTTP: every envelope is verified before anything else is done with it.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::super::body::{self, Bounds, no_room};
use super::super::problem::{Problem, ProblemBody};
use super::{AcceptedView, Api, BOUNDS};
use crate::inbound::Caller;
use crate::ingest::origins::sns::Refusal;
use crate::ingest::sns::{Taken, take};

/// The largest envelope: SNS takes messages of 256 KiB, of which JSON makes six times as much at most.
const MAX_BYTES: usize = 2 * 1024 * 1024;
/// What lies beside an envelope while it is unwrapped: its message, what the notice in it holds, and the mail.
const COPIES: usize = 3;

/// Takes what SNS posts for the topics of `HERMES_SNS_TOPICS`: confirms subscriptions, and takes mails out of the notices of
/// SES. The signature (version 2; 1 where `HERMES_SNS_SIGNATURES` says so) is checked by a certificate from SNS itself.
#[utoipa::path(post, path = "/v1/inbound/sns", operation_id = "postSnsMessage", tag = "mail",
    request_body(content = String, content_type = "text/plain", description = "The envelope, as JSON"),
    responses(
        (status = 200, description = "The mail is kept and has this ending", body = AcceptedView),
        (status = 204, description = "There was nothing to do, or the subscription is confirmed"),
        (status = 400, description = "It is no envelope", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "It is forged, old, or of another topic", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "It holds no mail", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Not acknowledged: send it again", body = ProblemBody, content_type = "application/problem+json")))]
pub(in super::super) async fn post_sns(
    State(api): State<Arc<Api>>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let topic = parts.headers.get("x-amz-sns-topic-arn").and_then(|value| value.to_str().ok());
    if !topic.is_some_and(|topic| api.sns.wants(topic)) {
        return Err(Problem::new(StatusCode::UNAUTHORIZED, Refusal::Topic.to_string()));
    }
    let mut room = api.app.inbound.held_for(Caller::Stranger);
    let bounds = Bounds { max_bytes: MAX_BYTES, ..BOUNDS };
    let body = body::read_held(&parts.headers, body, bounds, &mut room).await.map_err(Problem::about_mail)?;
    room.grow(COPIES * body.len()).map_err(|_| no_room())?;
    match take(&api.app, &api.sns, &body, &mut room).await? {
        Taken::Mail(record) => Ok(Json(AcceptedView::from(*record)).into_response()),
        Taken::Nothing | Taken::Confirmed => Ok(StatusCode::NO_CONTENT.into_response()),
        Taken::NoMail(reason) => Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, reason)),
        Taken::Refused(refusal) => {
            tracing::warn!(%refusal, "an SNS envelope is refused");
            let status = match refusal {
                Refusal::Malformed(_) => StatusCode::BAD_REQUEST,
                _ => StatusCode::UNAUTHORIZED,
            };
            Err(Problem::new(status, refusal.to_string()))
        }
    }
}
