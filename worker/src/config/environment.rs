//! What is read from the environment beside the settings: what children may see of it, and names of the earlier system.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Programs;
use crate::job::workspace::Places;

/// What agent and build see of the environment; it starts empty.
#[derive(Debug, Clone, Default)]
pub struct ChildEnvironment {
    programs: Programs,
    both: BTreeMap<String, String>,
    agent: BTreeMap<String, String>,
    build: BTreeMap<String, String>,
    npm_cache: PathBuf,
}

/// Handed on to agent and build when set: language, time, and how the network is reached.
const FOR_BOTH: [&str; 14] = [
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "LC_MESSAGES",
    "TZ",
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "NO_PROXY",
    "no_proxy",
    "NODE_EXTRA_CA_CERTS",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];
/// Handed on to the build only: how npm reaches its registry.
const FOR_BUILD: [&str; 8] = [
    "npm_config_cache",
    "npm_config_registry",
    "npm_config_userconfig",
    "npm_config_cafile",
    "npm_config_prefer_offline",
    "NPM_CONFIG_CACHE",
    "NPM_CONFIG_REGISTRY",
    "NPM_CONFIG_USERCONFIG",
];

impl ChildEnvironment {
    /// Takes what may be handed on from this process's environment. No setting is.
    pub fn of_machine(workspaces: &Path) -> Self {
        let agent = [("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"), ("DISABLE_AUTOUPDATER", "1")];
        let path = present(&["PATH"]).remove("PATH");
        Self {
            programs: path.as_deref().map(Programs::of_path).unwrap_or_default(),
            both: present(&FOR_BOTH),
            agent: agent.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            build: present(&FOR_BUILD),
            npm_cache: workspaces.join(".cache").join("npm"),
        }
    }

    /// Nothing but a PATH.
    pub fn of_path(path: &str) -> Self {
        Self { programs: Programs::of_path(path), ..Self::default() }
    }

    /// Where programs are looked up.
    pub fn programs(&self) -> &Programs {
        &self.programs
    }

    /// The proxy that this machine needs to reach others by TLS, if it needs one.
    pub fn proxy(&self) -> Option<&str> {
        ["HTTPS_PROXY", "https_proxy"].into_iter().find_map(|name| self.both.get(name)).map(String::as_str)
    }

    /// The registry of packages that npm was told of.
    pub fn registry(&self) -> Option<&str> {
        ["npm_config_registry", "NPM_CONFIG_REGISTRY"]
            .into_iter()
            .find_map(|name| self.build.get(name))
            .map(String::as_str)
    }

    /// The whole environment of the agent.
    pub fn for_agent(&self, places: &Places) -> BTreeMap<String, String> {
        let own = ("CLAUDE_CONFIG_DIR".to_owned(), places.home.join(".claude").display().to_string());
        self.own(places).chain([own]).chain(self.both.clone()).chain(self.agent.clone()).collect()
    }

    /// The whole environment of install and build.
    pub fn for_build(&self, places: &Places) -> BTreeMap<String, String> {
        let cache = ("npm_config_cache".to_owned(), self.npm_cache.display().to_string());
        let switches =
            [("CI", "1"), ("ASTRO_TELEMETRY_DISABLED", "1")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        let ours = self.own(places).chain([cache]).chain(switches);
        ours.chain(self.both.clone()).chain(self.build.clone()).collect()
    }

    fn own(&self, Places { home, tmp }: &Places) -> impl Iterator<Item = (String, String)> + use<> {
        let path = ("PATH".to_owned(), self.programs.path());
        let folders = [("HOME", home), ("TMPDIR", tmp)]
            .map(|(name, path)| (name.to_owned(), path.display().to_string()));
        folders.into_iter().chain([path])
    }
}

#[allow(clippy::disallowed_methods, reason = "settings are read here, and nowhere else")]
fn present(names: &[&str]) -> BTreeMap<String, String> {
    names.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?))).collect()
}

/// Settings of the earlier system that bound a worker to one project, and what takes their place.
const OLD_BINDINGS: [(&str, &str); 13] = [
    ("GIT_REPO_URL", "repoUrl of the project (PUT /v1/projects/{projectId})"),
    ("REPO_URL", "repoUrl of the project (PUT /v1/projects/{projectId})"),
    ("PROJECT_ID", "the claim: a worker works for whoever has work"),
    ("USER_ID", "the claim: a worker works for whoever has work"),
    ("CLIENT_ID", "nothing: there are only projects and users"),
    ("FIXED_PROJECT_ID", "the claim: a worker works for whoever has work"),
    ("FIXED_USER_ID", "the claim: a worker works for whoever has work"),
    ("DEFAULT_CLIENT_ID", "nothing: there are only projects and users"),
    ("DEFAULT_USER_ID", "the senders of the project (PUT /v1/senders/{address})"),
    ("INPUT_QUEUE_URL", "the claim: the queue follows from it"),
    ("AUTO_SCALE_TO_ZERO", "IDLE_RELEASE_SECS for claims; the service scales workers"),
    ("CONTAINER_ASSIGNMENT", "the claim: a worker works for whoever has work"),
    ("AUTO_SHUTDOWN_MINUTES", "IDLE_RELEASE_SECS for claims; workers do not exit when idle"),
];

/// The old bindings that are set, with what takes their place.
pub fn old_bindings() -> Vec<(&'static str, &'static str)> {
    let names = OLD_BINDINGS.map(|(name, _)| name);
    let set = present(&names);
    OLD_BINDINGS.into_iter().filter(|(name, _)| set.contains_key(*name)).collect()
}
