//! What happened, counted.

use std::fmt;
use std::ops::AddAssign;

/// The counts of one schedule, or of many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Schedules played.
    pub schedules: u64,
    /// Messages worked off.
    pub done: u64,
    /// Claims taken over, or set free, after a lease without a renewal.
    pub take_overs: u64,
    /// Effects and table writes refused because a newer owner had written.
    pub refused: u64,
    /// Calls whose answer was lost.
    pub lost_answers: u64,
    /// Moments at which two workers in time acted for one project+user. Must be 0.
    pub two_owners: u64,
    /// Effects accepted after one of a newer owner. Must be 0.
    pub stale_effects: u64,
    /// Commands with more than one effect. Must be 0.
    pub double_effects: u64,
    /// Messages that nobody worked off although everything worked again. Must be 0.
    pub stranded: u64,
}

impl Tally {
    /// Whether nothing happened that must not.
    pub fn is_clean(&self) -> bool {
        self.two_owners + self.stale_effects + self.double_effects + self.stranded == 0
    }

    /// Whether there was enough trouble to mean something: one of each per schedule on average.
    pub fn is_telling(&self) -> bool {
        [self.take_overs, self.refused, self.lost_answers].iter().all(|count| *count >= self.schedules)
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.schedules += other.schedules;
        self.done += other.done;
        self.take_overs += other.take_overs;
        self.refused += other.refused;
        self.lost_answers += other.lost_answers;
        self.two_owners += other.two_owners;
        self.stale_effects += other.stale_effects;
        self.double_effects += other.double_effects;
        self.stranded += other.stranded;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "schedules {}, messages worked off {}", self.schedules, self.done)?;
        writeln!(
            f,
            "take-overs {}, refused stale writes {}, lost answers {} (each >= schedules)",
            self.take_overs, self.refused, self.lost_answers
        )?;
        write!(
            f,
            "two live owners {}, stale effects {}, double effects {}, stranded messages {} (each 0)",
            self.two_owners, self.stale_effects, self.double_effects, self.stranded
        )
    }
}
