//! What stands below the new words without being any: a signature, the line a phone adds, the footer of a list.

mod delimiter;
mod firm;
mod footer;

use std::collections::HashSet;
use std::sync::LazyLock;

use self::delimiter::delimiter;
use self::firm::{added, disclaimers, is_of_firm};
use self::footer::is_footer;
use super::headline::plain;
use super::postscript::begins_postscript;
use crate::mail::command::is_phrase;
use crate::mail::words::{folded, phrases, words};

const TABLE: &str = include_str!("../words/quotes.txt");
/// What stands above a signature (RFC 3676, section 4.3).
const DELIMITER: &str = "-- ";
/// A signature below `-- ` has at most so many lines that say something.
const MAX_LINES: usize = 30;
/// It is looked for in so many lines at the end.
const TAIL: usize = 200;
/// Below a closing there are at most so many.
const MAX_NAME_LINES: usize = 8;
/// Below the line of a phone at most so many say something.
const MAX_BELOW_FOOTER: usize = 3;
/// A line with a name has at most so many.
const MAX_SIGNED_BYTES: usize = 200;
/// What says something has at least so many words.
const MIN_WORDS: usize = 3;
const MIN_PHONE_DIGITS: usize = 6;
/// A name, a firm, and whom to reach where.
const MIN_FIRM_LINES: usize = 3;

static DETAILS: LazyLock<HashSet<String>> = LazyLock::new(|| phrases(TABLE, "details").collect());
static THANKS: LazyLock<Vec<String>> = LazyLock::new(|| phrases(TABLE, "thanks").collect());
static LEADS: LazyLock<HashSet<String>> = LazyLock::new(|| phrases(TABLE, "leads").collect());
static POLITE: LazyLock<Vec<String>> = LazyLock::new(|| phrases(TABLE, "polite").collect());
static CLOSINGS: LazyLock<HashSet<String>> = LazyLock::new(|| phrases(TABLE, "closing").collect());

/// Where the lines stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// At the top of a mail: its first word is no signature, unless it is the line of a phone or a delimiter.
    Top,
    /// The same, below a subject: a closing above the author's name may stand there as well.
    Subject,
    /// The same, below a subject that is a command: so may the name alone.
    Command,
    /// Below words of the author: all of it may be one.
    Below,
}

/// Takes the signatures out of these lines; `name` is what their author is called, in folded words. A postscript ends one, and
/// may have another below it.
pub(super) fn taken<'a>(lines: &mut Vec<&'a str>, place: Place, name: &[String]) -> Vec<&'a str> {
    let all = std::mem::take(lines);
    let mut taken = Vec::new();
    let (mut from, mut place) = (0, place);
    while from < all.len() {
        let next = (from + 1..all.len()).find(|at| begins_postscript(all[*at]));
        let part = &all[from..next.unwrap_or(all.len())];
        let at = begins(part, place, name).unwrap_or(part.len());
        lines.extend(&part[..at]);
        taken.extend(&part[at..]);
        from += part.len();
        place = Place::Top;
    }
    taken
}

/// Finds where one begins.
type Find<'a> = &'a dyn Fn(&[&str]) -> Option<usize>;

/// Where the signature begins that ends these lines.
fn begins(lines: &[&str], place: Place, name: &[String]) -> Option<usize> {
    let word = lines.iter().position(|line| !line.trim().is_empty())?;
    // The first line that may belong to it.
    let first = match place {
        Place::Top if !begins_signature(lines[word]) => word + 1,
        Place::Subject if !(begins_signature(lines[word]) || closes_with(&lines[word..], name)) => word + 1,
        Place::Command
            if !(begins_signature(lines[word])
                || closes_with(&lines[word..], name)
                || is_of(lines[word], name)) =>
        {
            word + 1
        }
        Place::Top | Place::Subject | Place::Command | Place::Below => word,
    };
    let finds: [Find<'_>; 4] = [
        &|lines| footer(lines, first),
        &|lines| delimiter(lines, first, name),
        &|lines| closing(lines, first, name),
        &|lines| dashed_name(lines, first),
    ];
    let (mut end, mut is_signed) = (lines.len(), false);
    for find in finds {
        end = added(&lines[..end], first);
        let found = find(&lines[..end]);
        is_signed |= found.is_some();
        end = found.unwrap_or(end);
    }
    if !is_signed {
        // What a firm puts below a signature tells of one only when there is one.
        let said = &lines[..disclaimers(&lines[..end], first)];
        end = delimiter(said, first, name).or_else(|| closing(said, first, name)).unwrap_or(end);
    }
    for find in [named_block, own_name] {
        end = find(&lines[..end], first, name).unwrap_or(end);
    }
    if end < lines.len() {
        // "Thanks" right above a signature is its beginning.
        let last = lines[..end].iter().rposition(|line| !line.trim().is_empty());
        let closes = |at: usize| at >= first && is_closing(lines[at]) && !is_announced(lines, at);
        end = last.filter(|at| closes(*at)).unwrap_or(end);
    }
    (end < lines.len()).then_some(end)
}

/// Whether a closing begins these lines, and the author's name stands below it.
fn closes_with(lines: &[&str], name: &[String]) -> bool {
    is_closing(lines[0]) && lines.iter().any(|line| is_of(line, name)) || is_signed(lines[0], name)
}

/// Whether nobody begins a text with it.
fn begins_signature(line: &str) -> bool {
    line.trim_end() == "--" || is_footer(line)
}

/// Whether a line has words of a name, and no others.
fn is_of(line: &str, name: &[String]) -> bool {
    if line.len() > MAX_SIGNED_BYTES {
        return false;
    }
    let said = words(line);
    !said.is_empty() && said.iter().all(|word| name.contains(word))
}

/// Whether nothing stands right above.
fn is_apart(lines: &[&str], at: usize) -> bool {
    at == 0 || lines[at - 1].trim().is_empty()
}

/// Short lines without sentences.
fn looks_signed(lines: &[&str]) -> bool {
    lines.iter().all(|line| {
        let line = line.trim();
        let words = line.split_whitespace().count();
        let sentence = words >= 6 && line.ends_with(['.', '!', '?', ':', ';', ',']);
        line.chars().count() <= 120 && !sentence && !is_listed(line)
    })
}

fn is_listed(line: &str) -> bool {
    ["1.", "* ", "- "].iter().any(|mark| line.starts_with(mark))
}

/// The line of a phone or mail program, with little below it, and a name right above it.
fn footer(lines: &[&str], first: usize) -> Option<usize> {
    let end = disclaimers(lines, first);
    let mut last = first.max(end.saturating_sub(TAIL))..end;
    let is_wanted = |at: usize| !is_apart(lines, at) && is_announced(lines, at);
    let at = last.find(|at| is_footer(lines[*at]) && !is_wanted(*at) && ends_text(&lines[..end], *at))?;
    Some(if is_named(lines, at, first) { at - 1 } else { at })
}

/// Whether a name stands by itself right above.
fn is_named(lines: &[&str], at: usize, first: usize) -> bool {
    at > first
        && is_apart(lines, at - 1)
        && !is_announced(lines, at - 1)
        && is_written_as_name(lines[at - 1].trim())
}

/// Whether little follows; below a line that does not stand by itself nothing that is a sentence, either.
fn ends_text(lines: &[&str], at: usize) -> bool {
    let below = &lines[at + 1..];
    let alone = is_apart(lines, at) && below.first().is_none_or(|line| line.trim().is_empty());
    said_at_most(below, MAX_BELOW_FOOTER)
        && !below.iter().any(|line| is_sentence(line))
        && (alone || said_at_most(below, MAX_BELOW_FOOTER - 1) && looks_signed(below))
}

/// Whether no more of these lines say something, footers apart.
fn said_at_most(lines: &[&str], most: usize) -> bool {
    lines.iter().filter(|line| !line.trim().is_empty() && !is_footer(line)).count() <= most
}

/// Whether somebody says something to somebody, in words that are not all written as names are: "Berger Home Inc." says nothing.
/// Without a full stop, as on phones, a number or a link has such words beside it as well, as in "tel." and "rue".
fn is_sentence(line: &str) -> bool {
    let is_of_data = || line.contains(|c: char| c.is_ascii_digit() || c == '@') || has_link(line);
    let spoken = || spoken_words(line) >= if is_of_data() && !is_ended(line) { MIN_WORDS } else { 1 };
    let unspaced = || is_ended(line) && line.contains(is_unspaced);
    count_words(line) >= MIN_WORDS && (spoken() || unspaced()) && !is_footer(line) && !is_closing(line)
}

fn is_ended(line: &str) -> bool {
    line.trim().ends_with(['.', '!', '?', '。', '！', '？'])
}

fn has_link(line: &str) -> bool {
    ["http:", "https:", "www."].iter().any(|start| line.contains(start))
}

/// Whether it is a letter of a language without spaces.
fn is_unspaced(c: char) -> bool {
    c >= '\u{2e80}' && c.is_alphabetic() && !('\u{ac00}'..='\u{d7a3}').contains(&c)
}

/// Languages without spaces are taken to have words of three letters.
fn count_words(line: &str) -> usize {
    let words = line.split_whitespace();
    words.map(|word| word.chars().filter(|c| is_unspaced(*c)).count().div_ceil(3).max(1)).sum()
}

/// How many of its words are not written as those of a name are.
fn spoken_words(line: &str) -> usize {
    let words = line.split_whitespace().map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()));
    let is_word = |word: &str| word.chars().all(|c| c.is_alphabetic() || "-'’".contains(c));
    words
        .filter(|word| {
            word.chars().nth(1).is_some()
                && !word.starts_with(char::is_uppercase)
                && is_word(word)
                && !PARTICLES.contains(word)
                && !OF_FIRMS.contains(word)
        })
        .count()
}

/// "Kind regards" as a line of its own above names.
fn closing(lines: &[&str], first: usize, name: &[String]) -> Option<usize> {
    let at = (first..lines.len()).rev().find(|at| is_closing(lines[*at]) && is_said_last(lines, *at))?;
    let below: Vec<&str> =
        lines[at + 1..].iter().map(|line| line.trim()).filter(|line| !line.is_empty()).collect();
    let who = until_contact(&lines[at + 1..]);
    let is_long = || below.len() <= MAX_LINES && is_of(below[0], name) && is_of_firm(&below);
    let signed = !below.is_empty()
        && (below.len() <= MAX_NAME_LINES || is_long())
        && looks_signed(who)
        && !below.iter().any(|line| is_listed(line));
    let is_named = |line: &str| if thanks(lines[at]) { is_whole_name(line) } else { is_name(line) };
    if !(signed && is_named(below[0])) || says_more(who) {
        return None;
    }
    // "Many thanks" above "Kind regards" belongs to it.
    let above = (first..at).rev().find(|above| !lines[*above].trim().is_empty());
    let at = above.filter(|above| is_closing(lines[*above]) && at - above <= 2).unwrap_or(at);
    (!is_announced(lines, at)).then_some(at)
}

/// Whether a link, an address or the number of a phone is among them.
fn has_contact(lines: &[&str]) -> bool {
    lines.iter().any(|line| line.contains('@') || has_link(line) || has_phone(line))
}

/// Whether enough digits stand together, with nothing between them but what groups them: prices and times have words or colons
/// between theirs.
fn has_phone(line: &str) -> bool {
    let mut digits = 0;
    line.chars().any(|c| {
        if c.is_ascii_digit() {
            digits += 1;
        } else if !c.is_whitespace() && !"+-–/.()".contains(c) {
            digits = 0;
        }
        digits >= MIN_PHONE_DIGITS
    })
}

/// The lines below a closing down to the first one that tells whom to reach where, when it is not a private one: below it stands
/// what a firm says of itself.
fn until_contact<'a, 'b>(below: &'b [&'a str]) -> &'b [&'a str] {
    let tells = |line: &&str| has_contact(&[line]) && !is_sentence(line);
    let end = below.iter().position(tells).map_or(below.len(), |at| at + 1);
    let says = |line: &&&str| !line.trim().is_empty();
    if below[..end].iter().filter(says).count() < MIN_FIRM_LINES { below } else { &below[..end] }
}

/// Whether something is said in it and nothing tells whom to reach where.
fn is_no_signature(below: &[&str]) -> bool {
    says_more(below) && !has_contact(below)
}

/// Whether something is said where a name should stand, in a paragraph behind it, or with a full stop right below it.
fn says_more(below: &[&str]) -> bool {
    let start = below.iter().position(|line| !line.trim().is_empty()).unwrap_or(below.len());
    let end =
        below[start..].iter().position(|line| line.trim().is_empty()).map_or(below.len(), |at| start + at);
    let told = |line: &&str| is_ended(line) && spoken_words(line) >= 2 && is_sentence(line);
    below[start..end].first().is_some_and(|line| is_sentence(line))
        || below[start..end].iter().any(told)
        || below[end..].iter().any(|line| is_sentence(line))
}

/// Whether a closing of one word stands where a letter ends: behind a sentence, below an empty line, or with a mark of its own.
/// "Love" between other words may be one of a list.
fn is_said_last(lines: &[&str], at: usize) -> bool {
    let line = plain(lines[at]);
    let marked = |line: &str| line.ends_with(|c: char| !c.is_alphanumeric());
    line.contains(' ')
        || marked(line)
        || is_apart(lines, at)
        || marked(lines[at - 1].trim())
        || is_closing(lines[at - 1])
}

/// Whether a closing thanks, as somebody does above wishes, too.
fn thanks(closing: &str) -> bool {
    let folded = folded(closing);
    THANKS.iter().any(|word| folded.contains(word.as_str()))
}

/// Whether nothing stands in a text but such words.
pub(super) fn is_only_closings(text: &str) -> bool {
    text.lines().all(|line| line.trim().is_empty() || is_closing(line))
}

fn is_closing(line: &str) -> bool {
    let line = plain(line);
    if line.chars().count() > 60 {
        return false;
    }
    let said = line.trim_end_matches(|c: char| c.is_whitespace() || ",.!;:-–，。！、．".contains(c));
    let folded = folded(said);
    let is_ending = |rest: &str| rest.chars().all(|c| "いたします致申し上げ".contains(c));
    let is_polite = || POLITE.iter().any(|words| folded.strip_prefix(words.as_str()).is_some_and(is_ending));
    CLOSINGS.contains(folded.as_str()) || is_polite()
}

/// What stands before the name of somebody who signs for others.
const FOR_OTHERS: [&str; 7] = ["i.A.", "i. A.", "i.V.", "i. V.", "p.p.", "ppa.", "p.o."];

/// One to four words, the first of which begins like a name.
fn is_name(line: &str) -> bool {
    let line = plain(line).trim_start_matches(['-', '—', '~', '/', ' ']);
    let line = FOR_OTHERS.iter().find_map(|mark| line.strip_prefix(mark)).unwrap_or(line).trim_start();
    let words = line.split_whitespace().count();
    (1..=5).contains(&words)
        && line.chars().count() <= 60
        && line
            .chars()
            .next()
            .is_some_and(|c| c.is_uppercase() || c.is_alphabetic() && !c.is_lowercase() || words == 1)
        && !line.ends_with(['?', ':', ';'])
}

/// Whether the words above, closings apart, end with a colon or a word such as "to": then what stands here is what they announce
/// ("Put this on the page:").
fn is_announced(lines: &[&str], at: usize) -> bool {
    let above = lines[at.saturating_sub(TAIL)..at].iter().rev().map(|line| line.trim());
    above
        .filter(|line| !line.is_empty())
        .find(|line| !is_closing(line))
        .is_some_and(|line| line.ends_with([':', '：']) || goes_on(line))
}

/// Whether a word that needs another behind it stands alone or ends more than two.
fn goes_on(line: &str) -> bool {
    let last = line.rsplit(char::is_whitespace).next().unwrap_or_default();
    line.split_whitespace().count() != 2 && LEADS.contains(folded(last).as_str())
}

/// The last line, when it is nothing but the author's own name or a part of it, or a closing and that.
fn own_name(lines: &[&str], first: usize, name: &[String]) -> Option<usize> {
    let at = lines.iter().rposition(|line| !line.trim().is_empty()).filter(|at| *at >= first)?;
    if is_announced(lines, at) {
        return None;
    }
    let is_last = || is_apart(lines, at) || is_ended(lines[at - 1]) || is_closing(lines[at - 1]);
    (is_of(lines[at], name) || is_signed(lines[at], name) && is_last()).then_some(at)
}

/// Whether a closing and the author's name make up a line: "Thanks, Anna".
fn is_signed(line: &str, name: &[String]) -> bool {
    let blanks = line.char_indices().filter(|(_, c)| c.is_whitespace());
    let mut parts = blanks.map(|(at, _)| line.split_at(at)).filter(|(closing, _)| !closing.trim().is_empty());
    line.len() <= MAX_SIGNED_BYTES && parts.any(|(closing, rest)| is_closing(closing) && is_of(rest, name))
}

/// The author's whole name with what a firm puts below it, or beside it, and whom to reach where; above it something is said to
/// its end.
fn named_block(lines: &[&str], first: usize, name: &[String]) -> Option<usize> {
    if name.len() < 2 {
        return None;
    }
    let is_whole = |line: &str| is_of(line, name) && words(line).len() == name.len();
    let begins = |line: &str| line.split('|').next().is_some_and(is_whole);
    let from = first.max(lines.len().saturating_sub(TAIL));
    let at = (from..lines.len()).find(|at| begins(lines[*at]) && is_apart(lines, *at))?;
    let block: Vec<&str> =
        lines[at..].iter().map(|line| line.trim()).filter(|line| !line.is_empty()).collect();
    let is_block = block.len() <= MAX_LINES && has_contact(&block) && is_of_firm(&block);
    let above = lines[..at].iter().rev().map(|line| line.trim()).find(|line| !line.is_empty());
    let is_said = above
        .is_some_and(|line| is_ended(line) && !names_details(line) || is_closing(line) || is_of(line, name))
        || is_phrase(&lines[..at].join("\n"));
    (is_block && is_said && !is_announced(lines, at)).then_some(at)
}

/// Whether it speaks of what a name and a number may be for.
fn names_details(line: &str) -> bool {
    words(line).iter().any(|word| DETAILS.contains(word))
}

/// What stands between the words of a name.
const PARTICLES: [&str; 18] = [
    "von", "van", "der", "den", "de", "del", "della", "di", "da", "do", "dos", "la", "le", "zu", "bin", "al",
    "und", "and",
];

/// What stands between those of a firm or an office besides: "Hotel zur Post", "Director of Sales".
const OF_FIRMS: [&str; 13] =
    ["of", "sp", "du", "des", "aux", "am", "im", "zur", "zum", "het", "et", "och", "og"];

/// A name whose words are all written as those of a name are: "Add the photo" is an order.
fn is_written_as_name(line: &str) -> bool {
    let of_name = |word: &str| !word.starts_with(char::is_lowercase) || PARTICLES.contains(&word);
    let lower = |line: &str| line.chars().all(|c| !c.is_uppercase()) && !line.contains(' ');
    is_name(line)
        && !line.ends_with(['.', '!', '。'])
        && (lower(line) || line.split_whitespace().all(of_name))
}

/// A name and nothing else: no number, and no label with what it is about.
fn is_whole_name(line: &str) -> bool {
    let is_lower = |word: &str| {
        word.starts_with(char::is_lowercase) && !PARTICLES.contains(&word) && !OF_FIRMS.contains(&word)
    };
    let is_spoken = line.trim().contains(' ') && line.split_whitespace().any(is_lower);
    is_name(line) && !is_spoken && !line.contains(|c: char| c.is_ascii_digit() || c == ':')
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
    (capital && letters && words <= 3 && !spaced && apart && !is_announced(lines, at)).then_some(at)
}
