//! Text whose lines flow (RFC 3676): paragraphs that a program broke are put together again. Where a line may be one that
//! programs put above a quote it stays on its own. Pure.

use mail_parser::ContentType;

/// What stands before a mark that is the author's own: no quote begins with it.
const OWN_MARK: char = '\u{2002}';
/// The label of a field is no longer, in letters and in words.
const MAX_LABEL: (usize, usize) = (24, 3);

/// Whether a text flows.
pub(super) fn is_flowed(kind: &ContentType<'_>) -> bool {
    let is = |name: &str, value: &str| {
        kind.attribute(name).is_some_and(|said| said.trim().eq_ignore_ascii_case(value))
    };
    kind.ctype() == "text" && kind.subtype() == Some("plain") && is("format", "flowed")
}

/// Such a text in the lines that its author wrote.
pub(super) fn unfolded(text: &str, kind: &ContentType<'_>) -> String {
    let drops = kind.attribute("delsp").is_some_and(|said| said.trim().eq_ignore_ascii_case("yes"));
    let mut lines = text.lines().map(Line::of).enumerate().peekable();
    let (mut all, mut open) = (String::with_capacity(text.len()), None);
    while let Some((at, line)) = lines.next() {
        let is_above_headline = lines.peek().is_some_and(|(_, next)| next.said.trim_end().ends_with(':'));
        if open == Some(line.depth) && line.goes_on() && !is_above_headline {
            if drops {
                all.pop();
            }
        } else {
            if at > 0 {
                all.push('\n');
            }
            line.begin(&mut all);
        }
        all.push_str(line.said);
        open = line.flows().then_some(line.depth);
    }
    all
}

/// Whether a line of a text would be a quote if it did not flow.
pub(super) fn has_own_marks(text: &str) -> bool {
    text.lines().map(Line::of).any(|line| line.depth == 0 && line.said.trim_start().starts_with('>'))
}

/// A line without what the format adds to it.
struct Line<'a> {
    /// How many marks of quotes stood before it.
    depth: usize,
    said: &'a str,
}

impl<'a> Line<'a> {
    fn of(line: &'a str) -> Self {
        let said = line.trim_start_matches('>');
        Self { depth: line.len() - said.len(), said: said.strip_prefix(' ').unwrap_or(said) }
    }

    /// Whether the paragraph goes on in the next line: not below the mark of a signature, nor a line of dashes.
    fn flows(&self) -> bool {
        let is_rule = || ["--", "__", "==", "**"].iter().any(|rule| self.said.starts_with(rule));
        self.said.ends_with(' ') && !is_rule() && !self.said.trim_matches(['-', ' ']).is_empty()
    }

    /// Whether it may go on in the paragraph above: it is no item of a list, no field, and nothing with an address, as
    /// headlines have.
    fn goes_on(&self) -> bool {
        let said = self.said.trim();
        !said.is_empty()
            && !said.starts_with(['-', '_', '=', '*', '•', '#', '>'])
            && !said.ends_with([':', '：'])
            && !said.contains(['@', '<'])
            && !is_field(said)
    }

    fn begin(&self, all: &mut String) {
        all.extend(std::iter::repeat_n('>', self.depth));
        if self.depth > 0 && !self.said.is_empty() {
            all.push(' ');
        } else if self.said.trim_start().starts_with('>') {
            all.push(OWN_MARK);
        }
    }
}

fn is_field(said: &str) -> bool {
    let Some(at) = said.find([':', '：']) else { return false };
    let (label, below) = (&said[..at], &said[at..]);
    label.chars().take(MAX_LABEL.0 + 1).count() <= MAX_LABEL.0
        && label.split_whitespace().count() <= MAX_LABEL.1
        && (below.starts_with('：') || below[1..].starts_with([' ', '\t']))
}

#[cfg(test)]
mod tests {
    use crate::mail::{instruction, read, trace::Trace};

    fn raw(kind: &str, subject: &str, lines: &[&str]) -> Vec<u8> {
        let head =
            format!("From: a@b.c\r\nSubject: {subject}\r\nContent-Type: text/plain; charset=utf-8{kind}");
        format!("{head}\r\n\r\n{}\r\n", lines.join("\r\n")).into_bytes()
    }

    fn text(kind: &str, lines: &[&str]) -> String {
        read(&raw(kind, "Shop", lines)).unwrap().text
    }

    fn order(subject: &str, lines: &[&str]) -> String {
        let mail = read(&raw("; format=flowed", subject, lines)).unwrap();
        instruction::instruction(&mail, &mut Trace::default()).new
    }

    #[test]
    fn paragraphs_are_put_together_and_all_else_stays() {
        for (lines, wanted) in [
            (&["A long ", "paragraph ", "ends.", "", "Another."][..], "A long paragraph ends.\n\nAnother."),
            (&[" From 9", "  indented", " "], "From 9\n indented\n"),
            (&["above ", "", "below"], "above \n\nbelow"),
            (&["Thanks ", "-- ", "Anna ", "Berger"], "Thanks \n-- \nAnna Berger"),
            (&["> a ", "> b", ">> c ", "> d ", "e"], "> a b\n>> c \n> d \ne"),
            (&[">> a ", ">> b", ">", "> -- ", "> x"], ">> a b\n>\n> -- \n> x"),
            (&["Bread: ", "- rye ", "- wheat"], "Bread: \n- rye \n- wheat"),
            (&["---- Original Message ---- ", "x"], "---- Original Message ---- \nx"),
            (
                &["Hello ", "From: Bob ", "Sent: today ", "发件人：Bob"],
                "Hello \nFrom: Bob \nSent: today \n发件人：Bob",
            ),
            (&["Blue. ", "On Monday Bob <b@c.d> ", "wrote:"], "Blue. \nOn Monday Bob <b@c.d> \nwrote:"),
            (&["Blue. ", "On Monday at 9 Bob Baker ", "wrote:"], "Blue. \nOn Monday at 9 Bob Baker \nwrote:"),
        ] {
            assert_eq!(
                text("; format=flowed", lines).trim_end_matches(['\r', '\n']),
                wanted.trim_end_matches('\n'),
                "{lines:?}"
            );
            let plain = lines.join("\r\n");
            assert_eq!(
                text("; format=fixed", lines).trim_end_matches(['\r', '\n']),
                plain.trim_end_matches(['\r', '\n'])
            );
        }
    }

    #[test]
    fn words_that_were_broken_are_whole_where_the_blank_is_one_of_the_format() {
        let lines = ["See https://example.org/a/ ", "b/c.html  ", "now."];
        assert_eq!(text("; format=Flowed; DelSp=Yes", &lines), "See https://example.org/a/b/c.html now.");
        assert_eq!(text("; format=flowed", &lines), "See https://example.org/a/ b/c.html  now.");
    }

    #[test]
    fn a_mark_of_the_author_is_no_quote() {
        let lines = ["Change the breadcrumb to", "", " > Home > Shop", "", "and make it blue.", ""];
        let wanted = "Change the breadcrumb to\n\n\u{2002}> Home > Shop\n\nand make it blue.";
        assert_eq!(order("Shop", &lines), wanted);
        let quote = ["On Fri, 27 Nov 2026 at 09:00, Hermes <hermes@localhost> wrote:", "> Done. ", "> Well."];
        assert_eq!(order("Re: Shop", &[&lines[..], &quote].concat()), wanted);
    }

    #[test]
    fn a_text_that_was_not_said_to_flow_may_not_be_made_to_where_that_changes_what_is_quoted() {
        let usual = |kind: &str, lines: &[&str]| read(&raw(kind, "Shop", lines)).unwrap().shape.usual_type;
        for (lines, flows) in [(&["a ", "b", "> c"][..], true), (&["a", " > Delete all"], false)] {
            assert!(usual("", lines), "{lines:?}");
            assert_eq!(usual("; format=flowed", lines), flows, "{lines:?}");
        }
    }
}
