//! Keys become paths below a folder: checked strictly, and never through a symbolic link.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::layout::Layout;
use crate::cloud::files::Space;

/// The folder of a space.
pub(super) fn folder(layout: &Layout, space: &Space) -> PathBuf {
    match space {
        Space::Objects => layout.objects(),
        Space::Site(target) => layout.sites().join(target.local_host()),
    }
}

/// What lies at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing.
    Nothing,
    /// A regular file, reached through real folders only.
    File,
    /// A folder: keys below this one exist, or did.
    Folder,
}

/// Looks at a key below its folder, part by part; a symbolic link or anything else that is neither file nor folder is
/// an error.
pub(super) fn look(root: &Path, key: &str) -> io::Result<Found> {
    let mut path = root.to_owned();
    let mut parts = key.split('/').peekable();
    while let Some(part) = parts.next() {
        path.push(part);
        match look_at(&path)? {
            Found::Folder if parts.peek().is_some() => {}
            found if parts.peek().is_none() => return Ok(found),
            Found::Nothing | Found::File | Found::Folder => return Ok(Found::Nothing),
        }
    }
    Ok(Found::Nothing)
}

fn look_at(path: &Path) -> io::Result<Found> {
    match std::fs::symlink_metadata(path) {
        Ok(meta) if meta.is_file() => Ok(Found::File),
        Ok(meta) if meta.is_dir() => Ok(Found::Folder),
        Ok(_) => Err(io::Error::new(
            ErrorKind::InvalidInput,
            format!("{} is neither a file nor a folder (a link?), remove it", path.display()),
        )),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(Found::Nothing)
        }
        Err(error) => Err(error),
    }
}

/// All keys below a folder that start with `prefix`, in byte order. Links are passed over.
pub(super) fn list(root: &Path, prefix: &str) -> io::Result<Vec<String>> {
    let below = prefix.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut keys = Vec::new();
    if below.is_empty() || look(root, below)? == Found::Folder {
        collect(root, below, prefix, &mut keys)?;
    }
    keys.sort_unstable();
    Ok(keys)
}

fn collect(root: &Path, below: &str, prefix: &str, keys: &mut Vec<String>) -> io::Result<()> {
    let entries = match std::fs::read_dir(root.join(below)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
        let key = if below.is_empty() { name } else { format!("{below}/{name}") };
        let kind = entry.file_type()?;
        if kind.is_dir() && (key.starts_with(prefix) || prefix.starts_with(&key)) {
            collect(root, &key, prefix, keys)?;
        } else if kind.is_file() && key.starts_with(prefix) {
            keys.push(key);
        }
    }
    Ok(())
}
