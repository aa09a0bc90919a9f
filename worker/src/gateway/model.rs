//! To the model: two routes of its API and no other. The child's key is only good here; the real one is put in its place.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use subtle::ConstantTimeEq as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use url::Url;

use super::body::Body;
use super::tap::Tap;
use super::{Refused, collect};
use crate::meter::Meter;
use crate::secrets::Secret;

/// What the agent is told when most of what it may use is used.
const COME_TO_AN_END: &str = "<system-reminder>\nThe budget of this request is nearly used up. Begin nothing new: bring what you are at to a \
    consistent state in as few steps as possible, then end with your words for the owner, and say what is left to do.\n</system-reminder>";
/// Where the model is, unless told otherwise.
const USUAL: &str = "https://api.anthropic.com";
const ROUTES: [&str; 2] = ["/v1/messages", "/v1/messages/count_tokens"];
/// Sent on; everything else a child says of itself is not.
const SENT_ON: [&str; 6] = [
    "accept",
    "anthropic-beta",
    "anthropic-dangerous-direct-browser-access",
    "anthropic-version",
    "content-type",
    "user-agent",
];
/// Handed back.
const HANDED_BACK: [&str; 4] = ["content-type", "request-id", "retry-after", "x-should-retry"];
const RATES: &str = "anthropic-ratelimit-";
/// The API takes no more.
const MAX_BODY_BYTES: usize = 32 * 1024 * 1024;
/// Tools that the child runs itself. Others the model's provider would run, on the network: a way out for whatever the child
/// has seen.
const OWN_TOOLS: [&str; 3] = ["custom", "text_editor_", "bash_"];
/// Where pictures and documents come from that are in the request. Others the provider would fetch.
const OWN_SOURCES: [&str; 3] = ["base64", "text", "content"];

/// The model's API.
#[derive(Debug)]
pub struct Model {
    base: Url,
    key: Option<HeaderValue>,
    client: reqwest::Client,
}

/// The model cannot be reached as it is set up.
#[derive(Debug, thiserror::Error)]
pub enum NoModel {
    /// No address.
    #[error("ANTHROPIC_BASE_URL {0:?} is no http or https address")]
    Address(String),
    /// Not a key.
    #[error("ANTHROPIC_API_KEY has characters that no key has")]
    Key,
    /// Nothing is trusted here.
    #[error(
        "no client for TLS could be made ({0}): install ca-certificates, or check SSL_CERT_FILE and SSL_CERT_DIR"
    )]
    Client(#[from] reqwest::Error),
}

impl Model {
    /// From the settings.
    pub fn new(base: Option<&str>, key: Option<&Secret>, client: reqwest::Client) -> Result<Self, NoModel> {
        let text = base.unwrap_or(USUAL);
        let wrong = || NoModel::Address(text.to_owned());
        let base = Url::parse(text.trim_end_matches('/')).map_err(|_| wrong())?;
        if !["http", "https"].contains(&base.scheme()) || base.host_str().is_none() {
            return Err(wrong());
        }
        let header = |key: &Secret| {
            let mut value = HeaderValue::from_str(key.expose()).map_err(|_| NoModel::Key)?;
            value.set_sensitive(true);
            Ok::<_, NoModel>(value)
        };
        let key = key.map(header).transpose()?;
        Ok(Self { base, key, client })
    }

    pub(super) async fn pass(
        &self,
        given: &str,
        meter: &Meter,
        turns: &Arc<Semaphore>,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Refused> {
        let path = request.uri().path().to_owned();
        if request.method() != Method::POST || !ROUTES.contains(&path.as_str()) {
            return Err(Refused::forbidden("only messages go to the model"));
        }
        if !is_ours(request.headers(), given) {
            return Err(Refused {
                status: StatusCode::UNAUTHORIZED,
                reason: "not the key of this run".to_owned(),
            });
        }
        let turn =
            Arc::clone(turns).acquire_owned().await.map_err(|_| Refused::forbidden("the run is over"))?;
        if let Some(met) = meter.met() {
            return Err(Refused::forbidden(format!("{met} was met")));
        }
        let mut target = self.base.clone();
        target.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        target.set_query(request.uri().query());
        let headers = self.headers(request.headers());
        let body = collect(request.into_body(), MAX_BODY_BYTES).await?;
        if let Some(what) = leads_out(&body)? {
            return Err(Refused::forbidden(format!(
                "{what} leads on from the provider, where nothing is fenced"
            )));
        }
        let body = if meter.is_nearly_met() { told_to_end(&body).map_or(body, Bytes::from) } else { body };
        let answer = self.client.post(target).headers(headers).body(body).send().await;
        Ok(hand_back(answer.map_err(|error| Refused::failed(chain(&error)))?, Tap::new(meter.clone()), turn))
    }

    fn headers(&self, of_child: &HeaderMap) -> HeaderMap {
        let sent_on =
            |name: &HeaderName| SENT_ON.contains(&name.as_str()) || name.as_str().starts_with("x-stainless-");
        let mut headers: HeaderMap = of_child
            .iter()
            .filter(|(name, _)| sent_on(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        if let Some(key) = &self.key {
            headers.insert("x-api-key", key.clone());
        }
        headers
    }
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

#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    tools: Vec<Tool>,
    #[serde(default)]
    mcp_servers: Vec<serde::de::IgnoredAny>,
    #[serde(default)]
    container: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    system: Value,
    #[serde(default)]
    messages: Value,
}

#[derive(Deserialize)]
struct Tool {
    #[serde(rename = "type")]
    kind: Option<String>,
}

/// A tool that runs, or a source that lies, elsewhere than with the child.
fn leads_out(body: &[u8]) -> Result<Option<String>, Refused> {
    let malformed = |error| Refused {
        status: StatusCode::BAD_REQUEST,
        reason: format!("the request is not what the model takes: {error}"),
    };
    let asked: Asked = serde_json::from_slice(body).map_err(malformed)?;
    if !asked.mcp_servers.is_empty() {
        return Ok(Some("mcp_servers".to_owned()));
    }
    if asked.container.is_some() {
        return Ok(Some("container".to_owned()));
    }
    let is_own =
        |kind: &String| kind == OWN_TOOLS[0] || OWN_TOOLS[1..].iter().any(|own| kind.starts_with(own));
    let tool = asked.tools.into_iter().filter_map(|tool| tool.kind).find(|kind| !is_own(kind));
    let source = || [&asked.system, &asked.messages].into_iter().find_map(foreign_source);
    Ok(tool.or_else(source))
}

/// A source that is not in the request, however deep; what a tool is told is data and means nothing to the provider.
fn foreign_source(part: &Value) -> Option<String> {
    match part {
        Value::Array(parts) => parts.iter().find_map(foreign_source),
        Value::Object(block) => {
            let source = block.get("source").filter(|source| source.is_object());
            let foreign = source.map(|source| source["type"].as_str().unwrap_or_default());
            if let Some(kind) = foreign.filter(|kind| !OWN_SOURCES.contains(kind)) {
                return Some(format!("a source of type {kind:?}"));
            }
            let is_told =
                |name: &str| name == "input" && block.get("type").is_some_and(|kind| kind == "tool_use");
            block.iter().filter(|(name, _)| !is_told(name)).find_map(|(_, part)| foreign_source(part))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

/// The request with a note to the agent behind the last message of its side; none when there is none.
fn told_to_end(body: &[u8]) -> Option<Vec<u8>> {
    let mut asked: Value = serde_json::from_slice(body).ok()?;
    let last = asked.get_mut("messages")?.as_array_mut()?.last_mut().filter(|last| last["role"] == "user")?;
    let content = last.get_mut("content")?;
    if let Value::String(text) = content {
        *content = json!([{"type": "text", "text": text}]);
    }
    content.as_array_mut()?.push(json!({"type": "text", "text": COME_TO_AN_END}));
    serde_json::to_vec(&asked).ok()
}

/// The next request has its turn when all of this one is handed back, or nobody wants it any more.
fn hand_back(answer: reqwest::Response, mut tap: Tap, turn: OwnedSemaphorePermit) -> Response<Body> {
    let (parts, body) = hyper::http::Response::<reqwest::Body>::from(answer).into_parts();
    let body = body.map_frame(move |frame| {
        let _until_then = &turn;
        if let Some(bytes) = frame.data_ref() {
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
    fn tools_that_run_elsewhere_are_noticed() {
        let tool =
            |kind: &str| leads_out(format!(r#"{{"tools":[{{"name":"x"}},{{"type":"{kind}"}}]}}"#).as_bytes());
        for own in ["custom", "text_editor_20250728", "bash_20250124"] {
            assert_eq!(tool(own).unwrap(), None, "{own}");
        }
        for foreign in ["web_fetch_20250910", "mcp_toolset", "invented_tomorrow", "customary", ""] {
            assert_eq!(tool(foreign).unwrap().as_deref(), Some(foreign));
        }
        let asked = |body: &str| leads_out(body.as_bytes()).unwrap();
        assert_eq!(asked(r#"{"mcp_servers":[{"url":"https://x"}]}"#).as_deref(), Some("mcp_servers"));
        assert_eq!(asked(r#"{"tools":[{"type":null}],"messages":[]}"#), None);
        assert!(leads_out(b"[").is_err());
    }

    #[test]
    fn pictures_and_documents_come_with_the_request_or_not_at_all() {
        let block = |source: Value| json!({"type": "image", "source": source});
        let asked = |content: Value| {
            let body = json!({"messages": [{"role": "user", "content": content}]});
            leads_out(body.to_string().as_bytes()).unwrap()
        };
        let url = json!({"type": "url", "url": "https://elsewhere.example/?what-was-seen"});
        let picture = json!({"type": "base64", "media_type": "image/png", "data": "AA=="});
        assert_eq!(asked(json!("words")), None);
        assert_eq!(asked(json!([block(picture.clone())])), None);
        assert_eq!(asked(json!([block(json!({"type": "content", "content": [block(picture)]}))])), None);
        for foreign in [
            json!([block(url.clone())]),
            json!([block(json!({"type": "file", "file_id": "f"}))]),
            json!([block(json!({}))]),
            json!([{"type": "tool_result", "content": [block(url.clone())]}]),
            json!([block(json!({"type": "content", "content": [block(url.clone())]}))]),
        ] {
            assert!(asked(foreign.clone()).is_some(), "{foreign}");
        }
        let told = json!([{"type": "tool_use", "name": "Write", "input": {"source": url}}]);
        assert_eq!(asked(told), None, "what a tool is told goes nowhere");
    }

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

    #[test]
    fn addresses_that_are_none_are_refused() {
        let client = || crate::gateway::client().unwrap();
        assert!(Model::new(Some("ftp://x"), None, client()).is_err());
        assert!(Model::new(Some("nonsense"), None, client()).is_err());
        assert_eq!(Model::new(None, None, client()).unwrap().base.as_str(), "https://api.anthropic.com/");
    }
}
