//! The reference: the OpenAPI document and a page to try it on. Both are made when they are asked for.

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
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
    page.layer(map_response(allow_own_scripts))
}

async fn allow_own_scripts(mut response: Response) -> Response {
    const OWN: &str =
        "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'";
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(OWN));
    response
}
