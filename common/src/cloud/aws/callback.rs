//! Task tokens and errands over Step Functions. A token that nobody waits for any more is no error: the caller ends
//! quietly; an execution that was started before is the same execution.

use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_sfn::Client;
use aws_sdk_sfn::error::{ProvideErrorMetadata, SdkError};
use serde_json::{Value, json};

use super::error::{failed, says};
use super::names::Names;
use super::queue_urls::QueueUrls;
use crate::cloud::callback::{Callback, Errand, Heard, limits};
use crate::cloud::{CloudError, Result};
use crate::domain::names::Queue;

/// The token is unknown, was answered, timed out, or is none.
const NOBODY_WAITS: &[&str] = &["InvalidToken", "TaskDoesNotExist", "TaskTimedOut", "ExecutionDoesNotExist"];

/// It was started before.
const STARTED: &[&str] = &["ExecutionAlreadyExists"];

/// The door.
pub(super) struct AwsCallback {
    sfn: Client,
    names: Arc<Names>,
    urls: Arc<QueueUrls>,
}

impl AwsCallback {
    /// Over this client.
    pub(super) fn new(sfn: Client, names: Arc<Names>, urls: Arc<QueueUrls>) -> Self {
        Self { sfn, names, urls }
    }

    /// What deploy/email-processor.asl.json reads.
    async fn input(&self, errand: &Errand) -> Result<String> {
        let json = |what: &str, text: &str| {
            serde_json::from_str::<Value>(text).map_err(|error| {
                CloudError::Invalid(format!("the {what} of {} is no JSON: {error}", errand.command))
            })
        };
        let input = json!({
            "commandId": errand.command.as_str(),
            "projectKey": errand.key.to_string(),
            "inputQueueUrl": self.urls.get(&Queue::Input(errand.key.clone())).await?,
            "unclaimedQueueUrl": self.urls.get(&Queue::Unclaimed).await?,
            "ownershipTable": self.names.ownership_table(),
            "work": json("work", &errand.work)?,
            "claimRequest": json("announcement", &errand.announcement)?,
        });
        Ok(input.to_string())
    }
}

#[async_trait]
impl Callback for AwsCallback {
    async fn success(&self, token: &str, output: &str) -> Result<Heard> {
        limits::check_token(token)?;
        limits::check_output(output)?;
        heard(self.sfn.send_task_success().task_token(token).output(output).send().await)
    }

    async fn failure(&self, token: &str, error: &str, cause: &str) -> Result<Heard> {
        limits::check_token(token)?;
        let (error, cause) = limits::cut(error, cause);
        heard(self.sfn.send_task_failure().task_token(token).error(error).cause(cause).send().await)
    }

    async fn heartbeat(&self, token: &str) -> Result<Heard> {
        limits::check_token(token)?;
        heard(self.sfn.send_task_heartbeat().task_token(token).send().await)
    }

    async fn hand_over(&self, errand: &Errand) -> Result<()> {
        let request = self
            .sfn
            .start_execution()
            .state_machine_arn(self.names.state_machine_arn().await?)
            .name(errand.command.as_str())
            .input(self.input(errand).await?);
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) if says(&error, STARTED) => Ok(()),
            Err(error) => Err(failed(&format!("handing {} to the state machine", errand.command), &error)),
        }
    }
}

fn heard<T, E, R>(answer: std::result::Result<T, SdkError<E, R>>) -> Result<Heard>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug,
{
    match answer {
        Ok(_) => Ok(Heard::Yes),
        Err(error) if says(&error, NOBODY_WAITS) => Ok(Heard::NoLonger),
        Err(error) => Err(failed("answering a task", &error)),
    }
}
