//! Queues, tables, the private bucket and the state machine of an environment: how they stand, and making them. Everything made here carries
//! the environment's prefix as a tag; what carries another's is not touched.

mod bucket;
mod machine;
mod policy;
mod queues;
mod tables;

use std::sync::Arc;

use super::connect::Clients;
use super::names::Names;
use super::queue_urls::QueueUrls;
use crate::cloud::provision::{Item, Standing};
use crate::cloud::{CloudError, Result};
use crate::config::CloudSettings;
use crate::domain::names::Prefix;

/// The tag that says whose a thing is.
pub(super) const OWNER_TAG: &str = "hermes:prefix";

/// What provisioning works with.
struct Ground {
    clients: Clients,
    names: Arc<Names>,
    urls: QueueUrls,
    /// Who the state machine acts as.
    role: Option<String>,
}

impl Ground {
    async fn open(settings: &CloudSettings) -> Self {
        let clients = Clients::connect(&settings.aws).await;
        let names = Arc::new(Names::new(settings, &clients));
        let urls = QueueUrls::new(clients.sqs.clone(), Arc::clone(&names));
        Self { clients, names, urls, role: settings.aws.state_machine_role_arn.clone() }
    }

    async fn look(&self) -> Result<Vec<Item>> {
        let mut items = queues::look(self).await?;
        items.extend(tables::look(self).await?);
        items.push(bucket::look(self).await?);
        items.extend(machine::look(self).await?);
        Ok(items)
    }
}

/// How everything stands.
pub(in crate::cloud) async fn look(settings: &CloudSettings) -> Result<Vec<Item>> {
    Ground::open(settings).await.look().await
}

/// Makes what is missing, mends what differs.
pub(in crate::cloud) async fn make(settings: &CloudSettings) -> Result<Vec<Item>> {
    let ground = Ground::open(settings).await;
    let items = ground.look().await?;
    if let Some(Item { kind, name, standing: Standing::Foreign(whose) }) =
        items.iter().find(|item| matches!(item.standing, Standing::Foreign(_)))
    {
        return Err(CloudError::Invalid(format!(
            "the {} {name} is not of this environment ({whose}); nothing was changed",
            kind.word()
        )));
    }
    queues::make(&ground, &items).await?;
    tables::make(&ground, &items).await?;
    bucket::make(&ground, &items).await?;
    machine::make(&ground, &items).await?;
    Ok(items)
}

/// Makes the tables alone (for tests, which use every prefix once).
#[cfg(feature = "contract")]
pub async fn make_tables(settings: &CloudSettings) -> Result<()> {
    let ground = Ground::open(settings).await;
    let items = tables::look(&ground).await?;
    tables::make(&ground, &items).await
}

/// Whether the tag of a thing names another environment.
fn foreign(prefix: &Prefix, tag: Option<&str>) -> Option<Standing> {
    let other = tag.filter(|tag| *tag != prefix.as_str())?;
    Some(Standing::Foreign(format!("it is tagged {OWNER_TAG}={other}")))
}

fn is_due(items: &[Item], name: &str) -> bool {
    items.iter().any(|item| item.name == name && item.is_due())
}
