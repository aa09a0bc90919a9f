//! What one run, one thread and one month may cost.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ids::ProjectId;
use super::session::{RunEnd, RunId};
use super::timestamp::Timestamp;

/// So many runs are remembered, so that each is added once.
const COUNTED: usize = 50;
const KEEP_FOR: Duration = Duration::from_hours(400 * 24);

/// Upper bounds of the agent, for one request unless the name says otherwise. Absent means the worker's default.
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
    /// US dollars of one conversation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_thread_cost_usd: Option<f64>,
    /// US dollars of the project in one month.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_month_cost_usd: Option<f64>,
}

/// What a run used.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Usage {
    /// US dollars.
    pub cost_usd: f64,
    /// Turns of the agent.
    pub turns: u32,
    /// Milliseconds on the wall clock, from start to end of each run of the job.
    pub duration_ms: u64,
}

impl Usage {
    /// Whether it is none.
    pub fn is_none(&self) -> bool {
        self.cost_usd <= 0.0 && self.turns == 0
    }

    /// Both together.
    #[must_use]
    pub fn and(self, more: Self) -> Self {
        Self {
            cost_usd: dollars(self.cost_usd, more.cost_usd),
            turns: self.turns.saturating_add(more.turns),
            duration_ms: self.duration_ms.saturating_add(more.duration_ms),
        }
    }

    /// What was used since then.
    #[must_use]
    pub fn beyond(self, before: Self) -> Self {
        Self {
            cost_usd: self.cost_usd - before.cost_usd,
            turns: self.turns.saturating_sub(before.turns),
            duration_ms: self.duration_ms.saturating_sub(before.duration_ms),
        }
    }
}

/// A sum of US dollars with more of them. What is less than nothing, or no number that a row could hold, adds nothing.
pub(super) fn dollars(sum: f64, more: f64) -> f64 {
    let both = sum + more;
    if more > 0.0 && both.is_finite() { both } else { sum }
}

/// What one run of a job has used, and what else its session has to know of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spent {
    /// Which run.
    pub run: RunId,
    /// What came of it.
    #[serde(flatten)]
    pub end: RunEnd,
}

/// What a project has used in a month: a row of the limits table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Month {
    /// Always [`Month::KIND`].
    pub kind: String,
    /// The project and the month, UTC.
    pub id: String,
    /// US dollars.
    pub cost_usd: f64,
    /// Turns of the agent.
    pub turns: u32,
    /// The runs that were added last.
    #[serde(default)]
    pub counted: Vec<RunId>,
    /// Seconds since 1970 after which the row may be collected.
    pub ttl: i64,
}

impl Month {
    /// What rows of this kind are called.
    pub const KIND: &str = "budget-month";

    /// The id of a project's row at this time.
    pub fn id(project: &ProjectId, now: Timestamp) -> String {
        format!("{project}/{}", &now.day()[..7])
    }

    /// A month in which nothing was used yet.
    pub fn new(project: &ProjectId, now: Timestamp) -> Self {
        Self {
            kind: Self::KIND.to_owned(),
            id: Self::id(project, now),
            cost_usd: 0.0,
            turns: 0,
            counted: Vec::new(),
            ttl: now.ttl(KEEP_FOR),
        }
    }

    /// Adds what a run used. Told twice it counts once.
    pub fn add(&mut self, run: RunId, usage: Usage) {
        if self.counted.contains(&run) {
            return;
        }
        self.cost_usd = dollars(self.cost_usd, usage.cost_usd);
        self.turns = self.turns.saturating_add(usage.turns);
        self.counted.push(run);
        if self.counted.len() > COUNTED {
            self.counted.remove(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::claim::Epoch;
    use crate::domain::session::Left;

    #[test]
    fn a_run_is_added_to_its_month_once() {
        let project: ProjectId = "bakery".parse().unwrap();
        let now = Timestamp::parse("2026-11-30T23:59:59Z").unwrap();
        let mut month = Month::new(&project, now);
        assert_eq!(month.id, "bakery/2026-11");
        let run = |delivery| RunId { command_id: "c-1".parse().unwrap(), delivery, epoch: Epoch(1) };
        for delivery in [1, 1, 2] {
            month.add(run(delivery), Usage { cost_usd: 0.5, turns: 2, duration_ms: 1 });
        }
        assert_eq!((month.cost_usd, month.turns), (1.0, 4));
        assert_eq!(Month::id(&project, now.plus(Duration::from_secs(1))), "bakery/2026-12");
        (3..90).for_each(|delivery| month.add(run(delivery), Usage::default()));
        assert_eq!(month.counted.len(), COUNTED);
    }

    #[test]
    fn a_sum_of_money_only_grows_and_stays_a_number() {
        let run = |delivery| RunId { command_id: "c-1".parse().unwrap(), delivery, epoch: Epoch(1) };
        let mut month = Month::new(&"bakery".parse().unwrap(), Timestamp::default());
        let told = [0.5, -1e9, f64::NAN, f64::INFINITY, 0.5];
        for (delivery, cost_usd) in (1..).zip(told) {
            month.add(run(delivery), Usage { cost_usd, ..Usage::default() });
        }
        assert_eq!((month.cost_usd, month.counted.len()), (1.0, told.len()));
        let much = Usage { cost_usd: 1e308, turns: u32::MAX, duration_ms: u64::MAX };
        assert_eq!(much.and(much), much);
    }

    #[test]
    fn what_a_run_of_an_older_worker_used_is_read() {
        let run = serde_json::json!({"commandId": "c-1", "delivery": 1, "epoch": 1});
        let usage = serde_json::json!({"costUsd": 0.5, "turns": 2, "durationMs": 1});
        let spent: Spent = serde_json::from_value(serde_json::json!({"run": run, "usage": usage})).unwrap();
        assert_eq!((spent.end.usage.turns, spent.end.left), (2, Left::Unchanged));
    }
}
