//! `hermes queues`

use std::io::Read;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use common::cloud::Cloud;
use common::domain::names::Queue;
use serde_json::json;

use super::{CliError, Output, Result, read_file};
use crate::operations::dead_letters::{self, DeadLetter};
use crate::operations::queues;

/// Which queues; none: how full all of them are.
#[derive(Debug, Args)]
pub struct QueueArguments {
    #[command(subcommand)]
    command: Option<QueueCommand>,
}

/// What to do with a queue.
#[derive(Debug, Subcommand)]
pub(super) enum QueueCommand {
    /// Put a message on a queue, as it is.
    ///
    /// Example: work without a mail.
    ///
    ///   echo '{"type":"work","projectId":"bakery","userId":"scott","instruction":"open at 9"}' |
    ///     hermes queues send unclaimed
    #[command(verbatim_doc_comment)]
    Send {
        /// email, unclaimed, output, dead, their -dead forms, or input:PROJECT#USER
        queue: Queue,
        /// The file with the message; `-` reads standard input.
        #[arg(default_value = "-")]
        file: PathBuf,
    },
    /// Messages that were put aside, each with its reason.
    Dead,
    /// Let a message that was put aside be tried again; work becomes a new job.
    Requeue {
        /// The message's id, as `queues dead` shows it.
        message: String,
    },
    /// Discard a message that was put aside, for good; it is printed.
    Discard {
        /// The message's id, as `queues dead` shows it.
        message: String,
    },
}

/// Carries it out.
pub(super) async fn run(cloud: &Cloud, arguments: &QueueArguments, out: &Output) -> Result<()> {
    match &arguments.command {
        None => depths(cloud, out).await,
        Some(QueueCommand::Send { queue, file }) => {
            let id = queues::send(cloud, queue, message(file)?).await?;
            let value = json!({"queue": queue.to_string(), "messageId": id});
            Ok(out.say(&value, || format!("message {id} is on {queue}"))?)
        }
        Some(QueueCommand::Dead) => dead(cloud, out).await,
        Some(QueueCommand::Requeue { message }) => {
            let requeued = dead_letters::requeue(cloud, message).await?;
            let command = requeued.command.map(|command| command.to_string());
            let value = json!({"queue": requeued.queue.to_string(), "commandId": command});
            Ok(out.say(&value, || match &command {
                Some(command) => format!("it is tried again as job {command}"),
                None => format!("it is tried again on {}", requeued.queue),
            })?)
        }
        Some(QueueCommand::Discard { message }) => {
            let letter = dead_letters::discard(cloud, message).await?;
            Ok(out.say(&value(&letter), || format!("discarded from {}: {}", letter.queue, letter.body))?)
        }
    }
}

async fn dead(cloud: &Cloud, out: &Output) -> Result<()> {
    let letters = dead_letters::list(cloud).await?;
    let values: Vec<_> = letters.iter().map(value).collect();
    let rows = || letters.iter().map(dead_row).collect();
    Ok(out.list(&values, &["since", "message", "queue", "for", "reason"], rows)?)
}

fn value(letter: &DeadLetter) -> serde_json::Value {
    json!({
        "messageId": letter.message_id, "queue": letter.queue.to_string(), "reason": letter.reason,
        "since": letter.since.to_string(), "projectKey": letter.key, "commandId": letter.command,
        "body": letter.body,
    })
}

fn dead_row(letter: &DeadLetter) -> Vec<String> {
    vec![
        letter.since.to_string(),
        letter.message_id.clone(),
        letter.queue.to_string(),
        letter.key.as_ref().map_or_else(String::new, ToString::to_string),
        letter.reason.clone().unwrap_or_default(),
    ]
}

fn message(file: &PathBuf) -> Result<String> {
    let failed = |reason| CliError::File { path: file.display().to_string(), reason };
    if file.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map_err(failed)?;
        return Ok(text);
    }
    String::from_utf8(read_file(file)?).map_err(|_| {
        failed(std::io::Error::new(std::io::ErrorKind::InvalidData, "a message must be UTF-8 text"))
    })
}

async fn depths(cloud: &Cloud, out: &Output) -> Result<()> {
    let depths = queues::depths(cloud).await?;
    let value: Vec<_> = depths
        .iter()
        .map(|(queue, depth)| {
            json!({
                "queue": queue.to_string(), "visible": depth.visible, "inFlight": depth.in_flight,
                "delayed": depth.delayed,
            })
        })
        .collect();
    let rows = || {
        let row = |(queue, depth): &(Queue, common::cloud::queue::Depth)| {
            vec![
                queue.to_string(),
                depth.visible.to_string(),
                depth.in_flight.to_string(),
                depth.delayed.to_string(),
            ]
        };
        depths.iter().map(row).collect()
    };
    Ok(out.list(&value, &["queue", "visible", "in flight", "delayed"], rows)?)
}
