//! `hermes mail` and `hermes mails`

use std::path::PathBuf;

use clap::{Args, Subcommand};
use common::cloud::Cloud;
use common::config::CloudSettings;
use common::domain::ids::MailId;
use common::domain::outcome::MailEnding;

use super::{CliError, Output, Result, read_file, word};
use crate::app::App;
use crate::config::MailSettings;
use crate::ingest::record::{MailRecord, Origin};
use crate::ingest::{Accepted, Arrival, Delivery};
use crate::operations::{Slice, mails};
use crate::{ingest, mail};

/// Which mails to take.
///
/// Example:
///
///   hermes mail order.eml --trust all
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct MailArguments {
    /// Raw mails (RFC 5322), one a file.
    #[arg(required = true, value_name = "FILE.eml")]
    files: Vec<PathBuf>,
    /// How mail is taken and answered.
    #[command(flatten)]
    settings: MailSettings,
}

/// What to show of mails.
#[derive(Debug, Subcommand)]
pub enum MailsCommand {
    /// Mails, newest first.
    List {
        /// Only with this ending, for example routed or unknown-sender.
        #[arg(long, value_parser = word::<MailEnding>)]
        ending: Option<MailEnding>,
        /// At most so many.
        #[arg(long, default_value_t = 50)]
        limit: usize,
        /// Where the list before ended, as its last line says.
        #[arg(long)]
        cursor: Option<String>,
    },
    /// One mail with its decision trace.
    Show {
        /// The mail's id.
        mail: MailId,
    },
}

/// Takes mails from files.
pub(super) async fn take(
    cloud: Cloud,
    place: &CloudSettings,
    arguments: &MailArguments,
    out: &Output,
) -> Result<()> {
    let secret = arguments.settings.key.key(&place.data_dir)?;
    let app = App::new(cloud, &arguments.settings, secret, 8025);
    let mut refused = 0;
    for path in &arguments.files {
        let taken = ingest::accept(&app, Arrival::bare(read_file(path)?, Origin::CommandLine)).await?;
        out.say(&taken.record, || format!("{}: {}", path.display(), what_now(&taken)))?;
        let done = matches!(taken.record.ending, Some(MailEnding::Routed | MailEnding::CommandDone));
        refused += usize::from(!done);
    }
    if refused > 0 {
        return Err(CliError::NotRouted { refused, all: arguments.files.len() });
    }
    Ok(())
}

/// The ending, and what happens next or what to do.
fn what_now(taken: &Accepted) -> String {
    let record = &taken.record;
    if taken.delivery == Delivery::Again {
        return came_before(record);
    }
    let why = record.trace.lines().last().map_or("", |line| line.note.as_str());
    let ending = record.ending.map_or("open", MailEnding::as_str);
    match (&record.command_id, &record.thread_id) {
        (Some(command), Some(thread)) => format!(
            "{ending} as command {command} on thread {thread}\nnext: a worker takes it up; follow it with `hermes jobs show {command}`"
        ),
        _ => format!("{ending}: {why}\nmore: hermes mails show {}", record.mail_id),
    }
}

fn came_before(record: &MailRecord) -> String {
    let ending = record.ending.map_or("open", MailEnding::as_str);
    let more = match &record.command_id {
        Some(command) => format!("hermes jobs show {command}"),
        None => format!("hermes mails show {}", record.mail_id),
    };
    let next = match (record.ending, &record.message_id) {
        (Some(MailEnding::Unauthenticated), _) => {
            "with HERMES_TRUST=all its author is taken at their word, and it is worked on"
        }
        (_, Some(_)) => "change its Message-ID to hand it in as a new mail",
        (_, None) => "give it a Message-ID to hand it in as a new mail",
    };
    format!("came before on {}; its ending stands ({ending}): `{more}`\nnext: {next}", record.received_at)
}

/// Shows mails.
pub(super) async fn run(cloud: &Cloud, command: &MailsCommand, out: &Output) -> Result<()> {
    match command {
        MailsCommand::List { ending, limit, cursor } => {
            let slice = Slice::new(Some(*limit), cursor.clone());
            let listed = mails::list(cloud, *ending, slice).await?;
            let rows = || listed.items.iter().map(row).collect();
            out.list(&listed, &["received", "mail", "ending", "from", "outcome", "subject"], rows)?;
            Ok(out.more(listed.next.as_deref(), "hermes mails list")?)
        }
        MailsCommand::Show { mail } => {
            let record = mails::get(cloud, mail).await?;
            Ok(out.say(&record, || describe(&record))?)
        }
    }
}

fn row(record: &MailRecord) -> Vec<String> {
    vec![
        record.received_at.to_string(),
        record.mail_id.to_string(),
        record.ending.map_or("open", MailEnding::as_str).to_owned(),
        record.sender.as_ref().map_or_else(|| "?".to_owned(), ToString::to_string),
        record.outcome.map_or_else(String::new, |outcome| outcome.to_string()),
        record.subject.clone(),
    ]
}

fn describe(record: &MailRecord) -> String {
    let from = record.sender.as_ref().map_or_else(|| "?".to_owned(), ToString::to_string);
    let mut lines = vec![
        format!("mail {} of {}", record.mail_id, record.received_at),
        format!("from     {from}"),
        format!("subject  {}", record.subject),
        format!("ending   {}", record.ending.map_or("open", MailEnding::as_str)),
    ];
    let more = [
        ("command", record.command_id.as_ref().map(ToString::to_string)),
        ("thread", record.thread_id.as_ref().map(ToString::to_string)),
        ("outcome", record.outcome.map(|outcome| outcome.to_string())),
        ("answer", record.reply_message_id.clone()),
    ];
    for (name, value) in more.into_iter().filter_map(|(name, value)| Some((name, value?))) {
        lines.push(format!("{name:8} {value}"));
    }
    lines.extend(record.unreached.as_ref().map(|why| format!("owner not reached: our mail {why}")));
    lines.push("trace".to_owned());
    for mail::trace::TraceLine { stage, note } in record.trace.lines() {
        lines.push(format!("  {:12} {note}", format!("{stage:?}").to_lowercase()));
    }
    lines.join("\n")
}
