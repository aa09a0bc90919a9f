//! What stands above an older mail besides a headline: the header fields of that mail as lines, and lines between dashes.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::dates::has_date;
use super::headline::plain;
use crate::mail::words::{folded, phrases};

const TABLE: &str = include_str!("../words/quotes.txt");
/// A block of header fields is looked for in so many lines.
const MAX_BLOCK_LINES: usize = 24;
/// A field may be wrapped over so many further lines.
const MAX_WRAPPED: usize = 3;

/// What a field of a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Field {
    From,
    Date,
    To,
    Cc,
    Subject,
    Other,
}

impl Field {
    fn is_of_people(self) -> bool {
        matches!(self, Self::From | Self::To | Self::Cc)
    }
}

static LABELS: LazyLock<HashMap<String, Vec<Field>>> = LazyLock::new(|| {
    let kinds = [
        ("from", Field::From),
        ("date", Field::Date),
        ("to", Field::To),
        ("cc", Field::Cc),
        ("subject", Field::Subject),
        ("other", Field::Other),
    ];
    let mut labels: HashMap<String, Vec<Field>> = HashMap::new();
    for (kind, field) in kinds {
        phrases(TABLE, kind).for_each(|label| labels.entry(label).or_default().push(field));
    }
    labels
});
static DIVIDERS: LazyLock<Vec<String>> = LazyLock::new(|| phrases(TABLE, "divider").collect());
static FORWARDS: LazyLock<Vec<String>> = LazyLock::new(|| phrases(TABLE, "forward").collect());
static ABOVE: LazyLock<Vec<String>> = LazyLock::new(|| phrases(TABLE, "above").collect());

/// What a line between dashes announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Divider {
    /// The mail that is answered.
    Original,
    /// A mail that is passed on.
    Forward,
}

/// `-----Original Message-----` and the like.
pub(super) fn divider(line: &str) -> Option<Divider> {
    let line = line.replace("&nbsp;", " ");
    let line = plain(&line);
    let title = line.trim_matches(|c: char| c.is_whitespace() || "-—–=_*#:~[]".contains(c));
    if title.is_empty() || title.len() > 120 {
        return None;
    }
    let ruled = line.starts_with("--")
        || line.starts_with("==")
        || line.starts_with("__")
        || line.starts_with('—')
        || line.starts_with('[');
    let title = folded(title);
    if FORWARDS.iter().any(|phrase| title == *phrase || ruled && title.starts_with(phrase.as_str()))
        && (ruled || line.ends_with(':'))
    {
        return Some(Divider::Forward);
    }
    (ruled && DIVIDERS.iter().any(|phrase| title == *phrase || title.starts_with(phrase.as_str())))
        .then_some(Divider::Original)
}

/// A line of nothing but dashes and the like.
pub(super) fn is_rule(line: &str) -> bool {
    let line = line.trim();
    line.len() >= 3 && line.chars().all(|c| "-_=*~—–―─━#".contains(c))
}

/// What a line says as one of a header.
#[derive(Debug, Clone, Default)]
pub(super) struct Stated {
    /// The fields that stand in it; none when it does not begin with one.
    fields: Vec<Field>,
    address: bool,
    date: bool,
}

impl Stated {
    /// Whether it names people.
    fn names(&self) -> bool {
        self.fields.iter().any(|field| field.is_of_people())
    }
}

/// Reads a line as one of a header.
pub(super) fn stated(line: &str) -> Stated {
    Stated {
        fields: fields_of(line).unwrap_or_default(),
        address: line.contains('@'),
        date: has_date(&folded(line)),
    }
}

/// The header fields of an older mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Block {
    /// Over so many lines.
    pub(super) length: usize,
    /// Whether it says when that mail was written, or gives the address of its author.
    certain: bool,
    /// Whether it says both, and to whom that mail was written.
    whole: bool,
}

impl Block {
    /// Whether it proves an older mail whatever stands above: in a mail that shows no other sign of one it has to be whole.
    pub(super) fn is_proof(self, fresh: bool) -> bool {
        if fresh { self.whole } else { self.certain }
    }
}

/// How many of these lines, of each of which is stated what it says, are the header fields of an older mail. Below a rule two
/// fields are enough; otherwise two need an address, three an address or the order of a mail program, and more one of these or a
/// subject, because a date and a place are those of an event.
pub(super) fn header_block(lines: &[&str], stated: &[Stated], below_rule: bool) -> Option<Block> {
    let mut seen: Vec<Field> = Vec::new();
    let (mut length, mut wrapped, mut people, mut sender) = (0, 0, false, false);
    let (mut address, mut date) = (false, false);
    for (at, line) in lines.iter().take(MAX_BLOCK_LINES).enumerate() {
        if line.trim().is_empty() {
            let next = (at..lines.len()).find(|at| !lines[*at].trim().is_empty());
            if next.is_none_or(|next| stated[next].fields.is_empty()) {
                break;
            }
            continue;
        }
        if stated[at].fields.is_empty() {
            if length == 0 || wrapped == MAX_WRAPPED || lines[at - 1].trim().is_empty() {
                break;
            }
            wrapped += 1;
        } else {
            for field in &stated[at].fields {
                add(&mut seen, *field);
            }
            wrapped = 0;
            length = at + 1;
            people = stated[at].names();
            sender |= stated[at].address && stated[at].fields.contains(&Field::From);
        }
        address |= people && stated[at].address;
        date |= stated[at].date;
    }
    let subject = seen.contains(&Field::Subject);
    let of_program = date && seen.starts_with(&[Field::From, Field::Date, Field::To]);
    let enough = match (seen.len(), below_rule) {
        (0 | 1, _) => false,
        (2, false) => sender && (subject || date),
        (3, false) => address || of_program,
        (_, false) => subject || address || of_program,
        (_, true) => subject || address || date,
    };
    let whole = sender && date && [Field::Date, Field::To].iter().all(|field| seen.contains(field));
    (enough && seen.iter().any(|field| matches!(field, Field::From | Field::Date))).then_some(Block {
        length,
        certain: sender || date,
        whole,
    })
}

fn add(seen: &mut Vec<Field>, field: Field) {
    if !seen.contains(&field) {
        seen.push(field);
    }
}

/// The fields in a line such as `*From:* a@b.c` or `To: a@b.c Subject: x`; none when it does not begin with one.
fn fields_of(line: &str) -> Option<Vec<Field>> {
    let line = plain(line);
    let (label, rest) = line.split_once([':', '：'])?;
    let field = field(label)?;
    if field.is_of_people() && is_time(rest) {
        return None;
    }
    let mut fields = vec![field];
    // Further fields of the same line: the word before a colon.
    let mut rest = rest;
    while let Some((before, after)) = rest.split_once(':') {
        let word = before.trim_end().rsplit([' ', '\t', '*']).next().unwrap_or_default();
        if word.len() + 1 < before.trim_end().len()
            && let Some(field) = self::field(word)
        {
            fields.push(field);
        }
        rest = after;
    }
    Some(fields)
}

/// Whether it is a number with a few letters at most, as in `10:00 Uhr`: so begins no name.
fn is_time(value: &str) -> bool {
    const OF_A_CLOCK: [&str; 9] = ["uhr", "h", "am", "pm", "a.m.", "p.m.", "o'clock", "heures", "ore"];
    let folded = folded(value.trim());
    let is_number = |word: &str| word.chars().all(|c| c.is_ascii_digit() || ":.,h-–".contains(c));
    let mut words = folded.split_whitespace();
    let begins = words.next().is_some_and(|word| {
        let digits = word.trim_end_matches(|c: char| c.is_alphabetic());
        digits.starts_with(|c: char| c.is_ascii_digit())
            && is_number(digits)
            && (digits.len() == word.len() || OF_A_CLOCK.contains(&&word[digits.len()..]))
    });
    begins && words.all(|word| is_number(word) || OF_A_CLOCK.contains(&word))
}

fn field(label: &str) -> Option<Field> {
    let label = label.trim_matches(|c: char| c.is_whitespace() || c == '*' || c == '_');
    if label.is_empty()
        || label.chars().count() > 24
        || label.chars().next().is_some_and(char::is_lowercase) && label.is_ascii()
    {
        return None;
    }
    LABELS.get(folded(label).as_str())?.first().copied()
}

/// Where in a line a helpdesk says that the reply stands above it.
pub(super) fn reply_above(line: &str) -> Option<usize> {
    if line.len() > 400 {
        return None;
    }
    let folded = folded(line);
    let decorated = ["--", "##", "==", "__", "**", "~~", "//"].iter().any(|sign| line.contains(sign));
    if !ABOVE.iter().any(|phrase| folded.contains(phrase.as_str()))
        || !(decorated || line.trim_start().starts_with('>'))
    {
        return None;
    }
    ["--", "##", "==", "__", "**", "~~", "//"].iter().filter_map(|sign| line.find(sign)).min().or(Some(0))
}
