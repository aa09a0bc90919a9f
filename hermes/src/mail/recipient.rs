//! Which site a mail's recipients name: `{project}@`, `edit+{project}@` or `{user}@{project}.`, at a domain of ours.

use common::domain::ids::{EmailAddress, ProjectId};
use common::domain::project::Sender;

const PREFIX: &str = "edit+";

/// The recipients by which a mail can have reached us: those at our domain or below it. Where there are none, all: mail may
/// come in at another domain than the one we answer from.
pub(super) fn ours(recipients: &[EmailAddress], own: &EmailAddress) -> Vec<EmailAddress> {
    let at_ours = |to: &&EmailAddress| {
        let rest = to.domain().strip_suffix(own.domain());
        rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    let found: Vec<EmailAddress> = recipients.iter().filter(at_ours).cloned().collect();
    if found.is_empty() { recipients.to_vec() } else { found }
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
        let own = address("hermes@hermes.org");
        let all = |list: &[&str]| list.iter().map(|text| address(text)).collect::<Vec<_>>();
        let copied = all(&["amelia@in.hermes.org", "bob@gmail.com", "bob@nothermes.org", "eve@hermes.org"]);
        assert_eq!(ours(&copied, &own), all(&["amelia@in.hermes.org", "eve@hermes.org"]));
        let elsewhere = all(&["amelia@example.net"]);
        assert_eq!(ours(&elsewhere, &own), elsewhere);
    }
}
