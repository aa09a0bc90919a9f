//! Identifiers as newtypes: whoever holds one holds a legal one. Parsing happens at the edge, once.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::text::is_plain;

/// An identifier that does not have its documented form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} {text:?} is not valid: {rule}")]
pub struct InvalidId {
    kind: &'static str,
    text: String,
    rule: &'static str,
}

impl InvalidId {
    /// What was tried on which text, and the rule it breaks. The text is cut to 80 characters.
    pub fn new(kind: &'static str, text: &str, rule: &'static str) -> Self {
        Self { kind, text: text.chars().take(80).collect(), rule }
    }
}

/// Declares a string newtype with `parse`, `as_str`, `Display`, `FromStr` and serde through its text.
macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $rule:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Takes the text if it has the documented form.
            pub fn parse(text: &str) -> Result<Self, InvalidId> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) { Ok(Self(text.to_owned())) } else { Err(InvalidId::new(stringify!($name), text, $rule)) }
            }

            /// The id as it is written.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::parse(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }
    };
}

fn all(text: &str, legal: fn(u8) -> bool) -> bool {
    text.bytes().all(legal)
}

fn slug_byte(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-')
}

fn is_slug(text: &str, min: usize, max: usize) -> bool {
    (min..=max).contains(&text.len())
        && all(text, slug_byte)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn is_token(text: &str, max: usize) -> bool {
    (1..=max).contains(&text.len()) && all(text, |b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

text_id!(
    /// A site: 1 to 39 of `[a-z0-9-]`, alphanumeric at both ends.
    ProjectId,
    "1 to 39 of a-z, 0-9 and '-', starting and ending with a letter or digit",
    |text| is_slug(text, 1, 39)
);
text_id!(
    /// A person who may instruct a project: a slug (`scott`), never an e-mail address.
    UserId,
    "1 to 39 of a-z, 0-9 and '-', starting and ending with a letter or digit",
    |text| is_slug(text, 1, 39)
);
text_id!(
    /// One conversation, and the git branch `thread-{id}`: 6 to 40 of `[a-z0-9-]`, made by us.
    ThreadId,
    "6 to 40 of a-z, 0-9 and '-'",
    |text| is_slug(text, 6, 40)
);
text_id!(
    /// One accepted instruction: a UUIDv7, or what an older sender wrote (1 to 64 of `[A-Za-z0-9_-]`).
    CommandId,
    "1 to 64 of letters, digits, '-' and '_'",
    |text| is_token(text, 64)
);
text_id!(
    /// The live conversation on a thread (1 to 64 of `[A-Za-z0-9_-]`).
    SessionId,
    "1 to 64 of letters, digits, '-' and '_'",
    |text| is_token(text, 64)
);
text_id!(
    /// One inbound message: 32 hex digits made from recipient, Message-ID and body, so that the same delivery
    /// has the same id.
    MailId,
    "1 to 64 of letters, digits, '-' and '_'",
    |text| is_token(text, 64)
);
text_id!(
    /// One worker process or container: the ECS task id, `CONTAINER_ID`, or generated once.
    WorkerId,
    "1 to 64 of letters, digits, '-' and '_'",
    |text| is_token(text, 64)
);
text_id!(
    /// Made at process start: two processes that share one `CONTAINER_ID` are two owners.
    Nonce,
    "4 to 16 of a-z and 0-9",
    |text| (4..=16).contains(&text.len()) && is_slug(text, 4, 16) && !text.contains('-')
);

impl UserId {
    /// The user of an address that nobody registered under a slug: its local part as far as a slug may hold it, and 8
    /// hex digits of the address's SHA-256, so that two addresses never share a user.
    pub fn of_address(address: &EmailAddress) -> Self {
        let dashed: String =
            address.local().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let words: Vec<&str> = dashed.split('-').filter(|word| !word.is_empty()).collect();
        let slug: String = words.join("-").chars().take(30).collect();
        let head = match slug.trim_end_matches('-') {
            "" => "user",
            slug => slug,
        };
        Self(format!("{head}-{}", hex::encode(&Sha256::digest(address.as_str())[..4])))
    }
}

impl ThreadId {
    /// A new thread: 20 hex digits of a fresh UUID, so it can neither collide nor be guessed.
    pub fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid.simple().to_string()[12..].to_owned())
    }

    /// An id as older senders write it: one leading `thread-` is dropped.
    pub fn parse_lenient(text: &str) -> Result<Self, InvalidId> {
        Self::parse(text.strip_prefix("thread-").unwrap_or(text))
    }
}

impl CommandId {
    /// A command made from a UUID (version 7 for accepted mails, so that ids sort by time).
    pub fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid.to_string())
    }

    /// The command of a message that carries none: UUIDv5 of the queue's message id, so that a redelivery is the
    /// same command (RFC 9562, section 5.5).
    pub fn of_message(message_id: &str) -> Self {
        Self(Uuid::new_v5(&Uuid::NAMESPACE_OID, message_id.as_bytes()).to_string())
    }
}

impl SessionId {
    /// The one session of a thread, unless a message brought another id along.
    pub fn of_thread(thread: &ThreadId) -> Self {
        Self(format!("session-{thread}"))
    }
}

impl Nonce {
    /// Eight hex digits of a fresh UUID.
    pub fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid.simple().to_string()[24..].to_owned())
    }
}

/// The pair that a worker claims. On the wire it is the `projectKey`, written `amelia#scott`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProjectUser {
    /// The site.
    pub project: ProjectId,
    /// The person.
    pub user: UserId,
}

impl ProjectUser {
    /// Pairs a project with a user.
    pub fn new(project: ProjectId, user: UserId) -> Self {
        Self { project, user }
    }

    /// Reads `project#user`.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        let (project, user) = text
            .split_once('#')
            .ok_or_else(|| InvalidId::new("ProjectUser", text, "a project and a user joined by '#'"))?;
        Ok(Self { project: ProjectId::parse(project)?, user: UserId::parse(user)? })
    }
}

impl fmt::Display for ProjectUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.project, self.user)
    }
}

impl FromStr for ProjectUser {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Self::parse(text)
    }
}

impl TryFrom<String> for ProjectUser {
    type Error = InvalidId;
    fn try_from(text: String) -> Result<Self, InvalidId> {
        Self::parse(&text)
    }
}

impl From<ProjectUser> for String {
    fn from(key: ProjectUser) -> Self {
        key.to_string()
    }
}

/// Who owns a claim: a worker and the nonce of its process.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Owner {
    /// The worker's id, `containerId` on the wire.
    #[serde(rename = "containerId")]
    pub worker: WorkerId,
    /// Tells two processes with one id apart.
    pub nonce: Nonce,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.worker, self.nonce)
    }
}

/// An e-mail address in its compared form: lower case, a dot-atom, `@` and a domain, no display name, at most 254 bytes
/// (RFC 5321, section 4.5.3.1.3); one that we could not write to is none. Letter case of the local part is folded because every mailbox provider we know does.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EmailAddress(String);

impl EmailAddress {
    /// Takes a bare address such as `Scott@Example.org`.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        const RULE: &str = "one address like name@example.org, without display name";
        let invalid = || InvalidId::new("e-mail address", text, RULE);
        let (local, domain) = text.trim().rsplit_once('@').ok_or_else(invalid)?;
        let domain = domain_to_ascii(domain).ok_or_else(invalid)?;
        let folded = format!("{}@{domain}", local.to_lowercase());
        let local = local.len() <= MAX_LOCAL_BYTES && local.split('.').all(is_atom);
        if local && folded.len() <= 254 { Ok(Self(folded)) } else { Err(invalid()) }
    }

    /// The address as it is compared.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands before the `@`.
    pub fn local(&self) -> &str {
        self.0.rsplit_once('@').map_or(self.0.as_str(), |(local, _)| local)
    }

    /// What stands behind the `@`, in A-labels.
    pub fn domain(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(_, domain)| domain)
    }
}

/// A domain as it is compared: lower case, labels beyond ASCII as A-labels (UTS 46), so that `Bücher.example` and
/// `xn--bcher-kva.example` are one.
pub fn domain_to_ascii(domain: &str) -> Option<String> {
    let ascii = idna::domain_to_ascii(domain).ok()?;
    ascii.split('.').all(is_label).then_some(ascii)
}

/// RFC 5321, section 4.5.3.1.1.
const MAX_LOCAL_BYTES: usize = 64;
/// RFC 1035, section 2.3.4.
const MAX_LABEL_CHARS: usize = 63;

/// One part of a dot-atom (RFC 5322, section 3.2.3; beyond ASCII as RFC 6532 has it).
fn is_atom(part: &str) -> bool {
    let is_atext = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c);
    !part.is_empty() && part.chars().all(|c| is_atext(c) || is_beyond_ascii(c))
}

/// One part of a domain: no hyphen at its ends (RFC 1034, section 3.5).
fn is_label(part: &str) -> bool {
    let edge = |c: char| c.is_ascii_alphanumeric() || is_beyond_ascii(c);
    part.starts_with(edge)
        && part.ends_with(edge)
        && part.chars().count() <= MAX_LABEL_CHARS
        && part.chars().all(|c| edge(c) || c == '-' || c == '_')
}

fn is_beyond_ascii(c: char) -> bool {
    !c.is_ascii() && !c.is_whitespace() && is_plain(c)
}

impl fmt::Display for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for EmailAddress {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Self::parse(text)
    }
}

impl TryFrom<String> for EmailAddress {
    type Error = InvalidId;
    fn try_from(text: String) -> Result<Self, InvalidId> {
        Self::parse(&text)
    }
}

impl From<EmailAddress> for String {
    fn from(address: EmailAddress) -> Self {
        address.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_have_letters_or_digits_at_both_ends() {
        for good in ["a", "amelia", "a-b", "0", &"x".repeat(39)] {
            assert!(ProjectId::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a_b", "a.b", "a b", "ä", "../x", &"x".repeat(40)] {
            assert!(ProjectId::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_project_user_prints_and_parses_as_one_key() {
        let key = ProjectUser::parse("amelia#scott").unwrap();
        assert_eq!(key.to_string(), "amelia#scott");
        assert!(ProjectUser::parse("amelia").is_err());
        assert!(ProjectUser::parse("amelia#sc#ott").is_err());
    }

    #[test]
    fn an_older_thread_id_loses_one_leading_thread_and_no_more() {
        assert_eq!(ThreadId::parse_lenient("thread-abcdef1").unwrap().as_str(), "abcdef1");
        assert_eq!(ThreadId::parse_lenient("thread-thread-abcdef").unwrap().as_str(), "thread-abcdef");
    }

    #[test]
    fn the_same_message_is_the_same_command() {
        assert_eq!(CommandId::of_message("m1"), CommandId::of_message("m1"));
        assert_ne!(CommandId::of_message("m1"), CommandId::of_message("m2"));
    }

    #[test]
    fn an_address_is_compared_without_letter_case() {
        assert_eq!(EmailAddress::parse(" Scott@Example.ORG").unwrap().as_str(), "scott@example.org");
        let idn = EmailAddress::parse("Scott@BÜCHER.example").unwrap();
        assert_eq!(idn.as_str(), "scott@xn--bcher-kva.example");
        assert_eq!(idn.domain(), "xn--bcher-kva.example");
        for bad in ["", "scott", "@x", "a@", "a b@x.y", "Scott <s@x.y>", "a@b@c", "a@x..y", "a\n@x.y"] {
            assert!(EmailAddress::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_address_that_nobody_could_write_to_is_refused() {
        let long = ["x".repeat(65) + "@x.y", format!("a@{}.y", "x".repeat(64))];
        for bad in ["a..b@x.y", ".a@x.y", "a.@x.y", "a@-x.y", "a@x-.y", "a@x!y.z", "a@x.y.", "\"a b\"@x.y"]
            .into_iter()
            .chain(["a\u{85}b@x.y", "a\u{fffe}@x.y", "a@x\u{ffff}.y", "a\u{a0}b@x.y"])
            .chain(long.iter().map(String::as_str))
        {
            assert!(EmailAddress::parse(bad).is_err(), "{bad:?}");
        }
        for good in ["a.b+c_d@x.y", "o'brien@x.y", "{a}~b@x_1.y", "jürgen@bücher.example", "hermes@localhost"]
        {
            assert!(EmailAddress::parse(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn the_user_of_an_address_is_a_slug_of_its_own() {
        let user = |text: &str| UserId::of_address(&EmailAddress::parse(text).unwrap());
        assert!(user("scott.o+x@example.org").as_str().starts_with("scott-o-x-"));
        for address in ["a@b.c", "+@b.c", "ä.ö@b.c", &format!("{}@b.c", "x.".repeat(30) + "y")] {
            assert!(UserId::parse(user(address).as_str()).is_ok(), "{address}");
        }
        assert_ne!(user("scott.o@example.org"), user("scott-o@example.org"));
        assert_eq!(user("Scott@example.org"), user("scott@Example.org"));
    }

    #[test]
    fn generated_ids_are_legal() {
        let uuid = Uuid::now_v7();
        assert!(ThreadId::parse(ThreadId::from_uuid(uuid).as_str()).is_ok());
        assert!(Nonce::parse(Nonce::from_uuid(uuid).as_str()).is_ok());
        assert!(CommandId::parse(CommandId::from_uuid(uuid).as_str()).is_ok());
    }
}
