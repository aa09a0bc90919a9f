//! Addresses that we do not write to: they take no mail, or their reader called ours spam. A carrier that is asked again and
//! again to write to such addresses ends by carrying nothing at all.

use common::cloud::store::{Key, Query, Record, Table};
use common::cloud::{CloudError, Result};
use common::domain::ids::{EmailAddress, MailId};
use common::domain::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

use crate::app::App;

/// The partition of the limits table.
const KIND: &str = "suppression";

/// Why an address is on the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reason {
    /// It takes no mail.
    Bounced,
    /// Its reader reported our mail as spam.
    Complained,
}

impl Reason {
    /// As a sentence has it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Bounced => "it takes no mail",
            Self::Complained => "its reader reported our mail as spam",
        }
    }
}

/// An address on the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Suppression {
    kind: String,
    /// In lower case.
    #[serde(rename = "id")]
    pub address: EmailAddress,
    /// Why.
    pub reason: Reason,
    /// What the receiving side said; may be empty.
    pub detail: String,
    /// The mail that we answered.
    pub mail_id: MailId,
    /// Since when.
    pub since: Timestamp,
}

impl Record for Suppression {
    const TABLE: Table = Table::Limits;
    type Id = EmailAddress;
    fn key(address: &EmailAddress) -> Key {
        Key::pair(KIND, address)
    }
}

/// Puts an address on the list; the first reason stands.
pub async fn add(
    app: &App,
    address: &EmailAddress,
    reason: Reason,
    detail: &str,
    mail: &MailId,
) -> Result<()> {
    let entry = Suppression {
        kind: KIND.to_owned(),
        address: address.clone(),
        reason,
        detail: detail.to_owned(),
        mail_id: mail.clone(),
        since: app.cloud.clock.now(),
    };
    match app.cloud.store.insert(&entry).await {
        Ok(_) => {
            tracing::warn!("{address} is written to no more: {}", reason.words());
            Ok(())
        }
        Err(CloudError::Conflict(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// The entry of an address.
pub async fn find(app: &App, address: &EmailAddress) -> Result<Option<Suppression>> {
    Ok(app.cloud.store.load::<Suppression>(address).await?.map(|row| row.value))
}

/// The entries by their address.
pub fn all() -> Query {
    Query::partition(KIND)
}
