//! git as the steps need it, through libgit2 only: no git program, no hooks, no filters, no configuration of this
//! machine's users. Everything here blocks; steps call it through [`off_thread`].

mod address;
mod excluded;
mod line;
mod machine;
mod received;

use std::path::Path;
use std::time::Duration;

use common::domain::repo_url::RepoUrl;
pub use git2::Oid;
use git2::{
    Commit, Cred, Direction, ErrorClass, ErrorCode, PushOptions, RemoteCallbacks, RemoteRedirect, Repository,
    RepositoryInitOptions,
};
use tokio_util::sync::CancellationToken;

pub use self::excluded::{exclude, folder_rule};
pub use self::line::Line;
use crate::folders;
use crate::secrets::Secret;

/// Work with a remote that does not end is given up after this; its thread keeps the folder's lock until it has seen that.
const LIMIT: Duration = Duration::from_mins(10);
/// The user name that goes with a token.
const TOKEN_USER: &str = "x-access-token";
/// What every repository of ours is configured as; rewritten before each use, because an agent can write to the file.
/// Redirects are followed on the same host only: others would lead past the rules for repository URLs.
const CONFIG: &str = "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n\tlogallrefupdates = true\n\
    \texcludesFile = /dev/null\n\tattributesFile = /dev/null\n\
    [http]\n\tfollowRedirects = false\n";
/// Bytes are committed and checked out as they are, whatever `.gitattributes` says.
const ATTRIBUTES: &str = "* -text -eol -ident -filter\n";

/// What kind of thing went wrong; callers branch on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GitKind {
    /// There is no such repository.
    NotFound,
    /// It may not be read or written with the credentials we have.
    Denied,
    /// It may be written to, and does not take what we bring.
    Refused,
    /// No answer, or one that may pass.
    Unreachable,
    /// Our copy is damaged.
    Corrupt,
    /// This machine lacks room, open files or memory.
    Machine,
    /// The tree has entries that may not be checked out.
    Hostile,
    /// There is more of it than we take; the detail says of what.
    TooLarge,
    /// Its address is one that we do not connect to.
    Private,
    /// Somebody else moved the branch.
    Moved,
    /// Anything else.
    Other,
}

/// A git operation that failed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{what}: {detail}")]
pub struct GitError {
    /// What kind of thing went wrong.
    pub kind: GitKind,
    what: String,
    detail: String,
}

impl GitError {
    /// An error of our own making.
    pub fn new(kind: GitKind, what: impl Into<String>, detail: impl ToString) -> Self {
        Self { kind, what: what.into(), detail: detail.to_string() }
    }

    /// What was wrong, without what was tried.
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

/// The result of a git operation.
pub type Result<T> = std::result::Result<T, GitError>;

/// Names what was tried when libgit2 says no.
pub trait During<T> {
    /// With what was tried.
    fn during(self, what: impl Into<String>) -> Result<T>;
}

impl<T> During<T> for std::result::Result<T, git2::Error> {
    fn during(self, what: impl Into<String>) -> Result<T> {
        self.map_err(|error| GitError::new(kind_of(&error), what, error.message()))
    }
}

impl<T> During<T> for std::io::Result<T> {
    fn during(self, what: impl Into<String>) -> Result<T> {
        self.map_err(|error| {
            let kind = if machine::lacks(&error) { GitKind::Machine } else { GitKind::Other };
            GitError::new(kind, what, error)
        })
    }
}

fn kind_of(error: &git2::Error) -> GitKind {
    match (error.code(), error.class()) {
        _ if machine::made_fail(error) => GitKind::Machine,
        (_, ErrorClass::Http) if matches!(http_status(error), Some(401 | 403)) => GitKind::Denied,
        (_, ErrorClass::Http) if http_status(error) == Some(404) => GitKind::NotFound,
        (ErrorCode::Auth | ErrorCode::Certificate | ErrorCode::Owner, _) => GitKind::Denied,
        (ErrorCode::NotFastForward, _) => GitKind::Moved,
        (ErrorCode::HashsumMismatch, _)
        | (_, ErrorClass::Odb | ErrorClass::Zlib | ErrorClass::Index | ErrorClass::Indexer) => {
            GitKind::Corrupt
        }
        (ErrorCode::NotFound, ErrorClass::Os | ErrorClass::Repository) => GitKind::NotFound,
        (ErrorCode::Timeout | ErrorCode::Eof, _)
        | (_, ErrorClass::Net | ErrorClass::Http | ErrorClass::Ssl) => GitKind::Unreachable,
        (_, ErrorClass::Checkout | ErrorClass::Tree | ErrorClass::Filesystem) => GitKind::Hostile,
        _ => GitKind::Other,
    }
}

/// libgit2 tells the status of an answer that it did not expect in its message only, behind a colon.
fn http_status(error: &git2::Error) -> Option<u16> {
    error.message().rsplit_once(": ")?.1.trim().parse().ok()
}

/// Runs blocking git work beside the runtime. What it fetches ends soon after nobody waits for it any more.
pub async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let given_up = CancellationToken::new();
    let _waiting = given_up.clone().drop_guard();
    let work = move || received::until(given_up, work);
    match tokio::time::timeout(LIMIT, tokio::task::spawn_blocking(work)).await {
        Ok(Ok(result)) => result,
        Ok(Err(error)) => Err(GitError::new(GitKind::Other, "git work was cut off", error)),
        Err(_) => {
            let detail = format!("it did not end within {} minutes", LIMIT.as_secs() / 60);
            Err(GitError::new(GitKind::Unreachable, "git work", detail))
        }
    }
}

/// A remote repository and the right to use it.
#[derive(Debug, Clone)]
pub struct Access {
    /// Where it is.
    pub url: RepoUrl,
    /// Given to the host of the URL only, when it asks.
    pub token: Option<Secret>,
}

impl Access {
    fn is_local(&self) -> bool {
        self.url.local_path().is_some()
    }

    fn callbacks(&self) -> RemoteCallbacks<'_> {
        let mut callbacks = RemoteCallbacks::new();
        let mut asked = false;
        callbacks.credentials(move |url, _user, _allowed| match &self.token {
            Some(token) if !asked && same_host(url, self.url.as_str()) => {
                asked = true;
                Cred::userpass_plaintext(TOKEN_USER, token.expose())
            }
            Some(_) => Err(refusal("the token was not accepted")),
            None => Err(refusal("it asks for credentials and no GITHUB_TOKEN is set")),
        });
        callbacks
    }
}

fn refusal(reason: &str) -> git2::Error {
    git2::Error::new(ErrorCode::Auth, ErrorClass::Callback, reason)
}

fn same_host(asking: &str, ours: &str) -> bool {
    let host = |url: &str| url.split('/').nth(2).map(str::to_ascii_lowercase);
    host(asking).is_some() && host(asking) == host(ours)
}

/// The branches a remote has.
#[derive(Debug, Clone, Default)]
pub struct Advertised {
    branches: Vec<(String, Oid)>,
    default: Option<String>,
}

impl Advertised {
    fn read(heads: &[git2::RemoteHead<'_>]) -> Self {
        let short = |name: &str| name.strip_prefix("refs/heads/").map(str::to_owned);
        let branches =
            heads.iter().filter_map(|head| Some((short(head.name())?, head.oid()))).collect::<Vec<_>>();
        let head = heads.iter().find(|head| head.name() == "HEAD");
        let named = head.and_then(|head| head.symref_target()).and_then(short);
        let same = || head.and_then(|head| branches.iter().find(|(_, oid)| *oid == head.oid()));
        let default = named.or_else(|| same().map(|(name, _)| name.clone()));
        Self { branches, default }
    }

    /// Where a branch stands.
    pub fn branch(&self, name: &str) -> Option<Oid> {
        self.branches.iter().find(|(branch, _)| branch == name).map(|(_, oid)| *oid)
    }

    /// The branch that the remote's HEAD names, else `main` or `master`.
    pub fn default_branch(&self) -> Option<String> {
        let known = |name: &str| self.branch(name).map(|_| name.to_owned());
        self.default.clone().or_else(|| known("main")).or_else(|| known("master"))
    }
}

/// Opens the repository in a folder, or makes an empty one. Its configuration is ours again afterwards.
pub fn open_or_init(path: &Path) -> Result<Repository> {
    if has_history(path) {
        return open(path);
    }
    let mut options = RepositoryInitOptions::new();
    options.external_template(false).no_reinit(true).initial_head("hermes-unborn");
    Repository::init_opts(path, &options).during(format!("make a repository in {}", path.display()))?;
    open(path)
}

/// Whether a folder has a `.git`. Whoever worked in the folder may have shut it.
fn has_history(path: &Path) -> bool {
    folders::let_in(path).ok();
    path.join(".git").symlink_metadata().is_ok_and(|meta| meta.is_dir())
}

/// Whether this process hashes objects when it reads them, as libgit2 does unless it is told otherwise. What we fetched was
/// hashed then, and what rots on the disk is found by the checksums of its compression; but whoever can write to a
/// repository can put any bytes under any name.
pub fn verify_objects(yes: bool) {
    git2::opts::strict_hash_verification(yes);
}

/// Opens the repository in a folder, never one above it or elsewhere.
pub fn open(path: &Path) -> Result<Repository> {
    let git = path.join(".git");
    if !has_history(path) {
        return Err(GitError::new(GitKind::Corrupt, "open the checkout", ".git is not a folder"));
    }
    replace(&git.join("config"), CONFIG)?;
    std::fs::create_dir_all(git.join("info")).during("restore the folder .git/info")?;
    replace(&git.join("info").join("exclude"), &excluded::rules(path))?;
    replace(&git.join("info").join("attributes"), ATTRIBUTES)?;
    configured(path, &git.join("config")).map_err(|error| {
        let kind = if machine::made_fail(&error) { GitKind::Machine } else { GitKind::Corrupt };
        GitError::new(kind, "open the checkout", error.message())
    })
}

/// Goes by this configuration alone, whatever whoever runs us has set for themselves.
fn configured(path: &Path, config: &Path) -> std::result::Result<Repository, git2::Error> {
    let repo = Repository::open(path)?;
    repo.set_config(&git2::Config::open(config)?)?;
    repo.set_workdir(path, false)?;
    Ok(repo)
}

/// Writes a file where none, another or a link stood.
fn replace(path: &Path, text: &str) -> Result<()> {
    if path.symlink_metadata().is_ok_and(|meta| meta.is_file())
        && std::fs::read(path).is_ok_and(|now| now == text.as_bytes())
    {
        return Ok(());
    }
    std::fs::remove_file(path).ok();
    std::fs::write(path, text).during(format!("write {}", path.display()))
}

/// Asks the remote whether we may push, before anything is spent. Repositories of this machine are not asked.
pub fn check_push_rights(repo: &Repository, access: &Access) -> Result<()> {
    if access.is_local() {
        return Ok(());
    }
    let what = format!("ask {} for the right to push", access.url);
    address::check(&access.url)?;
    let mut remote = repo.remote_anonymous(access.url.as_str()).during(&what)?;
    let connection = remote.connect_auth(Direction::Push, Some(access.callbacks()), None).during(&what);
    connection.map(drop).map_err(|error| blame(error, repo))
}

/// Says that talking to a remote failed; our own copy is blamed only if it cannot be read.
fn blame(error: GitError, repo: &Repository) -> GitError {
    let kind = match error.kind {
        GitKind::Corrupt | GitKind::Hostile | GitKind::Moved | GitKind::Other if is_sound(repo) => {
            GitKind::Unreachable
        }
        GitKind::Hostile | GitKind::Moved | GitKind::Other => GitKind::Corrupt,
        kind @ (GitKind::Corrupt
        | GitKind::Machine
        | GitKind::TooLarge
        | GitKind::NotFound
        | GitKind::Denied
        | GitKind::Refused
        | GitKind::Private
        | GitKind::Unreachable) => kind,
    };
    GitError { kind, ..error }
}

/// Whether the tips of all our branches can be read.
fn is_sound(repo: &Repository) -> bool {
    let Ok(mut references) = repo.references() else { return false };
    references.all(|found| found.is_ok_and(|reference| reference.peel_to_tree().is_ok()))
}

/// Asks the remote for its branches and fetches those that `choose` names, as far as they are not here already.
pub fn fetch<B: IntoIterator<Item = String>>(
    repo: &Repository,
    access: &Access,
    choose: impl FnOnce(&Advertised) -> B,
) -> Result<Advertised> {
    fetch_branches(repo, access, received::MAX_BYTES, choose).map_err(|error| blame(error, repo))
}

fn fetch_branches<B: IntoIterator<Item = String>>(
    repo: &Repository,
    access: &Access,
    max_bytes: u64,
    choose: impl FnOnce(&Advertised) -> B,
) -> Result<Advertised> {
    let what = format!("fetch from {}", access.url);
    if access.url.local_path().is_some_and(|path| !path.exists()) {
        return Err(GitError::new(GitKind::NotFound, what, "there is no such folder on this machine"));
    }
    address::check(&access.url)?;
    let mut remote = repo.remote_anonymous(access.url.as_str()).during(&what)?;
    let mut connection =
        remote.connect_auth(Direction::Fetch, Some(access.callbacks()), None).during(&what)?;
    let advertised = Advertised::read(connection.list().during(&what)?);
    let mut specs = Vec::new();
    for branch in choose(&advertised) {
        match advertised.branch(&branch) {
            Some(tip) if repo.find_commit(tip).is_ok() => saw(repo, &branch, tip)?,
            Some(_) => specs.push(spec(&branch)),
            None => {}
        }
    }
    if !specs.is_empty() {
        received::fetch(access, &what, max_bytes, |options| {
            if !access.is_local() && has_nothing(repo) {
                options.depth(1);
            }
            connection.remote().fetch(&specs, Some(options), None)
        })?;
    }
    Ok(advertised)
}

fn spec(branch: &str) -> String {
    format!("+refs/heads/{branch}:refs/remotes/origin/{branch}")
}

/// Remembers where the remote has a branch: what is reachable from there need not be kept here.
fn saw(repo: &Repository, branch: &str, tip: Oid) -> Result<()> {
    let name = format!("refs/remotes/origin/{branch}");
    repo.reference(&name, tip, true, "seen on the remote").during(format!("remember {name}")).map(drop)
}

/// Remembers which of our branches the remote has as they are here: a copy that was made anew, and was given them by the one
/// before, has not seen that.
pub fn saw_ours(repo: &Repository, advertised: &Advertised) -> Result<()> {
    for (branch, tip) in &advertised.branches {
        if local_branch(repo, branch) == Some(*tip) && repo.find_commit(*tip).is_ok() {
            saw(repo, branch, *tip)?;
        }
    }
    Ok(())
}

/// Fetches a branch, or all that are called so, with all of its history.
pub fn fetch_whole(repo: &Repository, access: &Access, branch: &str) -> Result<()> {
    const UNSHALLOW: i32 = i32::MAX;
    fetch_history(repo, access, branch, UNSHALLOW)
}

/// The same with so many commits of it at most.
pub fn fetch_history(repo: &Repository, access: &Access, branch: &str, depth: i32) -> Result<()> {
    let what = format!("fetch the history of {branch} from {}", access.url);
    address::check(&access.url)?;
    let mut remote = repo.remote_anonymous(access.url.as_str()).during(&what)?;
    received::fetch(access, &what, received::MAX_BYTES, |options| {
        if !access.is_local() {
            options.depth(depth);
        }
        remote.fetch(&[spec(branch)], Some(options), None)
    })
}

/// Whether nothing was fetched into it yet. (What libgit2 calls empty depends on the name of the first branch.)
fn has_nothing(repo: &Repository) -> bool {
    repo.references().is_ok_and(|mut references| references.next().is_none())
}

/// Moves the remote branch forward to our commit; [`GitKind::Moved`] when it is not an ancestor of ours or moved in
/// between, [`GitKind::Refused`] when the remote just does not want it. Never forced: the remote compares the old place
/// with the one it told us.
pub fn push(repo: &Repository, access: &Access, commit: Oid, branch: &str) -> Result<()> {
    const LOCAL: &str = "refs/hermes/push";
    let what = format!("push {branch} to {}", access.url);
    address::check(&access.url)?;
    repo.reference(LOCAL, commit, true, "push").during(&what)?;
    let (mut rejected, mut place) = (None, None);
    let mut callbacks = access.callbacks();
    callbacks.push_negotiation(|updates| {
        place = updates.first().map(git2::PushUpdate::src);
        Ok(())
    });
    callbacks.push_update_reference(|_name, status| {
        rejected = status.map(str::to_owned);
        Ok(())
    });
    let mut options = PushOptions::new();
    options.remote_callbacks(callbacks).follow_redirects(RemoteRedirect::None);
    let mut remote = repo.remote_anonymous(access.url.as_str()).during(&what)?;
    remote.push(&[format!("{LOCAL}:refs/heads/{branch}")], Some(&mut options)).during(&what)?;
    drop(options);
    let Some(status) = rejected else { return saw(repo, branch, commit) };
    let now = advertised(repo, access)?.branch(branch).unwrap_or(Oid::ZERO_SHA1);
    let kind = if place == Some(now) { GitKind::Refused } else { GitKind::Moved };
    Err(GitError::new(kind, format!("{what}, which refused it"), status))
}

/// Asks the remote for its branches.
fn advertised(repo: &Repository, access: &Access) -> Result<Advertised> {
    let what = format!("ask {} for its branches", access.url);
    address::check(&access.url)?;
    let mut remote = repo.remote_anonymous(access.url.as_str()).during(&what)?;
    let connection = remote.connect_auth(Direction::Fetch, Some(access.callbacks()), None).during(&what)?;
    Ok(Advertised::read(connection.list().during(&what)?))
}

/// Where a local branch stands.
pub fn local_branch(repo: &Repository, branch: &str) -> Option<Oid> {
    repo.refname_to_id(&format!("refs/heads/{branch}")).ok()
}

/// The first parent of a commit, whether it is here or not.
pub fn first_parent(commit: &Commit<'_>) -> Option<Oid> {
    line::parents_as_written(commit).first().copied()
}

/// Whether `commit` is `other` or has it among its ancestors, as far as they are here.
pub fn contains(repo: &Repository, commit: Oid, other: Oid) -> bool {
    // Where a shallow copy ends, libgit2 fails.
    let by_walking = |_| {
        let since = repo.find_commit(other).map_or(i64::MAX, |other| other.time().seconds());
        Line::of(repo, commit, since).has(other)
    };
    commit == other || repo.graph_descendant_of(commit, other).unwrap_or_else(by_walking)
}
