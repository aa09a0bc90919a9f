//! The reference: the OpenAPI document and a page to try it on. Both are made when they are asked for.

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Redirect, Response};
use utoipa::openapi::RefOr;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_swagger_ui::{Config, SwaggerUi};

use super::Api;

/// What stands above the routes.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Hermes",
        description = "Mail in, work out, results back. Every call but health and this document needs the header `authorization: Bearer TOKEN`. Errors are problem details (RFC 9457).",
        license(name = "MIT OR Apache-2.0")
    ),
    tags(
        (name = "health", description = "How hermes fares"),
        (name = "projects", description = "Sites with their repository and build"),
        (name = "senders", description = "Who may write about which site"),
        (name = "mail", description = "Mails and what became of them"),
        (name = "jobs", description = "Work and who does it")
    ),
    security(("token" = [])),
    modifiers(&Token)
)]
struct Head;

struct Token;

impl Modify for Token {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

pub(super) fn head() -> utoipa::openapi::OpenApi {
    Head::openapi()
}

/// The document.
pub(super) async fn json() -> Response {
    axum::Json(super::document()).into_response()
}

/// The interactive page.
pub(super) fn page() -> Router<Arc<Api>> {
    let page: Router<Arc<Api>> = SwaggerUi::new("/docs").config(Config::from("/openapi.json")).into();
    let page = page.layer(map_response(allow_own_scripts));
    page.route("/", axum::routing::get(|| async { Redirect::temporary("/docs/") }))
}

/// Adds what can go wrong with every operation behind the token, with every parameter and with every body.
pub(super) fn tell_failures(document: &mut utoipa::openapi::OpenApi) {
    for item in document.paths.paths.values_mut() {
        let methods = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete];
        methods.into_iter().flatten().for_each(tell_failures_of);
    }
}

fn tell_failures_of(operation: &mut Operation) {
    // Open to everybody, and answered without a look at anything that was sent.
    let Some(RefOr::T(unauthorized)) = operation.responses.responses.get("401").cloned() else { return };
    let has_body = operation.request_body.is_some();
    let reads = has_body || operation.parameters.as_ref().is_some_and(|parameters| !parameters.is_empty());
    let failures = [
        (reads, "400", "A parameter or the body is not right"),
        (has_body, "408", "The body came too slowly: send it again"),
        (has_body, "413", "The body is too large"),
        (true, "503", "Something behind hermes does not answer: send it again after Retry-After seconds"),
    ];
    for (_, status, words) in failures.into_iter().filter(|(can_happen, ..)| *can_happen) {
        let mut failure = unauthorized.clone();
        words.clone_into(&mut failure.description);
        operation.responses.responses.entry(status.to_owned()).or_insert(RefOr::T(failure));
    }
}

async fn allow_own_scripts(mut response: Response) -> Response {
    const OWN: &str =
        "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'";
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(OWN));
    response
}
