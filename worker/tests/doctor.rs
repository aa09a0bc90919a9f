//! `worker doctor`: what it finds on this machine, what it says where something is missing, and that it tells no secret.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]
#![allow(clippy::disallowed_methods, reason = "the program under test is started here")]

use std::process::{Command, Output};

use serde_json::Value;

const SECRETS: [&str; 2] = ["sk-of-the-model", "ghp_of_the_host_of_repositories"];

fn doctor(data: &tempfile::TempDir, arguments: &[&str], env: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_worker"));
    command.arg("doctor").args(arguments).env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin");
    command.env("HERMES_DATA_DIR", data.path()).env("AGENT_COMMAND", "demo-agent");
    command.env("ANTHROPIC_API_KEY", SECRETS[0]).env("GITHUB_TOKEN", SECRETS[1]);
    command.envs(env.iter().copied()).output().unwrap()
}

fn finding<'a>(report: &'a Value, name: &str) -> &'a Value {
    let all = report["findings"].as_array().unwrap();
    all.iter().find(|finding| finding["name"] == name).unwrap_or_else(|| panic!("no {name} in {report:#}"))
}

fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[test]
fn a_machine_with_bubblewrap_and_namespaces_is_ready() {
    let data = tempfile::tempdir().unwrap();
    let found = doctor(&data, &["--json"], &[]);
    let said = report(&found);
    assert!(found.status.success() && said["ready"] == true, "{said:#}");
    assert_eq!(finding(&said, "sandbox")["state"], "good", "{said:#}");
    for name in
        ["user", "workspaces", "agent", "model", "memory limit", "process limit", "landlock", "git token"]
    {
        assert!(finding(&said, name)["found"].as_str().is_some_and(|found| !found.is_empty()), "{name}");
    }
    let people = String::from_utf8(doctor(&data, &[], &[]).stdout).unwrap();
    assert!(
        people.contains("tried, and they stand") && people.contains("A worker with these settings starts."),
        "{people}"
    );
    assert!(SECRETS.iter().all(|secret| !people.contains(secret) && !said.to_string().contains(secret)));
}

#[test]
fn what_is_missing_is_said_with_what_to_do() {
    let data = tempfile::tempdir().unwrap();
    let found = doctor(&data, &["--json"], &[("PATH", "/no/such"), ("AGENT_COMMAND", "no-such-agent")]);
    let said = report(&found);
    assert!(!found.status.success() && said["ready"] == false, "{said:#}");
    let walls = finding(&said, "sandbox");
    assert_eq!(walls["state"], "missing");
    assert!(walls["found"].as_str().unwrap().contains("apt-get install bubblewrap"), "{said:#}");
    assert!(finding(&said, "agent")["toDo"].as_str().unwrap().contains("npm install"), "{said:#}");
}

#[test]
fn without_walls_it_says_so_and_what_could_stand() {
    let data = tempfile::tempdir().unwrap();
    let said = report(&doctor(&data, &["--json", "--sandbox", "off"], &[]));
    assert_eq!(
        (&said["ready"], &finding(&said, "sandbox")["state"]),
        (&true.into(), &"weak".into()),
        "{said:#}"
    );
    assert_eq!(finding(&said, "namespaces")["state"], "good", "{said:#}");
}
