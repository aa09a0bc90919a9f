//! Work goes first to the worker whose checkout of it is warm: the one that served its owner last, if it lives and has
//! room. It never waits for that worker longer than a head start: everybody else hears of the work right after.

use std::time::Duration;

use common::cloud::queue::Outgoing;
use common::cloud::store::Query;
use common::cloud::{Cloud, Result};
use common::domain::container::{Container, ContainerStatus};
use common::domain::ids::{Owner, ProjectUser, WorkerId};
use common::domain::names::Queue;
use common::domain::session::Session;
use common::messages::{ClaimRequest, Order};

/// How much later all others hear of it.
pub const HEAD_START: Duration = Duration::from_secs(2);

/// Offers the work to whoever served its owner last; none when nobody could be asked.
pub async fn offer(cloud: &Cloud, key: &ProjectUser, request: &ClaimRequest) -> Option<WorkerId> {
    match try_offer(cloud, key, request).await {
        Ok(offered) => offered,
        Err(error) => {
            tracing::info!(%error, project.key = %key, "nobody could be offered the work first; everybody hears of it at once");
            None
        }
    }
}

async fn try_offer(cloud: &Cloud, key: &ProjectUser, request: &ClaimRequest) -> Result<Option<WorkerId>> {
    let Some(owner) = last_holder(cloud, key).await? else { return Ok(None) };
    let order = Order::Offer(request.clone()).to_json();
    cloud.queues.send(&Queue::Control(owner.clone()), Outgoing::standard(order)).await?;
    Ok(Some(owner.worker))
}

/// The process that served this owner last, if it lives, takes work and has room.
async fn last_holder(cloud: &Cloud, key: &ProjectUser) -> Result<Option<Owner>> {
    let (sessions, _) =
        cloud.store.find::<Session>(Query::index("project-index", key).newest_first().limit(1)).await?;
    let Some(session) = sessions.into_iter().next() else { return Ok(None) };
    let Some(row) = cloud.store.load::<Container>(&session.container_id).await? else { return Ok(None) };
    let worker = row.value;
    if worker.status != ContainerStatus::Running || !worker.is_alive(cloud.clock.now()) {
        return Ok(None);
    }
    let claims = cloud.claims.held_by(&worker.container_id).await?;
    Ok((claims.len() < usize::from(worker.capacity)).then(|| worker.owner()))
}
