//! `/confirm/{token}`: a page for the author of a mail, who has no token of the API. Reading it changes nothing.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use common::domain::language::Language;

use super::Api;
use super::body::ApiPath;
use super::problem::Problem;
use crate::confirmations;
use crate::reply::page::{Page, page};

/// Nothing but its own style, and a form that leads back to it.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Shows what would be done.
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    ApiPath(token): ApiPath<String>,
) -> Result<Response, Problem> {
    written(&confirmations::look(&api.app, &token).await?)
}

/// Does it.
pub(super) async fn act(
    State(api): State<Arc<Api>>,
    ApiPath(token): ApiPath<String>,
) -> Result<Response, Problem> {
    written(&confirmations::confirm(&api.app, &token).await?)
}

fn written((shown, language): &(Page, Language)) -> Result<Response, Problem> {
    let status = if *shown == Page::Gone { StatusCode::GONE } else { StatusCode::OK };
    let html = page(shown, *language).map_err(|error| {
        tracing::error!(%error, "a page cannot be written");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "hermes could not do this; its log says why")
    })?;
    let policy = [(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY))];
    Ok((status, policy, Html(html)).into_response())
}
