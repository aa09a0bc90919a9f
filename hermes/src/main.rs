//! `hermes`: reads the settings, starts the log and a small runtime, runs.

use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use hermes::config::Settings;

fn main() -> ExitCode {
    let settings = Settings::parse();
    common::telemetry::init(&settings.log);
    match start(settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
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
