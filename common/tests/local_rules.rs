//! What the local cloud promises beyond the contract of all clouds.
#![allow(clippy::unwrap_used, reason = "a test: a panic is how it fails")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;

use common::clock::{Clock, SteppedClock};
use common::cloud::failing::{Calls, Door, Failing, Fate, Operation, Plan, When};
use common::cloud::files::{At, IfMatch, Space};
use common::cloud::mailer::OutgoingMail;
use common::cloud::queue::{Outgoing, RETENTION};
use common::cloud::store::{Expect, Key, Table};
use common::cloud::{Cloud, CloudError, local};
use common::domain::ids::{EmailAddress, ProjectId};
use common::domain::names::{Prefix, Queue, RECORDS_KEPT, SiteTarget};
use common::domain::timestamp::Timestamp;
use serde_json::json;
use tempfile::TempDir;

fn open_with(dir: &Path, clock: Clock) -> common::cloud::Result<Cloud> {
    local::open(dir, Prefix::parse("local").unwrap(), clock)
}

fn open() -> (TempDir, Cloud) {
    let dir = tempfile::tempdir().unwrap();
    let cloud = open_with(dir.path(), Clock::System).unwrap();
    (dir, cloud)
}

fn refusal(dir: &Path) -> String {
    match open_with(dir, Clock::System) {
        Ok(_) => "it was opened".to_owned(),
        Err(error) => error.to_string(),
    }
}

fn assert_invalid<T: std::fmt::Debug>(answer: Result<T, CloudError>, words: &str) {
    assert!(matches!(&answer, Err(CloudError::Invalid(text)) if text.contains(words)), "{answer:?}");
}

#[test]
fn a_new_data_directory_is_ours_alone() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("deep/er");
    open_with(&data, Clock::System).unwrap();
    assert_eq!(fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o700);
    assert!(data.join("hermes.db").is_file());
}

#[test]
fn a_file_is_no_data_directory() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "x").unwrap();
    let said = refusal(&file);
    assert!(said.contains("is not a directory") && said.contains("--data-dir"), "{said}");
    let said = refusal(&file.join("below"));
    assert!(said.contains("cannot be used"), "{said}");
}

#[test]
fn a_database_of_a_newer_version_is_left_alone() {
    let (dir, cloud) = open();
    drop(cloud);
    let database = rusqlite::Connection::open(dir.path().join("hermes.db")).unwrap();
    database.pragma_update(None, "user_version", 999).unwrap();
    let said = refusal(dir.path());
    assert!(said.contains("newer hermes (schema 999") && said.contains("start the newer one"), "{said}");
}

#[test]
fn a_damaged_database_is_told() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("hermes.db"), "this is no database, but it is long enough to be read as one")
        .unwrap();
    let said = refusal(dir.path());
    assert!(said.contains("damaged") && said.contains("backup"), "{said}");
}

#[tokio::test]
async fn what_was_written_is_there_after_opening_again() {
    let (dir, cloud) = open();
    cloud.store.put(Table::Containers, json!({"containerId": "c"}), Expect::Absent).await.unwrap();
    cloud.queues.send(&Queue::Output, Outgoing::standard("x")).await.unwrap();
    drop(cloud);
    let cloud = open_with(dir.path(), Clock::System).unwrap();
    assert!(cloud.store.get(Table::Containers, &Key::of("c")).await.unwrap().is_some());
    assert_eq!(cloud.queues.depth(&Queue::Output).await.unwrap().visible, 1);
}

#[tokio::test]
async fn a_dead_letter_says_how_often_it_was_received() {
    let (_dir, cloud) = open();
    cloud.queues.send(&Queue::Email, Outgoing::standard("x").attribute("by", "hand")).await.unwrap();
    for _ in 0..3 {
        let found = cloud.queues.receive(&Queue::Email, 1, Duration::ZERO).await.unwrap();
        cloud.queues.extend(&found[0].receipt, Duration::ZERO).await.unwrap();
    }
    assert!(cloud.queues.receive(&Queue::Email, 1, Duration::ZERO).await.unwrap().is_empty());
    let dead = cloud.queues.receive(&Queue::EmailDead, 1, Duration::ZERO).await.unwrap().remove(0);
    assert_eq!((dead.attributes["reason"].as_str(), dead.receive_count), ("received 3 times", 1));
    assert_eq!(dead.attributes["by"], "hand");
}

#[tokio::test]
async fn messages_are_forgotten_after_their_retention() {
    let dir = tempfile::tempdir().unwrap();
    let clock = SteppedClock::starting_at(Timestamp::from_millis(1_767_225_600_000));
    let cloud = open_with(dir.path(), Clock::Stepped(clock.clone())).unwrap();
    cloud.queues.send(&Queue::Output, Outgoing::standard("x")).await.unwrap();
    clock.advance(RETENTION.checked_sub(Duration::from_secs(1)).unwrap());
    assert_eq!(cloud.queues.depth(&Queue::Output).await.unwrap().visible, 1);
    clock.advance(Duration::from_secs(1));
    assert!(cloud.queues.receive(&Queue::Output, 1, Duration::ZERO).await.unwrap().is_empty());
    assert_eq!(cloud.queues.depth(&Queue::Output).await.unwrap().visible, 0);
}

#[tokio::test]
async fn a_foreign_receipt_is_invalid() {
    let (_dir, cloud) = open();
    let receipt = common::cloud::queue::Receipt { queue: Queue::Output, handle: "nonsense".into() };
    assert_invalid(cloud.queues.delete(&receipt).await, "no receipt of output");
}

#[tokio::test]
async fn a_key_cannot_be_a_file_and_a_folder() {
    let (_dir, cloud) = open();
    let put = async |key: &str| cloud.files.put(&At::object(key), "x".into(), IfMatch::Any).await;
    put("a/b").await.unwrap();
    assert_invalid(put("a/b/c").await, "a beginning of its key is a file");
    assert_invalid(put("a").await, "there are keys below it");
    cloud.files.delete(&At::object("a/b"), IfMatch::Any).await.unwrap();
    put("a").await.unwrap();
    cloud.files.delete(&At::object("a"), IfMatch::Any).await.unwrap();
    put("a/b").await.unwrap();
    assert_invalid(put(&"x".repeat(256)).await, "255 bytes");
}

#[tokio::test]
async fn links_are_not_followed() {
    let (dir, cloud) = open();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), "secret").unwrap();
    let site = SiteTarget::Preview(ProjectId::parse("amelia").unwrap());
    cloud.files.put(&At::page(&site, "index.html"), "x".into(), IfMatch::Any).await.unwrap();
    let root = dir.path().join("sites/edit.amelia.localhost");
    symlink(outside.path(), root.join("folder")).unwrap();
    symlink(outside.path().join("secret"), root.join("file")).unwrap();
    for key in ["folder/secret", "folder/new", "file"] {
        let at = At::page(&site, key);
        assert!(cloud.files.get(&at).await.is_err(), "{key}");
        assert!(cloud.files.put(&at, "changed".into(), IfMatch::Any).await.is_err(), "{key}");
        assert!(cloud.files.copy(&at, &At::object("copy"), IfMatch::Any).await.is_err(), "{key}");
        assert!(cloud.files.delete(&at, IfMatch::Any).await.is_err(), "{key}");
    }
    assert_eq!(cloud.files.list(&Space::Site(site), "").await.unwrap(), ["index.html"]);
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
    assert_eq!(fs::read(outside.path().join("secret")).unwrap(), b"secret");
}

#[tokio::test]
async fn what_a_killed_process_left_is_removed_after_an_hour() {
    let (dir, cloud) = open();
    drop(cloud);
    let tmp = dir.path().join("tmp");
    let now = fs::metadata(tmp.join("probe")).unwrap().modified().unwrap();
    for (name, minutes) in [("old", 61), ("young", 59)] {
        let file = fs::File::create(tmp.join(name)).unwrap();
        file.set_modified(now - Duration::from_mins(minutes)).unwrap();
    }
    let _cloud = local::open(dir.path(), Prefix::parse("test").unwrap(), Clock::System).unwrap();
    assert!(!tmp.join("old").exists());
    assert!(tmp.join("young").exists());
}

#[tokio::test]
async fn nothing_half_written_stays_behind() {
    let (dir, cloud) = open();
    for _ in 0..2 {
        let _ = cloud.files.put(&At::object("a"), "x".into(), IfMatch::Absent).await;
    }
    cloud.files.put(&At::object("a/b"), "x".into(), IfMatch::Any).await.unwrap_err();
    cloud.files.copy(&At::object("a"), &At::object("b"), IfMatch::Any).await.unwrap();
    cloud.mailer.send(&mail("one", "x")).await.unwrap();
    let left: Vec<_> =
        fs::read_dir(dir.path().join("tmp")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["probe"]);
}

fn mail(key: &str, text: &str) -> OutgoingMail {
    let to = EmailAddress::parse("scott@example.org").unwrap();
    OutgoingMail { dedup_key: key.to_owned(), to, bytes: text.to_owned().into() }
}

#[tokio::test]
async fn a_mail_is_one_file_and_its_first_version_stays() {
    let (dir, cloud) = open();
    let sends: Vec<_> = (0..8)
        .map(|index| {
            let mailer = cloud.mailer.clone();
            tokio::spawn(async move { mailer.send(&mail("answer-1", &format!("version {index}"))).await })
        })
        .collect();
    for send in sends {
        let place = send.await.unwrap().unwrap().place;
        assert_eq!(Path::new(&place), dir.path().join("outbox/answer-1.eml"));
    }
    let first = fs::read_to_string(dir.path().join("outbox/answer-1.eml")).unwrap();
    cloud.mailer.send(&mail("answer-1", "late")).await.unwrap();
    assert_eq!(fs::read_to_string(dir.path().join("outbox/answer-1.eml")).unwrap(), first);
    assert_eq!(fs::read_dir(dir.path().join("outbox")).unwrap().count(), 1);
}

#[tokio::test]
async fn every_index_is_used() {
    let (dir, _cloud) = open();
    let database = rusqlite::Connection::open(dir.path().join("hermes.db")).unwrap();
    for table in Table::ALL {
        let (spec, name) = (table.spec(), table.spec().name.replace('-', "_"));
        for index in spec.indexes {
            let sort =
                index.sort.map_or(String::new(), |sort| format!("AND {sort} IS NOT NULL ORDER BY {sort}"));
            let sql =
                format!("EXPLAIN QUERY PLAN SELECT body FROM {name} WHERE {} = 'x' {sort}", index.partition);
            let plan: String = database.query_row(&sql, [], |row| row.get(3)).unwrap();
            let index_name = format!("{name}_{}", index.name.replace('-', "_"));
            assert!(plan.contains(&index_name), "{plan}");
        }
    }
}

#[tokio::test]
async fn a_failing_cloud_fails_before_or_loses_the_answer() {
    let (_dir, cloud) = open();
    let plan = Plan::passing()
        .with(Calls::Of(Operation::Send), When::Nth(1), Fate::FailBefore)
        .with(Calls::Of(Operation::Send), When::Nth(2), Fate::LoseAnswer)
        .with(Calls::Through(Door::Store), When::Always, Fate::FailBefore);
    let failing = Failing::wrap(cloud.clone(), plan.clone());
    for expected in [0, 1] {
        let answer = failing.queues.send(&Queue::Output, Outgoing::standard("x")).await;
        assert!(answer.is_err_and(|error| error.is_retryable()));
        assert_eq!(cloud.queues.depth(&Queue::Output).await.unwrap().visible, expected);
    }
    assert!(failing.queues.send(&Queue::Output, Outgoing::standard("x")).await.is_ok());
    assert!(failing.store.get(Table::Jobs, &Key::of("c")).await.is_err());
    plan.heal();
    assert!(failing.store.get(Table::Jobs, &Key::of("c")).await.is_ok());
    assert_eq!(plan.count(Operation::Send, Fate::LoseAnswer), 1);
}

/// So many writes are enough for a table to be looked through.
const A_FEW_WRITES: u32 = 512;

#[tokio::test]
async fn rows_that_have_expired_go_when_their_table_is_written_and_others_stay() {
    let dir = tempfile::tempdir().unwrap();
    let clock = SteppedClock::starting_at(Timestamp::from_millis(1_767_225_600_000));
    let cloud = open_with(dir.path(), Clock::Stepped(clock.clone())).unwrap();
    let now = cloud.clock.now();
    let row = |id: String, kept: Duration| json!({"kind": "k", "id": id, "ttl": now.ttl(kept)});
    for n in 0..300 {
        let one = row(format!("short-{n}"), Duration::from_hours(1));
        cloud.store.put(Table::Limits, one, Expect::Absent).await.unwrap();
    }
    cloud
        .store
        .put(Table::Limits, row("long".into(), Duration::from_hours(9)), Expect::Absent)
        .await
        .unwrap();
    cloud.store.put(Table::Limits, json!({"kind": "k", "id": "endless"}), Expect::Absent).await.unwrap();
    cloud
        .store
        .put(Table::Limits, json!({"kind": "k", "id": "older", "ttl": 0}), Expect::Absent)
        .await
        .unwrap();
    cloud
        .store
        .put(Table::Access, row("elsewhere".into(), Duration::from_hours(1)), Expect::Absent)
        .await
        .unwrap();
    clock.advance(Duration::from_hours(2));
    for n in 0..A_FEW_WRITES {
        // Written in turns with another table.
        cloud.store.put(Table::Containers, json!({"containerId": "c"}), Expect::Any).await.unwrap();
        cloud
            .store
            .put(Table::Limits, json!({"kind": "new", "id": n.to_string()}), Expect::Absent)
            .await
            .unwrap();
    }
    let left = cloud.store.scan(Table::Limits, 1000, None).await.unwrap().rows;
    let left: Vec<&str> = left
        .iter()
        .filter(|row| row.body["kind"] == "k")
        .map(|row| row.body["id"].as_str().unwrap())
        .collect();
    assert_eq!(left, ["endless", "long", "older"]);
    assert_eq!(cloud.store.scan(Table::Access, 9, None).await.unwrap().rows.len(), 1, "nobody wrote there");
}

#[tokio::test]
async fn records_go_in_the_order_of_their_writing_whatever_was_written_to_them_since() {
    let dir = tempfile::tempdir().unwrap();
    let clock = SteppedClock::starting_at(Timestamp::from_millis(1_767_225_600_000));
    let cloud = open_with(dir.path(), Clock::Stepped(clock.clone())).unwrap();
    let row = |n: u32| json!({"commandId": format!("c{n:04}"), "ttl": cloud.clock.now().ttl(RECORDS_KEPT)});
    for n in 0..A_FEW_WRITES {
        cloud.store.put(Table::Jobs, row(n), Expect::Absent).await.unwrap();
        clock.advance(Duration::from_hours(12));
    }
    let before =
        json!({"commandId": "c0000", "ttl": cloud.clock.now().ttl(Duration::ZERO) - 1, "state": "done"});
    cloud.store.put(Table::Jobs, before, Expect::Any).await.unwrap();
    clock.advance(RECORDS_KEPT.saturating_sub(Duration::from_hours(128 * 24)));
    for n in A_FEW_WRITES..2 * A_FEW_WRITES {
        cloud.store.put(Table::Jobs, row(n), Expect::Absent).await.unwrap();
    }
    let left = cloud.store.scan(Table::Jobs, 2000, None).await.unwrap().rows;
    let first = left.first().and_then(|row| row.body["commandId"].as_str());
    assert_eq!((left.len(), first), (768, Some("c0256")), "half of the old ones have expired");
}

#[tokio::test]
async fn records_from_before_the_rule_are_kept_for_as_long_from_when_they_were_made() {
    let (dir, cloud) = open();
    let made = "2026-01-02T03:04:05.678Z";
    let old = [
        (Table::Mails, json!({"mailId": "m", "day": "2026-01-02", "receivedAt": made})),
        (Table::Jobs, json!({"commandId": "c", "createdAt": made})),
        (Table::Outbox, json!({"dedupKey": "d", "createdAt": made})),
    ];
    for (table, row) in &old {
        cloud.store.put(*table, row.clone(), Expect::Absent).await.unwrap();
    }
    let said = json!({"commandId": "said", "createdAt": made, "ttl": 7});
    cloud.store.put(Table::Jobs, said.clone(), Expect::Absent).await.unwrap();
    drop(cloud);
    let database = rusqlite::Connection::open(dir.path().join("hermes.db")).unwrap();
    database.pragma_update(None, "user_version", 2).unwrap();
    drop(database);
    let cloud = open_with(dir.path(), Clock::System).unwrap();
    let kept = Timestamp::parse(made).unwrap().ttl(RECORDS_KEPT);
    for (table, mut row) in old {
        row["ttl"] = kept.into();
        let rows = cloud.store.scan(table, 10, None).await.unwrap().rows;
        assert!(rows.iter().any(|found| found.body == row), "{table:?}: {:?}", rows.first());
    }
    let rows = cloud.store.scan(Table::Jobs, 10, None).await.unwrap().rows;
    assert!(rows.iter().any(|found| found.body == said), "what a row says itself stays");
}

#[tokio::test]
async fn objects_go_when_they_were_kept_for_as_long_as_their_kind_is() {
    let (dir, cloud) = open();
    let kept = [
        "mail/attachments/young",
        "releases/amelia/a",
        "wip/young",
        "mail/raw/young",
        "transcripts/young",
        "sessions/young/agent.jsonl",
    ];
    let gone = [
        "mail/raw/old",
        "mail/inbound/rule/old",
        "messages/old",
        "wip/old",
        "mail/attachments/old",
        "transcripts/old",
        "sessions/old/agent.jsonl",
    ];
    for key in kept.iter().chain(&gone) {
        cloud.files.put(&At::object(*key), (*key).into(), IfMatch::Absent).await.unwrap();
    }
    let written = |key: &str, days: u64| {
        let file = fs::File::options().write(true).open(dir.path().join("objects").join(key)).unwrap();
        let now = file.metadata().unwrap().modified().unwrap();
        file.set_modified(now - Duration::from_hours(days * 24)).unwrap();
    };
    for (key, days) in kept.into_iter().zip([399, 999, 89, 29, 399, 89]) {
        written(key, days);
    }
    for (key, days) in gone.into_iter().zip([31, 31, 16, 91, 401, 401, 91]) {
        written(key, days);
    }
    drop(cloud);
    let cloud = open_with(dir.path(), Clock::System).unwrap();
    cloud.files.put(&At::object("mail/raw/new"), "x".into(), IfMatch::Absent).await.unwrap();
    for key in gone {
        while cloud.files.exists(&At::object(key)).await.unwrap() {
            tokio::task::yield_now().await;
        }
    }
    for key in kept {
        assert!(cloud.files.exists(&At::object(key)).await.unwrap(), "{key}");
    }
}
