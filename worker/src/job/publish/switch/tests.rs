//! A stale publication against a newer one, on real files.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use common::clock::Clock;
use common::cloud::files::{FileContent, FilePart, Files, Space};
use common::domain::claim::Epoch;
use common::domain::job::WorkAction;
use common::domain::names::{ContentHash, PublicHost, SiteTarget};
use common::domain::site::{Release, SiteFile};
use common::domain::timestamp::Timestamp;
use tokio::sync::Notify;

use super::*;
use crate::job::handover::Site;
use crate::job::output::Output;
use crate::job::publish::{Choice, Contents, Wanted};

/// Stops once, before a call on one page, until it is told to go on.
struct Pausing {
    files: Arc<dyn Files>,
    page: &'static str,
    paused: AtomicBool,
    reached: Arc<Notify>,
    go: Arc<Notify>,
}

impl Pausing {
    async fn pause(&self, at: &At) {
        if at.key == self.page && !self.paused.swap(true, Ordering::SeqCst) {
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
        assert!(at.space == Space::Objects, "no page passes through here: {at}");
        self.files.get(at).await
    }
    async fn read_range(&self, at: &At, offset: u64, len: usize) -> CloudResult<Option<FilePart>> {
        self.files.read_range(at, offset, len).await
    }
    async fn etag(&self, at: &At) -> CloudResult<Option<Etag>> {
        self.files.etag(at).await
    }
    async fn copy(&self, from: &At, to: &At, condition: IfMatch) -> CloudResult<Etag> {
        self.pause(to).await;
        self.files.copy(from, to, condition).await
    }
    async fn delete(&self, at: &At, condition: IfMatch) -> CloudResult<()> {
        self.pause(at).await;
        self.files.delete(at, condition).await
    }
    async fn list(&self, space: &Space, prefix: &str) -> CloudResult<Vec<String>> {
        self.files.list(space, prefix).await
    }
    async fn objects_bucket(&self) -> CloudResult<String> {
        self.files.objects_bucket().await
    }
    fn public_host(&self, site: &SiteTarget) -> Option<PublicHost> {
        self.files.public_host(site)
    }
}

/// A store whose etags tell contents apart, but not the same bytes written again: as S3 has it.
struct ByContent(Arc<dyn Files>);

fn by_content(bytes: &Bytes) -> Etag {
    Etag(ContentHash::of(bytes).as_str().to_owned())
}

impl ByContent {
    /// The condition as the store below states it.
    async fn below(&self, at: &At, condition: IfMatch) -> CloudResult<IfMatch> {
        let IfMatch::Etag(wanted) = condition else { return Ok(condition) };
        let found = self.0.get(at).await?.filter(|content| by_content(&content.bytes) == wanted);
        Ok(IfMatch::Etag(found.map_or(Etag("another".into()), |content| content.etag)))
    }

    async fn above(&self, at: &At) -> CloudResult<Etag> {
        let content = self.0.get(at).await?;
        Ok(content.map_or(Etag(String::new()), |content| by_content(&content.bytes)))
    }
}

#[async_trait]
impl Files for ByContent {
    async fn put(&self, at: &At, bytes: Bytes, condition: IfMatch) -> CloudResult<Etag> {
        let condition = self.below(at, condition).await?;
        let etag = by_content(&bytes);
        self.0.put(at, bytes, condition).await.map(|_| etag)
    }
    async fn get(&self, at: &At) -> CloudResult<Option<FileContent>> {
        let found = self.0.get(at).await?;
        Ok(found.map(|content| FileContent { etag: by_content(&content.bytes), ..content }))
    }
    async fn read_range(&self, at: &At, offset: u64, len: usize) -> CloudResult<Option<FilePart>> {
        self.0.read_range(at, offset, len).await
    }
    async fn etag(&self, at: &At) -> CloudResult<Option<Etag>> {
        Ok(self.get(at).await?.map(|content| content.etag))
    }
    async fn copy(&self, from: &At, to: &At, condition: IfMatch) -> CloudResult<Etag> {
        let condition = self.below(to, condition).await?;
        self.0.copy(from, to, condition).await?;
        self.above(to).await
    }
    async fn delete(&self, at: &At, condition: IfMatch) -> CloudResult<()> {
        let condition = self.below(at, condition).await?;
        self.0.delete(at, condition).await
    }
    async fn list(&self, space: &Space, prefix: &str) -> CloudResult<Vec<String>> {
        self.0.list(space, prefix).await
    }
    async fn objects_bucket(&self) -> CloudResult<String> {
        self.0.objects_bucket().await
    }
    fn public_host(&self, site: &SiteTarget) -> Option<PublicHost> {
        self.0.public_host(site)
    }
}

struct Stand {
    dir: tempfile::TempDir,
    files: Arc<dyn Files>,
    target: SiteTarget,
}

impl Stand {
    fn new() -> Self {
        Self::over(|files| files)
    }

    fn over(wrap: impl FnOnce(Arc<dyn Files>) -> Arc<dyn Files>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let prefix = "webordinary".parse().unwrap();
        let cloud = common::cloud::local::open(&dir.path().join("data"), prefix, Clock::System).unwrap();
        Self { files: wrap(cloud.files), target: SiteTarget::Live("bakery".parse().unwrap()), dir }
    }

    fn publication(&self, epoch: u64, files: Arc<dyn Files>) -> Publication {
        Publication {
            files,
            target: self.target.clone(),
            user: Some("amelia".parse().unwrap()),
            epoch: Epoch(epoch),
            command: None,
            begun: Arc::default(),
            ours: Arc::default(),
        }
    }

    fn site(&self, epoch: u64, pages: &[(&str, &str)]) -> (Wanted, Contents) {
        let folder = self.dir.path().join(uuid::Uuid::new_v4().to_string());
        let content = |(path, text): &(&str, &str)| {
            std::fs::create_dir_all(folder.join(path).parent().unwrap()).unwrap();
            std::fs::write(folder.join(path), text).unwrap();
            let sha256 = ContentHash::of(text.as_bytes());
            ((*path).to_owned(), SiteFile { sha256, size_bytes: text.len() as u64 })
        };
        std::fs::create_dir(&folder).unwrap();
        let files = pages.iter().map(content).collect();
        let contents = Contents::of(&Site { output: Arc::new(Output::open(&folder, ".").unwrap()), files });
        let release = Release {
            number: 0,
            command_id: format!("c-{epoch}").parse().unwrap(),
            commit_id: String::new(),
            action: WorkAction::Publish,
            thread_id: None,
            user_id: None,
            restores: None,
            replaces: None,
            published_at: Timestamp::default(),
        };
        (Wanted { release, includes: Vec::new(), files: contents.files.clone() }, contents)
    }

    async fn put_up(&self, epoch: u64, pages: &[(&str, &str)]) {
        let site = self.site(epoch, pages);
        put_up(&self.publication(epoch, self.files.clone()), site).await.unwrap();
    }

    async fn page(&self, path: &str) -> Option<String> {
        let content = self.files.get(&At::page(&self.target, path)).await.unwrap()?;
        Some(String::from_utf8(content.bytes.to_vec()).unwrap())
    }
}

async fn put_up(publication: &Publication, (wanted, contents): (Wanted, Contents)) -> CloudResult<Release> {
    publication.put_up(&contents, |_| Choice::PutUp::<Release>(wanted.clone())).await
}

/// A publication of these pages stops before `page`, a newer one is made, the first goes on.
async fn overtaken(page: &'static str, stale: &[(&str, &str)], newer: &[(&str, &str)]) -> Stand {
    overtaken_on(Stand::new(), page, stale, newer).await
}

async fn overtaken_on(
    stand: Stand,
    page: &'static str,
    stale: &[(&str, &str)],
    newer: &[(&str, &str)],
) -> Stand {
    stand.put_up(1, &[("a.css", "old"), ("index.html", "old"), ("gone.html", "old")]).await;
    let (reached, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let paused = Pausing {
        files: stand.files.clone(),
        page,
        paused: AtomicBool::new(false),
        reached: reached.clone(),
        go: go.clone(),
    };
    let publication = stand.publication(1, Arc::new(paused));
    let site = stand.site(1, stale);
    let stale = tokio::spawn(async move { put_up(&publication, site).await });
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

/// Both ways in which the very same bytes can lie where they lay: the newer site has them, or it has put them back.
#[tokio::test]
async fn a_stale_publication_leaves_no_page_of_its_own_where_the_same_bytes_were_put_back() {
    let stale = [("a.css", "stale"), ("index.html", "stale")];
    let newer = [("a.css", "old"), ("index.html", "old"), ("gone.html", "old")];
    for page in ["a.css", "index.html", "gone.html"] {
        for stand in [Stand::new(), Stand::over(|files| Arc::new(ByContent(files)))] {
            let stand = overtaken_on(stand, page, &stale, &newer).await;
            for (path, text) in newer {
                assert_eq!(stand.page(path).await.as_deref(), Some(text), "{path}, stopped before {page}");
            }
        }
    }
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

const FILE: [(&str, &str); 2] = [("about", "file"), ("index.html", "same")];
const FOLDER: [(&str, &str); 3] =
    [("about/index.html", "folder"), ("about/team/a.css", "folder"), ("index.html", "same")];

async fn shows(stand: &Stand, pages: &[(&str, &str)]) {
    for (path, text) in pages {
        assert_eq!(stand.page(path).await.as_deref(), Some(*text), "{path}");
    }
    let all = stand.files.list(&Space::Site(stand.target.clone()), "").await.unwrap();
    assert_eq!(all.len(), pages.len(), "{all:?}");
}

#[tokio::test]
async fn a_file_becomes_a_folder_and_a_folder_a_file() {
    for stand in [Stand::new(), Stand::over(|files| Arc::new(ByContent(files)))] {
        for pages in [&FILE[..], &FOLDER, &FILE] {
            stand.put_up(1, pages).await;
            shows(&stand, pages).await;
        }
    }
}

#[tokio::test]
async fn a_file_that_was_about_to_become_a_folder_when_its_worker_died_is_one_afterwards() {
    for page in ["about", "about/index.html"] {
        for (before, after) in [(&FILE[..], &FOLDER[..]), (&FOLDER, &FILE)] {
            let stand = Stand::new();
            stand.put_up(1, before).await;
            let (reached, site) = (Arc::new(Notify::new()), stand.site(1, after));
            let paused = Pausing {
                files: stand.files.clone(),
                page,
                paused: AtomicBool::new(false),
                reached: reached.clone(),
                go: Arc::default(),
            };
            let publication = stand.publication(1, Arc::new(paused));
            let dying = tokio::spawn(async move { put_up(&publication, site).await });
            tokio::time::timeout(Duration::from_secs(20), reached.notified()).await.unwrap();
            dying.abort();
            stand.publication(2, stand.files.clone()).settled().await.unwrap();
            shows(&stand, after).await;
            stand.put_up(2, before).await;
            shows(&stand, before).await;
        }
    }
}

#[tokio::test]
async fn a_stale_publication_puts_no_page_below_one_of_a_newer_publication() {
    let stale = [("a.css", "stale"), ("gone.html/index.html", "stale")];
    for page in ["gone.html", "gone.html/index.html"] {
        let stand = overtaken(page, &stale, &[("gone.html", "new")]).await;
        shows(&stand, &[("gone.html", "new")]).await;
    }
}
