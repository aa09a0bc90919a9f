//! The thread's branch in a clean working tree. One folder per project+user is kept warm between jobs; whatever an
//! earlier run left in it is saved on its own branch or cleaned away, and a damaged copy is made anew.

mod joining;

use std::path::Path;

use bytes::Bytes;
use common::cloud::store::Store;
use common::domain::ids::CommandId;
use common::domain::names;
use common::domain::outcome::JobOutcome;
use common::domain::repo_url::RepoUrl;
use git2::Repository;

use self::joining::{Joined, Taken};
use super::base::Live;
use super::begun::Begun;
use super::commit::Base;
use super::handover::Checkout;
use super::message::{self, Identity};
use super::origin::{Origin, Standing};
use super::renew::{aside_of, leave, renew, settle};
use super::repeated::find_finished;
use super::room::holds_unpushed;
use super::save::Waiting;
use super::tree::TooMuch;
use super::workspace::{Workspace, agent_marker, built_marker, left_marker};
use super::{Cut, Failure, JobContext, Trouble, amount, bundle, publish, save, sweep, tree};
use crate::git::{self, Access, Advertised, During as _, GitError, GitKind, Oid, off_thread};
use crate::secrets::Secrets;

/// Ignored folders that are kept from job to job.
pub(super) const CACHES: [&str; 3] = ["node_modules", ".astro", ".cache"];
/// Where edits lie that their command has ended without.
pub(super) const ENDED: &str = "refs/hermes/kept/";
/// Where HEAD is before there is a checkout.
const NO_BRANCH: &str = "refs/heads/hermes-unborn";

/// Prepares the branch of this work.
pub async fn prepare(context: &JobContext, store: &dyn Store) -> Result<Checkout, Trouble> {
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
    let repo = workspace.repo();
    let begun = Begun::noted(&repo);
    let over = match &begun {
        Some(begun) => begun.is_over(store, left_marker(&repo).exists()).await?,
        None => false,
    };
    let (Waiting { bundles, gone }, live) = tokio::try_join!(save::waiting(context), live(context, &repo))?;
    let wanted = Wanted {
        kept: bundles,
        origin: Origin::new(&url, context.settings.sandbox.mode()),
        left_by: LeftBy { command: begun.map(|begun| begun.command), over },
        access: Access { url, token: context.settings.git_token.clone() },
        branch: work.branch_name(),
        live,
        default_branch: context.project.as_ref().and_then(|project| project.default_branch.clone()),
        output: made_by_build(context),
        command: work.command_id.clone(),
        identity: context.settings.identity.clone(),
        secrets: context.settings.secrets.clone(),
    };
    let prepared = {
        // The lock goes along: work that outlives a cut job still holds the folder.
        let (workspace, wanted) = (workspace.clone(), wanted.clone());
        off_thread(move || wanted.prepare_or_renew(&workspace.repo()))
    };
    let Prepared { before, newest, finished, includes, taken_over, aside } = tokio::select! {
        prepared = prepared => prepared?,
        () = context.stopper.token().cancelled() => return Err(Trouble::Cut(Cut::Shutdown)),
    };
    let Wanted { access, branch, .. } = wanted;
    Ok(Checkout { workspace, access, branch, before, newest, finished, includes, taken_over, aside, gone })
}

/// What somebody who was asked beside us says.
fn answer(asked: Option<std::thread::ScopedJoinHandle<'_, git::Result<()>>>) -> git::Result<()> {
    let died =
        |_| Err(GitError::new(GitKind::Other, "ask for the right to push", "the question was cut off"));
    asked.map_or(Ok(()), |asked| asked.join().unwrap_or_else(died))
}

/// A project without a build keeps its site in the source.
fn made_by_build(context: &JobContext) -> Option<String> {
    let build = context.project.as_ref().map(|project| project.build.clone()).unwrap_or_default();
    (!build.command.is_empty()).then_some(build.output)
}

/// What is live, unless the conversation went on from something here before and its preview tells from what.
async fn live(context: &JobContext, repo: &Path) -> Result<Option<Live>, Trouble> {
    let branch = repo.join(".git/refs/heads").join(context.work.branch_name());
    let is_known = branch.is_file() && matches!(publish::shown(context).await, Ok(Some(_)));
    if is_known { Ok(None) } else { Live::of(context).await }
}

#[derive(Clone)]
struct Wanted {
    kept: Vec<(CommandId, Bytes)>,
    origin: Origin,
    left_by: LeftBy,
    access: Access,
    branch: String,
    live: Option<Live>,
    default_branch: Option<String>,
    /// The folder that the build makes.
    output: Option<String>,
    command: CommandId,
    identity: Identity,
    secrets: Secrets,
}

/// Whose edits lie in the working tree that were never committed.
#[derive(Clone)]
struct LeftBy {
    /// As far as that was noted.
    command: Option<CommandId>,
    /// The command has ended without them.
    over: bool,
}

/// The branch as it stands in the folder.
struct Prepared {
    before: Oid,
    newest: Oid,
    finished: Option<Oid>,
    includes: Vec<String>,
    taken_over: Vec<CommandId>,
    aside: Vec<String>,
}

impl Wanted {
    /// Until the branch is there, what is noted beside the checkout stays: one that could not be made anew is back as it was.
    fn prepare_or_renew(&self, path: &Path) -> git::Result<Prepared> {
        settle(path)?;
        let prepared = self.prepare_in(path)?;
        for marker in [left_marker(path), built_marker(path), agent_marker(path)] {
            std::fs::remove_file(marker).ok();
        }
        Begun::forget(path);
        Ok(prepared)
    }

    /// A damaged copy is put aside and made anew, once; so is one that fails in any other way of its own, and one whose
    /// objects somebody else may have written. A copy of another repository makes way. Where this machine lacks something all
    /// stays as it is: another copy would need more of it.
    fn prepare_in(&self, path: &Path) -> git::Result<Prepared> {
        match self.origin.standing(path)? {
            Standing::Same => {}
            Standing::Untrusted => {
                tracing::info!(folder = %path.display(), "a checkout that was used without walls is made anew");
                if let Err(error) = git::open(path).and_then(|repo| self.save_left(&repo, path)) {
                    if error.kind == GitKind::Machine {
                        return Err(error);
                    }
                    tracing::warn!(%error, "what was left in it could not be saved on its branch");
                }
                return renew(path, |path| self.make(path));
            }
            Standing::Elsewhere => {
                tracing::info!(folder = %path.display(), url = %self.access.url, "a checkout of another repository makes way");
                leave(path, left_marker(path).exists() || holds_unpushed(path))?;
            }
        }
        match self.prepare(path) {
            Err(error) if matches!(error.kind, GitKind::Corrupt | GitKind::Other) => {
                tracing::warn!(%error, folder = %path.display(), "a damaged checkout is put aside and made anew");
                renew(path, |path| self.make(path))
            }
            result => result,
        }
    }

    /// In the copy that is there.
    fn prepare(&self, path: &Path) -> git::Result<Prepared> {
        let repo = self.open(path)?;
        self.save_left(&repo, path)?;
        std::fs::remove_file(left_marker(path)).ok();
        self.bring_up(&repo, path, &CACHES)
    }

    /// In a new copy: what is noted beside it is about the one before.
    fn make(&self, path: &Path) -> git::Result<Prepared> {
        self.bring_up(&self.open(path)?, path, &[])
    }

    fn open(&self, path: &Path) -> git::Result<Repository> {
        let repo = git::open_or_init(path)?;
        self.origin.note(path)?;
        tree::leave_middle_of_anything(&repo)?;
        Ok(repo)
    }

    /// The branch, with what the remote and the objects have of it, in the working tree; of all else only these caches stay.
    fn bring_up(&self, repo: &Repository, path: &Path, caches: &[&str]) -> git::Result<Prepared> {
        let advertised = self.fetch(repo, path)?;
        git::saw_ours(repo, &advertised)?;
        let taken_over = self.take_over(repo, &advertised);
        let (tip, kept_on) = match self.tip(repo, &advertised)? {
            Joined::Together(tip) => (tip, None),
            Joined::Apart(tip, kept_on) => (tip, Some(kept_on)),
        };
        let aside = self.push_aside(repo, &advertised)?;
        let finished = find_finished(repo, tip, &self.command)?;
        self.deepen_below(repo, &advertised, tip, finished)?;
        self.leave_built_out(repo, tip)?;
        self.check_out(repo, path, tip, caches)?;
        let newest = Base::from(repo, Some(tip))?.at.unwrap_or(tip);
        let includes = self.live.as_ref().map(|live| live.included(repo, tip)).unwrap_or_default();
        let taken_over = settled(taken_over, kept_on.as_ref(), &aside);
        Ok(Prepared { before: tip, newest, finished, includes, taken_over, aside })
    }

    /// Asks the remote for its branches and whether we may push, neither waiting for the other; only then anything is
    /// fetched.
    fn fetch(&self, repo: &Repository, path: &Path) -> git::Result<Advertised> {
        std::thread::scope(|scope| {
            let asked =
                scope.spawn(|| git::open(path).and_then(|repo| git::check_push_rights(&repo, &self.access)));
            let (mut asked, mut may_push) = (Some(asked), Ok(()));
            let advertised = git::fetch(repo, &self.access, |advertised| {
                may_push = answer(asked.take());
                may_push.as_ref().map(|()| self.sources(repo, advertised)).unwrap_or_default()
            });
            may_push.and_then(|()| answer(asked)).and(advertised)
        })
    }

    /// The remote branch to go on from: the thread's own, else the default branch.
    fn source(&self, advertised: &Advertised) -> Option<(String, Oid)> {
        let named = |name: String| advertised.branch(&name).map(|oid| (name, oid));
        named(self.branch.clone())
            .or_else(|| self.default_branch.clone().and_then(named))
            .or_else(|| advertised.default_branch().and_then(named))
    }

    /// The branches that are needed for that: for a new conversation, also the one whose change is live.
    fn sources(&self, repo: &Repository, advertised: &Advertised) -> Vec<String> {
        let live = self.live.as_ref().filter(|_| self.is_new(advertised));
        let live = live.and_then(|live| live.missing_branch(repo));
        self.source(advertised).map(|(name, _)| name).into_iter().chain(live).collect()
    }

    /// Whether the remote has nothing of the conversation.
    fn is_new(&self, advertised: &Advertised) -> bool {
        advertised.branch(&self.branch).is_none()
    }

    /// What another thread's run left in the working tree is committed on that thread's branch; so is what a run of this one
    /// left that was cut short, as a marker says. Anything else is what an attempt of this work began. Edits of a command that
    /// has ended without them come back on no branch that goes on: they are kept aside. What a build left is nothing.
    fn save_left(&self, repo: &Repository, path: &Path) -> git::Result<()> {
        let Ok(head) = repo.head() else { return Ok(()) };
        let (Ok(branch), Some(tip)) = (head.shorthand(), head.target()) else { return Ok(()) };
        let is_an_attempt = branch == self.branch && !left_marker(path).exists();
        if is_an_attempt || !head.is_branch() || built_marker(path).exists() {
            return Ok(());
        }
        let what = format!("save what was left on {branch}");
        self.leave_built_out(repo, tip)?;
        let tree = match tree::stage(repo, tip, TooMuch::LeftOut) {
            Err(error) if error.kind == GitKind::TooLarge => {
                tracing::warn!(branch, %error, "what was left is too much to be saved and is thrown away");
                return Ok(());
            }
            staged => staged?,
        };
        let Some(tree) = tree else { return Ok(()) };
        if let Some(found) = tree::secret_in(repo, &tree::diff(repo, Some(tip), tree)?, &self.secrets)? {
            tracing::warn!(branch, found, "what was left holds a secret and is thrown away");
            return Ok(());
        }
        let (who, parent) = (self.identity.signature()?, repo.find_commit(tip).during(&what)?);
        let tree = repo.find_tree(tree).during(&what)?;
        let LeftBy { command, over } = &self.left_by;
        let (text, onto) = (message::left_behind(command.as_ref()), head.name().ok().filter(|_| !over));
        let saved = repo.commit(onto, &who, &who, &text, &tree, &[&parent]).during(&what)?;
        if *over {
            return keep_ended(repo, branch, saved);
        }
        tracing::info!(branch, "unfinished work of an earlier run was saved on its branch");
        Ok(())
    }

    /// What the build makes stays out of commits, unless the owner keeps it in the source.
    fn leave_built_out(&self, repo: &Repository, tip: Oid) -> git::Result<()> {
        let source = repo.find_commit(tip).and_then(|commit| commit.tree());
        let source = source.during("look for what the build makes in the source")?;
        let made = self.output.as_deref().filter(|output| !tree::has(&source, output));
        git::exclude(repo, &made.and_then(git::folder_rule).unwrap_or_default())
    }

    fn check_out(&self, repo: &Repository, path: &Path, tip: Oid, caches: &[&str]) -> git::Result<()> {
        amount::check_source(repo, tip)?;
        // What lies here was saved, and half of it together with half of this is nobody's work; what is aside was not saved.
        if !aside_of(path).exists() {
            std::fs::write(built_marker(path), "").during("note that a branch is laid out")?;
        }
        match tree::check_out(repo, &self.branch, tip, caches) {
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

/// Whose kept work is needed among the objects no more: what conflicts stays there until its branch is on the remote.
fn settled(taken_over: Vec<Taken>, kept_on: Option<&String>, on_the_remote: &[String]) -> Vec<CommandId> {
    let is_there = |branch: Option<&String>| branch.is_none_or(|branch| on_the_remote.contains(branch));
    let settled =
        taken_over.into_iter().filter(|taken| is_there(kept_on) && is_there(taken.kept_on.as_ref()));
    settled.map(|taken| taken.command).collect()
}

/// The row of a job has these branches now: no later run has to tell of them.
pub(super) async fn forget_aside(checkout: &Checkout) {
    let Checkout { workspace, aside, .. } = checkout.clone();
    if aside.is_empty() {
        return;
    }
    let forgotten = off_thread(move || joining::forget(&git::open(&workspace.repo())?, &aside)).await;
    if let Err(error) = forgotten {
        tracing::warn!(%error, "a branch that its owner hears of is told once more by the next run");
    }
}

/// The branch as it is since the remote got what it lacked: what others pushed meanwhile is below that, or in its place.
pub(super) async fn as_pushed(checkout: &Checkout) -> Result<Checkout, Trouble> {
    let (mut now, workspace) = (checkout.clone(), checkout.workspace.clone());
    let look = move || {
        let repo = git::open(&workspace.repo())?;
        now.before = git::local_branch(&repo, &now.branch).unwrap_or(now.before);
        now.newest = Base::from(&repo, Some(now.before))?.at.unwrap_or(now.before);
        Ok(now)
    };
    Ok(off_thread(look).await?)
}

/// Edits of a command that has ended without them: beside all branches, so that they keep no folder from making room.
fn keep_ended(repo: &Repository, branch: &str, edits: Oid) -> git::Result<()> {
    let kept = format!("{ENDED}{branch}-{}", &edits.to_string()[..8]);
    repo.reference(&kept, edits, true, "keep").during("keep edits aside")?;
    tracing::warn!(kept, "edits of a command that has ended without them are kept aside");
    Ok(())
}

/// What the remote does not take is kept beside all branches, with what it goes on from and the remote has not got. The
/// branch is what the remote has of it again.
pub(super) fn give_up(checkout: &Checkout, tip: Oid) -> git::Result<()> {
    let (path, branch) = (checkout.workspace.repo(), &checkout.branch);
    let repo = git::open(&path)?;
    let back = bundle::newest_on_the_remote(&repo, checkout.before).during("look for what the remote has")?;
    keep_ended(&repo, branch, tip)?;
    // What lies in the working tree until then is no work that was left behind.
    std::fs::write(built_marker(&path), "").during("note that nothing is worth keeping")?;
    tree::check_out(&repo, branch, back, &CACHES)
}
