//! DKIM (RFC 6376), SPF (RFC 7208) and DMARC (RFC 9989) by the `mail-auth` crate, over the name service.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::hash::Hash;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use mail_auth::common::crypto::Algorithm;
use mail_auth::common::parse::TxtRecordParser;
use mail_auth::common::verify::DomainKey;
use mail_auth::dmarc::Dmarc as Policy;
use mail_auth::dmarc::verify::DmarcParameters;
use mail_auth::hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts};
use mail_auth::hickory_resolver::proto::op::ResponseCode;
use mail_auth::spf::Spf;
use mail_auth::spf::verify::SpfParameters;
use mail_auth::{
    AuthenticatedMessage, DkimOutput, DkimResult, DmarcOutput, DmarcResult, DnsError, MessageAuthenticator,
    Parameters, ResolverCache, SpfOutput, SpfResult, Txt,
};

use super::Smtp;
use crate::mail::verdict::{Dmarc, Domain, Verdicts};

/// Where records come from.
#[derive(Debug, Clone)]
pub enum Dns {
    /// The resolver of this machine.
    System,
    /// This one, over UDP.
    Server(SocketAddr),
    /// These and no others.
    Records(Arc<Records>),
}

/// TXT records by name.
#[derive(Debug, Clone, Default)]
pub struct Records {
    texts: BTreeMap<String, String>,
    only: Only,
}

/// Whether what is not listed is asked for elsewhere.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Only {
    /// It is.
    #[default]
    Hints,
    /// It does not exist.
    All,
}

impl Records {
    /// All there are.
    pub fn all(texts: impl IntoIterator<Item = (String, String)>) -> Self {
        Self { texts: texts.into_iter().collect(), only: Only::All }
    }
}

/// Whoever asks the name service. The resolver remembers answers for as long as they say; after one that did not come it is
/// made anew, since what this machine says about name servers may have changed.
#[derive(Clone)]
pub(super) struct Asker {
    dns: Dns,
    resolver: Arc<Mutex<Option<MessageAuthenticator>>>,
}

impl From<Dns> for Asker {
    fn from(dns: Dns) -> Self {
        Self { dns, resolver: Arc::default() }
    }
}

impl Asker {
    /// Checks a mail; the error is what kept a name server from answering.
    pub(super) async fn verify(&self, raw: &[u8], smtp: Option<&Smtp>) -> Result<Verdicts, String> {
        let mut doubt = Doubt { asker: self, heard: false };
        let found = self.found(raw, smtp).await;
        doubt.heard = found.is_ok();
        found
    }

    async fn found(&self, raw: &[u8], smtp: Option<&Smtp>) -> Result<Verdicts, String> {
        let asker = self.asker()?;
        let none = Records::default();
        let records = match &self.dns {
            Dns::System | Dns::Server(_) => &none,
            Dns::Records(records) => records,
        };
        let message = AuthenticatedMessage::parse(raw).unwrap_or_default();
        // Whatever else it takes for an author: that is not what the mail says to us.
        let author = match message.from.as_slice() {
            [author] => Domain::of_address(author),
            _ => None,
        };
        let may_align = |domain: &str| {
            Domain::parse(domain).zip(author.as_ref()).is_some_and(|(one, own)| one.may_align(own.as_str()))
        };
        let found = asker.verify_dkim(Parameters::new(&message).with_txt_cache(records)).await;
        let sound = found.into_iter().filter(is_sound);
        // Of others nothing follows, so that nobody has to wait for their name servers.
        let dkim: Vec<_> = sound.filter(|one| one.signature().is_some_and(|one| may_align(&one.d))).collect();
        let spf = match smtp {
            Some(smtp) => Some(spf(&asker, records, smtp).await).filter(|spf| may_align(spf.domain())),
            None => None,
        };
        let spf = spf.unwrap_or_else(|| SpfOutput::new(String::new()));
        let dmarc = DmarcParameters {
            message: &message,
            dkim_output: &dkim,
            dkim2_output: None,
            rfc5321_mail_from_domain: spf.domain(),
            spf_output: &spf,
        };
        let dmarc = asker.verify_dmarc(Parameters::new(dmarc).with_txt_cache(records)).await;
        verdicts(&dkim, &spf, &dmarc)
    }

    fn asker(&self) -> Result<MessageAuthenticator, String> {
        let mut resolver = self.resolver();
        if let Some(made) = &*resolver {
            return Ok(made.clone());
        }
        let made = self.dns.asker()?;
        *resolver = Some(made.clone());
        Ok(made)
    }

    fn resolver(&self) -> MutexGuard<'_, Option<MessageAuthenticator>> {
        self.resolver.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever stops waiting for an answer ends the question here: that, too, is an answer that did not come.
struct Doubt<'a> {
    asker: &'a Asker,
    heard: bool,
}

impl Drop for Doubt<'_> {
    fn drop(&mut self) {
        if !self.heard {
            *self.asker.resolver() = None;
        }
    }
}

impl Dns {
    fn asker(&self) -> Result<MessageAuthenticator, String> {
        let made = match self {
            Self::System => MessageAuthenticator::new_system_conf(),
            Self::Server(address) => MessageAuthenticator::new(only(*address), ResolverOpts::default()),
            Self::Records(_) => MessageAuthenticator::new(ResolverConfig::default(), ResolverOpts::default()),
        };
        made.map_err(|error| format!("the resolver of this machine cannot be used: {error}"))
    }
}

fn only(address: SocketAddr) -> ResolverConfig {
    let mut connection = ConnectionConfig::udp();
    connection.port = address.port();
    let mut server = NameServerConfig::udp(address.ip());
    server.connections = vec![connection];
    ResolverConfig::from_name_servers(vec![server])
}

/// Signatures that do not cover the author (RFC 6376, section 5.4) or use SHA-1 (RFC 8301) say nothing.
fn is_sound(output: &DkimOutput<'_>) -> bool {
    output.signature().is_some_and(|signature| {
        signature.a != Algorithm::RsaSha1 && signature.h.iter().any(|name| name.eq_ignore_ascii_case("from"))
    })
}

async fn spf(asker: &MessageAuthenticator, records: &Records, smtp: &Smtp) -> SpfOutput {
    let question = SpfParameters::verify_mail_from(smtp.ip, &smtp.helo, "hermes", &smtp.mail_from);
    asker.verify_spf(Parameters::new(question).with_txt_cache(records)).await
}

fn verdicts(dkim: &[DkimOutput<'_>], spf: &SpfOutput, dmarc: &DmarcOutput) -> Result<Verdicts, String> {
    let undecided = undecided(dkim, spf);
    let passed: Vec<_> = dkim.iter().filter(|output| *output.result() == DkimResult::Pass).collect();
    let sent = spf.result() == SpfResult::Pass;
    let dmarc = match dmarc.result() {
        DmarcResult::Pass => Domain::parse(dmarc.domain()).map_or(Dmarc::Fail, Dmarc::Pass),
        DmarcResult::None => Dmarc::Open,
        DmarcResult::TempError(error) if undecided.is_some() || !passed.is_empty() || sent => {
            return Err(error.to_string());
        }
        // Whatever the policy is, nothing meets it.
        DmarcResult::Fail(_) | DmarcResult::PermError(_) | DmarcResult::TempError(_) => Dmarc::Fail,
    };
    let domain = |output: &&DkimOutput<'_>| Domain::parse(&output.signature()?.d);
    let signed: Vec<Domain> = passed.iter().filter_map(domain).collect();
    if let (Some(error), Dmarc::Open, true) = (undecided, &dmarc, signed.is_empty()) {
        return Err(error);
    }
    let sent = sent.then(|| Domain::parse(spf.domain())).flatten();
    Ok(Verdicts { by: "hermes itself".into(), dmarc, signed, sent })
}

/// What kept a name server from saying whether a signature, or the host, is the author's.
fn undecided(dkim: &[DkimOutput<'_>], spf: &SpfOutput) -> Option<String> {
    let signature = dkim.iter().find_map(|output| match output.result() {
        DkimResult::TempError(error) => Some(error.to_string()),
        _ => None,
    });
    signature.or_else(|| (spf.result() == SpfResult::TempError).then(|| "no answer about SPF".to_owned()))
}

impl ResolverCache<Box<str>, Txt> for Records {
    fn get<Q>(&self, name: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let known = self.texts.iter().find(|(known, _)| {
            let fqdn: Box<str> = format!("{known}.").into();
            let as_asked: &Q = fqdn.borrow();
            as_asked == name
        });
        match (known, self.only) {
            (Some((name, text)), _) => Some(parsed(name, text)),
            (None, Only::All) => {
                Some(Txt::Error(mail_auth::Error::Dns(DnsError::RecordNotFound(ResponseCode::NXDomain))))
            }
            (None, Only::Hints) => None,
        }
    }

    fn remove<Q>(&self, _: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        None
    }

    // The resolver keeps what it was told by itself.
    fn insert(&self, _: Box<str>, _: Txt, _: Instant) {}
}

/// A record as what its name says it is.
fn parsed(name: &str, text: &str) -> Txt {
    let bytes = text.as_bytes();
    if name.contains("._domainkey.") {
        return DomainKey::parse(bytes).into();
    }
    if name.starts_with("_dmarc.") { Policy::parse(bytes).into() } else { Spf::parse(bytes).into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_question_that_nobody_waits_for_any_more_makes_the_resolver_anew() {
        let silent = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let asker = Asker::from(Dns::Server(silent.local_addr().unwrap()));
        let raw = b"From: a@example.org\r\n\r\nhi\r\n";
        let smtp = Smtp {
            ip: "192.0.2.1".parse().unwrap(),
            helo: "example.org".into(),
            mail_from: "a@example.org".into(),
        };
        let mut answer = [0; 512];
        let question = asker.verify(raw, Some(&smtp));
        tokio::select! {
            found = question => panic!("{found:?}"),
            _ = silent.recv_from(&mut answer) => {}
        }
        assert!(asker.resolver().is_none());
    }
}
