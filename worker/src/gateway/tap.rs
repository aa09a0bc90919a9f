//! Reads what the model answers while it passes by, for the meter: server-sent events, one JSON text, or an event stream of
//! AWS. It holds nothing up and changes nothing.

use bytes::Bytes;
#[cfg(feature = "aws")]
use common::cloud::aws::bedrock::EventStream;
use hyper::header::HeaderValue;
use serde::Deserialize;
use tokio::time::Instant;

use crate::meter::{Aside, Message, Meter, Tokens, in_all};

/// A longer line, or a longer text, is not read; those that tell of tokens are short.
const MAX_BYTES: usize = 4 * 1024 * 1024;
const DATA: &[u8] = b"data:";
#[cfg(feature = "aws")]
const EVENT_STREAM: &str = "application/vnd.amazon.eventstream";

/// One answer, read for the account of its request.
pub(super) struct Tap {
    form: Form,
    account: Account,
}

/// How the answer is written.
enum Form {
    /// Lines, the last of them not whole yet; or one text.
    Lines(Vec<u8>),
    /// Events of AWS, each with a text.
    #[cfg(feature = "aws")]
    Events(EventStream),
    /// Nothing that can be read.
    #[cfg(feature = "aws")]
    Unknown,
}

/// What one request costs: what its answer tells by now, and until it tells anything what went in. It is counted at the latest
/// when this is dropped, whoever hung up.
pub(super) struct Account {
    meter: Meter,
    message: Message,
    /// What else it may cost, until that is told.
    aside: Option<Aside>,
    sent: Instant,
    stands: Stands,
    /// It began with a shorter conversation in place of the one that it was asked with.
    has_shortened: bool,
    /// Bytes of text for which nobody has told the tokens yet.
    uncounted: usize,
}

/// How far an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stands {
    /// Nothing is paid for it.
    Free,
    Asked,
    Begun,
    /// The tokens of all of it are told.
    Told,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Told {
    MessageStart {
        message: Message,
    },
    ContentBlockStart {
        #[serde(default)]
        content_block: Block,
    },
    ContentBlockDelta {
        delta: Delta,
    },
    MessageDelta {
        #[serde(default, deserialize_with = "in_all")]
        usage: Tokens,
    },
    /// The whole of it, when nothing is streamed.
    Message(Message),
    /// The provider gives up.
    Error,
    #[serde(other)]
    Other,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Block {
    /// Thoughts that are not shown.
    data: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Delta {
    text: String,
    partial_json: String,
    thinking: String,
    /// Of thoughts, shown or not: it holds them.
    signature: String,
    /// The conversation in short.
    content: Option<String>,
}

impl Delta {
    fn bytes(&self) -> usize {
        let Self { text, partial_json, thinking, signature, content } = self;
        let words = [text, partial_json, thinking, signature].map(String::len).iter().sum::<usize>();
        words + content.as_ref().map_or(0, String::len)
    }
}

impl Tap {
    /// Of an answer of this type.
    pub(super) fn of(account: Account, content_type: Option<&HeaderValue>) -> Self {
        Self { form: Form::of(content_type), account }
    }

    pub(super) fn read(&mut self, bytes: &Bytes) {
        match &mut self.form {
            Form::Lines(partial) => lines(partial, bytes, &mut self.account),
            #[cfg(feature = "aws")]
            Form::Events(events) => match events.read(bytes) {
                Ok(parts) => {
                    for part in parts {
                        self.account.line(&part);
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "what the model answered could not be read, so what it used is guessed");
                    self.form = Form::Unknown;
                    self.account.uncounted += bytes.len();
                }
            },
            #[cfg(feature = "aws")]
            Form::Unknown => self.account.uncounted += bytes.len(),
        }
    }
}

impl Form {
    #[cfg(feature = "aws")]
    fn of(content_type: Option<&HeaderValue>) -> Self {
        if content_type.is_some_and(|kind| kind.as_bytes().starts_with(EVENT_STREAM.as_bytes())) {
            Self::Events(EventStream::default())
        } else {
            Self::Lines(Vec::new())
        }
    }

    #[cfg(not(feature = "aws"))]
    fn of(_content_type: Option<&HeaderValue>) -> Self {
        Self::Lines(Vec::new())
    }
}

fn lines(partial: &mut Vec<u8>, bytes: &Bytes, account: &mut Account) {
    for part in bytes.split_inclusive(|byte| *byte == b'\n') {
        if partial.len() + part.len() <= MAX_BYTES {
            partial.extend_from_slice(part);
        }
        if partial.ends_with(b"\n") || partial.starts_with(b"{") && partial.ends_with(b"}") {
            let line = std::mem::take(partial);
            if !account.line(line.trim_ascii()) && line.starts_with(b"{") {
                // A text of several lines, or not all of one yet.
                *partial = line;
            }
        }
    }
}

impl Account {
    /// For a request that is sent now, and answered by this message; by none when nothing is paid for.
    pub(super) fn open(meter: Meter, message: Option<Message>, aside: Option<Aside>) -> Self {
        let stands = if message.is_some() { Stands::Asked } else { Stands::Free };
        Self {
            meter,
            message: message.unwrap_or_default(),
            aside,
            sent: Instant::now(),
            stands,
            has_shortened: false,
            uncounted: 0,
        }
    }

    /// Nobody worked on it: what went in costs nothing.
    pub(super) fn take_back(&mut self) {
        self.stands = Stands::Free;
        self.aside = None;
    }

    fn begins(&mut self, message: Message) {
        self.message.begins(message);
        self.stands = Stands::Begun;
    }

    /// Counts what it has told by now.
    fn count(&mut self) {
        self.meter.count(&self.message);
        if let Some(aside) = &self.aside {
            aside.keep(self.message.may_still_cost_usd());
        }
    }

    /// Counts what it has told of all of it.
    fn count_all(&mut self) {
        (self.stands, self.uncounted) = (Stands::Told, 0);
        self.meter.count(&self.message);
        self.aside = None;
    }

    /// So much more was said, or is there unseen.
    fn goes_on(&mut self, bytes: usize) {
        if self.stands == Stands::Told && bytes > 0 {
            self.stands = Stands::Begun;
        }
        self.uncounted += bytes;
    }

    /// Whether it was one.
    fn line(&mut self, line: &[u8]) -> bool {
        let json = line.strip_prefix(DATA).unwrap_or(line);
        match serde_json::from_slice(json) {
            Ok(Told::MessageStart { message }) => {
                self.begins(message);
                self.count();
            }
            Ok(Told::Message(message)) => {
                self.begins(message);
                self.count_all();
            }
            Ok(Told::ContentBlockStart { content_block: Block { data } }) => {
                self.goes_on(data.map_or(0, |data| data.len()));
            }
            Ok(Told::ContentBlockDelta { delta }) => {
                self.goes_on(delta.bytes());
                self.has_shortened |= delta.content.is_some();
            }
            Ok(Told::MessageDelta { usage }) => {
                self.message.goes_on(usage);
                self.count_all();
            }
            Ok(Told::Error) if self.stands == Stands::Asked => self.take_back(),
            Ok(Told::Error | Told::Other) => {}
            Err(_) => return false,
        }
        true
    }
}

/// Whoever hangs up before the tokens are told has asked all the same, and had the model work until then.
impl Drop for Account {
    fn drop(&mut self) {
        if matches!(self.stands, Stands::Free | Stands::Told) {
            return;
        }
        if self.has_shortened {
            self.message.has_shortened();
        }
        self.message.breaks_off(self.uncounted, self.sent.elapsed());
        self.meter.count(&self.message);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn read(kind: &'static str, pieces: &[&[u8]]) -> f64 {
        let meter = Meter::default();
        let account = Account::open(meter.clone(), Some(Message::awaited(String::new(), 0, 200_000)), None);
        let mut tap = Tap::of(account, Some(&HeaderValue::from_static(kind)));
        for piece in pieces {
            tap.read(&Bytes::copy_from_slice(piece));
        }
        drop(tap);
        meter.usage().cost_usd
    }

    fn cost(pieces: &[&str]) -> f64 {
        read("text/event-stream", &pieces.iter().map(|piece| piece.as_bytes()).collect::<Vec<_>>())
    }

    const START: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"model\":\"haiku\",\"usage\":{\"input_tokens\":1000000,\"output_tokens\":1}}}\n\n";

    #[test]
    fn a_stream_is_read_wherever_it_is_cut() {
        let text = format!(
            "{START}event: ping\ndata: {{\"type\":\"ping\"}}\n\n\
            event: message_delta\ndata: {{\"type\":\"message_delta\",\"delta\":{{}},\"usage\":{{\"output_tokens\":200000}}}}\n\n"
        );
        for at in 0..text.len() {
            let (before, after) = text.split_at(at);
            assert!((cost(&[before, after]) - 2.0).abs() < 1e-9, "cut at {at}");
        }
    }

    #[test]
    fn a_whole_answer_is_read_too() {
        let text = r#"{"type":"message","id":"m","model":"haiku","content":[{"type":"text","text":"a } b"}],"usage":{"input_tokens":0,"output_tokens":200000}}"#;
        for at in 0..text.len() {
            let (before, after) = text.split_at(at);
            assert!((cost(&[before, after]) - 1.0).abs() < 1e-9, "cut at {at}");
        }
        assert!(cost(&["{\"input_tokens\": 5}"]).abs() < 1e-9);
    }

    #[test]
    fn what_it_took_to_shorten_a_conversation_is_paid_too_and_nothing_twice() {
        let usage = |passes: &str| {
            let whole = r#""input_tokens":23000,"output_tokens":1000,"cache_read_input_tokens":null"#;
            format!(r#"{{{whole},"iterations":{passes}}}"#)
        };
        let answer = r#"{"type":"message","input_tokens":23000,"output_tokens":1000}"#;
        let shortened = format!(
            r#"[{{"type":"compaction","input_tokens":180000,"output_tokens":3500,"cache_read_input_tokens":0}},{answer}]"#
        );
        for (passes, usd) in
            [(shortened, 0.203 + 0.0225), (format!("[{answer}]"), 0.028), ("null".to_owned(), 0.028)]
        {
            let start = r#"data: {"type":"message_start","message":{"id":"m","model":"haiku","usage":{"input_tokens":23000}}}"#;
            let told = usage(&passes);
            let delta = format!(
                "{start}\n\ndata: {{\"type\":\"message_delta\",\"delta\":{{}},\"usage\":{told}}}\n\n"
            );
            let whole = format!(r#"{{"type":"message","id":"m","model":"haiku","usage":{told}}}"#);
            for answer in [delta, whole] {
                assert!((cost(&[&answer]) - usd).abs() < 1e-9, "{answer}: {}", cost(&[&answer]));
            }
        }
    }

    #[test]
    fn whoever_hangs_up_has_had_what_was_said() {
        let said = format!(
            "data: {{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{{\"type\":\"text_delta\",\"text\":\"{}\"}}}}\n\n",
            "word ".repeat(60_000)
        );
        let told = "data: {\"type\":\"message_delta\",\"delta\":{},\"usage\":{\"output_tokens\":60000}}\n\n";
        let (cut, whole) = (cost(&[START, &said]), cost(&[START, &said, told]));
        assert!((whole - 1.3).abs() < 1e-9, "{whole}");
        assert!((1.3..1.6).contains(&cut), "not much more than it was: {cut}");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_hangs_up_has_had_what_nobody_saw_as_well_but_no_more_than_was_asked_for() {
        let hung_up = async |events: &[&str], secs: u64, max_output| {
            let meter = Meter::default();
            let message = Message::awaited("haiku".into(), 300_000, max_output);
            let account = Account::open(meter.clone(), Some(message), None);
            let mut tap = Tap::of(account, None);
            for event in events {
                tap.read(&Bytes::from(format!("data: {event}\n\n")));
            }
            tokio::time::advance(Duration::from_secs(secs)).await;
            drop(tap);
            meter.usage().cost_usd * 1e6
        };
        let start = r#"{"type":"message_start","message":{"id":"m","model":"haiku","usage":{"input_tokens":10000,"output_tokens":1}}}"#;
        let delta = |delta: &str| format!(r#"{{"type":"content_block_delta","index":0,"delta":{delta}}}"#);
        let unseen = "x".repeat(30_000);
        let signed = delta(&format!(r#"{{"type":"signature_delta","signature":"{unseen}"}}"#));
        let short = delta(r#"{"type":"compaction_delta","content":"so it was"}"#);
        let redacted = format!(
            r#"{{"type":"content_block_start","index":0,"content_block":{{"type":"redacted_thinking","data":"{unseen}"}}}}"#
        );
        let told = r#"{"type":"message_delta","delta":{},"usage":{"output_tokens":7}}"#;
        for (events, secs, max_output, tokens_in, tokens_out) in [
            (&[][..], 60, 32_000, 100_000.0, 6_000.0),
            (&[], 60, 1_000, 100_000.0, 1_000.0),
            (&[start], 60, 32_000, 10_000.0, 6_000.0),
            (&[start, &signed], 0, 32_000, 10_000.0, 10_000.0),
            (&[start, &redacted], 0, 32_000, 10_000.0, 10_000.0),
            (&[start, &redacted], 0, 2_000, 10_000.0, 2_000.0),
            (&[start, &short], 10, 32_000, 110_000.0, 1_000.0),
            (&[start, &signed, told], 60, 32_000, 10_000.0, 7.0),
            (&[start, &short, told], 60, 32_000, 10_000.0, 7.0),
        ] {
            let cost = hung_up(events, secs, max_output).await;
            assert!((cost - tokens_in - 5.0 * tokens_out).abs() < 1e-3, "{tokens_in} {tokens_out}: {cost}");
        }
    }

    #[test]
    fn a_provider_that_gives_up_before_it_begins_is_not_paid() {
        let cost = |events: &[&str]| {
            let meter = Meter::default();
            let message = Message::awaited("haiku".into(), 3_000_000, 1_000);
            let account = Account::open(meter.clone(), Some(message), None);
            let mut tap = Tap::of(account, None);
            for event in events {
                tap.read(&Bytes::copy_from_slice(event.as_bytes()));
            }
            drop(tap);
            meter.usage().cost_usd
        };
        let error = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n";
        assert!(cost(&[error]).abs() < 1e-9);
        assert!((cost(&[START, error]) - 1.0).abs() < 1e-4, "what it began is paid");
        assert!((cost(&[]) - 1.0).abs() < 1e-9, "and what nobody heard the end of");
    }

    #[cfg(feature = "aws")]
    #[test]
    fn what_cannot_be_read_of_bedrock_costs_as_much_as_it_may_have() {
        let cost = read(EVENT_STREAM, &[b"this is no event stream at all", &vec![b'x'; 300_000]]);
        assert!((12.5..12.6).contains(&cost), "by the price of the dearest: {cost}");
    }
}
