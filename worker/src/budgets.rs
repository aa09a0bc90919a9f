//! What the projects of this worker's jobs have used in this month. Two runs of one project at a time do not see each other's
//! use: a month's bound may be passed by what they use together.

use std::ops::ControlFlow;
use std::time::Duration;

use common::cloud::store::Store;
use common::cloud::{CloudError, Result};
use common::domain::budget::{Limits, Month, Usage};
use common::domain::ids::ProjectId;
use common::domain::session::RunId;
use common::domain::timestamp::Timestamp;
use tokio::time::timeout;

use crate::me::Me;

/// Nobody waits longer than this for a row.
const LIMIT: Duration = Duration::from_secs(2);

/// US dollars used in this month; not looked up where no bound needs them. A table that may answer later is waited for; what
/// never can be read is nothing.
pub async fn month(me: &Me, project: &ProjectId, limits: &Limits) -> Result<f64> {
    if limits.max_month_cost_usd.is_none() {
        return Ok(0.0);
    }
    let id = Month::id(project, me.cloud.clock.now());
    match in_time(me.cloud.store.load::<Month>(&id)).await.inspect_err(|error| warn(project, error)) {
        Err(error) if error.is_retryable() => Err(error),
        row => Ok(row.ok().flatten().map_or(0.0, |row| row.value.cost_usd)),
    }
}

/// Adds what a run used.
pub async fn used(me: &Me, project: &ProjectId, run: &RunId, usage: Usage) -> Result<()> {
    if usage.is_none() {
        return Ok(());
    }
    let added = in_time(add(&*me.cloud.store, project, me.cloud.clock.now(), run, usage)).await;
    added.inspect_err(|error| warn(project, error))
}

async fn add(
    store: &dyn Store,
    project: &ProjectId,
    now: Timestamp,
    run: &RunId,
    usage: Usage,
) -> Result<()> {
    let more = |row: &mut Month| {
        row.add(run.clone(), usage);
        ControlFlow::Continue(())
    };
    let id = Month::id(project, now);
    if store.update::<Month>(&id, more).await?.is_some() {
        return Ok(());
    }
    let mut first = Month::new(project, now);
    first.add(run.clone(), usage);
    match store.insert(&first).await {
        // Another worker was first.
        Err(CloudError::Conflict(_)) => store.update::<Month>(&id, more).await.map(drop),
        inserted => inserted.map(drop),
    }
}

async fn in_time<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let late = || Err(CloudError::unavailable("read or write what was used this month", "no answer in time"));
    timeout(LIMIT, work).await.unwrap_or_else(|_| late())
}

fn warn(project: &ProjectId, error: &CloudError) {
    tracing::warn!(project.id = %project, %error, "what the project used this month could not be read or written");
}
