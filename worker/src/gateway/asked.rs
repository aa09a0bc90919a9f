//! Pure: what a child asks of the model. Whether something of it would run or be fetched elsewhere, and the note that it is
//! time to come to an end. The same for every provider of the model.

use std::fmt;

use hyper::StatusCode;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::json;
use serde_json::value::RawValue;

use super::Refused;

/// What the agent is told when most of what it may use is used.
const COME_TO_AN_END: &str = "<system-reminder>\nThe budget of this request is nearly used up. Begin nothing new: bring what you are at to a \
    consistent state in as few steps as possible, then end with your words for the owner, and say what is left to do.\n</system-reminder>";
/// Tools that the child runs itself. Others the model's provider would run, on the network: a way out for whatever the child
/// has seen.
const OWN_TOOLS: [&str; 3] = ["custom", "text_editor_", "bash_"];
/// Where pictures and documents come from that are in the request. Others the provider would fetch.
const OWN_SOURCES: [&str; 3] = ["base64", "text", "content"];

/// What is paid for otherwise than the meter counts, and what may be said of it.
const SPEEDS: [&str; 1] = ["standard"];
const TIERS: [&str; 4] = ["auto", "standard_only", "standard", "default"];
const PLACES: [&str; 1] = ["global"];
/// No model says more tokens at once. Who does not say how many may come out may have the most.
const MOST_OUTPUT: u32 = 128_000;
/// So much of a word of the child is told.
const MAX_TOLD_BYTES: usize = 80;

/// What the gateway wants to know of a request. The rest of it is looked through and never held: a few bytes of a request may be
/// much more as values.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    model: Option<String>,
    max_tokens: Option<u64>,
    tools: Tools,
    mcp_servers: Vec<IgnoredAny>,
    container: Option<IgnoredAny>,
    speed: Option<String>,
    service_tier: Option<String>,
    inference_geo: Option<String>,
    system: Part,
    messages: Part,
}

impl Asked {
    pub(super) fn of(body: &[u8]) -> Result<Self, Refused> {
        serde_json::from_slice(body).map_err(|error| Refused {
            status: StatusCode::BAD_REQUEST,
            reason: format!("the request is not what the model takes: {error}"),
        })
    }

    /// Which model, as far as its name matters.
    pub(super) fn model(&self) -> String {
        self.model.as_deref().map(told).unwrap_or_default()
    }

    /// So many tokens may come out.
    pub(super) fn max_output(&self) -> u32 {
        let asked = self.max_tokens.and_then(|asked| u32::try_from(asked).ok());
        asked.unwrap_or(MOST_OUTPUT).min(MOST_OUTPUT)
    }

    /// Why it does not go on, if it does not.
    pub(super) fn refused(&self) -> Option<String> {
        let leads_out = self.leads_out();
        let leads_out =
            leads_out.map(|what| format!("{what} leads on from the provider, where nothing is fenced"));
        leads_out.or_else(|| Some(format!("{} costs more than is counted", self.is_dear()?)))
    }

    /// A tool that runs, or a source that lies, elsewhere than with the child.
    fn leads_out(&self) -> Option<String> {
        if !self.mcp_servers.is_empty() {
            return Some("mcp_servers".to_owned());
        }
        if self.container.is_some() {
            return Some("container".to_owned());
        }
        let source = || [&self.system, &self.messages].into_iter().find_map(|part| part.foreign.clone());
        self.tools.foreign.clone().or_else(|| Some(format!("a source of type {:?}", source()?)))
    }

    fn is_dear(&self) -> Option<String> {
        let dear = |name: &str, said: &Option<String>, usual: &[&str]| {
            let said = said.as_deref().filter(|said| !usual.contains(said))?;
            Some(format!("{name} {:?}", told(said)))
        };
        dear("speed", &self.speed, &SPEEDS)
            .or_else(|| dear("service_tier", &self.service_tier, &TIERS))
            .or_else(|| dear("inference_geo", &self.inference_geo, &PLACES))
    }
}

/// The beginning of a word.
fn told(word: &str) -> String {
    word[..word.floor_char_boundary(MAX_TOLD_BYTES)].to_owned()
}

/// The first tool that the child does not run itself.
#[derive(Debug, Default)]
struct Tools {
    foreign: Option<String>,
}

#[derive(Deserialize)]
struct Tool {
    #[serde(rename = "type")]
    kind: Option<String>,
}

impl<'de> Deserialize<'de> for Tools {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_seq(Self::default())
    }
}

impl<'de> Visitor<'de> for Tools {
    type Value = Self;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of tools")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut tools: A) -> Result<Self, A::Error> {
        let is_own =
            |kind: &str| kind == OWN_TOOLS[0] || OWN_TOOLS[1..].iter().any(|own| kind.starts_with(own));
        while let Some(Tool { kind }) = tools.next_element()? {
            let foreign = kind.filter(|kind| !is_own(kind));
            self.foreign = self.foreign.or_else(|| foreign.as_deref().map(told));
        }
        Ok(self)
    }
}

/// Any part of what is asked, and what of it matters here.
#[derive(Debug, Default)]
struct Part {
    /// What it is, where it is a word.
    word: Option<String>,
    /// Its type, where it is a block.
    kind: Option<Kind>,
    /// The type of a source within it that is not in the request, however deep.
    foreign: Option<String>,
}

/// The `type` of a block.
#[derive(Debug, Default)]
enum Kind {
    #[default]
    None,
    One(String),
    /// It depends on the reader which one counts.
    Several,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "lowercase")]
enum Name {
    Type,
    Source,
    Input,
    #[serde(other)]
    Other,
}

impl Kind {
    fn and(self, another: String) -> Self {
        match self {
            Self::None => Self::One(another),
            Self::One(_) | Self::Several => Self::Several,
        }
    }

    fn is(&self, known: &[&str]) -> bool {
        matches!(self, Self::One(kind) if known.contains(&kind.as_str()))
    }
}

impl Part {
    /// Its type, where it is a source that lies elsewhere.
    fn foreign_source(&self) -> Option<String> {
        match self.kind.as_ref().filter(|kind| !kind.is(&OWN_SOURCES))? {
            Kind::None => Some(String::new()),
            Kind::One(kind) => Some(kind.clone()),
            Kind::Several => Some("told several times".to_owned()),
        }
    }
}

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Looking)
    }
}

struct Looking;

impl<'de> Visitor<'de> for Looking {
    type Value = Part;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_unit<E>(self) -> Result<Part, E> {
        Ok(Part::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Part, E> {
        Ok(Part::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Part, E> {
        Ok(Part::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Part, E> {
        Ok(Part::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Part, E> {
        Ok(Part::default())
    }

    fn visit_str<E>(self, word: &str) -> Result<Part, E> {
        Ok(Part { word: Some(told(word)), ..Part::default() })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Part, A::Error> {
        let mut whole = Part::default();
        while let Some(part) = parts.next_element::<Part>()? {
            whole.foreign = whole.foreign.or(part.foreign);
        }
        Ok(whole)
    }

    /// What a tool is told is data and means nothing to the provider.
    fn visit_map<A: MapAccess<'de>>(self, mut parts: A) -> Result<Part, A::Error> {
        let (mut kind, mut foreign, mut told) = (Kind::None, None, None);
        while let Some(name) = parts.next_key()? {
            let part: Part = parts.next_value()?;
            match name {
                Name::Type => kind = kind.and(part.word.unwrap_or_default()),
                Name::Source => foreign = foreign.or_else(|| part.foreign_source()).or(part.foreign),
                Name::Input => told = told.or(part.foreign),
                Name::Other => foreign = foreign.or(part.foreign),
            }
        }
        let told = told.filter(|_| !kind.is(&["tool_use"]));
        Ok(Part { word: None, kind: Some(kind), foreign: foreign.or(told) })
    }
}

#[derive(Deserialize)]
struct Talk<'a> {
    #[serde(borrow)]
    messages: Last<'a>,
}

/// The last part of a list, as it is written.
struct Last<'a>(Option<&'a RawValue>);

#[derive(Deserialize)]
struct Said<'a> {
    role: String,
    #[serde(borrow)]
    content: &'a RawValue,
}

impl<'de: 'a, 'a> Deserialize<'de> for Last<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_seq(Last(None))
    }
}

impl<'de: 'a, 'a> Visitor<'de> for Last<'a> {
    type Value = Self;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut parts: A) -> Result<Self, A::Error> {
        while let Some(part) = parts.next_element()? {
            self.0 = Some(part);
        }
        Ok(self)
    }
}

/// The request with a note to the agent behind the last message of its side; none when there is none. All else stays as it was
/// written.
pub(super) fn told_to_end(body: &[u8]) -> Option<Vec<u8>> {
    let Talk { messages: Last(last) } = serde_json::from_slice(body).ok()?;
    let Said { role, content } = serde_json::from_str(last?.get()).ok()?;
    let (content, note) = (content.get(), json!({"type": "text", "text": COME_TO_AN_END}));
    if role != "user" {
        return None;
    }
    let with_note = match content.as_bytes().first()? {
        b'"' => format!(r#"[{{"type":"text","text":{content}}},{note}]"#),
        b'[' => {
            let before = content.strip_suffix(']')?.trim_end();
            let comma = if before == "[" { "" } else { "," };
            format!("{before}{comma}{note}]")
        }
        _ => return None,
    };
    let begin = content.as_ptr().addr().checked_sub(body.as_ptr().addr())?;
    let (before, after) = (body.get(..begin)?, body.get(begin + content.len()..)?);
    Some([before, with_note.as_bytes(), after].concat())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn leads_out(body: &[u8]) -> Result<Option<String>, Refused> {
        Asked::of(body).map(|asked| asked.leads_out().or_else(|| asked.is_dear()))
    }

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
    fn what_costs_more_than_the_usual_price_is_noticed() {
        let asked = |body: &str| leads_out(body.as_bytes()).unwrap();
        for usual in [
            r#"{"speed":"standard","service_tier":"auto"}"#,
            r#"{"service_tier":"standard_only","speed":null}"#,
            r#"{"messages":[{"speed":"fast"}]}"#,
        ] {
            assert_eq!(asked(usual), None, "{usual}");
        }
        for dear in [r#"{"speed":"fast"}"#, r#"{"service_tier":"priority"}"#, r#"{"inference_geo":"us"}"#] {
            assert!(asked(dear).is_some(), "{dear}");
        }
    }

    #[test]
    fn in_whatever_order_a_block_is_written_and_however_often_its_parts_are_named() {
        let asked = |block: &str| leads_out(format!(r#"{{"messages":[{block}]}}"#).as_bytes()).unwrap();
        let url = r#"{"url":"https://x","type":"url"}"#;
        for own in [
            format!(r#"{{"input":{{"source":{url}}},"type":"tool_use"}}"#),
            r#"{"source":"words"}"#.to_owned(),
            r#"{"source":{"data":"AA==","type":"base64"},"type":"image"}"#.to_owned(),
        ] {
            assert_eq!(asked(&own), None, "{own}");
        }
        for foreign in [
            format!(r#"{{"input":{{"source":{url}}},"type":"image"}}"#),
            format!(r#"{{"input":{{"source":{url}}}}}"#),
            format!(r#"{{"source":{url},"source":{{"type":"text"}}}}"#),
            format!(r#"{{"source":{{"type":"text"}},"source":{url}}}"#),
            r#"{"source":{"type":"text","type":"url"}}"#.to_owned(),
            r#"{"source":{"type":"url","type":"text"}}"#.to_owned(),
            format!(r#"{{"type":"tool_use","input":{{"source":{url}}},"type":"image"}}"#),
            format!(r#"{{"type":"tool_use","content":[{{"source":{url}}}]}}"#),
            r#"{"source":{"type":7}}"#.to_owned(),
        ] {
            assert!(asked(&foreign).is_some(), "{foreign}");
        }
    }

    #[test]
    fn the_note_is_put_behind_the_last_words_of_the_agent_s_side() {
        let told = |body: &str| {
            told_to_end(body.as_bytes()).map(|told| serde_json::from_slice::<Value>(&told).unwrap())
        };
        let note = json!({"type": "text", "text": COME_TO_AN_END});
        let text = |text: &str| json!({"type": "text", "text": text});
        for (content, then) in [
            (json!("a \" b"), json!([text("a \" b"), note])),
            (json!([text("a")]), json!([text("a"), note])),
            (json!([]), json!([note])),
        ] {
            let body = |content: &Value| {
                json!({"model": "m", "messages": [
                {"role": "assistant", "content": "x"}, {"content": content, "role": "user"}], "stream": true})
            };
            assert_eq!(told(&body(&content).to_string()), Some(body(&then)));
            let spaced = serde_json::to_string_pretty(&body(&content)).unwrap();
            assert_eq!(told(&spaced), Some(body(&then)), "{spaced}");
        }
        for nobody in [
            r#"{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}"#,
            r#"{"messages":[{"role":"user","content":7}]}"#,
            r#"{"messages":[]}"#,
            "{}",
            "[",
        ] {
            assert_eq!(told(nobody), None, "{nobody}");
        }
    }
}
