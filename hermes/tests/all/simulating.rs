//! A simulation says what a live mail becomes, by the same functions, and writes nothing.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use common::domain::names::Queue;
use serde_json::{Value, json};

use super::support::{TOKEN, World, mail, read, text};

async fn simulated(world: &World, raw: &str) -> Value {
    let request = Request::post("/v1/mails/simulate")
        .header("authorization", format!("Bearer {TOKEN}"))
        .header("content-type", "message/rfc822");
    let (status, answer) = read(world.send(request.body(Body::from(raw.to_owned())).unwrap()).await).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    answer
}

/// The lines of a trace up to the handing over, with the thread's id masked.
fn lines(trace: &Value, thread: Option<&str>) -> Vec<(String, String)> {
    let all = trace.as_array().unwrap().iter();
    all.filter(|line| line["stage"] != "dispatch")
        .map(|line| (text(line, "stage").to_owned(), text(line, "note").replace(thread.unwrap_or("-"), "T")))
        .collect()
}

#[tokio::test]
async fn s76_a_simulation_decides_as_a_live_mail_is_decided_and_nothing_is_written() {
    let world = World::with_scott().await;
    let first = world.accepted(mail("1", "change 7 to 8")).await;
    world.works("amelia#scott").await;
    world.announcements().await;
    let reply = mail("2", "and 9 to 10\r\n\r\nOn 3 Mar 2026 Hermes <h@x.y> wrote:\r\n> Done.");
    let mails = [
        reply.replace("Subject:", "In-Reply-To: <1@example.org>\r\nSubject:"),
        mail("3", "something new"),
        mail("4", "stop"),
        mail("5", "").replace("Subject: Hours", "Subject: Re: Hours"),
        mail("6", "hello").replace("scott@example.org", "stranger@example.org"),
        mail("7", "hello").replace("Subject:", "Auto-Submitted: auto-replied\r\nSubject:"),
        "no mail at all".to_owned(),
    ];
    for raw in &mails {
        let before = world.call("GET", "/v1/mails", None).await.1;
        let said = simulated(&world, raw).await;
        assert_eq!(world.call("GET", "/v1/mails", None).await.1, before, "nothing is recorded");
        assert!(world.drain(&Queue::Unclaimed).await.is_empty() && world.outbox().is_empty());
        assert!(world.works("amelia#scott").await.is_empty());
        let live = world.accepted(raw.clone()).await;
        let kept = world.call("GET", &format!("/v1/mails/{}", text(&live, "mailId")), None).await.1;
        let thread =
            |view: &Value| view["thread"]["id"].as_str().or(view["threadId"].as_str()).map(str::to_owned);
        let (of_said, of_live) = (thread(&said), thread(&kept));
        assert_eq!(said["ending"], kept["ending"], "{raw}");
        assert_eq!(
            lines(&said["trace"], of_said.as_deref()),
            lines(&kept["trace"], of_live.as_deref()),
            "{raw}"
        );
        assert_eq!(of_said.is_some(), of_live.is_some(), "{raw}");
        for work in world.works("amelia#scott").await {
            assert_eq!(work["instruction"], said["instruction"]);
        }
        for sent in std::fs::read_dir(world.folder.path().join("outbox")).into_iter().flatten() {
            std::fs::remove_file(sent.unwrap().path()).unwrap();
        }
        world.announcements().await;
    }
    let again = simulated(&world, &mails[0]).await;
    assert_eq!(again["thread"], json!({"id": text(&first, "threadId"), "known": true}));
    assert_eq!(text(&again, "instruction"), "and 9 to 10");
    assert!(text(&again, "removed").contains("> Done."));
}

#[tokio::test]
async fn what_is_no_mail_is_refused_as_it_is_when_it_comes_in() {
    let world = World::with_scott().await;
    let send = async |kind: &str, body: &str| {
        let request = Request::post("/v1/mails/simulate").header("content-type", kind);
        let request =
            request.header("authorization", format!("Bearer {TOKEN}")).body(Body::from(body.to_owned()));
        world.send(request.unwrap()).await.status()
    };
    assert_eq!(send("message/rfc822", "").await, StatusCode::BAD_REQUEST);
    assert_eq!(send("application/json", "{}").await, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}
