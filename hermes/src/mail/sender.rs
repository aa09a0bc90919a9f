//! Who wrote it, and what shows that they did. The value that is checked here is the value that is used later.

use common::domain::ids::EmailAddress;
use common::domain::outcome::MailEnding;

use super::parse::{Author, ParsedMail};
use super::trace::{Stage, Trace};
use super::verdict::{Dmarc, Evidence, Verdicts};

/// How sure it is that the stated author wrote a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assurance {
    /// DMARC passed for their domain, or the operator vouches for everybody.
    Full,
    /// Their domain has no DMARC policy, but signed or sent it; or whom it is written to, or when, was not signed: enough where
    /// the project says so.
    Partial,
    /// They wrote it, but not to us or long ago, or not all of what it says: somebody else may have sent it on, so they are
    /// asked wherever it goes.
    Stray,
    /// Nobody could be asked who wrote it: its author is, wherever it goes.
    Unheard,
}

/// Fields of which a mail has one at most (RFC 5322, section 3.6; RFC 2045): a second one shows readers something else than
/// what was signed.
const ONCE: [&str; 8] = [
    "subject",
    "date",
    "to",
    "message-id",
    "sender",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
];

/// The one author, if it is shown that they wrote it.
pub fn sender(
    mail: &ParsedMail,
    evidence: &Evidence,
    trace: &mut Trace,
) -> Result<(EmailAddress, Assurance), MailEnding> {
    let address = match &mail.author {
        Author::One(address) => address,
        Author::Absent => {
            trace.note(Stage::Sender, "it has no From field");
            return Err(MailEnding::Malformed);
        }
        Author::Unclear(reason) => {
            trace.note(Stage::Sender, format!("its author is not clear: {reason}"));
            return Err(MailEnding::Unauthenticated);
        }
    };
    let judged = match evidence {
        Evidence::Vouched => {
            trace.note(
                Stage::Sender,
                format!(
                    "{address}, taken at their word: nobody is asked (HERMES_TRUST=all, or a simulation)"
                ),
            );
            return Ok((address.clone(), Assurance::Full));
        }
        Evidence::Confirmed(at) => {
            trace.note(Stage::Sender, format!("{address} confirmed on {at} that they wrote it"));
            return Ok((address.clone(), Assurance::Full));
        }
        Evidence::Nothing(reason) => Err(reason.clone()),
        Evidence::Unheard(reason) => only_once(mail).map(|()| (Assurance::Unheard, reason.clone())),
        Evidence::Checked(verdicts) => only_once(mail)
            .and_then(|()| judge(address, verdicts))
            .map_err(|why| format!("{why} (by {})", verdicts.by)),
    };
    match judged {
        Ok((assurance, why)) => {
            trace.note(Stage::Sender, format!("{address}: {why}"));
            Ok((address.clone(), assurance))
        }
        Err(why) => {
            trace.note(Stage::Sender, format!("nothing shows that {address} wrote it: {why}"));
            Err(MailEnding::Unauthenticated)
        }
    }
}

fn only_once(mail: &ParsedMail) -> Result<(), String> {
    match ONCE.iter().find(|name| mail.header(name).nth(1).is_some()) {
        Some(name) => Err(format!("it has several {name} fields, and one was signed at most")),
        None => Ok(()),
    }
}

/// The ladder: DMARC for the author's domain; where that has no policy, a signature or an envelope of the very domain.
fn judge(address: &EmailAddress, found: &Verdicts) -> Result<(Assurance, String), String> {
    let own = address.domain();
    let by = &found.by;
    match &found.dmarc {
        Dmarc::Pass(domain) if domain.as_str() == own => {
            Ok((Assurance::Full, format!("DMARC passed for {domain} ({by})")))
        }
        Dmarc::Pass(domain) => Err(format!("DMARC passed for {domain}, which is not its author's domain")),
        Dmarc::Fail => Err(format!("DMARC failed for {own}")),
        Dmarc::Open if found.signed.iter().any(|domain| domain.as_str() == own) => {
            Ok((Assurance::Partial, format!("{own} has no DMARC policy, but signed it with DKIM ({by})")))
        }
        Dmarc::Open if found.sent.as_ref().is_some_and(|domain| domain.as_str() == own) => Ok((
            Assurance::Partial,
            format!("{own} has no DMARC policy, but its host sent it, says SPF ({by})"),
        )),
        Dmarc::Open => Err(format!("{own} has no DMARC policy, and neither signed nor sent it")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::verdict::Domain;
    use super::*;

    fn sender_of(from: &str, evidence: &Evidence) -> Result<(EmailAddress, Assurance), MailEnding> {
        let raw = format!("{from}Subject: x\r\n\r\nhello");
        sender(&crate::mail::read(raw.as_bytes()).unwrap(), evidence, &mut Trace::default())
    }

    fn checked(dmarc: Dmarc, signed: &[&str], sent: Option<&str>) -> Evidence {
        let domain = |text: &str| Domain::parse(text).unwrap();
        Evidence::Checked(Verdicts {
            by: "a test".into(),
            dmarc,
            signed: signed.iter().map(|text| domain(text)).collect(),
            sent: sent.map(domain),
        })
    }

    fn passed(domain: &str) -> Evidence {
        checked(Dmarc::Pass(Domain::parse(domain).unwrap()), &[], None)
    }

    fn assurance(from: &str, evidence: &Evidence) -> Result<Assurance, MailEnding> {
        sender_of(&format!("From: {from}\r\n"), evidence).map(|(_, assurance)| assurance)
    }

    const REFUSED: Result<Assurance, MailEnding> = Err(MailEnding::Unauthenticated);

    #[test]
    fn dmarc_for_the_authors_own_domain_is_enough() {
        assert_eq!(assurance("a@b.org", &passed("b.org")), Ok(Assurance::Full));
        assert_eq!(assurance("a@bücher.example", &passed("xn--bcher-kva.example")), Ok(Assurance::Full));
        for other in ["c.org", "x.b.org", "org"] {
            assert_eq!(assurance("a@b.org", &passed(other)), REFUSED, "{other}");
        }
    }

    #[test]
    fn without_a_policy_a_signature_or_an_envelope_of_the_domain_is_half_enough() {
        let open = |signed: &[&str], sent| assurance("a@b.org", &checked(Dmarc::Open, signed, sent));
        assert_eq!(open(&["c.org", "b.org"], None), Ok(Assurance::Partial));
        assert_eq!(open(&[], Some("b.org")), Ok(Assurance::Partial));
        assert_eq!(open(&["c.org", "org"], Some("c.org")), REFUSED);
        assert_eq!(open(&[], None), REFUSED);
    }

    #[test]
    fn a_failed_policy_outweighs_signature_and_envelope() {
        assert_eq!(assurance("a@b.org", &checked(Dmarc::Fail, &["b.org"], Some("b.org"))), REFUSED);
    }

    #[test]
    fn nobody_is_believed_without_evidence() {
        assert_eq!(assurance("a@b.org", &Evidence::Nothing("no".into())), REFUSED);
        assert_eq!(assurance("A <A@b.org>", &Evidence::Vouched), Ok(Assurance::Full));
    }

    #[test]
    fn whoever_would_know_and_did_not_answer_leaves_it_to_the_author() {
        let unheard = Evidence::Unheard("no answer".into());
        assert_eq!(assurance("a@b.org", &unheard), Ok(Assurance::Unheard));
        assert_eq!(sender_of("From: a@b.org, c@d.org\r\n", &unheard), Err(MailEnding::Unauthenticated));
        assert_eq!(sender_of("From: a@b.org\r\nSubject: y\r\n", &unheard), Err(MailEnding::Unauthenticated));
    }

    #[test]
    fn an_unclear_author_is_nobody_even_with_a_voucher() {
        assert_eq!(sender_of("From: a@b.c, d@e.f\r\n", &Evidence::Vouched), Err(MailEnding::Unauthenticated));
        assert_eq!(sender_of("", &Evidence::Vouched), Err(MailEnding::Malformed));
    }

    #[test]
    fn a_field_that_stands_twice_is_not_what_was_signed() {
        let twice = "From: a@b.org\r\nSubject: another\r\n";
        assert_eq!(sender_of(twice, &passed("b.org")), Err(MailEnding::Unauthenticated));
    }
}
