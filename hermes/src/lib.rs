//! The control plane: mail in, work out, results back, operators served. [`ingest`] is the way in, [`results`] the way back;
//! `http` and `cli` are two ways to the same [`operations`].

pub mod announced;
pub mod app;
pub mod cli;
pub mod config;
pub mod dispatch;
pub mod feed;
pub mod http;
pub mod ingest;
pub mod mail;
pub mod operations;
pub mod outbox;
pub mod reply;
pub mod results;
pub mod route;
pub mod secrets;
pub mod sweep;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use common::clock::Clock;
use common::cloud::{Cloud, CloudError};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use app::App;
use cli::{CliError, Command, Output};
use config::{BadSettings, ServeSettings, Settings, Trust};
use secrets::{AdminToken, SecretError, SecretKey};

/// How long the loops are given to end.
const GRACE: Duration = Duration::from_secs(15);
/// How often the doors are asked until they answer for the first time.
const FIRST_CHECK: Duration = Duration::from_millis(200);

/// Why hermes ended with an error.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The settings contradict each other.
    #[error(transparent)]
    Settings(#[from] BadSettings),
    /// The port is taken, or not ours.
    #[error("cannot listen on {0}: {1}; choose another with --listen or HERMES_LISTEN")]
    Listen(SocketAddr, std::io::Error),
    /// The data directory cannot be used.
    #[error("the data directory cannot be used: {0}")]
    Cloud(#[from] CloudError),
    /// A secret can be neither read nor made.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The signals of the operating system cannot be heard.
    #[error("signals cannot be received: {0}")]
    Signals(std::io::Error),
    /// A command failed.
    #[error(transparent)]
    Cli(#[from] CliError),
}

/// Carries out what the command line says.
pub async fn run(settings: Settings) -> Result<(), RunError> {
    match &settings.command {
        Command::Serve(serve) => {
            let stop = common::shutdown::on_signal().map_err(RunError::Signals)?;
            self::serve(&settings, serve, stop).await
        }
        Command::Openapi => Ok(Output::new(true).json(&http::document()).map_err(CliError::from)?),
        _ => Ok(cli::run(&settings).await?),
    }
}

/// Serves until it is told to stop.
pub async fn serve(
    settings: &Settings,
    serve: &ServeSettings,
    stop: CancellationToken,
) -> Result<(), RunError> {
    serve.check()?;
    let failed = |error| RunError::Listen(serve.listen, error);
    let listener = TcpListener::bind(serve.listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    say_whom_we_trust(serve, address);
    let data_dir = &settings.cloud.data_dir;
    let cloud = Cloud::from_config(&settings.cloud, Clock::System)?;
    let token = match &serve.admin_token {
        Some(token) => AdminToken::given(token),
        None => AdminToken::kept_in(data_dir)?,
    };
    let app = Arc::new(App::new(cloud, &serve.mail, SecretKey::kept_in(data_dir)?, address.port()));
    let api = Arc::new(http::Api { app: app.clone(), token, repos: settings.repos.rules() });
    let mut tasks = JoinSet::new();
    tasks.spawn(ingest::queue::run(app.clone(), stop.clone()));
    tasks.spawn(results::run(app.clone(), stop.clone()));
    tasks.spawn(sweep::run(app.clone(), stop.clone()));
    tasks.spawn(http::serve(listener, http::router(&api), stop.clone()));
    tasks.spawn(say_when_ready(app, address, stop.clone()));
    stop.cancelled().await;
    wait_for_the_end(tasks).await;
    Ok(())
}

fn say_whom_we_trust(serve: &ServeSettings, address: SocketAddr) {
    match serve.mail.trust {
        Trust::All => tracing::warn!(
            "HERMES_TRUST=all: every mail is believed to be from whom it says; anybody who reaches {address} can change the sites. For trying things out only"
        ),
        Trust::Verify => tracing::warn!(
            "HERMES_TRUST=verify: this version cannot verify senders yet, so every mail ends as unauthenticated; set HERMES_TRUST=all on a machine that only you can reach"
        ),
    }
}

async fn say_when_ready(app: Arc<App>, address: SocketAddr, stop: CancellationToken) {
    let mut said = false;
    while !stop.is_cancelled() {
        let obstacles = app.obstacles().await;
        if obstacles.is_empty() {
            tracing::info!("hermes is ready on http://{address}");
            return;
        }
        if !said {
            tracing::warn!("hermes is not ready yet: {}", obstacles.join("; "));
            said = true;
        }
        tokio::select! {
            () = tokio::time::sleep(FIRST_CHECK) => {}
            () = stop.cancelled() => {}
        }
    }
}

async fn wait_for_the_end(mut tasks: JoinSet<()>) {
    let all = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, all).await.is_err() {
        tracing::warn!(
            "some loops did not end within {} s and are cut off; nothing is lost",
            GRACE.as_secs()
        );
    }
    tracing::info!("hermes has stopped");
}
