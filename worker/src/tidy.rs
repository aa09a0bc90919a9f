//! When working folders are looked through for room, and for processes that outlived their worker: at the start, and
//! whenever a claim was given back.

use std::sync::Arc;

use crate::job::room::{self, Sizes, Tidied};
use crate::me::Me;

const MEGABYTE: u64 = 1024 * 1024;

/// Looks after the folders until shutdown.
pub async fn keep(me: Arc<Me>) {
    let mut sizes = Sizes::default();
    loop {
        sizes = tidy(&me, sizes).await;
        tokio::select! {
            () = me.gave_up.notified() => {}
            () = me.shutdown.cancelled() => return,
        }
    }
}

async fn tidy(me: &Me, mut sizes: Sizes) -> Sizes {
    let (folder, budget_mb) = (me.jobs.workspaces.clone(), me.claims.workspace_budget_mb);
    let tidied = tokio::task::spawn_blocking(move || {
        let tidied = room::tidy(&folder, budget_mb.saturating_mul(MEGABYTE), &mut sizes);
        (tidied, sizes)
    });
    match tidied.await {
        Ok((tidied, sizes)) => {
            tell(tidied, budget_mb);
            sizes
        }
        Err(error) => {
            tracing::error!(%error, "looking through the working folders broke");
            Sizes::default()
        }
    }
}

fn tell(tidied: std::io::Result<Tidied>, budget_mb: u64) {
    match tidied {
        Ok(Tidied { removed, .. }) if removed.is_empty() => {}
        Ok(Tidied { left_bytes, freed_bytes, removed }) => {
            let (freed_mb, left_mb) = (freed_bytes / MEGABYTE, left_bytes / MEGABYTE);
            tracing::info!(freed_mb, left_mb, budget_mb, "{} working folders made room", removed.len());
        }
        Err(error) => tracing::warn!(%error, "the working folders could not be looked through for room"),
    }
}
