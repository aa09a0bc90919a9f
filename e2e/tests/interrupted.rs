//! Work that makes way for newer work, and work that is stopped, through the real programs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use std::time::Duration;

use e2e::api::Api;
use e2e::mail::Letter;
use e2e::remote::Remote;
use e2e::wait;
use e2e::world::{World, demo_agent, plain_site};
use reqwest::{Method, StatusCode};
use serde_json::Value;

const LIMIT: Duration = Duration::from_mins(2);

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("no {field} in {value}"))
}

async fn world(agent: &str) -> (World, Api, tempfile::TempDir, Remote) {
    let mut world = World::temporary().unwrap();
    let api = world.start_hermes("127.0.0.1:0").await.unwrap();
    world.start_worker(&demo_agent(agent).unwrap(), &[]).await.unwrap();
    let (folder, build) = plain_site().unwrap();
    let remote = world
        .add_project("bakery", folder.path(), Some(build), ("amelia@example.org", "amelia"))
        .await
        .unwrap();
    (world, api, folder, remote)
}

/// Sends a mail of a new conversation; its command.
async fn order(api: &Api, wish: &str) -> (String, String) {
    let letter = Letter::new("amelia@example.org", wish, wish);
    let accepted = api.order(letter.to_bytes()).await.unwrap();
    (text(&accepted, "commandId").to_owned(), text(&accepted, "mailId").to_owned())
}

async fn agent_runs(api: &Api, command: &str) {
    let path = format!("/v1/jobs/{command}");
    wait::until("the agent's start", LIMIT, || async {
        Ok((api.get(&path).await?["attempts"] == 1).then_some(()))
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn s45_s47_the_first_of_three_mails_makes_way_for_the_second_and_the_third_queues() {
    let (mut world, api, _folder, remote) = world("--delay-ms 4000").await;
    let (first, _) = order(&api, "change \"7 to 18\" to \"8 to 20\"").await;
    agent_runs(&api, &first).await;
    let (second, _) = order(&api, "add a page about Rye").await;
    agent_runs(&api, &second).await;
    let (third, third_mail) = order(&api, "add a page about Spelt").await;

    let mut ended = Vec::new();
    for command in [&first, &second, &third] {
        let job = api.job_done(command, LIMIT).await.unwrap();
        assert_eq!(job["outcome"], "changed", "{job}");
        assert_eq!(job["attempts"], 1, "{job}");
        ended.push((text(&job, "finishedAt").to_owned(), job["interruptions"].as_u64().unwrap()));
        assert_eq!(remote.commits_beyond_main(text(&job, "branch")).unwrap(), 1, "{job}");
    }
    assert_eq!(ended.iter().map(|(_, count)| *count).collect::<Vec<_>>(), [1, 0, 0]);
    assert!(ended[1].0 < ended[0].0 && ended[1].0 < ended[2].0, "the second went first: {ended:?}");
    api.answered(&third_mail, LIMIT).await.unwrap();
    assert_eq!(world.sent_mails().unwrap().len(), 3, "an interruption is no answer");
    world.stop().await.unwrap();
}

#[tokio::test]
async fn s78_a_running_and_a_waiting_job_are_stopped_and_each_is_answered_once() {
    let (mut world, api, _folder, _remote) = world("--hang").await;
    let (running, running_mail) = order(&api, "change \"7 to 18\" to \"8 to 20\"").await;
    agent_runs(&api, &running).await;
    let later = Letter::new("amelia@example.org", "More", "add a page about Rye");
    let project = api.get("/v1/projects/bakery").await.unwrap();
    let mut patient = project.clone();
    patient["preempt"] = Value::from("never");
    api.put("/v1/projects/bakery", &patient).await.unwrap();
    let waiting = api.order(later.to_bytes()).await.unwrap();
    for command in [text(&waiting, "commandId"), &running] {
        let path = format!("/v1/jobs/{command}/stop");
        let (status, job) = api.request(Method::POST, &path, None).await.unwrap();
        assert_eq!(status, StatusCode::ACCEPTED, "{job}");
    }
    let job = api.job_done(&running, LIMIT).await.unwrap();
    assert_eq!((text(&job, "outcome"), &job["attempts"]), ("stopped", &Value::from(1)));
    let job = api.job_done(text(&waiting, "commandId"), LIMIT).await.unwrap();
    assert_eq!((text(&job, "outcome"), &job["attempts"]), ("stopped", &Value::from(0)));
    for mail in [running_mail.as_str(), text(&waiting, "mailId")] {
        api.answered(mail, LIMIT).await.unwrap();
    }
    assert_eq!(world.sent_mails().unwrap().len(), 2);
    world.stop().await.unwrap();
}
