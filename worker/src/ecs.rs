//! What a worker says to ECS when it runs there as a task: who it is (task metadata endpoint, version 4), and that it is not
//! to be ended by a scale-in while it is busy (task scale-in protection endpoint). Elsewhere nobody is asked anything.

use std::time::Duration;

use backon::{ConstantBuilder, Retryable as _};
use clap::Args;
use common::domain::ids::WorkerId;
use serde_json::{Value, json};
use tokio::sync::watch;
use url::Url;

/// Nobody waits longer for an answer of the machine below.
const LIMIT: Duration = Duration::from_secs(2);
/// How often the metadata are asked for before the worker goes by another name.
const TRIES: usize = 3;
/// After a call that failed.
const PAUSE: Duration = Duration::from_millis(500);
/// Protection ends by itself after so long, for a worker that broke.
const PROTECTED_MINUTES: u32 = 60;
/// While busy it is asked for again this often.
const AGAIN: Duration = Duration::from_mins(30);
/// After a request for protection that failed.
const AFTER_FAILURE: Duration = Duration::from_secs(10);
/// How long a shutdown may take here: ECS waits for `stopTimeout`, at most 120 s.
pub const SHUTDOWN_GRACE_SECS: u64 = 110;

/// Where ECS can be asked; it sets both itself, in the environment of each container.
#[derive(Debug, Clone, Default, Args)]
pub struct EcsSettings {
    /// The task metadata endpoint, version 4.
    #[arg(long, env = "ECS_CONTAINER_METADATA_URI_V4", value_name = "URL", hide = true)]
    pub ecs_container_metadata_uri_v4: Option<Url>,

    /// The agent's endpoint, for the protection from a scale-in.
    #[arg(long, env = "ECS_AGENT_URI", value_name = "URL", hide = true)]
    pub ecs_agent_uri: Option<Url>,
}

impl EcsSettings {
    /// Whether this is a task of ECS.
    pub fn is_there(&self) -> bool {
        self.ecs_container_metadata_uri_v4.is_some()
    }
}

/// A task of ECS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// The last part of its ARN.
    pub id: WorkerId,
    /// `arn:aws:ecs:REGION:ACCOUNT:task/CLUSTER/ID`.
    pub arn: String,
}

/// This task; none when it is no task, or its metadata cannot be had.
pub async fn task(settings: &EcsSettings) -> Option<Task> {
    let base = settings.ecs_container_metadata_uri_v4.as_ref()?;
    let ask = || async { ask_for_task(base).await };
    match ask.retry(ConstantBuilder::default().with_delay(PAUSE).with_max_times(TRIES - 1)).await {
        Ok(task) => Some(task),
        Err(error) => {
            tracing::warn!(
                "the metadata of this task cannot be had ({error}); the worker goes by another name"
            );
            None
        }
    }
}

async fn ask_for_task(base: &Url) -> Result<Task, String> {
    let answer = client()?.get(below(base, "task")).send().await.map_err(plain)?;
    let task: Value = answer.error_for_status().map_err(plain)?.json().await.map_err(plain)?;
    let arn = task["TaskARN"].as_str().ok_or("there is no TaskARN in the answer")?;
    let id = arn.rsplit('/').next().unwrap_or_default();
    let id = WorkerId::parse(id).map_err(|error| format!("the task {arn:?} has no id: {error}"))?;
    Ok(Task { id, arn: arn.to_owned() })
}

/// Keeps the task protected for as long as any claim is busy. Ends with the worker.
pub async fn protect(settings: EcsSettings, mut busy: watch::Receiver<usize>) {
    let Some(base) = settings.ecs_agent_uri else { return };
    let mut is_protected = false;
    loop {
        let wanted = *busy.borrow_and_update() > 0;
        let mut wait = AGAIN;
        if wanted || is_protected {
            match set_protection(&base, wanted).await {
                Ok(()) => is_protected = wanted,
                Err(error) => {
                    tracing::warn!(
                        "ECS was not told whether this task is busy ({error}); it is told again in a moment"
                    );
                    wait = AFTER_FAILURE;
                }
            }
        }
        tokio::select! {
            changed = busy.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(wait) => {}
        }
    }
}

async fn set_protection(base: &Url, wanted: bool) -> Result<(), String> {
    let body = if wanted {
        json!({"ProtectionEnabled": true, "ExpiresInMinutes": PROTECTED_MINUTES})
    } else {
        json!({"ProtectionEnabled": false})
    };
    let url = below(base, "task-protection/v1/state");
    let answer = client()?.put(url).json(&body).send().await.map_err(plain)?;
    let said: Value = answer.error_for_status().map_err(plain)?.json().await.map_err(plain)?;
    match (&said["failure"], &said["error"]) {
        (Value::Null, Value::Null) => Ok(()),
        (failure, error) => Err(format!("{failure} {error}")),
    }
}

/// Straight to the machine below, by no proxy.
fn client() -> Result<reqwest::Client, String> {
    reqwest::Client::builder().no_proxy().timeout(LIMIT).build().map_err(plain)
}

fn below(base: &Url, path: &str) -> String {
    format!("{}/{path}", base.as_str().trim_end_matches('/'))
}

fn plain(error: impl std::fmt::Display) -> String {
    error.to_string()
}
