//! How much the folders of a child hold. A walk is dear, so that the free space of the file system says when one is due.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::statvfs::statvfs;

/// How often the free space is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);
const LOOKS_PER_WALK: u32 = 60;
const BLOCK_BYTES: u64 = 512;
/// What a file costs that has nothing in it.
const MIN_FILE_BYTES: u64 = 1024;

/// Folders that together may hold so much.
#[derive(Debug, Clone)]
pub struct Quota {
    /// On one file system.
    pub folders: Vec<PathBuf>,
    /// At most.
    pub max_bytes: u64,
}

impl Quota {
    /// Ends when they hold more.
    pub async fn is_exceeded(self) {
        let mut held = self.clone().measured().await;
        let mut free_before = self.free();
        let mut tick = tokio::time::interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut looks = 0;
        while held <= self.max_bytes {
            tick.tick().await;
            looks += 1;
            let free = self.free();
            // Others write to and clear the same disk; only a walk tells whose it is.
            if looks % LOOKS_PER_WALK == 0 || free_before.saturating_sub(free) > (self.max_bytes - held) / 2 {
                held = self.clone().measured().await;
                free_before = free;
            }
        }
    }

    async fn measured(self) -> u64 {
        let walk = move || self.folders.iter().map(|folder| held(folder)).sum();
        tokio::task::spawn_blocking(walk).await.unwrap_or_default()
    }

    /// Free bytes of the file system; a folder that is gone says nothing.
    fn free(&self) -> u64 {
        let found = self.folders.first().and_then(|folder| statvfs(folder).ok());
        found.map_or(0, |stat| stat.blocks_available().saturating_mul(stat.fragment_size()))
    }
}

/// Bytes on the disk below a folder, without following links. What vanishes meanwhile holds nothing.
fn held(folder: &Path) -> u64 {
    let mut sum = 0;
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(meta) = entry.path().symlink_metadata() else { continue };
            sum += (meta.blocks() * BLOCK_BYTES).max(MIN_FILE_BYTES);
            if meta.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn folders_that_hold_too_much_are_noticed_at_once() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("x")).unwrap();
        std::fs::write(folder.path().join("x/a"), vec![1; 100_000]).unwrap();
        let quota = Quota { folders: vec![folder.path().to_owned()], max_bytes: 50_000 };
        tokio::time::timeout(Duration::from_secs(5), quota.is_exceeded()).await.unwrap();
    }

    #[test]
    fn a_link_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/usr", folder.path().join("usr")).unwrap();
        assert!(held(folder.path()) < 10_000);
    }
}
