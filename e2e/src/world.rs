//! One small world: a data directory, hermes, workers and a project whose repository is a bare git remote.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};

use crate::api::Api;
use crate::process::{Program, binary};
use crate::remote::Remote;

/// A world in a directory. What runs in it ends with it.
pub struct World {
    root: PathBuf,
    data: PathBuf,
    hermes: Option<Program>,
    /// The workers, in the order of their start.
    pub workers: Vec<Program>,
    /// Further arguments of every program that is started from now on.
    pub further: Vec<String>,
    api: Option<Api>,
    temporary: Option<tempfile::TempDir>,
}

impl World {
    /// An empty world in a temporary directory.
    pub fn temporary() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("hermes-").tempdir()?;
        let mut world = Self::at(folder.path());
        world.temporary = Some(folder);
        Ok(world)
    }

    /// A world in a given directory, which stays when it ends.
    pub fn at(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            data: root.join("data"),
            hermes: None,
            workers: Vec::new(),
            further: Vec::new(),
            api: None,
            temporary: None,
        }
    }

    /// A world that somebody else runs over this data directory, to look at.
    pub fn over(data_dir: &Path) -> Self {
        Self { data: data_dir.to_owned(), ..Self::at(data_dir) }
    }

    /// hermes' and the workers' data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.data.clone()
    }

    /// Where sent mails lie.
    pub fn outbox(&self) -> PathBuf {
        self.data_dir().join("outbox")
    }

    /// Below which remotes are made.
    pub fn remote_path(&self, name: &str) -> PathBuf {
        self.root.join("remotes").join(format!("{name}.git"))
    }

    fn data_arg(&self) -> anyhow::Result<String> {
        Ok(self.data_dir().to_str().context("the directory's name is not UTF-8")?.to_owned())
    }

    /// Starts hermes on a free port (or `listen`), trusting every sender, and waits until it is ready.
    pub async fn start_hermes(&mut self, listen: &str) -> anyhow::Result<Api> {
        self.start_hermes_with(&binary("hermes")?, listen, &[]).await
    }

    /// The same with a given program and further settings.
    pub async fn start_hermes_with(
        &mut self,
        path: &Path,
        listen: &str,
        env: &[(&str, &str)],
    ) -> anyhow::Result<Api> {
        let data = self.data_arg()?;
        let mut settings = vec![
            ("HERMES_TRUST", "all"),
            ("HERMES_ALLOW_FILE_REPOS", "true"),
            // One owner writes all the mail of a busy world.
            ("HERMES_SENDER_MAILS_PER_HOUR", "0"),
            ("HERMES_PROJECT_MAILS_PER_HOUR", "0"),
            ("HERMES_ANSWERS_PER_HOUR", "0"),
        ];
        settings.extend_from_slice(env);
        let mut arguments = vec!["serve", "--data-dir", &data, "--listen", listen];
        arguments.extend(self.further.iter().map(String::as_str));
        let mut hermes = Program::start(path, &arguments, &settings)?;
        let ready = hermes.line("hermes is ready on ").await?;
        let address =
            ready.split("hermes is ready on ").nth(1).and_then(|rest| rest.split_whitespace().next());
        let address = address.context("the ready line names an address")?.trim_matches('"').to_owned();
        let token =
            std::fs::read_to_string(self.data_dir().join("admin-token")).context("read admin-token")?;
        let api = Api::new(&address, &token)?;
        self.hermes = Some(hermes);
        self.api = Some(api.clone());
        Ok(api)
    }

    /// hermes.
    pub fn hermes(&mut self) -> anyhow::Result<&mut Program> {
        self.hermes.as_mut().context("hermes was not started")
    }

    /// The API of the running hermes.
    pub fn api(&self) -> anyhow::Result<&Api> {
        self.api.as_ref().context("hermes was not started")
    }

    /// Starts a worker with this agent and waits until it is ready.
    pub async fn start_worker(&mut self, agent: &str, env: &[(&str, &str)]) -> anyhow::Result<()> {
        self.start_worker_with(&binary("worker")?, agent, env).await
    }

    /// The same with a given program.
    pub async fn start_worker_with(
        &mut self,
        path: &Path,
        agent: &str,
        env: &[(&str, &str)],
    ) -> anyhow::Result<()> {
        let data = self.data_arg()?;
        let mut settings =
            vec![("SANDBOX", "off"), ("HERMES_ALLOW_FILE_REPOS", "true"), ("AGENT_COMMAND", agent)];
        settings.extend_from_slice(env);
        let mut arguments = vec!["run", "--data-dir", &data];
        arguments.extend(self.further.iter().map(String::as_str));
        let mut worker = Program::start(path, &arguments, &settings)?;
        worker.line("is ready").await?;
        self.workers.push(worker);
        Ok(())
    }

    /// Makes a project from a folder, with one sender, and gives its remote.
    pub async fn add_project(
        &self,
        project: &str,
        folder: &Path,
        build: Option<Value>,
        sender: (&str, &str),
    ) -> anyhow::Result<Remote> {
        let path = self.remote_path(project);
        let remote = if path.exists() { Remote::at(&path) } else { Remote::from_folder(folder, &path)? };
        let mut body = json!({"repoUrl": remote.url(), "defaultBranch": "main"});
        if let Some(build) = build {
            body["build"] = build;
        }
        let api = self.api()?;
        api.put(&format!("/v1/projects/{project}"), &body).await?;
        let (address, user) = sender;
        api.put(&format!("/v1/senders/{address}"), &json!({"projectId": project, "userId": user})).await?;
        Ok(remote)
    }

    /// The mails in the outbox, as (file name, text), sorted by name.
    pub fn sent_mails(&self) -> anyhow::Result<Vec<(String, String)>> {
        let mut mails = Vec::new();
        let Ok(entries) = std::fs::read_dir(self.outbox()) else { return Ok(mails) };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if Path::new(&name).extension().is_some_and(|ending| ending == "eml") {
                mails.push((name, String::from_utf8_lossy(&std::fs::read(entry.path())?).into_owned()));
            }
        }
        mails.sort();
        Ok(mails)
    }

    /// How many answers to mails that became work were sent; a letter that the work takes longer is none.
    pub fn answers(&self) -> anyhow::Result<usize> {
        Ok(self.sent_mails()?.iter().filter(|(name, _)| name.starts_with("answer-")).count())
    }

    /// Ends everything in order: the workers, then hermes, each by SIGTERM.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        for program in self.workers.iter_mut().chain(self.hermes.as_mut()) {
            if program.pid().is_ok() {
                program.signal(nix::sys::signal::Signal::SIGTERM)?;
                program.ended(Duration::from_secs(40)).await?;
            }
        }
        self.workers.clear();
        self.hermes = None;
        Ok(())
    }
}

/// A site without a package manager: `site/` is copied to `dist/`.
pub fn plain_site() -> anyhow::Result<(tempfile::TempDir, Value)> {
    let folder = tempfile::tempdir()?;
    let site = folder.path().join("site");
    std::fs::create_dir_all(site.join("about"))?;
    std::fs::write(
        site.join("index.html"),
        "<!doctype html><title>Bakery</title><p>Open from 7 to 18</p>\n",
    )?;
    std::fs::write(site.join("about/index.html"), "<!doctype html><title>About</title><p>Since 1920</p>\n")?;
    std::fs::write(folder.path().join(".gitignore"), "dist/\n")?;
    Ok((folder, json!({"command": ["cp", "-RT", "site", "dist"], "output": "dist"})))
}

/// The command of the built-in demo agent, with further arguments.
pub fn demo_agent(arguments: &str) -> anyhow::Result<String> {
    Ok(format!("'{}' {arguments}", binary("demo-agent")?.display()).trim().to_owned())
}
