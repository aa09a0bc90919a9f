//! The built site at its target, by manifest: contents first (harmless), then the manifest on condition (here a stale
//! worker fails), then the pages, then the removals. Whoever finds a half-done publication finishes it first.

mod switch;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use common::cloud::files::{At, Etag, Files, IfMatch};
use common::cloud::{CloudError, Result as CloudResult};
use common::domain::names::{self, ContentHash, SiteTarget};
use common::domain::outcome::JobOutcome;
use common::domain::site::{Manifest, ManifestState, SiteFile};
use common::domain::timestamp::Timestamp;
use tokio::task::JoinSet;

use self::switch::Before;
use super::handover::Site;
use super::{Cut, Failure, JobContext, Trouble};

/// So many files are on their way at once.
const PARALLEL: usize = 16;
/// So often the manifest may be written by somebody else in between.
const MAX_CONFLICTS: usize = 5;

/// Publishes the site; the time at which it was all in place.
pub async fn publish(context: &JobContext, site: &Site, commit_id: &str) -> Result<Timestamp, Trouble> {
    let publication = Publication { files: context.files.clone(), target: context.target.clone() };
    let contents = hash_all(site).await.map_err(failed)?;
    let wanted = Manifest {
        command_id: context.work.command_id.clone(),
        commit_id: commit_id.to_owned(),
        epoch: context.epoch,
        state: ManifestState::Publishing,
        published_at: context.clock.now(),
        files: contents.iter().map(|(path, (_, file))| (path.clone(), file.clone())).collect(),
        removed: Vec::new(),
    };
    tokio::select! {
        published = publication.put_up(wanted, &contents) => published.map_err(|error| match error {
            CloudError::FenceLost(_) => Trouble::Cut(Cut::FenceLost),
            error => failed(error).into(),
        }),
        () = context.stopper.token().cancelled() => {
            Err(Trouble::Cut(context.stopper.stopped().unwrap_or(Cut::Stopped)))
        }
    }
}

fn failed(error: impl ToString) -> Failure {
    let text = "Your change was made and built, but the preview could not be put up. Your change is kept.";
    Failure::new(JobOutcome::PublishFailed, "publish-failed", text, error)
}

type Contents = BTreeMap<String, (std::path::PathBuf, SiteFile)>;

async fn hash_all(site: &Site) -> Result<Contents, String> {
    let files = site.files.clone();
    let hashed = tokio::task::spawn_blocking(move || {
        let hash = |(path, place): (String, std::path::PathBuf)| {
            let bytes =
                std::fs::read(&place).map_err(|error| format!("read {}: {error}", place.display()))?;
            let file = SiteFile { sha256: ContentHash::of(&bytes), size_bytes: bytes.len() as u64 };
            Ok((path, (place, file)))
        };
        files.into_iter().map(hash).collect()
    });
    hashed.await.unwrap_or_else(|error| Err(error.to_string()))
}

/// What has to be done to get from one manifest to another.
#[derive(Debug, Default, PartialEq, Eq)]
struct Difference {
    /// Pages to write: everything else first, documents last, so that no page names what is not there yet.
    changed: Vec<String>,
    /// Pages to delete.
    removed: Vec<String>,
}

impl Difference {
    fn between(before: Option<&Manifest>, wanted: &BTreeMap<String, SiteFile>) -> Self {
        let old = |path: &String| before.and_then(|manifest| manifest.files.get(path));
        let changed =
            wanted.iter().filter(|(path, file)| old(path) != Some(file)).map(|(path, _)| path.clone());
        let kept = |path: &String| wanted.contains_key(path);
        let removed =
            before.into_iter().flat_map(|manifest| manifest.files.keys()).filter(|path| !kept(path));
        Self { changed: assets_first(changed), removed: removed.cloned().collect() }
    }
}

fn assets_first(paths: impl IntoIterator<Item = String>) -> Vec<String> {
    let (pages, mut all): (Vec<_>, Vec<_>) = paths.into_iter().partition(|path| is_page(path));
    all.extend(pages);
    all
}

fn is_page(path: &str) -> bool {
    let ending = path.rsplit('.').next().unwrap_or_default();
    ending.eq_ignore_ascii_case("html") || ending.eq_ignore_ascii_case("htm")
}

#[derive(Clone)]
struct Publication {
    files: Arc<dyn Files>,
    target: SiteTarget,
}

type Stored = (Manifest, Etag);

impl Publication {
    fn manifest_at(&self) -> At {
        At::object(self.target.manifest_key())
    }

    /// Publishes against whatever is in place; a stale worker fails here.
    async fn put_up(&self, wanted: Manifest, contents: &Contents) -> CloudResult<Timestamp> {
        for _ in 0..MAX_CONFLICTS {
            let before = match self.settled().await {
                Err(CloudError::Conflict(_)) => continue,
                settled => settled?,
            };
            if before.as_ref().is_some_and(|(manifest, _)| manifest.epoch > wanted.epoch) {
                return Err(CloudError::FenceLost(self.target.local_host()));
            }
            match self.replace(before, wanted.clone(), contents).await {
                Err(CloudError::Conflict(_)) => {}
                result => return result,
            }
        }
        Err(CloudError::Throttled(format!("the manifest of {}", self.target.local_host())))
    }

    /// The manifest that is in place, after finishing a publication that was cut off.
    async fn settled(&self) -> CloudResult<Option<Stored>> {
        let Some(content) = self.files.get(&self.manifest_at()).await? else { return Ok(None) };
        let manifest: Manifest = serde_json::from_slice(&content.bytes)
            .map_err(|error| CloudError::Invalid(format!("{}: {error}", self.manifest_at())))?;
        if manifest.state == ManifestState::Published {
            return Ok(Some((manifest, content.etag)));
        }
        tracing::info!(site = self.target.local_host(), "a publication that was cut off is finished first");
        let all = assets_first(manifest.files.keys().cloned());
        self.switch(manifest, content.etag, &all, &Before::Unknown).await.map(Some)
    }

    /// Puts the wanted site in the place of the one before.
    async fn replace(
        &self,
        before: Option<Stored>,
        mut wanted: Manifest,
        contents: &Contents,
    ) -> CloudResult<Timestamp> {
        let difference = Difference::between(before.as_ref().map(|(manifest, _)| manifest), &wanted.files);
        self.store(&difference, contents).await?;
        wanted.removed = difference.removed;
        let (condition, before) = match before {
            None => (IfMatch::Absent, Before::Known(BTreeMap::new())),
            Some((manifest, etag)) => (IfMatch::Etag(etag), Before::Known(manifest.files)),
        };
        let etag = self.write(&wanted, condition).await?;
        let published = self.switch(wanted, etag, &difference.changed, &before).await?;
        tracing::info!(
            site = self.target.local_host(),
            files = published.0.files.len(),
            changed = difference.changed.len(),
            "the site was published"
        );
        Ok(published.0.published_at)
    }

    /// Stores changed contents under their hash; what is there already is not sent again.
    async fn store(&self, difference: &Difference, contents: &Contents) -> CloudResult<()> {
        let mut seen = BTreeSet::new();
        let changed = difference.changed.iter().filter_map(|path| contents.get(path));
        let new = changed.filter(|(_, file)| seen.insert(file.sha256.clone())).cloned().collect::<Vec<_>>();
        each(new, |(place, file)| {
            let this = self.clone();
            async move {
                let at = At::object(names::release_key(this.target.project(), &file.sha256));
                if this.files.exists(&at).await? {
                    return Ok(());
                }
                let bytes = tokio::fs::read(&place)
                    .await
                    .map_err(|error| CloudError::Invalid(format!("read {}: {error}", place.display())))?;
                if ContentHash::of(&bytes) != file.sha256 {
                    return Err(CloudError::Invalid(format!(
                        "{} changed while it was published",
                        place.display()
                    )));
                }
                match this.files.put(&at, Bytes::from(bytes), IfMatch::Absent).await {
                    Ok(_) | Err(CloudError::Conflict(_)) => Ok(()),
                    Err(error) => Err(error),
                }
            }
        })
        .await
    }

    async fn write(&self, manifest: &Manifest, condition: IfMatch) -> CloudResult<Etag> {
        let text = serde_json::to_vec(manifest)
            .map_err(|error| CloudError::Invalid(format!("{}: {error}", self.manifest_at())))?;
        self.files.put(&self.manifest_at(), Bytes::from(text), condition).await
    }
}

/// Does it for each, several at a time; the first error ends it.
async fn each<T, F>(items: Vec<T>, mut work: impl FnMut(T) -> F) -> CloudResult<()>
where
    F: Future<Output = CloudResult<()>> + Send + 'static,
{
    let mut running = JoinSet::new();
    let settled = |done: Option<Result<CloudResult<()>, tokio::task::JoinError>>| match done {
        Some(Ok(result)) => result,
        Some(Err(error)) => Err(CloudError::unavailable("publish a file", error)),
        None => Ok(()),
    };
    for item in items {
        if running.len() >= PARALLEL {
            settled(running.join_next().await)?;
        }
        running.spawn(work(item));
    }
    while !running.is_empty() {
        settled(running.join_next().await)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(list: &[(&str, &str)]) -> BTreeMap<String, SiteFile> {
        let file =
            |text: &str| SiteFile { sha256: ContentHash::of(text.as_bytes()), size_bytes: text.len() as u64 };
        list.iter().map(|(path, text)| ((*path).to_owned(), file(text))).collect()
    }

    fn manifest(list: &[(&str, &str)]) -> Manifest {
        Manifest {
            command_id: "c".parse().unwrap(),
            commit_id: String::new(),
            epoch: common::domain::claim::Epoch::default(),
            state: ManifestState::Published,
            published_at: Timestamp::default(),
            files: files(list),
            removed: Vec::new(),
        }
    }

    #[test]
    fn the_first_publication_writes_everything_pages_last() {
        let wanted = files(&[("a/index.html", "1"), ("index.html", "2"), ("z.css", "3")]);
        let difference = Difference::between(None, &wanted);
        assert_eq!(difference.changed, ["z.css", "a/index.html", "index.html"]);
        assert_eq!(difference.removed, [""; 0]);
    }

    #[test]
    fn only_what_differs_is_written_and_what_is_gone_is_removed() {
        let before = manifest(&[("index.html", "1"), ("old.html", "1"), ("same.css", "1")]);
        let wanted = files(&[("index.html", "2"), ("new.js", "1"), ("same.css", "1")]);
        let difference = Difference::between(Some(&before), &wanted);
        assert_eq!(difference.changed, ["new.js", "index.html"]);
        assert_eq!(difference.removed, ["old.html"]);
    }

    #[test]
    fn the_same_site_again_is_no_difference() {
        let before = manifest(&[("index.html", "1")]);
        assert_eq!(Difference::between(Some(&before), &before.files), Difference::default());
    }
}
