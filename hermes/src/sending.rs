//! The one loop that gives mails to their carrier, so that nobody else waits for it: whoever writes a mail down hands its row
//! on, reserved as it is, and goes on. Where no loop runs (a command, the end of hermes), a mail is sent on the spot.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use common::cloud::Result;
use common::cloud::store::Stored;
use common::domain::timestamp::Timestamp;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::outbox::{self, OutboxRecord};

/// So many are with a carrier at once: as many are held up by one that does not answer.
const AT_ONCE: usize = 4;
/// So many wait; what finds no place in the line is left to the sweep.
const PLACES: usize = 256;
/// So long a reservation covers the wait; whoever waited longer reserves anew.
pub(crate) const MAX_WAIT: Duration = Duration::from_secs(5);

/// The way to the loop.
#[derive(Debug, Default)]
pub struct Line(OnceLock<Sender<Waiting>>);

/// A mail that is reserved for us.
#[derive(Debug)]
struct Waiting {
    stored: Stored<OutboxRecord>,
    since: Timestamp,
}

impl Line {
    /// Whether mails wait in it.
    pub(crate) fn is_open(&self) -> bool {
        self.0.get().is_some_and(|line| !line.is_closed())
    }

    fn open(&self) -> Option<Receiver<Waiting>> {
        let (line, waiting) = channel(PLACES);
        self.0.set(line).ok().map(|()| waiting)
    }
}

/// Sends a mail that is reserved for us, or hands it on to the loop that does.
pub(crate) async fn hand_on(app: &App, stored: Stored<OutboxRecord>) -> Result<()> {
    let waiting = Waiting { stored, since: app.cloud.clock.now() };
    let left = match app.line.0.get() {
        None => waiting,
        Some(line) => match line.try_send(waiting) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Closed(waiting)) => waiting,
            Err(TrySendError::Full(waiting)) => {
                tracing::warn!(mail.id = %waiting.stored.value.mail_id, "many mails wait for their carrier; one more is left to the sweep");
                return Ok(());
            }
        },
    };
    outbox::send(app, left.stored).await
}

/// Sends what is handed on until it is told to stop; what waits then is sent first. Mails can be handed on from the call on,
/// before it is waited for.
pub fn run(app: Arc<App>, stop: CancellationToken) -> impl Future<Output = ()> + Send + 'static {
    let line = app.line.open();
    async move {
        let Some(mut line) = line else { return };
        let mut under_way = JoinSet::new();
        loop {
            tokio::select! {
                Some(_) = under_way.join_next() => {}
                next = line.recv(), if under_way.len() < AT_ONCE => match next {
                    Some(waiting) => drop(under_way.spawn(send(app.clone(), waiting))),
                    None => break,
                },
                () = stop.cancelled(), if !line.is_closed() => line.close(),
            }
        }
        under_way.join_all().await;
    }
}

async fn send(app: Arc<App>, waiting: Waiting) {
    let id = waiting.stored.value.mail_id.clone();
    let late = app.cloud.clock.now().since(waiting.since) > MAX_WAIT;
    let sent = if late {
        outbox::send_reserved_anew(&app, waiting.stored).await
    } else {
        outbox::send(&app, waiting.stored).await
    };
    if let Err(error) = sent {
        tracing::warn!(%error, mail.id = %id, "a mail could not be sent yet; the sweep tries again");
    }
}
