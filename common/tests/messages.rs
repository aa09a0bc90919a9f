//! Every message in its golden form (`golden/*.json`), written and read back; and what older senders leave out or write
//! differently.
#![allow(clippy::unwrap_used, reason = "a test: a panic is how it fails")]

use common::domain::budget::Usage;
use common::domain::claim::Epoch;
use common::domain::ids::{
    CommandId, EmailAddress, ProjectId, ProjectUser, SessionId, ThreadId, UserId, WorkerId,
};
use common::domain::names::{ContentHash, attachment_key};
use common::domain::outcome::JobOutcome;
use common::domain::timestamp::Timestamp;
use common::messages::{
    Attachment, ClaimRequest, Control, ControlAction, Interrupt, JobResult, Offer, Order, UserRef, Work,
    WorkContext, WorkDraft,
};
use serde_json::{Value, json};

const AT: Timestamp = Timestamp::from_millis(1_767_225_600_000);
const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn golden(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// What was written is the golden form: same fields, same values, `type` and `version` first.
fn assert_golden(written: &str, text: &str) {
    assert_eq!(golden(written), golden(text));
    assert!(written.starts_with("{\"type\":\""), "{written}");
}

fn draft(body: &Value) -> WorkDraft {
    WorkDraft::parse(&body.to_string(), "message-1", NOW).unwrap()
}

fn command() -> CommandId {
    CommandId::parse("01890a5d-ac96-774b-bcce-b302099a8057").unwrap()
}

fn thread() -> ThreadId {
    ThreadId::parse("0123456789abcdef0123").unwrap()
}

fn amelia() -> ProjectId {
    ProjectId::parse("amelia").unwrap()
}

fn scott() -> UserId {
    UserId::parse("scott").unwrap()
}

fn minimal_work() -> Value {
    golden(include_str!("golden/work-minimal.json"))
}

/// The golden work with fields set (or, by null, taken out).
fn work_with(changes: &Value) -> Value {
    let mut body = minimal_work();
    for (field, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => body.as_object_mut().unwrap().remove(field),
            value => body.as_object_mut().unwrap().insert(field.clone(), value.clone()),
        };
    }
    body
}

#[test]
fn a_work_is_written_and_read_in_its_golden_form() {
    for text in [include_str!("golden/work.json"), include_str!("golden/work-minimal.json")] {
        let draft = WorkDraft::parse(text, "message-1", NOW).unwrap();
        assert_eq!(draft.user, UserRef::Id(scott()));
        let (thread, repo) = (draft.thread_id.clone().unwrap(), draft.repo_url.clone().unwrap());
        let work: Work = draft.complete(scott(), thread, repo);
        assert_golden(&work.to_json(), text);
    }
}

#[test]
fn a_whole_work_has_these_values() {
    let draft = WorkDraft::parse(include_str!("golden/work.json"), "message-1", NOW).unwrap();
    let work = draft.complete(scott(), thread(), "https://github.com/example/amelia.git".into());
    let sha256 = ContentHash::of(b"logo");
    let expected = Attachment {
        key: attachment_key(&sha256),
        name: "logo.png".into(),
        mime_type: "image/png".into(),
        size_bytes: 4,
        sha256,
    };
    assert_eq!((work.command_id.clone(), work.timestamp), (command(), AT));
    assert_eq!(work.attachments, [expected]);
    assert_eq!(work.context.quoted.as_deref(), Some("> earlier words"));
    assert_eq!((work.branch_name(), work.task_token), ("thread-older".into(), Some("token-1".into())));
}

#[test]
fn a_claim_request_is_written_and_read_in_its_golden_form() {
    let text = include_str!("golden/claim-request.json");
    let request = ClaimRequest {
        project_id: amelia(),
        user_id: scott(),
        queue_url: Some("http://localhost:4566/000000000000/webordinary-input-amelia-scott.fifo".into()),
        thread_id: Some(thread().to_string()),
        message_id: Some(command().to_string()),
        timestamp: AT,
    };
    assert_golden(&request.to_json(), text);
    assert_eq!(Offer::parse(text, "message-1", NOW).unwrap(), Offer::Claim(request));
}

#[test]
fn an_interrupt_is_written_and_read_in_its_golden_form() {
    let text = include_str!("golden/interrupt.json");
    let order = Order::Interrupt(Interrupt {
        project_id: amelia(),
        user_id: scott(),
        command_id: command(),
        new_thread_id: ThreadId::parse("fedcba9876543210fedc").unwrap(),
        new_message_id: "01890a5d-ac96-774b-bcce-b302099a8058".into(),
        reason: "newer work on another thread".into(),
        timestamp: AT,
    });
    assert_golden(&order.to_json(), text);
    assert_eq!(Order::parse(text).unwrap(), order);
}

#[test]
fn control_orders_are_written_and_read_in_their_golden_form() {
    let plain = Control { action: ControlAction::Drain, project_key: None, command_id: None, note: None };
    let release = Control {
        action: ControlAction::Release,
        project_key: Some(ProjectUser::parse("amelia#scott").unwrap()),
        note: Some("the disk is being replaced".into()),
        ..plain.clone()
    };
    let stop = Control { action: ControlAction::StopJob, command_id: Some(command()), ..plain.clone() };
    for (control, text) in [
        (plain, include_str!("golden/control-drain.json")),
        (release, include_str!("golden/control-release.json")),
        (stop, include_str!("golden/control-stop-job.json")),
    ] {
        let order = Order::Control(control);
        assert_golden(&order.to_json(), text);
        assert_eq!(Order::parse(text).unwrap(), order);
    }
}

fn minimal_result() -> JobResult {
    JobResult {
        command_id: command(),
        session_id: SessionId::of_thread(&thread()),
        thread_id: thread(),
        project_id: amelia(),
        user_id: scott(),
        success: false,
        outcome: JobOutcome::BudgetExhausted,
        summary: String::new(),
        s3_bucket: None,
        s3_url: None,
        deployment_time: None,
        branch: None,
        commit_id: None,
        files_changed: Vec::new(),
        error: None,
        error_code: None,
        interrupted: true,
        usage: Usage::default(),
        worker_id: WorkerId::parse("worker-1").unwrap(),
        epoch: Epoch(1),
    }
}

#[test]
fn a_result_is_written_and_read_in_its_golden_form() {
    let whole = JobResult {
        success: true,
        outcome: JobOutcome::Changed,
        summary: "The title is now \"Zürich\".".into(),
        s3_bucket: Some("edit.amelia.webordinary.com".into()),
        s3_url: Some("https://edit.amelia.webordinary.com/".into()),
        deployment_time: Some(Timestamp::from_millis(1_767_225_660_000)),
        branch: Some("thread-0123456789abcdef0123".into()),
        commit_id: Some("5ad329c0000000000000000000000000000000aa".into()),
        files_changed: vec!["src/pages/index.astro".into()],
        error: Some("nothing".into()),
        error_code: Some("none".into()),
        interrupted: false,
        usage: Usage { cost_usd: 0.25, turns: 7, duration_ms: 60_000 },
        epoch: Epoch(3),
        ..minimal_result()
    };
    for (result, text) in [
        (whole, include_str!("golden/response.json")),
        (minimal_result(), include_str!("golden/response-minimal.json")),
    ] {
        assert_golden(&result.to_json(), text);
        assert_eq!(JobResult::parse(text).unwrap(), result);
    }
}

#[test]
fn unknown_fields_are_passed_over() {
    let texts = [
        include_str!("golden/claim-request.json"),
        include_str!("golden/interrupt.json"),
        include_str!("golden/control-drain.json"),
        include_str!("golden/response.json"),
        include_str!("golden/work.json"),
    ];
    for text in texts {
        let mut body = golden(text);
        body["clientId"] = json!({"of": ["an", "older", "system"]});
        let body = body.to_string();
        let read = [
            Offer::parse(&body, "m", NOW).is_ok(),
            Order::parse(&body).is_ok(),
            JobResult::parse(&body).is_ok(),
            WorkDraft::parse(&body, "m", NOW).is_ok(),
        ];
        assert!(read.contains(&true), "{body}");
    }
}

#[test]
fn a_claim_request_may_be_written_in_lower_case() {
    for kind in ["claim_request", "Claim_Request", "CLAIM_REQUEST"] {
        let body = json!({"type": kind, "projectId": "amelia", "userId": "scott"}).to_string();
        let Offer::Claim(request) = Offer::parse(&body, "m", NOW).unwrap() else { panic!("{kind}") };
        assert_eq!(request.project_user().to_string(), "amelia#scott");
    }
}

#[test]
fn work_may_lie_on_the_unclaimed_queue() {
    let bare = json!({
        "type": "work", "projectId": "amelia", "userId": "scott", "repoUrl": "https://github.com/a/b.git",
        "instruction": "Fix it."
    });
    let Offer::Work(draft) = Offer::parse(&bare.to_string(), "message-1", NOW).unwrap() else {
        panic!("no work")
    };
    assert_eq!(draft.command_id, CommandId::of_message("message-1"));
    assert_eq!((draft.session_id, draft.thread_id), (None, None));
}

#[test]
fn a_work_may_lack_type_and_version() {
    let body = work_with(&json!({"type": null, "version": null}));
    assert_eq!(draft(&body).instruction, "Fix the typo.");
    assert!(WorkDraft::parse(&work_with(&json!({"type": "WORK"})).to_string(), "m", NOW).is_ok());
    assert!(Offer::parse(&body.to_string(), "m", NOW).is_err(), "the unclaimed queue needs a type");
}

#[test]
fn a_newer_version_or_another_type_is_malformed() {
    for change in [json!({"version": 2}), json!({"version": "one"}), json!({"type": "INTERRUPT"})] {
        assert!(WorkDraft::parse(&work_with(&change).to_string(), "m", NOW).is_err(), "{change}");
    }
}

#[test]
fn an_instruction_has_three_names() {
    for field in ["instruction", "text", "content"] {
        let body = work_with(&json!({"instruction": null, field: "Do it."}));
        assert_eq!(draft(&body).instruction, "Do it.", "{field}");
    }
    for empty in [json!({"instruction": null}), json!({"instruction": " \n"})] {
        assert!(WorkDraft::parse(&work_with(&empty).to_string(), "m", NOW).is_err());
    }
}

#[test]
fn a_message_without_a_command_is_the_same_command_at_every_delivery() {
    let body = work_with(&json!({"commandId": null}));
    assert_eq!(draft(&body).command_id, CommandId::of_message("message-1"));
}

#[test]
fn one_leading_thread_is_dropped() {
    let body = work_with(&json!({"threadId": "thread-0123456789abcdef0123"}));
    assert_eq!(draft(&body).thread_id, Some(thread()));
}

#[test]
fn a_user_may_be_an_address() {
    let body = work_with(&json!({"userId": "Scott@Example.org"}));
    assert_eq!(draft(&body).user, UserRef::Address(EmailAddress::parse("scott@example.org").unwrap()));
    for bad in ["a@b@", "Scott S", ""] {
        assert!(
            WorkDraft::parse(&work_with(&json!({"userId": bad})).to_string(), "m", NOW).is_err(),
            "{bad}"
        );
    }
}

#[test]
fn times_are_read_as_numbers_and_as_rfc_3339() {
    let complete = |body: &Value| draft(body).complete(scott(), thread(), "https://x.y/z".into()).timestamp;
    for (written, at) in [
        (json!(1_767_225_600_000_i64), AT),
        (json!(1_767_225_600_000.0), AT),
        (json!("2026-01-01T00:00:00Z"), AT),
        (json!("2026-01-01T01:00:00.000+01:00"), AT),
        (Value::Null, NOW),
    ] {
        assert_eq!(complete(&work_with(&json!({"timestamp": written}))), at, "{written}");
    }
    let mut result = golden(include_str!("golden/response.json"));
    result["deploymentTime"] = json!("2026-01-01T00:01:00Z");
    let read = JobResult::parse(&result.to_string()).unwrap();
    assert_eq!(read.deployment_time, Some(Timestamp::from_millis(1_767_225_660_000)));
}

#[test]
fn empty_texts_are_as_good_as_none() {
    let body = work_with(&json!({"repoUrl": "", "branch": "", "taskToken": ""}));
    assert_eq!(draft(&body).repo_url, None);
    let work = draft(&body).complete(scott(), thread(), "https://x.y/z".into());
    assert_eq!((work.branch, work.task_token, work.context), (None, None, WorkContext::default()));
}

#[test]
fn garbage_is_malformed_on_every_queue() {
    for body in
        ["", "hello", "null", "[]", "7", "\"work\"", "{}", "{\"type\":\"work\"", "{\"type\":\"poetry\"}"]
    {
        assert!(WorkDraft::parse(body, "m", NOW).is_err(), "{body}");
        assert!(Offer::parse(body, "m", NOW).is_err(), "{body}");
        assert!(Order::parse(body).is_err(), "{body}");
        assert!(JobResult::parse(body).is_err(), "{body}");
    }
}
