//! What is under test, as values, so that each rule can be broken on purpose.

use common::domain::claim::{self, ClaimRecord, ClaimVersion, Fence, Refused, Take};
use common::domain::ids::ProjectUser;
use common::domain::timestamp::Timestamp;

type Decided = Result<ClaimRecord, Refused>;
type Row<'a> = Option<&'a ClaimRecord>;

pub(crate) struct Rules {
    pub(crate) take: fn(&ProjectUser, Row<'_>, &Take) -> Decided,
    pub(crate) renew: fn(Row<'_>, &Fence, ClaimVersion, Timestamp) -> Decided,
    pub(crate) release: fn(Row<'_>, &Fence, ClaimVersion, Timestamp) -> Decided,
    pub(crate) free_lapsed: fn(Row<'_>, &ClaimVersion, ClaimVersion, Timestamp) -> Decided,
    /// Whether an effect under an epoch is accepted after one under the newest epoch.
    pub(crate) admits: fn(u8, u8) -> bool,
    pub(crate) adoption: Adoption,
    pub(crate) last_look: LastLook,
    pub(crate) sending: Sending,
    pub(crate) faults: Faults,
    pub(crate) sweeping: Sweeping,
    pub(crate) workers: usize,
    pub(crate) keys: usize,
}

/// Whether a worker that has given up a claim looks into its queue once more.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum LastLook {
    AfterTheRelease,
    Never,
}

/// What hermes does first.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sending {
    /// The work lies in its queue when the claim is read.
    ThenRead,
    /// The claim is read and believed while the work is sent.
    AfterTheRead,
}

/// What becomes of an effect whose command has had one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Adoption {
    /// Its `Command-Id` is found in the history.
    ByCommandId,
    Never,
}

/// How many failures a run may have: crashes, pauses, lost answers, failed calls.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Faults {
    AtMost(u8),
    Unlimited,
}

/// Whether hermes sweeps.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sweeping {
    Yes,
    No,
}

impl Rules {
    /// The very functions of the programs, in runs with a few failures.
    pub(crate) fn ours() -> Self {
        Self {
            take: claim::take,
            renew: claim::renew,
            release: claim::release,
            free_lapsed: claim::free_lapsed,
            admits: |newest, epoch| newest <= epoch,
            adoption: Adoption::ByCommandId,
            last_look: LastLook::AfterTheRelease,
            sending: Sending::ThenRead,
            faults: Faults::AtMost(2),
            sweeping: Sweeping::Yes,
            workers: 3,
            keys: 2,
        }
    }
}
