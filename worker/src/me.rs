//! This worker process: who it is, and what all its tasks share. Nothing here changes after the start.

use std::sync::Arc;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};
use common::cloud::queue::{Delivery, MAX_MESSAGE_BYTES, Outgoing};
use common::cloud::{Cloud, CloudError, Result};
use common::domain::claim::ClaimVersion;
use common::domain::ids::{Owner, ProjectUser};
use common::domain::names::Queue;
use common::messages::ClaimRequest;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::config::ClaimSettings;
use crate::job::JobSettings;
use crate::text::plain_line;

/// The longest note beside a dead letter.
const MAX_REASON_CHARS: usize = 500;
/// A longer body is cut when it is put aside.
const MAX_BURIED_BYTES: usize = MAX_MESSAGE_BYTES - 16 * 1024;
/// After a call that can never succeed, before the next one.
const AFTER_INVALID: Duration = Duration::from_secs(5);

/// What all tasks share.
pub struct Me {
    /// The six doors.
    pub cloud: Cloud,
    /// Who this process is, as an owner of claims.
    pub owner: Owner,
    /// The task of ECS that it is.
    pub task_arn: Option<String>,
    /// How claims are held.
    pub claims: ClaimSettings,
    /// How jobs are run.
    pub jobs: Arc<JobSettings>,
    /// Cancelled when the process shall end.
    pub shutdown: CancellationToken,
    /// Woken when a claim becomes busy or idle.
    pub changed: Notify,
    /// Under how many claims something runs.
    pub busy: watch::Sender<usize>,
    /// Woken when a claim was given back.
    pub gave_up: Notify,
    /// Woken when a job ended that may have left a site between two versions.
    pub halfway: Notify,
}

/// A growing pause with jitter between failures.
pub fn patient() -> ExponentialBuilder {
    ExponentialBuilder::default()
        .with_jitter()
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(Duration::from_secs(20))
        .without_max_times()
}

/// A few tries within some seconds.
pub fn hasty() -> ExponentialBuilder {
    patient().with_max_delay(Duration::from_secs(1)).with_max_times(4)
}

/// A version no claim has had.
pub fn new_version() -> ClaimVersion {
    ClaimVersion::from_uuid(Uuid::new_v4())
}

/// A receive in a task of its own, so that it is never dropped half-way.
pub type Receiving = JoinHandle<Option<Delivery>>;

/// What a receive still brings within this time; after that it is ended where it waits, so that it takes no message along.
pub async fn last_of(mut receiving: Receiving, limit: Duration) -> Option<Delivery> {
    if let Ok(received) = timeout(limit, &mut receiving).await {
        return received.unwrap_or(None);
    }
    receiving.abort();
    receiving.await.unwrap_or(None)
}

impl Me {
    /// The queue on which this process gets orders.
    pub fn control_queue(&self) -> Queue {
        Queue::Control(self.owner.clone())
    }

    /// Receives at most one message. Failures are waited out, with a growing pause, and logged once.
    pub async fn receive(&self, queue: &Queue, wait: Duration) -> Option<Delivery> {
        let mut told = false;
        let receive = || self.cloud.queues.receive(queue, 1, wait);
        let received = receive.retry(patient()).when(CloudError::is_retryable).notify(|error, _| {
            if !told {
                tracing::warn!(%queue, %error, "receiving failed and is tried again until it works");
                told = true;
            }
        });
        match received.await {
            Ok(deliveries) => deliveries.into_iter().next(),
            Err(error) => {
                tracing::error!(%queue, %error, "receiving cannot work; is the queue set up?");
                tokio::time::sleep(AFTER_INVALID).await;
                None
            }
        }
    }

    /// Lets a message be received again after this time.
    pub async fn give_back(&self, delivery: &Delivery, after: Duration) {
        if let Err(error) = self.cloud.queues.extend(&delivery.receipt, after).await {
            tracing::debug!(queue = %delivery.receipt.queue, %error, "a message comes back when its visibility ends");
        }
    }

    /// Ends a delivery.
    pub async fn delete(&self, delivery: &Delivery) -> Result<()> {
        (|| self.cloud.queues.delete(&delivery.receipt)).retry(hasty()).when(CloudError::is_retryable).await
    }

    /// Says that this project+user has work and no owner.
    pub async fn announce(&self, key: &ProjectUser) -> Result<()> {
        let request = ClaimRequest {
            project_id: key.project.clone(),
            user_id: key.user.clone(),
            queue_url: None,
            thread_id: None,
            message_id: None,
            timestamp: self.cloud.clock.now(),
        };
        let send = || self.cloud.queues.send(&Queue::Unclaimed, Outgoing::standard(request.to_json()));
        send.retry(hasty()).when(CloudError::is_retryable).await.map(drop)
    }

    /// Moves a message to where people look for what could not be done, with the reason.
    pub async fn bury(&self, delivery: &Delivery, key: Option<&ProjectUser>, reason: &str) -> Result<()> {
        // The reason needs room beside the body.
        let body = delivery.body[..delivery.body.floor_char_boundary(MAX_BURIED_BYTES)].to_owned();
        let (queue, message) = match key {
            Some(key) => (Queue::Dead, Outgoing::fifo(body, key.to_string(), delivery.message_id.clone())),
            None => (Queue::UnclaimedDead, Outgoing::standard(body)),
        };
        let message = message.attribute("reason", plain_line(reason, MAX_REASON_CHARS));
        let send = || self.cloud.queues.send(&queue, message.clone());
        send.retry(hasty()).when(CloudError::is_retryable).await?;
        tracing::warn!(queue = %delivery.receipt.queue, message.id = delivery.message_id, reason, "a message was moved to the dead letters");
        Ok(())
    }
}
