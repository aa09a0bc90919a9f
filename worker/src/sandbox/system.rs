//! What of this machine agent and build may see, read-only: its programs and libraries, and the few files of /etc that
//! programs look into. Nothing that holds data.

use std::collections::BTreeSet;
use std::io;
use std::path::{Component, Path, PathBuf};

use crate::config::Programs;

/// Linked into /usr on most systems.
const TOPS: [&str; 6] = ["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];
const SHARED: [&str; 2] = ["/usr", "/nix/store"];
const ETC: [&str; 14] = [
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/ca-certificates.conf",
    "/etc/crypto-policies",
    "/etc/fonts",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/pki",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/timezone",
];
/// Programs that agents and builds call by name.
const CALLED: [&str; 10] =
    ["node", "npm", "npx", "corepack", "pnpm", "yarn", "bun", "hugo", "git", "python3"];

/// A path as it is seen, in the order in which it must be laid out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen {
    /// The same path, read-only.
    Same(PathBuf),
    /// A link.
    Link(PathBuf, PathBuf),
    /// Another file's content.
    As(PathBuf, PathBuf),
    /// Nothing: it lies within what is seen, and must not be.
    Hidden(PathBuf),
}

/// Everything of this machine that is seen.
#[derive(Debug)]
pub(super) struct System(pub(super) Vec<Seen>);

impl System {
    /// Collects it. `etc` is a folder for the files that are made up; `hidden` is never shown, wherever it lies.
    pub(super) fn collect(
        programs: &Programs,
        agent: &Path,
        extra: &[PathBuf],
        etc: &Path,
        hidden: &[PathBuf],
    ) -> io::Result<Self> {
        let mut seen: Vec<Seen> = TOPS.iter().filter_map(|top| as_it_is(Path::new(top))).collect();
        let shared = SHARED.iter().chain(&ETC).map(PathBuf::from).filter(|path| path.exists());
        seen.extend(shared.map(Seen::Same));
        seen.extend(made_up(etc)?);
        let folders = programs.folders().iter().filter(|folder| folder.is_dir());
        let mut more: BTreeSet<PathBuf> =
            folders.map(|folder| packages(folder).unwrap_or_else(|| folder.clone())).collect();
        let called = CALLED.iter().filter_map(|name| programs.find(name)).map(PathBuf::from);
        for program in called.chain([agent.to_owned()]) {
            more.extend(surroundings(&program));
        }
        more.extend(extra.iter().cloned());
        more.retain(|path| {
            let usual = SHARED.iter().chain(&TOPS).any(|top| path.starts_with(top));
            !usual && path.components().count() > 2 && !hidden.iter().any(|secret| secret.starts_with(path))
        });
        let outermost = |path: &&PathBuf| !path.ancestors().skip(1).any(|above| more.contains(above));
        seen.extend(more.iter().filter(outermost).cloned().map(Seen::Same));
        let within = |secret: &&PathBuf| {
            secret.exists()
                && seen.iter().any(|seen| matches!(seen, Seen::Same(path) if secret.starts_with(path)))
        };
        let covered: Vec<_> = hidden.iter().filter(within).cloned().map(Seen::Hidden).collect();
        seen.extend(covered);
        Ok(Self(seen))
    }

    /// What may be read where there is no other view of the machine than its own.
    pub(super) fn readable(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().filter_map(|seen| match seen {
            Seen::Same(path) => Some(path.as_path()),
            Seen::Link(..) | Seen::As(..) | Seen::Hidden(_) => None,
        })
    }
}

fn as_it_is(path: &Path) -> Option<Seen> {
    match path.read_link() {
        Ok(target) => Some(Seen::Link(target, path.to_owned())),
        Err(_) => path.is_dir().then(|| Seen::Same(path.to_owned())),
    }
}

/// A program, where it really lies, and the libraries that belong to it: the packages around it, or `lib` beside `bin`.
fn surroundings(program: &Path) -> Vec<PathBuf> {
    let Ok(real) = program.canonicalize() else { return Vec::new() };
    let mut found: Vec<PathBuf> =
        [program, &real].map(|path| packages(path).unwrap_or_else(|| path.to_owned())).into();
    if packages(&real).is_none()
        && let Some(bin) = real.parent().filter(|folder| folder.ends_with("bin"))
    {
        found.push(bin.to_owned());
        found.extend(
            ["lib", "libexec"].map(|name| bin.with_file_name(name)).into_iter().filter(|lib| lib.is_dir()),
        );
    }
    found
}

/// The outermost folder of packages that a path lies in.
fn packages(path: &Path) -> Option<PathBuf> {
    let at = path.components().position(|part| part == Component::Normal("node_modules".as_ref()))?;
    Some(path.components().take(at + 1).collect())
}

/// Users and hosts as they are behind the walls; nothing of this machine's.
fn made_up(etc: &Path) -> io::Result<Vec<Seen>> {
    const FILES: [(&str, &str); 4] = [
        (
            "passwd",
            "root:x:0:0:root:/:/usr/sbin/nologin\nsite:x:1000:1000:site:/home/site:/usr/sbin/nologin\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n",
        ),
        ("group", "root:x:0:\nsite:x:1000:\nnogroup:x:65534:\n"),
        ("hosts", "127.0.0.1 localhost site\n"),
        ("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n"),
    ];
    std::fs::create_dir_all(etc)?;
    let make = |(name, text): (&str, &str)| {
        let (source, target) = (etc.join(name), Path::new("/etc").join(name));
        std::fs::write(&source, text).map(|()| Seen::As(source, target))
    };
    FILES.into_iter().map(make).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_holds_data_is_not_seen_even_within_what_is() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let (bin, lib, data) = (root.join("x/bin"), root.join("x/lib"), root.join("x/share"));
        for folder in [&bin, &lib, &data] {
            std::fs::create_dir_all(folder).unwrap();
        }
        let agent = bin.join("agent");
        std::fs::write(&agent, "").unwrap();
        std::fs::set_permissions(&agent, std::fs::Permissions::from_mode(0o755)).unwrap();
        let programs = Programs::of_path(&format!("{}:/usr/bin:{}", bin.display(), root.join("x").display()));
        let hidden = [data, "/usr/share".into()];
        let seen = System::collect(&programs, &agent, &[], &root.join("etc"), &hidden).unwrap().0;
        assert!(seen.contains(&Seen::Same(lib)) && seen.contains(&Seen::Same(bin)));
        assert_eq!(seen.last(), Some(&Seen::Hidden("/usr/share".into())));
        assert!(!seen.contains(&Seen::Same(root.join("x"))), "it holds what is hidden");
        assert!(!seen.contains(&Seen::Same("/usr/bin".into())), "it is part of /usr");
    }

    #[test]
    fn a_program_of_a_package_brings_the_packages_along() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let real = root.join("a/node_modules/@x/y/cli.js");
        std::fs::create_dir_all(real.parent().unwrap()).unwrap();
        std::fs::write(&real, "").unwrap();
        let link = root.join("claude");
        std::os::unix::fs::symlink(&real, &link).unwrap();
        assert_eq!(surroundings(&link), [link, root.join("a/node_modules")]);
    }
}
