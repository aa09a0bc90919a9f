//! Settings, parsed once by clap from flags and environment. `--help` is the reference; `.env.example` lists the same.

mod links;

use std::net::SocketAddr;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Parser, ValueEnum};
use common::config::{CloudSettings, LogSettings, RepoSettings};
use common::domain::ids::EmailAddress;
use common::domain::names::SitesDomain;
use lettre::message::Mailbox;

use crate::cli::Command;
use crate::ingest::origins::signed::{EcdsaKey, Shared};
use crate::mail::recipient::Place;
use crate::secrets::{SecretError, SecretKey};
pub use links::{CarrierSettings, LinkSettings, PublicUrl};

/// The control plane of Hermes: takes mail, orders work, sends answers, serves operators.
///
/// A first run on one machine:
///
///   hermes projects add bakery --repo-url https://github.com/you/bakery.git
///   hermes senders add you@example.org --project bakery --user you
///   HERMES_TRUST=all hermes serve
///   hermes mail order.eml --trust all
#[derive(Debug, Parser)]
#[command(name = "hermes", version, verbatim_doc_comment)]
pub struct Settings {
    /// Which cloud.
    #[command(flatten)]
    pub cloud: CloudSettings,
    /// Which repositories projects may have.
    #[command(flatten)]
    pub repos: RepoSettings,
    /// How the log looks.
    #[command(flatten)]
    pub log: LogSettings,
    /// Print answers as JSON instead of tables and sentences.
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// How mail is taken and answered.
#[derive(Debug, Clone, Args)]
pub struct MailSettings {
    /// Whose mail is believed: `verify` = only senders shown to be genuine (DMARC, or DKIM and SPF where a project allows
    /// it); `all` = everybody who can reach us, allowed on loopback only.
    #[arg(long, env = "HERMES_TRUST", value_enum, default_value_t = Trust::Verify, value_name = "WHOM")]
    pub trust: Trust,

    /// The server whose Authentication-Results are believed: the first word of that field as your own mail server writes
    /// it, on top of every mail. Default: hermes verifies DKIM and DMARC itself, with the resolver of this machine.
    #[arg(long, env = "HERMES_AUTHSERV_ID", value_name = "NAME")]
    pub authserv_id: Option<String>,

    /// Who answers are from; sites can be written to at the same domain.
    #[arg(
        long,
        env = "HERMES_MAIL_FROM",
        default_value = "Hermes <hermes@localhost>",
        value_name = "MAILBOX"
    )]
    pub mail_from: MailFrom,

    /// Where mail reaches us besides the domain of HERMES_MAIL_FROM and those below it: domains, and single addresses that
    /// are passed on to us, with commas between. A mail that names none of these in To or Cc has to be confirmed.
    #[arg(long, env = "HERMES_MAIL_TO", value_delimiter = ',', value_name = "PLACES")]
    pub mail_to: Vec<Place>,

    /// Who puts work on its queue: `direct` = hermes itself; `step-functions` = the state machine that `hermes provision`
    /// makes, which also waits for the answer (HERMES_CLOUD=aws).
    #[arg(long, env = "HERMES_ORCHESTRATOR", value_enum, default_value_t = Orchestrator::Direct, value_name = "WHO")]
    pub orchestrator: Orchestrator,

    /// Where the links in answers lead.
    #[command(flatten)]
    pub links: LinkSettings,

    /// Who carries answers.
    #[command(flatten)]
    pub carrier: CarrierSettings,

    /// How many mails are taken.
    #[command(flatten)]
    pub rates: RateSettings,

    /// How our own mails are recognised.
    #[command(flatten)]
    pub key: KeySettings,
}

/// By what our own Message-IDs, reply addresses and links are made and recognised.
#[derive(Debug, Clone, Default, Args)]
pub struct KeySettings {
    /// The key by which hermes recognises answers to its own mails, at least 32 characters: the same for every hermes of an
    /// environment, and for as long as answers shall find their conversation. Default: made once and kept in DIR/secret-key.
    #[arg(long, env = "HERMES_SECRET_KEY", hide_env_values = true, value_parser = SecretKey::given, value_name = "KEY")]
    pub secret_key: Option<SecretKey>,
}

impl KeySettings {
    /// The key that is set, else the one that is kept.
    pub fn key(&self, data_dir: &Path) -> Result<SecretKey, SecretError> {
        self.secret_key.clone().map_or_else(|| SecretKey::kept_in(data_dir), Ok)
    }
}

/// How much mail is too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
pub struct RateSettings {
    /// Mails of one sender within an hour; 0 is no limit.
    #[arg(long, env = "HERMES_SENDER_MAILS_PER_HOUR", default_value_t = 200, value_name = "COUNT")]
    pub sender_mails_per_hour: u32,

    /// Mails for one project within an hour; 0 is no limit.
    #[arg(long, env = "HERMES_PROJECT_MAILS_PER_HOUR", default_value_t = 1000, value_name = "COUNT")]
    pub project_mails_per_hour: u32,

    /// Mails that we send to one address within an hour, and beside them 3 that ask whether they wrote one; 0 is no limit. Answers
    /// and questions beyond it wait, the rest is left unsaid.
    #[arg(long, env = "HERMES_ANSWERS_PER_HOUR", default_value_t = 10, value_name = "COUNT")]
    pub answers_per_hour: u32,
}

/// Settings of `hermes serve`.
#[derive(Debug, Clone, Args)]
pub struct ServeSettings {
    /// Address and port to listen on; port 0 takes a free one.
    #[arg(long, env = "HERMES_LISTEN", default_value = "127.0.0.1:8025", value_name = "ADDRESS:PORT")]
    pub listen: SocketAddr,

    /// The bearer token of the API, at least 16 characters. Default: made once and kept in DIR/admin-token.
    #[arg(long, env = "HERMES_ADMIN_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub admin_token: Option<String>,

    /// How mail is taken and answered.
    #[command(flatten)]
    pub mail: MailSettings,

    /// What the ways of mail besides the token need.
    #[command(flatten)]
    pub inbound: InboundSettings,

    /// How often hermes looks for work that nobody owns, mails without an ending and answers that were not sent.
    #[arg(long, env = "HERMES_SWEEP_SECS", default_value_t = 15, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=60))]
    pub sweep_secs: u64,

    /// A preview is taken down when nobody has written on its conversation for so many days; 0 keeps all.
    #[arg(long, env = "HERMES_PREVIEW_DAYS", default_value_t = 30, value_name = "DAYS")]
    pub preview_days: u32,
}

/// Who puts work on its queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Orchestrator {
    /// hermes itself.
    Direct,
    /// A state machine.
    StepFunctions,
}

/// What the ways of mail besides the token need; a way is closed while its setting is missing.
#[derive(Debug, Clone, Default, Args)]
pub struct InboundSettings {
    /// Opens POST /v1/inbound/raw to callers without the token who sign with this secret (HMAC-SHA256), at least 16
    /// characters.
    #[arg(long, env = "HERMES_INBOUND_SECRET", hide_env_values = true, value_name = "SECRET")]
    pub inbound_secret: Option<Shared>,

    /// Opens POST /v1/inbound/postmark: USER:PASSWORD as they stand in the webhook's address, at least 16 characters.
    #[arg(long, env = "HERMES_POSTMARK_AUTH", hide_env_values = true, value_name = "USER:PASSWORD")]
    pub postmark_auth: Option<Shared>,

    /// Opens POST /v1/inbound/mailgun/mime: the webhook signing key of Mailgun.
    #[arg(long, env = "HERMES_MAILGUN_KEY", hide_env_values = true, value_name = "KEY")]
    pub mailgun_key: Option<Shared>,

    /// Opens POST /v1/inbound/sendgrid: the public key of the webhook's signature policy, in base64.
    #[arg(long, env = "HERMES_SENDGRID_KEY", value_name = "KEY")]
    pub sendgrid_key: Option<EcdsaKey>,

    /// Opens POST /v1/inbound/sns to these topics, ARNs with commas between them.
    #[arg(long, env = "HERMES_SNS_TOPICS", value_delimiter = ',', value_name = "ARNS")]
    pub sns_topics: Vec<String>,

    /// Which signatures of SNS are believed: `v2` (SHA-256; set the topic's SignatureVersion to 2), or `v1-and-v2` for topics
    /// that still sign with SHA-1.
    #[arg(long, env = "HERMES_SNS_SIGNATURES", value_enum, default_value_t = SnsSignatures::V2, value_name = "WHICH")]
    pub sns_signatures: SnsSignatures,
}

/// Which signatures of SNS are believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum SnsSignatures {
    /// SHA-256 only.
    #[default]
    V2,
    /// SHA-1 too.
    V1AndV2,
}

/// Whose mail is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Trust {
    /// Only verified senders.
    Verify,
    /// Everybody who can reach us.
    All,
}

/// Settings that contradict each other.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadSettings {
    /// Everybody would be believed, from everywhere.
    #[error(
        "HERMES_TRUST=all lets everybody who reaches {0} change your sites: listen on 127.0.0.1 instead, or use HERMES_TRUST=verify"
    )]
    TrustsTheWorld(SocketAddr),
    /// A token that can be guessed.
    #[error(
        "HERMES_ADMIN_TOKEN has fewer than 16 characters: choose a longer one, or leave it out and one is made"
    )]
    WeakToken,
    /// Our own pages would not be seen.
    #[error(
        "HERMES_PUBLIC_URL has the host {host}, where the site of a project would be shown under HERMES_SITES_DOMAIN={domain}: give the sites a domain that nothing else is in, such as sites.{domain}"
    )]
    HiddenBehindASite {
        /// Where browsers should reach us.
        host: String,
        /// Where sites are.
        domain: SitesDomain,
    },
    /// There is no state machine here.
    #[error("HERMES_ORCHESTRATOR=step-functions needs HERMES_CLOUD=aws; leave it out on this machine")]
    NoStateMachine,
}

impl ServeSettings {
    /// How often to sweep.
    pub fn sweep_interval(&self) -> Duration {
        Duration::from_secs(self.sweep_secs)
    }

    /// How long a preview is kept on which nobody writes; for ever when none.
    pub fn previews_kept(&self) -> Option<Duration> {
        let hours = u64::from(self.preview_days) * 24;
        (hours > 0).then(|| Duration::from_hours(hours))
    }

    /// Refuses what would be dangerous.
    pub fn check(&self) -> Result<(), BadSettings> {
        if self.mail.trust == Trust::All && !self.listen.ip().is_loopback() {
            return Err(BadSettings::TrustsTheWorld(self.listen));
        }
        if self.admin_token.as_ref().is_some_and(|token| token.len() < 16) {
            return Err(BadSettings::WeakToken);
        }
        if let Some(host) = self.mail.links.hidden_host() {
            let domain = self.mail.links.sites_domain.clone();
            return Err(BadSettings::HiddenBehindASite { host: host.to_owned(), domain });
        }
        Ok(())
    }
}

/// Who answers are from.
#[derive(Debug, Clone)]
pub struct MailFrom {
    /// For the From field.
    pub mailbox: Mailbox,
    /// To recognise our own mail.
    pub address: EmailAddress,
}

impl MailFrom {
    /// What stands behind the `@`.
    pub fn domain(&self) -> &str {
        self.mailbox.email.domain()
    }
}

impl FromStr for MailFrom {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let mailbox: Mailbox =
            text.parse().map_err(|e| format!("write it as \"Name <name@example.org>\": {e}"))?;
        let address = EmailAddress::parse(mailbox.email.as_ref()).map_err(|e| e.to_string())?;
        Ok(Self { mailbox, address })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serve(arguments: &[&str]) -> Result<ServeSettings, clap::Error> {
        let all = ["hermes", "serve"].iter().chain(arguments);
        match Settings::try_parse_from(all)?.command {
            Command::Serve(settings) => Ok(settings),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn everybody_is_trusted_on_loopback_only() {
        for listen in ["0.0.0.0:8025", "[::]:8025", "192.0.2.1:80"] {
            let settings = serve(&["--trust", "all", "--listen", listen]).unwrap();
            assert!(matches!(settings.check(), Err(BadSettings::TrustsTheWorld(_))), "{listen}");
        }
        for listen in ["127.0.0.1:0", "[::1]:8025"] {
            assert_eq!(serve(&["--trust", "all", "--listen", listen]).unwrap().check(), Ok(()));
        }
        assert_eq!(serve(&["--trust", "verify", "--listen", "0.0.0.0:80"]).unwrap().check(), Ok(()));
    }

    #[test]
    fn previews_are_kept_for_thirty_days_or_for_ever() {
        let kept = |arguments: &[&str]| serve(arguments).unwrap().previews_kept();
        assert_eq!(kept(&[]), Some(Duration::from_hours(30 * 24)));
        assert_eq!(kept(&["--preview-days", "0"]), None);
    }

    #[test]
    fn a_guessable_token_is_refused() {
        assert_eq!(serve(&["--admin-token", "secret"]).unwrap().check(), Err(BadSettings::WeakToken));
    }

    #[test]
    fn our_own_pages_are_not_hidden_behind_a_site() {
        let check = |domain| {
            let words = ["--public-url", "https://hermes.agency.com", "--sites-domain", domain];
            serve(&words).unwrap().check()
        };
        let refused = check("agency.com").unwrap_err();
        assert!(refused.to_string().contains("such as sites.agency.com"), "{refused}");
        assert_eq!(check("previews.agency.com"), Ok(()));
        let none = serve(&["--sites-domain", "https://agency.com"]).unwrap_err().to_string();
        assert!(none.contains("previews.example.org"), "{none}");
    }

    #[test]
    fn a_mailbox_may_have_a_name() {
        let from: MailFrom = "Hermes <Hermes@Localhost>".parse().unwrap();
        assert_eq!(from.address.as_str(), "hermes@localhost");
        assert!("hermes".parse::<MailFrom>().is_err());
    }
}
