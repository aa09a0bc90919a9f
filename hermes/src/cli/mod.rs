//! The way of people to hermes: each command calls [`crate::operations`] or [`crate::ingest`] on the data directory and
//! prints what came of it, as a table or sentence, or as JSON.

mod jobs;
mod mails;
mod output;
mod projects;
mod provision;
mod queues;
mod senders;
mod sessions;
pub(crate) mod simulate;
mod suppressions;
mod workers;

use std::path::PathBuf;

use clap::Subcommand;
use common::clock::Clock;
use common::cloud::{Cloud, CloudError};
use common::config::CloudKind;
use serde::de::DeserializeOwned;

use crate::config::{ServeSettings, Settings};
use crate::operations::OperationError;
use crate::secrets::SecretError;
pub use output::{Output, plain};

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Take mail, order work, send answers, serve the API and the sites.
    Serve(ServeSettings),
    /// Sites with their repository and build.
    #[command(subcommand)]
    Projects(projects::ProjectCommand),
    /// Who may write about which site.
    #[command(subcommand)]
    Senders(senders::SenderCommand),
    /// Take mails from files, as if they had come in, and say what became of them.
    Mail(mails::MailArguments),
    /// Say what would become of mails in files, and by which rules; nothing is written.
    Simulate(simulate::SimulateArguments),
    /// Inbound mails and what became of them.
    #[command(subcommand)]
    Mails(mails::MailsCommand),
    /// Addresses that are not written to, since mail to them came back.
    #[command(subcommand)]
    Suppressions(suppressions::SuppressionCommand),
    /// Runs of work.
    #[command(subcommand)]
    Jobs(jobs::JobCommand),
    /// Workers and what they do; `workers drain` lets one end.
    Workers(workers::WorkerArguments),
    /// Conversations, and on which worker they go on; `sessions remove` removes one and its preview.
    Sessions(sessions::SessionArguments),
    /// Who works for whom at present; `claims release` lets a claim be given back.
    Claims(workers::ClaimArguments),
    /// How full the queues are; `queues dead` shows what was put aside, `queues requeue` lets it be tried again, `queues
    /// discard` removes it, `queues send` puts a message on one.
    Queues(queues::QueueArguments),
    /// Make the queues, tables and buckets that HERMES_CLOUD=aws needs; run it once, and after every update.
    Provision(provision::ProvisionArguments),
    /// Ask every door whether it opens, and say what to do where one does not.
    Doctor(provision::DoctorArguments),
    /// Print the OpenAPI document.
    Openapi,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// An operation was not carried out.
    #[error(transparent)]
    Operation(#[from] OperationError),
    /// A door did not do its part.
    #[error(transparent)]
    Cloud(#[from] CloudError),
    /// A secret could not be read or made.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// A file could not be read.
    #[error("{path}: {reason}")]
    File {
        /// Which.
        path: String,
        /// Why.
        reason: std::io::Error,
    },
    /// There is nothing to show yet.
    #[error("there is no data directory at {0}; `hermes serve` or `hermes projects add` makes one")]
    NoData(String),
    /// A thread of a simulation ended by itself.
    #[error("a simulation broke off; please report the mail it was about")]
    Simulation,
    /// Some files could not be simulated.
    #[error("{failed} of {all} files could not be simulated")]
    NotSimulated {
        /// How many could not.
        failed: usize,
        /// How many there were.
        all: usize,
    },
    /// Some mails did not become work.
    #[error("{refused} of {all} did not become work")]
    NotRouted {
        /// How many did not.
        refused: usize,
        /// How many there were.
        all: usize,
    },
    /// Something is missing.
    #[error("{due} of {all} are missing or not as they should be; `hermes provision` makes them")]
    NotProvisioned {
        /// How many.
        due: usize,
        /// Of how many.
        all: usize,
    },
    /// Something stands in the way of working.
    #[error("{0} of the checks failed")]
    Ill(usize),
    /// A project is not ready.
    #[error("project {project} is not ready: {open} of the checks are not ok")]
    NotReady {
        /// Which.
        project: String,
        /// How many checks failed or are not known yet.
        open: usize,
    },
    /// The answer could not be written.
    #[error("the answer cannot be written to standard output")]
    Output(#[from] std::io::Error),
}

/// The result of a command.
pub type Result<T> = std::result::Result<T, CliError>;

/// Carries out a command on the data directory.
pub async fn run(settings: &Settings) -> Result<()> {
    let out = Output::new(settings.json);
    let data_dir = &settings.cloud.data_dir;
    if let Command::Provision(arguments) = &settings.command {
        return provision::run(&settings.cloud, arguments, &out).await;
    }
    let makes_one = matches!(settings.command, Command::Projects(projects::ProjectCommand::Add(_)));
    let is_here = settings.cloud.cloud == CloudKind::Local;
    if is_here && !makes_one && !data_dir.exists() {
        return Err(CliError::NoData(data_dir.display().to_string()));
    }
    let cloud = Cloud::from_config(&settings.cloud, Clock::System).await?;
    match &settings.command {
        // These need no cloud of this kind and are carried out elsewhere.
        Command::Serve(_) | Command::Openapi | Command::Provision(_) | Command::Simulate(_) => Ok(()),
        Command::Doctor(arguments) => provision::doctor(&settings.cloud, arguments, &cloud, &out).await,
        Command::Projects(command) => projects::run(&cloud, &settings.repos.rules(), command, &out).await,
        Command::Senders(command) => senders::run(&cloud, command, &out).await,
        Command::Mail(arguments) => mails::take(cloud, &settings.cloud, arguments, &out).await,
        Command::Mails(command) => mails::run(&cloud, command, &out).await,
        Command::Suppressions(command) => suppressions::run(&cloud, command, &out).await,
        Command::Jobs(command) => jobs::run(&cloud, command, &out).await,
        Command::Workers(arguments) => workers::run(&cloud, arguments, &out).await,
        Command::Sessions(arguments) => sessions::run(&cloud, arguments, &out).await,
        Command::Claims(arguments) => workers::claims(&cloud, arguments, &out).await,
        Command::Queues(arguments) => queues::run(&cloud, arguments, &out).await,
    }
}

/// Reads a word of a closed list, such as `owner` or `build-failed`.
fn word<T: DeserializeOwned>(text: &str) -> std::result::Result<T, String> {
    serde_json::from_value(serde_json::Value::String(text.to_owned())).map_err(|error| error.to_string())
}

fn read_file(path: &PathBuf) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|reason| CliError::File { path: path.display().to_string(), reason })
}
