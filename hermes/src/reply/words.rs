//! The sentences of our mails, for people who know their site and nothing of branches, builds and agents.

use common::domain::ids::ProjectId;
use common::domain::outcome::JobOutcome;

/// What an owner is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// Which of these sites, and the address that names each.
    WhichSite(Vec<(ProjectId, String)>),
    /// What should be done.
    WhatToDo,
}

impl Question {
    /// One line each.
    pub(super) fn choices(&self) -> Vec<String> {
        match self {
            Self::WhichSite(sites) => {
                sites.iter().map(|(site, address)| format!("{site}: write to {address}")).collect()
            }
            Self::WhatToDo => Vec::new(),
        }
    }
}

/// What happened, and what the owner may do now.
pub(super) struct Words {
    pub(super) headline: &'static str,
    pub(super) next: &'static str,
}

const fn say(headline: &'static str, next: &'static str) -> Words {
    Words { headline, next }
}

pub(super) fn of_outcome(outcome: Option<JobOutcome>) -> Words {
    match outcome {
        Some(JobOutcome::Changed) => {
            say("Your site was changed.", "Something is not right yet? Just reply to this mail.")
        }
        Some(JobOutcome::Answered) => {
            say("Nothing had to be changed.", "If you meant something else, reply to this mail and say what.")
        }
        Some(JobOutcome::Question) => {
            say("One question before your site is changed.", "Please reply to this mail with the answer.")
        }
        Some(JobOutcome::Stopped) => say(
            "The work was stopped.",
            "What was done so far is kept. Reply to this mail to go on from there.",
        ),
        Some(JobOutcome::Interrupted) => {
            say("Your newer mail goes first.", "This one is taken up again right after it.")
        }
        Some(JobOutcome::BudgetExhausted) => say(
            "This was more work than one run may take.",
            "What was done so far is kept. Reply to this mail to go on, best with one thing at a time.",
        ),
        Some(JobOutcome::BuildFailed) => say(
            "The change was made, but the site cannot be built with it.",
            "What visitors see is unchanged. Reply to this mail with what should be different, or ask whoever looks after your site.",
        ),
        Some(JobOutcome::PublishFailed) => say(
            "The change was made, but the preview could not be put up.",
            "What visitors see is unchanged and your change is kept. Reply to this mail to try again.",
        ),
        Some(JobOutcome::PushConflict) => say(
            "Somebody else changed the same place meanwhile.",
            "Both versions are kept. Ask whoever looks after your site which one should stay.",
        ),
        Some(JobOutcome::Refused) => say(
            "This could not be done.",
            "Your site is unchanged. Ask whoever looks after it; they find the reason under the conversation ID below.",
        ),
        Some(JobOutcome::AgentFailed) => say(
            "The change could not be made.",
            "Your site is unchanged. Reply to this mail to try again, perhaps in other words.",
        ),
        Some(JobOutcome::Failed) | None => say(
            "Something went wrong on our side.",
            "Your site is unchanged. Reply to this mail to try again; if it happens twice, ask whoever looks after your site.",
        ),
    }
}

pub(super) fn of_question(question: &Question) -> Words {
    match question {
        Question::WhichSite(_) => say(
            "Which of your sites do you mean?",
            "Please send your mail once more, to the address of the site.",
        ),
        Question::WhatToDo => {
            say("Your mail arrived without words.", "Please write what should change on your site.")
        }
    }
}
