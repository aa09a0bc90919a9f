//! Behind the walls: becomes nobody, starts the program and waits for it. Its network is a loopback of its own, on which
//! one port leads to the gateway's socket and nothing else is there.

use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{ExitCode, ExitStatus};

use anyhow::Context as _;
use clap::Args;
use nix::sys::resource::Resource;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, UnixStream};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

use super::account::Account;
use super::enter::bound;
use super::filter;

/// What is started, and how it is heard.
#[derive(Debug, Args)]
pub struct Serve {
    /// Who to become, in a user namespace of its own; it is one already when absent.
    #[arg(long, value_name = "UID:GID")]
    account: Option<Account>,
    /// No more processes and threads.
    #[arg(long, value_name = "COUNT")]
    max_processes: u64,
    /// The port of loopback that leads to the gateway.
    #[arg(long, value_name = "PORT", requires = "socket")]
    port: Option<u16>,
    /// The gateway's socket.
    #[arg(long, value_name = "FILE")]
    socket: Option<PathBuf>,
    /// Program and arguments.
    #[arg(last = true, required = true)]
    argv: Vec<String>,
}

impl Serve {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        if let Some(account) = self.account {
            account.become_it()?;
            account.own_namespace()?;
        }
        bound(Resource::RLIMIT_NPROC, Some(self.max_processes))?;
        filter::install(filter::Network::Own)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(self.attend())
    }

    async fn attend(self) -> anyhow::Result<ExitCode> {
        // Who asks the group to stop asks the program; we end when it does.
        let mut asked = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
        tokio::spawn(async move { while asked.recv().await.is_some() {} });
        if let (Some(port), Some(socket)) = (self.port, self.socket) {
            let listener = TcpListener::bind(("127.0.0.1", port)).await.context("listen on loopback")?;
            tokio::spawn(forward(listener, socket));
        }
        let (program, arguments) = self.argv.split_first().context("nothing to start")?;
        #[allow(clippy::disallowed_methods, reason = "it is behind the walls already, and dies with them")]
        let mut command = Command::new(program);
        let mut child =
            command.args(arguments).spawn().with_context(|| format!("{program} could not be started"))?;
        Ok(same_end(child.wait().await?))
    }
}

async fn forward(listener: TcpListener, socket: PathBuf) {
    while let Ok((mut here, _)) = listener.accept().await {
        let socket = socket.clone();
        tokio::spawn(async move {
            // Who is on the line notices its end.
            if let Ok(mut gateway) = UnixStream::connect(&socket).await {
                copy_bidirectional(&mut here, &mut gateway).await.ok();
            }
        });
    }
}

/// As a shell would tell it.
fn same_end(status: ExitStatus) -> ExitCode {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
