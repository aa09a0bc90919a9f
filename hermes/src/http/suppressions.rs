//! `/v1/suppressions`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use common::domain::ids::EmailAddress;
use serde::Serialize;
use utoipa::ToSchema;

use super::body::{ApiPath, ApiQuery};
use super::problem::{Problem, ProblemBody};
use super::{Api, PageQuery};
use crate::operations::{Listed, suppressions};
use crate::suppressions::{Reason, Suppression};

/// An address that is not written to.
#[derive(Serialize, ToSchema)]
#[schema(as = Suppression)]
#[serde(rename_all = "camelCase")]
pub(super) struct SuppressionView {
    /// In lower case.
    address: String,
    /// `bounced` (it takes no mail) or `complained` (its reader reported our mail as spam).
    #[schema(value_type = String)]
    reason: Reason,
    /// What the receiving side said; may be empty.
    detail: String,
    /// The mail whose answer came back.
    mail_id: String,
    /// RFC 3339.
    since: String,
}

impl From<Suppression> for SuppressionView {
    fn from(entry: Suppression) -> Self {
        Self {
            address: entry.address.to_string(),
            reason: entry.reason,
            detail: entry.detail,
            mail_id: entry.mail_id.to_string(),
            since: entry.since.to_string(),
        }
    }
}

/// Addresses that are not written to, part of them.
#[derive(Serialize, ToSchema)]
#[schema(as = Suppressions)]
#[serde(rename_all = "camelCase")]
pub(super) struct SuppressionsView {
    /// By address.
    suppressions: Vec<SuppressionView>,
    /// Give it as `cursor`; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// Addresses that are not written to: they take no mail, or their reader reported ours as spam.
#[utoipa::path(get, path = "/v1/suppressions", operation_id = "listSuppressions", tag = "mail", params(PageQuery),
    responses(
        (status = 200, description = "Addresses", body = SuppressionsView),
        (status = 400, description = "A parameter is not right", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "The token is missing or wrong", body = ProblemBody, content_type = "application/problem+json")))]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    ApiQuery(page): ApiQuery<PageQuery>,
) -> Result<Json<SuppressionsView>, Problem> {
    let Listed { items, next } = suppressions::list(&api.app.cloud, page.slice()).await?;
    Ok(Json(SuppressionsView {
        suppressions: items.into_iter().map(Into::into).collect(),
        next_cursor: next,
    }))
}

/// Takes an address off the list: later mails go there again.
#[utoipa::path(delete, path = "/v1/suppressions/{address}", operation_id = "deleteSuppression", tag = "mail",
    params(("address" = String, Path)),
    responses(
        (status = 204, description = "It is off the list"),
        (status = 400, description = "It is no address", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "The token is missing or wrong", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "It was not there", body = ProblemBody, content_type = "application/problem+json")))]
pub(super) async fn remove(
    State(api): State<Arc<Api>>,
    ApiPath(address): ApiPath<String>,
) -> Result<StatusCode, Problem> {
    suppressions::remove(&api.app.cloud, &EmailAddress::parse(&address)?).await?;
    Ok(StatusCode::NO_CONTENT)
}
