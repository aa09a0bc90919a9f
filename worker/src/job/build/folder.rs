//! Sites that were built to lie in a folder of their host (`base: '/docs'`, as for project pages of GitHub): their links lead
//! into a folder that is not there, and the files they mean lie at the root.

use std::collections::{BTreeMap, BTreeSet};

use common::domain::outcome::JobOutcome;

use super::links::Link;
use crate::job::Failure;

/// Folders that are looked at; of more, the first.
const MAX_FOLDERS: usize = 100;
/// A folder has so many segments at most.
const MAX_SEGMENTS: usize = 3;
/// Longer names are none of a folder that a site is built for.
const MAX_FOLDER_BYTES: usize = 100;
/// So many different files show that it is no slip.
const ENOUGH_FILES: usize = 2;

/// Folders that are not there, and what leads into them.
#[derive(Debug, Default)]
pub(super) struct Folders {
    from_root: usize,
    into: BTreeMap<String, Into>,
}

#[derive(Debug, Default)]
struct Into {
    links: usize,
    /// The first files that are there without the folder.
    files: BTreeSet<String>,
}

impl Folders {
    /// Counts a link.
    pub(super) fn count(&mut self, link: &Link) {
        self.from_root += usize::from(link.is_from_root);
    }

    /// Notes one that leads nowhere, in view of what is there.
    pub(super) fn note(
        &mut self,
        link: &Link,
        is_there: impl Fn(&str) -> bool,
        is_folder: impl Fn(&str) -> bool,
    ) {
        let first = link.path.split('/').next().unwrap_or_default();
        if !link.is_from_root || first.is_empty() || is_folder(first) {
            return;
        }
        let Some((folder, file)) = splits(&link.path).find(|(_, file)| is_there(file)) else { return };
        if !may_be_told(folder) || (self.into.len() == MAX_FOLDERS && !self.into.contains_key(folder)) {
            return;
        }
        let into = self.into.entry(folder.to_owned()).or_default();
        into.links += 1;
        if !file.is_empty() && into.files.len() < ENOUGH_FILES {
            into.files.insert(file.trim_end_matches('/').to_owned());
        }
    }

    /// Why the site cannot be shown, when nearly all its links from the root lead into one such folder.
    pub(super) fn failure(&self) -> Option<Failure> {
        let is_all = |into: &Into| into.files.len() == ENOUGH_FILES && 4 * into.links >= 3 * self.from_root;
        let (folder, into) = self.into.iter().find(|(_, into)| is_all(into))?;
        let files = into.files.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        let text = format!(
            "Your change was made, but your site is built to lie in the folder /{folder}/ of its address. Here it lies at the \
             root, where neither its links nor its looks would work; please ask whoever looks after your site. \
             The site that was up stays up, and your change is kept."
        );
        let detail = format!(
            "{} of the site's {} links from the root lead into /{folder}/, which is not there; the files they mean lie at \
             the root ({files}): set the base path of the build to \"/\"",
            into.links, self.from_root
        );
        Some(Failure::new(JobOutcome::BuildFailed, "build-base", text, detail))
    }
}

/// Whether a mail can say its name.
fn may_be_told(folder: &str) -> bool {
    folder.len() <= MAX_FOLDER_BYTES && !folder.contains(char::is_control)
}

/// The folders in which a path may lie, and the path without each.
fn splits(path: &str) -> impl Iterator<Item = (&str, &str)> {
    let parts = path.match_indices('/').take(MAX_SEGMENTS).map(|(at, _)| (&path[..at], &path[at + 1..]));
    parts.chain(std::iter::once((path, "")))
}

#[cfg(test)]
mod tests {
    use super::super::links::links;
    use super::*;

    /// The folder that a page of a site with these files is told to be in.
    fn folder_of(html: &str, files: &[&str]) -> Option<String> {
        let is_there = |path: &str| {
            files.contains(&if path.is_empty() { "index.html" } else { path.trim_end_matches('/') })
        };
        let is_folder = |folder: &str| files.iter().any(|file| file.starts_with(&format!("{folder}/")));
        let mut folders = Folders::default();
        for link in links("index.html", html.as_bytes()) {
            folders.count(&link);
            if !is_there(&link.path) {
                folders.note(&link, is_there, is_folder);
            }
        }
        folders.failure().map(|failure| {
            failure.owner_text.split("the folder ").nth(1).unwrap().split(' ').next().unwrap().to_owned()
        })
    }

    #[test]
    fn a_site_whose_links_lead_into_a_folder_that_is_not_there_is_known() {
        let files = ["index.html", "style.css", "about", "favicon.svg"];
        let page = |to: &str| format!("<link href={to}/style.css><link href={to}/favicon.svg><a href={to}/>");
        assert_eq!(folder_of(&page("/docs"), &files).as_deref(), Some("/docs/"));
        assert_eq!(folder_of(&page("/group/docs"), &files).as_deref(), Some("/group/docs/"));
        let one_is_not = format!("{}<a href=/about><a href=sub/page>", page("/docs"));
        assert_eq!(folder_of(&one_is_not, &files).as_deref(), Some("/docs/"));
        let by_its_base = "<base href=/docs/><link href=style.css><link href=favicon.svg>";
        assert_eq!(folder_of(by_its_base, &files).as_deref(), Some("/docs/"));
        assert_eq!(folder_of(&page(""), &files), None);
    }

    #[test]
    fn links_that_lead_nowhere_in_other_ways_are_no_folder() {
        let files = ["index.html", "style.css", "logo.png", "about", "docs/guide"];
        for html in [
            "<a href=/privacy><a href=/privacy/><a href=/privacy>",
            "<img src=/old/logo.png>",
            "<a href=/old/about><a href=/old/about/>",
            "<link href=/a%0Ab/style.css><img src=/a%0Ab/logo.png>",
            "<img src=/old/logo.png><link href=/old/style.css><a href=/about><a href=/>",
            "<link href=/docs/style.css><img src=/docs/logo.png><a href=/docs/about>",
            "<link href=/old/a.css><img src=/old/b.png>",
        ] {
            assert_eq!(folder_of(html, &files), None, "{html}");
        }
    }

    #[test]
    fn few_folders_are_kept() {
        let mut folders = Folders::default();
        for n in 0..2 * MAX_FOLDERS {
            let link = Link { path: format!("{n}/a"), is_from_root: true };
            folders.note(&link, |path| path == "a", |_| false);
        }
        assert_eq!(folders.into.len(), MAX_FOLDERS);
    }
}
