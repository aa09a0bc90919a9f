//! Under which host names browsers find a site: below a domain of ours where hermes serves it, else under one of its own.

use std::fmt;
use std::str::FromStr;

use super::{PreviewKey, SiteTarget};
use crate::domain::ids::{InvalidId, ProjectId};

/// The domain that means this machine.
const LOCAL: &str = "localhost";
/// A name of DNS has so many characters at most (RFC 1035, section 2.3.4), each of its labels so many.
const NAME_MAX: usize = 253;
const LABEL_MAX: usize = 63;
/// The longest name of a site before its domain: a preview's key and a project, each with its dot.
const SITE_MAX: usize = 24 + 1 + 39 + 1;

/// The domain below which hermes serves every site: `{project}.DOMAIN`, `edit.{project}.DOMAIN`, `{key}.{project}.DOMAIN`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SitesDomain(String);

impl SitesDomain {
    /// Takes a domain; capitals become small letters.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        const RULE: &str = "a domain alone, such as previews.example.org: letters, digits and '-' between its dots, at most \
                            188 characters, without scheme, port, path and '*'";
        let name = text.to_ascii_lowercase();
        if is_host_name(&name) && name.len() + SITE_MAX <= NAME_MAX {
            Ok(Self(name))
        } else {
            Err(InvalidId::new("domain", text, RULE))
        }
    }

    /// Whether its names lead to the machine of whoever opens them.
    pub fn is_local(&self) -> bool {
        is_local(&self.0)
    }
}

impl FromStr for SitesDomain {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Self::parse(text)
    }
}

impl fmt::Display for SitesDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A host name under which browsers get a site by https without hermes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicHost(String);

impl PublicHost {
    /// That of a bucket, whose name is its host; none when nothing could have such a name on the web.
    pub fn of_bucket(name: String) -> Option<Self> {
        (is_host_name(&name) && name.contains('.')).then_some(Self(name))
    }

    /// Where its first page is.
    pub fn url(&self) -> String {
        format!("https://{}/", self.0)
    }
}

impl fmt::Display for PublicHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl SiteTarget {
    /// The host name under which hermes serves it.
    pub fn host(&self, domain: &SitesDomain) -> String {
        self.host_below(&domain.0)
    }

    /// Reads a `Host` header (a port is allowed); none when it is not the name of a site.
    pub fn from_host(host: &str, domain: &SitesDomain) -> Option<Self> {
        Self::from_host_below(host, &domain.0)
    }

    /// Its name on this machine and in messages, wherever browsers find it.
    pub fn local_host(&self) -> String {
        self.host_below(LOCAL)
    }

    /// Reads such a name.
    pub fn from_local_host(host: &str) -> Option<Self> {
        Self::from_host_below(host, LOCAL)
    }

    fn host_below(&self, domain: &str) -> String {
        match self {
            Self::Live(project) => format!("{project}.{domain}"),
            Self::Preview(project) => format!("edit.{project}.{domain}"),
            Self::Thread(project, key) => format!("{key}.{project}.{domain}"),
        }
    }

    fn from_host_below(host: &str, domain: &str) -> Option<Self> {
        let name = host.rsplit_once(':').map_or(host, |(name, _port)| name).to_ascii_lowercase();
        let site = name.strip_suffix(domain)?.strip_suffix('.')?;
        match site.split_once('.') {
            None => ProjectId::parse(site).ok().map(Self::Live),
            Some(("edit", project)) => ProjectId::parse(project).ok().map(Self::Preview),
            Some((key, project)) => {
                Some(Self::Thread(ProjectId::parse(project).ok()?, PreviewKey::parse(key).ok()?))
            }
        }
    }
}

/// Whether a host name means the machine of whoever looks it up (RFC 6761, section 6.3).
pub fn is_local(host: &str) -> bool {
    host.rsplit('.').next() == Some(LOCAL)
}

/// A host name in small letters; no address of the form 192.0.2.1, whose last label has digits only.
fn is_host_name(name: &str) -> bool {
    let plain = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-');
    let label = |label: &str| {
        (1..=LABEL_MAX).contains(&label.len())
            && label.bytes().all(plain)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = name.rsplit('.').next().unwrap_or(name);
    name.len() <= NAME_MAX && name.split('.').all(label) && !last.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets() -> [SiteTarget; 3] {
        let project = ProjectId::parse("amelia").unwrap();
        let key = PreviewKey::from_bytes(&[7; 12]);
        [
            SiteTarget::Live(project.clone()),
            SiteTarget::Preview(project.clone()),
            SiteTarget::Thread(project, key),
        ]
    }

    #[test]
    fn a_host_name_reads_back_as_its_target_under_its_own_domain_only() {
        let (own, other) = ("Previews.Agency.com".parse().unwrap(), "agency.com".parse().unwrap());
        for target in targets() {
            let host = target.host(&own);
            assert_eq!(SiteTarget::from_host(&host, &own), Some(target.clone()));
            let shouted = format!("{}:8443", host.to_ascii_uppercase());
            assert_eq!(SiteTarget::from_host(&shouted, &own), Some(target.clone()));
            assert_eq!(SiteTarget::from_local_host(&host), None);
            assert_eq!(SiteTarget::from_host(&target.local_host(), &own), None);
            assert_eq!(SiteTarget::from_local_host(&format!("{}:8025", target.local_host())), Some(target));
        }
        assert_eq!(
            targets().map(|target| target.host(&own)),
            [
                "amelia.previews.agency.com",
                "edit.amelia.previews.agency.com",
                "070707070707070707070707.amelia.previews.agency.com",
            ]
        );
        assert_eq!(SiteTarget::from_host("edit.amelia.previews.agency.com", &other), None);
    }

    #[test]
    fn a_foreign_host_is_no_site() {
        for host in
            ["localhost", "127.0.0.1:8025", "..localhost", "a/b.localhost", "x.y.z.localhost", "evil.org", ""]
        {
            assert_eq!(SiteTarget::from_local_host(host), None, "{host}");
        }
        let own = "agency.com".parse().unwrap();
        for host in ["agency.com", ".agency.com", "ameliaagency.com", "amelia.agency.com.evil.org"] {
            assert_eq!(SiteTarget::from_host(host, &own), None, "{host}");
        }
    }

    #[test]
    fn what_is_no_domain_is_refused_with_what_one_is() {
        let long = format!("{}.example.org", "x.".repeat(100));
        for text in [
            "",
            ".",
            "https://previews.example.org",
            "previews.example.org:8443",
            "previews.example.org/",
            "*.example.org",
            ".example.org",
            "example.org.",
            "a..b",
            "-a.org",
            "a_b.org",
            "bäcker.de",
            "192.0.2.1",
            "[::1]",
            &long,
        ] {
            let refused = SitesDomain::parse(text).map(|domain| domain.to_string());
            assert!(refused.unwrap_err().to_string().contains("such as previews.example.org"), "{text}");
        }
        for text in ["localhost", "test.localhost", "xn--bcker-gra.de", "previews.example.org"] {
            assert_eq!(SitesDomain::parse(text).unwrap().is_local(), text.ends_with("localhost"), "{text}");
        }
        assert!(!is_local("notlocalhost") && is_local("localhost"));
    }

    #[test]
    fn a_bucket_has_an_address_when_its_name_is_one_of_the_web() {
        let url = |name: &str| PublicHost::of_bucket(name.into()).map(|host| host.url());
        assert_eq!(
            url("edit.amelia.webordinary.com").as_deref(),
            Some("https://edit.amelia.webordinary.com/")
        );
        for name in ["agency-amelia-live", "a.-b", "amelia.1"] {
            assert_eq!(url(name), None, "{name}");
        }
    }
}
