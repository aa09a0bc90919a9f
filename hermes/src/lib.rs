//! The control plane: mail in, work out, results back, operators served. [`ingest`] is the way in, [`results`] the way back;
//! `http` and `cli` are two ways to the same [`operations`].

pub mod affinity;
pub mod announced;
pub mod answers;
pub mod app;
pub mod cli;
pub mod commands;
pub mod config;
pub mod confirmations;
pub mod dispatch;
pub mod feed;
pub mod handover;
pub mod http;
pub mod inbound;
pub mod ingest;
pub mod limits;
pub mod loops;
pub mod mail;
pub mod operations;
pub mod outbox;
pub mod picture;
pub mod previews;
pub mod reply;
pub mod results;
pub mod returned;
pub mod route;
pub mod secrets;
pub mod sending;
pub mod simulate;
pub mod suppressions;
pub mod sweep;
pub mod tidy;
pub mod unclaimed;
pub mod untold;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use common::clock::Clock;
use common::cloud::{Cloud, CloudError};
use common::config::CloudKind;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use app::App;
use cli::{CliError, Command, Output};
use config::{BadSettings, Orchestrator, ServeSettings, Settings, Trust};
use loops::{EndedEarly, Loops};
use secrets::{AdminToken, SecretError};

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
    #[error(transparent)]
    Cloud(#[from] CloudError),
    /// A secret can be neither read nor made.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The signals of the operating system cannot be heard.
    #[error("signals cannot be received: {0}")]
    Signals(std::io::Error),
    /// A loop ended although nobody told it to.
    #[error(transparent)]
    EndedEarly(#[from] EndedEarly),
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
        Command::Simulate(arguments) => Ok(cli::simulate::run(&settings, arguments)?),
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
    let on_aws = settings.cloud.cloud == CloudKind::Aws;
    if serve.mail.orchestrator == Orchestrator::StepFunctions && !on_aws {
        return Err(BadSettings::NoStateMachine.into());
    }
    let failed = |error| RunError::Listen(serve.listen, error);
    let listener = TcpListener::bind(serve.listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    say_whom_we_trust(serve, address);
    let data_dir = &settings.cloud.data_dir;
    let cloud = Cloud::from_config(&settings.cloud, Clock::System).await?;
    let token = match &serve.admin_token {
        Some(token) => AdminToken::given(token),
        None => AdminToken::kept_in(data_dir)?,
    };
    let app = Arc::new(App::new(cloud, &serve.mail, serve.mail.key.key(data_dir)?, address.port()));
    warn_of_dead_ends(serve, &app);
    let sns = ingest::sns::Sns::new(serve.inbound.sns_topics.clone()).believing(serve.inbound.sns_signatures);
    let api = Arc::new(http::Api {
        app: app.clone(),
        token,
        repos: settings.repos.rules(),
        inbound: serve.inbound.clone(),
        sns,
    });
    let mut loops = Loops::default();
    loops.start("outbox", sending::run(app.clone(), stop.clone()));
    loops.start("mail queue", ingest::queue::run(app.clone(), stop.clone()));
    loops.start("results", results::run(app.clone(), stop.clone()));
    loops
        .start("sweep", sweep::run(app.clone(), serve.sweep_interval(), serve.previews_kept(), stop.clone()));
    loops.start("http", http::serve(listener, http::router(&api), stop.clone()));
    loops.start("readiness", say_when_ready(app, address, stop.clone()));
    loops.watch(&stop).await?;
    tracing::info!("hermes has stopped");
    Ok(())
}

fn say_whom_we_trust(serve: &ServeSettings, address: SocketAddr) {
    match serve.mail.trust {
        Trust::All => tracing::warn!(
            "HERMES_TRUST=all: every mail is believed to be from whom it says; anybody who reaches {address} can change the sites. For trying things out only"
        ),
        Trust::Verify => {
            let whose = serve.mail.authserv_id.as_ref();
            let shown_by = whose.map_or("DKIM and DMARC".into(), |server| format!("the results of {server}"));
            tracing::info!("HERMES_TRUST=verify: a sender is whom {shown_by} show them to be");
        }
    }
}

fn warn_of_dead_ends(serve: &ServeSettings, app: &App) {
    let ends = serve.mail.links.dead_ends();
    for end in ends.iter().filter(|_| app.cloud.mailer.goes_out()) {
        tracing::warn!("mail leaves this machine, but {end}");
    }
}

async fn say_when_ready(app: Arc<App>, address: SocketAddr, stop: CancellationToken) {
    let mut said = false;
    while !stop.is_cancelled() {
        let obstacles = app.obstacles().await;
        if obstacles.is_empty() {
            tracing::info!("hermes is ready on http://{address}");
            return stop.cancelled().await;
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
