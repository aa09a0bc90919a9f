//! What the owner of a claim can do, in time or late.

use common::domain::claim::{Epoch, Fence};
use common::domain::timestamp::Timestamp;

use super::rules::{Adoption, LastLook};
use super::state::{Key, Life, Message, Phase, Row, State, Tenure, Worker};
use super::steps::{Kind, Steps, Wrong, fresh, owner, project_user};

impl Steps<'_> {
    pub(crate) fn own(&mut self, who: usize, tenure: Tenure) {
        let kind = if tenure.life == Life::Timely { Kind::Good } else { Kind::Other };
        match tenure.life {
            Life::Timely => {
                self.fault("an owner dies", |to| abandon(to, who, tenure, Worker::Idle));
                self.fault("an owner stops itself", |to| {
                    abandon(to, who, tenure, Worker::Looking(tenure.key));
                });
            }
            Life::Late => {
                let paused = self.from.workers.iter().filter(|it| it.is_late()).count();
                // When nobody else is left, somebody comes.
                let kind = if paused == self.rules.workers { Kind::Good } else { Kind::Other };
                self.add(kind, "a paused owner is killed", |to| abandon(to, who, tenure, Worker::Idle));
                self.add(Kind::Other, "a paused owner wakes and stops itself", |to| {
                    abandon(to, who, tenure, Worker::Looking(tenure.key));
                });
            }
        }
        if tenure.life == Life::Timely {
            self.fault("an owner is paused", |to| update(to, who, |it| it.life = Life::Late));
        }
        self.renew(who, tenure, kind);
        match tenure.phase {
            Phase::NoMessage => {
                self.release(who, tenure, kind);
                self.receive(who, tenure, kind);
            }
            Phase::Got => self.charge(who, tenure, kind),
            Phase::Charged => self.act(who, tenure, kind),
            Phase::Done => self.delete(who, tenure, kind),
        }
        if matches!(tenure.phase, Phase::Got | Phase::Charged) {
            self.add(Kind::Other, "a message is given back", |to| give_back(to, who, tenure));
        }
    }

    fn renew(&mut self, who: usize, tenure: Tenure, kind: Kind) {
        let row = self.record(tenure.key);
        if (self.rules.renew)(row.as_ref(), &fence(who, tenure), fresh(), Timestamp::default()).is_err() {
            return self.add(kind, "an owner learns that its claim is lost", |to| {
                abandon(to, who, tenure, Worker::Looking(tenure.key));
            });
        }
        self.add(kind, "a claim is renewed", |to| update(to, who, |it| it.life = Life::Timely));
    }

    fn release(&mut self, who: usize, tenure: Tenure, kind: Kind) {
        let key = tenure.key;
        let row = self.record(key);
        let then = match self.rules.last_look {
            LastLook::AfterTheRelease => Worker::Looking(key),
            LastLook::Never => Worker::Idle,
        };
        self.fault("a claim cannot be released", |to| abandon(to, who, tenure, then));
        match (self.rules.release)(row.as_ref(), &fence(who, tenure), fresh(), Timestamp::default()) {
            Ok(_) => self.add(kind, "a claim is released", |to| {
                to.keys[key].row = Row::Free;
                to.workers[who] = then;
            }),
            Err(_) => self.add(kind, "a release comes too late", |to| abandon(to, who, tenure, then)),
        }
    }

    fn receive(&mut self, who: usize, tenure: Tenure, kind: Kind) {
        let Message::Waiting { done } = self.from.keys[tenure.key].message else { return };
        let received = |to: &mut State| to.keys[tenure.key].message = Message::InFlight { done };
        self.fault("a message is received, the answer is lost", received);
        self.add(kind, "a message is received", |to| {
            received(to);
            let phase = if done { Phase::Done } else { Phase::Got };
            update(to, who, |it| (it.phase, it.receipt) = (phase, true));
        });
    }

    fn charge(&mut self, who: usize, tenure: Tenure, kind: Kind) {
        let newest = self.from.keys[tenure.key].newest;
        if !(self.rules.admits)(newest, tenure.epoch) {
            return self.add(kind, "a stale job is refused", |to| {
                abandon(to, who, tenure, Worker::Looking(tenure.key));
            });
        }
        self.accept(kind, "a job begins", tenure, |to| update(to, who, |it| it.phase = Phase::Charged));
    }

    fn act(&mut self, who: usize, tenure: Tenure, kind: Kind) {
        let Key { newest, message, .. } = self.from.keys[tenure.key];
        if !(self.rules.admits)(newest, tenure.epoch) {
            return self.add(kind, "a stale effect is refused", |to| {
                abandon(to, who, tenure, Worker::Looking(tenure.key));
            });
        }
        if matches!(message, Message::Waiting { done: true } | Message::InFlight { done: true }) {
            return match self.rules.adoption {
                Adoption::ByCommandId => self.add(kind, "an effect is there already and adopted", |to| {
                    update(to, who, |it| it.phase = Phase::Done);
                }),
                Adoption::Never => self.found.push((kind, "an effect is made", Err(Wrong::DoubleEffect))),
            };
        }
        let did = move |to: &mut State| {
            to.keys[tenure.key].message = match message {
                Message::InFlight { .. } => Message::InFlight { done: true },
                _ => Message::Waiting { done: true },
            };
        };
        self.accept(kind, "an effect is made", tenure, |to| {
            did(to);
            let phase = if tenure.receipt { Phase::Done } else { Phase::NoMessage };
            update(to, who, |it| it.phase = phase);
        });
        if let Some(faults) = self.one_more_fault() {
            self.accept(Kind::Other, "an effect is made, the answer is lost", tenure, |to| {
                to.faults = faults;
                did(to);
                give_back(to, who, tenure);
            });
        }
    }

    fn accept(&mut self, kind: Kind, says: &'static str, by: Tenure, change: impl FnOnce(&mut State)) {
        if by.epoch < self.from.keys[by.key].newest {
            return self.found.push((kind, says, Err(Wrong::StaleEffect)));
        }
        self.add(kind, says, |to| {
            to.keys[by.key].newest = by.epoch;
            change(to);
        });
    }

    fn delete(&mut self, who: usize, tenure: Tenure, kind: Kind) {
        self.add(kind, "a message is deleted", |to| {
            if tenure.receipt {
                to.keys[tenure.key].message = Message::None;
            }
            update(to, who, |it| (it.phase, it.receipt) = (Phase::NoMessage, false));
        });
        self.fault("a message cannot be deleted", |to| give_back(to, who, tenure));
    }
}

fn update(to: &mut State, who: usize, change: impl FnOnce(&mut Tenure)) {
    if let Worker::Owner(tenure) = &mut to.workers[who] {
        change(tenure);
    }
}

/// The worker no longer acts for the claim; the row is left as it is.
fn abandon(to: &mut State, who: usize, tenure: Tenure, then: Worker) {
    let key = &mut to.keys[tenure.key];
    if key.row == Row::Held && key.epoch == tenure.epoch {
        key.row = Row::HeldByNobody;
    }
    to.workers[who] = then;
}

fn give_back(to: &mut State, who: usize, tenure: Tenure) {
    if tenure.receipt {
        to.keys[tenure.key].message = to.keys[tenure.key].message.back();
    }
    update(to, who, |it| (it.phase, it.receipt) = (Phase::NoMessage, false));
}

fn fence(who: usize, tenure: Tenure) -> Fence {
    Fence { project_key: project_user(), owner: owner(who), epoch: Epoch(tenure.epoch.into()) }
}
