//! The email queue: each message becomes a mail, or is set aside once with the reason.

use std::sync::Arc;

use common::cloud::Result;
use common::cloud::queue::Delivery;
use common::domain::names::Queue;
use tokio_util::sync::CancellationToken;

use super::envelope::Opened;
use super::record::Origin;
use super::verify::Word;
use super::{Arrival, accept, envelope, stored};
use crate::app::App;
use crate::feed::{Feed, Then, set_aside};
use crate::returned;

/// Works the queue off until it is told to stop.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    let mut feed = Feed::new(app.clone(), Queue::Email, "email queue", stop);
    while let Some(batch) = feed.next().await {
        for delivery in &batch {
            while let Err(error) = take(&app, delivery).await {
                if feed.failed(delivery, &error).await == Then::GoOn {
                    break;
                }
            }
        }
    }
}

/// Handles one message: it is deleted only when its mail has an ending or it was set aside.
pub async fn take(app: &App, delivery: &Delivery) -> Result<()> {
    let says = |word: Word| if is_last(delivery) { word.for_the_last_time() } else { word };
    match envelope::open(&delivery.body) {
        Ok(Opened::Mail(mail)) => {
            let word = says(mail.word);
            accept(app, Arrival { raw: mail.raw.into(), origin: Origin::Queue, word }).await?;
            app.cloud.queues.delete(&delivery.receipt).await
        }
        Ok(Opened::Feedback(feedback)) => {
            returned::take(app, &feedback).await?;
            app.cloud.queues.delete(&delivery.receipt).await
        }
        Ok(Opened::Nothing) => app.cloud.queues.delete(&delivery.receipt).await,
        Ok(Opened::Stored(pointers)) => match stored::take(app, &pointers, Origin::Queue, says).await? {
            Ok(_) => app.cloud.queues.delete(&delivery.receipt).await,
            Err(not_ours) => set_aside(app, delivery, Queue::EmailDead, &not_ours.to_string()).await,
        },
        Err(reason) => set_aside(app, delivery, Queue::EmailDead, &reason.to_string()).await,
    }
}

/// Whether the queue gives a message up that cannot be worked off now.
fn is_last(delivery: &Delivery) -> bool {
    Queue::Email.redrive().is_some_and(|(_, most)| delivery.receive_count >= most)
}
