//! Whose work a mail becomes: a request and the facts about its author in, work or a rejection out. Pure.

use std::collections::BTreeMap;

use common::domain::ids::{CommandId, EmailAddress, ProjectId, ProjectUser, SessionId, ThreadId};
use common::domain::job::WorkAction;
use common::domain::outcome::MailEnding;
use common::domain::project::{Project, Role, Sender};
use common::domain::timestamp::Timestamp;
use common::messages::{Work, WorkContext};

use crate::mail::sender::Assurance;
use crate::mail::trace::{Stage, Trace};
use crate::mail::{MailCommand, MailRequest, recipient};
use crate::reply::Refusal;

/// What was looked up about a request before it is decided.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    /// For whom the author's address stands.
    pub senders: Vec<Sender>,
    /// The projects of these, as far as they exist.
    pub projects: BTreeMap<ProjectId, Project>,
    /// A project that a recipient names and that the author is not registered for.
    pub foreign: Option<ProjectId>,
    /// The conversation that the request continues, per project+user.
    pub threads: BTreeMap<ProjectUser, ThreadId>,
    /// Whether a mail of theirs with the same Message-ID became work before.
    pub namesake: bool,
}

/// Ids that were chosen before anything was written; a mail that is handled again brings its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ids {
    /// Of the work.
    pub command: CommandId,
    /// Which conversation it is about, if it was decided before or is new.
    pub thread: ThreadChoice,
}

/// How the conversation is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ThreadChoice {
    /// The one it continues, else this new one.
    OrNew(ThreadId),
    /// This one: an earlier run of the same mail chose it.
    Chosen(ThreadId),
}

/// A mail that becomes work.
#[derive(Debug, Clone, PartialEq)]
pub struct Routed {
    /// The order.
    pub work: Work,
    /// Who gets the answer.
    pub requested_by: EmailAddress,
    /// Ids under which later mails may refer to the same conversation.
    pub landmarks: Vec<String>,
}

/// A mail that is a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commanded {
    /// Which.
    pub command: MailCommand,
    /// Whose site.
    pub project_user: ProjectUser,
    /// The conversation it is about; none when it is about none.
    pub thread: Option<ThreadId>,
}

/// What a mail becomes.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Work for an agent.
    Work(Box<Routed>),
    /// A command, carried out at once.
    Command(Commanded),
}

impl Verdict {
    /// The conversation it is about.
    pub fn thread(&self) -> Option<&ThreadId> {
        match self {
            Self::Work(routed) => Some(&routed.work.thread_id),
            Self::Command(commanded) => commanded.thread.as_ref(),
        }
    }
}

/// What the author is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// They stand for several sites and named none.
    WhichSite(Vec<ProjectId>),
    /// Their mail says nothing.
    WhatToDo,
    /// They want to publish, and say not what.
    WhichPreview,
}

/// A mail that does not become work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// How it ends.
    pub ending: MailEnding,
    /// What its author hears.
    pub said: Said,
}

/// What the author of a mail hears when it becomes no work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// Nothing.
    Nothing,
    /// A question.
    Question(Question),
    /// Whether they wrote it; about whose site it is, where that is clear.
    Confirmation(Option<ProjectUser>),
    /// Why; once a day for each reason.
    Refusal(Refusal),
}

impl Rejection {
    /// Recorded, and nobody hears of it.
    pub fn silent(ending: MailEnding) -> Self {
        Self { ending, said: Said::Nothing }
    }

    fn asking(question: Question) -> Self {
        Self { ending: MailEnding::QuestionAsked, said: Said::Question(question) }
    }

    fn confirming(why: &str, about: Option<ProjectUser>, trace: &mut Trace) -> Self {
        trace.note(Stage::Route, format!("{why}, so its author has to confirm it"));
        Self { ending: MailEnding::ConfirmationAsked, said: Said::Confirmation(about) }
    }

    /// Recorded, and its author hears why, if it is sure that they are its author.
    fn telling(request: &MailRequest, ending: MailEnding, refusal: Refusal) -> Self {
        match request.assurance {
            Assurance::Full => Self::refusing(ending, refusal),
            Assurance::Partial | Assurance::Stray | Assurance::Unheard => Self::silent(ending),
        }
    }

    /// Recorded, and its author hears why.
    pub fn refusing(ending: MailEnding, refusal: Refusal) -> Self {
        Self { ending, said: Said::Refusal(refusal) }
    }
}

/// Decides.
pub fn route(
    request: &MailRequest,
    facts: &Facts,
    ids: &Ids,
    at: Timestamp,
    trace: &mut Trace,
) -> Result<Verdict, Rejection> {
    let sender = choose_sender(request, facts, trace)?;
    let Some(project) = facts.projects.get(&sender.project_id) else {
        trace.note(
            Stage::Route,
            format!("project {0} does not exist; add it with `hermes projects add {0}`", sender.project_id),
        );
        return Err(Rejection::telling(request, MailEnding::Failed, Refusal::NoSite));
    };
    if let Some(why) = unsure(request.assurance, project) {
        return Err(Rejection::confirming(&why, Some(sender.project_user()), trace));
    }
    if request.instruction.is_empty() {
        trace.note(Stage::Route, "it has neither text nor subject");
        return Err(Rejection::asking(Question::WhatToDo));
    }
    let action = match request.command {
        None => WorkAction::Edit,
        Some(command) => match switch(command, request, sender, facts, trace)? {
            Some(action) => action,
            None => return Ok(Verdict::Command(commanded(command, sender, facts, trace))),
        },
    };
    let thread_id = choose_thread(&sender.project_user(), facts, ids, trace);
    trace.note(Stage::Route, format!("work for {} on thread {thread_id}", sender.project_user()));
    Ok(Verdict::Work(Box::new(Routed {
        work: Work { action, ..work(request, sender, project, ids.command.clone(), thread_id, at) },
        requested_by: request.from.clone(),
        landmarks: request.landmarks.clone(),
    })))
}

/// Why it is not enough what shows that its author wrote it, to us.
fn unsure(assurance: Assurance, project: &Project) -> Option<String> {
    let wants_all = assurance == Assurance::Partial && project.require_dmarc;
    let of_project =
        || wants_all.then(|| format!("{} wants DMARC, and all of it signed", project.project_id));
    doubt(assurance).map(str::to_owned).or_else(of_project)
}

/// Why it is not enough wherever it goes.
fn doubt(assurance: Assurance) -> Option<&'static str> {
    match assurance {
        Assurance::Full | Assurance::Partial => None,
        Assurance::Stray => Some("it may not be meant for us"),
        Assurance::Unheard => Some("nobody could be asked who wrote it"),
    }
}

/// How a command switches the live site, in the order of its owner's other work; none when it does not. Editors may not,
/// and what is published is the preview of a conversation.
fn switch(
    command: MailCommand,
    request: &MailRequest,
    sender: &Sender,
    facts: &Facts,
    trace: &mut Trace,
) -> Result<Option<WorkAction>, Rejection> {
    let action = match command {
        MailCommand::Publish => WorkAction::Publish,
        MailCommand::Undo => WorkAction::Undo,
        MailCommand::Stop | MailCommand::Status | MailCommand::Help => return Ok(None),
    };
    if sender.role == Role::Editor {
        trace.note(
            Stage::Route,
            format!("{} is an editor of {} and may not {action}", request.from, sender.project_id),
        );
        return Err(Rejection::telling(request, MailEnding::NotPermitted, Refusal::NotPermitted));
    }
    if action == WorkAction::Publish && !facts.threads.contains_key(&sender.project_user()) {
        trace.note(Stage::Route, "it is about no conversation, so there is no preview to publish");
        return Err(Rejection::asking(Question::WhichPreview));
    }
    Ok(Some(action))
}

fn commanded(command: MailCommand, sender: &Sender, facts: &Facts, trace: &mut Trace) -> Commanded {
    let project_user = sender.project_user();
    let thread = facts.threads.get(&project_user).cloned();
    let about =
        thread.as_ref().map_or("no conversation of its own".to_owned(), |thread| format!("thread {thread}"));
    trace.note(Stage::Route, format!("the command {} of {project_user}, about {about}", command.as_str()));
    Commanded { command, project_user, thread }
}

/// The recipient chooses, else the conversation, else there is only one, else the author is asked; first whether they wrote it.
fn choose_sender<'a>(
    request: &MailRequest,
    facts: &'a Facts,
    trace: &mut Trace,
) -> Result<&'a Sender, Rejection> {
    if facts.senders.is_empty() {
        trace.note(
            Stage::Route,
            format!("nobody is registered as {0}; add them with `hermes senders add {0}`", request.from),
        );
        return Err(Rejection::telling(request, MailEnding::UnknownSender, Refusal::UnknownSender));
    }
    let named = |sender: &&Sender| request.recipients.iter().any(|to| recipient::names(to, sender));
    if let Some(sender) = only(facts.senders.iter().filter(named)) {
        trace.note(Stage::Route, format!("the recipient names {}", sender.project_id));
        return Ok(sender);
    }
    if let Some(project) = &facts.foreign {
        trace.note(Stage::Route, format!("{} may not instruct {project}", request.from));
        return Err(Rejection::telling(request, MailEnding::NotPermitted, Refusal::NotPermitted));
    }
    let continued = |sender: &&Sender| facts.threads.contains_key(&sender.project_user());
    if let Some(sender) = only(facts.senders.iter().filter(continued)) {
        trace.note(Stage::Route, format!("it continues a conversation about {}", sender.project_id));
        return Ok(sender);
    }
    if let Some(sender) = only(facts.senders.iter()) {
        trace.note(Stage::Route, format!("{} stands for {} only", request.from, sender.project_id));
        return Ok(sender);
    }
    trace.note(Stage::Route, format!("{} stands for several sites and names none", request.from));
    if let Some(why) = doubt(request.assurance) {
        return Err(Rejection::confirming(why, None, trace));
    }
    let sites = facts.senders.iter().map(|sender| sender.project_id.clone()).collect();
    Err(Rejection::asking(Question::WhichSite(sites)))
}

fn only<T>(mut candidates: impl Iterator<Item = T>) -> Option<T> {
    let first = candidates.next()?;
    candidates.next().is_none().then_some(first)
}

fn choose_thread(key: &ProjectUser, facts: &Facts, ids: &Ids, trace: &mut Trace) -> ThreadId {
    match (&ids.thread, facts.threads.get(key)) {
        (ThreadChoice::Chosen(thread), _) => {
            trace.note(Stage::Thread, format!("thread {thread}, as when this mail was first seen"));
            thread.clone()
        }
        (ThreadChoice::OrNew(_), Some(thread)) => {
            trace.note(Stage::Thread, format!("it continues thread {thread}"));
            thread.clone()
        }
        (ThreadChoice::OrNew(thread), None) => {
            trace.note(Stage::Thread, format!("it begins thread {thread}"));
            thread.clone()
        }
    }
}

fn work(
    request: &MailRequest,
    sender: &Sender,
    project: &Project,
    command_id: CommandId,
    thread_id: ThreadId,
    at: Timestamp,
) -> Work {
    Work {
        command_id,
        session_id: SessionId::of_thread(&thread_id),
        thread_id,
        project_id: sender.project_id.clone(),
        user_id: sender.user_id.clone(),
        repo_url: project.repo_url.clone(),
        action: WorkAction::Edit,
        release: None,
        instruction: request.instruction.clone(),
        branch: None,
        attachments: Vec::new(),
        context: WorkContext {
            left_out: Vec::new(),
            from: Some(request.from.to_string()),
            subject: (!request.subject.is_empty()).then(|| request.subject.clone()),
            quoted: request.quoted.clone(),
        },
        previous_commit: None,
        task_token: None,
        timestamp: at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::domain::ids::UserId;

    fn address(text: &str) -> EmailAddress {
        EmailAddress::parse(text).unwrap()
    }

    fn request(to: &str) -> MailRequest {
        MailRequest {
            from: address("scott@example.org"),
            assurance: Assurance::Full,
            recipients: vec![address(to)],
            subject: "Hours".into(),
            signals: Vec::new(),
            landmarks: Vec::new(),
            instruction: "Open at 9".into(),
            command: None,
            quoted: None,
        }
    }

    fn facts(projects: &[&str]) -> Facts {
        let mut facts = Facts::default();
        for id in projects {
            let project_id = ProjectId::parse(id).unwrap();
            facts.senders.push(Sender {
                address: address("scott@example.org"),
                project_id: project_id.clone(),
                user_id: UserId::parse("scott").unwrap(),
                role: Role::Owner,
                language: None,
                created_at: Timestamp::default(),
            });
            let project = Project {
                project_id: project_id.clone(),
                repo_url: format!("https://github.com/x/{id}.git"),
                default_branch: None,
                build: common::domain::project::Build::default(),
                preempt: common::domain::project::Preempt::default(),
                limits: common::domain::budget::Limits::default(),
                require_dmarc: true,
                created_at: Timestamp::default(),
                updated_at: Timestamp::default(),
            };
            facts.projects.insert(project_id, project);
        }
        facts
    }

    fn work_of(verdict: Verdict) -> Routed {
        match verdict {
            Verdict::Work(routed) => *routed,
            Verdict::Command(command) => panic!("{command:?}"),
        }
    }

    fn decide(request: &MailRequest, facts: &Facts) -> Result<Routed, Rejection> {
        verdict(request, facts).map(work_of)
    }

    fn verdict(request: &MailRequest, facts: &Facts) -> Result<Verdict, Rejection> {
        let ids = Ids {
            command: CommandId::parse("c1").unwrap(),
            thread: ThreadChoice::OrNew(ThreadId::parse("newthread").unwrap()),
        };
        route(request, facts, &ids, Timestamp::default(), &mut Trace::default())
    }

    #[test]
    fn a_mail_of_a_sender_with_one_site_becomes_work_on_a_new_thread() {
        let routed = decide(&request("hermes@localhost"), &facts(&["amelia"])).unwrap();
        assert_eq!(routed.work.project_user().to_string(), "amelia#scott");
        assert_eq!(routed.work.thread_id.as_str(), "newthread");
        assert_eq!(routed.work.repo_url, "https://github.com/x/amelia.git");
        assert_eq!(routed.work.session_id.as_str(), "session-newthread");
    }

    #[test]
    fn an_unknown_sender_is_rejected() {
        let rejected = decide(&request("hermes@localhost"), &facts(&[])).unwrap_err();
        assert_eq!(rejected, Rejection::refusing(MailEnding::UnknownSender, Refusal::UnknownSender));
    }

    #[test]
    fn the_recipient_chooses_among_several_sites() {
        let both = facts(&["amelia", "bob"]);
        assert_eq!(decide(&request("bob@hermes.org"), &both).unwrap().work.project_id.as_str(), "bob");
        let asked = decide(&request("hermes@hermes.org"), &both).unwrap_err();
        assert!(matches!(asked.said, Said::Question(Question::WhichSite(sites)) if sites.len() == 2));
    }

    #[test]
    fn the_conversation_chooses_when_the_recipient_does_not() {
        let mut both = facts(&["amelia", "bob"]);
        let known = ThreadId::parse("known-thread").unwrap();
        both.threads.insert(ProjectUser::parse("bob#scott").unwrap(), known.clone());
        let routed = decide(&request("hermes@hermes.org"), &both).unwrap();
        assert_eq!((routed.work.project_id.as_str(), routed.work.thread_id), ("bob", known));
    }

    #[test]
    fn somebody_elses_site_is_not_permitted() {
        let mut one = facts(&["amelia"]);
        one.foreign = Some(ProjectId::parse("bob").unwrap());
        assert_eq!(decide(&request("bob@x.org"), &one).unwrap_err().ending, MailEnding::NotPermitted);
    }

    #[test]
    fn a_sender_of_a_project_that_is_gone_is_told_to_the_operator() {
        let mut gone = facts(&["amelia"]);
        gone.projects.clear();
        assert_eq!(decide(&request("x@y.z"), &gone).unwrap_err().ending, MailEnding::Failed);
    }

    #[test]
    fn half_an_assurance_is_enough_only_where_the_project_says_so() {
        let mut half = request("x@y.z");
        half.assurance = Assurance::Partial;
        let mut known = facts(&["amelia"]);
        assert_eq!(decide(&half, &known).unwrap_err().ending, MailEnding::ConfirmationAsked);
        for project in known.projects.values_mut() {
            project.require_dmarc = false;
        }
        assert!(decide(&half, &known).is_ok());
    }

    #[test]
    fn a_mail_about_which_nobody_could_be_asked_is_confirmed_wherever_it_goes_and_strangers_hear_nothing() {
        let mut unheard = request("x@y.z");
        unheard.assurance = Assurance::Unheard;
        let mut known = facts(&["amelia"]);
        for project in known.projects.values_mut() {
            project.require_dmarc = false;
        }
        assert_eq!(decide(&unheard, &known).unwrap_err().ending, MailEnding::ConfirmationAsked);
        let silent = Rejection::silent(MailEnding::UnknownSender);
        assert_eq!(decide(&unheard, &facts(&[])).unwrap_err(), silent);
    }

    #[test]
    fn whoever_may_not_have_written_it_is_asked_that_before_which_site_it_is_about() {
        let both = facts(&["amelia", "bob"]);
        for (assurance, to, about) in [
            (Assurance::Stray, "x@y.z", None),
            (Assurance::Unheard, "x@y.z", None),
            (Assurance::Unheard, "bob@x.org", ProjectUser::parse("bob#scott").ok()),
        ] {
            let asked = decide(&MailRequest { assurance, ..request(to) }, &both).unwrap_err();
            let ending = MailEnding::ConfirmationAsked;
            assert_eq!(asked, Rejection { ending, said: Said::Confirmation(about) }, "{assurance:?} {to}");
        }
        let half = MailRequest { assurance: Assurance::Partial, ..request("x@y.z") };
        assert_eq!(decide(&half, &both).unwrap_err().ending, MailEnding::QuestionAsked);
    }

    #[test]
    fn a_mail_that_is_handled_again_keeps_its_thread() {
        let mut known = facts(&["amelia"]);
        known
            .threads
            .insert(ProjectUser::parse("amelia#scott").unwrap(), ThreadId::parse("other-1").unwrap());
        let chosen = ThreadId::parse("chosen-1").unwrap();
        let ids =
            Ids { command: CommandId::parse("c1").unwrap(), thread: ThreadChoice::Chosen(chosen.clone()) };
        let routed = route(&request("x@y.z"), &known, &ids, Timestamp::default(), &mut Trace::default());
        assert_eq!(work_of(routed.unwrap()).work.thread_id, chosen);
    }

    #[test]
    fn a_command_is_about_the_conversation_it_continues_or_about_none() {
        let mut stop = request("x@y.z");
        stop.command = Some(MailCommand::Stop);
        let mut known = facts(&["amelia"]);
        let about = |facts: &Facts| match verdict(&stop, facts).unwrap() {
            Verdict::Command(command) => command.thread,
            Verdict::Work(routed) => panic!("{routed:?}"),
        };
        assert_eq!(about(&known), None);
        let thread = ThreadId::parse("known-thread").unwrap();
        known.threads.insert(ProjectUser::parse("amelia#scott").unwrap(), thread.clone());
        assert_eq!(about(&known), Some(thread));
    }

    #[test]
    fn publish_and_undo_are_work_without_an_agent_for_owners_in_a_conversation() {
        let mut asked = request("x@y.z");
        let mut known = facts(&["amelia"]);
        let thread = ThreadId::parse("known-thread").unwrap();
        asked.command = Some(MailCommand::Publish);
        let without = decide(&asked, &known).unwrap_err();
        assert_eq!(without, Rejection::asking(Question::WhichPreview));
        known.threads.insert(ProjectUser::parse("amelia#scott").unwrap(), thread.clone());
        for (command, action) in
            [(MailCommand::Publish, WorkAction::Publish), (MailCommand::Undo, WorkAction::Undo)]
        {
            asked.command = Some(command);
            let work = decide(&asked, &known).unwrap().work;
            assert_eq!((work.action, &work.thread_id), (action, &thread));
            let mut editor = known.clone();
            editor.senders[0].role = Role::Editor;
            assert_eq!(decide(&asked, &editor).unwrap_err().ending, MailEnding::NotPermitted);
        }
    }

    #[test]
    fn a_mail_that_says_nothing_is_asked_about() {
        let mut empty = request("x@y.z");
        empty.instruction.clear();
        let asked = decide(&empty, &facts(&["amelia"])).unwrap_err();
        assert_eq!(asked, Rejection::asking(Question::WhatToDo));
    }
}
