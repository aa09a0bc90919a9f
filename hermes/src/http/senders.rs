//! `/v1/senders`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use common::domain::ids::{EmailAddress, ProjectId};
use common::domain::language::Language;
use common::domain::project::{Role, Sender};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::body::{ApiJson, ApiPath, ApiQuery};
use super::problem::{Problem, ProblemBody};
use super::projects::status;
use super::{Api, PageQuery};
use crate::operations::Listed;
use crate::operations::senders::{self, SenderSettings};

/// What an operator says about a sender.
#[derive(Deserialize, ToSchema)]
#[schema(as = SenderSettings)]
#[serde(rename_all = "camelCase")]
pub(super) struct SenderBody {
    /// About which site they may write.
    project_id: String,
    /// As which user: 1 to 39 of a-z, 0-9 and '-'; for an e-mail address such an id is made.
    user_id: String,
    /// What they may do: `owner` (default) or `editor`.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "owner")]
    role: Role,
    /// In which language they are answered: `en`, `de`, `fr` or `es`; absent: as their mails tell.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "de")]
    language: Option<Language>,
}

/// An address that stands for a user of a project.
#[derive(Serialize, ToSchema)]
#[schema(as = Sender)]
#[serde(rename_all = "camelCase")]
pub(super) struct SenderView {
    /// In lower case.
    address: String,
    /// The site.
    project_id: String,
    /// The user.
    user_id: String,
    /// `owner` or `editor`.
    #[schema(value_type = String)]
    role: Role,
    /// `en`, `de`, `fr` or `es`; absent: as their mails tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    language: Option<Language>,
    /// RFC 3339.
    created_at: String,
}

impl From<Sender> for SenderView {
    fn from(sender: Sender) -> Self {
        Self {
            address: sender.address.to_string(),
            project_id: sender.project_id.to_string(),
            user_id: sender.user_id.to_string(),
            role: sender.role,
            language: sender.language,
            created_at: sender.created_at.to_string(),
        }
    }
}

/// Senders, part of them.
#[derive(Serialize, ToSchema)]
#[schema(as = Senders)]
#[serde(rename_all = "camelCase")]
pub(super) struct SendersView {
    /// In no order.
    senders: Vec<SenderView>,
    /// Give it as `cursor`; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

impl From<Listed<Sender>> for SendersView {
    fn from(listed: Listed<Sender>) -> Self {
        Self { senders: listed.items.into_iter().map(Into::into).collect(), next_cursor: listed.next }
    }
}

/// Which of an address's projects.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
pub(super) struct ProjectQuery {
    /// Only for this project; absent: for all.
    project_id: Option<String>,
}

/// Registers an address for a user of a project.
#[utoipa::path(put, path = "/v1/senders/{address}", operation_id = "putSender", tag = "senders",
    params(("address" = String, Path, description = "An e-mail address")), request_body = SenderBody,
    responses(
        (status = 200, description = "It stands for this user now", body = SenderView),
        (status = 201, description = "It was registered", body = SenderView),
        (status = 400, description = "The address or an id is not valid", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "The token is missing or wrong", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "There is no such project", body = ProblemBody, content_type = "application/problem+json")))]
pub(super) async fn put(
    State(api): State<Arc<Api>>,
    ApiPath(address): ApiPath<String>,
    ApiJson(body): ApiJson<SenderBody>,
) -> Result<(StatusCode, Json<SenderView>), Problem> {
    let settings = SenderSettings {
        project_id: ProjectId::parse(&body.project_id)?,
        user: body.user_id,
        role: body.role,
        language: body.language,
    };
    let (sender, written) = senders::put(&api.app.cloud, &EmailAddress::parse(&address)?, settings).await?;
    Ok((status(written), Json(sender.into())))
}

/// For whom an address stands.
#[utoipa::path(get, path = "/v1/senders/{address}", operation_id = "getSender", tag = "senders",
    params(("address" = String, Path)),
    responses(
        (status = 200, description = "One entry per project", body = SendersView),
        (status = 401, description = "The token is missing or wrong", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "For nobody", body = ProblemBody, content_type = "application/problem+json")))]
pub(super) async fn get(
    State(api): State<Arc<Api>>,
    ApiPath(address): ApiPath<String>,
) -> Result<Json<SendersView>, Problem> {
    let items = senders::get(&api.app.cloud, &EmailAddress::parse(&address)?).await?;
    Ok(Json(Listed { items, next: None }.into()))
}

/// Takes an address off the list, for one project or for all.
#[utoipa::path(delete, path = "/v1/senders/{address}", operation_id = "deleteSender", tag = "senders",
    params(("address" = String, Path), ProjectQuery),
    responses(
        (status = 204, description = "It is gone"),
        (status = 401, description = "The token is missing or wrong", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "It was not there", body = ProblemBody, content_type = "application/problem+json")))]
pub(super) async fn remove(
    State(api): State<Arc<Api>>,
    ApiPath(address): ApiPath<String>,
    ApiQuery(query): ApiQuery<ProjectQuery>,
) -> Result<StatusCode, Problem> {
    let project = query.project_id.as_deref().map(ProjectId::parse).transpose()?;
    senders::remove(&api.app.cloud, &EmailAddress::parse(&address)?, project.as_ref()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// All senders.
#[utoipa::path(get, path = "/v1/senders", operation_id = "listSenders", tag = "senders", params(PageQuery),
    responses(
        (status = 200, description = "Senders", body = SendersView),
        (status = 401, description = "The token is missing or wrong", body = ProblemBody, content_type = "application/problem+json")))]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    ApiQuery(page): ApiQuery<PageQuery>,
) -> Result<Json<SendersView>, Problem> {
    Ok(Json(senders::list(&api.app.cloud, page.slice()).await?.into()))
}
