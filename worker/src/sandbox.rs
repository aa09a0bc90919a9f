//! Where agent and build run. This version has no sandbox yet: it has to be said knowingly that they run beside the worker.

use clap::ValueEnum;

/// How agent and build are kept apart from the worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Sandbox {
    /// Own user, process, mount and network namespaces.
    Namespaces,
    /// Other users of this machine.
    Uid,
    /// Not at all.
    Off,
}

/// This version cannot do what was asked.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{asked}, but this version has no sandbox yet: agent and build can only run with the rights of this worker. \
     Set SANDBOX=off if you trust the repositories and the agent with them"
)]
pub struct NoSandbox {
    asked: String,
}

/// Lets the worker start only if its operator knows that there is no sandbox.
pub fn check(wanted: Option<Sandbox>) -> Result<(), NoSandbox> {
    let asked = match wanted {
        Some(Sandbox::Off) => {
            tracing::warn!(
                "SANDBOX=off: agent and build run with the rights of this worker; use repositories that you trust"
            );
            return Ok(());
        }
        Some(Sandbox::Namespaces) => "SANDBOX=namespaces is wanted",
        Some(Sandbox::Uid) => "SANDBOX=uid is wanted",
        None => "SANDBOX is not set and means namespaces",
    };
    Err(NoSandbox { asked: asked.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_sandbox_must_be_wanted_knowingly() {
        assert_eq!(check(Some(Sandbox::Off)), Ok(()));
        for wanted in [None, Some(Sandbox::Namespaces), Some(Sandbox::Uid)] {
            assert!(check(wanted).unwrap_err().to_string().contains("SANDBOX=off"));
        }
    }
}
