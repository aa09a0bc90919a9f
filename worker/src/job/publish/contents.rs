//! What the files of a built site hold, stored under its hash; what is there already is not sent again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use common::cloud::files::{At, IfMatch, Space};
use common::cloud::{CloudError, Result as CloudResult};
use common::domain::names::{self, ContentHash};
use common::domain::site::SiteFile;

use super::{Publication, each};
use crate::job::handover::Site;
use crate::job::output::Output;

/// Of more contents than this it is looked up first which are there already.
const FEW: usize = 64;
/// Larger contents are not read several at a time.
const LARGE_BYTES: u64 = 8 * 1024 * 1024;

/// The files of a site and where they are read from.
#[derive(Debug, Default)]
pub(in crate::job) struct Contents {
    /// None where all contents are known to be stored.
    output: Option<Arc<Output>>,
    /// Path to content.
    pub(super) files: BTreeMap<String, SiteFile>,
}

impl Contents {
    /// Those of a built site.
    pub(super) fn of(site: &Site) -> Self {
        Self { output: Some(site.output.clone()), files: site.files.iter().cloned().collect() }
    }
}

impl Publication {
    /// Stores the contents of these paths under their hash.
    pub(super) async fn store(&self, changed: &[String], contents: &Contents) -> CloudResult<()> {
        let Some(output) = &contents.output else { return Ok(()) };
        let mut seen = BTreeSet::new();
        let changed = changed.iter().filter_map(|path| Some((path.clone(), contents.files.get(path)?)));
        let mut new = changed.filter(|(_, file)| seen.insert(&file.sha256)).collect::<Vec<_>>();
        if new.len() > FEW {
            let stored = self.stored().await?;
            new.retain(|(_, file)| !stored.contains(&self.blob(&file.sha256)));
        }
        let (small, large): (Vec<_>, Vec<_>) = new
            .into_iter()
            .map(|(path, file)| (path, file.clone()))
            .partition(|(_, file)| file.size_bytes < LARGE_BYTES);
        let store = |(path, file): (String, SiteFile)| {
            let (this, output) = (self.clone(), output.clone());
            async move { this.store_one(&output, path, &file).await }
        };
        each(small, store).await?;
        // One after the other: each is held in memory.
        for one in large {
            store(one).await?;
        }
        Ok(())
    }

    async fn stored(&self) -> CloudResult<BTreeSet<String>> {
        let prefix = names::releases_prefix(self.target.project());
        Ok(self.files.list(&Space::Objects, &prefix).await?.into_iter().collect())
    }

    pub(super) fn blob(&self, hash: &ContentHash) -> String {
        names::release_key(self.target.project(), hash)
    }

    async fn store_one(&self, output: &Arc<Output>, path: String, file: &SiteFile) -> CloudResult<()> {
        let (output, wanted) = (output.clone(), file.sha256.clone());
        let read = tokio::task::spawn_blocking(move || match output.read(&path) {
            Ok(bytes) if ContentHash::of(&bytes) == wanted => Ok(bytes),
            Ok(_) => Err(CloudError::Invalid(format!("{path} changed while it was published"))),
            Err(error) => Err(CloudError::Invalid(format!("read {path}: {error}"))),
        });
        let bytes =
            read.await.map_err(|error| CloudError::unavailable("read a file of the site", error))??;
        let at = At::object(self.blob(&file.sha256));
        match self.files.put(&at, Bytes::from(bytes), IfMatch::Absent).await {
            Ok(_) | Err(CloudError::Conflict(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
