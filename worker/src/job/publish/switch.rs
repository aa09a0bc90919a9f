//! From a written manifest to its pages. Every page is written on condition of what lay there before, and only while
//! the manifest is still the one that was written: a worker that slept through a take-over changes nothing, and where a
//! store cannot tell bytes from the same bytes written again, it puts right what it changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::Duration;

use common::checkpoint::{self, Point};
use common::cloud::files::{At, Etag, IfMatch};
use common::cloud::{CloudError, Result as CloudResult};
use common::domain::site::{Manifest, ManifestState, SiteFile};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::{Publication, Stored, each};

/// So often a page may turn out to be another than expected.
const MAX_TRIES: usize = 4;
/// A look at the manifest holds for so long, for pages whose etag was known before it.
const FRESH: Duration = Duration::from_secs(1);

/// What is known about the pages that are in place.
pub(super) enum Before {
    /// These and no others, with their etags as far as they are known.
    Known(BTreeMap<String, Option<Etag>>),
    /// Some of the old ones and some of the new ones.
    Unknown,
}

impl Before {
    /// The pages of a settled manifest.
    pub(super) fn of(manifest: Option<&Manifest>) -> Self {
        let pages = manifest.into_iter().flat_map(|manifest| {
            let etag = |path| manifest.etags.get(path).cloned().map(Etag);
            manifest.files.keys().map(move |path| (path.clone(), etag(path)))
        });
        Self::Known(pages.collect())
    }

    /// The condition under which a page is written; none where it has to be looked up.
    fn condition(&self, path: &str) -> Option<IfMatch> {
        match self {
            Self::Known(pages) => match pages.get(path) {
                Some(etag) => etag.clone().map(IfMatch::Etag),
                None => Some(IfMatch::Absent),
            },
            Self::Unknown => None,
        }
    }
}

/// The manifest that we go by, and when we last asked whether it is in place, and it was. One asks for all that wait.
pub(super) struct Watch {
    etag: Etag,
    seen: Mutex<Instant>,
}

impl Watch {
    fn new(etag: Etag) -> Self {
        Self { etag, seen: Mutex::new(Instant::now()) }
    }
}

/// One page to be written, or deleted.
struct Turn {
    /// Its content; none to delete it.
    from: Option<At>,
    path: String,
    /// The condition, where it need not be looked up.
    expected: Option<IfMatch>,
}

impl Publication {
    /// Copies contents to the pages that have no etag yet, deletes what is gone and marks the manifest as published. What
    /// is gone goes last, but for what is in the way of a page: a file whose name is a folder's now, or the other way round.
    pub(super) async fn switch(
        &self,
        mut manifest: Manifest,
        etag: Etag,
        before: &Before,
    ) -> CloudResult<Stored> {
        self.begun.store(true, Ordering::Relaxed);
        let ours = std::sync::Arc::new(Watch::new(etag.clone()));
        let open = manifest.files.keys().filter(|path| !manifest.etags.contains_key(*path));
        let (pages, assets): (Vec<_>, Vec<_>) = open.cloned().partition(|path| is_page(path));
        let removed = std::mem::take(&mut manifest.removed);
        let (blocking, gone) = removed.into_iter().partition(|path| is_in_the_way(path, &manifest.files));
        for group in [blocking, assets, pages, gone] {
            let turns = group.into_iter().map(|path| self.turn(&manifest, path, before)).collect();
            let written = each(turns, |turn| {
                let (this, ours) = (self.clone(), ours.clone());
                async move { this.take(turn, &ours).await }
            });
            manifest.etags.extend(written.await?.into_iter().flatten());
        }
        checkpoint::reach(Point::PagesWritten).await;
        manifest.state = ManifestState::Published;
        let etag = self.write(&self.manifest_at(), &manifest, IfMatch::Etag(etag)).await?;
        Ok((manifest, etag))
    }

    fn turn(&self, manifest: &Manifest, path: String, before: &Before) -> Turn {
        let from = manifest.files.get(&path).map(|file| At::object(self.blob(&file.sha256)));
        Turn { from, expected: before.condition(&path), path }
    }

    /// A page that has to be looked up is looked at first and the manifest second: whoever comes after that changes the
    /// page, too. The answer is the page's new etag.
    async fn take(&self, turn: Turn, ours: &Watch) -> CloudResult<Option<(String, String)>> {
        let to = At::page(&self.target, &turn.path);
        let mut expected = turn.expected;
        for _ in 0..MAX_TRIES {
            let (condition, looked) = match expected.take() {
                Some(known) => (known, None),
                None => (self.present(&to).await?, Some(Instant::now())),
            };
            self.still(ours, looked).await?;
            let done = match &turn.from {
                Some(from) => self.files.copy(from, &to, condition).await.map(Some),
                None => self.files.delete(&to, condition).await.map(|()| None),
            };
            match done {
                Err(CloudError::Conflict(_)) => {}
                Err(CloudError::Invalid(reason)) => {
                    // What is in the way may be a page of whoever has overtaken us.
                    self.still(ours, Some(Instant::now())).await?;
                    return Err(CloudError::Invalid(reason));
                }
                done => return Ok(done?.map(|Etag(etag)| (turn.path, etag))),
            }
        }
        Err(CloudError::Throttled(format!("{to} is changed by somebody else all the time")))
    }

    async fn present(&self, at: &At) -> CloudResult<IfMatch> {
        Ok(self.files.etag(at).await?.map_or(IfMatch::Absent, IfMatch::Etag))
    }

    /// Fails with a conflict when the manifest is no longer the one that we go by. Asked since then, or a moment ago, is enough.
    async fn still(&self, ours: &Watch, since: Option<Instant>) -> CloudResult<()> {
        let mut seen = ours.seen.lock().await;
        if since.map_or_else(|| seen.elapsed() < FRESH, |since| *seen > since) {
            return Ok(());
        }
        let (at, asked) = (self.manifest_at(), Instant::now());
        match self.files.etag(&at).await? {
            Some(etag) if etag == ours.etag => {
                *seen = asked;
                Ok(())
            }
            _ => Err(CloudError::Conflict(at.to_string())),
        }
    }

    /// Makes these pages what the manifest in place says: we may have written one after we were overtaken.
    pub(super) async fn mend(&self, stored: &Stored, paths: BTreeSet<String>) -> CloudResult<()> {
        let (manifest, etag) = stored;
        let ours = Watch::new(etag.clone());
        let (wanted, unwanted): (Vec<_>, Vec<_>) =
            paths.into_iter().partition(|path| manifest.files.contains_key(path));
        for path in unwanted.into_iter().chain(wanted) {
            let present = self.present(&At::page(&self.target, &path)).await?;
            let right = match manifest.etags.get(&path) {
                Some(etag) => present == IfMatch::Etag(Etag(etag.clone())),
                None => !manifest.files.contains_key(&path) && present == IfMatch::Absent,
            };
            if !right {
                tracing::warn!(path, site = self.target.local_host(), "a page is put right again");
                self.take(self.turn(manifest, path, &Before::Unknown), &ours).await?;
            }
        }
        Ok(())
    }
}

/// Whether a file system has no room for this path beside one of these: one of them lies below it, or it below one of them.
fn is_in_the_way(path: &str, files: &BTreeMap<String, SiteFile>) -> bool {
    let below = format!("{path}/");
    let has_below = files.range(below.clone()..).next().is_some_and(|(first, _)| first.starts_with(&below));
    has_below || path.match_indices('/').any(|(end, _)| files.contains_key(&path[..end]))
}

fn is_page(path: &str) -> bool {
    let ending = path.rsplit('.').next().unwrap_or_default();
    ending.eq_ignore_ascii_case("html") || ending.eq_ignore_ascii_case("htm")
}

#[cfg(test)]
mod tests;
