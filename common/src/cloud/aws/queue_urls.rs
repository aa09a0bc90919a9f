//! The addresses of queues, asked for once each; a queue that is not there is made with the attributes that
//! [`Queue`] states, its dead-letter queue first.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::QueueAttributeName as Attribute;

use super::error::{failed, says};
use super::names::Names;
use super::provision::OWNER_TAG;
use crate::cloud::queue::{MAX_MESSAGE_BYTES, RETENTION};
use crate::cloud::{CloudError, Result};
use crate::domain::names::Queue;

/// There is no such queue.
pub(super) const MISSING: &[&str] = &["QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue"];
/// There is one, with other attributes.
const EXISTS: &[&str] = &["QueueNameExists", "QueueAlreadyExists"];

/// What is known of the queues.
pub(super) struct QueueUrls {
    sqs: Client,
    names: Arc<Names>,
    known: Mutex<HashMap<String, String>>,
    arns: Mutex<HashMap<String, String>>,
}

impl QueueUrls {
    /// Nothing but what the settings say.
    pub(super) fn new(sqs: Client, names: Arc<Names>) -> Self {
        let unclaimed = names.unclaimed_url.clone().map(|url| (Queue::Unclaimed.name(&names.prefix), url));
        Self { sqs, names, known: Mutex::new(unclaimed.into_iter().collect()), arns: Mutex::default() }
    }

    /// A queue's name.
    pub(super) fn name(&self, queue: &Queue) -> String {
        queue.name(&self.names.prefix)
    }

    /// The address of a queue; none when there is no such queue.
    pub(super) async fn find(&self, queue: &Queue) -> Result<Option<String>> {
        let name = self.name(queue);
        if let Some(url) = lock(&self.known).get(&name) {
            return Ok(Some(url.clone()));
        }
        match self.sqs.get_queue_url().queue_name(&name).send().await {
            Ok(answer) => Ok(answer.queue_url.inspect(|url| self.remember(&name, url))),
            Err(error) if says(&error, MISSING) => Ok(None),
            Err(error) => Err(failed(&format!("looking for the queue {name}"), &error)),
        }
    }

    /// The address of a queue, which is made when it is not there.
    pub(super) async fn get(&self, queue: &Queue) -> Result<String> {
        if let Some(url) = self.find(queue).await? {
            return Ok(url);
        }
        let dead = match queue.redrive() {
            None => None,
            Some((dead, receives)) => Some((self.plain(&dead).await?, receives)),
        };
        let policy = match dead {
            None => None,
            Some((url, receives)) => Some(redrive_policy(&self.arn(&url).await?, receives)),
        };
        self.make(queue, policy).await
    }

    /// A queue without dead letters of its own.
    async fn plain(&self, queue: &Queue) -> Result<String> {
        match self.find(queue).await? {
            Some(url) => Ok(url),
            None => self.make(queue, None).await,
        }
    }

    async fn make(&self, queue: &Queue, redrive: Option<String>) -> Result<String> {
        let name = self.name(queue);
        let mut attributes = attributes(queue);
        attributes.extend(redrive.map(|policy| (Attribute::RedrivePolicy, policy)));
        let request = self
            .sqs
            .create_queue()
            .queue_name(&name)
            .set_attributes(Some(attributes))
            .tags(OWNER_TAG, self.names.prefix.as_str());
        match request.send().await {
            Ok(answer) => answer.queue_url.inspect(|url| self.remember(&name, url)).ok_or_else(|| {
                CloudError::unavailable(format!("making the queue {name}"), "it has no address")
            }),
            Err(error) if says(&error, EXISTS) => {
                self.find(queue).await?.ok_or_else(|| failed(&format!("making the queue {name}"), &error))
            }
            // A queue that was removed may be made again after 60 s: the caller is told to come back.
            Err(error) => Err(failed(&format!("making the queue {name}"), &error)),
        }
    }

    /// The ARN of a queue by its address.
    pub(super) async fn arn(&self, url: &str) -> Result<String> {
        if let Some(arn) = lock(&self.arns).get(url) {
            return Ok(arn.clone());
        }
        let what = format!("asking for the ARN of {url}");
        let answer = self.sqs.get_queue_attributes().queue_url(url).attribute_names(Attribute::QueueArn);
        let answer = answer.send().await.map_err(|error| failed(&what, &error))?;
        let arn = answer
            .attributes
            .and_then(|mut all| all.remove(&Attribute::QueueArn))
            .ok_or_else(|| CloudError::unavailable(what, "there is none in the answer"))?;
        lock(&self.arns).insert(url.to_owned(), arn.clone());
        Ok(arn)
    }

    fn remember(&self, name: &str, url: &str) {
        lock(&self.known).insert(name.to_owned(), url.to_owned());
    }

    /// Forgets a queue that is not there any more.
    pub(super) fn forget(&self, queue: &Queue) {
        let name = self.name(queue);
        if let Some(url) = lock(&self.known).remove(&name) {
            lock(&self.arns).remove(&url);
        }
    }
}

/// What a queue is made with, besides its dead letters.
pub(super) fn attributes(queue: &Queue) -> HashMap<Attribute, String> {
    let fifo = queue.is_fifo().then(|| {
        [
            (Attribute::FifoQueue, "true".to_owned()),
            (Attribute::ContentBasedDeduplication, "false".to_owned()),
        ]
    });
    let all = [
        (Attribute::VisibilityTimeout, queue.visibility_secs().to_string()),
        (Attribute::MessageRetentionPeriod, RETENTION.as_secs().to_string()),
        (Attribute::MaximumMessageSize, MAX_MESSAGE_BYTES.to_string()),
    ];
    all.into_iter().chain(fifo.into_iter().flatten()).collect()
}

/// Where what was received too often goes.
pub(super) fn redrive_policy(dead_arn: &str, receives: u32) -> String {
    serde_json::json!({"deadLetterTargetArn": dead_arn, "maxReceiveCount": receives}).to_string()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
