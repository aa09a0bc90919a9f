//! Conversations that are removed while work on them runs or waits: the work ends, and nothing that it left stays behind.
//! The removal marks the conversation first, then its jobs, and only then clears away what is there; so whoever ends after
//! its job was marked clears away what came later, and whoever ended before has left nothing that came later.

use common::cloud::files::{At, IfMatch, Space};
use common::cloud::{Cloud, Result};
use common::domain::names::{agent_memory_prefix, transcript_key, wip_key};
use common::domain::session::Session;
use common::domain::thread::Thread;
use common::messages::Work;

/// Somebody stopped the work: where that was because its conversation is removed, nothing of it is kept.
pub async fn after_stop(cloud: &Cloud, work: &Work) -> Result<()> {
    let thread = cloud.store.load::<Thread>(&work.thread_id).await?;
    if thread.is_some_and(|thread| thread.value.removed_at.is_some()) {
        forget(cloud, work).await?;
    }
    Ok(())
}

/// Clears away what the agent remembers of a conversation, and what this work left.
pub async fn forget(cloud: &Cloud, work: &Work) -> Result<()> {
    tracing::info!(
        command.id = %work.command_id, thread.id = %work.thread_id,
        "what is left of a conversation that was removed is cleared away"
    );
    let memory = cloud.files.list(&Space::Objects, &agent_memory_prefix(&work.thread_id)).await?;
    let own = [transcript_key(&work.command_id), wip_key(&work.command_id)];
    for key in memory.into_iter().chain(own) {
        cloud.files.delete(&At::object(key), IfMatch::Any).await?;
    }
    cloud.store.remove::<Session>(&work.session_id).await
}
