//! Two secrets that are made once and kept beside the data, readable by their owner only: the API's token and the key that
//! our Message-IDs and reply addresses are made and recognised with.

use std::io::{ErrorKind, Write};
use std::path::Path;

use common::domain::ids::{EmailAddress, MailId, ThreadId};
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

/// Hex digits of a keyed hash in an address or a Message-ID: 80 bits, short enough for a local part of 64 characters.
const TAG_DIGITS: usize = 20;

/// A key of fewer could be guessed.
const MIN_KEY_CHARS: usize = 32;

/// A key that could be guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it has fewer than {} characters; `openssl rand -hex 32` makes a good one", MIN_KEY_CHARS)]
pub struct WeakKey;

/// The key of our Message-IDs and reply addresses.
#[derive(Clone)]
pub struct SecretKey(Vec<u8>);

impl SecretKey {
    /// The key kept in `DIR/secret-key`, made when absent.
    pub fn kept_in(data_dir: &Path) -> Result<Self, SecretError> {
        Ok(Self(kept(&data_dir.join("secret-key"))?.trim().as_bytes().to_vec()))
    }

    /// A key given by the operator, at least 32 characters: as long as one of 128 bits in hex.
    pub fn given(key: &str) -> Result<Self, WeakKey> {
        let key = key.trim();
        if key.len() < MIN_KEY_CHARS { Err(WeakKey) } else { Ok(Self(key.as_bytes().to_vec())) }
    }

    /// The key in `DIR/secret-key`, if there is one.
    pub fn found_in(data_dir: &Path) -> Result<Option<Self>, SecretError> {
        if data_dir.join("secret-key").exists() { Self::kept_in(data_dir).map(Some) } else { Ok(None) }
    }

    /// A key of this process only: what it makes, nobody recognises later.
    pub fn fleeting() -> Self {
        Self(random().into_bytes())
    }

    /// 32 hex digits that only we can make for this thread (HMAC, RFC 2104).
    pub fn of_thread(&self, thread: &ThreadId) -> String {
        self.tag("thread:", thread.as_str(), 32)
    }

    /// The address that replies in this conversation go to: `hermes+{thread}.{tag}@domain`; none when it would be too long.
    pub fn reply_address(&self, own: &EmailAddress, thread: &ThreadId) -> Option<EmailAddress> {
        let (local, domain) = own.as_str().rsplit_once('@')?;
        let tag = self.tag("address:", thread.as_str(), TAG_DIGITS);
        EmailAddress::parse(&format!("{local}+{thread}.{tag}@{domain}")).ok()
    }

    /// The conversation of an address that [`Self::reply_address`] made.
    pub fn thread_of_address(&self, address: &EmailAddress) -> Option<ThreadId> {
        let (_, plus) = address.local().rsplit_once('+')?;
        let (thread, tag) = plus.rsplit_once('.')?;
        self.vouched(thread, tag, "address:", thread)
    }

    /// A Message-ID without angle brackets for a mail of ours, which may hold no dot in what it is about:
    /// `{thread}.{about}.{tag}@domain`.
    pub fn message_id(&self, thread: &ThreadId, about: impl std::fmt::Display, domain: &str) -> String {
        let said = format!("{thread}.{about}");
        format!("{said}.{}@{domain}", self.tag("message:", &said, TAG_DIGITS))
    }

    /// The conversation of an id that [`Self::message_id`] made.
    pub fn thread_of_message_id(&self, id: &str) -> Option<ThreadId> {
        let (said, tag) = id.rsplit_once('@')?.0.rsplit_once('.')?;
        self.vouched(said.split_once('.')?.0, tag, "message:", said)
    }

    /// What the link of a confirmation holds: only we can make it, and for the same mail it is the same.
    pub fn confirmation(&self, mail: &MailId) -> String {
        self.tag("confirmation:", mail.as_str(), 32)
    }

    fn vouched(&self, thread: &str, shown: &str, use_of: &str, said: &str) -> Option<ThreadId> {
        let thread = ThreadId::parse(thread).ok()?;
        let tag = self.tag(use_of, said, TAG_DIGITS);
        bool::from(tag.as_bytes().ct_eq(shown.as_bytes())).then_some(thread)
    }

    fn tag(&self, use_of: &str, said: &str, digits: usize) -> String {
        // An HMAC takes a key of any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return String::new() };
        mac.update(use_of.as_bytes());
        mac.update(said.as_bytes());
        hex::encode(&mac.finalize().into_bytes()[..digits / 2])
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
    use common::domain::ids::CommandId;
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
    fn a_given_key_is_the_kept_one_and_is_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let kept = SecretKey::kept_in(folder.path()).unwrap();
        let text = std::fs::read_to_string(folder.path().join("secret-key")).unwrap();
        let given = SecretKey::given(&text).unwrap();
        let thread = ThreadId::parse("abcdef").unwrap();
        assert_eq!(given.of_thread(&thread), kept.of_thread(&thread));
        assert!(!format!("{given:?}").contains(&text[..8]));
        assert_eq!(SecretKey::given("0123456789abcdef0123456789abcde\n").err(), Some(WeakKey));
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
    fn an_address_and_an_id_lead_back_to_their_conversation_and_only_we_can_make_them() {
        let (key, other) = (SecretKey::fleeting(), SecretKey::fleeting());
        let own = EmailAddress::parse("hermes@example.org").unwrap();
        let command = CommandId::parse("0190a1b2-c3d4-7000-8000-0123456789ab").unwrap();
        for id in ["abcdef", "thread-like-1", "0123456789abcdef0123456789abcdef"] {
            let thread = ThreadId::parse(id).unwrap();
            let address = key.reply_address(&own, &thread).unwrap();
            assert!(address.as_str().starts_with(&format!("hermes+{id}.")) && address.local().len() <= 64);
            assert_eq!(key.thread_of_address(&address), Some(thread.clone()));
            assert_eq!(other.thread_of_address(&address), None);
            let message = key.message_id(&thread, &command, "example.org");
            assert_eq!(key.thread_of_message_id(&message), Some(thread));
            assert_eq!(other.thread_of_message_id(&message), None);
        }
    }

    #[test]
    fn a_changed_address_or_id_leads_nowhere() {
        let key = SecretKey::fleeting();
        let (thread, command) = (ThreadId::parse("abcdef").unwrap(), CommandId::parse("c1").unwrap());
        let own = EmailAddress::parse("hermes@example.org").unwrap();
        let address = key.reply_address(&own, &thread).unwrap();
        let changed = EmailAddress::parse(&address.as_str().replace("abcdef", "abcdeg")).unwrap();
        assert_eq!(key.thread_of_address(&changed), None);
        let id = key.message_id(&thread, &command, "example.org");
        let tag = key.reply_address(&own, &thread).unwrap().local().rsplit_once('.').unwrap().1.to_owned();
        for wrong in [
            id.replace("abcdef", "abcdeg"),
            id.replace(".c1.", ".c2."),
            format!("abcdef.c1.{tag}@x"),
            "a@b".into(),
            "..@".into(),
            String::new(),
        ] {
            assert_eq!(key.thread_of_message_id(&wrong), None, "{wrong}");
        }
        for wrong in ["hermes@x.y", "hermes+abcdef@x.y", "hermes+abcdef.@x.y", "edit+amelia@x.y"] {
            assert!(
                EmailAddress::parse(wrong).is_ok_and(|a| key.thread_of_address(&a).is_none())
                    || wrong.contains(".@"),
                "{wrong}"
            );
        }
    }

    #[test]
    fn where_nothing_can_be_written_the_reason_names_the_file() {
        let error = AdminToken::kept_in(Path::new("/dev/null/x")).unwrap_err().to_string();
        assert!(error.contains("/dev/null/x/admin-token"), "{error}");
    }
}
