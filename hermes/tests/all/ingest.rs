//! Mail in: what each kind of mail becomes.

use std::time::Duration;

use axum::http::StatusCode;
use common::cloud::failing::{Calls, Door, Fate, Operation, When};
use common::cloud::queue::{Depth, MAX_WAIT, Outgoing};
use common::domain::ids::ProjectId;
use common::domain::names::{Prefix, Queue};
use common::domain::outcome::JobOutcome;
use common::domain::project::Project;
use hermes::ingest::queue::take;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::support::{World, base64, mail, text, until};

#[tokio::test]
async fn s01_without_a_worker_a_mail_becomes_work_and_one_claim_request() {
    let world = World::with_scott().await;
    let answer = world.accepted(mail("1", "change 7 to 8")).await;
    assert_eq!(answer["ending"], "routed");
    let requests = world.drain(&Queue::Unclaimed).await;
    assert_eq!(requests.len(), 1);
    let request: serde_json::Value = serde_json::from_str(&requests[0].body).unwrap();
    assert_eq!((text(&request, "type"), text(&request, "projectId")), ("CLAIM_REQUEST", "amelia"));
    let works = world.works("amelia#scott").await;
    assert_eq!(works.len(), 1);
    let work = &works[0];
    assert_eq!((text(work, "type"), text(work, "instruction")), ("work", "change 7 to 8"));
    assert_eq!(text(work, "repoUrl"), "https://github.com/you/amelia.git");
    assert_eq!(text(work, "commandId"), text(&answer, "commandId"));
    assert_eq!(text(work, "threadId"), text(&answer, "threadId"));
    let job = world.job(text(&answer, "commandId")).await;
    assert_eq!(job.mail_id.unwrap().as_str(), text(&answer, "mailId"));
    assert_eq!(job.requested_by.unwrap().as_str(), "scott@example.org");
}

#[tokio::test]
async fn s02_work_of_a_live_owner_is_not_announced() {
    let world = World::with_scott().await;
    world.claimed("amelia#scott").await;
    world.clock.advance(Duration::from_secs(30));
    world.accepted(mail("1", "change 7 to 8")).await;
    assert_eq!((world.works("amelia#scott").await.len(), world.announcements().await), (1, 0));
}

#[tokio::test]
async fn s03_work_of_an_owner_who_is_silent_for_301_s_is_announced() {
    let world = World::with_scott().await;
    world.claimed("amelia#scott").await;
    world.clock.advance(Duration::from_secs(301));
    world.accepted(mail("1", "change 7 to 8")).await;
    assert_eq!((world.works("amelia#scott").await.len(), world.announcements().await), (1, 1));
}

#[tokio::test]
async fn s04_with_the_ownership_table_out_of_reach_work_is_still_queued_and_announced() {
    let world = World::with_scott().await;
    world.plan.add(Calls::Through(Door::Claims), When::Always, Fate::FailBefore);
    let answer = world.accepted(mail("1", "change 7 to 8")).await;
    assert_eq!(answer["ending"], "routed");
    assert_eq!((world.works("amelia#scott").await.len(), world.announcements().await), (1, 1));
}

#[tokio::test]
async fn s05_with_the_queue_out_of_reach_nothing_is_acknowledged_and_the_mail_is_kept() {
    let world = World::with_scott().await;
    world.plan.add(Calls::Of(Operation::Send), When::Always, Fate::FailBefore);
    let (status, problem) = world.post(mail("1", "change 7 to 8")).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(text(&problem, "detail").contains("send the request again"), "{problem}");
    let (_, open) = world.call("GET", "/v1/mails", None).await;
    let (id, command) = (text(&open["mails"][0], "mailId"), text(&open["mails"][0], "commandId"));
    assert!(open["mails"][0].get("ending").is_none(), "{open}");

    world.plan.heal();
    let again = world.accepted(mail("1", "change 7 to 8")).await;
    assert_eq!((text(&again, "mailId"), text(&again, "commandId")), (id, command), "the same ids");
    assert_eq!(world.works("amelia#scott").await.len(), 1);
}

#[tokio::test]
async fn s06_every_wrapping_of_a_mail_gives_the_same_result() {
    let raw = mail("1", "change 7 to 8");
    let content = json!({"content": raw}).to_string();
    let encoded = json!({"content": base64(raw.as_bytes())}).to_string();
    let wrapped = json!({"Type": "Notification", "Message": content}).to_string();
    for body in [raw.clone(), content, encoded, wrapped] {
        let world = World::with_scott().await;
        put(&world, &body).await;
        assert_eq!(handle(&world).await, 1);
        let works = world.works("amelia#scott").await;
        assert_eq!((works.len(), text(&works[0], "instruction")), (1, "change 7 to 8"), "{body}");
        let again = world.accepted(raw.clone()).await;
        assert_eq!(text(&again, "commandId"), text(&works[0], "commandId"), "the same mail on another way");
        assert_eq!(world.cloud().queues.depth(&Queue::Email).await.unwrap(), Depth::default());
    }
}

#[tokio::test]
async fn s07_a_json_test_message_is_rejected_once_with_the_reason() {
    let world = World::with_scott().await;
    put(&world, r#"{"type":"test","hello":1}"#).await;
    assert_eq!(handle(&world).await, 1);
    assert_eq!(handle(&world).await, 0, "it is not tried again");
    let dead = world.drain(&Queue::EmailDead).await;
    assert_eq!(dead.len(), 1);
    assert!(dead[0].attributes["reason"].contains("not a mail"), "{:?}", dead[0].attributes);
}

#[tokio::test]
async fn s08_a_malformed_mail_does_not_stop_the_next_one() {
    let world = World::with_scott().await;
    put(&world, "this is no mail").await;
    put(&world, &mail("1", "change 7 to 8")).await;
    assert_eq!(handle(&world).await, 2);
    assert_eq!(world.works("amelia#scott").await.len(), 1);
    let (_, malformed) = world.call("GET", "/v1/mails?ending=malformed", None).await;
    assert_eq!(malformed["mails"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn s09_the_same_mail_twice_is_one_run_and_one_answer() {
    let world = World::with_scott().await;
    let first = world.accepted(mail("1", "change 7 to 8")).await;
    let again = world.accepted(format!("Received: by another path\r\n{}", mail("1", "change 7 to 8"))).await;
    assert_eq!(first, again);
    assert_eq!((world.works("amelia#scott").await.len(), world.announcements().await), (1, 1));
    world.report(world.result(text(&first, "commandId")).await.to_json()).await;
    assert_eq!(world.accepted(mail("1", "change 7 to 8")).await, first, "after its answer too");
    assert_eq!(
        (world.works("amelia#scott").await.len(), world.outbox().len()),
        (0, 1),
        "one run, one answer"
    );
    let other = world.accepted(mail("1", "change 7 to 9")).await;
    assert_ne!(first["mailId"], other["mailId"], "the same id with another body is another mail");
}

#[tokio::test]
async fn s12_letter_case_and_display_name_do_not_matter() {
    let world = World::with_scott().await;
    let shouted = mail("1", "x").replace("Scott <scott@example.org>", "\"The Boss\" <SCOTT@Example.ORG>");
    assert_eq!(world.accepted(shouted).await["ending"], "routed");
    assert_eq!(world.works("amelia#scott").await.len(), 1);
}

#[tokio::test]
async fn s13_a_user_given_as_an_address_has_a_legal_queue_of_its_own() {
    let world = World::with_scott().await;
    world.sender("x@example.org", "amelia", "Scott.O+x@example.org").await;
    world.sender("y@example.org", "amelia", "Scott-O.x@example.org").await;
    let mut names = Vec::new();
    for from in ["x", "y"] {
        let answer = world.accepted(mail(from, "hello").replace("scott@", &format!("{from}@"))).await;
        let job = world.job(text(&answer, "commandId")).await;
        let name = Queue::Input(job.project_key.clone()).name(&Prefix::parse("webordinary").unwrap());
        assert!(
            name.len() <= 80
                && name
                    .trim_end_matches(".fifo")
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        );
        assert_eq!(world.works(&job.project_key.to_string()).await.len(), 1);
        names.push(name);
    }
    assert_ne!(names[0], names[1]);
}

#[tokio::test]
async fn s14_html_alone_no_subject_and_no_message_id_are_processed() {
    let world = World::with_scott().await;
    for raw in [
        "From: scott@example.org\r\nSubject: Hours\r\nContent-Type: text/html\r\n\r\n<p>change <b>7</b> to 8</p>",
        "From: scott@example.org\r\nMessage-ID: <a@b>\r\n\r\nchange 7 to 8",
        "From: scott@example.org\r\nSubject: Hours\r\n\r\nchange 7 to 8",
    ] {
        assert_eq!(world.accepted(raw).await["ending"], "routed", "{raw}");
        let works = world.works("amelia#scott").await;
        assert_eq!((works.len(), text(&works[0], "instruction")), (1, "change 7 to 8"), "{raw}");
    }
}

#[tokio::test]
async fn s15_of_a_reply_only_the_new_words_are_the_instruction_and_what_it_quotes_goes_along() {
    let old = "make all of it red";
    let below = [
        format!("On Tue, Mar 3, 2026 at 9:41 AM Hermes <h@x.y>\r\nwrote:\r\n\r\n> {old}\r\n"),
        format!("> Am 03.03.2026 um 09:41 schrieb Hermes <h@x.y>:\r\n>\r\n> {old}\r\n"),
        format!(
            "________________________________\r\nFrom: Hermes <h@x.y>\r\nSent: Tuesday, March 3, 2026 9:41 AM\r\nTo: scott@example.org\r\nSubject: Hours\r\n\r\n{old}\r\n"
        ),
        format!("-----Ursprüngliche Nachricht-----\r\nVon: Hermes\r\nBetreff: Hours\r\n\r\n{old}\r\n"),
    ];
    let world = World::with_scott().await;
    for (number, quote) in below.iter().enumerate() {
        let raw = mail(&number.to_string(), &format!("change 7 to 8\r\n\r\n{quote}"));
        assert_eq!(world.accepted(raw).await["ending"], "routed", "{quote}");
        let work = world.works("amelia#scott").await.remove(0);
        assert_eq!(text(&work, "instruction"), "change 7 to 8", "{quote}");
        assert!(text(&work["context"], "quoted").contains(old), "{work}");
    }
    let only = mail("9", &below[0]).replace("Subject: Hours", "Subject: Re: Hours");
    assert_eq!(world.accepted(only).await["ending"], "question-asked", "an old order is not run again");
}

#[tokio::test]
async fn s17_a_reply_continues_the_thread_of_the_mail_it_answers() {
    let world = World::with_scott().await;
    let first = world.accepted(mail("1", "change 7 to 8")).await;
    let reply = mail("2", "and 9 to 10").replace("Subject:", "In-Reply-To: <1@example.org>\r\nSubject:");
    let second = world.accepted(reply).await;
    assert_eq!(first["threadId"], second["threadId"]);
    assert_ne!(first["commandId"], second["commandId"]);
    let deep =
        mail("3", "and so on").replace("Subject:", "References: <0@x> <2@example.org> <9@x>\r\nSubject:");
    assert_eq!(world.accepted(deep).await["threadId"], first["threadId"]);
    assert_ne!(world.accepted(mail("4", "something else")).await["threadId"], first["threadId"]);
}

#[tokio::test]
async fn the_thread_of_another_user_is_never_joined() {
    let world = World::with_scott().await;
    world.sender("bob@example.org", "amelia", "bob").await;
    let first = world.accepted(mail("1", "change 7 to 8")).await;
    let foreign = mail("2", "mine").replace("scott@", "bob@");
    let foreign = foreign.replace("Subject:", "In-Reply-To: <1@example.org>\r\nSubject:");
    assert_ne!(world.accepted(foreign).await["threadId"], first["threadId"]);
}

#[tokio::test]
async fn a_sender_of_several_sites_is_asked_which_unless_the_recipient_says() {
    let world = World::with_scott().await;
    world.project("bob").await;
    world.sender("scott@example.org", "bob", "scott").await;
    let asked = world.accepted(mail("1", "change 7 to 8")).await;
    assert_eq!(asked["ending"], "question-asked");
    let sent = world.outbox();
    assert_eq!(sent.len(), 1);
    assert!(
        sent[0].contains("bob@localhost") && sent[0].contains("In-Reply-To: <1@example.org>"),
        "{}",
        sent[0]
    );
    world.accepted(mail("1", "change 7 to 8")).await;
    assert_eq!(world.outbox().len(), 1, "asked once");
    let named = mail("2", "change 7 to 8").replace("edit@hermes", "bob@hermes");
    assert_eq!(world.accepted(named).await["ending"], "routed");
    assert_eq!(world.works("bob#scott").await.len(), 1);
}

#[tokio::test]
async fn somebody_elses_site_is_not_touched() {
    let world = World::with_scott().await;
    world.project("bob").await;
    let answer = world.accepted(mail("1", "x").replace("edit@hermes", "bob@hermes")).await;
    assert_eq!(answer["ending"], "not-permitted");
}

#[tokio::test]
async fn the_address_that_all_write_to_names_no_site() {
    let world = World::with_scott().await;
    world.project("hermes").await;
    let answer = world.accepted(mail("1", "x").replace("edit@hermes.localhost", "hermes@localhost")).await;
    assert_eq!(answer["ending"], "routed");
    assert_eq!(world.works("amelia#scott").await.len(), 1);
}

#[tokio::test]
async fn a_project_whose_row_is_missing_is_an_ending_that_says_what_to_do() {
    let world = World::with_scott().await;
    world.cloud().store.remove::<Project>(&ProjectId::parse("amelia").unwrap()).await.unwrap();
    let answer = world.accepted(mail("1", "x")).await;
    assert_eq!(answer["ending"], "failed");
    let (_, kept) = world.call("GET", &format!("/v1/mails/{}", text(&answer, "mailId")), None).await;
    assert!(kept["trace"].to_string().contains("hermes projects add amelia"), "{kept}");
}

#[tokio::test]
async fn who_wrote_about_a_removed_project_does_not_write_about_another_of_that_name() {
    let world = World::with_scott().await;
    world.project("shop").await;
    for at in 0..120 {
        world.sender(&format!("a{at}@example.org"), "amelia", "scott").await;
    }
    world.sender("scott@example.org", "shop", "scott").await;
    assert_eq!(world.call("DELETE", "/v1/projects/amelia", None).await.0, StatusCode::NO_CONTENT);
    world.project("amelia").await;
    world.sender("bob@example.org", "amelia", "bob").await;
    let from = |who: &str| mail(who, "x").replace("scott@", who).replace("edit@", "amelia@");
    assert_eq!(world.accepted(from("scott@")).await["ending"], "not-permitted");
    for who in ["a0@", "a119@"] {
        assert_eq!(world.accepted(from(who)).await["ending"], "unknown-sender", "{who}");
    }
    let (_, left) = world.call("GET", "/v1/senders", None).await;
    assert_eq!(left["senders"].as_array().unwrap().len(), 2, "{left}");
    assert!(world.works("amelia#scott").await.is_empty());
}

#[tokio::test]
async fn a_removal_that_was_cut_short_is_completed_by_the_same_call() {
    for nth in 1..=3 {
        let world = World::with_scott().await;
        world.sender("bob@example.org", "amelia", "bob").await;
        world.plan.add(Calls::Of(Operation::DeleteRow), When::Nth(nth), Fate::FailBefore);
        assert_eq!(world.call("DELETE", "/v1/projects/amelia", None).await.0, 503, "{nth}");
        world.plan.heal();
        assert_eq!(world.call("DELETE", "/v1/projects/amelia", None).await.0, 204, "{nth}");
        let (_, left) = world.call("GET", "/v1/senders", None).await;
        assert_eq!(left["senders"], json!([]), "{nth}");
    }
}

#[tokio::test]
async fn senders_that_an_earlier_removal_left_behind_do_not_come_with_a_new_project() {
    let world = World::with_scott().await;
    world.cloud().store.remove::<Project>(&ProjectId::parse("amelia").unwrap()).await.unwrap();
    world.project("amelia").await;
    assert_eq!(world.accepted(mail("1", "x")).await["ending"], "unknown-sender");
    world.sender("scott@example.org", "amelia", "scott").await;
    world.call("PUT", "/v1/projects/amelia", Some(json!({"repoUrl": "https://github.com/you/x.git"}))).await;
    assert_eq!(
        world.accepted(mail("2", "x")).await["ending"],
        "routed",
        "new settings change nobody's rights"
    );
}

#[tokio::test]
async fn another_mail_with_the_same_message_id_is_a_new_mail_and_flagged() {
    const FLAG: &str = "another mail with the same Message-ID came before";
    let world = World::with_scott().await;
    let flagged = async |raw: String| {
        let answer = world.accepted(raw).await;
        assert_eq!(answer["ending"], "routed", "{answer}");
        let trace = world.mail(text(&answer, "mailId")).await.trace;
        (text(&answer, "mailId").to_owned(), serde_json::to_string(&trace).unwrap().contains(FLAG))
    };
    let first = flagged(mail("1", "change 7 to 8")).await;
    assert!(!first.1);
    assert_eq!(flagged(mail("1", "change 7 to 8")).await, first, "the same mail again is no other mail");
    let second = flagged(mail("1", "change 7 to 9")).await;
    assert!(second.1 && second.0 != first.0);
    let reply = |text: &str| mail("2", text).replace("Subject:", "In-Reply-To: <1@example.org>\r\nSubject:");
    assert!(!flagged(reply("and the title")).await.1);
    assert!(flagged(reply("and the footer")).await.1, "a reply too");
    assert_eq!(world.works("amelia#scott").await.len(), 4);
}

#[tokio::test]
async fn automatic_mail_is_recorded_and_never_answered() {
    let world = World::with_scott().await;
    for header in ["Auto-Submitted: auto-replied", "Return-Path: <>", "List-Id: <l.example.org>"] {
        let raw = mail("1", header).replace("Subject:", &format!("{header}\r\nSubject:"));
        assert_eq!(world.accepted(raw).await["ending"], "automatic", "{header}");
    }
    assert!(world.outbox().is_empty());
}

#[tokio::test]
async fn s82_a_queue_that_does_not_answer_makes_hermes_unready_and_it_recovers_by_itself() {
    let world = World::with_scott().await;
    world.plan.add(Calls::Of(Operation::Receive), When::Always, Fate::FailBefore);
    put(&world, &mail("1", "change 7 to 8")).await;
    let stop = CancellationToken::new();
    let running = tokio::spawn(hermes::ingest::queue::run(world.app.clone(), stop.clone()));
    until("unready", async || world.call("GET", "/readyz", None).await.0 == StatusCode::SERVICE_UNAVAILABLE)
        .await;
    world.plan.heal();
    until("ready", async || world.call("GET", "/readyz", None).await.0 == StatusCode::OK).await;
    until("the work", async || !world.works("amelia#scott").await.is_empty()).await;
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(5), running).await.expect("the loop ends when told").unwrap();
}

#[tokio::test]
async fn a_queue_that_answers_again_is_known_to_do_so_before_a_long_poll_has_ended() {
    let world = World::with_scott().await;
    world.plan.add(Calls::Of(Operation::Receive), When::Always, Fate::FailBefore);
    let stop = CancellationToken::new();
    let running = tokio::spawn(hermes::ingest::queue::run(world.app.clone(), stop.clone()));
    until("unready", async || !world.app.health.failing().is_empty()).await;
    world.plan.heal();
    let well = until("well", async || world.app.health.failing().is_empty());
    tokio::time::timeout(MAX_WAIT / 2, well).await.expect("it does not wait for a mail first");
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn work_that_no_queue_takes_ends_its_job_and_is_answered_once() {
    let world = World::with_scott().await;
    let amelia = common::domain::ids::ProjectId::parse("amelia").unwrap();
    // A row of before such addresses were refused.
    let spoil = |project: &mut common::domain::project::Project| {
        project.repo_url.push('\u{fffe}');
        std::ops::ControlFlow::Continue(())
    };
    world.cloud().store.update(&amelia, spoil).await.unwrap();
    let answer = world.accepted(mail("1", "change 7 to 8")).await;
    assert_eq!(answer["ending"], "failed");
    let job = world.job(text(&answer, "commandId")).await;
    assert_eq!((job.is_open(), job.pending, job.outcome), (false, None, Some(JobOutcome::Failed)));
    assert!(job.error.unwrap().contains("control characters or non-characters"));
    let record = world.mail(text(&answer, "mailId")).await;
    assert_eq!(record.outcome, Some(JobOutcome::Failed));
    assert!(record.reply_message_id.is_some());
    world.accepted(mail("1", "change 7 to 8")).await;
    world.clock.advance(Duration::from_mins(1));
    hermes::sweep::Sweeper::new(world.app.clone()).sweep().await;
    assert_eq!((world.outbox().len(), world.announcements().await), (1, 0));
}

async fn put(world: &World, body: &str) {
    world.cloud().queues.send(&Queue::Email, Outgoing::standard(body)).await.unwrap();
}

/// Handles what is on the email queue; how many messages that were.
async fn handle(world: &World) -> usize {
    let batch = world.cloud().queues.receive(&Queue::Email, 10, Duration::ZERO).await.unwrap();
    for delivery in &batch {
        take(&world.app, delivery).await.unwrap();
    }
    batch.len()
}
