//! Work of a job that was cut off: committed, pushed, and where the remote does not answer kept among the objects as a git
//! bundle, which the next run on the thread takes over. Best effort within a limit; never under a claim that is lost.

use std::time::Duration;

use bytes::Bytes;
use common::cloud::files::{At, IfMatch};
use common::domain::ids::CommandId;
use common::domain::names;
use common::domain::outcome::JobOutcome;
use common::domain::session::Left;
use tokio::time::timeout;

use super::checkout::give_up;
use super::handover::{Checkout, Commit, Pushed};
use super::message::Purpose;
use super::workspace::left_marker;
use super::{Cut, JobContext, Trouble, bundle, commit, push};
use crate::git::{self, During as _, Oid, off_thread};

/// How long each part of saving may take; together at most ten seconds.
const COMMIT_LIMIT: Duration = Duration::from_secs(3);
const PUSH_LIMIT: Duration = Duration::from_secs(4);
const BUNDLE_LIMIT: Duration = Duration::from_secs(3);

/// Commits what the agent left in the folder, and keeps it.
pub(super) async fn unfinished(
    context: &JobContext,
    checkout: &Checkout,
    purpose: Purpose,
) -> Option<Commit> {
    match timeout(COMMIT_LIMIT, commit::make(context, checkout, purpose)).await {
        Ok(Ok(commit)) => return commit,
        Ok(Err(Trouble::Failed(failure))) if failure.outcome == JobOutcome::Refused => {
            tracing::warn!(?failure, "unfinished work may not be committed");
            return None;
        }
        Ok(Err(trouble)) => {
            tracing::warn!(?trouble, "unfinished work could not be committed and stays in its folder");
        }
        Err(_) => tracing::warn!("committing unfinished work took too long; it stays in its folder"),
    }
    if let Err(error) = std::fs::write(left_marker(&checkout.workspace.repo()), "") {
        tracing::warn!(%error, "the next run on this thread will not know that there is unfinished work");
    }
    None
}

/// Puts a commit of a job that was cut off where it outlives this machine. Where it conflicts with the branch, that is one
/// beside it, which is noted.
pub(super) async fn keep(
    context: &JobContext,
    checkout: &Checkout,
    commit: &Commit,
    aside: &mut Vec<String>,
) -> Left {
    if context.stopper.stopped() == Some(Cut::FenceLost) || !(context.still_ours)().await {
        return Left::Unchanged;
    }
    match timeout(PUSH_LIMIT, push::push(context, checkout, commit.id)).await {
        Ok(Ok(pushed)) => {
            if let Pushed::Conflict { kept_on } = pushed {
                aside.push(kept_on);
            }
            tracing::info!(commit = %commit.id, "work that the remote had not got was saved on its branch");
            return forget(context, checkout).await;
        }
        Ok(Err(trouble)) => {
            tracing::warn!(?trouble, "saved work could not be pushed; it is kept among the objects");
        }
        Err(_) => tracing::warn!("the remote does not answer; saved work is kept among the objects"),
    }
    elsewhere(context, checkout, commit.id).await
}

/// Puts what earlier runs left on the branch, and the remote has not got, there as well.
pub(super) async fn catch_up(
    context: &JobContext,
    checkout: &Checkout,
    aside: &mut Vec<String>,
) -> Result<Left, Trouble> {
    let (path, tip) = (checkout.workspace.repo(), checkout.before);
    let missing = off_thread(move || {
        let repo = git::open(&path)?;
        bundle::unknown_to_the_remote(&repo, tip).during("look for what the remote has not got")
    });
    if missing.await?.is_empty() {
        let has_come = !checkout.taken_over.is_empty() && (context.still_ours)().await;
        return Ok(if has_come { forget(context, checkout).await } else { Left::Unchanged });
    }
    let commit = commit::unchanged(checkout).await?;
    Ok(keep(context, checkout, &commit, aside).await)
}

/// Puts a commit that the remote refuses out of the way of whoever goes on with the branch.
pub(super) async fn aside(context: &JobContext, checkout: &Checkout, tip: Oid) -> Left {
    if context.stopper.stopped() == Some(Cut::FenceLost) || !(context.still_ours)().await {
        return Left::Unchanged;
    }
    let refused = checkout.clone();
    match off_thread(move || give_up(&refused, tip)).await {
        Ok(()) => forget(context, checkout).await,
        Err(error) => {
            tracing::warn!(%error, "what the remote refuses could not be put aside");
            elsewhere(context, checkout, tip).await
        }
    }
}

/// Keeps a commit that the remote did not take among the objects.
pub(super) async fn elsewhere(context: &JobContext, checkout: &Checkout, tip: Oid) -> Left {
    if context.stopper.stopped() == Some(Cut::FenceLost) || !(context.still_ours)().await {
        return Left::Unchanged;
    }
    match timeout(BUNDLE_LIMIT, put_bundle(context, checkout, tip)).await {
        Ok(Ok(())) => return Left::Kept,
        Ok(Err(trouble)) => {
            tracing::warn!(
                ?trouble,
                "saved work could not be kept among the objects and stays in its folder"
            );
        }
        Err(_) => {
            tracing::warn!("keeping saved work among the objects took too long; it stays in its folder");
        }
    }
    Left::Unchanged
}

async fn put_bundle(context: &JobContext, checkout: &Checkout, tip: Oid) -> Result<(), Trouble> {
    let (workspace, branch) = (checkout.workspace.clone(), checkout.branch.clone());
    let made = off_thread(move || bundle::write(&git::open(&workspace.repo())?, &branch, tip)).await?;
    let Some(bytes) = made else { return Ok(()) };
    let key = names::wip_key(&context.work.command_id);
    tracing::info!(
        key,
        size_bytes = bytes.len(),
        "saved work is kept as a git bundle until the next run on its thread"
    );
    context.files.put(&At::object(key), Bytes::from(bytes), IfMatch::Any).await?;
    Ok(())
}

/// What is kept among the objects for a run.
pub(super) struct Waiting {
    /// Whose work it is, and the work.
    pub(super) bundles: Vec<(CommandId, Bytes)>,
    /// Commands of which there should be some, and is none.
    pub(super) gone: Vec<CommandId>,
}

/// What waits for this run: its own of an earlier run, and that of other work on its thread.
pub(super) async fn waiting(context: &JobContext) -> Result<Waiting, Trouble> {
    let own = &context.work.command_id;
    let others = context.session.iter().flat_map(|session| &session.kept).filter(|command| *command != own);
    let mut waiting = Waiting { bundles: Vec::new(), gone: Vec::new() };
    for command in others.chain([own]) {
        match context.files.get(&At::object(names::wip_key(command))).await? {
            Some(file) => waiting.bundles.push((command.clone(), file.bytes)),
            None => waiting.gone.push(command.clone()),
        }
    }
    Ok(waiting)
}

/// What was taken over is on the remote now, or is given up, and what else is kept stays.
pub(super) async fn forget(context: &JobContext, checkout: &Checkout) -> Left {
    for command in &checkout.taken_over {
        let key = names::wip_key(command);
        if let Err(error) = context.files.delete(&At::object(&key), IfMatch::Any).await {
            tracing::warn!(key, %error, "a bundle that is not needed any more could not be deleted");
        }
    }
    Left::Nothing([&*checkout.taken_over, &*checkout.gone].concat())
}
