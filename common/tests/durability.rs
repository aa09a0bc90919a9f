//! Durable means durable: before a write is acknowledged, its bytes, its folder and the database's log are synced. The
//! kernel's own view of a process (strace) is the witness.
#![allow(clippy::unwrap_used, reason = "a test: a panic is how it fails")]

mod support;

use std::path::Path;

use common::cloud::files::{At, IfMatch};
use common::cloud::mailer::OutgoingMail;
use common::cloud::queue::Outgoing;
use common::cloud::{Cloud, CloudError};
use common::domain::ids::EmailAddress;
use common::domain::names::Queue;
use support::strace::{self, Call, synced_between};
use support::{open, role, runtime, say, start};

const TEST: &str = "an_acknowledged_write_was_synced";
const WRITERS: usize = 48;

#[test]
fn an_acknowledged_write_was_synced() {
    if let Some((_, dir)) = role() {
        return runtime().block_on(write(&dir));
    }
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    let log_file = root.join("strace.log");
    let calls = "trace=write,pwrite64,fsync,fdatasync,rename,renameat,renameat2,link,linkat,mkdir,mkdirat";
    let strace = ["strace", "-f", "-y", "-s", "5000", "-e", calls, "-o", log_file.to_str().unwrap()];
    let writing = start(&strace, TEST, "write", &root.join("data"));
    assert_eq!(writing.rest().len(), WRITERS * 4);
    writing.ended_well();
    let log = std::fs::read_to_string(&log_file).unwrap();
    let calls = strace::read(&log);
    let data = root.join("data").to_str().unwrap().to_owned();
    assert_eq!(unsynced(&calls, &data), [""; 0]);
    assert_group_commits(&calls, &data);
    assert_witness_is_awake(&calls, &data);
}

/// Writes through three doors; what is put twice at the same time is acknowledged twice.
async fn write(dir: &Path) {
    let cloud = open(dir);
    let writers: Vec<_> = (0..WRITERS).map(|writer| tokio::spawn(write_as(cloud.clone(), writer))).collect();
    for writer in writers {
        writer.await.unwrap();
    }
}

async fn write_as(cloud: Cloud, writer: usize) {
    let body = format!("body-{writer:03}-x");
    cloud.queues.send(&Queue::Output, Outgoing::standard(&body)).await.unwrap();
    say(&format!("sent {body}"));
    let own = format!("folder-{}/{writer:03}", writer / 4);
    put(&cloud, &own).await;
    let shared = format!("shared/{:03}", writer / 2);
    put(&cloud, &shared).await;
    let dedup_key = format!("mail-{writer:03}");
    let to = EmailAddress::parse("scott@example.org").unwrap();
    let mail = OutgoingMail { dedup_key: dedup_key.clone(), to, bytes: "x".into() };
    cloud.mailer.send(&mail).await.unwrap();
    say(&format!("mailed {dedup_key}"));
}

async fn put(cloud: &Cloud, key: &str) {
    match cloud.files.put(&At::object(key), key.to_owned().into(), IfMatch::Absent).await {
        // Somebody else has put the same: for a content-addressed key that is as good.
        Ok(_) | Err(CloudError::Conflict(_)) => say(&format!("put {key}")),
        Err(error) => say(&format!("failed: {error}")),
    }
}

/// The acknowledgements that came before what they stand for was on the disk.
fn unsynced(calls: &[Call], data: &str) -> Vec<String> {
    let mut seen = 0;
    let mut bad = Vec::new();
    for call in calls.iter().filter(|call| call.name == "write") {
        let Some(words) = said(call) else { continue };
        seen += 1;
        let synced = match words.split_once(' ') {
            Some(("sent", body)) => is_logged(calls, data, body, call.began),
            Some(("put", key)) => is_filed(calls, &format!("{data}/objects/{key}"), call.began),
            Some(("mailed", key)) => is_filed(calls, &format!("{data}/outbox/{key}.eml"), call.began),
            _ => false,
        };
        if !synced {
            bad.push(words.to_owned());
        }
    }
    assert_eq!(seen, WRITERS * 4, "acknowledgements in the log");
    bad
}

fn said(call: &Call) -> Option<&str> {
    call.arguments.split_once("\"\\n@")?.1.split("\\n").next()
}

/// The log of the database was synced after the message was written to it.
fn is_logged(calls: &[Call], data: &str, body: &str, acknowledged: usize) -> bool {
    let log = format!("{data}/hermes.db-wal");
    calls
        .iter()
        .find(|call| call.name == "pwrite64" && call.is_on(&log) && call.arguments.contains(body))
        .and_then(|written| written.succeeded)
        .is_some_and(|written| synced_between(calls, &log, written, acknowledged))
}

/// The file's bytes were synced before it took its place, its folder afterwards, and every new folder in its parent.
fn is_filed(calls: &[Call], path: &str, acknowledged: usize) -> bool {
    let placed = |call: &&Call| {
        let moves = call.name.starts_with("rename") || call.name.starts_with("link");
        moves && call.names(path) && call.succeeded.is_some()
    };
    let Some(placed) = calls.iter().find(placed) else { return false };
    let bytes = synced_between(calls, placed.first_path(), 0, placed.began);
    let folder = Path::new(path).parent().unwrap();
    let made = calls.iter().find(|call| {
        call.name.starts_with("mkdir") && call.names(folder.to_str().unwrap()) && call.succeeded.is_some()
    });
    let parent = folder.parent().unwrap().to_str().unwrap();
    let durable_folder = made
        .and_then(|made| made.succeeded)
        .is_none_or(|made| synced_between(calls, parent, made, acknowledged));
    let entry = placed
        .succeeded
        .is_some_and(|placed| synced_between(calls, folder.to_str().unwrap(), placed, acknowledged));
    bytes && entry && durable_folder
}

/// One sync of the log serves several senders.
fn assert_group_commits(calls: &[Call], data: &str) {
    let log = format!("{data}/hermes.db-wal");
    let syncs = calls.iter().filter(|call| call.is_sync() && call.is_on(&log)).count();
    assert!((1..WRITERS).contains(&syncs), "{syncs} syncs of the log for {WRITERS} messages");
}

/// Without the syncs of files, of folders or of the log, the same check must find something.
fn assert_witness_is_awake(calls: &[Call], data: &str) {
    for (place, expected) in [
        ("/tmp/", 3 * WRITERS),
        ("/objects/", 2 * WRITERS),
        ("/outbox", WRITERS),
        ("/hermes.db-wal", WRITERS),
    ] {
        let there = format!("<{data}{place}");
        let without: Vec<Call> = calls
            .iter()
            .filter(|call| !(call.is_sync() && call.arguments.contains(&there)))
            .cloned()
            .collect();
        assert_eq!(unsynced(&without, data).len(), expected, "without the syncs of {place}");
    }
}
