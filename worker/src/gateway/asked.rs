//! Pure: what a child asks of the model. Whether something of it would run or be fetched elsewhere, and the note that it is
//! time to come to an end. The same for every provider of the model.

use hyper::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Refused;

/// What the agent is told when most of what it may use is used.
const COME_TO_AN_END: &str = "<system-reminder>\nThe budget of this request is nearly used up. Begin nothing new: bring what you are at to a \
    consistent state in as few steps as possible, then end with your words for the owner, and say what is left to do.\n</system-reminder>";
/// Tools that the child runs itself. Others the model's provider would run, on the network: a way out for whatever the child
/// has seen.
const OWN_TOOLS: [&str; 3] = ["custom", "text_editor_", "bash_"];
/// Where pictures and documents come from that are in the request. Others the provider would fetch.
const OWN_SOURCES: [&str; 3] = ["base64", "text", "content"];

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
pub(super) fn leads_out(body: &[u8]) -> Result<Option<String>, Refused> {
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
pub(super) fn told_to_end(body: &[u8]) -> Option<Vec<u8>> {
    let mut asked: Value = serde_json::from_slice(body).ok()?;
    let last = asked.get_mut("messages")?.as_array_mut()?.last_mut().filter(|last| last["role"] == "user")?;
    let content = last.get_mut("content")?;
    if let Value::String(text) = content {
        *content = json!([{"type": "text", "text": text}]);
    }
    content.as_array_mut()?.push(json!({"type": "text", "text": COME_TO_AN_END}));
    serde_json::to_vec(&asked).ok()
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
}
