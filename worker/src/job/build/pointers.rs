//! Files that lie in Git LFS, of which the source has only what stands for them. They are not fetched.

use std::collections::BTreeSet;

use git2::Repository;

use crate::git::{self, During as _, Oid};
use crate::job::tree;

/// How a file begins that stands for one in Git LFS (git-lfs, docs/spec.md).
const BEGIN: &[u8] = b"version https://git-lfs.github.com/spec/";
/// None is longer than this.
const MAX_BYTES: usize = 1024;

/// Whether this only stands for a file.
pub(super) fn is_one(bytes: &[u8]) -> bool {
    bytes.len() <= MAX_BYTES && bytes.starts_with(BEGIN)
}

/// The first of those that a tree has, so many at most.
pub(super) fn of_tree(repo: &Repository, tree: Oid, most: usize) -> git::Result<BTreeSet<String>> {
    let what = "look for what lies in Git LFS";
    let files = repo.find_tree(tree).and_then(|tree| tree::files(&tree)).during(what)?;
    let objects = repo.odb().during(what)?;
    let is_short = |id: Oid| objects.read_header(id).is_ok_and(|(size, _)| size <= MAX_BYTES);
    let stands_for_one =
        |id: Oid| is_short(id) && repo.find_blob(id).is_ok_and(|blob| is_one(blob.content()));
    let pointers = files.iter().filter(|entry| stands_for_one(entry.id)).take(most);
    Ok(pointers.map(|entry| String::from_utf8_lossy(&entry.path).into_owned()).collect())
}
