//! The local sites, by host name: a request whose `Host` is the name of a site gets that site's pages and nothing else;
//! the API is not reachable under it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use common::cloud::files::{At, FileContent, Files};
use common::domain::names::SiteTarget;
use common::domain::site::{cache_control, content_type};

/// Where the pages come from.
#[derive(Clone)]
pub struct Sites {
    files: Arc<dyn Files>,
}

impl Sites {
    /// Over the files door.
    pub fn new(files: Arc<dyn Files>) -> Self {
        Self { files }
    }
}

/// The outermost layer: answers for sites, hands on the rest.
pub async fn by_host(State(sites): State<Sites>, request: Request, next: Next) -> Response {
    match target(&request) {
        None => next.run(request).await,
        Some(target) => serve(&sites, &target, &request).await,
    }
}

/// The site that is asked for. HTTP/1.1 names it in `Host`, an absolute request target overrules that (RFC 9112, section 3.2.2).
fn target(request: &Request) -> Option<SiteTarget> {
    let host = request.uri().authority().map(axum::http::uri::Authority::as_str);
    let host = host.or_else(|| request.headers().get(header::HOST)?.to_str().ok())?;
    SiteTarget::from_local_host(host)
}

async fn serve(sites: &Sites, target: &SiteTarget, request: &Request) -> Response {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET, HEAD")], "a site is read only\n").into_response();
    }
    let Some(path) = decode(request.uri().path()) else {
        return (StatusCode::BAD_REQUEST, "this path is not valid\n").into_response();
    };
    let mut response = match find(sites, target, &path).await {
        Ok(Found::Page(path, page)) => page_response(&path, page, request.headers(), StatusCode::OK),
        Ok(Found::Folder) => redirect(request),
        Ok(Found::Nothing) => missing(sites, target, request.headers()).await,
        Err(error) => {
            tracing::warn!(%error, project = %target.project(), "a page could not be read");
            (StatusCode::SERVICE_UNAVAILABLE, "the site cannot be read right now, try again\n").into_response()
        }
    };
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if !matches!(target, SiteTarget::Live(_)) {
        headers.insert("x-robots-tag", HeaderValue::from_static("noindex"));
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    }
    if *request.method() == Method::HEAD {
        *response.body_mut() = Body::empty();
    }
    response
}

enum Found {
    Page(String, FileContent),
    /// The path names a folder with a home page but lacks its final `/`.
    Folder,
    Nothing,
}

async fn find(sites: &Sites, target: &SiteTarget, path: &str) -> common::cloud::Result<Found> {
    let page = |path: String| async move {
        let found = sites.files.get(&At::page(target, path.clone())).await?;
        Ok::<_, common::cloud::CloudError>(found.map(|page| Found::Page(path, page)))
    };
    if path.is_empty() || path.ends_with('/') {
        return Ok(page(format!("{path}index.html")).await?.unwrap_or(Found::Nothing));
    }
    if let Some(found) = page(path.to_owned()).await? {
        return Ok(found);
    }
    if sites.files.exists(&At::page(target, format!("{path}/index.html"))).await? {
        return Ok(Found::Folder);
    }
    Ok(page(format!("{path}.html")).await?.unwrap_or(Found::Nothing))
}

/// The site's own 404 page, if it has one.
async fn missing(sites: &Sites, target: &SiteTarget, headers: &HeaderMap) -> Response {
    let page = sites.files.get(&At::page(target, "404.html")).await;
    match page {
        Ok(Some(page)) => page_response("404.html", page, headers, StatusCode::NOT_FOUND),
        Ok(None) | Err(_) => (StatusCode::NOT_FOUND, "there is no such page\n").into_response(),
    }
}

fn page_response(path: &str, page: FileContent, asked: &HeaderMap, status: StatusCode) -> Response {
    let etag = format!("\"{}\"", page.etag.0.trim_matches('"'));
    let unchanged = status == StatusCode::OK
        && asked.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok()).is_some_and(|known| {
            known.split(',').any(|one| one.trim().trim_start_matches("W/") == etag || one.trim() == "*")
        });
    let headers = [
        (header::CONTENT_TYPE, content_type(path)),
        (header::CACHE_CONTROL, cache_control(path).to_owned()),
        (header::ETAG, etag),
    ];
    if unchanged {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    let length = [(header::CONTENT_LENGTH, page.bytes.len())];
    (status, headers, length, page.bytes).into_response()
}

/// To the same path with a final `/`. Repeated slashes are folded, so that `//evil.org` stays a path.
fn redirect(request: &Request) -> Response {
    let path = request.uri().path().trim_matches('/');
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    let to = format!("/{path}/{query}");
    (StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, to)]).into_response()
}

/// The key that a request path names, without its leading `/`. None for what no published file can be called.
fn decode(path: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.strip_prefix('/')?.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next()?, rest.next()?];
        let text = std::str::from_utf8(&digits).ok().filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()))?;
        bytes.push(u8::from_str_radix(text, 16).ok()?);
    }
    let key = String::from_utf8(bytes).ok()?;
    let (folder, file) = key.rsplit_once('/').unwrap_or(("", &key));
    let plain = |part: &str| part != "." && part != ".." && !part.contains(|c: char| c.is_control() || c == '\\');
    let folders = folder.is_empty() && !key.starts_with('/') || folder.split('/').all(|part| !part.is_empty() && plain(part));
    (folders && plain(file) && key.len() <= 1000).then_some(key)
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::get;
    use bytes::Bytes;
    use common::clock::Clock;
    use common::cloud::files::IfMatch;
    use common::domain::ids::ProjectId;
    use common::domain::names::{Prefix, PreviewKey};
    use tower::ServiceExt;

    use super::*;

    struct Fixture {
        app: Router,
        _folder: tempfile::TempDir,
    }

    async fn fixture() -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        let cloud = common::cloud::local::open(folder.path(), Prefix::parse("test").unwrap(), Clock::System).unwrap();
        let live = SiteTarget::Live(ProjectId::parse("amelia").unwrap());
        for (path, text) in [("index.html", "home"), ("about/index.html", "about"), ("404.html", "lost"), ("a b.css", "c")] {
            cloud.files.put(&At::page(&live, path), Bytes::from(text), IfMatch::Any).await.unwrap();
        }
        let preview = SiteTarget::Thread(live.project().clone(), PreviewKey::from_bytes(&[1; 12]));
        cloud.files.put(&At::page(&preview, "index.html"), Bytes::from("new"), IfMatch::Any).await.unwrap();
        cloud.files.put(&At::object("secret"), Bytes::from("s"), IfMatch::Any).await.unwrap();
        let app = Router::new()
            .route("/v1/projects", get(async || "the API"))
            .layer(axum::middleware::from_fn_with_state(Sites::new(cloud.files), by_host));
        Fixture { app, _folder: folder }
    }

    async fn ask(fixture: &Fixture, method: &str, host: &str, path: &str) -> (StatusCode, HeaderMap, String) {
        let request = Request::builder().method(method).uri(path).header("host", host).body(Body::empty()).unwrap();
        let response = fixture.app.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        (head.status, head.headers, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_host_name_chooses_the_site() {
        let fixture = fixture().await;
        let (status, headers, body) = ask(&fixture, "GET", "amelia.localhost:8025", "/").await;
        assert_eq!((status, body.as_str()), (StatusCode::OK, "home"));
        assert_eq!(headers["content-type"], "text/html; charset=utf-8");
        assert!(!headers.contains_key("x-robots-tag"));
        let host = format!("{}.amelia.localhost", PreviewKey::from_bytes(&[1; 12]));
        let (_, headers, body) = ask(&fixture, "GET", &host, "/").await;
        assert_eq!(body, "new");
        assert_eq!(headers["x-robots-tag"], "noindex");
        assert_eq!(ask(&fixture, "GET", "amelia.localhost", "/a%20b.css").await.2, "c");
    }

    #[tokio::test]
    async fn folders_get_their_slash_and_unknown_pages_the_sites_own_404() {
        let fixture = fixture().await;
        let (status, headers, _) = ask(&fixture, "GET", "amelia.localhost", "/about?x=1").await;
        assert_eq!((status, headers["location"].as_bytes()), (StatusCode::PERMANENT_REDIRECT, &b"/about/?x=1"[..]));
        assert_eq!(ask(&fixture, "GET", "amelia.localhost", "/about/").await.2, "about");
        let (status, _, body) = ask(&fixture, "GET", "amelia.localhost", "/nothing").await;
        assert_eq!((status, body.as_str()), (StatusCode::NOT_FOUND, "lost"));
        assert_eq!(ask(&fixture, "GET", "other.localhost", "/").await.0, StatusCode::NOT_FOUND);
    }

    #[tokio::test]
    async fn an_unchanged_page_is_not_sent_again() {
        let fixture = fixture().await;
        let (_, headers, _) = ask(&fixture, "GET", "amelia.localhost", "/").await;
        let request = Request::builder().uri("/").header("host", "amelia.localhost").header("if-none-match", &headers["etag"]);
        let response = fixture.app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::NOT_MODIFIED);
        let (status, headers, body) = ask(&fixture, "HEAD", "amelia.localhost", "/").await;
        assert_eq!((status, headers["content-length"].as_bytes(), body.as_str()), (StatusCode::OK, &b"4"[..], ""));
    }

    #[tokio::test]
    async fn no_path_leads_out_of_the_site_and_no_site_leads_to_the_api() {
        let fixture = fixture().await;
        for path in [
            "/../secret", "/%2e%2e/secret", "/%2e%2e%2fsecret", "/..%5csecret", "/a/../../secret", "//etc/passwd", "/%00",
            "/%zz", "/%", "/./index.html", "/about//index.html", "/objects/secret", "/v1/projects", "/%2fetc/passwd",
        ] {
            let (status, _, body) = ask(&fixture, "GET", "amelia.localhost", path).await;
            assert!(status == StatusCode::BAD_REQUEST || status == StatusCode::NOT_FOUND, "{path}: {status} {body}");
        }
        assert_eq!(ask(&fixture, "POST", "amelia.localhost", "/").await.0, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(ask(&fixture, "GET", "127.0.0.1:8025", "/v1/projects").await.2, "the API");
    }
}
