//! Every step that can happen in a state. Whatever changes a row is decided by the rules under test.

use common::domain::claim::{ClaimRecord, ClaimStatus, ClaimVersion, Epoch, Take};
use common::domain::ids::{Nonce, Owner, ProjectUser, WorkerId};
use common::domain::timestamp::Timestamp;

use super::rules::{Faults, Rules, Sending, Sweeping};
use super::state::{KEYS, Key, Life, Message, Phase, Row, State, Tenure, WORKERS, Worker};

/// Who or what makes a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The programs as they should run; such steps alone must lead out of every trouble.
    Good,
    /// New work, a wish of somebody, or a worker that was paused.
    Other,
}

/// What must never happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wrong {
    TwoLiveOwners,
    StaleEffect,
    DoubleEffect,
    Stranded,
}

pub(crate) type Step = (Kind, &'static str, Result<State, Wrong>);

/// All steps out of a state.
pub(crate) struct Steps<'a> {
    pub(crate) rules: &'a Rules,
    pub(crate) from: State,
    pub(crate) found: Vec<Step>,
}

impl<'a> Steps<'a> {
    pub(crate) fn of(rules: &'a Rules, from: State) -> Vec<Step> {
        let mut steps = Self { rules, from, found: Vec::new() };
        for key in KEYS {
            steps.hermes(key);
        }
        let busy = from.workers.iter().filter(|it| **it != Worker::Idle).count();
        for who in WORKERS {
            match from.workers[who] {
                Worker::Idle if busy >= rules.workers => {}
                Worker::Idle => KEYS.into_iter().for_each(|key| steps.offer(who, key)),
                Worker::Looking(key) => steps.look(who, key),
                Worker::Owner(tenure) => steps.own(who, tenure),
            }
        }
        steps.found
    }

    pub(crate) fn add(&mut self, kind: Kind, says: &'static str, change: impl FnOnce(&mut State)) {
        let mut to = self.from;
        change(&mut to);
        self.found.push((kind, says, Ok(to)));
    }

    /// A failure, if there may be one more.
    pub(crate) fn fault(&mut self, says: &'static str, change: impl FnOnce(&mut State)) {
        let Some(faults) = self.one_more_fault() else { return };
        self.add(Kind::Other, says, |to| {
            to.faults = faults;
            change(to);
        });
    }

    pub(crate) fn one_more_fault(&self) -> Option<u8> {
        match self.rules.faults {
            Faults::Unlimited => Some(0),
            Faults::AtMost(most) => Some(self.from.faults + 1).filter(|faults| *faults <= most),
        }
    }

    /// Keys are alike, so any may be the only one.
    fn may_use(&self, key: usize) -> bool {
        let unused = |key: usize| self.from.keys[key] == State::first().keys[0];
        !unused(key) || KEYS.into_iter().filter(|key| !unused(*key)).count() < self.rules.keys
    }

    fn hermes(&mut self, key: usize) {
        let it = self.from.keys[key];
        let held = matches!(it.row, Row::Held | Row::HeldByNobody);
        let live = self.from.has_live_owner(key);
        if self.may_use(key) && matches!(it.message, Message::None | Message::Waiting { done: true }) {
            self.send(key, held);
        }
        if it.unread {
            if !live {
                self.add(Kind::Good, "hermes announces it", |to| {
                    to.keys[key].unread = false;
                    to.keys[key].request = true;
                });
            }
            if held {
                self.add(Kind::Good, "hermes trusts the owner", |to| to.keys[key].unread = false);
            }
            self.fault("hermes dies before it reads the claim", |to| to.keys[key].unread = false);
        }
        if let Message::InFlight { .. } = it.message {
            let kept = self.from.tenures(key).any(|it| it.receipt && it.life == Life::Timely);
            let ends = |to: &mut State| {
                to.keys[key].message = it.message.back();
                to.void_receipts(key);
            };
            if kept {
                self.fault("a delivery could not be kept and becomes visible", ends);
            } else {
                self.add(Kind::Good, "a delivery becomes visible again", ends);
            }
        }
        if it.message.is_waiting_work() && self.rules.sweeping == Sweeping::Yes {
            if !held && !it.request {
                self.add(Kind::Good, "the sweep announces", |to| to.keys[key].request = true);
            }
            if held {
                self.free(key, &former());
            }
            if held && !live {
                self.free(key, &present());
            }
        }
    }

    fn send(&mut self, key: usize, held: bool) {
        let sent = Message::Waiting { done: false };
        match self.rules.sending {
            Sending::ThenRead => self.add(Kind::Other, "work is sent", |to| {
                (to.keys[key].message, to.keys[key].unread) = (sent, true);
            }),
            Sending::AfterTheRead if self.from.keys[key].trusted => {
                self.add(Kind::Other, "work is sent to the owner that was read", |to| {
                    (to.keys[key].message, to.keys[key].trusted) = (sent, false);
                });
            }
            Sending::AfterTheRead if held => {
                self.add(Kind::Other, "hermes reads an owner", |to| to.keys[key].trusted = true);
            }
            Sending::AfterTheRead => self.add(Kind::Other, "work is sent and announced", |to| {
                (to.keys[key].message, to.keys[key].request) = (sent, true);
            }),
        }
    }

    fn free(&mut self, key: usize, lapsed: &ClaimVersion) {
        let row = self.record(key);
        if (self.rules.free_lapsed)(row.as_ref(), lapsed, fresh(), Timestamp::default()).is_err() {
            return;
        }
        self.add(Kind::Good, "the sweep sets a claim free and announces", |to| {
            to.keys[key].row = Row::Free;
            to.keys[key].request = true;
        });
        self.fault("the sweep sets a claim free and does not know", |to| to.keys[key].row = Row::Free);
    }

    fn offer(&mut self, who: usize, key: usize) {
        let it = self.from.keys[key];
        if !it.request {
            return;
        }
        if it.message == Message::None {
            return self
                .add(Kind::Good, "a request without work is dropped", |to| to.keys[key].request = false);
        }
        if self.take(who, key, None) {
            return;
        }
        self.add(Kind::Good, "a request for a held claim is dropped", |to| to.keys[key].request = false);
        self.take(who, key, Some(former()));
        if !self.from.has_live_owner(key) {
            self.take(who, key, Some(present()));
        }
    }

    fn take(&mut self, who: usize, key: usize, lapsed: Option<ClaimVersion>) -> bool {
        let wanted = Take {
            owner: owner(who),
            version: fresh(),
            lapsed,
            lease_secs: 45,
            control_queue: None,
            now: Timestamp::default(),
        };
        let row = self.record(key);
        let Ok(taken) = (self.rules.take)(&project_user(), row.as_ref(), &wanted) else { return false };
        let epoch = u8::try_from(taken.epoch.0).unwrap();
        let written = |to: &mut State, row: Row| {
            to.keys[key] = Key { row, epoch, ..to.keys[key] };
            to.workers[who] = Worker::Idle;
        };
        self.add(Kind::Good, "a claim is taken", |to| {
            written(to, Row::Held);
            to.keys[key].request = false;
            let (life, phase) = (Life::Timely, Phase::NoMessage);
            to.workers[who] = Worker::Owner(Tenure { key, epoch, life, phase, receipt: false });
        });
        self.fault("a claim is taken, the answer is lost", |to| written(to, Row::HeldByNobody));
        true
    }

    fn look(&mut self, who: usize, key: usize) {
        let message = self.from.keys[key].message;
        self.add(Kind::Good, "a last look", |to| {
            to.workers[who] = Worker::Idle;
            to.keys[key].request |= matches!(message, Message::Waiting { .. });
        });
        self.fault("no last look", |to| to.workers[who] = Worker::Idle);
        if let Message::Waiting { done } = message {
            self.fault("the answer of the last look is lost", |to| {
                to.workers[who] = Worker::Idle;
                to.keys[key].message = Message::InFlight { done };
            });
        }
    }

    /// The row as the programs store it.
    pub(crate) fn record(&self, key: usize) -> Option<ClaimRecord> {
        let Key { row, epoch, .. } = self.from.keys[key];
        let holder = WORKERS.into_iter().find(
            |who| matches!(self.from.workers[*who], Worker::Owner(it) if it.key == key && it.epoch == epoch),
        );
        let (owner, status) = match row {
            Row::Absent => return None,
            Row::Free => (None, ClaimStatus::Free),
            Row::Held => (Some(owner(holder.unwrap_or(9))), ClaimStatus::Held),
            Row::HeldByNobody => (Some(owner(9)), ClaimStatus::Held),
        };
        Some(ClaimRecord {
            project_key: project_user(),
            owner,
            epoch: Epoch(epoch.into()),
            version: present(),
            lease_secs: 45,
            claimed_at: Timestamp::default(),
            last_activity: Timestamp::default(),
            status,
            control_queue: None,
        })
    }
}

/// What whoever has watched the row for a lease has seen.
fn present() -> ClaimVersion {
    ClaimVersion::from_stored("present".to_owned())
}

/// What somebody has watched for a lease before the row got its present version.
fn former() -> ClaimVersion {
    ClaimVersion::from_stored("former".to_owned())
}

pub(crate) fn fresh() -> ClaimVersion {
    ClaimVersion::from_stored("next".to_owned())
}

pub(crate) fn owner(who: usize) -> Owner {
    let worker = WorkerId::parse(&format!("w{who}")).unwrap();
    Owner { worker, nonce: Nonce::parse("0000").unwrap() }
}

pub(crate) fn project_user() -> ProjectUser {
    ProjectUser::parse("amelia#scott").unwrap()
}
