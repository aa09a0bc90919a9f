//! A scripted Amazon Bedrock on loopback. It knows one pair of keys and answers nobody whose signature it does not find again.

use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router};
use common::clock::Clock;
use common::domain::timestamp::Timestamp;
use e2e::claude_api::{Turn, next};
use serde_json::{Value, json};

pub(crate) const KEY_ID: &str = "ASIAEXAMPLEOFHERMES0";
pub(crate) const SECRET: &str = "bedrockSecretOfTheTestsThatNobodyElseMayHave";
pub(crate) const TOKEN: &str = "bedrockSessionTokenOfTheTestsThatNobodyElseMayHave";
pub(crate) const REGION: &str = "eu-central-1";
const STREAMED: &str = "/invoke-with-response-stream";

/// One request.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
    pub(crate) signed: bool,
}

/// The running endpoint.
#[derive(Clone)]
pub(crate) struct Endpoint {
    pub(crate) url: String,
    script: Arc<Vec<Turn>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Endpoint {
    pub(crate) async fn start(script: Vec<Turn>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let endpoint = Self { url, script: Arc::new(script), asked: Arc::default() };
        let routes = Router::new().fallback(answer).with_state(endpoint.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        endpoint
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

async fn answer(
    State(endpoint): State<Endpoint>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let signed = method == Method::POST && is_signed(&endpoint.url, &uri, &headers, &body);
    let asked = serde_json::from_slice::<Value>(&body).unwrap_or_default();
    let path = uri.path().to_owned();
    let number = {
        let mut all = endpoint.asked.lock().unwrap();
        all.push(Asked { path: path.clone(), headers, body: asked.clone(), signed });
        all.len()
    };
    if !signed {
        let said = json!({"message": "The request signature we calculated does not match the signature you provided."});
        return (StatusCode::FORBIDDEN, [("x-amzn-errortype", "InvalidSignatureException")], Json(said))
            .into_response();
    }
    if !path.ends_with(STREAMED) {
        return Json(whole(number)).into_response();
    }
    match next(&endpoint.script, &asked) {
        Ok(events) => ([(header::CONTENT_TYPE, "application/vnd.amazon.eventstream")], as_stream(&events))
            .into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, Json(json!({"message": error.to_string()}))).into_response(),
    }
}

/// Each answer costs the same.
fn whole(number: usize) -> Value {
    json!({
        "id": format!("msg_{number}"), "type": "message", "role": "assistant", "model": "claude-haiku-4-5",
        "content": [{"type": "text", "text": "Hello."}], "stop_reason": "end_turn",
        "usage": {"input_tokens": 1000, "output_tokens": 1000},
    })
}

fn as_stream(events: &[Value]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for event in events {
        let chunk =
            json!({"bytes": aws_smithy_types::base64::encode(event.to_string()), "p": "abcdefghijkl"});
        let text = |value: &'static str| HeaderValue::String(value.into());
        let message = Message::new(chunk.to_string())
            .add_header(Header::new(":event-type", text("chunk")))
            .add_header(Header::new(":content-type", text("application/json")))
            .add_header(Header::new(":message-type", text("event")));
        write_message_to(&message, &mut bytes).unwrap();
    }
    bytes
}

/// Makes the same signature from what is known here, over what came.
fn is_signed(url: &str, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> bool {
    let of = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (authorization, date) = (of("authorization"), of("x-amz-date"));
    let Some(signed) = authorization.split("SignedHeaders=").nth(1).and_then(|rest| rest.split(',').next())
    else {
        return false;
    };
    let Some(at) = timestamp(date) else { return false };
    let now = Clock::System.now();
    if now.since(at) > Duration::from_mins(5) || of("x-amz-security-token") != TOKEN {
        return false;
    }
    let by_itself = ["host", "x-amz-date", "x-amz-security-token"];
    let covered = signed.split(';').filter(|name| !by_itself.contains(name)).map(|name| (name, of(name)));
    let identity = Credentials::new(KEY_ID, SECRET, Some(TOKEN.to_owned()), None, "known here").into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(REGION)
        .name("bedrock")
        .time(UNIX_EPOCH + Duration::from_millis(at.millis().unsigned_abs()))
        .settings(SigningSettings::default())
        .build()
        .unwrap()
        .into();
    let target = format!("{url}{uri}");
    let request = SignableRequest::new("POST", target, covered, SignableBody::Bytes(body)).unwrap();
    let (headers, _) = sign(request, &params).unwrap().into_parts().0.into_parts();
    let expected = headers.iter().find(|header| header.name() == "authorization").unwrap();
    expected.value() == authorization
}

/// `20231114T221320Z`.
fn timestamp(date: &str) -> Option<Timestamp> {
    let part = |from: usize, to: usize| date.get(from..to);
    let day = format!("{}-{}-{}", part(0, 4)?, part(4, 6)?, part(6, 8)?);
    Timestamp::parse(&format!("{day}T{}:{}:{}Z", part(9, 11)?, part(11, 13)?, part(13, 15)?))
}
