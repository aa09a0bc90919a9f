//! Which addresses are ours, and which site they name: `{project}@`, `edit+{project}@` or `{user}@{project}.`, at a domain
//! of ours.

use std::str::FromStr;

use common::domain::ids::{self, EmailAddress, ProjectId};
use common::domain::project::Sender;

use super::Desk;
use super::dkim::OwnSignatures;
use super::parse::ParsedMail;

const PREFIX: &str = "edit+";

/// Where mail reaches us besides the domain that we answer from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// At every address of this domain and of those below it; in A-labels.
    Domain(String),
    /// At this address, and at those that have a `+` and more behind its name.
    Address(EmailAddress),
}

impl Place {
    fn takes(&self, to: &EmailAddress) -> bool {
        match self {
            Self::Domain(domain) => is_at(to, domain),
            Self::Address(address) => {
                let name = to.local().split('+').next().unwrap_or_default();
                to.domain() == address.domain() && [name, to.local()].contains(&address.local())
            }
        }
    }
}

impl FromStr for Place {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.contains('@') {
            return EmailAddress::parse(text).map(Self::Address).map_err(|error| error.to_string());
        }
        let domain = ids::domain_to_ascii(text).filter(|domain| !domain.is_empty());
        domain.map(Self::Domain).ok_or_else(|| "write domains and addresses, with commas between".to_owned())
    }
}

impl Desk<'_> {
    /// Whether mail to this address reaches us.
    pub fn is_ours(&self, to: &EmailAddress) -> bool {
        is_at(to, self.own.domain()) || self.places.iter().any(|place| place.takes(to))
    }
}

fn is_at(to: &EmailAddress, domain: &str) -> bool {
    to.domain().strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// The recipients by which a mail can have reached us: those that its author wrote, and signed if anything was signed; else
/// all, of which anybody on its way may have added some. Where none is ours, all: a mail that was passed on to us may name its
/// site at another domain.
pub(super) fn ours(mail: &ParsedMail, desk: Desk<'_>) -> Vec<EmailAddress> {
    let of_us = |to: &&EmailAddress| desk.is_ours(to);
    let own = OwnSignatures::of(mail);
    let signed = |name: &str| own.as_ref().is_none_or(|own| own.cover(name));
    let fields = [("to", &mail.to), ("cc", &mail.cc)].into_iter().filter(|(name, _)| signed(name));
    let written: Vec<EmailAddress> = fields.flat_map(|(_, all)| all).filter(of_us).cloned().collect();
    let found =
        if written.is_empty() { mail.recipients.iter().filter(of_us).cloned().collect() } else { written };
    if found.is_empty() { mail.recipients.clone() } else { found }
}

/// Whether an address names the site, or the site and the user, that a sender stands for.
pub fn names(to: &EmailAddress, sender: &Sender) -> bool {
    let project = sender.project_id.as_str();
    let at_site = to.domain().split_once('.').is_some_and(|(label, _)| label == project);
    local(to) == project || (at_site && to.local() == sender.user_id.as_str())
}

/// The site that an address names if there is one of that name.
pub fn site(to: &EmailAddress) -> Option<ProjectId> {
    ProjectId::parse(local(to)).ok()
}

fn local(to: &EmailAddress) -> &str {
    to.local().strip_prefix(PREFIX).unwrap_or(to.local())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::SecretKey;

    fn address(text: &str) -> EmailAddress {
        EmailAddress::parse(text).unwrap()
    }

    fn scott() -> Sender {
        serde_json::from_value(serde_json::json!({
            "address": "scott@example.org", "projectId": "amelia", "userId": "scott", "role": "owner", "createdAt": 0
        }))
        .unwrap()
    }

    #[test]
    fn an_address_names_a_site_in_three_ways() {
        for named in ["amelia@hermes.org", "edit+amelia@hermes.org", "scott@amelia.hermes.org"] {
            assert!(names(&address(named), &scott()), "{named}");
        }
        for other in
            ["amelias@hermes.org", "hermes+amelia@hermes.org", "mary@amelia.hermes.org", "scott@amelia"]
        {
            assert!(!names(&address(other), &scott()), "{other}");
        }
        assert_eq!(site(&address("edit+bob@hermes.org")), ProjectId::parse("bob").ok());
    }

    #[test]
    fn others_who_are_copied_name_no_site() {
        let (own, key) = (address("hermes@hermes.org"), SecretKey::fleeting());
        let desk = Desk { own: &own, places: &[], key: &key };
        let found = |to: &str, delivered: &str| {
            let raw = format!("From: a@b.c\r\nTo: {to}\r\nDelivered-To: {delivered}\r\n\r\nx");
            let mail = super::super::read(raw.as_bytes()).unwrap();
            ours(&mail, desk).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let copied = "amelia@in.hermes.org, bob@gmail.com, bob@nothermes.org, eve@hermes.org";
        for delivered in ["amelia@in.hermes.org", "bob@hermes.org"] {
            let wanted = ["amelia@in.hermes.org", "eve@hermes.org"];
            assert_eq!(
                found(copied, delivered),
                wanted,
                "where it was delivered to is not its author's word"
            );
        }
        assert_eq!(found("staff@example.net", "bob@hermes.org"), ["bob@hermes.org"]);
        let signed = "amelia@hermes.org\r\nCc: bob@hermes.org\r\nDKIM-Signature: v=1; d=b.c; h=from:to; b=x";
        assert_eq!(found(signed, "eve@hermes.org"), ["amelia@hermes.org"], "anybody may have added a copy");
        assert_eq!(found("amelia@example.net", "bob@example.net"), ["amelia@example.net", "bob@example.net"]);
    }
}
