//! What the files of a built site hold, stored under its hash; what is there already is not sent again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use bytes::Bytes;
use common::cloud::files::{At, IfMatch, Space};
use common::cloud::{CloudError, Result as CloudResult};
use common::domain::names::{self, ContentHash};
use common::domain::site::SiteFile;

use super::{Publication, each};
use crate::job::handover::Site;

/// Of more contents than this it is looked up first which are there already.
const FEW: usize = 64;

/// Path to the file on our disk and what it holds. Empty where all contents are known to be stored.
pub(in crate::job) type Contents = BTreeMap<String, (PathBuf, SiteFile)>;

/// Hashes every file.
pub(super) async fn hash_all(site: &Site) -> Result<Contents, String> {
    let files = site.files.clone();
    let hashed = tokio::task::spawn_blocking(move || {
        let hash = |(path, place): (String, PathBuf)| {
            let bytes =
                std::fs::read(&place).map_err(|error| format!("read {}: {error}", place.display()))?;
            let file = SiteFile { sha256: ContentHash::of(&bytes), size_bytes: bytes.len() as u64 };
            Ok((path, (place, file)))
        };
        files.into_iter().map(hash).collect()
    });
    hashed.await.unwrap_or_else(|error| Err(error.to_string()))
}

impl Publication {
    /// Stores the contents of these paths under their hash.
    pub(super) async fn store(&self, changed: &[String], contents: &Contents) -> CloudResult<()> {
        let mut seen = BTreeSet::new();
        let changed = changed.iter().filter_map(|path| contents.get(path));
        let mut new =
            changed.filter(|(_, file)| seen.insert(file.sha256.clone())).cloned().collect::<Vec<_>>();
        if new.len() > FEW {
            let stored = self.stored().await?;
            new.retain(|(_, file)| !stored.contains(&self.blob(&file.sha256)));
        }
        let store = |(place, file)| {
            let this = self.clone();
            async move { this.store_one(place, &file).await }
        };
        each(new, store).await.map(drop)
    }

    async fn stored(&self) -> CloudResult<BTreeSet<String>> {
        let prefix = names::releases_prefix(self.target.project());
        Ok(self.files.list(&Space::Objects, &prefix).await?.into_iter().collect())
    }

    pub(super) fn blob(&self, hash: &ContentHash) -> String {
        names::release_key(self.target.project(), hash)
    }

    async fn store_one(&self, place: PathBuf, file: &SiteFile) -> CloudResult<()> {
        let read = tokio::fs::read(&place).await;
        let bytes =
            read.map_err(|error| CloudError::Invalid(format!("read {}: {error}", place.display())))?;
        if ContentHash::of(&bytes) != file.sha256 {
            return Err(CloudError::Invalid(format!("{} changed while it was published", place.display())));
        }
        let at = At::object(self.blob(&file.sha256));
        match self.files.put(&at, Bytes::from(bytes), IfMatch::Absent).await {
            Ok(_) | Err(CloudError::Conflict(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
