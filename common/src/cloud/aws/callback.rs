//! Task tokens over Step Functions. A token that nobody waits for any more is no error: the caller ends quietly.

use async_trait::async_trait;
use aws_sdk_sfn::Client;
use aws_sdk_sfn::error::{ProvideErrorMetadata, SdkError};

use super::error::{failed, says};
use crate::cloud::Result;
use crate::cloud::callback::{Callback, Heard, limits};

/// The token is unknown, was answered, timed out, or is none.
const NOBODY_WAITS: &[&str] = &["InvalidToken", "TaskDoesNotExist", "TaskTimedOut", "ExecutionDoesNotExist"];

/// The door.
pub(super) struct AwsCallback {
    sfn: Client,
}

impl AwsCallback {
    /// Over this client.
    pub(super) fn new(sfn: Client) -> Self {
        Self { sfn }
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
