//! `hermes`: reads the settings, starts the log and a small runtime, runs.

use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use hermes::cli::Command;
use hermes::config::Settings;

fn main() -> ExitCode {
    let mut settings = Settings::parse();
    let serves = matches!(settings.command, Command::Serve(_));
    if !serves && settings.log.log_level == "info" {
        // Commands say what they did themselves.
        "warn".clone_into(&mut settings.log.log_level);
    }
    common::telemetry::init(&settings.log);
    match start(settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&error, serves);
            ExitCode::FAILURE
        }
    }
}

#[allow(clippy::print_stderr, reason = "the error of a command is for the person at the terminal")]
fn tell(error: &anyhow::Error, serves: bool) {
    if serves {
        tracing::error!("{error:#}");
    } else {
        eprintln!("hermes: {}", hermes::cli::plain(&format!("{error:#}")));
    }
}

fn start(settings: Settings) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(32)
        .enable_all()
        .build()
        .context("the runtime could not be started")?;
    Ok(runtime.block_on(hermes::run(settings))?)
}
