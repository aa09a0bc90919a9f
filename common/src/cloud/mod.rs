//! The six doors to the outside, one handle each. Nothing above them knows whether it talks to this machine
//! ([`local`]) or to AWS (`aws`).

#[cfg(feature = "aws")]
pub mod aws;
pub mod callback;
pub mod claims;
#[cfg(feature = "contract")]
pub mod contract;
mod error;
pub mod failing;
pub mod files;
pub mod local;
pub mod mailer;
pub mod provision;
pub mod queue;
mod steady;
pub mod store;

use std::sync::Arc;

pub use error::{CloudError, Result};

use crate::clock::Clock;
use crate::config::{CloudKind, CloudSettings};

/// One handle per door. Cloning shares the doors.
#[derive(Clone)]
pub struct Cloud {
    /// Messages.
    pub queues: Arc<dyn queue::Queues>,
    /// Who works for whom.
    pub claims: Arc<dyn claims::Claims>,
    /// Rows.
    pub store: Arc<dyn store::Store>,
    /// Objects and sites.
    pub files: Arc<dyn files::Files>,
    /// Outgoing mail.
    pub mailer: Arc<dyn mailer::Mailer>,
    /// Whoever waits for a task token.
    pub callback: Arc<dyn callback::Callback>,
    /// The time.
    pub clock: Clock,
}

impl Cloud {
    /// Opens the cloud that the settings name.
    #[cfg_attr(not(feature = "aws"), allow(clippy::unused_async, reason = "only AWS is waited for"))]
    pub async fn from_config(settings: &CloudSettings, clock: Clock) -> Result<Self> {
        let cloud = match settings.cloud {
            CloudKind::Local => {
                let cloud = local::open(&settings.data_dir, settings.prefix.clone(), clock)?;
                return Ok(steady::steady(for_tests(settings, cloud)));
            }
            #[cfg(feature = "aws")]
            CloudKind::Aws => aws::open(settings, clock).await?,
            #[cfg(not(feature = "aws"))]
            CloudKind::Aws => return Err(built_without_aws()),
        };
        Ok(for_tests(settings, cloud))
    }
}

/// What a test wants of this process, in a debug build.
#[cfg(debug_assertions)]
fn for_tests(settings: &CloudSettings, cloud: Cloud) -> Cloud {
    if let Some(folder) = &settings.checkpoints {
        crate::checkpoint::look_in(folder);
    }
    match settings.faults {
        Some(chance) => failing::Failing::wrap(cloud, chance.plan()),
        None => cloud,
    }
}

#[cfg(not(debug_assertions))]
fn for_tests(_settings: &CloudSettings, cloud: Cloud) -> Cloud {
    cloud
}

#[cfg(not(feature = "aws"))]
fn built_without_aws() -> CloudError {
    CloudError::Invalid("HERMES_CLOUD=aws: this program was built without the feature \"aws\"".to_owned())
}
