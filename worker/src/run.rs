//! The one owner of this worker's state: which claims it holds and how they stand. It takes claims while there is room,
//! gives up idle ones for whoever waits, and ends everything at shutdown.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use backon::Retryable as _;
use common::checkpoint::{self, Point};
use common::cloud::queue::{Delivery, MAX_WAIT};
use common::cloud::{CloudError, Result};
use common::domain::claim::Fence;
use common::domain::container::ContainerStatus;
use common::domain::ids::{CommandId, ProjectUser};
use common::domain::names::Queue;
use common::messages::{Control, ControlAction, Interrupt, Order};
use tokio::sync::watch;
use tokio::task::{Id, JoinHandle, JoinSet};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::breaker::Breaker;
use crate::halfway;
use crate::interrupts;
use crate::job::{Cut, Stopper};
use crate::me::{Me, Receiving, hasty, last_of};
use crate::offers::{self, Verdict, Watched};
use crate::presence;
use crate::tenure::{Standing, Tenure};
use crate::tidy;
use crate::yielding::{self, Quiet};

/// An idle claim is given back within this, or the newcomer's request goes back.
const YIELD_LIMIT: Duration = Duration::from_secs(5);
/// How long receives that are under way may take to end at shutdown.
const LAST_RECEIVES: Duration = Duration::from_secs(1);
/// A request that could not be handled (a table does not answer) comes back after this.
const AFTER_TROUBLE: Duration = Duration::from_secs(5);

/// Works until shutdown.
pub async fn run(me: Arc<Me>) -> Result<()> {
    presence::begin(&me).await;
    // The first receive makes the queue; one answer that fails is no reason to end.
    let make = || async { me.cloud.queues.receive(&me.control_queue(), 1, Duration::ZERO).await };
    make.retry(hasty()).when(CloudError::is_retryable).await?;
    let mut desk = Desk::new(Arc::clone(&me));
    presence::say(&me, ContainerStatus::Running).await;
    tokio::spawn(presence::keep(Arc::clone(&me)));
    tokio::spawn(tidy::keep(Arc::clone(&me)));
    tokio::spawn(halfway::keep(Arc::clone(&me)));
    tracing::info!(worker.id = %me.owner.worker, "worker {} is ready and waiting for work", me.owner.worker);
    let mut orders = desk.receive(me.control_queue());
    let mut offers: Option<Receiving> = None;
    while !me.shutdown.is_cancelled() && !desk.is_drained() {
        desk.say_how_busy();
        if offers.is_none() && desk.wants_offers() {
            offers = Some(desk.receive(Queue::Unclaimed));
        }
        tokio::select! {
            () = me.shutdown.cancelled() => {}
            () = me.changed.notified() => {}
            () = desk.breaker.pause() => {}
            Some(ended) = desk.running.join_next_with_id() => desk.forget(ended),
            received = arrival(&mut offers) => {
                offers = None;
                if let Some(delivery) = received {
                    desk.offer(&delivery).await;
                }
            }
            received = &mut orders => {
                if let Some(delivery) = received.unwrap_or(None) {
                    desk.order(&delivery).await;
                }
                orders = desk.receive(me.control_queue());
            }
        }
    }
    me.shutdown.cancel();
    presence::say(&me, ContainerStatus::Draining).await;
    desk.close(offers).await;
    orders.abort();
    let removed = me.cloud.queues.remove_queue(&me.control_queue()).await;
    if removed.is_ok() {
        // Without this word the sweep removes the queue.
        presence::say(&me, ContainerStatus::Terminated).await;
    }
    removed
}

/// What the receive brings; never, when there is none.
async fn arrival(receiving: &mut Option<Receiving>) -> Option<Delivery> {
    match receiving {
        Some(receiving) => receiving.await.unwrap_or(None),
        None => std::future::pending().await,
    }
}

struct Held {
    asked: CancellationToken,
    standing: watch::Receiver<Standing>,
}

impl Held {
    /// What stops this job, if it runs under this claim.
    fn runs(&self, command: &CommandId) -> Option<Stopper> {
        match &*self.standing.borrow() {
            Standing::Busy(Some((running, stopper))) if running == command => Some(stopper.clone()),
            Standing::Busy(_) | Standing::Idle(_) => None,
        }
    }
}

/// What the worker is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Duty {
    /// Taking claims and working for them.
    Serving,
    /// Ending what it has.
    Draining,
}

struct Desk {
    me: Arc<Me>,
    held: HashMap<ProjectUser, Held>,
    keys: HashMap<Id, ProjectUser>,
    duty: Duty,
    running: JoinSet<JoinHandle<()>>,
    last_looks: JoinSet<()>,
    watched: Watched,
    breaker: Breaker,
}

impl Desk {
    fn new(me: Arc<Me>) -> Self {
        Self {
            me,
            held: HashMap::new(),
            keys: HashMap::new(),
            duty: Duty::Serving,
            running: JoinSet::new(),
            last_looks: JoinSet::new(),
            watched: Watched::default(),
            breaker: Breaker::default(),
        }
    }

    fn receive(&self, queue: Queue) -> Receiving {
        let me = Arc::clone(&self.me);
        tokio::spawn(async move { me.receive(&queue, MAX_WAIT).await })
    }

    /// With room, or with a claim that is not busy to give up for whoever waits.
    fn wants_offers(&self) -> bool {
        let serves = self.duty == Duty::Serving && self.breaker.lets_pass();
        serves && (self.has_room() || !self.quiet().is_empty())
    }

    fn is_drained(&self) -> bool {
        self.duty == Duty::Draining && self.held.is_empty()
    }

    fn has_room(&self) -> bool {
        self.held.len() < usize::from(self.me.claims.capacity)
    }

    /// The claims under which nothing runs.
    fn quiet(&self) -> Vec<Quiet> {
        let quiet = |(key, held): (&ProjectUser, &Held)| match *held.standing.borrow() {
            Standing::Idle(since) => Some(Quiet { key: key.clone(), since }),
            Standing::Busy(_) => None,
        };
        self.held.iter().filter_map(quiet).collect()
    }

    /// Tells whoever protects this worker from being ended.
    fn say_how_busy(&self) {
        let busy = self.held.len() - self.quiet().len();
        self.me.busy.send_if_modified(|known| std::mem::replace(known, busy) != busy);
    }

    async fn offer(&mut self, delivery: &Delivery) {
        if self.duty == Duty::Draining {
            return self.me.give_back(delivery, Duration::ZERO).await;
        }
        let handled = match offers::read(&self.me, delivery).await {
            Ok(Some(key)) if !self.held.contains_key(&key) => self.claim(&key).await,
            Ok(_) => Ok(Verdict::Satisfied),
            Err(error) => Err(error),
        };
        if handled.is_ok() {
            self.breaker.worked();
        }
        match handled {
            Ok(Verdict::Taken(fence, taken_at)) => {
                checkpoint::reach(Point::ClaimTaken).await;
                self.begin(fence, taken_at);
                self.drop_request(delivery).await;
            }
            Ok(Verdict::Satisfied) => self.drop_request(delivery).await,
            Ok(Verdict::Later(after)) => self.me.give_back(delivery, after).await,
            Err(error) => {
                tracing::warn!(%error, "a claim request could not be handled and comes back in a moment");
                let pause = self.breaker.failed();
                self.me.give_back(delivery, pause.max(AFTER_TROUBLE)).await;
            }
        }
    }

    /// Work of somebody this worker served last, offered before others hear of it: taken if there is room, else left to
    /// the request that follows on the unclaimed queue.
    async fn offered(&mut self, key: &ProjectUser) {
        if self.duty == Duty::Draining || self.held.contains_key(key) || !self.has_room() {
            return;
        }
        match self.watched.take(&self.me, key).await {
            Ok(Verdict::Taken(fence, taken_at)) => self.begin(fence, taken_at),
            Ok(Verdict::Satisfied | Verdict::Later(_)) => {}
            Err(error) => {
                tracing::info!(%error, project.key = %key, "work that was offered first could not be claimed; others are told in a moment");
            }
        }
    }

    async fn drop_request(&self, delivery: &Delivery) {
        if let Err(error) = self.me.delete(delivery).await {
            tracing::debug!(%error, "a claim request comes again and is dropped then");
        }
    }

    async fn claim(&mut self, key: &ProjectUser) -> Result<Verdict> {
        if !self.has_room() {
            if let Some(verdict) = self.watched.glance(&self.me, key).await? {
                return Ok(verdict);
            }
            if !self.make_room().await {
                return Ok(Verdict::Later(Duration::ZERO));
            }
        }
        self.watched.take(&self.me, key).await
    }

    /// Gives up the claim that is needed least.
    async fn make_room(&mut self) -> bool {
        let Some(key) = yielding::least_needed(&self.me, self.quiet()).await else { return false };
        tracing::info!(project.key = %key, "a claim under which nothing runs is given up because somebody else waits");
        if let Some(held) = self.held.get(&key) {
            held.asked.cancel();
        }
        let gone = async {
            while self.held.contains_key(&key)
                && let Some(ended) = self.running.join_next_with_id().await
            {
                self.forget(ended);
            }
        };
        timeout(YIELD_LIMIT, gone).await.ok();
        self.has_room()
    }

    fn begin(&mut self, fence: Fence, taken_at: Instant) {
        let key = fence.project_key.clone();
        tracing::info!(project.key = %key, epoch = %fence.epoch, "the claim is taken");
        let (standing, seen) = watch::channel(Standing::Busy(None));
        let asked = CancellationToken::new();
        let tenure = Tenure { me: Arc::clone(&self.me), fence, asked: asked.clone(), standing };
        let task = self.running.spawn(tenure.serve(taken_at));
        self.keys.insert(task.id(), key.clone());
        self.held.insert(key, Held { asked, standing: seen });
    }

    fn forget(&mut self, ended: std::result::Result<(Id, JoinHandle<()>), tokio::task::JoinError>) {
        let id = match ended {
            Ok((id, last_look)) => {
                self.last_looks.spawn(async move { last_look.await.unwrap_or_default() });
                id
            }
            Err(error) => {
                tracing::error!(%error, "the task of a claim broke; the claim lapses by itself");
                error.id()
            }
        };
        while self.last_looks.try_join_next().is_some() {}
        if let Some(key) = self.keys.remove(&id) {
            self.held.remove(&key);
        }
    }

    async fn order(&mut self, delivery: &Delivery) {
        match Order::parse(&delivery.body) {
            Ok(Order::Interrupt(interrupt)) => self.interrupt(&interrupt).await,
            Ok(Order::Control(control)) => self.obey(control).await,
            Ok(Order::Offer(request)) => self.offered(&request.project_user()).await,
            Err(malformed) => {
                tracing::warn!(reason = %malformed, "an order that cannot be read was thrown away");
            }
        }
        if let Err(error) = self.me.delete(delivery).await {
            tracing::warn!(%error, "an order comes again");
        }
    }

    /// Only the job that is meant, and only while the newer work still waits.
    async fn interrupt(&self, order: &Interrupt) {
        let key = ProjectUser::new(order.project_id.clone(), order.user_id.clone());
        let Some(held) = self.held.get(&key).filter(|held| held.runs(&order.command_id).is_some()) else {
            tracing::info!(command.id = %order.command_id, "an interrupt for a job that does not run here is ignored");
            return;
        };
        let Some(newer) = interrupts::newcomer(&self.me, order).await else { return };
        if let Some(stopper) = held.runs(&order.command_id) {
            stopper.stop(Cut::Interrupted(newer));
        }
    }

    async fn obey(&mut self, control: Control) {
        match control.action {
            ControlAction::Drain => self.drain().await,
            ControlAction::Release => {
                let meant = control.project_key.and_then(|key| self.held.get(&key));
                if let Some(held) = meant {
                    held.asked.cancel();
                }
            }
            ControlAction::StopJob => {
                let Some(command) = control.command_id else { return };
                for stopper in self.held.values().filter_map(|held| held.runs(&command)) {
                    stopper.stop(Cut::Stopped);
                }
            }
        }
    }

    /// Jobs run to their end and their claims are given back then; the last one ends the worker.
    async fn drain(&mut self) {
        self.duty = Duty::Draining;
        tracing::info!("the worker was told to end what it has and to take nothing new");
        self.held.values().for_each(|held| held.asked.cancel());
        presence::say(&self.me, ContainerStatus::Draining).await;
    }

    /// Waits for the claims to be given back; a request that arrived meanwhile goes back.
    async fn close(mut self, offers: Option<Receiving>) {
        let grace = self.me.claims.shutdown_grace();
        let ended = async {
            while let Some(ended) = self.running.join_next_with_id().await {
                self.forget(ended);
            }
        };
        if timeout(grace, ended).await.is_err() {
            tracing::warn!("not all jobs could be stopped in time; their claims lapse by themselves");
        }
        if let Some(receiving) = offers
            && let Some(delivery) = last_of(receiving, LAST_RECEIVES / 4).await
        {
            self.me.give_back(&delivery, Duration::ZERO).await;
        }
        let looked = async { while self.last_looks.join_next().await.is_some() {} };
        timeout(LAST_RECEIVES, looked).await.ok();
        self.last_looks.detach_all();
        tracing::info!("the worker ends; its claims are given back");
    }
}
