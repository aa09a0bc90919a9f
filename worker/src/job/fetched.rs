//! Packages that npm has fetched before, each under the hash of its bytes: what one build leaves in its home for the builds
//! of other commits. npm hashes what it takes from there by what the lock file says, and fetches anew what is another. What
//! it remembers besides, such as which versions there are, nothing is held against: any build could have made that up.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::folders;

/// Where they lie in a home, folder within folder.
const PLACE: [&str; 3] = [".npm", "_cacache", "content-v2"];

/// Puts those of a home aside. What cannot be taken is fetched anew.
pub(super) fn take(home: &Path, aside: &Path) {
    let mut place = home.to_owned();
    for part in PLACE {
        place.push(part);
        if !is_folder(&place) {
            return;
        }
    }
    let taken = folders::let_in(&place)
        .and_then(|()| fs::rename(&place, aside))
        .and_then(|()| remove_what_is_no_file(aside));
    if let Err(error) = taken {
        tracing::warn!(%error, "packages that were fetched before are fetched anew");
        folders::remove(aside).ok();
    }
}

/// Puts them into a home that is empty.
pub(super) fn put_back(aside: &Path, home: &Path) {
    if !is_folder(aside) {
        return;
    }
    let place = PLACE.iter().fold(home.to_owned(), |place, part| place.join(part));
    let put = place.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::rename(aside, place));
    if let Err(error) = put {
        tracing::warn!(%error, "packages that were fetched before are fetched anew");
    }
}

fn is_folder(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|meta| meta.is_dir())
}

/// A link leads elsewhere, and a pipe keeps whoever reads it waiting.
fn remove_what_is_no_file(root: &Path) -> io::Result<()> {
    let mut open = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        folders::let_in(&folder)?;
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                open.push(entry.path());
            } else if !kind.is_file() {
                fs::remove_file(entry.path())?;
            }
        }
    }
    Ok(())
}

/// What installing leaves in a home and no build needs.
const OF_MANAGERS: [&str; 8] = [
    ".cache/node",
    ".cache/node-gyp",
    ".cache/pnpm",
    ".config/configstore",
    ".config/pnpm",
    ".local/share/pnpm",
    ".local/state/pnpm",
    ".npm",
];

/// Whether an install left anything else, such as a browser, that builds may need.
pub(super) fn is_all_there_is(home: &Path) -> io::Result<bool> {
    let mut open = vec![PathBuf::new()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(home.join(&folder))? {
            let entry = entry?;
            let path = folder.join(entry.file_name());
            if OF_MANAGERS.iter().any(|known| path == Path::new(known)) {
                continue;
            }
            if !entry.file_type()?.is_dir() || path.components().count() > 2 {
                return Ok(false);
            }
            open.push(path);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn write(path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "x").unwrap();
    }

    fn files(folder: &Path) -> Vec<PathBuf> {
        let mut open = vec![folder.to_owned()];
        let mut files = Vec::new();
        while let Some(folder) = open.pop() {
            for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                if is_folder(&path) { open.push(path) } else { files.push(path) }
            }
        }
        files
    }

    #[test]
    fn of_a_home_only_packages_stay_that_are_found_by_their_hash() {
        let stand = tempfile::tempdir().unwrap();
        let (home, aside) = (stand.path().join("home"), stand.path().join("aside"));
        let package = home.join(".npm/_cacache/content-v2/sha512/aa/bb/cc");
        for file in [&package, &home.join(".npmrc"), &home.join(".npm/_cacache/index-v5/aa")] {
            write(file);
        }
        symlink("/etc/passwd", package.with_file_name("dd")).unwrap();
        nix::unistd::mkfifo(&package.with_file_name("ee"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        take(&home, &aside);
        folders::remove(&home).unwrap();
        put_back(&aside, &home);
        assert_eq!(files(&home), [package]);
        assert!(!aside.exists());
    }

    #[test]
    fn no_link_is_taken_for_them() {
        let stand = tempfile::tempdir().unwrap();
        let (home, aside) = (stand.path().join("home"), stand.path().join("aside"));
        write(&stand.path().join("elsewhere/content-v2/x"));
        fs::create_dir_all(home.join(".npm")).unwrap();
        symlink("../../elsewhere", home.join(".npm/_cacache")).unwrap();
        take(&home, &aside);
        assert!(!aside.exists() && stand.path().join("elsewhere/content-v2/x").exists());
    }

    #[test]
    fn what_builds_may_need_of_a_home_is_told_from_what_managers_of_packages_leave() {
        let home = tempfile::tempdir().unwrap();
        for file in [".npm/_logs/x", ".local/share/pnpm/store/x", ".cache/node-gyp/x"] {
            write(&home.path().join(file));
        }
        fs::create_dir_all(home.path().join(".config")).unwrap();
        assert!(is_all_there_is(home.path()).unwrap());
        write(&home.path().join(".cache/puppeteer/chrome"));
        assert!(!is_all_there_is(home.path()).unwrap());
    }
}
