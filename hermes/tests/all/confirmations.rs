//! Mails whose author has to say that they wrote them.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use common::cloud::failing::{Calls, Fate, Operation, When};
use hermes::sweep::Sweeper;
use serde_json::Value;

use crate::support::{World, mail, read, text};

/// Its domain has no DMARC policy, but signed it.
fn half_shown() -> String {
    let seen = "Authentication-Results: mx.example.net; dkim=pass header.d=example.org; dmarc=none header.from=example.org";
    format!("{seen}\r\n{}", mail("1", "change 7 to 8"))
}

async fn asked() -> (World, String, String) {
    asked_about(half_shown()).await
}

/// A world that wants DMARC, and a mail whose domain has none but signed it.
async fn asked_about(raw: String) -> (World, String, String) {
    let world = World::with(&["--trust", "verify", "--authserv-id", "mx.example.net"]).await;
    let accepted = world.accepted(raw).await;
    assert_eq!(accepted["ending"], "confirmation-asked");
    let sent = world.outbox();
    assert_eq!(sent.len(), 1, "{sent:?}");
    assert!(sent[0].contains("To: scott@example.org"));
    let words = hermes::mail::read(sent[0].as_bytes()).unwrap().text;
    let path = words.split_whitespace().find_map(|word| word.split_once("/confirm/")).unwrap().1.to_owned();
    (world, format!("/confirm/{path}"), text(&accepted, "mailId").to_owned())
}

/// As a browser asks: without the API's token.
async fn browse(world: &World, method: &str, path: &str) -> (StatusCode, String) {
    let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
    let (status, page) = read(world.send(request).await).await;
    let Value::String(html) = page else { panic!("no page: {page}") };
    (status, html)
}

#[tokio::test]
async fn opening_the_link_shows_what_would_be_done_and_only_the_button_acts() {
    let (world, path, id) = asked().await;
    for _ in 0..3 {
        let (status, html) = browse(&world, "GET", &path).await;
        assert_eq!(status, StatusCode::OK, "{html}");
        for part in ["change 7 to 8", "scott@example.org", "Hours", "amelia", "<form method=\"post\">"] {
            assert!(html.contains(part), "{part} in {html}");
        }
    }
    assert!(world.works("amelia#scott").await.is_empty(), "reading changes nothing");

    let (status, html) = browse(&world, "POST", &path).await;
    assert_eq!(status, StatusCode::OK);
    assert!(html.contains("Thank you") && !html.contains("<form"), "{html}");
    let works = world.works("amelia#scott").await;
    assert_eq!(works.len(), 1);
    assert_eq!(works[0]["instruction"], "change 7 to 8");
    let record = world.mail(&id).await;
    assert_eq!(record.ending.unwrap().as_str(), "routed");
    assert!(serde_json::to_string(&record.trace).unwrap().contains("confirmed"), "{:?}", record.trace);
}

#[tokio::test]
async fn whoever_has_several_sites_confirms_a_stray_mail_before_they_are_asked_which_one_it_is_about() {
    let world = World::with(&["--trust", "verify", "--authserv-id", "mx.example.net"]).await;
    world.project("bob").await;
    world.sender("scott@example.org", "bob", "scott").await;
    let seen = "Authentication-Results: mx.example.net; dmarc=pass header.from=example.org";
    let stray = format!("{seen}\r\n{}", mail("1", "change 7 to 8").replace("\r\nTo: ", "\r\nX-To: "));
    let accepted = world.accepted(stray).await;
    assert_eq!(accepted["ending"], "confirmation-asked", "{accepted}");
    let words = hermes::mail::read(world.outbox()[0].as_bytes()).unwrap().text;
    let token = words.split_whitespace().find_map(|word| word.split_once("/confirm/")).unwrap().1;
    let path = format!("/confirm/{token}");
    let (_, html) = browse(&world, "GET", &path).await;
    assert!(html.contains("change 7 to 8") && !html.contains("amelia") && !html.contains("bob"), "{html}");
    browse(&world, "POST", &path).await;
    let record = world.mail(text(&accepted, "mailId")).await;
    assert_eq!(record.ending.unwrap().as_str(), "question-asked");
    assert_eq!(world.outbox().len(), 2);
}

#[tokio::test]
async fn the_page_names_the_files_that_would_go_along() {
    let files = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nput this up\r\n--b\r\nContent-Type: text/csv\r\nContent-Disposition: attachment; filename=\"our prices.csv\"\r\n\r\nsoup;7\r\n--b\r\nContent-Type: application/octet-stream\r\nContent-Disposition: attachment; filename=setup.exe\r\n\r\nx\r\n--b--\r\n";
    let (world, path, _) = asked_about(half_shown().replace("\r\nchange 7 to 8\r\n", files)).await;
    let (status, html) = browse(&world, "GET", &path).await;
    assert_eq!(status, StatusCode::OK, "{html}");
    assert!(html.contains("put this up") && html.contains("our-prices.csv (1 KB)"), "{html}");
    assert!(!html.contains("setup"), "a program does not go along: {html}");
    browse(&world, "POST", &path).await;
    let works = world.works("amelia#scott").await;
    assert_eq!(works[0]["attachments"][0]["name"], "our-prices.csv");
}

#[tokio::test]
async fn a_link_is_good_once_and_says_so_to_whoever_presses_again() {
    let (world, path, _) = asked().await;
    let (_, first) = browse(&world, "POST", &path).await;
    assert!(first.contains("You get an answer by mail"), "{first}");
    world.clock.advance(Duration::from_hours(80));
    for method in ["POST", "GET"] {
        let (status, html) = browse(&world, method, &path).await;
        assert_eq!((status, html.as_str()), (StatusCode::OK, first.as_str()), "{method}");
    }
    assert_eq!(world.works("amelia#scott").await.len(), 1);
    assert_eq!(world.outbox().len(), 1, "the question alone");
}

#[tokio::test]
async fn of_two_presses_at_once_both_are_thanked_and_one_acts() {
    let (world, path, _) = asked().await;
    let presses = (0..3).map(|_| browse(&world, "POST", &path));
    for (status, html) in futures_util::future::join_all(presses).await {
        assert_eq!(status, StatusCode::OK, "{html}");
        assert!(html.contains("You get an answer by mail"), "{html}");
    }
    assert_eq!(world.works("amelia#scott").await.len(), 1);
}

#[tokio::test]
async fn a_link_expires_and_a_wrong_one_is_good_for_nothing() {
    let (world, path, id) = asked().await;
    assert_eq!(browse(&world, "POST", "/confirm/0123456789abcdef0123456789abcdef").await.0, StatusCode::GONE);
    world.clock.advance(Duration::from_hours(73));
    for method in ["GET", "POST"] {
        assert_eq!(browse(&world, method, &path).await.0, StatusCode::GONE);
    }
    assert!(world.works("amelia#scott").await.is_empty());
    assert_eq!(world.mail(&id).await.ending.unwrap().as_str(), "confirmation-asked");
}

#[tokio::test]
async fn only_the_hash_of_what_the_link_holds_is_kept() {
    let (world, path, _) = asked().await;
    let token = path.rsplit('/').next().unwrap();
    let rows = world.cloud().store.scan(common::cloud::store::Table::Access, 10, None).await.unwrap().rows;
    assert_eq!(rows.len(), 1);
    assert!(!rows[0].body.to_string().contains(token));
}

#[tokio::test]
async fn the_same_mail_again_is_not_asked_about_again() {
    let (world, _, _) = asked().await;
    world.accepted(half_shown()).await;
    assert_eq!(world.outbox().len(), 1);
}

#[tokio::test]
async fn a_confirmation_cut_short_is_finished_by_the_sweep() {
    let (world, path, id) = asked().await;
    world.plan.add(Calls::Of(Operation::Send), When::Always, Fate::FailBefore);
    let (status, html) = browse(&world, "POST", &path).await;
    assert_eq!(status, StatusCode::OK, "it is kept, and will be done: {html}");
    assert!(world.works("amelia#scott").await.is_empty());
    world.plan.heal();
    world.clock.advance(Duration::from_secs(11));
    Sweeper::new(world.app.clone()).finish_open_mails().await.unwrap();
    assert_eq!(world.mail(&id).await.ending.unwrap().as_str(), "routed");
    assert_eq!(world.works("amelia#scott").await.len(), 1);
}

#[tokio::test]
async fn the_time_of_work_begins_when_it_is_ordered_not_when_its_mail_came() {
    let (world, path, id) = asked().await;
    world.clock.advance(Duration::from_hours(25));
    browse(&world, "POST", &path).await;
    world.clock.advance(Duration::from_secs(15));
    Sweeper::new(world.app.clone()).sweep().await;
    let command = world.mail(&id).await.command_id.unwrap();
    let job = world.job(command.as_str()).await;
    assert!(job.is_open() && job.acknowledged_at.is_none(), "{job:?}");
    assert_eq!(world.works("amelia#scott").await.len(), 1);
    assert_eq!(world.outbox().len(), 1, "the question alone");
}
