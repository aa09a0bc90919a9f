//! Which repository URLs we touch: https on allowed hosts, without credentials, ports or IP literals; `file:///` only
//! where the operator allows it. Checked when a project is stored and again before a checkout. A host that the operator
//! names with its port is a server of their own: only there may the address be a private one.

use std::fmt;
use std::path::PathBuf;

use url::{Host, Url};

use super::text::is_plain;

/// What the operator allows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RepoRules {
    /// Host names; `*.example.org` stands for any host below it, `git.example.org:8443` for this very server.
    pub hosts: Vec<String>,
    /// Whether repositories of this machine may be used.
    pub allow_files: bool,
}

/// A repository URL that passed the rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepoUrl(Url);

/// Which addresses a repository's host may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Those of the public internet.
    Public,
    /// Any: the operator named this server with its port.
    Any,
}

/// Why a repository URL is refused, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("repository URL {url:?} is refused: {reason}")]
pub struct RefusedRepo {
    url: String,
    reason: String,
}

impl RepoUrl {
    /// Takes the URL if the rules allow it.
    pub fn parse(text: &str, rules: &RepoRules) -> Result<Self, RefusedRepo> {
        let refuse = |reason: &str| RefusedRepo { url: without_credentials(text), reason: reason.to_owned() };
        if text.len() > 2048 || !text.chars().all(|c| is_plain(c) && !c.is_whitespace() && c != '\\') {
            return Err(refuse("it has spaces, control characters or backslashes, or is too long"));
        }
        let url = Url::parse(text).map_err(|_| refuse("write it as https://host/owner/name.git"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refuse("it carries credentials; give the worker a GITHUB_TOKEN instead"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(refuse("it has a query or fragment"));
        }
        match url.scheme() {
            "https" => check_host(&url, rules).map_err(|reason| refuse(&reason))?,
            "file" if !rules.allow_files => {
                return Err(refuse(
                    "repositories of this machine are not allowed; set HERMES_ALLOW_FILE_REPOS=true",
                ));
            }
            "file" if url.host().is_none() && url.path().len() > 1 => {}
            "file" => return Err(refuse("write it as file:///absolute/path")),
            _ => return Err(refuse("only https is allowed")),
        }
        Ok(Self(url))
    }

    /// The URL as git is given it.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The host and port to connect to, and which addresses it may have; none for a repository of this machine. Ports are
    /// named by operators only.
    pub fn server(&self) -> Option<(String, u16, Reach)> {
        let host = self.0.host_str().filter(|_| self.0.scheme() == "https")?.to_owned();
        Some(match self.0.port() {
            Some(port) => (host, port, Reach::Any),
            None => (host, 443, Reach::Public),
        })
    }

    /// The folder of a repository of this machine.
    pub fn local_path(&self) -> Option<PathBuf> {
        (self.0.scheme() == "file").then(|| self.0.to_file_path().ok()).flatten()
    }
}

impl fmt::Display for RepoUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn check_host(url: &Url, rules: &RepoRules) -> Result<(), String> {
    let Some(Host::Domain(host)) = url.host() else {
        return Err("an IP address is no repository host".into());
    };
    if let Some(port) = url.port() {
        let server = format!("{host}:{port}");
        if !rules.hosts.contains(&server) {
            return Err(format!(
                "it names a port; a server of your own is allowed by HERMES_REPO_HOSTS={server}"
            ));
        }
        return names_something(url);
    }
    let allowed = |pattern: &String| match pattern.strip_prefix("*.") {
        Some(parent) => host.strip_suffix(parent).is_some_and(|head| head.ends_with('.') && head.len() > 1),
        None => host == pattern,
    };
    if !rules.hosts.iter().any(allowed) {
        return Err(format!("{host} is not among the allowed hosts; add it to HERMES_REPO_HOSTS"));
    }
    names_something(url)
}

fn names_something(url: &Url) -> Result<(), String> {
    if url.path().trim_matches('/').is_empty() { Err("it names no repository".into()) } else { Ok(()) }
}

/// The text as it may be shown: what stands between `//` and `@` is left out.
fn without_credentials(text: &str) -> String {
    match (text.find("//"), text.rfind('@')) {
        (Some(start), Some(end)) if start + 2 <= end => format!("{}…{}", &text[..start + 2], &text[end..]),
        _ => text.chars().take(200).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> RepoRules {
        RepoRules { hosts: vec!["github.com".into(), "*.example.org".into()], allow_files: false }
    }

    #[test]
    fn https_on_an_allowed_host_is_taken() {
        for url in ["https://github.com/a/b.git", "https://GITHUB.com/a/b", "https://git.example.org/x"] {
            assert!(RepoUrl::parse(url, &rules()).is_ok(), "{url}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for url in [
            "",
            "a",
            "http://github.com/a/b",
            "https://github.com",
            "https://evil.org/a",
            "https://github.com.evil.org/a",
            "https://user:secret@github.com/a",
            "https://token@github.com/a",
            "https://github.com:8443/a",
            "https://127.0.0.1/a",
            "https://[::1]/a",
            "https://2130706433/a",
            "https://0x7f.1/a",
            "https://example.org/a",
            "https://.example.org/a",
            "file:///etc",
            "ssh://git@github.com/a",
            "git@github.com:a/b.git",
            "ext::sh -c id",
            "-oProxyCommand=x",
            "https://github.com/a b",
            "https://github.com/a\nb",
            "https://github.com/a\u{85}b",
            "https://github.com/a\u{fffe}b",
            "https://github.com/a\u{ffff}b",
            "https:\\\\github.com\\a",
            "git://github.com/a",
            "https://github.com/a?x=1",
            "https://github.com/a#b",
            "https://github.com@evil.org/a",
            "https://evil.org#@github.com/a",
            "../x",
            "/etc/passwd",
        ] {
            assert!(RepoUrl::parse(url, &rules()).is_err(), "{url}");
        }
    }

    #[test]
    fn a_port_is_allowed_where_the_operator_names_the_very_server() {
        let own =
            RepoRules { hosts: vec!["git.example.org:8443".into(), "github.com".into()], allow_files: false };
        let url = RepoUrl::parse("https://git.example.org:8443/a/b", &own).unwrap();
        assert_eq!(url.server(), Some(("git.example.org".into(), 8443, Reach::Any)));
        for url in [
            "https://git.example.org/a/b",
            "https://git.example.org:8444/a",
            "https://github.com:8443/a",
            "https://git.example.org:8443",
        ] {
            assert!(RepoUrl::parse(url, &own).is_err(), "{url}");
        }
        let usual = RepoUrl::parse("https://github.com/a/b", &own).unwrap();
        assert_eq!(usual.server(), Some(("github.com".into(), 443, Reach::Public)));
    }

    #[test]
    fn a_refusal_does_not_repeat_the_credentials() {
        let refused = RepoUrl::parse("https://user:s3cret@github.com/a", &rules()).unwrap_err();
        assert!(!refused.to_string().contains("s3cret"));
    }

    #[test]
    fn files_need_a_flag_and_an_absolute_path() {
        let files = RepoRules { allow_files: true, ..rules() };
        assert_eq!(
            RepoUrl::parse("file:///srv/a.git", &files).unwrap().local_path(),
            Some("/srv/a.git".into())
        );
        assert!(RepoUrl::parse("file://host/a.git", &files).is_err());
    }
}
