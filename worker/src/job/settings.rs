//! Settings of agents that a repository brings along: hooks, tool servers, rights, keys. They would be obeyed by an agent
//! that is started among them, so they are not there while one runs, whatever walls there are; and no job changes them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use git2::{Index, IndexEntry, Tree};

use super::sweep;
use crate::git::{self, During as _, off_thread};

/// What they are called, in any folder, whatever it is that has the name.
const NAMES: [&str; 3] = [".claude", ".mcp.json", ".cursor"];

/// Whether something of this name is one, whatever the case of its letters.
pub(super) fn is_one(name: &OsStr) -> bool {
    NAMES.iter().any(|known| name.as_bytes().eq_ignore_ascii_case(known.as_bytes()))
}

/// Whether a path of the repository is one or lies below one.
fn is_among(path: &[u8]) -> bool {
    path.split(|byte| *byte == b'/').any(|part| is_one(OsStr::from_bytes(part)))
}

/// Takes them out of the working tree before an agent is started in it. The next checkout lays them there again.
pub(super) async fn take_out(root: PathBuf) -> git::Result<()> {
    off_thread(move || sweep::remove_settings(&root)).await
}

/// Has them in the index as they were in the tree before, and no others.
pub(super) fn keep(index: &mut Index, old: &Tree<'_>) -> git::Result<()> {
    let what = "keep the settings of agents as they are";
    let staged = index.iter().map(|entry| entry.path).filter(|path| is_among(path)).collect::<Vec<_>>();
    for path in staged {
        index.remove_path(Path::new(OsStr::from_bytes(&path))).during(what)?;
    }
    for entry in before(old).during(what)? {
        let path = Path::new(OsStr::from_bytes(&entry.path));
        // A folder that became a file has nothing in it any more.
        let mut above = path.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty());
        if above.all(|above| index.get_path(above, 0).is_none()) {
            index.add(&entry).during(what)?;
        }
    }
    Ok(())
}

/// Read by way of an index, whose paths are bytes: libgit2's walk ends at a name that is not UTF-8.
fn before(old: &Tree<'_>) -> Result<Vec<IndexEntry>, git2::Error> {
    let mut all = Index::new()?;
    all.read_tree(old)?;
    Ok(all.iter().filter(|entry| is_among(&entry.path)).collect())
}

#[cfg(test)]
mod tests {
    use git2::Repository;

    use super::*;
    use crate::job::tree;

    /// A repository with settings of every kind, checked out.
    fn repository(root: &Path) -> (Repository, git::Oid) {
        let repo = git::open_or_init(root).unwrap();
        for (path, text) in [
            ("page.txt", "page"),
            (".mcp.json", "{}"),
            ("odd/settings.json", "{}"),
            ("site/.claude/settings.json", "{}"),
            ("site/.claude/deep/er.md", "x"),
            ("site/.Cursor/rules", "x"),
            ("node_modules/pkg/.claude/settings.json", "{}"),
        ] {
            std::fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
            std::fs::write(root.join(path), text).unwrap();
        }
        std::os::unix::fs::symlink("odd", root.join(".claude")).unwrap();
        std::os::unix::fs::symlink("/nowhere", root.join("site/.mcp.json")).unwrap();
        let mut index = repo.index().unwrap();
        index.add_all(["*"], git2::IndexAddOption::FORCE, None).unwrap();
        index.write().unwrap();
        let tree = repo.find_tree(index.write_tree().unwrap()).unwrap();
        let who = git2::Signature::now("a", "a@example.org").unwrap();
        let id = repo.commit(Some("HEAD"), &who, &who, "all", &tree, &[]).unwrap();
        drop(tree);
        (repo, id)
    }

    fn left(root: &Path) -> Vec<String> {
        let mut found = Vec::new();
        let mut open = vec![root.to_owned()];
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
                let name = entry.path().strip_prefix(root).unwrap().display().to_string();
                if name == ".git" {
                    continue;
                }
                if entry.file_type().unwrap().is_dir() {
                    open.push(entry.path());
                } else {
                    found.push(name);
                }
            }
        }
        found.sort();
        found
    }

    #[test]
    fn they_are_known_in_any_folder_and_in_any_case() {
        for path in
            [".claude", "a/.mcp.json", "a/.Claude/settings.json", ".cursor/x", "node_modules/x/.claude/y"]
        {
            assert!(is_among(path.as_bytes()), "{path}");
        }
        for path in ["claude", "a/claude/x", ".claude.md", "CLAUDE.md", "mcp.json", "a.mcp.json"] {
            assert!(!is_among(path.as_bytes()), "{path}");
        }
    }

    #[tokio::test]
    async fn none_is_there_while_an_agent_runs_and_none_is_missing_afterwards() {
        let stand = tempfile::tempdir().unwrap();
        let root = stand.path().join("repo");
        let (repo, before) = repository(&root);
        let all = left(&root);
        take_out(root.clone()).await.unwrap();
        assert_eq!(left(&root), ["odd/settings.json", "page.txt"]);
        assert_eq!(tree::stage(&repo, before).unwrap(), None, "nothing was changed by that");
        tree::check_out(&repo, "thread-x", before, &["node_modules"]).unwrap();
        assert_eq!(left(&root), all);
    }

    #[tokio::test]
    async fn what_an_agent_writes_there_is_not_committed_and_the_rest_is() {
        let stand = tempfile::tempdir().unwrap();
        let root = stand.path().join("repo");
        let (repo, before) = repository(&root);
        take_out(root.clone()).await.unwrap();
        std::fs::create_dir_all(root.join(".claude")).unwrap();
        std::fs::create_dir_all(root.join("new/.claude")).unwrap();
        for path in [".claude/settings.json", "new/.claude/settings.json", ".mcp.json", "page.txt"] {
            std::fs::write(root.join(path), "by the agent").unwrap();
        }
        // As an agent could that has git.
        let mut index = repo.index().unwrap();
        index.add_all(["*"], git2::IndexAddOption::FORCE, None).unwrap();
        index.write().unwrap();
        let staged = tree::stage(&repo, before).unwrap().unwrap();
        let changed = tree::diff(&repo, Some(before), staged).unwrap();
        let paths: Vec<_> =
            changed.deltas().map(|delta| delta.new_file().path().unwrap().to_owned()).collect();
        assert_eq!(paths, [Path::new("page.txt")]);
    }

    #[test]
    fn a_folder_whose_name_is_not_utf_8_is_committed_like_any_other() {
        let stand = tempfile::tempdir().unwrap();
        let root = stand.path().join("repo");
        let (repo, _) = repository(&root);
        let folder = root.join(OsStr::from_bytes(b"b\xfccher"));
        std::fs::create_dir_all(folder.join(".claude")).unwrap();
        for path in ["a.txt", ".claude/x"] {
            std::fs::write(folder.join(path), "x").unwrap();
        }
        let mut index = repo.index().unwrap();
        index.add_all(["*"], git2::IndexAddOption::FORCE, None).unwrap();
        index.write().unwrap();
        let tree = repo.find_tree(index.write_tree().unwrap()).unwrap();
        let who = git2::Signature::now("a", "a@example.org").unwrap();
        let parent = repo.head().unwrap().peel_to_commit().unwrap();
        let with = repo.commit(Some("HEAD"), &who, &who, "more", &tree, &[&parent]).unwrap();
        std::fs::write(folder.join(".claude/x"), "by the agent").unwrap();
        assert_eq!(tree::stage(&repo, with).unwrap(), None);
        std::fs::write(folder.join("a.txt"), "changed").unwrap();
        assert!(tree::stage(&repo, with).unwrap().is_some());
    }

    #[tokio::test]
    async fn a_folder_that_was_made_a_file_takes_its_settings_along() {
        let stand = tempfile::tempdir().unwrap();
        let root = stand.path().join("repo");
        let (repo, before) = repository(&root);
        std::fs::remove_dir_all(root.join("site")).unwrap();
        std::fs::write(root.join("site"), "a file").unwrap();
        let staged = tree::stage(&repo, before).unwrap().unwrap();
        let staged = repo.find_tree(staged).unwrap();
        assert_eq!(staged.get_name("site").unwrap().kind(), Some(git2::ObjectType::Blob));
        assert!(tree::has(&staged, ".claude") && tree::has(&staged, ".mcp.json"));
    }
}
