//! What this worker says of itself in the containers table. It helps operators and decides nothing, so that a table that
//! does not answer never keeps the worker from working.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use common::cloud::Result;
use common::domain::container::{Container, ContainerStatus};
use tokio::time::timeout;

use crate::me::Me;

/// How often a sign of life is given.
const BEAT: Duration = Duration::from_secs(15);
/// Nobody waits longer than this for a row.
const LIMIT: Duration = Duration::from_secs(1);

/// Says that the process has started, over what an earlier one of the same name left.
pub async fn begin(me: &Me) {
    let now = me.cloud.clock.now();
    let row = Container {
        container_id: me.owner.worker.clone(),
        nonce: me.owner.nonce.clone(),
        started_at: now,
        last_activity: now,
        status: ContainerStatus::Starting,
        capacity: me.claims.capacity,
    };
    tell(async { me.cloud.store.save(&row).await.map(drop) }).await;
}

/// Says what the worker does from now on.
pub async fn say(me: &Me, status: ContainerStatus) {
    tell(change(me, |row| row.status = status)).await;
}

/// Gives signs of life until shutdown.
pub async fn keep(me: Arc<Me>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(BEAT) => tell(change(&me, |_row| {})).await,
            () = me.shutdown.cancelled() => return,
        }
    }
}

/// A later process of the same name is left alone.
async fn change(me: &Me, change: impl Fn(&mut Container) + Send) -> Result<()> {
    let now = me.cloud.clock.now();
    let ours = |row: &mut Container| {
        if row.nonce != me.owner.nonce {
            return ControlFlow::Break(());
        }
        row.last_activity = now;
        change(row);
        ControlFlow::Continue(())
    };
    me.cloud.store.update::<Container>(&me.owner.worker, ours).await.map(drop)
}

async fn tell(write: impl Future<Output = Result<()>>) {
    match timeout(LIMIT, write).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "the row of this worker could not be written"),
        Err(_) => tracing::warn!("the row of this worker could not be written in time"),
    }
}
