//! The API: who may call, what is refused and how, what the document says.

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use common::cloud::failing::{Calls, Door, Fate, Operation, When};
use common::domain::job::{Job, JobState};
use hermes::inbound::Caller;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::support::{TOKEN, World, begun, mail, read, text, until};

const OPEN: [&str; 2] = ["/healthz", "/readyz"];
const WEBHOOKS: [&str; 4] =
    ["/v1/inbound/postmark", "/v1/inbound/mailgun/mime", "/v1/inbound/sendgrid", "/v1/inbound/sns"];

/// Every route of the document, with ids filled in.
fn routes() -> Vec<(Method, String)> {
    let document = serde_json::to_value(hermes::http::document()).unwrap();
    let mut routes = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        let path = path
            .replace("{projectId}", "amelia")
            .replace("{address}", "scott@example.org")
            .replace("{mailId}", "m")
            .replace("{commandId}", "c");
        for method in methods.as_object().unwrap().keys() {
            routes.push((method.to_uppercase().parse().unwrap(), path.clone()));
        }
    }
    routes
}

#[tokio::test]
async fn every_route_but_health_and_reference_needs_the_token() {
    let world = World::empty("all");
    let routes = routes();
    assert!(routes.len() >= 15, "{routes:?}");
    for (method, path) in &routes {
        for shown in [None, Some("Bearer wrong"), Some("Bearer "), Some("Basic YTpi"), Some(TOKEN)] {
            let mut request = Request::builder().method(method).uri(path);
            if let Some(shown) = shown {
                request = request.header("authorization", shown);
            }
            // A body that never ends: whoever reads it before the token hangs.
            let body = Body::new(Endless);
            let response =
                tokio::time::timeout(Duration::from_secs(5), world.send(request.body(body).unwrap()));
            let (status, problem) = read(response.await.expect("the body was read first")).await;
            if OPEN.contains(&path.as_str()) {
                assert_eq!(status, StatusCode::OK, "{method} {path}");
            } else {
                assert_eq!(status, StatusCode::UNAUTHORIZED, "{method} {path} {shown:?}");
                // The ways of mail of others have settings of their own.
                let wanted = if WEBHOOKS.contains(&path.as_str()) { "HERMES_" } else { "DIR/admin-token" };
                assert!(text(&problem, "detail").contains(wanted), "{method} {path} {problem}");
            }
        }
    }
    let unknown = Request::get("/nowhere").body(Body::empty()).unwrap();
    assert_eq!(world.send(unknown).await.status(), StatusCode::UNAUTHORIZED);
    for path in ["/openapi.json", "/docs/"] {
        let request = Request::get(path).body(Body::empty()).unwrap();
        assert_eq!(world.send(request).await.status(), StatusCode::OK, "{path}");
    }
}

struct Endless;

impl axum::body::HttpBody for Endless {
    type Data = bytes::Bytes;
    type Error = std::convert::Infallible;
    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<bytes::Bytes>, Self::Error>>> {
        std::task::Poll::Pending
    }
}

/// A body that is a mistake of ours.
struct Panicking;

impl axum::body::HttpBody for Panicking {
    type Data = bytes::Bytes;
    type Error = std::convert::Infallible;
    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<bytes::Bytes>, Self::Error>>> {
        panic!("on purpose")
    }
}

#[tokio::test]
async fn a_handler_that_panics_answers_500_as_a_problem() {
    let world = World::empty("all");
    let (status, problem) = world.post(Body::new(Panicking)).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(text(&problem, "detail").contains("its log says"), "{problem}");
}

#[tokio::test]
async fn projects_are_made_changed_listed_and_removed() {
    let world = World::empty("all");
    let body = json!({
        "repoUrl": "https://github.com/you/amelia.git", "defaultBranch": "main",
        "build": {"command": ["make", "site"], "output": "public"}, "somethingNew": 1
    });
    let (status, made) = world.call("PUT", "/v1/projects/amelia", Some(body.clone())).await;
    assert_eq!((status, text(&made["build"], "output")), (StatusCode::CREATED, "public"));
    assert_eq!(world.call("PUT", "/v1/projects/amelia", Some(body)).await.0, StatusCode::OK);
    let (_, shown) = world.call("GET", "/v1/projects/amelia", None).await;
    assert_eq!(shown["createdAt"], made["createdAt"]);
    let (_, all) = world.call("GET", "/v1/projects", None).await;
    assert_eq!(all["projects"].as_array().unwrap().len(), 1);
    assert_eq!(world.call("DELETE", "/v1/projects/amelia", None).await.0, StatusCode::NO_CONTENT);
    assert_eq!(world.call("GET", "/v1/projects/amelia", None).await.0, StatusCode::NOT_FOUND);
    assert_eq!(world.call("DELETE", "/v1/projects/amelia", None).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn settings_that_break_a_rule_are_refused_with_what_to_do() {
    let world = World::empty("all");
    let url = "https://github.com/you/x.git";
    for (body, hint) in [
        (json!({"repoUrl": "https://evil.org/x"}), "HERMES_REPO_HOSTS"),
        (json!({"repoUrl": "file:///etc"}), "HERMES_ALLOW_FILE_REPOS"),
        (json!({"repoUrl": url, "defaultBranch": "--upload-pack=x"}), "defaultBranch"),
        (json!({"repoUrl": url, "build": {"command": [], "output": "dist"}}), "build.command"),
        (json!({"repoUrl": url, "build": {"command": ["x"], "output": "../.."}}), "build.output"),
        (json!({"repoUrl": url, "preempt": "sometimes"}), "other-thread"),
        (json!({"defaultBranch": "main"}), "repoUrl"),
    ] {
        let (status, problem) = world.call("PUT", "/v1/projects/amelia", Some(body.clone())).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
        assert!(text(&problem, "detail").contains(hint), "{problem}");
    }
    for id in ["UPPER", "a_b", "-a", &"x".repeat(40)] {
        let (status, _) =
            world.call("PUT", &format!("/v1/projects/{id}"), Some(json!({"repoUrl": url}))).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{id}");
    }
    let (status, problem) = world
        .call("PUT", "/v1/senders/a@b.c", Some(json!({"projectId": "nowhere", "userId": "scott"})))
        .await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(text(&problem, "detail").contains("hermes projects add nowhere"));
}

#[tokio::test]
async fn senders_are_registered_listed_and_removed_for_one_project_or_all() {
    let world = World::with_scott().await;
    world.project("bob").await;
    world.sender("scott@example.org", "bob", "scott").await;
    let (_, found) = world.call("GET", "/v1/senders/SCOTT@example.org", None).await;
    assert_eq!(found["senders"].as_array().unwrap().len(), 2);
    let path = "/v1/senders/scott@example.org";
    let one = world.call("DELETE", &format!("{path}?projectId=bob"), None).await;
    assert_eq!(one.0, StatusCode::NO_CONTENT);
    let (_, all) = world.call("GET", "/v1/senders", None).await;
    assert_eq!(all["senders"][0]["projectId"], "amelia");
    assert_eq!(world.call("DELETE", path, None).await.0, StatusCode::NO_CONTENT);
    assert_eq!(world.call("GET", path, None).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn lists_have_pages_and_filters() {
    let world = World::with_scott().await;
    world.sender("bob@example.org", "amelia", "bob").await;
    for (number, day) in [(1, 0), (2, 0), (3, 1), (4, 5)] {
        world.clock.advance(Duration::from_hours(24 * day) + Duration::from_secs(1));
        let from = if number == 2 { "bob@" } else { "scott@" };
        world.accepted(mail(&number.to_string(), &format!("order {number}")).replace("scott@", from)).await;
    }
    let (mut path, mut seen) = ("/v1/jobs?limit=3".to_owned(), Vec::new());
    loop {
        let (status, page) = world.call("GET", &path, None).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        seen.extend(page["jobs"].as_array().unwrap().iter().map(|job| text(job, "instruction").to_owned()));
        let Some(next) = page["nextCursor"].as_str() else { break };
        path = format!("/v1/jobs?limit=3&cursor={}", next.replace('~', "%7E").replace('+', "%2B"));
    }
    assert_eq!(seen, ["order 4", "order 3", "order 2", "order 1"]);
    let count = |page: Value| page["jobs"].as_array().unwrap().len();
    assert_eq!(count(world.call("GET", "/v1/jobs?projectId=amelia&userId=scott", None).await.1), 3);
    assert_eq!(count(world.call("GET", "/v1/jobs?userId=bob", None).await.1), 1);
    assert_eq!(count(world.call("GET", "/v1/jobs?state=done", None).await.1), 0);
    assert_eq!(world.call("GET", "/v1/jobs?state=sleeping", None).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(world.call("GET", "/v1/jobs/unknown", None).await.0, StatusCode::NOT_FOUND);
    world.claimed("amelia#scott").await;
    let (_, claims) = world.call("GET", "/v1/claims", None).await;
    assert_eq!(claims["claims"][0]["workerId"], "worker-1");
}

#[tokio::test]
async fn a_cursor_that_no_page_ended_with_is_a_bad_request_on_every_list() {
    let world = World::with_scott().await;
    for list in [
        "/v1/projects?",
        "/v1/senders?",
        "/v1/mails?",
        "/v1/jobs?",
        "/v1/jobs?projectId=amelia&userId=scott&",
    ] {
        for cursor in ["nonsense", "00ff", "5b5d", "2026-03-03~nonsense", "2026-99-99", "~", "%00"] {
            let (status, problem) = world.call("GET", &format!("{list}cursor={cursor}"), None).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{list}{cursor}: {problem}");
            assert!(text(&problem, "detail").contains("cursor"), "{problem}");
        }
    }
}

#[tokio::test]
async fn a_list_goes_back_over_any_gap_and_looks_at_so_many_entries_at_once() {
    let world = World::with_scott().await;
    world.accepted(mail("0", "the first order")).await;
    world.clock.advance(Duration::from_hours(24 * 200));
    for number in 1..=5 {
        world.clock.advance(Duration::from_secs(1));
        world.accepted(mail(&number.to_string(), &format!("order {number}"))).await;
    }
    let jobs = async |query: &str| {
        let (status, page) = world.call("GET", &format!("/v1/jobs?{query}"), None).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        let of = |job: &Value| text(job, "instruction").to_owned();
        (page["jobs"].as_array().unwrap().iter().map(of).collect::<Vec<_>>(), page["nextCursor"].clone())
    };
    assert_eq!(jobs("limit=200").await.0.len(), 6);
    for owner in ["", "projectId=amelia&userId=scott&"] {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let (page, next) = jobs(&format!("{owner}limit=2{cursor}")).await;
            seen.extend(page);
            let Some(next) = next.as_str() else { break };
            cursor = format!("&cursor={}", next.replace('~', "%7E"));
        }
        assert_eq!(
            seen,
            ["order 5", "order 4", "order 3", "order 2", "order 1", "the first order"],
            "{owner}"
        );
    }
}

#[tokio::test]
async fn a_filter_never_hides_what_lies_behind_other_entries() {
    let world = World::with_scott().await;
    let first = world.accepted(mail("0", "the one that runs")).await;
    let id = common::domain::ids::CommandId::parse(text(&first, "commandId")).unwrap();
    let begin = |job: &mut Job| {
        job.state = JobState::Running;
        std::ops::ControlFlow::Continue(())
    };
    world.cloud().store.update::<Job>(&id, begin).await.unwrap().unwrap();
    for number in 1..=7 {
        world.clock.advance(Duration::from_secs(1));
        world.accepted(mail(&number.to_string(), &format!("order {number}"))).await;
    }
    for owner in ["", "&projectId=amelia&userId=scott"] {
        let (_, page) = world.call("GET", &format!("/v1/jobs?state=running&limit=2{owner}"), None).await;
        assert_eq!(page["jobs"][0]["instruction"], "the one that runs", "{owner}: {page}");
        let (_, page) = world.call("GET", &format!("/v1/jobs?state=pending&limit=3{owner}"), None).await;
        assert_eq!(page["jobs"].as_array().unwrap().len(), 3, "{owner}: {page}");
    }
}

#[tokio::test]
async fn what_is_no_mail_has_a_typed_ending() {
    let world = World::with_scott().await;
    assert_eq!(world.accepted("hello, this is no mail").await["ending"], "malformed");
    assert_eq!(world.accepted(vec![0u8, 255, 3]).await["ending"], "malformed");
    let (status, problem) = world.post("").await;
    assert_eq!((status, text(&problem, "ending")), (StatusCode::BAD_REQUEST, "malformed"));
    let (status, problem) = world.post(vec![b'x'; 41 * 1024 * 1024]).await;
    assert_eq!((status, text(&problem, "ending")), (StatusCode::PAYLOAD_TOO_LARGE, "too-large"));
    let request = Request::post("/v1/inbound/raw").header("authorization", format!("Bearer {TOKEN}"));
    let response = world.send(request.body(Body::from(mail("1", "x"))).unwrap()).await;
    assert_eq!(response.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let big = json!({"repoUrl": "x".repeat(2 * 1024 * 1024)});
    let (status, _) = world.call("PUT", "/v1/projects/amelia", Some(big)).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn mails_on_their_way_in_are_bounded_together() {
    let world = World::with_room(100_000).await;
    let large = |bytes: usize| {
        let request = Request::post("/v1/inbound/raw")
            .header("authorization", format!("Bearer {TOKEN}"))
            .header("content-type", "message/rfc822");
        hermes::http::router(&world.api).oneshot(request.body(begun(bytes)).unwrap())
    };
    let free = |bytes: usize| world.app.inbound.held_for(Caller::Known).grow(bytes).is_ok();
    let under_way: Vec<_> = (0..3).map(|_| tokio::spawn(large(30_000))).collect();
    until("the room to be taken", async || !free(10_001)).await;
    let refused = large(20_000).await.unwrap();
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(refused.headers()["connection"], "close");
    world.accepted(mail("1", "a small one finds room")).await;
    under_way.iter().for_each(tokio::task::JoinHandle::abort);
    until("the room to be given back", async || free(100_000)).await;
}

#[tokio::test]
async fn readiness_follows_the_doors() {
    let world = World::empty("all");
    assert_eq!(world.call("GET", "/readyz", None).await.0, StatusCode::OK);
    world.plan.add(Calls::Through(Door::Store), When::Always, Fate::FailBefore);
    let (status, problem) = world.call("GET", "/readyz", None).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(text(&problem, "detail").contains("tables"), "{problem}");
    assert_eq!(world.call("GET", "/healthz", None).await.0, StatusCode::OK);
    world.plan.heal();
    world.plan.add(Calls::Of(Operation::PutFile), When::Always, Fate::FailBefore);
    until("the failed write", async || {
        let (status, problem) = world.call("GET", "/readyz", None).await;
        status == StatusCode::SERVICE_UNAVAILABLE && text(&problem, "detail").contains("files")
    })
    .await;
    world.plan.heal();
    until("the next write", async || world.call("GET", "/readyz", None).await.0 == StatusCode::OK).await;
    world.app.health.ill("email queue", "no answer");
    assert_eq!(world.call("GET", "/readyz", None).await.0, StatusCode::SERVICE_UNAVAILABLE);
    world.app.health.well("email queue");
    assert_eq!(world.call("GET", "/readyz", None).await.0, StatusCode::OK);
}

#[tokio::test]
async fn many_who_ask_for_readiness_cause_one_write() {
    let world = World::empty("all");
    for _ in 0..20 {
        assert_eq!(world.call("GET", "/readyz", None).await.0, StatusCode::OK);
    }
    let writes = world.plan.count(Operation::PutFile, Fate::Pass);
    assert!((1..20).contains(&writes), "{writes}");
}

#[tokio::test]
async fn errors_are_problem_details_and_nothing_may_be_framed_or_sniffed() {
    let world = World::empty("all");
    let request = Request::get("/v1/projects/x").header("authorization", format!("Bearer {TOKEN}"));
    let response = world.send(request.body(Body::empty()).unwrap()).await;
    let headers = response.headers();
    assert_eq!(headers["content-type"], "application/problem+json");
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert!(headers["content-security-policy"].to_str().unwrap().contains("frame-ancestors 'none'"));
    let (status, problem) = read(response).await;
    assert_eq!((problem["status"].as_u64(), status), (Some(404), StatusCode::NOT_FOUND));
}

#[tokio::test]
async fn whatever_is_wrong_with_a_request_is_told_as_a_problem() {
    let world = World::empty("all");
    for (method, path, expected) in [
        ("GET", "/v1/projects/%ff", StatusCode::BAD_REQUEST),
        ("GET", "/v1/mails/%ff", StatusCode::BAD_REQUEST),
        ("POST", "/v1/projects/amelia", StatusCode::METHOD_NOT_ALLOWED),
        ("DELETE", "/healthz", StatusCode::METHOD_NOT_ALLOWED),
        ("PUT", "/", StatusCode::METHOD_NOT_ALLOWED),
        ("GET", "/v1/jobs?limit=many", StatusCode::BAD_REQUEST),
        ("GET", "/nowhere", StatusCode::NOT_FOUND),
    ] {
        let (status, problem) = world.call(method, path, None).await;
        assert_eq!(
            (status, problem["status"].as_u64()),
            (expected, Some(u64::from(expected.as_u16()))),
            "{path}"
        );
    }
}

#[tokio::test]
async fn the_root_leads_to_the_reference() {
    let world = World::empty("all");
    let response = world.send(Request::get("/").body(Body::empty()).unwrap()).await;
    assert_eq!(response.status(), StatusCode::TEMPORARY_REDIRECT);
    assert_eq!(response.headers()["location"], "/docs/");
}

#[test]
fn the_document_tells_what_can_go_wrong() {
    let document = serde_json::to_value(hermes::http::document()).unwrap();
    let answers = |path: &str, method: &str| -> Vec<String> {
        let answers = document["paths"][path][method]["responses"].as_object().unwrap();
        answers.keys().cloned().collect()
    };
    for (path, method, wanted) in [
        ("/v1/projects/{projectId}", "put", vec!["400", "408", "413", "422", "503"]),
        ("/v1/projects/{projectId}", "get", vec!["400", "404", "503"]),
        ("/v1/senders/{address}", "put", vec!["400", "408", "413", "422", "503"]),
        ("/v1/inbound/raw", "post", vec!["400", "408", "413", "415", "503"]),
        ("/v1/projects", "get", vec!["400", "503"]),
        ("/v1/senders", "get", vec!["400", "503"]),
        ("/v1/mails", "get", vec!["400", "503"]),
        ("/v1/jobs", "get", vec!["400", "503"]),
        ("/v1/claims", "get", vec!["503"]),
    ] {
        let told = answers(path, method);
        assert!(
            wanted.iter().all(|status| told.iter().any(|told| told == status)),
            "{method} {path}: {told:?}"
        );
    }
}

/// A server on a real port, until the token is cancelled.
async fn listening(world: &World) -> (std::net::SocketAddr, CancellationToken) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    tokio::spawn(hermes::http::serve(listener, hermes::http::router(&world.api), stop.clone()));
    (address, stop)
}

#[tokio::test]
async fn a_slow_head_is_cut_off_after_ten_seconds() {
    let world = World::empty("all");
    let (address, _stop) = listening(&world).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ").await.unwrap();
    let begun = Instant::now();
    let mut said = Vec::new();
    tokio::time::timeout(Duration::from_secs(15), stream.read_to_end(&mut said)).await.unwrap().unwrap();
    assert!(begun.elapsed() > Duration::from_secs(8));
    assert!(!String::from_utf8_lossy(&said).contains("200 OK"));
}

#[tokio::test]
async fn a_slow_body_is_cut_off_after_ten_seconds() {
    let world = World::empty("all");
    let (address, _stop) = listening(&world).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /v1/inbound/raw HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: message/rfc822\r\nContent-Length: 100\r\n\r\nFrom:"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut said = Vec::new();
    tokio::time::timeout(Duration::from_secs(15), stream.read_to_end(&mut said)).await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&said).starts_with("HTTP/1.1 408"), "{}", String::from_utf8_lossy(&said));
}

#[tokio::test]
async fn a_mail_of_41_mb_over_a_real_connection_gets_its_answer() {
    let world = World::empty("all");
    let (address, _stop) = listening(&world).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let size = 41 * 1024 * 1024;
    let head = format!(
        "POST /v1/inbound/raw HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: message/rfc822\r\nContent-Length: {size}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![b'x'; size]).await.unwrap();
    let mut said = Vec::new();
    stream.read_to_end(&mut said).await.unwrap();
    let said = String::from_utf8_lossy(&said);
    assert!(said.starts_with("HTTP/1.1 413") && said.contains("too-large"), "{said}");
}

#[tokio::test]
async fn a_request_under_way_is_finished_before_the_server_ends() {
    let world = World::with_scott().await;
    let (address, stop) = listening(&world).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let body = mail("1", "change 7 to 8");
    let head = format!(
        "POST /v1/inbound/raw HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: message/rfc822\r\nContent-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // The server asks for the body: the request is under way.
    let mut asked = [0; 25];
    stream.read_exact(&mut asked).await.unwrap();
    assert!(asked.starts_with(b"HTTP/1.1 100 Continue"));
    stop.cancel();
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut said = Vec::new();
    stream.read_to_end(&mut said).await.unwrap();
    assert!(String::from_utf8_lossy(&said).starts_with("HTTP/1.1 202"), "{}", String::from_utf8_lossy(&said));
}

#[test]
fn the_committed_document_is_the_present_one() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../openapi/hermes.json");
    let present = serde_json::to_string_pretty(&hermes::http::document()).unwrap() + "\n";
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == present,
        "openapi/hermes.json is stale: `hermes openapi > openapi/hermes.json` writes it anew"
    );
    let ids: Vec<String> = present
        .lines()
        .filter_map(|line| line.trim().strip_prefix("\"operationId\": "))
        .map(str::to_owned)
        .collect();
    let distinct: std::collections::BTreeSet<&String> = ids.iter().collect();
    assert!(ids.len() >= 15 && distinct.len() == ids.len(), "every operation has a name of its own: {ids:?}");
}
