//! Characters that may travel: what no queue takes is refused or left out, and what comes from outside reaches a terminal
//! as text only.

use std::borrow::Cow;

/// Whether a message may hold the character (SQS, `SendMessage`: those of XML 1.0, section 2.2).
pub fn is_sendable(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// Whether the character is a word's part or a plain space: no control character, nothing that cannot be sent.
pub fn is_plain(c: char) -> bool {
    !c.is_control() && is_sendable(c)
}

/// The text as one line: tabs and line breaks become spaces, other control characters are left out.
pub fn one_line(text: &str) -> String {
    let flat = text.chars().map(|c| if matches!(c, '\t' | '\n' | '\r') { ' ' } else { c });
    flat.filter(|c| is_plain(*c)).collect()
}

/// The text without control characters but tabs and line breaks.
pub fn lines(text: &str) -> Cow<'_, str> {
    let stays = |c: char| matches!(c, '\t' | '\n' | '\r') || is_plain(c);
    if text.chars().all(stays) { text.into() } else { text.chars().filter(|c| stays(*c)).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_of_a_terminal_are_left_out() {
        let hostile = "a\u{1b}[31mb\u{9b}2Jc\r\nd\te\u{fffe}\u{ffff}\u{7f}\0";
        assert_eq!(lines(hostile), "a[31mb2Jc\r\nd\te");
        assert_eq!(one_line(hostile), "a[31mb2Jc  d e");
    }

    #[test]
    fn words_of_every_script_stay() {
        let words = "Grüße 你好 \u{1f600} \u{fffd}";
        assert_eq!((one_line(words), lines(words)), (words.to_owned(), words.into()));
        assert!(words.chars().all(is_sendable));
    }
}
