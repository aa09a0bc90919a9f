//! The programs over an AWS-compatible endpoint, and a front before it that counts what is asked of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use common::cloud::contract::endpoint::front::{Call, Front, Verdict, judge};
use common::cloud::contract::endpoint::{Endpoint, arguments, fresh_prefix};
use e2e::api::Api;
use e2e::process::{Program, binary};
use e2e::world::World;

use crate::LIMIT;

/// How often each thing was asked for.
pub(crate) type Counts = BTreeMap<String, usize>;

/// A front that counts calls, each under the name it is given; without one it is not counted.
pub(crate) struct Counter {
    front: Front,
    counts: Arc<Mutex<Counts>>,
}

impl Counter {
    pub(crate) async fn before(endpoint: &Endpoint, name: fn(&Call) -> Option<String>) -> Self {
        let counts = Arc::<Mutex<Counts>>::default();
        let counted = Arc::clone(&counts);
        let front = Front::before(
            endpoint.url(),
            judge(move |call| {
                if let Some(name) = name(call) {
                    *counted.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_default() += 1;
                }
                Verdict::Pass
            }),
        );
        Self { front: front.await, counts }
    }

    pub(crate) fn url(&self) -> &str {
        self.front.url()
    }

    /// What was counted since somebody asked last.
    pub(crate) fn taken(&self) -> Counts {
        std::mem::take(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Counts as a sentence.
pub(crate) fn said(counts: &Counts) -> String {
    counts.iter().map(|(name, count)| format!("{count} {name}")).collect::<Vec<_>>().join(", ")
}

/// hermes over the endpoint, whose calls go to `url`; and the prefix of everything there.
pub(crate) async fn over(endpoint: &Endpoint, url: &str) -> anyhow::Result<(World, Api, String)> {
    let prefix = fresh_prefix();
    let mut world = World::temporary()?;
    world.further = arguments(endpoint.url(), &prefix);
    let words: Vec<&str> =
        ["provision"].into_iter().chain(world.further.iter().map(String::as_str)).collect();
    let role = [("HERMES_STATE_MACHINE_ROLE_ARN", "arn:aws:iam::000000000000:role/hermes")];
    let provisioned = Program::start(&binary("hermes")?, &words, &role)?.ended(LIMIT).await?;
    anyhow::ensure!(provisioned.success(), "hermes provision: {provisioned}");
    world.further = arguments(url, &prefix);
    let limits = [("HERMES_SENDER_MAILS_PER_HOUR", "100000"), ("HERMES_PROJECT_MAILS_PER_HOUR", "100000")];
    let api = world.start_hermes_with(&binary("hermes")?, "127.0.0.1:0", &limits).await?;
    Ok((world, api, prefix))
}
