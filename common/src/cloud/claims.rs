//! The door to the ownership table. The rules are those of [`crate::domain::claim`]; a cloud restates them as conditional
//! writes, reads are consistent, and a lost answer is recognised by reading back.

use async_trait::async_trait;

use super::Result;
use crate::domain::claim::{ClaimRecord, ClaimVersion, Fence, Take};
use crate::domain::ids::{ProjectUser, WorkerId};
use crate::domain::timestamp::Timestamp;

/// What came of a take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TakeAnswer {
    /// The claim is ours, with this fence.
    Taken(Fence),
    /// A live owner holds it.
    Held(Box<ClaimRecord>),
}

/// The door.
#[async_trait]
pub trait Claims: Send + Sync {
    /// The row, read consistently.
    async fn get(&self, key: &ProjectUser) -> Result<Option<ClaimRecord>>;

    /// Takes the claim if the rule allows it.
    async fn take(&self, key: &ProjectUser, wanted: &Take) -> Result<TakeAnswer>;

    /// Renews it; [`super::CloudError::FenceLost`] when it is no longer ours.
    async fn renew(&self, fence: &Fence, version: &ClaimVersion, now: Timestamp) -> Result<()>;

    /// Gives it back; [`super::CloudError::FenceLost`] when it is no longer ours.
    async fn release(&self, fence: &Fence, version: &ClaimVersion, now: Timestamp) -> Result<()>;

    /// Sets a claim free whose version was watched unchanged for a lease; [`super::CloudError::FenceLost`] when it moved.
    async fn free_lapsed(
        &self,
        key: &ProjectUser,
        lapsed: &ClaimVersion,
        version: &ClaimVersion,
        now: Timestamp,
    ) -> Result<()>;

    /// The live claims of a worker (eventually consistent on AWS).
    async fn held_by(&self, worker: &WorkerId) -> Result<Vec<ClaimRecord>>;

    /// Live claims, at most `limit`, ordered by key (eventually consistent on AWS).
    async fn held(&self, limit: usize) -> Result<Vec<ClaimRecord>>;
}
