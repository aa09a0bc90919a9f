//! `POST /v1/mails/simulate`: what would become of a mail. Nothing is written.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use common::domain::outcome::MailEnding;
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;
use super::inbound::raw_mail;
use super::mails::TraceView;
use super::problem::{Problem, ProblemBody};
use crate::inbound::Caller;
use crate::ingest;
use crate::mail::MailCommand;
use crate::simulate::Simulation;

/// A file that would come along.
#[derive(Serialize, ToSchema)]
#[schema(as = SimulatedAttachment)]
#[serde(rename_all = "camelCase")]
pub(super) struct AttachmentView {
    /// As the sender named it.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// Its decoded length.
    size_bytes: usize,
}

/// The conversation of a simulated mail.
#[derive(Serialize, ToSchema)]
#[schema(as = SimulatedThread)]
#[serde(rename_all = "camelCase")]
pub(super) struct ThreadView {
    /// Its id; a new one is another each time.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// Whether there is one already.
    known: bool,
}

/// What would become of a mail.
#[derive(Serialize, ToSchema)]
#[schema(as = Simulation)]
#[serde(rename_all = "camelCase")]
pub(super) struct SimulationView {
    /// `routed`, `command-done`, `question-asked`, `automatic`, `unauthenticated`, `unknown-sender`, ...
    #[schema(value_type = String)]
    ending: MailEnding,
    /// Whether a machine wrote it.
    automatic: bool,
    /// The address that it says it is from.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    /// May be empty.
    subject: String,
    /// The new words.
    instruction: String,
    /// `stop`, `publish`, `undo`, `status` or `help`, when the new words are no more than that.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    command: Option<MailCommand>,
    /// Quotes, mails passed on and the signature.
    removed: String,
    /// What would come along.
    attachments: Vec<AttachmentView>,
    /// The conversation.
    thread: ThreadView,
    /// Which rule said what.
    trace: Vec<TraceView>,
}

impl From<Simulation> for SimulationView {
    fn from(simulation: Simulation) -> Self {
        let files = simulation.attachments.into_iter();
        Self {
            ending: simulation.ending,
            automatic: simulation.automatic,
            from: simulation.from,
            subject: simulation.subject,
            instruction: simulation.instruction,
            command: simulation.command,
            removed: simulation.removed,
            attachments: files
                .map(|file| AttachmentView { name: file.name, size_bytes: file.size_bytes })
                .collect(),
            thread: ThreadView { id: simulation.thread.id, known: simulation.thread.known },
            trace: simulation.trace.lines().iter().map(TraceView::of).collect(),
        }
    }
}

/// Says what would become of a raw mail (RFC 5322), and by which rules, as if it came in now. Nothing is written or sent.
#[utoipa::path(post, path = "/v1/mails/simulate", operation_id = "simulateMail", tag = "mail",
    request_body(content = String, content_type = "message/rfc822", description = "The mail, at most 40 MB"),
    responses(
        (status = 200, description = "What would become of it", body = SimulationView),
        (status = 400, description = "The body is empty", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "The token is missing or wrong", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "Larger than 40 MB", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "Not sent as message/rfc822", body = ProblemBody, content_type = "application/problem+json")))]
pub(super) async fn simulate(
    State(api): State<Arc<Api>>,
    request: Request,
) -> Result<Json<SimulationView>, Problem> {
    let (parts, body) = request.into_parts();
    let mut room = api.app.inbound.held_for(Caller::Known);
    let raw = raw_mail(&parts.headers, body, &mut room).await?;
    Ok(Json(ingest::simulate(&api.app, raw).await?.into()))
}
