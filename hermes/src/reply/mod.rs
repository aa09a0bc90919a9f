//! What we write to owners: what there is to say in, subject, text and HTML in the owner's language out. Pure; the
//! sentences lie in `words`, the form in `templates` (MJML, compiled and committed: see `tests/all/templates.rs`).

pub mod message;
pub mod page;
mod subject;
mod touched;
mod words;

use std::sync::LazyLock;

use common::domain::ids::{ProjectId, ThreadId};
use common::domain::job::{Job, OutcomeNote, WorkAction};
use common::domain::language::Language;
use common::domain::left_out::LeftOut;
use common::domain::outcome::JobOutcome;
use common::domain::project::Role;
use minijinja::value::{Serde, Value};
use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;

use words::{Said, Words};

/// A mail as far as its words go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// One line.
    pub subject: String,
    /// For readers of plain text.
    pub text: String,
    /// For everybody else.
    pub html: String,
}

/// A template of ours does not render: a mistake in the program.
#[derive(Debug, thiserror::Error)]
#[error("the reply could not be written: {0}")]
pub struct BadTemplate(#[from] minijinja::Error);

/// The mail that is answered, as far as the answer takes something from it.
#[derive(Debug, Clone, Copy)]
pub struct Answered<'a> {
    /// Its subject.
    pub subject: &'a str,
    /// What its author reads.
    pub language: Language,
    /// The conversation it belongs to; none when it became none.
    pub thread: Option<&'a ThreadId>,
    /// What its author may do.
    pub role: Role,
}

/// What there is to say.
#[derive(Debug, Clone)]
pub enum Topic<'a> {
    /// A job ended.
    Ended(&'a Job),
    /// The work takes longer than a few minutes.
    Late,
    /// They stand for these sites; the address that names each.
    WhichSite(Vec<(ProjectId, String)>),
    /// Their mail says nothing.
    WhatToDo,
    /// A mail became no work.
    Refused(Refusal),
    /// They asked to stop, and nothing ran.
    NothingToStop,
    /// They asked to stop, and everything was done before.
    DoneBeforeStopped,
    /// They asked what is being done.
    Status(Vec<Activity>),
    /// They asked what they can do.
    Help,
    /// They asked to publish, in no conversation.
    WhichPreview,
    /// They are asked whether they wrote their mail; where they can look and say so.
    Confirm(String),
}

impl Topic<'_> {
    /// Whether it tells how to switch the live site, which not everybody may.
    pub fn is_of_live(&self) -> bool {
        match self {
            Self::Ended(job) => is_preview(job),
            Self::Help => true,
            Self::Late
            | Self::WhichSite(_)
            | Self::WhatToDo
            | Self::Refused(_)
            | Self::NothingToStop
            | Self::DoneBeforeStopped
            | Self::Status(_)
            | Self::WhichPreview
            | Self::Confirm(_) => false,
        }
    }
}

/// Why a mail became no work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Nobody is registered under its address.
    UnknownSender,
    /// Its author may not do this.
    NotPermitted,
    /// Too many came in too short a time.
    RateLimited,
    /// Its author's site is not set up.
    NoSite,
}

impl Refusal {
    /// The word by which refusals are told apart.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnknownSender => "unknown-sender",
            Self::NotPermitted => "not-permitted",
            Self::RateLimited => "rate-limited",
            Self::NoSite => "no-site",
        }
    }
}

/// One piece of work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activity {
    /// The subject of its conversation; may be empty.
    pub subject: String,
    /// For how many minutes it has been running; none while it waits.
    pub running_minutes: Option<u64>,
}

/// A letter before it has its form.
#[derive(Default, Serialize)]
struct View {
    language: &'static str,
    preheader: String,
    headline: &'static str,
    said: Option<String>,
    button: Option<Button>,
    list_title: &'static str,
    list: Vec<String>,
    more: Option<String>,
    left_out_title: &'static str,
    left_out: Vec<String>,
    next: &'static str,
    thread: Option<String>,
}

#[derive(Serialize)]
struct Button {
    label: &'static str,
    address: String,
}

/// Writes to the author of a mail.
pub fn write(topic: &Topic<'_>, answered: &Answered<'_>) -> Result<Letter, BadTemplate> {
    let words = words::of(answered.language);
    let view = view(topic, words, answered.role);
    let view = View {
        language: answered.language.as_str(),
        thread: answered.thread.map(ToString::to_string),
        preheader: view.said.as_deref().map_or(view.next, first_line).to_owned(),
        ..view
    };
    let (templates, view) = (&*TEMPLATES, Value::from(Serde(view)));
    Ok(Letter {
        subject: subject::replied(answered.subject, words.your_request),
        text: templates.get_template("letter.txt")?.render(view.clone())?,
        html: templates.get_template("letter.html")?.render(view)?,
    })
}

fn view(topic: &Topic<'_>, words: &'static Words, role: Role) -> View {
    match topic {
        Topic::Ended(job) if is_preview(job) && role == Role::Editor => {
            View { next: words.changed_by_editor, ..ended(job, words) }
        }
        Topic::Ended(job) => ended(job, words),
        Topic::Late => plain(words.acknowledged),
        Topic::WhichSite(sites) => {
            let list = sites.iter().map(|(site, address)| (words.write_to)(site.as_str(), address)).collect();
            View { list, ..plain(words.which_site) }
        }
        Topic::WhatToDo => plain(words.what_to_do),
        Topic::Refused(Refusal::UnknownSender) => plain(words.unknown_sender),
        Topic::Refused(Refusal::NotPermitted) => plain(words.not_permitted),
        Topic::Refused(Refusal::RateLimited) => plain(words.rate_limited),
        Topic::Refused(Refusal::NoSite) => plain(words.no_site),
        Topic::NothingToStop => plain(words.nothing_to_stop),
        Topic::DoneBeforeStopped => plain(words.done_before_stopped),
        Topic::Status(work) if work.is_empty() => plain(words.status_idle),
        Topic::Status(work) => {
            View { list: work.iter().map(|one| activity(one, words)).collect(), ..plain(words.status_busy) }
        }
        Topic::Help => View { list: help(words, role), ..plain(words.help) },
        Topic::WhichPreview => plain(words.which_preview),
        Topic::Confirm(address) => {
            let button = Button { label: words.confirm.open, address: address.clone() };
            View { button: Some(button), ..plain(words.confirm.mail) }
        }
    }
}

fn plain(said: Said) -> View {
    View { headline: said.headline, next: said.next, ..View::default() }
}

/// What may be written by whoever may do this.
fn help(words: &Words, role: Role) -> Vec<String> {
    let live = match role {
        Role::Owner => words.help_live,
        Role::Editor => &[],
    };
    [words.help_orders, live, words.help_commands].concat().into_iter().map(str::to_owned).collect()
}

/// Whether a change can be put live.
fn is_preview(job: &Job) -> bool {
    job.outcome == Some(JobOutcome::Changed) && !is_switch(job)
}

/// Whether the live site is what was to be switched.
fn is_switch(job: &Job) -> bool {
    matches!(job.action, WorkAction::Publish | WorkAction::Undo)
}

fn ended(job: &Job, words: &'static Words) -> View {
    let said = of_live(job, words).unwrap_or_else(|| (words.outcome)(job.outcome));
    let is_live = is_switch(job) && job.known_note() != Some(&OutcomeNote::PreviewChanged);
    let label = if is_live { words.look_live } else { words.look };
    let (list, left) = touched::listed(&job.files_changed);
    View {
        said: besides(job, words),
        button: job.preview_url.clone().map(|address| Button { label, address }),
        list_title: words.touched,
        list,
        more: (left > 0).then(|| (words.and_more)(left)),
        left_out_title: words.left_out,
        left_out: job.left_out.iter().map(|file| left_out(file, words)).collect(),
        ..plain(said)
    }
}

/// What was done, and below it what is kept beside it.
fn besides(job: &Job, words: &Words) -> Option<String> {
    let aside = job.aside.iter().map(|branch| (words.aside)(branch));
    let said: Vec<_> = done(job, words).into_iter().chain(aside).collect();
    (!said.is_empty()).then(|| said.join("\n\n"))
}

/// What was done. A note is said in the reader's language, and needs no other words.
fn done(job: &Job, words: &Words) -> Option<String> {
    match job.known_note() {
        Some(OutcomeNote::Replaced { subject }) => Some((words.replaced_what)(subject.as_deref())),
        Some(
            OutcomeNote::GoesOn
            | OutcomeNote::PreviewChanged
            | OutcomeNote::NeverShown
            | OutcomeNote::NotPushed
            | OutcomeNote::LiveChanged,
        ) => None,
        Some(OutcomeNote::Unknown) | None => {
            let summary = job.summary.as_deref().map(str::trim).filter(|text| !text.is_empty());
            summary.map(str::to_owned)
        }
    }
}

/// What a job that was to switch the live site is answered with, where that is something of its own.
fn of_live(job: &Job, words: &Words) -> Option<Said> {
    match (job.known_note(), job.action, job.outcome?) {
        (Some(OutcomeNote::GoesOn), ..) => Some(words.switching),
        (Some(OutcomeNote::PreviewChanged), ..) => Some(words.preview_changed),
        (Some(OutcomeNote::NeverShown), ..) => Some(words.never_shown),
        (Some(OutcomeNote::NotPushed), ..) => Some(words.not_pushed),
        (Some(OutcomeNote::LiveChanged), ..) => Some(words.live_changed),
        (Some(OutcomeNote::Replaced { .. }), ..) => Some(words.replaced),
        (None, WorkAction::Publish, JobOutcome::Changed) => Some(words.published),
        (None, WorkAction::Undo, JobOutcome::Changed) => Some(words.undone),
        (None, WorkAction::Publish | WorkAction::Undo, JobOutcome::Answered) => Some(words.live_unchanged),
        (None, WorkAction::Publish, JobOutcome::PublishFailed) => Some(words.not_switched),
        (None, WorkAction::Undo, JobOutcome::PublishFailed) => Some(words.not_undone),
        (
            Some(OutcomeNote::Unknown) | None,
            WorkAction::Publish
            | WorkAction::Undo
            | WorkAction::Edit
            | WorkAction::Check
            | WorkAction::TakeDown,
            _,
        ) => None,
    }
}

fn left_out(file: &LeftOut, words: &Words) -> String {
    format!("{}: {}", file.name, (words.why_left_out)(file.reason))
}

fn activity(work: &Activity, words: &'static Words) -> String {
    let subject = if work.subject.is_empty() { words.your_request } else { &work.subject };
    match work.running_minutes {
        Some(minutes) => (words.running)(subject, minutes),
        None => (words.waiting)(subject),
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

static TEMPLATES: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let sources = [
        ("letter.txt", include_str!("templates/letter.txt")),
        ("letter.html", include_str!("templates/letter.html")),
        ("page.html", include_str!("templates/page.html")),
    ];
    let mut templates = Environment::new();
    templates.set_undefined_behavior(UndefinedBehavior::Strict);
    for (name, source) in sources {
        if let Err(error) = templates.add_template(name, source) {
            tracing::error!(%error, "template {name} cannot be read");
        }
    }
    templates
});

#[cfg(test)]
mod tests;
