//! Where the links in our mails lead, and who carries the mails.

use std::net::IpAddr;
use std::str::FromStr;

use clap::Args;
use common::cloud::local::smtp::SmtpUrl;
use common::domain::names::{SiteTarget, SitesDomain, is_local};
use url::Url;

/// Where links lead.
#[derive(Debug, Clone, Args)]
pub struct LinkSettings {
    /// Where browsers reach us: `http://host:port`. Previews take scheme and port of it, the pages for owners (to confirm
    /// a mail) the host as well. Default: http, localhost and the port we listen on.
    #[arg(long, env = "HERMES_PUBLIC_URL", value_name = "URL")]
    pub public_url: Option<PublicUrl>,

    /// The domain below which we serve the sites: `{project}.DOMAIN`, `edit.{project}.DOMAIN` and a name of its own for each
    /// preview, `{key}.{project}.DOMAIN`. All its names must lead to us; nothing else may have one.
    #[arg(long, env = "HERMES_SITES_DOMAIN", default_value = "localhost", value_name = "DOMAIN")]
    pub sites_domain: SitesDomain,
}

/// Who carries mails.
#[derive(Debug, Clone, Args)]
pub struct CarrierSettings {
    /// The server that sends our mail: `smtps://user:password@host`, `smtp://user:password@host` (STARTTLS), or
    /// `smtp://127.0.0.1:1025?tls=none` on this machine. Default: mails are put into DIR/outbox and go nowhere.
    #[arg(long, env = "SMTP_URL", hide_env_values = true, value_name = "URL")]
    pub smtp_url: Option<SmtpUrl>,
}

impl LinkSettings {
    /// What no reader of a mail on another machine could open, each with what to do.
    pub fn dead_ends(&self) -> Vec<String> {
        let own = match &self.public_url {
            None => Some("is not set"),
            Some(url) if url.is_local() => Some("is an address of this machine"),
            Some(_) => None,
        };
        let own = own.map(|why| {
            format!(
                "HERMES_PUBLIC_URL {why}, so the links by which owners confirm a mail open here only: set it to the address \
                 at which browsers reach hermes, such as https://hermes.example.org"
            )
        });
        let sites = self.sites_domain.is_local().then(|| {
            format!(
                "HERMES_SITES_DOMAIN is {}, so the links to previews open here only: set it to a domain of yours whose names \
                 all lead to hermes, such as previews.example.org",
                self.sites_domain
            )
        });
        own.into_iter().chain(sites).collect()
    }

    /// The host of our own pages, if a site would be shown there instead.
    pub(super) fn hidden_host(&self) -> Option<&str> {
        let host = self.public_url.as_ref().map(|url| url.host.as_str());
        host.filter(|host| SiteTarget::from_host(host, &self.sites_domain).is_some())
    }
}

/// How browsers reach us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    scheme: String,
    host: String,
    port: Option<u16>,
}

impl PublicUrl {
    /// Plain HTTP on this port.
    pub fn of_port(port: u16) -> Self {
        Self { scheme: "http".into(), host: "localhost".into(), port: Some(port) }
    }

    /// The address of a page of our own, by its path without a slash before it.
    pub fn of_own(&self, path: &str) -> String {
        format!("{}{path}", self.of_host(&self.host))
    }

    /// The address of a site by its host name.
    pub fn of_host(&self, host: &str) -> String {
        match self.port {
            Some(port) => format!("{}://{host}:{port}/", self.scheme),
            None => format!("{}://{host}/", self.scheme),
        }
    }

    /// Whether it leads to the machine of whoever opens it.
    fn is_local(&self) -> bool {
        let address = self.host.trim_matches(['[', ']']).parse::<IpAddr>();
        address.map_or_else(|_| is_local(&self.host), |ip| ip.is_loopback() || ip.is_unspecified())
    }
}

impl FromStr for PublicUrl {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let url =
            Url::parse(text).map_err(|e| format!("write it as https://host or http://host:port: {e}"))?;
        match url.scheme() {
            "http" | "https" => Ok(Self {
                scheme: url.scheme().to_owned(),
                host: url.host_str().ok_or("it names no host")?.to_owned(),
                port: url.port(),
            }),
            other => Err(format!("{other} is neither http nor https")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links(url: Option<&str>, domain: &str) -> LinkSettings {
        LinkSettings {
            public_url: url.map(|url| url.parse().unwrap()),
            sites_domain: domain.parse().unwrap(),
        }
    }

    #[test]
    fn a_preview_link_has_the_public_scheme_and_port() {
        let host = "k.amelia.localhost";
        assert_eq!(PublicUrl::of_port(8025).of_host(host), "http://k.amelia.localhost:8025/");
        let behind_a_proxy: PublicUrl = "https://example.org/x".parse().unwrap();
        assert_eq!(behind_a_proxy.of_host(host), "https://k.amelia.localhost/");
        assert_eq!(behind_a_proxy.of_own("confirm/x"), "https://example.org/confirm/x");
        assert!("ftp://x".parse::<PublicUrl>().is_err());
    }

    #[test]
    fn what_opens_on_this_machine_only_is_a_dead_end_and_names_its_setting() {
        let named = |url, domain| {
            let ends = links(url, domain).dead_ends();
            ends.iter().map(|end| end.split(' ').next().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let both = ["HERMES_PUBLIC_URL", "HERMES_SITES_DOMAIN"];
        for url in [
            "http://localhost:8025",
            "http://h.localhost",
            "http://127.0.0.1:1",
            "http://[::1]",
            "http://0.0.0.0",
        ] {
            assert_eq!(named(Some(url), "localhost"), both, "{url}");
        }
        assert_eq!(named(None, "localhost"), both);
        assert_eq!(named(None, "agency.com"), ["HERMES_PUBLIC_URL"]);
        assert_eq!(named(Some("https://hermes.agency.com"), "localhost"), ["HERMES_SITES_DOMAIN"]);
        assert_eq!(named(Some("https://hermes.agency.com"), "previews.agency.com"), [""; 0]);
    }

    #[test]
    fn our_own_pages_are_not_where_a_site_would_be() {
        for (url, domain, hidden) in [
            ("https://hermes.agency.com", "agency.com", true),
            ("https://edit.hermes.agency.com", "agency.com", true),
            ("http://hermes.localhost:8025", "localhost", true),
            ("https://hermes.agency.com", "previews.agency.com", false),
            ("https://previews.agency.com", "previews.agency.com", false),
            ("http://localhost:8025", "localhost", false),
        ] {
            assert_eq!(links(Some(url), domain).hidden_host().is_some(), hidden, "{url}");
        }
        assert_eq!(links(None, "agency.com").hidden_host(), None);
    }
}
