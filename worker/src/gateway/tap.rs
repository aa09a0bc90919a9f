//! Reads what the model answers while it passes by, for the meter: server-sent events, or one JSON text. It holds nothing
//! up and changes nothing.

use bytes::Bytes;
use serde::Deserialize;

use crate::meter::{Message, Meter, Tokens};

/// A longer line, or a longer text, is not read; those that tell of tokens are short.
const MAX_BYTES: usize = 4 * 1024 * 1024;
const DATA: &[u8] = b"data:";

/// One answer.
pub(super) struct Tap {
    meter: Meter,
    partial: Vec<u8>,
    message: Message,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Told {
    MessageStart {
        message: Message,
    },
    MessageDelta {
        #[serde(default)]
        usage: Tokens,
    },
    /// The whole of it, when nothing is streamed.
    Message(Message),
    #[serde(other)]
    Other,
}

impl Tap {
    pub(super) fn new(meter: Meter) -> Self {
        Self { meter, partial: Vec::new(), message: Message::default() }
    }

    pub(super) fn read(&mut self, bytes: &Bytes) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.partial.len() + part.len() <= MAX_BYTES {
                self.partial.extend_from_slice(part);
            }
            if self.partial.ends_with(b"\n") || self.partial.starts_with(b"{") && self.partial.ends_with(b"}")
            {
                let line = std::mem::take(&mut self.partial);
                if !self.line(line.trim_ascii()) && line.starts_with(b"{") {
                    // A text of several lines, or not all of one yet.
                    self.partial = line;
                }
            }
        }
    }

    /// Whether it was one.
    fn line(&mut self, line: &[u8]) -> bool {
        let json = line.strip_prefix(DATA).unwrap_or(line);
        match serde_json::from_slice(json) {
            Ok(Told::MessageStart { message } | Told::Message(message)) => self.message = message,
            Ok(Told::MessageDelta { usage }) => self.message.goes_on(usage),
            Ok(Told::Other) => return true,
            Err(_) => return false,
        }
        self.meter.count(&self.message);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(pieces: &[&str]) -> f64 {
        let meter = Meter::default();
        let mut tap = Tap::new(meter.clone());
        for piece in pieces {
            tap.read(&Bytes::copy_from_slice(piece.as_bytes()));
        }
        meter.usage().cost_usd
    }

    #[test]
    fn a_stream_is_read_wherever_it_is_cut() {
        let text = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"model\":\"haiku\",\"usage\":{\"input_tokens\":1000000,\"output_tokens\":1}}}\n\n\
            event: ping\ndata: {\"type\":\"ping\"}\n\n\
            event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{},\"usage\":{\"output_tokens\":200000}}\n\n";
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
}
