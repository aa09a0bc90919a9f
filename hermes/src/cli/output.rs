//! How commands answer: on standard output, as sentences and tables for people or as JSON for programs.

use std::io::{ErrorKind, Result, Write};

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use serde::Serialize;

/// Where answers go.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    json: bool,
}

impl Output {
    /// Sentences, or JSON.
    pub fn new(json: bool) -> Self {
        Self { json }
    }

    /// One answer: as JSON, or as this sentence.
    pub fn say(self, value: &impl Serialize, sentence: impl FnOnce() -> String) -> Result<()> {
        if self.json { self.json(value) } else { write(&sentence()) }
    }

    /// A list: as JSON, or as a table.
    pub fn list(
        self,
        value: &impl Serialize,
        head: &[&str],
        rows: impl FnOnce() -> Vec<Vec<String>>,
    ) -> Result<()> {
        if self.json {
            return self.json(value);
        }
        let rows = rows();
        if rows.is_empty() {
            return write("nothing yet");
        }
        let mut table = Table::new();
        table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
        table.set_header(head.iter().map(|title| title.to_uppercase()));
        table.add_rows(rows);
        write(&table.trim_fmt())
    }

    /// The value as JSON.
    pub fn json(self, value: &impl Serialize) -> Result<()> {
        write(&serde_json::to_string_pretty(value)?)
    }
}

/// Whoever reads us may have read enough (`hermes mails list | head`): that is no error.
fn write(text: &str) -> Result<()> {
    match writeln!(std::io::stdout().lock(), "{text}") {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}
