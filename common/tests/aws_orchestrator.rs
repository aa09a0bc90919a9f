//! The state machine of deploy/, run: work goes to its queue with a token, is announced when nobody owns the key, and every
//! ending has a state of its own. Each of its branches is run on localemu, which is right about timeouts and about branches
//! that end each other; what ministack is right about is run there too, for the tests of the whole loop are.
#![cfg(feature = "aws")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test: a panic is how it fails")]

use std::time::Duration;

use common::clock::Clock;
use common::cloud::callback::{Errand, Heard};
use common::cloud::claims::TakeAnswer;
use common::cloud::contract::endpoint::{Endpoint, settings};
use common::cloud::provision::{self, Kind, Standing};
use common::cloud::queue::Outgoing;
use common::cloud::{Cloud, aws};
use common::config::CloudSettings;
use common::domain::claim::{ClaimVersion, Take};
use common::domain::ids::{CommandId, Nonce, Owner, ProjectUser, WorkerId};
use common::domain::names::Queue;
use common::domain::timestamp::Timestamp;
use serde_json::{Value, json};

const WAIT: Duration = Duration::from_secs(20);

struct Stage {
    settings: CloudSettings,
    cloud: Cloud,
    command: CommandId,
}

fn key() -> ProjectUser {
    ProjectUser::parse("amelia#scott").unwrap()
}

impl Stage {
    async fn at(endpoint: &Endpoint) -> Self {
        let mut settings = settings(endpoint.url());
        settings.aws.state_machine_role_arn = Some("arn:aws:iam::000000000000:role/hermes".to_owned());
        let plan = provision::make(&settings).await.unwrap();
        assert!(
            plan.iter().any(|item| item.kind == Kind::StateMachine && item.standing == Standing::Missing)
        );
        let cloud = aws::open(&settings, Clock::System).await.unwrap();
        let command = CommandId::parse("0198c3a2-7e55-7aaa-8bbb-0123456789ab").unwrap();
        Self { settings, cloud, command }
    }

    async fn hand_over(&self) {
        let work =
            json!({"type": "work", "version": 1, "commandId": self.command, "instruction": "say \"hi\" {}"});
        let errand = Errand {
            command: self.command.clone(),
            key: key(),
            work: work.to_string(),
            announcement: json!({"type": "CLAIM_REQUEST", "projectId": "amelia", "userId": "scott"})
                .to_string(),
        };
        self.cloud.callback.hand_over(&errand).await.unwrap();
    }

    /// localemu knows Python's way to write a brace in a format, not Amazon's.
    async fn at_localemu() -> Self {
        let stage = Self::at(Endpoint::shared_localemu()).await;
        stage.change(|text| text.replace(r#"\\{\""#, r#"{{\""#).replace(r#"\"\\}"#, r#"\"}}"#)).await;
        stage
    }

    /// With other numbers in the machine: one retry, and work that hears of its worker so often.
    async fn in_haste(heartbeat_secs: u64) -> Self {
        let stage = Self::at_localemu().await;
        let change = |text: &str| {
            let mut machine: Value = serde_json::from_str(text).unwrap();
            hasten(&mut machine, heartbeat_secs);
            machine.to_string()
        };
        stage.change(change).await;
        stage
    }

    async fn change(&self, change: impl Fn(&str) -> String) {
        aws::testing::change_machine(&self.settings, change).await.unwrap();
    }

    /// Which states it went through.
    async fn went_through(&self, expected: &[&str]) {
        let command = self.command.as_str();
        let entered = aws::testing::states_entered(&self.settings, command).await.unwrap();
        if self.settings.aws.aws_endpoint_url.as_ref().unwrap().as_str().starts_with(Endpoint::shared().url())
        {
            return; // ministack's history knows nothing of branches.
        }
        assert_eq!(entered, expected);
    }

    /// The work as a worker receives it.
    async fn work(&self) -> Value {
        let mut found = self.cloud.queues.receive(&Queue::Input(key()), 10, WAIT).await.unwrap();
        assert_eq!(found.len(), 1, "the work is on its queue once");
        let delivery = found.remove(0);
        assert_eq!(delivery.group.as_deref(), Some("amelia#scott"));
        self.cloud.queues.delete(&delivery.receipt).await.unwrap();
        serde_json::from_str(&delivery.body).unwrap()
    }

    async fn announced(&self, wait: Duration) -> usize {
        self.cloud.queues.receive(&Queue::Unclaimed, 10, wait).await.unwrap().len()
    }

    /// The ending of the execution.
    async fn ended(&self) -> (String, String) {
        let wait = async {
            loop {
                match aws::testing::execution(&self.settings, self.command.as_str()).await.unwrap() {
                    Some((status, said)) if status != "RUNNING" => return (status, said),
                    _ => tokio::time::sleep(Duration::from_millis(100)).await,
                }
            }
        };
        tokio::time::timeout(WAIT, wait).await.unwrap()
    }
}

/// Every retry is made once, and nobody is waited for longer than this.
fn hasten(value: &mut Value, heartbeat_secs: u64) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match name.as_str() {
                    "HeartbeatSeconds" => *value = json!(heartbeat_secs),
                    "MaxAttempts" | "IntervalSeconds" => *value = json!(1),
                    _ => hasten(value, heartbeat_secs),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| hasten(item, heartbeat_secs)),
        _ => {}
    }
}

async fn hold(stage: &Stage) {
    let owner = Owner { worker: WorkerId::parse("w").unwrap(), nonce: Nonce::parse("0000").unwrap() };
    let version = ClaimVersion::from_stored("v1".to_owned());
    let now = Timestamp::from_millis(0);
    let take = Take { owner, version, lapsed: None, lease_secs: 45, control_queue: None, now };
    assert!(matches!(stage.cloud.claims.take(&key(), &take).await.unwrap(), TakeAnswer::Taken(_)));
}

/// The states of a run whose key nobody owns, up to the last.
const UNOWNED: [&str; 7] = [
    "CheckIfClaimed",
    "ClaimJob",
    "Claimed",
    "ProcessEmail",
    "SendToInputQueue",
    "SendToUnclaimedQueue",
    "WaitForOwner",
];

fn and(states: &[&'static str], more: &[&'static str]) -> Vec<&'static str> {
    let mut all = [states, more].concat();
    all.sort_unstable();
    all
}

async fn work_goes_to_its_queue_once_and_is_announced(stage: Stage) {
    stage.hand_over().await;
    stage.hand_over().await;
    let work = stage.work().await;
    assert_eq!(work["instruction"], "say \"hi\" {}");
    let token = work["taskToken"].as_str().unwrap();
    assert_eq!(stage.announced(WAIT).await, 1);
    assert_eq!(stage.cloud.callback.heartbeat(token).await.unwrap(), Heard::Yes);
    assert_eq!(stage.cloud.callback.success(token, r#"{"outcome":"changed"}"#).await.unwrap(), Heard::Yes);
    let (status, output) = stage.ended().await;
    assert_eq!(status, "SUCCEEDED");
    assert!(output.contains("changed"), "{output}");
    stage.went_through(&and(&UNOWNED, &["Done"])).await;
}

#[tokio::test]
async fn work_goes_to_its_queue_once_and_is_announced_when_nobody_owns_it() {
    let stage = Stage::at(Endpoint::shared()).await;
    work_goes_to_its_queue_once_and_is_announced(stage).await;
}

#[tokio::test]
async fn work_goes_to_its_queue_once_and_is_announced_when_nobody_owns_it_at_localemu() {
    let stage = Stage::at_localemu().await;
    work_goes_to_its_queue_once_and_is_announced(stage).await;
}

#[tokio::test]
async fn an_answer_to_a_token_that_nobody_waits_for_any_more_ends_quietly() {
    let stage = Stage::at(Endpoint::shared()).await;
    stage.hand_over().await;
    let token = stage.work().await["taskToken"].as_str().unwrap().to_owned();
    stage.announced(WAIT).await;
    stage.cloud.callback.success(&token, "{}").await.unwrap();
    assert_eq!(stage.ended().await.0, "SUCCEEDED");
    assert_eq!(stage.cloud.callback.heartbeat(&token).await.unwrap(), Heard::NoLonger);
}

#[tokio::test]
async fn work_whose_key_is_owned_is_not_announced() {
    for stage in [Stage::at(Endpoint::shared()).await, Stage::at_localemu().await] {
        hold(&stage).await;
        stage.hand_over().await;
        let work = stage.work().await;
        assert_eq!(stage.announced(Duration::from_secs(5)).await, 0, "its owner finds it");
        stage.cloud.callback.success(work["taskToken"].as_str().unwrap(), "{}").await.unwrap();
        assert_eq!(stage.ended().await.0, "SUCCEEDED");
        let without_announcement: Vec<_> =
            and(&UNOWNED, &["Done"]).into_iter().filter(|name| *name != "SendToUnclaimedQueue").collect();
        stage.went_through(&without_announcement).await;
    }
}

#[tokio::test]
async fn preempted_work_and_failed_work_have_endings_of_their_own() {
    // One environment for both: localemu finds no more than a hundred tables.
    for mut stage in [Stage::at(Endpoint::shared()).await, Stage::at_localemu().await] {
        for (command, error, expected, said, last) in [
            ("0198c3a2-7e55-7aaa-8bbb-000000000001", "PREEMPTED", "SUCCEEDED", "PREEMPTED", "Preempted"),
            ("0198c3a2-7e55-7aaa-8bbb-000000000002", "build-failed", "FAILED", "build-failed", "Failed"),
        ] {
            stage.command = CommandId::parse(command).unwrap();
            stage.hand_over().await;
            let token = stage.work().await["taskToken"].as_str().unwrap().to_owned();
            assert_eq!(stage.announced(WAIT).await, 1);
            stage.cloud.callback.failure(&token, error, "on purpose").await.unwrap();
            let (status, output) = stage.ended().await;
            assert_eq!(status, expected, "{error}: {output}");
            assert!(output.contains(said), "{output}");
            stage.went_through(&and(&UNOWNED, &[last])).await;
        }
    }
}

#[tokio::test]
async fn work_that_nobody_is_at_for_too_long_is_timed_out() {
    let stage = Stage::in_haste(5).await;
    stage.hand_over().await;
    let (status, error) = stage.ended().await;
    assert_eq!((status.as_str(), error.as_str()), ("FAILED", "TimedOut"));
    stage.went_through(&and(&UNOWNED, &["TimedOut", "WaitedTooLong"])).await;
    stage.work().await;
}

#[tokio::test]
async fn work_is_announced_although_the_claims_cannot_be_read() {
    let stage = Stage::in_haste(60).await;
    aws::testing::delete_claims(&stage.settings).await.unwrap();
    stage.hand_over().await;
    assert_eq!(stage.announced(WAIT).await, 1);
    let token = stage.work().await["taskToken"].as_str().unwrap().to_owned();
    stage.cloud.callback.success(&token, "{}").await.unwrap();
    assert_eq!(stage.ended().await.0, "SUCCEEDED");
    let unread: Vec<_> =
        and(&UNOWNED, &["Done"]).into_iter().filter(|name| *name != "CheckIfClaimed").collect();
    stage.went_through(&unread).await;
}

#[tokio::test]
async fn work_that_cannot_be_announced_is_worked_off_all_the_same() {
    let stage = Stage::in_haste(60).await;
    // Both queues are known before one of them goes away.
    stage.cloud.queues.depth(&Queue::Unclaimed).await.unwrap();
    aws::testing::delete_queue(&stage.settings, &Queue::Unclaimed).await.unwrap();
    stage.hand_over().await;
    let token = stage.work().await["taskToken"].as_str().unwrap().to_owned();
    let beating = async {
        while !aws::testing::states_entered(&stage.settings, stage.command.as_str())
            .await
            .unwrap()
            .contains(&"LeftToTheSweep".to_owned())
        {
            stage.cloud.callback.heartbeat(&token).await.unwrap();
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(WAIT, beating).await.unwrap();
    stage.cloud.callback.success(&token, "{}").await.unwrap();
    assert_eq!(stage.ended().await.0, "SUCCEEDED");
    stage.went_through(&and(&UNOWNED, &["Done", "LeftToTheSweep"])).await;
}

#[tokio::test]
async fn work_that_no_queue_takes_fails() {
    let stage = Stage::in_haste(60).await;
    stage.cloud.queues.depth(&Queue::Input(key())).await.unwrap();
    stage.cloud.queues.send(&Queue::Input(key()), Outgoing::fifo("x", "g", "id")).await.unwrap();
    aws::testing::delete_queue(&stage.settings, &Queue::Input(key())).await.unwrap();
    stage.hand_over().await;
    let (status, error) = stage.ended().await;
    assert_eq!(status, "FAILED", "{error}");
}
