//! System calls that neither an agent nor a build needs, and that reach what namespaces do not part: other processes, the
//! kernel's key rings and programs, what outlives a process without a file, what a terminal takes as typed, and sockets of unusual
//! families (a virtual machine's host among them). Where the network is the machine's, no other sockets to it than those that Landlock fences.

use std::collections::BTreeMap;

use anyhow::Context as _;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    sock_filter,
};

const REFUSED: [libc::c_long; 28] = [
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
    libc::SYS_shmget,
    libc::SYS_msgget,
    libc::SYS_semget,
    libc::SYS_mq_open,
];
/// Asked of a terminal, they type for whoever sits at it.
const TYPING: [u64; 2] = [libc::TIOCSTI, libc::TIOCLINUX];
const ALLOWED_FAMILIES: [libc::c_int; 4] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];

/// Families of the network.
const NETWORK: [libc::c_int; 2] = [libc::AF_INET, libc::AF_INET6];
/// Of the four bits of a socket's type, each with what it is in another than `SOCK_STREAM`.
const OTHER_TYPES: [(u64, u64); 4] = [(1, 0), (2, 2), (4, 4), (8, 8)];
/// Options of TCP that connect without asking, or that make another socket of it.
const OTHER_WAYS: [libc::c_int; 2] = [libc::TCP_FASTOPEN_CONNECT, libc::TCP_ULP];
/// Calls that can connect, and which of their arguments says so.
const SENDING: [(libc::c_long, u8); 3] =
    [(libc::SYS_sendto, 3), (libc::SYS_sendmsg, 2), (libc::SYS_sendmmsg, 3)];
/// From here on calls are those of another interface (x32), which know the same by other numbers.
const OTHER_CALLS: u32 = 0x4000_0000;

/// Whose network it is that a process has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Network {
    /// Nobody else is there.
    Own,
    /// Landlock says which ports may be connected to, of TCP alone.
    OfTheMachine,
}

/// Refuses them from now on, for this process and all that come after.
pub(super) fn install(network: Network) -> anyhow::Result<()> {
    seccompiler::apply_filter(&program(network)?).context("refuse system calls")?;
    seccompiler::apply_filter(&one_interface()).context("refuse the calls of another interface")?;
    seccompiler::apply_filter(&no_clone3()?).context("refuse clone3")
}

/// There is no other, and whoever is told so does without.
fn one_interface() -> BpfProgram {
    const LOAD: u16 = 0x20;
    const JUMP_IF_AT_LEAST: u16 = 0x35;
    const RETURN: u16 = 0x06;
    let word = |code, jt, jf, k| sock_filter { code, jt, jf, k };
    vec![
        // The number of the call.
        word(LOAD, 0, 0, 0),
        word(JUMP_IF_AT_LEAST, 0, 1, OTHER_CALLS),
        word(RETURN, 0, 0, SeccompAction::Errno(libc::ENOSYS.unsigned_abs()).into()),
        word(RETURN, 0, 0, SeccompAction::Allow.into()),
    ]
}

/// What it is asked for lies in memory, where no filter looks. A libc that is told there is none uses the older call.
fn no_clone3() -> anyhow::Result<BpfProgram> {
    let missing = SeccompAction::Errno(u32::try_from(libc::ENOSYS)?);
    let rules = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    let filter =
        SeccompFilter::new(rules, SeccompAction::Allow, missing, std::env::consts::ARCH.try_into()?)?;
    Ok(filter.try_into()?)
}

fn program(network: Network) -> anyhow::Result<BpfProgram> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = REFUSED.map(|call| (call, Vec::new())).into();
    let typing = |asked| all([masked(1, u64::from(u32::MAX), asked)?]);
    rules.insert(libc::SYS_ioctl, TYPING.into_iter().map(typing).collect::<anyhow::Result<_>>()?);
    rules.insert(libc::SYS_socket, vec![other_families()?]);
    rules.insert(libc::SYS_clone, vec![all([has(0, flag(libc::CLONE_NEWUSER)?)?])?]);
    if network == Network::OfTheMachine {
        rules.entry(libc::SYS_socket).or_default().extend(other_sockets()?);
        for (call, argument) in SENDING {
            rules.insert(call, vec![all([has(argument, flag(libc::MSG_FASTOPEN)?)?])?]);
        }
        let other_way = |option| all([is(1, libc::IPPROTO_TCP)?, is(2, option)?]);
        rules.insert(
            libc::SYS_setsockopt,
            OTHER_WAYS.into_iter().map(other_way).collect::<anyhow::Result<_>>()?,
        );
    }
    let refused = SeccompAction::Errno(u32::try_from(libc::EPERM)?);
    let filter =
        SeccompFilter::new(rules, SeccompAction::Allow, refused, std::env::consts::ARCH.try_into()?)?;
    Ok(filter.try_into()?)
}

fn other_families() -> anyhow::Result<SeccompRule> {
    let conditions: anyhow::Result<Vec<_>> =
        ALLOWED_FAMILIES.into_iter().map(|family| is_not(0, family)).collect();
    all(conditions?)
}

/// All to the network but those of TCP: their ways nobody fences.
fn other_sockets() -> anyhow::Result<Vec<SeccompRule>> {
    let mut rules = Vec::new();
    for family in NETWORK {
        for (bit, set) in OTHER_TYPES {
            rules.push(all([is(0, family)?, masked(1, bit, set)?])?);
        }
        rules.push(all([is(0, family)?, is_not(2, 0)?, is_not(2, libc::IPPROTO_TCP)?])?);
    }
    Ok(rules)
}

/// Refused when all of these hold.
fn all(conditions: impl Into<Vec<SeccompCondition>>) -> anyhow::Result<SeccompRule> {
    Ok(SeccompRule::new(conditions.into())?)
}

fn is(argument: u8, value: libc::c_int) -> anyhow::Result<SeccompCondition> {
    Ok(SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, flag(value)?)?)
}

fn is_not(argument: u8, value: libc::c_int) -> anyhow::Result<SeccompCondition> {
    Ok(SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, flag(value)?)?)
}

fn has(argument: u8, flag: u64) -> anyhow::Result<SeccompCondition> {
    masked(argument, flag, flag)
}

fn masked(argument: u8, mask: u64, value: u64) -> anyhow::Result<SeccompCondition> {
    Ok(SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(mask), value)?)
}

fn flag(value: libc::c_int) -> anyhow::Result<u64> {
    Ok(u64::try_from(value)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_can_be_made() {
        let [own, shared] =
            [Network::Own, Network::OfTheMachine].map(|network| program(network).unwrap().len());
        assert!(own > REFUSED.len() && shared > own);
    }
}
