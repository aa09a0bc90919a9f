//! `/v1/mails`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use common::domain::ids::MailId;
use common::domain::outcome::{JobOutcome, MailEnding};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::body::{ApiPath, ApiQuery};
use super::problem::{Problem, ProblemBody};
use crate::ingest::record::{MailRecord, Origin};
use crate::mail::trace::{Stage, TraceLine};
use crate::operations::{Listed, Slice, mails};

/// One line of a decision trace.
#[derive(Serialize, ToSchema)]
#[schema(as = TraceLine)]
pub(super) struct TraceView {
    /// `parse`, `screen`, `sender`, `thread`, `instruction`, `attachment`, `route` or `dispatch`.
    #[schema(value_type = String)]
    stage: Stage,
    /// What it says.
    note: String,
}

impl TraceView {
    pub(super) fn of(line: &TraceLine) -> Self {
        Self { stage: line.stage, note: line.note.clone() }
    }
}

/// An inbound mail and what became of it.
#[derive(Serialize, ToSchema)]
#[schema(as = Mail)]
#[serde(rename_all = "camelCase")]
pub(super) struct MailView {
    /// The mail.
    mail_id: String,
    /// RFC 3339.
    received_at: String,
    /// `http`, `queue` or `command-line`.
    #[schema(value_type = String)]
    origin: Origin,
    /// How it ended; absent while it is handled.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    ending: Option<MailEnding>,
    /// Who says they wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    sender: Option<String>,
    /// To whom.
    recipients: Vec<String>,
    /// May be empty.
    subject: String,
    /// Without angle brackets.
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<String>,
    /// Where its bytes are kept.
    raw_key: String,
    /// How many they are.
    size_bytes: usize,
    /// The work it became.
    #[serde(skip_serializing_if = "Option::is_none")]
    command_id: Option<String>,
    /// The conversation.
    #[serde(skip_serializing_if = "Option::is_none")]
    thread_id: Option<String>,
    /// `project#user`.
    #[serde(skip_serializing_if = "Option::is_none")]
    project_key: Option<String>,
    /// How its job ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    outcome: Option<JobOutcome>,
    /// The Message-ID of our answer, once it was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_message_id: Option<String>,
    /// Set when the owner did not get what we wrote: what became of our mail.
    #[serde(skip_serializing_if = "Option::is_none")]
    owner_not_reached: Option<String>,
    /// Which rule said what.
    trace: Vec<TraceView>,
}

impl From<MailRecord> for MailView {
    fn from(mail: MailRecord) -> Self {
        Self {
            mail_id: mail.mail_id.to_string(),
            received_at: mail.received_at.to_string(),
            origin: mail.origin,
            ending: mail.ending,
            sender: mail.sender.map(|address| address.to_string()),
            recipients: mail.recipients.iter().map(ToString::to_string).collect(),
            subject: mail.subject,
            message_id: mail.message_id,
            raw_key: mail.raw_key,
            size_bytes: mail.size_bytes,
            command_id: mail.command_id.map(|id| id.to_string()),
            thread_id: mail.thread_id.map(|id| id.to_string()),
            project_key: mail.project_key.map(|key| key.to_string()),
            outcome: mail.outcome,
            reply_message_id: mail.reply_message_id,
            owner_not_reached: mail.unreached,
            trace: mail.trace.lines().iter().map(TraceView::of).collect(),
        }
    }
}

/// Mails, part of them.
#[derive(Serialize, ToSchema)]
#[schema(as = Mails)]
#[serde(rename_all = "camelCase")]
pub(super) struct MailsView {
    /// Newest first.
    mails: Vec<MailView>,
    /// Give it as `cursor`; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// Which mails.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct MailQuery {
    /// Only with this ending, for example `routed` or `unknown-sender`.
    #[param(value_type = Option<String>)]
    ending: Option<MailEnding>,
    /// At most so many entries (1 to 200, default 50).
    limit: Option<usize>,
    /// The `nextCursor` of the page before.
    cursor: Option<String>,
}

/// Mails, newest first.
#[utoipa::path(get, path = "/v1/mails", operation_id = "listMails", tag = "mail", params(MailQuery),
    responses(
        (status = 200, description = "Mails", body = MailsView),
        (status = 400, description = "A parameter is not right", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "The token is missing or wrong", body = ProblemBody, content_type = "application/problem+json")))]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    ApiQuery(query): ApiQuery<MailQuery>,
) -> Result<Json<MailsView>, Problem> {
    let slice = Slice::new(query.limit, query.cursor);
    let Listed { items, next } = mails::list(&api.app.cloud, query.ending, slice).await?;
    Ok(Json(MailsView { mails: items.into_iter().map(Into::into).collect(), next_cursor: next }))
}

/// One mail with its decision trace.
#[utoipa::path(get, path = "/v1/mails/{mailId}", operation_id = "getMail", tag = "mail",
    params(("mailId" = String, Path)),
    responses(
        (status = 200, description = "The mail", body = MailView),
        (status = 401, description = "The token is missing or wrong", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "There is none", body = ProblemBody, content_type = "application/problem+json")))]
pub(super) async fn get(
    State(api): State<Arc<Api>>,
    ApiPath(id): ApiPath<String>,
) -> Result<Json<MailView>, Problem> {
    let mail = mails::get(&api.app.cloud, &MailId::parse(&id)?).await?;
    Ok(Json(mail.into()))
}
