//! From settings to a running worker.

use std::io;
use std::sync::Arc;

use common::clock::Clock;
#[cfg(feature = "aws")]
use common::cloud::aws::bedrock::Signer;
use common::cloud::{Cloud, CloudError};
use common::domain::ids::{Nonce, Owner, WorkerId};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::config::{ChildEnvironment, RunSettings, old_bindings};
use crate::ecs;
use crate::gateway::{Gateway, Model, NoModel, Packages, client};
use crate::git;
use crate::job::JobSettings;
use crate::job::agent::{NoAgent, Patience};
use crate::job::message::Identity;
use crate::me::Me;
use crate::sandbox::{Ground, Mode, NoSandbox, Sandbox};
use crate::secrets::Secrets;

/// Why a worker does not start, or ended badly.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Agent and build cannot be kept apart as asked.
    #[error(transparent)]
    Sandbox(#[from] NoSandbox),
    /// The model cannot be reached as it is set up.
    #[error(transparent)]
    Model(#[from] NoModel),
    /// There is no agent.
    #[error(transparent)]
    Agent(#[from] NoAgent),
    /// The working folders cannot be used.
    #[error(
        "the working folders at {path} cannot be used: {error}; set WORKSPACE_PATH to a folder that can be written"
    )]
    Workspaces {
        /// Where.
        path: String,
        /// What came back.
        error: io::Error,
    },
    /// A door to the outside does not open.
    #[error("{0}; check HERMES_DATA_DIR (--data-dir), or AWS_REGION and AWS_ENDPOINT_URL")]
    Cloud(#[from] CloudError),
}

/// Works until `shutdown` is cancelled.
pub async fn start(settings: RunSettings, shutdown: CancellationToken) -> Result<(), StartError> {
    for (name, instead) in old_bindings() {
        tracing::warn!("{name} is set but no longer binds a worker to one project; instead: {instead}");
    }
    let jobs = job_settings(&settings).await?;
    let cloud = Cloud::from_config(&settings.cloud, Clock::System).await?;
    work(cloud, settings, jobs, shutdown).await
}

/// The same over this cloud, whatever the settings say of one.
pub async fn work_over(
    cloud: Cloud,
    settings: RunSettings,
    shutdown: CancellationToken,
) -> Result<(), StartError> {
    let jobs = job_settings(&settings).await?;
    work(cloud, settings, jobs, shutdown).await
}

async fn work(
    cloud: Cloud,
    settings: RunSettings,
    jobs: JobSettings,
    shutdown: CancellationToken,
) -> Result<(), StartError> {
    let RunSettings { claims, ecs, .. } = settings;
    let mut claims = claims.under(&ecs);
    let busy = watch::Sender::new(0);
    let (task, task_arn) = ecs::task(&ecs).await.map(|task| (task.id, task.arn)).unzip();
    tokio::spawn(ecs::protect(ecs, busy.subscribe()));
    let me = Me {
        cloud,
        owner: owner(task.or(claims.container_id.take())),
        task_arn,
        claims,
        busy,
        jobs: Arc::new(jobs),
        shutdown,
        changed: Notify::new(),
        gave_up: Notify::new(),
        halfway: Notify::new(),
    };
    Ok(crate::run::run(Arc::new(me)).await?)
}

fn owner(container: Option<WorkerId>) -> Owner {
    let uuid = Uuid::new_v4();
    let nonce = Nonce::from_uuid(uuid);
    let worker = container.unwrap_or_else(|| generated(&nonce));
    Owner { worker, nonce }
}

fn generated(nonce: &Nonce) -> WorkerId {
    WorkerId::parse(&format!("worker-{nonce}"))
        .unwrap_or_else(|error| unreachable!("a nonce is letters and digits: {error}"))
}

async fn job_settings(settings: &RunSettings) -> Result<JobSettings, StartError> {
    let children = &settings.children;
    let workspaces = settings.workspaces();
    let workspaces =
        workspaces.and_then(|path| std::fs::create_dir_all(&path).map(|()| path)).map_err(|error| {
            StartError::Workspaces { path: settings.chosen_workspaces().display().to_string(), error }
        })?;
    let environment = ChildEnvironment::of_machine(&workspaces);
    let agent = children.agent_command.resolve(environment.programs())?;
    let ground = Ground {
        settings: &children.sandbox,
        data: &settings.cloud.data_dir,
        workspaces: &workspaces,
        programs: environment.programs(),
        agent: agent.program().unwrap_or(&workspaces),
        capacity: settings.claims.capacity,
    };
    let sandbox = Sandbox::build(&ground, gateway(settings, &environment).await?).await?;
    sandbox.end_orphans().await;
    git::verify_objects(sandbox.mode() == Mode::Off);
    Ok(JobSettings {
        agent,
        patience: Patience::default(),
        identity: Identity { name: children.commit_name.clone(), email: children.commit_email.clone() },
        repos: settings.repos.rules(),
        git_token: children.github_token.clone(),
        secrets: Secrets::of([children.github_token.clone(), children.anthropic_api_key.clone()]),
        environment,
        sandbox,
        workspaces,
    })
}

async fn gateway(settings: &RunSettings, environment: &ChildEnvironment) -> Result<Gateway, NoModel> {
    let client = client()?;
    let children = &settings.children;
    let model = model(settings, client.clone()).await?;
    let hosts = children.sandbox.registry_hosts.clone().and(environment.registry());
    Ok(Gateway::new(model, Packages::new(hosts, environment.proxy(), client)))
}

/// Without a key and an address there is no model to be let through to.
async fn model(settings: &RunSettings, client: reqwest::Client) -> Result<Option<Model>, NoModel> {
    let children = &settings.children;
    if children.claude_code_use_bedrock {
        return bedrock(settings, client).await.map(Some);
    }
    let (key, base) = (children.anthropic_api_key.as_ref(), children.anthropic_base_url.as_deref());
    (key.is_some() || base.is_some()).then(|| Model::new(base, key, client)).transpose()
}

#[cfg(feature = "aws")]
async fn bedrock(settings: &RunSettings, client: reqwest::Client) -> Result<Model, NoModel> {
    let base = settings.children.anthropic_bedrock_base_url.as_deref();
    Model::bedrock(base, signer(settings).await.map_err(NoModel::Bedrock)?, client)
}

#[cfg(not(feature = "aws"))]
async fn bedrock(_settings: &RunSettings, _client: reqwest::Client) -> Result<Model, NoModel> {
    Err(NoModel::NoAws)
}

/// Signs for Amazon Bedrock as these settings say.
#[cfg(feature = "aws")]
pub(crate) async fn signer(settings: &RunSettings) -> Result<Signer, CloudError> {
    let region = settings.children.aws_bedrock_region.as_deref();
    Signer::connect(&settings.cloud.aws, region, Clock::System).await
}
