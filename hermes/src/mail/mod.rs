//! From bytes to what a mail asks for: pure, in stages, each of which leaves a line in the decision trace. Nothing here
//! reads a clock, a table or a socket; facts about the outside come in as values.

pub mod attachment;
mod header;
pub mod instruction;
pub mod language;
pub mod parse;
pub mod screen;
pub mod sender;
pub mod thread;
pub mod trace;

use common::domain::ids::EmailAddress;
use common::domain::outcome::MailEnding;

pub use parse::{MAX_RAW_BYTES, ParsedMail, Unreadable, read};
use sender::Authenticity;
use trace::{Stage, Trace};

/// What a mail asks for, by whom, about which conversation. Nobody has checked yet whether they may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailRequest {
    /// Who wrote it.
    pub from: EmailAddress,
    /// To whom (also copied).
    pub recipients: Vec<EmailAddress>,
    /// One line; may be empty.
    pub subject: String,
    /// The mails it answers, strongest first.
    pub related: Vec<String>,
    /// The new words; empty when there are none.
    pub instruction: String,
    /// What it quotes: background, never an instruction.
    pub quoted: Option<String>,
}

/// Takes a parsed mail through screen, sender, thread, instruction and attachments. `own` is the address we answer from.
pub fn understand(
    mail: &ParsedMail,
    own: &EmailAddress,
    authenticity: Authenticity,
    trace: &mut Trace,
) -> Result<MailRequest, MailEnding> {
    screen::screen(mail, own, trace)?;
    let from = sender::sender(mail, authenticity, trace)?;
    let related = thread::related(mail, trace);
    let words = instruction::instruction(mail, trace);
    attachment::note(mail, trace);
    Ok(MailRequest {
        from,
        recipients: mail.recipients.clone(),
        subject: mail.subject.clone(),
        related,
        instruction: words.new,
        quoted: words.quoted,
    })
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
