//! What older senders leave out or write differently is understood; what cannot be understood is malformed.
#![allow(clippy::unwrap_used, reason = "a test: a panic is how it fails")]

use common::domain::ids::{CommandId, EmailAddress, ThreadId, UserId};
use common::domain::timestamp::Timestamp;
use common::messages::{JobResult, Offer, Order, UserRef, WorkContext, WorkDraft};
use serde_json::{Value, json};

const AT: Timestamp = Timestamp::from_millis(1_767_225_600_000);
const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn golden(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn draft(body: &Value) -> WorkDraft {
    WorkDraft::parse(&body.to_string(), "message-1", NOW).unwrap()
}

fn thread() -> ThreadId {
    ThreadId::parse("0123456789abcdef0123").unwrap()
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
