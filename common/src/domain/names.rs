//! Ids become queue names, object keys, paths, refs and host names here and nowhere else. Every name is legal for
//! whatever it is, and two different ids never share one.

mod hosts;
mod resources;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::ids::{CommandId, InvalidId, Owner, ProjectId, ProjectUser, ThreadId};
pub use hosts::{PublicHost, SitesDomain, is_local};
pub use resources::{
    BucketPattern, OWNERSHIP_TABLE, SiteBuckets, objects_bucket, state_machine, table, thread_pages_prefix,
};

/// SQS allows 80 characters of `[A-Za-z0-9_-]`, `.fifo` counted.
const QUEUE_NAME_MAX: usize = 80;
const HASH_CHARS: usize = 16;

/// What all resources of one environment start with: 1 to 20 of `[a-z0-9-]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Prefix(String);

impl Prefix {
    /// Takes the text if it is a legal prefix.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        let legal = (1..=20).contains(&text.len())
            && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
            && !text.starts_with('-')
            && !text.ends_with('-');
        if legal {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidId::new(
                "prefix",
                text,
                "1 to 20 of a-z, 0-9 and '-', starting and ending with a letter or digit",
            ))
        }
    }

    /// The prefix as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for Prefix {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Prefix {
    type Error = InvalidId;
    fn try_from(text: String) -> Result<Self, InvalidId> {
        Self::parse(&text)
    }
}

impl From<Prefix> for String {
    fn from(prefix: Prefix) -> Self {
        prefix.0
    }
}

/// Every queue there is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Queue {
    /// Inbound mail: notifications or raw MIME.
    Email,
    /// Inbound mail that could not be read.
    EmailDead,
    /// Claim requests.
    Unclaimed,
    /// Claim requests nobody could use.
    UnclaimedDead,
    /// Work for one project+user, in order.
    Input(ProjectUser),
    /// Work that failed three times.
    Dead,
    /// Interrupts and orders for one worker process.
    Control(Owner),
    /// Results.
    Output,
    /// Results that could not be read.
    OutputDead,
}

impl Queue {
    /// The queue's name under a prefix.
    pub fn name(&self, prefix: &Prefix) -> String {
        let p = prefix.as_str();
        match self {
            Self::Email => format!("{p}-email"),
            Self::EmailDead => format!("{p}-email-dead"),
            Self::Unclaimed => format!("{p}-unclaimed"),
            Self::UnclaimedDead => format!("{p}-unclaimed-dead"),
            Self::Input(key) => {
                let head = format!("{p}-input-");
                let room = QUEUE_NAME_MAX - head.len() - ".fifo".len();
                format!("{head}{}.fifo", pair(key, room))
            }
            Self::Dead => format!("{p}-dead.fifo"),
            Self::Control(owner) => {
                let head = format!("{p}-control-");
                let plain = format!("{head}{owner}");
                if plain.len() <= QUEUE_NAME_MAX {
                    plain
                } else {
                    // A nonce has no '-' and at most 16 characters, so this form ends in '--' + hash and is never plain.
                    let room = QUEUE_NAME_MAX - head.len() - HASH_CHARS - 2;
                    format!("{head}{}--{}", cut(owner.worker.as_str(), room), hash16(&owner.to_string()))
                }
            }
            Self::Output => format!("{p}-output"),
            Self::OutputDead => format!("{p}-output-dead"),
        }
    }

    /// Whether messages keep their order within a group.
    pub fn is_fifo(&self) -> bool {
        matches!(self, Self::Input(_) | Self::Dead)
    }

    /// How long a received message stays invisible, in seconds. Input queues: one lease.
    pub fn visibility_secs(&self) -> u64 {
        match self {
            Self::Email | Self::EmailDead => 120,
            Self::Unclaimed | Self::UnclaimedDead | Self::Control(_) => 30,
            Self::Input(_) => 45,
            Self::Dead | Self::Output | Self::OutputDead => 60,
        }
    }

    /// Where a message goes that was received too often, and after how many receives.
    pub fn redrive(&self) -> Option<(Queue, u32)> {
        match self {
            Self::Email => Some((Self::EmailDead, 3)),
            Self::Unclaimed => Some((Self::UnclaimedDead, 100)),
            Self::Input(_) => Some((Self::Dead, 100)),
            Self::Output => Some((Self::OutputDead, 5)),
            Self::EmailDead | Self::UnclaimedDead | Self::Dead | Self::Control(_) | Self::OutputDead => None,
        }
    }
}

impl fmt::Display for Queue {
    /// How people name it: `unclaimed`, `input:amelia#scott`, `control:worker-1-0a1b2c3d`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Email => f.write_str("email"),
            Self::EmailDead => f.write_str("email-dead"),
            Self::Unclaimed => f.write_str("unclaimed"),
            Self::UnclaimedDead => f.write_str("unclaimed-dead"),
            Self::Input(key) => write!(f, "input:{key}"),
            Self::Dead => f.write_str("dead"),
            Self::Control(owner) => write!(f, "control:{owner}"),
            Self::Output => f.write_str("output"),
            Self::OutputDead => f.write_str("output-dead"),
        }
    }
}

impl std::str::FromStr for Queue {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        const RULE: &str = "email, unclaimed, output, dead, their -dead forms, or input:PROJECT#USER";
        match text {
            "email" => Ok(Self::Email),
            "email-dead" => Ok(Self::EmailDead),
            "unclaimed" => Ok(Self::Unclaimed),
            "unclaimed-dead" => Ok(Self::UnclaimedDead),
            "dead" => Ok(Self::Dead),
            "output" => Ok(Self::Output),
            "output-dead" => Ok(Self::OutputDead),
            other => match other.strip_prefix("input:") {
                Some(key) => Ok(Self::Input(ProjectUser::parse(key)?)),
                None => Err(InvalidId::new("queue", text, RULE)),
            },
        }
    }
}

/// Where a site is shown.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SiteTarget {
    /// The live site.
    Live(ProjectId),
    /// The project's preview.
    Preview(ProjectId),
    /// One thread's own preview, under an address that cannot be guessed.
    Thread(ProjectId, PreviewKey),
}

impl SiteTarget {
    /// The project whose site it is.
    pub fn project(&self) -> &ProjectId {
        match self {
            Self::Live(project) | Self::Preview(project) | Self::Thread(project, _) => project,
        }
    }

    /// The manifest of what is published there.
    pub fn manifest_key(&self) -> String {
        format!("{}/manifest.json", self.folder())
    }

    /// The manifest of an earlier release there.
    pub fn release_manifest_key(&self, number: u64) -> String {
        format!("{}/releases/{number:08}.json", self.folder())
    }

    fn folder(&self) -> String {
        match self {
            Self::Live(project) => format!("sites/{project}.live"),
            Self::Preview(project) => format!("sites/{project}.edit"),
            Self::Thread(project, key) => format!("sites/{project}.{key}"),
        }
    }
}

/// The unguessable part of a thread's preview address: 24 hex digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PreviewKey(String);

impl PreviewKey {
    /// Takes 24 lower-case hex digits.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        let legal = text.len() == 24 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if legal {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidId::new("preview key", text, "24 hex digits"))
        }
    }

    /// From at least 12 secret or random bytes.
    pub fn from_bytes(bytes: &[u8; 12]) -> Self {
        Self(hex::encode(bytes))
    }
}

impl fmt::Display for PreviewKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for PreviewKey {
    type Error = InvalidId;
    fn try_from(text: String) -> Result<Self, InvalidId> {
        Self::parse(&text)
    }
}

impl From<PreviewKey> for String {
    fn from(key: PreviewKey) -> Self {
        key.0
    }
}

/// The SHA-256 of some bytes as 64 hex digits: the name of content-addressed objects.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContentHash(String);

impl ContentHash {
    /// The hash of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(hex::encode(Sha256::digest(bytes)))
    }

    /// Takes 64 lower-case hex digits.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        let legal = text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if legal { Ok(Self(text.to_owned())) } else { Err(InvalidId::new("sha256", text, "64 hex digits")) }
    }

    /// The hex digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for ContentHash {
    type Error = InvalidId;
    fn try_from(text: String) -> Result<Self, InvalidId> {
        Self::parse(&text)
    }
}

impl From<ContentHash> for String {
    fn from(hash: ContentHash) -> Self {
        hash.0
    }
}

/// A raw mail as it came in (kept for 30 days).
pub fn raw_mail_key(hash: &ContentHash) -> String {
    format!("mail/raw/{hash}")
}

/// What the keys of mails start with that a mail service puts among the objects itself (kept for 30 days).
pub const INBOUND_MAIL_PREFIX: &str = "mail/inbound/";

/// For how many days the records of what happened are kept (mails, jobs, answers, where a message belongs): last year's can
/// still be looked at.
pub const RECORDS_KEPT_FOR_DAYS: u16 = 400;

/// What keys of objects start with, and for how many days they are kept: raw mails and what a mail service put there for 30,
/// bodies of large messages for a day longer than any queue keeps a message, what an agent remembers and unfinished work that
/// nobody went on with for as long as their session, attachments and transcripts for as long as the jobs that they belong to.
/// Counted from the last writing: every run of an agent writes what it remembers again.
pub const OBJECTS_KEPT_FOR_DAYS: [(&str, u16); 7] = [
    ("mail/raw/", 30),
    ("mail/attachments/", RECORDS_KEPT_FOR_DAYS),
    (INBOUND_MAIL_PREFIX, 30),
    ("messages/", 15),
    ("sessions/", 90),
    ("transcripts/", RECORDS_KEPT_FOR_DAYS),
    ("wip/", 90),
];

/// For how long the records of what happened are kept.
pub const RECORDS_KEPT: Duration = Duration::from_hours(RECORDS_KEPT_FOR_DAYS as u64 * 24);

/// An attachment by its content.
pub fn attachment_key(hash: &ContentHash) -> String {
    format!("mail/attachments/{hash}")
}

/// A published file by its content.
pub fn release_key(project: &ProjectId, hash: &ContentHash) -> String {
    format!("releases/{project}/{hash}")
}

/// Below which all published files of a project lie.
pub fn releases_prefix(project: &ProjectId) -> String {
    format!("releases/{project}/")
}

/// The body of a message that is too large for a queue, by its content.
pub fn message_body_key(hash: &ContentHash) -> String {
    format!("messages/{hash}")
}

/// What the agent said and did, line by line.
pub fn transcript_key(command: &CommandId) -> String {
    format!("transcripts/{command}.jsonl")
}

/// Commits of a job that was cut off while the remote did not answer, as a git bundle.
pub fn wip_key(command: &CommandId) -> String {
    format!("wip/{command}")
}

/// What the agent remembers of a thread.
pub fn agent_session_key(thread: &ThreadId) -> String {
    format!("{}agent.jsonl", agent_memory_prefix(thread))
}

/// Below which all lies that the agent remembers of a thread.
pub fn agent_memory_prefix(thread: &ThreadId) -> String {
    format!("sessions/{thread}/")
}

/// The branch of a thread.
pub fn branch(thread: &ThreadId) -> String {
    format!("thread-{thread}")
}

/// The folder of a project+user below the workspace path.
pub fn workspace(key: &ProjectUser) -> String {
    pair(key, QUEUE_NAME_MAX)
}

/// `project-user` when neither id has a '-' and it fits: exactly one '-'. Otherwise both cut, and 16 hex digits of the
/// key's hash: at least two.
fn pair(key: &ProjectUser, room: usize) -> String {
    let (project, user) = (key.project.as_str(), key.user.as_str());
    let plain = format!("{project}-{user}");
    if plain.len() <= room && !project.contains('-') && !user.contains('-') {
        return plain;
    }
    let half = (room - HASH_CHARS - 2) / 2;
    format!("{}-{}-{}", cut(project, half), cut(user, half), hash16(&key.to_string()))
}

fn cut(text: &str, room: usize) -> &str {
    &text[..text.len().min(room)]
}

fn hash16(text: &str) -> String {
    hex::encode(&Sha256::digest(text.as_bytes())[..HASH_CHARS / 2])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{Nonce, WorkerId};

    fn prefix() -> Prefix {
        Prefix::parse("webordinary").unwrap()
    }

    fn input(key: &str) -> String {
        Queue::Input(ProjectUser::parse(key).unwrap()).name(&prefix())
    }

    #[test]
    fn short_ids_without_a_dash_are_written_plainly() {
        assert_eq!(input("amelia#scott"), "webordinary-input-amelia-scott.fifo");
    }

    #[test]
    fn ids_that_would_meet_after_joining_do_not() {
        assert_ne!(input("a-b#c"), input("a#b-c"));
        assert_ne!(input("a-b#c"), input("a#b"));
    }

    #[test]
    fn the_longest_ids_under_the_longest_prefix_fit() {
        let id = "x".repeat(39);
        let prefix = Prefix::parse(&"p".repeat(20)).unwrap();
        let name = Queue::Input(ProjectUser::parse(&format!("{id}#{id}")).unwrap()).name(&prefix);
        assert!(name.len() <= 80, "{name}");
        let owner =
            Owner { worker: WorkerId::parse(&"w".repeat(64)).unwrap(), nonce: Nonce::parse("0000").unwrap() };
        assert!(Queue::Control(owner).name(&prefix).len() <= 80);
    }

    #[test]
    fn a_queue_reads_back_from_its_name_for_people() {
        for queue in
            [Queue::Email, Queue::Unclaimed, Queue::Input(ProjectUser::parse("a#b").unwrap()), Queue::Dead]
        {
            assert_eq!(queue.to_string().parse::<Queue>().unwrap(), queue);
        }
        assert!("input:../x".parse::<Queue>().is_err());
    }
}
