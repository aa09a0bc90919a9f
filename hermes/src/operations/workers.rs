//! Workers, and the claims they hold: who is there, and orders to them through their control queues.

use std::collections::BTreeSet;

use common::cloud::Cloud;
use common::cloud::queue::Outgoing;
use common::domain::claim::ClaimRecord;
use common::domain::container::Container;
use common::domain::ids::{CommandId, Owner, ProjectUser, WorkerId};
use common::domain::names::Queue;
use common::messages::{Control, ControlAction, Order};

use super::sessions::{self, ClaimUse};
use super::{MAX_PAGE, OperationError, Result};
use crate::dispatch;

/// A worker, and what follows from other tables.
#[derive(Debug, Clone, PartialEq)]
pub struct Worker {
    /// What it says of itself.
    pub container: Container,
    /// Whether it is thought to be alive.
    pub alive: bool,
    /// How many project+users it works for.
    pub claims: usize,
    /// Which.
    pub works_for: Vec<ProjectUser>,
    /// How many sessions of these are active on it.
    pub sessions: usize,
}

/// The workers, those that started last first.
pub async fn list(cloud: &Cloud) -> Result<Vec<Worker>> {
    let now = cloud.clock.now();
    let (rows, _) = cloud.store.list::<Container>(MAX_PAGE, None).await?;
    let mut workers = Vec::new();
    for container in rows {
        let held = cloud.claims.held_by(&container.container_id).await?;
        let works_for: Vec<ProjectUser> = held.into_iter().map(|claim| claim.project_key).collect();
        let sessions = sessions::active_on(cloud, &container.container_id, &works_for).await?;
        workers.push(Worker {
            sessions,
            alive: container.is_alive(now),
            claims: works_for.len(),
            works_for,
            container,
        });
    }
    workers.sort_by_key(|worker| std::cmp::Reverse(worker.container.started_at));
    Ok(workers)
}

/// Orders every live process of this name to end what it has, to take nothing new, and to exit.
pub async fn drain(cloud: &Cloud, worker: &WorkerId) -> Result<usize> {
    let owners = live_owners(cloud, worker).await?;
    if owners.is_empty() {
        let text = format!("no worker {worker} is alive; `hermes workers` shows those that are");
        return Err(OperationError::NotFound(text));
    }
    for owner in &owners {
        let order = Control { action: ControlAction::Drain, project_key: None, command_id: None, note: None };
        send(cloud, owner.clone(), order).await?;
    }
    tracing::info!(worker.id = %worker, processes = owners.len(), "a worker was ordered to drain");
    Ok(owners.len())
}

/// Two processes of one name share a row; those that hold claims are found by them.
async fn live_owners(cloud: &Cloud, worker: &WorkerId) -> Result<Vec<Owner>> {
    let now = cloud.clock.now();
    let row = cloud.store.load::<Container>(worker).await?.map(|stored| stored.value);
    let said = row.filter(|row| row.is_alive(now)).map(|row| row.owner());
    let held = cloud.claims.held_by(worker).await?;
    let alive = held.into_iter().filter(|claim| dispatch::unowned(Some(claim), now).is_none());
    let mut seen = BTreeSet::new();
    let owners = said.into_iter().chain(alive.filter_map(|claim| claim.owner));
    Ok(owners.filter(|owner| seen.insert(owner.to_string())).collect())
}

/// A claim and what it is being used for.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// Its row.
    pub record: ClaimRecord,
    /// Busy, held or idle.
    pub used: ClaimUse,
}

/// Who works for whom at present.
pub async fn claims(cloud: &Cloud) -> Result<Vec<Claim>> {
    let mut claims = Vec::new();
    for record in cloud.claims.held(MAX_PAGE).await? {
        claims.push(Claim { used: sessions::use_of(cloud, &record).await?, record });
    }
    Ok(claims)
}

/// Who works for somebody.
pub async fn claim(cloud: &Cloud, key: &ProjectUser) -> Result<Claim> {
    let held = cloud.claims.get(key).await?.filter(|claim| claim.owner.is_some());
    let record = held.ok_or_else(|| nobody(key))?;
    Ok(Claim { used: sessions::use_of(cloud, &record).await?, record })
}

fn nobody(key: &ProjectUser) -> OperationError {
    OperationError::NotFound(format!("nobody works for {key}; `hermes claims` shows who works for whom"))
}

/// Orders the owner of a claim to give it back as soon as no job runs under it. The claim itself is never written here.
pub async fn release(cloud: &Cloud, key: &ProjectUser) -> Result<()> {
    let claim = cloud.claims.get(key).await?;
    let owner = claim.and_then(|claim| claim.owner).ok_or_else(|| nobody(key))?;
    let order = Control {
        action: ControlAction::Release,
        project_key: Some(key.clone()),
        command_id: None,
        note: None,
    };
    tracing::info!(project.key = %key, "the owner of a claim was ordered to give it back");
    send(cloud, owner, order).await
}

/// Orders the owner of a claim to stop one job.
pub(super) async fn stop_job(
    cloud: &Cloud,
    owner: Owner,
    key: &ProjectUser,
    command: &CommandId,
) -> Result<()> {
    let order = Control {
        action: ControlAction::StopJob,
        project_key: Some(key.clone()),
        command_id: Some(command.clone()),
        note: None,
    };
    send(cloud, owner, order).await
}

async fn send(cloud: &Cloud, owner: Owner, order: Control) -> Result<()> {
    let message = Outgoing::standard(Order::Control(order).to_json());
    cloud.queues.send(&Queue::Control(owner), message).await?;
    Ok(())
}
