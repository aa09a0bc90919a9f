//! A full disk and a read-only one: calls fail with words that help, nothing acknowledged is lost, and work goes on when
//! there is room again. The disk is a tiny tmpfs, or, where nothing may be mounted, a limit on the size of files.
#![allow(clippy::unwrap_used, reason = "a test: a panic is how it fails")]

mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use common::clock::Clock;
use common::cloud::files::{At, IfMatch};
use common::cloud::queue::{MAX_BATCH, Outgoing};
use common::cloud::{Cloud, CloudError, local};
use common::domain::names::{Prefix, Queue};
use support::{LIMIT, Other, open, role, runtime, say, start, succeeds};

const TEST: &str = "a_full_disk_loses_nothing_and_recovers";
/// Of ten: the rest holds the log of the database, and this the database itself when the log is carried over.
const BALLAST_BYTES: usize = 6 * 1024 * 1024;
const BODY_BYTES: usize = 64 * 1024;

#[test]
fn a_full_disk_loses_nothing_and_recovers() {
    if let Some((_, dir)) = role() {
        return runtime().block_on(fill(&dir));
    }
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    if let Some(_disk) = Mounted::tmpfs(dir.path()) {
        let ballast = dir.path().join("ballast");
        std::fs::write(&ballast, vec![0; BALLAST_BYTES]).unwrap();
        let filling = start(&[], TEST, "fill", &data);
        assert_recovers(filling, |_| std::fs::remove_file(&ballast).unwrap(), "the disk is full");
    } else {
        let limit = ["env", "--ignore-signal=XFSZ", "prlimit", "--fsize=3000000:unlimited"];
        let filling = start(&limit, TEST, "fill", &data);
        let lift = |pid: u32| assert!(succeeds("prlimit", &["--pid", &pid.to_string(), "--fsize=unlimited"]));
        assert_recovers(filling, lift, "the file system failed");
    }
}

fn assert_recovers(filling: Other, make_room: impl FnOnce(u32), words: &str) {
    let failure = filling.hears().unwrap();
    assert!(failure.contains("sending a message") && failure.contains(words), "{failure}");
    let failure = filling.hears().unwrap();
    assert!(failure.contains("writing object large"), "{failure}");
    make_room(filling.pid());
    assert_eq!(filling.hears().as_deref(), Some("went on"));
    assert_eq!(filling.hears().as_deref(), Some("everything is there"));
    filling.ended_well();
}

/// Sends until there is no room, then until there is room again, and looks whether all that was acknowledged is there.
async fn fill(dir: &Path) {
    let cloud = open(dir);
    let mut sent = 0;
    let failure = loop {
        match send(&cloud, sent).await {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
        assert!(sent < 1000, "the disk is never full");
    };
    assert!(failure.is_retryable() && sent > 0, "{failure}");
    say(&failure.to_string());
    let large = At::object("large");
    let bytes = vec![7; 4 * 1024 * 1024];
    let failure = cloud.files.put(&large, bytes.into(), IfMatch::Any).await.unwrap_err();
    assert!(failure.is_retryable(), "{failure}");
    assert!(!cloud.files.exists(&large).await.unwrap());
    say(&failure.to_string());
    let deadline = Instant::now() + LIMIT;
    while let Err(error) = send(&cloud, sent).await {
        assert!(error.is_retryable() && Instant::now() < deadline, "{error}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    say("went on");
    cloud.files.put(&At::object("small"), "x".into(), IfMatch::Any).await.unwrap();
    let mut there = received(&cloud).await;
    there.sort_unstable();
    // A failed send may have got onto the disk; an acknowledged one must have.
    there.dedup();
    assert_eq!(there, (0..=sent).collect::<Vec<_>>());
    say("everything is there");
}

async fn send(cloud: &Cloud, index: usize) -> Result<(), CloudError> {
    let body = format!("{index} {}", "x".repeat(BODY_BYTES));
    cloud.queues.send(&Queue::Output, Outgoing::standard(body)).await.map(drop)
}

async fn received(cloud: &Cloud) -> Vec<usize> {
    let mut indexes = Vec::new();
    loop {
        let found = cloud.queues.receive(&Queue::Output, MAX_BATCH, Duration::ZERO).await.unwrap();
        if found.is_empty() {
            return indexes;
        }
        indexes.extend(
            found.iter().map(|found| found.body.split(' ').next().unwrap().parse::<usize>().unwrap()),
        );
    }
}

#[test]
fn a_read_only_directory_is_refused_with_words_that_help() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Mounted::tmpfs(dir.path());
    let data = match &disk {
        Some(_) => {
            let data = dir.path().join("data");
            drop(open(&data));
            let deadline = Instant::now() + LIMIT;
            // The threads of the cloud end on their own; until then the kernel says that the disk is busy.
            while !succeeds("mount", &["-o", "remount,ro", dir.path().to_str().unwrap()]) {
                assert!(Instant::now() < deadline, "the disk cannot be made read-only");
                std::thread::park_timeout(Duration::from_millis(5));
            }
            data
        }
        // Nobody, root or not, can make a directory there.
        None => Path::new("/proc/hermes-data").to_owned(),
    };
    let Err(error) = local::open(&data, Prefix::parse("test").unwrap(), Clock::System) else {
        unreachable!("a directory that cannot be written was opened")
    };
    let said = error.to_string();
    assert!(said.contains("cannot be used") && said.contains(data.to_str().unwrap()), "{said}");
    assert!(disk.is_none() || said.contains("mount it writable"), "{said}");
}

/// A tmpfs that goes away with this value.
struct Mounted<'a> {
    at: &'a Path,
}

impl<'a> Mounted<'a> {
    fn tmpfs(at: &'a Path) -> Option<Self> {
        let mounted =
            succeeds("mount", &["-t", "tmpfs", "-o", "size=10m,mode=0700", "tmpfs", at.to_str().unwrap()]);
        mounted.then_some(Self { at })
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        // Detached at once; it is gone when its last file is closed.
        succeeds("umount", &["--lazy", self.at.to_str().unwrap()]);
    }
}
