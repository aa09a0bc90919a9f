//! Conversations: removing one.

use std::ops::ControlFlow;
use std::time::Duration;

use common::cloud::files::{At, IfMatch, Space};
use common::cloud::store::{Expect, Query, Record};
use common::cloud::{Cloud, Result as CloudResult};
use common::domain::ids::{SessionId, ThreadId};
use common::domain::job::{Job, WorkAction};
use common::domain::names::agent_memory_prefix;
use common::domain::session::Session;
use common::domain::thread::{Thread, ThreadMapping};

use super::jobs::order;
use super::{OperationError, Result};

/// The row of a conversation that was removed is kept for so long: its preview has to be taken down by then, which is ordered
/// again every day while it is up.
const KEPT: Duration = Duration::from_hours(90 * 24);

/// Removes a conversation: no mail leads to it any more, what the agent remembers of it goes, and a worker is ordered to take
/// its preview down once the work that waits before is done. Its branch stays, and so does what was published from it.
/// Whoever is cut short does it again: every step may be repeated.
pub async fn remove(cloud: &Cloud, id: &ThreadId) -> Result<Job> {
    let now = cloud.clock.now();
    let mark = |thread: &mut Thread| {
        thread.removed_at.get_or_insert(now);
        thread.ttl = Some(now.ttl(KEPT));
        ControlFlow::Continue(())
    };
    let Some(thread) = cloud.store.update::<Thread>(id, mark).await? else {
        return Err(OperationError::NotFound(format!(
            "conversation {id} is not known; `hermes sessions` shows the latest"
        )));
    };
    forget_messages(cloud, id).await?;
    forget_memory(cloud, id).await?;
    let whose = (&thread.project_id, &thread.user_id, id);
    order(cloud, WorkAction::TakeDown, None, whose).await
}

/// Its messages lead nowhere from now on.
async fn forget_messages(cloud: &Cloud, id: &ThreadId) -> CloudResult<()> {
    let mut query = Query::index("thread-index", id);
    loop {
        let (page, next) = cloud.store.find::<ThreadMapping>(query.clone()).await?;
        for mapping in page {
            let key = ThreadMapping::key(&(mapping.project_key, mapping.message_id));
            cloud.store.delete(ThreadMapping::TABLE, &key, Expect::Any).await?;
        }
        if next.is_none() {
            return Ok(());
        }
        query.after = next;
    }
}

async fn forget_memory(cloud: &Cloud, id: &ThreadId) -> CloudResult<()> {
    for key in cloud.files.list(&Space::Objects, &agent_memory_prefix(id)).await? {
        cloud.files.delete(&At::object(key), IfMatch::Any).await?;
    }
    cloud.store.remove::<Session>(&SessionId::of_thread(id)).await
}
