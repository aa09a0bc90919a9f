//! From a written manifest to its pages. Every page is written on condition of what lay there before, and only while
//! the manifest is still the one that was written: a worker that slept through a take-over changes nothing.

use std::collections::BTreeMap;

use common::cloud::files::{At, Etag, IfMatch};
use common::cloud::{CloudError, Result as CloudResult};
use common::domain::names;
use common::domain::site::{Manifest, ManifestState, SiteFile};

use super::{Publication, Stored, each, is_page};

/// So often a page may turn out to be another than expected.
const MAX_TRIES: usize = 4;

/// What is known about the pages that are in place.
pub(super) enum Before {
    /// These contents, and no others.
    Known(BTreeMap<String, SiteFile>),
    /// Some of the old ones and some of the new ones.
    Unknown,
}

/// One page to be written.
struct Turn {
    from: At,
    to: At,
    /// The condition, where it need not be looked up.
    expected: Option<IfMatch>,
}

impl Publication {
    /// Copies contents to pages, deletes what is gone and marks the manifest as published.
    pub(super) async fn switch(
        &self,
        mut manifest: Manifest,
        etag: Etag,
        paths: &[String],
        before: &Before,
    ) -> CloudResult<Stored> {
        let (pages, assets): (Vec<_>, Vec<_>) = paths.iter().cloned().partition(|path| is_page(path));
        for group in [assets, pages] {
            let turns = group.into_iter().filter_map(|path| self.turn(&manifest, path, before));
            each(turns.collect(), |turn| {
                let (this, ours) = (self.clone(), etag.clone());
                async move { this.write_page(turn, &ours).await }
            })
            .await?;
        }
        each(std::mem::take(&mut manifest.removed), |path| {
            let (this, ours) = (self.clone(), etag.clone());
            async move {
                this.still(&ours).await?;
                this.files.delete(&At::page(&this.target, path)).await
            }
        })
        .await?;
        manifest.state = ManifestState::Published;
        let etag = self.write(&manifest, IfMatch::Etag(etag)).await?;
        Ok((manifest, etag))
    }

    fn turn(&self, manifest: &Manifest, path: String, before: &Before) -> Option<Turn> {
        let file = manifest.files.get(&path)?;
        let from = At::object(names::release_key(self.target.project(), &file.sha256));
        let expected = match before {
            // Right where an etag is the hash of the content; elsewhere the page is looked at after the conflict.
            Before::Known(files) => Some(
                files
                    .get(&path)
                    .map_or(IfMatch::Absent, |old| IfMatch::Etag(Etag(old.sha256.as_str().to_owned()))),
            ),
            Before::Unknown => None,
        };
        Some(Turn { from, to: At::page(&self.target, path), expected })
    }

    /// The page is looked at first and the manifest second: whoever comes after that changes the page, too.
    async fn write_page(&self, turn: Turn, ours: &Etag) -> CloudResult<()> {
        let mut expected = turn.expected;
        for _ in 0..MAX_TRIES {
            let condition = match expected.take() {
                Some(condition) => condition,
                None => self.present(&turn.to).await?,
            };
            self.still(ours).await?;
            match self.files.copy(&turn.from, &turn.to, condition).await {
                Err(CloudError::Conflict(_)) => {}
                written => return written.map(drop),
            }
        }
        Err(CloudError::Throttled(format!("{} is changed by somebody else all the time", turn.to)))
    }

    async fn present(&self, at: &At) -> CloudResult<IfMatch> {
        let found = self.files.get(at).await?;
        Ok(found.map_or(IfMatch::Absent, |content| IfMatch::Etag(content.etag)))
    }

    /// Fails with a conflict when the manifest is no longer the one that we go by.
    async fn still(&self, ours: &Etag) -> CloudResult<()> {
        let at = self.manifest_at();
        match self.files.get(&at).await? {
            Some(content) if content.etag == *ours => Ok(()),
            _ => Err(CloudError::Conflict(at.to_string())),
        }
    }
}

#[cfg(test)]
mod tests;
