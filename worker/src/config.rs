//! The worker's settings, parsed once by clap from flags and environment; `--help` is the reference. The only place that
//! looks at the environment.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Args, Parser, Subcommand};
use common::config::{CloudSettings, LogSettings, RepoSettings};
use common::domain::ids::WorkerId;

mod environment;
mod programs;
mod sandbox;

pub use environment::{ChildEnvironment, old_bindings};
pub use programs::{Programs, is_program};
pub use sandbox::SandboxSettings;

use crate::ecs::EcsSettings;
use crate::job::agent::AgentCommand;
use crate::secrets::Secret;

/// How long a shutdown may take where nobody says anything else.
const SHUTDOWN_GRACE_SECS: u64 = 25;

const EXAMPLES: &str = "\
Examples:
  Work for a hermes on this machine, with the built-in demo agent:
    AGENT_COMMAND=demo-agent worker run --data-dir .hermes

  With the Claude Code CLI and repositories on GitHub:
    GITHUB_TOKEN=... ANTHROPIC_API_KEY=... worker run --data-dir /var/lib/hermes

  Two project+users at a time, idle claims given back after five minutes:
    worker run --capacity 2 --idle-release-secs 300

  What this machine can do, and what is missing:
    worker doctor

A worker starts without any project: it claims whoever has work and gives the claim back when there is none.";

/// Claims project+users that have work, runs their jobs and gives the claims back.
#[derive(Debug, Parser)]
#[command(name = "worker", version, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Action,
    /// How the log looks.
    #[command(flatten)]
    pub log: LogSettings,
}

/// What a worker can do.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Wait for work and do it, until SIGTERM.
    #[command(after_help = EXAMPLES)]
    Run(Box<RunSettings>),
    /// Say what this machine can do for a worker with these settings, what is missing, and what to do about it.
    Doctor(Box<DoctorSettings>),
}

/// Everything `worker doctor` can be told.
#[derive(Debug, Args)]
pub struct DoctorSettings {
    /// One line of JSON instead of a table.
    #[arg(long)]
    pub json: bool,
    /// The settings of the worker that it is asked about.
    #[command(flatten)]
    pub run: RunSettings,
}

/// Everything `worker run` can be told.
#[derive(Debug, Args)]
pub struct RunSettings {
    /// Which cloud.
    #[command(flatten)]
    pub cloud: CloudSettings,
    /// Which repositories.
    #[command(flatten)]
    pub repos: RepoSettings,
    /// Whom it works for, and how long.
    #[command(flatten)]
    pub claims: ClaimSettings,
    /// Agent and build.
    #[command(flatten)]
    pub children: ChildSettings,
    /// What ECS says when it runs there.
    #[command(flatten)]
    pub ecs: EcsSettings,
}

/// How claims are held.
#[derive(Debug, Clone, Args)]
pub struct ClaimSettings {
    /// The name of this worker; generated when absent.
    #[arg(long, env = "CONTAINER_ID", value_name = "ID")]
    pub container_id: Option<WorkerId>,

    /// How many project+users are worked for at once.
    #[arg(long, env = "WORKER_CAPACITY", value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub capacity: u16,

    /// A claim is given back so long after its last work; at once when somebody else waits.
    #[arg(long, env = "IDLE_RELEASE_SECS", value_name = "SECONDS", default_value_t = 1800)]
    pub idle_release_secs: u64,

    /// Somebody else may take a claim over when its owner was silent for so long.
    #[arg(long, env = "HERMES_LEASE_SECS", value_name = "SECONDS", default_value_t = 45, value_parser = clap::value_parser!(u64).range(2..=3600))]
    pub lease_secs: u64,

    /// So much all working folders together may take, in megabytes; beyond it those that nobody used for the longest time
    /// are removed, but none that is in use or holds work that the remote has not got.
    #[arg(long, env = "WORKSPACE_BUDGET_MB", value_name = "MB", default_value_t = 20_000)]
    pub workspace_budget_mb: u64,

    /// How long a shutdown may take; the last 12 seconds are kept for stopping and saving a running job. Default: 25; 110 as
    /// a task of ECS, whose `stopTimeout` has to be 120 then.
    #[arg(long, env = "SHUTDOWN_GRACE_SECS", value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(12..=7200))]
    pub shutdown_grace_secs: Option<u64>,
}

/// How agent, build and git are run.
#[derive(Debug, Clone, Args)]
pub struct ChildSettings {
    /// The agent as a command line (split into words, no shell). `claude` gets the arguments it needs; any other program
    /// reads the prompt on standard input and writes the same stream-json events.
    #[arg(long, env = "AGENT_COMMAND", value_name = "COMMAND", default_value = "claude", value_parser = AgentCommand::parse)]
    pub agent_command: AgentCommand,

    /// How agent and build are kept apart.
    #[command(flatten)]
    pub sandbox: SandboxSettings,

    /// Where the working folders are [default: DIR/workspaces].
    #[arg(long, env = "WORKSPACE_PATH", value_name = "DIR")]
    pub workspace_path: Option<PathBuf>,

    /// The older name of WORKSPACE_PATH, which wins.
    #[arg(long, env = "EFS_MOUNT_PATH", value_name = "DIR")]
    pub efs_mount_path: Option<PathBuf>,

    /// The token for https repositories; given to git only.
    #[arg(long, env = "GITHUB_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    pub github_token: Option<Secret>,

    /// The model's key. The agent never has it: the worker's gateway puts it into the agent's requests.
    #[arg(long, env = "ANTHROPIC_API_KEY", value_name = "KEY", hide_env_values = true)]
    pub anthropic_api_key: Option<Secret>,

    /// Another address of the model's API.
    #[arg(long, env = "ANTHROPIC_BASE_URL", value_name = "URL")]
    pub anthropic_base_url: Option<String>,

    /// `1` has the models of Amazon Bedrock instead. The agent has no credentials of AWS: the worker's gateway signs the
    /// agent's requests with those of AWS_PROFILE, else of the environment, task or machine, as every AWS program finds them.
    #[arg(long, env = "CLAUDE_CODE_USE_BEDROCK", value_name = "FLAG", value_parser = BoolishValueParser::new(), num_args = 0..=1, default_value_t = false, default_missing_value = "true")]
    pub claude_code_use_bedrock: bool,

    /// The region of Amazon Bedrock. Default: AWS_REGION, else the profile's or machine's.
    #[arg(long, env = "AWS_BEDROCK_REGION", value_name = "REGION")]
    pub aws_bedrock_region: Option<String>,

    /// Another address of Amazon Bedrock, such as that of an endpoint of your own network.
    #[arg(long, env = "ANTHROPIC_BEDROCK_BASE_URL", value_name = "URL")]
    pub anthropic_bedrock_base_url: Option<String>,

    /// The name on commits.
    #[arg(long, env = "COMMIT_NAME", value_name = "NAME", default_value = "WebOrdinary Container")]
    pub commit_name: String,

    /// The address on commits.
    #[arg(long, env = "COMMIT_EMAIL", value_name = "ADDRESS", default_value = "container@webordinary.com")]
    pub commit_email: String,
}

impl RunSettings {
    /// Where the working folders are, as an absolute path.
    pub fn workspaces(&self) -> std::io::Result<PathBuf> {
        std::path::absolute(self.chosen_workspaces())
    }

    /// The same as it was chosen.
    pub fn chosen_workspaces(&self) -> PathBuf {
        let chosen = self.children.workspace_path.as_ref().or(self.children.efs_mount_path.as_ref());
        chosen.cloned().unwrap_or_else(|| self.cloud.data_dir.join("workspaces"))
    }
}

impl ClaimSettings {
    /// As a task of ECS, if it is one.
    #[must_use]
    pub fn under(mut self, ecs: &EcsSettings) -> Self {
        if ecs.is_there() {
            self.shutdown_grace_secs.get_or_insert(crate::ecs::SHUTDOWN_GRACE_SECS);
        }
        self
    }

    /// How long a shutdown may take.
    pub fn shutdown_grace(&self) -> Duration {
        Duration::from_secs(self.shutdown_grace_secs.unwrap_or(SHUTDOWN_GRACE_SECS))
    }

    /// The lease.
    pub fn lease(&self) -> Duration {
        Duration::from_secs(self.lease_secs)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::CommandFactory as _;

    use super::*;

    /// Every setting that can come from the environment, as `worker run --help` states them.
    fn documented() -> Vec<String> {
        let mut command = Cli::command();
        command.build();
        let run = command.find_subcommand("run").unwrap();
        let mut names: Vec<String> = run
            .get_arguments()
            .filter(|arg| !arg.is_hide_set())
            .filter_map(|arg| Some(arg.get_env()?.to_str()?.to_owned()))
            .collect();
        names.sort();
        names
    }

    #[test]
    fn the_example_file_names_exactly_the_settings_of_the_help() {
        let file = include_str!("../.env.example");
        let mut names: Vec<String> = file
            .lines()
            .filter_map(|line| line.trim_start_matches("# ").split_once('='))
            .map(|(name, _)| name.to_owned())
            .filter(|name| !name.is_empty() && name.chars().all(|c| matches!(c, 'A'..='Z' | '0'..='9' | '_')))
            .collect();
        names.sort();
        assert_eq!(names, documented());
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_newer_name_of_the_workspaces_wins() {
        let run = |arguments: &[&str]| {
            let all = ["worker", "run"].iter().chain(arguments);
            let Action::Run(settings) = Cli::parse_from(all).command else { unreachable!() };
            settings.workspaces().unwrap()
        };
        assert_eq!(run(&["--efs-mount-path", "/b"]), Path::new("/b"));
        assert_eq!(run(&["--efs-mount-path", "/b", "--workspace-path", "/a"]), Path::new("/a"));
        assert_eq!(run(&["--data-dir", "/d"]), Path::new("/d/workspaces"));
    }
}
