//! Outgoing mail over SES v2, raw. SES has no idempotency key: after an unknown answer a mail is sent at least once.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_sesv2::Client;
use aws_sdk_sesv2::config::Builder;
use aws_sdk_sesv2::config::retry::RetryConfig;
use aws_sdk_sesv2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sesv2::operation::send_email::SendEmailError;
use aws_sdk_sesv2::primitives::Blob;
use aws_sdk_sesv2::types::{Destination, EmailContent, MessageTag, RawMessage};

use super::connect::timeouts;
use super::error::{failed, says};
use crate::cloud::mailer::{Mailer, OutgoingMail, Ready, Sent, check_key};
use crate::cloud::{CloudError, Result};
use crate::config::AwsSettings;
use crate::domain::ids::EmailAddress;

/// The tag by which a bounce finds the mail it is about.
const KEY_TAG: &str = "hermes-mail";

/// The one try at a mail.
const LONGEST: Duration = Duration::from_secs(20);

/// The door.
pub(super) struct AwsMailer {
    ses: Client,
    region: String,
    configuration_set: Option<String>,
}

impl AwsMailer {
    /// Over this client.
    pub(super) fn new(ses: Client, region: &str, settings: &AwsSettings) -> Self {
        Self { ses, region: region.to_owned(), configuration_set: settings.ses_configuration_set.clone() }
    }
}

#[async_trait]
impl Mailer for AwsMailer {
    async fn send(&self, mail: &OutgoingMail) -> Result<Sent> {
        check_key(&mail.dedup_key)?;
        let what = "sending a mail by SES";
        let incomplete = |error| CloudError::Invalid(format!("{what}: {error}"));
        let raw = RawMessage::builder().data(Blob::new(mail.bytes.to_vec())).build().map_err(incomplete)?;
        let tag = MessageTag::builder().name(KEY_TAG).value(&mail.dedup_key).build().map_err(incomplete)?;
        // A mail whose answer was lost may have gone out: whoever sends it decides whether it goes once more.
        let once =
            Builder::new().retry_config(RetryConfig::disabled()).timeout_config(timeouts(LONGEST, LONGEST));
        let answer = self
            .ses
            .send_email()
            .destination(Destination::builder().to_addresses(mail.to.as_str()).build())
            .content(EmailContent::builder().raw(raw).build())
            .email_tags(tag)
            .set_configuration_set_name(self.configuration_set.clone())
            .customize()
            .config_override(once)
            .send()
            .await
            .map_err(|error| refused(what, &error))?;
        let id = answer.message_id.ok_or_else(|| CloudError::unavailable(what, "it has got no id"))?;
        Ok(Sent { message_id: Some(message_id(&id, &self.region)), place: format!("SES message {id}") })
    }

    async fn ready(&self, from: &EmailAddress) -> Result<Ready> {
        let what = "asking SES for an identity";
        for identity in identities(from) {
            match self.ses.get_email_identity().email_identity(identity).send().await {
                Ok(found) if found.verified_for_sending_status => {
                    return Ok(Ready::Yes(format!("SES in {}, where {identity} is verified", self.region)));
                }
                Ok(_) => {}
                Err(error) if says(&error, &["NotFoundException"]) => {}
                Err(error) => return Err(failed(what, &error)),
            }
        }
        Ok(Ready::NotYet(format!("verify {from} or its domain in SES in {}", self.region)))
    }

    fn longest(&self) -> Duration {
        LONGEST
    }

    fn goes_out(&self) -> bool {
        true
    }
}

/// What may be verified so that mail can be from this address: itself, its domain, or one above that.
fn identities(from: &EmailAddress) -> impl Iterator<Item = &str> {
    let domains = std::iter::successors(Some(from.domain()), |domain| {
        domain.split_once('.').map(|(_, above)| above).filter(|above| above.contains('.'))
    });
    std::iter::once(from.as_str()).chain(domains)
}

/// An address that is not verified (yet, or for as long as the account is in the sandbox) is a matter of operators: the mail waits
/// for them. SES says it by the code with which it refuses a mail for ever.
fn refused<R: std::fmt::Debug>(what: &str, error: &SdkError<SendEmailError, R>) -> CloudError {
    let unverified = says(error, &["MessageRejected"])
        && error.message().is_some_and(|message| message.contains("not verified"));
    match failed(what, error) {
        CloudError::Invalid(text) if unverified => CloudError::Throttled(text),
        other => other,
    }
}

/// SES writes its own Message-ID over ours.
fn message_id(id: &str, region: &str) -> String {
    if id.contains('@') {
        id.to_owned()
    } else if region == "us-east-1" {
        format!("{id}@email.amazonses.com")
    } else {
        format!("{id}@{region}.amazonses.com")
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_sesv2::error::ErrorMetadata;

    use super::*;

    fn answered(code: &str, message: &str) -> CloudError {
        let said = ErrorMetadata::builder().code(code).message(message).build();
        refused("sending", &SdkError::<_, ()>::service_error(SendEmailError::generic(said), ()))
    }

    #[test]
    fn a_mail_waits_for_an_address_to_be_verified_and_not_when_it_is_refused_for_what_it_is() {
        let unverified = "Email address is not verified. The following identities failed the check in region EU-WEST-1: a@b.example";
        assert!(
            matches!(answered("MessageRejected", unverified), CloudError::Throttled(text) if text.contains("a@b.example"))
        );
        assert!(answered("MailFromDomainNotVerifiedException", "no").is_retryable());
        assert!(answered("SendingPausedException", "no").is_retryable());
        assert!(matches!(answered("MessageRejected", "It contains a virus."), CloudError::Invalid(_)));
        assert!(matches!(answered("BadRequestException", "not verified"), CloudError::Invalid(_)));
    }

    #[test]
    fn a_domain_that_is_verified_holds_for_all_below_it() {
        let from = EmailAddress::parse("edit@mail.example.org").unwrap();
        assert_eq!(
            identities(&from).collect::<Vec<_>>(),
            ["edit@mail.example.org", "mail.example.org", "example.org"]
        );
        let here = EmailAddress::parse("hermes@localhost").unwrap();
        assert_eq!(identities(&here).collect::<Vec<_>>(), ["hermes@localhost", "localhost"]);
    }

    #[test]
    fn the_message_id_is_the_one_that_recipients_see() {
        assert_eq!(message_id("0100-a", "us-east-1"), "0100-a@email.amazonses.com");
        assert_eq!(message_id("0100-a@email.amazonses.com", "us-east-1"), "0100-a@email.amazonses.com");
        assert_eq!(message_id("0102-b", "eu-west-1"), "0102-b@eu-west-1.amazonses.com");
    }
}
