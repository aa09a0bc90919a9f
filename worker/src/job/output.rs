//! A folder that somebody not to be trusted wrote, such as what a build leaves, opened once. Every file is reached from it part by part, never through a link, and read
//! only if it is a regular file with this one name: whatever a hostile build swaps meanwhile, nothing from elsewhere comes out.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path};

use nix::dir::Dir;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

/// A site has no more files than this.
const MAX_FILES: usize = 100_000;
/// And no more than this lies in its folders, links and empty folders counted.
const MAX_ENTRIES: usize = 400_000;
/// And none larger than this.
const MAX_FILE_BYTES: u64 = 256 * 1024 * 1024;
/// Folders within one another; each that is looked into is held open.
const MAX_LEVELS: usize = 100;
/// Object keys end here (common::cloud::files).
const MAX_KEY_BYTES: usize = 1024;
/// Folders of tools, which are no part of a site.
const LEFT_OUT: [&str; 2] = [".git", "node_modules"];

/// An opened folder.
#[derive(Debug)]
pub struct Output(OwnedFd);

impl Output {
    /// Opens a folder of the repository, none of whose parts is a link.
    pub fn open(repo: &Path, output: &str) -> io::Result<Self> {
        let mut folder = OwnedFd::from(File::open(repo)?);
        for part in Path::new(output).components() {
            match part {
                Component::CurDir => {}
                Component::Normal(name) => folder = enter(&folder, name)?,
                _ => return Err(io::Error::other("it must be a folder of the repository")),
            }
        }
        Ok(Self(folder))
    }

    /// The paths of all regular files (with '/'), in order. Links and the like are passed over; a name that no web address
    /// can have is an error.
    pub fn files(&self) -> io::Result<Vec<String>> {
        let mut found = Found::default();
        walk(&self.0, "", 0, &mut found)?;
        found.files.sort();
        Ok(found.files)
    }

    /// The bytes of one file.
    pub fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        self.read_within(path, MAX_FILE_BYTES)
    }

    /// The bytes of one file that is no longer than this.
    pub fn read_within(&self, path: &str, limit: u64) -> io::Result<Vec<u8>> {
        let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
        let mut folder = self.0.try_clone()?;
        for part in folders.split('/').filter(|part| !part.is_empty()) {
            folder = enter(&folder, part)?;
        }
        check(&File::from(look(&folder, name)?))?;
        // Not blocking, should it have become a pipe in between.
        let file = File::from(open(&folder, name, OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY)?);
        let length = check(&file)?;
        check_name(&folder, name, &file)?;
        if length > limit {
            return Err(too_large(limit));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
        file.take(limit + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit { Err(too_large(limit)) } else { Ok(bytes) }
    }
}

fn open(folder: &OwnedFd, name: impl AsRef<std::ffi::OsStr>, how: OFlag) -> io::Result<OwnedFd> {
    let how = how | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    Ok(openat(folder.as_fd(), name.as_ref(), how, Mode::empty())?)
}

fn enter(folder: &OwnedFd, name: impl AsRef<std::ffi::OsStr>) -> io::Result<OwnedFd> {
    open(folder, name, OFlag::O_RDONLY | OFlag::O_DIRECTORY)
}

/// What lies there, without opening it.
fn look(folder: &OwnedFd, name: impl AsRef<std::ffi::OsStr>) -> io::Result<OwnedFd> {
    open(folder, name, OFlag::O_PATH)
}

/// The length of a file that may be published: one that has another name may be anybody's.
fn check(file: &File) -> io::Result<u64> {
    let about = file.metadata()?;
    if !about.is_file() || about.nlink() != 1 {
        return Err(io::Error::other("it is not a regular file of the site alone"));
    }
    if about.len() > MAX_FILE_BYTES { Err(too_large(MAX_FILE_BYTES)) } else { Ok(about.len()) }
}

/// A second name of somebody's file, opened and then removed, has left that file with one name when [`check`] counts: not
/// ours. The kernel tells whether the name that was opened is there still (proc(5), /proc/pid/fd). A removal that the count has
/// seen and this has not is waited for: it holds the folder, and so does reading it.
fn check_name(folder: &OwnedFd, name: &str, file: &File) -> io::Result<()> {
    Dir::from_fd(enter(folder, ".")?)?.iter().next().transpose()?;
    let there = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    if there.file_name() == Some(name.as_ref()) && !name.ends_with(" (deleted)") {
        return Ok(());
    }
    Err(io::Error::other("it was replaced while it was read"))
}

fn too_large(limit: u64) -> io::Error {
    io::Error::other(format!("it is larger than {} MB", limit / 1024 / 1024))
}

/// What a walk came by.
#[derive(Default)]
struct Found {
    files: Vec<String>,
    entries: usize,
}

impl Found {
    /// One more entry of a folder, if there is room for it.
    fn entry(&mut self, path: &str) -> io::Result<()> {
        self.entries += 1;
        if path.len() <= MAX_KEY_BYTES && self.entries <= MAX_ENTRIES { Ok(()) } else { Err(too_many(path)) }
    }

    /// One more file, if it may be published.
    fn file(&mut self, path: String, there: &File) -> io::Result<()> {
        if self.files.len() == MAX_FILES {
            return Err(too_many(&path));
        }
        match check(there) {
            Ok(_) => self.files.push(path),
            Err(error) => tracing::warn!(path, %error, "it is not published"),
        }
        Ok(())
    }
}

fn too_many(path: &str) -> io::Error {
    io::Error::other(format!("{path}: too long a path, or more than {MAX_FILES} files"))
}

/// Of each folder above only its own descriptor is open meanwhile.
fn walk(folder: &OwnedFd, prefix: &str, level: usize, found: &mut Found) -> io::Result<()> {
    if level > MAX_LEVELS {
        return Err(io::Error::other(format!("{prefix}: more than {MAX_LEVELS} folders lie in one another")));
    }
    for (name, path) in listed(folder, prefix, found)? {
        let there = File::from(look(folder, &name)?);
        if !there.metadata()?.is_dir() {
            found.file(path, &there)?;
        } else if !LEFT_OUT.contains(&name.as_str()) {
            drop(there);
            walk(&enter(folder, &name)?, &path, level + 1, found)?;
        }
    }
    Ok(())
}

/// The names in a folder, each with its path.
fn listed(folder: &OwnedFd, prefix: &str, found: &mut Found) -> io::Result<Vec<(String, String)>> {
    let mut listed = Vec::new();
    for entry in Dir::from_fd(folder.try_clone()?)?.iter() {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let name = name.to_str().ok().filter(|name| !name.contains('\\')).ok_or_else(|| {
            io::Error::other(format!(
                "{prefix}/{} has a name that no web address can have",
                name.to_string_lossy()
            ))
        })?;
        let path = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
        found.entry(&path)?;
        listed.push((name.to_owned(), path));
    }
    Ok(listed)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::{Duration, Instant};

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use super::*;

    const SECRET: &str = "outside";

    struct Stand {
        dir: tempfile::TempDir,
    }

    impl Stand {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            std::fs::create_dir_all(dir.path().join("repo/dist/a")).unwrap();
            std::fs::create_dir(dir.path().join("elsewhere")).unwrap();
            std::fs::write(dir.path().join("elsewhere/secret"), SECRET).unwrap();
            Self { dir }
        }

        fn repo(&self) -> std::path::PathBuf {
            self.dir.path().join("repo")
        }

        fn dist(&self, path: &str) -> std::path::PathBuf {
            self.repo().join("dist").join(path)
        }

        fn elsewhere(&self) -> std::path::PathBuf {
            self.dir.path().join("elsewhere")
        }
    }

    #[test]
    fn only_regular_files_are_found_and_no_link_is_followed() {
        let stand = Stand::new();
        let secret = stand.elsewhere().join("secret");
        std::fs::write(stand.dist("a/index.html"), "x").unwrap();
        symlink(stand.elsewhere(), stand.dist("folder")).unwrap();
        symlink(&secret, stand.dist("symbolic")).unwrap();
        std::fs::hard_link(&secret, stand.dist("hard")).unwrap();
        mkfifo(&stand.dist("pipe"), Mode::S_IRUSR).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(stand.dist("socket")).unwrap();
        symlink(stand.elsewhere(), stand.repo().join("out")).unwrap();
        let output = Output::open(&stand.repo(), "dist").unwrap();
        assert_eq!(output.files().unwrap(), ["a/index.html"]);
        for path in ["folder/secret", "symbolic", "hard", "pipe", "socket", "../../elsewhere/secret", "a"] {
            assert!(output.read(path).is_err(), "{path}");
        }
        assert_eq!(output.read("a/index.html").unwrap(), b"x");
        for folder in ["out", "../elsewhere", "/etc", "dist/folder", "dist/a/index.html"] {
            assert!(Output::open(&stand.repo(), folder).is_err(), "{folder}");
        }
    }

    #[test]
    fn folders_lie_in_one_another_only_so_deep() {
        let stand = Stand::new();
        let files = || Output::open(&stand.repo(), "dist").unwrap().files();
        let deepest = stand.dist(&"d/".repeat(MAX_LEVELS));
        std::fs::create_dir_all(&deepest).unwrap();
        std::fs::write(deepest.join("x"), "").unwrap();
        assert_eq!(files().unwrap(), [format!("{}x", "d/".repeat(MAX_LEVELS))]);
        std::fs::create_dir(deepest.join("d")).unwrap();
        assert!(files().unwrap_err().to_string().ends_with("in one another"));
    }

    /// Somebody swaps a file and the folder it is in for links, pipes and back, as fast as they can.
    #[test]
    fn ten_thousand_reads_in_a_swap_race_give_no_byte_from_outside() {
        let stand = Stand::new();
        let output = Output::open(&stand.repo(), "dist").unwrap();
        let stop = AtomicBool::new(false);
        let (mut read, mut refused, mut outside) = (0, 0, 0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (file, folder) = (stand.dist("a/secret"), stand.dist("a"));
                let (aside, secret) = (stand.dist("aside"), stand.elsewhere().join("secret"));
                while !stop.load(Ordering::Relaxed) {
                    for kind in 0..5 {
                        std::fs::remove_file(&file).ok();
                        match kind {
                            0 => symlink(&secret, &file).ok(),
                            1 => std::fs::hard_link(&secret, &file).ok(),
                            2 => mkfifo(&file, Mode::S_IRUSR).ok(),
                            _ => std::fs::write(&file, "inside").ok(),
                        };
                    }
                    std::fs::rename(&folder, &aside).unwrap();
                    symlink(stand.elsewhere(), &folder).unwrap();
                    std::fs::remove_file(&folder).unwrap();
                    std::fs::rename(&aside, &folder).unwrap();
                }
            });
            let begun = Instant::now();
            let mut tried = 0;
            // On a busy machine the one or the other waits for its turn long enough to miss the race.
            while tried < 10_000 || (read.min(refused) < 100 && begun.elapsed() < Duration::from_mins(1)) {
                tried += 1;
                match output.read("a/secret") {
                    Ok(bytes) if b"inside".starts_with(&bytes) => read += 1,
                    Ok(_) => outside += 1,
                    Err(_) => refused += 1,
                }
            }
            stop.store(true, Ordering::Relaxed);
        });
        assert_eq!(outside, 0, "bytes from outside were read");
        assert!(read >= 100 && refused >= 100, "no race: {read} read, {refused} refused");
    }
}
