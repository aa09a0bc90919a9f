//! The door to objects (one private bucket) and sites (one bucket or folder per host name).

pub(super) mod keys;

use async_trait::async_trait;
use bytes::Bytes;

use super::Result;
use crate::domain::names::{PublicHost, SiteTarget};
use crate::domain::site::{cache_control, content_type};

/// Which bucket.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Space {
    /// Raw mails, attachments, manifests, releases, transcripts.
    Objects,
    /// The pages of one site.
    Site(SiteTarget),
}

/// Where a file lies: a space and a key with `/` between its parts. Keys with an empty part, `.`, `..`, a NUL, a
/// backslash or more than 1,024 bytes are [`super::CloudError::Invalid`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct At {
    /// Which bucket.
    pub space: Space,
    /// The key in it.
    pub key: String,
}

impl At {
    /// A key among the private objects.
    pub fn object(key: impl Into<String>) -> Self {
        Self { space: Space::Objects, key: key.into() }
    }

    /// A page of a site.
    pub fn page(site: &SiteTarget, path: impl Into<String>) -> Self {
        Self { space: Space::Site(site.clone()), key: path.into() }
    }

    /// Whether the door takes such a key.
    pub fn is_legal(&self) -> bool {
        keys::check_key(self).is_ok()
    }
}

impl std::fmt::Display for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.space {
            Space::Objects => write!(f, "object {}", self.key),
            Space::Site(site) => write!(f, "page {}/{}", site.local_host(), self.key),
        }
    }
}

/// What a page is served with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Headers {
    /// Its media type (RFC 9110, section 8.3).
    pub content_type: String,
    /// How long whoever has it may keep it (RFC 9111, section 5.2).
    pub cache_control: String,
}

impl Headers {
    /// What a write gives the file along: pages by their path, private objects nothing.
    pub fn of(at: &At) -> Option<Self> {
        matches!(at.space, Space::Site(_)).then(|| Self {
            content_type: content_type(&at.key),
            cache_control: cache_control(&at.key).to_owned(),
        })
    }
}

/// Identifies one content of one key; opaque.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Etag(pub String);

/// The condition of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IfMatch {
    /// Whatever is there.
    Any,
    /// Only if nothing is there.
    Absent,
    /// Only if this is there.
    Etag(Etag),
}

/// A file as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileContent {
    /// Its bytes.
    pub bytes: Bytes,
    /// Which content this is.
    pub etag: Etag,
    /// What it is served with; none for private objects.
    pub headers: Option<Headers>,
}

/// Part of a file as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePart {
    /// Its bytes; fewer than were asked for where the file ends.
    pub bytes: Bytes,
    /// How many bytes the whole file has.
    pub total: u64,
    /// The same for all parts of one content, another one for other content. It need not be the one that `get` gives.
    pub etag: Etag,
}

/// The door. A write is durable (synced, its folder too) when it returns, and a reader sees the old bytes or the new
/// ones, never a mixture. A page is written and copied with the type and cache header of its own path ([`Headers::of`]),
/// whatever those of a copy's source are.
#[async_trait]
pub trait Files: Send + Sync {
    /// Writes; [`super::CloudError::Conflict`] when the condition does not hold.
    async fn put(&self, at: &At, bytes: Bytes, condition: IfMatch) -> Result<Etag>;

    /// Reads; none when nothing is there.
    async fn get(&self, at: &At) -> Result<Option<FileContent>>;

    /// Reads at most `len` bytes from `offset` on, without looking at the rest; none when nothing is there. Beyond the end
    /// there are no bytes, and a `len` of 0 tells only size and etag.
    async fn read_range(&self, at: &At, offset: u64, len: usize) -> Result<Option<FilePart>>;

    /// The etag of what is there, as [`Files::get`] gives it, without its bytes.
    async fn etag(&self, at: &At) -> Result<Option<Etag>>;

    /// Whether something is there.
    async fn exists(&self, at: &At) -> Result<bool> {
        Ok(self.etag(at).await?.is_some())
    }

    /// Copies on the far side, without the bytes passing through here. [`super::CloudError::NotFound`] without a
    /// source, [`super::CloudError::Conflict`] when the condition does not hold for what is at `to`.
    async fn copy(&self, from: &At, to: &At, condition: IfMatch) -> Result<Etag>;

    /// Deletes; fine when nothing is there, whatever the condition. [`super::CloudError::Conflict`] when something is there
    /// that the condition does not allow.
    async fn delete(&self, at: &At, condition: IfMatch) -> Result<()>;

    /// The keys below a prefix, in order.
    async fn list(&self, space: &Space, prefix: &str) -> Result<Vec<String>>;

    /// What others call the bucket of the private objects when they say that they put something there.
    async fn objects_bucket(&self) -> Result<String>;

    /// Where browsers get the pages of a site without hermes; none where hermes has to serve them.
    fn public_host(&self, site: &SiteTarget) -> Option<PublicHost>;
}
