//! What a commit goes on from, as far as its history is here. libgit2 walks into what a shallow copy lacks and fails there;
//! this goes by the parents that are written in each commit, whether they are here or not.

use std::collections::HashSet;

use git2::{Commit, Oid, Repository};

/// Clocks of those who commit differ by less than this.
const SKEW_SECS: i64 = 24 * 60 * 60;
/// So many commits are looked at however old they are, and so many at most.
const SURE: usize = 1000;
const MOST: usize = 100_000;

/// A commit and all before it.
#[derive(Debug, Default)]
pub struct Line {
    commits: HashSet<Oid>,
    /// Whether some of it is not here.
    pub is_cut: bool,
}

impl Line {
    /// That of a commit, back to this time in seconds since 1970.
    pub fn of(repo: &Repository, tip: Oid, since: i64) -> Self {
        let (mut line, mut open) = (Self::default(), vec![tip]);
        while let Some(id) = open.pop() {
            if line.commits.len() >= MOST || !line.commits.insert(id) {
                continue;
            }
            let Ok(commit) = repo.find_commit(id) else {
                line.is_cut = true;
                continue;
            };
            if line.commits.len() < SURE || commit.time().seconds() >= since.saturating_sub(SKEW_SECS) {
                open.extend(parents_as_written(&commit));
            }
        }
        line
    }

    /// Whether this commit is in it.
    pub fn has(&self, commit: Oid) -> bool {
        self.commits.contains(&commit)
    }
}

/// Those that libgit2 leaves out where a shallow copy ends, too.
pub(super) fn parents_as_written(commit: &Commit<'_>) -> Vec<Oid> {
    let header = String::from_utf8_lossy(commit.raw_header_bytes());
    header.lines().filter_map(|line| Oid::from_str(line.strip_prefix("parent ")?).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_goes_to_where_a_shallow_copy_ends_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let repo = Repository::init(dir.path()).unwrap();
        let tree = repo.find_tree(repo.treebuilder(None).unwrap().write().unwrap()).unwrap();
        let who = git2::Signature::now("a", "a@example.org").unwrap();
        let commit = |parent: Option<Oid>, text: &str| {
            let parent = parent.map(|id| repo.find_commit(id).unwrap());
            let parents: Vec<_> = parent.iter().collect();
            repo.commit(None, &who, &who, text, &tree, &parents).unwrap()
        };
        let lost = commit(None, "lost");
        let end = commit(Some(lost), "end");
        let tip = commit(Some(end), "tip");
        let aside = commit(None, "aside");
        assert!(!Line::of(&repo, tip, 0).is_cut);

        let object = lost.to_string();
        std::fs::remove_file(dir.path().join(".git/objects").join(&object[..2]).join(&object[2..])).unwrap();
        std::fs::write(dir.path().join(".git/shallow"), format!("{end}\n")).unwrap();
        let repo = Repository::open(dir.path()).unwrap();
        let line = Line::of(&repo, tip, 0);
        assert_eq!([tip, end, lost, aside].map(|id| line.has(id)), [true, true, true, false]);
        assert!(line.is_cut);
        assert!(crate::git::contains(&repo, tip, end), "where the copy ends, too");
        assert!(!crate::git::contains(&repo, end, tip) && !crate::git::contains(&repo, tip, aside));
    }
}
