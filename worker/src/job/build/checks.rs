//! What a built site must not have: pages that vanished without anybody asking for it, links to nowhere that were none
//! before, addresses of our storage, secrets. What the owner had before is theirs and is left alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use common::domain::site::Manifest;

use super::links::{candidates, internal};
use crate::secrets::Secrets;

/// The most findings that are told.
const MAX_TOLD: usize = 20;
/// Addresses that belong to where sites are kept, not into them.
const STORAGE: [&str; 2] = ["s3://", "amazonaws.com"];
/// Text beyond this is data.
const MAX_TEXT_BYTES: usize = 4 * 1024 * 1024;

/// Something that should not be published.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Finding {
    /// A page that was there before and that the change does not mention.
    Vanished(String),
    /// A page and a path that it leads to.
    Broken(String, String),
    /// A file and the address in it.
    Storage(String, String),
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
            Self::Secret(file) => write!(f, "{file}: it holds a password or key"),
        }
    }
}

/// All findings in a few lines.
pub(super) fn told(findings: &BTreeSet<Finding>) -> String {
    let lines: Vec<_> = findings.iter().take(MAX_TOLD).map(|finding| format!("- {finding}")).collect();
    let more = findings.len().saturating_sub(MAX_TOLD);
    let rest = if more > 0 { format!("\n- and {more} more") } else { String::new() };
    format!("the site was built, but it cannot be published like this:\n{}{rest}", lines.join("\n"))
}

/// What was read of a built site.
#[derive(Debug, Default)]
pub(super) struct Reading {
    paths: BTreeSet<String>,
    links: BTreeMap<String, BTreeSet<String>>,
    /// Findings that need nothing but the file.
    pub(super) plain: BTreeSet<Finding>,
}

impl Reading {
    /// Takes a file in.
    pub(super) fn file(&mut self, path: &str, bytes: &[u8], secrets: &Secrets) {
        self.paths.insert(path.to_owned());
        if secrets.found_in(bytes) {
            self.plain.insert(Finding::Secret(path.to_owned()));
        }
        if bytes.len() > MAX_TEXT_BYTES || bytes.contains(&0) {
            return;
        }
        let storage = storage_addresses(&String::from_utf8_lossy(bytes));
        self.plain.extend(storage.into_iter().map(|address| Finding::Storage(path.to_owned(), address)));
        if is_page(path) {
            self.links.insert(path.to_owned(), internal(path, bytes));
        }
    }

    /// Pages of before that are gone, unless a changed or removed source file is named like them.
    pub(super) fn vanished(&self, before: &Manifest, touched: &[String]) -> BTreeSet<Finding> {
        let gone = before.files.keys().filter(|path| is_page(path) && !self.paths.contains(*path));
        let unasked = gone.filter(|path| !touched.iter().any(|source| is_about(source, path)));
        unasked.map(|path| Finding::Vanished(path.clone())).collect()
    }

    /// Links to nowhere, by the page on which they stand.
    pub(super) fn broken(&self) -> BTreeMap<String, BTreeSet<String>> {
        let is_there = |path: &String| candidates(path).iter().any(|file| self.paths.contains(file));
        let broken =
            |links: &BTreeSet<String>| links.iter().filter(|link| !is_there(link)).cloned().collect();
        let all = self.links.iter().map(|(page, links)| (page.clone(), broken(links)));
        all.filter(|(_, links): &(_, BTreeSet<_>)| !links.is_empty()).collect()
    }
}

/// Whether a link to nowhere was one before, on the same page.
pub(super) fn was_broken(before: &Manifest, page: &str, link: &str, old_page: &[u8]) -> bool {
    let was_there = candidates(link).iter().any(|file| before.files.contains_key(file));
    !was_there && internal(page, old_page).contains(link)
}

fn is_page(path: &str) -> bool {
    path.rsplit_once('.').is_some_and(|(_, ending)| ending.eq_ignore_ascii_case("html"))
}

/// `src/pages/about.md` and `content/about/index.md` are about `about/index.html` and `about.html`.
fn is_about(source: &str, page: &str) -> bool {
    let stem = |path: &str| {
        let path = path.rsplit_once('.').map_or(path, |(stem, _)| stem);
        let path = path.strip_suffix("/index").unwrap_or(path);
        path.rsplit('/').next().unwrap_or_default().to_lowercase()
    };
    stem(source) == stem(page)
}

/// The words of a text that hold such an address.
fn storage_addresses(text: &str) -> BTreeSet<String> {
    let part_of_address = |c: char| c.is_ascii_alphanumeric() || "-._~:/?#[]@!$&*+,;=%".contains(c);
    let mut found = BTreeSet::new();
    for (at, mark) in STORAGE.iter().flat_map(|mark| text.match_indices(mark)) {
        let start = text[..at]
            .rfind(|c| !part_of_address(c))
            .map_or(0, |before| before + text[before..].chars().next().map_or(1, char::len_utf8));
        let rest = &text[at + mark.len()..];
        let end = rest.find(|c| !part_of_address(c)).unwrap_or(rest.len());
        found.insert(text[start..at + mark.len() + end].chars().take(200).collect());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(files: &[(&str, &str)]) -> Reading {
        let mut reading = Reading::default();
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
    fn a_page_that_vanished_is_a_finding_unless_the_change_is_about_it() {
        let now = reading(&[("index.html", "x")]);
        let before = manifest(&["index.html", "about/index.html", "team.html", "logo.svg"]);
        let found = now.vanished(&before, &["src/pages/About.md".to_owned(), "package.json".to_owned()]);
        assert_eq!(found, BTreeSet::from([Finding::Vanished("team.html".into())]));
    }

    #[test]
    fn a_link_is_broken_when_nothing_is_served_there() {
        let now = reading(&[
            ("index.html", "<a href=/about><a href=/about/><a href=/team><a href=/no><a href=no/>"),
            ("about/index.html", "<a href=..><img src=x.png>"),
            ("team.html", ""),
        ]);
        let broken = now.broken();
        let broken = broken
            .iter()
            .flat_map(|(page, links)| links.iter().map(move |link| (page.as_str(), link.as_str())));
        let broken: Vec<_> = broken.collect();
        assert_eq!(
            broken,
            [("about/index.html", "about/x.png"), ("index.html", "no"), ("index.html", "no/")]
        );
    }

    #[test]
    fn a_link_that_was_broken_before_is_left_alone_and_one_whose_target_went_is_not() {
        let before = manifest(&["index.html", "team.html"]);
        let old = b"<a href=/no><a href=/team>";
        assert!(was_broken(&before, "index.html", "no", old));
        assert!(!was_broken(&before, "index.html", "team", old));
        assert!(!was_broken(&before, "index.html", "new", old));
    }

    #[test]
    fn many_findings_are_cut() {
        let many = (0..50).map(|n| Finding::Vanished(format!("{n:02}.html"))).collect();
        assert!(told(&many).ends_with("and 30 more"));
    }
}
