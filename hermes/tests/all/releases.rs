//! The live site by the API: its releases, and orders to switch it.

use std::ops::ControlFlow;

use axum::http::StatusCode;
use common::cloud::files::{At, IfMatch};
use common::domain::ids::{CommandId, ProjectId};
use common::domain::job::Job;
use common::domain::names::SiteTarget;
use common::domain::outcome::JobOutcome;
use common::domain::project::Project;
use common::domain::timestamp::Timestamp;
use serde_json::{Value, json};

use crate::support::{World, mail, text};

async fn conversation(world: &World) -> String {
    let answer = world.accepted(mail("1", "change 7 to 8")).await;
    world.announcements().await;
    world.works("amelia#scott").await;
    text(&answer, "threadId").to_owned()
}

/// A live site with this present release and these before it.
async fn live(world: &World, present: u64, earlier: &[u64], thread: &str) {
    live_by(world, present, earlier, (thread, "scott")).await;
}

/// The same, each put up by this user from this conversation's preview.
async fn live_by(world: &World, present: u64, earlier: &[u64], (thread, user): (&str, &str)) {
    // All of them on the day after the one on which the worlds of these tests begin, one a second.
    let release = |number: &u64| {
        json!({"number": number, "commandId": format!("c-{number}"), "commitId": "c0ffee", "action": "publish",
            "threadId": thread, "userId": user, "publishedAt": 1_772_582_400_000_u64 + 1000 * number})
    };
    let mut manifest = release(&present);
    let more = json!({"epoch": 1, "state": "published", "files": {},
        "earlier": earlier.iter().map(release).collect::<Vec<_>>()});
    manifest.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let at = At::object(SiteTarget::Live("amelia".parse().unwrap()).manifest_key());
    world.cloud().files.put(&at, manifest.to_string().into(), IfMatch::Any).await.unwrap();
}

#[tokio::test]
async fn a_publication_is_ordered_once_as_work_of_the_conversations_owner() {
    let world = World::with_scott().await;
    let thread = conversation(&world).await;
    let body = json!({"threadId": thread});
    let (status, job) = world.call("POST", "/v1/projects/amelia/publish", Some(body)).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{job}");
    assert_eq!((text(&job, "action"), text(&job, "state")), ("publish", "pending"));
    let works = world.works("amelia#scott").await;
    assert_eq!(works.len(), 1, "{works:?}");
    assert_eq!((text(&works[0], "action"), text(&works[0], "threadId")), ("publish", thread.as_str()));
    assert_eq!(works[0]["commandId"], job["commandId"]);
    assert_eq!(world.announcements().await, 1);
}

#[tokio::test]
async fn only_conversations_of_the_project_can_be_published() {
    let world = World::with_scott().await;
    let thread = conversation(&world).await;
    world.project("bob").await;
    for (project, thread) in [("bob", thread.as_str()), ("amelia", "aaaaaa1"), ("nobody", thread.as_str())] {
        let body = Some(json!({"threadId": thread}));
        let (status, answer) = world.call("POST", &format!("/v1/projects/{project}/publish"), body).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{project} {thread} {answer}");
    }
    assert!(world.works("amelia#scott").await.is_empty() && world.works("bob#scott").await.is_empty());
}

#[tokio::test]
async fn releases_are_listed_and_one_of_them_can_be_put_up_again() {
    let world = World::with_scott().await;
    let thread = conversation(&world).await;
    let none = world.call("GET", "/v1/projects/amelia/releases", None).await;
    assert_eq!(none, (StatusCode::OK, json!({"releases": []})));
    live(&world, 3, &[2, 1], &thread).await;
    let (_, listed) = world.call("GET", "/v1/projects/amelia/releases", None).await;
    let numbers: Vec<_> = listed["releases"].as_array().unwrap().iter().map(|one| &one["number"]).collect();
    assert_eq!(numbers, [&json!(3), &json!(2), &json!(1)]);
    assert!(text(&listed["releases"][0], "publishedAt").starts_with("2026-03-04T00:00:03"), "{listed}");

    for (query, release) in [("", Value::Null), ("?release=1", json!(1))] {
        let (status, job) = world.call("POST", &format!("/v1/projects/amelia/undo{query}"), None).await;
        assert_eq!((status, text(&job, "action")), (StatusCode::ACCEPTED, "undo"), "{job}");
        let works = world.works("amelia#scott").await;
        assert_eq!((works.len(), &works[0]["release"]), (1, &release));
    }
}

/// Removing a project leaves its site; the one that gets its name shows it until it publishes, and never again.
#[tokio::test]
async fn releases_of_another_project_that_had_the_name_before_are_neither_listed_nor_put_up() {
    let world = World::with_scott().await;
    let thread = conversation(&world).await;
    live(&world, 3, &[2, 1], &thread).await;
    let numbers = async || {
        let (_, listed) = world.call("GET", "/v1/projects/amelia/releases", None).await;
        listed["releases"].as_array().unwrap().iter().map(|one| one["number"].clone()).collect::<Vec<_>>()
    };
    let undo =
        async |query: &str| world.call("POST", &format!("/v1/projects/amelia/undo{query}"), None).await.0;
    assert_eq!(numbers().await, [json!(3), json!(2), json!(1)]);
    let made = |at: &str| {
        let at = Timestamp::parse(at).unwrap();
        move |project: &mut Project| {
            project.created_at = at;
            ControlFlow::Continue(())
        }
    };
    let id: ProjectId = "amelia".parse().unwrap();
    world.cloud().store.update(&id, made("2026-03-04T00:00:02Z")).await.unwrap();
    assert_eq!(numbers().await, [json!(3), json!(2)]);
    assert_eq!(undo("?release=1").await, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(undo("").await, StatusCode::ACCEPTED);
    for (at, left) in [("2026-03-04T00:00:03Z", vec![json!(3)]), ("2026-03-04T00:00:04Z", vec![])] {
        world.cloud().store.update(&id, made(at)).await.unwrap();
        assert_eq!(numbers().await, left);
        assert_eq!(undo("").await, StatusCode::UNPROCESSABLE_ENTITY);
    }
}

/// What bert's undo put up again is a release of bert's with the preview of scott's conversation.
#[tokio::test]
async fn an_undo_is_work_of_the_conversations_owner_whoever_switched_the_site_last() {
    let world = World::with_scott().await;
    let thread = conversation(&world).await;
    live_by(&world, 3, &[2, 1], (&thread, "bert")).await;
    let (status, job) = world.call("POST", "/v1/projects/amelia/undo", None).await;
    assert_eq!((status, text(&job, "userId")), (StatusCode::ACCEPTED, "scott"), "{job}");
    assert_eq!(world.works("amelia#scott").await.len(), 1);
    assert!(world.works("amelia#bert").await.is_empty());
    // Nothing is known of a conversation any more: whoever it is ordered for owns it then.
    live_by(&world, 3, &[2, 1], ("fffffff", "bert")).await;
    let (status, _) = world.call("POST", "/v1/projects/amelia/undo", None).await;
    assert_eq!((status, world.works("amelia#bert").await.len()), (StatusCode::ACCEPTED, 1));
}

#[tokio::test]
async fn a_preflight_of_each_user_has_a_conversation_of_its_own() {
    let world = World::empty("all");
    world.project("amelia").await;
    let check = async || world.call("POST", "/v1/projects/amelia/preflight", None).await.1["job"].clone();
    let nobodys = check().await;
    world.sender("scott@example.org", "amelia", "scott").await;
    let (scotts, again) = (check().await, check().await);
    assert_eq!((text(&scotts, "userId"), scotts["threadId"].clone()), ("scott", again["threadId"].clone()));
    assert_ne!((&nobodys["userId"], &nobodys["threadId"]), (&scotts["userId"], &scotts["threadId"]));
    assert_ne!(nobodys["threadId"], scotts["threadId"]);
}

#[tokio::test]
async fn a_preflight_says_what_is_known_and_orders_the_rest_of_a_worker() {
    let world = World::with_scott().await;
    let (status, found) = world.call("POST", "/v1/projects/amelia/preflight", None).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{found}");
    let answers: Vec<_> = found["checks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (text(one, "name"), text(one, "state")))
        .collect();
    let known = [("senders", "ok"), ("mail identity", "weak"), ("worker", "failed")];
    let unknown = ["source", "build", "preview", "live site"].map(|part| (part, "waiting"));
    assert_eq!(answers, [&known[..], &unknown].concat());
    let works = world.works("amelia#scott").await;
    assert_eq!((works.len(), text(&works[0], "action")), (1, "check"));
    assert_eq!(works[0]["commandId"], found["job"]["commandId"]);
    assert_eq!(world.call("POST", "/v1/projects/nobody/preflight", None).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn how_a_preflight_stands_is_told_by_its_command() {
    let world = World::with_scott().await;
    let (_, ordered) = world.call("POST", "/v1/projects/amelia/preflight", None).await;
    let command = text(&ordered["job"], "commandId").to_owned();
    let place = format!("/v1/projects/amelia/preflight/{command}");
    let (status, found) = world.call("GET", &place, None).await;
    assert_eq!((status, &found["checks"]), (StatusCode::OK, &ordered["checks"]));
    let id = CommandId::parse(&command).unwrap();
    let mut job = world.cloud().store.load::<Job>(&id).await.unwrap().unwrap();
    job.value.outcome = Some(JobOutcome::Refused);
    job.value.error = Some("repository-denied: push: 403".into());
    world.cloud().store.replace(&job).await.unwrap();
    let (_, found) = world.call("GET", &place, None).await;
    let source = &found["checks"][3];
    assert_eq!((text(source, "name"), text(source, "state")), ("source", "failed"));
    assert!(text(source, "toDo").contains("GITHUB_TOKEN"), "{source}");
    assert_eq!(world.works("amelia#scott").await.len(), 1, "looking orders nothing");

    world.project("bakery").await;
    let elsewhere = format!("/v1/projects/bakery/preflight/{command}");
    for nowhere in [elsewhere.as_str(), "/v1/projects/amelia/preflight/unheard-of"] {
        assert_eq!(world.call("GET", nowhere, None).await.0, StatusCode::NOT_FOUND, "{nowhere}");
    }
}

#[tokio::test]
async fn there_is_no_undo_without_an_earlier_release() {
    let world = World::with_scott().await;
    let undo =
        async |query: &str| world.call("POST", &format!("/v1/projects/amelia/undo{query}"), None).await.0;
    assert_eq!(undo("").await, StatusCode::UNPROCESSABLE_ENTITY);
    live(&world, 1, &[], "abcdef1").await;
    assert_eq!(undo("").await, StatusCode::UNPROCESSABLE_ENTITY);
    live(&world, 3, &[2, 1], "abcdef1").await;
    assert_eq!(undo("?release=9").await, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(undo("?release=x").await, StatusCode::BAD_REQUEST);
    assert!(world.works("amelia#scott").await.is_empty());
}
