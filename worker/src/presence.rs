//! What this worker says of itself in the containers table. It helps operators and decides nothing, so that a table that
//! does not answer never keeps the worker from working.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use common::cloud::store::Stored;
use common::cloud::{CloudError, Result};
use common::domain::container::{Container, ContainerStatus};
use common::domain::ids::Nonce;
use tokio::time::timeout;

use crate::me::Me;

/// How often a sign of life is given.
const BEAT: Duration = Duration::from_secs(45);
/// Nobody waits longer than this for a row.
const LIMIT: Duration = Duration::from_secs(1);

/// Of very many earlier processes of one name only the latest are remembered.
const MAX_LEFT: usize = 20;

/// Says that the process has started, over what an earlier one of the same name left.
pub async fn begin(me: &Me) {
    tell(async {
        let mut row = row(me, ContainerStatus::Starting);
        if let Some(earlier) = me.cloud.store.load::<Container>(&me.owner.worker).await? {
            row.left = left_by(earlier.value);
        }
        me.cloud.store.save(&row).await.map(drop)
    })
    .await;
}

/// The processes whose control queues are there for somebody to remove.
fn left_by(earlier: Container) -> Vec<Nonce> {
    let mut left = earlier.left;
    if earlier.status != ContainerStatus::Terminated {
        left.push(earlier.nonce);
    }
    let all = left.len();
    left.split_off(all.saturating_sub(MAX_LEFT))
}

fn row(me: &Me, status: ContainerStatus) -> Container {
    let now = me.cloud.clock.now();
    Container {
        container_id: me.owner.worker.clone(),
        task_arn: me.task_arn.clone(),
        nonce: me.owner.nonce.clone(),
        started_at: now,
        last_activity: now,
        status,
        capacity: me.claims.capacity,
        left: Vec::new(),
    }
}

/// Says what the worker does from now on.
pub async fn say(me: &Me, status: ContainerStatus) {
    tell(change(me, |row| row.status = status)).await;
}

/// Gives signs of life until shutdown.
pub async fn keep(me: Arc<Me>) {
    let mut known = None;
    loop {
        tokio::select! {
            () = tokio::time::sleep(BEAT) => tell(beat(&me, &mut known)).await,
            () = me.shutdown.cancelled() => return,
        }
    }
}

/// One call, as long as nobody else writes the row.
async fn beat(me: &Me, known: &mut Option<Stored<Container>>) -> Result<()> {
    for _ in 0..2 {
        let stored = match known.take() {
            Some(stored) => Some(stored),
            None => me.cloud.store.load::<Container>(&me.owner.worker).await?,
        };
        let Some(mut stored) = stored else {
            // It was swept away, or could never be written.
            return me.cloud.store.insert(&row(me, ContainerStatus::Running)).await.map(drop);
        };
        if stored.value.nonce != me.owner.nonce {
            return Ok(());
        }
        stored.value.last_activity = me.cloud.clock.now();
        if stored.value.status == ContainerStatus::Terminated {
            // Somebody thought that we were gone.
            stored.value.status = ContainerStatus::Running;
        }
        match me.cloud.store.replace(&stored).await {
            Ok(version) => {
                *known = Some(Stored { version, ..stored });
                return Ok(());
            }
            Err(CloudError::Conflict(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
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
