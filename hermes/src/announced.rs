//! When which project+user was last announced, whoever did it. New work is always announced; the next sweep repeats it
//! once, in case that announcement met a claim that was being given up, and later ones follow with pauses from a minute
//! on that double. Losing this costs time, never correctness.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use common::domain::ids::ProjectUser;
use tokio::time::Instant;

/// The first and the longest pause between two announcements of one key by the sweep.
const FIRST_PAUSE: Duration = Duration::from_mins(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(10);

/// The latest announcement of each key that has work.
#[derive(Debug, Default)]
pub struct Announced(Mutex<HashMap<ProjectUser, Latest>>);

#[derive(Debug)]
struct Latest {
    at: Instant,
    /// None: it came with the work itself.
    pause: Option<Duration>,
}

impl Latest {
    fn is_over(&self, interval: Duration) -> bool {
        self.at.elapsed() >= self.pause.unwrap_or(interval)
    }
}

impl Announced {
    /// New work was announced: pauses begin anew.
    pub fn first(&self, key: &ProjectUser) {
        self.rows().insert(key.clone(), Latest { at: Instant::now(), pause: None });
    }

    /// The sweep announced it: the next pause is twice as long.
    pub fn again(&self, key: &ProjectUser) {
        let mut rows = self.rows();
        let before = rows.get(key).and_then(|latest| latest.pause);
        let pause = before.map_or(FIRST_PAUSE, |pause| (pause * 2).min(LONGEST_PAUSE));
        rows.insert(key.clone(), Latest { at: Instant::now(), pause: Some(pause) });
    }

    /// Whether a sweep that runs at this interval shall announce it now.
    pub fn is_due(&self, key: &ProjectUser, interval: Duration) -> bool {
        self.rows().get(key).is_none_or(|latest| latest.is_over(interval))
    }

    /// What was announced before does not count any more.
    pub fn forget(&self, key: &ProjectUser) {
        self.rows().remove(key);
    }

    /// Forgets the keys that nothing waits for, once their pause is over.
    pub fn keep(&self, waits: impl Fn(&ProjectUser) -> bool) {
        self.rows().retain(|key, latest| waits(key) || !latest.is_over(FIRST_PAUSE));
    }

    fn rows(&self) -> MutexGuard<'_, HashMap<ProjectUser, Latest>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
