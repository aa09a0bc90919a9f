//! When claims cannot be looked at or taken, this worker stops asking for new work for a while, longer each time and never
//! in step with others, so that a table in trouble is not asked by everybody at once. What it holds goes on.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use tokio::time::{Instant, sleep_until};

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// Open while claims fail.
#[derive(Debug, Default)]
pub struct Breaker(Option<Trouble>);

#[derive(Debug)]
struct Trouble {
    pauses: ExponentialBackoff,
    until: Instant,
    failures: u32,
}

fn pauses() -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_jitter()
        .with_min_delay(FIRST_PAUSE)
        .with_max_delay(LONGEST_PAUSE)
        .without_max_times()
        .build()
}

impl Breaker {
    /// A claim could not be looked at or taken. The answer is how long nothing new is asked for.
    pub fn failed(&mut self) -> Duration {
        let now = Instant::now();
        let trouble = self.0.get_or_insert_with(|| Trouble { pauses: pauses(), until: now, failures: 0 });
        let pause = trouble.pauses.next().unwrap_or(LONGEST_PAUSE);
        trouble.failures += 1;
        trouble.until = now + pause;
        tracing::warn!(
            failures = trouble.failures,
            pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX),
            "claims fail; no new work is asked for until a pause is over"
        );
        pause
    }

    /// A claim could be looked at or taken.
    pub fn worked(&mut self) {
        if let Some(trouble) = self.0.take() {
            tracing::info!(failures = trouble.failures, "claims work again");
        }
    }

    /// Whether new work may be asked for.
    pub fn lets_pass(&self) -> bool {
        self.0.as_ref().is_none_or(|trouble| Instant::now() >= trouble.until)
    }

    /// Waits until new work may be asked for again; for ever, when it may already.
    pub async fn pause(&self) {
        match &self.0 {
            Some(trouble) if !self.lets_pass() => sleep_until(trouble.until).await,
            Some(_) | None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_with_each_failure_up_to_a_minute_or_two_and_end_with_success() {
        let mut breaker = Breaker::default();
        assert!(breaker.lets_pass());
        let mut longest = Duration::ZERO;
        for _ in 0..10 {
            let pause = breaker.failed();
            assert!(pause >= FIRST_PAUSE && pause <= 2 * LONGEST_PAUSE, "{pause:?}");
            longest = longest.max(pause);
            assert!(!breaker.lets_pass());
            breaker.pause().await;
            assert!(breaker.lets_pass(), "one request is let through");
        }
        assert!(longest >= LONGEST_PAUSE);
        breaker.worked();
        assert!(breaker.lets_pass());
        assert!(breaker.failed() <= 2 * FIRST_PAUSE, "it begins anew");
    }

    #[tokio::test(start_paused = true)]
    async fn workers_do_not_come_back_in_step() {
        let pauses: std::collections::HashSet<_> = (0..20).map(|_| Breaker::default().failed()).collect();
        assert!(pauses.len() > 1);
    }
}
