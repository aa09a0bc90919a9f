//! How much a source may be. The files of a change are counted before one of them is read, those of a tree before one of
//! them is written: a file of any length may take no room on the disk, and a few objects stand for any number of paths.

use std::collections::HashMap;
use std::path::Path;

use git2::{Index, ObjectType, Odb, Repository};

use crate::git::{self, During as _, GitError, GitKind, Oid};
use crate::text::plain_line;

pub(super) const MB: u64 = 1024 * 1024;
/// What GitHub takes of one file.
const MAX_FILE_BYTES: u64 = 100 * MB;
/// What one change may bring.
const MAX_CHANGE_BYTES: u64 = 1024 * MB;
/// Files and folders: twice as many files as a site may have.
const MAX_ENTRIES: u64 = 200_000;
/// As much as agent and build may have on the disk, unless somebody said otherwise.
pub(super) const MAX_TREE_BYTES: u64 = 8 * 1024 * MB;
/// No site has a larger file; libgit2 has each in memory as a whole when it writes it.
const MAX_BLOB_BYTES: u64 = 256 * MB;
/// Folders within folders.
const MAX_DEPTH: u32 = 500;
/// Of a path within the source: with the folder that it lies in it has to be one that the system takes.
const MAX_PATH_BYTES: usize = 3072;
/// Of a path that is told.
const MAX_TOLD_CHARS: usize = 200;

fn too_large(what: &str, detail: String) -> GitError {
    GitError::new(GitKind::TooLarge, what, detail)
}

/// Whether a file of so many bytes may be committed.
pub(super) fn may_be_committed(bytes: u64) -> bool {
    bytes <= MAX_FILE_BYTES
}

/// Whether a path within the source is short enough.
pub(super) fn check_path(path: &Path) -> git::Result<()> {
    check_length(path.as_os_str().len())
}

fn check_length(bytes: usize) -> git::Result<()> {
    if bytes <= MAX_PATH_BYTES {
        return Ok(());
    }
    let detail = format!("a path has {bytes} bytes, and it may have {MAX_PATH_BYTES}");
    Err(too_large("look at the paths of the source", detail))
}

/// The files of a change, counted.
#[derive(Debug, Default)]
pub(super) struct Change {
    files: u64,
    bytes: u64,
    large: Option<(String, u64)>,
}

impl Change {
    /// One more.
    pub(super) fn count(&mut self, path: &Path, bytes: u64) {
        self.files += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        if !may_be_committed(bytes) && self.large.is_none() {
            self.large = Some((plain_line(&path.to_string_lossy(), MAX_TOLD_CHARS), bytes));
        }
    }

    /// Whether it can be committed.
    pub(super) fn check(&self) -> git::Result<()> {
        const WHAT: &str = "look at what was changed";
        if let Some((path, bytes)) = &self.large {
            let detail = format!("{path} has {} MB, and a file may have {}", bytes / MB, MAX_FILE_BYTES / MB);
            return Err(too_large(WHAT, detail));
        }
        if self.bytes > MAX_CHANGE_BYTES {
            let (all, may) = (self.bytes / MB, MAX_CHANGE_BYTES / MB);
            return Err(too_large(WHAT, format!("the change has {all} MB, and it may have {may}")));
        }
        if self.files > MAX_ENTRIES {
            return Err(too_large(WHAT, format!("the change has more than {MAX_ENTRIES} files")));
        }
        Ok(())
    }
}

/// Whether a file is small enough to be read as a whole.
pub(super) fn is_readable(objects: &Odb<'_>, id: Oid) -> bool {
    objects.read_header(id).is_ok_and(|(size, _)| size as u64 <= MAX_BLOB_BYTES)
}

/// Whether the tree of a commit can be laid out on the disk.
pub(super) fn check_source(repo: &Repository, commit: Oid) -> git::Result<()> {
    let commit = repo.find_commit(commit).during("look at the size of the source")?;
    check_tree(repo, commit.tree_id())
}

/// Whether a tree can be laid out on the disk.
pub(super) fn check_tree(repo: &Repository, tree: Oid) -> git::Result<()> {
    const WHAT: &str = "look at the size of the source";
    let mut measure =
        Measure { repo, objects: repo.odb().during(WHAT)?, blobs: laid_out(repo), trees: HashMap::new() };
    let all = measure.tree(tree, 0)?;
    if all.entries > MAX_ENTRIES {
        return Err(too_large(WHAT, format!("the source has more than {MAX_ENTRIES} files and folders")));
    }
    if all.bytes > MAX_TREE_BYTES {
        return Err(too_large(WHAT, format!("the source has more than {} MB", MAX_TREE_BYTES / MB)));
    }
    check_length(all.longest)
}

/// The sizes of files that lie in the working tree already; asking for each would take long.
fn laid_out(repo: &Repository) -> HashMap<Oid, u64> {
    let known = |index: Index| {
        let sizes = index.iter().filter(|entry| entry.file_size > 0);
        sizes.map(|entry| (entry.id, u64::from(entry.file_size))).collect()
    };
    repo.index().map(known).unwrap_or_default()
}

/// Paths, and the bytes of their files.
#[derive(Debug, Clone, Copy, Default)]
struct Amount {
    entries: u64,
    bytes: u64,
    /// Bytes of the longest path.
    longest: usize,
}

impl Amount {
    fn add(&mut self, more: Self) {
        self.entries = self.entries.saturating_add(more.entries);
        self.bytes = self.bytes.saturating_add(more.bytes);
        self.longest = self.longest.max(more.longest);
    }

    /// As something with this name in a folder.
    fn within(self, name: &[u8]) -> Self {
        let slash = usize::from(self.longest > 0);
        Self { entries: self.entries.saturating_add(1), longest: self.longest + slash + name.len(), ..self }
    }
}

/// Each object is looked at once, however many paths lead to it.
struct Measure<'a> {
    repo: &'a Repository,
    objects: Odb<'a>,
    blobs: HashMap<Oid, u64>,
    trees: HashMap<Oid, Amount>,
}

impl Measure<'_> {
    fn tree(&mut self, id: Oid, depth: u32) -> git::Result<Amount> {
        const WHAT: &str = "look at the files of the source";
        if let Some(known) = self.trees.get(&id) {
            return Ok(*known);
        }
        if depth > MAX_DEPTH {
            return Err(too_large(WHAT, format!("more than {MAX_DEPTH} folders lie in one another")));
        }
        let tree = self.repo.find_tree(id).during(WHAT)?;
        let mut sum = Amount::default();
        for entry in &tree {
            let below = match entry.kind() {
                Some(ObjectType::Tree) => self.tree(entry.id(), depth + 1)?,
                Some(ObjectType::Blob) => Amount { bytes: self.blob(entry.id())?, ..Amount::default() },
                _ => Amount::default(),
            };
            sum.add(below.within(entry.name_bytes()));
        }
        self.trees.insert(id, sum);
        Ok(sum)
    }

    fn blob(&mut self, id: Oid) -> git::Result<u64> {
        const WHAT: &str = "look at a file of the source";
        if let Some(known) = self.blobs.get(&id) {
            return Ok(*known);
        }
        // Whether it is there at all is for the checkout to say.
        let bytes = self.objects.read_header(id).map_or(0, |(size, _)| size as u64);
        if bytes > MAX_BLOB_BYTES {
            let (its, may) = (bytes / MB, MAX_BLOB_BYTES / MB);
            return Err(too_large(WHAT, format!("a file of the source has {its} MB, and it may have {may}")));
        }
        self.blobs.insert(id, bytes);
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The end of a commit whose tree has so many levels of so many folders or files each, all of them the same.
    fn commit_of(repo: &Repository, levels: u32, width: u32, blob: Oid) -> Oid {
        let (mut mode, mut id) = ("100644", blob);
        for _ in 0..levels {
            let mut bytes = Vec::new();
            for number in 0..width {
                bytes.extend_from_slice(format!("{mode} {number:03}\0").as_bytes());
                bytes.extend_from_slice(id.as_bytes());
            }
            (mode, id) = ("40000", repo.odb().unwrap().write(ObjectType::Tree, &bytes).unwrap());
        }
        let who = git2::Signature::now("a", "a@example.org").unwrap();
        repo.commit(None, &who, &who, "x", &repo.find_tree(id).unwrap(), &[]).unwrap()
    }

    fn refused(repo: &Repository, commit: Oid) -> Option<String> {
        let error = check_source(repo, commit).err()?;
        assert_eq!(error.kind, GitKind::TooLarge, "{error}");
        Some(error.to_string())
    }

    #[test]
    fn a_few_objects_that_stand_for_very_much_are_refused_and_large_sources_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let repo = git::open_or_init(folder.path()).unwrap();
        let (small, large) = (repo.blob(b"x").unwrap(), repo.blob(&vec![0; 1024 * 1024]).unwrap());
        assert_eq!(refused(&repo, commit_of(&repo, 2, 400, small)), None);
        assert_eq!(refused(&repo, commit_of(&repo, 2, 60, large)), None);
        assert_eq!(refused(&repo, commit_of(&repo, 200, 1, small)), None);
        let many = refused(&repo, commit_of(&repo, 40, 200, small)).unwrap();
        assert!(many.contains("more than 200000 files"), "{many}");
        let much = refused(&repo, commit_of(&repo, 2, 100, large)).unwrap();
        assert!(much.contains("more than 8192 MB"), "{much}");
        let deep = refused(&repo, commit_of(&repo, 5000, 1, small)).unwrap();
        assert!(deep.contains("in one another"), "{deep}");
        let (long, mut path) = (["d"; 255].concat(), commit_of(&repo, 1, 1, small));
        let mut tree = repo.find_commit(path).unwrap().tree_id();
        for levels in 1..=12 {
            let mut above = repo.treebuilder(None).unwrap();
            above.insert(long.as_str(), tree, 0o40_000).unwrap();
            tree = above.write().unwrap();
            let who = git2::Signature::now("a", "a@example.org").unwrap();
            path = repo.commit(None, &who, &who, "x", &repo.find_tree(tree).unwrap(), &[]).unwrap();
            assert_eq!(refused(&repo, path).is_some(), levels == 12, "{levels}");
        }
    }

    #[test]
    fn a_change_is_bounded_by_its_largest_file_and_by_all_of_them() {
        let check = |sizes: &[u64]| {
            let mut change = Change::default();
            for megabytes in sizes {
                change.count(Path::new("a/b.mp4"), megabytes * MB);
            }
            change.check().err().map(|error| error.to_string())
        };
        assert_eq!(check(&[100; 10]), None);
        assert!(check(&[1, 101]).unwrap().contains("a/b.mp4 has 101 MB"));
        assert!(check(&[100; 11]).unwrap().contains("the change has 1100 MB"));
        assert_eq!(check(&vec![0; 200_000]), None);
        assert!(check(&vec![0; 200_001]).unwrap().contains("more than 200000 files"));
    }
}
