//! What can go wrong at a door, in words that hold for every cloud.

/// A failed call to the outside.
#[derive(Debug, thiserror::Error)]
pub enum CloudError {
    /// The thing is not there.
    #[error("{0} does not exist")]
    NotFound(String),
    /// The condition of a write did not hold: somebody else wrote first.
    #[error("{0} was changed by somebody else")]
    Conflict(String),
    /// The writer no longer owns the claim it acts under.
    #[error("the claim on {0} is no longer ours")]
    FenceLost(String),
    /// Not taken for now: too many calls, or whoever should take it says or shows that it does not. Nothing happened.
    #[error("not taken for now: {0}")]
    Throttled(String),
    /// No answer, or one that says that it may pass. Whether the call had its effect is not known.
    #[error("{what}: {reason}")]
    Unavailable {
        /// What was tried.
        what: String,
        /// What came back.
        reason: String,
    },
    /// The call cannot work as it is, ever.
    #[error("{0}")]
    Invalid(String),
}

impl CloudError {
    /// Something did not answer, or not now.
    pub fn unavailable(what: impl Into<String>, reason: impl std::fmt::Display) -> Self {
        Self::Unavailable { what: what.into(), reason: reason.to_string() }
    }

    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Throttled(_) | Self::Unavailable { .. })
    }
}

/// The result of a call to the outside.
pub type Result<T> = std::result::Result<T, CloudError>;
