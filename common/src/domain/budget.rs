//! What one run, one thread and one month may cost.

use serde::{Deserialize, Serialize};

/// Upper bounds of one run of the agent. Absent means the worker's default.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Limits {
    /// Turns of the agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_turns: Option<u32>,
    /// Minutes on the wall clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_minutes: Option<u32>,
    /// US dollars.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_cost_usd: Option<f64>,
}

/// What a run used.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Usage {
    /// US dollars, as the agent states them.
    pub cost_usd: f64,
    /// Turns of the agent.
    pub turns: u32,
    /// Milliseconds on the wall clock, from start to end of the job.
    pub duration_ms: u64,
}
