//! Behind the walls: becomes nobody, starts the program, waits for it and buries whoever is left without parents, as the first process
//! of all where nobody else is that. It is no more than its child, and its child cannot look into it. Its network is a loopback of its own, on which
//! one port leads to the gateway's socket and nothing else is there.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::resource::Resource;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, UnixStream};
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
        prctl::set_dumpable(false).context("close /proc/self")?;
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
        let mut ended = signal(SignalKind::child()).context("listen for SIGCHLD")?;
        let child = start(&self.argv)?;
        loop {
            if let Some(end) = bury(child)? {
                return Ok(end);
            }
            ended.recv().await.context("nobody says any more who ended")?;
        }
    }
}

fn start(argv: &[String]) -> anyhow::Result<Pid> {
    let (program, arguments) = argv.split_first().context("nothing to start")?;
    #[allow(clippy::disallowed_methods, reason = "it is behind the walls already, and dies with them")]
    let started = std::process::Command::new(program).args(arguments).spawn();
    let child = started.with_context(|| format!("{program} could not be started"))?;
    Ok(Pid::from_raw(i32::try_from(child.id())?))
}

/// Waits for all that have ended by now. How our own child did, when it is among them, as a shell would tell it.
fn bury(child: Pid) -> anyhow::Result<Option<ExitCode>> {
    loop {
        let code = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => return Ok(None),
            Ok(WaitStatus::Exited(who, code)) if who == child => code,
            Ok(WaitStatus::Signaled(who, signal, _)) if who == child => 128 + signal as i32,
            Ok(_) | Err(Errno::EINTR) => continue,
            Err(error) => return Err(error).context("wait for the program"),
        };
        return Ok(Some(ExitCode::from(u8::try_from(code).unwrap_or(1))));
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
