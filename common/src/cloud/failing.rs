//! Wraps any cloud and fails, or loses the answer of, chosen calls (tests). What happens to which call is said by a
//! [`Plan`], which can be changed while the cloud is in use.

mod chance;
mod doors;
mod operation;
mod plan;

use std::sync::Arc;

pub use chance::Chance;
pub use operation::{Door, Operation};
pub use plan::{Calls, Fate, Plan, Rule, When};

use super::Cloud;

/// Makes failing clouds.
#[derive(Debug)]
pub struct Failing;

impl Failing {
    /// The same cloud, but every call asks the plan first. Keep a clone of the plan to change it later.
    pub fn wrap(cloud: Cloud, plan: Plan) -> Cloud {
        Cloud {
            queues: Arc::new(doors::Around::new(cloud.queues, plan.clone())),
            claims: Arc::new(doors::Around::new(cloud.claims, plan.clone())),
            store: Arc::new(doors::Around::new(cloud.store, plan.clone())),
            files: Arc::new(doors::Around::new(cloud.files, plan.clone())),
            mailer: Arc::new(doors::Around::new(cloud.mailer, plan.clone())),
            callback: Arc::new(doors::Around::new(cloud.callback, plan)),
            clock: cloud.clock,
        }
    }
}
