//! Credentials by their form: rules as data, taken from gitleaks (MIT licence), for those whose form leaves little doubt.
//! Keys that are meant to stand in web pages (maps, analytics) are not among them.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::bytes::{Regex, RegexBuilder};

/// Larger files are data.
const MAX_BYTES: usize = 4 * 1024 * 1024;

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

/// The name of the rule of a credential that stands in these bytes and not in the ones of before.
pub(crate) fn new_credential(bytes: &[u8], before: &[u8]) -> Option<&'static str> {
    if bytes.len() > MAX_BYTES {
        return None;
    }
    RULES
        .iter()
        .find(|(_, rule)| {
            let old: BTreeSet<&[u8]> = rule.find_iter(before).map(|found| found.as_bytes()).collect();
            rule.find_iter(bytes).any(|found| !old.contains(found.as_bytes()))
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
    fn what_pages_usually_hold_is_no_credential() {
        let page = "<script src=\"https://maps.example.org/?key=AIzaSyA0000000000000000000000000000000000\"></script>
            <a href=\"tel:+4912345678\">sk_test</a> data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAUA
            integrity=\"sha512-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\" ghp_short -----BEGIN PUBLIC KEY-----";
        assert_eq!(new_credential(page.as_bytes(), b""), None);
    }
}
