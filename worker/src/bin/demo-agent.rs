//! A stand-in for the agent that needs no account: it reads the prompt, makes simple edits in the current folder and
//! speaks the agent's event stream. It says what it is in its summary.

use std::io::{self, Read as _, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use serde_json::json;
use worker::demo::{self, Wish};

/// Makes simple edits as a prompt on standard input says, and tells about them as stream-json events.
#[derive(Debug, Parser)]
#[command(
    name = "demo-agent",
    after_help = "Example:\n  echo 'change \"7 to 18\" to \"8 to 20\"' | demo-agent\n\nIt understands:\n  \
        change X to Y, replace X with Y\n  add a page about Z\n  set the title to Z"
)]
struct Cli {
    /// End with an error, as an agent does that met one.
    #[arg(long)]
    fail: bool,
    /// Say nothing and never end.
    #[arg(long)]
    hang: bool,
    /// Wait so long before the edits.
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 0)]
    delay_ms: u64,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(code) => code,
        Err(_) => ExitCode::FAILURE,
    }
}

fn run(cli: &Cli) -> io::Result<ExitCode> {
    if cli.hang {
        wait(Duration::MAX);
    }
    let begun = Instant::now();
    let mut prompt = String::new();
    io::stdin().take(1024 * 1024).read_to_string(&mut prompt)?;
    say(&json!({"type": "system", "subtype": "init", "session_id": "demo", "model": "demo-agent"}))?;
    wait(Duration::from_millis(cli.delay_ms));
    let summary = if cli.fail {
        "I am the demo agent, and I was told to fail.".to_owned()
    } else {
        let wish = Wish::read(demo::instruction(&prompt));
        demo::grant(Path::new("."), &wish)?
    };
    say(
        &json!({"type": "assistant", "message": {"role": "assistant", "content": [{"type": "text", "text": summary}]}}),
    )?;
    let subtype = if cli.fail { "error_during_execution" } else { "success" };
    say(&json!({
        "type": "result", "subtype": subtype, "is_error": cli.fail, "result": summary, "session_id": "demo",
        "num_turns": 1, "total_cost_usd": 0.0, "duration_ms": u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
    }))?;
    Ok(if cli.fail { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn say(event: &serde_json::Value) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{event}")?;
    out.flush()
}

/// There is no runtime here: the thread is parked.
fn wait(time: Duration) {
    let begun = Instant::now();
    while let Some(left) = time.checked_sub(begun.elapsed()).filter(|left| !left.is_zero()) {
        std::thread::park_timeout(left);
    }
}
