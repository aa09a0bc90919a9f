//! How a mail and a job ended: two closed lists. What a user meets in normal life is one of these, not an error.

use serde::{Deserialize, Serialize};

/// How a mail ended. Every mail has exactly one ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MailEnding {
    /// It became work on the queue.
    Routed,
    /// It was a command (`stop`, `status`, ...) and was carried out.
    CommandDone,
    /// The sender was asked something.
    QuestionAsked,
    /// The sender was asked to confirm that they wrote it.
    ConfirmationAsked,
    /// A machine wrote it: bounce, out-of-office, list.
    Automatic,
    /// Nothing shows that the stated sender wrote it.
    Unauthenticated,
    /// Nobody is registered under this address.
    UnknownSender,
    /// The sender may not do this.
    NotPermitted,
    /// Larger than we take.
    TooLarge,
    /// Not a mail.
    Malformed,
    /// The same mail came before.
    Duplicate,
    /// Too many mails in too short a time.
    RateLimited,
    /// We could not handle it; the trace says why.
    Failed,
}

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobOutcome {
    /// The site was changed; a preview shows it.
    Changed,
    /// Nothing had to be changed; the summary answers.
    Answered,
    /// The agent needs to know something first.
    Question,
    /// The owner stopped it.
    Stopped,
    /// Newer work of the same owner took its place; it runs again.
    Interrupted,
    /// The agreed money, turns or minutes were used up.
    BudgetExhausted,
    /// The changed site did not build.
    BuildFailed,
    /// The site was built but could not be put up.
    PublishFailed,
    /// Somebody else changed the same lines meanwhile.
    PushConflict,
    /// The work may not be done as ordered (unknown project, repository not allowed).
    Refused,
    /// The agent failed.
    AgentFailed,
    /// Something of ours failed.
    Failed,
}

/// Whether the same work should be tried once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Trying again gives the same.
    Never,
    /// The cause may pass; up to the third attempt.
    Again,
}

impl JobOutcome {
    /// Whether the owner got what they asked for.
    pub fn is_success(self) -> bool {
        matches!(self, Self::Changed | Self::Answered | Self::Question)
    }

    /// The retry rule.
    pub fn retry(self) -> Retry {
        match self {
            Self::PublishFailed | Self::AgentFailed | Self::Failed => Retry::Again,
            Self::Changed
            | Self::Answered
            | Self::Question
            | Self::Stopped
            | Self::Interrupted
            | Self::BudgetExhausted
            | Self::BuildFailed
            | Self::PushConflict
            | Self::Refused => Retry::Never,
        }
    }

    /// The word on the wire, for logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Answered => "answered",
            Self::Question => "question",
            Self::Stopped => "stopped",
            Self::Interrupted => "interrupted",
            Self::BudgetExhausted => "budget-exhausted",
            Self::BuildFailed => "build-failed",
            Self::PublishFailed => "publish-failed",
            Self::PushConflict => "push-conflict",
            Self::Refused => "refused",
            Self::AgentFailed => "agent-failed",
            Self::Failed => "failed",
        }
    }
}

impl std::fmt::Display for JobOutcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl MailEnding {
    /// The word on the wire, for logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Routed => "routed",
            Self::CommandDone => "command-done",
            Self::QuestionAsked => "question-asked",
            Self::ConfirmationAsked => "confirmation-asked",
            Self::Automatic => "automatic",
            Self::Unauthenticated => "unauthenticated",
            Self::UnknownSender => "unknown-sender",
            Self::NotPermitted => "not-permitted",
            Self::TooLarge => "too-large",
            Self::Malformed => "malformed",
            Self::Duplicate => "duplicate",
            Self::RateLimited => "rate-limited",
            Self::Failed => "failed",
        }
    }
}

impl std::fmt::Display for MailEnding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_is_the_wire_form() {
        for outcome in [JobOutcome::BudgetExhausted, JobOutcome::Changed, JobOutcome::PushConflict] {
            assert_eq!(serde_json::to_value(outcome).unwrap(), outcome.as_str());
        }
        for ending in [MailEnding::Routed, MailEnding::TooLarge, MailEnding::UnknownSender] {
            assert_eq!(serde_json::to_value(ending).unwrap(), ending.as_str());
        }
    }
}
