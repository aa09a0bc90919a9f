//! Commits that never reached the remote as one file in git's own bundle format (version 2), so that they can outlive the
//! machine they were made on, and be read by any git.

use std::io::Write as _;

use git2::{Repository, Sort};

use crate::git::{self, During as _, GitError, GitKind, Oid};

const SIGNATURE: &str = "# v2 git bundle\n";
/// It is made and read in memory. What is larger stays in its folder.
const MAX_BYTES: usize = 256 * 1024 * 1024;
const TRACKING: &str = "refs/remotes/origin/*";

/// The commits of a branch that the remote is not known to have, as a bundle; none when it has them all.
pub(super) fn write(repo: &Repository, branch: &str, tip: Oid) -> git::Result<Option<Vec<u8>>> {
    write_within(repo, branch, tip, MAX_BYTES)
}

fn write_within(repo: &Repository, branch: &str, tip: Oid, max_bytes: usize) -> git::Result<Option<Vec<u8>>> {
    let what = format!("bundle what the remote has not of {branch}");
    let commits = unknown_to_the_remote(repo, tip).during(&what)?;
    if commits.is_empty() {
        return Ok(None);
    }
    let mut bytes = SIGNATURE.as_bytes().to_vec();
    for prerequisite in parents_outside(repo, &commits).during(&what)? {
        writeln!(bytes, "-{prerequisite}").during(&what)?;
    }
    writeln!(bytes, "{tip} refs/heads/{branch}\n").during(&what)?;
    let mut pack = repo.packbuilder().during(&what)?;
    let mut walk = walk(repo, tip).during(&what)?;
    pack.insert_walk(&mut walk).during(&what)?;
    let mut fits = true;
    let packed = pack.foreach(|part| {
        fits = bytes.len() + part.len() <= max_bytes;
        if fits {
            bytes.extend_from_slice(part);
        }
        fits
    });
    if !fits {
        return Err(GitError::new(GitKind::Other, what, format!("it has more than {max_bytes} bytes")));
    }
    packed.during(&what)?;
    Ok(Some(bytes))
}

fn walk(repo: &Repository, tip: Oid) -> Result<git2::Revwalk<'_>, git2::Error> {
    let mut walk = repo.revwalk()?;
    walk.set_sorting(Sort::TOPOLOGICAL)?;
    walk.push(tip)?;
    walk.hide_glob(TRACKING)?;
    Ok(walk)
}

/// What a branch has beyond all that was ever seen of the remote.
pub(super) fn unknown_to_the_remote(repo: &Repository, tip: Oid) -> Result<Vec<Oid>, git2::Error> {
    walk(repo, tip)?.collect()
}

/// The nearest commit on the way back from this one that was seen of the remote.
pub(super) fn newest_on_the_remote(repo: &Repository, from: Oid) -> Result<Oid, git2::Error> {
    let unknown = unknown_to_the_remote(repo, from)?;
    let mut at = from;
    while unknown.contains(&at) {
        at = repo.find_commit(at)?.parent_id(0)?;
    }
    Ok(at)
}

fn parents_outside(repo: &Repository, commits: &[Oid]) -> Result<Vec<Oid>, git2::Error> {
    let mut outside = Vec::new();
    for commit in commits {
        for parent in repo.find_commit(*commit)?.parent_ids() {
            if !commits.contains(&parent) && !outside.contains(&parent) {
                outside.push(parent);
            }
        }
    }
    Ok(outside)
}

/// What a bundle says before its pack begins.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Commits that whoever reads it must have.
    pub(super) prerequisites: Vec<Oid>,
    /// The commit it leads to.
    pub(super) tip: Oid,
    pack_at: usize,
}

/// Reads the head of a bundle of ours.
pub(super) fn header(bytes: &[u8]) -> git::Result<Header> {
    let broken = |detail: &str| GitError::new(GitKind::Other, "read a bundle of unfinished work", detail);
    let mut at = SIGNATURE.len();
    if !bytes.starts_with(SIGNATURE.as_bytes()) {
        return Err(broken("it does not begin like one"));
    }
    let (mut prerequisites, mut tip) = (Vec::new(), None);
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        let end = rest.iter().position(|byte| *byte == b'\n').ok_or_else(|| broken("its head has no end"))?;
        let line = std::str::from_utf8(&rest[..end]).map_err(|_| broken("its head is not text"))?;
        at += end + 1;
        let id = |text: &str| {
            let word = text.split(' ').next().unwrap_or_default();
            Oid::from_str(word).map_err(|_| broken("a line of its head names no commit"))
        };
        match line.strip_prefix('-') {
            Some(prerequisite) => prerequisites.push(id(prerequisite)?),
            None if line.is_empty() => break,
            None => tip = Some(id(line)?),
        }
    }
    let tip = tip.ok_or_else(|| broken("it names no branch"))?;
    Ok(Header { prerequisites, tip, pack_at: at })
}

/// Adds what a bundle holds to the repository and says which commit it leads to. The prerequisites must be there.
pub(super) fn read(repo: &Repository, bytes: &[u8]) -> git::Result<Oid> {
    let what = "take unfinished work over from a bundle";
    let header = header(bytes)?;
    if repo.find_commit(header.tip).is_ok() {
        return Ok(header.tip);
    }
    if let Some(missing) = header.prerequisites.iter().find(|id| repo.find_commit(**id).is_err()) {
        return Err(GitError::new(
            GitKind::NotFound,
            what,
            format!("commit {missing}, which it builds on, is not here"),
        ));
    }
    let odb = repo.odb().during(what)?;
    let mut writer = odb.packwriter().during(what)?;
    writer.write_all(&bytes[header.pack_at..]).during(what)?;
    writer.commit().during(what)?;
    repo.find_commit(header.tip).map(|commit| commit.id()).during(what)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn commit(repo: &Repository, branch: &str, file: &str, parent: Option<Oid>) -> Oid {
        let blob = repo.blob(file.as_bytes()).unwrap();
        let parent = parent.map(|id| repo.find_commit(id).unwrap());
        let base = parent.as_ref().map(|commit| commit.tree().unwrap());
        let mut tree = repo.treebuilder(base.as_ref()).unwrap();
        tree.insert(file, blob, 0o100_644).unwrap();
        let tree = repo.find_tree(tree.write().unwrap()).unwrap();
        let who = git2::Signature::now("a", "a@example.org").unwrap();
        let parents: Vec<_> = parent.iter().collect();
        let id = repo.commit(None, &who, &who, file, &tree, &parents).unwrap();
        repo.reference(branch, id, true, "test").unwrap();
        id
    }

    fn init(path: &Path) -> Repository {
        Repository::init(path).unwrap()
    }

    fn fetch(from: &tempfile::TempDir, to: &Repository) {
        let mut remote = to.remote_anonymous(from.path().to_str().unwrap()).unwrap();
        remote.fetch(&["+refs/heads/main:refs/remotes/origin/main"], None, None).unwrap();
    }

    #[test]
    fn what_the_remote_has_not_is_carried_to_another_copy() {
        let [origin, here, there] = [(); 3].map(|()| tempfile::tempdir().unwrap());
        let base = commit(&init(origin.path()), "refs/heads/main", "a", None);
        let (from, to) = (init(here.path()), init(there.path()));
        fetch(&origin, &from);
        let one = commit(&from, "refs/heads/thread-x", "b", Some(base));
        let tip = commit(&from, "refs/heads/thread-x", "c", Some(one));
        let bundle = write(&from, "thread-x", tip).unwrap().unwrap();
        let head = header(&bundle).unwrap();
        assert_eq!(write_within(&from, "thread-x", tip, bundle.len()).unwrap().unwrap(), bundle);
        let too_large = write_within(&from, "thread-x", tip, bundle.len() - 1).unwrap_err();
        assert!(too_large.to_string().contains("more than"), "{too_large}");
        assert_eq!((head.prerequisites, head.tip), (vec![base], tip));

        assert_eq!(read(&to, &bundle).unwrap_err().kind, GitKind::NotFound, "without what it builds on");
        fetch(&origin, &to);
        assert!(to.find_commit(tip).is_err());
        assert_eq!(read(&to, &bundle).unwrap(), tip);
        assert!(to.find_commit(tip).unwrap().tree().unwrap().get_name("c").is_some());
        assert_eq!(read(&to, &bundle).unwrap(), tip, "a second time too");
    }

    #[test]
    fn what_the_remote_has_needs_no_bundle() {
        let here = tempfile::tempdir().unwrap();
        let repo = init(here.path());
        let tip = commit(&repo, "refs/remotes/origin/thread-x", "a", None);
        assert_eq!(write(&repo, "thread-x", tip).unwrap(), None);
    }

    #[test]
    fn no_bytes_are_taken_for_a_bundle_that_are_none() {
        for bytes in [
            "",
            "# v2 git bundle",
            "# v2 git bundle\n",
            "# v2 git bundle\n\n",
            "# v2 git bundle\nx refs/heads/y\n\n",
        ] {
            assert!(header(bytes.as_bytes()).is_err(), "{bytes:?}");
        }
    }
}
