//! What this machine can do for a worker, and what is missing: for the person who sets it up, and as JSON for programs. It
//! changes nothing and tells no secret.

use std::io::{self, Write};
use std::path::Path;

use nix::unistd::Uid;
use serde::Serialize;

use crate::config::{ChildEnvironment, RunSettings};
use crate::gateway::Gateway;
use crate::sandbox::cgroup::Cgroups;
use crate::sandbox::{Ground, Mode, Sandbox};

/// How well it stands with one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Good,
    /// The worker starts, but something is weaker or slower than it could be.
    Weak,
    /// The worker does not start, or its jobs fail.
    Missing,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// A short name.
    pub name: &'static str,
    /// How it stands.
    pub state: State,
    /// What was found.
    pub found: String,
    /// What to do, when it is not good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_do: Option<String>,
}

impl Finding {
    fn good(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, state: State::Good, found: found.into(), to_do: None }
    }

    fn weak(name: &'static str, found: impl Into<String>, to_do: &str) -> Self {
        Self { name, state: State::Weak, found: found.into(), to_do: Some(to_do.to_owned()) }
    }

    fn missing(name: &'static str, found: impl Into<String>, to_do: &str) -> Self {
        Self { name, state: State::Missing, found: found.into(), to_do: Some(to_do.to_owned()) }
    }
}

/// All that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Whether a worker with these settings starts and can work.
    pub ready: bool,
    /// One by one.
    pub findings: Vec<Finding>,
}

/// Looks at everything that a worker with these settings needs.
pub async fn examine(settings: &RunSettings) -> Report {
    let workspaces = settings.workspaces().unwrap_or_else(|_| settings.chosen_workspaces());
    let environment = ChildEnvironment::of_machine(&workspaces);
    let mut findings =
        vec![user(), folder(&workspaces), agent(settings, &environment), model(settings).await];
    findings.extend(["node", "npm"].map(|name| program(&environment, name)));
    findings.push(walls(settings, &environment, &workspaces, settings.children.sandbox.mode).await);
    if settings.children.sandbox.mode.unwrap_or(Mode::Namespaces) != Mode::Namespaces {
        findings.push(other_walls(settings, &environment, &workspaces).await);
    }
    findings.extend(groups());
    findings.push(landlock());
    findings.push(git_token(settings));
    let ready = findings.iter().all(|finding| finding.state != State::Missing);
    Report { ready, findings }
}

fn user() -> Finding {
    if Uid::effective().is_root() {
        Finding::good("user", "root: agent and build run as another user")
    } else {
        Finding::weak(
            "user",
            format!(
                "user {}: agent and build have the same user, behind namespaces of their own",
                Uid::effective()
            ),
            "nothing, if that is wanted; a worker that runs as root gives them another user as well",
        )
    }
}

fn folder(workspaces: &Path) -> Finding {
    let name = "workspaces";
    let written = std::fs::create_dir_all(workspaces).and_then(|()| {
        let trial = workspaces.join(format!(".doctor-{}", std::process::id()));
        std::fs::write(&trial, "x")?;
        std::fs::remove_file(&trial)
    });
    match written {
        Ok(()) => Finding::good(name, format!("{} can be written", workspaces.display())),
        Err(error) => Finding::missing(
            name,
            format!("{}: {error}", workspaces.display()),
            "set WORKSPACE_PATH to a folder that can be written",
        ),
    }
}

fn agent(settings: &RunSettings, environment: &ChildEnvironment) -> Finding {
    match settings.children.agent_command.resolve(environment.programs()) {
        Ok(command) => {
            Finding::good("agent", command.program().unwrap_or(Path::new("")).display().to_string())
        }
        Err(error) => Finding::missing(
            "agent",
            error.to_string(),
            "npm install -g @anthropic-ai/claude-code, or set AGENT_COMMAND",
        ),
    }
}

async fn model(settings: &RunSettings) -> Finding {
    let children = &settings.children;
    if children.claude_code_use_bedrock {
        bedrock(settings).await
    } else if children.anthropic_api_key.is_some() {
        Finding::good("model", "ANTHROPIC_API_KEY is set; it stays in the worker")
    } else {
        Finding::weak(
            "model",
            "no key",
            "set ANTHROPIC_API_KEY; only agents without a model (demo-agent) need none",
        )
    }
}

/// That the credentials may invoke a model shows only when it is asked.
#[cfg(feature = "aws")]
async fn bedrock(settings: &RunSettings) -> Finding {
    let signer = match crate::start::signer(settings).await {
        Ok(signer) => signer,
        Err(error) => return Finding::missing("model", error.to_string(), "set AWS_BEDROCK_REGION"),
    };
    match signer.ready().await {
        Ok(()) => Finding::good(
            "model",
            format!("Amazon Bedrock in {}; its credentials stay in the worker", signer.region()),
        ),
        Err(error) => Finding::missing(
            "model",
            format!("Amazon Bedrock in {}: {error}", signer.region()),
            "give the task or machine a role that may bedrock:InvokeModelWithResponseStream, or set AWS_PROFILE",
        ),
    }
}

#[cfg(not(feature = "aws"))]
async fn bedrock(_settings: &RunSettings) -> Finding {
    Finding::missing("model", "Amazon Bedrock", "build this program with --features aws")
}

fn program(environment: &ChildEnvironment, name: &'static str) -> Finding {
    match environment.programs().find(name) {
        Some(path) => Finding::good(name, path),
        None => Finding::weak(
            name,
            "not on the PATH",
            "install Node.js 22 or newer; only sites without a build need none",
        ),
    }
}

async fn walls(
    settings: &RunSettings,
    environment: &ChildEnvironment,
    workspaces: &Path,
    mode: Option<Mode>,
) -> Finding {
    let name = "sandbox";
    let agent = settings.children.agent_command.resolve(environment.programs()).ok();
    let mut wanted = settings.children.sandbox.clone();
    wanted.mode = mode;
    let ground = Ground {
        settings: &wanted,
        data: &settings.cloud.data_dir,
        workspaces,
        programs: environment.programs(),
        agent: agent.as_ref().and_then(|agent| agent.program()).unwrap_or(workspaces),
        capacity: settings.claims.capacity,
    };
    match Sandbox::build(&ground, Gateway::closed()).await {
        Ok(sandbox) => match sandbox.mode() {
            Mode::Namespaces => Finding::good(name, "namespaces: tried, and they stand"),
            Mode::Uid => Finding::weak(
                name,
                "uid: agent and build reach one port of TCP, but that of any host",
                "keep their users, or this machine, from other hosts by a rule of its network (see README); namespaces are stronger",
            ),
            Mode::Off => Finding::weak(
                name,
                "off: agent and build have the rights of the worker",
                "unset SANDBOX where namespaces stand",
            ),
        },
        Err(missing) => {
            Finding::missing(name, missing.missing, "do that, or choose another SANDBOX knowingly")
        }
    }
}

/// What would stand if it was asked for.
async fn other_walls(settings: &RunSettings, environment: &ChildEnvironment, workspaces: &Path) -> Finding {
    let found = walls(settings, environment, workspaces, None).await;
    match found.state {
        State::Missing => Finding::weak("namespaces", found.found, "needed for SANDBOX=namespaces"),
        State::Good | State::Weak => Finding { name: "namespaces", ..found },
    }
}

fn groups() -> [Finding; 2] {
    let cgroups = Cgroups::find();
    let finding = |name, bound, instead: &str| {
        if bound {
            Finding::good(name, "bounded by control groups")
        } else {
            Finding::weak(
                name,
                instead,
                "let the worker make control groups (root, or Delegate=yes of systemd)",
            )
        }
    };
    [
        finding("memory limit", cgroups.bound_memory(), "bounded for each process, not together"),
        finding("process limit", cgroups.bound_processes(), "bounded by the limit of the user"),
    ]
}

fn landlock() -> Finding {
    let name = "landlock";
    match crate::inside::fenced() {
        Some(fenced) => Finding::good(
            name,
            format!(
                "fences {fenced} in uid mode, where no socket to the network but TCP is made, and that to one port of any host"
            ),
        ),
        None => Finding::weak(
            name,
            "not in this kernel",
            "nothing for namespaces; in uid mode TCP reaches the network as it is",
        ),
    }
}

fn git_token(settings: &RunSettings) -> Finding {
    match settings.children.github_token {
        Some(_) => Finding::good("git token", "GITHUB_TOKEN is set; given to git only"),
        None => Finding::weak("git token", "none", "set GITHUB_TOKEN for https repositories"),
    }
}

impl Report {
    /// For people.
    pub fn write(&self, to: &mut impl Write) -> io::Result<()> {
        for finding in &self.findings {
            let mark = match finding.state {
                State::Good => "good   ",
                State::Weak => "weak   ",
                State::Missing => "MISSING",
            };
            writeln!(to, "{mark}  {:<14} {}", finding.name, finding.found)?;
            if let Some(to_do) = &finding.to_do {
                writeln!(to, "{:25}to do: {to_do}", "")?;
            }
        }
        let end = if self.ready {
            "A worker with these settings starts."
        } else {
            "A worker with these settings does not start."
        };
        writeln!(to, "\n{end}")
    }

    /// For programs.
    pub fn write_json(&self, to: &mut impl Write) -> io::Result<()> {
        serde_json::to_writer(&mut *to, self)?;
        writeln!(to)
    }
}
