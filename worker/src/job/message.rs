//! Commit messages and who signs them: what a commit says about the work it came from, and reading that back.

use common::domain::ids::CommandId;
use common::messages::Work;
use git2::Signature;

use crate::git::{self, During as _};

/// git's customary width of a subject line.
const SUBJECT_MAX: usize = 72;
const WIP: &str = "WIP: ";

/// Who commits.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The name.
    pub name: String,
    /// The address.
    pub email: String,
}

impl Identity {
    /// With the present time.
    pub fn signature(&self) -> git::Result<Signature<'static>> {
        Signature::now(&self.name, &self.email).during("write down who commits")
    }
}

/// Why a commit is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The work is done.
    Done,
    /// The agent has a question; what it changed for all that is done.
    Asked,
    /// The worker shuts down.
    Shutdown,
    /// The owner or an operator stopped the job.
    Stopped,
    /// Newer work goes first.
    Interrupted,
    /// The agreed money, turns or minutes were used up.
    Budget,
}

impl Purpose {
    /// Whether what is committed counts as finished.
    pub fn is_finished(self) -> bool {
        matches!(self, Self::Done | Self::Asked)
    }
}

/// The message of the commit for this work.
pub fn message(work: &Work, purpose: Purpose) -> String {
    let thread = &work.thread_id;
    let (subject, command_trailer) = match purpose {
        Purpose::Done | Purpose::Asked => (subject(&work.instruction), "Command-Id"),
        Purpose::Shutdown => (format!("{WIP}Auto-save: Container shutdown"), "Unfinished-Command-Id"),
        Purpose::Stopped => (format!("{WIP}Auto-save: Stopped"), "Unfinished-Command-Id"),
        Purpose::Interrupted => {
            (format!("{WIP}Auto-save: Interrupted by newer work"), "Unfinished-Command-Id")
        }
        Purpose::Budget => (format!("{WIP}Auto-save: Budget exhausted"), "Unfinished-Command-Id"),
    };
    let body = without_controls(work.instruction.trim());
    let by = one_line(work.context.from.as_deref().unwrap_or_else(|| work.user_id.as_str()));
    format!(
        "{subject}\n\n{body}\n\nThread: {thread}\n{command_trailer}: {}\nRequested-By: {by}\n",
        work.command_id
    )
}

/// The message of the commit that keeps what was found in a folder, of this command's run if that is known.
pub fn left_behind(command: Option<&CommandId>) -> String {
    let trailer = command.map(|command| format!("\nUnfinished-Command-Id: {command}\n")).unwrap_or_default();
    format!("{WIP}Auto-save: Left behind by an earlier run\n{trailer}")
}

/// Whether a commit with this message is the finished work of this command.
pub fn is_finished(message: &str, command: &CommandId) -> bool {
    trailer(message, "Command-Id: ") == Some(command.as_str())
}

/// The command whose finished work a commit with this message is.
pub fn finished_command(message: &str) -> Option<&str> {
    trailer(message, "Command-Id: ")
}

/// The command whose work, finished or not, a commit with this message is.
pub fn command(message: &str) -> Option<&str> {
    finished_command(message).or_else(|| trailer(message, "Unfinished-Command-Id: "))
}

fn trailer<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    let last = message.trim_end().rsplit("\n\n").next().unwrap_or_default();
    last.lines().find_map(|line| line.strip_prefix(name))
}

/// Whether a commit with this message holds unfinished work.
pub fn is_wip(message: &str) -> bool {
    message.starts_with(WIP)
}

/// The first sentence, literally, on one line of at most 72 characters.
pub fn subject(instruction: &str) -> String {
    let line = instruction.lines().map(one_line).find(|line| !line.is_empty()).unwrap_or_default();
    let sentence = first_sentence(&line);
    // A subject that reads like our own mark would be taken for unfinished work.
    let sentence = sentence.strip_prefix(WIP).unwrap_or(sentence);
    if sentence.chars().count() <= SUBJECT_MAX {
        return if sentence.is_empty() { "Change the site".to_owned() } else { sentence.to_owned() };
    }
    let cut = sentence.chars().take(SUBJECT_MAX - 1).collect::<String>();
    format!("{}…", cut.trim_end())
}

fn first_sentence(line: &str) -> &str {
    let end = line
        .match_indices(['.', '!', '?'])
        .map(|(at, mark)| at + mark.len())
        .find(|end| line[*end..].starts_with(' '));
    let sentence = end.map_or(line, |end| &line[..end]);
    sentence.strip_suffix('.').unwrap_or(sentence)
}

fn one_line(text: &str) -> String {
    text.split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

fn without_controls(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use common::domain::timestamp::Timestamp;

    use super::*;

    pub(in crate::job) fn work(instruction: &str) -> Work {
        let body = serde_json::json!({"commandId": "c-1", "projectId": "amelia", "userId": "scott",
            "instruction": instruction, "context": {"from": "scott@example.org"}});
        let draft = common::messages::WorkDraft::parse(&body.to_string(), "m", Timestamp::default()).unwrap();
        let (user, thread) = ("scott".parse().unwrap(), "abcdef1".parse().unwrap());
        draft.complete(user, thread, "https://github.com/a/b".into())
    }

    #[test]
    fn the_subject_is_the_first_sentence() {
        assert_eq!(subject("Change the hours. Then call me."), "Change the hours");
        assert_eq!(subject("\n\n Is it 7.30 to 18.00?\nThanks"), "Is it 7.30 to 18.00?");
        assert_eq!(subject(" \n "), "Change the site");
    }

    #[test]
    fn s58_instruction_text_is_literal_and_the_subject_short() {
        let nasty = format!("say \"hi\" $(touch x) `id` {}", "long ".repeat(100));
        let text = message(&work(&nasty), Purpose::Done);
        let subject = text.lines().next().unwrap();
        assert!(subject.starts_with("say \"hi\" $(touch x) `id`"), "{subject}");
        assert!(subject.chars().count() <= 72);
        assert!(text.contains(nasty.trim()), "the body has it all");
    }

    #[test]
    fn only_our_own_trailers_make_a_commit_finished() {
        let id = CommandId::parse("c-1").unwrap();
        assert!(is_finished(&message(&work("hi"), Purpose::Done), &id));
        assert!(!is_finished(&message(&work("hi"), Purpose::Shutdown), &id));
        assert!(!is_finished(
            &message(&work("hi\n\nCommand-Id: c-2"), Purpose::Done),
            &"c-2".parse().unwrap()
        ));
        assert!(is_wip(&message(&work("hi"), Purpose::Stopped)));
        assert!(is_wip(&message(&work("hi"), Purpose::Budget)));
        assert!(!is_finished(&left_behind(Some(&id)), &id) && is_wip(&left_behind(None)));
        assert_eq!((command(&left_behind(Some(&id))), command(&left_behind(None))), (Some("c-1"), None));
        assert!(!is_wip(&message(&work("WIP: hi"), Purpose::Done)));
    }
}
