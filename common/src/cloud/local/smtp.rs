//! Outgoing mail through an SMTP server (RFC 5321), for local clouds that have one. SMTP knows no deduplication key: after
//! the last line of a mail went out and no answer came, nobody can tell whether it was taken
//! ([`CloudError::Unavailable`]); everything before that leaves it certainly untaken.

use std::time::Duration;

use async_trait::async_trait;
use lettre::Address;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailParameter};
use tokio::time::timeout;
use url::Url;

use crate::cloud::mailer::{Mailer, OutgoingMail, Ready, Sent};
use crate::cloud::{CloudError, Result};
use crate::domain::ids::EmailAddress;

/// Until the server wants the mail.
const TO_DATA: Duration = Duration::from_secs(30);
/// Whoever only wants to know whether it lets us in does not wait longer.
const TO_GREET: Duration = Duration::from_secs(10);
/// Until it says that it has it (RFC 5321, section 4.5.3.2.6, allows ten minutes; we would rather ask again).
const TO_TAKEN: Duration = Duration::from_mins(2);

/// How the connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protection {
    /// From its first byte (`smtps://`).
    Tls,
    /// STARTTLS, or nothing is sent (`smtp://`).
    StartTls,
    /// None (`smtp://...?tls=none`, loopback only).
    Plain,
}

/// Where mail goes: `smtps://user:password@host` (port 465), `smtp://user:password@host` (port 587, STARTTLS), or
/// `smtp://127.0.0.1:1025?tls=none` for a server on this machine.
#[derive(Clone, PartialEq, Eq)]
pub struct SmtpUrl {
    host: String,
    port: u16,
    protection: Protection,
    user: Option<(String, String)>,
}

impl std::fmt::Debug for SmtpUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SmtpUrl({}:{})", self.host, self.port)
    }
}

impl std::str::FromStr for SmtpUrl {
    type Err = String;
    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let url = Url::parse(text).map_err(|e| format!("write it as smtps://user:password@host: {e}"))?;
        let host = url.host_str().ok_or("it names no host")?.to_owned();
        let plain = url.query_pairs().any(|(name, value)| name == "tls" && value == "none");
        let (protection, port) = match (url.scheme(), plain) {
            ("smtps", false) => (Protection::Tls, 465),
            ("smtp", false) => (Protection::StartTls, 587),
            ("smtp", true) if is_loopback(&url) => (Protection::Plain, 25),
            ("smtp", true) => return Err(format!("{host} is not this machine: mail goes there by TLS only")),
            _ => return Err("its scheme is neither smtps nor smtp".into()),
        };
        let decoded = |part: &str| {
            percent_encoding::percent_decode_str(part).decode_utf8().map(std::borrow::Cow::into_owned)
        };
        let name = decoded(url.username()).map_err(|e| e.to_string())?;
        let password = decoded(url.password().unwrap_or_default()).map_err(|e| e.to_string())?;
        let user = (!name.is_empty()).then_some((name, password));
        Ok(Self { host, port: url.port().unwrap_or(port), protection, user })
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        // The scheme is unknown to the URL standard, so an address is a name.
        Some(url::Host::Domain(name)) => {
            name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
        }
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

/// The door.
pub struct SmtpMailer {
    server: SmtpUrl,
    from: EmailAddress,
}

impl SmtpMailer {
    /// Through this server; bounces go to `from`.
    pub fn new(server: SmtpUrl, from: EmailAddress) -> Self {
        Self { server, from }
    }

    /// Not taken: nothing happened, and the same may succeed later.
    fn not_now(&self, reason: impl std::fmt::Display) -> CloudError {
        CloudError::Throttled(format!("the mail server {}:{}: {reason}", self.server.host, self.server.port))
    }

    /// To the point where the server wants the mail.
    async fn open(&self, mail: &OutgoingMail) -> Result<AsyncSmtpConnection> {
        let mut connection = self.connect().await.map_err(|error| self.not_now(error))?;
        let (from, to) = (address(&self.from)?, address(&mail.to)?);
        let mut options = Vec::new();
        if [&self.from, &mail.to].iter().any(|one| !one.as_str().is_ascii()) {
            if !connection.server_info().supports_feature(Extension::SmtpUtfEight) {
                return Err(CloudError::Invalid(format!("the mail server cannot write to {}", mail.to)));
            }
            options.push(MailParameter::SmtpUtfEight);
        }
        // Nothing but who we are was said so far.
        connection.command(Mail::new(Some(from), options)).await.map_err(|error| self.not_now(error))?;
        let refused = |error: Error| self.refused(&error);
        connection.command(Rcpt::new(to, Vec::new())).await.map_err(refused)?;
        connection.command(Data).await.map_err(refused)?;
        Ok(connection)
    }

    async fn connect(&self) -> std::result::Result<AsyncSmtpConnection, Error> {
        let SmtpUrl { host, port, protection, user } = &self.server;
        let hello = ClientId::default();
        let tls = || TlsParameters::new_rustls(host.clone());
        let at_once = if *protection == Protection::Tls { Some(tls()?) } else { None };
        let place = (host.trim_matches(['[', ']']), *port);
        let mut connection =
            AsyncSmtpConnection::connect_tokio1(place, Some(TO_DATA), &hello, at_once, None).await?;
        if *protection == Protection::StartTls {
            connection.starttls(tls()?, &hello).await?;
        }
        if let Some((name, password)) = user {
            let credentials = Credentials::new(name.clone(), password.clone());
            connection.auth(DEFAULT_MECHANISMS, &credentials).await?;
        }
        Ok(connection)
    }

    /// What an error behind the recipient, or in the answer to the mail, means: a permanent refusal is final unless it is about
    /// us, whom somebody can let in; anything else is not.
    fn refused(&self, error: &Error) -> CloudError {
        if error.is_permanent() && !is_about_us(error) {
            return CloudError::Invalid(format!("the mail server {} refuses it: {error}", self.server.host));
        }
        self.not_now(error)
    }

    fn unanswered(&self, reason: impl std::fmt::Display) -> CloudError {
        let what = format!("the mail server {} did not say whether it took the mail", self.server.host);
        CloudError::unavailable(what, reason)
    }
}

/// Whether a server refuses who we are, and not the mail or its recipient: we have to log in (RFC 4954), or are kept out by a
/// rule of its own (RFC 3463: X.7.X).
fn is_about_us(error: &Error) -> bool {
    let said = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    matches!(error.status().map(u16::from), Some(530 | 535 | 538)) || said.trim_start().starts_with("5.7.")
}

fn address(of: &EmailAddress) -> Result<Address> {
    of.as_str().parse().map_err(|e| CloudError::Invalid(format!("no mail can be written to {of}: {e}")))
}

#[async_trait]
impl Mailer for SmtpMailer {
    async fn send(&self, mail: &OutgoingMail) -> Result<Sent> {
        let mut connection = match timeout(TO_DATA, self.open(mail)).await {
            Ok(opened) => opened?,
            Err(_) => return Err(self.not_now("it does not answer")),
        };
        let taken = match timeout(TO_TAKEN, connection.message(&mail.bytes)).await {
            Ok(Ok(taken)) => taken,
            Ok(Err(error)) if error.status().is_some() => return Err(self.refused(&error)),
            Ok(Err(error)) => return Err(self.unanswered(error)),
            Err(_) => return Err(self.unanswered("it does not answer")),
        };
        let said = taken.first_line().unwrap_or("taken").to_owned();
        // It has the mail; how the goodbye goes is of no account.
        let _ = timeout(TO_DATA, connection.quit()).await;
        Ok(Sent { place: format!("{}: {said}", self.server.host), message_id: None })
    }

    async fn ready(&self, _: &EmailAddress) -> Result<Ready> {
        let greeted = timeout(TO_GREET, self.connect()).await;
        let connection = greeted.map_err(|_| self.not_now("it does not answer"))?;
        let mut connection = connection.map_err(|error| self.not_now(error))?;
        let _ = timeout(TO_GREET, connection.quit()).await;
        Ok(Ready::Yes(format!("the mail server {}:{}", self.server.host, self.server.port)))
    }

    fn longest(&self) -> Duration {
        TO_DATA + TO_TAKEN + TO_DATA
    }

    fn goes_out(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_server_protection_and_user() {
        let url: SmtpUrl = "smtps://scott%40example.org:p%3Aw@mail.example.org".parse().unwrap();
        assert_eq!((url.host.as_str(), url.port, url.protection), ("mail.example.org", 465, Protection::Tls));
        assert_eq!(url.user, Some(("scott@example.org".into(), "p:w".into())));
        assert!(!format!("{url:?}").contains("p:w"));
        let url: SmtpUrl = "smtp://mail.example.org:2525".parse().unwrap();
        assert_eq!((url.port, url.protection, url.user), (2525, Protection::StartTls, None));
    }

    #[test]
    fn without_tls_mail_stays_on_this_machine() {
        for good in
            ["smtp://127.0.0.1:1025?tls=none", "smtp://localhost?tls=none", "smtp://[::1]:25?tls=none"]
        {
            assert_eq!(good.parse::<SmtpUrl>().map(|url| url.protection), Ok(Protection::Plain), "{good}");
        }
        for bad in ["smtp://mail.example.org?tls=none", "http://x", "mail.example.org", "smtps:"] {
            assert!(bad.parse::<SmtpUrl>().is_err(), "{bad}");
        }
    }
}
