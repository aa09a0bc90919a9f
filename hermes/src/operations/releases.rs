//! The live site of a project: what it is and was, and ordering that it is switched. A worker does it, in the order of its
//! owner's other work.

use common::cloud::files::At;
use common::cloud::{Cloud, CloudError, Result as CloudResult};
use common::domain::ids::{ProjectId, ThreadId};
use common::domain::job::{Job, WorkAction};
use common::domain::names::SiteTarget;
use common::domain::site::{Manifest, Release};
use common::domain::thread::Thread;

use super::jobs::order;
use super::{OperationError, Result, projects};

/// The releases of the live site that can be put up again, the present one first.
pub async fn list(cloud: &Cloud, project: &ProjectId) -> Result<Vec<Release>> {
    let made = projects::get(cloud, project).await?.created_at;
    let manifest = manifest(cloud, &SiteTarget::Live(project.clone())).await?;
    Ok(manifest.iter().flat_map(|manifest| manifest.releases_since(made)).cloned().collect())
}

/// What is shown at a target.
pub(crate) async fn manifest(cloud: &Cloud, target: &SiteTarget) -> CloudResult<Option<Manifest>> {
    let at = At::object(target.manifest_key());
    let Some(content) = cloud.files.get(&at).await? else { return Ok(None) };
    let read = serde_json::from_slice(&content.bytes);
    read.map(Some).map_err(|error| CloudError::Invalid(format!("{at}: {error}")))
}

/// Orders that the preview of a conversation becomes the live site.
pub async fn publish(cloud: &Cloud, project: &ProjectId, thread: &ThreadId) -> Result<Job> {
    projects::get(cloud, project).await?;
    let row = cloud.store.load::<Thread>(thread).await?.map(|stored| stored.value);
    let is_there = |thread: &Thread| thread.project_id == *project && thread.removed_at.is_none();
    let thread = row.filter(is_there).ok_or_else(|| {
        OperationError::NotFound(format!("project {project} has no conversation {thread}; `hermes jobs list --project {project}` shows those it has"))
    })?;
    order(cloud, WorkAction::Publish, None, (project, &thread.user_id, &thread.thread_id)).await
}

/// Orders that an earlier release becomes the live site again: the one before the present one, unless one is named.
pub async fn undo(cloud: &Cloud, project: &ProjectId, release: Option<u64>) -> Result<Job> {
    let releases = list(cloud, project).await?;
    let invalid = |reason: String| Err(OperationError::Invalid(reason));
    let Some((present, earlier)) = releases.split_first() else {
        return invalid(format!("nothing of project {project} has been published yet"));
    };
    if earlier.is_empty() {
        return invalid(format!("project {project} has one release only; there is none to go back to"));
    }
    if let Some(number) = release
        && !earlier.iter().any(|earlier| earlier.number == number)
    {
        let known: Vec<_> = earlier.iter().map(|earlier| earlier.number.to_string()).collect();
        return invalid(format!(
            "release {number} is not kept; those before the present one are {}",
            known.join(", ")
        ));
    }
    let Release { user_id: Some(user), thread_id: Some(thread), .. } = present else {
        return invalid(format!("nobody is known who published the present release of project {project}"));
    };
    // An undo leaves a release of whoever asked for it with the preview of somebody else's conversation.
    let owner = cloud.store.load::<Thread>(thread).await?.map(|stored| stored.value.user_id);
    order(cloud, WorkAction::Undo, release, (project, owner.as_ref().unwrap_or(user), thread)).await
}
