//! Folders that are kept from job to job because making them anew takes long: installed packages, and what builds
//! remember. They lie beside the list of packages that they belong to; elsewhere nobody needs them.
//!
//! An agent can write there, and no commit would show it. So one in which anything has changed since an agent began is
//! removed before the next build, which makes it anew. The system says when: the time at which a file was changed last
//! (unlike the one at which it was written) cannot be set by whoever owns it. Without walls (`SANDBOX=off`) this does not
//! hold: there an agent is the worker's own user, and can change what the worker remembers.

use std::collections::HashSet;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::workspace::{agent_marker, installed_marker};

/// The list of packages.
const LIST: &str = "package.json";
/// Where they are installed.
const PACKAGES: &str = "node_modules";
/// Caches of builds among the packages; they come and go without them.
const AMONG_PACKAGES: [&str; 3] = [".astro", ".cache", ".vite"];

/// A time of the file system: seconds and nanoseconds.
type Time = (i64, i64);

fn changed_at(meta: &Metadata) -> Time {
    (meta.ctime(), meta.ctime_nsec())
}

/// Remembers that an agent begins now; when one did whose changes were not looked for yet, that it did. Blocks a moment:
/// the clock of a file system goes in steps, and all that lies there must be older.
pub(super) fn agent_begins(repo: &Path) -> io::Result<()> {
    let marker = agent_marker(repo);
    if marker.exists() {
        return Ok(());
    }
    let now = || {
        std::fs::write(&marker, "x")?;
        marker.metadata().map(|meta| changed_at(&meta))
    };
    let first = now()?;
    while now()? <= first {
        std::thread::yield_now();
    }
    Ok(())
}

/// What is to be known to tell which caches stay.
pub(super) struct Caches<'a> {
    root: &'a Path,
    names: &'a [&'a str],
    /// When an agent began whose changes were not looked for yet.
    began: Option<Time>,
}

impl<'a> Caches<'a> {
    /// Folders with these names in the working tree.
    pub(super) fn of(root: &'a Path, names: &'a [&'a str]) -> Self {
        let began = agent_marker(root).symlink_metadata().ok().map(|meta| changed_at(&meta));
        Self { root, names, began }
    }

    /// Whether a folder of the working tree is one that stays. The files are those of the commit.
    pub(super) fn keep(&self, folder: &Path, files: &HashSet<PathBuf>) -> bool {
        let Some(name) = self.names.iter().find(|name| folder.ends_with(name)) else { return false };
        let beside = folder.parent().unwrap_or(self.root);
        let listed = || {
            let list = beside.join(LIST);
            files.contains(list.strip_prefix(self.root).unwrap_or(&list))
        };
        if beside != self.root && !listed() {
            return false;
        }
        let stays = self.began.is_none_or(|began| is_unchanged(folder, began));
        if !stays {
            tracing::warn!(folder = %folder.display(), "an agent changed what is kept from job to job; it is made anew");
        }
        if !stays && *name == PACKAGES {
            std::fs::remove_file(installed_marker(self.root)).ok();
        }
        stays
    }

    /// All of them were looked at.
    pub(super) fn looked_at(&self) -> io::Result<()> {
        match std::fs::remove_file(agent_marker(self.root)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// Whether nothing changed in a cache, but for what builds keep among the packages, which is removed if it did. What
/// cannot be looked at has changed.
fn is_unchanged(cache: &Path, began: Time) -> bool {
    let is_old = |path: &Path| path.symlink_metadata().is_ok_and(|meta| changed_at(&meta) < began);
    let mut open = vec![cache.to_owned()];
    if !is_old(cache) {
        return false;
    }
    while let Some(folder) = open.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { return false };
        for entry in entries {
            let Ok((path, kind)) = entry.and_then(|entry| Ok((entry.path(), entry.file_type()?))) else {
                return false;
            };
            let is_apart = folder == cache
                && cache.ends_with(PACKAGES)
                && AMONG_PACKAGES.iter().any(|name| path.ends_with(name));
            if is_apart {
                if !is_unchanged(&path, began) && crate::folders::remove(&path).is_err() {
                    return false;
                }
            } else if !is_old(&path) {
                return false;
            } else if kind.is_dir() {
                open.push(path);
            }
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    type Deed = fn(&Path);

    struct Stand(tempfile::TempDir);

    impl Stand {
        fn new() -> Self {
            let stand = Self(tempfile::tempdir().unwrap());
            for file in
                ["node_modules/a/index.js", "node_modules/.vite/x", ".cache/x", "web/node_modules/a/x"]
            {
                stand.write(file);
            }
            stand
        }

        fn root(&self) -> PathBuf {
            self.0.path().join("repo")
        }

        fn write(&self, file: &str) {
            let path = self.root().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }

        /// Those of these folders that stay in a source with these files.
        fn kept(&self, files: &[&str]) -> Vec<&'static str> {
            let (root, names) = (self.root(), ["node_modules", ".cache"]);
            let caches = Caches::of(&root, &names);
            let files = files.iter().map(PathBuf::from).collect();
            let folders = ["node_modules", ".cache", "web/node_modules", "web"];
            folders.into_iter().filter(|folder| caches.keep(&root.join(folder), &files)).collect()
        }
    }

    #[test]
    fn caches_lie_at_the_root_and_beside_lists_of_packages() {
        let stand = Stand::new();
        assert_eq!(stand.kept(&["web/index.html"]), ["node_modules", ".cache"]);
        assert_eq!(stand.kept(&["web/package.json"]), ["node_modules", ".cache", "web/node_modules"]);
    }

    #[test]
    fn what_an_agent_does_not_touch_stays() {
        let stand = Stand::new();
        agent_begins(&stand.root()).unwrap();
        stand.write("web/new.html");
        assert_eq!(stand.kept(&[]), ["node_modules", ".cache"]);
        assert!(stand.root().join("node_modules/.vite/x").exists());
    }

    #[test]
    fn whatever_an_agent_does_to_a_cache_it_is_noticed() {
        let deeds: [(&str, Deed); 6] = [
            ("write and set the time back", |root| {
                let path = root.join("node_modules/a/index.js");
                let before = path.metadata().unwrap().modified().unwrap();
                fs::write(&path, "poisoned").unwrap();
                fs::File::options().write(true).open(&path).unwrap().set_modified(before).unwrap();
            }),
            ("add", |root| fs::write(root.join("node_modules/a/new.js"), "").unwrap()),
            ("remove", |root| fs::remove_file(root.join("node_modules/a/index.js")).unwrap()),
            ("rename", |root| {
                fs::rename(root.join("node_modules/a"), root.join("node_modules/b")).unwrap();
            }),
            ("give a second name", |root| {
                fs::hard_link(root.join("node_modules/a/index.js"), root.join("second.js")).unwrap();
            }),
            ("exchange", |root| {
                fs::rename(root.join("node_modules"), root.join("aside")).unwrap();
                fs::rename(root.join("aside"), root.join("node_modules")).unwrap();
            }),
        ];
        for (name, deed) in deeds {
            let stand = Stand::new();
            let installed = installed_marker(&stand.root());
            fs::write(&installed, "x").unwrap();
            agent_begins(&stand.root()).unwrap();
            deed(&stand.root());
            // The start of a second agent hides nothing.
            agent_begins(&stand.root()).unwrap();
            assert_eq!(stand.kept(&[]), [".cache"], "{name}");
            assert!(!installed.exists(), "{name}: packages are installed anew");
        }
    }

    #[test]
    fn caches_among_the_packages_go_without_them() {
        let stand = Stand::new();
        agent_begins(&stand.root()).unwrap();
        fs::write(stand.root().join("node_modules/.vite/x"), "poisoned").unwrap();
        assert_eq!(stand.kept(&[]), ["node_modules", ".cache"]);
        assert!(!stand.root().join("node_modules/.vite").exists());
    }
}
