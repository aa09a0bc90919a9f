//! The words that bubblewrap is told. Nothing is secret in them: they can be seen from within.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::cell::{SOCKET, View};
use super::system::{Seen, System};
use crate::inside::Account;

/// Where our own program lies behind the walls.
pub(super) const INSIDE: &str = "/run/sandbox-inside";
/// The folder of the gateway's socket behind the walls.
pub(super) const DOOR: &str = "/run/hermes";
/// The one port that leads out.
pub(super) const PORT: u16 = 8090;
const SHARED_MEMORY_BYTES: u64 = 64 * 1024 * 1024;

/// One job's part of it.
pub(super) struct Job<'a> {
    /// Where its folders really are.
    pub(super) outside: &'a View,
    /// Where it sees them.
    pub(super) within: &'a View,
    /// What came with the mail, for whom that is meant.
    pub(super) attachments: Option<&'a Path>,
    /// Whether the gateway's socket lies in this folder.
    pub(super) door: Option<&'a Path>,
    /// The whole environment.
    pub(super) env: &'a BTreeMap<String, String>,
}

/// From `bwrap` up to the `--` before our own program.
pub(super) fn argv(
    bubblewrap: &str,
    system: &System,
    account: Option<Account>,
    inside: &str,
    job: &Job<'_>,
) -> Vec<String> {
    let mut words = Words { all: vec![bubblewrap.to_owned()], ..Words::default() };
    words.add(&["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]);
    words.add(&["--die-with-parent", "--new-session", "--hostname", "site"]);
    match account {
        // It becomes the other user when everything is in its place.
        Some(_) => words.add(&["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]),
        // Whatever it left running would be the same user as the child, and bound by less: our own program is the first process.
        None => words.add(&["--unshare-user", "--uid", "1000", "--gid", "1000", "--as-pid-1"]),
    }
    // What is shown may lie below these.
    words.paths("--bind", &job.outside.tmp, &job.within.tmp);
    words.paths("--bind", &job.outside.tmp, Path::new("/var/tmp"));
    for seen in &system.0 {
        match seen {
            Seen::Same(path) => {
                lead_to(&mut words, path);
                words.paths("--ro-bind", path, path);
            }
            Seen::Link(target, path) => words.paths("--symlink", target, path),
            Seen::As(source, path) => words.paths("--ro-bind", source, path),
            Seen::Hidden(path) => words.path("--tmpfs", path),
        }
    }
    words.add(&["--proc", "/proc", "--dev", "/dev", "--remount-ro", "/dev"]);
    words.add(&["--perms", "1777", "--size", &SHARED_MEMORY_BYTES.to_string(), "--tmpfs", "/dev/shm"]);
    folders(&mut words, job);
    words.paths("--ro-bind", Path::new(inside), Path::new(INSIDE));
    if let Some(door) = job.door {
        words.paths("--ro-bind", door, Path::new(DOOR));
    }
    words.add(&["--remount-ro", "/", "--chdir"]);
    words.all.push(job.within.repo.display().to_string());
    for (name, value) in job.env {
        words.add(&["--setenv", name, value]);
    }
    words.add(&["--"]);
    words.all
}

/// Folders below the temporary ones, which anybody may pass through: those that bubblewrap makes for a mount are root's alone.
fn lead_to(words: &mut Words, path: &Path) {
    let above: Vec<_> = path
        .ancestors()
        .skip(1)
        .filter(|above| above.starts_with("/tmp") || above.starts_with("/var/tmp"))
        .collect();
    for folder in
        above.into_iter().rev().filter(|folder| ![Path::new("/tmp"), Path::new("/var/tmp")].contains(folder))
    {
        words.add(&["--perms", "0755"]);
        words.path("--dir", folder);
    }
}

fn folders(words: &mut Words, job: &Job<'_>) {
    let (outside, within) = (job.outside, job.within);
    words.paths("--bind", &outside.repo, &within.repo);
    let git = outside.repo.join(".git");
    if git.exists() {
        words.paths("--ro-bind", &git, &within.repo.join(".git"));
    }
    words.paths("--bind", &outside.home, &within.home);
    if let Some(attachments) = job.attachments.filter(|folder| folder.is_dir()) {
        words.paths("--ro-bind", attachments, &within.attachments);
    }
}

/// The words of our own program behind the walls, up to its `--`.
pub(super) fn serve(account: Option<Account>, processes: u64, door: Option<&Path>) -> Vec<String> {
    let mut words = Words { all: vec![INSIDE.to_owned()], ..Words::default() };
    words.add(&["serve", "--max-processes", &processes.to_string()]);
    if let Some(account) = account {
        words.add(&["--account", &account.to_string()]);
    }
    if door.is_some() {
        words.add(&["--port", &PORT.to_string(), "--socket", &format!("{DOOR}/{SOCKET}")]);
    }
    words.add(&["--"]);
    words.all
}

/// Words, and which folders are there by them.
#[derive(Default)]
struct Words {
    all: Vec<String>,
    bound: BTreeSet<PathBuf>,
    made: BTreeSet<PathBuf>,
}

impl Words {
    fn add(&mut self, words: &[&str]) {
        self.all.extend(words.iter().map(|word| (*word).to_owned()));
    }

    fn path(&mut self, word: &str, path: &Path) {
        self.folders_above(path);
        self.all.extend([word.to_owned(), path.display().to_string()]);
    }

    fn paths(&mut self, word: &str, from: &Path, to: &Path) {
        self.folders_above(to);
        self.all.extend([word.to_owned(), from.display().to_string(), to.display().to_string()]);
        self.bound.insert(to.to_owned());
    }

    /// Those that bubblewrap makes by itself for a single file, nobody else may enter.
    fn folders_above(&mut self, path: &Path) {
        let mut above: Vec<&Path> =
            path.ancestors().skip(1).take_while(|folder| *folder != Path::new("/")).collect();
        above.reverse();
        for folder in above {
            let within = folder.ancestors().any(|known| self.bound.contains(known));
            if !within && self.made.insert(folder.to_owned()) {
                self.all.extend(["--dir".to_owned(), folder.display().to_string()]);
            }
        }
    }
}
