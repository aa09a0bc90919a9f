//! The working tree as a git tree, without what must not be committed.

use git2::{Index, IndexAddOption, Repository};

use crate::git::{self, During as _, Oid};

/// The file mode of a link to another repository.
const GITLINK: u32 = 0o160_000;

/// Stages the working tree, honouring `.gitignore`; the tree when it differs from the commit's.
pub(super) fn stage(repo: &Repository, before: Oid) -> git::Result<Option<Oid>> {
    let what = "stage what was changed";
    let mut index = repo.index().during(what)?;
    let old = repo.find_commit(before).during(what)?.tree().during(what)?;
    if index.read(true).is_err() || index.has_conflicts() {
        index.read_tree(&old).during(what)?;
    }
    index.add_all(["*"], IndexAddOption::DEFAULT, None).during(what)?;
    index.update_all(["*"], None).during(what)?;
    drop_new_gitlinks(&mut index, &old)?;
    index.write().during(what)?;
    let tree = index.write_tree().during(what)?;
    Ok((tree != old.id()).then_some(tree))
}

/// A repository inside the repository would be committed as a link to nowhere.
fn drop_new_gitlinks(index: &mut Index, old: &git2::Tree<'_>) -> git::Result<()> {
    let links =
        index.iter().filter(|entry| entry.mode == GITLINK).map(|entry| entry.path).collect::<Vec<_>>();
    for path in links {
        let path = String::from_utf8_lossy(&path).into_owned();
        if old.get_path(path.as_ref()).is_err() {
            index.remove_path(path.as_ref()).during("leave a nested repository out")?;
        }
    }
    Ok(())
}
