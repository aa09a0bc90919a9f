//! Which packages a source needs, and who installs them: the manager whose lock file lies beside their list. What another
//! one has locked is refused by name, never guessed at.

use std::path::Path;

use common::domain::names::ContentHash;
use common::domain::outcome::JobOutcome;
use git2::Repository;

use super::{first_chars, last_chars};
use crate::git::{self, During as _, Oid};
use crate::job::handover::Commit;
use crate::job::{Failure, tree};

/// The failure of an install whose lock file does not fit what this change made of the list.
pub(in crate::job) const LOCK_BEHIND: &str = "lock-behind";
/// The same where the change did not touch the list: it was so before.
pub(in crate::job) const LOCK_OF_THE_SOURCE: &str = "lock-of-the-source";

/// The list of packages.
const LIST: &str = "package.json";
/// What else decides what is installed.
const SETTINGS: [&str; 2] = [".npmrc", "pnpm-workspace.yaml"];
/// Lock files that nobody here can install from.
const FOREIGN: [&str; 3] = ["yarn.lock", "bun.lock", "bun.lockb"];

/// Another one where what is done at an install, or of it is kept, is another than before: all is installed once more.
const EDITION: &str = "2\n";

/// A program and its arguments.
type Words = &'static [&'static str];

/// Where nothing is locked.
const UNLOCKED: Words = &["npm", "install", "--no-audit", "--no-fund", "--no-package-lock"];

const NPM: Manager = Manager {
    lock: "package-lock.json",
    install: &["npm", "ci", "--no-audit", "--no-fund"],
    lock_only: &["npm", "install", "--package-lock-only", "--ignore-scripts", "--no-audit", "--no-fund"],
    behind: "npm-shrinkwrap.json are in sync",
};
/// The first whose lock file is there; npm itself prefers the first of its two.
const MANAGERS: [Manager; 3] = [
    Manager { lock: "npm-shrinkwrap.json", ..NPM },
    NPM,
    Manager {
        lock: "pnpm-lock.yaml",
        install: &["pnpm", "install", "--frozen-lockfile"],
        lock_only: &["pnpm", "install", "--lockfile-only", "--no-frozen-lockfile", "--ignore-scripts"],
        behind: "ERR_PNPM_OUTDATED_LOCKFILE",
    },
];

/// What says that the registry was not reached, or had no answer; it may have one later.
const UNREACHABLE: [&str; 19] = [
    "E429",
    "E500",
    "E502",
    "E503",
    "E504",
    "EAI_AGAIN",
    "ECONNREFUSED",
    "ECONNRESET",
    "EHOSTUNREACH",
    "EIDLETIMEOUT",
    "EMFILE",
    "ENETUNREACH",
    "ENOMEM",
    "ENOSPC",
    "ENOTFOUND",
    "EPIPE",
    "ERR_SOCKET_TIMEOUT",
    "ETIMEDOUT",
    "FETCH_ERROR",
];

/// Who installs what a lock file names.
#[derive(Debug)]
struct Manager {
    lock: &'static str,
    /// Installs what is locked and nothing else.
    install: Words,
    /// Lets the lock file follow the list, and installs nothing.
    lock_only: Words,
    /// Says that the one does not fit the other.
    behind: &'static str,
}

/// The packages of a source.
#[derive(Debug)]
pub(super) struct Packages {
    manager: Option<&'static Manager>,
}

impl Packages {
    /// Those of the source in this folder; none where it needs none.
    pub(super) fn of(repo: &Path) -> Result<Option<Self>, Failure> {
        let Some(list) = regular_file(&repo.join(LIST)) else { return Ok(None) };
        let lies_there = |name: &str| is_regular_file(&repo.join(name));
        let manager = MANAGERS.iter().find(|manager| lies_there(manager.lock));
        if manager.is_none() && !names_packages(&list) {
            return Ok(None);
        }
        if let Some(lock) = FOREIGN.into_iter().find(|lock| manager.is_none() && lies_there(lock)) {
            return Err(foreign(lock));
        }
        Ok(Some(Self { manager }))
    }

    /// The program that installs them.
    pub(super) fn install(&self) -> Words {
        self.manager.map_or(UNLOCKED, |manager| manager.install)
    }

    /// The program that lets the lock file follow the list, where there is one.
    pub(super) fn lock_only(&self) -> Option<Words> {
        self.manager.map(|manager| manager.lock_only)
    }

    /// What it means that it said this and failed. Only what the change did to the lists of packages is the agent's to mend.
    pub(super) fn failed(&self, commit: &Commit, said: &str, output: &str) -> Failure {
        let is_of_the_change = is_touched(commit);
        if self.manager.is_some_and(|manager| output.contains(manager.behind)) {
            return behind(is_of_the_change, format!("{said}:\n{}", first_chars(output)));
        }
        let detail = format!("{said}:\n{}", last_chars(output));
        if is_of_the_change && !is_unreachable(output) {
            let text = "Your change was made, but the packages that it needs could not be installed. \
                The site that was up stays up, and your change is kept.";
            return Failure::new(JobOutcome::BuildFailed, "install-failed", text, detail);
        }
        unfetched(detail)
    }
}

/// Another one where something else may have to be installed: of all that decides about packages, wherever in the source.
pub(super) fn fingerprint(repo: &Repository, tree: Oid) -> git::Result<ContentHash> {
    let what = "look for the lists of packages";
    let files = repo.find_tree(tree).and_then(|tree| tree::files(&tree)).during(what)?;
    let mut all = EDITION.as_bytes().to_vec();
    for entry in files.iter().filter(|entry| decides_at(&entry.path)) {
        all.extend(entry.path);
        all.extend(format!(" {}\n", entry.id).into_bytes());
    }
    Ok(ContentHash::of(&all))
}

/// Packages that could not be fetched; the cause may pass.
pub(super) fn unfetched(detail: String) -> Failure {
    let text = "Your change was made, but the packages of your site could not be fetched. \
        The site that was up stays up, and your change is kept.";
    Failure::new(JobOutcome::Failed, "install-failed", text, detail)
}

fn behind(is_of_the_change: bool, detail: String) -> Failure {
    let code = if is_of_the_change { LOCK_BEHIND } else { LOCK_OF_THE_SOURCE };
    let text = "The packages of your site cannot be installed: their list and its lock file do not fit together. \
        The site that was up stays up, and your change is kept.";
    Failure::new(JobOutcome::BuildFailed, code, text, detail)
}

fn foreign(lock: &str) -> Failure {
    let text = format!(
        "Your site cannot be built here: its packages are locked by {lock}, which we cannot install from. \
         Please ask whoever looks after your site."
    );
    let detail =
        format!("install: {lock} is the only lock file; commit a package-lock.json or a pnpm-lock.yaml");
    Failure::new(JobOutcome::Refused, "packages-unknown", text, detail)
}

/// Whether it touches what decides which packages are installed, wherever in the source.
fn is_touched(commit: &Commit) -> bool {
    commit.files.iter().any(|path| path.rsplit('/').next().is_some_and(decides))
}

/// Whether a file of this name decides about packages.
pub(super) fn decides(name: &str) -> bool {
    name == LIST || SETTINGS.contains(&name) || MANAGERS.iter().any(|manager| manager.lock == name)
}

/// Whether what lies at this path does.
fn decides_at(path: &[u8]) -> bool {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    std::str::from_utf8(name).is_ok_and(decides)
}

fn is_unreachable(output: &str) -> bool {
    let mut words = output.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.any(|word| UNREACHABLE.contains(&word))
}

fn names_packages(list: &[u8]) -> bool {
    let list: serde_json::Value = serde_json::from_slice(list).unwrap_or_default();
    ["dependencies", "devDependencies", "optionalDependencies"]
        .iter()
        .any(|kind| list[kind].as_object().is_some_and(|named| !named.is_empty()))
        || !list["workspaces"].is_null()
}

fn is_regular_file(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|meta| meta.is_file())
}

fn regular_file(path: &Path) -> Option<Vec<u8>> {
    is_regular_file(path).then(|| std::fs::read(path).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    const SOME: &str = r#"{"dependencies":{"a":"1"}}"#;
    const NOT_IN_SYNC: &str = "npm error code EUSAGE\nnpm error\nnpm error `npm ci` can only install packages when your \
        package.json and package-lock.json or npm-shrinkwrap.json are in sync. Please update";

    struct Source(tempfile::TempDir);

    impl Source {
        fn new(files: &[(&str, &str)]) -> Self {
            let source = Self(tempfile::tempdir().unwrap());
            for (name, text) in files {
                source.write(name, text);
            }
            source
        }

        fn write(&self, name: &str, text: &str) {
            std::fs::write(self.0.path().join(name), text).unwrap();
        }

        fn packages(&self) -> Packages {
            Packages::of(self.0.path()).unwrap().unwrap()
        }
    }

    fn commit(files: &[&str]) -> Commit {
        let files = files.iter().map(|path| (*path).to_owned()).collect();
        Commit { id: Oid::ZERO_SHA1, tree: Oid::ZERO_SHA1, files }
    }

    #[test]
    fn packages_are_installed_by_the_manager_that_locked_them_and_only_where_there_are_some() {
        for files in [&[][..], &[(LIST, "{}")], &[(LIST, "{}"), ("yarn.lock", "")]] {
            assert!(Packages::of(Source::new(files).0.path()).unwrap().is_none(), "{files:?}");
        }
        assert_eq!(Source::new(&[(LIST, SOME)]).packages().install(), UNLOCKED);
        for (lock, start) in [
            ("package-lock.json", ["npm", "ci"]),
            ("npm-shrinkwrap.json", ["npm", "ci"]),
            ("pnpm-lock.yaml", ["pnpm", "install"]),
        ] {
            let source = Source::new(&[(LIST, SOME), (lock, ""), ("yarn.lock", "")]);
            assert_eq!(source.packages().install()[..2], start, "{lock}");
        }
    }

    #[test]
    fn what_another_manager_locked_is_refused_by_name() {
        for lock in FOREIGN {
            let refused = Packages::of(Source::new(&[(LIST, SOME), (lock, "")]).0.path()).unwrap_err();
            assert_eq!(refused.outcome, JobOutcome::Refused);
            assert!(refused.owner_text.contains(lock) && refused.detail.contains(lock), "{refused:?}");
        }
    }

    #[test]
    fn another_list_or_lock_or_setting_is_another_install() {
        let source = Source::new(&[(LIST, SOME), ("package-lock.json", "{}")]);
        let repo = Repository::init(source.0.path()).unwrap();
        std::fs::create_dir(source.0.path().join("web")).unwrap();
        let not_utf8 = source.0.path().join(OsStr::from_bytes(b"caf\xe9"));
        std::fs::create_dir(&not_utf8).unwrap();
        let fingerprint = || {
            let mut index = repo.index().unwrap();
            index.add_all(["*"], git2::IndexAddOption::DEFAULT, None).unwrap();
            fingerprint(&repo, index.write_tree().unwrap()).unwrap()
        };
        let mut seen = vec![fingerprint()];
        for (name, is_the_same) in [
            (LIST, false),
            ("package-lock.json", false),
            (".npmrc", false),
            ("web/package.json", false),
            ("web/a.txt", true),
        ] {
            source.write(name, "{ }");
            let now = fingerprint();
            assert_eq!(seen.contains(&now), is_the_same, "{name}");
            seen.push(now);
        }
        std::fs::write(not_utf8.join(LIST), "{}").unwrap();
        assert!(!seen.contains(&fingerprint()), "whatever its folder is called");
    }

    #[test]
    fn what_was_installed_while_homes_lasted_is_installed_again() {
        let source = Source::new(&[]);
        let repo = Repository::init(source.0.path()).unwrap();
        let list = repo.blob(SOME.as_bytes()).unwrap();
        let mut tree = repo.treebuilder(None).unwrap();
        tree.insert(LIST, list, 0o100_644).unwrap();
        let remembered = ContentHash::of(format!("{LIST} {list}\n").as_bytes());
        assert_ne!(fingerprint(&repo, tree.write().unwrap()).unwrap(), remembered);
    }

    #[test]
    fn only_what_the_change_did_to_the_packages_is_for_the_agent() {
        let packages = Source::new(&[(LIST, SOME), ("package-lock.json", "{}")]).packages();
        let (page, list) = (commit(&["site/a.html"]), commit(&["web/package.json"]));
        let unreachable = "npm error code ECONNREFUSED\nnpm error errno ECONNREFUSED";
        let unknown = "npm error code E404\nnpm error 404 Not Found - GET https://registry.npmjs.org/nowhere";
        for (commit, output, outcome, is_for_the_agent) in [
            (&page, unreachable, JobOutcome::Failed, false),
            (&page, unknown, JobOutcome::Failed, false),
            (&page, NOT_IN_SYNC, JobOutcome::BuildFailed, false),
            (&list, unreachable, JobOutcome::Failed, false),
            (&list, unknown, JobOutcome::BuildFailed, true),
            (&list, NOT_IN_SYNC, JobOutcome::BuildFailed, true),
        ] {
            let failure = packages.failed(commit, "install", output);
            assert_eq!(
                (failure.outcome, failure.is_for_the_agent()),
                (outcome, is_for_the_agent),
                "{output}"
            );
        }
    }

    #[test]
    fn a_lock_file_that_does_not_fit_is_told_before_pages_of_advice() {
        let packages = Source::new(&[(LIST, SOME), ("package-lock.json", "{}")]).packages();
        let output = format!("{NOT_IN_SYNC}{}", "npm error advice\n".repeat(1000));
        let failure = packages.failed(&commit(&[LIST]), "install", &output);
        assert!(failure.detail.contains("are in sync") && failure.detail.len() < 5000, "{failure:?}");
        assert_eq!(failure.code, LOCK_BEHIND);
    }
}
