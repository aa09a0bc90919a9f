//! The queues that every environment has. Those of users and workers are made on first use.

use aws_sdk_sqs::types::QueueAttributeName as Attribute;

use super::{Ground, OWNER_TAG, foreign, is_due, policy};
use crate::cloud::Result;
use crate::cloud::aws::error::{failed, says};
use crate::cloud::aws::queue_urls::{MISSING, attributes, redrive_policy};
use crate::cloud::provision::{Item, Kind, Standing};
use crate::domain::names::Queue;

const QUEUES: [Queue; 7] = [
    Queue::EmailDead,
    Queue::Email,
    Queue::UnclaimedDead,
    Queue::Unclaimed,
    Queue::Dead,
    Queue::OutputDead,
    Queue::Output,
];

/// How they stand.
pub(super) async fn look(ground: &Ground) -> Result<Vec<Item>> {
    let mut items = Vec::new();
    for queue in &QUEUES {
        let standing = standing(ground, queue).await?;
        items.push(Item { kind: Kind::Queue, name: ground.urls.name(queue), standing });
    }
    Ok(items)
}

/// Makes and mends those that are due.
pub(super) async fn make(ground: &Ground, items: &[Item]) -> Result<()> {
    for queue in QUEUES.iter().filter(|queue| is_due(items, &ground.urls.name(queue))) {
        let url = ground.urls.get(queue).await?;
        // A queue that was there keeps its kind; the rest is set.
        let mut wanted = wanted(ground, queue).await?;
        wanted.retain(|name, _| *name != Attribute::FifoQueue);
        if *queue == Queue::Email {
            wanted.insert(Attribute::Policy, notices_policy(ground, &url).await?);
        }
        let set = ground.clients.sqs.set_queue_attributes().queue_url(url).set_attributes(Some(wanted));
        set.send().await.map_err(|error| failed(&format!("setting up {queue}"), &error))?;
    }
    Ok(())
}

async fn wanted(ground: &Ground, queue: &Queue) -> Result<std::collections::HashMap<Attribute, String>> {
    let mut wanted = attributes(queue);
    if let Some((dead, receives)) = queue.redrive() {
        let dead = ground.urls.get(&dead).await?;
        wanted.insert(Attribute::RedrivePolicy, redrive_policy(&ground.urls.arn(&dead).await?, receives));
    }
    Ok(wanted)
}

/// The policy that lets notices onto the email queue.
async fn notices_policy(ground: &Ground, url: &str) -> Result<String> {
    let ours = policy::of_email_queue(ground, &ground.urls.arn(url).await?).await?;
    let asked = ground.clients.sqs.get_queue_attributes().queue_url(url).attribute_names(Attribute::Policy);
    let answer =
        asked.send().await.map_err(|error| failed("reading the policy of the email queue", &error))?;
    let there =
        answer.attributes.unwrap_or_default().remove(&Attribute::Policy).filter(|text| !text.is_empty());
    policy::with(there.as_deref(), &ours)
}

async fn standing(ground: &Ground, queue: &Queue) -> Result<Standing> {
    let Some(url) = ground.urls.find(queue).await? else { return Ok(Standing::Missing) };
    let what = format!("looking at {queue}");
    let sqs = &ground.clients.sqs;
    let tags = match sqs.list_queue_tags().queue_url(&url).send().await {
        Ok(answer) => answer.tags.unwrap_or_default(),
        Err(error) if says(&error, MISSING) => return Ok(Standing::Missing),
        Err(error) => return Err(failed(&what, &error)),
    };
    if let Some(standing) = foreign(&ground.names.prefix, tags.get(OWNER_TAG).map(String::as_str)) {
        return Ok(standing);
    }
    let answer = sqs.get_queue_attributes().queue_url(&url).attribute_names(Attribute::All).send().await;
    let found = answer.map_err(|error| failed(&what, &error))?.attributes.unwrap_or_default();
    let mut wrong: Vec<String> = attributes(queue)
        .into_iter()
        .filter(|(name, value)| found.get(name).is_some_and(|found| found != value))
        .map(|(name, value)| format!("{name} should be {value}"))
        .collect();
    if let Some((_, receives)) = queue.redrive()
        && received_before_dead(found.get(&Attribute::RedrivePolicy)) != Some(u64::from(receives))
    {
        wrong.push(format!("dead letters should be set aside after {receives} receives"));
    }
    if *queue == Queue::Email {
        let ours = policy::of_email_queue(ground, &ground.urls.arn(&url).await?).await?;
        if !policy::says(found.get(&Attribute::Policy).map(String::as_str), &ours) {
            wrong.push("SNS and S3 may not put notices on it".to_owned());
        }
    }
    wrong.sort();
    Ok(if wrong.is_empty() { Standing::Ready } else { Standing::Differs(wrong.join("; ")) })
}

fn received_before_dead(policy: Option<&String>) -> Option<u64> {
    let policy: serde_json::Value = serde_json::from_str(policy?).ok()?;
    let count = policy.get("maxReceiveCount")?;
    count.as_u64().or_else(|| count.as_str()?.parse().ok())
}
