//! The built site at its target, by manifest: contents first (harmless), then the manifest on condition (here a stale
//! worker fails), then the pages, then the removals. Whoever finds a half-done publication finishes it first.

mod contents;
mod switch;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use common::checkpoint::{self, Point};
use common::cloud::files::{At, Etag, Files, IfMatch};
use common::cloud::{CloudError, Result as CloudResult};
use common::domain::claim::Epoch;
use common::domain::ids::{CommandId, UserId};
use common::domain::names::SiteTarget;
use common::domain::outcome::JobOutcome;
use common::domain::site::{KEPT_RELEASES, Manifest, ManifestState, Release, SiteFile};
use common::domain::timestamp::Timestamp;
use tokio::task::JoinSet;

pub(super) use self::contents::Contents;
use self::switch::Before;
use super::handover::{Checkout, Site};
use super::live::target;
use super::{Cut, Failure, JobContext, Trouble};

/// So many files are on their way at once.
const PARALLEL: usize = 32;
/// So often the manifest may be written by somebody else in between.
const MAX_CONFLICTS: usize = 5;

/// Publishes the site as a preview: the thread's, or the project's own; the time at which it was all in place.
pub async fn publish(
    context: &JobContext,
    checkout: &Checkout,
    site: &Site,
    commit_id: &str,
) -> Result<Timestamp, Trouble> {
    let publication = Publication::of(context, target(context.work.action, &context.target));
    let contents = Contents::of(site);
    let wanted = Wanted {
        release: release(context, commit_id),
        includes: checkout.includes.clone(),
        files: contents.files.clone(),
    };
    let put = publication.put_up(&contents, |shown| choose(&wanted, shown));
    unless_stopped(context, put).await?.map(|release| release.published_at).map_err(failure)
}

/// The live commits that a preview goes on from, with those that it was known to go on from before: the branch of a
/// conversation only goes forward, and a shallow copy does not tell them any more.
fn included(next: &Manifest, before: &Manifest) -> Vec<String> {
    let earlier = before.includes.iter().filter(|_| before.release.thread_id == next.release.thread_id);
    let all: BTreeSet<&String> = next.includes.iter().chain(earlier).collect();
    all.into_iter().cloned().collect()
}

/// What this very command put up in an earlier run stays as it is.
fn choose(wanted: &Wanted, shown: Option<&Manifest>) -> Choice<Release> {
    let is_it = |shown: &&Manifest| {
        let (there, ours) = (&shown.release, &wanted.release);
        (&there.command_id, &there.commit_id, &shown.files)
            == (&ours.command_id, &ours.commit_id, &wanted.files)
    };
    match shown.filter(is_it) {
        Some(shown) => Choice::Leave(shown.release.clone()),
        None => Choice::PutUp(wanted.clone()),
    }
}

/// The releases of the project's live site, the present one first.
pub(super) async fn live_releases(context: &JobContext) -> CloudResult<Vec<Release>> {
    let live = live(context).await?;
    Ok(live.into_iter().flat_map(|manifest| manifest.releases_since(made(context))).cloned().collect())
}

/// The live site as it was when this job first looked: what it was begun on.
pub(super) async fn live(context: &JobContext) -> CloudResult<Option<&Manifest>> {
    let live = SiteTarget::Live(context.target.project().clone());
    let read = async || present(context, live).await;
    context.live.get_or_try_init(read).await.map(Option::as_ref)
}

/// The same of the preview.
pub(super) async fn shown(context: &JobContext) -> CloudResult<Option<&Manifest>> {
    let read = async || present(context, context.target.clone()).await;
    context.shown.get_or_try_init(read).await.map(Option::as_ref)
}

async fn present(context: &JobContext, target: SiteTarget) -> CloudResult<Option<Manifest>> {
    let publication = Publication::of(context, target);
    Ok(publication.read(&publication.manifest_at()).await?.map(|(manifest, _)| manifest))
}

/// When the project was made: what was live before is the site of another one that had its name.
pub(super) fn made(context: &JobContext) -> Timestamp {
    context.project.as_ref().map(|project| project.created_at).unwrap_or_default()
}

/// A release that this job's command makes.
pub(super) fn release(context: &JobContext, commit_id: &str) -> Release {
    Release {
        number: 0,
        command_id: context.work.command_id.clone(),
        commit_id: commit_id.to_owned(),
        action: context.work.action,
        thread_id: Some(context.work.thread_id.clone()),
        user_id: Some(context.work.user_id.clone()),
        restores: None,
        replaces: None,
        published_at: context.clock.now(),
    }
}

/// Runs to its end unless the job is cut off; what is half done is finished by whoever comes next.
pub(super) async fn unless_stopped<T>(
    context: &JobContext,
    work: impl Future<Output = T>,
) -> Result<T, Trouble> {
    tokio::select! {
        done = work => Ok(done),
        () = context.stopper.token().cancelled() => {
            Err(Trouble::Cut(context.stopper.stopped().unwrap_or(Cut::Stopped)))
        }
    }
}

fn failure(error: CloudError) -> Trouble {
    match error {
        CloudError::FenceLost(_) => Trouble::Cut(Cut::FenceLost),
        error => failed(error).into(),
    }
}

fn failed(error: impl ToString) -> Failure {
    let text = "Your change was made and built, but the preview could not be put up. Your change is kept.";
    Failure::new(JobOutcome::PublishFailed, "publish-failed", text, error)
}

/// What is to be put up.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// By whom and from what; it gets its number when it takes its place.
    pub(super) release: Release,
    /// Commits of live releases that it goes on from.
    pub(super) includes: Vec<String>,
    /// Path to content.
    pub(super) files: BTreeMap<String, SiteFile>,
}

/// What to do about the manifest that is in place.
pub(super) enum Choice<L> {
    /// Put this in its place.
    PutUp(Wanted),
    /// Put the files of this earlier release in its place.
    Restore(u64, Release),
    /// Leave it.
    Leave(L),
}

/// What has to be done to get from one manifest to another.
#[derive(Debug, Default, PartialEq, Eq)]
struct Difference {
    /// Pages to write.
    changed: Vec<String>,
    /// Pages to delete.
    removed: Vec<String>,
}

impl Difference {
    fn between(before: Option<&Manifest>, wanted: &BTreeMap<String, SiteFile>) -> Self {
        let old = |path: &String| before.and_then(|manifest| manifest.files.get(path));
        let changed = wanted.iter().filter(|(path, file)| old(path) != Some(file)).map(|(path, _)| path);
        let kept = |path: &String| wanted.contains_key(path);
        let removed =
            before.into_iter().flat_map(|manifest| manifest.files.keys()).filter(|path| !kept(path));
        Self { changed: changed.cloned().collect(), removed: removed.cloned().collect() }
    }
}

/// One target and the fence under which this job may write to it.
#[derive(Clone)]
pub(super) struct Publication {
    files: Arc<dyn Files>,
    target: SiteTarget,
    /// Whose claim it is; nobody's for whoever only finishes what others began.
    user: Option<UserId>,
    epoch: Epoch,
    /// The command that publishes; none for whoever only finishes what others began.
    command: Option<CommandId>,
    /// Set before the first page is written or deleted.
    begun: Arc<AtomicBool>,
    /// Whether the manifest in place may be this command's: then its switch goes on, whoever does it.
    ours: Arc<AtomicBool>,
}

type Stored = (Manifest, Etag);

impl Publication {
    pub(super) fn of(context: &JobContext, target: SiteTarget) -> Self {
        Self {
            files: context.files.clone(),
            target,
            user: Some(context.work.user_id.clone()),
            epoch: context.epoch,
            command: Some(context.work.command_id.clone()),
            begun: Arc::default(),
            ours: Arc::default(),
        }
    }

    /// One that puts up nothing of its own.
    pub(super) fn of_others(files: Arc<dyn Files>, target: SiteTarget) -> Self {
        let (begun, ours) = (Arc::default(), Arc::default());
        Self { files, target, user: None, epoch: Epoch(0), command: None, begun, ours }
    }

    /// Whether pages may be on their way.
    pub(super) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    /// Whether the switch of this command has begun, as far as was seen, so that it goes on without it.
    pub(super) fn goes_on(&self) -> bool {
        self.ours.load(Ordering::Relaxed)
    }

    /// Whether what this command puts up is in place, or on its way there.
    pub(super) async fn has_put_up(&self, command: &CommandId) -> CloudResult<bool> {
        let stored = self.read(&self.manifest_at()).await?;
        Ok(stored.is_some_and(|(manifest, _)| manifest.release.command_id == *command))
    }

    fn manifest_at(&self) -> At {
        At::object(self.target.manifest_key())
    }

    /// Whether releases of before are kept, so that each can be put up again.
    fn keeps_releases(&self) -> bool {
        !matches!(self.target, SiteTarget::Thread(..))
    }

    /// Publishes what is chosen in view of what is in place; a stale worker fails here.
    pub(super) async fn put_up<L>(
        &self,
        contents: &Contents,
        choose: impl Fn(Option<&Manifest>) -> Choice<L>,
    ) -> CloudResult<L>
    where
        L: From<Release>,
    {
        let mut begun = BTreeSet::new();
        for _ in 0..MAX_CONFLICTS {
            let before = match self.settled().await {
                Err(CloudError::Conflict(_)) => continue,
                settled => settled?,
            };
            if let Some(stored) = &before {
                self.mend(stored, std::mem::take(&mut begun)).await?;
                if stored.0.outdates(self.user.as_ref(), self.epoch) {
                    return Err(CloudError::FenceLost(self.target.local_host()));
                }
            }
            let wanted = match choose(before.as_ref().map(|(manifest, _)| manifest)) {
                Choice::PutUp(wanted) => wanted,
                Choice::Restore(number, release) => self.earlier(number, release).await?,
                Choice::Leave(left) => return Ok(left),
            };
            match self.replace(before, wanted, contents, &mut begun).await {
                Err(CloudError::Conflict(_)) => {}
                result => return result.map(L::from),
            }
        }
        Err(CloudError::Throttled(format!("the manifest of {}", self.target.local_host())))
    }

    /// The manifest that is in place, after finishing a publication that was cut off.
    pub(super) async fn settled(&self) -> CloudResult<Option<Stored>> {
        let Some((manifest, etag)) = self.read(&self.manifest_at()).await? else { return Ok(None) };
        if manifest.state == ManifestState::Published {
            return Ok(Some((manifest, etag)));
        }
        if self.command.as_ref() == Some(&manifest.release.command_id) {
            self.ours.store(true, Ordering::Relaxed);
        }
        tracing::info!(site = self.target.local_host(), "a publication that was cut off is finished first");
        self.switch(manifest, etag, &Before::Unknown).await.map(Some)
    }

    /// The files of an earlier release, as a new one.
    async fn earlier(&self, number: u64, release: Release) -> CloudResult<Wanted> {
        let at = At::object(self.target.release_manifest_key(number));
        let gone = || CloudError::Invalid(format!("{at} is not there, although release {number} is kept"));
        let (old, _) = self.read(&at).await?.ok_or_else(gone)?;
        let release = Release {
            commit_id: old.release.commit_id,
            thread_id: old.release.thread_id,
            restores: Some(number),
            ..release
        };
        Ok(Wanted { release, includes: Vec::new(), files: old.files })
    }

    async fn read(&self, at: &At) -> CloudResult<Option<Stored>> {
        let Some(content) = self.files.get(at).await? else { return Ok(None) };
        let manifest = serde_json::from_slice(&content.bytes)
            .map_err(|error| CloudError::Invalid(format!("{at}: {error}")))?;
        Ok(Some((manifest, content.etag)))
    }

    /// Puts the wanted site in the place of the one before; `begun` gets the pages that were set about.
    async fn replace(
        &self,
        before: Option<Stored>,
        wanted: Wanted,
        contents: &Contents,
        begun: &mut BTreeSet<String>,
    ) -> CloudResult<Release> {
        let before =
            before.map_or((None, IfMatch::Absent), |(manifest, etag)| (Some(manifest), IfMatch::Etag(etag)));
        let (before, condition) = before;
        let difference = Difference::between(before.as_ref(), &wanted.files);
        self.store(&difference.changed, contents).await?;
        if let Some(manifest) = before.as_ref().filter(|_| self.keeps_releases()) {
            self.keep(manifest).await?;
        }
        let manifest = self.manifest(before.as_ref(), wanted, difference);
        checkpoint::reach(Point::ContentsStored).await;
        let etag = self.offer(&manifest, condition).await?;
        checkpoint::reach(Point::ManifestWritten).await;
        let changed = manifest.files.keys().filter(|path| !manifest.etags.contains_key(*path));
        begun.extend(changed.chain(&manifest.removed).cloned());
        let (published, _) = self.switch(manifest, etag, &Before::of(before.as_ref())).await?;
        self.forget(published.release.number).await;
        tracing::info!(
            site = self.target.local_host(),
            release = published.release.number,
            files = published.files.len(),
            changed = begun.len(),
            "the site was published"
        );
        Ok(published.release)
    }

    /// The next manifest, in state `publishing`: pages that stay as they are have their etags, the others none.
    fn manifest(&self, before: Option<&Manifest>, wanted: Wanted, difference: Difference) -> Manifest {
        let mut next = Manifest {
            release: Release { number: 1, ..wanted.release },
            epoch: self.epoch,
            state: ManifestState::Publishing,
            fences: BTreeMap::new(),
            earlier: Vec::new(),
            includes: wanted.includes,
            files: wanted.files,
            etags: BTreeMap::new(),
            removed: difference.removed,
        };
        if let Some(before) = before {
            next.release.number = before.release.number + 1;
            next.includes = included(&next, before);
            next.fences.clone_from(&before.fences);
            next.etags.clone_from(&before.etags);
            next.etags.retain(|path, _| next.files.contains_key(path) && !difference.changed.contains(path));
            if self.keeps_releases() {
                let all = std::iter::once(&before.release).chain(&before.earlier);
                next.earlier = all.take(KEPT_RELEASES).cloned().collect();
            }
        }
        next.fences.extend(self.user.clone().map(|user| (user, self.epoch)));
        next
    }

    /// Keeps a manifest that is about to be replaced; the same bytes whoever does it, so that a stale worker may.
    async fn keep(&self, manifest: &Manifest) -> CloudResult<()> {
        let bare = Manifest { earlier: Vec::new(), etags: BTreeMap::new(), ..manifest.clone() };
        let at = At::object(self.target.release_manifest_key(manifest.release.number));
        self.write(&at, &bare, IfMatch::Any).await.map(drop)
    }

    /// Removes the manifest that is one too many; one that stays does no harm.
    async fn forget(&self, present: u64) {
        let oldest = present.checked_sub(KEPT_RELEASES as u64 + 1).filter(|_| self.keeps_releases());
        let Some(oldest) = oldest else { return };
        let at = At::object(self.target.release_manifest_key(oldest));
        if let Err(error) = self.files.delete(&at, IfMatch::Any).await {
            tracing::warn!(%error, "the manifest of an old release could not be removed");
        }
    }

    /// Writes a manifest of ours in its place. After a failure it is looked whether it is there.
    async fn offer(&self, manifest: &Manifest, condition: IfMatch) -> CloudResult<Etag> {
        self.ours.store(true, Ordering::Relaxed);
        let written = self.write(&self.manifest_at(), manifest, condition).await;
        let is_there = match &written {
            Ok(_) => true,
            Err(CloudError::Conflict(_)) => false,
            Err(_) => self.has_put_up(&manifest.release.command_id).await.unwrap_or(true),
        };
        self.ours.store(is_there, Ordering::Relaxed);
        written
    }

    async fn write(&self, at: &At, manifest: &Manifest, condition: IfMatch) -> CloudResult<Etag> {
        let text =
            serde_json::to_vec(manifest).map_err(|error| CloudError::Invalid(format!("{at}: {error}")))?;
        self.files.put(at, Bytes::from(text), condition).await
    }
}

/// Does it for each, several at a time; the first error ends it.
async fn each<T, R, F>(items: Vec<T>, mut work: impl FnMut(T) -> F) -> CloudResult<Vec<R>>
where
    R: Send + 'static,
    F: Future<Output = CloudResult<R>> + Send + 'static,
{
    let mut running = JoinSet::new();
    let mut results = Vec::with_capacity(items.len());
    for item in items {
        if running.len() >= PARALLEL {
            results.extend(next(&mut running).await?);
        }
        running.spawn(work(item));
    }
    while !running.is_empty() {
        results.extend(next(&mut running).await?);
    }
    Ok(results)
}

async fn next<R: 'static>(running: &mut JoinSet<CloudResult<R>>) -> CloudResult<Option<R>> {
    match running.join_next().await {
        Some(Ok(result)) => result.map(Some),
        Some(Err(error)) => Err(CloudError::unavailable("publish a file", error)),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use common::domain::names::ContentHash;

    use super::*;

    fn files(list: &[(&str, &str)]) -> BTreeMap<String, SiteFile> {
        let file =
            |text: &str| SiteFile { sha256: ContentHash::of(text.as_bytes()), size_bytes: text.len() as u64 };
        list.iter().map(|(path, text)| ((*path).to_owned(), file(text))).collect()
    }

    fn manifest(list: &[(&str, &str)]) -> Manifest {
        let json = serde_json::json!({"commandId": "c", "commitId": "", "epoch": 1, "state": "published",
            "publishedAt": 0, "files": files(list)});
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn what_a_conversation_goes_on_from_stays_known() {
        let of = |thread: &str, includes: &[&str]| {
            let mut one = manifest(&[]);
            one.release.thread_id = Some(thread.parse().unwrap());
            one.includes = includes.iter().map(|id| (*id).to_owned()).collect();
            one
        };
        // A shallow copy tells the first one no more.
        assert_eq!(included(&of("aaaaaa1", &["2"]), &of("aaaaaa1", &["1"])), ["1", "2"]);
        assert_eq!(included(&of("aaaaaa1", &["2"]), &of("bbbbbb2", &["1"])), ["2"]);
    }

    #[test]
    fn the_first_publication_writes_everything() {
        let wanted = files(&[("a/index.html", "1"), ("index.html", "2"), ("z.css", "3")]);
        let difference = Difference::between(None, &wanted);
        assert_eq!(difference.changed, ["a/index.html", "index.html", "z.css"]);
        assert_eq!(difference.removed, [""; 0]);
    }

    #[test]
    fn only_what_differs_is_written_and_what_is_gone_is_removed() {
        let before = manifest(&[("index.html", "1"), ("old.html", "1"), ("same.css", "1")]);
        let wanted = files(&[("index.html", "2"), ("new.js", "1"), ("same.css", "1")]);
        let difference = Difference::between(Some(&before), &wanted);
        assert_eq!(difference.changed, ["index.html", "new.js"]);
        assert_eq!(difference.removed, ["old.html"]);
    }

    #[test]
    fn the_same_site_again_is_no_difference() {
        let before = manifest(&[("index.html", "1")]);
        assert_eq!(Difference::between(Some(&before), &before.files), Difference::default());
    }
}
