//! Every message in its golden form (`golden/*.json`), written and read back.
#![allow(clippy::unwrap_used, reason = "a test: a panic is how it fails")]

use common::domain::budget::Usage;
use common::domain::claim::Epoch;
use common::domain::ids::{CommandId, ProjectId, ProjectUser, SessionId, ThreadId, UserId, WorkerId};
use common::domain::job::{OutcomeNote, WorkAction};
use common::domain::names::{ContentHash, attachment_key};
use common::domain::outcome::JobOutcome;
use common::domain::timestamp::Timestamp;
use common::messages::{
    Attachment, ClaimRequest, Control, ControlAction, Interrupt, JobResult, Offer, Order, UserRef, Work,
    WorkDraft,
};
use serde_json::Value;

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

#[test]
fn a_work_is_written_and_read_in_its_golden_form() {
    for text in [
        include_str!("golden/work.json"),
        include_str!("golden/work-minimal.json"),
        include_str!("golden/work-undo.json"),
        include_str!("golden/work-take-down.json"),
    ] {
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
        width: None,
        height: None,
    };
    assert_eq!((work.command_id.clone(), work.timestamp), (command(), AT));
    assert_eq!(work.attachments, [expected]);
    assert_eq!(work.context.quoted.as_deref(), Some("> earlier words"));
    assert_eq!((work.branch_name(), work.task_token), ("thread-older".into(), Some("token-1".into())));
}

#[test]
fn a_work_without_an_action_is_an_edit_and_only_an_edit_needs_an_instruction() {
    let minimal = WorkDraft::parse(include_str!("golden/work-minimal.json"), "m", NOW).unwrap();
    assert_eq!(minimal.action, WorkAction::Edit);
    let parse = |rest: &str| {
        WorkDraft::parse(&format!("{{\"projectId\":\"amelia\",\"userId\":\"scott\",{rest}}}"), "m", NOW)
    };
    let publish = parse("\"action\":\"publish\"").unwrap();
    assert_eq!((publish.action, publish.instruction.as_str()), (WorkAction::Publish, "publish"));
    for wrong in
        ["\"action\":\"edit\"", "\"action\":\"edit\",\"text\":\" \"", "\"action\":\"delete\",\"text\":\"x\""]
    {
        assert!(parse(wrong).is_err(), "{wrong}");
    }
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
        note: None,
        summary: String::new(),
        s3_bucket: None,
        s3_url: None,
        deployment_time: None,
        branch: None,
        commit_id: None,
        files_changed: Vec::new(),
        aside: Vec::new(),
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
        note: Some(OutcomeNote::Replaced { subject: Some("Hours".into()) }),
        summary: "The title is now \"Zürich\".".into(),
        s3_bucket: Some("edit.amelia.webordinary.com".into()),
        s3_url: Some("https://edit.amelia.webordinary.com/".into()),
        deployment_time: Some(Timestamp::from_millis(1_767_225_660_000)),
        branch: Some("thread-0123456789abcdef0123".into()),
        commit_id: Some("5ad329c0000000000000000000000000000000aa".into()),
        files_changed: vec!["src/pages/index.astro".into()],
        aside: vec!["thread-0123456789abcdef0123-kept-5ad329c0".into()],
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
