//! What would become of a mail, without doing or writing anything: by the very functions that a live mail goes through.
//! Without data, the sender is taken for a known one and the conversations are those of the mails simulated before.

use std::collections::HashMap;

use common::domain::ids::{CommandId, ProjectId, ThreadId, UserId};
use common::domain::outcome::MailEnding;
use common::domain::project::{Project, Role, Sender};
use common::domain::timestamp::Timestamp;
use serde::Serialize;

use crate::mail::instruction::{Words, instruction};
use crate::mail::thread::{self, ThreadSignal};
use crate::mail::trace::{Stage, Trace};
use crate::mail::verdict::Evidence;
use crate::mail::{self, Desk, MailCommand, MailRequest, ParsedMail, Unreadable};
use crate::route::{Facts, Ids, Rejection, ThreadChoice, Verdict, route};

/// The answer to "what would become of this mail".
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Simulation {
    /// The file it was read from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// How it would end.
    pub ending: MailEnding,
    /// Whether a machine wrote it.
    pub automatic: bool,
    /// The address that it says it is from.
    pub from: Option<String>,
    /// One line; may be empty.
    pub subject: String,
    /// The new words.
    pub instruction: String,
    /// What these say when they are one word of command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<MailCommand>,
    /// What was cut: quotes, mails passed on, signature.
    pub removed: String,
    /// What came along.
    pub attachments: Vec<Attached>,
    /// Which conversation it belongs to.
    pub thread: ThreadFound,
    /// Which rule said what.
    pub trace: Trace,
}

/// A file that came along.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Attached {
    /// As the sender named it.
    pub name: Option<String>,
    /// Its decoded length.
    pub size_bytes: usize,
}

/// The conversation of a mail.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ThreadFound {
    /// Its id; none where the mail would not get that far.
    pub id: Option<String>,
    /// Whether it was there before this mail.
    pub known: bool,
}

/// A decision as far as the simulation tells it.
pub(crate) struct Decided<'a> {
    pub(crate) verdict: &'a Result<Verdict, Rejection>,
    pub(crate) thread: ThreadFound,
    pub(crate) trace: Trace,
}

impl Simulation {
    /// Tells a decision about a mail.
    pub(crate) fn tell(read: &Result<ParsedMail, Unreadable>, decided: Decided<'_>) -> Self {
        let ending = match decided.verdict {
            Ok(Verdict::Work(_)) => MailEnding::Routed,
            Ok(Verdict::Command(_)) => MailEnding::CommandDone,
            Err(rejection) => rejection.ending,
        };
        let mail = read.as_ref().ok();
        let words = mail.map(|mail| instruction(mail, &mut Trace::default())).unwrap_or_default();
        Self {
            file: None,
            ending,
            automatic: ending == MailEnding::Automatic,
            from: mail.and_then(|mail| mail.stated_from.clone()),
            subject: mail.map(|mail| mail.subject.clone()).unwrap_or_default(),
            command: mail.and_then(|mail| mail::command::command(mail, &words)),
            removed: removed(&words),
            instruction: words.new,
            attachments: mail.map(attached).unwrap_or_default(),
            thread: decided.thread,
            trace: decided.trace,
        }
    }
}

fn removed(words: &Words) -> String {
    let parts = [&words.quoted, &words.forwarded, &words.signature];
    parts.into_iter().flatten().cloned().collect::<Vec<_>>().join("\n\n")
}

fn attached(mail: &ParsedMail) -> Vec<Attached> {
    let view =
        |file: &mail::parse::AttachedFile| Attached { name: file.name.clone(), size_bytes: file.size_bytes };
    mail.attachments.iter().map(view).collect()
}

/// A mail that was read and understood; the conversation comes later, because it depends on the mails before.
pub struct Understood {
    read: Result<ParsedMail, Unreadable>,
    request: Result<MailRequest, MailEnding>,
    signals: Vec<ThreadSignal>,
    landmarks: Vec<String>,
    trace: Trace,
}

/// Reads and understands a mail, as ingest does.
pub fn understand(raw: &[u8], desk: Desk<'_>) -> Understood {
    let read = mail::read(raw);
    let mut trace = Trace::default();
    let Ok(parsed) = &read else {
        let ending = read.as_ref().err().map_or(MailEnding::Malformed, mail::ending_of);
        trace.note(Stage::Parse, read.as_ref().err().map_or_else(String::new, ToString::to_string));
        return Understood { read, request: Err(ending), signals: Vec::new(), landmarks: Vec::new(), trace };
    };
    mail::trace_parsed(parsed, &mut trace);
    trace.note(Stage::Sender, "assumed to be genuine and registered: this simulation asks nobody");
    let request = mail::understand(parsed, desk, &Evidence::Vouched, Timestamp::default(), &mut trace);
    // A mail that does not get as far belongs to a conversation as well.
    let signals = match &request {
        Ok(request) => request.signals.clone(),
        Err(_) => mail::signals(parsed, desk, &mut Trace::default()),
    };
    let landmarks = thread::landmarks(parsed);
    Understood { read, request, signals, landmarks, trace }
}

/// The conversations of the mails simulated so far, all of one assumed owner.
#[derive(Debug, Default)]
pub struct Conversations {
    mails: HashMap<String, Known>,
    count: usize,
}

#[derive(Debug, Clone)]
struct Known {
    thread: ThreadId,
    /// Only named by another mail so far.
    mentioned: bool,
}

impl Conversations {
    /// Decides about the next mail.
    pub fn decide(&mut self, understood: Understood) -> Simulation {
        let Understood { read, request, signals, landmarks, mut trace } = understood;
        let known = signals.iter().find_map(|signal| self.follow(signal));
        let fresh = self.fresh();
        let verdict = match &request {
            Ok(request) => decide(request, known.as_ref(), &fresh, &mut trace),
            Err(ending) => Err(Rejection::silent(*ending)),
        };
        let thread = known.clone().unwrap_or(fresh);
        let mail = read.as_ref().ok();
        if let Some(id) = mail.and_then(|mail| mail.message_id.clone()) {
            self.mails.entry(id).or_insert(Known { thread: thread.clone(), mentioned: false });
        }
        for id in landmarks {
            self.mails.entry(id).or_insert(Known { thread: thread.clone(), mentioned: true });
        }
        let id = mail.map(|_| thread.to_string());
        Simulation::tell(
            &read,
            Decided { verdict: &verdict, thread: ThreadFound { id, known: known.is_some() }, trace },
        )
    }

    /// As facts are looked up for a live mail, among the mails before.
    fn follow(&self, signal: &ThreadSignal) -> Option<ThreadId> {
        match signal {
            ThreadSignal::ReplyAddress(thread)
            | ThreadSignal::OwnMessage(thread)
            | ThreadSignal::ConversationLine(thread) => Some(thread.clone()),
            ThreadSignal::Answers(id) => self.mails.get(id).map(|known| known.thread.clone()),
            ThreadSignal::Itself(id) => {
                self.mails.get(id).filter(|known| known.mentioned).map(|known| known.thread.clone())
            }
        }
    }

    fn fresh(&mut self) -> ThreadId {
        self.count += 1;
        ThreadId::parse(&format!("simulated-{}", self.count))
            .unwrap_or_else(|_| ThreadId::from_uuid(uuid::Uuid::nil()))
    }
}

/// Routes a request whose author stands for one assumed site.
fn decide(
    request: &MailRequest,
    known: Option<&ThreadId>,
    fresh: &ThreadId,
    trace: &mut Trace,
) -> Result<Verdict, Rejection> {
    let at = Timestamp::default();
    let Some((sender, project)) = assumed(request) else {
        return Err(Rejection::silent(MailEnding::Failed));
    };
    let facts = Facts {
        threads: known.iter().map(|thread| (sender.project_user(), (*thread).clone())).collect(),
        projects: [(project.project_id.clone(), project)].into(),
        senders: vec![sender],
        foreign: None,
        namesake: false,
    };
    let ids = Ids { command: CommandId::of_message("simulated"), thread: ThreadChoice::OrNew(fresh.clone()) };
    route(request, &facts, &ids, at, trace)
}

/// A sender of a site that has nothing but defaults.
fn assumed(request: &MailRequest) -> Option<(Sender, Project)> {
    let project_id = ProjectId::parse("site").ok()?;
    let sender = Sender {
        address: request.from.clone(),
        project_id: project_id.clone(),
        user_id: UserId::parse("owner").ok()?,
        role: Role::Owner,
        language: None,
        created_at: Timestamp::default(),
    };
    let project = serde_json::from_value(serde_json::json!({
        "projectId": project_id, "repoUrl": "https://example.org/site.git", "createdAt": 0, "updatedAt": 0
    }));
    Some((sender, project.ok()?))
}
