//! Results back: one closed job and one answer, however often they come.

use std::time::Duration;

use common::cloud::failing::{Calls, Fate, Operation, When};
use common::cloud::queue::Depth;
use common::domain::job::{JobState, OutcomeNote};
use common::domain::names::Queue;
use common::domain::outcome::JobOutcome;
use common::domain::thread::Thread;
use hermes::sweep::Sweeper;

use crate::support::{World, mail, text};

async fn ordered(world: &World) -> (String, String) {
    let answer = world.accepted(mail("1", "change 7 to 8")).await;
    (text(&answer, "commandId").to_owned(), text(&answer, "mailId").to_owned())
}

#[tokio::test]
async fn s66_a_result_closes_the_job_and_the_user_gets_one_mail() {
    let world = World::with_scott().await;
    let (command, id) = ordered(&world).await;
    world.report(world.result(&command).await.to_json()).await;

    let job = world.job(&command).await;
    assert_eq!((job.state, job.pending, job.outcome), (JobState::Done, None, Some(JobOutcome::Changed)));
    let preview = "http://0123456789abcdef01234567.amelia.localhost:8025/";
    assert_eq!(job.preview_url.as_deref(), Some(preview));
    let sent = world.outbox();
    assert_eq!(sent.len(), 1);
    let answer = hermes::mail::read(sent[0].as_bytes()).unwrap();
    assert_eq!(answer.subject, "Re: Hours");
    for part in ["The site says 8 now.", "src/index.astro", preview, job.thread_id.as_str()] {
        assert!(answer.text.contains(part), "{part} in {}", answer.text);
    }
    let header = |name: &str| answer.headers.iter().find(|(found, _)| found == name).unwrap().1.clone();
    assert_eq!(header("to"), "scott@example.org");
    assert_eq!(
        (header("in-reply-to"), header("references")),
        ("<1@example.org>".into(), "<1@example.org>".into())
    );
    assert_eq!(header("auto-submitted"), "auto-replied");

    let record = world.mail(&id).await;
    assert_eq!(record.outcome, Some(JobOutcome::Changed));
    let reply_id = record.reply_message_id.unwrap();
    assert_eq!(header("message-id"), format!("<{reply_id}>"));
    assert!(
        reply_id.starts_with(&format!("{}.{command}.", job.thread_id)) && reply_id.ends_with("@localhost")
    );
    assert_eq!(world.app.secret.thread_of_message_id(&reply_id), Some(job.thread_id.clone()));
    let reply_to = common::domain::ids::EmailAddress::parse(&header("reply-to")).unwrap();
    assert_eq!(world.app.secret.thread_of_address(&reply_to), Some(job.thread_id.clone()));
}

#[tokio::test]
async fn whoever_wants_another_preview_live_than_they_saw_is_led_to_it() {
    let world = World::with_scott().await;
    let (command, _) = ordered(&world).await;
    let mut result = world.result(&command).await;
    (result.outcome, result.note) = (JobOutcome::Answered, Some(OutcomeNote::PreviewChanged));
    result.s3_bucket = None;
    let thread = world.cloud().store.load::<Thread>(&result.thread_id).await.unwrap().unwrap().value;
    world.report(result.to_json()).await;
    let job = world.job(&command).await;
    let address = format!("http://{}.amelia.localhost:8025/", thread.preview_key);
    assert_eq!((job.note, job.preview_url), (Some(OutcomeNote::PreviewChanged), Some(address.clone())));
    let answer = hermes::mail::read(world.outbox()[0].as_bytes()).unwrap();
    assert!(answer.text.contains(&address) && answer.text.contains("has changed since"), "{}", answer.text);
}

#[tokio::test]
async fn s66_however_a_job_ends_its_owner_gets_one_mail_with_its_thread() {
    use JobOutcome as Ended;
    let all = [
        Ended::Changed,
        Ended::Answered,
        Ended::Question,
        Ended::Stopped,
        Ended::BudgetExhausted,
        Ended::BuildFailed,
        Ended::PublishFailed,
        Ended::PushConflict,
        Ended::Refused,
        Ended::AgentFailed,
        Ended::Failed,
    ];
    for outcome in all {
        let world = World::with_scott().await;
        let (command, _) = ordered(&world).await;
        let mut result = world.result(&command).await;
        (result.outcome, result.success) = (outcome, outcome.is_success());
        for _ in 0..2 {
            world.report(result.to_json()).await;
        }
        let job = world.job(&command).await;
        assert_eq!((job.is_open(), job.outcome), (false, Some(outcome)));
        let sent = world.outbox();
        assert_eq!(sent.len(), 1, "{outcome:?}: {sent:?}");
        let answer = hermes::mail::read(sent[0].as_bytes()).unwrap();
        assert!(
            answer.text.contains(&format!("Conversation ID: {}", job.thread_id)),
            "{outcome:?}: {}",
            answer.text
        );
    }
}

#[tokio::test]
async fn a_reply_to_our_answer_continues_the_thread() {
    let world = World::with_scott().await;
    let (command, id) = ordered(&world).await;
    world.report(world.result(&command).await.to_json()).await;
    let reply_id = world.mail(&id).await.reply_message_id.unwrap();
    let reply = mail("2", "no, 9").replace("Subject:", &format!("In-Reply-To: <{reply_id}>\r\nSubject:"));
    let answer = world.accepted(reply).await;
    assert_eq!(text(&answer, "threadId"), world.job(&command).await.thread_id.as_str());
}

#[tokio::test]
async fn s81_a_result_delivered_twice_is_one_answer() {
    let world = World::with_scott().await;
    let (command, _) = ordered(&world).await;
    let result = world.result(&command).await;
    world.report(result.to_json()).await;
    let mut late = result.clone();
    late.outcome = JobOutcome::Failed;
    world.report(result.to_json()).await;
    world.report(late.to_json()).await;
    assert_eq!(world.outbox().len(), 1);
    assert_eq!(world.job(&command).await.outcome, Some(JobOutcome::Changed), "the first one counts");
    assert_eq!(world.cloud().queues.depth(&Queue::Output).await.unwrap(), Depth::default());
}

#[tokio::test]
async fn an_interrupted_job_stays_open_and_is_not_answered() {
    let world = World::with_scott().await;
    let (command, _) = ordered(&world).await;
    let mut result = world.result(&command).await;
    result.interrupted = true;
    result.outcome = JobOutcome::Interrupted;
    world.report(result.to_json()).await;
    assert!(world.job(&command).await.is_open());
    assert!(world.outbox().is_empty());
}

#[tokio::test]
async fn a_worker_that_lost_its_claim_cannot_close_a_job() {
    let world = World::with_scott().await;
    let (command, _) = ordered(&world).await;
    let stale = world.result(&command).await;
    let newer = |job: &mut common::domain::job::Job| {
        job.epoch = common::domain::claim::Epoch(2);
        std::ops::ControlFlow::Continue(())
    };
    let id = common::domain::ids::CommandId::parse(&command).unwrap();
    world.cloud().store.update(&id, newer).await.unwrap();
    world.report(stale.to_json()).await;
    assert!(world.job(&command).await.is_open());
    assert!(world.outbox().is_empty());
}

#[tokio::test]
async fn work_sent_by_hand_is_closed_without_a_mail_and_unknown_work_is_no_error() {
    let world = World::with_scott().await;
    let (command, _) = ordered(&world).await;
    let mut result = world.result(&command).await;
    result.command_id = common::domain::ids::CommandId::parse("never-heard-of").unwrap();
    world.report(result.to_json()).await;
    let id = common::domain::ids::CommandId::parse(&command).unwrap();
    let by_hand = |job: &mut common::domain::job::Job| {
        (job.mail_id, job.requested_by) = (None, None);
        std::ops::ControlFlow::Continue(())
    };
    world.cloud().store.update(&id, by_hand).await.unwrap();
    world.report(world.result(&command).await.to_json()).await;
    assert!(!world.job(&command).await.is_open());
    assert!(world.outbox().is_empty());
    assert_eq!(world.cloud().queues.depth(&Queue::Output).await.unwrap(), Depth::default());
}

#[tokio::test]
async fn garbage_on_the_output_queue_is_set_aside_once() {
    let world = World::with_scott().await;
    let (command, _) = ordered(&world).await;
    for garbage in [" ", "no json", "[]", "{\"type\":\"response\"}", "{\"type\":\"work\"}"] {
        world.report(garbage.to_owned()).await;
    }
    let dead = world.drain(&Queue::OutputDead).await;
    assert_eq!(dead.len(), 5);
    assert!(dead.iter().all(|delivery| delivery.attributes.contains_key("reason")));
    world.report(world.result(&command).await.to_json()).await;
    assert_eq!(world.outbox().len(), 1, "the next result is handled");
}

#[tokio::test]
async fn an_answer_that_cannot_be_sent_is_sent_later_and_once() {
    let world = World::with_scott().await;
    let (command, id) = ordered(&world).await;
    world.plan.add(Calls::Of(Operation::SendMail), When::Always, Fate::FailBefore);
    world.report(world.result(&command).await.to_json()).await;
    assert!(!world.job(&command).await.is_open(), "the job is closed all the same");
    assert!(world.outbox().is_empty());

    world.plan.heal();
    world.clock.advance(Duration::from_secs(20));
    let sweeper = Sweeper::new(world.app.clone());
    for _ in 0..2 {
        sweeper.send_pending_answers().await.unwrap();
    }
    assert_eq!(world.outbox().len(), 1);
    assert!(world.mail(&id).await.reply_message_id.is_some());
}

#[tokio::test]
async fn an_answer_whose_sending_was_not_acknowledged_is_not_sent_twice() {
    let world = World::with_scott().await;
    let (command, id) = ordered(&world).await;
    world.plan.add(Calls::Of(Operation::SendMail), When::Always, Fate::LoseAnswer);
    world.report(world.result(&command).await.to_json()).await;
    world.plan.heal();
    world.clock.advance(Duration::from_secs(20));
    Sweeper::new(world.app.clone()).send_pending_answers().await.unwrap();
    assert_eq!(world.outbox().len(), 1);
    assert!(world.mail(&id).await.reply_message_id.is_some());
}

#[tokio::test]
async fn a_result_that_says_another_owner_than_the_job_is_set_aside_with_the_reason() {
    let world = World::with_scott().await;
    let (command, _) = ordered(&world).await;
    let truth = world.result(&command).await.to_json();
    for (field, lie) in [("projectId", "bob"), ("userId", "ann"), ("threadId", "another-thread")] {
        let mut result: serde_json::Value = serde_json::from_str(&truth).unwrap();
        result[field] = lie.into();
        world.report(result.to_string()).await;
        let dead = world.drain(&Queue::OutputDead).await;
        assert_eq!(dead.len(), 1, "{field}");
        let reason = &dead[0].attributes["reason"];
        assert!(reason.contains(field) && reason.contains(lie), "{reason}");
        assert!(world.job(&command).await.is_open(), "{field}");
    }
    assert!(world.outbox().is_empty());
    world.report(truth).await;
    assert_eq!(world.outbox().len(), 1);
}

/// The preview address of a job that ended with this bucket and this URL.
async fn shown(bucket: Option<&str>, url: Option<&str>) -> Option<String> {
    let world = World::with_scott().await;
    let (command, _) = ordered(&world).await;
    let mut result = world.result(&command).await;
    (result.s3_bucket, result.s3_url) = (bucket.map(str::to_owned), url.map(str::to_owned));
    world.report(result.to_json()).await;
    world.job(&command).await.preview_url
}

#[tokio::test]
async fn only_addresses_that_browsers_open_and_sites_of_the_project_become_links() {
    let own = Some("http://0123456789abcdef01234567.amelia.localhost:8025/".to_owned());
    assert_eq!(shown(Some("0123456789abcdef01234567.amelia.localhost"), None).await, own);
    let odd = "0123456789ABCDEF01234567.Amelia.localhost:1";
    assert_eq!(shown(Some(odd), Some("javascript:alert(1)")).await, own);
    let elsewhere = "https://edit.amelia.example.org/x";
    assert_eq!(shown(None, Some(elsewhere)).await.as_deref(), Some(elsewhere));
    for bucket in ["edit.bob.localhost", "evil.org", "amelia.localhost/../x", "amelia.localhost@evil.org"] {
        assert_eq!(shown(Some(bucket), Some("file:///etc/passwd")).await, None, "{bucket}");
    }
}

#[tokio::test]
async fn an_answer_links_to_the_domain_of_the_sites() {
    let domain = ["--trust", "all", "--sites-domain", "previews.agency.com"];
    let world = World::with(&[&domain[..], &["--public-url", "https://hermes.agency.com"]].concat()).await;
    let (command, _) = ordered(&world).await;
    world.report(world.result(&command).await.to_json()).await;
    let preview = "https://0123456789abcdef01234567.amelia.previews.agency.com/";
    assert_eq!(world.job(&command).await.preview_url.as_deref(), Some(preview));
    let answer = hermes::mail::read(world.outbox()[0].as_bytes()).unwrap();
    assert!(answer.text.contains(preview) && !answer.text.contains("localhost"), "{}", answer.text);
}

#[tokio::test]
async fn what_a_worker_reports_cannot_speak_to_a_terminal() {
    let world = World::with_scott().await;
    let (command, _) = ordered(&world).await;
    let mut result = world.result(&command).await;
    result.summary = "one\n\u{1b}[2Jtwo".into();
    result.error = Some("bad\u{9b}31m\u{7}".into());
    result.files_changed = vec!["a\u{1b}]0;x\nb".into()];
    world.report(result.to_json()).await;
    let job = world.job(&command).await;
    assert_eq!(job.summary.as_deref(), Some("one\n[2Jtwo"));
    assert_eq!(job.error.as_deref(), Some("bad31m"));
    assert_eq!(job.files_changed, ["a]0;x b"]);
}

#[tokio::test]
async fn what_could_never_be_answered_or_ordered_is_refused_where_it_is_given() {
    let world = World::with_scott().await;
    let scott = serde_json::json!({"projectId": "amelia", "userId": "scott"});
    for address in ["a..b@example.org", ".a@example.org", "a%EF%BF%BE@example.org"] {
        let (status, _) = world.call("PUT", &format!("/v1/senders/{address}"), Some(scott.clone())).await;
        assert_eq!(status, 400, "{address}");
    }
    for junk in ["\u{fffe}", "\u{ffff}", "\u{1}"] {
        let project = serde_json::json!({"repoUrl": format!("https://github.com/you/x{junk}.git")});
        let (status, problem) = world.call("PUT", "/v1/projects/bakery", Some(project)).await;
        assert!(status.is_client_error(), "{junk:?}: {status} {problem}");
    }
}

#[tokio::test]
async fn an_answer_that_cannot_be_written_is_kept_as_failed_with_the_reason() {
    let world = World::with_scott().await;
    // A local part that mail software at large does not take.
    let strange = "sc\u{ff1c}ott@x.example";
    let (command, _) = ordered(&world).await;
    let id = common::domain::ids::CommandId::parse(&command).unwrap();
    let move_away = |job: &mut common::domain::job::Job| {
        job.requested_by = common::domain::ids::EmailAddress::parse(strange).ok();
        std::ops::ControlFlow::Continue(())
    };
    assert!(world.cloud().store.update(&id, move_away).await.unwrap().unwrap().requested_by.is_some());
    world.report(world.result(&command).await.to_json()).await;
    let query = common::cloud::store::Query::index("state-index", "failed");
    let (failed, _) = world.cloud().store.find::<hermes::outbox::OutboxRecord>(query).await.unwrap();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].dedup_key, format!("answer-{command}"));
    assert!(failed[0].note.as_ref().unwrap().contains("no mail can be written to"), "{:?}", failed[0].note);
    assert!(!world.job(&command).await.is_open());
    assert!(world.outbox().is_empty());
}

#[tokio::test]
async fn what_failed_is_said_in_plain_words() {
    let world = World::with_scott().await;
    let (command, _) = ordered(&world).await;
    let mut result = world.result(&command).await;
    result.success = false;
    result.outcome = JobOutcome::BuildFailed;
    result.summary = String::new();
    result.error = Some("npm ERR! secret-path".into());
    world.report(result.to_json()).await;
    let answer = hermes::mail::read(world.outbox()[0].as_bytes()).unwrap();
    assert!(answer.text.contains("cannot be built") && answer.text.contains("Reply to this mail"));
    assert!(!answer.text.contains("npm ERR"), "the operator's text stays with the operator");
}
