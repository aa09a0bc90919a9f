//! The built site read once: its contents are hashed, and what must not be in it is found.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use common::cloud::CloudError;
use common::cloud::files::At;
use common::domain::names::{self, ContentHash};
use common::domain::outcome::JobOutcome;
use common::domain::project::Build;
use common::domain::site::{Manifest, SiteFile};
use futures_util::stream::{self, StreamExt as _};
use tokio_util::sync::CancellationToken;

use super::checks::{Compared, Finding, MAX_TEXT_BYTES, OldPage, Reading, listed, storage_words, told};
use super::vanished::{self, Unnamed};
use super::{not_run, over_limit, packages};
use crate::git::{self, off_thread};
use crate::job::amount::{MAX_TREE_BYTES, MB};
use crate::job::handover::{Checkout, Commit, Site};
use crate::job::output::Output;
use crate::job::{Cut, Failure, JobContext, Stopper, Trouble, publish, tree};
use crate::secrets::Secrets;

/// Reading what was built and looking at it end after this; a site that takes longer is not published.
const LIMIT: Duration = Duration::from_mins(10);
/// Of the addresses in the source, so much is compared.
const MAX_OWN_BYTES: usize = 16 * 1024 * 1024;
/// Of what changed files said before, so much is looked at.
const MAX_OLD_TEXT_BYTES: usize = 16 * 1024 * 1024;
/// So many pages of before are asked for at once.
const OLD_PAGES_AT_ONCE: usize = 8;

/// Reads the output folder, and fails when it has what must not be published.
pub(super) async fn inspect(
    context: &JobContext,
    checkout: &Checkout,
    commit: &Commit,
    build: Build,
) -> Result<Site, Trouble> {
    let inspected = async {
        let (site, reading) = read(context, checkout, build).await?;
        check(context, checkout, commit, &site, reading).await?;
        Ok(site)
    };
    within(LIMIT, &context.stopper, inspected).await
}

/// The work, unless the job is cut off or the time is up before its end.
async fn within<T>(
    limit: Duration,
    stopper: &Stopper,
    work: impl Future<Output = Result<T, Trouble>>,
) -> Result<T, Trouble> {
    tokio::select! {
        done = work => done,
        () = stopper.token().cancelled() => Err(Trouble::Cut(stopper.stopped().unwrap_or(Cut::Stopped))),
        () = tokio::time::sleep(limit) => {
            let minutes = limit.as_secs() / 60;
            let detail = format!("the site was built, but looking through it took over {minutes} minutes; make it smaller");
            Err(over_limit(detail).into())
        }
    }
}

fn faulty(detail: String) -> Failure {
    let text = "Your change was made, but the site built with it has faults that visitors would see. \
        The site that was up stays up, and your change is kept.";
    Failure::new(JobOutcome::BuildFailed, "build-checks", text, detail)
}

fn not_fetched(pointers: &BTreeSet<String>) -> Failure {
    let text = "Your change was made, but pictures or other files of your site are kept in Git LFS, which we do not fetch: \
        visitors would not see them. The site that was up stays up, and your change is kept. \
        Please ask whoever looks after your site.";
    let detail =
        format!("files of the built site lie in Git LFS; keep them in git itself:{}", listed(pointers));
    Failure::new(JobOutcome::BuildFailed, "git-lfs", text, detail)
}

/// Blocking work that is told when nobody waits for it any more.
async fn beside<T: Send + 'static>(
    work: impl FnOnce(&CancellationToken) -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let unwanted = CancellationToken::new();
    let _waits = unwanted.clone().drop_guard();
    let done = tokio::task::spawn_blocking(move || work(&unwanted)).await;
    done.unwrap_or_else(|error| Err(error.to_string()))
}

fn still_wanted(unwanted: &CancellationToken) -> Result<(), String> {
    if unwanted.is_cancelled() { Err("nobody waits for it any more".to_owned()) } else { Ok(()) }
}

async fn read(context: &JobContext, checkout: &Checkout, build: Build) -> Result<(Site, Reading), Trouble> {
    let (repo, secrets, most) = (checkout.workspace.repo(), context.settings.secrets.clone(), most(context));
    let read = beside(move |unwanted| read_all(&repo, &build.output, &secrets, most, unwanted)).await;
    let read = read.map_err(|detail| {
        let text = "Your site was built, but the result could not be used. \
            The site that was up stays up, and your change is kept.";
        Failure::new(JobOutcome::BuildFailed, "build-output", text, detail)
    });
    let too_much =
        || over_limit(format!("the site was built, and has more than {} MB; make it smaller", most / MB));
    Ok(read?.ok_or_else(too_much)?)
}

/// A site may be as large as a source, but not larger than all that its build may have on the disk.
fn most(context: &JobContext) -> u64 {
    let disk = context.settings.sandbox.limits().map(|limits| limits.disk_bytes);
    disk.map_or(MAX_TREE_BYTES, |disk| disk.min(MAX_TREE_BYTES))
}

/// Nothing when it is more than so many bytes: a file of any length may take no room on the disk.
fn read_all(
    repo: &Path,
    output: &str,
    secrets: &Secrets,
    most: u64,
    unwanted: &CancellationToken,
) -> Result<Option<(Site, Reading)>, String> {
    let advice = "check build.output of the project";
    let folder = Output::open(repo, output)
        .map_err(|error| format!("the build made no folder {output:?} ({error}); {advice}"))?;
    let paths = folder.files().map_err(|error| format!("read the output folder {output:?}: {error}"))?;
    if paths.is_empty() {
        return Err(format!("the output folder {output:?} has no files; {advice}"));
    }
    let (mut reading, mut files) = (Reading::of(&paths), Vec::with_capacity(paths.len()));
    let mut left = most;
    for path in paths {
        still_wanted(unwanted)?;
        let bytes = folder.read(&path).map_err(|error| format!("read {path} of {output:?}: {error}"))?;
        let size_bytes = bytes.len() as u64;
        let Some(rest) = left.checked_sub(size_bytes) else { return Ok(None) };
        left = rest;
        reading.file(&path, &bytes, secrets);
        files.push((path, SiteFile { sha256: ContentHash::of(&bytes), size_bytes }));
    }
    Ok(Some((Site { output: Arc::new(folder), files }, reading)))
}

async fn check(
    context: &JobContext,
    checkout: &Checkout,
    commit: &Commit,
    site: &Site,
    mut reading: Reading,
) -> Result<(), Trouble> {
    if !reading.elsewhere.is_empty() {
        return Err(not_fetched(&reading.elsewhere).into());
    }
    if let Some(failure) = reading.folders.failure() {
        return Err(failure.into());
    }
    let plain = std::mem::take(&mut reading.plain);
    let mut findings = without_owners_own(checkout, plain).await?;
    if let Some(before) = before(context, checkout).await? {
        let touched = touched_since(checkout, commit, &before).await?;
        let gone = vanished::unexplained(&before, &reading.paths, &touched);
        let unnamed = unnamed(checkout, commit, &before, gone).await?;
        findings.extend(unnamed.into_iter().map(Finding::Vanished));
        findings.extend(links_newly_broken(context, before, site, reading).await?);
    }
    if findings.is_empty() { Ok(()) } else { Err(faulty(told(&findings)).into()) }
}

/// The site that this change was made on, as it was last put up: the thread's own preview, unless its commit is nowhere but
/// where the remote refused it, else the live site if it was built from an ancestor.
async fn before(context: &JobContext, checkout: &Checkout) -> Result<Option<Manifest>, Trouble> {
    if let Some(own) = readable(publish::shown(context).await)? {
        let (path, built_from) = (checkout.workspace.repo(), own.release.commit_id.clone());
        if off_thread(move || Ok(known(&git::open(&path)?, &built_from).is_some())).await? {
            return Ok(Some(own.clone()));
        }
    }
    let live = readable(publish::live(context).await)?;
    let Some(live) = live else { return Ok(None) };
    let (path, tip, built_from) =
        (checkout.workspace.repo(), checkout.before, live.release.commit_id.clone());
    let is_ancestor = off_thread(move || {
        let repo = git::open(&path)?;
        Ok(git::Oid::from_str(&built_from).is_ok_and(|old| git::contains(&repo, tip, old)))
    });
    Ok(is_ancestor.await?.then(|| live.clone()))
}

/// The source files that are others than in the commit that the site of before was built from, whoever changed them.
async fn touched_since(
    checkout: &Checkout,
    commit: &Commit,
    before: &Manifest,
) -> Result<Vec<String>, Trouble> {
    let (path, tree, ours) = (checkout.workspace.repo(), commit.tree, commit.files.clone());
    let built_from = before.release.commit_id.clone();
    let touched = move || {
        let repo = git::open(&path)?;
        let Some(old) = known(&repo, &built_from) else { return Ok(ours) };
        let changes = tree::diff(&repo, Some(old), tree)?;
        let paths = changes.deltas().flat_map(|delta| [delta.old_file().path(), delta.new_file().path()]);
        let paths = paths.flatten().map(|path| path.to_string_lossy().into_owned());
        Ok(paths.chain(ours).collect())
    };
    Ok(off_thread(touched).await?)
}

/// A commit that is here.
fn known(repo: &git2::Repository, commit: &str) -> Option<git::Oid> {
    git::Oid::from_str(commit).ok().filter(|id| repo.find_commit(*id).is_ok())
}

/// Of pages that are gone, those that no changed file named before it was changed.
async fn unnamed(
    checkout: &Checkout,
    commit: &Commit,
    before: &Manifest,
    gone: BTreeSet<String>,
) -> Result<BTreeSet<String>, Trouble> {
    if gone.is_empty() || vanished::are_too_many(&gone, before) {
        return Ok(gone);
    }
    let (path, tree, newest) = (checkout.workspace.repo(), commit.tree, checkout.before);
    let built_from = before.release.commit_id.clone();
    let looked = beside(move |unwanted| {
        let (mut unnamed, mut left) = (Unnamed::of(gone), MAX_OLD_TEXT_BYTES);
        let look = |path: &Path, text: &str| {
            // Lists of packages have words of all kinds.
            if !path.file_name().is_some_and(|name| packages::decides(&name.to_string_lossy())) {
                unnamed.look(&format!("{}\n{text}", path.file_stem().unwrap_or_default().display()));
                left = left.saturating_sub(text.len());
            }
            still_wanted(unwanted).is_ok() && left > 0 && !unnamed.is_empty()
        };
        let read = git::open(&path).and_then(|repo| {
            let old = known(&repo, &built_from).unwrap_or(newest);
            tree::each_text_before(&repo, &tree::diff(&repo, Some(old), tree)?, look)
        });
        read.map(|()| unnamed.pages()).map_err(|error| error.to_string())
    });
    looked.await.map_err(|detail| not_run(detail).into())
}

/// One that is up. One that cannot be read is told when it is to be replaced.
fn readable(read: Result<Option<&Manifest>, CloudError>) -> Result<Option<&Manifest>, Trouble> {
    match read {
        Ok(manifest) => Ok(manifest.filter(|manifest| !manifest.is_taken_down())),
        Err(CloudError::Invalid(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn links_newly_broken(
    context: &JobContext,
    before: Manifest,
    site: &Site,
    reading: Reading,
) -> Result<BTreeSet<Finding>, Trouble> {
    let before = Arc::new(before);
    let pages = stream::iter(reading.broken).map(|(page, broken)| {
        let before = Arc::clone(&before);
        async move {
            let old = old_page(context, &before, site, &page).await?;
            let compared = beside(move |_| Ok(Compared::of(&before, page, broken, &old)));
            compared.await.map_err(|detail| Trouble::from(not_run(detail)))
        }
    });
    let mut pages = pages.buffered(OLD_PAGES_AT_ONCE);
    let mut all = Compared::default();
    while let Some(compared) = pages.next().await {
        all.add(compared?);
        if all.is_enough() {
            break;
        }
    }
    Ok(all.findings())
}

async fn old_page(
    context: &JobContext,
    before: &Manifest,
    site: &Site,
    page: &str,
) -> Result<OldPage, Trouble> {
    let now = site.files.binary_search_by_key(&page, |(path, _)| path).ok();
    let old = match without_reading(before.files.get(page), now.map(|at| &site.files[at].1)) {
        Ok(known) => return Ok(known),
        Err(old) => old,
    };
    let at = At::object(names::release_key(context.target.project(), &old.sha256));
    Ok(context.files.get(&at).await?.map_or(OldPage::None, |content| OldPage::Other(content.bytes)))
}

/// A page of before where it is known without its content; else which content that is.
fn without_reading<'a>(old: Option<&'a SiteFile>, now: Option<&SiteFile>) -> Result<OldPage, &'a SiteFile> {
    let Some(old) = old else { return Ok(OldPage::None) };
    let is_same = now.is_some_and(|now| now.sha256 == old.sha256);
    if is_same || old.size_bytes > MAX_TEXT_BYTES as u64 { Ok(OldPage::Same) } else { Err(old) }
}

/// Addresses of storage that stood in the source before the change are the owner's own.
async fn without_owners_own(
    checkout: &Checkout,
    mut findings: BTreeSet<Finding>,
) -> Result<BTreeSet<Finding>, Trouble> {
    if !findings.iter().any(|finding| matches!(finding, Finding::Storage(..))) {
        return Ok(findings);
    }
    let (path, before) = (checkout.workspace.repo(), checkout.before);
    let keep = beside(move |unwanted| {
        let mut own = String::new();
        let look = |text: &str| {
            storage_words(text).for_each(|word| own.extend([word, "\n"]));
            still_wanted(unwanted).is_ok() && own.len() < MAX_OWN_BYTES
        };
        let read = git::open(&path).and_then(|repo| tree::each_text(&repo, before, look));
        read.map_err(|error| error.to_string())?;
        findings.retain(|finding| match finding {
            Finding::Storage(_, address) => still_wanted(unwanted).is_err() || !own.contains(address),
            Finding::Vanished(_) | Finding::Broken(..) | Finding::Crowded(_) | Finding::Secret(_) => true,
        });
        Ok(findings)
    });
    keep.await.map_err(|detail| not_run(detail).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Work that goes on until it is told that nobody wants it, and then says so.
    fn endless() -> (impl Future<Output = Result<(), Trouble>>, std::sync::mpsc::Receiver<()>) {
        let (ended, wait) = std::sync::mpsc::channel();
        let work = async move {
            let looks = beside(move |unwanted| {
                while still_wanted(unwanted).is_ok() {
                    std::thread::yield_now();
                }
                ended.send(()).map_err(|error| error.to_string())
            });
            looks.await.map_err(|detail| faulty(detail).into())
        };
        (work, wait)
    }

    #[test]
    fn a_site_of_files_that_take_no_room_on_the_disk_is_bounded_by_their_length() {
        let stand = tempfile::tempdir().unwrap();
        std::fs::create_dir(stand.path().join("dist")).unwrap();
        let is_read = |count: u64| {
            let path = stand.path().join("dist").join(count.to_string());
            std::fs::File::create(path).unwrap().set_len(MB).unwrap();
            let token = CancellationToken::new();
            read_all(stand.path(), "dist", &Secrets::default(), 3 * MB, &token).unwrap().is_some()
        };
        assert_eq!([1, 2, 3, 4].map(is_read), [true, true, true, false]);
    }

    #[test]
    fn a_page_of_before_that_is_too_large_to_read_is_not_taken_for_none() {
        let page = |text: &str, size_bytes| SiteFile { sha256: ContentHash::of(text.as_bytes()), size_bytes };
        let now = page("now", 3);
        let large = page("old", MAX_TEXT_BYTES as u64 + 1);
        for old in [&large, &now] {
            assert!(matches!(without_reading(Some(old), Some(&now)), Ok(OldPage::Same)));
        }
        assert!(without_reading(Some(&page("old", 3)), Some(&now)).is_err(), "it is to be read");
        assert!(matches!(without_reading(None, Some(&now)), Ok(OldPage::None)));
    }

    const LONG: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn looking_ends_when_its_time_is_up() {
        let (work, ended) = endless();
        let over = within(Duration::from_millis(10), &Stopper::default(), work).await.unwrap_err();
        assert!(matches!(over, Trouble::Failed(failure) if failure.detail.contains("took over")));
        ended.recv_timeout(LONG).unwrap();
    }

    #[tokio::test]
    async fn looking_ends_when_the_job_is_cut_off() {
        let ((work, ended), stopper) = (endless(), Stopper::default());
        let cut = stopper.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(10)).await;
            cut.stop(Cut::Shutdown);
        });
        let over = within(LONG, &stopper, work).await.unwrap_err();
        assert!(matches!(over, Trouble::Cut(Cut::Shutdown)));
        ended.recv_timeout(LONG).unwrap();
    }
}
