//! What an environment needs to be there before it works: looked at, and made. On this machine that is nothing, for the
//! local cloud makes what it needs by itself.

use super::Result;
use crate::config::{CloudKind, CloudSettings};

/// What kind of thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A queue.
    Queue,
    /// A table.
    Table,
    /// A bucket.
    Bucket,
    /// A state machine.
    StateMachine,
}

impl Kind {
    /// Its name for people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Table => "table",
            Self::Bucket => "bucket",
            Self::StateMachine => "state machine",
        }
    }
}

/// How a thing stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// As it should be.
    Ready,
    /// Not there.
    Missing,
    /// There, but for this.
    Differs(String),
    /// It belongs to somebody else: it is left alone, and so is everything else.
    Foreign(String),
}

/// One thing of an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// How it stands.
    pub standing: Standing,
}

impl Item {
    /// Whether provisioning would do something about it.
    pub fn is_due(&self) -> bool {
        matches!(self.standing, Standing::Missing | Standing::Differs(_))
    }
}

/// How everything stands; nothing is changed.
#[cfg_attr(not(feature = "aws"), allow(clippy::unused_async, reason = "only AWS is waited for"))]
pub async fn look(settings: &CloudSettings) -> Result<Vec<Item>> {
    match settings.cloud {
        CloudKind::Local => Ok(Vec::new()),
        #[cfg(feature = "aws")]
        CloudKind::Aws => super::aws::provision::look(settings).await,
        #[cfg(not(feature = "aws"))]
        CloudKind::Aws => Err(super::built_without_aws()),
    }
}

/// Makes what is missing and mends what differs; the answer is how everything stood before. Nothing at all is done when one
/// thing is foreign.
#[cfg_attr(not(feature = "aws"), allow(clippy::unused_async, reason = "only AWS is waited for"))]
pub async fn make(settings: &CloudSettings) -> Result<Vec<Item>> {
    match settings.cloud {
        CloudKind::Local => Ok(Vec::new()),
        #[cfg(feature = "aws")]
        CloudKind::Aws => super::aws::provision::make(settings).await,
        #[cfg(not(feature = "aws"))]
        CloudKind::Aws => Err(super::built_without_aws()),
    }
}
