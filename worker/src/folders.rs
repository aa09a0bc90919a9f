//! Folders that others have filled, however deep: removed with a few open files at a time and no path longer than the system
//! takes. No link is followed.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::{Mode, fstat};
use nix::unistd::{UnlinkatFlags, unlinkat};

/// Removes whatever is there; nothing is fine.
pub fn remove(path: &Path) -> io::Result<()> {
    let meta = match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        meta => meta?,
    };
    if !meta.is_dir() {
        return std::fs::remove_file(path);
    }
    let mut here = open(path, FOLDER, Mode::empty())?;
    let mut way = vec![Level::at(&here, CString::default())?];
    while let Some(level) = way.last_mut() {
        if let Some(name) = level.folders.pop() {
            here = enter(&here, &name)?;
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

fn enter(folder: &OwnedFd, name: &CStr) -> io::Result<OwnedFd> {
    Ok(openat(folder.as_fd(), name, FOLDER, Mode::empty())?)
}

fn identity(folder: &OwnedFd) -> io::Result<(u64, u64)> {
    let stat = fstat(folder)?;
    Ok((stat.st_dev, stat.st_ino))
}

#[cfg(test)]
mod tests {
    use nix::sys::stat::mkdirat;

    use super::*;

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
}
