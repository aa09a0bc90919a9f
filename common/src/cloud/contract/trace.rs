//! Random traces of claim operations: a cloud and the pure rules of [`crate::domain::claim`] must answer alike, step by
//! step, and leave the same row.

use crate::cloud::CloudError;
use crate::cloud::claims::{Claims, TakeAnswer};
use crate::domain::claim::{self, ClaimRecord, ClaimVersion, Epoch, Fence, Refused, Take};
use crate::domain::ids::{Nonce, Owner, ProjectUser, WorkerId};
use crate::domain::timestamp::Timestamp;

const STEPS: usize = 12;

/// What a step was answered, in words that both sides have.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Taken(Fence),
    Held(Box<ClaimRecord>),
    Done,
    FenceLost,
}

enum Step {
    Take(Take),
    Renew(Fence, ClaimVersion),
    Release(Fence, ClaimVersion),
    FreeLapsed(ClaimVersion, ClaimVersion),
}

/// Small numbers from a seed (xorshift64*), so that a failing trace can be run again.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % sides
    }

    fn owner(&mut self) -> Owner {
        let (worker, nonce) = (format!("w{}", self.roll(3)), format!("000{}", self.roll(2)));
        Owner { worker: WorkerId::parse(&worker).unwrap(), nonce: Nonce::parse(&nonce).unwrap() }
    }

    fn version(&mut self) -> ClaimVersion {
        ClaimVersion::from_stored(format!("v{}", self.roll(6)))
    }

    /// The present version two times of three.
    fn seen(&mut self, row: Option<&ClaimRecord>) -> ClaimVersion {
        let other = self.version();
        row.filter(|_| self.roll(3) > 0).map_or(other, |row| row.version.clone())
    }

    /// The present owner's fence two times of three.
    fn fence(&mut self, key: &ProjectUser, row: Option<&ClaimRecord>) -> Fence {
        let other = (self.owner(), Epoch(self.roll(4)));
        let (owner, epoch) = row
            .filter(|_| self.roll(3) > 0)
            .and_then(|row| Some((row.owner.clone()?, row.epoch)))
            .unwrap_or(other);
        Fence { project_key: key.clone(), owner, epoch }
    }

    fn step(&mut self, key: &ProjectUser, row: Option<&ClaimRecord>) -> Step {
        match self.roll(5) {
            0 | 1 => Step::Take(Take {
                owner: self.owner(),
                version: self.version(),
                lapsed: (self.roll(2) == 0).then(|| self.seen(row)),
                lease_secs: self.roll(100),
                control_queue: (self.roll(2) == 0).then(|| "control".to_owned()),
                now: self.now(),
            }),
            2 => Step::Renew(self.fence(key, row), self.version()),
            3 => Step::Release(self.fence(key, row), self.version()),
            _ => Step::FreeLapsed(self.seen(row), self.version()),
        }
    }

    fn now(&mut self) -> Timestamp {
        Timestamp::from_millis(i64::try_from(self.roll(1 << 40)).unwrap())
    }
}

/// Plays one random trace on a key that nobody uses; a difference is a panic that names seed and step.
pub async fn play(claims: &dyn Claims, key: &ProjectUser, seed: u64) {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut model: Option<ClaimRecord> = None;
    for index in 0..STEPS {
        let step = dice.step(key, model.as_ref());
        let now = dice.now();
        let expected = rule(key, &mut model, &step, now);
        let said = cloud(claims, key, &step, now).await;
        assert_eq!(said, expected, "seed {seed}, step {index}");
        assert_eq!(claims.get(key).await.unwrap(), model, "seed {seed}, the row after step {index}");
    }
}

fn rule(key: &ProjectUser, model: &mut Option<ClaimRecord>, step: &Step, now: Timestamp) -> Said {
    let row = model.as_ref();
    let decided = match step {
        Step::Take(wanted) => claim::take(key, row, wanted),
        Step::Renew(fence, version) => claim::renew(row, fence, version.clone(), now),
        Step::Release(fence, version) => claim::release(row, fence, version.clone(), now),
        Step::FreeLapsed(lapsed, version) => claim::free_lapsed(row, lapsed, version.clone(), now),
    };
    match (decided, step) {
        (Err(Refused::Held(row)), _) => Said::Held(row),
        (Err(Refused::FenceLost), _) => Said::FenceLost,
        (Ok(row), Step::Take(wanted)) => {
            let epoch = row.epoch;
            *model = Some(row);
            Said::Taken(Fence { project_key: key.clone(), owner: wanted.owner.clone(), epoch })
        }
        (Ok(row), Step::Renew(..) | Step::Release(..) | Step::FreeLapsed(..)) => {
            *model = Some(row);
            Said::Done
        }
    }
}

async fn cloud(claims: &dyn Claims, key: &ProjectUser, step: &Step, now: Timestamp) -> Said {
    let done = match step {
        Step::Take(wanted) => {
            return match claims.take(key, wanted).await.unwrap() {
                TakeAnswer::Taken(fence) => Said::Taken(fence),
                TakeAnswer::Held(row) => Said::Held(row),
            };
        }
        Step::Renew(fence, version) => claims.renew(fence, version, now).await,
        Step::Release(fence, version) => claims.release(fence, version, now).await,
        Step::FreeLapsed(lapsed, version) => claims.free_lapsed(key, lapsed, version, now).await,
    };
    match done {
        Ok(()) => Said::Done,
        Err(CloudError::FenceLost(_)) => Said::FenceLost,
        Err(error) => panic!("{error}"),
    }
}
