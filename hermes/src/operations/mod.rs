//! What an operator may do and see. HTTP and the command line call these functions and nothing else, so that both can do
//! the same and check the same.

pub mod dead_letters;
pub mod jobs;
pub mod mails;
mod pages;
pub mod preflight;
pub mod projects;
pub mod queues;
pub mod releases;
pub mod senders;
pub mod sessions;
pub mod suppressions;
pub mod threads;
pub mod workers;

use common::cloud::CloudError;
use common::cloud::store::Cursor;
use common::domain::ids::InvalidId;

/// The most entries of one page.
pub const MAX_PAGE: usize = 200;

/// Why an operation was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum OperationError {
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// What was asked for breaks a rule; the text says which and what to do.
    #[error("{0}")]
    Invalid(String),
    /// No page ended with this cursor.
    #[error(
        "the cursor is not one that a page of this list ended with ({0}); give the nextCursor of the page before, or none"
    )]
    BadCursor(String),
    /// A door did not do its part.
    #[error(transparent)]
    Cloud(#[from] CloudError),
}

impl OperationError {
    /// The failure to read a page: what a door says to be invalid is the cursor, since nothing else comes from outside.
    fn of_page(after: Option<&Cursor>, error: CloudError) -> Self {
        match (after, error) {
            (Some(_), CloudError::Invalid(reason)) => Self::BadCursor(reason),
            (_, error) => error.into(),
        }
    }
}

impl From<InvalidId> for OperationError {
    fn from(error: InvalidId) -> Self {
        Self::Invalid(error.to_string())
    }
}

/// The result of an operation.
pub type Result<T> = std::result::Result<T, OperationError>;

/// Whether a write made something new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// It was not there before.
    Created,
    /// It took the place of an earlier one.
    Replaced,
}

/// Which part of a long list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    /// At most so many entries.
    pub limit: usize,
    /// Where the page before ended.
    pub after: Option<Cursor>,
}

impl Slice {
    /// The first entries.
    pub fn first(limit: usize) -> Self {
        Self { limit: limit.clamp(1, MAX_PAGE), after: None }
    }

    /// From a limit and the cursor of the page before, as callers write them.
    pub fn new(limit: Option<usize>, cursor: Option<String>) -> Self {
        Self { after: cursor.map(Cursor), ..Self::first(limit.unwrap_or(50)) }
    }
}

/// Part of a long list.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Listed<T> {
    /// The entries.
    pub items: Vec<T>,
    /// Give it with the next call; none at the end.
    #[serde(rename = "nextCursor", skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}
