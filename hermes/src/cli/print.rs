//! How answers look: tables and sentences for people, JSON for programs.

#![allow(clippy::print_stdout, reason = "answers of the command line go to standard output")]

use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{ContentArrangement, Table};
use serde::Serialize;

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Tables and sentences.
    People,
    /// One JSON value.
    Json,
}

impl Format {
    /// A list: a table with these columns, or `empty` when there is nothing to show.
    pub(super) fn list<T: Serialize>(
        self,
        items: &[T],
        columns: &[&str],
        row: impl Fn(&T) -> Vec<String>,
        empty: &str,
    ) {
        match self {
            Self::Json => json(&items),
            Self::People if items.is_empty() => println!("{empty}"),
            Self::People => {
                let mut table = Table::new();
                table.load_preset(UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
                table.set_header(columns.to_vec());
                table.add_rows(items.iter().map(row));
                println!("{table}");
            }
        }
    }

    /// One thing: its fields one below the other.
    pub(super) fn one<T: Serialize>(self, item: &T, fields: &[(&str, String)]) {
        match self {
            Self::Json => json(item),
            Self::People => {
                let width = fields.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
                for (name, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
                    println!("{name:width$}  {}", value.replace('\n', &format!("\n{:width$}  ", "")));
                }
            }
        }
    }

    /// What was done: a sentence, or the thing itself.
    pub(super) fn done<T: Serialize>(self, item: &T, sentence: &str) {
        match self {
            Self::Json => json(item),
            Self::People => println!("{sentence}"),
        }
    }
}

fn json(value: &impl Serialize) {
    match serde_json::to_string_pretty(value) {
        Ok(text) => println!("{text}"),
        Err(error) => tracing::error!(%error, "an answer cannot be written as JSON"),
    }
}

/// What there is, or nothing.
pub(super) fn text(value: Option<&impl ToString>) -> String {
    value.map(ToString::to_string).unwrap_or_default()
}

/// The first line, cut to what fits a column.
pub(super) fn brief(value: &str) -> String {
    const MAX: usize = 60;
    let line = value.lines().next().unwrap_or_default();
    if line.chars().count() <= MAX { line.to_owned() } else { line.chars().take(MAX - 1).chain(['…']).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_shows_one_short_line() {
        assert_eq!(brief("one\ntwo"), "one");
        assert_eq!(brief(&"x".repeat(100)).chars().count(), 60);
    }
}
