//! What goes wrong in real life: crashes, broken repositories, failing agents and builds, garbage. Nothing is lost,
//! nothing is tried for ever, the others go on.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use std::time::Duration;

use e2e::api::Api;
use e2e::mail::Letter;
use e2e::remote::Remote;
use e2e::wait;
use e2e::world::{World, demo_agent, plain_site};
use reqwest::StatusCode;
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_mins(2);

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("no {field} in {value}"))
}

async fn bakery(world: &World) -> (tempfile::TempDir, Remote) {
    let (folder, build) = plain_site().unwrap();
    let remote = world
        .add_project("bakery", folder.path(), Some(build), ("amelia@example.org", "amelia"))
        .await
        .unwrap();
    (folder, remote)
}

fn hours(to: &str) -> Letter {
    Letter::new("amelia@example.org", "Hours", &format!("change \"7 to 18\" to \"{to}\""))
}

async fn ends(api: &Api, accepted: &Value) -> Value {
    api.job_done(text(accepted, "commandId"), LIMIT).await.unwrap()
}

/// A good mail of another user is served, whatever happened before.
async fn others_go_on(world: &World, api: &Api) {
    let (folder, build) = plain_site().unwrap();
    world.add_project("florist", folder.path(), Some(build), ("flora@example.org", "flora")).await.unwrap();
    let letter = Letter::new("flora@example.org", "Hours", "change \"7 to 18\" to \"9 to 12\"");
    let accepted = api.order(letter.to_bytes()).await.unwrap();
    assert_eq!(ends(api, &accepted).await["outcome"], "changed");
}

#[tokio::test]
async fn a_worker_killed_in_the_middle_of_a_job_loses_nothing_and_doubles_nothing() {
    let mut world = World::temporary().unwrap();
    let api = world.start_hermes("127.0.0.1:0").await.unwrap();
    let short_lease = [("HERMES_LEASE_SECS", "3")];
    world.start_worker(&demo_agent("--delay-ms 60000").unwrap(), &short_lease).await.unwrap();
    let (_folder, remote) = bakery(&world).await;
    let accepted = api.order(hours("8 to 20").to_bytes()).await.unwrap();
    let path = format!("/v1/jobs/{}", text(&accepted, "commandId"));
    wait::until("the agent's start", LIMIT, || async {
        let job = api.get(&path).await?;
        Ok((job["attempts"] == 1).then_some(()))
    })
    .await
    .unwrap();
    world.workers[0].kill().await.unwrap();

    world.start_worker(&demo_agent("").unwrap(), &short_lease).await.unwrap();
    let job = ends(&api, &accepted).await;
    assert_eq!(job["outcome"], "changed", "{job}");
    assert_eq!(job["attempts"], 2);
    api.answered(text(&accepted, "mailId"), LIMIT).await.unwrap();
    assert_eq!(remote.commits_beyond_main(text(&job, "branch")).unwrap(), 1);
    assert_eq!(world.sent_mails().unwrap().len(), 1);
}

#[tokio::test]
async fn hermes_killed_and_started_again_finishes_what_it_accepted() {
    let mut world = World::temporary().unwrap();
    let api = world.start_hermes("127.0.0.1:0").await.unwrap();
    let (_folder, remote) = bakery(&world).await;
    let accepted = api.order(hours("8 to 20").to_bytes()).await.unwrap();
    world.hermes().unwrap().kill().await.unwrap();
    world.start_worker(&demo_agent("").unwrap(), &[]).await.unwrap();

    let api = world.start_hermes("127.0.0.1:0").await.unwrap();
    let job = ends(&api, &accepted).await;
    assert_eq!(job["outcome"], "changed", "{job}");
    api.answered(text(&accepted, "mailId"), LIMIT).await.unwrap();
    assert_eq!(remote.commits_beyond_main(text(&job, "branch")).unwrap(), 1);
    assert_eq!(world.sent_mails().unwrap().len(), 1);
    world.stop().await.unwrap();
}

#[tokio::test]
async fn a_repository_that_cannot_be_cloned_is_an_ending_and_an_answer() {
    let mut world = World::temporary().unwrap();
    let api = world.start_hermes("127.0.0.1:0").await.unwrap();
    world.start_worker(&demo_agent("").unwrap(), &[]).await.unwrap();
    let missing = format!("file://{}", world.remote_path("missing").display());
    api.put("/v1/projects/bakery", &json!({"repoUrl": missing})).await.unwrap();
    api.put("/v1/senders/amelia@example.org", &json!({"projectId": "bakery", "userId": "amelia"}))
        .await
        .unwrap();
    let accepted = api.order(hours("8 to 20").to_bytes()).await.unwrap();
    let job = ends(&api, &accepted).await;
    assert!(["refused", "failed"].contains(&text(&job, "outcome")), "{job}");
    assert_eq!(job["attempts"], 0, "no money was spent");
    assert!(text(&job, "error").contains("missing.git"), "{job}");
    api.answered(text(&accepted, "mailId"), LIMIT).await.unwrap();
    assert_eq!(world.sent_mails().unwrap().len(), 1);
    others_go_on(&world, &api).await;
    world.stop().await.unwrap();
}

#[tokio::test]
async fn a_failing_agent_is_tried_three_times_and_then_answered() {
    let mut world = World::temporary().unwrap();
    let api = world.start_hermes("127.0.0.1:0").await.unwrap();
    world.start_worker(&demo_agent("--fail").unwrap(), &[]).await.unwrap();
    let (_folder, _remote) = bakery(&world).await;
    let accepted = api.order(hours("8 to 20").to_bytes()).await.unwrap();
    let job = ends(&api, &accepted).await;
    assert_eq!((text(&job, "outcome"), &job["attempts"]), ("agent-failed", &json!(3)), "{job}");
    api.answered(text(&accepted, "mailId"), LIMIT).await.unwrap();
    assert_eq!(world.sent_mails().unwrap().len(), 1);
    world.stop().await.unwrap();
}

#[tokio::test]
async fn a_failing_build_keeps_the_work_and_the_site_that_was_up() {
    let mut world = World::temporary().unwrap();
    let api = world.start_hermes("127.0.0.1:0").await.unwrap();
    world.start_worker(&demo_agent("").unwrap(), &[]).await.unwrap();
    let (folder, remote) = bakery(&world).await;
    let first = api.order(hours("8 to 20").to_bytes()).await.unwrap();
    let up = ends(&api, &first).await;
    let answer = api.answered(text(&first, "mailId"), LIMIT).await.unwrap();
    let broken = json!({"command": ["false"], "output": "dist"});
    world.add_project("bakery", folder.path(), Some(broken), ("amelia@example.org", "amelia")).await.unwrap();

    let letter = Letter::new("amelia@example.org", "Re: Hours", "change \"8 to 20\" to \"9 to 21\"")
        .answering(&format!("<{}>", text(&answer, "replyMessageId").trim_matches(['<', '>'])));
    let second = api.order(letter.to_bytes()).await.unwrap();
    let job = ends(&api, &second).await;
    assert_eq!(job["outcome"], "build-failed", "{job}");
    assert!(
        remote.file(text(&job, "branch"), "site/index.html").unwrap().contains("9 to 21"),
        "the work is kept"
    );
    let host = text(&up, "previewUrl").trim_start_matches("http://").trim_end_matches('/').to_owned();
    assert!(
        api.page(&host, "/").await.unwrap().text().await.unwrap().contains("8 to 20"),
        "the site stays up"
    );
    world.stop().await.unwrap();
}

#[tokio::test]
async fn mails_that_cannot_be_work_have_typed_endings() {
    let mut world = World::temporary().unwrap();
    let api = world.start_hermes("127.0.0.1:0").await.unwrap();
    let (_folder, _remote) = bakery(&world).await;
    let stranger = Letter::new("stranger@example.org", "Hi", "change a to b");
    assert_eq!(api.post_mail(stranger.to_bytes()).await.unwrap().1["ending"], "unknown-sender");
    assert_eq!(api.post_mail(b"\x00\xff no mail at all".to_vec()).await.unwrap().1["ending"], "malformed");
    assert_eq!(api.post_mail(Vec::new()).await.unwrap().0, StatusCode::BAD_REQUEST);
    let mut huge = hours("8 to 20").to_bytes();
    huge.resize(41 * 1024 * 1024, b'x');
    assert_eq!(api.post_mail(huge).await.unwrap().0, StatusCode::PAYLOAD_TOO_LARGE);
    let mails = api.get("/v1/mails").await.unwrap();
    let endings = mails.to_string();
    assert!(endings.contains("unknown-sender") && endings.contains("malformed"), "{endings}");
    assert_eq!(api.order(hours("8 to 20").to_bytes()).await.unwrap()["ending"], "routed");
    world.stop().await.unwrap();
}

#[tokio::test]
async fn two_workers_serve_two_users_of_one_project_at_once() {
    let mut world = World::temporary().unwrap();
    let api = world.start_hermes("127.0.0.1:0").await.unwrap();
    for _ in 0..2 {
        world.start_worker(&demo_agent("--delay-ms 1500").unwrap(), &[]).await.unwrap();
    }
    let (folder, _remote) = bakery(&world).await;
    let (_, build) = plain_site().unwrap();
    world.add_project("bakery", folder.path(), Some(build), ("bob@example.org", "bob")).await.unwrap();
    let first = api.order(hours("8 to 20").to_bytes()).await.unwrap();
    let other = Letter::new("bob@example.org", "About", "change \"Since 1920\" to \"Since 1919\"");
    let second = api.order(other.to_bytes()).await.unwrap();
    let (one, two) = (ends(&api, &first).await, ends(&api, &second).await);
    assert_eq!((text(&one, "outcome"), text(&two, "outcome")), ("changed", "changed"));
    assert_ne!(one["workerId"], two["workerId"], "each on its own worker");
    assert_ne!(one["branch"], two["branch"]);
    world.stop().await.unwrap();
}
