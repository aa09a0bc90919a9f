//! `hermes jobs`

use clap::Subcommand;
use common::cloud::Cloud;
use common::domain::ids::{CommandId, ProjectId, UserId};
use common::domain::job::{Job, JobState};

use super::{Output, Result, word};
use crate::operations::Slice;
use crate::operations::jobs::{self, JobFilter};

/// What to do with jobs.
#[derive(Debug, Subcommand)]
pub enum JobCommand {
    /// Jobs, newest first.
    List {
        /// Only of this site.
        #[arg(long, value_name = "ID")]
        project: Option<ProjectId>,
        /// Only of this person.
        #[arg(long, value_name = "ID")]
        user: Option<UserId>,
        /// Only pending, running or done.
        #[arg(long, value_parser = word::<JobState>)]
        state: Option<JobState>,
        /// At most so many.
        #[arg(long, default_value_t = 50)]
        limit: usize,
        /// Where the list before ended, as its last line says.
        #[arg(long)]
        cursor: Option<String>,
    },
    /// One job with its steps.
    Show {
        /// The job's command id.
        command: CommandId,
    },
    /// Stop a job that waits or runs; its unfinished work is kept.
    Stop {
        /// The job's command id.
        command: CommandId,
    },
}

/// Shows and stops jobs.
pub(super) async fn run(cloud: &Cloud, command: &JobCommand, out: &Output) -> Result<()> {
    match command {
        JobCommand::List { project, user, state, limit, cursor } => {
            let filter = JobFilter { project: project.clone(), user: user.clone(), state: *state };
            let listed = jobs::list(cloud, &filter, Slice::new(Some(*limit), cursor.clone())).await?;
            let rows = || listed.items.iter().map(row).collect();
            out.list(&listed, &["created", "command", "for", "state", "outcome", "instruction"], rows)?;
            Ok(out.more(listed.next.as_deref(), "hermes jobs list")?)
        }
        JobCommand::Show { command } => {
            let job = jobs::get(cloud, command).await?;
            Ok(out.say(&job, || describe(&job))?)
        }
        JobCommand::Stop { command } => {
            let job = jobs::stop(cloud, command).await?;
            Ok(out.say(&job, || stopping(&job))?)
        }
    }
}

fn stopping(job: &Job) -> String {
    match job.outcome {
        None => format!("job {} is being stopped", job.command_id),
        Some(outcome) => format!("job {} has ended already: {outcome}", job.command_id),
    }
}

fn state(job: &Job) -> &'static str {
    match job.state {
        JobState::Pending => "pending",
        JobState::Running => "running",
        JobState::Done => "done",
    }
}

fn row(job: &Job) -> Vec<String> {
    let words: String = job.instruction.split_whitespace().collect::<Vec<_>>().join(" ");
    vec![
        job.created_at.to_string(),
        job.command_id.to_string(),
        job.project_key.to_string(),
        state(job).to_owned(),
        job.outcome.map_or_else(String::new, |outcome| outcome.to_string()),
        words,
    ]
}

fn describe(job: &Job) -> String {
    let mut lines = vec![
        format!("job {} for {}", job.command_id, job.project_key),
        format!("state     {}", state(job)),
        format!("branch    {}", job.branch),
        format!("attempts  {}", job.attempts),
    ];
    let more = [
        ("outcome", job.outcome.map(|outcome| outcome.to_string())),
        ("commit", job.commit_id.clone()),
        ("preview", job.preview_url.clone()),
        ("summary", job.summary.clone()),
        ("aside", Some(job.aside.join(" ")).filter(|branches| !branches.is_empty())),
        ("error", job.error.clone()),
    ];
    for (name, value) in more.into_iter().filter_map(|(name, value)| Some((name, value?))) {
        lines.push(format!("{name:9} {value}"));
    }
    for step in &job.steps {
        let ended = step
            .ended_at
            .map_or_else(|| "runs".to_owned(), |at| format!("{} ms", at.since(step.started_at).as_millis()));
        let result = step.result.as_deref().unwrap_or("");
        lines.push(format!("  {:9} {ended:10} {result}", step.name.as_str()));
    }
    lines.join("\n")
}
