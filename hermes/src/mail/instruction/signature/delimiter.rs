//! The line above a signature, `-- ` or another rule, told from what stands between the sections of a text.

use super::firm::is_added;
use super::{
    DELIMITER, MAX_LINES, TAIL, has_contact, is_announced, is_closing, is_no_signature, is_of, is_sentence,
    is_written_as_name, looks_signed,
};
use crate::mail::instruction::block::is_rule;
use crate::mail::words::words;

/// The heading above a line of dashes has at most so many words.
const MAX_HEADING_WORDS: usize = 5;

/// `-- ` (RFC 3676, section 4.3), or another rule above lines that look like a signature; rules stand between sections, too.
pub(super) fn delimiter(lines: &[&str], first: usize, name: &[String]) -> Option<usize> {
    let mut between = Between::default();
    (first.max(lines.len().saturating_sub(TAIL))..lines.len()).find(|at| {
        let below = &lines[at + 1..];
        if between.is_one(lines, *at, name) {
            return false;
        }
        let said = below.iter().filter(|line| !line.trim().is_empty()).count();
        match lines[*at].trim_end() {
            "--" | "—" | "–" | "―" => {
                said <= MAX_LINES
                    && (lines[*at] == DELIMITER
                        || looks_signed(below)
                            && !underlines_heading(lines, *at)
                            && !is_announced(lines, *at)
                            && !is_no_signature(below))
            }
            line if is_rule(line) || line.trim() == "__" => {
                said > 0
                    && said <= MAX_LINES
                    && looks_signed(below)
                    && !has_rule(below)
                    && !stands_above(lines, *at)
                    && tells_who(lines, *at, name)
                    && !is_underline(lines, *at)
                    && !is_announced(lines, *at)
                    && !is_no_signature(below)
            }
            _ => false,
        }
    })
}

/// What is known of the delimiters of a text while it is read from the top: whether they stand between its parts.
#[derive(Default)]
struct Between {
    seen: bool,
    last: Option<Last>,
}

/// What stands below the last delimiter.
#[derive(Clone, Copy)]
struct Last {
    /// A line is the author's name.
    is_whose: bool,
    /// It tells whom to reach where, or a program added it.
    is_told: bool,
}

impl Last {
    fn of(lines: &[&str], name: &[String]) -> Self {
        let last = lines.rsplit(|line| *line == DELIMITER).next().unwrap_or_default();
        Self {
            is_whose: last.iter().any(|line| is_of(line, name)),
            is_told: has_contact(last) || is_added(last),
        }
    }
}

impl Between {
    /// Whether the delimiter here has another below it and stands between words of the author: an announcement is above it, the
    /// author's name only below the last, or a sentence in between and neither a name nor whom to reach where, unless a program
    /// added the last. The last of them begins a signature only if it tells whose.
    fn is_one(&mut self, lines: &[&str], at: usize, name: &[String]) -> bool {
        if lines[at] != DELIMITER {
            return false;
        }
        let below = &lines[at + 1..];
        let is_whose = |lines: &[&str]| lines.iter().any(|line| is_of(line, name));
        let Some(next) = below.iter().position(|line| *line == DELIMITER) else {
            return self.seen && !is_whose(below) && !has_contact(below);
        };
        let part = &below[..next];
        let last = *self.last.get_or_insert_with(|| Last::of(below, name));
        let says = || !last.is_told && part.iter().any(|line| is_sentence(line));
        let is_part = || is_announced(lines, at) || last.is_whose || says();
        self.seen |= !(is_whose(part) || has_contact(part)) && is_part();
        self.seen
    }
}

/// Whether right above stands what is neither a sentence nor a closing: a rule below it underlines it.
fn is_underline(lines: &[&str], at: usize) -> bool {
    let above = lines[..at].last().map_or("", |line| line.trim());
    above.ends_with(|c: char| c.is_alphanumeric() || c == ':') && !is_closing(above)
}

/// Whether two dashes stand right below a few words, and above what does not begin with a name.
fn underlines_heading(lines: &[&str], at: usize) -> bool {
    let short = |line: &&str| line.split_whitespace().count() <= MAX_HEADING_WORDS;
    let next = lines[at + 1..].iter().map(|line| line.trim()).find(|line| !line.is_empty());
    let is_name = |line: &str| is_written_as_name(line) && !line.contains(|c: char| c.is_ascii_digit());
    is_underline(lines, at)
        && lines[..at].last().is_some_and(short)
        && next.is_some_and(|next| !is_name(next))
}

fn has_rule(lines: &[&str]) -> bool {
    lines.iter().any(|line| is_rule(line))
}

/// Whether the same rule stands above already, as it does between sections.
fn stands_above(lines: &[&str], at: usize) -> bool {
    lines[at.saturating_sub(TAIL)..at].iter().any(|line| line.trim() == lines[at].trim())
}

/// Whether a closing stands at a rule, or below it whom to reach where, or a name: of several words, by itself, or the author's.
fn tells_who(lines: &[&str], at: usize, name: &[String]) -> bool {
    let says = |line: &&&str| !line.trim().is_empty();
    let (above, below) = (&lines[..at], &lines[at + 1..]);
    let alone = below.iter().filter(says).nth(1).is_none();
    let is_whose = |line: &&str| {
        (words(line).len() > 1 || alone)
            && is_written_as_name(line.trim())
            && !line.contains(|c: char| c.is_ascii_digit())
            || is_of(line, name)
    };
    has_contact(below)
        || below.iter().find(says).is_some_and(is_whose)
        || above.iter().rev().find(says).is_some_and(|line| is_closing(line))
        || below.iter().any(|line| is_closing(line))
}
