//! Conversations that an operator removes: nothing leads to them any more, and their preview goes.

use std::time::Duration;

use axum::http::StatusCode;
use common::cloud::failing::{Calls, Fate, Operation, When};
use common::cloud::files::{At, IfMatch, Space};
use common::cloud::store::Query;
use common::domain::claim::Epoch;
use common::domain::ids::{ProjectUser, SessionId, ThreadId, WorkerId};
use common::domain::job::{Job, WorkAction};
use common::domain::names::SiteTarget;
use common::domain::session::{Session, Writer};
use common::domain::thread::Thread;
use serde_json::{Value, json};

use crate::support::{World, mail, text};

/// A conversation of two mails, of which the agent remembers something.
async fn conversation(world: &World) -> ThreadId {
    let first = world.accepted(mail("1", "change 7 to 8")).await;
    world.accepted(reply("2", "1")).await;
    let thread = ThreadId::parse(text(&first, "threadId")).unwrap();
    let memory = At::object(format!("sessions/{thread}/agent.jsonl"));
    world.cloud().files.put(&memory, "{}".into(), IfMatch::Absent).await.unwrap();
    for (id, thread) in [
        (SessionId::of_thread(&thread), &thread),
        (SessionId::parse("named-otherwise").unwrap(), &thread),
        (SessionId::parse("of-another").unwrap(), &ThreadId::parse("another").unwrap()),
    ] {
        let key = ProjectUser::parse("amelia#scott").unwrap();
        let by = Writer { worker: WorkerId::parse("worker-1").unwrap(), epoch: Epoch(1) };
        let session = Session::new(id, thread.clone(), key, by, world.cloud().clock.now());
        world.cloud().store.insert(&session).await.unwrap();
    }
    world.works("amelia#scott").await;
    thread
}

fn reply(id: &str, to: &str) -> String {
    mail(id, "and 8 to 9").replace("\r\n\r\n", &format!("\r\nIn-Reply-To: <{to}@example.org>\r\n\r\n"))
}

async fn remove(world: &World, thread: &str) -> (StatusCode, Value) {
    world.call("DELETE", &format!("/v1/threads/{thread}"), None).await
}

async fn memory(world: &World, thread: &ThreadId) -> Vec<String> {
    world.cloud().files.list(&Space::Objects, &format!("sessions/{thread}/")).await.unwrap()
}

#[tokio::test]
async fn a_reply_to_a_conversation_that_was_removed_begins_another_and_its_preview_is_taken_down() {
    let world = World::with_scott().await;
    let thread = conversation(&world).await;
    let (status, job) = remove(&world, thread.as_str()).await;
    assert_eq!((status, text(&job, "threadId")), (StatusCode::ACCEPTED, thread.as_str()), "{job}");
    let works = world.works("amelia#scott").await;
    let [work] = works.as_slice() else { panic!("{works:?}") };
    assert_eq!((text(work, "action"), text(work, "commandId")), ("take-down", text(&job, "commandId")));
    assert_eq!(work.get("release"), None, "whatever it shows by then");
    assert_eq!(memory(&world, &thread).await, [""; 0]);
    let (sessions, _) = world.cloud().store.list::<Session>(10, None).await.unwrap();
    let left: Vec<_> = sessions.iter().map(|session| session.session_id.as_str()).collect();
    assert_eq!(left, ["of-another"]);
    for (id, to) in [("3", "1"), ("4", "2")] {
        let again = world.accepted(reply(id, to)).await;
        assert_eq!(text(&again, "ending"), "routed");
        assert_ne!(text(&again, "threadId"), thread.as_str(), "a reply to {to}");
    }
    let line = format!("go on\r\n\r\nConversation ID: {thread}");
    let named = world.accepted(mail("5", &line)).await;
    assert_ne!(text(&named, "threadId"), thread.as_str(), "not even by its name");
    let order = json!({"threadId": thread.as_str()});
    let (status, refusal) = world.call("POST", "/v1/projects/amelia/publish", Some(order)).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{refusal}");
}

#[tokio::test]
async fn its_work_is_stopped_and_what_the_work_left_is_cleared_away_then_and_at_the_next_looks() {
    let world = World::with_scott().await;
    let thread = conversation(&world).await;
    let elsewhere = world.accepted(mail("9", "change 1 to 2")).await;
    let jobs = jobs_of(&world, &thread).await;
    let key = |job: &Job| format!("transcripts/{}.jsonl", job.command_id);
    let [first, second] = jobs.as_slice() else { panic!("{jobs:?}") };
    let theirs = [
        key(first),
        key(second),
        format!("wip/{}", second.command_id),
        format!("sessions/{thread}/agent.jsonl"),
    ];
    let other = format!("transcripts/{}.jsonl", text(&elsewhere, "commandId"));
    for _ in 0..2 {
        for key in theirs.iter().chain([&other]) {
            world.cloud().files.put(&At::object(key), "{}".into(), IfMatch::Any).await.unwrap();
        }
        remove(&world, thread.as_str()).await;
        assert_eq!(there(&world, &theirs).await, [""; 0]);
        assert_eq!(there(&world, std::slice::from_ref(&other)).await, std::slice::from_ref(&other));
    }
    let now = jobs_of(&world, &thread).await;
    assert_eq!(now.len(), 4, "{now:?}");
    for job in now {
        assert_eq!(job.stop_requested.is_some(), job.action == WorkAction::Edit, "{job:?}");
    }
    let other_thread = ThreadId::parse(text(&elsewhere, "threadId")).unwrap();
    let others = jobs_of(&world, &other_thread).await;
    assert!(others.len() == 1 && others[0].stop_requested.is_none(), "{others:?}");

    for key in &theirs {
        world.cloud().files.put(&At::object(key), "{}".into(), IfMatch::Any).await.unwrap();
    }
    hermes::previews::expire(world.cloud(), Duration::MAX).await.unwrap();
    assert_eq!(there(&world, &theirs).await, [""; 0], "whatever came later");
}

/// Those of the objects that are there.
async fn there(world: &World, keys: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for key in keys {
        if world.cloud().files.exists(&At::object(key)).await.unwrap() {
            found.push(key.clone());
        }
    }
    found
}

/// The jobs of a conversation.
async fn jobs_of(world: &World, thread: &ThreadId) -> Vec<Job> {
    let query = Query::index("project-index", "amelia#scott");
    let (jobs, _) = world.cloud().store.find::<Job>(query).await.unwrap();
    jobs.into_iter().filter(|job| job.thread_id == *thread).collect()
}

#[tokio::test]
async fn a_removal_that_was_cut_short_is_brought_to_its_end_by_another() {
    for operation in [
        Operation::PutRow,
        Operation::QueryRows,
        Operation::DeleteRow,
        Operation::DeleteFile,
        Operation::Send,
    ] {
        let world = World::with_scott().await;
        let thread = conversation(&world).await;
        world.plan.add(Calls::Of(operation), When::Nth(1), Fate::FailBefore);
        let (status, problem) = remove(&world, thread.as_str()).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{operation:?}: {problem}");
        assert_eq!(remove(&world, thread.as_str()).await.0, StatusCode::ACCEPTED, "{operation:?}");
        assert_eq!(memory(&world, &thread).await, [""; 0], "{operation:?}");
        assert_ne!(
            text(&world.accepted(reply("3", "1")).await, "threadId"),
            thread.as_str(),
            "{operation:?}"
        );
        let row = world.cloud().store.load::<Thread>(&thread).await.unwrap().unwrap().value;
        assert!(row.removed_at.is_some() && row.ttl.is_some(), "{row:?}");
    }
}

#[tokio::test]
async fn an_answer_of_work_that_ran_meanwhile_does_not_bring_it_back_and_what_it_put_up_is_taken_down_the_next_day()
 {
    let world = World::with_scott().await;
    let first = world.accepted(mail("1", "change 7 to 8")).await;
    let thread = ThreadId::parse(text(&first, "threadId")).unwrap();
    remove(&world, thread.as_str()).await;
    world.works("amelia#scott").await;
    world.report(world.result(text(&first, "commandId")).await.to_json()).await;
    let answer = world.mail(text(&first, "mailId")).await.reply_message_id.unwrap();
    let reply = mail("2", "and 8 to 9").replace("\r\n\r\n", &format!("\r\nIn-Reply-To: <{answer}>\r\n\r\n"));
    let again = world.accepted(reply).await;
    assert_eq!(text(&again, "ending"), "routed");
    assert_ne!(text(&again, "threadId"), thread.as_str());
    world.works("amelia#scott").await;

    let row = world.cloud().store.load::<Thread>(&thread).await.unwrap().unwrap().value;
    let preview = SiteTarget::Thread(row.project_id.clone(), row.preview_key.clone());
    let manifest = json!({"number": 2, "commandId": "c-1", "commitId": "c0ffee", "epoch": 1, "state": "published",
        "publishedAt": world.cloud().clock.now().millis(), "files": {"index.html": {"sha256": "0".repeat(64), "sizeBytes": 1}}});
    let at = At::object(preview.manifest_key());
    world.cloud().files.put(&at, manifest.to_string().into(), IfMatch::Any).await.unwrap();
    hermes::previews::expire(world.cloud(), Duration::MAX).await.unwrap();
    let works = world.works("amelia#scott").await;
    let [work] = works.as_slice() else { panic!("{works:?}") };
    assert_eq!((text(work, "action"), &work["release"]), ("take-down", &json!(2)));
}

#[tokio::test]
async fn what_is_not_there_cannot_be_removed() {
    let world = World::with_scott().await;
    let (status, problem) = remove(&world, "nothing").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(text(&problem, "detail").contains("hermes sessions"), "{problem}");
    assert_eq!(remove(&world, "..%2Fx").await.0, StatusCode::BAD_REQUEST);
}
