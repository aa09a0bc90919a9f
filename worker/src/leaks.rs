//! Credentials by their form: rules as data, taken from gitleaks (MIT licence), for those whose form leaves little doubt.
//! Keys that are meant to stand in web pages (maps, analytics) are not among them.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::LazyLock;

use regex::bytes::{Regex, RegexBuilder};

static RULES: LazyLock<Vec<(&'static str, Regex)>> = LazyLock::new(|| {
    let lines = include_str!("leaks/rules.txt").lines().filter(|line| !line.starts_with('#'));
    let rules = lines.filter_map(|line| line.split_once(' '));
    rules.filter_map(|(name, form)| Some((name, compiled(form)?))).collect()
});

fn compiled(form: &str) -> Option<Regex> {
    match RegexBuilder::new(form).unicode(false).build() {
        Ok(rule) => Some(rule),
        Err(error) => {
            tracing::error!(%error, "a rule for credentials cannot be used");
            None
        }
    }
}

/// The name of the rule of a credential that stands in these bytes and not in the ones of before. All rules together take less
/// than a second for the largest file that may be committed.
pub(crate) fn new_credential(bytes: &[u8], before: &[u8]) -> Option<&'static str> {
    RULES
        .iter()
        .find(|(_, rule)| {
            let mut found = rule.find_iter(bytes).map(|found| found.as_bytes()).peekable();
            let is_there = found.peek().is_some();
            let old = || rule.find_iter(before).map(|found| found.as_bytes()).collect::<BTreeSet<_>>();
            let old = is_there.then(old).unwrap_or_default();
            found.any(|found| !old.contains(found))
        })
        .map(|(name, _)| *name)
}

/// Stands where a credential was.
const REDACTED: &str = "[redacted]";
const PRIVATE_KEY: &str = "private-key";
const PRIVATE_KEY_END: &str = r"-----END[ A-Z0-9_-]{0,100}-----";

static KEY_END: LazyLock<Option<Regex>> = LazyLock::new(|| compiled(PRIVATE_KEY_END));

/// The text without credentials.
pub(crate) fn redact(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut clean = Vec::with_capacity(bytes.len());
    let mut at = 0;
    for place in places(bytes) {
        if place.end <= at {
            continue;
        }
        if place.start >= at {
            clean.extend_from_slice(&bytes[at..place.start]);
            clean.extend_from_slice(REDACTED.as_bytes());
        }
        at = place.end;
    }
    clean.extend_from_slice(&bytes[at..]);
    String::from_utf8_lossy(&clean).into_owned()
}

/// Where credentials are, by where they begin.
fn places(bytes: &[u8]) -> Vec<Range<usize>> {
    let all = RULES.iter().flat_map(|(name, rule)| {
        rule.find_iter(bytes).map(|found| {
            let is_key = *name == PRIVATE_KEY;
            if is_key { found.start()..key_end(bytes, found.end()) } else { found.range() }
        })
    });
    let mut places: Vec<_> = all.collect();
    places.sort_by_key(|place| place.start);
    places
}

/// Where a private key ends whose first line ends here: at its own last line, or not at all.
fn key_end(bytes: &[u8], from: usize) -> usize {
    KEY_END.as_ref().and_then(|end| end.find_at(bytes, from)).map_or(bytes.len(), |end| end.end())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Put together here, so that nobody who scans this file finds any.
    fn examples() -> Vec<(&'static str, String)> {
        let letters = |count: usize| "aB3dE5gH7j".chars().cycle().take(count).collect::<String>();
        let hex = |count: usize| "0123456789abcdef".chars().cycle().take(count).collect::<String>();
        vec![
            ("private-key", format!("-----BEGIN RSA {} KEY-----", "PRIVATE")),
            ("aws-access-token", format!("AKIA{}", "ABCDEFGH234567AB")),
            ("github-pat", format!("ghp_{}", letters(36))),
            ("github-fine-grained-pat", format!("github_pat_{}", letters(82))),
            ("github-token", format!("ghs_{}", letters(36))),
            ("gitlab-pat", format!("glpat-{}", letters(20))),
            ("slack-bot-token", format!("xoxb-1234567890-1234567890{}", letters(24))),
            ("slack-webhook", format!("https://hooks.slack.com/services/{}", letters(44))),
            ("stripe-access-token", format!("sk_live_{}", letters(24))),
            ("anthropic-api-key", format!("sk-ant-api03-{}", letters(93))),
            ("openai-api-key", format!("sk-proj-{}T3BlbkFJ{}", letters(20), letters(20))),
            ("npm-access-token", format!("npm_{}", letters(36))),
            ("sendgrid-api-token", format!("SG.{}", letters(66))),
            ("digitalocean-token", format!("dop_v1_{}", hex(64))),
            ("shopify-token", format!("shpat_{}", hex(32))),
            ("pypi-upload-token", format!("pypi-AgEIcHlwaS5vcmc{}", letters(60))),
            ("age-secret-key", format!("AGE-SECRET-KEY-1{}", "Q".repeat(58))),
            ("azure-storage-key", format!("AccountKey={}==", letters(86))),
        ]
    }

    #[test]
    fn every_rule_finds_its_credential_where_it_is_new() {
        assert_eq!(RULES.len(), examples().len());
        for (name, example) in examples() {
            let text = format!("key = \"{example}\";\n");
            assert_eq!(new_credential(text.as_bytes(), b"key = \"\";"), Some(name), "{example}");
            assert_eq!(new_credential(text.as_bytes(), text.as_bytes()), None, "it was there before");
        }
    }

    #[test]
    fn a_file_of_any_length_is_searched() {
        let mut bundle = "function(e,t){return e.sk_a&&t.npm_x}".repeat(150_000).into_bytes();
        assert!(bundle.len() > 5 * 1024 * 1024);
        assert_eq!(new_credential(&bundle, b""), None);
        bundle.extend_from_slice(format!("(\"AKIA{}\")", "ABCDEFGH234567AB").as_bytes());
        assert_eq!(new_credential(&bundle, b""), Some("aws-access-token"));
        assert_eq!(new_credential(&bundle, &bundle), None);
    }

    #[test]
    fn a_text_is_told_without_credentials() {
        for (name, example) in examples() {
            let told = redact(&format!("é {example}\", {example} ü")).replace("https://", "");
            let rest = if name == PRIVATE_KEY { "" } else { "\", [redacted] ü" };
            assert_eq!(told, format!("é [redacted]{rest}"), "{name}");
        }
        let key = format!("a\n-----BEGIN {0} KEY-----\nMIIE\n-----END {0} KEY-----\nb", "PRIVATE");
        assert_eq!(redact(&key), "a\n[redacted]\nb");
        assert_eq!(redact("what has none stays: é"), "what has none stays: é");
    }

    #[test]
    fn what_pages_usually_hold_is_no_credential() {
        let page = "<script src=\"https://maps.example.org/?key=AIzaSyA0000000000000000000000000000000000\"></script>
            <a href=\"tel:+4912345678\">sk_test</a> data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAUA
            integrity=\"sha512-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\" ghp_short -----BEGIN PUBLIC KEY-----";
        assert_eq!(new_credential(page.as_bytes(), b""), None);
    }
}
