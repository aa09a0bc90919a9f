//! A process that is killed in the middle of its writes loses nothing that it was told is written.
#![allow(clippy::unwrap_used, reason = "a test: a panic is how it fails")]

mod support;

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use common::cloud::Cloud;
use common::cloud::files::{At, IfMatch};
use common::cloud::mailer::OutgoingMail;
use common::cloud::queue::{MAX_BATCH, Outgoing};
use common::cloud::store::{Expect, Key, Table};
use common::domain::ids::EmailAddress;
use common::domain::names::Queue;
use serde_json::json;
use support::{open, role, runtime, say, start};

const TEST: &str = "what_was_acknowledged_survives_kill_9";
const WRITERS: usize = 8;
const KILLS: usize = 8;

#[test]
fn what_was_acknowledged_survives_kill_9() {
    if let Some((role, dir)) = role() {
        return runtime().block_on(write(&role, &dir));
    }
    let dir = tempfile::tempdir().unwrap();
    // A neighbour that stays: its handles on the directory must not suffer from the deaths beside it.
    let neighbour = open(dir.path());
    let mut acknowledged = Vec::new();
    for kill in 0..KILLS {
        let mut writing = start(&[], TEST, &format!("k{kill}"), dir.path());
        for _ in 0..=kill * 40 {
            acknowledged.push(writing.hears().unwrap());
        }
        writing.kill();
        acknowledged.extend(writing.rest());
    }
    let here = runtime();
    here.block_on(assert_all_there(&neighbour, &acknowledged));
    drop(neighbour);
    here.block_on(assert_healthy(dir.path()));
}

/// Writes through four doors, each in its turn, until it is killed.
async fn write(run: &str, dir: &Path) {
    let cloud = open(dir);
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (cloud, run) = (cloud.clone(), run.to_owned());
            tokio::spawn(async move {
                for index in 0.. {
                    let id = format!("{run}-{writer}-{index}");
                    write_one(&cloud, index % 4, &id).await;
                    say(&format!("{} {id}", index % 4));
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
}

async fn write_one(cloud: &Cloud, door: usize, id: &str) {
    match door {
        0 => drop(cloud.queues.send(&Queue::Output, Outgoing::standard(id)).await.unwrap()),
        1 => drop(
            cloud
                .files
                .put(&At::object(format!("{id}/file")), id.to_owned().into(), IfMatch::Absent)
                .await
                .unwrap(),
        ),
        2 => {
            let row = json!({"containerId": id, "text": id.repeat(100)});
            cloud.store.put(Table::Containers, row, Expect::Absent).await.unwrap();
        }
        _ => drop(cloud.mailer.send(&mail(id)).await.unwrap()),
    }
}

fn mail(id: &str) -> OutgoingMail {
    let to = EmailAddress::parse("scott@example.org").unwrap();
    OutgoingMail { dedup_key: id.to_owned(), to, bytes: id.to_owned().into() }
}

async fn assert_all_there(cloud: &Cloud, acknowledged: &[String]) {
    let messages = drain(cloud).await;
    for line in acknowledged {
        let (door, id) = line.split_once(' ').unwrap();
        let there = match door {
            "0" => messages.contains(id),
            "1" => cloud
                .files
                .get(&At::object(format!("{id}/file")))
                .await
                .unwrap()
                .is_some_and(|file| file.bytes == id),
            "2" => cloud.store.get(Table::Containers, &Key::of(id)).await.unwrap().is_some(),
            _ => std::fs::read_to_string(cloud.mailer.send(&mail(id)).await.unwrap().place).unwrap() == id,
        };
        assert!(there, "{line} was acknowledged and is gone");
    }
    assert!(acknowledged.len() > 100, "only {} writes", acknowledged.len());
}

async fn drain(cloud: &Cloud) -> HashSet<String> {
    let mut bodies = HashSet::new();
    loop {
        let found = cloud.queues.receive(&Queue::Output, MAX_BATCH, Duration::ZERO).await.unwrap();
        if found.is_empty() {
            return bodies;
        }
        for delivery in found {
            cloud.queues.delete(&delivery.receipt).await.unwrap();
            assert!(bodies.insert(delivery.body));
        }
    }
}

async fn assert_healthy(dir: &Path) {
    open(dir).queues.depth(&Queue::Output).await.unwrap();
    let database = rusqlite::Connection::open(dir.join("hermes.db")).unwrap();
    let check: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
}
