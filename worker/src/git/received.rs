//! How much a remote may send, and for how long: a fetch ends when it has brought too much, and when nobody waits for it any
//! more. What it had brought until then is removed.
//!
//! What came is not unpacked on the disk; but libgit2 unpacks each object in memory while it makes the index of a pack, and
//! asks nobody how large one may become.

use std::cell::{Cell, RefCell};

use git2::{AutotagOption, FetchOptions, RemoteRedirect};
use tokio_util::sync::CancellationToken;

use super::{Access, During as _, GitError, GitKind, Result};

const MB: u64 = 1024 * 1024;
/// As much as a source may have when it is laid out; packed, even its history takes less as a rule.
pub(super) const MAX_BYTES: u64 = 8 * 1024 * MB;

thread_local! {
    /// Says of the work of this thread that nobody waits for it any more.
    static GIVEN_UP: RefCell<CancellationToken> = RefCell::default();
}

/// Does work on this thread for which somebody waits until the token is cancelled.
pub(super) fn until<T>(given_up: CancellationToken, work: impl FnOnce() -> T) -> T {
    let before = GIVEN_UP.replace(given_up);
    let done = work();
    GIVEN_UP.set(before);
    done
}

/// Why a fetch was ended.
#[derive(Debug, Clone, Copy)]
enum Why {
    TooMuch,
    GivenUp,
}

/// A fetch that brings no more than so many bytes.
pub(super) fn fetch(
    access: &Access,
    what: &str,
    max_bytes: u64,
    work: impl FnOnce(&mut FetchOptions<'_>) -> std::result::Result<(), git2::Error>,
) -> Result<()> {
    let given_up = GIVEN_UP.with_borrow(CancellationToken::clone);
    let ended = Cell::new(None);
    let mut callbacks = access.callbacks();
    callbacks.transfer_progress(|progress| {
        if progress.received_bytes() as u64 > max_bytes {
            ended.set(Some(Why::TooMuch));
        } else if given_up.is_cancelled() {
            ended.set(Some(Why::GivenUp));
        }
        ended.get().is_none()
    });
    let mut options = FetchOptions::new();
    options.remote_callbacks(callbacks);
    options.download_tags(AutotagOption::None).follow_redirects(RemoteRedirect::None);
    let done = work(&mut options);
    match (done, ended.get()) {
        (Err(_), Some(Why::TooMuch)) => {
            let detail = format!("the source and its history have more than {} MB", max_bytes / MB);
            Err(GitError::new(GitKind::TooLarge, what, detail))
        }
        (Err(_), Some(Why::GivenUp)) => {
            Err(GitError::new(GitKind::Unreachable, what, "nobody waits for it any more"))
        }
        (done, _) => done.during(what),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::mpsc;
    use std::time::Duration;

    use common::domain::repo_url::{RepoRules, RepoUrl};
    use git2::ObjectType;

    use super::super::{Oid, fetch_branches, off_thread, open_or_init};
    use super::*;

    /// A remote with 20 files of a few kB that do not pack, and an empty clone of it.
    fn stand(folder: &Path) -> (git2::Repository, Access) {
        let remote = open_or_init(&folder.join("remote")).unwrap();
        let mut tree = remote.treebuilder(None).unwrap();
        for file in 0..20_u32 {
            let hash =
                |part: u32| Oid::hash_object(ObjectType::Blob, &(file * 1000 + part).to_ne_bytes()).unwrap();
            let bytes: Vec<u8> = (0..200).flat_map(|part| hash(part).as_bytes().to_vec()).collect();
            tree.insert(file.to_string(), remote.blob(&bytes).unwrap(), 0o100_644).unwrap();
        }
        let tree = remote.find_tree(tree.write().unwrap()).unwrap();
        let who = git2::Signature::now("a", "a@example.org").unwrap();
        remote.commit(Some("refs/heads/main"), &who, &who, "one", &tree, &[]).unwrap();
        let url = format!("file://{}", folder.join("remote").display());
        let rules = RepoRules { hosts: Vec::new(), allow_files: true };
        let access = Access { url: RepoUrl::parse(&url, &rules).unwrap(), token: None };
        (open_or_init(&folder.join("clone")).unwrap(), access)
    }

    fn packs(repo: &git2::Repository) -> usize {
        std::fs::read_dir(repo.path().join("objects/pack")).unwrap().count()
    }

    #[test]
    fn a_fetch_ends_when_it_has_brought_too_much_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (clone, access) = stand(folder.path());
        let main = || vec!["main".to_owned()];
        let error = fetch_branches(&clone, &access, 30_000, |_| main()).unwrap_err();
        assert_eq!(error.kind, GitKind::TooLarge, "{error}");
        assert_eq!(packs(&clone), 0);
        fetch_branches(&clone, &access, MAX_BYTES, |_| main()).unwrap();
        assert!(clone.refname_to_id("refs/remotes/origin/main").is_ok());
    }

    #[test]
    fn a_fetch_ends_when_nobody_waits_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let (clone, access) = stand(folder.path());
        let given_up = CancellationToken::new();
        given_up.cancel();
        let fetched =
            until(given_up, || fetch_branches(&clone, &access, MAX_BYTES, |_| vec!["main".to_owned()]));
        let error = fetched.unwrap_err();
        assert_eq!((error.kind, error.detail()), (GitKind::Unreachable, "nobody waits for it any more"));
        assert_eq!(packs(&clone), 0);
    }

    #[tokio::test]
    async fn whoever_stops_waiting_gives_up_what_they_waited_for() {
        let (tell, told) = mpsc::channel();
        let work = off_thread(move || {
            let given_up = GIVEN_UP.with_borrow(CancellationToken::clone);
            tokio::runtime::Handle::current().block_on(given_up.cancelled());
            tell.send(()).ok();
            Ok(())
        });
        assert!(tokio::time::timeout(Duration::from_millis(50), work).await.is_err());
        told.recv_timeout(Duration::from_secs(10)).unwrap();
    }
}
