//! What a run used, told to its session and to its project's month. A run that did not live to tell it left it in the row of
//! its job; whoever takes the job up next tells it then.

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

/// Tells what the run before used, unless it did so itself: each run counts once. Tables that may answer later are waited for.
pub async fn catch_up(me: &Me, fence: &Fence, work: &Work, row: &Job) -> Result<()> {
    let Some(Spent { run, usage }) = &row.uncounted else { return Ok(()) };
    tracing::info!(command.id = %row.command_id, cost_usd = usage.cost_usd, turns = usage.turns, "what a run used that did not end is counted now");
    let end = RunEnd { usage: *usage, ..RunEnd::default() };
    match tell(me, fence, work, run, end).await {
        Err(error) if error.is_retryable() => Err(error),
        _ => Ok(()),
    }
}

async fn tell(me: &Me, fence: &Fence, work: &Work, run: &RunId, end: RunEnd) -> Result<()> {
    let usage = end.usage;
    let (session, month) = tokio::join!(
        sessions::ended(me, fence, work, run, end),
        budgets::used(me, &fence.project_key.project, run, usage)
    );
    session.and(month)
}
