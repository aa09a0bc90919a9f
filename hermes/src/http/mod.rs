//! The way of programs and browsers to hermes, and the only home of axum and utoipa. Handlers extract, call
//! [`crate::operations`] or [`crate::ingest`], and answer. [`router`] lists every route.

mod auth;
mod body;
mod claims;
mod confirm;
mod dead_letters;
mod docs;
mod health;
mod inbound;
mod jobs;
mod mails;
mod preflight;
mod problem;
mod projects;
mod releases;
mod senders;
mod server;
mod sessions;
mod simulate;
mod sites;
mod suppressions;
mod threads;
mod workers;

use std::any::Any;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{from_fn, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use common::domain::repo_url::RepoRules;
use serde::Deserialize;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::IntoParams;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::config::InboundSettings;
use crate::ingest::sns::Sns;
use crate::operations::Slice;
use crate::secrets::AdminToken;
use problem::Problem;

pub use server::serve;

/// What handlers share.
pub struct Api {
    /// hermes.
    pub app: Arc<App>,
    /// What callers must show.
    pub token: AdminToken,
    /// Which repositories projects may have.
    pub repos: RepoRules,
    /// What the ways of mail besides the token need.
    pub inbound: InboundSettings,
    /// What is known of SNS.
    pub sns: Sns,
}

/// Everything that is served: sites by host name, the API behind its token, the reference.
pub fn router(api: &Arc<Api>) -> Router {
    let (routes, _document) = routes().split_for_parts();
    let sites = Arc::new(sites::Sites::new(api.app.clone()));
    routes
        .merge(docs::page())
        .route("/confirm/{token}", axum::routing::get(confirm::show).post(confirm::act))
        .fallback(|| async {
            Problem::new(StatusCode::NOT_FOUND, "there is nothing here; /docs lists what there is")
        })
        .method_not_allowed_fallback(|| async {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this cannot be done here; /docs lists what can")
        })
        .layer(from_fn_with_state(api.clone(), auth::require_token))
        .layer(map_response(guard_browser))
        .layer(from_fn_with_state(sites, sites::by_host))
        .layer(from_fn(close_unread))
        .layer(CatchPanicLayer::custom(tell_panic))
        .with_state(api.clone())
}

/// A handler that panicked: its caller gets an answer, and everybody else is served on.
fn tell_panic(panic: Box<dyn Any + Send>) -> Response {
    let words = panic.downcast_ref::<&str>().copied();
    let words = words.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no words");
    tracing::error!(panic = words, "a request made hermes panic");
    let detail = "hermes made a mistake over this request; its log says which, please report it";
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail).into_response()
}

/// The OpenAPI document, as `openapi/hermes.json` keeps it.
pub fn document() -> OpenApi {
    let mut document = routes().into_openapi();
    docs::tell_failures(&mut document);
    document
}

fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::with_openapi(docs::head())
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(inbound::post_raw))
        .routes(routes!(inbound::webhooks::post_postmark))
        .routes(routes!(inbound::webhooks::post_mailgun))
        .routes(routes!(inbound::webhooks::post_sendgrid))
        .routes(routes!(inbound::sns::post_sns))
        .routes(routes!(projects::list))
        .routes(routes!(projects::put, projects::get, projects::remove))
        .routes(routes!(preflight::post))
        .routes(routes!(preflight::get))
        .routes(routes!(releases::list))
        .routes(routes!(releases::publish))
        .routes(routes!(releases::undo))
        .routes(routes!(senders::list))
        .routes(routes!(senders::put, senders::get, senders::remove))
        .routes(routes!(mails::list))
        .routes(routes!(mails::get))
        .routes(routes!(simulate::simulate))
        .routes(routes!(jobs::list))
        .routes(routes!(jobs::get))
        .routes(routes!(jobs::stop))
        .routes(routes!(claims::list))
        .routes(routes!(claims::get, claims::release))
        .routes(routes!(dead_letters::list))
        .routes(routes!(dead_letters::requeue))
        .routes(routes!(dead_letters::discard))
        .routes(routes!(sessions::list))
        .routes(routes!(suppressions::list))
        .routes(routes!(suppressions::remove))
        .routes(routes!(threads::remove))
        .routes(routes!(workers::list))
        .routes(routes!(workers::drain))
        .route("/openapi.json", axum::routing::get(docs::json))
}

/// Which part of a long list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct PageQuery {
    /// At most so many entries (1 to 200, default 50).
    limit: Option<usize>,
    /// The `nextCursor` of the page before.
    cursor: Option<String>,
}

impl PageQuery {
    fn slice(self) -> Slice {
        Slice::new(self.limit, self.cursor)
    }
}

/// What browsers may make of our answers: nothing, unless a page says otherwise.
async fn guard_browser(mut response: Response) -> Response {
    const NOTHING: &str = "default-src 'none'; frame-ancestors 'none'";
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value: &'static str| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    set(header::CONTENT_SECURITY_POLICY, NOTHING);
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::X_FRAME_OPTIONS, "DENY");
    set(header::REFERRER_POLICY, "no-referrer");
    set(header::CACHE_CONTROL, "no-store");
    response
}

/// A refusal may leave a body unread; the connection is not used again then.
async fn close_unread(request: Request, next: axum::middleware::Next) -> Response {
    let mut response = next.run(request).await;
    if matches!(
        response.status(),
        StatusCode::UNAUTHORIZED
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::REQUEST_TIMEOUT
            | StatusCode::SERVICE_UNAVAILABLE
    ) {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
