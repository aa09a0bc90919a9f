//! One conversation: one branch, one preview, and the message ids by which its mails are recognised.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::ids::{ProjectId, ProjectUser, ThreadId, UserId};
use super::names::{PreviewKey, RECORDS_KEPT};
use super::timestamp::Timestamp;

/// A row of the threads table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Thread {
    /// The conversation.
    pub thread_id: ThreadId,
    /// `projectId#userId`, the index by owner.
    pub project_key: ProjectUser,
    /// The site.
    pub project_id: ProjectId,
    /// The person.
    pub user_id: UserId,
    /// The subject of the first mail.
    pub subject: String,
    /// `thread-{id}`, or what a message named.
    pub branch: String,
    /// The unguessable part of the preview's address.
    pub preview_key: PreviewKey,
    /// When it began.
    pub created_at: Timestamp,
    /// When a mail or a result last touched it.
    pub last_activity: Timestamp,
    /// When an operator removed it: no mail leads to it any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed_at: Option<Timestamp>,
    /// Of one that was removed. Unix seconds; garbage collection only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<i64>,
}

impl Thread {
    /// When somebody last wrote on it, as far as that counts: nothing does that comes after its removal.
    pub fn written_at(&self) -> Timestamp {
        self.removed_at.map_or(self.last_activity, |removed| removed.min(self.last_activity))
    }
}

impl PreviewKey {
    /// The first 12 of a fresh UUID's 16 bytes would carry its version bits; two UUIDs are mixed so that all 96 bits are random.
    pub fn random() -> Self {
        let (a, b) = (Uuid::new_v4().into_bytes(), Uuid::new_v4().into_bytes());
        let mut bytes = [0; 12];
        bytes[..6].copy_from_slice(&a[10..]);
        bytes[6..].copy_from_slice(&b[10..]);
        Self::from_bytes(&bytes)
    }
}

/// Whether a mapped message came in, went out, or is only known by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// An owner wrote it.
    Inbound,
    /// We wrote it.
    Outbound,
    /// A mail referred to it before it came, if it ever comes.
    Mentioned,
}

/// A row of the thread-mappings table: which conversation a Message-ID belongs to, within one project+user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ThreadMapping {
    /// Whose conversation.
    pub project_key: ProjectUser,
    /// The id without angle brackets.
    pub message_id: String,
    /// The conversation.
    pub thread_id: ThreadId,
    /// In or out.
    pub direction: Direction,
    /// Unix seconds; garbage collection only.
    #[serde(default)]
    pub ttl: i64,
}

impl ThreadMapping {
    /// Nobody replies to a message after so long; a reply that comes even later is known by its address and by our own ids.
    pub const KEPT: Duration = RECORDS_KEPT;
}
