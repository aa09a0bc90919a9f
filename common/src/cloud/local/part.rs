//! Parts of files, read without looking at the rest.

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::cloud::files::{Etag, FilePart};

/// At most `len` bytes of a file from `offset` on.
pub(super) fn read(path: &Path, offset: u64, len: usize) -> io::Result<FilePart> {
    let mut file = File::open(path)?;
    let about = file.metadata()?;
    let left = usize::try_from(about.len().saturating_sub(offset)).unwrap_or(usize::MAX);
    let mut bytes = vec![0; len.min(left)];
    if !bytes.is_empty() {
        file.seek(SeekFrom::Start(offset))?;
        file.read_exact(&mut bytes)?;
    }
    Ok(FilePart { bytes: bytes.into(), total: about.len(), etag: etag(&about) })
}

/// A file is never written in place: other content is another file, with an inode and a time of its own.
fn etag(about: &Metadata) -> Etag {
    Etag(format!("{:x}-{:x}-{:x}.{:x}", about.ino(), about.len(), about.mtime(), about.mtime_nsec()))
}
