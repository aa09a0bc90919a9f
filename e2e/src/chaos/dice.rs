//! Numbers from a seed, so that a schedule can be played again.

use std::time::Duration;

/// A SplitMix64 sequence.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(seed ^ 0x5851_f42d_4c95_7f2d)
    }

    /// 0 to `sides` - 1.
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }

    /// Whether something with this chance happens.
    pub(crate) fn percent(&mut self, chance: u64) -> bool {
        self.roll(100) < chance
    }

    pub(crate) fn secs(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_secs(from + self.roll(to - from + 1))
    }

    /// How wrong a wall clock is, in milliseconds: up to ten minutes either way.
    pub(crate) fn skew_millis(&mut self) -> i64 {
        i64::try_from(self.roll(1_200_001)).unwrap_or(0) - 600_000
    }
}
