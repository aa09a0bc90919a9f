//! The state machine of deploy/, run: work goes to its queue with a token, is announced when nobody owns the key, and every
//! ending has a state of its own.
#![cfg(feature = "aws")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test: a panic is how it fails")]

use std::time::Duration;

use common::clock::Clock;
use common::cloud::callback::{Errand, Heard};
use common::cloud::claims::TakeAnswer;
use common::cloud::contract::endpoint::{Endpoint, settings};
use common::cloud::provision::{self, Kind, Standing};
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
    async fn new() -> Self {
        let mut settings = settings(Endpoint::shared().url());
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

    /// The work as a worker receives it.
    async fn work(&self) -> Value {
        let mut found = self.cloud.queues.receive(&Queue::Input(key()), 10, WAIT).await.unwrap();
        assert_eq!(found.len(), 1, "the work is on its queue once");
        let delivery = found.remove(0);
        assert_eq!(delivery.group.as_deref(), Some("amelia#scott"));
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

#[tokio::test]
async fn work_goes_to_its_queue_once_and_is_announced_when_nobody_owns_it() {
    let stage = Stage::new().await;
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
    // An answer to a token that nobody waits for any more ends quietly.
    assert_eq!(stage.cloud.callback.heartbeat(token).await.unwrap(), Heard::NoLonger);
}

#[tokio::test]
async fn work_whose_key_is_owned_is_not_announced() {
    let stage = Stage::new().await;
    let owner = Owner { worker: WorkerId::parse("w").unwrap(), nonce: Nonce::parse("0000").unwrap() };
    let version = ClaimVersion::from_stored("v1".to_owned());
    let now = Timestamp::from_millis(0);
    let take = Take { owner, version, lapsed: None, lease_secs: 45, control_queue: None, now };
    assert!(matches!(stage.cloud.claims.take(&key(), &take).await.unwrap(), TakeAnswer::Taken(_)));
    stage.hand_over().await;
    let work = stage.work().await;
    assert_eq!(stage.announced(Duration::from_secs(5)).await, 0, "its owner finds it");
    stage.cloud.callback.success(work["taskToken"].as_str().unwrap(), "{}").await.unwrap();
    assert_eq!(stage.ended().await.0, "SUCCEEDED");
}

#[tokio::test]
async fn preempted_work_and_failed_work_have_endings_of_their_own() {
    for (error, expected, said) in
        [("PREEMPTED", "SUCCEEDED", "PREEMPTED"), ("build-failed", "FAILED", "build-failed")]
    {
        let stage = Stage::new().await;
        stage.hand_over().await;
        let token = stage.work().await["taskToken"].as_str().unwrap().to_owned();
        stage.announced(WAIT).await;
        stage.cloud.callback.failure(&token, error, "on purpose").await.unwrap();
        let (status, output) = stage.ended().await;
        assert_eq!(status, expected, "{error}: {output}");
        assert!(output.contains(said), "{output}");
    }
}
