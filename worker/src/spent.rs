//! What came of a run, told to its session and to its project's month. What they could not be told at its end stays in the row of
//! its job: no message of a job that has ended is deleted before they know it, and whoever takes one up that has not ended,
//! after a run that died too, tells it first.

use std::ops::ControlFlow;

use common::cloud::Result;
use common::domain::budget::Spent;
use common::domain::claim::Fence;
use common::domain::job::Job;
use common::domain::session::{RunEnd, RunId};
use common::messages::Work;

use crate::me::Me;
use crate::{budgets, sessions};

/// A run ended. The answer is whether both know it now.
pub async fn ended(me: &Me, fence: &Fence, work: &Work, run: &RunId, end: RunEnd) -> bool {
    tell(me, fence, work, run, end).await.is_ok()
}

/// Tells what came of the run before, unless it did so itself: each run counts once. Tables that may answer later are waited
/// for.
pub async fn catch_up(me: &Me, fence: &Fence, work: &Work, row: &Job) -> Result<()> {
    let Some(Spent { run, end }) = &row.uncounted else { return Ok(()) };
    let (cost_usd, turns) = (end.usage.cost_usd, end.usage.turns);
    tracing::info!(command.id = %row.command_id, cost_usd, turns, "what came of a run that nobody was told of is told now");
    let told = async {
        tell(me, fence, work, run, end.clone()).await?;
        forget(me, fence, row, run).await
    };
    match told.await {
        Err(error) if error.is_retryable() => Err(error),
        _ => Ok(()),
    }
}

/// The row says no longer that somebody has to be told.
async fn forget(me: &Me, fence: &Fence, row: &Job, run: &RunId) -> Result<()> {
    let forget = |job: &mut Job| {
        let is_ours = job.epoch <= fence.epoch;
        match job.uncounted.take_if(|spent| is_ours && spent.run == *run) {
            Some(_) => ControlFlow::Continue(()),
            None => ControlFlow::Break(()),
        }
    };
    me.cloud.store.update::<Job>(&row.command_id, forget).await.map(drop)
}

async fn tell(me: &Me, fence: &Fence, work: &Work, run: &RunId, end: RunEnd) -> Result<()> {
    let usage = end.usage;
    let (session, month) = tokio::join!(
        sessions::ended(me, fence, work, run, end),
        budgets::used(me, &fence.project_key.project, run, usage)
    );
    session.and(month)
}
