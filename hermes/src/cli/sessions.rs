//! `hermes sessions`

use clap::{Args, Subcommand};
use common::cloud::Cloud;
use common::domain::ids::{ProjectId, ThreadId, UserId, WorkerId};
use common::domain::session::SessionStanding;
use serde_json::{Value, json};

use super::{Output, Result};
use crate::operations::sessions::{self, Seen, SessionFilter};
use crate::operations::{Listed, Slice, threads};

/// Which sessions.
#[derive(Debug, Args)]
pub struct SessionArguments {
    #[command(subcommand)]
    command: Option<SessionCommand>,
    /// Only of this site.
    #[arg(long, value_name = "ID")]
    project: Option<ProjectId>,
    /// Only of this person.
    #[arg(long, value_name = "ID")]
    user: Option<UserId>,
    /// Only on this worker.
    #[arg(long, value_name = "ID")]
    worker: Option<WorkerId>,
    /// At most so many.
    #[arg(long, default_value_t = 50)]
    limit: usize,
    /// Where the list before ended, as its last line says.
    #[arg(long)]
    cursor: Option<String>,
}

#[derive(Debug, Subcommand)]
enum SessionCommand {
    /// Remove a conversation: mails lead to it no more, its preview is taken down, and what the agent remembers of it goes. Its
    /// branch stays, and what was published from it.
    Remove {
        /// The conversation, as the mails and jobs name it (`threadId`).
        thread: ThreadId,
    },
}

/// Shows sessions, or removes one.
pub(super) async fn run(cloud: &Cloud, arguments: &SessionArguments, out: &Output) -> Result<()> {
    let SessionArguments { command, project, user, worker, limit, cursor } = arguments;
    if let Some(SessionCommand::Remove { thread }) = command {
        let job = threads::remove(cloud, thread).await?;
        let value = json!({"threadId": thread, "commandId": job.command_id});
        return Ok(out.say(&value, || {
            format!("conversation {thread} is removed; job {} takes its preview down", job.command_id)
        })?);
    }
    let filter = SessionFilter { project: project.clone(), user: user.clone(), worker: worker.clone() };
    let listed = sessions::list(cloud, &filter, Slice::new(Some(*limit), cursor.clone())).await?;
    let rows = || listed.items.iter().map(row).collect();
    let items: Vec<_> = listed.items.iter().map(value).collect();
    out.list(
        &Listed { items, next: listed.next.clone() },
        &["last activity", "session", "for", "worker", "standing", "running"],
        rows,
    )?;
    Ok(out.more(listed.next.as_deref(), "hermes sessions")?)
}

/// In the words of the API.
fn value(Seen { session, standing }: &Seen) -> Value {
    json!({
        "sessionId": session.session_id, "threadId": session.thread_id, "projectKey": session.project_key,
        "workerId": session.container_id, "standing": standing, "running": session.running,
        "turns": session.turns, "costUsd": session.cost_usd, "createdAt": session.created_at,
        "lastActivity": session.last_activity,
    })
}

fn row(seen: &Seen) -> Vec<String> {
    let session = &seen.session;
    let standing = match seen.standing {
        SessionStanding::Active => "active",
        SessionStanding::Expired => "expired",
        SessionStanding::Closed => "closed",
    };
    vec![
        session.last_activity.to_string(),
        session.session_id.to_string(),
        session.project_key.to_string(),
        session.container_id.to_string(),
        standing.to_owned(),
        session.running.as_ref().map_or_else(String::new, ToString::to_string),
    ]
}
