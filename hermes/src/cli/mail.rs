//! `hermes mail` and `hermes mails`.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use clap::{Args, Subcommand};
use common::cloud::Cloud;
use common::domain::ids::MailId;
use common::domain::outcome::MailEnding;

use super::CliError;
use super::print::{Format, brief, text};
use crate::app::App;
use crate::config::MailSettings;
use crate::ingest::record::{MailRecord, Origin};
use crate::ingest;
use crate::operations::{MAX_PAGE, Slice, mails};
use crate::secrets::SecretKey;

/// The port of preview links when none is set (that of `hermes serve`).
const DEFAULT_PORT: u16 = 8025;

/// Mails from files.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hermes mail order.eml --trust all")]
pub struct HandIn {
    /// Mails as RFC 5322 text, one a file.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    settings: MailSettings,
}

/// Mails that came in.
#[derive(Debug, Subcommand)]
pub enum Mails {
    /// The latest mails.
    List {
        /// At most so many.
        #[arg(long, default_value_t = 20, value_name = "N")]
        limit: usize,
    },
    /// One mail and the decisions about it.
    Show {
        /// Its id.
        mail_id: MailId,
    },
}

/// Takes the mails one after the other, on the same path as all others.
pub(super) async fn hand_in(
    files: HandIn,
    cloud: Cloud,
    data_dir: &Path,
    format: Format,
) -> Result<(), CliError> {
    let app = App::new(cloud, &files.settings, SecretKey::kept_in(data_dir)?, DEFAULT_PORT);
    let mut not_routed = 0;
    for path in files.files {
        let failed = |reason| CliError::File { path: path.display().to_string(), reason };
        let raw = std::fs::read(&path).map_err(failed)?;
        let record = ingest::accept(&app, Bytes::from(raw), Origin::CommandLine).await?;
        not_routed += usize::from(record.ending != Some(MailEnding::Routed));
        format.done(&record, &sentence(&path, &record));
    }
    if not_routed == 0 { Ok(()) } else { Err(CliError::NotRouted(not_routed)) }
}

fn sentence(path: &Path, record: &MailRecord) -> String {
    let path = path.display();
    match (record.ending, &record.command_id) {
        (Some(MailEnding::Routed), Some(command)) => {
            format!("{path}: routed; follow it with `hermes jobs show {command}`")
        }
        (ending, _) => {
            let why = record.trace.lines().last().map(|line| line.note.clone()).unwrap_or_default();
            format!("{path}: {}: {why}", text(ending.as_ref()))
        }
    }
}

pub(super) async fn run(command: Mails, cloud: &Cloud, format: Format) -> Result<(), CliError> {
    match command {
        Mails::List { limit } => {
            let listed = mails::list(cloud, None, Slice::first(limit.min(MAX_PAGE))).await?;
            let columns = ["received", "mail", "from", "subject", "ending", "outcome"];
            format.list(&listed.items, &columns, row, "no mail yet; `hermes mail FILE.eml` hands one in");
        }
        Mails::Show { mail_id } => {
            let mail = mails::get(cloud, &mail_id).await?;
            format.one(&mail, &fields(&mail));
        }
    }
    Ok(())
}

fn row(mail: &MailRecord) -> Vec<String> {
    vec![
        mail.received_at.to_string(),
        mail.mail_id.to_string(),
        text(mail.sender.as_ref()),
        brief(&mail.subject),
        text(mail.ending.as_ref()),
        text(mail.outcome.as_ref()),
    ]
}

fn fields(mail: &MailRecord) -> Vec<(&'static str, String)> {
    let trace = mail.trace.lines().iter().map(|line| line.note.as_str()).collect::<Vec<_>>().join("\n");
    vec![
        ("mail", mail.mail_id.to_string()),
        ("received", mail.received_at.to_string()),
        ("from", text(mail.sender.as_ref())),
        ("subject", mail.subject.clone()),
        ("ending", text(mail.ending.as_ref())),
        ("job", text(mail.command_id.as_ref())),
        ("conversation", text(mail.thread_id.as_ref())),
        ("outcome", text(mail.outcome.as_ref())),
        ("answer", text(mail.reply_message_id.as_ref())),
        ("why", trace),
    ]
}
