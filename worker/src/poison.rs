//! A message that cannot be handled, whatever is tried: it goes to the dead letters, its job ends, its sender is told once,
//! and the next message has its turn.

use std::any::Any;
use std::sync::Arc;

use common::cloud::Result;
use common::cloud::queue::Delivery;
use common::domain::claim::Fence;
use common::domain::job::{Job, OutcomeNote};
use common::domain::names::SiteTarget;
use common::domain::outcome::JobOutcome;
use common::messages::WorkDraft;

use crate::intake;
use crate::job::journal::Journal;
use crate::job::{Ending, live};
use crate::me::Me;
use crate::report;
use crate::spent;

const FOR_THE_OWNER: &str =
    "Something in this request keeps us from handling it. Somebody will have to look into it.";

/// Ends it.
pub async fn end(me: &Me, fence: &Fence, delivery: &Delivery, why: &str) -> Result<()> {
    let reason = format!("it was received {} times and could not be handled: {why}", delivery.receive_count);
    put_aside(me, fence, delivery, &reason).await
}

/// The same for one that is refused at once.
pub async fn put_aside(me: &Me, fence: &Fence, delivery: &Delivery, reason: &str) -> Result<()> {
    me.bury(delivery, Some(&fence.project_key), reason).await?;
    if let Err(error) = end_job(me, fence, delivery, reason).await {
        tracing::warn!(message.id = delivery.message_id, %error, "the job of a message that was put aside could not be ended");
    }
    me.delete(delivery).await
}

/// Ends the job that the message is about: no other one that has its name.
async fn end_job(me: &Me, fence: &Fence, delivery: &Delivery, reason: &str) -> Result<()> {
    let Ok(draft) = WorkDraft::parse(&delivery.body, &delivery.message_id, me.cloud.clock.now()) else {
        return Ok(());
    };
    let Some(stored) = me.cloud.store.load::<Job>(&draft.command_id).await? else { return Ok(()) };
    let row = stored.value;
    let is_about_it = intake::thread_of(&draft) == row.thread_id;
    if row.project_key != fence.project_key || !is_about_it || row.outcome.is_some() {
        return Ok(());
    }
    let work = draft.complete(row.user_id.clone(), row.thread_id.clone(), String::new());
    spent::catch_up(me, fence, &work, &row).await?;
    let mut journal = Journal::of(Arc::clone(&me.cloud.store), me.cloud.clock.clone(), fence, &row);
    journal.charged = true;
    let live = SiteTarget::Live(row.project_id.clone());
    let goes_on = live::goes_on(Arc::clone(&me.cloud.files), row.action, live, &journal.command).await;
    let ending = Ending {
        summary: FOR_THE_OWNER.to_owned(),
        error: Some(reason.to_owned()),
        note: goes_on.then_some(OutcomeNote::GoesOn),
        ..Ending::default()
    };
    let row = journal.finish(JobOutcome::Failed, &ending).await?;
    me.halfway.notify_one();
    let target = SiteTarget::Preview(row.project_id.clone());
    let result = report::result(&work, &row, JobOutcome::Failed, &target, None, &me.owner.worker);
    report::send(&me.cloud, &result, work.task_token.as_deref()).await
}

/// What a panic said.
pub fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no words")
}
