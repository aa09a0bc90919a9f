//! What somebody adds below their name: a postscript in many languages.

use super::headline::plain;
use crate::mail::words::folded;

/// So much of a line shows whether it begins one.
const MAX_CHARS: usize = 24;

/// What stands before a blank as well.
const LATIN: [&str; 6] = ["ps", "p.s", "p. s", "pps", "p.p.s", "p.s.s"];

/// Words that mean something else unless a mark follows: "PD Dr. Berg" is a title, "UI Design" a trade.
const MARKED: [&str; 39] = [
    "postscript",
    "post scriptum",
    "post-scriptum",
    "postscriptum",
    "nachtrag",
    "nachsatz",
    "naschrift",
    "pd",
    "p.d",
    "posdata",
    "postdata",
    "nb",
    "n.b",
    "nota bene",
    "poscritto",
    "efterskrift",
    "etterskrift",
    "jk",
    "ui",
    "u.i",
    "utoirat",
    "not",
    "υγ",
    "υ.γ",
    "υστερογραφο",
    "пс",
    "п.с",
    "п.п",
    "зы",
    "з.ы",
    "постскриптум",
    "נב",
    "נ.ב",
    "נ\"ב",
    "נ״ב",
    "ملاحظة",
    "ملحوظة",
    "حاشية",
    "tai but",
];

/// Languages without spaces put nothing behind it.
const UNSPACED: [&str; 6] = ["追伸", "追記", "又及", "附言", "추신", "ปล."];

/// Whether a line begins a postscript.
pub(super) fn begins_postscript(line: &str) -> bool {
    let start: String = plain(line).trim_start_matches(['(', '*']).chars().take(MAX_CHARS).collect();
    let start = folded(&start);
    let behind = |words: &[&str], fits: fn(&str) -> bool| {
        words.iter().any(|word| start.strip_prefix(word).is_some_and(fits))
    };
    behind(&LATIN, |rest| is_marked(rest) || rest.is_empty() || rest.starts_with(' '))
        || behind(&MARKED, is_marked)
        || behind(&UNSPACED, |_| true)
}

fn is_marked(rest: &str) -> bool {
    let rest = rest.trim_start_matches(['*', '_', ' ']);
    rest.starts_with([':', '：', '.', ')', '–', '—']) || rest.starts_with("- ")
}
