//! A worker process as it says of itself. Information for operators: who owns what stands in the claims alone.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ids::{Nonce, Owner, WorkerId};
use super::timestamp::Timestamp;

/// A worker that said nothing for so long is not thought to be alive.
const SILENT_AFTER: Duration = Duration::from_secs(90);

/// Where a worker process is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ContainerStatus {
    /// It has not asked for work yet.
    Starting,
    /// It takes work.
    Running,
    /// It ends what it has and takes nothing new.
    Draining,
    /// It has ended.
    Terminated,
}

/// A row of the containers table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Container {
    /// The worker.
    pub container_id: WorkerId,
    /// The task of ECS that it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_arn: Option<String>,
    /// Its process.
    pub nonce: Nonce,
    /// When it started.
    pub started_at: Timestamp,
    /// When it last said something.
    pub last_activity: Timestamp,
    /// What it does.
    pub status: ContainerStatus,
    /// How many project+users it works for at once.
    pub capacity: u16,
    /// Earlier processes of this name that did not say their end: their control queues may still be there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<Nonce>,
}

impl Container {
    /// This process as an owner of claims.
    pub fn owner(&self) -> Owner {
        Owner { worker: self.container_id.clone(), nonce: self.nonce.clone() }
    }

    /// Whether it is thought to be alive, going by what it said and when.
    pub fn is_alive(&self, now: Timestamp) -> bool {
        self.status != ContainerStatus::Terminated && now.since(self.last_activity) <= SILENT_AFTER
    }
}
