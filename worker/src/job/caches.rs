//! Folders that are kept from job to job because making them anew takes long: installed packages, and what builds
//! remember. They lie beside the list of packages that they belong to; elsewhere nobody needs them.
//!
//! An agent can write there, and so can a build; no commit would show it. So one in which anything has changed since an agent
//! began is removed before the next build, which makes it anew; so are packages in which anything has changed since a build
//! began. The system says when: the time at which a file was changed last (unlike the one at which it was written) cannot be
//! set by whoever owns it. Without walls (`SANDBOX=off`) this does not hold: there an agent is the worker's own user, and can
//! change what the worker remembers.
//!
//! What builds remember is written by builds, and may be compiled code. It stays for what goes on from the commit that was
//! built last, and for nothing else.
//!
//! Where packages lie, builds keep caches too, which whoever tries a build makes or removes; that is a change of the folder,
//! and of no package. So it is noted when somebody begins what lies right in such a folder, and its own age counts for nothing.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirEntryExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use common::domain::names::ContentHash;
use git2::Repository;
use serde::{Deserialize, Serialize};

use super::workspace::{agent_marker, cached_marker, installed_marker};
use crate::git::{self, Oid};

/// The list of packages.
const LIST: &str = "package.json";
/// Where they are installed.
const PACKAGES: &str = "node_modules";
/// Caches of builds among the packages; they come and go without them.
const AMONG_PACKAGES: [&str; 5] = [".astro", ".cache", ".tmp", ".vite", ".vite-temp"];
/// So many folders of packages are noted; others are made anew.
const MAX_NOTED: usize = 1000;

/// A time of the file system: seconds and nanoseconds.
type Time = (i64, i64);

fn changed_at(meta: &Metadata) -> Time {
    (meta.ctime(), meta.ctime_nsec())
}

/// Who writes in a checkout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Writer {
    /// An agent, or anybody else whose caches are of no use.
    #[default]
    Agent,
    /// Its caches are made for it.
    Build,
}

/// What is noted when somebody begins.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Note {
    #[serde(default)]
    writer: Writer,
    /// The packages that lay there then, unless there were too many.
    packages: Option<Noted>,
}

/// Remembers that somebody begins now; when somebody did whose changes were not looked for yet, that they did. Blocks a moment:
/// the clock of a file system goes in steps, and all that lies there must be older.
pub(super) fn begins(repo: &Path, writer: Writer) -> io::Result<()> {
    let marker = agent_marker(repo);
    if marker.exists() {
        // Whose caches are whose is not known any more.
        return forget(&cached_marker(repo));
    }
    let noted = serde_json::to_string(&Note { writer, packages: packages_in(repo) })?;
    let now = || {
        std::fs::write(&marker, &noted)?;
        marker.metadata().map(|meta| changed_at(&meta))
    };
    let first = now()?;
    while now()? <= first {
        std::thread::yield_now();
    }
    Ok(())
}

fn forget(marker: &Path) -> io::Result<()> {
    match std::fs::remove_file(marker) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Folders of packages by their path in the working tree, each with its [`fingerprint`].
type Noted = BTreeMap<String, ContentHash>;

/// Those of a working tree, unless they are too many. What cannot be looked at is left out.
fn packages_in(root: &Path) -> Option<Noted> {
    let folders = folders_of_packages(root);
    let noted = |path: &PathBuf| Some((name_in(root, path)?.to_owned(), fingerprint(path).ok()?));
    (folders.len() <= MAX_NOTED).then(|| folders.iter().filter_map(noted).collect())
}

fn folders_of_packages(root: &Path) -> Vec<PathBuf> {
    let git = root.join(".git");
    let (mut found, mut open) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = open.pop() {
        let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        for path in folders.map(|entry| entry.path()) {
            if path.ends_with(PACKAGES) {
                found.push(path);
            } else if path != git {
                open.push(path);
            }
        }
    }
    found
}

/// Removes all packages: whoever installs others would leave some as they are, and scripts of those have run.
pub(super) fn remove_packages(root: &Path) -> io::Result<()> {
    folders_of_packages(root).iter().try_for_each(|folder| crate::folders::remove(folder))
}

fn name_in<'a>(root: &Path, folder: &'a Path) -> Option<&'a str> {
    folder.strip_prefix(root).ok()?.to_str()
}

/// Tells a folder of packages from one that has others right in it, or that somebody put in its place.
fn fingerprint(folder: &Path) -> io::Result<ContentHash> {
    let its_own = folder.symlink_metadata()?;
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        entries.extend((!is_among_packages(&entry.file_name())).then(|| (entry.file_name(), entry.ino())));
    }
    entries.sort();
    let mut text = [its_own.ino(), its_own.mode().into(), its_own.uid().into(), its_own.gid().into()]
        .map(|number| format!("{number} "))
        .concat()
        .into_bytes();
    for (name, number) in entries {
        text.extend([name.as_bytes(), format!("/{number} ").as_bytes()].concat());
    }
    Ok(ContentHash::of(&text))
}

/// Whether something right in a folder of packages is a cache of builds.
fn is_among_packages(name: &OsStr) -> bool {
    AMONG_PACKAGES.iter().any(|known| name == *known)
}

/// What is to be known to tell which caches stay.
pub(super) struct Caches<'a> {
    root: &'a Path,
    names: &'a [&'a str],
    /// Whether what is checked out goes on from what was built last.
    goes_on: bool,
    /// When somebody began whose changes were not looked for yet.
    began: Option<Time>,
    /// What was noted then.
    note: Note,
}

impl<'a> Caches<'a> {
    /// Folders with these names in the working tree of this commit.
    pub(super) fn of(repo: &Repository, commit: Oid, root: &'a Path, names: &'a [&'a str]) -> Self {
        let built = std::fs::read_to_string(cached_marker(root)).ok();
        let built = built.and_then(|built| Oid::from_str(&built).ok());
        Self::that_go_on(root, names, built.is_some_and(|built| git::contains(repo, commit, built)))
    }

    fn that_go_on(root: &'a Path, names: &'a [&'a str], goes_on: bool) -> Self {
        let marker = agent_marker(root);
        let began = marker.symlink_metadata().ok().map(|meta| changed_at(&meta));
        let note = began.and_then(|_| std::fs::read(marker).ok());
        let note = note.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        Self { root, names, goes_on, began, note }
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
        if *name != PACKAGES {
            return self.keeps_cache(folder);
        }
        let stays = self.began.is_none_or(|began| self.is_as_it_was(folder, began))
            && caches_among(folder)
                .all(|cache| self.keeps_cache(&cache) || crate::folders::remove(&cache).is_ok());
        if !stays && self.was_there(folder) {
            tracing::warn!(folder = %folder.display(), writer = ?self.note.writer, "packages were changed after they were installed; they are installed anew");
            std::fs::remove_file(installed_marker(self.root)).ok();
        }
        stays
    }

    /// Whether what builds remember stays. It is no link: one would not be looked through.
    fn keeps_cache(&self, cache: &Path) -> bool {
        let is_folder = cache.symlink_metadata().is_ok_and(|meta| meta.is_dir());
        let by_an_agent = self.began.filter(|_| self.note.writer == Writer::Agent);
        is_folder && self.goes_on && by_an_agent.is_none_or(|began| is_unchanged(cache, began))
    }

    /// Packages that lay there when somebody began. Others, in which a build may have made a cache, nobody installed.
    fn was_there(&self, folder: &Path) -> bool {
        let noted = self.note.packages.as_ref().zip(name_in(self.root, folder));
        noted.is_none_or(|(noted, name)| noted.contains_key(name))
    }

    fn is_as_it_was(&self, folder: &Path, began: Time) -> bool {
        let noted = self.note.packages.as_ref().zip(name_in(self.root, folder));
        let noted = noted.and_then(|(noted, name)| noted.get(name));
        noted.is_some_and(|noted| fingerprint(folder).is_ok_and(|now| now == *noted))
            && is_unchanged_below(folder, began)
    }

    /// All of them were looked at.
    pub(super) fn looked_at(&self) -> io::Result<()> {
        forget(&agent_marker(self.root))
    }
}

fn is_old(path: &Path, began: Time) -> bool {
    path.symlink_metadata().is_ok_and(|meta| changed_at(&meta) < began)
}

/// Whether nothing changed in a cache. What cannot be looked at has changed.
fn is_unchanged(cache: &Path, began: Time) -> bool {
    is_old(cache, began) && is_unchanged_below(cache, began)
}

/// Caches of builds right in a folder of packages.
fn caches_among(packages: &Path) -> impl Iterator<Item = PathBuf> {
    AMONG_PACKAGES
        .map(|name| packages.join(name))
        .into_iter()
        .filter(|cache| cache.symlink_metadata().is_ok())
}

/// The same whatever became of the folder itself, and but for what builds keep among the packages.
fn is_unchanged_below(cache: &Path, began: Time) -> bool {
    let mut open = vec![cache.to_owned()];
    while let Some(folder) = open.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { return false };
        for entry in entries {
            let Ok((path, kind)) = entry.and_then(|entry| Ok((entry.path(), entry.file_type()?))) else {
                return false;
            };
            let name = path.file_name().unwrap_or_default();
            if folder == cache && cache.ends_with(PACKAGES) && is_among_packages(name) {
                continue;
            }
            if !is_old(&path, began) {
                return false;
            }
            if kind.is_dir() {
                open.push(path);
            }
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

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
            self.kept_where(true, files)
        }

        /// The same where this goes on, or does not go on, from what was built last.
        fn kept_where(&self, goes_on: bool, files: &[&str]) -> Vec<&'static str> {
            let (root, names) = (self.root(), ["node_modules", ".cache"]);
            let caches = Caches::that_go_on(&root, &names, goes_on);
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
        begins(&stand.root(), Writer::Agent).unwrap();
        stand.write("web/new.html");
        assert_eq!(stand.kept(&[]), ["node_modules", ".cache"]);
        assert!(stand.root().join("node_modules/.vite/x").exists());
    }

    #[test]
    fn whatever_an_agent_does_to_a_cache_it_is_noticed() {
        let deeds: [(&str, Deed); 9] = [
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
            ("remove a package", |root| fs::remove_dir_all(root.join("node_modules/a")).unwrap()),
            ("exchange a package", |root| {
                fs::remove_dir_all(root.join("node_modules/a")).unwrap();
                fs::rename(root.join("web/node_modules/a"), root.join("node_modules/a")).unwrap();
            }),
            ("exchange all", |root| {
                fs::remove_dir_all(root.join("node_modules")).unwrap();
                fs::rename(root.join("web/node_modules"), root.join("node_modules")).unwrap();
            }),
            ("shut", |root| {
                fs::set_permissions(root.join("node_modules"), fs::Permissions::from_mode(0o500)).unwrap();
            }),
        ];
        for (name, deed) in deeds {
            let stand = Stand::new();
            let installed = installed_marker(&stand.root());
            fs::write(&installed, "x").unwrap();
            begins(&stand.root(), Writer::Agent).unwrap();
            deed(&stand.root());
            // The start of a second agent hides nothing.
            begins(&stand.root(), Writer::Agent).unwrap();
            assert_eq!(stand.kept(&[]), [".cache"], "{name}");
            assert!(!installed.exists(), "{name}: packages are installed anew");
        }
    }

    #[test]
    fn caches_among_the_packages_go_without_them() {
        let stand = Stand::new();
        begins(&stand.root(), Writer::Agent).unwrap();
        fs::write(stand.root().join("node_modules/.vite/x"), "poisoned").unwrap();
        assert_eq!(stand.kept(&[]), ["node_modules", ".cache"]);
        assert!(!stand.root().join("node_modules/.vite").exists());
    }

    #[test]
    fn caches_that_an_agent_makes_among_the_packages_leave_those_alone() {
        let stand = Stand::new();
        let installed = installed_marker(&stand.root());
        fs::write(&installed, "x").unwrap();
        begins(&stand.root(), Writer::Agent).unwrap();
        for file in ["node_modules/.vite-temp/x", "node_modules/.tmp/x", "web/node_modules/.cache/x"] {
            stand.write(file);
        }
        assert_eq!(stand.kept(&["web/package.json"]), ["node_modules", ".cache", "web/node_modules"]);
        assert!(installed.exists(), "nothing is installed anew");
        for cache in ["node_modules/.vite-temp", "node_modules/.tmp", "web/node_modules/.cache"] {
            assert!(!stand.root().join(cache).exists(), "{cache}");
        }
    }

    #[test]
    fn a_build_may_change_caches_and_no_packages() {
        let honest: Deed = |root| fs::write(root.join("node_modules/.vite/x"), "built").unwrap();
        let patch: Deed = |root| fs::write(root.join("node_modules/a/index.js"), "patched").unwrap();
        let plant: Deed = |root| fs::create_dir(root.join("node_modules/.plant")).unwrap();
        let all = ["node_modules", ".cache", "web/node_modules"];
        for (name, deed, kept) in
            [("honest", honest, &all[..]), ("patch", patch, &all[1..]), ("plant", plant, &all[1..])]
        {
            let stand = Stand::new();
            let installed = installed_marker(&stand.root());
            fs::write(&installed, "x").unwrap();
            begins(&stand.root(), Writer::Build).unwrap();
            stand.write(".cache/y");
            deed(&stand.root());
            assert_eq!(stand.kept(&["web/package.json"]), kept, "{name}");
            assert_eq!(installed.exists(), name == "honest", "{name}");
        }
    }

    #[test]
    fn a_cache_that_a_build_makes_where_no_packages_are_has_nothing_installed_anew() {
        let stand = Stand::new();
        fs::remove_dir_all(stand.root().join("web/node_modules")).unwrap();
        let installed = installed_marker(&stand.root());
        fs::write(&installed, "x").unwrap();
        begins(&stand.root(), Writer::Build).unwrap();
        stand.write("web/node_modules/.vite/x");
        assert_eq!(stand.kept(&["web/package.json"]), ["node_modules", ".cache"]);
        assert!(installed.exists());
    }

    #[test]
    fn what_builds_remember_goes_where_another_commit_was_built() {
        let stand = Stand::new();
        assert_eq!(stand.kept_where(false, &["web/package.json"]), ["node_modules", "web/node_modules"]);
        assert!(!stand.root().join("node_modules/.vite").exists());
    }

    #[test]
    fn a_link_among_the_packages_is_no_cache_and_is_not_followed() {
        let stand = Stand::new();
        let link = stand.root().join("node_modules/.tmp");
        std::os::unix::fs::symlink("../.cache", &link).unwrap();
        begins(&stand.root(), Writer::Agent).unwrap();
        assert_eq!(stand.kept(&[]), ["node_modules", ".cache"]);
        assert!(link.symlink_metadata().is_err());
    }
}
