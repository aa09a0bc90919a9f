//! Another user of this machine, whom a child runs as.

use std::str::FromStr;

use anyhow::Context as _;
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};

/// Who a child is behind the walls of a user namespace.
pub(crate) const INNER: u32 = 1000;

/// A user and its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

impl FromStr for Account {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (uid, gid) = text.split_once(':').ok_or("not uid:gid")?;
        let number = |text: &str| text.parse().map_err(|error| format!("{text:?}: {error}"));
        match (number(uid)?, number(gid)?) {
            (0, _) | (_, 0) => Err("root is no other user".to_owned()),
            (uid, gid) => Ok(Self { uid, gid }),
        }
    }
}

impl std::fmt::Display for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.uid, self.gid)
    }
}

impl Account {
    /// From root to this user, for good: no group and no capability of before is left.
    pub(super) fn become_it(self) -> anyhow::Result<()> {
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        setgroups(&[gid]).context("give the groups up")?;
        setresgid(gid, gid, gid).context("change the group")?;
        setresuid(uid, uid, uid).context("change the user")?;
        prctl::set_no_new_privs().context("refuse new rights")
    }

    /// A user namespace of its own in which this user is an ordinary one.
    pub(super) fn own_namespace(self) -> anyhow::Result<()> {
        // After a change of user /proc/self belongs to root, unless this is said.
        prctl::set_dumpable(true).context("own /proc/self")?;
        unshare(CloneFlags::CLONE_NEWUSER).context("make a user namespace")?;
        std::fs::write("/proc/self/setgroups", "deny").context("refuse groups")?;
        std::fs::write("/proc/self/uid_map", format!("{INNER} {} 1\n", self.uid)).context("map the user")?;
        std::fs::write("/proc/self/gid_map", format!("{INNER} {} 1\n", self.gid)).context("map the group")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_no_other_user() {
        assert_eq!("5:6".parse(), Ok(Account { uid: 5, gid: 6 }));
        for bad in ["0:5", "5:0", "5", "", "a:b", "-1:5"] {
            assert!(bad.parse::<Account>().is_err(), "{bad}");
        }
    }
}
