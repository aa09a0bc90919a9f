//! The whole loop on this machine, for people to watch: a mail goes in, a changed site comes out. With `--once` it ends
//! after one mail and prints a one-line JSON summary last.

#![allow(clippy::print_stdout, reason = "the demo talks to the person who started it")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Parser;
use common::domain::timestamp::Timestamp;
use console::style;
use e2e::api::Api;
use e2e::mail::Letter;
use e2e::process::binary;
use e2e::remote::Remote;
use e2e::world::World;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

/// The longest a job may take here: a cold `npm ci` and an Astro build on a slow machine.
const JOB_LIMIT: Duration = Duration::from_mins(10);
const PROJECT: &str = "amelia";
const OWNER: &str = "amelia@example.org";
const OLD: &str = "Open daily from 7 to 18";
const NEW: &str = "Open daily from 8 to 20";

/// Starts hermes and a worker, sends a real mail, and shows what came of it.
#[derive(Debug, Parser)]
#[command(name = "demo", version)]
struct Arguments {
    /// End after one mail; the last line is a JSON summary.
    #[arg(long)]
    once: bool,
    /// Keep everything in this directory instead of a temporary one.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The site that the project's repository is made from.
    #[arg(long, value_name = "DIR", default_value = "examples/site")]
    site: PathBuf,
    /// Where hermes listens; another free port is taken when this one is in use.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8025")]
    listen: String,
    /// With a key, and `claude` on the PATH, the real agent is used.
    #[arg(long, env = "ANTHROPIC_API_KEY", hide_env_values = true, value_name = "KEY")]
    anthropic_api_key: Option<String>,
    /// Another address of the model's API, for the real agent.
    #[arg(long, env = "ANTHROPIC_BASE_URL", value_name = "URL")]
    anthropic_base_url: Option<String>,
    /// Where `claude` is looked for.
    #[arg(long, env = "PATH", hide = true, default_value = "")]
    path: std::ffi::OsString,
}

/// What the summary says.
struct Shown {
    mail_id: String,
    command_id: String,
    thread_id: String,
    branch: String,
    commit: String,
    preview_url: String,
    answer: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{} {error:#}", style("The demo failed:").red().bold());
            if arguments.once {
                println!("{}", json!({"ok": false, "error": format!("{error:#}")}));
            }
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut world = match &arguments.data_dir {
        Some(folder) => World::at(&std::path::absolute(folder)?),
        // What the summary names must outlive the demo.
        None if arguments.once => {
            World::at(&tempfile::Builder::new().prefix("hermes-demo-").tempdir()?.keep())
        }
        None => World::temporary()?,
    };
    let result = show(arguments, &mut world).await;
    if result.is_err() {
        print_logs(&mut world);
    }
    let stopped = world.stop().await;
    let shown = result?;
    stopped?;
    if arguments.once {
        if arguments.data_dir.is_none() {
            // What the summary names stays; the working folders (with all packages) are of no use to anybody.
            std::fs::remove_dir_all(world.data_dir().join("workspaces")).ok();
        }
        println!("{}", summary(&shown));
    }
    Ok(())
}

async fn show(arguments: &Arguments, world: &mut World) -> anyhow::Result<Shown> {
    let (agent, secret) = agent(arguments)?;
    let settings = [("ANTHROPIC_API_KEY", &secret), ("ANTHROPIC_BASE_URL", &arguments.anthropic_base_url)];
    let env: Vec<(&str, &str)> =
        settings.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))).collect();
    let api = start(arguments, world, &agent, &env).await?;
    let remote = world.add_project(PROJECT, &arguments.site, None, (OWNER, "amelia")).await?;
    say("project", &format!("{PROJECT}, its repository is {}", remote.url()));

    let letter = Letter::new(
        &format!("Amelia <{OWNER}>"),
        "Opening hours",
        &format!("Hello,\n\nplease change \"{OLD}\" to \"{NEW}\".\n\nThanks, Amelia"),
    );
    say("mail", &format!("{OWNER} writes: please change \"{OLD}\" to \"{NEW}\""));
    let accepted = api.order(letter.to_bytes()).await?;
    let shown = follow(world, &api, &remote, &accepted).await?;
    prove(&api, &shown).await?;
    if !arguments.once {
        stay(&api, &shown, world).await?;
    }
    Ok(shown)
}

/// The command of the agent, and the key it needs.
fn agent(arguments: &Arguments) -> anyhow::Result<(String, Option<String>)> {
    let claude = std::env::split_paths(&arguments.path).any(|folder| folder.join("claude").is_file());
    if let Some(key) = arguments.anthropic_api_key.clone().filter(|key| claude && !key.is_empty()) {
        say("agent", "Claude Code, with your ANTHROPIC_API_KEY");
        return Ok(("claude".to_owned(), Some(key)));
    }
    say("agent", "the built-in demo agent (set ANTHROPIC_API_KEY and install `claude` for the real one)");
    let path = binary("demo-agent")?;
    Ok((format!("'{}'", path.display()), None))
}

async fn start(
    arguments: &Arguments,
    world: &mut World,
    agent: &str,
    env: &[(&str, &str)],
) -> anyhow::Result<Api> {
    let free = std::net::TcpListener::bind(&arguments.listen).is_ok();
    let listen = if free && !arguments.once { arguments.listen.as_str() } else { "127.0.0.1:0" };
    let api = world.start_hermes(listen).await?;
    say("hermes", &format!("listens on {}", api.base()));
    world.start_worker(agent, env).await?;
    say("worker", "waits for work");
    Ok(api)
}

/// Follows the job step by step until the answer mail is out.
async fn follow(world: &World, api: &Api, remote: &Remote, accepted: &Value) -> anyhow::Result<Shown> {
    let text = |value: &Value, field: &str| -> anyhow::Result<String> {
        Ok(value[field].as_str().with_context(|| format!("no {field} in {value}"))?.to_owned())
    };
    let (mail_id, command_id) = (text(accepted, "mailId")?, text(accepted, "commandId")?);
    let progress = Progress::new();
    let begun = Instant::now();
    let job = loop {
        let job = api.get(&format!("/v1/jobs/{command_id}")).await?;
        progress.show(&job);
        if job["state"] == "done" {
            break job;
        }
        if begun.elapsed() > JOB_LIMIT {
            bail!("the job did not end within {} minutes", JOB_LIMIT.as_secs() / 60);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    progress.end(&job, begun.elapsed());
    if job["outcome"] != "changed" {
        bail!("the job ended as {}: {}", job["outcome"], job["error"].as_str().unwrap_or("no error given"));
    }
    api.answered(&mail_id, Duration::from_secs(20)).await?;
    let (name, answer) = world
        .sent_mails()?
        .into_iter()
        .find(|(name, _)| name.contains(&command_id))
        .context("no answer mail lies in the outbox")?;
    let branch = text(&job, "branch")?;
    heading("The answer mail");
    println!("{}", plain_part(&answer));
    heading(&format!("What changed on {branch}"));
    print_diff(&remote.diff(&branch)?);
    Ok(Shown {
        mail_id,
        command_id,
        thread_id: text(&job, "threadId")?,
        commit: text(&job, "commitId")?,
        preview_url: text(&job, "previewUrl")?,
        answer: world.outbox().join(name),
        branch,
    })
}

/// Asks for the page and looks whether it changed.
async fn prove(api: &Api, shown: &Shown) -> anyhow::Result<()> {
    let host = shown.preview_url.split("//").nth(1).map_or("", |rest| rest.trim_end_matches('/'));
    let response = api.page(host, "/").await?;
    let (status, page) = (response.status(), response.text().await?);
    if !status.is_success() || !page.contains(NEW) || page.contains(OLD) {
        bail!("{} does not show the change: {status}", shown.preview_url);
    }
    heading("The preview");
    println!("  {}", style(&shown.preview_url).cyan().underlined());
    println!("  {} GET / answers {status} and says \"{NEW}\"", style("✔").green());
    Ok(())
}

async fn stay(api: &Api, shown: &Shown, world: &World) -> anyhow::Result<()> {
    heading("Still running");
    let token = world.data_dir().join("admin-token");
    println!("  API reference  {}/docs", api.base());
    println!("  admin token    {}", token.display());
    println!("  outbox         {}", world.outbox().display());
    println!(
        "  another mail   curl -H \"Authorization: Bearer $(cat {})\" -H 'Content-Type: message/rfc822' \\",
        token.display()
    );
    println!("                   --data-binary @mail.eml {}/v1/inbound/raw", api.base());
    println!(
        "  (as From: {OWNER}; In the same conversation: In-Reply-To the answer, thread {})",
        shown.thread_id
    );
    println!("\n  Press Ctrl-C to stop.");
    common::shutdown::on_signal()?.cancelled().await;
    println!("\n  Stopping.");
    Ok(())
}

fn summary(shown: &Shown) -> Value {
    json!({
        "ok": true,
        "mailId": shown.mail_id,
        "commandId": shown.command_id,
        "threadId": shown.thread_id,
        "branch": shown.branch,
        "commit": shown.commit,
        "previewUrl": shown.preview_url,
        "answer": shown.answer,
    })
}

/// One spinner on a terminal; one line a step elsewhere.
struct Progress {
    bar: ProgressBar,
    said: std::cell::RefCell<Vec<String>>,
}

impl Progress {
    fn new() -> Self {
        let target = if console::Term::stdout().is_term() {
            ProgressDrawTarget::stdout()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(None, target);
        if let Ok(look) = ProgressStyle::with_template("  {spinner:.cyan} {msg} {elapsed:.dim}") {
            bar.set_style(look);
        }
        bar.enable_steady_tick(Duration::from_millis(100));
        Self { bar, said: std::cell::RefCell::default() }
    }

    /// Prints steps that ended, shows the one that runs.
    fn show(&self, job: &Value) {
        let steps = job["steps"].as_array().map_or(&[][..], Vec::as_slice);
        for step in steps.iter().filter(|step| step["endedAt"].is_string()) {
            let line = format!("{:<9} {:>8}", step["name"].as_str().unwrap_or("?"), took(step));
            if !self.said.borrow().contains(&line) {
                self.print(&format!("  {} {line}", style("✔").green()));
                self.said.borrow_mut().push(line);
            }
        }
        let running = steps.iter().rev().find(|step| !step["endedAt"].is_string());
        let now = running.map_or("waiting for a worker", |step| step["name"].as_str().unwrap_or("working"));
        self.bar.set_message(now.to_owned());
    }

    fn print(&self, line: &str) {
        if self.bar.is_hidden() { println!("{line}") } else { self.bar.println(line) }
    }

    fn end(&self, job: &Value, took: Duration) {
        self.bar.finish_and_clear();
        say("job", &format!("{} in {:.1} s", job["outcome"].as_str().unwrap_or("?"), took.as_secs_f32()));
    }
}

/// How long a step that ended took.
fn took(step: &Value) -> String {
    let at = |field: &str| step[field].as_str().and_then(Timestamp::parse);
    match (at("startedAt"), at("endedAt")) {
        (Some(start), Some(end)) => format!("{:.2} s", end.since(start).as_secs_f32()),
        _ => String::new(),
    }
}

fn say(what: &str, sentence: &str) {
    println!("{} {sentence}", style(format!("{what:>9}")).bold());
}

fn heading(text: &str) {
    println!("\n{}", style(text).bold().underlined());
}

fn print_diff(diff: &str) {
    for line in diff.lines() {
        match line.chars().next() {
            Some('+') => println!("  {}", style(line).green()),
            Some('-') => println!("  {}", style(line).red()),
            _ => println!("  {line}"),
        }
    }
}

/// The headers people look at, and the text part of an answer.
fn plain_part(mail: &str) -> String {
    let headers = mail.lines().take_while(|line| !line.is_empty());
    let shown = headers.filter(|line| ["From:", "To:", "Subject:"].iter().any(|name| line.starts_with(name)));
    let parsed = mail_parser::MessageParser::default().parse(mail.as_bytes());
    let text = parsed.as_ref().and_then(|mail| mail.body_text(0)).unwrap_or_default();
    shown.chain([""]).chain(text.lines()).fold(String::new(), |all, line| all + "  " + line + "\n")
}

fn print_logs(world: &mut World) {
    if let Ok(hermes) = world.hermes() {
        println!("\nhermes said:\n{}", hermes.log());
    }
    for worker in &world.workers {
        println!("\nthe worker said:\n{}", worker.log());
    }
}
