//! What the DKIM-Signature fields of a mail say that they cover. Whether they hold is found out elsewhere. Pure.

use super::parse::{Author, ParsedMail};
use super::verdict::Domain;

/// The signatures that may be of the author's own domain: one at least. One that cannot be read may be, and covers nothing.
pub struct OwnSignatures<'a>(Vec<Signature<'a>>);

/// As much of a DKIM-Signature field as matters here (RFC 6376, section 3.5).
struct Signature<'a> {
    domain: Option<Domain>,
    fields: &'a str,
    partial: bool,
}

impl<'a> OwnSignatures<'a> {
    /// Those of a mail; none when it has none.
    pub fn of(mail: &'a ParsedMail) -> Option<Self> {
        let Author::One(author) = &mail.author else { return None };
        let all = mail.header("dkim-signature").map(Signature::parse);
        let may_align =
            |one: &Signature<'_>| one.domain.as_ref().is_none_or(|domain| domain.may_align(author.domain()));
        let own: Vec<_> = all.filter(may_align).collect();
        (!own.is_empty()).then_some(Self(own))
    }

    /// Whether all of them cover this field.
    pub fn cover(&self, name: &str) -> bool {
        self.0.iter().all(|one| one.covers(name))
    }

    /// Whether some cover this field and others do not.
    pub fn disagree(&self, name: &str) -> bool {
        !self.cover(name) && self.0.iter().any(|one| one.covers(name))
    }

    /// Whether all of them are surely of the author's domain.
    pub fn are_of_kin(&self, author: &str) -> bool {
        self.0.iter().all(|one| one.domain.as_ref().is_some_and(|domain| domain.is_kin_of(author)))
    }

    /// Whether one of them covers the beginning of the text only.
    pub fn are_partial(&self) -> bool {
        self.0.iter().any(|one| one.partial)
    }
}

impl<'a> Signature<'a> {
    fn parse(value: &'a str) -> Self {
        let tag = |name: &str| {
            let mut tags = value.split(';').filter_map(|tag| tag.split_once('='));
            tags.find(|(found, _)| found.trim() == name).map(|(_, said)| said.trim())
        };
        let domain = tag("d").and_then(Domain::parse);
        let fields = tag("h").filter(|_| domain.is_some()).unwrap_or_default();
        Self { domain, fields, partial: tag("l").is_some() }
    }

    fn covers(&self, name: &str) -> bool {
        self.fields.split(':').any(|field| field.trim().eq_ignore_ascii_case(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covered(fields: &str) -> Option<(bool, bool, bool)> {
        let mail = crate::mail::read(format!("From: a@example.org\r\n{fields}\r\nhello").as_bytes()).unwrap();
        OwnSignatures::of(&mail).map(|own| (own.cover("to"), own.disagree("to"), own.are_partial()))
    }

    #[test]
    fn signatures_of_the_authors_domain_count_and_no_others() {
        let signed = |domain: &str, rest: &str| format!("DKIM-Signature: v=1; d={domain}; {rest}; b=x\r\n");
        assert_eq!(covered(""), None);
        assert_eq!(covered(&signed("example.net", "h=from:to")), None);
        assert_eq!(covered(&signed("example.org", "h=from : To")), Some((true, false, false)));
        assert_eq!(covered(&signed("mail.example.org", "h=from; l=3")), Some((false, false, true)));
        let two = signed("example.org", "h=from:to") + &signed("example.org", "h=from");
        assert_eq!(covered(&two), Some((false, true, false)));
        for odd in ["v=1; d=example.org", "v=1; d=exam ple.org; h=from:to", "v=1; h=from:to", "?"] {
            let covers_nothing = Some((false, false, false));
            assert_eq!(covered(&format!("DKIM-Signature: {odd}\r\n")), covers_nothing, "{odd}");
        }
    }
}
