//! Walls without namespaces: Landlock lets a process see only some files, connect to one port (whosever: it knows no
//! addresses), and reach no socket of this machine and no process outside. What a kernel does not know yet is left out, such
//! as sockets that have a path before Linux 7.1; `worker doctor` says so.

use std::path::PathBuf;

use anyhow::Context as _;
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, NetPort, PathBeneath,
    PathFd, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, Scope,
};

/// The newest kernel interface whose rules are used.
const KNOWN: ABI = ABI::V9;

/// What Landlock fences on this machine, in words; none where the kernel has none of it. It restricts nothing.
pub fn fenced() -> Option<&'static str> {
    let rules = || Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    let files = || rules().handle_access(AccessFs::from_all(ABI::V1));
    let ports = || files().and_then(|rules| rules.handle_access(AccessNet::ConnectTcp));
    let sockets = || ports().and_then(|rules| rules.scope(Scope::AbstractUnixSocket | Scope::Signal));
    let named = || sockets().and_then(|rules| rules.handle_access(AccessFs::ResolveUnix));
    let stands = |rules: Result<Ruleset, landlock::RulesetError>| rules.and_then(Ruleset::create).is_ok();
    if stands(named()) {
        Some("files, ports, sockets and signals")
    } else if stands(sockets()) {
        Some("files, ports, abstract sockets and signals, but no sockets that have a path")
    } else if stands(ports()) {
        Some("files and ports")
    } else {
        stands(files()).then_some("files")
    }
}

/// Raises them around this process and all that come after; nothing when nothing may be read.
pub(super) fn raise(read: &[PathBuf], write: &[PathBuf], port: Option<u16>) -> anyhow::Result<()> {
    if read.is_empty() {
        return Ok(());
    }
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(KNOWN))
        .context("handle files")?
        .handle_access(AccessNet::ConnectTcp)
        .context("handle connections")?
        .handle_access(AccessNet::BindTcp)
        .context("handle listeners")?
        .scope(Scope::AbstractUnixSocket | Scope::Signal)
        .context("handle sockets and signals")?
        .create()
        .context("make the rules")?;
    let readable = AccessFs::from_read(KNOWN);
    for (paths, access) in [(read, readable), (write, AccessFs::from_all(KNOWN))] {
        for path in paths {
            rules = allow(rules, path, access)?;
        }
    }
    if let Some(port) = port {
        rules = rules.add_rule(NetPort::new(port, AccessNet::ConnectTcp)).context("allow the port")?;
    }
    rules.restrict_self().context("raise the walls")?;
    Ok(())
}

/// What is not there needs no rule.
fn allow(
    rules: landlock::RulesetCreated,
    path: &PathBuf,
    access: BitFlags<AccessFs>,
) -> anyhow::Result<landlock::RulesetCreated> {
    let Ok(found) = PathFd::new(path) else { return Ok(rules) };
    let access = if path.is_dir() { access } else { access & AccessFs::from_file(KNOWN) };
    rules.add_rule(PathBeneath::new(found, access)).with_context(|| format!("allow {}", path.display()))
}
