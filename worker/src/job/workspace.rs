//! The folder of one project+user, kept warm between jobs and locked while one uses it: the checkout, and for
//! agent and build a home and temporary files each.

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::folders;
use crate::leftovers::{is_orphaned, kill_holders};

/// How long the folder's lock is waited for before a sibling folder is used.
const LOCK_WAIT: Duration = Duration::from_secs(1);
const LOCK_POLL: Duration = Duration::from_millis(50);
/// So many folders one project+user may have at once.
const MAX_SIBLINGS: u32 = 16;

/// Where a child keeps what is its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// Its home.
    pub home: PathBuf,
    /// Its temporary files.
    pub tmp: PathBuf,
}

/// The file in a working folder whose lock says that somebody uses it, and whose time says when.
pub(super) fn lock_of(folder: &Path) -> PathBuf {
    folder.join("lock")
}

/// What says that this checkout holds nothing worth keeping but its commits: a build was at work in it and nobody has cleaned
/// up after it, or a branch is being laid out.
pub(super) fn built_marker(repo: &Path) -> PathBuf {
    repo.with_file_name("built")
}

/// What says that edits of this checkout could not be committed in time when their job was cut off.
pub(super) fn left_marker(repo: &Path) -> PathBuf {
    repo.with_file_name("left")
}

/// What says since when an agent or a build was at work in this checkout, and that nobody has looked for what it did to
/// packages and caches.
pub(super) fn agent_marker(repo: &Path) -> PathBuf {
    repo.with_file_name("agent")
}

/// What says which commit was built last: builds of it, and of those before it, have written what is in the caches.
pub(super) fn cached_marker(repo: &Path) -> PathBuf {
    repo.with_file_name("cached")
}

/// Remembers what was installed last.
pub(super) fn installed_marker(repo: &Path) -> PathBuf {
    repo.with_file_name("installed")
}

/// Home and temporary files of a child that works in this folder.
pub(super) fn places_in(folder: &Path, who: &str) -> Places {
    let [home, tmp] = ["home", "tmp"].map(|kind| folder.join(format!("{who}-{kind}")));
    Places { home, tmp }
}

/// Where files that came with the mail lie while an agent works in this folder.
pub(super) fn attachments_in(folder: &Path) -> PathBuf {
    folder.join("attachments")
}

/// Whether this folder stands in for one that was locked.
pub(super) fn is_sibling(folder: &Path) -> bool {
    folder
        .extension()
        .is_some_and(|number| number.to_str().is_some_and(|number| number.parse::<u32>().is_ok()))
}

/// A locked folder of one project+user.
#[derive(Debug, Clone)]
pub struct Workspace {
    root: PathBuf,
    lock: Arc<File>,
}

impl Workspace {
    /// The folder that everything lies in.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the gateway's socket lies while a child runs.
    pub fn door(&self) -> PathBuf {
        self.root.join("door")
    }

    /// The working tree.
    pub fn repo(&self) -> PathBuf {
        self.root.join("repo")
    }

    /// The agent's own folders, empty: settings of whoever ran before would be obeyed.
    pub fn fresh_agent_places(&self) -> io::Result<Places> {
        let places = self.places("agent");
        empty(&places.home)?;
        empty(&places.tmp)?;
        Ok(places)
    }

    /// A home for the builds of one commit. What builds of others left in it would be obeyed, as the settings of npm are;
    /// so nothing stays but [packages](super::fetched).
    pub fn fresh_build_home(&self) -> io::Result<()> {
        let home = self.places("build").home;
        let aside = self.root.join("fetched");
        folders::remove(&aside)?;
        super::fetched::take(&home, &aside);
        empty(&home)?;
        super::fetched::put_back(&aside, &home);
        folders::remove(&aside)
    }

    /// The build's own folders; nothing is left of the child before but its home.
    pub fn build_places(&self) -> io::Result<Places> {
        let places = self.places("build");
        std::fs::create_dir_all(&places.home)?;
        empty(&places.tmp)?;
        Ok(places)
    }

    /// Home and temporary files of this child.
    pub fn places(&self, who: &str) -> Places {
        places_in(&self.root, who)
    }

    /// Files that came with the mail, while the agent works.
    pub fn attachments(&self) -> PathBuf {
        attachments_in(&self.root)
    }

    /// Remembers what was installed last.
    pub fn installed_marker(&self) -> PathBuf {
        installed_marker(&self.repo())
    }

    /// There while the working tree holds what a build made of a commit, and nothing else that is worth keeping.
    pub fn built_marker(&self) -> PathBuf {
        built_marker(&self.repo())
    }

    /// Works on its files beside the runtime. It stays locked until that ends, also where nobody waits for it any more.
    pub fn beside<T: Send + 'static>(&self, work: impl FnOnce(&Self) -> T + Send + 'static) -> JoinHandle<T> {
        let workspace = self.clone();
        tokio::task::spawn_blocking(move || work(&workspace))
    }

    /// Held by this process and by every child it is given to.
    pub fn lock(&self) -> Arc<File> {
        self.lock.clone()
    }

    /// Locks the folder of a project+user, or a sibling of it when a run of before still holds it.
    pub async fn lock_folder(folder: &Path) -> io::Result<Self> {
        if let Some(workspace) = lock_within(folder, LOCK_WAIT).await? {
            return Ok(workspace);
        }
        for number in 2..=MAX_SIBLINGS {
            let sibling = folder.with_added_extension(number.to_string());
            if let Some(workspace) = lock_within(&sibling, Duration::ZERO).await? {
                tracing::warn!(folder = %sibling.display(), "a sibling folder is used, because a stopped run still holds the first one");
                return Ok(workspace);
            }
        }
        Err(io::Error::other("all its siblings are locked too"))
    }
}

fn open_lock(folder: &Path) -> io::Result<File> {
    std::fs::create_dir_all(folder.join("repo"))?;
    File::options().create(true).truncate(false).write(true).open(lock_of(folder))
}

fn is_lock_of(lock: &File, folder: &Path) -> bool {
    let there = std::fs::symlink_metadata(lock_of(folder));
    there.is_ok_and(|there| {
        lock.metadata().is_ok_and(|ours| ours.ino() == there.ino() && ours.dev() == there.dev())
    })
}

async fn lock_within(folder: &Path, wait: Duration) -> io::Result<Option<Workspace>> {
    let mut lock = open_lock(folder)?;
    let deadline = tokio::time::Instant::now() + wait;
    loop {
        match lock.try_lock() {
            // It was removed to make room while we waited for it.
            Ok(()) if !is_lock_of(&lock, folder) => lock = open_lock(folder)?,
            Ok(()) => {
                // Writing moves the time of the last use.
                lock.write_all_at(b"\n", 0)?;
                return Ok(Some(Workspace { root: folder.to_owned(), lock: Arc::new(lock) }));
            }
            Err(TryLockError::WouldBlock) if tokio::time::Instant::now() < deadline => {
                if is_orphaned(&lock) {
                    kill_holders(&lock);
                }
                tokio::time::sleep(LOCK_POLL).await;
            }
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

fn empty(folder: &Path) -> io::Result<()> {
    folders::remove(folder)?;
    std::fs::create_dir_all(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_that_nobody_waits_for_any_more_still_holds_the_folder() {
        let stand = tempfile::tempdir().unwrap();
        let locked = async || lock_within(stand.path(), Duration::ZERO).await.unwrap();
        let (go_on, waits) = std::sync::mpsc::channel::<()>();
        let working = locked().await.unwrap().beside(move |workspace| {
            waits.recv().ok();
            workspace.root().exists()
        });
        assert!(locked().await.is_none(), "nobody else has the workspace");
        drop(go_on);
        assert!(working.await.unwrap());
        assert!(locked().await.is_some());
    }
}
