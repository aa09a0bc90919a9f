//! What the model remembers: three workers and two keys. Epochs keep their order only, versions are the row's or
//! former ones, and states that differ by the names of workers and keys are one, so that the space is finite.

/// The epoch that a row has in a state in its normal form.
const TOP: u8 = 10;

/// The keys.
pub(crate) const KEYS: [usize; 2] = [0, 1];
/// The workers.
pub(crate) const WORKERS: [usize; 3] = [0, 1, 2];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct State {
    pub(crate) keys: [Key; 2],
    pub(crate) workers: [Worker; 3],
    /// How many failures there were, where they are counted.
    pub(crate) faults: u8,
}

/// One project+user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) row: Row,
    pub(crate) epoch: u8,
    pub(crate) message: Message,
    /// A claim request lies on the unclaimed queue.
    pub(crate) request: bool,
    /// hermes has sent the message and not yet read the claim.
    pub(crate) unread: bool,
    /// hermes has read that somebody owns it and will send work without a word (only where that rule is broken).
    pub(crate) trusted: bool,
    /// The newest epoch whose effect was accepted.
    pub(crate) newest: u8,
}

/// The row of the ownership table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Row {
    Absent,
    Free,
    /// By the tenure that has the row's epoch.
    Held,
    /// By somebody who does not know, or no longer lives.
    HeldByNobody,
}

/// The message of the key: the next one is sent when this one is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Message {
    None,
    Waiting { done: bool },
    InFlight { done: bool },
}

/// What a worker is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Worker {
    Idle,
    /// Has given a claim up and looks into its queue once more.
    Looking(usize),
    Owner(Tenure),
}

/// A claim as its worker sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Tenure {
    pub(crate) key: usize,
    pub(crate) epoch: u8,
    pub(crate) life: Life,
    pub(crate) phase: Phase,
    /// Whether its receipt of the message is still the latest.
    pub(crate) receipt: bool,
}

/// Whether the worker's own clock keeps it in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Life {
    /// It stops itself before a lease without a confirmed renewal has passed.
    Timely,
    /// It was paused, perhaps for longer than a lease, and goes on, or not, at any time.
    Late,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Phase {
    NoMessage,
    Got,
    /// The job's row is written under this epoch.
    Charged,
    /// The effect was accepted; the message is yet to be deleted.
    Done,
}

impl Worker {
    pub(crate) fn is_late(self) -> bool {
        matches!(self, Self::Owner(Tenure { life: Life::Late, .. }))
    }
}

impl Message {
    pub(crate) fn is_waiting_work(self) -> bool {
        matches!(self, Self::Waiting { done: false } | Self::InFlight { done: false })
    }

    /// Gives it back, if it is in flight.
    pub(crate) fn back(self) -> Self {
        match self {
            Self::InFlight { done } => Self::Waiting { done },
            other => other,
        }
    }
}

impl State {
    pub(crate) fn first() -> Self {
        let key = Key {
            row: Row::Absent,
            epoch: 0,
            message: Message::None,
            request: false,
            unread: false,
            trusted: false,
            newest: 0,
        };
        Self { keys: [key; 2], workers: [Worker::Idle; 3], faults: 0 }
    }

    pub(crate) fn tenures(&self, key: usize) -> impl Iterator<Item = Tenure> {
        self.workers.into_iter().filter_map(move |worker| match worker {
            Worker::Owner(tenure) if tenure.key == key => Some(tenure),
            _ => None,
        })
    }

    /// Whether somebody awake and in time holds the claim by the row: its version cannot be watched for a lease.
    pub(crate) fn has_live_owner(&self, key: usize) -> bool {
        let Key { row, epoch, .. } = self.keys[key];
        row == Row::Held && self.tenures(key).any(|it| it.epoch == epoch && it.life == Life::Timely)
    }

    /// Nobody works on this delivery any more; it comes back when its visibility ends.
    pub(crate) fn void_receipts(&mut self, key: usize) {
        for worker in &mut self.workers {
            if let Worker::Owner(tenure) = worker
                && tenure.key == key
            {
                tenure.receipt = false;
            }
        }
    }

    /// The one state that stands for all that differ by names and by the distance of epochs only.
    pub(crate) fn normal(mut self) -> Self {
        for key in KEYS {
            self.compress(key);
            // Without work a request is dropped, now or later.
            if !self.keys[key].message.is_waiting_work() {
                self.keys[key].request = false;
                self.keys[key].unread = false;
            }
        }
        let mut swapped = self;
        swapped.keys.swap(0, 1);
        for worker in &mut swapped.workers {
            match worker {
                Worker::Idle => {}
                Worker::Looking(key) | Worker::Owner(Tenure { key, .. }) => *key = 1 - *key,
            }
        }
        self.workers.sort_unstable();
        swapped.workers.sort_unstable();
        self.min(swapped)
    }

    /// Keeps the order of epochs; those below the newest effect are all alike: refused for ever.
    fn compress(&mut self, key: usize) {
        let Key { row: status, epoch: row, newest, .. } = self.keys[key];
        if status == Row::Absent {
            return;
        }
        let mut known: Vec<u8> = self.tenures(key).map(|it| it.epoch).filter(|it| *it >= newest).collect();
        known.extend([row, newest]);
        known.sort_unstable();
        known.dedup();
        let place = |epoch: u8| {
            let above = known.iter().filter(|it| **it > epoch).count();
            TOP - u8::try_from(above).unwrap()
        };
        for worker in &mut self.workers {
            if let Worker::Owner(tenure) = worker
                && tenure.key == key
            {
                tenure.epoch = place(tenure.epoch);
            }
        }
        self.keys[key].epoch = place(row);
        self.keys[key].newest = place(newest);
    }
}
