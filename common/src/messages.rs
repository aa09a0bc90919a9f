//! What crosses a queue. Written strictly (camelCase, `type`, `version: 1`), read leniently: unknown fields are ignored,
//! aliases of older senders are understood. A message that cannot be read is [`Malformed`], with the reason for the
//! dead-letter queue.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::budget::Usage;
use crate::domain::claim::Epoch;
use crate::domain::ids::{
    CommandId, EmailAddress, ProjectId, ProjectUser, SessionId, ThreadId, UserId, WorkerId,
};
use crate::domain::job::{Job, JobState, OutcomeNote, PENDING, WorkAction};
use crate::domain::left_out::LeftOut;
use crate::domain::names::{self, ContentHash, RECORDS_KEPT};
use crate::domain::outcome::JobOutcome;
use crate::domain::timestamp::{self, Timestamp};

/// The version of every message format here.
const VERSION: u32 = 1;

/// A message that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{expected} expected: {reason}")]
pub struct Malformed {
    expected: &'static str,
    reason: String,
}

impl Malformed {
    fn new(expected: &'static str, reason: impl ToString) -> Self {
        Self { expected, reason: reason.to_string() }
    }
}

/// Where an instruction came from, for the commit message and the agent.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkContext {
    /// Who wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The mail's subject.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// What the mail quoted: background, never an instruction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quoted: Option<String>,
    /// Files that came with it and do not go along.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
}

/// A file that came with the mail, kept among the objects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attachment {
    /// Its object key.
    pub key: String,
    /// A safe file name.
    pub name: String,
    /// Its media type, from its first bytes.
    pub mime_type: String,
    /// Its length.
    pub size_bytes: u64,
    /// Its content.
    pub sha256: ContentHash,
    /// Of a picture, in pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// Of a picture, in pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
}

/// The order that crosses the FIFO queue of a project+user.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Work {
    /// One per accepted instruction.
    pub command_id: CommandId,
    /// The live conversation.
    pub session_id: SessionId,
    /// The conversation; one branch.
    pub thread_id: ThreadId,
    /// The site.
    pub project_id: ProjectId,
    /// The person.
    pub user_id: UserId,
    /// Where the source lives.
    pub repo_url: String,
    /// Whether the site is edited or one of its versions put up.
    #[serde(skip_serializing_if = "is_default")]
    pub action: WorkAction,
    /// For `undo`: which earlier release; the one before the present one when absent. For `take-down`: which one is meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<u64>,
    /// What to do.
    pub instruction: String,
    /// The branch, when it is not `thread-{threadId}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// Files that came along.
    pub attachments: Vec<Attachment>,
    /// Where it came from.
    pub context: WorkContext,
    /// The branch's commit as the sender last saw it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_commit: Option<String>,
    /// Who waits for the result besides the output queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_token: Option<String>,
    /// When it was sent.
    #[serde(with = "timestamp::millis")]
    pub timestamp: Timestamp,
}

impl Work {
    /// The pair that a worker claims.
    pub fn project_user(&self) -> ProjectUser {
        ProjectUser::new(self.project_id.clone(), self.user_id.clone())
    }

    /// The branch it works on.
    pub fn branch_name(&self) -> String {
        self.branch.clone().unwrap_or_else(|| names::branch(&self.thread_id))
    }

    /// The row of a job that no worker has seen yet.
    pub fn to_job(&self, at: Timestamp) -> Job {
        Job {
            command_id: self.command_id.clone(),
            project_key: self.project_user(),
            project_id: self.project_id.clone(),
            user_id: self.user_id.clone(),
            thread_id: self.thread_id.clone(),
            branch: self.branch_name(),
            mail_id: None,
            requested_by: None,
            action: self.action,
            instruction: self.instruction.clone(),
            state: JobState::Pending,
            pending: Some(PENDING.to_owned()),
            attempts: 0,
            interruptions: 0,
            preempted: None,
            replay_of: None,
            stop_requested: None,
            stopped_by: None,
            acknowledged_at: None,
            worker_id: None,
            epoch: Epoch::default(),
            steps: Vec::new(),
            outcome: None,
            note: None,
            summary: None,
            commit_id: None,
            files_changed: Vec::new(),
            aside: Vec::new(),
            left_out: self.context.left_out.clone(),
            preview_url: None,
            error: None,
            usage: Usage::default(),
            uncounted: None,
            transcript_key: None,
            created_at: at,
            day: at.day(),
            finished_at: None,
            ttl: Some(at.ttl(RECORDS_KEPT)),
        }
    }

    /// The text that crosses the queue.
    pub fn to_json(&self) -> String {
        envelope("work", self)
    }
}

/// A user as older senders name them: by slug or by e-mail address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserRef {
    /// A slug.
    Id(UserId),
    /// An address, to be looked up among the senders.
    Address(EmailAddress),
}

/// A work as it was read: what older senders leave out is still open.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkDraft {
    /// Given, or made from the queue's message id.
    pub command_id: CommandId,
    /// Given or new.
    pub session_id: Option<SessionId>,
    /// Given or new.
    pub thread_id: Option<ThreadId>,
    /// The site.
    pub project_id: ProjectId,
    /// The person, by slug or address.
    pub user: UserRef,
    /// Given, or the project's.
    pub repo_url: Option<String>,
    /// Given, or `edit`.
    pub action: WorkAction,
    release: Option<u64>,
    /// What to do.
    pub instruction: String,
    branch: Option<String>,
    attachments: Vec<Attachment>,
    context: WorkContext,
    previous_commit: Option<String>,
    task_token: Option<String>,
    timestamp: Timestamp,
}

impl WorkDraft {
    /// Reads a work message. `message_id` is the queue's; `now` stands in for a missing timestamp.
    pub fn parse(body: &str, message_id: &str, now: Timestamp) -> Result<Self, Malformed> {
        const WHAT: &str = "a work message";
        let wire: WireWork = read(WHAT, body, "work", Some("work"))?;
        let instruction = instruction_of(wire.instruction, wire.action)?;
        let user = if wire.user_id.contains('@') {
            UserRef::Address(EmailAddress::parse(&wire.user_id).map_err(|e| Malformed::new(WHAT, e))?)
        } else {
            UserRef::Id(UserId::parse(&wire.user_id).map_err(|e| Malformed::new(WHAT, e))?)
        };
        Ok(Self {
            command_id: wire.command_id.unwrap_or_else(|| CommandId::of_message(message_id)),
            session_id: wire.session_id,
            thread_id: wire
                .thread_id
                .map(|id| ThreadId::parse_lenient(&id).map_err(|e| Malformed::new(WHAT, e)))
                .transpose()?,
            project_id: wire.project_id,
            user,
            repo_url: wire.repo_url.filter(|url| !url.is_empty()),
            action: wire.action,
            release: wire.release,
            instruction,
            branch: wire.branch.filter(|branch| !branch.is_empty()),
            attachments: wire.attachments,
            context: wire.context,
            previous_commit: wire.previous_commit,
            task_token: wire.task_token.filter(|token| !token.is_empty()),
            timestamp: wire.timestamp.unwrap_or(now),
        })
    }

    /// Closes what was open: the user behind an address, the thread of a message without one, the project's repository.
    pub fn complete(self, user_id: UserId, thread_id: ThreadId, repo_url: String) -> Work {
        Work {
            session_id: self.session_id.unwrap_or_else(|| SessionId::of_thread(&thread_id)),
            thread_id,
            command_id: self.command_id,
            project_id: self.project_id,
            user_id,
            repo_url,
            action: self.action,
            release: self.release,
            instruction: self.instruction,
            branch: self.branch,
            attachments: self.attachments,
            context: self.context,
            previous_commit: self.previous_commit,
            task_token: self.task_token,
            timestamp: self.timestamp,
        }
    }
}

/// An edit has to say what to do; the other actions say it themselves.
fn instruction_of(given: Option<String>, action: WorkAction) -> Result<String, Malformed> {
    const WHAT: &str = "a work message";
    match (given, action) {
        (Some(text), _) if !text.trim().is_empty() => Ok(text),
        (_, WorkAction::Publish | WorkAction::Undo | WorkAction::Check | WorkAction::TakeDown) => {
            Ok(action.as_str().to_owned())
        }
        (Some(_), WorkAction::Edit) => Err(Malformed::new(WHAT, "the instruction is empty")),
        (None, WorkAction::Edit) => Err(Malformed::new(WHAT, "no instruction, text or content")),
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireWork {
    command_id: Option<CommandId>,
    session_id: Option<SessionId>,
    thread_id: Option<String>,
    project_id: ProjectId,
    user_id: String,
    repo_url: Option<String>,
    #[serde(default)]
    action: WorkAction,
    release: Option<u64>,
    #[serde(alias = "text", alias = "content")]
    instruction: Option<String>,
    branch: Option<String>,
    #[serde(default)]
    attachments: Vec<Attachment>,
    #[serde(default)]
    context: WorkContext,
    previous_commit: Option<String>,
    task_token: Option<String>,
    timestamp: Option<Timestamp>,
}

/// The news that a project+user has work and no owner. It gives no right: whoever receives it applies the claim rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClaimRequest {
    /// The site.
    pub project_id: ProjectId,
    /// The person.
    pub user_id: UserId,
    /// Where the work waits; informative, the receiver derives the queue itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_url: Option<String>,
    /// The conversation it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread_id: Option<String>,
    /// The mail it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// When it was sent.
    #[serde(default, with = "timestamp::millis")]
    pub timestamp: Timestamp,
}

impl ClaimRequest {
    /// The pair to claim.
    pub fn project_user(&self) -> ProjectUser {
        ProjectUser::new(self.project_id.clone(), self.user_id.clone())
    }

    /// The text that crosses the queue.
    pub fn to_json(&self) -> String {
        envelope("CLAIM_REQUEST", self)
    }
}

/// What a worker finds on the unclaimed queue.
#[derive(Debug, Clone, PartialEq)]
pub enum Offer {
    /// A project+user without an owner.
    Claim(ClaimRequest),
    /// Work put there by hand: to be moved to the project's FIFO queue.
    Work(Box<WorkDraft>),
}

impl Offer {
    /// Reads a message of the unclaimed queue.
    pub fn parse(body: &str, message_id: &str, now: Timestamp) -> Result<Self, Malformed> {
        const WHAT: &str = "a claim request or work";
        let value: Value = serde_json::from_str(body).map_err(|e| Malformed::new(WHAT, e))?;
        match kind(&value).as_deref() {
            Some("CLAIM_REQUEST") => read("a claim request", body, "CLAIM_REQUEST", None).map(Self::Claim),
            Some("WORK") => WorkDraft::parse(body, message_id, now).map(|draft| Self::Work(Box::new(draft))),
            Some(other) => Err(Malformed::new(WHAT, format!("type is {other:?}"))),
            None => Err(Malformed::new(WHAT, "it has no type")),
        }
    }
}

/// Asks the owner of a claim to stop one job for newer work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Interrupt {
    /// The site.
    pub project_id: ProjectId,
    /// The person.
    pub user_id: UserId,
    /// The job that is meant; any other is left alone.
    pub command_id: CommandId,
    /// The conversation of the newer work.
    pub new_thread_id: ThreadId,
    /// The newer work's command.
    pub new_message_id: String,
    /// Why, in words.
    pub reason: String,
    /// When it was sent.
    #[serde(with = "timestamp::millis")]
    pub timestamp: Timestamp,
}

/// What an operator orders a worker to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ControlAction {
    /// Give the claim back.
    Release,
    /// Finish, take nothing new, exit.
    Drain,
    /// Stop one job.
    StopJob,
}

/// An order to one worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Control {
    /// What to do.
    pub action: ControlAction,
    /// For `release`: which claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_key: Option<ProjectUser>,
    /// For `stop-job`: which job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command_id: Option<CommandId>,
    /// Why, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What a worker finds on its control queue.
#[derive(Debug, Clone, PartialEq)]
pub enum Order {
    /// A project+user without an owner that this worker served last: it may claim it before others hear of it.
    Offer(ClaimRequest),
    /// Stop one job for newer work.
    Interrupt(Interrupt),
    /// Do as an operator says.
    Control(Control),
}

impl Order {
    /// Reads a message of a control queue.
    pub fn parse(body: &str) -> Result<Self, Malformed> {
        const WHAT: &str = "an interrupt, a control order or a claim request";
        let value: Value = serde_json::from_str(body).map_err(|e| Malformed::new(WHAT, e))?;
        match kind(&value).as_deref() {
            Some("INTERRUPT") => read("an interrupt", body, "INTERRUPT", None).map(Self::Interrupt),
            Some("CONTROL") => read("a control order", body, "CONTROL", None).map(Self::Control),
            Some("CLAIM_REQUEST") => read("a claim request", body, "CLAIM_REQUEST", None).map(Self::Offer),
            _ => Err(Malformed::new(WHAT, "type is none of INTERRUPT, CONTROL and CLAIM_REQUEST")),
        }
    }

    /// The text that crosses the queue.
    pub fn to_json(&self) -> String {
        match self {
            Self::Interrupt(interrupt) => envelope("INTERRUPT", interrupt),
            Self::Control(control) => envelope("CONTROL", control),
            Self::Offer(request) => request.to_json(),
        }
    }
}

/// What came of a work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobResult {
    /// Which work.
    pub command_id: CommandId,
    /// The live conversation.
    pub session_id: SessionId,
    /// The conversation.
    pub thread_id: ThreadId,
    /// The site.
    pub project_id: ProjectId,
    /// The person.
    pub user_id: UserId,
    /// Whether the owner got what they asked for.
    pub success: bool,
    /// How it ended.
    pub outcome: JobOutcome,
    /// What there is to say besides how it ended: of a switch of the live site, or of a change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<OutcomeNote>,
    /// What was done, in plain words.
    pub summary: String,
    /// The bucket (locally: the host name) the site was published to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3_bucket: Option<String>,
    /// Where it can be looked at, when the worker knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3_url: Option<String>,
    /// When it was published.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "timestamp::millis::option")]
    pub deployment_time: Option<Timestamp>,
    /// The branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// The commit on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit_id: Option<String>,
    /// Paths that the commit touches.
    #[serde(default)]
    pub files_changed: Vec<String>,
    /// Branches on the remote with what was done on the conversation and conflicts with what others did there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aside: Vec<String>,
    /// What went wrong, for the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Its short name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_code: Option<String>,
    /// Whether newer work took its place.
    #[serde(default)]
    pub interrupted: bool,
    /// What it used.
    #[serde(default)]
    pub usage: Usage,
    /// Who did it.
    pub worker_id: WorkerId,
    /// Under which fence.
    pub epoch: Epoch,
}

impl JobResult {
    /// Reads a message of the output queue.
    pub fn parse(body: &str) -> Result<Self, Malformed> {
        read("a result", body, "response", Some("response"))
    }

    /// The text that crosses the queue.
    pub fn to_json(&self) -> String {
        envelope("response", self)
    }
}

fn envelope(kind: &str, message: &impl Serialize) -> String {
    #[derive(Serialize)]
    struct Envelope<'a, T> {
        #[serde(rename = "type")]
        kind: &'a str,
        version: u32,
        #[serde(flatten)]
        message: &'a T,
    }
    serde_json::to_string(&Envelope { kind, version: VERSION, message })
        .unwrap_or_else(|error| unreachable!("messages are plain data: {error}"))
}

/// The `type` in upper case, so that `claim_request` is understood.
fn kind(value: &Value) -> Option<String> {
    value.get("type").and_then(Value::as_str).map(str::to_ascii_uppercase)
}

fn read<T: serde::de::DeserializeOwned>(
    what: &'static str,
    body: &str,
    wanted: &str,
    default: Option<&str>,
) -> Result<T, Malformed> {
    let value: Value = serde_json::from_str(body).map_err(|e| Malformed::new(what, e))?;
    if !value.is_object() {
        return Err(Malformed::new(what, "it is not a JSON object"));
    }
    let found = kind(&value).or_else(|| default.map(str::to_ascii_uppercase));
    if found.as_deref() != Some(&wanted.to_ascii_uppercase()) {
        return Err(Malformed::new(what, format!("type is {:?}", value.get("type"))));
    }
    match value.get("version").map(Value::as_u64) {
        None | Some(Some(1)) => {}
        Some(_) => {
            return Err(Malformed::new(what, format!("version {} is not understood", value["version"])));
        }
    }
    serde_json::from_value(value).map_err(|e| Malformed::new(what, e))
}
