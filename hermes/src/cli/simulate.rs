//! `hermes simulate`

use std::path::{Path, PathBuf};

use clap::Args;

use super::{CliError, Output, Result, plain, read_file};
use crate::config::{KeySettings, MailFrom, Settings};
use crate::mail::Desk;
use crate::mail::trace::{Stage, TraceLine};
use crate::secrets::SecretKey;
use crate::simulate::{Conversations, Simulation, Understood, understand};

/// So many mails are in memory at a time.
const AT_A_TIME: usize = 64;
/// What a simulation takes from a data directory, and what not.
const WITH_DATA: &str = "assumed: one site with one owner, and no conversations but those of this call and those named by \
     our own addresses and ids (told by the key of the data directory; its tables are not read, POST /v1/mails/simulate does)";
const WITHOUT_DATA: &str = "assumed: one site with one owner, and no conversations but those of this call; there is no data \
     directory, so none of our own reply addresses and ids can be told";

/// Which mails to simulate.
///
/// Says what would become of each mail, and by which rules, as if its sender were known and genuine. Nothing is written and
/// no data directory is needed; the mails of one call may answer each other. What is assumed stands in the trace; with the
/// senders, sites and conversations of a running hermes: POST /v1/mails/simulate. With --json: one line a file.
///
/// Example:
///
///   hermes simulate order.eml answer.eml
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct SimulateArguments {
    /// Raw mails (RFC 5322), one a file.
    #[arg(required = true, value_name = "FILE.eml")]
    files: Vec<PathBuf>,
    /// Who answers are from: mails from there are our own.
    #[arg(
        long,
        env = "HERMES_MAIL_FROM",
        default_value = "Hermes <hermes@localhost>",
        value_name = "MAILBOX"
    )]
    mail_from: MailFrom,
    /// How our own mails are recognised.
    #[command(flatten)]
    key: KeySettings,
}

/// Simulates; many files are understood at once, and decided in their order. A file that cannot be read costs no other.
pub(crate) fn run(settings: &Settings, arguments: &SimulateArguments) -> Result<()> {
    let out = Output::new(settings.json);
    let found = match &arguments.key.secret_key {
        Some(key) => Some(key.clone()),
        None => SecretKey::found_in(&settings.cloud.data_dir)?,
    };
    let assumed = if found.is_some() { WITH_DATA } else { WITHOUT_DATA };
    let key = found.unwrap_or_else(SecretKey::fleeting);
    let desk = Desk { own: &arguments.mail_from.address, places: &[], key: &key };
    let mut conversations = Conversations::default();
    let mut failed = 0;
    for files in arguments.files.chunks(AT_A_TIME) {
        for (path, understood) in files.iter().zip(all(files, desk)) {
            let understood = match understood {
                Ok(understood) => understood,
                Err(error) => {
                    failed += 1;
                    tell(&error);
                    continue;
                }
            };
            let mut simulation = conversations.decide(understood);
            simulation.file = Some(path.display().to_string());
            simulation.trace.note(Stage::Route, assumed);
            out.line(&simulation, || describe(path, &simulation))?;
        }
    }
    if failed > 0 {
        return Err(CliError::NotSimulated { failed, all: arguments.files.len() });
    }
    Ok(())
}

#[allow(clippy::print_stderr, reason = "the error of a file is for the person at the terminal")]
fn tell(error: &CliError) {
    eprintln!("hermes: {}", plain(&error.to_string()));
}

/// Reads and understands files on as many threads as there are processors.
fn all(files: &[PathBuf], desk: Desk<'_>) -> Vec<Result<Understood>> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(files.len());
    let share = files.len().div_ceil(threads.max(1)).max(1);
    let one = |path: &PathBuf| Ok(understand(&read_file(path)?, desk));
    std::thread::scope(|scope| {
        let part = |files: &'_ [PathBuf]| files.iter().map(one).collect::<Vec<_>>();
        let running: Vec<_> =
            files.chunks(share).map(|files| (files.len(), scope.spawn(move || part(files)))).collect();
        let broken = |count| (0..count).map(|_| Err(CliError::Simulation)).collect();
        running.into_iter().flat_map(|(count, part)| part.join().unwrap_or_else(|_| broken(count))).collect()
    })
}

fn describe(path: &Path, simulation: &Simulation) -> String {
    let thread = match (&simulation.thread.id, simulation.thread.known) {
        (Some(id), true) => format!("{id} (continued)"),
        (Some(id), false) => format!("{id} (new)"),
        (None, _) => "none".to_owned(),
    };
    let mut lines = vec![
        format!("{}: {}", path.display(), simulation.ending.as_str()),
        format!("from     {}", simulation.from.as_deref().unwrap_or("?")),
        format!("subject  {}", simulation.subject),
        format!("thread   {thread}"),
    ];
    if let Some(command) = simulation.command {
        lines.push(format!("command  {}", command.as_str()));
    }
    for file in &simulation.attachments {
        lines.push(format!("file     {} ({} bytes)", file.name.as_deref().unwrap_or("?"), file.size_bytes));
    }
    lines.push("instruction".to_owned());
    lines.extend(simulation.instruction.lines().map(|line| format!("  | {line}")));
    lines.push("trace".to_owned());
    for TraceLine { stage, note } in simulation.trace.lines() {
        lines.push(format!("  {:12} {note}", format!("{stage:?}").to_lowercase()));
    }
    lines.push(String::new());
    lines.join("\n")
}
