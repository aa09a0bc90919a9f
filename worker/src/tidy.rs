//! When working folders are looked through for room: at the start, and whenever a claim was given back.

use std::sync::Arc;

use crate::job::room::{self, Tidied};
use crate::me::Me;

const MEGABYTE: u64 = 1024 * 1024;

/// Looks after the folders until shutdown.
pub async fn keep(me: Arc<Me>) {
    loop {
        tidy(&me).await;
        tokio::select! {
            () = me.gave_up.notified() => {}
            () = me.shutdown.cancelled() => return,
        }
    }
}

async fn tidy(me: &Me) {
    let (folder, budget_mb) = (me.jobs.workspaces.clone(), me.claims.workspace_budget_mb);
    let tidied = tokio::task::spawn_blocking(move || room::tidy(&folder, budget_mb.saturating_mul(MEGABYTE)));
    match tidied.await {
        Ok(Ok(Tidied { left_bytes, freed_bytes, removed })) => {
            if !removed.is_empty() {
                let (freed_mb, left_mb) = (freed_bytes / MEGABYTE, left_bytes / MEGABYTE);
                tracing::info!(freed_mb, left_mb, budget_mb, "{} working folders made room", removed.len());
            }
        }
        Ok(Err(error)) => tracing::warn!(%error, "the working folders could not be looked through for room"),
        Err(error) => tracing::error!(%error, "looking through the working folders broke"),
    }
}
