//! What a job is told, and the ways in which one of its steps can end badly.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use common::clock::Clock;
use common::cloud::CloudError;
use common::cloud::files::Files;
use common::domain::claim::Epoch;
use common::domain::ids::CommandId;
use common::domain::names::SiteTarget;
use common::domain::outcome::JobOutcome;
use common::domain::project::Project;
use common::domain::repo_url::RepoRules;
use common::domain::session::Session;
use common::domain::site::Manifest;
use common::domain::timestamp::Timestamp;
use common::messages::Work;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use super::agent::{AgentCommand, Patience};
use super::build::LOCK_BEHIND;
use super::message::Identity;
use crate::config::ChildEnvironment;
use crate::git::{GitError, GitKind};
use crate::meter::Meter;
use crate::sandbox::Sandbox;
use crate::secrets::{Secret, Secrets};
use crate::text::plain_line;

/// Why a job is cut off before its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cut {
    /// The claim is lost: nothing may be done any more.
    FenceLost,
    /// The worker shuts down: the work is saved and goes back.
    Shutdown,
    /// Somebody stopped this job: the work is saved and that is its end.
    Stopped,
    /// This newer work goes first: the work is saved and runs again behind it.
    Interrupted(CommandId),
}

/// Cuts a job off; the first reason counts.
#[derive(Debug, Clone, Default)]
pub struct Stopper {
    token: CancellationToken,
    why: Arc<OnceLock<Cut>>,
}

impl Stopper {
    /// Cuts the job off.
    pub fn stop(&self, why: Cut) {
        self.why.get_or_init(|| why);
        self.token.cancel();
    }

    /// Why it was cut off, if it was.
    pub fn stopped(&self) -> Option<Cut> {
        self.why.get().cloned()
    }

    /// The token that children and waits end on.
    pub fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// What comes of this, unless the job is cut off and it has not ended so long after.
    pub async fn within<T>(&self, grace: Duration, work: impl Future<Output = T>) -> Result<T, Cut> {
        let is_over = async {
            self.token.cancelled().await;
            tokio::time::sleep(grace).await;
        };
        tokio::select! {
            biased;
            done = work => Ok(done),
            () = is_over => Err(self.stopped().unwrap_or(Cut::Stopped)),
        }
    }
}

/// The remote does not take what we bring, although we may write to it.
pub(super) const CHANGE_REFUSED: &str = "change-refused";
/// Longer words of a remote are cut.
const MAX_STATUS_CHARS: usize = 500;
/// What the source of a site can be mended of.
const FOR_THE_AGENT: [&str; 4] = ["build-checks", "build-failed", "install-failed", LOCK_BEHIND];

/// Asks whether the claim is still ours; called before effects that cannot be fenced.
pub type StillOurs = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = bool> + Send>> + Send + Sync>;

/// What is the same for all jobs of a worker.
#[derive(Debug, Clone)]
pub struct JobSettings {
    /// Where the folders of all project+users are.
    pub workspaces: PathBuf,
    /// How the agent is started.
    pub agent: AgentCommand,
    /// How long the agent may be silent.
    pub patience: Patience,
    /// Who commits.
    pub identity: Identity,
    /// Which repositories are allowed.
    pub repos: RepoRules,
    /// The token for git.
    pub git_token: Option<Secret>,
    /// What must not leave the worker.
    pub secrets: Secrets,
    /// What children see of the environment.
    pub environment: ChildEnvironment,
    /// What keeps them apart from the worker.
    pub sandbox: Sandbox,
}

/// Work on the thread that newer work interrupted before its end; its unfinished edits are on the branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Interrupted {
    /// This very work, in an earlier run.
    Itself,
    /// Another instruction, which is taken up again later.
    Another(String),
}

/// All that one job needs to know.
pub struct JobContext {
    /// The order.
    pub work: Work,
    /// The fence of every effect.
    pub epoch: Epoch,
    /// The project, when there is a row.
    pub project: Option<Project>,
    /// What was interrupted on the thread.
    pub interrupted: Vec<Interrupted>,
    /// The conversation so far: the agent's session to be resumed, and work that is kept for it among the objects.
    pub session: Option<Session>,
    /// What the agent has used, and what it may use.
    pub meter: Meter,
    /// Where the preview goes.
    pub target: SiteTarget,
    /// The live site, as it was when this job first looked.
    pub live: OnceCell<Option<Manifest>>,
    /// The same of the preview.
    pub shown: OnceCell<Option<Manifest>>,
    /// When somebody last wrote on the thread.
    pub written_at: Timestamp,
    /// The worker's settings.
    pub settings: Arc<JobSettings>,
    /// Objects and sites.
    pub files: Arc<dyn Files>,
    /// The time.
    pub clock: Clock,
    /// Cuts it off.
    pub stopper: Stopper,
    /// Whether the claim is still ours.
    pub still_ours: StillOurs,
}

/// A step that did not go well.
#[derive(Debug)]
pub enum Trouble {
    /// The job was cut off.
    Cut(Cut),
    /// The step failed.
    Failed(Failure),
}

/// A failed step: how the job ends by it, in words for the owner and for the operator.
#[derive(Debug, Clone)]
pub struct Failure {
    /// How the job ends.
    pub outcome: JobOutcome,
    /// A short name.
    pub code: &'static str,
    /// A sentence for the owner.
    pub owner_text: String,
    /// What was tried on what, for the operator.
    pub detail: String,
}

impl Failure {
    /// A failure.
    pub fn new(
        outcome: JobOutcome,
        code: &'static str,
        owner_text: impl Into<String>,
        detail: impl ToString,
    ) -> Self {
        Self { outcome, code, owner_text: owner_text.into(), detail: detail.to_string() }
    }

    /// Whether the agent may be able to mend it: what it made does not build, or must not be published. What is ours or the
    /// machine's never goes to it, nor what the project is set to.
    pub fn is_for_the_agent(&self) -> bool {
        self.outcome == JobOutcome::BuildFailed && FOR_THE_AGENT.contains(&self.code)
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<CloudError> for Trouble {
    fn from(error: CloudError) -> Self {
        match error {
            CloudError::FenceLost(_) => Self::Cut(Cut::FenceLost),
            error => Self::Failed(Failure::new(
                JobOutcome::Failed,
                "cloud",
                "Something on our side did not answer. Your wish is kept; please write again if you see no change.",
                error,
            )),
        }
    }
}

impl From<GitError> for Trouble {
    fn from(error: GitError) -> Self {
        let (outcome, code, text) = match error.kind {
            GitKind::NotFound => (
                JobOutcome::Refused,
                "repository-not-found",
                "The source of your site could not be found. Please check the repository address of the project.",
            ),
            GitKind::Denied => (
                JobOutcome::Refused,
                "repository-denied",
                "We are not allowed to change the source of your site. Please check the access we were given.",
            ),
            GitKind::Refused => {
                let text = format!(
                    "The place where the source of your site is kept did not take this change: {}. The change was put aside, \
                    and nothing goes on from it. Write again what you want without what is in the way, or ask whoever looks after your site.",
                    plain_line(error.detail(), MAX_STATUS_CHARS).trim_end_matches('.')
                );
                return Self::Failed(Failure::new(JobOutcome::Refused, CHANGE_REFUSED, text, error));
            }
            GitKind::Private => (
                JobOutcome::Refused,
                "repository-private",
                "The source of your site is at an address that we do not use. Please ask whoever runs this service.",
            ),
            GitKind::TooLarge => {
                let text = format!("This is more than we can take: {}. Nothing was changed.", error.detail());
                return Self::Failed(Failure::new(JobOutcome::Refused, "too-large", text, error));
            }
            GitKind::Hostile => (
                JobOutcome::Refused,
                "repository-hostile",
                "The source of your site has files that we may not touch.",
            ),
            GitKind::Machine => (
                JobOutcome::Failed,
                "machine",
                "Something on our side kept us from working on your site. Nothing was changed; please try again later.",
            ),
            GitKind::Unreachable | GitKind::Moved | GitKind::Corrupt | GitKind::Other => (
                JobOutcome::Failed,
                "repository-failed",
                "The source of your site could not be reached. Nothing was changed; please try again later.",
            ),
        };
        Self::Failed(Failure::new(outcome, code, text, error))
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use tokio::time::{Instant, sleep};

    use super::*;

    const GRACE: Duration = Duration::from_secs(3);

    #[tokio::test(start_paused = true)]
    async fn what_a_job_waits_for_ends_soon_after_it_is_cut_off() {
        let (stopper, begun) = (Stopper::default(), Instant::now());
        let cut_off = async {
            sleep(Duration::from_mins(1)).await;
            stopper.stop(Cut::Stopped);
            sleep(Duration::from_secs(2)).await;
            stopper.stop(Cut::Shutdown);
        };
        let (never, ()) = tokio::join!(stopper.within(GRACE, pending::<()>()), cut_off);
        assert_eq!((never, begun.elapsed().as_secs()), (Err(Cut::Stopped), 63));
        assert_eq!(stopper.within(GRACE, sleep(Duration::from_secs(2))).await, Ok(()), "it ends in time");
        assert_eq!(stopper.within(Duration::ZERO, ready(7)).await, Ok(7), "it had ended already");
        assert_eq!(stopper.within(Duration::ZERO, pending::<()>()).await, Err(Cut::Stopped));
    }
}
