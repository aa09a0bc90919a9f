//! `hermes workers` and `hermes claims`

use clap::{Args, Subcommand};
use common::cloud::Cloud;
use common::domain::ids::{ProjectId, ProjectUser, UserId, WorkerId};
use serde_json::{Value, json};

use super::{Output, Result};
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
        let values: Vec<_> = workers.iter().map(worker_value).collect();
        return Ok(out.list(
            &values,
            &["worker", "status", "claims", "sessions", "started", "last activity"],
            rows,
        )?);
    };
    workers::drain(cloud, worker).await?;
    let value = json!({"workerId": worker, "status": "draining"});
    Ok(out.say(&value, || format!("worker {worker} finishes what it does and exits"))?)
}

/// In the words of the API.
fn worker_value(worker: &Worker) -> Value {
    let Worker { container, alive, claims, works_for, sessions } = worker;
    json!({
        "workerId": container.container_id, "taskArn": container.task_arn, "status": container.status,
        "alive": alive, "capacity": container.capacity, "claims": claims, "worksFor": works_for,
        "sessions": sessions, "startedAt": container.started_at, "lastActivity": container.last_activity,
    })
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
        let values: Vec<_> = claims.iter().map(claim_value).collect();
        return Ok(out.list(&values, &["for", "worker", "used", "epoch", "last activity"], rows)?);
    };
    let key = ProjectUser::new(project.clone(), user.clone());
    workers::release(cloud, &key).await?;
    let value = json!({"projectKey": key.to_string()});
    Ok(out.say(&value, || format!("the claim for {key} is given back as soon as no job runs"))?)
}

fn claim_value(Claim { record: claim, used }: &Claim) -> Value {
    json!({
        "projectKey": claim.project_key, "workerId": claim.owner.as_ref().map(|owner| &owner.worker),
        "used": used, "epoch": claim.epoch, "leaseSecs": claim.lease_secs, "claimedAt": claim.claimed_at,
        "lastActivity": claim.last_activity,
    })
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
