//! System calls that neither an agent nor a build needs, and that reach what namespaces do not part: other processes, the
//! kernel's key rings and programs, and sockets of unusual families (a virtual machine's host among them).

use std::collections::BTreeMap;

use anyhow::Context as _;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

const REFUSED: [libc::c_long; 24] = [
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_kexec_load,
    libc::SYS_open_by_handle_at,
];
const ALLOWED_FAMILIES: [libc::c_int; 4] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];

/// Refuses them from now on, for this process and all that come after.
pub(super) fn install() -> anyhow::Result<()> {
    seccompiler::apply_filter(&program()?).context("refuse system calls")?;
    seccompiler::apply_filter(&no_clone3()?).context("refuse clone3")
}

/// What it is asked for lies in memory, where no filter looks. A libc that is told there is none uses the older call.
fn no_clone3() -> anyhow::Result<BpfProgram> {
    let missing = SeccompAction::Errno(u32::try_from(libc::ENOSYS)?);
    let rules = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    let filter =
        SeccompFilter::new(rules, SeccompAction::Allow, missing, std::env::consts::ARCH.try_into()?)?;
    Ok(filter.try_into()?)
}

fn program() -> anyhow::Result<BpfProgram> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = REFUSED.map(|call| (call, Vec::new())).into();
    rules.insert(libc::SYS_socket, vec![SeccompRule::new(other_families()?)?]);
    rules.insert(
        libc::SYS_clone,
        vec![SeccompRule::new(vec![SeccompCondition::new(
            0,
            SeccompCmpArgLen::Dword,
            SeccompCmpOp::MaskedEq(flag(libc::CLONE_NEWUSER)?),
            flag(libc::CLONE_NEWUSER)?,
        )?])?],
    );
    let refused = SeccompAction::Errno(u32::try_from(libc::EPERM)?);
    let filter =
        SeccompFilter::new(rules, SeccompAction::Allow, refused, std::env::consts::ARCH.try_into()?)?;
    Ok(filter.try_into()?)
}

fn other_families() -> anyhow::Result<Vec<SeccompCondition>> {
    let other = |family: libc::c_int| {
        Ok(SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, flag(family)?)?)
    };
    ALLOWED_FAMILIES.into_iter().map(other).collect()
}

fn flag(value: libc::c_int) -> anyhow::Result<u64> {
    Ok(u64::try_from(value)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_can_be_made() {
        assert!(program().unwrap().len() > REFUSED.len());
    }
}
