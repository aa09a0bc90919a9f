//! Two secrets that are made once and kept beside the data, readable by their owner only: the API's token and the key that
//! our Message-IDs are made with.

use std::io::{ErrorKind, Write};
use std::path::Path;

use common::domain::ids::ThreadId;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::Uuid;

/// A secret that can be neither read nor made.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {reason}; check that the directory exists and can be written")]
pub struct SecretError {
    path: String,
    reason: std::io::Error,
}

/// What a caller of the API must show. Only its hash is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdminToken([u8; 32]);

impl AdminToken {
    /// The token given by the operator.
    pub fn given(token: &str) -> Self {
        Self(Sha256::digest(token.trim()).into())
    }

    /// The token kept in `DIR/admin-token`, made when absent.
    pub fn kept_in(data_dir: &Path) -> Result<Self, SecretError> {
        Ok(Self::given(&kept(&data_dir.join("admin-token"))?))
    }

    /// Whether this is it; takes the same time wherever the two differ.
    pub fn matches(&self, shown: &str) -> bool {
        Self::given(shown).0.ct_eq(&self.0).into()
    }
}

/// The key of our Message-IDs.
#[derive(Clone)]
pub struct SecretKey(Vec<u8>);

impl SecretKey {
    /// The key kept in `DIR/secret-key`, made when absent.
    pub fn kept_in(data_dir: &Path) -> Result<Self, SecretError> {
        Ok(Self(kept(&data_dir.join("secret-key"))?.trim().as_bytes().to_vec()))
    }

    /// 32 hex digits that only we can make for this thread (HMAC, RFC 2104).
    pub fn of_thread(&self, thread: &ThreadId) -> String {
        // An HMAC takes a key of any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return String::new() };
        mac.update(b"thread:");
        mac.update(thread.as_str().as_bytes());
        hex::encode(&mac.finalize().into_bytes()[..16])
    }
}

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretKey(…)")
    }
}

/// Reads a secret, or makes it: written beside its place and linked there, so that of two processes that start at once one
/// wins and both read the same.
fn kept(path: &Path) -> Result<String, SecretError> {
    let failed = |reason| SecretError { path: path.display().to_string(), reason };
    match std::fs::read_to_string(path) {
        Ok(secret) => return Ok(secret),
        Err(reason) if reason.kind() == ErrorKind::NotFound => {}
        Err(reason) => return Err(failed(reason)),
    }
    make(path).map_err(failed)?;
    std::fs::read_to_string(path).map_err(failed)
}

fn make(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    // A temporary file is made readable by its owner only (0600).
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    writeln!(file, "{}", random())?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Err(other) if other.error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(other) => Err(other.error),
        Ok(_) => std::fs::File::open(folder)?.sync_all(),
    }
}

/// 64 hex digits of 488 random bits.
fn random() -> String {
    let mut hash = Sha256::new();
    for _ in 0..4 {
        hash.update(Uuid::new_v4().as_bytes());
    }
    hex::encode(hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_secret_is_made_once_and_only_its_owner_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let first = AdminToken::kept_in(&data).unwrap();
        assert_eq!(first, AdminToken::kept_in(&data).unwrap());
        let path = data.join("admin-token");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let text = std::fs::read_to_string(path).unwrap();
        assert!(first.matches(text.trim()) && !first.matches("x") && !first.matches(""));
    }

    #[test]
    fn a_thread_has_a_tag_that_needs_the_key() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let thread = ThreadId::parse("abcdef").unwrap();
        let tag = SecretKey::kept_in(one.path()).unwrap().of_thread(&thread);
        assert_eq!(tag, SecretKey::kept_in(one.path()).unwrap().of_thread(&thread));
        assert_ne!(tag, SecretKey::kept_in(two.path()).unwrap().of_thread(&thread));
        assert_eq!(tag.len(), 32);
    }

    #[test]
    fn where_nothing_can_be_written_the_reason_names_the_file() {
        let error = AdminToken::kept_in(Path::new("/dev/null/x")).unwrap_err().to_string();
        assert!(error.contains("/dev/null/x/admin-token"), "{error}");
    }
}
