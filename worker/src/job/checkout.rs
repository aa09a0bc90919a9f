//! The thread's branch in a clean working tree. One folder per project+user is kept warm between jobs; whatever an
//! earlier run left in it is saved on its own branch or cleaned away, and a damaged copy is made anew.

use std::path::Path;

use common::domain::ids::CommandId;
use common::domain::names;
use common::domain::outcome::JobOutcome;
use common::domain::repo_url::RepoUrl;
use git2::Repository;

use super::handover::Checkout;
use super::message::{self, Identity};
use super::rebase::{Rebased, rebase_without};
use super::renew::renew;
use super::repeated::repeated;
use super::workspace::Workspace;
use super::{Cut, Failure, JobContext, Trouble, sweep, tree};
use crate::git::{self, Access, Advertised, During as _, GitError, GitKind, Oid, off_thread};
use crate::secrets::Secrets;

/// Ignored folders that are kept from job to job.
const CACHES: [&str; 3] = ["node_modules", ".astro", ".cache"];
/// Where HEAD is before there is a checkout.
const NO_BRANCH: &str = "refs/heads/hermes-unborn";
/// How far back the commit of a command is looked for.
const HISTORY: usize = 200;

/// Prepares the branch of this work.
pub async fn prepare(context: &JobContext) -> Result<Checkout, Trouble> {
    let work = &context.work;
    let url = RepoUrl::parse(&work.repo_url, &context.settings.repos).map_err(|refused| {
        let text = "The source of your site is at an address that we do not use. Please ask whoever runs this service.";
        Failure::new(JobOutcome::Refused, "repository-refused", text, refused)
    })?;
    if !git2::Reference::is_valid_name(&format!("refs/heads/{}", work.branch_name())) {
        let text = "The request names a branch that cannot exist, so nothing was changed.";
        let detail = format!("{:?} is no name of a branch", work.branch_name());
        return Err(Failure::new(JobOutcome::Refused, "branch-refused", text, detail).into());
    }
    let folder = context.settings.workspaces.join(names::workspace(&work.project_user()));
    let workspace = Workspace::lock_folder(&folder).await.map_err(|error| {
        Failure::new(
            JobOutcome::Failed,
            "workspace",
            "We had no place to work on your site. Please try again later.",
            format!("lock a workspace at {}: {error}", folder.display()),
        )
    })?;
    let wanted = Wanted {
        access: Access { url, token: context.settings.git_token.clone() },
        branch: work.branch_name(),
        default_branch: context.project.as_ref().and_then(|project| project.default_branch.clone()),
        command: work.command_id.clone(),
        identity: context.settings.identity.clone(),
        secrets: context.settings.secrets.clone(),
    };
    let prepared = {
        // The lock goes along: work that outlives a cut job still holds the folder.
        let (workspace, wanted) = (workspace.clone(), wanted.clone());
        off_thread(move || wanted.prepare_or_renew(&workspace.repo()))
    };
    let (before, finished) = tokio::select! {
        prepared = prepared => prepared?,
        () = context.stopper.token().cancelled() => return Err(Trouble::Cut(Cut::Shutdown)),
    };
    Ok(Checkout { workspace, access: wanted.access, branch: wanted.branch, before, finished })
}

#[derive(Clone)]
struct Wanted {
    access: Access,
    branch: String,
    default_branch: Option<String>,
    command: CommandId,
    identity: Identity,
    secrets: Secrets,
}

type Prepared = (Oid, Option<Oid>);

impl Wanted {
    /// A damaged copy is put aside and made anew, once; so is one that fails in any other way of its own.
    fn prepare_or_renew(&self, path: &Path) -> git::Result<Prepared> {
        match self.prepare(path) {
            Err(error) if matches!(error.kind, GitKind::Corrupt | GitKind::Other) => {
                tracing::warn!(%error, folder = %path.display(), "a damaged checkout is put aside and made anew");
                renew(path, |path| self.prepare(path))
            }
            result => result,
        }
    }

    fn prepare(&self, path: &Path) -> git::Result<Prepared> {
        let repo = git::open_or_init(path)?;
        git::check_push_rights(&repo, &self.access)?;
        tree::leave_middle_of_anything(&repo)?;
        self.save_other_branch(&repo)?;
        let advertised = git::fetch(&repo, &self.access, |advertised| Some(self.source(advertised)?.0))?;
        let tip = self.tip(&repo, &advertised)?;
        let finished = find_finished(&repo, tip, &self.command)?;
        self.check_out(&repo, path, tip)?;
        Ok((tip, finished))
    }

    /// The remote branch to go on from: the thread's own, else the default branch.
    fn source(&self, advertised: &Advertised) -> Option<(String, Oid)> {
        let named = |name: String| advertised.branch(&name).map(|oid| (name, oid));
        named(self.branch.clone())
            .or_else(|| self.default_branch.clone().and_then(named))
            .or_else(|| advertised.default_branch().and_then(named))
    }

    /// Where the work starts: the remote branch, unless ours has commits that never got there.
    fn tip(&self, repo: &Repository, advertised: &Advertised) -> git::Result<Oid> {
        let ours = git::local_branch(repo, &self.branch);
        let (_, theirs) = self.source(advertised).ok_or_else(|| {
            let what = format!("choose a branch of {}", self.access.url);
            GitError::new(GitKind::NotFound, what, "it has neither the thread's branch nor a default branch")
        })?;
        match ours {
            None => Ok(theirs),
            Some(ours) if git::contains(repo, theirs, ours) => Ok(theirs),
            Some(ours) if git::contains(repo, ours, theirs) => Ok(ours),
            Some(ours) if advertised.branch(&self.branch).is_none() => Ok(ours),
            Some(ours) => self.join(repo, ours, theirs),
        }
    }

    /// Both sides have new commits: ours go on top, but for those of commands that were done over there meanwhile;
    /// when they cannot, they are kept on a branch of their own.
    fn join(&self, repo: &Repository, ours: Oid, theirs: Oid) -> git::Result<Oid> {
        let repeated = repeated(repo, ours, theirs)?;
        if repeated.differ {
            self.keep_aside(repo, ours)?;
        }
        match rebase_without(repo, ours, theirs, &self.identity.signature()?, &repeated.commits)? {
            Rebased::Onto(tip) => Ok(tip),
            Rebased::Conflict => self.keep_aside(repo, ours).map(|()| theirs),
        }
    }

    fn keep_aside(&self, repo: &Repository, ours: Oid) -> git::Result<()> {
        let kept = format!("refs/heads/{}-kept-{}", self.branch, &ours.to_string()[..8]);
        repo.reference(&kept, ours, true, "keep").during("keep commits that conflict")?;
        tracing::warn!(
            kept,
            "commits that never reached the remote do not go together with it and are kept aside"
        );
        Ok(())
    }

    /// What another thread's run left in the working tree is committed on that thread's branch.
    fn save_other_branch(&self, repo: &Repository) -> git::Result<()> {
        let Ok(head) = repo.head() else { return Ok(()) };
        let (Ok(branch), Some(tip)) = (head.shorthand(), head.target()) else { return Ok(()) };
        if branch == self.branch || !head.is_branch() {
            return Ok(());
        }
        let what = format!("save what was left on {branch}");
        let Some(tree) = tree::stage(repo, tip)? else { return Ok(()) };
        if let Some(path) = tree::secret_in(repo, &tree::diff(repo, Some(tip), tree)?, &self.secrets) {
            tracing::warn!(branch, path, "what was left holds a secret of this worker and is thrown away");
            return Ok(());
        }
        let (who, parent) = (self.identity.signature()?, repo.find_commit(tip).during(&what)?);
        let tree = repo.find_tree(tree).during(&what)?;
        repo.commit(head.name().ok(), &who, &who, &message::left_behind(), &tree, &[&parent])
            .during(&what)?;
        tracing::info!(branch, "unfinished work of another thread was saved on its branch");
        Ok(())
    }

    fn check_out(&self, repo: &Repository, path: &Path, tip: Oid) -> git::Result<()> {
        match tree::check_out(repo, &self.branch, tip, &CACHES) {
            Err(error) if error.kind == GitKind::Hostile => {
                // Leave nothing half checked out behind, and no branch whose files would seem to be deleted.
                repo.set_head(NO_BRANCH).during("leave a branch that may not be checked out")?;
                sweep::empty(path)?;
                Err(error)
            }
            result => result,
        }
    }
}

fn find_finished(repo: &Repository, tip: Oid, command: &CommandId) -> git::Result<Option<Oid>> {
    let what = "look for the commit of this command";
    let mut walk = repo.revwalk().during(what)?;
    walk.push(tip).during(what)?;
    for commit in walk.take(HISTORY).flatten() {
        let found = repo.find_commit(commit).during(what)?;
        if found.message().is_ok_and(|text| message::is_finished(text, command)) {
            return Ok(Some(commit));
        }
    }
    Ok(None)
}
