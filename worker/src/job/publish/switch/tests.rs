//! A stale publication against a newer one, on real files.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use common::clock::Clock;
use common::cloud::files::{FileContent, FilePart, Files, Space};
use common::domain::claim::Epoch;
use common::domain::names::{ContentHash, SiteTarget};
use common::domain::timestamp::Timestamp;
use tokio::sync::Notify;

use super::*;
use crate::job::publish::Contents;

/// Stops before a call on one page until it is told to go on.
struct Pausing {
    files: Arc<dyn Files>,
    page: &'static str,
    reached: Arc<Notify>,
    go: Arc<Notify>,
}

impl Pausing {
    async fn pause(&self, at: &At) {
        if at.key == self.page {
            self.reached.notify_one();
            self.go.notified().await;
        }
    }
}

#[async_trait]
impl Files for Pausing {
    async fn put(&self, at: &At, bytes: Bytes, condition: IfMatch) -> CloudResult<Etag> {
        self.files.put(at, bytes, condition).await
    }
    async fn get(&self, at: &At) -> CloudResult<Option<FileContent>> {
        self.files.get(at).await
    }
    async fn read_range(&self, at: &At, offset: u64, len: usize) -> CloudResult<Option<FilePart>> {
        self.files.read_range(at, offset, len).await
    }
    async fn exists(&self, at: &At) -> CloudResult<bool> {
        self.files.exists(at).await
    }
    async fn copy(&self, from: &At, to: &At, condition: IfMatch) -> CloudResult<Etag> {
        self.pause(to).await;
        self.files.copy(from, to, condition).await
    }
    async fn delete(&self, at: &At) -> CloudResult<()> {
        self.files.delete(at).await
    }
    async fn list(&self, space: &Space, prefix: &str) -> CloudResult<Vec<String>> {
        self.files.list(space, prefix).await
    }
}

struct Stand {
    dir: tempfile::TempDir,
    files: Arc<dyn Files>,
    target: SiteTarget,
}

impl Stand {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let prefix = "webordinary".parse().unwrap();
        let cloud = common::cloud::local::open(&dir.path().join("data"), prefix, Clock::System).unwrap();
        Self { files: cloud.files, target: SiteTarget::Live("bakery".parse().unwrap()), dir }
    }

    fn publication(&self) -> Publication {
        Publication { files: self.files.clone(), target: self.target.clone() }
    }

    fn site(&self, epoch: u64, pages: &[(&str, &str)]) -> (Manifest, Contents) {
        let content = |(path, text): &(&str, &str)| {
            let sha256 = ContentHash::of(text.as_bytes());
            let place = self.dir.path().join(sha256.as_str());
            std::fs::write(&place, text).unwrap();
            ((*path).to_owned(), (place, SiteFile { sha256, size_bytes: text.len() as u64 }))
        };
        let contents: Contents = pages.iter().map(content).collect();
        let manifest = Manifest {
            command_id: format!("c-{epoch}").parse().unwrap(),
            commit_id: String::new(),
            epoch: Epoch(epoch),
            state: ManifestState::Publishing,
            published_at: Timestamp::default(),
            files: contents.iter().map(|(path, (_, file))| (path.clone(), file.clone())).collect(),
            removed: Vec::new(),
        };
        (manifest, contents)
    }

    async fn put_up(&self, epoch: u64, pages: &[(&str, &str)]) {
        let (manifest, contents) = self.site(epoch, pages);
        self.publication().put_up(manifest, &contents).await.unwrap();
    }

    async fn page(&self, path: &str) -> Option<String> {
        let content = self.files.get(&At::page(&self.target, path)).await.unwrap()?;
        Some(String::from_utf8(content.bytes.to_vec()).unwrap())
    }
}

/// A publication of these pages stops before `page`, a newer one is made, the first goes on.
async fn overtaken(page: &'static str, stale: &[(&str, &str)], newer: &[(&str, &str)]) -> Stand {
    let stand = Stand::new();
    stand.put_up(1, &[("a.css", "old"), ("index.html", "old"), ("gone.html", "old")]).await;
    let (reached, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let paused = Pausing { files: stand.files.clone(), page, reached: reached.clone(), go: go.clone() };
    let publication = Publication { files: Arc::new(paused), target: stand.target.clone() };
    let (manifest, contents) = stand.site(1, stale);
    let stale = tokio::spawn(async move { publication.put_up(manifest, &contents).await });
    tokio::time::timeout(Duration::from_secs(20), reached.notified()).await.unwrap();
    stand.put_up(2, newer).await;
    go.notify_one();
    let lost = stale.await.unwrap();
    assert!(matches!(lost, Err(CloudError::FenceLost(_))), "{lost:?}");
    stand
}

#[tokio::test]
async fn a_stale_publication_changes_no_page_of_a_newer_one() {
    let stale = [("a.css", "stale"), ("index.html", "stale"), ("gone.html", "old")];
    for page in ["a.css", "index.html"] {
        let stand =
            overtaken(page, &stale, &[("a.css", "new"), ("index.html", "new"), ("x.html", "new")]).await;
        for path in ["a.css", "index.html", "x.html"] {
            assert_eq!(stand.page(path).await.as_deref(), Some("new"), "{path}, stopped before {page}");
        }
        assert_eq!(stand.page("gone.html").await, None);
    }
}

#[tokio::test]
async fn a_stale_publication_neither_brings_back_nor_deletes_pages_of_a_newer_one() {
    let stale = [("a.css", "stale"), ("index.html", "stale"), ("back.html", "stale")];
    let stand = overtaken("index.html", &stale, &[("a.css", "new"), ("gone.html", "new")]).await;
    assert_eq!(stand.page("gone.html").await.as_deref(), Some("new"));
    assert_eq!((stand.page("index.html").await, stand.page("back.html").await), (None, None));
}

#[tokio::test]
async fn a_page_that_somebody_else_wrote_meanwhile_is_replaced_while_the_manifest_is_ours() {
    let stand = Stand::new();
    stand.put_up(1, &[("index.html", "old")]).await;
    for path in ["index.html", "more.html"] {
        stand.files.put(&At::page(&stand.target, path), "by hand".into(), IfMatch::Any).await.unwrap();
    }
    stand.put_up(1, &[("index.html", "new"), ("more.html", "new")]).await;
    assert_eq!(stand.page("index.html").await.as_deref(), Some("new"));
    assert_eq!(stand.page("more.html").await.as_deref(), Some("new"));
}
