//! Time as the rest of the code sees it, so that tests can step it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::domain::timestamp::Timestamp;

/// Where the wall-clock time comes from.
#[derive(Debug, Clone, Default)]
pub enum Clock {
    /// The machine's clock.
    #[default]
    System,
    /// A clock that only moves when a test moves it.
    Stepped(SteppedClock),
}

impl Clock {
    /// The present time, to the millisecond.
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => Timestamp::from_millis(jiff::Timestamp::now().as_millisecond()),
            Self::Stepped(clock) => Timestamp::from_millis(clock.millis.load(Ordering::SeqCst)),
        }
    }
}

/// A clock for tests; clones share the time.
#[derive(Debug, Clone)]
pub struct SteppedClock {
    millis: Arc<AtomicI64>,
}

impl SteppedClock {
    /// Stands still at this time.
    pub fn starting_at(at: Timestamp) -> Self {
        Self { millis: Arc::new(AtomicI64::new(at.millis())) }
    }

    /// Moves on.
    pub fn advance(&self, by: std::time::Duration) {
        self.millis.fetch_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX), Ordering::SeqCst);
    }
}
