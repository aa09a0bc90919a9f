//! Whether a project is ready for its first mail: what hermes can see by itself, and a job that fetches, builds and shows
//! the site as it is. hermes holds no git and runs no build, so a worker does that part, like all work.

use common::cloud::mailer::Ready;
use common::cloud::store::Query;
use common::cloud::{Cloud, Result as CloudResult};
use common::domain::ids::{CommandId, EmailAddress, ProjectId, ThreadId, UserId};
use common::domain::job::{Job, Step, StepName, WorkAction};
use common::domain::outcome::JobOutcome;
use common::domain::project::Sender;
use serde::Serialize;
use uuid::Uuid;

use super::{OperationError, Result, jobs, projects, workers};

/// The parts of its job in their order, and what each shows: each is one step.
const PARTS: [(&str, &str); 4] = [
    ("source", "it can be fetched and pushed to"),
    ("build", "the site can be built"),
    ("preview", "the site can be put up"),
    ("live site", "it can be written to"),
];

/// One thing that has to be right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// A short name.
    pub name: &'static str,
    /// How it stands.
    pub state: CheckState,
    /// What was found.
    pub said: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_do: Option<String>,
}

/// How something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckState {
    /// It is right.
    Ok,
    /// It works, but not for everybody.
    Weak,
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
    #[serde(skip)]
    mail: Check,
}

impl Preflight {
    /// Whether there is nothing left to wait for.
    pub fn is_known(&self) -> bool {
        has_ended(&self.job)
    }

    /// How much of it is not right, or not known.
    pub fn open(&self) -> usize {
        let is_open = |check: &&Check| matches!(check.state, CheckState::Failed | CheckState::Waiting);
        self.checks.iter().filter(is_open).count()
    }
}

impl std::fmt::Display for CheckState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::Weak => "weak",
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
    look(cloud, mail_identity(cloud, from).await, job).await
}

/// A conversation has one owner, and the first sender of a project may be another one tomorrow.
fn thread(project: &ProjectId, user: &UserId) -> ThreadId {
    let name = format!("preflight:{project}:{user}");
    ThreadId::from_uuid(Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()))
}

/// How one that was ordered stands.
pub async fn get(
    cloud: &Cloud,
    from: &EmailAddress,
    project: &ProjectId,
    command: &CommandId,
) -> Result<Preflight> {
    let unknown =
        || OperationError::NotFound(format!("no preflight {command} of project {project} was ordered"));
    let job = match jobs::get(cloud, command).await {
        Err(OperationError::NotFound(_)) => return Err(unknown()),
        job => job?,
    };
    if job.project_id != *project || job.action != WorkAction::Check {
        return Err(unknown());
    }
    look(cloud, mail_identity(cloud, from).await, job).await
}

/// The same with what its job has found meanwhile.
pub async fn look_again(cloud: &Cloud, found: Preflight) -> Result<Preflight> {
    let job = jobs::get(cloud, &found.job.command_id).await?;
    look(cloud, found.mail, job).await
}

async fn look(cloud: &Cloud, mail: Check, job: Job) -> Result<Preflight> {
    let senders = senders(cloud, &job.project_id).await?;
    let alive = workers::list(cloud).await?.iter().filter(|worker| worker.alive).count();
    let mut checks = vec![of_senders(&job.project_id, &senders), mail.clone(), of_workers(alive)];
    checks.extend(of_job(&job));
    Ok(Preflight { job, checks, mail })
}

async fn senders(cloud: &Cloud, project: &ProjectId) -> Result<Vec<Sender>> {
    Ok(cloud.store.find::<Sender>(Query::index("project-index", project)).await?.0)
}

async fn mail_identity(cloud: &Cloud, from: &EmailAddress) -> Check {
    of_mail(from, cloud.mailer.ready(from).await)
}

fn check(name: &'static str, state: CheckState, said: impl Into<String>) -> Check {
    Check { name, state, said: said.into(), to_do: None }
}

impl Check {
    fn advising(self, to_do: impl Into<String>) -> Self {
        Self { to_do: Some(to_do.into()), ..self }
    }
}

fn of_senders(project: &ProjectId, senders: &[Sender]) -> Check {
    match senders.len() {
        0 => check("senders", CheckState::Failed, "nobody may write about it")
            .advising(format!("hermes senders add ADDRESS --project {project} --user NAME")),
        count => check("senders", CheckState::Ok, format!("{count} may write about it")),
    }
}

fn of_mail(from: &EmailAddress, ready: CloudResult<Ready>) -> Check {
    const NAME: &str = "mail identity";
    let said = format!("answers are from {from}");
    match ready {
        Ok(Ready::Yes(_)) if from.domain().ends_with("localhost") => {
            check(NAME, CheckState::Weak, format!("{said}; only mail programs on this machine can answer"))
                .advising("set HERMES_MAIL_FROM to an address of yours")
        }
        Ok(Ready::Yes(carrier)) => check(NAME, CheckState::Ok, format!("{said}, by {carrier}")),
        Ok(Ready::StaysHere(place)) => check(NAME, CheckState::Weak, format!("{said} and stay in {place}"))
            .advising("set SMTP_URL to the server that sends your mail, and HERMES_MAIL_FROM to an address of yours"),
        Ok(Ready::NotYet(to_do)) => check(NAME, CheckState::Failed, format!("{said}, and are not taken")).advising(to_do),
        Err(error) => check(NAME, CheckState::Failed, format!("{said}; {error}"))
            .advising("see that hermes reaches whoever carries its mail, and is let in (SMTP_URL; on AWS ses:GetEmailIdentity)"),
    }
}

fn of_workers(alive: usize) -> Check {
    match alive {
        0 => {
            check("worker", CheckState::Failed, "no worker is alive").advising("start one with `worker run`")
        }
        count => check("worker", CheckState::Ok, format!("{count} alive")),
    }
}

/// Its worker says how it ended a moment before it counts as done.
fn has_ended(job: &Job) -> bool {
    !job.is_open() || job.outcome.is_some()
}

/// Each part of the job by the step that shows it. The step in which a job ends badly is the one that failed; where it was
/// begun by none, the first.
fn of_job(job: &Job) -> [Check; 4] {
    let (ended, succeeded) = (has_ended(job), job.outcome.is_some_and(JobOutcome::is_success));
    let begun = last_run(&job.steps).len().max(usize::from(ended));
    let mut before = 0;
    PARTS.map(|(name, right)| {
        before += 1;
        match () {
            () if before < begun || (before == begun && succeeded) => check(name, CheckState::Ok, right),
            () if before == begun && ended => {
                let error = job.error.as_deref().or(job.summary.as_deref()).unwrap_or("it failed");
                check(name, CheckState::Failed, error).advising(what_to_do(error))
            }
            () if succeeded => check(name, CheckState::Waiting, "not tried").advising("run the newer worker"),
            () if ended => check(name, CheckState::Waiting, "not tried, because of what failed before"),
            () => check(name, CheckState::Waiting, "not tried yet"),
        }
    })
}

/// The steps since it was last begun.
fn last_run(steps: &[Step]) -> &[Step] {
    let first = steps.iter().rposition(|step| step.name == StepName::Checkout).unwrap_or_default();
    steps.get(first..).unwrap_or_default()
}

/// For each way in which a worker says that a check failed.
fn what_to_do(error: &str) -> &'static str {
    match error.split(':').next().unwrap_or_default() {
        "repository-not-found" => {
            "check the repository's address, and that GITHUB_TOKEN of the worker may read it"
        }
        "repository-denied" => "let GITHUB_TOKEN of the worker read and write the repository",
        "repository-private" => "name the host with its port in HERMES_REPO_HOSTS if the server is yours",
        "repository-refused" => "add the host to HERMES_REPO_HOSTS of hermes and worker",
        "repository-hostile" => "take the files that are named out of the repository",
        "repository-failed" => "see that the worker reaches the repository's host, then check once more",
        "branch-refused" => "name a branch that can exist",
        "too-large" => "make the repository smaller",
        "workspace" => "see that the worker may write to WORKSPACE_PATH and has room there (`worker doctor`)",
        "install-failed" => {
            "let the packages install from what is in the repository; SANDBOX_REGISTRY_HOSTS names where from"
        }
        "lock-behind" | "lock-of-the-source" => {
            "install the packages in the repository and commit the lock file that this leaves"
        }
        "packages-unknown" => "let npm or pnpm install the packages, and commit the lock file",
        "build-limit" => {
            "make the build smaller or faster, or raise SANDBOX_MEMORY_MB, SANDBOX_DISK_MB or SANDBOX_PROCESSES of the worker"
        }
        "build-not-run" => "see that the worker can start programs (`worker doctor`), then check once more",
        "build-program" => "install the program where the worker runs, or name another with --build-command",
        "build-failed" => "mend the build in the repository, or name another with --build-command",
        "build-output" => "name the folder that the build fills with --build-output",
        "git-lfs" => {
            "keep the files that are named in git itself (`git lfs migrate export`): what lies in Git LFS is not fetched"
        }
        "build-base" => {
            "set the base path of the build to \"/\", for Astro and Vite by `base` or with `--base /` behind --build-command: \
             here a site lies at the root of its host"
        }
        "build-checks" => "mend what is named in the source of the site",
        "publish-failed" => "let the worker write and delete where the previews lie",
        "live-failed" => "let the worker write and delete where the live site lies",
        "cloud" => "see that the worker reaches tables, queues and objects (`hermes doctor`)",
        _ => "see the log of the worker, then check once more",
    }
}

#[cfg(test)]
mod tests {
    use common::cloud::CloudError;

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

    fn states(job: &Job) -> [CheckState; 4] {
        of_job(job).map(|check| check.state)
    }

    #[test]
    fn the_step_in_which_it_ends_badly_is_what_failed() {
        use CheckState::{Failed, Ok, Waiting};
        let failed =
            serde_json::json!({"outcome": "build-failed", "error": "build-failed: npm: no such script"});
        let broken = job(&["checkout", "build"], failed);
        assert_eq!(states(&broken), [Ok, Failed, Waiting, Waiting]);
        let build = of_job(&broken)[1].clone();
        assert!(build.said.contains("no such script") && build.to_do.unwrap().contains("--build-command"));
        let based =
            serde_json::json!({"outcome": "build-failed", "error": "build-base: 3 of the site's 3 links"});
        assert!(of_job(&job(&["checkout", "build"], based))[1].clone().to_do.unwrap().contains("--base /"));
        assert_eq!(states(&job(&[], serde_json::json!({}))), [Waiting; 4]);
        let aside = job(&[], serde_json::json!({"outcome": "failed", "error": "it was put aside"}));
        assert_eq!(states(&aside), [Failed, Waiting, Waiting, Waiting]);
        assert_eq!(of_job(&aside)[0].said, "it was put aside");
        assert_eq!(states(&job(&["checkout"], serde_json::json!({}))), [Waiting; 4], "it is at it");
        let all = ["checkout", "build", "publish", "publish"];
        let done = || serde_json::json!({"outcome": "changed", "state": "done"});
        assert_eq!(states(&job(&all, done())), [Ok; 4]);
        assert_eq!(states(&job(&all[..3], done())), [Ok, Ok, Ok, Waiting], "an older worker");
        let live = serde_json::json!({"outcome": "publish-failed", "error": "live-failed: denied"});
        assert_eq!(states(&job(&all, live)), [Ok, Ok, Ok, Failed]);
        let again = ["checkout", "build", "publish", "checkout"];
        assert_eq!(
            states(&job(&again, serde_json::json!({}))),
            [Waiting; 4],
            "what was before does not count"
        );
    }

    #[test]
    fn what_hermes_sees_by_itself_says_what_to_do() {
        let project = ProjectId::parse("amelia").unwrap();
        assert!(of_senders(&project, &[]).to_do.unwrap().contains("hermes senders add"));
        assert_eq!(of_workers(0).state, CheckState::Failed);
    }

    #[test]
    fn a_mail_identity_is_right_only_where_mail_goes_out() {
        use CheckState::{Failed, Ok, Weak};
        let of = |from, ready| {
            let found = of_mail(&EmailAddress::parse(from).unwrap(), ready);
            (found.state, found.to_do)
        };
        let (yes, ours) = (|| CloudResult::Ok(Ready::Yes("SES".into())), "edit@example.org");
        assert_eq!(of(ours, yes()), (Ok, None));
        let here = of(ours, CloudResult::Ok(Ready::StaysHere("data/outbox".into())));
        assert!(here.0 == Weak && here.1.unwrap().contains("SMTP_URL"));
        let local = of("edit@hermes.localhost", yes());
        assert!(local.0 == Weak && local.1.unwrap().contains("HERMES_MAIL_FROM"));
        let not_yet = of(ours, CloudResult::Ok(Ready::NotYet("verify it".into())));
        assert_eq!(not_yet, (Failed, Some("verify it".into())));
        assert_eq!(of(ours, Err(CloudError::Throttled("535 no".into()))).0, Failed);
    }
}
