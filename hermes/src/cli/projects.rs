//! `hermes projects`

use std::time::{Duration, Instant};

use clap::{ArgAction, Args, Subcommand};
use common::cloud::Cloud;
use common::domain::budget::Limits;
use common::domain::ids::{ProjectId, ThreadId};
use common::domain::job::Job;
use common::domain::project::{Build, Preempt};
use common::domain::repo_url::RepoRules;
use common::domain::site::Release;

use super::{CliError, Output, Result, word};
use crate::app::carried;
use crate::config::{CarrierSettings, MailFrom};
use crate::operations::Written;
use crate::operations::preflight::{self, Check};
use crate::operations::projects::{self, ProjectSettings};
use crate::operations::releases;

/// How long to pause between two looks at a job.
const LOOK_AGAIN: Duration = Duration::from_millis(300);

/// What to do with projects.
#[derive(Debug, Subcommand)]
pub enum ProjectCommand {
    /// Make a project, or give it other settings.
    ///
    /// Examples:
    ///
    ///   hermes projects add bakery --repo-url https://github.com/you/bakery.git
    ///   hermes projects add docs --repo-url https://github.com/you/docs.git \
    ///     --build-command "npx mkdocs build" --build-output site
    #[command(verbatim_doc_comment)]
    Add(AddArguments),
    /// All projects.
    List,
    /// One project.
    Show {
        /// The project's id.
        project: ProjectId,
    },
    /// Check whether a project is ready for its first mail: a worker fetches, builds and shows the site as it is.
    Check {
        /// The project's id.
        project: ProjectId,
        /// What answers are from, as `hermes serve` is told.
        #[arg(
            long,
            env = "HERMES_MAIL_FROM",
            value_name = "MAILBOX",
            default_value = "Hermes <hermes@localhost>"
        )]
        mail_from: MailFrom,
        #[command(flatten)]
        carrier: CarrierSettings,
        /// How long the worker's part is waited for.
        #[arg(long, value_name = "SECONDS", default_value_t = 300)]
        wait_secs: u64,
    },
    /// The versions of the live site that can be put up again, the present one first.
    Releases {
        /// The project's id.
        project: ProjectId,
    },
    /// Make the preview of a conversation the live site, byte for byte.
    Publish {
        /// The project's id.
        project: ProjectId,
        /// The conversation, as `hermes jobs show` names it.
        #[arg(long, value_name = "ID")]
        thread: ThreadId,
    },
    /// Make the live site what it was before it was last switched; once more goes forth again.
    Undo {
        /// The project's id.
        project: ProjectId,
        /// Which release to put up again [default: the one before the present one]
        #[arg(long, value_name = "NUMBER")]
        release: Option<u64>,
    },
    /// Take a project off the list, and those who may write about it. Its repository, its sites and its history stay.
    Remove {
        /// The project's id.
        project: ProjectId,
    },
}

/// Settings of a project.
#[derive(Debug, Args)]
pub struct AddArguments {
    /// Its id: 1 to 39 of a-z, 0-9 and '-'. Mail to ID@ your mail domain is about this site.
    project: ProjectId,
    /// Where its source lives: https://host/owner/name.git
    #[arg(long, value_name = "URL")]
    repo_url: String,
    /// The branch new conversations start from, or from what is live beyond it [default: what the remote's HEAD names]
    #[arg(long, value_name = "BRANCH")]
    default_branch: Option<String>,
    /// How it is built; words, not a shell line.
    #[arg(long, value_name = "COMMAND", default_value = "npm run build", value_parser = words)]
    build_command: Words,
    /// The folder with the built site, relative to the repository.
    #[arg(long, value_name = "FOLDER", default_value = "dist")]
    build_output: String,
    /// When newer work may interrupt: other-thread, always or never.
    #[arg(long, value_name = "WHEN", default_value = "other-thread", value_parser = word::<Preempt>)]
    preempt: Preempt,
    /// Whether a mail counts only when DMARC passed for its author's domain. With false, a DKIM signature or an SPF pass of
    /// the very domain is enough where it has no DMARC policy.
    #[arg(long, value_name = "TRUE|FALSE", default_value_t = true, action = ArgAction::Set)]
    require_dmarc: bool,
    #[command(flatten)]
    limits: LimitArguments,
}

/// What the agent may use.
#[derive(Debug, Args)]
#[allow(clippy::struct_field_names, reason = "each is a maximum, and so it is called on the wire")]
struct LimitArguments {
    /// Turns of the agent for one request.
    #[arg(long, value_name = "COUNT")]
    max_turns: Option<u32>,
    /// Minutes of one request [default: the worker's, 30]
    #[arg(long, value_name = "COUNT")]
    max_minutes: Option<u32>,
    /// US dollars of one request [default: the worker's, 10]
    #[arg(long, value_name = "USD")]
    max_cost_usd: Option<f64>,
    /// US dollars of one conversation.
    #[arg(long, value_name = "USD")]
    max_thread_cost_usd: Option<f64>,
    /// US dollars of the project in one month (UTC).
    #[arg(long, value_name = "USD")]
    max_month_cost_usd: Option<f64>,
}

impl From<&LimitArguments> for Limits {
    fn from(given: &LimitArguments) -> Self {
        Self {
            max_turns: given.max_turns,
            max_minutes: given.max_minutes,
            max_cost_usd: given.max_cost_usd,
            max_thread_cost_usd: given.max_thread_cost_usd,
            max_month_cost_usd: given.max_month_cost_usd,
        }
    }
}

/// A command as a list of words.
#[derive(Debug, Clone)]
struct Words(Vec<String>);

fn words(text: &str) -> std::result::Result<Words, String> {
    shell_words::split(text).map(Words).map_err(|error| error.to_string())
}

/// Carries it out.
pub(super) async fn run(
    cloud: &Cloud,
    rules: &RepoRules,
    command: &ProjectCommand,
    out: &Output,
) -> Result<()> {
    match command {
        ProjectCommand::Add(arguments) => add(cloud, rules, arguments, out).await,
        ProjectCommand::List => list(cloud, out).await,
        ProjectCommand::Show { project } => {
            let found = projects::get(cloud, project).await?;
            Ok(out.json(&found)?)
        }
        ProjectCommand::Check { project, mail_from, carrier, wait_secs } => {
            let cloud = carried(cloud.clone(), carrier, mail_from);
            check(&cloud, project, mail_from, Duration::from_secs(*wait_secs), out).await
        }
        ProjectCommand::Releases { project } => list_releases(cloud, project, out).await,
        ProjectCommand::Publish { project, thread } => {
            let job = releases::publish(cloud, project, thread).await?;
            Ok(out.say(&job, || ordered(&job))?)
        }
        ProjectCommand::Undo { project, release } => {
            let job = releases::undo(cloud, project, *release).await?;
            Ok(out.say(&job, || ordered(&job))?)
        }
        ProjectCommand::Remove { project } => {
            projects::remove(cloud, project).await?;
            Ok(out.say(&serde_json::json!({"removed": project}), || {
                format!("project {project} and those who wrote about it are off the list")
            })?)
        }
    }
}

async fn add(cloud: &Cloud, rules: &RepoRules, arguments: &AddArguments, out: &Output) -> Result<()> {
    let settings = ProjectSettings {
        repo_url: arguments.repo_url.clone(),
        default_branch: arguments.default_branch.clone(),
        build: Build { command: arguments.build_command.0.clone(), output: arguments.build_output.clone() },
        preempt: arguments.preempt,
        limits: Limits::from(&arguments.limits),
        require_dmarc: arguments.require_dmarc,
    };
    let (project, written) = projects::put(cloud, rules, &arguments.project, settings).await?;
    let id = &project.project_id;
    let sentence = || match written {
        Written::Created => format!(
            "project {id} was made\nnext: hermes senders add you@example.org --project {id} --user you"
        ),
        Written::Replaced => format!("project {id} has these settings now"),
    };
    Ok(out.say(&project, sentence)?)
}

/// Begins and looks again until everything is known, or for as long as it may take.
async fn check(
    cloud: &Cloud,
    project: &ProjectId,
    from: &MailFrom,
    limit: Duration,
    out: &Output,
) -> Result<()> {
    let mut found = preflight::begin(cloud, &from.address, project).await?;
    let deadline = Instant::now() + limit;
    while !found.is_known() && Instant::now() < deadline {
        tokio::time::sleep(LOOK_AGAIN).await;
        found = preflight::look_again(cloud, found).await?;
    }
    let rows = || {
        let row = |Check { name, state, said, to_do }: &Check| {
            let what = to_do.as_ref().map_or_else(|| said.clone(), |to_do| format!("{said}; {to_do}"));
            vec![(*name).to_owned(), state.to_string(), what]
        };
        found.checks.iter().map(row).collect()
    };
    out.list(&found, &["check", "state", "what"], rows)?;
    match found.open() {
        0 => Ok(()),
        open => Err(CliError::NotReady { project: project.to_string(), open }),
    }
}

fn ordered(job: &Job) -> String {
    format!("{} was ordered\nnext: hermes jobs show {}", job.action, job.command_id)
}

async fn list_releases(cloud: &Cloud, project: &ProjectId, out: &Output) -> Result<()> {
    let listed = releases::list(cloud, project).await?;
    let row = |release: &Release| {
        vec![
            release.number.to_string(),
            release.published_at.to_string(),
            release.restores.map_or_else(|| release.action.to_string(), |of| format!("undo, to {of}")),
            release.thread_id.as_ref().map(ToString::to_string).unwrap_or_default(),
            release.commit_id.clone(),
        ]
    };
    let head = ["release", "published", "by", "conversation", "commit"];
    Ok(out.list(&listed, &head, || listed.iter().map(row).collect())?)
}

async fn list(cloud: &Cloud, out: &Output) -> Result<()> {
    let listed = projects::all(cloud).await?;
    let rows = || {
        let row = |project: &common::domain::project::Project| {
            vec![
                project.project_id.to_string(),
                project.repo_url.clone(),
                project.default_branch.clone().unwrap_or_else(|| "(HEAD)".into()),
                project.build.command.join(" "),
            ]
        };
        listed.items.iter().map(row).collect()
    };
    Ok(out.list(&listed, &["project", "repository", "branch", "build"], rows)?)
}
