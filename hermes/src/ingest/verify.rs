//! Finds out what shows who wrote a mail, before the pure stages judge it: the word of whoever brought it where we believe
//! them, else DKIM, SPF and DMARC checked here. A name server that does not answer is no verdict: the mail is not
//! acknowledged and comes again, until it comes for the last time.

mod dns;

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use common::cloud::{CloudError, Result};
use futures_util::FutureExt;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::config::{MailSettings, Trust};
use crate::mail::ParsedMail;
use crate::mail::dkim::OwnSignatures;
use crate::mail::parse::Author;
use crate::mail::verdict::{self, Domain, Evidence, SesReceipt, Verdicts};
use dns::Asker;
pub use dns::{Dns, Records};

/// A mail's signatures are checked within so long.
const MAX_TIME: Duration = Duration::from_secs(20);
/// The most signatures that are checked.
const MAX_SIGNATURES: usize = 10;
/// The most fields that one of them names, and that a header has: each of the first is looked for among the second.
const MAX_NAMES: usize = 100;
const MAX_FIELDS: usize = 2000;
/// Hashing a larger mail takes a while: it is done on a thread of its own.
const HASH_INLINE_BYTES: usize = 256 * 1024;
/// So many of these at once, however long name servers keep them: the other threads are for files.
const MAX_THREADS: usize = 8;

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
    /// That, and that the mail will not be brought again.
    Last(Box<Word>),
}

impl Word {
    /// The same, from whoever will not bring the mail again.
    #[must_use]
    pub fn for_the_last_time(self) -> Self {
        Self::Last(Box::new(self))
    }
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
    dns: Asker,
    threads: Arc<Semaphore>,
}

impl Verifier {
    /// As the settings say, with the resolver of this machine.
    pub fn new(settings: &MailSettings) -> Self {
        let authserv_id = settings.authserv_id.clone();
        let threads = Arc::new(Semaphore::new(MAX_THREADS));
        Self { trust: settings.trust, authserv_id, dns: Dns::System.into(), threads }
    }

    /// With other answers of the name service.
    #[must_use]
    pub fn asking(self, dns: Dns) -> Self {
        Self { dns: dns.into(), ..self }
    }

    /// What shows who wrote this mail.
    pub async fn evidence(&self, mail: &ParsedMail, raw: &Bytes, word: &Word) -> Result<Evidence> {
        match (self.trust, word, &self.authserv_id) {
            (Trust::All, ..) => Ok(Evidence::Vouched),
            (Trust::Verify, Word::Last(word), _) => match Box::pin(self.evidence(mail, raw, word)).await {
                Err(error) if error.is_retryable() => Ok(unheard(mail, word, &error)),
                evidence => evidence,
            },
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
        let names = |signature: &str| signature.matches(':').count() + 1;
        if mail.header("dkim-signature").any(|one| names(one) > MAX_NAMES) || mail.headers.len() > MAX_FIELDS
        {
            return Ok(Evidence::Nothing(format!(
                "its signatures name more than {MAX_NAMES} fields, or it has more than {MAX_FIELDS}"
            )));
        }
        match tokio::time::timeout(MAX_TIME, self.found(raw, smtp)).await {
            Ok(Ok(Ok(verdicts))) => Ok(Evidence::Checked(verdicts)),
            Ok(Ok(Err(reason))) => Err(CloudError::unavailable("look up the policy of a sender", reason)),
            Ok(Err(Broken)) => Ok(Evidence::Nothing("its signatures cannot be read".into())),
            Err(_) => Err(CloudError::unavailable("look up the policy of a sender", "it took too long")),
        }
    }

    /// What is found out in the end. A thread ends by itself when nobody waits for it any more, and only then makes room.
    async fn found(
        &self,
        raw: &Bytes,
        smtp: Option<Smtp>,
    ) -> std::result::Result<std::result::Result<Verdicts, String>, Broken> {
        let (dns, raw) = (self.dns.clone(), raw.clone());
        let large = raw.len() > HASH_INLINE_BYTES;
        let checking = Box::pin(async move { dns.verify(&raw, smtp.as_ref()).await });
        if !large {
            return AssertUnwindSafe(checking).catch_unwind().await.map_err(|_| Broken);
        }
        let turn = self.threads.clone().acquire_owned().await.map_err(|_| Broken)?;
        let thread = tokio::task::spawn_blocking(move || {
            let found = Handle::current().block_on(tokio::time::timeout(MAX_TIME, checking));
            drop(turn);
            found.unwrap_or_else(|_| Err("it took too long".into()))
        });
        thread.await.map_err(|_| Broken)
    }
}

/// What silence shows in the end. Only that of the author's own name servers brings them a question: whoever names others
/// beside them may be the one who keeps those from answering.
fn unheard(mail: &ParsedMail, word: &Word, error: &CloudError) -> Evidence {
    let Author::One(author) = &mail.author else { return Evidence::Nothing(error.to_string()) };
    let host = match word {
        Word::Provider(Some(smtp)) => Domain::of_address(&smtp.mail_from),
        _ => None,
    };
    let of_kin = |signatures: OwnSignatures<'_>| signatures.are_of_kin(author.domain());
    let foreign = |host: &Domain| host.may_align(author.domain()) && !host.is_kin_of(author.domain());
    if OwnSignatures::of(mail).is_none_or(of_kin) && !host.as_ref().is_some_and(foreign) {
        return Evidence::Unheard(error.to_string());
    }
    Evidence::Nothing(format!("{error}; not all of its signatures are of its author's domain"))
}

/// A mail that breaks the parser is one without evidence.
struct Broken;
