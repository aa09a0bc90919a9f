//! Credentials by their form: rules as data, taken from gitleaks (MIT licence), for those whose form leaves little doubt.
//! Keys that are meant to stand in web pages (maps, analytics) are not among them.

use std::collections::BTreeSet;
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
    fn what_pages_usually_hold_is_no_credential() {
        let page = "<script src=\"https://maps.example.org/?key=AIzaSyA0000000000000000000000000000000000\"></script>
            <a href=\"tel:+4912345678\">sk_test</a> data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAUA
            integrity=\"sha512-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\" ghp_short -----BEGIN PUBLIC KEY-----";
        assert_eq!(new_credential(page.as_bytes(), b""), None);
    }
}
