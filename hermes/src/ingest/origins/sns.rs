//! Amazon SNS over HTTP: what an envelope must be before its certificate is fetched, and whether its signature holds. Host
//! and path of the certificate are pinned, so that nothing else is ever asked.

use aws_lc_rs::signature::{
    RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256, RsaParameters,
    UnparsedPublicKey,
};
use common::domain::timestamp::Timestamp;
use mail_parser::decoders::base64::base64_decode;
use serde::Deserialize;
use url::Url;
use x509_parser::pem::parse_x509_pem;
use x509_parser::time::ASN1Time;

use crate::config::SnsSignatures;

/// An envelope may be so old.
const MAX_AGE_MILLIS: i64 = 60 * 60 * 1000;
/// And so far ahead of our clock.
const MAX_AHEAD_MILLIS: i64 = 5 * 60 * 1000;
/// The longest field that is not the message.
const MAX_FIELD_BYTES: usize = 4096;

/// Why an envelope is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not an envelope.
    #[error("not an SNS envelope: {0}")]
    Malformed(String),
    /// Of a topic that nobody here subscribed to.
    #[error("its topic is not among HERMES_SNS_TOPICS")]
    Topic,
    /// Signed with SHA-1.
    #[error(
        "its signature is of version 1, which HERMES_SNS_SIGNATURES does not let in: set the topic's SignatureVersion to 2"
    )]
    Version1,
    /// Too old, or of the future.
    #[error("its timestamp is not of the last hour")]
    Time,
    /// An address that is not one of SNS.
    #[error("its {0} is not an address of SNS in the topic's region")]
    Address(&'static str),
    /// The certificate does not show what it should.
    #[error("its certificate: {0}")]
    Certificate(&'static str),
    /// The signature does not hold.
    #[error("its signature does not hold")]
    Signature,
}

/// What an envelope is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Kind {
    /// A message.
    Notification,
    /// Somebody subscribed us; it has to be confirmed.
    SubscriptionConfirmation,
    /// Somebody took us off.
    UnsubscribeConfirmation,
}

/// An envelope as it came.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Envelope {
    /// What it is about.
    #[serde(rename = "Type")]
    pub kind: Kind,
    /// The same for every delivery of it.
    pub message_id: String,
    /// What it holds.
    pub message: String,
    topic_arn: String,
    timestamp: String,
    signature_version: String,
    signature: String,
    #[serde(rename = "SigningCertURL", alias = "SigningCertUrl")]
    signing_cert_url: String,
    subject: Option<String>,
    token: Option<String>,
    #[serde(rename = "SubscribeURL", alias = "SubscribeUrl")]
    subscribe_url: Option<String>,
}

/// An envelope that may be asked about: its topic, time and addresses are right. Whether it is genuine only
/// [`Plausible::verify`] tells.
#[derive(Debug, Clone)]
pub struct Plausible {
    envelope: Envelope,
    /// Where its certificate lies.
    pub certificate: Url,
    confirm: Option<Url>,
    algorithm: &'static RsaParameters,
}

/// A genuine envelope.
#[derive(Debug, Clone)]
pub struct Genuine {
    /// As it came.
    pub envelope: Envelope,
    /// What confirms the subscription, when it is about one.
    pub confirm: Option<Url>,
}

impl Envelope {
    /// Reads one.
    pub fn parse(body: &[u8]) -> Result<Self, Refusal> {
        let envelope: Self =
            serde_json::from_slice(body).map_err(|error| Refusal::Malformed(error.to_string()))?;
        let short =
            [&envelope.message_id, &envelope.topic_arn, &envelope.timestamp, &envelope.signing_cert_url];
        if short.iter().any(|field| field.is_empty() || field.len() > MAX_FIELD_BYTES) {
            return Err(Refusal::Malformed("a field is empty or too long".into()));
        }
        Ok(envelope)
    }

    /// Checks everything that can be checked without asking anybody, so that nothing is fetched for the rest.
    pub fn check(
        self,
        topics: &[String],
        signatures: SnsSignatures,
        now: Timestamp,
    ) -> Result<Plausible, Refusal> {
        if !topics.contains(&self.topic_arn) {
            return Err(Refusal::Topic);
        }
        let sent = Timestamp::parse(&self.timestamp).ok_or(Refusal::Time)?;
        let age = now.millis() - sent.millis();
        if !(-MAX_AHEAD_MILLIS..=MAX_AGE_MILLIS).contains(&age) {
            return Err(Refusal::Time);
        }
        let algorithm = match (self.signature_version.as_str(), signatures) {
            ("2", _) => &RSA_PKCS1_2048_8192_SHA256,
            ("1", SnsSignatures::V1AndV2) => &RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
            ("1", SnsSignatures::V2) => return Err(Refusal::Version1),
            _ => return Err(Refusal::Malformed("its signature is of another version than 1 and 2".into())),
        };
        let host = host_of(&self.topic_arn).ok_or(Refusal::Topic)?;
        let certificate = on_host(&self.signing_cert_url, &host)
            .filter(|url| url.query().is_none() && is_certificate(url.path()))
            .ok_or(Refusal::Address("SigningCertURL"))?;
        let confirm = match self.kind {
            Kind::SubscriptionConfirmation => Some(self.confirmation(&host)?),
            Kind::Notification | Kind::UnsubscribeConfirmation => None,
        };
        Ok(Plausible { envelope: self, certificate, confirm, algorithm })
    }

    fn confirmation(&self, host: &str) -> Result<Url, Refusal> {
        let refused = || Refusal::Address("SubscribeURL");
        let url = self.subscribe_url.as_deref().and_then(|url| on_host(url, host)).ok_or_else(refused)?;
        let has = |name: &str, value: &str| {
            let mut values = url.query_pairs().filter(|(key, _)| key == name).map(|(_, value)| value);
            values.next().is_some_and(|found| found == value) && values.next().is_none()
        };
        let token = self.token.as_deref().unwrap_or_default();
        let is_confirmation = url.path() == "/"
            && has("Action", "ConfirmSubscription")
            && has("TopicArn", &self.topic_arn)
            && has("Token", token);
        if is_confirmation { Ok(url) } else { Err(refused()) }
    }

    /// The string that is signed: names and values, each on its line, in this order.
    fn canonical(&self) -> String {
        let mut fields = vec![("Message", self.message.as_str()), ("MessageId", &self.message_id)];
        match self.kind {
            Kind::Notification => fields.extend(self.subject.as_deref().map(|subject| ("Subject", subject))),
            Kind::SubscriptionConfirmation | Kind::UnsubscribeConfirmation => {
                fields.push(("SubscribeURL", self.subscribe_url.as_deref().unwrap_or_default()));
            }
        }
        fields.push(("Timestamp", &self.timestamp));
        if self.kind != Kind::Notification {
            fields.push(("Token", self.token.as_deref().unwrap_or_default()));
        }
        fields.extend([("TopicArn", self.topic_arn.as_str()), ("Type", self.kind.as_str())]);
        fields.into_iter().flat_map(|(name, value)| [name, "\n", value, "\n"]).collect()
    }
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Notification => "Notification",
            Self::SubscriptionConfirmation => "SubscriptionConfirmation",
            Self::UnsubscribeConfirmation => "UnsubscribeConfirmation",
        }
    }
}

impl Plausible {
    /// Checks the signature by the certificate (PEM) that lies at the pinned place.
    pub fn verify(self, pem: &[u8], now: Timestamp) -> Result<Genuine, Refusal> {
        let (_, pem) = parse_x509_pem(pem).map_err(|_| Refusal::Certificate("it is none"))?;
        let certificate = pem.parse_x509().map_err(|_| Refusal::Certificate("it cannot be read"))?;
        let now = ASN1Time::from_timestamp(now.millis() / 1000)
            .map_err(|_| Refusal::Certificate("our clock is wrong"))?;
        if !certificate.validity().is_valid_at(now) {
            return Err(Refusal::Certificate("it is not valid now"));
        }
        let key = UnparsedPublicKey::new(self.algorithm, &certificate.public_key().subject_public_key.data);
        let signature = base64_decode(self.envelope.signature.as_bytes()).ok_or(Refusal::Signature)?;
        key.verify(self.envelope.canonical().as_bytes(), &signature).map_err(|_| Refusal::Signature)?;
        Ok(Genuine { envelope: self.envelope, confirm: self.confirm })
    }
}

/// The host of SNS in a topic's region (`arn:aws:sns:eu-central-1:123456789012:name`).
fn host_of(topic: &str) -> Option<String> {
    let mut parts = topic.split(':');
    let (arn, partition, service, region) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let legal = !region.is_empty() && region.chars().all(|c| matches!(c, 'a'..='z' | '0'..='9' | '-'));
    if arn != "arn" || service != "sns" || !legal {
        return None;
    }
    match partition {
        "aws" | "aws-us-gov" => Some(format!("sns.{region}.amazonaws.com")),
        "aws-cn" => Some(format!("sns.{region}.amazonaws.com.cn")),
        _ => None,
    }
}

/// An https address on this very host, without port, user or fragment.
fn on_host(text: &str, host: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let plain = url.scheme() == "https"
        && url.host_str() == Some(host)
        && url.port().is_none()
        && url.username().is_empty()
        && url.password().is_none()
        && url.fragment().is_none();
    // What the parser had to mend (tabs, backslashes, other spellings) is not what SNS writes.
    (plain && text.starts_with(&format!("https://{host}/")) && url.as_str() == text).then_some(url)
}

fn is_certificate(path: &str) -> bool {
    let name = path.strip_prefix("/SimpleNotificationService-").and_then(|rest| rest.strip_suffix(".pem"));
    name.is_some_and(|name| (8..=64).contains(&name.len()) && name.chars().all(|c| c.is_ascii_alphanumeric()))
}
