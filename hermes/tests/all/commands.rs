//! Mails of one word: stop, status, help.

use std::ops::ControlFlow;

use common::domain::ids::CommandId;
use common::domain::job::{Job, JobState};
use common::domain::outcome::JobOutcome;

use crate::support::{World, mail, text};

fn words(sent: &str) -> String {
    hermes::mail::read(sent.as_bytes()).unwrap().text
}

fn reply(id: &str, to: &str, words: &str) -> String {
    mail(id, words)
        .replace("Subject: Hours", &format!("In-Reply-To: <{to}@example.org>\r\nSubject: Re: Hours"))
}

async fn report(world: &World, command: &str, outcome: JobOutcome) {
    let mut result = world.result(command).await;
    (result.outcome, result.success) = (outcome, outcome.is_success());
    world.report(result.to_json()).await;
}

#[tokio::test]
async fn s78_stop_by_mail_marks_all_open_work_of_the_conversation_and_is_answered_once() {
    let world = World::with_scott().await;
    let first = world.accepted(mail("1", "change 7 to 8")).await;
    let second = world.accepted(reply("2", "1", "and the title")).await;
    let elsewhere = world.accepted(mail("3", "another page")).await;
    world.announcements().await;
    assert_eq!(first["threadId"], second["threadId"]);

    let stop = world.accepted(reply("4", "2", "Stop.\r\n\r\n> change 7 to 8")).await;
    assert_eq!((text(&stop, "ending"), stop.get("commandId")), ("command-done", None));
    assert!(world.outbox().is_empty(), "it is answered when the work has stopped");
    for (answer, marked) in [(&first, true), (&second, true), (&elsewhere, false)] {
        let job = world.job(text(answer, "commandId")).await;
        assert_eq!(job.stop_requested.is_some(), marked, "{job:?}");
    }
    assert_eq!(world.announcements().await, 2, "nobody owned the claim");

    for answer in [&first, &second] {
        report(&world, text(answer, "commandId"), JobOutcome::Stopped).await;
    }
    let sent = world.outbox();
    assert_eq!(sent.len(), 1, "one answer, however many jobs it stopped");
    assert!(sent[0].contains("In-Reply-To: <4@example.org>"), "{}", sent[0]);
    assert!(words(&sent[0]).contains("The work was stopped."));
    for answer in [&first, &second, &stop] {
        assert!(world.mail(text(answer, "mailId")).await.reply_message_id.is_some(), "{answer}");
    }
    assert_eq!(world.works("amelia#scott").await.len(), 3, "nothing more was ordered");
}

#[tokio::test]
async fn s78_stop_of_work_that_was_faster_says_so() {
    let world = World::with_scott().await;
    let order = world.accepted(mail("1", "change 7 to 8")).await;
    world.accepted(reply("2", "1", "stop")).await;
    report(&world, text(&order, "commandId"), JobOutcome::Changed).await;
    let sent: Vec<String> = world.outbox().iter().map(|sent| words(sent)).collect();
    assert_eq!(sent.len(), 2, "each mail has its answer");
    assert!(sent.iter().any(|text| text.contains("Your site was changed.")));
    assert!(sent.iter().any(|text| text.contains("finished before it could be stopped")));
}

#[tokio::test]
async fn s78_whoever_ordered_hears_of_a_stop_from_another_address() {
    let world = World::with_scott().await;
    world.sender("office@example.org", "amelia", "scott").await;
    let order = world.accepted(mail("1", "change 7 to 8")).await;
    world.accepted(mail("2", "stop").replace("scott@", "office@")).await;
    report(&world, text(&order, "commandId"), JobOutcome::Stopped).await;
    let sent = world.outbox();
    assert_eq!(sent.len(), 2, "{sent:?}");
    for (to, answered) in [("scott@", "<1@example.org>"), ("office@", "<2@example.org>")] {
        let found = sent.iter().find(|sent| sent.contains(&format!("To: {to}"))).unwrap();
        assert!(found.contains(&format!("In-Reply-To: {answered}")), "{found}");
        assert!(words(found).contains("The work was stopped."), "{found}");
    }
}

/// What an order and the mail that stopped it hear, once `end` has ended the job.
async fn heard(end: impl AsyncFn(&World, &CommandId)) -> Vec<String> {
    let world = World::with_scott().await;
    let order = world.accepted(mail("1", "change 7 to 8")).await;
    world.accepted(reply("2", "1", "stop")).await;
    let id = CommandId::parse(text(&order, "commandId")).unwrap();
    end(&world, &id).await;
    assert!(!world.job(id.as_str()).await.is_open());
    world.outbox().iter().map(|sent| words(sent)).collect()
}

#[tokio::test]
async fn s78_stop_of_work_that_is_given_up_is_answered() {
    let heard = heard(async |world, id| {
        hermes::results::give_up(&world.app, id, "no worker took it").await.unwrap();
    });
    let heard = heard.await;
    assert_eq!(heard.len(), 2, "each mail has its answer: {heard:?}");
    assert!(heard.iter().any(|text| text.contains("Something went wrong")), "{heard:?}");
    assert!(heard.iter().any(|text| text.contains("finished before it could be stopped")), "{heard:?}");
}

#[tokio::test]
async fn s78_stop_of_work_that_is_told_of_by_its_row_is_answered() {
    let heard = heard(async |world, id| {
        let ends = |job: &mut Job| {
            job.outcome = Some(JobOutcome::Changed);
            ControlFlow::Continue(())
        };
        world.cloud().store.update(id, ends).await.unwrap();
        hermes::untold::settle(&world.app, id).await.unwrap();
    });
    let heard = heard.await;
    assert_eq!(heard.len(), 2, "each mail has its answer: {heard:?}");
    assert!(heard.iter().any(|text| text.contains("Your site was changed.")), "{heard:?}");
    assert!(heard.iter().any(|text| text.contains("finished before it could be stopped")), "{heard:?}");
}

#[tokio::test]
async fn s78_stop_behind_an_operators_stop_is_answered_when_the_work_has_stopped() {
    let world = World::with_scott().await;
    let order = world.accepted(mail("1", "change 7 to 8")).await;
    let job = text(&order, "commandId");
    world.call("POST", &format!("/v1/jobs/{job}/stop"), None).await;
    let asked = world.job(job).await.stop_requested;
    for id in ["2", "3"] {
        assert_eq!(world.accepted(reply(id, "1", "stop")).await["ending"], "command-done");
    }
    assert!(world.outbox().is_empty(), "it is being stopped: nobody reads that there is nothing to stop");
    let row = world.job(job).await;
    assert_eq!((row.stop_requested, row.stopped_by.is_some()), (asked, true));
    report(&world, job, JobOutcome::Stopped).await;
    let sent = world.outbox();
    assert_eq!(sent.len(), 1);
    assert!(sent[0].contains("In-Reply-To: <2@example.org>"), "{}", sent[0]);
    assert!(words(&sent[0]).contains("The work was stopped."));
}

#[tokio::test]
async fn stop_without_work_is_answered_at_once_and_once() {
    let world = World::with_scott().await;
    for _ in 0..2 {
        assert_eq!(world.accepted(mail("1", "stop")).await["ending"], "command-done");
    }
    let sent = world.outbox();
    assert_eq!(sent.len(), 1);
    assert!(words(&sent[0]).contains("nothing to stop"));
    assert!(world.works("amelia#scott").await.is_empty());
}

#[tokio::test]
async fn stop_in_a_mail_of_its_own_stops_everything_of_that_owner_and_site() {
    let world = World::with_scott().await;
    world.sender("bob@example.org", "amelia", "bob").await;
    let mine = world.accepted(mail("1", "change 7 to 8")).await;
    let bobs = world.accepted(mail("2", "change 7 to 9").replace("scott@", "bob@")).await;
    world.accepted(mail("3", "Stop").replace("Subject: Hours", "Subject: please")).await;
    assert!(world.job(text(&mine, "commandId")).await.stop_requested.is_some());
    assert!(world.job(text(&bobs, "commandId")).await.stop_requested.is_none());
}

#[tokio::test]
async fn status_says_what_runs_and_what_waits() {
    let world = World::with_scott().await;
    world.accepted(mail("0", "status")).await;
    assert!(words(&world.outbox()[0]).contains("Nothing is being worked on."));
    let order = world.accepted(mail("1", "change 7 to 8")).await;
    world.accepted(mail("2", "another page").replace("Subject: Hours", "Subject: Shop")).await;
    let id = CommandId::parse(text(&order, "commandId")).unwrap();
    let run = |job: &mut Job| {
        job.state = JobState::Running;
        ControlFlow::Continue(())
    };
    world.cloud().store.update(&id, run).await.unwrap();
    world.clock.advance(std::time::Duration::from_mins(4));
    assert_eq!(world.accepted(mail("3", "Status?")).await["ending"], "command-done");
    let sent = world.outbox();
    let status = sent.iter().map(|sent| words(sent)).find(|text| text.contains("worked on for you")).unwrap();
    for line in ["- “Hours”, for 4 minutes", "- “Shop”, waits for its turn"] {
        assert!(status.lines().any(|said| said == line), "{status}");
    }
}

#[tokio::test]
async fn help_is_answered_in_the_owners_language() {
    let world = World::with_scott().await;
    let german = mail("1", "Hilfe").replace("Subject:", "Content-Language: de-DE\r\nSubject:");
    assert_eq!(world.accepted(german).await["ending"], "command-done");
    let body = serde_json::json!({"projectId": "amelia", "userId": "scott", "language": "fr"});
    world.call("PUT", "/v1/senders/scott@example.org", Some(body)).await;
    world.accepted(mail("2", "Help").replace("Subject:", "Content-Language: de-DE\r\nSubject:")).await;
    let sent: Vec<String> = world.outbox().iter().map(|sent| words(sent)).collect();
    assert!(
        sent.iter().any(|text| text.contains("modifier votre site par e-mail")),
        "what is set counts most: {sent:?}"
    );
    let text = sent.iter().find(|text| text.contains("Mail")).unwrap();
    assert!(text.contains("So ändern Sie Ihre Website per Mail") && text.contains("„stopp“"), "{text}");
}

#[tokio::test]
async fn an_editor_is_not_told_to_publish_and_an_owner_is() {
    let world = World::with_scott().await;
    let body = serde_json::json!({"projectId": "amelia", "userId": "ed", "role": "editor"});
    world.call("PUT", "/v1/senders/ed@example.org", Some(body)).await;
    for (id, author) in [("1", "scott@"), ("2", "ed@")] {
        let order = world.accepted(mail(id, &format!("change 7 to {id}")).replace("scott@", author)).await;
        report(&world, text(&order, "commandId"), JobOutcome::Changed).await;
        world.accepted(mail(&format!("{id}-help"), "help").replace("scott@", author)).await;
    }
    let sent = world.outbox();
    assert_eq!(sent.len(), 4, "{sent:?}");
    for sent in sent {
        let told = words(&sent).contains("“publish”");
        assert_eq!(told, sent.contains("To: scott@"), "{sent}");
    }
}
