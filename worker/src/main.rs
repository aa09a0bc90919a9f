//! The worker's command line.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser as _;
use common::{shutdown, telemetry};
use worker::config::{Action, Cli, DoctorSettings};

/// How long threads that hang in a network call are waited for at the end.
const THREADS_LIMIT: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let cli = Cli::parse();
    telemetry::init(&cli.log);
    match run(cli.command) {
        Ok(code) => code,
        Err(error) => {
            tracing::error!("the worker cannot go on: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(action: Action) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("start the runtime")?;
    let result = runtime.block_on(async {
        match action {
            Action::Run(settings) => {
                let shutdown = shutdown::on_signal().context("listen for SIGTERM")?;
                worker::start(*settings, shutdown).await?;
                Ok(ExitCode::SUCCESS)
            }
            Action::Doctor(settings) => doctor(&settings).await,
        }
    });
    runtime.shutdown_timeout(THREADS_LIMIT);
    result
}

async fn doctor(settings: &DoctorSettings) -> anyhow::Result<ExitCode> {
    let report = worker::doctor::examine(&settings.run).await;
    let mut out = std::io::stdout().lock();
    if settings.json { report.write_json(&mut out) } else { report.write(&mut out) }?;
    Ok(if report.ready { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
