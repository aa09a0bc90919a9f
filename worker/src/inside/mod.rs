//! What runs between the worker and its child, on the child's side: it gives rights up and never gains any. It knows
//! nothing but its arguments.

mod account;
mod enter;
mod filter;
mod serve;
mod walls;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

pub use account::Account;
pub use walls::fenced;

/// What `sandbox-inside` can be told.
#[derive(Debug, Parser)]
#[command(name = "sandbox-inside", version)]
pub enum Inside {
    /// Take limits on, then become another program.
    Enter(Box<enter::Enter>),
    /// Start a program behind the walls, and carry what it sends to a port to the gateway's socket.
    Serve(serve::Serve),
    /// Kill every process of a user of this machine.
    Kill {
        /// Whose, as `uid:gid`.
        #[arg(long)]
        account: Account,
    },
}

/// Ends like the program it stands for, or with 125 when it could not start it.
pub fn run(inside: Inside) -> ExitCode {
    let ended = match inside {
        Inside::Enter(enter) => (*enter).run(),
        Inside::Serve(serve) => serve.run(),
        Inside::Kill { account } => kill_all(account),
    };
    ended.unwrap_or_else(|error| {
        // Nobody else is there to be told.
        writeln!(std::io::stderr(), "the sandbox could not be entered: {error:#}").ok();
        ExitCode::from(125)
    })
}

/// The kernel spares the caller only.
fn kill_all(account: Account) -> anyhow::Result<ExitCode> {
    account.become_it()?;
    match kill(Pid::from_raw(-1), Signal::SIGKILL) {
        Ok(()) | Err(nix::errno::Errno::ESRCH) => Ok(ExitCode::SUCCESS),
        Err(error) => Err(error.into()),
    }
}
