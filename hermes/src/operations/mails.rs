//! Inbound mails and what became of them.

use common::cloud::Cloud;
use common::domain::ids::MailId;
use common::domain::outcome::MailEnding;

use super::pages::back_in_time;
use super::{Listed, OperationError, Result, Slice};
use crate::ingest::record::MailRecord;

/// Mails, newest first; only those with this ending, if one is given.
pub async fn list(cloud: &Cloud, ending: Option<MailEnding>, slice: Slice) -> Result<Listed<MailRecord>> {
    let wanted = |mail: &MailRecord| ending.is_none() || mail.ending == ending;
    back_in_time(&*cloud.store, "day-index", cloud.clock.now(), &slice, wanted).await
}

/// One mail.
pub async fn get(cloud: &Cloud, id: &MailId) -> Result<MailRecord> {
    let row = cloud.store.load::<MailRecord>(id).await?;
    row.map(|row| row.value).ok_or_else(|| {
        OperationError::NotFound(format!("mail {id} is not known; `hermes mails list` shows the latest"))
    })
}
