//! The line that a phone or a mail program adds below a text.

use std::borrow::Cow;
use std::sync::LazyLock;

use super::{TABLE, spoken_words};
use crate::mail::instruction::headline::plain;
use crate::mail::words::{folded, phrases};

/// Beside the name of a mail program stand at most so many words that are written as none.
const MAX_BESIDE_PROGRAM: usize = 2;
/// Beside the name of a device stand at most so many words that are written as none: "from my smartphone".
const MAX_BESIDE_DEVICE: usize = 3;
static FOOTERS: LazyLock<Vec<String>> = LazyLock::new(|| phrases(TABLE, "footer").collect());

/// Whatever device or program follows.
const SENT: [&str; 4] = ["sent from ", "sent via ", "sent using ", "sent with "];

pub(super) fn is_footer(line: &str) -> bool {
    let line = plain(line);
    let without_link = without_links(line);
    let without_link = without_link.trim();
    if without_link.chars().count() > 120 || without_link.is_empty() {
        return false;
    }
    let words = without_link.split_whitespace().count();
    let folded = folded(without_link.trim_start_matches(['(', '-', '—', ' ', '~', '|']));
    let known = SENT.iter().any(|start| folded.starts_with(start))
        || FOOTERS.iter().any(|phrase| {
            folded.starts_with(phrase.as_str()) || !phrase.is_ascii() && folded.contains(phrase.as_str())
        });
    let sent_last =
        ["gesendet", "gesendet.", "gonderildi", "gonderildi."].iter().any(|word| folded.ends_with(word));
    let of_mail = ["mail.", "e-mail.", "email."].iter().any(|word| folded.ends_with(word));
    let of_device = spoken_words(without_link) <= MAX_BESIDE_DEVICE && names_device(&folded);
    let clause = without_link.contains(", ") && !sent_last && !of_device && !FOOTERS.contains(&folded);
    let of_program = of_mail || names_mail_program(without_link);
    let sentence = without_link.ends_with('.')
        && words > 4
        && !(sent_last || of_program || of_device)
        && !folded.contains("http");
    known && !clause && !sentence && words <= 14 && !without_link.ends_with(':')
}

/// A line without what stands in angles or brackets: where its links lead, and pictures.
fn without_links(line: &str) -> Cow<'_, str> {
    let Some((before, rest)) = line.split_once(['<', '[']) else { return Cow::Borrowed(line) };
    let after = rest.split_once(['>', ']']).map_or("", |(_, after)| after);
    Cow::Owned(format!("{}{}", before.trim_end(), after))
}

/// Whether a device ends what is said: "Sent from my Samsung Galaxy smartphone."
fn names_device(folded: &str) -> bool {
    const DEVICES: [&str; 8] =
        ["smartphone", "phone", "iphone", "ipad", "tablet", "galaxy", "handy", "device"];
    let last = folded.trim_end_matches('.').rsplit(' ').next().unwrap_or_default();
    DEVICES.contains(&last)
}

/// Whether a mail program and little else is named, as in "Sent from Example Mail for iOS.".
fn names_mail_program(line: &str) -> bool {
    let is_named = |word: &&str| word.contains(char::is_uppercase);
    let mut words = line.split_whitespace();
    words.clone().any(|word| matches!(word, "Mail" | "E-Mail" | "Email" | "Outlook"))
        && words.clone().filter(|word| !is_named(word)).count() <= MAX_BESIDE_PROGRAM
        && words.next_back().is_some_and(|last| is_named(&last))
}
