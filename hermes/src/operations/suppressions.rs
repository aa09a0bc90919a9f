//! Addresses that we do not write to.

use common::cloud::Cloud;
use common::domain::ids::EmailAddress;

use super::{Listed, OperationError, Result, Slice};
use crate::suppressions::{self, Suppression};

/// Part of the list, by address.
pub async fn list(cloud: &Cloud, slice: Slice) -> Result<Listed<Suppression>> {
    let mut query = suppressions::all().limit(slice.limit);
    query.after.clone_from(&slice.after);
    let page = cloud.store.find::<Suppression>(query).await;
    let (items, next) = page.map_err(|error| OperationError::of_page(slice.after.as_ref(), error))?;
    Ok(Listed { items, next: next.map(|cursor| cursor.0) })
}

/// Takes an address off the list: later mails go there again.
pub async fn remove(cloud: &Cloud, address: &EmailAddress) -> Result<()> {
    if cloud.store.load::<Suppression>(address).await?.is_none() {
        let text = format!("{address} is not on the list; `hermes suppressions list` shows what is");
        return Err(OperationError::NotFound(text));
    }
    Ok(cloud.store.remove::<Suppression>(address).await?)
}
