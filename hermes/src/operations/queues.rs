//! The queues: how full they are, and messages put there by hand.

use std::collections::BTreeSet;

use common::cloud::Cloud;
use common::cloud::queue::{Depth, Outgoing};
use common::cloud::store::Query;
use common::domain::ids::ProjectUser;
use common::domain::job::{Job, PENDING};
use common::domain::names::Queue;
use uuid::Uuid;

use super::{MAX_PAGE, Result};
use crate::dispatch;

/// How full the queues are: the common ones, and those of every project+user with open work.
pub async fn depths(cloud: &Cloud) -> Result<Vec<(Queue, Depth)>> {
    let (open, _) = cloud.store.find::<Job>(Query::index("pending-index", PENDING).limit(MAX_PAGE)).await?;
    let keys: BTreeSet<ProjectUser> = open.into_iter().map(|job| job.project_key).collect();
    let common = [
        Queue::Email,
        Queue::EmailDead,
        Queue::Unclaimed,
        Queue::UnclaimedDead,
        Queue::Output,
        Queue::OutputDead,
        Queue::Dead,
    ];
    let mut depths = Vec::new();
    for queue in common.into_iter().chain(keys.into_iter().map(Queue::Input)) {
        let depth = cloud.queues.depth(&queue).await?;
        depths.push((queue, depth));
    }
    Ok(depths)
}

/// Puts a message on a queue, as it is; the answer is the queue's message id. Work on an input queue is announced, since
/// nobody else knows of it.
pub async fn send(cloud: &Cloud, queue: &Queue, body: String) -> Result<String> {
    let message = if queue.is_fifo() {
        let group = match queue {
            Queue::Input(key) => key.to_string(),
            _ => "by-hand".to_owned(),
        };
        Outgoing::fifo(body, group, format!("by-hand-{}", Uuid::new_v4()))
    } else {
        Outgoing::standard(body)
    };
    let id = cloud.queues.send(queue, message).await?;
    if let Queue::Input(key) = queue {
        dispatch::announce(cloud, key, None, None).await?;
    }
    Ok(id)
}
