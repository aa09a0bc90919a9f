//! Sites by host name.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::response::Response;
use common::cloud::files::{At, IfMatch};
use common::domain::ids::ProjectId;
use common::domain::names::{PreviewKey, SiteTarget};
use http_body_util::BodyExt;

use crate::support::{TOKEN, World};

async fn published() -> (World, SiteTarget) {
    let world = World::empty("all");
    let site = SiteTarget::Thread(ProjectId::parse("amelia").unwrap(), PreviewKey::from_bytes(&[7; 12]));
    for (path, content) in [
        ("index.html", "<p>home</p>"),
        ("about/index.html", "<p>about</p>"),
        ("plain.html", "<p>plain</p>"),
        ("404.html", "<p>lost</p>"),
        ("_astro/x.B1c2.css", "p{}"),
    ] {
        let at = At::page(&site, path);
        world.cloud().files.put(&at, content.into(), IfMatch::Any).await.unwrap();
    }
    (world, site)
}

async fn get(world: &World, site: &SiteTarget, path: &str) -> Response {
    let host = format!("{}:8025", site.local_host());
    world.send(Request::get(path).header("host", host).body(Body::empty()).unwrap()).await
}

async fn body(response: Response) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn pages_are_served_by_host_with_type_and_cache_header() {
    let (world, site) = published().await;
    for (path, content) in [("/", "<p>home</p>"), ("/about/", "<p>about</p>"), ("/plain", "<p>plain</p>")] {
        let response = get(&world, &site, path).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        assert_eq!(response.headers()["content-type"], "text/html; charset=utf-8");
        assert!(response.headers()["cache-control"].to_str().unwrap().contains("must-revalidate"));
        assert_eq!(response.headers()["x-content-type-options"], "nosniff");
        assert_eq!(response.headers()["x-robots-tag"], "noindex");
        assert_eq!(body(response).await, content);
    }
    let asset = get(&world, &site, "/_astro/x.B1c2.css").await;
    assert!(asset.headers()["cache-control"].to_str().unwrap().contains("immutable"));
    let folder = get(&world, &site, "/about?x=1").await;
    assert_eq!(folder.status(), StatusCode::PERMANENT_REDIRECT);
    assert_eq!(folder.headers()["location"], "/about/?x=1");
}

#[tokio::test]
async fn a_page_that_is_known_is_not_sent_again() {
    let (world, site) = published().await;
    let first = get(&world, &site, "/").await;
    let etag = first.headers()["etag"].clone();
    let again = Request::get("/").header("host", site.local_host()).header("if-none-match", etag);
    let response = world.send(again.body(Body::empty()).unwrap()).await;
    assert_eq!(response.status(), StatusCode::NOT_MODIFIED);
    assert!(body(response).await.is_empty());
}

#[tokio::test]
async fn what_is_not_there_is_the_sites_own_404() {
    let (world, site) = published().await;
    let response = get(&world, &site, "/nowhere").await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert_eq!(body(response).await, "<p>lost</p>");
    let live = SiteTarget::Live(ProjectId::parse("amelia").unwrap());
    let other = get(&world, &live, "/").await;
    assert_eq!(other.status(), StatusCode::NOT_FOUND);
    assert!(other.headers().get("x-robots-tag").is_none(), "only previews are hidden from search engines");
}

#[tokio::test]
async fn nothing_outside_the_site_can_be_read() {
    let (world, site) = published().await;
    std::fs::write(world.folder.path().join("admin-token"), "secret").unwrap();
    for path in [
        "/../../admin-token",
        "/%2e%2e/%2e%2e/admin-token",
        "/..%2f..%2fadmin-token",
        "/%2e%2e%2f%2e%2e%2fadmin-token",
        "/about/../../../admin-token",
        "/....//admin-token",
        "/%5c..%5c..%5cadmin-token",
        "/index.html%00.css",
        "/%ff",
        "//admin-token",
        "/./index.html",
    ] {
        let response = get(&world, &site, path).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
        assert!(!body(response).await.contains("secret"), "{path}");
    }
}

#[tokio::test]
async fn under_a_sites_name_there_is_no_api() {
    let (world, site) = published().await;
    for path in ["/v1/jobs", "/healthz", "/openapi.json", "/docs/"] {
        let request = Request::get(path)
            .header("host", site.local_host())
            .header("authorization", format!("Bearer {TOKEN}"));
        let response = world.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
    }
    let post = Request::post("/").header("host", site.local_host()).body(Body::empty()).unwrap();
    assert_eq!(world.send(post).await.status(), StatusCode::METHOD_NOT_ALLOWED);
}
