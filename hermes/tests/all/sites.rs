//! Sites by host name.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::response::Response;
use common::cloud::failing::{Fate, Operation};
use common::cloud::files::{At, IfMatch};
use common::domain::ids::ProjectId;
use common::domain::names::{PreviewKey, SiteTarget};
use http_body_util::BodyExt;

use tower::ServiceExt;

use crate::support::{TOKEN, World};

async fn published() -> (World, SiteTarget) {
    let world = World::empty("all");
    let site = SiteTarget::Thread(ProjectId::parse("amelia").unwrap(), PreviewKey::from_bytes(&[7; 12]));
    for (path, content) in [
        ("index.html", "<p>home</p>"),
        ("about/index.html", "<p>about</p>"),
        ("plain.html", "<p>plain</p>"),
        ("404.html", "<p>lost</p>"),
        ("_astro/x.B1c2d3E4.css", "p{}"),
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
    let asset = get(&world, &site, "/_astro/x.B1c2d3E4.css").await;
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
async fn what_is_no_plain_file_is_not_there() {
    let (world, site) = published().await;
    let root = world.folder.path().join("sites").join(site.local_host());
    std::fs::write(world.folder.path().join("secret"), "secret").unwrap();
    std::os::unix::fs::symlink(world.folder.path().join("secret"), root.join("link")).unwrap();
    std::os::unix::fs::symlink(world.folder.path(), root.join("folder")).unwrap();
    nix::unistd::mkfifo(&root.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    for path in ["/link", "/folder/secret", "/folder/", "/pipe"] {
        let response = get(&world, &site, path).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
        assert_eq!(body(response).await, "<p>lost</p>", "{path}");
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
    let refused = world.send(post).await;
    assert_eq!(refused.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(refused.headers()["allow"], "GET, HEAD");
    assert_eq!(refused.headers()["content-type"], "application/problem+json");
}

#[tokio::test]
async fn sites_are_served_below_the_domain_that_is_set_and_nowhere_else() {
    let world = World::with(&["--trust", "all", "--sites-domain", "previews.agency.com"]).await;
    let domain = "previews.agency.com".parse().unwrap();
    let site = SiteTarget::Live(ProjectId::parse("amelia").unwrap());
    world.cloud().files.put(&At::page(&site, "index.html"), "home".into(), IfMatch::Any).await.unwrap();
    let at = async |host: String| {
        let request = Request::get("/").header("host", host).body(Body::empty()).unwrap();
        let response = world.send(request).await;
        (response.status(), body(response).await)
    };
    let home = (StatusCode::OK, "home".to_owned());
    assert_eq!(at(site.host(&domain)).await, home);
    assert_eq!(at(format!("{}:443", site.host(&domain))).await, home);
    for host in [site.local_host(), "previews.agency.com".into(), "amelia.agency.com".into()] {
        assert_ne!(at(host.clone()).await, home, "{host}");
    }
}

const LARGE: usize = 1024 * 1024;

async fn with_film() -> (World, SiteTarget) {
    let (world, site) = published().await;
    let film: Vec<u8> = (0..=250u8).cycle().take(LARGE).collect();
    world.cloud().files.put(&At::page(&site, "film.mp4"), film.into(), IfMatch::Any).await.unwrap();
    (world, site)
}

async fn asked(world: &World, site: &SiteTarget, method: &str, headers: &[(&str, &str)]) -> Response {
    let mut request = Request::builder().method(method).uri("/film.mp4").header("host", site.local_host());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    world.send(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn a_large_page_is_read_in_pieces_as_its_reader_takes_them() {
    let (world, site) = with_film().await;
    let mut film = asked(&world, &site, "GET", &[]).await.into_body();
    let reads = || world.plan.count(Operation::ReadRange, Fate::Pass);
    let first = film.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!((first.len(), reads()), (256 * 1024, 1), "the rest is not read yet");
    let rest = film.collect().await.unwrap().to_bytes();
    assert_eq!((first.len() + rest.len(), reads()), (LARGE, 4));
    let film: Vec<u8> = first.into_iter().chain(rest).collect();
    assert!(film.iter().eq((0..=250u8).cycle().take(LARGE).collect::<Vec<_>>().iter()));
    assert_eq!(world.plan.count(Operation::GetFile, Fate::Pass), 0);
}

#[tokio::test]
async fn a_page_that_is_replaced_while_it_is_sent_is_never_mixed() {
    let (world, site) = with_film().await;
    let mut film = asked(&world, &site, "GET", &[]).await.into_body();
    film.frame().await.unwrap().unwrap();
    let at = At::page(&site, "film.mp4");
    world.cloud().files.put(&at, vec![7; LARGE].into(), IfMatch::Any).await.unwrap();
    assert!(film.collect().await.is_err());
}

#[tokio::test]
async fn one_range_of_a_page_can_be_asked_for() {
    let (world, site) = with_film().await;
    for (range, place, size) in [
        ("bytes=0-0", "bytes 0-0/1048576", 1),
        ("bytes=1000-", "bytes 1000-1048575/1048576", LARGE - 1000),
        ("bytes=-3", "bytes 1048573-1048575/1048576", 3),
        ("bytes=5-9999999", "bytes 5-1048575/1048576", LARGE - 5),
        ("bytes=-9999999", "bytes 0-1048575/1048576", LARGE),
    ] {
        let response = asked(&world, &site, "GET", &[("range", range)]).await;
        assert_eq!(response.status(), StatusCode::PARTIAL_CONTENT, "{range}");
        assert_eq!(response.headers()["content-range"], place);
        assert_eq!(response.headers()["content-length"], size.to_string());
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let begin: usize = place[6..].split('-').next().unwrap().parse().unwrap();
        assert_eq!((bytes.len(), usize::from(bytes[0])), (size, begin % 251), "{range}");
    }
    for range in ["bytes=1048576-", "bytes=9-3"] {
        let response = asked(&world, &site, "GET", &[("range", range)]).await;
        assert_eq!(response.status(), StatusCode::RANGE_NOT_SATISFIABLE, "{range}");
        assert_eq!(response.headers()["content-range"], "bytes */1048576");
    }
    for headers in [
        vec![("range", "bytes=0-1,4-5")],
        vec![("range", "lines=1")],
        vec![("range", "bytes=0-1"), ("if-range", "\"another\"")],
    ] {
        let response = asked(&world, &site, "GET", &headers).await;
        assert_eq!(response.status(), StatusCode::OK, "{headers:?}");
    }
}

#[tokio::test]
async fn a_head_and_a_known_page_are_answered_without_its_bytes() {
    let (world, site) = with_film().await;
    let head = asked(&world, &site, "HEAD", &[]).await;
    assert_eq!(
        (head.status(), head.headers()["content-length"].to_str().unwrap()),
        (StatusCode::OK, "1048576")
    );
    let etag = head.headers()["etag"].to_str().unwrap().to_owned();
    assert!(body(head).await.is_empty());
    let known = asked(&world, &site, "GET", &[("if-none-match", &etag)]).await;
    assert_eq!(known.status(), StatusCode::NOT_MODIFIED);
    assert_eq!(world.plan.count(Operation::GetFile, Fate::Pass), 0);
}

#[tokio::test]
async fn readers_of_sites_leave_room_for_the_api() {
    let (world, site) = with_film().await;
    let router = hermes::http::router(&world.api);
    let get = async |path: &str, host: &str| {
        let request = Request::get(path).header("host", host).body(Body::empty()).unwrap();
        router.clone().oneshot(request).await.unwrap()
    };
    let mut readers = Vec::new();
    for _ in 0..256 {
        readers.push(get("/film.mp4", &site.local_host()).await);
    }
    let one_more = get("/", &site.local_host()).await;
    assert_eq!(one_more.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(one_more.headers()["connection"], "close");
    assert!(one_more.headers().contains_key("retry-after"));
    assert_eq!(get("/healthz", "localhost").await.status(), StatusCode::OK);
    readers.pop();
    assert_eq!(get("/", &site.local_host()).await.status(), StatusCode::OK);
}
