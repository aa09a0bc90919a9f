//! Objects and sites as files below the data directory: this file checks keys and leaves the runtime's threads alone;
//! [`super::disk`] does the work.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::disk::Disk;
use super::expiry::{self, Looks};
use super::layout::Layout;
use super::paths::Found;
use crate::clock::Clock;
use crate::cloud::files::{At, Etag, FileContent, FilePart, Files, IfMatch, Space, keys};
use crate::cloud::{CloudError, Result};
use crate::domain::names::{PublicHost, SiteTarget};

/// The only bucket that this machine has.
const OBJECTS: &str = "objects";

/// The door.
pub(super) struct LocalFiles {
    disk: Arc<Disk>,
    objects: PathBuf,
    clock: Clock,
    looks: Looks,
}

impl LocalFiles {
    /// Below this directory; the clock says which objects were kept for long enough.
    pub(super) fn new(layout: Layout, clock: Clock) -> Self {
        let objects = layout.objects();
        Self { disk: Arc::new(Disk::new(layout)), objects, clock, looks: Looks::default() }
    }

    /// Nobody waits for it.
    fn expire(&self) {
        if self.looks.is_due() {
            let (disk, objects, now) = (Arc::clone(&self.disk), self.objects.clone(), self.clock.now());
            tokio::task::spawn_blocking(move || expiry::expire(&disk, &objects, now));
        }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        what: &'static str,
        run: impl FnOnce(&Disk) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let disk = Arc::clone(&self.disk);
        tokio::task::spawn_blocking(move || run(&disk)).await.map_err(|e| CloudError::unavailable(what, e))?
    }
}

#[async_trait]
impl Files for LocalFiles {
    async fn put(&self, at: &At, bytes: Bytes, condition: IfMatch) -> Result<Etag> {
        keys::check_key(at)?;
        self.expire();
        let at = at.clone();
        self.blocking("writing a file", move |disk| disk.put(&at, &bytes, &condition)).await
    }

    async fn get(&self, at: &At) -> Result<Option<FileContent>> {
        keys::check_key(at)?;
        let at = at.clone();
        self.blocking("reading a file", move |disk| disk.get(&at)).await
    }

    async fn read_range(&self, at: &At, offset: u64, len: usize) -> Result<Option<FilePart>> {
        keys::check_key(at)?;
        let at = at.clone();
        self.blocking("reading part of a file", move |disk| disk.read_range(&at, offset, len)).await
    }

    async fn etag(&self, at: &At) -> Result<Option<Etag>> {
        keys::check_key(at)?;
        let at = at.clone();
        self.blocking("looking for a file", move |disk| disk.etag(&at)).await
    }

    async fn exists(&self, at: &At) -> Result<bool> {
        keys::check_key(at)?;
        let at = at.clone();
        self.blocking("looking for a file", move |disk| Ok(disk.look("looking for", &at)? == Found::File))
            .await
    }

    async fn copy(&self, from: &At, to: &At, condition: IfMatch) -> Result<Etag> {
        keys::check_key(from)?;
        keys::check_key(to)?;
        let (from, to) = (from.clone(), to.clone());
        self.blocking("copying a file", move |disk| disk.copy(&from, &to, &condition)).await
    }

    async fn delete(&self, at: &At, condition: IfMatch) -> Result<()> {
        keys::check_key(at)?;
        let at = at.clone();
        self.blocking("deleting a file", move |disk| disk.delete(&at, &condition)).await
    }

    async fn list(&self, space: &Space, prefix: &str) -> Result<Vec<String>> {
        keys::check_prefix(prefix)?;
        let (space, prefix) = (space.clone(), prefix.to_owned());
        self.blocking("listing files", move |disk| disk.list(&space, &prefix)).await
    }

    async fn objects_bucket(&self) -> Result<String> {
        Ok(OBJECTS.to_owned())
    }

    fn public_host(&self, _site: &SiteTarget) -> Option<PublicHost> {
        None
    }
}
