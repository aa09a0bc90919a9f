//! What can be the key of a file, in every cloud.

use super::At;
use crate::cloud::{CloudError, Result};

/// The longest key (S3: 1,024 bytes).
const MAX_KEY_BYTES: usize = 1024;
/// The longest part of a key that a file system can store.
const MAX_PART_BYTES: usize = 255;

/// Checks a key as the door states it.
pub(in crate::cloud) fn check_key(at: &At) -> Result<()> {
    let refuse = |rule: &str| {
        let shown: String = at.key.chars().take(80).collect();
        Err(CloudError::Invalid(format!("the key {shown:?} {rule}")))
    };
    if at.key.len() > MAX_KEY_BYTES {
        return refuse("has more than 1,024 bytes");
    }
    if at.key.contains(['\0', '\\']) {
        return refuse("has a NUL or a backslash");
    }
    if at.key.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return refuse("has a part that is empty, '.' or '..'");
    }
    if at.key.split('/').any(|part| part.len() > MAX_PART_BYTES) {
        return refuse("has a part of more than 255 bytes");
    }
    Ok(())
}

/// The prefix of a list: what could be the beginning of a legal key.
pub(in crate::cloud) fn check_prefix(prefix: &str) -> Result<()> {
    let parts: Vec<&str> = prefix.split('/').collect();
    let whole = &parts[..parts.len() - 1];
    let legal = prefix.len() <= MAX_KEY_BYTES
        && !prefix.contains(['\0', '\\'])
        && whole.iter().all(|part| !matches!(*part, "" | "." | ".."));
    if legal {
        Ok(())
    } else {
        let shown: String = prefix.chars().take(80).collect();
        Err(CloudError::Invalid(format!("no key can start with {shown:?}")))
    }
}
