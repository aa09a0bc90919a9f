//! Projects: sites with their repository and build.

use std::path::{Component, Path};

use common::cloud::store::{Expect, Query, Record, Stored};
use common::cloud::{Cloud, CloudError};
use common::domain::budget::Limits;
use common::domain::ids::ProjectId;
use common::domain::project::{Build, Preempt, Project, Sender};
use common::domain::repo_url::{RepoRules, RepoUrl};

use super::{Listed, MAX_PAGE, OperationError, Result, Slice, Written};

/// What an operator says about a project.
#[derive(Debug, Clone, PartialEq)]
pub struct ProjectSettings {
    /// Where its source lives.
    pub repo_url: String,
    /// The branch new threads start from.
    pub default_branch: Option<String>,
    /// How it is built.
    pub build: Build,
    /// When newer work may take the place of a running job.
    pub preempt: Preempt,
    /// Bounds of one run.
    pub limits: Limits,
    /// Whether a mail counts only when DMARC passed.
    pub require_dmarc: bool,
}

/// How often it is tried again when somebody else made, changed or removed the same project meanwhile.
const MAX_TRIES: usize = 10;

/// Makes a project, or gives it other settings. Of several calls at once each comes behind another, never between its
/// steps.
pub async fn put(
    cloud: &Cloud,
    rules: &RepoRules,
    id: &ProjectId,
    settings: ProjectSettings,
) -> Result<(Project, Written)> {
    check(&settings, rules)?;
    for _ in 0..MAX_TRIES {
        match put_once(cloud, id, settings.clone()).await {
            Err(OperationError::Cloud(CloudError::Conflict(_))) => {}
            answer => return answer,
        }
    }
    Err(CloudError::Throttled(format!("project {id} is written by too many at once")).into())
}

/// A conflict says that the project was made, changed or removed since it was read.
async fn put_once(cloud: &Cloud, id: &ProjectId, settings: ProjectSettings) -> Result<(Project, Written)> {
    let now = cloud.clock.now();
    let project = Project {
        project_id: id.clone(),
        repo_url: settings.repo_url,
        default_branch: settings.default_branch,
        build: settings.build,
        preempt: settings.preempt,
        limits: settings.limits,
        require_dmarc: settings.require_dmarc,
        created_at: now,
        updated_at: now,
    };
    if let Some(Stored { value, version }) = cloud.store.load::<Project>(id).await? {
        let project = Project { created_at: value.created_at, ..project };
        let stored = Stored { value: project, version };
        cloud.store.replace(&stored).await?;
        return Ok((stored.value, Written::Replaced));
    }
    forget_earlier_senders(cloud, id).await?;
    cloud.store.insert(&project).await?;
    Ok((project, Written::Created))
}

/// One project.
pub async fn get(cloud: &Cloud, id: &ProjectId) -> Result<Project> {
    let row = cloud.store.load::<Project>(id).await?;
    row.map(|row| row.value).ok_or_else(|| missing(id))
}

/// All projects, in no order, page by page.
pub async fn all(cloud: &Cloud) -> Result<Listed<Project>> {
    let mut slice = Slice::first(MAX_PAGE);
    let mut items = Vec::new();
    loop {
        let page = list(cloud, slice).await?;
        items.extend(page.items);
        let Some(next) = page.next else { return Ok(Listed { items, next: None }) };
        slice = Slice::new(Some(MAX_PAGE), Some(next));
    }
}

/// Part of all projects, in no order.
pub async fn list(cloud: &Cloud, slice: Slice) -> Result<Listed<Project>> {
    let page = cloud.store.list::<Project>(slice.limit, slice.after.clone()).await;
    let (items, next) = page.map_err(|error| OperationError::of_page(slice.after.as_ref(), error))?;
    Ok(Listed { items, next: next.map(|cursor| cursor.0) })
}

/// Takes a project off the list, and those who may write about it: its id may be given to another site. Its repository, its
/// sites and its history stay. What was cut short is completed by the same call.
pub async fn remove(cloud: &Cloud, id: &ProjectId) -> Result<()> {
    let known = get(cloud, id).await;
    forget_senders(cloud, id).await?;
    known?;
    cloud.store.remove::<Project>(id).await?;
    // Whoever was added meanwhile, unless it was to a site that was given this name since.
    match forget_earlier_senders(cloud, id).await {
        Err(OperationError::Cloud(CloudError::Conflict(_))) => Ok(()),
        forgotten => forgotten,
    }
}

/// Whoever wrote about a site that had this name before says nothing about the one that is made now. Only what was there
/// before the project was is forgotten, as it was: whoever made the project meanwhile may have registered senders for it.
async fn forget_earlier_senders(cloud: &Cloud, id: &ProjectId) -> Result<()> {
    let mut query = Query::index("project-index", id);
    loop {
        let (senders, next) = cloud.store.find::<Sender>(query.clone()).await?;
        let mut earlier = Vec::new();
        for sender in senders {
            let key = (sender.address, sender.project_id);
            let row = cloud.store.load::<Sender>(&key).await?;
            earlier.extend(row.map(|row| (Sender::key(&key), row.version)));
        }
        if cloud.store.load::<Project>(id).await?.is_some() {
            return Err(CloudError::Conflict(format!("project {id} is there now")).into());
        }
        for (key, version) in earlier {
            match cloud.store.delete(Sender::TABLE, &key, Expect::Version(version)).await {
                Ok(()) | Err(CloudError::Conflict(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if next.is_none() {
            return Ok(());
        }
        query.after = next;
    }
}

async fn forget_senders(cloud: &Cloud, id: &ProjectId) -> Result<()> {
    let mut query = Query::index("project-index", id);
    loop {
        let (senders, next) = cloud.store.find::<Sender>(query.clone()).await?;
        for sender in senders {
            cloud.store.remove::<Sender>(&(sender.address, sender.project_id)).await?;
        }
        if next.is_none() {
            return Ok(());
        }
        query.after = next;
    }
}

pub(super) fn missing(id: &ProjectId) -> OperationError {
    OperationError::NotFound(format!("project {id} does not exist; add it with `hermes projects add {id}`"))
}

fn check(settings: &ProjectSettings, rules: &RepoRules) -> Result<()> {
    let invalid = |reason: &str| Err(OperationError::Invalid(reason.to_owned()));
    RepoUrl::parse(&settings.repo_url, rules).map_err(|e| OperationError::Invalid(e.to_string()))?;
    if settings.default_branch.as_deref().is_some_and(|name| !is_branch(name)) {
        return invalid("defaultBranch is not a name that git allows for a branch");
    }
    let command = &settings.build.command;
    if command.first().is_none_or(String::is_empty) || command.iter().any(|word| word.contains('\0')) {
        return invalid(
            "build.command must name a program, as a list of words such as [\"npm\", \"run\", \"build\"]",
        );
    }
    if !is_inside(&settings.build.output) {
        return invalid("build.output must be a folder inside the repository, such as \"dist\"");
    }
    let Limits { max_cost_usd, max_thread_cost_usd, max_month_cost_usd, .. } = settings.limits;
    let sums = [max_cost_usd, max_thread_cost_usd, max_month_cost_usd];
    if sums.into_iter().flatten().any(|sum| !sum.is_finite() || sum < 0.0) {
        return invalid("a sum of limits must be a number of US dollars that is not negative");
    }
    Ok(())
}

/// The rules of git-check-ref-format that a branch can break.
fn is_branch(name: &str) -> bool {
    let legal = |c: char| !c.is_control() && !" ~^:?*[\\".contains(c);
    (1..=200).contains(&name.len())
        && name.chars().all(legal)
        && !name.starts_with('-')
        && !name.ends_with('.')
        && !name.contains("..")
        && !name.contains("@{")
        && name != "@"
        && name.split('/').all(|part| {
            !part.is_empty()
                && !part.starts_with('.')
                && Path::new(part).extension().is_none_or(|end| end != "lock")
        })
}

fn is_inside(folder: &str) -> bool {
    !folder.is_empty()
        && !folder.contains('\0')
        && Path::new(folder).components().all(|part| matches!(part, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> ProjectSettings {
        ProjectSettings {
            repo_url: "https://github.com/you/site.git".into(),
            default_branch: Some("main".into()),
            build: Build::default(),
            preempt: Preempt::default(),
            limits: Limits::default(),
            require_dmarc: true,
        }
    }

    fn rules() -> RepoRules {
        RepoRules { hosts: vec!["github.com".into()], allow_files: false }
    }

    #[test]
    fn usual_settings_pass() {
        assert!(check(&settings(), &rules()).is_ok());
        assert!(is_branch("feature/opening-hours") && is_inside("build/site"));
    }

    #[test]
    fn each_rule_is_kept() {
        let with = |change: fn(&mut ProjectSettings)| {
            let mut changed = settings();
            change(&mut changed);
            check(&changed, &rules())
        };
        assert!(with(|s| s.repo_url = "http://169.254.169.254/x".into()).is_err());
        assert!(with(|s| s.default_branch = Some("-x".into())).is_err());
        assert!(with(|s| s.limits.max_month_cost_usd = Some(-1.0)).is_err());
        assert!(with(|s| s.limits.max_cost_usd = Some(f64::NAN)).is_err());
        assert!(with(|s| s.build.command = Vec::new()).is_err());
        assert!(with(|s| s.build.output = "../dist".into()).is_err());
        assert!(with(|s| s.build.output = "/etc".into()).is_err());
    }

    #[test]
    fn a_branch_that_git_would_refuse_is_refused() {
        for name in ["", "a b", "a..b", "a~1", "a.lock", "/a", "a/", "a//b", ".a", "a.", "@", "a@{1}", "a\n"]
        {
            assert!(!is_branch(name), "{name:?}");
        }
    }
}
