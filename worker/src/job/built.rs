//! A build works in the checkout and may rewrite what it likes there. None of that becomes part of a commit: a marker
//! beside the checkout says that a build was at work, and goes only when the tree is again as it was committed.

use super::checkout::CACHES;
use super::handover::{Checkout, Commit};
use super::{Trouble, tree};
use crate::git::{self, During as _, off_thread};

/// From now on nothing in the checkout is worth keeping; it is as it was committed.
pub(super) async fn begins(checkout: &Checkout) -> Result<(), Trouble> {
    let marker = checkout.workspace.built_marker();
    Ok(tokio::fs::write(marker, "").await.during("note that a build begins")?)
}

/// Makes the checkout again what was committed, if a build was at work in it.
pub(super) async fn undo(checkout: &Checkout, commit: &Commit) -> Result<(), Trouble> {
    let (workspace, branch, commit) = (checkout.workspace.clone(), checkout.branch.clone(), commit.id);
    let undone = move || {
        let marker = workspace.built_marker();
        if !marker.exists() {
            return Ok(());
        }
        tree::check_out(&git::open(&workspace.repo())?, &branch, commit, &CACHES)?;
        std::fs::remove_file(marker).during("note that a build was cleaned up after")
    };
    Ok(off_thread(undone).await?)
}
