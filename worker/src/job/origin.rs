//! What a clone is of, and who could write to its history: noted within it, so that the note goes wherever the clone goes.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use common::domain::repo_url::RepoUrl;

use crate::folders;
use crate::git::{self, During as _, GitKind};
use crate::sandbox::Mode;

/// Where a clone comes from, and whether its objects are what their names say: behind walls nobody but this worker
/// writes them. Without them anybody may, and may write this note as well: it holds against mistakes, and who leaves `off` for
/// good empties the working folders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    /// The repository; an address of ours carries no credentials.
    url: String,
    /// Whether agents and builds had no way to its history.
    walled: bool,
}

/// How a clone that is there already stands to the one that is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is the one, or there is none yet.
    Same,
    /// It is of another repository.
    Elsewhere,
    /// It was used without walls, or nobody knows, and is to be used behind them.
    Untrusted,
}

impl Origin {
    /// The one that a run wants.
    pub(super) fn new(url: &RepoUrl, mode: Mode) -> Self {
        Self { url: url.as_str().to_owned(), walled: mode != Mode::Off }
    }

    /// How the clone in this folder stands to it. One without a note is of the repository that it was always of.
    pub(super) fn standing(&self, repo: &Path) -> git::Result<Standing> {
        // Whoever worked in it may have shut it.
        folders::let_in(repo).ok();
        if !repo.join(".git").exists() {
            return Ok(Standing::Same);
        }
        Ok(match Self::noted(repo)? {
            Some(noted) if noted.url != self.url => Standing::Elsewhere,
            Some(noted) if noted.walled || !self.walled => Standing::Same,
            None if !self.walled => Standing::Same,
            _ => Standing::Untrusted,
        })
    }

    /// Notes it, for good, before anybody else works in the clone.
    pub(super) fn note(&self, repo: &Path) -> git::Result<()> {
        if Self::noted(repo)?.as_ref() == Some(self) {
            return Ok(());
        }
        let walls = if self.walled { "walls" } else { "open" };
        let written = File::create(place(repo)).and_then(|mut file| {
            writeln!(file, "{walls} {}", self.url)?;
            file.sync_all()
        });
        written.during("note where the checkout comes from")
    }

    fn noted(repo: &Path) -> git::Result<Option<Self>> {
        match std::fs::read_to_string(place(repo)).during("read where the checkout comes from") {
            Err(error) if error.kind == GitKind::Machine => Err(error),
            text => Ok(text.ok().and_then(|text| Self::read(&text))),
        }
    }

    fn read(text: &str) -> Option<Self> {
        let (walls, url) = text.strip_suffix('\n')?.split_once(' ')?;
        Some(Self { url: url.to_owned(), walled: walls == "walls" })
    }
}

fn place(repo: &Path) -> PathBuf {
    repo.join(".git").join("hermes-origin")
}

#[cfg(test)]
mod tests {
    use common::domain::repo_url::RepoRules;

    use super::*;

    fn origin(name: &str, mode: Mode) -> Origin {
        let rules = RepoRules { hosts: vec!["example.org".into()], allow_files: false };
        Origin::new(&RepoUrl::parse(&format!("https://example.org/{name}"), &rules).unwrap(), mode)
    }

    #[test]
    fn a_clone_is_used_where_it_comes_from_and_behind_walls_only_when_it_always_was() {
        let folder = tempfile::tempdir().unwrap();
        let (walled, open) = (origin("a", Mode::Namespaces), origin("a", Mode::Off));
        assert_eq!(walled.standing(folder.path()).unwrap(), Standing::Same, "there is none");
        std::fs::create_dir(folder.path().join(".git")).unwrap();
        assert_eq!(walled.standing(folder.path()).unwrap(), Standing::Untrusted);
        assert_eq!(open.standing(folder.path()).unwrap(), Standing::Same);
        walled.note(folder.path()).unwrap();
        for mode in [Mode::Namespaces, Mode::Uid, Mode::Off] {
            assert_eq!(origin("a", mode).standing(folder.path()).unwrap(), Standing::Same);
            assert_eq!(origin("b", mode).standing(folder.path()).unwrap(), Standing::Elsewhere);
        }
        open.note(folder.path()).unwrap();
        assert_eq!(open.standing(folder.path()).unwrap(), Standing::Same);
        assert_eq!(origin("a", Mode::Uid).standing(folder.path()).unwrap(), Standing::Untrusted);
    }
}
