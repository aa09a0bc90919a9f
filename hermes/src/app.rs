//! What every room of a running hermes shares: the six doors, the settings that matter while it runs, and how it fares.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use common::cloud::Cloud;
use common::cloud::files::{At, IfMatch};
use common::cloud::local::smtp::SmtpMailer;
use common::cloud::store::{Key, Table};
use common::domain::names::{Queue, SiteTarget, SitesDomain};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::announced::Announced;
use crate::config::{CarrierSettings, MailFrom, MailSettings, Orchestrator, PublicUrl, RateSettings};
use crate::inbound::Inbound;
use crate::ingest::verify::Verifier;
use crate::limits::Turns;
use crate::mail::recipient::Place;
use crate::secrets::SecretKey;
use crate::sending::Line;

/// What is written to see whether there is room: as much as a usual mail.
const PROBE: &[u8] = &[0; 64 * 1024];
/// How long the outcome of such a write is believed.
const PROBE_AGE: Duration = Duration::from_secs(1);

/// A cloud whose mail goes by this server, if one is named.
pub fn carried(mut cloud: Cloud, by: &CarrierSettings, from: &MailFrom) -> Cloud {
    if let Some(server) = &by.smtp_url {
        cloud.mailer = Arc::new(SmtpMailer::new(server.clone(), from.address.clone()));
    }
    cloud
}

/// The shared part.
pub struct App {
    /// The outside.
    pub cloud: Cloud,
    /// Who answers are from.
    pub mail_from: MailFrom,
    /// Where mail reaches us besides its domain.
    pub mail_to: Vec<Place>,
    /// How browsers reach us.
    pub public_url: PublicUrl,
    /// Below which domain they reach the sites.
    pub sites_domain: SitesDomain,
    /// The key of our Message-IDs.
    pub secret: SecretKey,
    /// What was announced lately.
    pub announced: Announced,
    /// What works and what does not.
    pub health: Health,
    /// How many mails are taken.
    pub rates: RateSettings,
    /// Who counts now.
    pub turns: Turns,
    /// Room for the mails that are being taken in.
    pub inbound: Inbound,
    /// Who puts work on its queue.
    pub orchestrator: Orchestrator,
    /// What shows who wrote a mail.
    pub verifier: Verifier,
    /// Mails that wait for their carrier.
    pub line: Line,
    /// Woken when a mail or a result comes: there may be something to look after.
    pub stirred: Notify,
    written: tokio::sync::Mutex<Option<(Instant, Option<String>)>>,
}

impl App {
    /// Puts it together; `port` is where we listen.
    pub fn new(cloud: Cloud, settings: &MailSettings, secret: SecretKey, port: u16) -> Self {
        Self {
            cloud: carried(cloud, &settings.carrier, &settings.mail_from),
            mail_from: settings.mail_from.clone(),
            mail_to: settings.mail_to.clone(),
            public_url: settings.links.public_url.clone().unwrap_or(PublicUrl::of_port(port)),
            sites_domain: settings.links.sites_domain.clone(),
            secret,
            announced: Announced::default(),
            health: Health::default(),
            rates: settings.rates,
            turns: Turns::default(),
            inbound: Inbound::default(),
            orchestrator: settings.orchestrator,
            verifier: Verifier::new(settings),
            line: Line::default(),
            stirred: Notify::new(),
            written: tokio::sync::Mutex::default(),
        }
    }

    /// Where browsers find a site: in its own bucket, else here.
    pub fn site_url(&self, site: &SiteTarget) -> String {
        match self.cloud.files.public_host(site) {
            Some(host) => host.url(),
            None => self.public_url.of_host(&site.host(&self.sites_domain)),
        }
    }

    /// What stands in the way of working; empty when all is well.
    pub async fn obstacles(&self) -> Vec<String> {
        let mut obstacles = self.silent(self.unwritable()).await;
        obstacles.extend(self.health.failing());
        obstacles
    }

    /// The doors that do not answer, each asked now.
    pub async fn silent_doors(&self) -> Vec<String> {
        self.silent(self.try_to_write()).await
    }

    async fn silent(&self, files: impl Future<Output = Option<String>>) -> Vec<String> {
        let probe = Key::of("readyz");
        let (store, queues, files) = tokio::join!(
            self.cloud.store.get(Table::Projects, &probe),
            self.cloud.queues.depth(&Queue::Output),
            files,
        );
        let store = store.err().map(|error| format!("tables: {error}"));
        let queues = queues.err().map(|error| format!("queues: {error}"));
        store.into_iter().chain(queues).chain(files).collect()
    }

    /// Why nothing can be written at present: a disk that is full can still be read. Tried once a second at most, however
    /// many ask.
    async fn unwritable(&self) -> Option<String> {
        let mut written = self.written.lock().await;
        if let Some((at, outcome)) = &*written
            && at.elapsed() < PROBE_AGE
        {
            return outcome.clone();
        }
        let outcome = self.try_to_write().await;
        *written = Some((Instant::now(), outcome.clone()));
        outcome
    }

    async fn try_to_write(&self) -> Option<String> {
        let (at, bytes) = (At::object("probe"), Bytes::from_static(PROBE));
        let write = self.cloud.files.put(&at, bytes, IfMatch::Any).await;
        write.err().map(|error| format!("files: {error}"))
    }
}

/// Which loops fail at present, and why.
#[derive(Debug, Default)]
pub struct Health(Mutex<BTreeMap<&'static str, String>>);

impl Health {
    /// A loop works.
    pub fn well(&self, part: &'static str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(part);
    }

    /// A loop fails.
    pub fn ill(&self, part: &'static str, reason: impl ToString) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(part, reason.to_string());
    }

    /// The loops that fail.
    pub fn failing(&self) -> Vec<String> {
        let parts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        parts.iter().map(|(part, reason)| format!("{part}: {reason}")).collect()
    }
}
