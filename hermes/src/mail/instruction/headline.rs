//! The line above a quote: "On Monday Scott wrote:" in many languages and forms, in one line or wrapped over several.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use super::dates::{begins_with_date, has_date};
use crate::mail::words::{folded, phrases};

const TABLE: &str = include_str!("../words/quotes.txt");
/// A headline is wrapped over at most so many lines.
const MAX_LINES: usize = 4;
const MAX_BYTES: usize = 600;
/// A name has at most so many words.
const MAX_NAME_WORDS: usize = 5;

/// By their first letter.
static VERBS: LazyLock<HashMap<char, Vec<String>>> = LazyLock::new(|| {
    let mut verbs: HashMap<char, Vec<String>> = HashMap::new();
    for verb in phrases(TABLE, "verb") {
        verbs.entry(verb.chars().next().unwrap_or_default()).or_default().push(verb);
    }
    verbs
});
static OPENERS: LazyLock<HashSet<String>> = LazyLock::new(|| phrases(TABLE, "opener").collect());
static DAYS: LazyLock<HashSet<String>> = LazyLock::new(|| phrases(TABLE, "day").collect());

/// How sure it is that a quote follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Certainty {
    /// Whatever follows.
    Sure,
    /// Only when the next words are marked as quoted.
    IfMarked,
}

/// A headline that begins in the first of these lines: over how many it goes, and how sure that is.
pub(super) fn headline(lines: &[&str]) -> Option<(usize, Certainty)> {
    let first = plain(lines[0]);
    // One dash is that of a list.
    if first.starts_with("- ")
        || !may_begin(first) && !lines.get(1).is_some_and(|next| begins_with_address(next))
    {
        return None;
    }
    if shares_with_quote(first) {
        return Some((1, Certainty::Sure));
    }
    let mut joined = String::new();
    for (at, line) in lines.iter().take(MAX_LINES).enumerate() {
        let line = continued(line, &joined)?;
        if line.is_empty() || joined.len() + line.len() > MAX_BYTES {
            return None;
        }
        join(&mut joined, line);
        if let Some(certainty) = judge(&joined) {
            // A line of the author above a headline that needs no help is none of it.
            let later = (1..=at).any(|from| {
                !is_address(lines[from - 1])
                    && begins_surely(lines[from])
                    && headline(&lines[from..=at]).is_some()
            });
            return (!later).then_some((at + 1, certainty));
        }
        // What a colon or dashes end is whole; an address may be wrapped behind its own colon.
        if line.ends_with([':', '：']) && !line.ends_with("mailto:") || line.ends_with("--") {
            return None;
        }
    }
    None
}

/// Whether a headline begins the line and, behind a gap, the first words of the quote follow, as Yahoo writes it on phones.
fn shares_with_quote(line: &str) -> bool {
    let begins = |(head, _): (&str, &str)| {
        head.len() < MAX_BYTES
            && has_address(head)
            && begins_surely(line)
            && judge(&format!("{head}:")) == Some(Certainty::Sure)
    };
    line.split_once(":   ").is_some_and(begins)
}

/// Whether it is nothing but an address in brackets, as a headline has it that was wrapped behind a name.
fn is_address(line: &str) -> bool {
    begins_with_address(line) && plain(line).trim_end_matches([',', '，', '、']).ends_with(['>', ')'])
}

fn begins_with_address(line: &str) -> bool {
    let line = plain(line);
    let within = |opens, closes| line.strip_prefix(opens).and_then(|rest: &str| rest.split_once(closes));
    let bracketed = within('<', '>').or_else(|| within('(', ')'));
    bracketed.is_some_and(|(address, _)| !address.contains(' ') && has_address(address))
}

fn begins_surely(line: &str) -> bool {
    let folded = folded(plain(line));
    begins_with_date(&folded) || begins_headline(&folded) && !folded.starts_with(|c: char| c.is_ascii_digit())
}

/// Where in a line a headline begins that shares the line with words of the author.
pub(super) fn shared(line: &str) -> Option<usize> {
    let line = line.trim_end();
    if line.len() > MAX_BYTES || !line.ends_with([':', '：']) || begins_surely(line) {
        return None;
    }
    let starts = line
        .char_indices()
        .zip(line.chars().skip(1))
        .filter(|((_, before), next)| matches!(before, ' ' | '-' | '\t') && next.is_uppercase());
    for ((at, before), _) in starts {
        let from = at + before.len_utf8();
        let rest = &line[from..];
        let opener = folded(rest.split(' ').next().unwrap_or_default());
        if OPENERS.contains(opener.as_str()) && has_date(rest) && judge(rest) == Some(Certainty::Sure) {
            let own = line[..from].trim_end_matches(|c: char| c.is_whitespace() || c == '-');
            return (!own.is_empty()).then_some(own.len());
        }
    }
    None
}

/// Whether one line, or several joined, are a headline.
fn judge(line: &str) -> Option<Certainty> {
    let line = plain(line);
    let bare = line.trim_matches(|c: char| c == '-' || c.is_whitespace());
    let dashed = bare.len() + 4 <= line.len() && line.starts_with("--") && line.ends_with("--");
    let said = bare.trim_end_matches([':', '：', ' ', '\u{a0}']);
    let ends = said.len() < bare.len() && bare.ends_with([':', '：']) || dashed;
    if !ends && !said.ends_with('>') {
        return None;
    }
    let folded = folded(said);
    let (date, address) = (has_date(&folded), has_address(said));
    if !ends {
        let bracketed = said.ends_with('>') && begins_with_date(&folded) && address;
        return bracketed.then_some(Certainty::IfMarked);
    }
    let begins = begins_headline(&folded);
    let sure = if has_verb(&folded) {
        address || date && begins
    } else {
        date && address && begins && said.ends_with(['>', ')', ']'])
    };
    if sure {
        return Some(Certainty::Sure);
    }
    let bracketed =
        address && said.ends_with('>') && CITED_FROM.iter().any(|words| folded.starts_with(words));
    (bracketed || date && names_whoever_wrote(said)).then_some(Certainty::IfMarked)
}

/// How programs begin a headline without a verb and a date.
const CITED_FROM: [&str; 6] =
    ["zitat von ", "quoting ", "citando ", "citation de ", "citat fran ", "citat fra "];

/// Whether a name, what its bearer did, and when begin the line, as in "Bob Smith kirjoitti 3.3.2026".
fn names_whoever_wrote(said: &str) -> bool {
    let is_of_name = |word: &&str| !word.chars().next().is_none_or(char::is_lowercase);
    let name = said.split(' ').take_while(is_of_name).take(MAX_NAME_WORDS).map(|word| word.len() + 1);
    let length: usize = name.sum();
    let Some(did) = said.get(length..).filter(|_| length > 0) else { return false };
    let did = folded(did);
    verbs_like(&did).any(|verb| {
        did.strip_prefix(verb.as_str()).is_some_and(|rest| rest.starts_with(' ') && has_date(rest))
    })
}

/// Those that begin with the first letter of a text.
fn verbs_like(text: &str) -> impl Iterator<Item = &String> {
    text.chars().next().and_then(|first| VERBS.get(&first)).into_iter().flatten()
}

fn has_verb(folded: &str) -> bool {
    let mut before = None;
    folded.char_indices().any(|(at, c)| {
        let begins = is_edge(before, c);
        before = Some(c);
        begins && begins_with_verb(&folded[at..])
    })
}

fn begins_with_verb(text: &str) -> bool {
    verbs_like(text).any(|verb| {
        let first = verb.chars().next().unwrap_or_default();
        text.strip_prefix(verb.as_str()).is_some_and(|rest| is_edge(rest.chars().next(), first))
    })
}

/// Languages without spaces have no edges of words, as the first letter shows; `>wrote` has none either.
fn is_edge(neighbour: Option<char>, first: char) -> bool {
    neighbour.is_none_or(|c| !c.is_alphabetic()) || first >= '\u{2e80}'
}

/// A cheap look at the first line.
fn may_begin(first: &str) -> bool {
    let folded = folded(first);
    begins_headline(folded.trim_start_matches(['-', ' ', '>']))
        || has_address(first)
        || has_verb(&folded) && first.ends_with([':', '：'])
}

fn begins_headline(folded: &str) -> bool {
    let text = folded.trim_start_matches(['"', '«', '“', '(', ' ']);
    if text.starts_with(|c: char| c.is_ascii_digit()) || begins_with_date(text) {
        return true;
    }
    let end = text.find(|c: char| !(c.is_alphabetic() || c == '-' || c == '\'')).unwrap_or(text.len());
    let word = &text[..end];
    let cjk =
        || text.chars().next().is_some_and(|c| OPENERS.contains(c.to_string().as_str()) && c >= '\u{2e80}');
    OPENERS.contains(word) || DAYS.contains(word) && is_day(word, &text[end..]) || cjk()
}

/// Short names of days are other words as well: a number or a mark has to follow.
fn is_day(word: &str, rest: &str) -> bool {
    word.chars().count() > 3
        || rest.starts_with(['.', ','])
        || rest.trim_start().starts_with(|c: char| c.is_ascii_digit())
}

pub(super) fn has_address(text: &str) -> bool {
    text.match_indices('@').any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + 1..].chars().next();
        before.is_some_and(|c| c.is_alphanumeric() || "_-+.=".contains(c))
            && after.is_some_and(char::is_alphanumeric)
    })
}

/// Without what surrounds emphasised words.
pub(super) fn plain(line: &str) -> &str {
    line.trim_matches(|c: char| c.is_whitespace() || matches!(c, '*' | '_' | '\u{200e}' | '\u{200f}'))
}

/// The next line of a wrapped headline. A mark before it belongs to an address that was wrapped: `<a@b.c` and `> wrote:`.
fn continued<'a>(line: &'a str, joined: &str) -> Option<&'a str> {
    let line = plain(line);
    let open = joined.rfind('<') > joined.rfind('>');
    if line.starts_with('>') && !joined.is_empty() && !open {
        return None;
    }
    Some(line)
}

/// Puts a line behind the others; a soft line break of an undecoded mail (RFC 2045, section 6.7) leaves no space.
fn join(joined: &mut String, line: &str) {
    if joined.ends_with('=') {
        joined.pop();
    } else if !joined.is_empty() {
        joined.push(' ');
    }
    joined.push_str(line);
}
