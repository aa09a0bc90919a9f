//! Folders that others have filled, however deep: removed with a few open files at a time and no path longer than the system
//! takes, and whatever rights they have. No link is followed.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::NixPath;
use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::{FchmodatFlags, Mode, fchmod, fchmodat, fstat};
use nix::unistd::{UnlinkatFlags, unlinkat};

/// Gives the owner of a folder all rights to it, and that of a file the right to read it, where they lack. A link has none.
pub fn let_in(path: &Path) -> io::Result<()> {
    let meta = path.symlink_metadata()?;
    let (kind, has) = (meta.file_type(), Mode::from_bits_truncate(meta.mode()));
    let wanted = if kind.is_dir() { Mode::S_IRWXU } else { Mode::S_IRUSR };
    if has.contains(wanted) || !(kind.is_dir() || kind.is_file()) {
        return Ok(());
    }
    Ok(fchmodat(AT_FDCWD, path, has | wanted, FchmodatFlags::NoFollowSymlink)?)
}

/// Removes whatever is there; nothing is fine.
pub fn remove(path: &Path) -> io::Result<()> {
    let meta = match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        meta => meta?,
    };
    if !meta.is_dir() {
        return std::fs::remove_file(path);
    }
    let mut here = enter(AT_FDCWD, path)?;
    let mut way = vec![Level::at(&here, CString::default())?];
    while let Some(level) = way.last_mut() {
        if let Some(name) = level.folders.pop() {
            here = enter(&here, name.as_c_str())?;
            way.push(Level::at(&here, name)?);
        } else if let Some(done) = way.pop()
            && let Some(above) = way.last()
        {
            here = enter(&here, c"..")?;
            if identity(&here)? != above.identity {
                return Err(io::Error::other(format!("{} changes while it is removed", path.display())));
            }
            unlinkat(&here, done.name.as_c_str(), UnlinkatFlags::RemoveDir)?;
        }
    }
    std::fs::remove_dir(path)
}

const FOLDER: OFlag =
    OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// A folder without its files, and its folders that are still there.
struct Level {
    name: CString,
    identity: (u64, u64),
    folders: Vec<CString>,
}

impl Level {
    fn at(folder: &OwnedFd, name: CString) -> io::Result<Self> {
        own(folder)?;
        let mut folders = Vec::new();
        for entry in &mut Dir::from_fd(enter(folder, c".")?)?.iter() {
            let entry = entry?;
            let (name, kind) = (entry.file_name(), entry.file_type());
            if [c".", c".."].contains(&name) {
                continue;
            }
            if kind == Some(Type::Directory) || !remove_file(folder, name)? {
                folders.push(name.to_owned());
            }
        }
        Ok(Self { name, identity: identity(folder)?, folders })
    }
}

/// Whether it was one.
fn remove_file(folder: &OwnedFd, name: &CStr) -> io::Result<bool> {
    match unlinkat(folder, name, UnlinkatFlags::NoRemoveDir) {
        Err(Errno::EISDIR) => Ok(false),
        Err(Errno::ENOENT) => Ok(true),
        removed => Ok(removed.map(|()| true)?),
    }
}

/// Opens a folder, also one that its owner may not read.
fn enter(above: impl AsFd, name: &(impl NixPath + ?Sized)) -> io::Result<OwnedFd> {
    let open = || openat(&above, name, FOLDER, Mode::empty());
    let opened = open().or_else(|error| {
        if error == Errno::EACCES {
            fchmodat(&above, name, Mode::S_IRWXU, FchmodatFlags::NoFollowSymlink)?;
            open()
        } else {
            Err(error)
        }
    });
    Ok(opened?)
}

/// Whoever owns a folder may pass through it and remove what is in it.
fn own(folder: &OwnedFd) -> io::Result<()> {
    let has = Mode::from_bits_truncate(fstat(folder)?.st_mode);
    if !has.contains(Mode::S_IRWXU) {
        // Others need no rights to it, or are told what they lack.
        fchmod(folder, has | Mode::S_IRWXU).ok();
    }
    Ok(())
}

fn identity(folder: &OwnedFd) -> io::Result<(u64, u64)> {
    let stat = fstat(folder)?;
    Ok((stat.st_dev, stat.st_ino))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt as _, lchown};

    use nix::fcntl::open;
    use nix::sys::stat::mkdirat;
    use nix::unistd::{Gid, Uid, setfsgid, setfsuid};

    use super::*;

    /// As a user who has no more rights to files than they say, in a folder that is given to them.
    pub(crate) fn as_ordinary_user<T: Send>(folder: &Path, work: impl FnOnce() -> T + Send) -> T {
        const USER: u32 = 59_100;
        if !Uid::effective().is_root() {
            return work();
        }
        lchown(folder, Some(USER), Some(USER)).unwrap();
        // They are those of this thread alone.
        let become_them = || (setfsgid(Gid::from_raw(USER)), setfsuid(Uid::from_raw(USER)));
        let done = std::thread::scope(|scope| {
            scope
                .spawn(move || {
                    become_them();
                    work()
                })
                .join()
        });
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Sets the rights of what lies at a path.
    pub(crate) fn set_rights(path: &Path, mode: u32) {
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    /// Folders within folders, with a file in each.
    fn deep(root: &Path, levels: usize) {
        let mut here = open(root, FOLDER, Mode::empty()).unwrap();
        for _ in 0..levels {
            mkdirat(&here, c"d", Mode::S_IRWXU).unwrap();
            openat(&here, c"file", OFlag::O_CREAT | OFlag::O_WRONLY, Mode::S_IRWXU).unwrap();
            here = enter(&here, c"d").unwrap();
        }
    }

    #[test]
    fn a_tree_of_any_depth_is_removed_and_what_its_links_lead_to_stays() {
        let stand = tempfile::tempdir().unwrap();
        let (tree, other) = (stand.path().join("tree"), stand.path().join("other"));
        std::fs::create_dir_all(&other).unwrap();
        std::fs::write(other.join("kept"), "x").unwrap();
        std::fs::create_dir_all(tree.join("a/b")).unwrap();
        for number in 0..100 {
            std::fs::create_dir_all(tree.join(format!("wide/{number}"))).unwrap();
        }
        std::os::unix::fs::symlink(&other, tree.join("a/b/link")).unwrap();
        deep(&tree, 3000);
        remove(&tree).unwrap();
        assert!(!tree.exists() && other.join("kept").exists());
        remove(&tree).unwrap();
        std::os::unix::fs::symlink(&other, &tree).unwrap();
        remove(&tree).unwrap();
        assert!(tree.symlink_metadata().is_err() && other.join("kept").exists());
    }

    #[test]
    fn folders_that_their_owner_has_shut_are_removed() {
        let stand = tempfile::tempdir().unwrap();
        let (tree, other) = (stand.path().join("tree"), stand.path().join("other"));
        as_ordinary_user(stand.path(), || {
            for mode in [0, 0o300, 0o400, 0o555] {
                std::fs::create_dir_all(tree.join("a/b/c")).unwrap();
                std::fs::write(tree.join("a/b/f"), "x").unwrap();
                for folder in ["a/b/c", "a/b", "a", ""] {
                    set_rights(&tree.join(folder), mode);
                }
                remove(&tree).unwrap_or_else(|error| panic!("{mode:o}: {error}"));
                assert!(!tree.exists());
            }
            std::fs::create_dir(&other).unwrap();
            set_rights(&other, 0o500);
            std::os::unix::fs::symlink(&other, &tree).unwrap();
            let_in(&tree).unwrap();
            remove(&tree).unwrap();
            assert_eq!(other.metadata().unwrap().mode() & 0o777, 0o500, "a link leads nowhere");
        });
    }
}
