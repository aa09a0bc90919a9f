//! What whoever asks a model of Amazon Bedrock needs of AWS: requests signed with this machine's credentials, and answers
//! taken out of their event stream. What is asked, and of which model, is not decided here.

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_credential_types::provider::{ProvideCredentials as _, SharedCredentialsProvider};
use aws_sdk_sqs::config::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_eventstream::frame::read_message_from;
use aws_smithy_types::event_stream::Message;
use bytes::BytesMut;
use serde::Deserialize;

use super::connect::load;
use crate::clock::Clock;
use crate::cloud::{CloudError, Result};
use crate::config::AwsSettings;

/// What signatures are made for.
const SERVICE: &str = "bedrock";
/// Credentials are asked for again after so long, as the SDK does.
const KEPT: Duration = Duration::from_mins(15);
/// And so long before they end.
const BEFORE_END: Duration = Duration::from_mins(5);
/// An event has 16 bytes around what it carries, and carries little.
const EVENT_BYTES: RangeInclusive<usize> = 16..=4 * 1024 * 1024;
/// The header that says what an event is: one like any other, or else an exception.
const KIND: &str = ":message-type";
const EVENT: &str = "event";
/// An exception as the Messages API would tell it.
const ERROR: &[u8] = b"{\"type\":\"error\"}";

/// Signs requests (SigV4) for one region, with the credentials that every AWS program on this machine finds.
pub struct Signer {
    region: String,
    credentials: SharedCredentialsProvider,
    clock: Clock,
    known: Mutex<Option<(Credentials, SystemTime)>>,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("region", &self.region).finish_non_exhaustive()
    }
}

impl Signer {
    /// For this region, else the one of the settings, the profile or the machine. An endpoint of our own is not Bedrock:
    /// neither its region nor its credentials are taken.
    pub async fn connect(settings: &AwsSettings, region: Option<&str>, clock: Clock) -> Result<Self> {
        let region = region.map(str::to_owned).or_else(|| settings.aws_region.clone());
        let settings = AwsSettings { aws_endpoint_url: None, aws_region: region, ..settings.clone() };
        let config = load(&settings).await;
        let missing = |what: &str| CloudError::Invalid(format!("there is no {what} for Amazon Bedrock"));
        let region = config.region().ok_or_else(|| missing("region"))?.to_string();
        let credentials = config.credentials_provider().ok_or_else(|| missing("source of credentials"))?;
        Ok(Self { region, credentials, clock, known: Mutex::new(None) })
    }

    /// Where.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// Whether there are credentials; they are not tried.
    pub async fn ready(&self) -> Result<()> {
        self.credentials().await.map(drop)
    }

    /// The headers that a POST of this body to this address needs besides these.
    pub async fn sign(
        &self,
        url: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Vec<(&'static str, String)>> {
        let identity = self.credentials().await?.into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(SERVICE)
            .time(self.now())
            .settings(SigningSettings::default())
            .build()
            .map_err(unsigned)?
            .into();
        let request = SignableRequest::new("POST", url, headers.iter().copied(), SignableBody::Bytes(body))
            .map_err(unsigned)?;
        let (instructions, _) = sign(request, &params).map_err(unsigned)?.into_parts();
        let (headers, _) = instructions.into_parts();
        Ok(headers.into_iter().map(|header| (header.name(), header.value().to_owned())).collect())
    }

    async fn credentials(&self) -> Result<Credentials> {
        let now = self.now();
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((credentials, _)) = known.filter(|(_, until)| now < *until) {
            return Ok(credentials);
        }
        let provided = self.credentials.provide_credentials().await;
        let credentials =
            provided.map_err(|error| CloudError::unavailable("find AWS credentials", whole(&error)))?;
        let usual = now + KEPT;
        let until = credentials.expiry().map_or(usual, |end| usual.min(end - BEFORE_END));
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some((credentials.clone(), until));
        Ok(credentials)
    }

    fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.clock.now().millis().unsigned_abs())
    }
}

fn unsigned(error: impl std::error::Error) -> CloudError {
    CloudError::Invalid(format!("the request cannot be signed: {}", whole(&error)))
}

fn whole(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// The address of Bedrock's runtime in a region.
pub fn runtime_url(region: &str) -> String {
    let below = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    format!("https://bedrock-runtime.{region}.{below}")
}

/// An answer as `application/vnd.amazon.eventstream`.
#[derive(Debug, Default)]
pub struct EventStream {
    partial: BytesMut,
}

/// The part of the model's answer that an event carries, in base64.
#[derive(Deserialize)]
struct Chunk {
    bytes: String,
}

impl EventStream {
    /// The parts of the model's answer, JSON texts, that are whole with these bytes. What is no event stream is an error,
    /// after which nothing can be read any more.
    pub fn read(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>> {
        self.partial.extend_from_slice(bytes);
        let none = |why: &dyn fmt::Display| CloudError::Invalid(format!("no event stream: {why}"));
        let mut parts = Vec::new();
        // Each event begins with its length.
        while let Some(length) = self.partial.first_chunk() {
            let length = u32::from_be_bytes(*length) as usize;
            if !EVENT_BYTES.contains(&length) {
                return Err(none(&format_args!("an event of {length} bytes")));
            }
            if self.partial.len() < length {
                break;
            }
            let mut event = self.partial.split_to(length);
            let message = read_message_from(&mut event).map_err(|error| none(&error))?;
            parts.extend(part(&message));
        }
        Ok(parts)
    }
}

/// An exception carries none; it is told as the error of the Messages API that it stands for.
fn part(event: &Message) -> Option<Vec<u8>> {
    let mut kinds = event.headers().iter().filter(|header| header.name().as_str() == KIND);
    if kinds.any(|kind| kind.value().as_string().is_ok_and(|kind| kind.as_str() != EVENT)) {
        return Some(ERROR.to_vec());
    }
    let chunk: Chunk = serde_json::from_slice(event.payload()).ok()?;
    aws_smithy_types::base64::decode(chunk.bytes).ok()
}

#[cfg(test)]
mod tests {
    use aws_smithy_eventstream::frame::write_message_to;
    use aws_smithy_types::event_stream::{Header, HeaderValue};

    use super::*;
    use crate::domain::timestamp::Timestamp;

    fn event(text: &str) -> Vec<u8> {
        let chunk = serde_json::json!({"bytes": aws_smithy_types::base64::encode(text), "p": "abcdef"});
        let mut bytes = Vec::new();
        write_message_to(&Message::new(chunk.to_string()), &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn an_event_stream_is_read_wherever_it_is_cut() {
        let exception = {
            let mut bytes = Vec::new();
            let kind = Header::new(KIND, HeaderValue::String("exception".into()));
            let message = Message::new("{\"message\":\"slow down\"}").add_header(kind);
            write_message_to(&message, &mut bytes).unwrap();
            bytes
        };
        let all = [event("{\"a\":1}"), exception, event("{\"b\":2}")].concat();
        for at in 0..all.len() {
            let mut stream = EventStream::default();
            let mut parts = stream.read(&all[..at]).unwrap();
            parts.extend(stream.read(&all[at..]).unwrap());
            assert_eq!(parts, [b"{\"a\":1}", ERROR, b"{\"b\":2}"], "cut at {at}");
        }
        assert!(EventStream::default().read(b"data: this is another kind of stream altogether").is_err());
    }

    /// Their end is known; the time stands.
    fn signer(credentials: Credentials) -> Signer {
        let at = Timestamp::from_millis(1_700_000_000_000);
        let clock = Clock::Stepped(crate::clock::SteppedClock::starting_at(at));
        let credentials = SharedCredentialsProvider::new(credentials);
        Signer { region: "eu-central-1".to_owned(), credentials, clock, known: Mutex::new(None) }
    }

    #[tokio::test]
    async fn a_signature_covers_address_headers_and_body() {
        let signer = signer(Credentials::new("AKID", "secret", Some("session".to_owned()), None, "test"));
        let asked = [("content-type", "application/json")];
        let url =
            "https://bedrock-runtime.eu-central-1.amazonaws.com/model/eu.anthropic.claude-x-v1%3A0/invoke";
        let headers_for = async |url: &str, body: &[u8]| {
            let headers = signer.sign(url, &asked, body).await.unwrap();
            let of = |name: &str| headers.iter().find(|(is, _)| *is == name).unwrap().1.clone();
            (of("authorization"), of("x-amz-date"), of("x-amz-security-token"))
        };
        let (authorization, date, token) = headers_for(url, b"{}").await;
        assert!(
            authorization.starts_with(
                "AWS4-HMAC-SHA256 Credential=AKID/20231114/eu-central-1/bedrock/aws4_request, \
                 SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, Signature="
            ),
            "{authorization}"
        );
        assert_eq!((date.as_str(), token.as_str()), ("20231114T221320Z", "session"));
        assert_eq!(headers_for(url, b"{}").await.0, authorization);
        assert_ne!(headers_for(url, b"{ }").await.0, authorization);
        assert_ne!(headers_for(&format!("{url}-x"), b"{}").await.0, authorization);
    }

    #[test]
    fn a_region_names_its_address() {
        assert_eq!(runtime_url("eu-central-1"), "https://bedrock-runtime.eu-central-1.amazonaws.com");
        assert_eq!(runtime_url("cn-north-1"), "https://bedrock-runtime.cn-north-1.amazonaws.com.cn");
    }
}
