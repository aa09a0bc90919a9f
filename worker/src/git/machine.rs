//! What tells that this machine lacks something, and no copy of a repository is damaged: room on the disk, open files, memory.
//! An error of input and output may be the one bad place of a disk, which a new copy has not; so it is none of these.

use std::io;

use git2::ErrorClass;
use nix::errno::Errno;

const LACKS: [Errno; 6] =
    [Errno::EDQUOT, Errno::EMFILE, Errno::ENFILE, Errno::ENOMEM, Errno::ENOSPC, Errno::EROFS];

/// Whether the system said so.
pub(super) fn lacks(error: &io::Error) -> bool {
    LACKS.iter().any(|lack| error.raw_os_error() == Some(*lack as i32))
}

/// Whether libgit2 was told so by the system: what this says stands at the end of its message, and nowhere else.
pub(super) fn made_fail(error: &git2::Error) -> bool {
    match error.class() {
        ErrorClass::NoMemory => true,
        ErrorClass::Os => LACKS.iter().any(|lack| error.message().ends_with(&words(*lack))),
        _ => false,
    }
}

fn words(errno: Errno) -> String {
    let (number, text) = (errno as i32, io::Error::from(errno).to_string());
    let words = text.strip_suffix(&format!(" (os error {number})"));
    format!(": {}", words.unwrap_or(&text))
}

#[cfg(test)]
mod tests {
    use git2::ErrorCode;

    use super::super::{During as _, GitKind, blame, open_or_init};
    use super::*;

    fn told(class: ErrorClass, message: &str) -> GitKind {
        Err::<(), _>(git2::Error::new(ErrorCode::GenericError, class, message)).during("x").unwrap_err().kind
    }

    #[test]
    fn a_machine_that_lacks_something_is_told_from_a_damaged_copy() {
        for errno in LACKS {
            let error = Err::<(), _>(io::Error::from(errno)).during("x").unwrap_err();
            assert_eq!(error.kind, GitKind::Machine, "{errno}");
        }
        for (class, message, kind) in [
            (ErrorClass::Os, "could not write to 'a.html': No space left on device", GitKind::Machine),
            (ErrorClass::Os, "failed to open 'index': Too many open files", GitKind::Machine),
            (ErrorClass::NoMemory, "out of memory", GitKind::Machine),
            (ErrorClass::Os, "could not open 'No space left on device': Is a directory", GitKind::Other),
            (ErrorClass::Odb, "an object says: No space left on device", GitKind::Corrupt),
        ] {
            assert_eq!(told(class, message), kind, "{message}");
        }
        let io = Err::<(), _>(io::Error::from(Errno::EIO)).during("x").unwrap_err();
        assert_eq!(io.kind, GitKind::Other);
    }

    #[test]
    fn a_machine_that_lacks_something_is_no_remote_that_cannot_be_reached() {
        let folder = tempfile::tempdir().unwrap();
        let repo = open_or_init(folder.path()).unwrap();
        let error = Err::<(), _>(io::Error::from(Errno::ENOSPC)).during("fetch").unwrap_err();
        assert_eq!(blame(error, &repo).kind, GitKind::Machine);
    }
}
