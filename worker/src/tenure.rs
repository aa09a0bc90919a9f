//! One claim from its taking to its release: its messages one by one, its idle time, and the last look into the queue when
//! it is given up.

use std::sync::Arc;
use std::time::Duration;

use backon::Retryable as _;
use common::cloud::CloudError;
use common::cloud::queue::MAX_WAIT;
use common::domain::claim::Fence;
use common::domain::ids::CommandId;
use common::domain::names::Queue;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::job::Stopper;
use crate::lease::Lease;
use crate::me::{self, Me, Receiving, hasty, new_version};
use crate::sessions;
use crate::work;

/// The first look into the queue: its end shows whether there was work at all.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// What a claim is being used for.
#[derive(Debug, Clone)]
pub enum Standing {
    /// A message is being worked on, or one is expected back; never given up.
    Busy(Option<(CommandId, Stopper)>),
    /// Nothing to do since then.
    Idle(Instant),
}

/// One claim of this worker.
pub struct Tenure {
    /// This process.
    pub me: Arc<Me>,
    /// The right to act.
    pub fence: Fence,
    /// Cancelled when the claim shall be given up as soon as it is not busy.
    pub asked: CancellationToken,
    /// Where it says how it stands.
    pub standing: watch::Sender<Standing>,
}

impl Tenure {
    /// Works until the claim is idle for too long, asked for, lost, or the process ends. When this returns the claim is
    /// given back; the answer finishes the last receive.
    pub async fn serve(self, taken_at: Instant) -> JoinHandle<()> {
        let lease = Lease::keep(self.me.cloud.clone(), self.fence.clone(), self.me.claims.lease(), taken_at);
        let mut receiving = self.receive(FIRST_WAIT);
        let (me, fence) = (Arc::clone(&self.me), self.fence.clone());
        tokio::spawn(async move { sessions::taken(&me, &fence).await });
        let mut idle_since = Instant::now();
        let mut expected_until = Instant::now();
        let idle_limit = Duration::from_secs(self.me.claims.idle_release_secs);
        loop {
            let received = tokio::select! {
                biased;
                () = lease.lost().cancelled() => break,
                () = self.me.shutdown.cancelled() => break,
                () = self.asked.cancelled() => break,
                received = &mut receiving => received.unwrap_or(None),
                () = sleep_until(idle_since.max(expected_until) + idle_limit) => break,
            };
            let Some(delivery) = received else {
                let expected = expected_until.saturating_duration_since(Instant::now());
                if expected.is_zero() {
                    self.stand(Standing::Idle(idle_since));
                }
                receiving = self.receive(if expected.is_zero() { MAX_WAIT } else { expected.min(MAX_WAIT) });
                continue;
            };
            if let Some(after) = work::handle(&self, &lease, &delivery).await {
                expected_until = Instant::now() + after + FIRST_WAIT;
            }
            idle_since = Instant::now();
            receiving = self.receive(FIRST_WAIT);
        }
        self.give_up(lease, receiving).await
    }

    /// Says how the claim stands.
    pub fn stand(&self, standing: Standing) {
        self.standing.send_replace(standing);
        self.me.changed.notify_one();
    }

    /// Receives in a task of its own, so that a receive is never dropped half-way.
    fn receive(&self, wait: Duration) -> Receiving {
        let (me, queue) = (Arc::clone(&self.me), Queue::Input(self.fence.project_key.clone()));
        tokio::spawn(async move { me.receive(&queue, wait).await })
    }

    /// Releases first, then looks once more: what comes is given back and announced.
    async fn give_up(self, lease: Lease, mut receiving: Receiving) -> JoinHandle<()> {
        let lost = lease.lost().is_cancelled();
        lease.end().await;
        if !lost {
            self.release().await;
        }
        self.me.gave_up.notify_one();
        tokio::spawn(async move {
            let pending = tokio::select! {
                received = &mut receiving => received.unwrap_or(None),
                // A shutdown does not wait for a whole long poll.
                () = self.me.shutdown.cancelled() => me::last_of(receiving, FIRST_WAIT / 4).await,
            };
            let queue = Queue::Input(self.fence.project_key.clone());
            let missed = match pending {
                Some(delivery) => Some(delivery),
                None => self.me.receive(&queue, Duration::ZERO).await,
            };
            let Some(delivery) = missed else { return };
            self.me.give_back(&delivery, Duration::ZERO).await;
            if let Err(error) = self.me.announce(&self.fence.project_key).await {
                tracing::warn!(project.key = %self.fence.project_key, %error, "work that was left could not be announced; the next sweep will");
            }
        })
    }

    async fn release(&self) {
        let key = &self.fence.project_key;
        let version = new_version();
        let claims = &self.me.cloud.claims;
        let release = || claims.release(&self.fence, &version, self.me.cloud.clock.now());
        match release.retry(hasty()).when(CloudError::is_retryable).await {
            Ok(()) => tracing::info!(project.key = %key, "the claim was given back"),
            Err(CloudError::FenceLost(_)) => {
                tracing::info!(project.key = %key, "the claim was somebody else\'s already");
            }
            Err(error) => {
                tracing::warn!(project.key = %key, %error, "the claim could not be given back; it lapses by itself");
            }
        }
    }
}
