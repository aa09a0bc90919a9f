//! Mails of one word through the real programs: publish, undo, stop.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use std::time::Duration;

use e2e::api::Api;
use e2e::mail::Letter;
use e2e::wait;
use e2e::world::{World, demo_agent, plain_site};
use serde_json::Value;

const LIMIT: Duration = Duration::from_mins(2);
const OWNER: &str = "amelia@example.org";

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("no {field} in {value}"))
}

async fn world(agent: &str) -> (World, Api, tempfile::TempDir) {
    let mut world = World::temporary().unwrap();
    let api = world.start_hermes("127.0.0.1:0").await.unwrap();
    world.start_worker(&demo_agent(agent).unwrap(), &[]).await.unwrap();
    let (folder, build) = plain_site().unwrap();
    world.add_project("bakery", folder.path(), Some(build), (OWNER, "amelia")).await.unwrap();
    (world, api, folder)
}

/// Replies to the answer to a mail; its own answer has come when this returns.
async fn reply(api: &Api, answered: &Value, words: &str) -> (Value, Value) {
    let letter =
        Letter::new(OWNER, "Re: Hours", words).answering(&format!("<{}>", text(answered, "replyMessageId")));
    let accepted = api.order(letter.to_bytes()).await.unwrap();
    let job = api.job_done(text(&accepted, "commandId"), LIMIT).await.unwrap();
    (job, api.answered(text(&accepted, "mailId"), LIMIT).await.unwrap())
}

async fn live(api: &Api) -> String {
    api.page("bakery.localhost", "/").await.unwrap().text().await.unwrap()
}

#[tokio::test]
async fn s77_publish_and_undo_by_mail_switch_the_live_site_and_back_and_forth_byte_for_byte() {
    let (mut world, api, _folder) = world("").await;
    let order = Letter::new(OWNER, "Hours", "change \"7 to 18\" to \"8 to 20\"");
    let order = api.order(order.to_bytes()).await.unwrap();
    let first = api.answered(text(&order, "mailId"), LIMIT).await.unwrap();
    let (job, published) = reply(&api, &first, "Publish please!").await;
    assert_eq!((text(&job, "action"), text(&job, "outcome")), ("publish", "changed"), "{job}");
    let one = live(&api).await;
    assert!(one.contains("8 to 20"), "{one}");

    let (_, second) = reply(&api, &published, "change \"8 to 20\" to \"9 to 12\"").await;
    assert_eq!(live(&api).await, one, "a preview changes nothing that visitors see");
    let (_, published) = reply(&api, &second, "publish").await;
    let two = live(&api).await;
    assert!(two.contains("9 to 12") && two != one, "{two}");
    let (job, undone) = reply(&api, &published, "undo").await;
    assert_eq!((text(&job, "action"), &job["usage"]["turns"]), ("undo", &Value::from(0)), "{job}");
    assert_eq!(live(&api).await, one);
    reply(&api, &undone, "undo").await;
    assert_eq!(live(&api).await, two);
    assert_eq!(world.sent_mails().unwrap().len(), 6, "one answer for each mail");
    world.stop().await.unwrap();
}

#[tokio::test]
async fn s78_stop_by_mail_ends_the_agent_keeps_the_work_and_is_one_answer() {
    let (mut world, api, _folder) = world("--hang").await;
    let order = Letter::new(OWNER, "Hours", "change \"7 to 18\" to \"8 to 20\"");
    let id = order.message_id.clone().unwrap();
    let order = api.order(order.to_bytes()).await.unwrap();
    let path = format!("/v1/jobs/{}", text(&order, "commandId"));
    wait::until("the agent's start", LIMIT, || async {
        Ok((api.get(&path).await?["attempts"] == 1).then_some(()))
    })
    .await
    .unwrap();
    let stop = Letter::new(OWNER, "Re: Hours", "stop").answering(&id);
    let (_, stopped) = api.post_mail(stop.to_bytes()).await.unwrap();
    assert_eq!(text(&stopped, "ending"), "command-done", "{stopped}");
    let job = api.job_done(text(&order, "commandId"), LIMIT).await.unwrap();
    assert_eq!(text(&job, "outcome"), "stopped", "{job}");
    for mail in [&order, &stopped] {
        api.answered(text(mail, "mailId"), LIMIT).await.unwrap();
    }
    let sent = world.sent_mails().unwrap();
    assert_eq!(sent.len(), 1, "{sent:?}");
    assert!(sent[0].1.contains("The work was stopped."), "{}", sent[0].1);
    world.stop().await.unwrap();
}
