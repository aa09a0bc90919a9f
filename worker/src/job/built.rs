//! A build works in the checkout, with what was committed and with nothing else that lies there, and may rewrite what it
//! likes. None of that becomes part of a commit: a marker beside the checkout says that a build was at work, and goes only
//! when the tree is again as it was committed.

use super::checkout::CACHES;
use super::handover::{Checkout, Commit};
use super::workspace::cached_marker;
use super::{Trouble, tree};
use crate::git::{self, During as _, off_thread};

/// From now on nothing in the checkout is worth keeping. It becomes what was committed: what is ignored, or could not
/// be committed, would be shown by this build, and by no other.
pub(super) async fn begins(checkout: &Checkout, commit: &Commit) -> Result<(), Trouble> {
    const WHAT: &str = "note that a build begins";
    let (marker, cached) = (checkout.workspace.built_marker(), cached_marker(&checkout.workspace.repo()));
    let tip = checkout.tip(commit).to_string();
    tokio::fs::write(marker, "").await.during(WHAT)?;
    make_equal(checkout, commit, || std::fs::write(cached, tip).during(WHAT)).await
}

/// Makes the checkout again what was committed, if a build was at work in it.
pub(super) async fn undo(checkout: &Checkout, commit: &Commit) -> Result<(), Trouble> {
    let marker = checkout.workspace.built_marker();
    if !marker.exists() {
        return Ok(());
    }
    let forget = || std::fs::remove_file(marker).during("note that a build was cleaned up after");
    make_equal(checkout, commit, forget).await
}

async fn make_equal(
    checkout: &Checkout,
    commit: &Commit,
    then: impl FnOnce() -> git::Result<()> + Send + 'static,
) -> Result<(), Trouble> {
    let (workspace, branch, tip) =
        (checkout.workspace.clone(), checkout.branch.clone(), checkout.tip(commit));
    let made = move || {
        tree::check_out(&git::open(&workspace.repo())?, &branch, tip, &CACHES)?;
        then()
    };
    Ok(off_thread(made).await?)
}
