//! Text that others wrote, made fit to be stored and sent on: bounded, and without characters that queues refuse.

/// At most so many characters, without control characters (but for line ends and tabs) and without the two that XML 1.0,
/// and so SQS, forbids.
pub fn plain(text: &str, max_chars: usize) -> String {
    let allowed = |c: &char| match c {
        '\n' | '\t' => true,
        '\u{fffe}' | '\u{ffff}' => false,
        c => !c.is_control(),
    };
    text.chars().filter(allowed).take(max_chars).collect()
}

/// The same on one line.
pub fn plain_line(text: &str, max_chars: usize) -> String {
    plain(&text.replace(['\n', '\t'], " "), max_chars)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_queues_refuse_is_left_out() {
        assert_eq!(plain("a\u{0}b\u{ffff}\nc\u{1b}[1m", 100), "ab\nc[1m");
        assert_eq!(plain("äöü", 2), "äö");
        assert_eq!(plain_line("a\nb\tc", 100), "a b c");
    }
}
