//! Objects and sites.

use bytes::Bytes;

use super::Stage;
use super::queues::{assert_invalid, assert_not_found};
use crate::cloud::CloudError;
use crate::cloud::files::{At, Etag, Headers, IfMatch, Space};
use crate::domain::names::SiteTarget;

impl Stage {
    fn object(&self, key: &str) -> At {
        At::object(format!("{}/{key}", self.id("case")))
    }

    fn site(&self) -> SiteTarget {
        SiteTarget::Preview(self.project("site"))
    }

    async fn write(&self, at: &At, bytes: impl Into<Bytes>) -> Etag {
        self.cloud.files.put(at, bytes.into(), IfMatch::Any).await.unwrap()
    }

    async fn content(&self, at: &At) -> Option<Bytes> {
        self.cloud.files.get(at).await.unwrap().map(|file| file.bytes)
    }
}

fn assert_conflict(answer: Result<Etag, CloudError>) {
    assert!(matches!(answer, Err(CloudError::Conflict(_))), "{answer:?}");
}

pub(super) async fn bytes_are_read_as_they_were_written(stage: Stage) {
    let at = stage.object("all-bytes");
    let bytes: Vec<u8> = (0..=255).collect();
    let etag = stage.write(&at, bytes.clone()).await;
    let found = stage.cloud.files.get(&at).await.unwrap().unwrap();
    assert_eq!((found.bytes, &found.etag), (Bytes::from(bytes), &etag));
    assert_eq!(stage.cloud.files.etag(&at).await.unwrap(), Some(etag));
    assert!(stage.cloud.files.exists(&at).await.unwrap());
}

pub(super) async fn nothing_is_none(stage: Stage) {
    assert_eq!(stage.cloud.files.get(&stage.object("a/b/c")).await.unwrap(), None);
    assert_eq!(stage.cloud.files.etag(&stage.object("a/b/c")).await.unwrap(), None);
    assert!(!stage.cloud.files.exists(&stage.object("a/b/c")).await.unwrap());
}

pub(super) async fn an_empty_file_is_a_file(stage: Stage) {
    let at = stage.object("empty");
    stage.write(&at, "").await;
    assert_eq!(stage.content(&at).await, Some(Bytes::new()));
}

pub(super) async fn a_large_file_is_kept(stage: Stage) {
    let at = stage.object("large");
    let bytes = Bytes::from(vec![7; 5 * 1024 * 1024 + 1]);
    stage.write(&at, bytes.clone()).await;
    assert!(stage.content(&at).await == Some(bytes));
}

pub(super) async fn parts_of_a_file_make_the_whole(stage: Stage) {
    let at = stage.object("parts");
    stage.write(&at, "0123456789").await;
    let part = async |offset, len| stage.cloud.files.read_range(&at, offset, len).await.unwrap().unwrap();
    let (first, second) = (part(0, 4).await, part(4, 6).await);
    assert_eq!((first.bytes, second.bytes), ("0123".into(), "456789".into()));
    assert_eq!((first.total, second.total), (10, 10));
    assert_eq!(first.etag, second.etag);
    assert_eq!(part(0, 0).await.etag, first.etag);
}

pub(super) async fn a_part_beyond_the_end_is_empty(stage: Stage) {
    let at = stage.object("short");
    stage.write(&at, "0123456789").await;
    for (offset, len, bytes) in [(7, 10, "789"), (10, 1, ""), (99, 1, ""), (3, 0, "")] {
        let part = stage.cloud.files.read_range(&at, offset, len).await.unwrap().unwrap();
        assert_eq!((part.bytes, part.total), (Bytes::from(bytes), 10), "{offset} {len}");
    }
}

pub(super) async fn a_part_of_nothing_is_none(stage: Stage) {
    assert_eq!(stage.cloud.files.read_range(&stage.object("a/b"), 0, 9).await.unwrap(), None);
}

pub(super) async fn a_part_of_other_content_has_another_etag(stage: Stage) {
    let at = stage.object("page");
    let mut seen = std::collections::HashSet::new();
    for content in ["one", "two", "six"] {
        stage.write(&at, content).await;
        let part = stage.cloud.files.read_range(&at, 0, 3).await.unwrap().unwrap();
        assert_eq!(part.bytes, content);
        assert!(seen.insert(part.etag), "{content}");
    }
}

pub(super) async fn a_write_takes_the_place_of_the_old_bytes(stage: Stage) {
    let at = stage.object("page");
    let first = stage.write(&at, "a longer first version").await;
    let second = stage.write(&at, "second").await;
    assert_ne!(first, second);
    assert_eq!(stage.content(&at).await.unwrap(), "second");
}

pub(super) async fn a_file_is_made_once(stage: Stage) {
    let at = stage.object("once");
    stage.cloud.files.put(&at, "first".into(), IfMatch::Absent).await.unwrap();
    assert_conflict(stage.cloud.files.put(&at, "second".into(), IfMatch::Absent).await);
    assert_eq!(stage.content(&at).await.unwrap(), "first");
}

pub(super) async fn a_file_is_replaced_on_its_etag(stage: Stage) {
    let at = stage.object("manifest.json");
    let first = stage.write(&at, "first").await;
    stage.cloud.files.put(&at, "second".into(), IfMatch::Etag(first.clone())).await.unwrap();
    assert_conflict(stage.cloud.files.put(&at, "third".into(), IfMatch::Etag(first)).await);
    assert_eq!(stage.content(&at).await.unwrap(), "second");
}

pub(super) async fn an_etag_of_nothing_is_a_conflict(stage: Stage) {
    let etag = stage.write(&stage.object("other"), "x").await;
    let at = stage.object("nothing");
    assert_conflict(stage.cloud.files.put(&at, "x".into(), IfMatch::Etag(etag)).await);
    assert_eq!(stage.content(&at).await, None);
}

pub(super) async fn a_copy_is_a_file_of_its_own(stage: Stage) {
    let (from, to) = (stage.object("from"), stage.object("deep/er/to"));
    stage.write(&from, "first").await;
    let etag = stage.cloud.files.copy(&from, &to, IfMatch::Any).await.unwrap();
    stage.write(&from, "second").await;
    let copy = stage.cloud.files.get(&to).await.unwrap().unwrap();
    assert_eq!((copy.bytes, copy.etag), (Bytes::from("first"), etag));
}

pub(super) async fn a_copy_reaches_from_objects_to_sites(stage: Stage) {
    let (from, to) = (stage.object("release"), At::page(&stage.site(), "about/index.html"));
    stage.write(&to, "old").await;
    stage.write(&from, "new").await;
    stage.cloud.files.copy(&from, &to, IfMatch::Any).await.unwrap();
    assert_eq!(stage.content(&to).await.unwrap(), "new");
}

pub(super) async fn a_copy_is_made_once(stage: Stage) {
    let (from, to) = (stage.object("from"), At::page(&stage.site(), "once.html"));
    stage.write(&from, "first").await;
    stage.cloud.files.copy(&from, &to, IfMatch::Absent).await.unwrap();
    stage.write(&from, "second").await;
    assert_conflict(stage.cloud.files.copy(&from, &to, IfMatch::Absent).await);
    assert_eq!(stage.content(&to).await.unwrap(), "first");
}

pub(super) async fn a_copy_replaces_on_its_etag(stage: Stage) {
    let (from, to) = (stage.object("from"), At::page(&stage.site(), "page.html"));
    let old = stage.write(&to, "old").await;
    stage.write(&from, "new").await;
    let new = stage.cloud.files.copy(&from, &to, IfMatch::Etag(old.clone())).await.unwrap();
    stage.write(&from, "newer").await;
    assert_conflict(stage.cloud.files.copy(&from, &to, IfMatch::Etag(old)).await);
    assert_eq!(stage.content(&to).await.unwrap(), "new");
    stage.cloud.files.delete(&to, IfMatch::Any).await.unwrap();
    assert_conflict(stage.cloud.files.copy(&from, &to, IfMatch::Etag(new)).await);
    assert_eq!(stage.content(&to).await, None);
}

pub(super) async fn a_copy_of_nothing_is_not_found(stage: Stage) {
    let to = stage.object("to");
    assert_not_found(stage.cloud.files.copy(&stage.object("from"), &to, IfMatch::Any).await);
    assert_eq!(stage.content(&to).await, None);
}

pub(super) async fn a_deleted_file_is_gone(stage: Stage) {
    let at = stage.object("a/b");
    stage.write(&at, "x").await;
    stage.cloud.files.delete(&at, IfMatch::Any).await.unwrap();
    assert_eq!(stage.content(&at).await, None);
    assert_eq!(stage.cloud.files.list(&Space::Objects, &stage.id("case")).await.unwrap(), [""; 0]);
}

pub(super) async fn deleting_nothing_is_fine(stage: Stage) {
    stage.cloud.files.delete(&stage.object("a/b"), IfMatch::Any).await.unwrap();
}

pub(super) async fn deleting_nothing_is_fine_on_any_condition(stage: Stage) {
    let etag = stage.write(&stage.object("other"), "x").await;
    for condition in [IfMatch::Absent, IfMatch::Etag(etag)] {
        stage.cloud.files.delete(&stage.object("nothing"), condition).await.unwrap();
    }
}

pub(super) async fn a_file_is_deleted_on_its_etag(stage: Stage) {
    let at = At::page(&stage.site(), "page.html");
    let old = stage.write(&at, "old").await;
    let new = stage.write(&at, "new").await;
    for condition in [IfMatch::Etag(old), IfMatch::Absent] {
        let refused = stage.cloud.files.delete(&at, condition).await;
        assert!(matches!(refused, Err(CloudError::Conflict(_))), "{refused:?}");
        assert_eq!(stage.content(&at).await.unwrap(), "new");
    }
    stage.cloud.files.delete(&at, IfMatch::Etag(new)).await.unwrap();
    assert_eq!(stage.content(&at).await, None);
}

pub(super) async fn a_page_has_the_type_and_cache_header_of_its_path(stage: Stage) {
    let blob = stage.object("blob");
    stage.write(&blob, "x").await;
    for path in ["index.html", "_astro/index.B1c2d3e4.css", "logo.svg", "feed.xml", "no-ending"] {
        let (written, copied) =
            (At::page(&stage.site(), path), At::page(&stage.site(), format!("copied/{path}")));
        stage.write(&written, "x").await;
        stage.cloud.files.copy(&blob, &copied, IfMatch::Any).await.unwrap();
        for at in [written, copied] {
            let found = stage.cloud.files.get(&at).await.unwrap().unwrap();
            assert_eq!(found.headers, Headers::of(&at), "{at}");
            assert!(found.headers.is_some(), "{at}");
        }
    }
    assert_eq!(stage.cloud.files.get(&blob).await.unwrap().unwrap().headers, None);
}

pub(super) async fn a_list_is_in_order_below_its_prefix(stage: Stage) {
    let space = Space::Site(stage.site());
    for key in ["b/z", "b-c", "a", "b/a/x", "c"] {
        stage.write(&At::page(&stage.site(), key), "x").await;
    }
    let list = async |prefix| stage.cloud.files.list(&space, prefix).await.unwrap();
    assert_eq!(list("").await, ["a", "b-c", "b/a/x", "b/z", "c"]);
    assert_eq!(list("b/").await, ["b/a/x", "b/z"]);
    assert_eq!(list("d/").await, [""; 0]);
}

pub(super) async fn a_prefix_may_end_within_a_name(stage: Stage) {
    let space = Space::Site(stage.site());
    for key in ["about/index.html", "about.html", "absent", "aboard/x"] {
        stage.write(&At::page(&stage.site(), key), "x").await;
    }
    let list = async |prefix| stage.cloud.files.list(&space, prefix).await.unwrap();
    assert_eq!(list("abou").await, ["about.html", "about/index.html"]);
    assert_eq!(list("about/in").await, ["about/index.html"]);
}

pub(super) async fn spaces_are_apart(stage: Stage) {
    let live = SiteTarget::Live(stage.project("site"));
    stage.write(&At::page(&stage.site(), "index.html"), "preview").await;
    assert_eq!(stage.content(&At::page(&live, "index.html")).await, None);
    assert_eq!(stage.content(&At::object("index.html")).await, None);
    assert_eq!(stage.cloud.files.list(&Space::Site(live), "").await.unwrap(), [""; 0]);
}

pub(super) async fn unclean_keys_are_invalid(stage: Stage) {
    let long = "x/".repeat(512) + "x";
    for key in ["", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "../a", "a/.", "a\\b", "a\0b", &long] {
        let at = At::object(key);
        assert_invalid(stage.cloud.files.put(&at, "x".into(), IfMatch::Any).await);
        assert_invalid(stage.cloud.files.get(&at).await);
        assert_invalid(stage.cloud.files.read_range(&at, 0, 1).await);
        assert_invalid(stage.cloud.files.exists(&at).await);
        assert_invalid(stage.cloud.files.copy(&at, &stage.object("a"), IfMatch::Any).await);
        assert_invalid(stage.cloud.files.copy(&stage.object("a"), &at, IfMatch::Any).await);
        assert_invalid(stage.cloud.files.delete(&at, IfMatch::Any).await);
    }
    for prefix in ["../", "a/../b", "/", "a//", "a\0"] {
        assert_invalid(stage.cloud.files.list(&Space::Objects, prefix).await);
    }
}

pub(super) async fn unusual_keys_are_kept(stage: Stage) {
    for key in ["...", ".well-known/x", "Zürich 東京.html", "a b+c%20&='\"", "-rf", "~", "x..y"] {
        let at = At::page(&stage.site(), key);
        stage.write(&at, key.to_owned()).await;
        assert_eq!(stage.content(&at).await.unwrap(), key.to_owned());
    }
}

pub(super) async fn of_many_makers_one_wins(stage: Stage) {
    let at = stage.object("race");
    let makers: Vec<_> = (0..16)
        .map(|index| {
            let (files, at) = (stage.cloud.files.clone(), at.clone());
            tokio::spawn(async move { files.put(&at, format!("{index}").into(), IfMatch::Absent).await })
        })
        .collect();
    let mut winners = 0;
    for maker in makers {
        match maker.await.unwrap() {
            Ok(_) => winners += 1,
            Err(CloudError::Conflict(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(winners, 1);
}

pub(super) async fn a_reader_never_sees_a_mixture(stage: Stage) {
    let at = stage.object("page");
    let version = |letter: u8| Bytes::from(vec![letter; 64 * 1024]);
    stage.write(&at, version(b'a')).await;
    let writer = {
        let (stage, at) = (stage.clone(), at.clone());
        tokio::spawn(async move {
            for letter in (b'a'..=b'z').cycle().take(50) {
                stage.write(&at, version(letter)).await;
            }
        })
    };
    while !writer.is_finished() {
        let bytes = stage.content(&at).await.unwrap();
        assert!(bytes.len() == 64 * 1024 && bytes.iter().all(|byte| *byte == bytes[0]));
    }
    writer.await.unwrap();
}
