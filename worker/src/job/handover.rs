//! What one step hands to the next: data only, so that steps do not know each other.

use std::sync::Arc;

use common::domain::budget::Usage;
use common::domain::ids::CommandId;
use common::domain::site::SiteFile;

use super::output::Output;
use super::workspace::Workspace;
use crate::git::{Access, Oid};

/// A branch, ready to be worked on.
#[derive(Debug, Clone)]
pub struct Checkout {
    /// The folder.
    pub workspace: Workspace,
    /// How the remote is reached.
    pub access: Access,
    /// The branch.
    pub branch: String,
    /// Its tip before the agent runs.
    pub before: Oid,
    /// The newest commit up to there that is no unfinished work.
    pub newest: Oid,
    /// The commit that finished this command in an earlier run.
    pub finished: Option<Oid>,
    /// Commits of live releases that the branch goes on from.
    pub includes: Vec<String>,
    /// Commands whose kept work is on the branch now; it is on the remote with the next push.
    pub taken_over: Vec<CommandId>,
    /// Branches on the remote with commits of before that conflict with this one.
    pub aside: Vec<String>,
    /// Commands whose work was kept, as their session says, and is nowhere any more.
    pub gone: Vec<CommandId>,
}

impl Checkout {
    /// Where the branch stands with this commit on it: behind one that an earlier run finished, it may have gone on.
    pub fn tip(&self, commit: &Commit) -> Oid {
        if self.finished == Some(commit.id) { self.before } else { commit.id }
    }
}

/// What the agent says it did.
#[derive(Debug, Clone, Default)]
pub struct AgentReport {
    /// In its own words, for the owner.
    pub summary: String,
    /// Whether they end with a question, whose answer it has to know first.
    pub asks: bool,
    /// What it used.
    pub usage: Usage,
    /// Its session, to be resumed by the next run on the thread.
    pub session_id: Option<String>,
    /// Where its words lie among the objects.
    pub transcript_key: Option<String>,
}

/// A commit on the branch.
#[derive(Debug, Clone)]
pub struct Commit {
    /// Its id.
    pub id: Oid,
    /// What the source is with it.
    pub tree: Oid,
    /// Paths it touches.
    pub files: Vec<String>,
}

/// The built site.
#[derive(Debug, Clone)]
pub struct Site {
    /// The folder it lies in.
    pub output: Arc<Output>,
    /// Path on the site (with '/', no leading '/') and content, in order.
    pub files: Vec<(String, SiteFile)>,
}

/// Where our commit is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pushed {
    /// On the branch, under this id.
    There(Oid),
    /// Not on the branch, because the same lines were changed there.
    Conflict {
        /// The branch it is kept on.
        kept_on: String,
    },
}
