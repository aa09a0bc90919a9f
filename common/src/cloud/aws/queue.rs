//! The queues over SQS.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{
    Message, MessageAttributeValue, MessageSystemAttributeName as System, QueueAttributeName as Attribute,
};
use uuid::Uuid;

use super::connect::timeouts;
use super::error::{failed, says};
use super::pointer::{MARK, Pointers};
use super::queue_urls::{MISSING, QueueUrls};
use crate::cloud::queue::{Delivery, Depth, Outgoing, Queues, Receipt, limits};
use crate::cloud::{CloudError, Result};
use crate::domain::names::Queue;
use crate::domain::timestamp::Timestamp;

/// The receipt is of an earlier delivery, or of none.
const VOID: &[&str] = &["ReceiptHandleIsInvalid", "InvalidIdFormat", "MessageNotInflight"];
/// What an answer may take longer than the receive waits.
const ANSWER: Duration = Duration::from_secs(6);
/// The same with all tries.
const ANSWERS: Duration = Duration::from_secs(20);

/// The door.
pub(super) struct AwsQueues {
    sqs: Client,
    urls: Arc<QueueUrls>,
    pointers: Pointers,
}

impl AwsQueues {
    /// Over this client.
    pub(super) fn new(sqs: Client, urls: Arc<QueueUrls>, pointers: Pointers) -> Self {
        Self { sqs, urls, pointers }
    }

    async fn send_once(&self, queue: &Queue, message: &Outgoing) -> Result<Option<String>> {
        let request = self
            .sqs
            .send_message()
            .queue_url(self.urls.get(queue).await?)
            .message_body(&message.body)
            .set_message_group_id(message.group.clone())
            .set_message_deduplication_id(message.dedup.clone())
            .set_message_attributes(attributes(message)?)
            .set_delay_seconds((!message.delay.is_zero()).then(|| whole_secs(message.delay)));
        match request.send().await {
            Ok(answer) => Ok(answer.message_id),
            Err(error) if says(&error, MISSING) => {
                self.urls.forget(queue);
                Ok(None)
            }
            Err(error) => Err(failed(&format!("sending to {queue}"), &error)),
        }
    }

    async fn receive_once(&self, queue: &Queue, max: usize, wait: Duration) -> Result<Option<Vec<Message>>> {
        let wait_secs = whole_secs(wait);
        let waiting = Duration::from_secs(u64::try_from(wait_secs).unwrap_or(0));
        // One try whose answer was lost and its repetition are one receive for a FIFO queue.
        let receive_id = queue.is_fifo().then(|| Uuid::new_v4().simple().to_string());
        let patient =
            aws_sdk_sqs::config::Builder::new().timeout_config(timeouts(waiting + ANSWER, waiting + ANSWERS));
        let request = self
            .sqs
            .receive_message()
            .queue_url(self.urls.get(queue).await?)
            .max_number_of_messages(i32::try_from(max).unwrap_or(1))
            .wait_time_seconds(wait_secs)
            .message_attribute_names("All")
            .message_system_attribute_names(System::ApproximateReceiveCount)
            .message_system_attribute_names(System::SentTimestamp)
            .message_system_attribute_names(System::MessageGroupId)
            .set_receive_request_attempt_id(receive_id);
        match request.customize().config_override(patient).send().await {
            Ok(answer) => Ok(Some(answer.messages.unwrap_or_default())),
            Err(error) if says(&error, MISSING) => {
                self.urls.forget(queue);
                Ok(None)
            }
            Err(error) => Err(failed(&format!("receiving from {queue}"), &error)),
        }
    }

    /// With the body that a pointer stands for. A body that cannot be fetched now is given back with its message; one that
    /// is gone leaves the pointer, which nobody can read, so that the message is set aside and not lost.
    async fn whole(&self, mut delivery: Delivery) -> Result<Delivery> {
        let Some(mark) = delivery.attributes.remove(MARK) else { return Ok(delivery) };
        match self.pointers.fetch(&mark).await {
            Ok(Some(body)) => Ok(Delivery { body, ..delivery }),
            Ok(None) => {
                tracing::error!(message.id = delivery.message_id, "the body of a large message is gone");
                Ok(delivery)
            }
            Err(error) => {
                self.extend(&delivery.receipt, Duration::ZERO).await?;
                Err(error)
            }
        }
    }
}

#[async_trait]
impl Queues for AwsQueues {
    async fn send(&self, queue: &Queue, message: Outgoing) -> Result<String> {
        limits::check(queue, &message)?;
        let message = self.pointers.shrink(message).await?;
        for _ in 0..2 {
            if let Some(id) = self.send_once(queue, &message).await? {
                return Ok(id);
            }
        }
        Err(CloudError::unavailable(format!("sending to {queue}"), "the queue was made but is not there"))
    }

    async fn receive(&self, queue: &Queue, max: usize, wait: Duration) -> Result<Vec<Delivery>> {
        limits::check_receive(queue, max, wait)?;
        let mut messages = self.receive_once(queue, max, wait).await?;
        if messages.is_none() {
            messages = self.receive_once(queue, max, wait).await?;
        }
        let (mut found, mut failure) = (Vec::new(), None);
        for message in messages.unwrap_or_default() {
            match self.whole(delivery(queue, message)?).await {
                Ok(delivery) => found.push(delivery),
                Err(error) => failure = Some(error),
            }
        }
        match failure {
            Some(error) if found.is_empty() => Err(error),
            _ => Ok(found),
        }
    }

    async fn extend(&self, receipt: &Receipt, visibility: Duration) -> Result<()> {
        limits::check_visibility(receipt, visibility)?;
        let request = self
            .sqs
            .change_message_visibility()
            .queue_url(self.urls.get(&receipt.queue).await?)
            .receipt_handle(&receipt.handle)
            .visibility_timeout(whole_secs(visibility));
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) if says(&error, VOID) || says(&error, MISSING) || is_void(&error) => {
                Err(void(receipt))
            }
            Err(error) => Err(failed(&format!("keeping a message of {}", receipt.queue), &error)),
        }
    }

    async fn delete(&self, receipt: &Receipt) -> Result<()> {
        let url = self.urls.get(&receipt.queue).await?;
        match self.sqs.delete_message().queue_url(url).receipt_handle(&receipt.handle).send().await {
            Ok(_) => Ok(()),
            Err(error) if says(&error, VOID) || is_void(&error) => {
                // A standard queue has nothing to say of what is gone: deleting twice is fine.
                if receipt.queue.is_fifo() { Err(void(receipt)) } else { Ok(()) }
            }
            Err(error) if says(&error, MISSING) => Ok(()),
            Err(error) => Err(failed(&format!("deleting a message of {}", receipt.queue), &error)),
        }
    }

    async fn remove_queue(&self, queue: &Queue) -> Result<()> {
        let Some(url) = self.urls.find(queue).await? else { return Ok(()) };
        self.urls.forget(queue);
        match self.sqs.delete_queue().queue_url(url).send().await {
            Ok(_) => Ok(()),
            Err(error) if says(&error, MISSING) => Ok(()),
            Err(error) => Err(failed(&format!("removing {queue}"), &error)),
        }
    }

    async fn depth(&self, queue: &Queue) -> Result<Depth> {
        let Some(url) = self.urls.find(queue).await? else { return Ok(Depth::default()) };
        let counts = [
            Attribute::ApproximateNumberOfMessages,
            Attribute::ApproximateNumberOfMessagesNotVisible,
            Attribute::ApproximateNumberOfMessagesDelayed,
        ];
        let request = self.sqs.get_queue_attributes().queue_url(url);
        let answer = match request.set_attribute_names(Some(counts.to_vec())).send().await {
            Ok(answer) => answer.attributes.unwrap_or_default(),
            Err(error) if says(&error, MISSING) => {
                self.urls.forget(queue);
                return Ok(Depth::default());
            }
            Err(error) => return Err(failed(&format!("measuring {queue}"), &error)),
        };
        let [visible, in_flight, delayed] =
            counts.map(|name| answer.get(&name).and_then(|count| count.parse().ok()).unwrap_or(0));
        Ok(Depth { visible, in_flight, delayed })
    }
}

/// SQS says of an expired or unknown receipt that a parameter is invalid, and only its words tell which.
fn is_void<E, R>(error: &aws_sdk_sqs::error::SdkError<E, R>) -> bool
where
    E: aws_sdk_sqs::error::ProvideErrorMetadata,
{
    use aws_sdk_sqs::error::ProvideErrorMetadata as _;
    const WORDS: &[&str] = &[
        "receipt handle has expired",
        "does not exist or is not available for visibility timeout change",
        "message does not exist",
    ];
    let message = error.message().unwrap_or_default().to_ascii_lowercase();
    says(error, &["InvalidParameterValue"]) && WORDS.iter().any(|words| message.contains(words))
}

fn void(receipt: &Receipt) -> CloudError {
    CloudError::NotFound(format!("the delivery of a message of {}", receipt.queue))
}

/// Whole seconds, rounded up.
fn whole_secs(span: Duration) -> i32 {
    i32::try_from(span.as_millis().div_ceil(1000)).unwrap_or(i32::MAX)
}

fn attributes(message: &Outgoing) -> Result<Option<HashMap<String, MessageAttributeValue>>> {
    let text = |(name, value): (&String, &String)| {
        let value = MessageAttributeValue::builder().data_type("String").string_value(value).build();
        value.map(|value| (name.clone(), value))
    };
    let all: HashMap<_, _> = message
        .attributes
        .iter()
        .map(text)
        .collect::<std::result::Result<_, _>>()
        .map_err(|error| CloudError::Invalid(format!("an attribute of a message: {error}")))?;
    Ok((!all.is_empty()).then_some(all))
}

fn delivery(queue: &Queue, message: Message) -> Result<Delivery> {
    let what = || format!("receiving from {queue}");
    let system = message.attributes.unwrap_or_default();
    let number = |name: &System| system.get(name).and_then(|text| text.parse::<i64>().ok()).unwrap_or(0);
    let handle = message
        .receipt_handle
        .ok_or_else(|| CloudError::unavailable(what(), "a message came without a receipt"))?;
    let attributes: BTreeMap<String, String> = message
        .message_attributes
        .unwrap_or_default()
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.string_value?)))
        .collect();
    Ok(Delivery {
        message_id: message.message_id.unwrap_or_default(),
        body: message.body.unwrap_or_default(),
        group: queue.is_fifo().then(|| system.get(&System::MessageGroupId).cloned()).flatten(),
        attributes,
        receive_count: u32::try_from(number(&System::ApproximateReceiveCount)).unwrap_or(u32::MAX),
        sent_at: Timestamp::from_millis(number(&System::SentTimestamp)),
        receipt: Receipt { queue: queue.clone(), handle },
    })
}
