//! What somebody we believe found out about the origin of a mail. Values only: ingest gathers them before the pure stages,
//! and they are kept with the mail, so that deciding again decides the same.

mod results;

use common::domain::ids;
use common::domain::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

use super::parse::ParsedMail;
use results::{Method, Results};

/// The authserv-id of Amazon SES (RFC 8601, section 2.2).
pub const SES: &str = "amazonses.com";

/// What is known about the genuineness of a mail's stated author.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Evidence {
    /// The operator takes everybody who can reach us at their word (`HERMES_TRUST=all`, loopback only).
    Vouched,
    /// Nobody we believe says anything about it; why.
    Nothing(String),
    /// Whoever would know did not answer for as long as it was brought; why.
    Unheard(String),
    /// Its author said so, by a link that went to their address.
    Confirmed(Timestamp),
    /// Somebody we believe looked.
    Checked(Verdicts),
}

/// The findings about one mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdicts {
    /// Who looked.
    pub by: String,
    /// DMARC (RFC 9989).
    pub dmarc: Dmarc,
    /// The domains whose DKIM signatures hold (RFC 6376).
    pub signed: Vec<Domain>,
    /// The domain of the envelope's sender, if SPF lets its host send for it (RFC 7208).
    pub sent: Option<Domain>,
}

/// What DMARC says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Dmarc {
    /// Passed, for the domain of this author.
    Pass(Domain),
    /// The domain has a policy, and the mail does not meet it; or the finding cannot be read.
    Fail,
    /// The domain has no policy, or none that was found.
    Open,
}

/// A domain as it is compared: lower case, A-labels (RFC 5890), no dot at its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Domain(String);

impl Domain {
    /// Reads one.
    pub fn parse(text: &str) -> Option<Self> {
        let bare = text.trim().trim_end_matches('.');
        ids::domain_to_ascii(bare).filter(|domain| !domain.is_empty()).map(Self)
    }

    /// The domain of an address, or of what stands in for one (`@example.org`, `example.org`).
    pub fn of_address(text: &str) -> Option<Self> {
        let text = text.trim().trim_start_matches('<').trim_end_matches('>');
        Self::parse(text.rsplit_once('@').map_or(text, |(_, domain)| domain))
    }

    /// As it is compared.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it may be of the organisation of this one: such domains have their last two labels in common, at least.
    pub fn may_align(&self, other: &str) -> bool {
        let end = |domain: &str| domain.rsplit('.').take(2).map(str::to_owned).collect::<Vec<_>>();
        end(&self.0) == end(other)
    }

    /// Whether it is this one, lies above it or below it. Others that may be of the same organisation may as well be of anybody
    /// who got a name at the same registry (`owner.co.uk`, `evil.co.uk`).
    pub fn is_kin_of(&self, other: &str) -> bool {
        let below =
            |inner: &str, outer: &str| inner.strip_suffix(outer).is_some_and(|rest| rest.ends_with('.'));
        self.0 == other || below(&self.0, other) || below(other, &self.0)
    }
}

impl std::fmt::Display for Domain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The verdicts of the receipt that SES puts beside a mail. They name no domains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SesReceipt {
    /// SPF.
    pub spf: SesVerdict,
    /// DKIM.
    pub dkim: SesVerdict,
    /// DMARC.
    pub dmarc: SesVerdict,
}

/// One verdict of SES (`PASS`, `FAIL`, `GRAY`, `PROCESSING_FAILED`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SesVerdict {
    /// It passed.
    Pass,
    /// It failed.
    Fail,
    /// There is nothing to check against, or it could not be checked.
    Gray,
}

/// What the topmost Authentication-Results field says, if it is of the one server we believe (RFC 8601, section 5: all
/// others could have been written by anybody).
pub fn pinned(mail: &ParsedMail, authserv_id: &str) -> Evidence {
    match topmost(mail, authserv_id) {
        Ok(results) => Evidence::Checked(found(&results, authserv_id)),
        Err(reason) => Evidence::Nothing(reason),
    }
}

/// What SES says: its receipt, and its own Authentication-Results for the domains. Neither is believed without the other.
pub fn of_ses(mail: &ParsedMail, receipt: SesReceipt) -> Evidence {
    let results = match topmost(mail, SES) {
        Ok(results) => results,
        Err(reason) => return Evidence::Nothing(reason),
    };
    let header = found(&results, SES);
    let dmarc = match (receipt.dmarc, header.dmarc) {
        (SesVerdict::Pass, Dmarc::Pass(domain)) => Dmarc::Pass(domain),
        (SesVerdict::Gray, Dmarc::Open) => Dmarc::Open,
        _ => Dmarc::Fail,
    };
    let passes = |verdict| verdict == SesVerdict::Pass;
    Evidence::Checked(Verdicts {
        by: "Amazon SES".into(),
        dmarc,
        signed: if passes(receipt.dkim) { header.signed } else { Vec::new() },
        sent: header.sent.filter(|_| passes(receipt.spf)),
    })
}

fn topmost(mail: &ParsedMail, authserv_id: &str) -> Result<Results, String> {
    let Some(value) = mail.header("authentication-results").next() else {
        return Err(format!("it has no Authentication-Results, and those of {authserv_id} are what counts"));
    };
    let results = Results::parse(value).ok_or("its topmost Authentication-Results cannot be read")?;
    if results.authserv_id.eq_ignore_ascii_case(authserv_id) {
        return Ok(results);
    }
    Err(format!(
        "its topmost Authentication-Results are of {}, and those of {authserv_id} are what counts",
        results.authserv_id
    ))
}

fn found(results: &Results, by: &str) -> Verdicts {
    Verdicts {
        by: format!("Authentication-Results of {by}"),
        dmarc: dmarc(results),
        signed: signed(results),
        sent: sent(results),
    }
}

/// Several findings must agree.
fn dmarc(results: &Results) -> Dmarc {
    let mut all = results.of("dmarc").map(|method| match method.result.as_str() {
        "pass" => {
            method.property("header.from").and_then(Domain::of_address).map_or(Dmarc::Fail, Dmarc::Pass)
        }
        "none" | "temperror" | "gray" | "bestguesspass" => Dmarc::Open,
        _ => Dmarc::Fail,
    });
    let Some(first) = all.next() else { return Dmarc::Open };
    if all.all(|other| other == first) { first } else { Dmarc::Fail }
}

fn signed(results: &Results) -> Vec<Domain> {
    let domain = |method: &Method| {
        let named = method.property("header.d").or_else(|| method.property("header.i"));
        named.and_then(Domain::of_address)
    };
    results.of("dkim").filter(|method| method.result == "pass").filter_map(domain).collect()
}

/// The envelope's sender, where SPF passed; several findings are none.
fn sent(results: &Results) -> Option<Domain> {
    let mut all = results.of("spf");
    let method = all.next().filter(|method| method.result == "pass")?;
    if all.next().is_some() {
        return None;
    }
    let named = method.property("smtp.mailfrom").or_else(|| method.property("envelope-from"));
    named.and_then(Domain::of_address)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SES_PASS: &str = "amazonses.com; spf=pass (spfCheck: domain of example.org designates 192.0.2.1 as permitted sender) client-ip=192.0.2.1; envelope-from=scott@example.org; helo=mail.example.org; dkim=pass header.i=@example.org; dmarc=pass header.from=example.org;";
    const PASSED: SesReceipt =
        SesReceipt { spf: SesVerdict::Pass, dkim: SesVerdict::Pass, dmarc: SesVerdict::Pass };

    fn mail(fields: &[&str]) -> ParsedMail {
        let raw = format!("{}\r\nFrom: scott@example.org\r\n\r\nhello", fields.join("\r\n"));
        crate::mail::read(raw.as_bytes()).unwrap()
    }

    fn domain(text: &str) -> Domain {
        Domain::parse(text).unwrap()
    }

    fn verdicts(evidence: Evidence) -> Verdicts {
        match evidence {
            Evidence::Checked(verdicts) => verdicts,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn receipt_and_results_of_ses_together_name_the_domains() {
        let mail = mail(&[&format!("Authentication-Results: {SES_PASS}")]);
        let all = verdicts(of_ses(&mail, PASSED));
        assert_eq!(all.dmarc, Dmarc::Pass(domain("example.org")));
        assert_eq!((all.signed, all.sent), (vec![domain("example.org")], Some(domain("example.org"))));
    }

    #[test]
    fn neither_receipt_nor_results_are_believed_alone() {
        let told = mail(&[&format!("Authentication-Results: {SES_PASS}")]);
        let failed = SesReceipt { dmarc: SesVerdict::Fail, ..PASSED };
        assert_eq!(verdicts(of_ses(&told, failed)).dmarc, Dmarc::Fail);
        let gray = SesReceipt { dmarc: SesVerdict::Gray, dkim: SesVerdict::Gray, spf: SesVerdict::Gray };
        let all = verdicts(of_ses(&told, gray));
        assert_eq!((all.dmarc, all.signed, all.sent), (Dmarc::Fail, Vec::new(), None));
        assert!(matches!(of_ses(&mail(&["X-Y: z"]), PASSED), Evidence::Nothing(_)));
    }

    #[test]
    fn only_the_topmost_results_of_the_pinned_server_count() {
        let forged = "Authentication-Results: mx.example.net; dmarc=pass header.from=example.org";
        let real = "Authentication-Results: mx.example.net; dmarc=fail header.from=example.org";
        let other = "Authentication-Results: evil.example; dmarc=pass header.from=example.org";
        assert_eq!(verdicts(pinned(&mail(&[real, forged]), "mx.example.net")).dmarc, Dmarc::Fail);
        assert!(matches!(pinned(&mail(&[other, forged]), "mx.example.net"), Evidence::Nothing(_)));
        assert_eq!(
            verdicts(pinned(&mail(&[forged]), "MX.Example.net")).dmarc,
            Dmarc::Pass(domain("example.org"))
        );
    }

    #[test]
    fn findings_that_contradict_each_other_are_a_failure() {
        for said in [
            "mx; dmarc=pass header.from=example.org; dmarc=fail header.from=example.org",
            "mx; dmarc=pass header.from=example.org; dmarc=pass header.from=evil.org",
            "mx; dmarc=pass",
            "mx; dmarc=permerror header.from=example.org",
        ] {
            let mail = mail(&[&format!("Authentication-Results: {said}")]);
            assert_eq!(verdicts(pinned(&mail, "mx")).dmarc, Dmarc::Fail, "{said}");
        }
        let two = "mx; spf=pass smtp.mailfrom=a@example.org; spf=pass smtp.mailfrom=a@evil.org";
        assert_eq!(verdicts(pinned(&mail(&[&format!("Authentication-Results: {two}")]), "mx")).sent, None);
    }

    #[test]
    fn domains_of_one_organisation_end_alike() {
        for (one, other) in [("example.org", "example.org"), ("a.example.org", "b.example.org")] {
            assert!(domain(one).may_align(other), "{one} {other}");
        }
        for (one, other) in
            [("example.org", "example.net"), ("org", "example.org"), ("evil.org", "example.org")]
        {
            assert!(!domain(one).may_align(other), "{one} {other}");
        }
    }

    #[test]
    fn only_what_lies_above_or_below_is_surely_of_the_same_owner() {
        for (one, other) in [
            ("owner.co.uk", "owner.co.uk"),
            ("a.owner.co.uk", "owner.co.uk"),
            ("owner.co.uk", "a.owner.co.uk"),
        ] {
            assert!(domain(one).is_kin_of(other), "{one} {other}");
        }
        for (one, other) in [("evil.co.uk", "owner.co.uk"), ("notowner.co.uk", "owner.co.uk")] {
            assert!(domain(one).may_align(other) && !domain(one).is_kin_of(other), "{one} {other}");
        }
    }

    #[test]
    fn domains_are_compared_in_one_form() {
        assert_eq!(domain("BÜCHER.example."), domain("xn--bcher-kva.example"));
        assert_eq!(Domain::of_address("<a@Example.ORG>"), Some(domain("example.org")));
        assert_eq!(Domain::of_address("@example.org"), Some(domain("example.org")));
        assert_eq!(Domain::of_address(""), None);
    }
}
