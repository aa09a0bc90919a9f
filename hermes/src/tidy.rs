//! What dead worker processes leave behind: a control queue that nobody reads, and in the end the row. May run at any time
//! and any number of times.

use std::time::Duration;

use common::cloud::Result;
use common::cloud::store::Cursor;
use common::domain::container::Container;
use common::domain::names::Queue;

use crate::app::App;

/// How often it is worth a look.
pub const INTERVAL: Duration = Duration::from_hours(1);
/// A process that was silent for so long reads no order any more.
const QUEUE_AFTER: Duration = Duration::from_mins(10);
/// Operators see a dead worker for so long.
const ROW_AFTER: Duration = Duration::from_hours(24);
const PAGE: usize = 100;

/// Removes the control queues of worker processes that are gone, and rows that are old.
pub async fn dead_workers(app: &App) -> Result<()> {
    let mut after: Option<Cursor> = None;
    loop {
        let (page, next) = app.cloud.store.list::<Container>(PAGE, after).await?;
        for container in page {
            bury(app, &container).await?;
        }
        if next.is_none() {
            return Ok(());
        }
        after = next;
    }
}

async fn bury(app: &App, container: &Container) -> Result<()> {
    let now = app.cloud.clock.now();
    let silent = now.since(container.last_activity);
    if container.is_alive(now) || silent < QUEUE_AFTER {
        return Ok(());
    }
    app.cloud.queues.remove_queue(&Queue::Control(container.owner())).await?;
    if silent >= ROW_AFTER {
        app.cloud.store.remove::<Container>(&container.container_id).await?;
        tracing::info!(worker.id = %container.container_id, "the row of a worker that is long gone was removed");
    }
    Ok(())
}
