//! Sites by host name: what the worker published is read through the same door and shown under `{project}.` and
//! the domain of the sites, its preview names, and nothing else. Under such a name there is no API, and its readers do not take
//! all connections.

mod page;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use common::cloud::files::At;
use common::cloud::{Cloud, CloudError};
use common::domain::names::SiteTarget;
use percent_encoding::percent_decode_str;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::problem::Problem;
use crate::app::App;
use page::{Asked, Page};

/// How many pages are read at once, of four times as many connections: the rest is for the API.
const MAX_READERS: usize = 256;

/// All sites.
pub(super) struct Sites {
    app: Arc<App>,
    readers: Arc<Semaphore>,
}

impl Sites {
    pub(super) fn new(app: Arc<App>) -> Self {
        Self { app, readers: Arc::new(Semaphore::new(MAX_READERS)) }
    }
}

/// Serves a site when the host is one; hands everything else on.
pub(super) async fn by_host(State(sites): State<Arc<Sites>>, request: Request, next: Next) -> Response {
    let host = request.uri().host().or_else(|| request.headers().get(header::HOST)?.to_str().ok());
    let site = host.and_then(|host| SiteTarget::from_host(host, &sites.app.sites_domain));
    let Some(site) = site else { return next.run(request).await };
    match Arc::clone(&sites.readers).try_acquire_owned() {
        Ok(slot) => serve(&sites.app.cloud, &site, &request.into_parts().0, slot).await,
        Err(_) => too_many(),
    }
}

fn too_many() -> Response {
    let detail = "too many pages are being read at once; ask again in a moment";
    let mut response = Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(1).into_response();
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

async fn serve(cloud: &Cloud, site: &SiteTarget, request: &Parts, slot: OwnedSemaphorePermit) -> Response {
    if !matches!(request.method, Method::GET | Method::HEAD) {
        let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "pages of a site can only be read");
        return ([(header::ALLOW, "GET, HEAD")], problem).into_response();
    }
    let mut response = match answer(cloud, site, request, slot).await {
        Ok(response) => response,
        Err(error) => Problem::from(error).into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if !matches!(site, SiteTarget::Live(_)) {
        headers.insert(HeaderName::from_static("x-robots-tag"), HeaderValue::from_static("noindex"));
    }
    response
}

async fn answer(
    cloud: &Cloud,
    site: &SiteTarget,
    request: &Parts,
    slot: OwnedSemaphorePermit,
) -> Result<Response, CloudError> {
    let asked = Asked { method: &request.method, headers: &request.headers };
    let Some(path) = page_path(request.uri.path()) else { return not_found(cloud, site, asked, slot).await };
    let is_folder = path.is_empty() || path.ends_with('/');
    let first = if is_folder { format!("{path}index.html") } else { path.clone() };
    if let Some(page) = Page::open(cloud, At::page(site, first), asked).await? {
        return Ok(page.answer(StatusCode::OK, asked, slot));
    }
    if is_folder {
        return not_found(cloud, site, asked, slot).await;
    }
    if page::is_there(cloud, &At::page(site, format!("{path}/index.html"))).await? {
        return Ok(to_folder(&request.uri));
    }
    match Page::open(cloud, At::page(site, format!("{path}.html")), asked).await? {
        Some(page) => Ok(page.answer(StatusCode::OK, asked, slot)),
        None => not_found(cloud, site, asked, slot).await,
    }
}

/// The site's own page for what is not there, if it has one.
async fn not_found(
    cloud: &Cloud,
    site: &SiteTarget,
    asked: Asked<'_>,
    slot: OwnedSemaphorePermit,
) -> Result<Response, CloudError> {
    let unconditional = HeaderMap::new();
    let asked = Asked { headers: &unconditional, ..asked };
    Ok(match Page::open(cloud, At::page(site, "404.html"), asked).await? {
        Some(page) => page.answer(StatusCode::NOT_FOUND, asked, slot),
        None => (StatusCode::NOT_FOUND, "There is no such page.\n").into_response(),
    })
}

/// A folder is asked for without its `/`: its relative links need it.
fn to_folder(uri: &Uri) -> Response {
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let location = format!("{}/{query}", uri.path());
    (StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, location)]).into_response()
}

/// The key of a path: each part decoded once and then free of anything that could lead elsewhere. None for all others.
fn page_path(path: &str) -> Option<String> {
    let rest = path.strip_prefix('/')?;
    if rest.is_empty() {
        return Some(String::new());
    }
    let (folders, slash) = rest.strip_suffix('/').map_or((rest, ""), |folders| (folders, "/"));
    let parts: Option<Vec<String>> = folders.split('/').map(page_part).collect();
    Some(parts?.join("/") + slash)
}

fn page_part(part: &str) -> Option<String> {
    let decoded = percent_decode_str(part).decode_utf8().ok()?;
    let plain = !decoded.is_empty() && decoded != "." && decoded != "..";
    let legal = decoded.chars().all(|c| !c.is_control() && c != '/' && c != '\\');
    (plain && legal).then(|| decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_paths_are_keys() {
        for (path, key) in
            [("/", ""), ("/a/b.css", "a/b.css"), ("/a/", "a/"), ("/%C3%A4%20b", "ä b"), ("/a.b", "a.b")]
        {
            assert_eq!(page_path(path).as_deref(), Some(key), "{path}");
        }
    }

    #[test]
    fn nothing_leads_out_of_the_site() {
        for path in [
            "",
            "//",
            "//evil.org/x",
            "/../x",
            "/a/../../x",
            "/%2e%2e/x",
            "/..%2fx",
            "/a%2f..%2fb",
            "/a\\b",
            "/%5c",
            "/a%00b",
            "/./x",
            "/a//b",
            "/%ff",
            "a",
        ] {
            assert_eq!(page_path(path), None, "{path}");
        }
        assert_eq!(page_path("/%252e%252e/x").as_deref(), Some("%2e%2e/x"), "decoded once only");
    }
}
