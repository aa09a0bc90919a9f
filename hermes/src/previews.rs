//! Previews of conversations that nobody goes on with, or that were removed: a worker is ordered to take them down, as work of their owner, in
//! line with their other work. The order names the preview as it was seen, so that a newer one stays. May run at any time
//! and any number of times: one order a day for each preview that is still up.

use std::time::Duration;

use common::cloud::{Cloud, Result};
use common::domain::ids::CommandId;
use common::domain::job::{Job, WorkAction};
use common::domain::names::SiteTarget;
use common::domain::thread::Thread;
use uuid::Uuid;

use crate::operations::jobs::order_as;
use crate::operations::releases::manifest;
use crate::operations::threads;

/// How often it is worth a look.
pub const INTERVAL: Duration = Duration::from_hours(24);
const PAGE: usize = 100;
/// So long what is left of a conversation that was removed is looked for once more: at two looks at least.
const REMOVED_LATELY: Duration = Duration::from_hours(3 * 24);

/// Orders that the previews of conversations are taken down that were idle for so long. What fails for one stops no other.
pub async fn expire(cloud: &Cloud, kept: Duration) -> Result<()> {
    let mut after = None;
    loop {
        let (page, next) = cloud.store.list::<Thread>(PAGE, after).await?;
        for thread in page.iter().filter(|thread| is_idle(cloud, thread, kept)) {
            if was_removed_lately(cloud, thread)
                && let Err(error) = threads::forget(cloud, thread).await
            {
                tracing::warn!(%error, thread.id = %thread.thread_id, "what is left of a removed conversation could not be cleared away yet");
            }
            if let Err(error) = look_at(cloud, thread, kept).await {
                tracing::warn!(%error, thread.id = %thread.thread_id, "an old preview could not be taken down yet");
            }
        }
        if next.is_none() {
            return Ok(());
        }
        after = next;
    }
}

fn is_idle(cloud: &Cloud, thread: &Thread, kept: Duration) -> bool {
    thread.removed_at.is_some() || cloud.clock.now().since(thread.last_activity) >= kept
}

/// Whatever ran when it was removed has ended within this.
fn was_removed_lately(cloud: &Cloud, thread: &Thread) -> bool {
    thread.removed_at.is_some_and(|removed| cloud.clock.now().since(removed) < REMOVED_LATELY)
}

async fn look_at(cloud: &Cloud, thread: &Thread, kept: Duration) -> Result<()> {
    let preview = SiteTarget::Thread(thread.project_id.clone(), thread.preview_key.clone());
    let Some(shown) = manifest(cloud, &preview).await? else { return Ok(()) };
    let now = cloud.clock.now();
    let is_young = thread.removed_at.is_none() && now.since(shown.release.published_at) < kept;
    if shown.is_taken_down() || is_young {
        return Ok(());
    }
    let number = shown.release.number;
    let id = format!("take-down:{}:{number}:{}", thread.thread_id, now.day());
    let command = CommandId::from_uuid(Uuid::new_v5(&Uuid::NAMESPACE_OID, id.as_bytes()));
    if cloud.store.load::<Job>(&command).await?.is_some() || !is_still_idle(cloud, thread, kept).await? {
        return Ok(());
    }
    tracing::info!(
        command.id = %command, thread.id = %thread.thread_id, project.key = %thread.project_key, release = number,
        "a preview is to be taken down: its conversation was removed, or nobody has gone on with it for {} days", kept.as_secs() / 86_400
    );
    let whose = (&thread.project_id, &thread.user_id, &thread.thread_id);
    order_as(cloud, command, WorkAction::TakeDown, Some(number), whose).await.map(drop)
}

/// A mail may have come since the page was read.
async fn is_still_idle(cloud: &Cloud, thread: &Thread, kept: Duration) -> Result<bool> {
    let now = cloud.store.load::<Thread>(&thread.thread_id).await?;
    Ok(now.is_some_and(|row| is_idle(cloud, &row.value, kept)))
}
