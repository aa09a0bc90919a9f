//! What a firm, its server, a list or a program puts below what somebody wrote: who it is, what it has to say by law, and for whom
//! a mail is.

use std::sync::LazyLock;

use super::{TABLE, has_contact, has_link, is_announced, is_sentence, spoken_words};
use crate::mail::words::{folded, phrases};

/// No such paragraph is longer.
const MAX_BYTES: usize = 8 * 1024;

static ADDED: LazyLock<Vec<String>> = LazyLock::new(|| phrases(TABLE, "added").collect());
static CONFIDENTIAL: LazyLock<Vec<String>> = LazyLock::new(|| phrases(TABLE, "confidential").collect());
static MISDIRECTED: LazyLock<Vec<String>> = LazyLock::new(|| phrases(TABLE, "misdirected").collect());
static PRINTED: LazyLock<Vec<String>> = LazyLock::new(|| phrases(TABLE, "printed").collect());
static PRIVACY: LazyLock<Vec<String>> = LazyLock::new(|| phrases(TABLE, "privacy").collect());
static LETTER: LazyLock<Vec<String>> = LazyLock::new(|| phrases(TABLE, "letter").collect());
static MISTAKEN: LazyLock<Vec<String>> = LazyLock::new(|| phrases(TABLE, "mistaken").collect());
static FIRM: LazyLock<Vec<String>> = LazyLock::new(|| phrases(TABLE, "firm").collect());

/// Where the paragraphs of a firm begin that end these lines.
pub(super) fn disclaimers(lines: &[&str], first: usize) -> usize {
    below(lines, first, is_disclaimer)
}

/// Where the last paragraphs begin of which this holds, in folded words, and which nobody announces.
fn below(lines: &[&str], first: usize, holds: impl Fn(&str) -> bool) -> usize {
    let mut end = lines.len();
    while let Some(last) = lines[..end].iter().rposition(|line| !line.trim().is_empty()) {
        let start =
            lines[..last].iter().rposition(|line| line.trim().is_empty()).map_or(0, |above| above + 1);
        let paragraph = &lines[start..=last];
        let is_short = || paragraph.iter().map(|line| line.len()).sum::<usize>() <= MAX_BYTES;
        let is_one = || is_short() && holds(&folded(&paragraph.join(" "))) && !is_announced(lines, start);
        if start < first || !is_one() {
            break;
        }
        end = start;
    }
    end
}

/// Whether a paragraph says that it is confidential, and for whom; that it need not be printed; or where to read of privacy.
fn is_disclaimer(said: &str) -> bool {
    is_confidential(said) || hold(&PRINTED, said) || hold(&PRIVACY, said) && has_link(said)
}

fn is_confidential(said: &str) -> bool {
    hold(&CONFIDENTIAL, said) && hold(&MISDIRECTED, said)
}

fn hold(phrases: &[String], said: &str) -> bool {
    phrases.iter().any(|phrase| said.contains(phrase.as_str()))
}

/// Whether these lines are what a firm says of itself and of one person: names, numbers, links, what it has to say by law, and no
/// word to anybody.
pub(super) fn is_of_firm(lines: &[&str]) -> bool {
    let is_by_law = |line: &str| hold(&FIRM, &folded(line));
    let is_data = |line: &str| has_contact(&[line]) || line.contains(|c: char| c.is_ascii_digit());
    let fits =
        |line: &&str| is_by_law(line) || !is_sentence(line) && (is_data(line) || spoken_words(line) == 0);
    lines.iter().all(fits) && lines.iter().filter(|line| line.contains('@')).count() <= 1
}

/// Where the paragraphs begin that a server, a list or a program against viruses puts below all, for everybody and of any text.
pub(super) fn added(lines: &[&str], first: usize) -> usize {
    let is_of_letter = |said: &str| hold(&CONFIDENTIAL, said) && hold(&MISTAKEN, said) && hold(&LETTER, said);
    below(lines, first, |said| is_of_letter(said) || is_of_program(said))
}

/// Whether a program or a list says it.
fn is_of_program(said: &str) -> bool {
    hold(&ADDED, said)
}

/// Whether a program or a list added it to what somebody wrote.
pub(super) fn is_added(lines: &[&str]) -> bool {
    lines.iter().any(|line| is_of_program(&folded(line)))
}
