//! SNS over HTTP, with what has to be asked of SNS itself: the certificate of an envelope and the confirmation of a
//! subscription. Asks only pinned addresses, follows no redirects, and takes each message once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use common::cloud::{CloudError, Result};
use common::domain::timestamp::Timestamp;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use url::Url;

use super::envelope::{Opened, open};
use super::origins::sns::{Envelope, Genuine, Kind, Refusal};
use super::record::{MailRecord, Origin};
use super::{Arrival, accept, seen, stored};
use crate::app::App;
use crate::config::SnsSignatures;
use crate::inbound::Held;
use crate::returned;

/// How long SNS may take to answer.
const MAX_FETCH: Duration = Duration::from_secs(10);
/// The most bytes of an answer that are read.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// The most certificates that are kept.
const MAX_CERTIFICATES: usize = 20;
/// So many certificates are asked for within a minute: whoever knows a topic can name new ones for ever, and SNS itself has one
/// for months. With fewer they would soon keep us from asking for that.
const MAX_ASKED: u32 = 60;
const MINUTE: Duration = Duration::from_mins(1);
/// The kind of the rows that say which messages were taken.
const SEEN: &str = "sns-message";

/// Gets what lies at an address; the error is what kept it from that.
pub type Fetch = Arc<dyn Fn(Url) -> BoxFuture<'static, std::result::Result<Bytes, String>> + Send + Sync>;

/// What is known of SNS.
pub struct Sns {
    topics: Vec<String>,
    signatures: SnsSignatures,
    fetch: Fetch,
    certificates: Mutex<Certificates>,
}

/// What was said about a certificate, to all who wait for it.
type Answer = Shared<BoxFuture<'static, std::result::Result<Bytes, String>>>;

/// The certificates that are kept, and those that are being asked for.
#[derive(Default)]
struct Certificates {
    /// Those by which an envelope was shown to be genuine.
    kept: BTreeMap<Url, Bytes>,
    /// Those that were asked for since the minute began: several envelopes that come at once ask for theirs once.
    asked: BTreeMap<Url, Answer>,
    since: Timestamp,
    count: u32,
}

/// Where a certificate comes from.
enum Source {
    Kept(Bytes),
    Asked(Answer),
    /// Too many were asked for already.
    Nowhere,
}

impl Certificates {
    fn of(&mut self, place: &Url, fetch: &Fetch, now: Timestamp) -> Source {
        if let Some(pem) = self.kept.get(place) {
            return Source::Kept(pem.clone());
        }
        if now.since(self.since) >= MINUTE {
            (self.since, self.count) = (now, 0);
            self.asked.clear();
        }
        if let Some(answer) = self.asked.get(place) {
            return Source::Asked(answer.clone());
        }
        if self.count >= MAX_ASKED {
            return Source::Nowhere;
        }
        self.count += 1;
        let answer = within_reason(fetch(place.clone())).boxed().shared();
        self.asked.insert(place.clone(), answer.clone());
        Source::Asked(answer)
    }

    fn keep(&mut self, place: Url, pem: Bytes) {
        if self.kept.len() >= MAX_CERTIFICATES {
            self.kept.clear();
        }
        self.kept.insert(place, pem);
    }
}

/// The answer, if it comes in time.
async fn within_reason(
    answer: impl Future<Output = std::result::Result<Bytes, String>>,
) -> std::result::Result<Bytes, String> {
    tokio::time::timeout(MAX_FETCH, answer).await.unwrap_or_else(|_| Err("it took too long".into()))
}

/// What became of an envelope.
#[derive(Debug)]
pub enum Taken {
    /// Not taken: it is forged, or not meant for us.
    Refused(Refusal),
    /// Holds no mail.
    NoMail(String),
    /// A mail with its ending; the first of several.
    Mail(Box<MailRecord>),
    /// Nothing to answer: it came before, is a test, is about a mail that we sent, or says that we were taken off.
    Nothing,
    /// The subscription is confirmed.
    Confirmed,
}

impl Sns {
    /// With these topics and the net.
    pub fn new(topics: Vec<String>) -> Self {
        Self::asking(topics, over_https())
    }

    /// With another way to fetch.
    pub fn asking(topics: Vec<String>, fetch: Fetch) -> Self {
        Self { topics, signatures: SnsSignatures::default(), fetch, certificates: Mutex::default() }
    }

    /// With other signatures than those of version 2.
    #[must_use]
    pub fn believing(self, signatures: SnsSignatures) -> Self {
        Self { signatures, ..self }
    }

    /// Whether messages of this topic are wanted.
    pub fn wants(&self, topic: &str) -> bool {
        self.topics.iter().any(|wanted| wanted == topic)
    }

    async fn genuine(&self, body: &[u8], now: Timestamp) -> Result<std::result::Result<Genuine, Refusal>> {
        let checked =
            Envelope::parse(body).and_then(|envelope| envelope.check(&self.topics, self.signatures, now));
        let plausible = match checked {
            Ok(plausible) => plausible,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let place = plausible.certificate.clone();
        let source = self.certificates().of(&place, &self.fetch, now);
        let pem = match source {
            Source::Kept(pem) => return Ok(plausible.verify(&pem, now)),
            Source::Asked(answer) => match answer.await {
                Ok(pem) => pem,
                Err(reason) => {
                    self.certificates().asked.remove(&place);
                    return Err(silent(&place, &reason));
                }
            },
            Source::Nowhere => {
                let what = format!("SNS is asked for {MAX_ASKED} certificates a minute, and was");
                return Err(CloudError::Throttled(what));
            }
        };
        let genuine = plausible.verify(&pem, now);
        if genuine.is_ok() {
            self.certificates().keep(place, pem);
        }
        Ok(genuine)
    }

    fn certificates(&self) -> MutexGuard<'_, Certificates> {
        self.certificates.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask(&self, url: Url) -> Result<Bytes> {
        within_reason((self.fetch)(url.clone())).await.map_err(|reason| silent(&url, &reason))
    }
}

fn silent(place: &Url, reason: &str) -> CloudError {
    CloudError::unavailable("ask SNS", format!("{}: {reason}", place.host_str().unwrap_or_default()))
}

/// Takes what SNS, or somebody who says so, posted, and for which there is room. `Ok` may be acknowledged: a mail is durable
/// then.
pub async fn take(app: &App, sns: &Sns, body: &[u8], room: &mut Held) -> Result<Taken> {
    let now = app.cloud.clock.now();
    let Genuine { envelope, confirm } = match sns.genuine(body, now).await? {
        Ok(genuine) => genuine,
        Err(refusal) => return Ok(Taken::Refused(refusal)),
    };
    room.shown();
    if seen::find(app, SEEN, &envelope.message_id).await?.is_some() {
        return Ok(Taken::Nothing);
    }
    let taken = match (envelope.kind, confirm) {
        (Kind::SubscriptionConfirmation, Some(url)) => {
            sns.ask(url).await?;
            tracing::info!("a subscription to an allowed SNS topic is confirmed");
            Taken::Confirmed
        }
        (Kind::Notification, _) => notified(app, &envelope.message).await?,
        (Kind::UnsubscribeConfirmation | Kind::SubscriptionConfirmation, _) => {
            tracing::warn!("SNS says that hermes was taken off a topic");
            Taken::Nothing
        }
    };
    let mail = match &taken {
        Taken::Mail(record) => Some(record.mail_id.clone()),
        _ => None,
    };
    seen::mark(app, SEEN, &envelope.message_id, mail).await?;
    Ok(taken)
}

async fn notified(app: &App, message: &str) -> Result<Taken> {
    match open(message) {
        Ok(Opened::Mail(mail)) => {
            let arrival = Arrival { raw: mail.raw.into(), origin: Origin::Sns, word: mail.word };
            Ok(Taken::Mail(Box::new(accept(app, arrival).await?.record)))
        }
        Ok(Opened::Stored(pointers)) => {
            Ok(match stored::take(app, &pointers, Origin::Sns, |word| word).await? {
                Ok(records) => {
                    records.into_iter().next().map_or(Taken::Nothing, |record| Taken::Mail(Box::new(record)))
                }
                Err(not_ours) => Taken::NoMail(not_ours.to_string()),
            })
        }
        Ok(Opened::Feedback(feedback)) => returned::take(app, &feedback).await.map(|()| Taken::Nothing),
        Ok(Opened::Nothing) => Ok(Taken::Nothing),
        Err(reason) => Ok(Taken::NoMail(reason.to_string())),
    }
}

/// Over https only, without following redirects.
fn over_https() -> Fetch {
    let client = reqwest::Client::builder()
        .https_only(true)
        .redirect(reqwest::redirect::Policy::none())
        .timeout(MAX_FETCH)
        .build()
        .map_err(|error| error.to_string());
    Arc::new(move |url| {
        let client = client.clone();
        Box::pin(async move {
            let mut answer = client?.get(url).send().await.map_err(|error| error.to_string())?;
            if answer.status() != reqwest::StatusCode::OK {
                return Err(format!("it answered {}", answer.status()));
            }
            let mut bytes = Vec::new();
            while let Some(more) = answer.chunk().await.map_err(|error| error.to_string())? {
                bytes.extend_from_slice(&more);
                if bytes.len() > MAX_ANSWER_BYTES {
                    return Err("it answered with too much".into());
                }
            }
            Ok(bytes.into())
        })
    })
}
