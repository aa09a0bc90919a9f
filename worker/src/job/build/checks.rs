//! What a built site must not have: pages that vanished without anybody asking for it, links to nowhere that were none
//! before, addresses of our storage, secrets. What the owner had before is theirs and is left alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use bytes::Bytes;
use common::domain::site::Manifest;

use super::folder::Folders;
use super::links::{candidates, internal, links};
use super::pointers;
use crate::secrets::Secrets;

/// The most findings that are told.
const MAX_TOLD: usize = 20;
/// Where so many of one kind are found, the others are not looked for.
pub(super) const MAX_FINDINGS: usize = 1000;
/// Addresses that belong to where sites are kept, not into them.
const STORAGE: [&str; 2] = ["s3://", "amazonaws.com"];
/// So much of an address is told before and behind what makes it one.
const AROUND_BYTES: usize = 200;
/// Different addresses that are looked at, wherever they stand.
const MAX_ADDRESSES: usize = 10_000;
/// So many of their places are told; beyond that, of each address the first.
const MAX_PLACES: usize = 10_000;
/// Text beyond this is data.
pub(super) const MAX_TEXT_BYTES: usize = 4 * 1024 * 1024;
/// Links to nowhere of one page; of more, the first.
const MAX_BROKEN: usize = 1000;
/// Room for those of all pages.
const MAX_BROKEN_BYTES: usize = 32 * 1024 * 1024;

/// Something that should not be published.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Finding {
    /// A page that was there before, whose going nothing explains.
    Vanished(String),
    /// A page and a path that it leads to.
    Broken(String, String),
    /// A file and the address in it.
    Storage(String, String),
    /// A file with such an address when there are more than are looked at.
    Crowded(String),
    /// A file that holds a secret of this worker.
    Secret(String),
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vanished(page) => write!(
                f,
                "{page}: the page was there before and is gone, although the change is not about it"
            ),
            Self::Broken(page, path) => write!(f, "{page}: it links to /{path}, which is not there"),
            Self::Storage(file, address) => {
                write!(f, "{file}: the address {address} must not be in a site; use a file of the site")
            }
            Self::Crowded(file) => {
                write!(f, "{file}: the site has very many addresses of storage; use files of the site")
            }
            Self::Secret(file) => write!(f, "{file}: it holds a password or key"),
        }
    }
}

/// All findings in a few lines.
pub(super) fn told(findings: &BTreeSet<Finding>) -> String {
    format!("the site was built, but it cannot be published like this:{}", listed(findings))
}

/// A list in a few lines.
pub(super) fn listed(all: &BTreeSet<impl fmt::Display>) -> String {
    let mut lines: Vec<_> = all.iter().take(MAX_TOLD).map(|one| format!("\n- {one}")).collect();
    if all.len() > MAX_TOLD {
        lines.push(format!("\n- and {} more", all.len() - MAX_TOLD));
    }
    lines.concat()
}

/// What was read of a built site.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// Its files.
    pub(super) paths: BTreeSet<String>,
    /// Links to nowhere, by the page on which they stand. All others are forgotten at once.
    pub(super) broken: BTreeMap<String, BTreeSet<String>>,
    broken_bytes: usize,
    /// Folders that links lead into although they are not there.
    pub(super) folders: Folders,
    addresses: BTreeSet<String>,
    places: usize,
    /// Findings that need nothing but the file.
    pub(super) plain: BTreeSet<Finding>,
    /// Files whose content lies in Git LFS.
    pub(super) elsewhere: BTreeSet<String>,
}

impl Reading {
    /// Of a site with these files, none of which was read yet.
    pub(super) fn of(paths: &[String]) -> Self {
        Self { paths: paths.iter().cloned().collect(), ..Self::default() }
    }

    /// Takes a file in.
    pub(super) fn file(&mut self, path: &str, bytes: &[u8], secrets: &Secrets) {
        if secrets.found_in(bytes) {
            self.plain.insert(Finding::Secret(path.to_owned()));
        }
        if pointers::is_one(bytes) && self.elsewhere.len() < MAX_FINDINGS {
            self.elsewhere.insert(path.to_owned());
        }
        if bytes.len() > MAX_TEXT_BYTES || bytes.contains(&0) {
            return;
        }
        self.note_addresses(path, &String::from_utf8_lossy(bytes));
        if is_page(path) {
            self.note_links(path, bytes);
        }
    }

    fn note_addresses(&mut self, path: &str, text: &str) {
        for address in storage_words(text).filter_map(address_in) {
            let is_known = self.addresses.contains(address);
            if is_known && self.places >= MAX_PLACES {
                continue;
            }
            if !is_known && self.addresses.len() == MAX_ADDRESSES {
                self.plain.insert(Finding::Crowded(path.to_owned()));
                continue;
            }
            if !is_known {
                self.addresses.insert(address.to_owned());
            }
            let is_new = self.plain.insert(Finding::Storage(path.to_owned(), address.to_owned()));
            self.places += usize::from(is_new);
        }
    }

    fn note_links(&mut self, page: &str, html: &[u8]) {
        let paths = &self.paths;
        let mut broken = BTreeSet::new();
        for link in links(page, html) {
            self.folders.count(&link);
            if is_there(paths, &link.path) {
                continue;
            }
            self.folders.note(&link, |path| is_there(paths, path), |folder| is_folder(paths, folder));
            if broken.len() == MAX_BROKEN {
                break;
            }
            broken.insert(link.path);
        }
        let bytes = broken.iter().map(String::len).sum::<usize>() + page.len();
        if broken.is_empty() || self.broken_bytes + bytes > MAX_BROKEN_BYTES {
            return;
        }
        self.broken_bytes += bytes;
        self.broken.insert(page.to_owned(), broken);
    }
}

fn is_there(paths: &BTreeSet<String>, link: &str) -> bool {
    candidates(link).iter().any(|file| paths.contains(file))
}

fn is_folder(paths: &BTreeSet<String>, name: &str) -> bool {
    let inside = format!("{name}/");
    paths.range(inside.clone()..).next().is_some_and(|path| path.starts_with(&inside))
}

/// A page as it was before.
#[derive(Debug)]
pub(super) enum OldPage {
    /// There was none.
    None,
    /// As it is now; or too large to be looked through, so that nobody knows that a link of now was none of its.
    Same,
    /// Another one.
    Other(Bytes),
}

/// Links to nowhere, held against the site of before.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Compared {
    /// Of each page those that it did not have before, or whose target is gone since.
    newly: BTreeMap<String, BTreeSet<String>>,
    /// How many of them have a target that is gone.
    gone: usize,
    /// Those that led nowhere before already. They are the owner's own wherever they come to stand: a new page takes what the
    /// layout has.
    own: BTreeSet<String>,
}

impl Compared {
    /// Those of one page.
    pub(super) fn of(before: &Manifest, page: String, broken: BTreeSet<String>, old: &OldPage) -> Self {
        let stood: BTreeSet<String> = match old {
            OldPage::None => BTreeSet::new(),
            OldPage::Same => broken.clone(),
            OldPage::Other(html) => internal(&page, html).filter(|link| broken.contains(link)).collect(),
        };
        let was_there = |link: &str| candidates(link).iter().any(|file| before.files.contains_key(file));
        let (gone, never): (BTreeSet<_>, _) = broken.into_iter().partition(|link| was_there(link));
        let (own, new): (BTreeSet<_>, _) = never.into_iter().partition(|link| stood.contains(link));
        let count = gone.len();
        Self { newly: BTreeMap::from([(page, gone.into_iter().chain(new).collect())]), gone: count, own }
    }

    /// Takes in those of another page.
    pub(super) fn add(&mut self, other: Self) {
        self.newly.extend(other.newly);
        self.gone += other.gone;
        self.own.extend(other.own);
    }

    /// Whether what further pages have makes no difference any more.
    pub(super) fn is_enough(&self) -> bool {
        self.gone >= MAX_FINDINGS
    }

    /// What nobody had before.
    pub(super) fn findings(self) -> BTreeSet<Finding> {
        let links = self.newly.iter().flat_map(|(page, links)| links.iter().map(move |link| (page, link)));
        let others = links.filter(|(_, link)| !self.own.contains(*link)).take(MAX_FINDINGS);
        others.map(|(page, link)| Finding::Broken(page.clone(), link.clone())).collect()
    }
}

/// Whether a file is one that browsers show.
pub(super) fn is_page(path: &str) -> bool {
    path.rsplit_once('.').is_some_and(|(_, ending)| ending.eq_ignore_ascii_case("html"))
}

/// The words of a text that hold such an address.
pub(super) fn storage_words(text: &str) -> impl Iterator<Item = &str> {
    let is_told = STORAGE.iter().any(|mark| text.contains(mark));
    let words = is_told.then(|| text.split(|c| !is_part_of_address(c))).into_iter().flatten();
    words.filter(|word| STORAGE.iter().any(|mark| word.contains(mark)))
}

fn is_part_of_address(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-._~:/?#[]@!$&*+,;=%".contains(c)
}

/// The first address in a word of [`storage_words`], whose letters are all of one byte.
fn address_in(word: &str) -> Option<&str> {
    let places = STORAGE.iter().filter_map(|mark| Some((word.find(mark)?, mark.len())));
    let (at, length) = places.min()?;
    let end = word.len().min(at + length + AROUND_BYTES);
    Some(&word[at.saturating_sub(AROUND_BYTES)..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(files: &[(&str, &str)]) -> Reading {
        let mut reading = Reading::of(&files.iter().map(|(path, _)| (*path).to_owned()).collect::<Vec<_>>());
        for (path, text) in files {
            reading.file(path, text.as_bytes(), &Secrets::default());
        }
        reading
    }

    fn manifest(paths: &[&str]) -> Manifest {
        let file = serde_json::json!({"sha256": "0".repeat(64), "sizeBytes": 1});
        let files: BTreeMap<_, _> = paths.iter().map(|path| (*path, file.clone())).collect();
        serde_json::from_value(serde_json::json!({"commandId": "c", "commitId": "", "epoch": 1,
            "state": "published", "publishedAt": 0, "files": files}))
        .unwrap()
    }

    #[test]
    fn neither_size_nor_a_nul_hides_a_secret() {
        let token = "ghp_0123456789abcdef";
        let secrets = Secrets::of([Some(token.parse().unwrap())]);
        let large = format!("{}{token}", "x".repeat(MAX_TEXT_BYTES));
        for bytes in [format!("\0{token}"), large] {
            let mut reading = Reading::default();
            reading.file("data.bin", bytes.as_bytes(), &secrets);
            assert_eq!(reading.plain, BTreeSet::from([Finding::Secret("data.bin".to_owned())]));
        }
    }

    #[test]
    fn what_only_stands_for_a_file_in_git_lfs_is_noticed() {
        let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n";
        let about = format!("<p>{pointer}</p>");
        let now = reading(&[("a.png", pointer), ("b.png", "\u{89}PNG"), ("about.html", &about)]);
        assert_eq!(now.elsewhere, BTreeSet::from(["a.png".to_owned()]));
    }

    #[test]
    fn s63_addresses_of_storage_are_found_in_every_text() {
        let found = reading(&[
            ("index.html", "<img src=\"https://b.s3.amazonaws.com/é.png\">"),
            ("x.js", "fetch('s3://bucket/key')"),
            ("fine.html", "amazon.com and s3 and https://example.org/"),
            ("image.bin", "\0 s3://x"),
        ]);
        let found: Vec<_> = found.plain.iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("https://b.s3.amazonaws.com/") && found[1].contains("s3://bucket/key"));
    }

    #[test]
    fn a_link_is_broken_when_nothing_is_served_there() {
        let now = reading(&[
            ("index.html", "<a href=/about><a href=/about/><a href=/team><a href=/no><a href=no/>"),
            ("about/index.html", "<a href=..><img src=x.png>"),
            ("team.html", ""),
        ]);
        let broken = now
            .broken
            .iter()
            .flat_map(|(page, links)| links.iter().map(move |link| (page.as_str(), link.as_str())));
        let broken: Vec<_> = broken.collect();
        assert_eq!(
            broken,
            [("about/index.html", "about/x.png"), ("index.html", "no"), ("index.html", "no/")]
        );
    }

    /// The findings of pages with these links to nowhere, where only `index.html` and `team.html` were there before.
    fn newly(pages: &[(&str, &[&str], OldPage)]) -> Vec<String> {
        let before = manifest(&["index.html", "team.html"]);
        let mut compared = Compared::default();
        for (page, links, old) in pages {
            let broken = links.iter().map(|link| (*link).to_owned()).collect();
            compared.add(Compared::of(&before, (*page).to_owned(), broken, old));
        }
        let path = |finding| match finding {
            Finding::Broken(page, link) => format!("{page} {link}"),
            other => panic!("{other}"),
        };
        compared.findings().into_iter().map(path).collect()
    }

    #[test]
    fn a_link_that_was_broken_before_is_left_alone_and_one_whose_target_went_is_not() {
        let of = |old| newly(&[("index.html", &["no", "team", "new"], old)]);
        let old = Bytes::from_static(b"<a href=/no><a href=/team>");
        assert_eq!(of(OldPage::Other(old)), ["index.html new", "index.html team"]);
        assert_eq!(of(OldPage::Same), ["index.html team"]);
        assert_eq!(of(OldPage::None), ["index.html new", "index.html no", "index.html team"]);
    }

    #[test]
    fn a_new_page_may_have_what_led_nowhere_on_others_before_and_no_more() {
        let layout: &[&str] = &["favicon.ico", "privacy", "team"];
        let old =
            || OldPage::Other(Bytes::from_static(b"<link href=/favicon.ico><a href=/privacy><a href=/team>"));
        let new: &[&str] = &["favicon.ico", "privacy", "team", "typo"];
        let expected = ["a/index.html team", "a/index.html typo", "index.html team"];
        assert_eq!(newly(&[("a/index.html", new, OldPage::None), ("index.html", layout, old())]), expected);
    }

    #[test]
    fn a_page_of_addresses_alone_is_looked_through_once_and_told_shortly() {
        let long = format!("{}{}", "x".repeat(1000), "s3://".repeat(500_000));
        let (done, wait) = std::sync::mpsc::channel();
        std::thread::spawn(move || done.send(reading(&[("index.html", &long)]).plain));
        let found = wait.recv_timeout(std::time::Duration::from_secs(30)).expect("it comes to an end");
        let around = "s3://".repeat(1 + AROUND_BYTES / 5);
        let address = format!("{}{around}", "x".repeat(AROUND_BYTES));
        assert_eq!(found, BTreeSet::from([Finding::Storage("index.html".to_owned(), address)]));
    }

    #[test]
    fn more_addresses_than_are_looked_at_are_a_finding_of_their_own() {
        let many = (0..=MAX_ADDRESSES).map(|n| format!("s3://b/{n} ")).collect::<Vec<_>>().concat();
        let found = reading(&[("index.html", &many)]).plain;
        assert_eq!(found.len(), MAX_ADDRESSES + 1);
        assert!(found.contains(&Finding::Crowded("index.html".to_owned())));
    }

    #[test]
    fn the_same_addresses_on_many_pages_are_not_more_addresses() {
        let pictures =
            |from: usize| (from..from + 500).map(|n| format!("s3://b/{n} ")).collect::<Vec<_>>().concat();
        let pages: Vec<_> = (0..100).map(|n| (format!("{n:03}.html"), pictures(n))).collect();
        let files: Vec<_> = pages.iter().map(|(page, text)| (page.as_str(), text.as_str())).collect();
        let found = reading(&files).plain;
        let addresses = found.iter().map(|finding| match finding {
            Finding::Storage(_, address) => address.as_str(),
            other => panic!("{other}"),
        });
        let addresses = addresses.collect::<BTreeSet<_>>();
        assert!(addresses.len() == 599 && found.len() <= MAX_PLACES + MAX_ADDRESSES, "{}", found.len());
    }

    #[test]
    fn of_pages_full_of_links_to_nowhere_little_is_kept() {
        let links = (0..100_000).map(|n| format!("<a href={n}>")).collect::<Vec<_>>().concat();
        let folder = "d/".repeat(400);
        let pages: Vec<_> = (0..50).map(|n| format!("{folder}{n}.html")).collect();
        let files: Vec<_> = pages.iter().map(|page| (page.as_str(), links.as_str())).collect();
        let kept = reading(&files).broken;
        let bytes: usize = kept.values().flatten().map(String::len).sum();
        assert!(!kept.is_empty() && bytes <= MAX_BROKEN_BYTES, "{bytes}");
        assert!(kept.values().all(|links| links.len() <= MAX_BROKEN));
    }

    #[test]
    fn many_findings_are_cut() {
        let many = (0..50).map(|n| Finding::Vanished(format!("{n:02}.html"))).collect();
        assert!(told(&many).ends_with("and 30 more"));
    }
}
