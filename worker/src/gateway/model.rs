//! To the model: what it may be asked, and nothing else. The child's key is only good here; the real one, or a signature, is
//! put in its place.

use bytes::Bytes;
use common::cloud::CloudError;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::{Request, Response, StatusCode};
use subtle::ConstantTimeEq as _;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::asked::{Asked, told_to_end};
use super::body::Body;
use super::provider::Provider;
use super::tap::{Account, Tap};
use super::turns::{MAX_BODY_BYTES, Turns};
use super::{Refused, SILENCE, collect};
use crate::meter::{Aside, Message, Met, Meter};
use crate::secrets::Secret;

/// Handed back.
const HANDED_BACK: [&str; 6] =
    ["content-type", "request-id", "retry-after", "x-should-retry", "x-amzn-requestid", "x-amzn-errortype"];
const RATES: &str = "anthropic-ratelimit-";

/// The way to the model.
#[derive(Debug)]
pub struct Model {
    provider: Provider,
    client: reqwest::Client,
}

/// The model cannot be reached as it is set up.
#[derive(Debug, thiserror::Error)]
pub enum NoModel {
    /// No address.
    #[error("{0} {1:?} is no http or https address")]
    Address(&'static str, String),
    /// Not a key.
    #[error("ANTHROPIC_API_KEY has characters that no key has")]
    Key,
    /// Nobody to sign for.
    #[error("{0}; set AWS_BEDROCK_REGION, and give this machine credentials of AWS")]
    Bedrock(CloudError),
    /// Left out of this build.
    #[error(
        "this program was built without AWS, which Amazon Bedrock (CLAUDE_CODE_USE_BEDROCK) needs: build it with --features aws"
    )]
    NoAws,
    /// Nothing is trusted here.
    #[error(
        "no client for TLS could be made ({0}): install ca-certificates, or check SSL_CERT_FILE and SSL_CERT_DIR"
    )]
    Client(#[from] reqwest::Error),
}

impl Model {
    /// Of the Messages API, from its address and key.
    pub fn new(base: Option<&str>, key: Option<&Secret>, client: reqwest::Client) -> Result<Self, NoModel> {
        Ok(Self { provider: Provider::messages(base, key)?, client })
    }

    /// Of Amazon Bedrock, at its usual address or another.
    #[cfg(feature = "aws")]
    pub fn bedrock(
        base: Option<&str>,
        signer: common::cloud::aws::bedrock::Signer,
        client: reqwest::Client,
    ) -> Result<Self, NoModel> {
        Ok(Self { provider: Provider::bedrock(base, signer)?, client })
    }

    /// What a child is told that reaches it here, with this key.
    pub(super) fn environment(&self, address: String, key: &str) -> Vec<(&'static str, String)> {
        self.provider.environment(address, key)
    }

    pub(super) async fn pass(
        &self,
        given: &str,
        meter: &Meter,
        turns: &Turns,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Refused> {
        let (child, body) = request.into_parts();
        let target = self.provider.target(&child.method, &child.uri);
        let target = target.ok_or_else(|| Refused::forbidden("only messages go to the model"))?;
        if !is_ours(&child.headers, given) {
            return Err(Refused {
                status: StatusCode::UNAUTHORIZED,
                reason: "not the key of this run".to_owned(),
            });
        }
        meter.asks();
        let turn = turns.of_request().await?;
        let _held = turns.of_bytes(&body).await?;
        if let Some(met) = meter.met() {
            return Err(was_met(met));
        }
        let body = collect(body, MAX_BODY_BYTES).await?;
        let asked = Asked::of(&body)?;
        if let Some(why) = asked.refused() {
            return Err(Refused::forbidden(why));
        }
        let paid = self.provider.paid(&target, asked.model());
        let message = paid.map(|model| Message::awaited(model, body.len(), asked.max_output()));
        let aside = set_aside(meter, message.as_ref()).await?;
        let body = if meter.is_nearly_met() { told_to_end(&body).map_or(body, Bytes::from) } else { body };
        let headers = self.provider.headers(&target, &child.headers, &body).await?;
        let mut account = Account::open(meter.clone(), message, aside);
        let answer = self.client.post(target).headers(headers).body(body).send().await;
        let is_refused = match &answer {
            Ok(answer) => !answer.status().is_success(),
            // Who was only too slow for us may have worked on it.
            Err(error) => error.is_connect() || !error.is_timeout(),
        };
        if is_refused {
            account.take_back();
        }
        Ok(hand_back(answer.map_err(|error| Refused::failed(chain(&error)))?, meter, account, turn))
    }
}

/// What an answer may cost is set aside, as soon as it may be.
async fn set_aside(meter: &Meter, message: Option<&Message>) -> Result<Option<Aside>, Refused> {
    let Some(message) = message else { return Ok(None) };
    let aside = timeout(SILENCE, meter.set_aside(message.may_cost_usd())).await.map_err(|_| Refused {
        status: StatusCode::SERVICE_UNAVAILABLE,
        reason: "requests under way may use up what is left of the budget".to_owned(),
    })?;
    aside.map(Some).map_err(was_met)
}

fn was_met(met: Met) -> Refused {
    Refused::forbidden(format!("{met} was met"))
}

/// Without the address, which may be an inner one, but with the cause.
fn chain(error: &reqwest::Error) -> String {
    let mut text = "the model could not be reached".to_owned();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn is_ours(headers: &HeaderMap, given: &str) -> bool {
    let bearer = headers.get(AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    let key = headers.get("x-api-key").map(HeaderValue::as_bytes).or(bearer);
    key.is_some_and(|key| key.ct_eq(given.as_bytes()).into())
}

/// The next request has its turn when all of this one is handed back, or nobody wants it any more.
fn hand_back(
    answer: reqwest::Response,
    meter: &Meter,
    account: Account,
    turn: OwnedSemaphorePermit,
) -> Response<Body> {
    let (parts, body) = hyper::http::Response::<reqwest::Body>::from(answer).into_parts();
    meter.answered(parts.status.as_u16());
    let meter = meter.clone();
    let mut tap = Tap::of(account, parts.headers.get(CONTENT_TYPE));
    let body = body.map_frame(move |frame| {
        let _until_then = &turn;
        if let Some(bytes) = frame.data_ref() {
            meter.hears();
            tap.read(bytes);
        }
        frame
    });
    let mut response = Response::new(body.boxed());
    *response.status_mut() = parts.status;
    let back = |name: &HeaderName| HANDED_BACK.contains(&name.as_str()) || name.as_str().starts_with(RATES);
    response
        .headers_mut()
        .extend(parts.headers.into_iter().filter(|(name, _)| name.as_ref().is_some_and(back)));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_key_of_the_run_is_taken() {
        let with = |name: &'static str, value: &str| {
            HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())])
        };
        assert!(is_ours(&with("x-api-key", "k-1"), "k-1"));
        assert!(is_ours(&with("authorization", "Bearer k-1"), "k-1"));
        assert!(!is_ours(&with("x-api-key", "k-2"), "k-1"));
        assert!(!is_ours(&HeaderMap::new(), "k-1"));
    }
}
