//! Settings of agents that a repository brings along: hooks, tool servers, rights, keys. They would be obeyed by an agent
//! that is started among them, so they are not there while one runs, whatever walls there are; and no job changes them.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use git2::{Index, IndexEntry, Repository, Tree};

use super::sweep;
use crate::git::{self, During as _, GitError, GitKind, off_thread};

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

/// Has them in the index as they were in the tree before, with what their links lead to, and no others. The paths of which
/// changes are dropped by that come back.
pub(super) fn keep(repo: &Repository, index: &mut Index, old: &Tree<'_>) -> git::Result<Vec<PathBuf>> {
    let what = "keep the settings of agents as they are";
    // Read by way of an index, whose paths are bytes: libgit2's walk ends at a name that is not UTF-8.
    let mut before = Index::new().during(what)?;
    before.read_tree(old).during(what)?;
    let linked = Linked::of(repo, &before)?;
    let is_kept = |entry: &IndexEntry| is_among(&entry.path) || linked.reach(&entry.path);
    let staged = index.iter().filter(is_kept).collect::<Vec<_>>();
    for entry in &staged {
        index.remove_path(Path::new(OsStr::from_bytes(&entry.path))).during(what)?;
    }
    for entry in before.iter() {
        let (own, led_to) = (is_among(&entry.path), linked.reach(&entry.path));
        let path = Path::new(OsStr::from_bytes(&entry.path));
        let mut above = path.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty());
        // A folder that became a file has nothing in it any more; but a link must not come to lead elsewhere by that.
        if led_to || own && above.all(|above| index.get_path(above, 0).is_none()) {
            index.add(&entry).during(what)?;
        }
    }
    Ok(differing(&staged, &before.iter().filter(is_kept).collect::<Vec<_>>()))
}

/// The paths at which there is something else than before. The settings themselves were taken out: none of them is missing.
fn differing(now: &[IndexEntry], before: &[IndexEntry]) -> Vec<PathBuf> {
    let all = |entries: &[IndexEntry]| {
        entries.iter().map(|entry| (entry.path.clone(), entry.id, entry.mode)).collect::<BTreeSet<_>>()
    };
    let (now, before) = (all(now), all(before));
    let differ = now.symmetric_difference(&before).filter(|entry| now.contains(entry) || !is_among(&entry.0));
    let paths = differ.map(|(path, ..)| PathBuf::from(OsStr::from_bytes(path))).collect::<BTreeSet<_>>();
    paths.into_iter().collect()
}

/// What links among the settings lead to inside the repository, what links in there lead to in turn, and the links that
/// they lead over.
#[derive(Default)]
struct Linked(BTreeSet<Vec<u8>>);

/// The file mode of a symbolic link.
const LINK: u32 = 0o120_000;
/// So many links are followed one after another (as Linux does).
const MAX_LINKS: usize = 40;
/// No link of Linux leads to a longer path.
const MAX_LINK_BYTES: usize = 4096;
/// So many steps are gone along all links of a source, each from a folder to one in it or around it.
const MAX_STEPS: usize = 1_000_000;

impl Linked {
    fn of(repo: &Repository, before: &Index) -> git::Result<Self> {
        let links = before.iter().filter(|entry| entry.mode == LINK).map(|entry| entry.path);
        let (mut open, others): (Vec<_>, Vec<_>) = links.partition(|path| is_among(path));
        let (mut others, mut linked, mut steps) = (BTreeSet::from_iter(others), Self::default(), 0);
        while let Some(link) = open.pop() {
            let mut over = Vec::new();
            let end = follow(repo, before, &link, &mut over, &mut steps);
            if steps > MAX_STEPS {
                let detail = "links among the settings of agents lead on and on";
                return Err(GitError::new(GitKind::TooLarge, "follow links of settings", detail));
            }
            linked.0.extend(over.into_iter().filter(|path| !is_among(path)));
            // All of what the link itself lies in would be nearly all there is.
            if let Some(end) = end.filter(|end| !end.is_empty() && !lies_in(&link, end)) {
                open.extend(take_below(&mut others, &end));
                linked.0.insert(end);
            }
        }
        Ok(linked)
    }

    fn reach(&self, path: &[u8]) -> bool {
        let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        slashes.chain([path.len()]).any(|end| self.0.contains(&path[..end]))
    }
}

/// Takes those paths out that lie in a folder.
fn take_below(paths: &mut BTreeSet<Vec<u8>>, folder: &[u8]) -> Vec<Vec<u8>> {
    let after = [folder, &[b'/' + 1]].concat();
    let below = paths.range([folder, b"/"].concat()..after).cloned().collect::<Vec<_>>();
    for path in &below {
        paths.remove(path);
    }
    below
}

/// Whether a path is this one or lies below it.
fn lies_in(path: &[u8], above: &[u8]) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

/// Where a path leads inside the repository, and over which links; none when it leads out of it or in a circle.
fn follow(
    repo: &Repository,
    before: &Index,
    path: &[u8],
    over: &mut Vec<Vec<u8>>,
    steps: &mut usize,
) -> Option<Vec<u8>> {
    let parts = |path: &[u8]| path.split(|byte| *byte == b'/').map(<[u8]>::to_vec).collect::<Vec<_>>();
    let (mut at, mut rest) = (Vec::new(), parts(path));
    rest.reverse();
    while let Some(part) = rest.pop() {
        *steps += 1;
        match part.as_slice() {
            b"" | b"." => continue,
            b".." => {
                at.pop()?;
                continue;
            }
            _ => at.push(part),
        }
        let here = at.join(&b'/');
        if here.len() > MAX_LINK_BYTES {
            return None;
        }
        let found = before.get_path(Path::new(OsStr::from_bytes(&here)), 0);
        let Some(link) = found.filter(|entry| entry.mode == LINK) else { continue };
        over.push(here);
        let length = repo.odb().and_then(|objects| objects.read_header(link.id)).ok()?.0;
        let target = (length <= MAX_LINK_BYTES).then(|| repo.find_blob(link.id).ok()).flatten()?;
        if over.len() > MAX_LINKS || target.content().starts_with(b"/") {
            return None;
        }
        at.pop();
        rest.extend(parts(target.content()).into_iter().rev());
    }
    Some(at.join(&b'/'))
}

#[cfg(test)]
mod tests {
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
        assert_eq!(
            tree::stage(&repo, before, tree::TooMuch::Refused).unwrap(),
            None,
            "nothing was changed by that"
        );
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
        let staged = tree::stage(&repo, before, tree::TooMuch::Refused).unwrap().unwrap();
        let changed = tree::diff(&repo, Some(before), staged).unwrap();
        let paths: Vec<_> =
            changed.deltas().map(|delta| delta.new_file().path().unwrap().to_owned()).collect();
        assert_eq!(paths, [Path::new("page.txt")]);
    }

    #[tokio::test]
    async fn what_their_links_lead_to_is_not_changed_either_and_no_link_comes_to_lead_elsewhere() {
        let stand = tempfile::tempdir().unwrap();
        let root = stand.path().join("repo");
        let (repo, _) = repository(&root);
        let write = |path: &str, text: &str| {
            std::fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
            std::fs::write(root.join(path), text).unwrap();
        };
        let link = |target: &str, path: &str| {
            std::fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
            std::os::unix::fs::symlink(target, root.join(path)).unwrap();
        };
        let commit = || {
            let mut index = repo.index().unwrap();
            index.add_all(["*"], git2::IndexAddOption::FORCE, None).unwrap();
            index.write().unwrap();
            let tree = repo.find_tree(index.write_tree().unwrap()).unwrap();
            let who = git2::Signature::now("a", "a@example.org").unwrap();
            let parent = repo.head().unwrap().peel_to_commit().unwrap();
            repo.commit(Some("HEAD"), &who, &who, "links", &tree, &[&parent]).unwrap()
        };
        write("deep/ai/hooks.json", "{}");
        write("ai/rules.md", "x");
        link("../ways/first", "over/.claude");
        link("second/ai", "ways/first");
        link("../deep", "ways/second");
        link("../../ai/rules.md", "page/.cursor/rules");
        link(".", "round/.claude");
        write("round/page.txt", "x");
        link(".claude", "circle/.claude");
        let before = commit();
        let all = left(&root);
        let changed = || {
            let staged = tree::stage(&repo, before, tree::TooMuch::Refused).unwrap();
            let diff = staged.map(|staged| tree::diff(&repo, Some(before), staged).unwrap());
            let paths = diff.iter().flat_map(|diff| diff.deltas());
            let paths = paths.map(|delta| delta.new_file().path().unwrap().display().to_string());
            paths.collect::<Vec<_>>()
        };
        take_out(root.clone()).await.unwrap();
        for path in ["odd/settings.json", "odd/new.json", "deep/ai/hooks.json", "ai/rules.md"] {
            write(path, "by the agent");
        }
        std::fs::remove_file(root.join("ways/first")).unwrap();
        link("../odd", "ways/first");
        assert_eq!(changed(), [] as [&str; 0]);
        write("round/page.txt", "by the agent");
        write("ai/other.md", "by the agent");
        assert_eq!(changed(), ["ai/other.md", "round/page.txt"]);

        tree::check_out(&repo, "thread-x", before, &[]).unwrap();
        assert_eq!(left(&root), all);
        std::fs::rename(root.join("deep"), root.join("moved")).unwrap();
        link("moved", "deep");
        write("moved/ai/hooks.json", "by the agent");
        assert_eq!(changed(), ["moved/ai/hooks.json"], "the link leads where it did");
    }

    /// Commits all that lies in the working tree.
    fn commit_all(repo: &Repository) -> git::Oid {
        let mut index = repo.index().unwrap();
        index.add_all(["*"], git2::IndexAddOption::FORCE, None).unwrap();
        index.write().unwrap();
        let tree = repo.find_tree(index.write_tree().unwrap()).unwrap();
        let who = git2::Signature::now("a", "a@example.org").unwrap();
        let parent = repo.head().unwrap().peel_to_commit().unwrap();
        repo.commit(Some("HEAD"), &who, &who, "more", &tree, &[&parent]).unwrap()
    }

    #[test]
    fn links_in_what_their_links_lead_to_are_followed_as_well_and_what_is_dropped_is_told() {
        let stand = tempfile::tempdir().unwrap();
        let root = stand.path().join("repo");
        let (repo, _) = repository(&root);
        for folder in ["odd", "rules", "hooks", "hooks-not"] {
            std::fs::create_dir_all(root.join(folder)).unwrap();
        }
        for (target, path) in
            [("../rules", "odd/rules"), ("../hooks/run.sh", "rules/run.sh"), ("../odd", "rules/back")]
        {
            std::os::unix::fs::symlink(target, root.join(path)).unwrap();
        }
        let files = ["hooks/run.sh", "hooks/page.txt", "hooks-not/run.sh", "rules/a.md", "rules/b.md"];
        let write = |text: &str| files.map(|path| std::fs::write(root.join(path), text).unwrap());
        write("x");
        let before = commit_all(&repo);
        write("by the agent");
        std::fs::remove_file(root.join("rules/b.md")).unwrap();
        std::fs::write(root.join(".mcp.json"), "by the agent").unwrap();
        let mut index = repo.index().unwrap();
        index.add_all(["*"], git2::IndexAddOption::FORCE, None).unwrap();
        let old = repo.find_commit(before).unwrap().tree().unwrap();
        let dropped = keep(&repo, &mut index, &old).unwrap();
        assert_eq!(dropped, [".mcp.json", "hooks/run.sh", "rules/a.md", "rules/b.md"].map(PathBuf::from));
        let changed = tree::diff(&repo, Some(before), index.write_tree().unwrap()).unwrap();
        let paths = changed.deltas().map(|delta| delta.new_file().path().unwrap().to_owned());
        assert_eq!(paths.collect::<Vec<_>>(), ["hooks-not/run.sh", "hooks/page.txt"].map(PathBuf::from));
    }

    #[test]
    fn links_of_settings_that_lead_on_and_on_are_not_followed_for_ever() {
        let stand = tempfile::tempdir().unwrap();
        let (repo, _) = repository(&stand.path().join("repo"));
        let blob = repo.blob("x/../".repeat(800).as_bytes()).unwrap();
        let mut index = Index::new().unwrap();
        let mut entry = repo.index().unwrap().get_path(Path::new(".claude"), 0).unwrap();
        entry.id = blob;
        for number in 0..1000 {
            entry.path = format!("{number}/.claude").into_bytes();
            index.add(&entry).unwrap();
        }
        let error = Linked::of(&repo, &index).err().unwrap();
        assert_eq!(error.kind, GitKind::TooLarge, "{error}");
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
        assert_eq!(tree::stage(&repo, with, tree::TooMuch::Refused).unwrap(), None);
        std::fs::write(folder.join("a.txt"), "changed").unwrap();
        assert!(tree::stage(&repo, with, tree::TooMuch::Refused).unwrap().is_some());
    }

    #[tokio::test]
    async fn a_folder_that_was_made_a_file_takes_its_settings_along() {
        let stand = tempfile::tempdir().unwrap();
        let root = stand.path().join("repo");
        let (repo, before) = repository(&root);
        std::fs::remove_dir_all(root.join("site")).unwrap();
        std::fs::write(root.join("site"), "a file").unwrap();
        let staged = tree::stage(&repo, before, tree::TooMuch::Refused).unwrap().unwrap();
        let staged = repo.find_tree(staged).unwrap();
        assert_eq!(staged.get_name("site").unwrap().kind(), Some(git2::ObjectType::Blob));
        assert!(tree::has(&staged, ".claude") && tree::has(&staged, ".mcp.json"));
    }
}
