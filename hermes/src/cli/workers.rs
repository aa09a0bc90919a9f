//! `hermes workers` and `hermes claims`

use clap::{Args, Subcommand};
use common::cloud::Cloud;
use common::domain::ids::{ProjectId, ProjectUser, UserId, WorkerId};
use serde_json::json;

use super::{Output, Result};
use crate::http::{ClaimView, WorkerView};
use crate::operations::sessions::ClaimUse;
use crate::operations::workers::{self, Claim, Worker};

/// What to do with workers; nothing: who they are and what they do.
#[derive(Debug, Args)]
pub struct WorkerArguments {
    #[command(subcommand)]
    command: Option<WorkerCommand>,
}

#[derive(Debug, Subcommand)]
enum WorkerCommand {
    /// Let a worker finish what it does, take nothing new, and exit.
    Drain {
        /// The worker's id.
        worker: WorkerId,
    },
}

/// What to do with claims; nothing: who works for whom.
#[derive(Debug, Args)]
pub struct ClaimArguments {
    #[command(subcommand)]
    command: Option<ClaimCommand>,
}

#[derive(Debug, Subcommand)]
enum ClaimCommand {
    /// Let a claim be given back as soon as no job runs under it.
    Release {
        /// The site.
        project: ProjectId,
        /// The person.
        user: UserId,
    },
}

/// Shows and drains workers.
pub(super) async fn run(cloud: &Cloud, arguments: &WorkerArguments, out: &Output) -> Result<()> {
    let Some(WorkerCommand::Drain { worker }) = &arguments.command else {
        let workers = workers::list(cloud).await?;
        let rows = || workers.iter().map(worker_row).collect();
        let views: Vec<WorkerView> = workers.iter().cloned().map(Into::into).collect();
        return Ok(out.list(
            &views,
            &["worker", "status", "claims", "sessions", "started", "last activity"],
            rows,
        )?);
    };
    workers::drain(cloud, worker).await?;
    let value = json!({"workerId": worker, "status": "draining"});
    Ok(out.say(&value, || format!("worker {worker} finishes what it does and exits"))?)
}

fn worker_row(worker: &Worker) -> Vec<String> {
    let container = &worker.container;
    let status = serde_json::to_value(container.status).unwrap_or_default();
    let status = status.as_str().unwrap_or_default();
    vec![
        container.container_id.to_string(),
        if worker.alive || status == "terminated" { status.to_owned() } else { format!("{status}, silent") },
        format!("{} of {}", worker.claims, container.capacity),
        worker.sessions.to_string(),
        container.started_at.to_string(),
        container.last_activity.to_string(),
    ]
}

/// Shows claims and has them released.
pub(super) async fn claims(cloud: &Cloud, arguments: &ClaimArguments, out: &Output) -> Result<()> {
    let Some(ClaimCommand::Release { project, user }) = &arguments.command else {
        let claims = workers::claims(cloud).await?;
        let rows = || claims.iter().map(claim_row).collect();
        let views: Vec<ClaimView> = claims.iter().cloned().map(Into::into).collect();
        return Ok(out.list(&views, &["for", "worker", "used", "epoch", "last activity"], rows)?);
    };
    let key = ProjectUser::new(project.clone(), user.clone());
    workers::release(cloud, &key).await?;
    let value = json!({"projectKey": key.to_string()});
    Ok(out.say(&value, || format!("the claim for {key} is given back as soon as no job runs"))?)
}

fn claim_row(Claim { record: claim, used }: &Claim) -> Vec<String> {
    let used = match used {
        ClaimUse::Busy => "busy",
        ClaimUse::Held => "held",
        ClaimUse::Idle => "idle",
    };
    vec![
        claim.project_key.to_string(),
        claim.owner.as_ref().map_or_else(String::new, |owner| owner.worker.to_string()),
        used.to_owned(),
        claim.epoch.to_string(),
        claim.last_activity.to_string(),
    ]
}
