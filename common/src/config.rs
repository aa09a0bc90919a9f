//! Settings that both programs share, parsed once by clap from flags and environment. `--help` is the reference.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::domain::names::Prefix;

/// Which cloud, and where.
#[derive(Debug, Clone, Args)]
pub struct CloudSettings {
    /// Directory with the database, objects, sites and outgoing mail; shared by hermes and its workers.
    #[arg(long, env = "HERMES_DATA_DIR", default_value = ".hermes", value_name = "DIR", global = true)]
    pub data_dir: PathBuf,

    /// What all queue and table names start with.
    #[arg(long, env = "HERMES_PREFIX", default_value = "webordinary", value_name = "NAME", global = true)]
    pub prefix: Prefix,
}

/// How the log looks.
#[derive(Debug, Clone, Args)]
pub struct LogSettings {
    /// Sentences for people, or one JSON object a line.
    #[arg(long, env = "HERMES_LOG", value_enum, default_value_t = LogFormat::Text, global = true)]
    pub log: LogFormat,

    /// What is logged: a level, or a filter like `info,worker=debug`.
    #[arg(long, env = "HERMES_LOG_LEVEL", default_value = "info", value_name = "FILTER", global = true)]
    pub log_level: String,
}

/// The two forms of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One line a sentence.
    Text,
    /// One JSON object a line.
    Json,
}
