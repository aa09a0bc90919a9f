//! Whether a project is ready for its first mail: what hermes can see by itself, and a job that fetches, builds and shows
//! the site as it is. hermes holds no git and runs no build, so a worker does that part, like all work.

use common::cloud::Cloud;
use common::cloud::store::Query;
use common::domain::ids::{EmailAddress, ProjectId, ThreadId, UserId};
use common::domain::job::{Job, StepName, WorkAction};
use common::domain::outcome::JobOutcome;
use common::domain::project::Sender;
use serde::Serialize;
use uuid::Uuid;

use super::{Result, jobs, projects, workers};

/// One thing that has to be right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// A short name.
    pub name: &'static str,
    /// How it stands.
    pub state: CheckState,
    /// What was found, and what to do about it.
    pub said: String,
}

/// How something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckState {
    /// It is right.
    Ok,
    /// Something has to be done.
    Failed,
    /// It is not known yet.
    Waiting,
}

/// What was found so far.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Preflight {
    /// The job that does the rest.
    pub job: Job,
    /// One line for each thing that has to be right.
    pub checks: Vec<Check>,
}

impl Preflight {
    /// Whether there is nothing left to wait for.
    pub fn is_known(&self) -> bool {
        has_ended(&self.job)
    }
}

impl std::fmt::Display for CheckState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Waiting => "waiting",
        })
    }
}

/// Looks at everything that hermes can see and orders the rest.
pub async fn begin(cloud: &Cloud, from: &EmailAddress, project: &ProjectId) -> Result<Preflight> {
    projects::get(cloud, project).await?;
    let senders = senders(cloud, project).await?;
    let user = senders.first().map_or_else(|| UserId::of_address(from), |sender| sender.user_id.clone());
    let job = jobs::order(cloud, WorkAction::Check, None, (project, &user, &thread(project, &user))).await?;
    look(cloud, from, job).await
}

/// A conversation has one owner, and the first sender of a project may be another one tomorrow.
fn thread(project: &ProjectId, user: &UserId) -> ThreadId {
    let name = format!("preflight:{project}:{user}");
    ThreadId::from_uuid(Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()))
}

/// The same with what the job has found meanwhile.
pub async fn look(cloud: &Cloud, from: &EmailAddress, job: Job) -> Result<Preflight> {
    let senders = senders(cloud, &job.project_id).await?;
    let alive = workers::list(cloud).await?.iter().filter(|worker| worker.alive).count();
    let mut checks = vec![of_senders(&job.project_id, &senders), of_address(from), of_workers(alive)];
    checks.extend(of_job(&job));
    Ok(Preflight { job, checks })
}

async fn senders(cloud: &Cloud, project: &ProjectId) -> Result<Vec<Sender>> {
    Ok(cloud.store.find::<Sender>(Query::index("project-index", project)).await?.0)
}

fn check(name: &'static str, state: CheckState, said: impl Into<String>) -> Check {
    Check { name, state, said: said.into() }
}

fn of_senders(project: &ProjectId, senders: &[Sender]) -> Check {
    match senders.len() {
        0 => check(
            "senders",
            CheckState::Failed,
            format!(
                "nobody may write about it; `hermes senders add ADDRESS --project {project} --user NAME`"
            ),
        ),
        count => check("senders", CheckState::Ok, format!("{count} may write about it")),
    }
}

fn of_address(from: &EmailAddress) -> Check {
    let said = format!("answers are from {from}");
    if from.domain().ends_with("localhost") {
        let advice = "only mail programs on this machine can answer; set HERMES_MAIL_FROM to an address of yours for others";
        return check("mail identity", CheckState::Ok, format!("{said}; {advice}"));
    }
    check("mail identity", CheckState::Ok, said)
}

fn of_workers(alive: usize) -> Check {
    match alive {
        0 => check("worker", CheckState::Failed, "no worker is alive; start one with `worker run`"),
        count => check("worker", CheckState::Ok, format!("{count} alive")),
    }
}

/// Its worker says how it ended a moment before it counts as done.
fn has_ended(job: &Job) -> bool {
    !job.is_open() || job.outcome.is_some()
}

/// Each part of the job by the step that shows it. The step in which a job ends badly is the one that failed; where it was
/// begun by none, the first.
fn of_job(job: &Job) -> [Check; 3] {
    const FIRST: StepName = StepName::Checkout;
    let parts = [
        ("source", FIRST, "it can be fetched and pushed to"),
        ("build", StepName::Build, "the site can be built"),
        ("preview", StepName::Publish, "the site can be put up"),
    ];
    let last = job.steps.last().map_or(FIRST, |step| step.name);
    let ended = has_ended(job);
    let succeeded = job.outcome.is_some_and(JobOutcome::is_success);
    parts.map(|(name, step, right)| {
        let begun = job.steps.iter().any(|one| one.name == step) || (ended && step == FIRST);
        match () {
            () if succeeded || (begun && last != step) => check(name, CheckState::Ok, right),
            () if begun && ended => {
                let error = job.error.as_deref().or(job.summary.as_deref()).unwrap_or("it failed");
                check(name, CheckState::Failed, error)
            }
            () if ended => check(name, CheckState::Waiting, "not tried, because of what failed before"),
            () => check(name, CheckState::Waiting, "not tried yet"),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(steps: &[&str], more: serde_json::Value) -> Job {
        let step = |name: &&str| serde_json::json!({"name": name, "attempt": 1, "startedAt": 0});
        let mut job = serde_json::json!({"commandId": "c1", "projectKey": "amelia#scott", "projectId": "amelia",
            "userId": "scott", "threadId": "abcdef", "branch": "thread-abcdef", "action": "check", "instruction": "check",
            "state": "running", "attempts": 1, "createdAt": 0, "day": "1970-01-01",
            "steps": steps.iter().map(step).collect::<Vec<_>>()});
        job.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(job).unwrap()
    }

    fn states(job: &Job) -> [CheckState; 3] {
        of_job(job).map(|check| check.state)
    }

    #[test]
    fn the_step_in_which_it_ends_badly_is_what_failed() {
        use CheckState::{Failed, Ok, Waiting};
        let failed = serde_json::json!({"outcome": "build-failed", "error": "npm: no such script"});
        let broken = job(&["checkout", "build"], failed);
        assert_eq!(states(&broken), [Ok, Failed, Waiting]);
        assert!(of_job(&broken)[1].said.contains("no such script"));
        assert_eq!(states(&job(&[], serde_json::json!({}))), [Waiting; 3]);
        let aside = job(&[], serde_json::json!({"outcome": "failed", "error": "it was put aside"}));
        assert_eq!(states(&aside), [Failed, Waiting, Waiting]);
        assert_eq!(of_job(&aside)[0].said, "it was put aside");
        assert_eq!(states(&job(&["checkout"], serde_json::json!({}))), [Waiting; 3], "it is at it");
        let all = ["checkout", "build", "publish"];
        assert_eq!(states(&job(&all, serde_json::json!({"outcome": "changed", "state": "done"}))), [Ok; 3]);
    }

    #[test]
    fn what_hermes_sees_by_itself_says_what_to_do() {
        let project = ProjectId::parse("amelia").unwrap();
        assert!(of_senders(&project, &[]).said.contains("hermes senders add"));
        let address = |text| of_address(&EmailAddress::parse(text).unwrap()).said;
        assert!(address("edit@hermes.localhost").contains("HERMES_MAIL_FROM"));
        assert!(!address("edit@example.org").contains("HERMES_MAIL_FROM"));
        assert_eq!(of_workers(0).state, CheckState::Failed);
    }
}
