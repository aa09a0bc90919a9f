//! The door to whoever waits for a task token (Step Functions).

pub(super) mod limits;

use async_trait::async_trait;

use super::Result;
use crate::domain::ids::{CommandId, ProjectUser};

/// Whether somebody still waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// The answer arrived.
    Yes,
    /// Nobody waits for this token any more: end quietly.
    NoLonger,
}

/// Work that a state machine puts on its queue and waits for, instead of us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Errand {
    /// Names the execution: a second one of this name starts nothing.
    pub command: CommandId,
    /// Whose queue the work goes to.
    pub key: ProjectUser,
    /// The work, as JSON without a task token.
    pub work: String,
    /// What is said on the unclaimed queue when nobody owns the key, as JSON.
    pub announcement: String,
}

/// The door.
#[async_trait]
pub trait Callback: Send + Sync {
    /// The task went well; `output` is JSON.
    async fn success(&self, token: &str, output: &str) -> Result<Heard>;

    /// The task failed: `error` is cut to 256 characters, `cause` to 32,768 (the limits of SendTaskFailure).
    async fn failure(&self, token: &str, error: &str, cause: &str) -> Result<Heard>;

    /// The task is still being worked on.
    async fn heartbeat(&self, token: &str) -> Result<Heard>;

    /// Hands work to the state machine, once per command. [`super::CloudError::Invalid`] where there is none.
    async fn hand_over(&self, errand: &Errand) -> Result<()>;
}
