//! Values that must not be seen: tokens and keys. They print as nothing, and whatever leaves the worker (logs, errors,
//! transcripts, commits) is searched for them.

use std::convert::Infallible;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

/// Shorter values are no secrets, and would be found everywhere.
const MIN_SECRET_CHARS: usize = 8;
/// Stands where a secret was.
const REDACTED: &[u8] = b"[redacted]";

/// A token or key.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The value, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl FromStr for Secret {
    type Err = Infallible;
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

/// All secrets of this process.
#[derive(Debug, Clone, Default)]
pub struct Secrets(Vec<Secret>);

impl Secrets {
    /// Those that are set and long enough to be one.
    pub fn of(values: impl IntoIterator<Item = Option<Secret>>) -> Self {
        Self(values.into_iter().flatten().filter(|secret| secret.0.len() >= MIN_SECRET_CHARS).collect())
    }

    /// The text without them.
    pub fn redact(&self, text: &str) -> String {
        lossy(self.window(text.as_bytes(), 0..text.len()))
    }

    /// How many bytes beyond a cut must be at hand, so that a secret across the cut is recognised.
    pub fn longest(&self) -> usize {
        self.0.iter().map(|secret| secret.0.len()).max().unwrap_or_default()
    }

    /// The first bytes of a text, without secrets. The text must not have been cut before `keep` + [`Self::longest`].
    pub fn head(&self, bytes: &[u8], keep: usize) -> Vec<u8> {
        self.window(bytes, 0..keep.min(bytes.len()))
    }

    /// The last bytes of a text, without secrets. What is missing before must be beyond `keep` + [`Self::longest`].
    pub fn tail(&self, bytes: &[u8], keep: usize) -> String {
        lossy(self.window(bytes, bytes.len().saturating_sub(keep)..bytes.len()))
    }

    /// A part of some bytes in which no part of a secret is left, not even of one that only reaches into it.
    fn window(&self, bytes: &[u8], part: Range<usize>) -> Vec<u8> {
        let mut clean = Vec::with_capacity(part.len());
        let mut at = part.start;
        for secret in self.places(bytes) {
            if secret.end <= at {
                continue;
            }
            if secret.start >= part.end {
                break;
            }
            clean.extend_from_slice(&bytes[at..secret.start.max(at)]);
            clean.extend_from_slice(REDACTED);
            at = secret.end;
        }
        clean.extend_from_slice(&bytes[at.min(part.end)..part.end]);
        clean
    }

    /// Where secrets are, in order; those that overlap as one.
    fn places(&self, bytes: &[u8]) -> Vec<Range<usize>> {
        let mut found: Vec<_> = self.0.iter().flat_map(|secret| occurrences(bytes, secret)).collect();
        found.sort_by_key(|place| place.start);
        found.into_iter().fold(Vec::new(), |mut merged: Vec<Range<usize>>, place| {
            match merged.last_mut() {
                Some(last) if place.start < last.end => last.end = last.end.max(place.end),
                _ => merged.push(place),
            }
            merged
        })
    }

    /// Whether one of them is in these bytes.
    pub fn found_in(&self, bytes: &[u8]) -> bool {
        self.0.iter().any(|secret| contains(bytes, secret.0.as_bytes()))
    }
}

fn lossy(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

fn occurrences(bytes: &[u8], secret: &Secret) -> impl Iterator<Item = Range<usize>> {
    let wanted = secret.0.as_bytes();
    let windows = bytes.windows(wanted.len()).enumerate();
    windows.filter(move |(_, window)| *window == wanted).map(|(at, window)| at..at + window.len())
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets() -> Secrets {
        Secrets::of([Some(Secret("ghp_0123456789".into())), Some(Secret("short".into())), None])
    }

    #[test]
    fn a_secret_is_cut_out_of_texts_and_found_in_bytes() {
        assert_eq!(secrets().redact("a ghp_0123456789 b"), "a [redacted] b");
        assert!(secrets().found_in(b"x=ghp_0123456789;"));
        assert!(!secrets().found_in(b"x=ghp_012345678"));
    }

    /// Secrets in capitals, one within another; everything else is in small letters.
    fn capitals() -> Secrets {
        Secrets::of([Some(Secret("ABCDEFGH".into())), Some(Secret("ABCDEFGHIJKLMNOPQRST".into()))])
    }

    const TEXT: &str = "some words ABCDEFGHIJKLMNOPQRST more ABCDEFGH é and ABCDEFGHABCDEFGH end";

    #[test]
    fn no_cut_at_the_beginning_shows_a_part_of_a_secret() {
        let secrets = capitals();
        for keep in 0..=TEXT.len() {
            let at_hand = TEXT.len().min(keep + secrets.longest());
            let shown = secrets.tail(&TEXT.as_bytes()[TEXT.len() - at_hand..], keep);
            assert!(!shown.contains(|c: char| c.is_ascii_uppercase()), "{keep}: {shown}");
            assert!(keep < 4 || shown.ends_with(" end"), "{keep}: {shown}");
        }
    }

    #[test]
    fn no_cut_at_the_end_shows_a_part_of_a_secret() {
        let secrets = capitals();
        for keep in 0..=TEXT.len() {
            let at_hand = TEXT.len().min(keep + secrets.longest());
            let shown = secrets.head(&TEXT.as_bytes()[..at_hand], keep);
            assert!(!shown.iter().any(u8::is_ascii_uppercase), "{keep}: {}", lossy(shown));
            assert!(keep < 4 || shown.starts_with(b"some"), "{keep}");
        }
    }

    #[test]
    fn a_short_value_is_no_secret() {
        assert_eq!(secrets().redact("a short text"), "a short text");
    }

    #[test]
    fn a_secret_does_not_print() {
        assert!(!format!("{:?}", secrets()).contains("ghp_"));
    }
}
