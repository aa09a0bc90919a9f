//! Finds out what shows who wrote a mail, before the pure stages judge it: the word of whoever brought it where we believe
//! them, else DKIM, SPF and DMARC checked here. A name server that does not answer is no verdict: the mail is not
//! acknowledged and comes again.

mod dns;

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use common::cloud::{CloudError, Result};
use tokio::runtime::Handle;

use crate::config::{MailSettings, Trust};
use crate::mail::ParsedMail;
use crate::mail::verdict::{self, Evidence, SesReceipt};
pub use dns::{Dns, Records};

/// A mail's signatures are checked within so long.
const MAX_TIME: Duration = Duration::from_secs(20);
/// The most signatures that are checked.
const MAX_SIGNATURES: usize = 10;

const UNSIGNED: &str = "it has no DKIM signature (HERMES_TRUST=all takes everybody at their word, on a machine that only you can reach)";

/// What whoever brought a mail says about its sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// Nothing.
    Nothing,
    /// SES: its verdicts.
    Ses(SesReceipt),
    /// A provider whose request was shown to be genuine; the connection on which the mail came to it, where it tells.
    Provider(Option<Smtp>),
}

/// What a receiving server saw (RFC 5321).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Smtp {
    /// The client's address.
    pub ip: IpAddr,
    /// What it said its name was.
    pub helo: String,
    /// The envelope's sender.
    pub mail_from: String,
}

/// Whom we believe about senders.
pub struct Verifier {
    trust: Trust,
    authserv_id: Option<String>,
    dns: Dns,
}

impl Verifier {
    /// As the settings say, with the resolver of this machine.
    pub fn new(settings: &MailSettings) -> Self {
        Self { trust: settings.trust, authserv_id: settings.authserv_id.clone(), dns: Dns::System }
    }

    /// With other answers of the name service.
    #[must_use]
    pub fn asking(self, dns: Dns) -> Self {
        Self { dns, ..self }
    }

    /// What shows who wrote this mail.
    pub async fn evidence(&self, mail: &ParsedMail, raw: &Bytes, word: &Word) -> Result<Evidence> {
        match (self.trust, word, &self.authserv_id) {
            (Trust::All, ..) => Ok(Evidence::Vouched),
            (Trust::Verify, Word::Ses(receipt), _) => Ok(verdict::of_ses(mail, *receipt)),
            (Trust::Verify, Word::Nothing, Some(server)) => Ok(verdict::pinned(mail, server)),
            (Trust::Verify, Word::Nothing, None) => self.check(mail, raw, None).await,
            (Trust::Verify, Word::Provider(smtp), _) => self.check(mail, raw, smtp.clone()).await,
        }
    }

    async fn check(&self, mail: &ParsedMail, raw: &Bytes, smtp: Option<Smtp>) -> Result<Evidence> {
        let signatures = mail.header("dkim-signature").count();
        if signatures == 0 && smtp.is_none() {
            return Ok(Evidence::Nothing(UNSIGNED.into()));
        }
        if signatures > MAX_SIGNATURES {
            return Ok(Evidence::Nothing(format!("it has {signatures} DKIM signatures")));
        }
        let (dns, raw) = (self.dns.clone(), raw.clone());
        // Hashing a large mail takes a while; and a mail that breaks the parser is one without evidence.
        let checking =
            tokio::task::spawn_blocking(move || Handle::current().block_on(dns.verify(&raw, smtp.as_ref())));
        match tokio::time::timeout(MAX_TIME, checking).await {
            Ok(Ok(Ok(verdicts))) => Ok(Evidence::Checked(verdicts)),
            Ok(Ok(Err(reason))) => Err(CloudError::unavailable("look up the policy of a sender", reason)),
            Ok(Err(_)) => Ok(Evidence::Nothing("its signatures cannot be read".into())),
            Err(_) => Err(CloudError::unavailable("look up the policy of a sender", "it took too long")),
        }
    }
}
