//! Which calls fail, and how.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::operation::{Door, Operation};
use crate::cloud::{CloudError, Result};

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fate {
    /// It goes through.
    Pass,
    /// It does not happen; the caller gets [`CloudError::Unavailable`].
    FailBefore,
    /// It happens, but the caller gets [`CloudError::Unavailable`] instead of the answer.
    LoseAnswer,
}

/// Which calls a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Calls {
    /// All.
    Any,
    /// Those through one door.
    Through(Door),
    /// Those of one operation.
    Of(Operation),
}

impl Calls {
    fn include(self, operation: Operation) -> bool {
        match self {
            Self::Any => true,
            Self::Through(door) => operation.door() == door,
            Self::Of(one) => operation == one,
        }
    }
}

/// When a rule applies to one of its calls.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum When {
    /// Each time.
    Always,
    /// Only the n-th time, counted from 1 since the rule was made.
    Nth(u64),
    /// With this probability (0 to 1), drawn from the plan's seed.
    Chance(f64),
}

/// What happens to which calls.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rule {
    /// Which calls.
    pub calls: Calls,
    /// When.
    pub when: When,
    /// What then.
    pub fate: Fate,
}

/// The rules, tried in order: the first that applies decides, and a call that none is about passes. Clones share one
/// plan.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    rules: Vec<(Rule, u64)>,
    random: u64,
    fates: HashMap<(Operation, Fate), u64>,
    rows_read: u64,
}

impl Plan {
    /// Everything passes, until a rule is added.
    pub fn passing() -> Self {
        Self::default()
    }

    /// Everything passes, until a rule is added; chances are drawn from this seed.
    pub fn seeded(seed: u64) -> Self {
        let plan = Self::default();
        plan.state().random = seed;
        plan
    }

    /// Adds a rule.
    #[must_use]
    pub fn with(self, calls: Calls, when: When, fate: Fate) -> Self {
        self.add(calls, when, fate);
        self
    }

    /// Adds a rule while the cloud is in use.
    pub fn add(&self, calls: Calls, when: When, fate: Fate) {
        self.state().rules.push((Rule { calls, when, fate }, 0));
    }

    /// From now on everything passes.
    pub fn heal(&self) {
        self.state().rules.clear();
    }

    /// How many calls of an operation met this fate.
    pub fn count(&self, operation: Operation, fate: Fate) -> u64 {
        self.state().fates.get(&(operation, fate)).copied().unwrap_or(0)
    }

    /// How many calls of all operations met this fate.
    pub fn count_all(&self, fate: Fate) -> u64 {
        self.state().fates.iter().filter(|((_, met), _)| *met == fate).map(|(_, count)| count).sum()
    }

    /// How many rows of tables all calls have read.
    pub fn rows_read(&self) -> u64 {
        self.state().rows_read
    }

    /// Some were read.
    pub(super) fn note_rows(&self, count: usize) {
        self.state().rows_read += count as u64;
    }

    /// Lets a call happen, or not.
    pub(super) async fn around<T>(
        &self,
        operation: Operation,
        call: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        match self.decide(operation) {
            Fate::Pass => call.await,
            Fate::FailBefore => {
                Err(CloudError::unavailable(operation.name(), "failed by the plan of a test"))
            }
            Fate::LoseAnswer => {
                // Good or bad, nobody will know.
                let _ = call.await;
                Err(CloudError::unavailable(operation.name(), "answer lost by the plan of a test"))
            }
        }
    }

    fn decide(&self, operation: Operation) -> Fate {
        let mut state = self.state();
        let fate = state.decide(operation);
        *state.fates.entry((operation, fate)).or_default() += 1;
        fate
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn decide(&mut self, operation: Operation) -> Fate {
        let mut decided = None;
        let Self { rules, random, .. } = self;
        for (rule, count) in rules.iter_mut().filter(|(rule, _)| rule.calls.include(operation)) {
            *count += 1;
            let applies = match rule.when {
                When::Always => true,
                When::Nth(nth) => *count == nth,
                When::Chance(chance) => unit(random) < chance,
            };
            if applies && decided.is_none() {
                decided = Some(rule.fate);
            }
        }
        decided.unwrap_or(Fate::Pass)
    }
}

/// The next number of a SplitMix64 sequence, as a fraction of 1.
fn unit(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let high = u32::try_from((mixed ^ (mixed >> 31)) >> 32).unwrap_or(u32::MAX);
    f64::from(high) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fates(plan: &Plan, operation: Operation, calls: usize) -> Vec<Fate> {
        (0..calls).map(|_| plan.decide(operation)).collect()
    }

    #[test]
    fn a_call_that_no_rule_is_about_passes() {
        let plan = Plan::passing().with(Calls::Through(Door::Claims), When::Always, Fate::FailBefore);
        assert_eq!(fates(&plan, Operation::Send, 2), [Fate::Pass; 2]);
        assert_eq!(fates(&plan, Operation::Take, 2), [Fate::FailBefore; 2]);
    }

    #[test]
    fn only_the_nth_call_of_an_operation_fails() {
        let plan = Plan::passing().with(Calls::Of(Operation::Send), When::Nth(2), Fate::LoseAnswer);
        plan.decide(Operation::Receive);
        assert_eq!(fates(&plan, Operation::Send, 3), [Fate::Pass, Fate::LoseAnswer, Fate::Pass]);
        assert_eq!(plan.count(Operation::Send, Fate::LoseAnswer), 1);
        assert_eq!(plan.count_all(Fate::Pass), 3);
    }

    #[test]
    fn one_seed_gives_one_schedule_with_about_the_wanted_share() {
        let plan = |seed| Plan::seeded(seed).with(Calls::Any, When::Chance(0.3), Fate::LoseAnswer);
        let first = fates(&plan(7), Operation::Take, 1000);
        assert_eq!(first, fates(&plan(7), Operation::Take, 1000));
        assert_ne!(first, fates(&plan(8), Operation::Take, 1000));
        let lost = first.iter().filter(|fate| **fate == Fate::LoseAnswer).count();
        assert!((250..350).contains(&lost), "{lost}");
    }

    #[test]
    fn a_healed_plan_lets_everything_pass() {
        let plan = Plan::passing().with(Calls::Any, When::Always, Fate::FailBefore);
        let shared = plan.clone();
        shared.heal();
        assert_eq!(plan.decide(Operation::PutRow), Fate::Pass);
    }
}
