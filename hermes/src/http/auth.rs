//! Who may call: everybody may ask how hermes fares and read its reference, and whoever holds a confirmation link may use
//! it; everything else needs the token, which is
//! looked at before a byte of the body is read.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Api;
use super::problem::Problem;

/// Lets a request pass that needs no token or shows it.
pub(super) async fn require_token(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    if is_open(request.uri().path()) || shown(request.headers()).is_some_and(|token| api.token.matches(token))
    {
        return next.run(request).await;
    }
    let detail = "send the header `authorization: Bearer TOKEN`; the token is HERMES_ADMIN_TOKEN or what DIR/admin-token holds";
    Problem::new(StatusCode::UNAUTHORIZED, detail).into_response()
}

/// Every other path, known or not, needs the token.
fn is_open(path: &str) -> bool {
    matches!(path, "/" | "/healthz" | "/readyz" | "/openapi.json" | "/docs")
        || path.starts_with("/docs/")
        || path.starts_with("/confirm/")
}

fn shown(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
