//! The one heartbeat of a claim, against doors that write down when they were called, on stepped time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use common::cloud::callback::{Callback, Errand, Heard};
use common::cloud::claims::{Claims, TakeAnswer};
use common::cloud::queue::{Delivery, Depth, Outgoing, Queues, Receipt};
use common::cloud::{Cloud, CloudError, Result};
use common::domain::claim::{ClaimRecord, ClaimVersion, Epoch, Fence, Take};
use common::domain::ids::{Owner, ProjectUser, WorkerId};
use common::domain::names::Queue;
use common::domain::timestamp::Timestamp;
use support::World;
use tokio::time::{Instant, advance};
use worker::job::{Cut, Stopper};
use worker::lease::{InFlight, Lease};

const LEASE: Duration = Duration::from_secs(45);

/// What a door does from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Answers,
    Fails,
    Refuses,
    NeverAnswers,
}

/// Three doors that note the second of each call.
struct Doors {
    begun: Instant,
    claims: Mutex<Mood>,
    others: Mutex<Mood>,
    renewals: Mutex<Vec<u64>>,
    extensions: Mutex<Vec<(u64, Duration)>>,
    heartbeats: Mutex<Vec<u64>>,
}

impl Doors {
    fn now(&self) -> u64 {
        self.begun.elapsed().as_secs()
    }
}

async fn answer(mood: Mood) -> Result<()> {
    match mood {
        Mood::Answers => Ok(()),
        Mood::Fails => Err(CloudError::unavailable("a call", "no answer")),
        Mood::Refuses => Err(CloudError::FenceLost("x".into())),
        Mood::NeverAnswers => std::future::pending().await,
    }
}

#[async_trait]
impl Claims for Doors {
    async fn get(&self, _: &ProjectUser) -> Result<Option<ClaimRecord>> {
        unreachable!("the heartbeat reads nothing")
    }
    async fn take(&self, _: &ProjectUser, _: &Take) -> Result<TakeAnswer> {
        unreachable!("the heartbeat takes nothing")
    }
    async fn renew(&self, _: &Fence, _: &ClaimVersion, _: Timestamp) -> Result<()> {
        self.renewals.lock().unwrap().push(self.now());
        let mood = *self.claims.lock().unwrap();
        answer(mood).await
    }
    async fn release(&self, _: &Fence, _: &ClaimVersion, _: Timestamp) -> Result<()> {
        unreachable!("the heartbeat gives nothing back")
    }
    async fn free_lapsed(
        &self,
        _: &ProjectUser,
        _: &ClaimVersion,
        _: &ClaimVersion,
        _: Timestamp,
    ) -> Result<()> {
        unreachable!("the heartbeat frees nothing")
    }
    async fn held_by(&self, _: &WorkerId) -> Result<Vec<ClaimRecord>> {
        unreachable!("the heartbeat lists nothing")
    }
    async fn held(&self, _: usize) -> Result<Vec<ClaimRecord>> {
        unreachable!("the heartbeat lists nothing")
    }
}

#[async_trait]
impl Queues for Doors {
    async fn send(&self, _: &Queue, _: Outgoing) -> Result<String> {
        unreachable!("the heartbeat sends nothing")
    }
    async fn receive(&self, _: &Queue, _: usize, _: Duration) -> Result<Vec<Delivery>> {
        unreachable!("the heartbeat receives nothing")
    }
    async fn extend(&self, _: &Receipt, visibility: Duration) -> Result<()> {
        self.extensions.lock().unwrap().push((self.now(), visibility));
        let mood = *self.others.lock().unwrap();
        answer(mood).await
    }
    async fn delete(&self, _: &Receipt) -> Result<()> {
        unreachable!("the heartbeat deletes nothing")
    }
    async fn remove_queue(&self, _: &Queue) -> Result<()> {
        unreachable!("the heartbeat removes nothing")
    }
    async fn depth(&self, _: &Queue) -> Result<Depth> {
        unreachable!("the heartbeat measures nothing")
    }
}

#[async_trait]
impl Callback for Doors {
    async fn success(&self, _: &str, _: &str) -> Result<Heard> {
        unreachable!("the heartbeat ends nothing")
    }
    async fn failure(&self, _: &str, _: &str, _: &str) -> Result<Heard> {
        unreachable!("the heartbeat ends nothing")
    }
    async fn heartbeat(&self, token: &str) -> Result<Heard> {
        self.heartbeats.lock().unwrap().push(self.now());
        let mood = *self.others.lock().unwrap();
        answer(mood).await?;
        Ok(if token == "expired" { Heard::NoLonger } else { Heard::Yes })
    }
    async fn hand_over(&self, _: &Errand) -> Result<()> {
        unreachable!("the heartbeat hands nothing over")
    }
}

struct Stage {
    doors: Arc<Doors>,
    cloud: Cloud,
    _world: World,
}

impl Stage {
    fn new() -> Self {
        let world = World::new();
        let doors = Arc::new(Doors {
            begun: Instant::now(),
            claims: Mutex::new(Mood::Answers),
            others: Mutex::new(Mood::Answers),
            renewals: Mutex::default(),
            extensions: Mutex::default(),
            heartbeats: Mutex::default(),
        });
        let cloud = Cloud {
            claims: doors.clone(),
            queues: doors.clone(),
            callback: doors.clone(),
            ..world.cloud.clone()
        };
        Self { doors, cloud, _world: world }
    }

    fn lease(&self, length: Duration) -> Lease {
        Lease::keep(self.cloud.clone(), fence(), length, Instant::now())
    }

    fn heartbeats(&self) -> Vec<u64> {
        self.doors.heartbeats.lock().unwrap().clone()
    }
}

fn fence() -> Fence {
    let owner = Owner { worker: "w-1".parse().unwrap(), nonce: "0000".parse().unwrap() };
    Fence { project_key: ProjectUser::parse("bakery#amelia").unwrap(), owner, epoch: Epoch(1) }
}

fn in_flight(token: &str) -> InFlight {
    let queue = Queue::Input(fence().project_key);
    InFlight {
        receipt: Receipt { queue, handle: "h".into() },
        task_token: Some(token.to_owned()),
        stopper: Stopper::default(),
    }
}

/// Lets time pass, second by second.
async fn pass(secs: u64) {
    for _ in 0..secs {
        advance(Duration::from_secs(1)).await;
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn s38_a_heartbeat_is_sent_at_once_and_at_least_every_30_s() {
    for length in [LEASE, Duration::from_hours(1)] {
        let stage = Stage::new();
        let lease = stage.lease(length);
        lease.carry(in_flight("token")).await;
        assert_eq!(stage.heartbeats(), [0], "at once");
        pass(121).await;
        let beats = stage.heartbeats();
        assert!(beats.windows(2).all(|pair| pair[1] - pair[0] <= 30), "{beats:?}");
        assert!(beats.last().unwrap() >= &90, "{beats:?}");
        let kept = stage.doors.extensions.lock().unwrap().clone();
        assert!(kept.len() >= 4 && kept.iter().all(|(_, visibility)| *visibility == length), "{kept:?}");
        lease.put_down();
        let so_far = stage.heartbeats().len();
        pass(60).await;
        assert_eq!(stage.heartbeats().len(), so_far, "nothing is in flight any more");
        lease.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn s40_a_token_that_nobody_waits_for_gets_one_heartbeat() {
    let stage = Stage::new();
    let lease = stage.lease(LEASE);
    let job = in_flight("expired");
    lease.carry(job.clone()).await;
    pass(100).await;
    assert_eq!(stage.heartbeats(), [0]);
    assert_eq!(job.stopper.stopped(), None, "the job goes on");
    lease.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_claim_whose_renewals_are_not_answered_is_lost_before_its_lease_is_over() {
    for mood in [Mood::NeverAnswers, Mood::Fails] {
        let stage = Stage::new();
        let lease = stage.lease(LEASE);
        let job = in_flight("token");
        lease.carry(job.clone()).await;
        pass(16).await;
        *stage.doors.claims.lock().unwrap() = mood;
        // The last confirmed renewal was sent at 15 s.
        pass(35).await;
        assert!(!lease.lost().is_cancelled(), "{mood:?} at {} s", stage.doors.now());
        pass(3).await;
        assert!(lease.lost().is_cancelled(), "{mood:?}: at 54 s, before 60 s");
        assert_eq!(job.stopper.stopped(), Some(Cut::FenceLost));
        lease.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn s36_a_renewal_that_is_refused_ends_the_claim_at_once() {
    let stage = Stage::new();
    *stage.doors.claims.lock().unwrap() = Mood::Refuses;
    let lease = stage.lease(LEASE);
    pass(16).await;
    assert!(lease.lost().is_cancelled());
    let late = in_flight("token");
    lease.carry(late.clone()).await;
    assert_eq!(late.stopper.stopped(), Some(Cut::FenceLost), "nothing is begun any more");
    lease.end().await;
}

#[tokio::test(start_paused = true)]
async fn doors_that_hang_keep_neither_the_job_waiting_nor_the_claim_from_being_renewed() {
    let stage = Stage::new();
    *stage.doors.others.lock().unwrap() = Mood::NeverAnswers;
    let lease = stage.lease(LEASE);
    let begun = Instant::now();
    lease.carry(in_flight("token")).await;
    assert!(begun.elapsed() <= Duration::from_secs(8), "{:?}", begun.elapsed());
    pass(120).await;
    assert!(!lease.lost().is_cancelled());
    let renewals = stage.doors.renewals.lock().unwrap().clone();
    assert!(renewals.windows(2).all(|pair| pair[1] - pair[0] <= 24), "{renewals:?}");
    lease.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_its_owner_dropped_is_not_renewed_any_more() {
    let stage = Stage::new();
    drop(stage.lease(LEASE));
    pass(60).await;
    assert_eq!(*stage.doors.renewals.lock().unwrap(), [] as [u64; 0]);
}
