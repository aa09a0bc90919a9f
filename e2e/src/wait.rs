//! Waiting for a condition with a limit.

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// How often a condition is looked at.
const STEP: Duration = Duration::from_millis(20);

/// Looks until `probe` gives a value, at most for `limit`. `what` names the condition in the error.
pub async fn until<T, F>(what: &str, limit: Duration, mut probe: impl FnMut() -> F) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<Option<T>>>,
{
    let begun = Instant::now();
    let mut ticks = tokio::time::interval(STEP);
    loop {
        ticks.tick().await;
        if let Some(value) = probe().await.with_context(|| format!("while waiting for {what}"))? {
            return Ok(value);
        }
        if begun.elapsed() > limit {
            bail!("{what} did not happen within {} s", limit.as_secs_f32());
        }
    }
}
