//! The worker's command line.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser as _;
use common::{shutdown, telemetry};
use worker::config::{Action, Cli};

/// How long threads that hang in a network call are waited for at the end.
const THREADS_LIMIT: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let cli = Cli::parse();
    telemetry::init(&cli.log);
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("the worker cannot go on: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(action: Action) -> anyhow::Result<()> {
    let Action::Run(settings) = action;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("start the runtime")?;
    let result = runtime.block_on(async {
        let shutdown = shutdown::on_signal().context("listen for SIGTERM")?;
        worker::start(*settings, shutdown).await.map_err(anyhow::Error::from)
    });
    runtime.shutdown_timeout(THREADS_LIMIT);
    result
}
