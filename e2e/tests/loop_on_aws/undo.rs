//! The live site on S3, looked at object by object from outside: what is put up, taken back and put up again is the same in
//! its bytes, its type and its cache header.

use std::collections::BTreeMap;

use e2e::api::Api;
use e2e::mail::Letter;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::stage::{LIMIT, OWNER, Object, Stage};
use super::{pass, text};

/// A change by mail; its job.
async fn changed(api: &Api, subject: &str, words: &str) -> Value {
    let accepted = api.order(Letter::new(OWNER, subject, words).to_bytes()).await.unwrap();
    let job = api.job_done(text(&accepted, "commandId"), LIMIT).await.unwrap();
    assert_eq!(job["outcome"], "changed", "{job}");
    job
}

async fn switched(api: &Api, how: &str, body: Option<Value>) -> Value {
    let (status, job) =
        api.request(Method::POST, &format!("/v1/projects/bakery/{how}"), body.as_ref()).await.unwrap();
    assert_eq!(status, StatusCode::ACCEPTED, "{job}");
    let job = api.job_done(text(&job, "commandId"), LIMIT).await.unwrap();
    assert_eq!(job["outcome"], "changed", "{job}");
    job
}

#[tokio::test]
async fn s77_on_s3_undo_brings_back_the_bytes_the_type_and_the_cache_header_of_every_object() {
    let mut stage = Stage::new("direct", pass).await;
    let api = stage.start_hermes().await;
    stage.start_worker(&[]).await;
    let files = [
        ("src/index.html", "<!doctype html><title>Bakery</title><p>Open from 7 to 18</p>\n"),
        ("src/pages/about.md", "# About\n"),
        ("src/_astro/style.0a1B2c3D.css", "p { color: red }\n"),
        ("src/feed.xml", "<rss/>\n"),
        ("src/logo.svg", "<svg xmlns=\"http://www.w3.org/2000/svg\"/>\n"),
    ];
    stage.bakery_with("src", &files).await;
    let one = changed(&api, "Hours", "change \"7 to 18\" to \"8 to 20\"").await;
    let other = changed(&api, "Rye", "add a page about rye").await;
    let live = format!("live-{}.bakery", stage.prefix);
    assert_eq!(stage.objects(&live).await, BTreeMap::new());

    let put_up = async |job: &Value| {
        let up = switched(&api, "publish", Some(json!({"threadId": job["threadId"]}))).await;
        assert_eq!(text(&up, "previewUrl"), format!("https://{live}/"), "the bucket shows it");
        stage.objects(&live).await
    };
    let first = put_up(&one).await;
    let second = put_up(&other).await;
    assert!(first.len() >= 5, "{:?}", first.keys());
    assert!(!first.contains_key("pages/rye.md") && second.contains_key("pages/rye.md"), "a page came");
    assert_ne!(first["index.html"].bytes, second["index.html"].bytes, "a page differs");
    let is = |path: &str, kind: &str, cache: &str| {
        let Object { content_type, cache_control, .. } = &first[path];
        assert!(content_type.starts_with(kind) && cache_control.contains(cache), "{path}: {:?}", first[path]);
    };
    is("index.html", "text/html", "max-age=");
    is("_astro/style.0a1B2c3D.css", "text/css", "immutable");
    is("logo.svg", "image/svg+xml", "");

    for (number, expected) in [&first, &second, &first].into_iter().enumerate() {
        switched(&api, "undo", None).await;
        let now = stage.objects(&live).await;
        assert_eq!(&now, expected, "undo {number}");
    }
    println!(
        "{} and {} objects, three undos: bytes, type and cache header the same",
        first.len(),
        second.len()
    );
    stage.world.stop().await.unwrap();
}
