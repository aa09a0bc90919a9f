//! One heartbeat per claim: it renews the claim, keeps the message in flight invisible and tells whoever waits for a task
//! token. When a lease has nearly passed without a confirmed renewal it stops the job itself, before anyone else can
//! take over.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use common::cloud::callback::Heard;
use common::cloud::queue::Receipt;
use common::cloud::{Cloud, CloudError};
use common::domain::claim::Fence;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::job::{Cut, Stopper};
use crate::me::new_version;

/// Whoever waits for a task token hears of it at least this often.
const HEARTBEAT: Duration = Duration::from_secs(30);

/// The message that is being worked on.
#[derive(Debug, Clone)]
pub struct InFlight {
    /// The right to keep it.
    pub receipt: Receipt,
    /// Who waits for its result.
    pub task_token: Option<String>,
    /// Stops its job.
    pub stopper: Stopper,
}

/// A claim that is kept alive until it is ended or lost.
pub struct Lease {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
    /// A lease that its owner dropped (its task broke) is not renewed any more.
    _ended: DropGuard,
}

struct Shared {
    cloud: Cloud,
    fence: Fence,
    length: Duration,
    in_flight: Mutex<Option<InFlight>>,
    lost: CancellationToken,
    ended: CancellationToken,
}

impl Lease {
    /// Keeps a claim that was asked for at `taken_at`.
    pub fn keep(cloud: Cloud, fence: Fence, length: Duration, taken_at: Instant) -> Self {
        let shared = Arc::new(Shared {
            cloud,
            fence,
            length,
            in_flight: Mutex::new(None),
            lost: CancellationToken::new(),
            ended: CancellationToken::new(),
        });
        let task = tokio::spawn(Arc::clone(&shared).beat(taken_at));
        let ended = shared.ended.clone().drop_guard();
        Self { shared, task, _ended: ended }
    }

    /// Keeps this message invisible from now on, and says at once that it is worked on.
    pub async fn carry(&self, in_flight: InFlight) {
        *self.shared.slot() = Some(in_flight.clone());
        let visible_for = in_flight.receipt.queue.visibility_secs();
        if self.shared.length.as_secs() == visible_for {
            self.shared.within_limit(self.shared.tell_it_lives(&in_flight)).await;
        } else {
            self.shared.keep(&in_flight).await;
        }
        if self.lost().is_cancelled() {
            in_flight.stopper.stop(Cut::FenceLost);
        }
    }

    /// Leaves the message alone from now on.
    pub fn put_down(&self) {
        *self.shared.slot() = None;
    }

    /// Cancelled when the claim is lost.
    pub fn lost(&self) -> &CancellationToken {
        &self.shared.lost
    }

    /// Ends the heartbeat; the claim itself is left as it is.
    pub async fn end(mut self) {
        self.shared.ended.cancel();
        if let Err(error) = (&mut self.task).await {
            tracing::error!(%error, "the heartbeat of a claim broke");
        }
    }
}

impl Shared {
    fn slot(&self) -> std::sync::MutexGuard<'_, Option<InFlight>> {
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Renewals are counted from the time of sending: an answer that took long confirms an old time.
    async fn beat(self: Arc<Self>, taken_at: Instant) {
        let every = (self.length / 3).min(HEARTBEAT);
        let mut confirmed = taken_at;
        let mut next = taken_at + every;
        loop {
            let give_up_at = confirmed + self.length - self.length / 6;
            tokio::select! {
                biased;
                () = self.ended.cancelled() => return,
                () = sleep_until(give_up_at) => return self.lose("it could not be renewed in time"),
                () = sleep_until(next) => {}
            }
            let sent_at = Instant::now();
            let in_flight = self.slot().clone();
            let renewed = tokio::select! {
                biased;
                () = self.ended.cancelled() => return,
                renewed = self.renew() => renewed,
                () = sleep_until(give_up_at) => return self.lose("no answer to its renewal"),
            };
            next = sent_at + every;
            match renewed {
                Ok(()) => confirmed = sent_at,
                Err(CloudError::FenceLost(_)) => return self.lose("somebody else has taken it over"),
                Err(error) => {
                    tracing::warn!(project.key = %self.fence.project_key, %error, "a claim could not be renewed and is tried again");
                    next = sent_at + self.length / 12;
                }
            }
            if let Some(in_flight) = in_flight {
                self.keep(&in_flight).await;
            }
        }
    }

    async fn renew(&self) -> common::cloud::Result<()> {
        self.cloud.claims.renew(&self.fence, &new_version(), self.cloud.clock.now()).await
    }

    /// Keeps the message and tells whoever waits; neither keeps the other waiting.
    async fn keep(&self, in_flight: &InFlight) {
        tokio::join!(
            self.within_limit(self.keep_message(in_flight)),
            self.within_limit(self.tell_it_lives(in_flight))
        );
    }

    async fn within_limit(&self, call: impl Future<Output = ()>) {
        if timeout(self.length / 6, call).await.is_err() {
            tracing::warn!(project.key = %self.fence.project_key, "a heartbeat got no answer in time");
        }
    }

    async fn keep_message(&self, in_flight: &InFlight) {
        if let Err(error) = self.cloud.queues.extend(&in_flight.receipt, self.length).await {
            tracing::warn!(project.key = %self.fence.project_key, %error, "the message in work could not be kept; it may be delivered once more");
        }
    }

    async fn tell_it_lives(&self, in_flight: &InFlight) {
        let Some(token) = &in_flight.task_token else { return };
        match self.cloud.callback.heartbeat(token).await {
            Ok(Heard::Yes) => {}
            Ok(Heard::NoLonger) => self.forget_token(token),
            Err(error) => tracing::warn!(%error, "a heartbeat could not be sent"),
        }
    }

    fn forget_token(&self, token: &str) {
        if let Some(in_flight) = self.slot().as_mut().filter(|it| it.task_token.as_deref() == Some(token)) {
            in_flight.task_token = None;
        }
    }

    fn lose(&self, why: &str) {
        tracing::warn!(project.key = %self.fence.project_key, epoch = %self.fence.epoch, "the claim is lost: {why}");
        self.lost.cancel();
        if let Some(in_flight) = self.slot().as_ref() {
            in_flight.stopper.stop(Cut::FenceLost);
        }
    }
}
