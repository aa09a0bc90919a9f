//! Previews of conversations that nobody goes on with: who is due, ordered once, and never against a mail.

use std::time::Duration;

use common::cloud::failing::{Calls, Fate, Operation, When};
use common::cloud::files::{At, IfMatch};
use common::domain::ids::ThreadId;
use common::domain::names::SiteTarget;
use common::domain::thread::Thread;
use hermes::previews::expire;
use serde_json::{Value, json};

use crate::support::{World, mail, text};

const DAY: Duration = Duration::from_hours(24);
const KEPT: Duration = Duration::from_hours(30 * 24);

/// A conversation whose mail was worked off.
async fn conversation(world: &World, id: &str) -> Thread {
    let answer = world.accepted(mail(id, "change 7 to 8")).await;
    let thread = ThreadId::parse(text(&answer, "threadId")).unwrap();
    world.report(world.result(text(&answer, "commandId")).await.to_json()).await;
    world.works("amelia#scott").await;
    world.announcements().await;
    world.cloud().store.load::<Thread>(&thread).await.unwrap().unwrap().value
}

/// Its preview is this release, put up now, with these pages.
async fn shows(world: &World, thread: &Thread, number: u64, pages: &[&str]) {
    let hash = "0".repeat(64);
    let files: serde_json::Map<_, _> =
        pages.iter().map(|page| ((*page).to_owned(), json!({"sha256": hash, "sizeBytes": 1}))).collect();
    let manifest = json!({"number": number, "commandId": "c-1", "commitId": "c0ffee", "epoch": 1,
        "state": "published", "publishedAt": world.cloud().clock.now().millis(), "files": files});
    let preview = SiteTarget::Thread(thread.project_id.clone(), thread.preview_key.clone());
    let at = At::object(preview.manifest_key());
    world.cloud().files.put(&at, manifest.to_string().into(), IfMatch::Any).await.unwrap();
}

async fn ordered(world: &World) -> Vec<Value> {
    expire(world.cloud(), KEPT).await.unwrap();
    world.works("amelia#scott").await
}

#[tokio::test]
async fn a_preview_is_taken_down_when_nobody_wrote_for_thirty_days_and_not_before() {
    let world = World::with_scott().await;
    let thread = conversation(&world, "1").await;
    shows(&world, &thread, 3, &["index.html"]).await;
    world.pass(KEPT.saturating_sub(Duration::from_secs(1)));
    assert_eq!(ordered(&world).await, [Value::Null; 0]);
    world.pass(Duration::from_secs(1));
    let works = ordered(&world).await;
    assert_eq!(works.len(), 1, "{works:?}");
    assert_eq!((text(&works[0], "action"), &works[0]["release"]), ("take-down", &json!(3)));
    assert_eq!(text(&works[0], "threadId"), thread.thread_id.as_str());
    assert_eq!(world.announcements().await, 1, "nobody owned it");
}

#[tokio::test]
async fn one_that_is_ordered_is_not_ordered_again_that_day_and_again_on_the_next_while_it_is_up() {
    let world = World::with_scott().await;
    let thread = conversation(&world, "1").await;
    shows(&world, &thread, 3, &["index.html"]).await;
    world.pass(KEPT);
    assert_eq!(ordered(&world).await.len(), 1);
    assert_eq!(ordered(&world).await, [Value::Null; 0]);
    world.pass(DAY);
    assert_eq!(ordered(&world).await.len(), 1, "it is still up");
    shows(&world, &thread, 4, &[]).await;
    world.pass(KEPT + DAY);
    assert_eq!(ordered(&world).await, [Value::Null; 0], "it is down");
}

#[tokio::test]
async fn a_preview_that_was_put_up_late_stays_as_long_as_any_and_none_is_none() {
    let world = World::with_scott().await;
    let late = conversation(&world, "1").await;
    conversation(&world, "2").await;
    world.pass(KEPT.saturating_sub(DAY));
    shows(&world, &late, 1, &["index.html"]).await;
    world.pass(DAY);
    assert_eq!(ordered(&world).await, [Value::Null; 0]);
    world.pass(KEPT.saturating_sub(DAY));
    assert_eq!(ordered(&world).await.len(), 1);
}

#[tokio::test]
async fn a_mail_on_the_conversation_keeps_its_preview() {
    let world = World::with_scott().await;
    let thread = conversation(&world, "1").await;
    shows(&world, &thread, 3, &["index.html"]).await;
    world.pass(KEPT);
    let reply = mail("2", "change 8 to 9").replace("\r\n\r\n", "\r\nIn-Reply-To: <1@example.org>\r\n\r\n");
    let answer = world.accepted(reply).await;
    assert_eq!(text(&answer, "threadId"), thread.thread_id.as_str());
    let actions: Vec<_> = ordered(&world).await.iter().map(|work| work["action"].clone()).collect();
    assert_eq!(actions, [Value::Null], "only the mail's own work waits, an edit");
}

#[tokio::test]
async fn a_manifest_that_cannot_be_read_stops_no_other() {
    for nth in 1..=2 {
        let world = World::with_scott().await;
        for id in ["1", "2"] {
            let thread = conversation(&world, id).await;
            shows(&world, &thread, 1, &["index.html"]).await;
        }
        world.pass(KEPT);
        world.plan.add(Calls::Of(Operation::GetFile), When::Nth(nth), Fate::FailBefore);
        assert_eq!(ordered(&world).await.len(), 1, "call {nth}");
        assert_eq!(ordered(&world).await.len(), 1, "the other one's turn comes");
    }
}
