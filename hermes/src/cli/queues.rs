//! `hermes queues`

use std::io::Read;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use common::cloud::Cloud;
use common::domain::names::Queue;
use serde_json::json;

use super::{CliError, Output, Result, read_file};
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
    }
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
