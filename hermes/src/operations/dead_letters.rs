//! What was put aside: messages that could not be read, work that failed three times or that nobody claimed, each with its
//! reason. An operator lets one be tried again, or discards it.

use std::time::Duration;

use common::cloud::queue::{Delivery, MAX_BATCH, Outgoing};
use common::cloud::store::Store;
use common::cloud::{Cloud, CloudError};
use common::domain::budget::Usage;
use common::domain::ids::{CommandId, ProjectUser};
use common::domain::job::{Job, JobState, PENDING};
use common::domain::names::{Queue, RECORDS_KEPT};
use common::domain::timestamp::Timestamp;
use common::messages::WorkDraft;
use serde_json::Value;

use super::{MAX_PAGE, OperationError, Result};
use crate::dispatch;

/// The queues of dead letters.
const QUEUES: [Queue; 4] = [Queue::Dead, Queue::EmailDead, Queue::UnclaimedDead, Queue::OutputDead];

/// One message that was put aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Where it lies.
    pub queue: Queue,
    /// The queue's id of it.
    pub message_id: String,
    /// Why.
    pub reason: Option<String>,
    /// When it was put there.
    pub since: Timestamp,
    /// Whose work it is.
    pub key: Option<ProjectUser>,
    /// Which work it is.
    pub command: Option<CommandId>,
    /// The message.
    pub body: String,
}

/// What became of a message that is tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requeued {
    /// Where it went.
    pub queue: Queue,
    /// The new job, for work.
    pub command: Option<CommandId>,
}

/// The dead letters, oldest first within a queue, of one project+user ten at most.
pub async fn list(cloud: &Cloud) -> Result<Vec<DeadLetter>> {
    let mut letters = Vec::new();
    for queue in QUEUES {
        let deliveries = look(cloud, &queue).await?;
        letters.extend(deliveries.iter().map(letter));
        give_back(cloud, &deliveries).await;
    }
    Ok(letters)
}

/// Lets a message be tried again: work as a new job that names the old one, everything else as it is. Doing so twice does
/// it once.
pub async fn requeue(cloud: &Cloud, message_id: &str) -> Result<Requeued> {
    let found = take(cloud, message_id).await?;
    let requeued = send_again(cloud, &found).await;
    match requeued {
        Ok(_) => cloud.queues.delete(&found.receipt).await?,
        Err(_) => give_back(cloud, &[found]).await,
    }
    requeued
}

/// Removes a message for good, and says what it was.
pub async fn discard(cloud: &Cloud, message_id: &str) -> Result<DeadLetter> {
    let found = take(cloud, message_id).await?;
    cloud.queues.delete(&found.receipt).await?;
    let letter = letter(&found);
    tracing::warn!(message.id = message_id, queue = %letter.queue, reason = letter.reason, "a message that was put aside was discarded");
    Ok(letter)
}

/// One message, in flight until it is given back or deleted.
async fn take(cloud: &Cloud, message_id: &str) -> Result<Delivery> {
    for queue in QUEUES {
        let mut deliveries = look(cloud, &queue).await?;
        let place = deliveries.iter().position(|delivery| delivery.message_id == message_id);
        let found = place.map(|place| deliveries.swap_remove(place));
        give_back(cloud, &deliveries).await;
        if let Some(found) = found {
            return Ok(found);
        }
    }
    let text = format!("no dead letter {message_id} is there; `hermes queues dead` shows those that are");
    Err(OperationError::NotFound(text))
}

/// All messages of a queue, in flight until they are given back.
async fn look(cloud: &Cloud, queue: &Queue) -> Result<Vec<Delivery>> {
    let mut all = Vec::new();
    while all.len() < MAX_PAGE {
        let batch = cloud.queues.receive(queue, MAX_BATCH, Duration::ZERO).await?;
        if batch.is_empty() {
            break;
        }
        all.extend(batch);
    }
    Ok(all)
}

async fn give_back(cloud: &Cloud, deliveries: &[Delivery]) {
    for delivery in deliveries {
        if let Err(error) = cloud.queues.extend(&delivery.receipt, Duration::ZERO).await {
            tracing::debug!(%error, "a dead letter that was looked at comes back when its visibility ends");
        }
    }
}

fn letter(delivery: &Delivery) -> DeadLetter {
    let draft = WorkDraft::parse(&delivery.body, &delivery.message_id, delivery.sent_at).ok();
    let key = delivery.group.as_deref().and_then(|group| ProjectUser::parse(group).ok());
    DeadLetter {
        queue: delivery.receipt.queue.clone(),
        message_id: delivery.message_id.clone(),
        reason: delivery.attributes.get("reason").cloned(),
        since: delivery.sent_at,
        command: key.as_ref().and(draft).map(|draft| draft.command_id),
        key,
        body: delivery.body.clone(),
    }
}

async fn send_again(cloud: &Cloud, delivery: &Delivery) -> Result<Requeued> {
    let queue = match &delivery.receipt.queue {
        Queue::Dead => return work_again(cloud, delivery).await,
        Queue::EmailDead => Queue::Email,
        Queue::OutputDead => Queue::Output,
        _ => Queue::Unclaimed,
    };
    cloud.queues.send(&queue, Outgoing::standard(delivery.body.clone())).await?;
    Ok(Requeued { queue, command: None })
}

async fn work_again(cloud: &Cloud, delivery: &Delivery) -> Result<Requeued> {
    let unusable = |reason: String| {
        OperationError::Invalid(format!("the message cannot be tried again as it is: {reason}"))
    };
    let now = cloud.clock.now();
    let draft = WorkDraft::parse(&delivery.body, &delivery.message_id, now)
        .map_err(|error| unusable(error.to_string()))?;
    let group = delivery.group.as_deref().unwrap_or_default();
    let key = ProjectUser::parse(group).map_err(|error| unusable(error.to_string()))?;
    // Always the same one for the same letter.
    let command = CommandId::of_message(&delivery.message_id);
    let mut body: Value =
        serde_json::from_str(&delivery.body).map_err(|error| unusable(error.to_string()))?;
    body["commandId"] = Value::String(command.to_string());
    // Whoever waited for it was answered.
    body.as_object_mut().map(|fields| fields.remove("taskToken"));
    order_again(&*cloud.store, &draft.command_id, &command, now).await?;
    let queue = Queue::Input(key.clone());
    let message = Outgoing::fifo(body.to_string(), key.to_string(), format!("{command}-1"));
    cloud.queues.send(&queue, message).await?;
    tracing::info!(command.id = %command, project.key = %key, replay.of = %draft.command_id, "work that was put aside is tried again");
    if dispatch::unowned(cloud.claims.get(&key).await?.as_ref(), now).is_some() {
        dispatch::announce(cloud, &key, None, None).await?;
    }
    Ok(Requeued { queue, command: Some(command) })
}

/// The row of the new job; work that never had a row gets one from the worker that takes it.
async fn order_again(store: &dyn Store, old: &CommandId, new: &CommandId, now: Timestamp) -> Result<()> {
    let Some(row) = store.load::<Job>(old).await? else { return Ok(()) };
    let job = Job {
        command_id: new.clone(),
        replay_of: Some(old.clone()),
        state: JobState::Pending,
        pending: Some(PENDING.to_owned()),
        attempts: 0,
        interruptions: 0,
        preempted: None,
        stop_requested: None,
        worker_id: None,
        steps: Vec::new(),
        outcome: None,
        note: None,
        summary: None,
        commit_id: None,
        files_changed: Vec::new(),
        aside: Vec::new(),
        preview_url: None,
        error: None,
        usage: Usage::default(),
        uncounted: None,
        transcript_key: None,
        finished_at: None,
        created_at: now,
        day: now.day(),
        ttl: Some(now.ttl(RECORDS_KEPT)),
        ..row.value
    };
    match store.insert(&job).await {
        Ok(_) | Err(CloudError::Conflict(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
