//! A project (a site with its repository and build) and the senders who may instruct it.

use serde::{Deserialize, Serialize};

use super::budget::Limits;
use super::ids::{EmailAddress, ProjectId, ProjectUser, UserId};
use super::language::Language;
use super::timestamp::Timestamp;

/// A row of the projects table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Project {
    /// The site.
    pub project_id: ProjectId,
    /// Where its source lives: `https://...`, or `file://...` on the local cloud.
    pub repo_url: String,
    /// The branch new threads start from; absent = what the remote's HEAD names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_branch: Option<String>,
    /// How the site is built.
    #[serde(default)]
    pub build: Build,
    /// When newer work may take the place of a running job.
    #[serde(default)]
    pub preempt: Preempt,
    /// Bounds of one run.
    #[serde(default)]
    pub limits: Limits,
    /// Whether a mail counts only when DMARC passed; else a DKIM signature or an SPF pass of the author's domain is enough
    /// where the domain has no DMARC policy.
    #[serde(default = "yes")]
    pub require_dmarc: bool,
    /// When the row was made.
    pub created_at: Timestamp,
    /// When it was last written.
    pub updated_at: Timestamp,
}

fn yes() -> bool {
    true
}

/// How a site is built: an argument vector (never a shell line) and where the result lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Build {
    /// Program and arguments.
    pub command: Vec<String>,
    /// The folder with the built site, relative to the repository.
    pub output: String,
}

impl Default for Build {
    fn default() -> Self {
        Self { command: ["npm", "run", "build"].map(String::from).to_vec(), output: "dist".into() }
    }
}

/// When newer work of the same owner may take the place of a running job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preempt {
    /// Work on another thread interrupts; work on the same thread waits its turn.
    #[default]
    OtherThread,
    /// Any newer work interrupts.
    Always,
    /// Nothing interrupts.
    Never,
}

/// What a sender may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// May instruct and publish.
    #[default]
    Owner,
    /// May instruct.
    Editor,
}

/// A row of the senders table: an address that stands for a user of a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sender {
    /// Who writes.
    pub address: EmailAddress,
    /// About which site.
    pub project_id: ProjectId,
    /// As which user.
    pub user_id: UserId,
    /// What they may do.
    #[serde(default)]
    pub role: Role,
    /// In which language they are answered; absent = as their mails tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<Language>,
    /// When the row was made.
    pub created_at: Timestamp,
}

impl Sender {
    /// The pair that a worker claims for this sender.
    pub fn project_user(&self) -> ProjectUser {
        ProjectUser::new(self.project_id.clone(), self.user_id.clone())
    }
}
