//! The whole loop over AWS: the real programs, an endpoint that speaks AWS, either orchestrator. A mail in, a changed site
//! out, and the answer by SES.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]
#![allow(clippy::print_stdout, reason = "a test says what it counted")]

mod by_ses;
mod cost;
mod outage;
mod stage;
mod undo;

use common::cloud::contract::endpoint::front::{Call, Verdict};
use e2e::mail::Letter;
use reqwest::StatusCode;
use serde_json::{Value, json};
use stage::{LIMIT, OWNER, Stage};

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("no {field} in {value}"))
}

fn pass(_: &Call) -> Verdict {
    Verdict::Pass
}

fn hours() -> Letter {
    Letter::new(OWNER, "Hours", "change \"7 to 18\" to \"8 to 20\"")
}

/// A job's record without what differs between any two jobs: ids, times, what is made of them.
fn without_ids_and_times(mut job: Value) -> Value {
    const OF_ONE_RUN: [&str; 9] = [
        "commandId",
        "threadId",
        "mailId",
        "branch",
        "workerId",
        "commitId",
        "previewUrl",
        "transcriptKey",
        "durationMs",
    ];
    fn blank(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    if OF_ONE_RUN.contains(&name.as_str()) || name.ends_with("At") {
                        *value = json!("there");
                    } else {
                        blank(value);
                    }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(blank),
            _ => {}
        }
    }
    blank(&mut job);
    job
}

/// Two mails of one conversation through the whole loop; the records of their jobs.
async fn conversation(stage: &mut Stage) -> Vec<Value> {
    let api = stage.start_hermes().await;
    stage.start_worker(&[]).await;
    let remote = stage.bakery().await;

    let first = api.order(hours().to_bytes()).await.unwrap();
    let job = api.job_done(text(&first, "commandId"), LIMIT).await.unwrap();
    assert_eq!(job["outcome"], "changed", "{job}\n{}", stage.world.workers[0].log());
    let answer = api.answered(text(&first, "mailId"), LIMIT).await.unwrap();
    let second = Letter::new(OWNER, "Re: Hours", "change \"Since 1920\" to \"Since 1919\"")
        .answering(&format!("<{}>", text(&answer, "replyMessageId").trim_matches(['<', '>'])));
    let second = api.order(second.to_bytes()).await.unwrap();
    assert_eq!(text(&first, "threadId"), text(&second, "threadId"), "the id that SES gave is known");
    let next = api.job_done(text(&second, "commandId"), LIMIT).await.unwrap();
    api.answered(text(&second, "mailId"), LIMIT).await.unwrap();

    assert_eq!(remote.commits_beyond_main(text(&job, "branch")).unwrap(), 2);
    let host = text(&next, "previewUrl").trim_start_matches("http://").trim_end_matches('/').to_owned();
    assert!(api.page(&host, "/").await.unwrap().text().await.unwrap().contains("8 to 20"));
    assert!(api.page(&host, "/about/").await.unwrap().text().await.unwrap().contains("Since 1919"));
    vec![job, next]
}

/// A mail becomes a published site and an answer over AWS, and it does not matter who puts the work on its queue.
#[tokio::test]
async fn the_same_mails_give_the_same_results_by_either_orchestrator() {
    let mut direct = Stage::new("direct", pass).await;
    let mut machine = Stage::new("step-functions", pass).await;
    let (by_hermes, by_machine) = tokio::join!(conversation(&mut direct), conversation(&mut machine));
    assert_eq!(direct.executions().await, 0);
    for (one, other) in by_hermes.iter().zip(&by_machine) {
        assert_eq!(without_ids_and_times(one.clone()), without_ids_and_times(other.clone()));
        let command = text(other, "commandId");
        let execution = machine.execution_ended(command).await;
        assert_eq!(execution["status"], "SUCCEEDED", "{execution}");
        let output: Value = serde_json::from_str(text(&execution, "output")).unwrap();
        assert_eq!(output["result"]["commandId"], command, "the worker's own answer: {output}");
        assert_eq!(output["result"]["outcome"], "changed");
    }
    for stage in [&mut direct, &mut machine] {
        let sent = stage.sent().await;
        let to_owner = sent.iter().filter(|mail| mail["To"] == json!([OWNER])).count();
        assert_eq!(to_owner, 2, "one answer a mail: {sent:?}");
        stage.world.stop().await.unwrap();
    }
}

/// What the test above would see without the state machine: nothing is acknowledged and nothing runs. Once it is there
/// again the same mail is worked off, once.
#[tokio::test]
async fn without_the_state_machine_no_mail_is_acknowledged_and_none_is_lost() {
    let mut stage = Stage::new("step-functions", pass).await;
    let api = stage.start_hermes().await;
    stage.start_worker(&[]).await;
    stage.bakery().await;
    stage.delete_machine().await;
    let letter = hours();
    let (status, body) = api.post_mail(letter.to_bytes()).await.unwrap();
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
    stage.provision().await;
    let accepted = api.order(letter.to_bytes()).await.unwrap();
    let job = api.job_done(text(&accepted, "commandId"), LIMIT).await.unwrap();
    assert_eq!((text(&job, "outcome"), &job["attempts"]), ("changed", &json!(1)), "{job}");
    assert_eq!(stage.execution_ended(text(&accepted, "commandId")).await["status"], "SUCCEEDED");
    stage.world.stop().await.unwrap();
}

/// What the test above would see without the worker's answer to its token: the execution never ends.
#[tokio::test]
async fn without_the_workers_answer_to_its_token_the_execution_stays_open() {
    let withhold = |call: &Call| match call.operation() {
        "SendTaskSuccess" | "SendTaskFailure" => {
            Verdict::Answer(200, "application/x-amz-json-1.0", "{}".to_owned())
        }
        _ => Verdict::Pass,
    };
    let mut stage = Stage::new("step-functions", withhold).await;
    let api = stage.start_hermes().await;
    stage.start_worker(&[]).await;
    stage.bakery().await;
    let accepted = api.order(hours().to_bytes()).await.unwrap();
    api.answered(text(&accepted, "mailId"), LIMIT).await.unwrap();
    // The answer went to its owner all the same: results come by the output queue.
    assert_eq!(stage.execution(text(&accepted, "commandId")).await["status"], "RUNNING");
    stage.world.stop().await.unwrap();
    assert_eq!(stage.execution(text(&accepted, "commandId")).await["status"], "RUNNING");
}
