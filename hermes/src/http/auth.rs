//! Who may call: everybody may ask how hermes fares and read its reference, and whoever holds a confirmation link may use
//! it; everything else needs the token, which is looked at before a byte of the body is read.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Api;
use super::problem::Problem;

/// Lets a request pass that needs no token or shows it.
pub(super) async fn require_token(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    if is_open(request.uri().path()) || shows_token(&api, request.headers()) {
        return next.run(request).await;
    }
    no_token().into_response()
}

/// What to send.
pub(super) fn no_token() -> Problem {
    let detail = "send the header `authorization: Bearer TOKEN`; the token is HERMES_ADMIN_TOKEN or what DIR/admin-token holds";
    Problem::new(StatusCode::UNAUTHORIZED, detail)
}

/// Every other path, known or not, needs the token; the ways of mail have secrets and signatures of their own, which their
/// handlers ask for.
fn is_open(path: &str) -> bool {
    let way_of_mail = path.strip_prefix("/v1/inbound/");
    matches!(path, "/" | "/healthz" | "/readyz" | "/openapi.json" | "/docs")
        || path.starts_with("/docs/")
        || path.starts_with("/confirm/")
        || matches!(way_of_mail, Some("raw" | "postmark" | "mailgun/mime" | "sendgrid" | "sns"))
}

/// Whether the token is shown.
pub(super) fn shows_token(api: &Api, headers: &HeaderMap) -> bool {
    shown(headers).is_some_and(|token| api.token.matches(token))
}

fn shown(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
