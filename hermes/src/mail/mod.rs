//! From bytes to what a mail asks for: pure, in stages, each of which leaves a line in the decision trace. Nothing here
//! reads a clock, a table or a socket; facts about the outside come in as values.

pub mod attachment;
pub mod body;
mod charset;
pub mod command;
pub mod dkim;
mod flowed;
mod guard;
mod header;
mod hidden;
mod html;
pub mod instruction;
pub mod language;
mod meant;
pub mod parse;
pub mod recipient;
pub mod screen;
mod sealed;
pub mod sender;
mod shape;
mod structure;
pub mod subject;
pub mod thread;
mod tnef;
pub mod trace;
pub mod verdict;
mod words;

use common::domain::ids::EmailAddress;
use common::domain::outcome::MailEnding;
use common::domain::timestamp::Timestamp;

use crate::secrets::SecretKey;
pub use command::MailCommand;
pub use parse::{MAX_RAW_BYTES, ParsedMail, Unreadable, read};
use recipient::Place;
use sender::Assurance;
use thread::ThreadSignal;
use trace::{Stage, Trace};
use verdict::Evidence;

/// What a mail asks for, by whom, about which conversation. Nobody has checked yet whether they may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailRequest {
    /// Who wrote it.
    pub from: EmailAddress,
    /// How sure that is.
    pub assurance: Assurance,
    /// By which addresses it reached us.
    pub recipients: Vec<EmailAddress>,
    /// One line; may be empty.
    pub subject: String,
    /// Which conversation it belongs to, strongest first.
    pub signals: Vec<ThreadSignal>,
    /// Ids under which later mails may refer to the same conversation.
    pub landmarks: Vec<String>,
    /// The new words; empty when there are none.
    pub instruction: String,
    /// What these say when they are one word of command.
    pub command: Option<MailCommand>,
    /// What it quotes: background, never an instruction.
    pub quoted: Option<String>,
}

/// What we are known by.
#[derive(Debug, Clone, Copy)]
pub struct Desk<'a> {
    /// The address we answer from; mail to its domain, and below it, reaches us.
    pub own: &'a EmailAddress,
    /// Where else mail reaches us.
    pub places: &'a [Place],
    /// What our Message-IDs and reply addresses are made with.
    pub key: &'a SecretKey,
}

/// Takes a parsed mail that came then through screen, sender, thread, instruction, command and attachments.
pub fn understand(
    mail: &ParsedMail,
    desk: Desk<'_>,
    evidence: &Evidence,
    at: Timestamp,
    trace: &mut Trace,
) -> Result<MailRequest, MailEnding> {
    screen::screen(mail, desk, trace)?;
    let (from, assured) = sender::sender(mail, evidence, trace)?;
    let assurance = match evidence {
        Evidence::Checked(found) => meant::assurance(mail, (&from, assured), found, desk, at, trace),
        Evidence::Vouched | Evidence::Confirmed(_) | Evidence::Nothing(_) | Evidence::Unheard(_) => assured,
    };
    let signals = signals(mail, desk, trace);
    let words = instruction::instruction(mail, trace);
    let command = command::command(mail, &words);
    if let Some(command) = command {
        trace.note(Stage::Instruction, format!("it is the command {}", command.as_str()));
    }
    attachment::note(mail, trace);
    Ok(MailRequest {
        from,
        assurance,
        recipients: recipient::ours(mail, desk),
        subject: mail.subject.clone(),
        signals,
        landmarks: thread::landmarks(mail),
        command,
        quoted: words.background(),
        instruction: words.new,
    })
}

/// What tells to which conversation a mail belongs, strongest first.
pub fn signals(mail: &ParsedMail, desk: Desk<'_>, trace: &mut Trace) -> Vec<ThreadSignal> {
    thread::signals(mail, &recipient::ours(mail, desk), desk.key, trace)
}

/// How a mail that cannot be read ends.
pub fn ending_of(unreadable: &Unreadable) -> MailEnding {
    match unreadable {
        Unreadable::TooLarge(_) => MailEnding::TooLarge,
        Unreadable::NotAMail(_) => MailEnding::Malformed,
    }
}

/// Leaves the line of the first stage.
pub fn trace_parsed(mail: &ParsedMail, trace: &mut Trace) {
    trace.note(
        Stage::Parse,
        format!(
            "a mail with {} header fields and {} attachments",
            mail.headers.len(),
            mail.attachments.len()
        ),
    );
}
