//! The door to whoever waits for a task token (Step Functions).

pub(super) mod limits;

use async_trait::async_trait;

use super::Result;

/// Whether somebody still waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// The answer arrived.
    Yes,
    /// Nobody waits for this token any more: end quietly.
    NoLonger,
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
}
