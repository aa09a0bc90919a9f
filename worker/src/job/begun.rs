//! The command whose agent is at work in a checkout, noted beside it before the agent starts and until its edits are
//! committed: a worker that dies says nothing, and its edits are found by a later run of something else.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use common::cloud::Result;
use common::cloud::store::Store;
use common::domain::claim::Epoch;
use common::domain::ids::CommandId;
use common::domain::job::Job;

/// Whose agent it is, and under which fence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Begun {
    /// The command.
    pub(super) command: CommandId,
    /// The fence of the run.
    pub(super) epoch: Epoch,
}

impl Begun {
    /// Notes it for good. Blocks.
    pub(super) fn note(&self, repo: &Path) -> io::Result<()> {
        let path = place(repo);
        let mut file = File::create(&path)?;
        writeln!(file, "{} {}", self.command, self.epoch.0)?;
        file.sync_all()?;
        path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    }

    /// What is noted beside this checkout.
    pub(super) fn noted(repo: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(place(repo)).ok()?;
        let (command, epoch) = text.strip_suffix('\n')?.split_once(' ')?;
        Some(Self { command: CommandId::parse(command).ok()?, epoch: Epoch(epoch.parse().ok()?) })
    }

    /// Nothing of it is in the working tree any more.
    pub(super) fn forget(repo: &Path) {
        std::fs::remove_file(place(repo)).ok();
    }

    /// Whether the command came to its end without these edits. Edits that its own run had no time to commit
    /// (`cut_short`) are part of it, unless it was taken up again since.
    pub(super) async fn is_over(&self, store: &dyn Store, cut_short: bool) -> Result<bool> {
        let row = store.load::<Job>(&self.command).await?.map(|stored| stored.value);
        Ok(row.is_none_or(|job| job.outcome.is_some() && (!cut_short || job.epoch > self.epoch)))
    }
}

fn place(repo: &Path) -> PathBuf {
    repo.with_file_name("begun")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_read_back_and_half_a_note_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let repo = folder.path().join("repo");
        assert_eq!(Begun::noted(&repo), None);
        let begun = Begun { command: "c-1".parse().unwrap(), epoch: Epoch(12) };
        begun.note(&repo).unwrap();
        assert_eq!(Begun::noted(&repo), Some(begun));
        for half in ["", "c-1", "c-1 ", "c-1 1", "c-1 x\n"] {
            std::fs::write(place(&repo), half).unwrap();
            assert_eq!(Begun::noted(&repo), None, "{half:?}");
        }
        Begun::forget(&repo);
        assert!(!place(&repo).exists());
    }
}
