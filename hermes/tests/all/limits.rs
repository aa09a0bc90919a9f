//! How much is too much, and who hears of it.

use std::time::Duration;

use common::cloud::failing::{Calls, Fate, Operation, When};
use common::cloud::files::{At, IfMatch};
use common::domain::ids::{EmailAddress, MailId, ProjectId};
use common::domain::names::Queue;
use common::domain::outcome::MailEnding;
use hermes::app::App;
use hermes::ingest::origins::Pointer;
use hermes::ingest::record::Origin;
use hermes::ingest::stored;
use hermes::limits::{Room, take_mail};
use hermes::mail::MAX_RAW_BYTES;
use hermes::outbox::{OutboxRecord, OutboxState};
use hermes::secrets::SecretKey;
use hermes::sweep::Sweeper;

use crate::support::{World, mail, serve_settings, text};

#[tokio::test]
async fn a_mail_in_s3_that_is_too_large_ends_so_and_is_not_read_to_its_end() {
    let world = World::with_scott().await;
    let mut raw = mail("1", "change 7 to 8").into_bytes();
    raw.resize(MAX_RAW_BYTES + 1000, b'x');
    world.cloud().files.put(&At::object("mail/inbound/m"), raw.into(), IfMatch::Any).await.unwrap();
    let pointer = Pointer { bucket: "objects".into(), key: "mail/inbound/m".into(), receipt: None };
    let taken = stored::take(&world.app, &[pointer], Origin::Queue, |word| word).await.unwrap().unwrap();
    assert_eq!((taken[0].ending, taken[0].size_bytes), (Some(MailEnding::TooLarge), MAX_RAW_BYTES + 1));
}

fn words(sent: &str) -> String {
    hermes::mail::read(sent.as_bytes()).unwrap().text
}

#[tokio::test]
async fn over_the_senders_limit_mails_end_as_rate_limited_and_the_owner_hears_once() {
    let world = World::with(&["--trust", "all", "--sender-mails-per-hour", "3"]).await;
    for number in 0..6 {
        let answer = world.accepted(mail(&format!("m{number}"), &format!("change 7 to {number}"))).await;
        let wanted = if number < 3 { "routed" } else { "rate-limited" };
        assert_eq!(answer["ending"], wanted, "mail {number}");
        assert_eq!(answer.get("commandId").is_some(), number < 3, "{answer}");
    }
    assert_eq!(world.works("amelia#scott").await.len(), 3);
    let sent = world.outbox();
    assert_eq!(sent.len(), 1);
    assert!(words(&sent[0]).contains("a lot of mail in a short time"), "{}", sent[0]);
    world.clock.advance(Duration::from_mins(61));
    assert_eq!(world.accepted(mail("later", "change 7 to 9")).await["ending"], "routed");
}

#[tokio::test]
async fn over_the_projects_limit_another_sender_has_to_wait_too() {
    let world = World::with(&["--trust", "all", "--project-mails-per-hour", "2"]).await;
    world.sender("bob@example.org", "amelia", "bob").await;
    world.project("shop").await;
    world.sender("bob@example.org", "shop", "bob").await;
    for number in 0..2 {
        world.accepted(mail(&format!("m{number}"), &format!("change 7 to {number}"))).await;
    }
    let bob =
        |to: &str| mail("b", "change 7 to 9").replace("scott@", "bob@").replace("edit@", &format!("{to}@"));
    assert_eq!(world.accepted(bob("amelia")).await["ending"], "rate-limited");
    assert_eq!(world.accepted(bob("shop")).await["ending"], "routed");
}

#[tokio::test]
async fn what_its_sender_may_not_send_does_not_use_up_the_projects_share() {
    let limits = ["--trust", "all", "--sender-mails-per-hour", "2", "--project-mails-per-hour", "4"];
    let world = World::with(&limits).await;
    world.sender("bob@example.org", "amelia", "bob").await;
    for number in 0..12 {
        let answer = world.accepted(mail(&format!("m{number}"), &format!("change 7 to {number}"))).await;
        assert_eq!(answer["ending"], if number < 2 { "routed" } else { "rate-limited" }, "mail {number}");
    }
    for number in 0..2 {
        let of_bob = mail(&format!("b{number}"), "change 7 to 9").replace("scott@", "bob@");
        assert_eq!(world.accepted(of_bob).await["ending"], "routed");
    }
}

#[tokio::test]
async fn old_mails_that_come_again_in_turn_are_not_counted_again() {
    let world = World::with(&["--trust", "all", "--sender-mails-per-hour", "81"]).await;
    let numbered = |number| mail(&format!("m{number}"), &format!("change 7 to {number}"));
    for _ in 0..3 {
        for number in 0..80 {
            assert_eq!(world.accepted(numbered(number)).await["ending"], "routed", "mail {number}");
        }
    }
    assert_eq!(world.accepted(numbered(80)).await["ending"], "routed");
    assert_eq!(world.accepted(numbered(81)).await["ending"], "rate-limited");
}

#[tokio::test]
async fn the_same_mail_again_is_not_counted_again() {
    let world = World::with(&["--trust", "all", "--sender-mails-per-hour", "2"]).await;
    for _ in 0..5 {
        assert_eq!(world.accepted(mail("1", "change 7 to 8")).await["ending"], "routed");
    }
    assert_eq!(world.accepted(mail("2", "change 7 to 9")).await["ending"], "routed");
    assert_eq!(world.accepted(mail("3", "change 7 to 1")).await["ending"], "rate-limited");
}

#[tokio::test]
async fn many_at_once_are_counted_one_by_one() {
    let world = World::with(&["--trust", "all", "--sender-mails-per-hour", "30"]).await;
    let posts =
        (0..60).map(|number| world.accepted(mail(&format!("m{number}"), &format!("change 7 to {number}"))));
    let answers = futures_util::future::join_all(posts).await;
    let routed = answers.iter().filter(|answer| answer["ending"] == "routed").count();
    assert_eq!((routed, answers.len()), (30, 60));
}

#[tokio::test]
async fn two_hermes_count_together_although_each_remembers_what_it_wrote() {
    let limit = ["--trust", "all", "--sender-mails-per-hour", "5"];
    let world = World::with(&limit).await;
    let secret = SecretKey::kept_in(world.folder.path()).unwrap();
    let other = App::new(world.cloud().clone(), &serve_settings(&limit).mail, secret, 8026);
    let (scott, amelia) =
        (EmailAddress::parse("scott@example.org").unwrap(), ProjectId::parse("amelia").unwrap());
    for turn in 0..7 {
        let app = if turn % 2 == 0 { &*world.app } else { &other };
        let room = take_mail(app, &numbered(turn), &scott, &amelia).await.unwrap();
        assert_eq!(room == Room::Taken, turn < 5, "turn {turn}: {room:?}");
    }
    world.pass(Duration::from_hours(1));
    for (turn, app) in [&*world.app, &other].into_iter().enumerate() {
        let room = take_mail(app, &numbered(100 + turn), &scott, &amelia).await.unwrap();
        assert_eq!(room, Room::Taken, "a new hour");
    }
}

fn numbered(number: usize) -> MailId {
    MailId::parse(&format!("{number:032x}").chars().rev().collect::<String>()).unwrap()
}

#[tokio::test]
async fn a_mail_is_counted_once_however_often_it_is_taken_up_before_it_has_its_ending() {
    let world = World::with(&["--trust", "all", "--sender-mails-per-hour", "1"]).await;
    let raw = "From: scott@example.org\r\nTo: edit@hermes.localhost\r\nSubject: Menu\r\nMessage-ID: <1@example.org>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nput up the menu\r\n--b\r\nContent-Type: text/plain\r\nContent-Disposition: attachment; filename=menu.txt\r\n\r\nsoup\r\n--b--\r\n";
    for _ in 0..3 {
        // Its bytes are kept, then its attachment is not.
        world.plan.add(Calls::Of(Operation::PutFile), When::Nth(2), Fate::FailBefore);
        assert_eq!(world.post(raw).await.0, 503);
        world.plan.heal();
    }
    assert_eq!(world.accepted(raw).await["ending"], "routed");
    assert_eq!(world.accepted(mail("2", "change 7 to 9")).await["ending"], "rate-limited");
}

#[tokio::test]
async fn a_stop_is_neither_counted_nor_refused() {
    let world = World::with(&["--trust", "all", "--sender-mails-per-hour", "2"]).await;
    for id in ["1", "2"] {
        assert_eq!(world.accepted(mail(id, "stop")).await["ending"], "command-done");
    }
    let orders =
        [world.accepted(mail("3", "change 7 to 3")).await, world.accepted(mail("4", "change 7 to 4")).await];
    assert_eq!(world.accepted(mail("5", "change 7 to 5")).await["ending"], "rate-limited");
    assert_eq!(world.accepted(mail("6", "status")).await["ending"], "rate-limited");
    assert_eq!(world.accepted(mail("7", "stop")).await["ending"], "command-done");
    for order in orders {
        assert_eq!(order["ending"], "routed");
        assert!(world.job(text(&order, "commandId")).await.stop_requested.is_some());
    }
}

#[tokio::test]
async fn two_runs_of_one_mail_at_once_count_it_once() {
    let world = World::with(&["--trust", "all", "--project-mails-per-hour", "1"]).await;
    let (scott, amelia) =
        (EmailAddress::parse("scott@example.org").unwrap(), ProjectId::parse("amelia").unwrap());
    let (first, second) = (numbered(1), numbered(2));
    let runs = (0..10).map(|_| take_mail(&world.app, &first, &scott, &amelia));
    for room in futures_util::future::join_all(runs).await {
        assert_eq!(room.unwrap(), Room::Taken);
    }
    assert!(matches!(take_mail(&world.app, &second, &scott, &amelia).await.unwrap(), Room::None { .. }));
}

#[tokio::test]
async fn s11_a_stranger_hears_why_once_a_day() {
    let world = World::with_scott().await;
    let stranger = |id: &str| mail(id, &format!("change it, {id}")).replace("scott@", "stranger@");
    for id in ["1", "2", "3"] {
        let answer = world.accepted(stranger(id)).await;
        assert_eq!((text(&answer, "ending"), answer.get("commandId")), ("unknown-sender", None));
    }
    let sent = world.outbox();
    assert_eq!(sent.len(), 1, "{sent:?}");
    assert!(
        sent[0].contains("To: stranger@example.org") && words(&sent[0]).contains("do not know this address")
    );
    world.clock.advance(Duration::from_hours(24));
    world.accepted(stranger("4")).await;
    assert_eq!(world.outbox().len(), 2);
    assert_eq!(world.announcements().await, 0);
}

#[tokio::test]
async fn a_refusal_goes_to_no_address_that_nobody_reads() {
    let world = World::with_scott().await;
    for (id, address) in [("1", "no-reply@"), ("2", "notifications@")] {
        let answer = world.accepted(mail(id, "your bill").replace("scott@", address)).await;
        assert_eq!(answer["ending"], "unknown-sender");
        let record = world.mail(text(&answer, "mailId")).await;
        assert!(serde_json::to_string(&record.trace).unwrap().contains("nobody reads"), "{:?}", record.trace);
    }
    assert!(world.outbox().is_empty());
}

#[tokio::test]
async fn a_forged_sender_gets_no_mail() {
    let world = World::empty("verify");
    world.project("amelia").await;
    world.sender("scott@example.org", "amelia", "scott").await;
    world.project("bob").await;
    for (id, from, to) in [("1", "scott@", "edit@"), ("2", "stranger@", "edit@"), ("3", "scott@", "bob@")] {
        let raw = mail(id, "x").replace("scott@", from).replace("edit@", to);
        assert_eq!(world.accepted(raw).await["ending"], "unauthenticated");
    }
    assert!(world.outbox().is_empty());
}

#[tokio::test]
async fn twenty_five_automatic_mails_get_no_answer() {
    let world = World::with_scott().await;
    for number in 0..25 {
        let header =
            ["Auto-Submitted: auto-replied", "Precedence: bulk", "Return-Path: <>", "List-Id: <l.x.org>"];
        let raw = mail(&number.to_string(), "I am away")
            .replace("Subject:", &format!("{}\r\nSubject:", header[number % 4]));
        assert_eq!(world.accepted(raw).await["ending"], "automatic");
    }
    assert!(world.outbox().is_empty());
    assert!(world.works("amelia#scott").await.is_empty());
}

/// Each answers from an address that the other one knows as a sender of its own.
#[tokio::test]
async fn two_instances_wired_to_each_other_stop_after_one() {
    let one = World::with(&["--trust", "all", "--mail-from", "one@example.org"]).await;
    let other = World::with(&["--trust", "all", "--mail-from", "other@example.org"]).await;
    one.sender("other@example.org", "amelia", "other").await;
    other.sender("one@example.org", "amelia", "one").await;
    let begun =
        mail("1", "help").replace("scott@", "other@").replace("edit@hermes.localhost", "one@example.org");
    one.accepted(begun).await;
    let (mut seen, mut exchanged) = ([0, 0], 0);
    while let Some(letter) = one.outbox().get(seen[0]) {
        (seen[0], exchanged) = (seen[0] + 1, exchanged + 1);
        other.accepted(letter.clone()).await;
        while let Some(letter) = other.outbox().get(seen[1]) {
            (seen[1], exchanged) = (seen[1] + 1, exchanged + 1);
            assert!(exchanged < 20, "they do not stop");
            one.accepted(letter.clone()).await;
        }
    }
    assert_eq!(exchanged, 1);
    assert_eq!(other.outbox().len(), 0);
}

#[tokio::test]
async fn no_more_than_ten_answers_go_to_one_address_within_an_hour_and_the_rest_is_late() {
    let world = World::with_scott().await;
    let mut commands = Vec::new();
    for number in 0..12 {
        let accepted = world.accepted(mail(&format!("m{number}"), &format!("change 7 to {number}"))).await;
        let command = text(&accepted, "commandId").to_owned();
        world.report(world.result(&command).await.to_json()).await;
        commands.push(command);
    }
    assert_eq!(world.outbox().len(), 10);
    world.accepted(mail("help", "help")).await;
    assert_eq!(world.outbox().len(), 10);
    let row = world.cloud().store.load::<OutboxRecord>(&format!("answer-{}", commands[11])).await;
    assert_eq!(row.unwrap().unwrap().value.state, OutboxState::Pending, "an answer is late, never lost");
    world.clock.advance(Duration::from_mins(61));
    Sweeper::new(world.app.clone()).send_pending_answers().await.unwrap();
    assert_eq!(world.outbox().len(), 13, "the answer to a command as well");
    assert_eq!(world.drain(&Queue::Output).await.len(), 0);
}

const SERVER: [&str; 4] = ["--trust", "verify", "--authserv-id", "mx.example.net"];

/// A mail of scott's that is quite, or not quite, shown to be from him.
fn shown(dmarc: &str, id: &str, words: &str) -> String {
    let field = "Authentication-Results: mx.example.net; dkim=pass header.d=example.org; dmarc";
    format!("{field}={dmarc} header.from=example.org\r\n{}", mail(id, words))
}

async fn ask(world: &World, ids: std::ops::Range<u32>) -> Vec<String> {
    let mut mails = Vec::new();
    for id in ids {
        let answer = world.accepted(shown("none", &format!("c{id}"), &format!("change 7 to {id}"))).await;
        assert_eq!(answer["ending"], "confirmation-asked");
        mails.push(text(&answer, "mailId").to_owned());
    }
    mails
}

async fn not_reached(world: &World, mail: &str) -> Option<String> {
    let (_, mail) = world.call("GET", &format!("/v1/mails/{mail}"), None).await;
    mail["ownerNotReached"].as_str().map(str::to_owned)
}

#[tokio::test]
async fn confirmations_that_somebody_brings_about_use_up_no_answers_and_wait_for_their_turn() {
    let world = World::with(&SERVER).await;
    let mails = ask(&world, 0..12).await;
    assert_eq!(world.outbox().len(), 3);
    world.accepted(shown("pass", "help", "help")).await;
    assert_eq!(world.outbox().len(), 4, "the owner is answered");
    for hour in 1..=3 {
        world.clock.advance(Duration::from_mins(61));
        for _ in 0..3 {
            Sweeper::new(world.app.clone()).send_pending_answers().await.unwrap();
        }
        assert_eq!(world.outbox().len(), 4 + 3 * hour, "hour {hour}");
    }
    for mail in mails {
        let row = world.cloud().store.load::<OutboxRecord>(&format!("confirmation-{mail}")).await.unwrap();
        assert_eq!(row.unwrap().value.state, OutboxState::Sent);
        assert_eq!(not_reached(&world, &mail).await, None);
    }
}

#[tokio::test]
async fn a_confirmation_that_would_come_too_late_to_be_used_is_dropped_and_its_mail_says_so() {
    let world = World::with(&SERVER).await;
    let mails = ask(&world, 0..4).await;
    world.clock.advance(Duration::from_hours(48));
    ask(&world, 4..7).await;
    assert_eq!(world.outbox().len(), 6);
    Sweeper::new(world.app.clone()).send_pending_answers().await.unwrap();
    let why = not_reached(&world, &mails[3]).await.unwrap();
    assert_eq!(why, "was not sent: there were 3 confirmations to scott@example.org within an hour");
    assert_eq!(not_reached(&world, &mails[2]).await, None);
    world.clock.advance(Duration::from_hours(2));
    Sweeper::new(world.app.clone()).send_pending_answers().await.unwrap();
    assert_eq!(world.outbox().len(), 6);
}

#[tokio::test]
async fn the_answer_to_a_command_waits_for_a_day_and_what_cannot_wait_marks_its_mail() {
    let world = World::with(&["--trust", "all", "--answers-per-hour", "1"]).await;
    world.project("bob").await;
    let help = async |id: &str| text(&world.accepted(mail(id, "help")).await, "mailId").to_owned();
    help("1").await;
    let late = help("2").await;
    let refused = world.accepted(mail("3", "change it").replace("edit@", "bob@")).await;
    assert_eq!((text(&refused, "ending"), world.outbox().len()), ("not-permitted", 1));
    assert!(not_reached(&world, text(&refused, "mailId")).await.unwrap().contains("1 automatic mails to"));
    world.clock.advance(Duration::from_mins(61));
    Sweeper::new(world.app.clone()).send_pending_answers().await.unwrap();
    assert_eq!(world.outbox().len(), 2);
    assert_eq!(not_reached(&world, &late).await, None);
    let forgotten = help("4").await;
    world.clock.advance(Duration::from_hours(25));
    help("5").await;
    Sweeper::new(world.app.clone()).send_pending_answers().await.unwrap();
    assert_eq!(world.outbox().len(), 3);
    assert!(not_reached(&world, &forgotten).await.is_some());
}

#[tokio::test]
async fn what_no_carrier_took_until_it_was_of_no_use_is_not_sent_and_its_mail_says_so() {
    let world = World::with(&SERVER).await;
    world.plan.add(Calls::Of(Operation::SendMail), When::Always, Fate::FailBefore);
    let command = world.accepted(shown("pass", "1", "help")).await;
    let order = world.accepted(shown("pass", "2", "change 7 to 8")).await;
    world.report(world.result(text(&order, "commandId")).await.to_json()).await;
    let asked = ask(&world, 3..4).await.remove(0);
    world.clock.advance(Duration::from_hours(25));
    let command = text(&command, "mailId");
    assert_eq!(not_reached(&world, command).await, None);
    Sweeper::new(world.app.clone()).send_pending_answers().await.unwrap();
    assert_eq!(not_reached(&world, command).await.unwrap(), "was not sent: it would have come too late");
    world.clock.advance(Duration::from_hours(24));
    world.plan.heal();
    for _ in 0..2 {
        Sweeper::new(world.app.clone()).send_pending_answers().await.unwrap();
    }
    let sent = world.outbox();
    assert_eq!(sent.len(), 1, "{sent:?}");
    assert!(words(&sent[0]).contains("Your site was changed."), "an answer is late, never lost");
    assert!(not_reached(&world, &asked).await.unwrap().contains("too late"));
}
