//! Senders: addresses that stand for users of projects.

use common::cloud::Cloud;
use common::cloud::store::Query;
use common::domain::ids::{EmailAddress, ProjectId, UserId};
use common::domain::language::Language;
use common::domain::project::{Project, Role, Sender};

use super::{Listed, MAX_PAGE, OperationError, Result, Slice, Written, projects};

/// What an operator says about a sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SenderSettings {
    /// About which site they may write.
    pub project_id: ProjectId,
    /// As which user: a slug, or an address, for which a slug is made.
    pub user: String,
    /// What they may do.
    pub role: Role,
    /// In which language they are answered; none = as their mails tell.
    pub language: Option<Language>,
}

/// Registers an address for a user of a project.
pub async fn put(
    cloud: &Cloud,
    address: &EmailAddress,
    settings: SenderSettings,
) -> Result<(Sender, Written)> {
    if cloud.store.load::<Project>(&settings.project_id).await?.is_none() {
        return Err(OperationError::Invalid(projects::missing(&settings.project_id).to_string()));
    }
    let id = (address.clone(), settings.project_id.clone());
    let earlier = cloud.store.load::<Sender>(&id).await?;
    let written = if earlier.is_some() { Written::Replaced } else { Written::Created };
    let sender = Sender {
        address: address.clone(),
        project_id: settings.project_id,
        user_id: user_id(&settings.user)?,
        role: settings.role,
        language: settings.language,
        created_at: earlier.map_or_else(|| cloud.clock.now(), |row| row.value.created_at),
    };
    cloud.store.save(&sender).await?;
    Ok((sender, written))
}

/// A slug stays; an address becomes one.
fn user_id(text: &str) -> Result<UserId> {
    if text.contains('@') {
        return Ok(UserId::of_address(&EmailAddress::parse(text)?));
    }
    Ok(UserId::parse(text)?)
}

/// For whom an address stands.
pub async fn get(cloud: &Cloud, address: &EmailAddress) -> Result<Vec<Sender>> {
    let (rows, _) = cloud.store.find::<Sender>(Query::partition(address)).await?;
    if rows.is_empty() {
        return Err(missing(address));
    }
    Ok(rows)
}

/// All senders, in no order, page by page.
pub async fn all(cloud: &Cloud) -> Result<Listed<Sender>> {
    let mut slice = Slice::first(MAX_PAGE);
    let mut items = Vec::new();
    loop {
        let page = list(cloud, slice).await?;
        items.extend(page.items);
        let Some(next) = page.next else { return Ok(Listed { items, next: None }) };
        slice = Slice::new(Some(MAX_PAGE), Some(next));
    }
}

/// Part of all senders, in no order.
pub async fn list(cloud: &Cloud, slice: Slice) -> Result<Listed<Sender>> {
    let page = cloud.store.list::<Sender>(slice.limit, slice.after.clone()).await;
    let (items, next) = page.map_err(|error| OperationError::of_page(slice.after.as_ref(), error))?;
    Ok(Listed { items, next: next.map(|cursor| cursor.0) })
}

/// Takes an address off the list, for one project or for all.
pub async fn remove(cloud: &Cloud, address: &EmailAddress, project: Option<&ProjectId>) -> Result<()> {
    let rows = get(cloud, address).await?;
    let mut meant = rows.into_iter().filter(|row| project.is_none_or(|id| row.project_id == *id)).peekable();
    if meant.peek().is_none() {
        return Err(missing(address));
    }
    for row in meant {
        cloud.store.remove::<Sender>(&(row.address, row.project_id)).await?;
    }
    Ok(())
}

fn missing(address: &EmailAddress) -> OperationError {
    OperationError::NotFound(format!(
        "{address} is not registered; add it with `hermes senders add {address} --project ID --user ID`"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_given_as_an_address_gets_a_slug() {
        assert_eq!(user_id("scott").unwrap().as_str(), "scott");
        assert!(user_id("Scott.O+x@example.org").unwrap().as_str().starts_with("scott-o-x-"));
        assert!(user_id("Scott O").is_err());
    }
}
