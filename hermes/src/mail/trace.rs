//! The decision trace: which rule said what about a mail, in the order in which they were asked.

use common::domain::text;
use serde::{Deserialize, Serialize};

/// The stages of a mail's way, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Bytes became a mail.
    Parse,
    /// Whether a person wrote it.
    Screen,
    /// Who wrote it, and how we know.
    Sender,
    /// Which conversation it belongs to.
    Thread,
    /// What is new in it.
    Instruction,
    /// What came along.
    Attachment,
    /// Whose work it becomes.
    Route,
    /// How the work was handed over.
    Dispatch,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceLine {
    /// Who says it.
    pub stage: Stage,
    /// What.
    pub note: String,
}

/// All lines of one mail.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Trace(Vec<TraceLine>);

impl Trace {
    /// Adds a line; whatever it repeats of a mail, it has no control characters.
    pub fn note(&mut self, stage: Stage, note: impl AsRef<str>) {
        self.0.push(TraceLine { stage, note: text::one_line(note.as_ref()) });
    }

    /// The lines so far.
    pub fn lines(&self) -> &[TraceLine] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_cannot_speak_to_a_terminal() {
        let mut trace = Trace::default();
        trace.note(Stage::Screen, "Auto-Submitted: \u{1b}[2Jx\ny");
        assert_eq!(trace.lines()[0].note, "Auto-Submitted: [2Jx y");
    }
}
