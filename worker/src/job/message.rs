//! Commit messages and who signs them: what a commit says about the work it came from, and reading that back.

use common::domain::ids::CommandId;
use common::messages::Work;
use git2::Signature;

use crate::git::{self, During as _};
use crate::leaks;
use crate::secrets::Secrets;

/// git's customary width of a subject line.
const SUBJECT_MAX: usize = 72;
const WIP: &str = "WIP: ";
const COMMAND: &str = "Command-Id";
const UNFINISHED: &str = "Unfinished-Command-Id";
const SHUTDOWN: &str = "WIP: Auto-save: Container shutdown";
const STOPPED: &str = "WIP: Auto-save: Stopped";
const INTERRUPTED: &str = "WIP: Auto-save: Interrupted by newer work";
const BUDGET: &str = "WIP: Auto-save: Budget exhausted";
const LEFT_BEHIND: &str = "WIP: Auto-save: Left behind by an earlier run";
/// The subjects of all commits of unfinished work that we ever made.
const AUTO_SAVES: [&str; 5] = [SHUTDOWN, STOPPED, INTERRUPTED, BUDGET, LEFT_BEHIND];

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

/// The message of the commit for this work, without secrets: it is pushed.
pub fn message(work: &Work, purpose: Purpose, secrets: &Secrets) -> String {
    // A secret that is cut, as a subject is, is not known again.
    let body = redacted(&without_controls(work.instruction.trim()), secrets);
    let thread = &work.thread_id;
    let subject = match purpose {
        Purpose::Done | Purpose::Asked => subject(&body),
        Purpose::Shutdown => SHUTDOWN.to_owned(),
        Purpose::Stopped => STOPPED.to_owned(),
        Purpose::Interrupted => INTERRUPTED.to_owned(),
        Purpose::Budget => BUDGET.to_owned(),
    };
    let command_trailer = if purpose.is_finished() { COMMAND } else { UNFINISHED };
    let by = work.context.from.as_deref().unwrap_or_else(|| work.user_id.as_str());
    let by = redacted(&one_line(by), secrets);
    format!(
        "{subject}\n\n{body}\n\nThread: {thread}\n{command_trailer}: {}\nRequested-By: {by}\n",
        work.command_id
    )
}

/// The message of the commit that keeps what was found in a folder, of this command's run if that is known.
pub fn left_behind(command: Option<&CommandId>) -> String {
    let trailer = command.map(|command| format!("\n{UNFINISHED}: {command}\n")).unwrap_or_default();
    format!("{LEFT_BEHIND}\n{trailer}")
}

/// Whether a commit with this message is the finished work of this command.
pub fn is_finished(message: &str, command: &CommandId) -> bool {
    finished_command(message) == Some(command.as_str())
}

/// The command whose finished work a commit with this message is.
pub fn finished_command(message: &str) -> Option<&str> {
    trailer(message, COMMAND)
}

/// The command whose work, finished or not, a commit with this message is.
pub fn command(message: &str) -> Option<&str> {
    finished_command(message).or_else(|| trailer(message, UNFINISHED))
}

fn trailer<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    let last = message.trim_end().rsplit("\n\n").next().unwrap_or_default();
    last.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// Whether a commit with this message holds unfinished work of ours: it says so in our words, and whose work it is. What
/// others call "WIP: ..." is theirs, and as they want it.
pub fn is_wip(message: &str) -> bool {
    let subject = message.lines().next().unwrap_or_default();
    // Of what an earlier run left it is not always known whose it is.
    let is_signed = trailer(message, UNFINISHED).is_some() || message.trim_end() == LEFT_BEHIND;
    is_signed && AUTO_SAVES.contains(&subject)
}

/// The first sentence, literally, on one line of at most 72 characters.
pub fn subject(instruction: &str) -> String {
    let line = instruction.lines().map(one_line).find(|line| !line.is_empty()).unwrap_or_default();
    let sentence = first_sentence(&line);
    // Whoever reads the history takes our own mark for unfinished work.
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

fn redacted(text: &str, secrets: &Secrets) -> String {
    leaks::redact(&secrets.redact(text))
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

    fn said(work: &Work, purpose: Purpose) -> String {
        message(work, purpose, &Secrets::default())
    }

    #[test]
    fn what_is_pushed_as_a_message_holds_no_secret() {
        let (token, ours) = (format!("ghp_{}", "aB3dE5gH7j".repeat(4)), "our-very-own-token");
        let secrets = Secrets::of([Some(ours.parse().unwrap())]);
        let broken = format!("{}\u{0}{}", &token[..9], &token[9..40]);
        let long = "w".repeat(SUBJECT_MAX - 20);
        for text in [format!("the key is {token}, {ours}"), format!("{long} {token} {ours}"), broken] {
            for purpose in [Purpose::Done, Purpose::Shutdown] {
                let mut work = work(&text);
                work.context.from = Some(format!("{ours}@example.org"));
                let said = message(&work, purpose, &secrets);
                assert!(!said.contains("ghp_") && !said.contains("our-very"), "{said}");
                assert!(said.contains("[redacted]") && command(&said) == Some("c-1"), "{said}");
            }
        }
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
        let text = said(&work(&nasty), Purpose::Done);
        let subject = text.lines().next().unwrap();
        assert!(subject.starts_with("say \"hi\" $(touch x) `id`"), "{subject}");
        assert!(subject.chars().count() <= 72);
        assert!(text.contains(nasty.trim()), "the body has it all");
    }

    #[test]
    fn only_our_own_trailers_make_a_commit_finished() {
        let id = CommandId::parse("c-1").unwrap();
        assert!(is_finished(&said(&work("hi"), Purpose::Done), &id));
        assert!(!is_finished(&said(&work("hi"), Purpose::Shutdown), &id));
        assert!(!is_finished(&said(&work("hi\n\nCommand-Id: c-2"), Purpose::Done), &"c-2".parse().unwrap()));
        assert!(is_wip(&said(&work("hi"), Purpose::Stopped)));
        assert!(is_wip(&said(&work("hi"), Purpose::Budget)));
        assert!(!is_finished(&left_behind(Some(&id)), &id) && is_wip(&left_behind(None)));
        assert_eq!((command(&left_behind(Some(&id))), command(&left_behind(None))), (Some("c-1"), None));
        assert!(!is_wip(&said(&work("WIP: hi"), Purpose::Done)));
    }

    #[test]
    fn only_what_we_saved_ourselves_is_unfinished_work() {
        use Purpose::{Asked, Budget, Done, Interrupted, Shutdown, Stopped};
        for purpose in [Shutdown, Stopped, Interrupted, Budget] {
            assert!(is_wip(&said(&work("hi"), purpose)), "{purpose:?}");
        }
        let text = format!("{STOPPED}\n\nUnfinished-Command-Id: c-2");
        assert!([Done, Asked].iter().all(|purpose| !is_wip(&said(&work(&text), *purpose))));
        let somebody = "x\n\nUnfinished-Command-Id: c-2";
        for theirs in ["WIP: redesign\n", STOPPED, &format!("{STOPPED}: {somebody}"), somebody, ""] {
            assert!(!is_wip(theirs), "{theirs:?}");
        }
        assert!(!is_wip(&format!("WIP: redesign\n\n{}", left_behind(Some(&"c-2".parse().unwrap())))));
    }
}
