//! What stands below the new words without being any: a signature, the line a phone adds, the footer of a list.

use std::collections::HashSet;
use std::sync::LazyLock;

use super::block::is_rule;
use super::headline::plain;
use crate::mail::words::{folded, phrases};

const TABLE: &str = include_str!("../words/quotes.txt");
/// A signature below `-- ` has at most so many lines that say something.
const MAX_LINES: usize = 30;
/// It is looked for in so many lines at the end.
const TAIL: usize = 200;
/// Below a closing there are at most so many.
const MAX_NAME_LINES: usize = 8;

static FOOTERS: LazyLock<Vec<String>> = LazyLock::new(|| phrases(TABLE, "footer").collect());
static CLOSINGS: LazyLock<HashSet<String>> = LazyLock::new(|| phrases(TABLE, "closing").collect());

/// Where the lines stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// At the top of a mail: its first word is no signature.
    Top,
    /// Below words of the author: all of it may be one.
    Below,
}

/// Where the signature of these lines begins.
pub(super) fn begins(lines: &[&str], place: Place) -> Option<usize> {
    let word = lines.iter().position(|line| !line.trim().is_empty())?;
    // The first line that may belong to it.
    let first = match place {
        Place::Top => word + 1,
        Place::Below => word,
    };
    let mut end = lines.len();
    for find in [footer, delimiter, closing, dashed_name] {
        end = find(&lines[..end], first).unwrap_or(end);
    }
    if end < lines.len() {
        // "Thanks" right above a signature is its beginning.
        let last = lines[..end].iter().rposition(|line| !line.trim().is_empty());
        end = last.filter(|at| *at >= first && is_closing(lines[*at])).unwrap_or(end);
    }
    (end < lines.len()).then_some(end)
}

/// `-- ` (RFC 3676, section 4.3), or another rule above lines that look like a signature.
fn delimiter(lines: &[&str], first: usize) -> Option<usize> {
    (first.max(lines.len().saturating_sub(TAIL))..lines.len()).find(|at| {
        let below = &lines[at + 1..];
        let said = below.iter().filter(|line| !line.trim().is_empty()).count();
        match lines[*at].trim_end() {
            "--" | "—" | "–" | "―" => said <= MAX_LINES && (lines[*at] == "-- " || looks_signed(below)),
            line if is_rule(line) || line.trim() == "__" => {
                said > 0 && said <= MAX_LINES && looks_signed(below) && !has_rule(below)
            }
            _ => false,
        }
    })
}

fn has_rule(lines: &[&str]) -> bool {
    lines.iter().any(|line| is_rule(line))
}

/// Short lines without sentences.
fn looks_signed(lines: &[&str]) -> bool {
    lines.iter().all(|line| {
        let line = line.trim();
        let words = line.split_whitespace().count();
        let sentence = words >= 6 && line.ends_with(['.', '!', '?', ':', ';', ',']);
        let listed = line.starts_with("1.") || line.starts_with("* ") || line.starts_with("- ");
        line.chars().count() <= 120 && !sentence && !listed
    })
}

/// The line of a phone or mail program, and a name right above it.
fn footer(lines: &[&str], first: usize) -> Option<usize> {
    let at = (first..lines.len()).find(|at| is_footer(lines[*at]))?;
    let by_itself = at > first && (at < 2 || lines[at - 2].trim().is_empty());
    Some(if by_itself && is_name(lines[at - 1].trim()) { at - 1 } else { at })
}

/// Whatever device or program follows.
const SENT: [&str; 4] = ["sent from ", "sent via ", "sent using ", "sent with "];

fn is_footer(line: &str) -> bool {
    let line = plain(line);
    if line.chars().count() > 120 || line.is_empty() {
        return false;
    }
    let without_link = line.split(['<', '[']).next().unwrap_or_default().trim();
    let words = without_link.split_whitespace().count();
    let folded = folded(line.trim_start_matches(['(', '-', '—', ' ', '~', '|']));
    let known = SENT.iter().any(|start| folded.starts_with(start))
        || FOOTERS.iter().any(|phrase| {
            folded.starts_with(phrase.as_str()) || !phrase.is_ascii() && folded.contains(phrase.as_str())
        });
    let sent_last =
        ["gesendet", "gesendet.", "gonderildi", "gonderildi."].iter().any(|word| folded.ends_with(word));
    let of_mail = ["mail.", "e-mail.", "email."].iter().any(|word| folded.ends_with(word));
    let clause = without_link.contains(", ") && !sent_last;
    let sentence =
        without_link.ends_with('.') && words > 4 && !sent_last && !of_mail && !folded.contains("http");
    known && !clause && !sentence && words <= 14 && !without_link.ends_with(':')
}

/// "Kind regards" as a line of its own above names.
fn closing(lines: &[&str], first: usize) -> Option<usize> {
    let at = (first..lines.len()).rev().find(|at| is_closing(lines[*at]))?;
    let below: Vec<&str> =
        lines[at + 1..].iter().map(|line| line.trim()).filter(|line| !line.is_empty()).collect();
    let signed = !below.is_empty() && below.len() <= MAX_NAME_LINES && looks_signed(&lines[at + 1..]);
    if !(signed && is_name(below[0])) {
        return None;
    }
    // "Many thanks" above "Kind regards" belongs to it.
    let above = (first..at).rev().find(|above| !lines[*above].trim().is_empty());
    Some(above.filter(|above| is_closing(lines[*above]) && at - above <= 2).unwrap_or(at))
}

fn is_closing(line: &str) -> bool {
    let line = plain(line);
    if line.chars().count() > 60 {
        return false;
    }
    let said = line.trim_end_matches(|c: char| c.is_whitespace() || ",.!;:-–".contains(c));
    CLOSINGS.contains(folded(said).as_str())
}

/// One to four words, the first of which begins like a name.
fn is_name(line: &str) -> bool {
    let line = plain(line).trim_start_matches(['-', '—', '~', '/', ' ']);
    let words = line.split_whitespace().count();
    (1..=5).contains(&words)
        && line.chars().count() <= 60
        && line
            .chars()
            .next()
            .is_some_and(|c| c.is_uppercase() || c.is_alphabetic() && !c.is_lowercase() || words == 1)
        && !line.ends_with(['?', ':', ';'])
}

/// `-Scott` or `/Scott` as the last line.
fn dashed_name(lines: &[&str], first: usize) -> Option<usize> {
    let at = lines.iter().rposition(|line| !line.trim().is_empty()).filter(|at| *at >= first)?;
    let line = lines[at].trim();
    let name = line.strip_prefix(['-', '/', '~']).or_else(|| line.strip_prefix("//"))?;
    let name = name.trim_end_matches('.');
    let spaced = name.starts_with(' ');
    let words = name.split_whitespace().count();
    let capital = name.trim_start().chars().next().is_some_and(char::is_uppercase);
    let letters = name.chars().all(|c| c.is_alphabetic() || c == ' ' || c == '.' || c == '\'');
    let apart = at == 0 || lines[at - 1].trim().is_empty();
    (capital && letters && words <= 3 && !spaced && apart).then_some(at)
}
