//! Wakes whoever waits for a queue, in this process and in others. Queues share 64 buckets; a sender touches the
//! bucket's file after its commit, and every process watches the folder of these files with one inotify watcher.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use sha2::{Digest, Sha256};
use tokio::sync::watch;

const BUCKETS: usize = 64;
/// How often waiters look when the system gives us no watcher.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// A set of buckets.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Buckets(u64);

impl Buckets {
    /// Adds the bucket of a queue.
    pub(super) fn add(&mut self, queue: &str) {
        self.0 |= 1 << bucket(queue);
    }

    fn iter(self) -> impl Iterator<Item = usize> {
        (0..BUCKETS).filter(move |index| self.0 & (1 << index) != 0)
    }
}

fn bucket(queue: &str) -> usize {
    usize::from(Sha256::digest(queue.as_bytes())[0]) % BUCKETS
}

/// The waiters of this process and the files that reach those of others.
pub(super) struct Wake {
    folder: PathBuf,
    waiters: Arc<Vec<watch::Sender<()>>>,
    files: Vec<OnceLock<Option<File>>>,
    watcher: OnceLock<Option<RecommendedWatcher>>,
}

impl Wake {
    /// Over this folder; nothing is opened before it is needed.
    pub(super) fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            waiters: Arc::new((0..BUCKETS).map(|_| watch::Sender::new(())).collect()),
            files: (0..BUCKETS).map(|_| OnceLock::new()).collect(),
            watcher: OnceLock::new(),
        }
    }

    /// To be called before looking into the queue: whatever is sent from now on is noticed.
    pub(super) fn listen(&self, queue: &str) -> Listener {
        let watched = self.watcher.get_or_init(|| self.watch()).is_some();
        Listener {
            bucket: self.waiters[bucket(queue)].subscribe(),
            at_most: if watched { Duration::MAX } else { LOOK_AGAIN },
        }
    }

    /// Wakes the waiters of these buckets everywhere.
    pub(super) fn signal(&self, buckets: Buckets) {
        for index in buckets.iter() {
            self.waiters[index].send_replace(());
            if let Some(Err(error)) = self.file(index).map(|file| file.write_all_at(b"!", 0)) {
                tracing::warn!(%error, folder = %self.folder.display(), "other processes notice a message late");
            }
        }
    }

    fn file(&self, index: usize) -> Option<&File> {
        self.files[index]
            .get_or_init(|| {
                open(&self.folder.join(format!("{index:02}")))
                    .inspect_err(|error| {
                        tracing::warn!(%error, folder = %self.folder.display(), "other processes notice messages late");
                    })
                    .ok()
            })
            .as_ref()
    }

    fn watch(&self) -> Option<RecommendedWatcher> {
        let waiters = Arc::clone(&self.waiters);
        let watched = notify::recommended_watcher(move |event| wake_waiters(&waiters, event)).and_then(
            |mut watcher| {
                watcher.watch(&self.folder, RecursiveMode::NonRecursive)?;
                Ok(watcher)
            },
        );
        watched
            .inspect_err(|error| {
                tracing::warn!(
                    %error,
                    folder = %self.folder.display(),
                    "the folder cannot be watched, queues are looked at every 100 ms instead (raise fs.inotify limits)"
                );
            })
            .ok()
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(false).write(true).open(path)
}

/// Wakes the bucket of the touched file; all of them when the kernel lost count.
fn wake_waiters(waiters: &[watch::Sender<()>], event: notify::Result<Event>) {
    match event {
        Ok(event) if !event.need_rescan() => {
            for waiter in event.paths.iter().filter_map(|path| waiters.get(index_of(path)?)) {
                waiter.send_replace(());
            }
        }
        Ok(_) | Err(_) => {
            for waiter in waiters {
                waiter.send_replace(());
            }
        }
    }
}

fn index_of(path: &Path) -> Option<usize> {
    path.file_name()?.to_str()?.parse().ok()
}

/// Hears of messages for one queue (and now and then for another one of its bucket).
pub(super) struct Listener {
    bucket: watch::Receiver<()>,
    at_most: Duration,
}

impl Listener {
    /// Returns when something was sent since this was last called, or after `limit`.
    pub(super) async fn heard(&mut self, limit: Duration) {
        // Both endings mean the same: look again.
        let _ = tokio::time::timeout(limit.min(self.at_most), self.bucket.changed()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    fn set(queue: &str) -> Buckets {
        let mut buckets = Buckets::default();
        buckets.add(queue);
        buckets
    }

    async fn assert_heard(listener: &mut Listener) {
        let began = tokio::time::Instant::now();
        listener.heard(LONG).await;
        assert!(began.elapsed() < LONG, "nothing was heard");
    }

    #[tokio::test]
    async fn what_is_signalled_before_the_wait_is_not_lost() {
        let dir = tempfile::tempdir().unwrap();
        let wake = Wake::new(dir.path().to_owned());
        let mut listener = wake.listen("queue");
        wake.signal(set("queue"));
        assert_heard(&mut listener).await;
    }

    #[tokio::test]
    async fn a_signal_reaches_another_process() {
        let dir = tempfile::tempdir().unwrap();
        let (here, there) = (Wake::new(dir.path().to_owned()), Wake::new(dir.path().to_owned()));
        for _ in 0..3 {
            let mut listener = there.listen("queue");
            here.signal(set("queue"));
            assert_heard(&mut listener).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_watcher_waiters_look_every_100_ms() {
        let dir = tempfile::tempdir().unwrap();
        let wake = Wake::new(dir.path().join("not there"));
        let began = tokio::time::Instant::now();
        wake.listen("queue").heard(LONG).await;
        assert_eq!(began.elapsed(), LOOK_AGAIN);
    }

    #[test]
    fn when_the_kernel_lost_count_everybody_looks() {
        let waiters: Vec<_> = (0..BUCKETS).map(|_| watch::Sender::new(())).collect();
        let listeners: Vec<_> = waiters.iter().map(watch::Sender::subscribe).collect();
        let lost = Event::new(notify::EventKind::Other).set_flag(notify::event::Flag::Rescan);
        wake_waiters(&waiters, Ok(lost));
        assert!(listeners.iter().all(|listener| listener.has_changed().unwrap()));
    }
}
