//! When which project+user was last announced, whoever did it. New work is always announced; the sweep repeats it at most
//! once a minute, with pauses that double. Losing this costs time, never correctness.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use common::domain::ids::ProjectUser;
use tokio::time::Instant;

/// The first and the longest pause between two announcements of one key.
const FIRST_PAUSE: Duration = Duration::from_mins(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(10);

/// The latest announcement of each key that has work.
#[derive(Debug, Default)]
pub struct Announced(Mutex<HashMap<ProjectUser, Latest>>);

#[derive(Debug)]
struct Latest {
    at: Instant,
    pause: Duration,
}

impl Latest {
    fn is_over(&self) -> bool {
        self.at.elapsed() >= self.pause
    }
}

impl Announced {
    /// New work was announced: pauses begin anew.
    pub fn first(&self, key: &ProjectUser) {
        self.rows().insert(key.clone(), Latest { at: Instant::now(), pause: FIRST_PAUSE });
    }

    /// It was announced again: the next pause is twice as long.
    pub fn again(&self, key: &ProjectUser) {
        let mut rows = self.rows();
        let pause = rows.get(key).map_or(FIRST_PAUSE, |latest| (latest.pause * 2).min(LONGEST_PAUSE));
        rows.insert(key.clone(), Latest { at: Instant::now(), pause });
    }

    /// Whether it is time to announce it again.
    pub fn is_due(&self, key: &ProjectUser) -> bool {
        self.rows().get(key).is_none_or(Latest::is_over)
    }

    /// What was announced before does not count any more.
    pub fn forget(&self, key: &ProjectUser) {
        self.rows().remove(key);
    }

    /// Forgets the keys that nothing waits for, once their pause is over.
    pub fn keep(&self, waits: impl Fn(&ProjectUser) -> bool) {
        self.rows().retain(|key, latest| waits(key) || !latest.is_over());
    }

    fn rows(&self) -> MutexGuard<'_, HashMap<ProjectUser, Latest>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
