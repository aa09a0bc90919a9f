//! What worker processes leave behind that ended without a word: a control queue that nobody reads, and in the end the row.
//! A process that owns a claim is left alone until the claim has lapsed. May run at any time and any number of times.

use std::ops::ControlFlow;
use std::time::Duration;

use common::cloud::store::{Expect, Record as _};
use common::cloud::{Cloud, CloudError, Result};
use common::domain::container::{Container, ContainerStatus};
use common::domain::ids::{Nonce, Owner};
use common::domain::names::Queue;

use crate::app::App;

/// How often it is worth a look.
pub const INTERVAL: Duration = Duration::from_hours(1);
/// A process that was silent for so long reads no order any more.
const QUEUE_AFTER: Duration = Duration::from_mins(10);
/// Operators see a dead worker for so long.
const ROW_AFTER: Duration = Duration::from_hours(24);
const PAGE: usize = 100;

/// Removes the control queues of worker processes that are gone, and rows that are old. What fails for one stops no other.
pub async fn dead_workers(app: &App) -> Result<()> {
    let cloud = &app.cloud;
    let mut after = None;
    loop {
        let (page, next) = cloud.store.list::<Container>(PAGE, after).await?;
        for row in page {
            if let Err(error) = look_after(cloud, &row).await {
                tracing::warn!(%error, worker.id = %row.container_id, "a worker that is gone could not be cleaned up after yet");
            }
        }
        if next.is_none() {
            return Ok(());
        }
        after = next;
    }
}

async fn look_after(cloud: &Cloud, row: &Container) -> Result<()> {
    let silent_for = cloud.clock.now().since(row.last_activity);
    let ended = row.status == ContainerStatus::Terminated;
    if ended && row.left.is_empty() {
        return if silent_for >= ROW_AFTER { forget(cloud, row).await } else { Ok(()) };
    }
    let mut gone = row.left.clone();
    if !ended && silent_for >= QUEUE_AFTER {
        gone.push(row.nonce.clone());
    }
    let claims = cloud.claims.held_by(&row.container_id).await?;
    let owns = |nonce: &Nonce| {
        claims.iter().any(|claim| claim.owner.as_ref().is_some_and(|owner| owner.nonce == *nonce))
    };
    gone.retain(|nonce| !owns(nonce));
    for nonce in &gone {
        let owner = Owner { worker: row.container_id.clone(), nonce: nonce.clone() };
        cloud.queues.remove_queue(&Queue::Control(owner)).await?;
        tracing::info!(worker.id = %row.container_id, %nonce, "the control queue of a worker that is gone was removed");
    }
    if gone.is_empty() { Ok(()) } else { write_down(cloud, row, &gone).await }
}

async fn write_down(cloud: &Cloud, row: &Container, gone: &[Nonce]) -> Result<()> {
    let note = |now: &mut Container| {
        now.left.retain(|nonce| !gone.contains(nonce));
        if gone.contains(&now.nonce) && now.last_activity == row.last_activity {
            now.status = ContainerStatus::Terminated;
        }
        ControlFlow::Continue(())
    };
    cloud.store.update::<Container>(&row.container_id, note).await.map(drop)
}

/// Only if nobody wrote it meanwhile: a new process may have the name.
async fn forget(cloud: &Cloud, row: &Container) -> Result<()> {
    let Some(stored) = cloud.store.load::<Container>(&row.container_id).await? else { return Ok(()) };
    if stored.value != *row {
        return Ok(());
    }
    let key = Container::key(&row.container_id);
    match cloud.store.delete(Container::TABLE, &key, Expect::Version(stored.version)).await {
        Err(CloudError::Conflict(_)) => return Ok(()),
        deleted => deleted?,
    }
    tracing::info!(worker.id = %row.container_id, "the row of a worker that is long gone was removed");
    Ok(())
}
