//! Settings that both programs share, parsed once by clap from flags and environment. `--help` is the reference.

mod aws;

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::domain::names::Prefix;
use crate::domain::repo_url::RepoRules;
pub use aws::{AwsSettings, TableSettings};

/// Which cloud, and where.
#[derive(Debug, Clone, Args)]
pub struct CloudSettings {
    /// `local` = this machine: SQLite and a directory; `aws` = SQS, DynamoDB, S3, SES and Step Functions.
    #[arg(long, env = "HERMES_CLOUD", value_enum, default_value_t = CloudKind::Local, value_name = "CLOUD", global = true)]
    pub cloud: CloudKind,

    /// Directory with the database, objects, sites and outgoing mail; shared by hermes and its workers.
    #[arg(long, env = "HERMES_DATA_DIR", default_value = ".hermes", value_name = "DIR", global = true)]
    pub data_dir: PathBuf,

    /// What all queue and table names start with.
    #[arg(long, env = "HERMES_PREFIX", default_value = "webordinary", value_name = "NAME", global = true)]
    pub prefix: Prefix,

    /// For tests: a folder whose files hold the process at named places.
    #[cfg(debug_assertions)]
    #[arg(long, value_name = "DIR", hide = true, global = true)]
    pub checkpoints: Option<PathBuf>,

    /// For tests: calls to the outside fail and lose their answers, by chance.
    #[cfg(debug_assertions)]
    #[arg(long, value_name = "SEED:PERCENT", hide = true, global = true)]
    pub faults: Option<crate::cloud::failing::Chance>,

    /// Where and under which names, on AWS.
    #[command(flatten)]
    pub aws: AwsSettings,
}

/// The two clouds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CloudKind {
    /// SQLite and a directory.
    Local,
    /// Amazon Web Services.
    Aws,
}

/// Which repositories a project may have.
#[derive(Debug, Clone, Args)]
pub struct RepoSettings {
    /// Hosts that repositories may live on, separated by commas; `*.example.org` means any host below it. They must have
    /// public addresses; `git.example.org:8443` names a server of your own, which may have any.
    #[arg(
        long,
        env = "HERMES_REPO_HOSTS",
        value_delimiter = ',',
        default_value = "github.com,gitlab.com,bitbucket.org,codeberg.org",
        value_name = "HOSTS",
        global = true
    )]
    pub repo_hosts: Vec<String>,

    /// Allow `file:///...` repositories of this machine.
    #[arg(long, env = "HERMES_ALLOW_FILE_REPOS", value_name = "BOOL", num_args = 0..=1, default_value_t = false, default_missing_value = "true", global = true)]
    pub allow_file_repos: bool,
}

impl RepoSettings {
    /// The rule that these settings state.
    pub fn rules(&self) -> RepoRules {
        RepoRules { hosts: self.repo_hosts.clone(), allow_files: self.allow_file_repos }
    }
}

/// How the log looks.
#[derive(Debug, Clone, Args)]
pub struct LogSettings {
    /// Sentences for people, or one JSON object a line.
    #[arg(long, env = "HERMES_LOG", value_enum, default_value_t = LogFormat::Text, global = true)]
    pub log: LogFormat,

    /// What is logged: a level, or a filter like `info,worker=debug`.
    #[arg(
        long,
        env = "HERMES_LOG_LEVEL",
        default_value = "info",
        value_parser = crate::telemetry::check_filter,
        value_name = "FILTER",
        global = true
    )]
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
