//! Live sites that were left between two versions, because a switch failed three times or was stopped, are brought to the
//! later one: at the start of a worker, and whenever a job ended that could not finish its switch. It needs no claim; what
//! has to be put up is among the objects, and every page is written on condition.

use std::sync::Arc;
use std::time::Duration;

use backon::BackoffBuilder as _;
use common::cloud::{CloudError, Result};
use common::domain::names::SiteTarget;
use common::domain::project::Project;

use tokio::time::timeout;

use crate::job::live;
use crate::me::{Me, patient};

const PAGE: usize = 100;
/// A site whose store does not answer is looked at again after this at the latest.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// One site is worked at no longer than this.
const SITE_LIMIT: Duration = Duration::from_mins(2);

/// Looks after them until shutdown.
pub async fn keep(me: Arc<Me>) {
    loop {
        tokio::select! {
            () = settle_all(&me) => {}
            () = me.shutdown.cancelled() => return,
        }
        tokio::select! {
            () = me.halfway.notified() => {}
            () = me.shutdown.cancelled() => return,
        }
    }
}

/// Again and again until all are settled.
async fn settle_all(me: &Me) {
    let pauses = patient().with_min_delay(Duration::from_secs(1)).with_max_delay(LONGEST_PAUSE);
    for pause in pauses.build() {
        match settle_each(me).await {
            Ok(0) => return,
            Ok(open) => {
                tracing::warn!("{open} live sites are not yet what they should be; tried again in a moment");
            }
            Err(error) => {
                tracing::warn!(%error, "live sites could not be looked through; tried again in a moment");
            }
        }
        tokio::time::sleep(pause).await;
    }
}

/// How many could not be settled.
async fn settle_each(me: &Me) -> Result<usize> {
    let (mut open, mut after) = (0, None);
    loop {
        let (page, next) = me.cloud.store.list::<Project>(PAGE, after).await?;
        for project in page {
            let live = SiteTarget::Live(project.project_id);
            let settled = timeout(SITE_LIMIT, live::settle(Arc::clone(&me.cloud.files), live.clone())).await;
            let settled = settled
                .unwrap_or_else(|_| Err(CloudError::unavailable("settle a site", "it takes too long")));
            if let Err(error) = settled {
                open += 1;
                tracing::info!(%error, site = live.local_host(), "a live site could not be settled");
            }
        }
        if next.is_none() {
            return Ok(open);
        }
        after = next;
    }
}
