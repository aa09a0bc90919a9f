//! Answers over SMTP: what each mood of a server means for a mail that must arrive once if that can be known, and at least
//! once where it cannot.

use std::time::Duration;

use hermes::outbox::{OutboxRecord, OutboxState};
use hermes::sweep::Sweeper;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::smtp_server::{Mood, SmtpServer};
use crate::support::{World, mail, text};

/// A world whose answer to one mail was tried once through a server of these moods.
async fn answered(moods: &[Mood]) -> (World, SmtpServer, String) {
    let server = SmtpServer::start(moods).await;
    let world = World::sending_by(&server.url()).await;
    let command = answer(&world).await;
    (world, server, command)
}

async fn answer(world: &World) -> String {
    let accepted = world.accepted(mail("1", "change 7 to 8")).await;
    let command = text(&accepted, "commandId").to_owned();
    world.report(world.result(&command).await.to_json()).await;
    command
}

async fn row(world: &World, command: &str) -> OutboxRecord {
    world.cloud().store.load::<OutboxRecord>(&format!("answer-{command}")).await.unwrap().unwrap().value
}

async fn sweep_later(world: &World) {
    world.clock.advance(Duration::from_mins(11));
    Sweeper::new(world.app.clone()).send_pending_answers().await.unwrap();
}

#[tokio::test]
async fn a_server_that_takes_mail_gets_each_answer_once() {
    let (world, server, command) = answered(&[]).await;
    let taken = server.taken();
    assert_eq!(taken.len(), 1);
    assert!(
        taken[0].contains("To: scott@example.org") && taken[0].contains("Subject: Re: Hours"),
        "{}",
        taken[0]
    );
    let row = row(&world, &command).await;
    assert_eq!((row.state, row.attempts, row.unanswered), (OutboxState::Sent, 1, 0));
    assert!(world.outbox().is_empty(), "the folder is for clouds without a server");
    sweep_later(&world).await;
    world.report(world.result(&command).await.to_json()).await;
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_refusal_for_now_is_tried_again_later_and_not_before() {
    for mood in [Mood::FullForNow, Mood::RefusesForNow, Mood::DiesBeforeData] {
        let (world, server, command) = answered(&[mood]).await;
        let first = row(&world, &command).await;
        assert_eq!((first.state, first.attempts, first.unanswered), (OutboxState::Pending, 1, 0), "{mood:?}");
        assert!(first.not_before.is_some() && server.taken().is_empty(), "{mood:?}");
        Sweeper::new(world.app.clone()).send_pending_answers().await.unwrap();
        assert_eq!(server.connections(), 1, "{mood:?}: too early");
        sweep_later(&world).await;
        let second = row(&world, &command).await;
        assert_eq!((second.state, second.attempts), (OutboxState::Sent, 2), "{mood:?}");
        assert_eq!(server.taken().len(), 1, "{mood:?}");
    }
}

#[tokio::test]
async fn a_refusal_that_is_about_us_loses_no_answer() {
    for mood in [Mood::UnknownToIt, Mood::WrongSender, Mood::WantsLogin, Mood::KeptOut] {
        let (world, server, command) = answered(&[mood]).await;
        let first = row(&world, &command).await;
        assert_eq!((first.state, first.attempts, first.unanswered), (OutboxState::Pending, 1, 0), "{mood:?}");
        assert_eq!(world.mail(first.mail_id.as_str()).await.unreached, None, "{mood:?}");
        sweep_later(&world).await;
        let second = row(&world, &command).await;
        assert_eq!((second.state, second.attempts), (OutboxState::Sent, 2), "{mood:?}");
        assert_eq!(server.taken().len(), 1, "{mood:?}");
    }
}

#[tokio::test]
async fn a_refusal_for_good_is_final() {
    for mood in [Mood::NoSuchMailbox, Mood::Refuses] {
        let (world, server, command) = answered(&[mood]).await;
        let row = row(&world, &command).await;
        assert_eq!(row.state, OutboxState::Failed, "{mood:?}");
        assert!(row.note.unwrap().contains("refuses it"), "{mood:?}");
        let unreached = world.mail(row.mail_id.as_str()).await.unreached.unwrap();
        assert!(
            unreached.contains("could not be sent") && unreached.contains("refuses it"),
            "{mood:?}: {unreached}"
        );
        sweep_later(&world).await;
        assert_eq!((server.connections(), server.taken().len()), (1, 0), "{mood:?}");
    }
}

#[tokio::test]
async fn a_line_that_goes_dead_after_the_mail_leaves_it_open_and_that_is_counted() {
    let (world, server, command) = answered(&[Mood::DiesAfterData]).await;
    let first = row(&world, &command).await;
    assert_eq!((first.state, first.attempts, first.unanswered), (OutboxState::Pending, 1, 1));
    assert_eq!(server.taken().len(), 1);
    sweep_later(&world).await;
    let second = row(&world, &command).await;
    assert_eq!((second.state, second.unanswered), (OutboxState::Sent, 1));
    let taken = server.taken();
    assert_eq!(taken.len(), 2, "at least once");
    let id = |mail: &str| mail.lines().find(|line| line.starts_with("Message-ID:")).unwrap().to_owned();
    assert_eq!(id(&taken[0]), id(&taken[1]), "a mailbox can tell that they are the same");
}

#[tokio::test]
async fn a_server_that_is_down_gets_the_answer_when_it_is_back_and_the_job_is_not_touched() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let world = World::sending_by(&format!("smtp://{address}?tls=none")).await;
    let command = answer(&world).await;
    assert!(!world.job(&command).await.is_open());
    for _ in 0..3 {
        sweep_later(&world).await;
    }
    let waiting = row(&world, &command).await;
    assert_eq!((waiting.state, waiting.attempts, waiting.unanswered), (OutboxState::Pending, 4, 0));
    let server = SmtpServer::on(TcpListener::bind(address).await.unwrap(), &[]);
    sweep_later(&world).await;
    assert_eq!(row(&world, &command).await.state, OutboxState::Sent);
    assert_eq!(server.taken().len(), 1);
    assert_eq!(world.works("amelia#scott").await.len(), 1);
}

/// What a preflight finds about it.
async fn mail_identity(world: &World) -> Value {
    let (_, found) = world.call("POST", "/v1/projects/amelia/preflight", None).await;
    let mut checks = found["checks"].as_array().unwrap().iter();
    checks.find(|one| one["name"] == "mail identity").unwrap().clone()
}

#[tokio::test]
async fn a_preflight_asks_the_server_and_sends_nothing() {
    let (world, server, _) = answered(&[]).await;
    let found = mail_identity(&world).await;
    assert_eq!(text(&found, "state"), "weak", "from localhost: {found}");
    assert_eq!((server.taken().len(), server.connections()), (1, 2), "only the answer of before");
}

#[tokio::test]
async fn a_preflight_fails_where_no_mail_goes_out() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let world = World::sending_by(&format!("smtp://{address}?tls=none")).await;
    let found = mail_identity(&world).await;
    assert_eq!(text(&found, "state"), "failed", "{found}");
    assert!(text(&found, "toDo").contains("SMTP_URL"), "{found}");
}
