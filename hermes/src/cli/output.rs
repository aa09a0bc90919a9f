//! How commands answer: on standard output, as sentences and tables for people or as JSON for programs.

use std::io::{ErrorKind, Result, Write};

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use serde::Serialize;

/// How wide a table is, if its last column can be cut.
const WIDTH: usize = 80;
/// What is left of a last column at least.
const MIN_CUT: usize = 20;

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
        if self.json { self.json(value) } else { write(&plain(&sentence())) }
    }

    /// One answer of many: as one line of JSON, or as these sentences.
    pub fn line(self, value: &impl Serialize, sentence: impl FnOnce() -> String) -> Result<()> {
        if self.json { write(&serde_json::to_string(value)?) } else { write(&plain(&sentence())) }
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
        // Ids are for copying: they are never wrapped.
        table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(head.iter().map(|title| title.to_uppercase()));
        table.add_rows(cut(head, rows));
        write(&table.trim_fmt())
    }

    /// How the list goes on, for people; programs find it in the list.
    pub fn more(self, cursor: Option<&str>, command: &str) -> Result<()> {
        match cursor {
            Some(cursor) if !self.json => {
                write(&format!("more: {command} --cursor '{cursor}' (with the same filters)"))
            }
            _ => Ok(()),
        }
    }

    /// The value as JSON.
    pub fn json(self, value: &impl Serialize) -> Result<()> {
        write(&serde_json::to_string_pretty(value)?)
    }
}

/// Text that does nothing to a terminal: what others wrote may hold characters that move its cursor or turn its lines.
pub fn plain(text: &str) -> String {
    let acts = |c: char| {
        c != '\n'
            && (c.is_control()
                || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
    };
    let show = |c: char| if acts(c) { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(show).collect()
}

/// Cells of one line each; words of the last column give way to the ids before them.
fn cut(head: &[&str], rows: Vec<Vec<String>>) -> Vec<Vec<String>> {
    let plain = |cell: String| plain(&cell.split_whitespace().collect::<Vec<_>>().join(" "));
    let mut rows: Vec<Vec<String>> =
        rows.into_iter().map(|row| row.into_iter().map(plain).collect()).collect();
    if !matches!(head.last(), Some(&"subject" | &"instruction")) {
        return rows;
    }
    let last = head.len() - 1;
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let before: usize = (0..last).map(|column| width(column).max(head[column].len()) + 2).sum();
    let room = WIDTH.saturating_sub(before).max(MIN_CUT);
    for cell in rows.iter_mut().filter_map(|row| row.get_mut(last)) {
        if cell.chars().count() > room {
            *cell = cell.chars().take(room - 1).chain(['…']).collect();
        }
    }
    rows
}

/// Whoever reads us may have read enough (`hermes mails list | head`): that is no error.
fn write(text: &str) -> Result<()> {
    match writeln!(std::io::stdout().lock(), "{text}") {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_printed_acts_on_the_terminal() {
        assert_eq!(
            plain("a\u{1b}]0;x\u{7}b\r\u{9b}2J\u{202e}c"),
            "a\\u{1b}]0;x\\u{7}b\\r\\u{9b}2J\\u{202e}c"
        );
        assert_eq!(plain("Zürich\n東京"), "Zürich\n東京");
        let row = vec!["id".to_owned(), "two\nlines\u{1b}[2J".to_owned()];
        assert_eq!(cut(&["id", "from"], vec![row]), [["id", "two lines\\u{1b}[2J"]]);
    }

    #[test]
    fn words_are_cut_and_ids_are_not() {
        let id = "0198c3a2-7e55-7aaa-8bbb-0123456789ab".repeat(2);
        let rows = vec![vec![id.clone(), "word ".repeat(40)], vec![id.clone(), "short".into()]];
        let cells = cut(&["mail", "subject"], rows);
        assert_eq!((&cells[0][0], &cells[1]), (&id, &vec![id.clone(), "short".to_owned()]));
        assert_eq!(cells[0][1].chars().count(), MIN_CUT);
        let narrow = cut(&["mail", "subject"], vec![vec!["x".into(), "y".repeat(100)]]);
        assert_eq!(narrow[0][1].chars().count(), WIDTH - 6);
    }
}
