//! The new words of a mail, without what it quotes and without its signature. What is cut goes along as background. When
//! everything would be cut, nothing is.

use super::parse::ParsedMail;
use super::subject;
use super::trace::{Stage, Trace};

/// The queue takes 1 MiB; JSON may write one byte as six.
const MAX_NEW_BYTES: usize = 100 * 1024;
const MAX_QUOTED_BYTES: usize = 20 * 1024;

/// A mail's text in two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    /// What the author wrote now.
    pub new: String,
    /// What they wrote it below of.
    pub quoted: Option<String>,
}

/// The instruction: the new words, or the subject when there are none.
pub fn instruction(mail: &ParsedMail, trace: &mut Trace) -> Words {
    let mut words = split(&mail.text);
    if words.new.is_empty()
        && let Some(written) = subject::written(&mail.subject)
    {
        trace.note(Stage::Instruction, "the text is empty: the subject is the instruction");
        written.clone_into(&mut words.new);
    }
    let written = words.new.len();
    cut(&mut words.new, MAX_NEW_BYTES);
    if let Some(quoted) = &mut words.quoted {
        cut(quoted, MAX_QUOTED_BYTES);
    }
    if words.new.len() < written {
        trace.note(
            Stage::Instruction,
            format!("only the first {} of {written} bytes are kept", words.new.len()),
        );
    }
    trace.note(
        Stage::Instruction,
        format!(
            "{} characters are new, {} are quoted",
            words.new.chars().count(),
            words.quoted.as_ref().map_or(0, |quoted| quoted.chars().count())
        ),
    );
    words
}

/// Tells new from quoted.
fn split(text: &str) -> Words {
    let text = text.replace("\r\n", "\n").replace('\u{a0}', " ");
    let lines: Vec<&str> = text.lines().collect();
    let end = signature(&lines).unwrap_or(lines.len());
    let (mut new, mut quoted) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < end {
        match quote_header(&lines[at..end]) {
            Some(Quote::Marked(length)) => {
                quoted.extend(&lines[at..at + length]);
                at += length;
            }
            Some(Quote::Rest) => {
                quoted.extend(&lines[at..end]);
                at = end;
            }
            None if lines[at].starts_with('>') => {
                quoted.push(lines[at]);
                at += 1;
            }
            None => {
                new.push(lines[at]);
                at += 1;
            }
        }
    }
    let (new, quoted) = (new.join("\n").trim().to_owned(), quoted.join("\n").trim().to_owned());
    if new.is_empty() {
        return Words { new: text.trim().to_owned(), quoted: None };
    }
    Words { new, quoted: (!quoted.is_empty()).then_some(quoted) }
}

/// Where the signature begins (RFC 3676, section 4.3), unless there is nothing above it.
fn signature(lines: &[&str]) -> Option<usize> {
    let at = lines.iter().position(|line| matches!(*line, "-- " | "--"))?;
    lines[..at].iter().any(|line| !line.trim().is_empty()).then_some(at)
}

/// How far a quote's headline reaches.
enum Quote {
    /// So many lines of headline; what follows is marked with `>`.
    Marked(usize),
    /// Everything from here on.
    Rest,
}

/// "On Monday Scott wrote:" and the like, in one line or wrapped over up to three.
fn quote_header(lines: &[&str]) -> Option<Quote> {
    if is_divider(lines[0]) {
        return Some(Quote::Rest);
    }
    let length = (1..=lines.len().min(3)).find(|length| is_headline(&lines[..*length].join(" ")))?;
    let following = lines[length..].iter().find(|line| !line.trim().is_empty());
    Some(if following.is_some_and(|line| line.starts_with('>')) {
        Quote::Marked(length)
    } else {
        Quote::Rest
    })
}

fn is_headline(line: &str) -> bool {
    const FORMS: [(&str, &str); 7] = [
        ("On ", "wrote:"),
        ("Am ", "schrieb"),
        ("Le ", "a écrit"),
        ("El ", "escribió"),
        ("Il ", "ha scritto"),
        ("Op ", "schreef"),
        ("Em ", "escreveu"),
    ];
    let line = line.trim();
    line.ends_with(':')
        && line.len() <= 300
        && line.contains(|c: char| c.is_ascii_digit())
        && FORMS.iter().any(|(start, end)| line.starts_with(start) && line.contains(end))
}

fn is_divider(line: &str) -> bool {
    let line = line.trim();
    let dashes = line.starts_with("-----") && line.ends_with("-----");
    dashes && ["Original Message", "Ursprüngliche Nachricht"].iter().any(|title| line.contains(title))
}

fn cut(text: &mut String, max_bytes: usize) {
    text.truncate(text.floor_char_boundary(max_bytes));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(text: &str) -> String {
        split(text).new
    }

    #[test]
    fn a_quote_below_its_headline_is_no_instruction() {
        let words =
            split("Make it blue.\n\nOn Mon, 3 Mar 2025, Hermes <h@x> wrote:\n> Make it red\n> please\n");
        assert_eq!(words.new, "Make it blue.");
        assert!(words.quoted.unwrap().contains("Make it red"));
    }

    #[test]
    fn a_headline_may_be_wrapped_and_the_marks_may_be_lost() {
        assert_eq!(new("Blue.\n\nOn Mon, 3 Mar 2025 at 10:00, Hermes\n<h@x> wrote:\n\nRed\n"), "Blue.");
    }

    #[test]
    fn what_stands_below_a_marked_quote_is_kept() {
        assert_eq!(new("On 3 Mar 2025 Hermes wrote:\n> Red?\n\nNo, blue."), "No, blue.");
    }

    #[test]
    fn a_signature_is_cut() {
        assert_eq!(new("Make it blue.\n-- \nScott\nTel. 123"), "Make it blue.");
    }

    #[test]
    fn when_everything_would_be_cut_everything_is_kept() {
        assert_eq!(new("> Make it blue."), "> Make it blue.");
        assert_eq!(new("-- \nScott"), "-- \nScott");
    }

    #[test]
    fn an_ordinary_sentence_is_no_headline() {
        let text = "On Monday we open at 9. Our guide wrote: welcome!\nPlease add it.";
        assert_eq!(new(text), text);
    }

    #[test]
    fn without_text_the_subject_is_the_instruction() {
        let mail = crate::mail::read(b"From: a@b.c\r\nSubject: Make it blue\r\n\r\n \r\n").unwrap();
        assert_eq!(instruction(&mail, &mut Trace::default()).new, "Make it blue");
    }

    #[test]
    fn an_instruction_has_a_bound() {
        let raw = [b"From: a@b.c\r\n\r\n".to_vec(), "ä".repeat(200_000).into_bytes()].concat();
        let words = instruction(&crate::mail::read(&raw).unwrap(), &mut Trace::default());
        assert_eq!(words.new.len(), MAX_NEW_BYTES);
    }
}
