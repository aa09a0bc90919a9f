//! Pages that are gone, and what in the source tells that somebody asked for it: the name of a changed file, what such a file
//! said before, or a list of pages that became shorter. A site that lost its home page, or most of its pages, explains nothing.

use std::collections::BTreeSet;

use common::domain::site::Manifest;

use super::checks::{MAX_FINDINGS, is_page};

/// What a site is found at.
const HOME: &str = "index.html";
/// So many pages are not most of a site, however small it is.
const FEW: usize = 3;
/// Letters with marks: what is written where marks are left out, and where they are spelled out.
const MARKED: [(&str, [&str; 2]); 23] = [
    ("ä", ["a", "ae"]),
    ("ö", ["o", "oe"]),
    ("ü", ["u", "ue"]),
    ("ø", ["o", "oe"]),
    ("å", ["a", "aa"]),
    ("æ", ["ae", "ae"]),
    ("œ", ["oe", "oe"]),
    ("ß", ["ss", "ss"]),
    ("àáâãāăą", ["a", "a"]),
    ("çćč", ["c", "c"]),
    ("ďđð", ["d", "d"]),
    ("èéêëēėęě", ["e", "e"]),
    ("ğģ", ["g", "g"]),
    ("ìíîïīįı", ["i", "i"]),
    ("ķ", ["k", "k"]),
    ("ļľł", ["l", "l"]),
    ("ñńņň", ["n", "n"]),
    ("òóôõōő", ["o", "o"]),
    ("ř", ["r", "r"]),
    ("śşšș", ["s", "s"]),
    ("ţťț", ["t", "t"]),
    ("ùúûūůűų", ["u", "u"]),
    ("ýÿ", ["y", "y"]),
];

/// Of the pages that were there before, those that are gone although neither a changed file is named like them nor a list of
/// pages ends before them now.
pub(super) fn unexplained(before: &Manifest, now: &BTreeSet<String>, touched: &[String]) -> BTreeSet<String> {
    let about: BTreeSet<_> = touched.iter().flat_map(|source| names(source)).collect();
    let gone = before.files.keys().filter(|path| is_page(path) && !now.contains(*path));
    // `src/pages/about.md` and `content/about/index.md` are about `about/index.html` and `about.html`.
    let unasked = gone.filter(|page| names(page).iter().all(|name| name == NONE || !about.contains(name)));
    unasked.filter(|page| !ended_a_list(page, before, now)).take(MAX_FINDINGS).cloned().collect()
}

/// Whether so many are gone that what changed files said before explains it no more.
pub(super) fn are_too_many(gone: &BTreeSet<String>, before: &Manifest) -> bool {
    let pages = before.files.keys().filter(|path| is_page(path)).count();
    gone.len() >= MAX_FINDINGS || gone.len() > FEW.max(pages / 2)
}

/// Pages that are gone and not named by anything yet that was looked at.
#[derive(Debug)]
pub(super) struct Unnamed(Vec<(String, [String; 2])>);

impl Unnamed {
    /// Before anything is looked at.
    pub(super) fn of(pages: BTreeSet<String>) -> Self {
        Self(pages.into_iter().map(|page| (page.clone(), names(&page))).collect())
    }

    /// Looks at what a changed file said before: an entry of a list, a tag, the address that a page gave itself, its heading.
    pub(super) fn look(&mut self, text: &str) {
        for spelling in [0, 1] {
            let words = words(text, spelling);
            self.0.retain(|(page, names)| {
                page == HOME || names[spelling] == NONE || !words.contains(&names[spelling])
            });
        }
    }

    /// Whether nothing is left to be looked for.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What nothing named.
    pub(super) fn pages(self) -> BTreeSet<String> {
        self.0.into_iter().map(|(page, _)| page).collect()
    }
}

/// Whether it was the last of the pages over which a list went (`blog/2`, `blog/3`), or one of the last that went together.
fn ended_a_list(page: &str, before: &Manifest, now: &BTreeSet<String>) -> bool {
    let Some((head, number, tail)) = numbered(page) else { return false };
    let is_paged = number >= 2 && before.files.contains_key(&format!("{head}2{tail}"));
    is_paged && !now.contains(&format!("{head}{}{tail}", number.saturating_add(1)))
}

/// The number by which a page of a list is called, what stands before it, and what behind it: `blog/3.html`,
/// `blog/page/3/index.html`, `blog/page-3/index.html`.
fn numbered(page: &str) -> Option<(&str, u32, &str)> {
    let rest = page.rsplit_once('.').map_or(page, |(rest, _)| rest);
    let rest = rest.strip_suffix("/index").unwrap_or(rest);
    let head = rest.trim_end_matches(|c: char| c.is_ascii_digit());
    let is_of_a_list = ["/", "page", "page-", "page_"].iter().any(|end| head.ends_with(end));
    let number = rest[head.len()..].parse().ok().filter(|_| is_of_a_list)?;
    Some((head, number, &page[rest.len()..]))
}

/// What a file is called, without folders and ending; one called `index` as the folder it lies in. In both spellings.
fn names(path: &str) -> [String; 2] {
    let path = path.rsplit_once('.').map_or(path, |(stem, _)| stem);
    let path = path.strip_suffix("/index").unwrap_or(path);
    let stem = path.rsplit('/').next().unwrap_or_default();
    [0, 1].map(|spelling| words(stem, spelling))
}

/// Of what has no letters.
const NONE: &str = "-";

/// A text as addresses are made of it: in small letters without marks, a dash before, between and behind its words.
fn words(text: &str, spelling: usize) -> String {
    let mut out = NONE.to_owned();
    for c in text.chars().flat_map(char::to_lowercase).filter(|c| !is_left_out(*c)) {
        let marked = || MARKED.iter().find(|(marked, _)| marked.contains(c));
        if c.is_ascii_alphanumeric() {
            out.push(c);
        } else if let Some((_, written)) = marked() {
            out.push_str(written[spelling]);
        } else if c.is_alphanumeric() {
            out.push(c);
        } else if !out.ends_with(NONE) {
            out.push_str(NONE);
        }
    }
    if !out.ends_with(NONE) {
        out.push_str(NONE);
    }
    out
}

/// Apostrophes, and marks that stand behind their letter.
fn is_left_out(c: char) -> bool {
    matches!(c, '\'' | '’' | '\u{300}'..='\u{36f}')
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn manifest(paths: &[&str]) -> Manifest {
        let file = serde_json::json!({"sha256": "0".repeat(64), "sizeBytes": 1});
        let files: BTreeMap<_, _> = paths.iter().map(|path| (*path, file.clone())).collect();
        serde_json::from_value(serde_json::json!({"commandId": "c", "commitId": "", "epoch": 1,
            "state": "published", "publishedAt": 0, "files": files}))
        .unwrap()
    }

    fn set(paths: &[&str]) -> BTreeSet<String> {
        paths.iter().map(|path| (*path).to_owned()).collect()
    }

    fn unexplained_of(before: &[&str], now: &[&str], touched: &[&str]) -> BTreeSet<String> {
        let touched: Vec<_> = touched.iter().map(|path| (*path).to_owned()).collect();
        unexplained(&manifest(before), &set(now), &touched)
    }

    #[test]
    fn a_page_that_vanished_is_unexplained_unless_the_change_is_about_it() {
        let before = ["index.html", "about/index.html", "team.html", "uber-uns/index.html", "logo.svg"];
        let touched = ["src/pages/About.md", "package.json", "content/Über uns.md"];
        assert_eq!(unexplained_of(&before, &["index.html"], &touched), set(&["team.html"]));
    }

    #[test]
    fn a_list_that_goes_over_fewer_pages_is_no_loss() {
        let before = ["blog/index.html", "blog/2/index.html", "blog/3/index.html", "blog/4/index.html"];
        assert_eq!(unexplained_of(&before, &before[..1], &[]), set(&[]));
        assert_eq!(unexplained_of(&before, &before[..3], &[]), set(&[]));
        let with_a_hole = ["blog/index.html", "blog/4/index.html"];
        assert_eq!(unexplained_of(&before, &with_a_hole, &[]), set(&["blog/3/index.html"]));
        for page in ["news/page/2/index.html", "news/page2/index.html", "news/2.html"] {
            assert_eq!(unexplained_of(&[page], &[], &[]), set(&[]));
        }
        let years =
            ["404.html", "2024/index.html", "news/2025.html", "brot-2.html", "99999999999/index.html"];
        assert_eq!(unexplained_of(&years, &[], &[]), set(&years));
    }

    /// The page that is gone, and what a changed file said before.
    fn is_named(page: &str, text: &str) -> bool {
        let mut unnamed = Unnamed::of(set(&[page]));
        unnamed.look(text);
        unnamed.is_empty()
    }

    #[test]
    fn a_page_is_named_by_what_a_changed_file_said_before() {
        assert!(is_named("products/rye-bread/index.html", r#"[{"id": "rye-bread"}, {"id": "roll"}]"#));
        assert!(is_named("team/jerome-muller.html", "- name: Jérôme Müller\n"));
        assert!(is_named("team/jerome-mueller.html", "- name: Jérôme Müller\n"));
        assert!(is_named("team/jérôme-müller.html", "- name: Je\u{301}ro\u{302}me Mu\u{308}ller\n"));
        assert!(is_named("muellers-brot/index.html", "# Müller’s Brot"));
        assert!(is_named("tags/x/index.html", "tags: [bread, X]"));
        assert!(!is_named("products/rye/index.html", "ryebread"));
        assert!(!is_named("index.html", "an index"), "no site is without its home page");
        assert!(!is_named("_/index.html", "- -"));
    }

    #[test]
    fn few_pages_are_not_most_of_a_site() {
        let paths: Vec<_> = (0..10).map(|n| format!("p{n}.html")).collect();
        let paths: Vec<_> = paths.iter().map(String::as_str).collect();
        let too_many = |gone: usize, of: usize| are_too_many(&set(&paths[..gone]), &manifest(&paths[..of]));
        assert!(!too_many(3, 4) && too_many(4, 5) && !too_many(5, 10) && too_many(6, 10));
    }
}
