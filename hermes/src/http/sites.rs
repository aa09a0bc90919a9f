//! Sites by host name: what the worker published is read through the same door and shown under `{project}.localhost`, its
//! preview names, and nothing else. Under such a name there is no API.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use common::cloud::files::{At, FileContent};
use common::cloud::{Cloud, CloudError};
use common::domain::names::SiteTarget;
use common::domain::site::{cache_control, content_type};
use percent_encoding::percent_decode_str;

use super::Api;
use super::problem::Problem;

/// Serves a site when the host is one; hands everything else on.
pub(super) async fn by_host(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let host = request.uri().host().or_else(|| request.headers().get(header::HOST)?.to_str().ok());
    match host.and_then(SiteTarget::from_local_host) {
        Some(site) => serve(&api.app.cloud, &site, &request.into_parts().0).await,
        None => next.run(request).await,
    }
}

async fn serve(cloud: &Cloud, site: &SiteTarget, request: &Parts) -> Response {
    if !matches!(request.method, Method::GET | Method::HEAD) {
        return (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET, HEAD")]).into_response();
    }
    let mut response = match answer(cloud, site, request).await {
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

async fn answer(cloud: &Cloud, site: &SiteTarget, request: &Parts) -> Result<Response, CloudError> {
    let Some(path) = page_path(request.uri.path()) else { return not_found(cloud, site).await };
    let headers = &request.headers;
    if path.is_empty() || path.ends_with('/') {
        let index = format!("{path}index.html");
        return match read(cloud, site, &index).await? {
            Some(content) => Ok(page(&index, content, StatusCode::OK, headers)),
            None => not_found(cloud, site).await,
        };
    }
    if let Some(content) = read(cloud, site, &path).await? {
        return Ok(page(&path, content, StatusCode::OK, headers));
    }
    if cloud.files.exists(&At::page(site, format!("{path}/index.html"))).await? {
        return Ok(to_folder(&request.uri));
    }
    let named = format!("{path}.html");
    match read(cloud, site, &named).await? {
        Some(content) => Ok(page(&named, content, StatusCode::OK, headers)),
        None => not_found(cloud, site).await,
    }
}

/// The site's own page for what is not there, if it has one.
async fn not_found(cloud: &Cloud, site: &SiteTarget) -> Result<Response, CloudError> {
    Ok(match read(cloud, site, "404.html").await? {
        Some(content) => page("404.html", content, StatusCode::NOT_FOUND, &HeaderMap::new()),
        None => (StatusCode::NOT_FOUND, "There is no such page.\n").into_response(),
    })
}

/// A path that the door refuses is not there.
async fn read(cloud: &Cloud, site: &SiteTarget, path: &str) -> Result<Option<FileContent>, CloudError> {
    match cloud.files.get(&At::page(site, path)).await {
        Err(CloudError::Invalid(_) | CloudError::NotFound(_)) => Ok(None),
        read => read,
    }
}

fn page(path: &str, content: FileContent, status: StatusCode, asked: &HeaderMap) -> Response {
    let etag = format!("\"{}\"", content.etag.0.trim_matches('"'));
    let known = asked.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok()).is_some_and(|list| {
        list.split(',').map(|tag| tag.trim().trim_start_matches("W/")).any(|tag| tag == etag || tag == "*")
    });
    let about = [(header::ETAG, etag), (header::CACHE_CONTROL, cache_control(path).to_owned())];
    if known {
        return (StatusCode::NOT_MODIFIED, about).into_response();
    }
    (status, about, [(header::CONTENT_TYPE, content_type(path))], content.bytes).into_response()
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
