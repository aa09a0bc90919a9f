//! Values that must not be seen: tokens and keys. They print as nothing, and whatever leaves the worker (logs, errors,
//! transcripts, commits) is searched for them.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

/// Shorter values are no secrets, and would be found everywhere.
const MIN_SECRET_CHARS: usize = 8;

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
        self.0.iter().fold(text.to_owned(), |text, secret| text.replace(&secret.0, "[redacted]"))
    }

    /// Whether one of them is in these bytes.
    pub fn found_in(&self, bytes: &[u8]) -> bool {
        self.0.iter().any(|secret| contains(bytes, secret.0.as_bytes()))
    }
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

    #[test]
    fn a_short_value_is_no_secret() {
        assert_eq!(secrets().redact("a short text"), "a short text");
    }

    #[test]
    fn a_secret_does_not_print() {
        assert!(!format!("{:?}", secrets()).contains("ghp_"));
    }
}
