//! A scripted Messages API on loopback for the real Claude Code CLI: each turn of the agent gets the next answer of the
//! script. It knows nothing of Hermes; what it makes the agent write, only it knew.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// One answer of the model.
#[derive(Debug, Clone)]
pub enum Turn {
    /// Read a file of the repository.
    Read {
        /// Its path below the working directory.
        path: String,
    },
    /// Replace a text in a file of the repository.
    Edit {
        /// Its path below the working directory.
        path: String,
        /// What stands there.
        old: String,
        /// What shall stand there.
        new: String,
    },
    /// Write a file.
    Write {
        /// Its path below the working directory.
        path: String,
        /// Its content.
        content: String,
    },
    /// Run a command of a shell.
    Run(String),
    /// Say something and end.
    Say(String),
}

/// What was asked of the model so far.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// The request bodies.
    pub bodies: Vec<Value>,
    /// The API keys they carried.
    pub keys: Vec<String>,
}

/// The running API; it ends when dropped.
pub struct ScriptedApi {
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    turns: Arc<Mutex<Vec<Turn>>>,
    busy: Arc<Mutex<Busy>>,
    rejected: Arc<Mutex<Option<String>>>,
    stop: CancellationToken,
}

/// How often nobody is answered, and with which status.
#[derive(Debug, Clone, Copy, Default)]
struct Busy {
    status: u16,
    times: usize,
}

#[derive(Clone)]
struct Script {
    turns: Arc<Mutex<Vec<Turn>>>,
    seen: Arc<Mutex<Seen>>,
    busy: Arc<Mutex<Busy>>,
    rejected: Arc<Mutex<Option<String>>>,
}

impl ScriptedApi {
    /// Listens on a free port of loopback.
    pub async fn start(turns: Vec<Turn>) -> anyhow::Result<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (turns, busy) = (Arc::new(Mutex::new(turns)), Arc::new(Mutex::new(Busy::default())));
        let rejected = Arc::new(Mutex::new(None));
        let script = Script {
            turns: Arc::clone(&turns),
            seen: Arc::clone(&seen),
            busy: Arc::clone(&busy),
            rejected: Arc::clone(&rejected),
        };
        let routes = Router::new().route("/v1/messages", post(answer)).with_state(script);
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        tokio::spawn(async move { axum::serve(listener, routes).with_graceful_shutdown(stopped).await });
        Ok(Self { address, seen, turns, busy, rejected, stop })
    }

    /// What `ANTHROPIC_BASE_URL` is set to.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Has no room for so many requests from now on, and says that there is no point in trying at once again.
    pub fn turn_away(&self, status: u16, times: usize) {
        *self.busy.lock().unwrap_or_else(PoisonError::into_inner) = Busy { status, times };
    }

    /// Answers by this script from now on.
    pub fn goes_by(&self, turns: Vec<Turn>) {
        *self.turns.lock().unwrap_or_else(PoisonError::into_inner) = turns;
    }

    /// From now on whoever sends this text is told that it can not be answered, as for a picture that is none.
    pub fn reject(&self, text: &str) {
        *self.rejected.lock().unwrap_or_else(PoisonError::into_inner) = Some(text.to_owned());
    }

    /// What was asked so far.
    pub fn seen(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for ScriptedApi {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn answer(State(script): State<Script>, headers: HeaderMap, body: String) -> Response {
    let Ok(body) = serde_json::from_str::<Value>(&body) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    if let Some(status) = script.turned_away() {
        let error = json!({"type": "overloaded_error", "message": "Too many requests."});
        let answer = (status, [("x-should-retry", "false")], Json(json!({"type": "error", "error": error})));
        return answer.into_response();
    }
    if script.rejects(&body) {
        let error = json!({"type": "invalid_request_error", "message": "Could not process image"});
        return (StatusCode::BAD_REQUEST, Json(json!({"type": "error", "error": error}))).into_response();
    }
    let key = headers.get("x-api-key").and_then(|key| key.to_str().ok()).unwrap_or_default().to_owned();
    let turns = script.turns.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let events = next(&turns, &body);
    {
        let mut seen = script.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.bodies.push(body);
        seen.keys.push(key);
    }
    match events {
        Ok(events) => ([(header::CONTENT_TYPE, "text/event-stream")], as_lines(&events)).into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    }
}

impl Script {
    fn rejects(&self, body: &Value) -> bool {
        let rejected = self.rejected.lock().unwrap_or_else(PoisonError::into_inner);
        rejected.as_ref().is_some_and(|text| body.to_string().contains(text))
    }

    fn turned_away(&self) -> Option<StatusCode> {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        busy.times = busy.times.checked_sub(1)?;
        StatusCode::from_u16(busy.status).ok()
    }
}

/// The next answer of a script to this request, as the events of the Messages API. The turn is the number of answers in the
/// conversation so far, so that repeated requests get the same one.
pub fn next(script: &[Turn], body: &Value) -> anyhow::Result<Vec<Value>> {
    let turn = count_answers(body);
    let say = Turn::Say("There is nothing more to do.".to_owned());
    Ok(events(turn, script.get(turn).unwrap_or(&say), &working_directory(body)?))
}

fn as_lines(events: &[Value]) -> String {
    events
        .iter()
        .map(|event| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap_or_default()))
        .fold(String::new(), |all, event| all + &event)
}

fn count_answers(body: &Value) -> usize {
    let messages = body["messages"].as_array().into_iter().flatten();
    messages.filter(|message| message["role"] == "assistant").count()
}

/// The CLI tells the model where it works; paths of tool calls must be absolute.
fn working_directory(body: &Value) -> anyhow::Result<String> {
    let text = body.to_string();
    let (_, rest) =
        text.split_once("working directory: ").context("the request names no working directory")?;
    let end = rest.find(['\\', '"', '<']).unwrap_or(rest.len());
    Ok(rest[..end].trim().to_owned())
}

fn events(number: usize, turn: &Turn, cwd: &str) -> Vec<Value> {
    let at = |path: &String| format!("{cwd}/{path}");
    let tool = |name: &str, input: Value| {
        let block = json!({"type": "tool_use", "id": format!("toolu_{number}"), "name": name, "input": {}});
        (block, json!({"type": "input_json_delta", "partial_json": input.to_string()}), "tool_use")
    };
    let (block, delta, stop_reason) = match turn {
        Turn::Read { path } => tool("Read", json!({"file_path": at(path)})),
        Turn::Edit { path, old, new } => {
            tool("Edit", json!({"file_path": at(path), "old_string": old, "new_string": new}))
        }
        Turn::Write { path, content } => tool("Write", json!({"file_path": at(path), "content": content})),
        Turn::Run(command) => tool("Bash", json!({"command": command, "description": "a command"})),
        Turn::Say(text) => {
            (json!({"type": "text", "text": ""}), json!({"type": "text_delta", "text": text}), "end_turn")
        }
    };
    let usage = json!({"input_tokens": 10, "output_tokens": 1});
    let message = json!({
        "id": format!("msg_{number}"), "type": "message", "role": "assistant", "model": "scripted", "content": [],
        "stop_reason": null, "stop_sequence": null, "usage": usage,
    });
    let stop = json!({"stop_reason": stop_reason, "stop_sequence": null});
    vec![
        json!({"type": "message_start", "message": message}),
        json!({"type": "content_block_start", "index": 0, "content_block": block}),
        json!({"type": "content_block_delta", "index": 0, "delta": delta}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": stop, "usage": {"output_tokens": 20}}),
        json!({"type": "message_stop"}),
    ]
}
