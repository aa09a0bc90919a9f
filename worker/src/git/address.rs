//! Where the host of a repository really is: nothing inside our own network is connected to, whatever name it has.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs as _};

use common::domain::repo_url::{Reach, RepoUrl};

use super::{GitError, GitKind, Result};

/// Looks the host up and refuses it if any of its addresses is not public. Repositories of this machine have none.
pub(super) fn check(url: &RepoUrl) -> Result<()> {
    let Some((host, port, Reach::Public)) = url.server() else { return Ok(()) };
    let what = || format!("look up {host}");
    let found = (host.as_str(), port).to_socket_addrs();
    let found = found.map_err(|error| GitError::new(GitKind::Unreachable, what(), error))?;
    match found.map(|address| address.ip()).find(|ip| !is_public(*ip)) {
        None => Ok(()),
        Some(ip) => {
            let detail = format!(
                "{ip} is not a public address; a server of your own is named with its port in HERMES_REPO_HOSTS"
            );
            Err(GitError::new(GitKind::Private, what(), detail))
        }
    }
}

/// The special-purpose blocks of RFC 6890 and its successors are not public.
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => embedded(ip).map_or_else(|| is_public_v6(ip), is_public_v4),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let special = ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_broadcast()
        || ip.is_documentation()
        || ip.is_multicast()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && matches!(b, 18 | 19));
    !special
}

/// Only what is given out for the internet (RFC 4291, section 2.5.4), without the blocks in it that are not.
fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [a, b, ..] = ip.segments();
    (a & 0xe000) == 0x2000 && !(a == 0x2001 && (b < 0x200 || b == 0xdb8)) && !(a == 0x3fff && b < 0x1000)
}

/// The IPv4 address that an IPv6 address stands for: mapped, translated (RFC 6052) or tunnelled (RFC 3056).
fn embedded(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let of = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match ip.segments() {
        [0, 0, 0, 0, 0, 0xffff | 0, high, low] if high != 0 => Some(of(high, low)),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => Some(of(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use common::domain::repo_url::RepoRules;

    use super::*;

    #[test]
    fn only_addresses_of_the_internet_are_public() {
        for ip in ["140.82.121.3", "1.1.1.1", "2606:50c0:8000::153", "64:ff9b::8c52:7903", "::ffff:1.1.1.1"] {
            assert!(is_public(ip.parse().unwrap()), "{ip}");
        }
        for ip in [
            "127.0.0.1",
            "127.9.9.9",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "240.0.0.1",
            "192.0.0.1",
            "198.18.0.1",
            "203.0.113.5",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "::7f00:1",
            "100::1",
            "5f00::1",
        ] {
            assert!(!is_public(ip.parse().unwrap()), "{ip}");
        }
    }

    #[test]
    fn a_name_for_this_machine_is_refused_before_a_socket_is_opened() {
        let rules =
            RepoRules { hosts: vec!["localhost".into(), "localhost:8443".into()], allow_files: false };
        let url = |text: &str| RepoUrl::parse(text, &rules).unwrap();
        assert_eq!(check(&url("https://localhost/a")).unwrap_err().kind, GitKind::Private);
        assert!(check(&url("https://localhost:8443/a")).is_ok(), "a server of the operator's own");
    }

    #[test]
    fn whatever_connects_asks_first() {
        use crate::git::{Access, advertised, check_push_rights, fetch, fetch_whole, push};
        let folder = tempfile::tempdir().unwrap();
        let repo = git2::Repository::init(folder.path()).unwrap();
        let rules = RepoRules { hosts: vec!["localhost".into()], allow_files: false };
        let access = Access { url: RepoUrl::parse("https://localhost/a", &rules).unwrap(), token: None };
        let commit = git2::Oid::ZERO_SHA1;
        for tried in [
            check_push_rights(&repo, &access),
            fetch(&repo, &access, |_| None).map(drop),
            fetch_whole(&repo, &access, "main"),
            push(&repo, &access, commit, "main"),
            advertised(&repo, &access).map(drop),
        ] {
            assert_eq!(tried.unwrap_err().kind, GitKind::Private);
        }
    }
}
