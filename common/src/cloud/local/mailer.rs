//! Outgoing mail as files in a folder: one per deduplication key, whole and synced, never written twice.

use std::io::{self, ErrorKind};
use std::time::Duration;

use async_trait::async_trait;

use super::durable;
use super::layout::Layout;
use crate::cloud::mailer::{Mailer, OutgoingMail, Ready, Sent, check_key};
use crate::cloud::{CloudError, Result};
use crate::domain::ids::EmailAddress;

/// A disk that takes longer is no disk.
const LONGEST: Duration = Duration::from_secs(10);

/// The door.
pub(super) struct LocalMailer {
    layout: Layout,
}

impl LocalMailer {
    /// Into the outbox of this directory.
    pub(super) fn new(layout: Layout) -> Self {
        Self { layout }
    }
}

#[async_trait]
impl Mailer for LocalMailer {
    async fn send(&self, mail: &OutgoingMail) -> Result<Sent> {
        check_key(&mail.dedup_key)?;
        let (layout, mail) = (self.layout.clone(), mail.clone());
        tokio::task::spawn_blocking(move || keep(&layout, &mail))
            .await
            .map_err(|e| CloudError::unavailable("sending a mail", e))?
    }

    async fn ready(&self, _: &EmailAddress) -> Result<Ready> {
        Ok(Ready::StaysHere(self.layout.outbox().display().to_string()))
    }

    fn longest(&self) -> Duration {
        LONGEST
    }

    fn goes_out(&self) -> bool {
        false
    }
}

fn keep(layout: &Layout, mail: &OutgoingMail) -> Result<Sent> {
    let place = layout.outbox().join(format!("{}.eml", mail.dedup_key));
    let written = || -> io::Result<()> {
        let unfinished = durable::write_unfinished(&layout.unfinished(), &mail.bytes)?;
        match std::fs::hard_link(unfinished.path(), &place) {
            // It was sent before, by somebody who may not have come to the sync of the folder.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            linked => linked?,
        }
        durable::sync_folder(&layout.outbox())
    };
    written().map_err(|error| {
        CloudError::unavailable(
            "sending a mail",
            format!("{}: {error}; {}", place.display(), durable::advice(&error)),
        )
    })?;
    Ok(Sent { place: place.display().to_string(), message_id: None })
}
