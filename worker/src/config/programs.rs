//! Where programs are. Names are looked up on the worker's own PATH before a child starts, so that no file of a
//! repository can answer to one.

use std::env::{join_paths, split_paths};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

const WITHOUT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// The folders of a PATH that mean the same everywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Programs(Vec<PathBuf>);

impl Default for Programs {
    fn default() -> Self {
        Self::of_path(WITHOUT_PATH)
    }
}

impl Programs {
    /// Leaves out relative and empty entries: in a checkout they would be folders of the repository.
    pub fn of_path(path: &str) -> Self {
        Self(split_paths(path).filter(|folder| folder.is_absolute()).collect())
    }

    /// The folders.
    pub fn folders(&self) -> &[PathBuf] {
        &self.0
    }

    /// What children get as PATH.
    pub fn path(&self) -> String {
        join_paths(&self.0).unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The absolute path of a program that is called by its bare name.
    pub fn find(&self, name: &str) -> Option<String> {
        if name.is_empty() || name.contains('/') {
            return None;
        }
        let found = self.0.iter().map(|folder| folder.join(name)).find(|path| is_program(path))?;
        found.to_str().map(str::to_owned)
    }
}

/// Whether this is a file that can be started.
pub fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_that_depend_on_the_current_folder_are_left_out() {
        assert_eq!(Programs::of_path("/usr/bin::.:bin:./x:/bin:").path(), "/usr/bin:/bin");
        assert_eq!(Programs::of_path("").find("env"), None);
    }

    #[test]
    fn only_files_that_can_be_started_are_programs() {
        let folder = tempfile::tempdir().unwrap();
        let programs = Programs::of_path(folder.path().to_str().unwrap());
        let file = folder.path().join("tool");
        std::fs::write(&file, "").unwrap();
        assert_eq!(programs.find("tool"), None);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(programs.find("tool").as_deref(), file.to_str());
        assert_eq!(programs.find("../bin/tool"), None);
    }
}
