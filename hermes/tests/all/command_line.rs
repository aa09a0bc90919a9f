//! The command line: help, settings, and the program itself.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Output, Stdio};

use clap::{Command, CommandFactory};
use common::cloud::store::{Expect, Table};
use hermes::config::Settings;

use crate::support::mail;

fn variables(command: &Command, found: &mut BTreeSet<String>) {
    for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
        found.extend(argument.get_env().map(|name| name.to_string_lossy().into_owned()));
    }
    for sub in command.get_subcommands() {
        variables(sub, found);
    }
}

#[test]
fn the_example_of_the_environment_names_exactly_the_variables_of_help() {
    let mut known = BTreeSet::new();
    variables(&Settings::command(), &mut known);
    let example = include_str!("../../.env.example");
    let named: BTreeSet<String> = example
        .lines()
        .filter_map(|line| line.trim_start_matches(['#', ' ']).split_once('='))
        .map(|(name, _)| name.to_owned())
        .filter(|name| !name.is_empty() && name.chars().all(|c| matches!(c, 'A'..='Z' | '0'..='9' | '_')))
        .collect();
    assert_eq!(named, known);
}

#[test]
fn every_command_and_argument_is_explained() {
    fn check(command: &Command) {
        assert!(
            command.get_about().is_some() || command.get_long_about().is_some(),
            "{}",
            command.get_name()
        );
        for argument in command
            .get_arguments()
            .filter(|argument| !["help", "version"].contains(&argument.get_id().as_str()))
        {
            assert!(argument.get_help().is_some(), "{} {}", command.get_name(), argument.get_id());
        }
        command.get_subcommands().filter(|sub| sub.get_name() != "help").for_each(check);
    }
    check(&Settings::command());
    Settings::command().debug_assert();
}

#[allow(clippy::disallowed_methods, reason = "the test starts the program under test")]
fn program(data_dir: &std::path::Path, arguments: &[&str]) -> std::process::Command {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_hermes"));
    command.env_clear().arg("--data-dir").arg(data_dir).args(arguments);
    command
}

fn run(data_dir: &std::path::Path, arguments: &[&str]) -> Output {
    program(data_dir, arguments).output().unwrap()
}

fn ok(data_dir: &std::path::Path, arguments: &[&str]) -> String {
    let output = run(data_dir, arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn what_the_api_does_the_command_line_does() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let url = "https://github.com/you/bakery.git";
    assert!(ok(&data, &["projects", "add", "bakery", "--repo-url", url]).contains("senders add"));
    ok(&data, &["senders", "add", "scott@example.org", "--project", "bakery", "--user", "scott"]);
    assert!(ok(&data, &["projects", "list"]).contains(url));
    assert!(ok(&data, &["senders", "list"]).contains("scott@example.org"));
    let file = folder.path().join("order.eml");
    std::fs::write(&file, mail("1", "change 7 to 8")).unwrap();
    let file = file.to_str().unwrap();
    let refused = run(&data, &["mail", file]);
    assert!(!refused.status.success(), "a mail that became no work is no success");
    let refused = String::from_utf8(refused.stdout).unwrap();
    assert!(refused.contains("unauthenticated") && refused.contains("HERMES_TRUST=all"), "{refused}");
    let again = run(&data, &["mail", file]);
    assert!(!again.status.success(), "it is no work now either");
    let again = String::from_utf8(again.stdout).unwrap();
    for part in ["came before on 20", "its ending stands (unauthenticated)", "HERMES_TRUST=all"] {
        assert!(again.contains(part), "{part} in {again}");
    }
    let said = ok(&data, &["mail", file, "--trust", "all"]);
    assert!(said.contains("routed") && said.contains("hermes jobs show"), "{said}");
    let again = ok(&data, &["mail", file, "--trust", "all"]);
    for part in ["came before on 20", "hermes jobs show", "change its Message-ID"] {
        assert!(again.contains(part) && !again.contains("HERMES_TRUST"), "{part} in {again}");
    }
    let record: serde_json::Value =
        serde_json::from_str(&ok(&data, &["mail", file, "--trust", "all", "--json"])).unwrap();
    let command = record["commandId"].as_str().unwrap();
    assert!(ok(&data, &["jobs", "list"]).contains(command));
    assert!(ok(&data, &["jobs", "show", command]).contains("pending"));
    assert!(ok(&data, &["mails", "show", record["mailId"].as_str().unwrap()]).contains("dispatch"));
    assert!(ok(&data, &["mails", "list"]).contains("routed"));
    assert!(ok(&data, &["claims"]).contains("nothing yet"));
    assert!(ok(&data, &["workers"]).contains("nothing yet"));
    for arguments in [&["workers", "drain", "w-1"][..], &["claims", "release", "bakery", "scott"]] {
        assert!(!run(&data, arguments).status.success(), "{arguments:?}");
    }
    assert!(ok(&data, &["jobs", "stop", command]).contains("is being stopped"));
    let queues = ok(&data, &["queues"]);
    assert!(queues.contains("input:bakery#scott") && queues.contains("unclaimed"), "{queues}");
    std::fs::write(file, r#"{"type":"work"}"#).unwrap();
    ok(&data, &["queues", "send", "input:bakery#scott", file]);
    ok(&data, &["senders", "remove", "scott@example.org"]);
    ok(&data, &["projects", "remove", "bakery"]);
    let missing = run(&data, &["projects", "show", "bakery"]);
    assert!(!missing.status.success());
    assert!(String::from_utf8_lossy(&missing.stderr).contains("hermes projects add bakery"));
}

#[test]
fn what_only_shows_makes_no_data_directory() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    for words in [
        vec!["projects", "list"],
        vec!["senders", "list"],
        vec!["mails", "list"],
        vec!["jobs", "list"],
        vec!["claims"],
        vec!["queues"],
    ] {
        let output = run(&data, &words);
        assert!(!output.status.success(), "{words:?}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("no data directory at") && said.contains("hermes projects add"), "{said}");
        assert!(!data.exists(), "{words:?}");
    }
}

#[test]
fn a_simulation_says_what_it_assumed_with_and_without_a_data_directory() {
    let folder = tempfile::tempdir().unwrap();
    let (data_dir, file) = (folder.path().join("data"), folder.path().join("1.eml"));
    std::fs::write(&file, mail("1", "change 7 to 8")).unwrap();
    let simulated = |mail: &std::path::Path| ok(&data_dir, &["simulate", mail.to_str().unwrap()]);
    let said = simulated(&file);
    assert!(said.contains("assumed to be genuine and registered"), "{said}");
    assert!(said.contains("there is no data directory") && said.contains("| change 7 to 8"), "{said}");
    assert!(!data_dir.exists());

    std::fs::create_dir(&data_dir).unwrap();
    let key = hermes::secrets::SecretKey::kept_in(&data_dir).unwrap();
    let own = common::domain::ids::EmailAddress::parse("hermes@localhost").unwrap();
    let thread = common::domain::ids::ThreadId::parse("abcdef").unwrap();
    let to = key.reply_address(&own, &thread).unwrap();
    let reply = mail("2", "and 9 to 10").replace("Subject:", &format!("Cc: {to}\r\nSubject:"));
    std::fs::write(&file, reply).unwrap();
    let said = simulated(&file);
    assert!(
        said.contains("thread   abcdef (continued)") && said.contains("its tables are not read"),
        "{said}"
    );
}

#[test]
fn a_file_that_cannot_be_read_costs_no_other_simulation() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    for id in ["1", "3"] {
        std::fs::write(file(id), mail(id, &format!("change 7 to {id}"))).unwrap();
    }
    let files = [file("1"), file("2"), file("3")];
    let arguments = ["--json", "simulate", &files[0], &files[1], &files[2]];
    let output = program(&folder.path().join("data"), &arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let (said, told) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    let words: Vec<_> = said.lines().map(|line| line.contains("change 7 to")).collect();
    assert_eq!(words, [true, true], "{said}");
    assert!(told.contains(&files[1]) && told.contains("1 of 3 files could not be simulated"), "{told}");
}

/// Where the data directory does not last, as for a task of ECS.
#[test]
fn a_key_that_is_given_recognises_answers_without_a_data_directory_and_is_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let (data_dir, file) = (folder.path().join("data"), folder.path().join("1.eml"));
    let text = "0123456789abcdef0123456789abcdef";
    let key = hermes::secrets::SecretKey::given(text).unwrap();
    let own = common::domain::ids::EmailAddress::parse("hermes@localhost").unwrap();
    let to = key.reply_address(&own, &common::domain::ids::ThreadId::parse("abcdef").unwrap()).unwrap();
    let reply = mail("2", "and 9 to 10").replace("Subject:", &format!("Cc: {to}\r\nSubject:"));
    std::fs::write(&file, reply).unwrap();
    let said = |arguments: &[&str], key: &str| {
        let output = program(&data_dir, arguments).env("HERMES_SECRET_KEY", key).output().unwrap();
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    };
    let simulate = ["simulate", file.to_str().unwrap()];
    assert!(said(&simulate, text).contains("thread   abcdef (continued)"));
    assert!(!said(&simulate, &text.replace('0', "1")).contains("abcdef (continued)"));
    for arguments in [&simulate[..], &["serve", "--help"], &["serve", "--listen", "nowhere"], &["doctor"]] {
        assert!(!said(arguments, text).contains(text), "{arguments:?}");
    }
    let short = said(&["serve"], "0123456789");
    assert!(short.contains("fewer than 32 characters"), "{short}");
}

#[test]
fn addresses_that_are_not_written_to_are_listed_and_taken_off() {
    let folder = tempfile::tempdir().unwrap();
    ok(folder.path(), &["projects", "add", "p", "--repo-url", "https://github.com/you/p.git"]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let prefix = common::domain::names::Prefix::parse("webordinary").unwrap();
        let cloud = common::cloud::local::open(folder.path(), prefix, common::clock::Clock::System).unwrap();
        let row = serde_json::json!({"kind": "suppression", "id": "scott@example.org", "reason": "bounced",
            "detail": "5.1.1", "mailId": "0123456789abcdef0123456789abcdef", "since": "2026-03-03T10:00:00Z"});
        cloud.store.put(Table::Limits, row, Expect::Any).await.unwrap();
    });
    let listed = ok(folder.path(), &["suppressions", "list"]);
    assert!(listed.contains("scott@example.org") && listed.contains("it takes no mail 5.1.1"), "{listed}");
    let remove = ["suppressions", "remove", "Scott@example.org"];
    assert!(ok(folder.path(), &remove).contains("later mails go there again"));
    assert!(!run(folder.path(), &remove).status.success());
    assert!(ok(folder.path(), &["suppressions", "list"]).contains("nothing yet"));
}

#[test]
fn lists_show_everything_or_say_how_to_go_on() {
    let folder = tempfile::tempdir().unwrap();
    ok(folder.path(), &["projects", "add", "p", "--repo-url", "https://github.com/you/p.git"]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let prefix = common::domain::names::Prefix::parse("webordinary").unwrap();
        let cloud = common::cloud::local::open(folder.path(), prefix, common::clock::Clock::System).unwrap();
        for number in 0..205 {
            let settings = hermes::operations::senders::SenderSettings {
                project_id: "p".parse().unwrap(),
                user: "scott".into(),
                role: common::domain::project::Role::Owner,
                language: None,
            };
            let address = format!("s{number}@example.org").parse().unwrap();
            hermes::operations::senders::put(&cloud, &address, settings).await.unwrap();
        }
    });
    assert_eq!(ok(folder.path(), &["senders", "list"]).lines().count(), 206);
    for number in ["1", "2"] {
        let file = folder.path().join("order.eml");
        std::fs::write(&file, mail(number, "x").replace("scott@", "s1@")).unwrap();
        ok(folder.path(), &["mail", file.to_str().unwrap(), "--trust", "all"]);
    }
    for list in ["jobs", "mails"] {
        let first = ok(folder.path(), &[list, "list", "--limit", "1"]);
        let cursor = first.lines().last().unwrap().split('\'').nth(1).unwrap();
        let second = ok(folder.path(), &[list, "list", "--limit", "1", "--cursor", cursor]);
        assert!(
            first.contains("more: hermes") && first.lines().nth(1) != second.lines().nth(1),
            "{first}{second}"
        );
    }
}

#[test]
fn a_log_level_that_is_none_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let output = program(folder.path(), &["claims"]).env("HERMES_LOG_LEVEL", "infoo").output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("infoo") && said.contains("debug"), "{said}");
}

#[test]
fn trusting_everybody_is_refused_beyond_loopback() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), &["serve", "--trust", "all", "--listen", "0.0.0.0:0"]);
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("HERMES_TRUST=all") && said.contains("127.0.0.1"), "{said}");
}

#[test]
fn a_data_directory_that_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let output = run(&file, &["serve", "--listen", "127.0.0.1:0"]);
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("data directory") && said.contains("file"), "{said}");
    assert_eq!(said.matches("data directory").count(), 1, "said once: {said}");
}

/// A program that is ended with the test.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn it_says_when_it_is_ready_and_ends_in_order_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = program(folder.path(), &["serve", "--listen", "127.0.0.1:0", "--log", "json"]);
    let mut running = Running(command.stderr(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(running.0.stderr.take().unwrap());
    let said = until_ready(&mut lines);
    let ready = said.last().unwrap();
    assert!(ready.starts_with("INFO hermes is ready on http://127.0.0.1:"), "{ready}");
    assert!(!said.iter().any(|line| line.contains("HERMES_SITES_DOMAIN")), "mail goes nowhere: {said:?}");
    assert!(folder.path().join("admin-token").exists());
    let pid = nix_pid(&running.0);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    let status = running.0.wait().unwrap();
    let mut rest = String::new();
    lines.read_to_string(&mut rest).unwrap();
    assert!(status.success(), "{rest}");
    assert!(rest.contains("hermes has stopped"), "{rest}");
}

/// What a program logs until it is ready.
fn until_ready(lines: &mut impl BufRead) -> Vec<String> {
    let mut said = Vec::new();
    loop {
        let mut line = String::new();
        assert!(lines.read_line(&mut line).unwrap() > 0, "it ended before it was ready: {said:?}");
        let event: serde_json::Value = serde_json::from_str(&line).unwrap();
        let message = event["message"].as_str().unwrap();
        said.push(format!("{} {message}", event["level"].as_str().unwrap()));
        if message.starts_with("hermes is ready on ") {
            return said;
        }
    }
}

#[test]
fn links_that_open_on_this_machine_only_are_told_of_where_mail_leaves_it() {
    let folder = tempfile::tempdir().unwrap();
    let by_smtp = |arguments: &[&str]| {
        let mut command = program(folder.path(), arguments);
        command.env("SMTP_URL", "smtps://mail.agency.com");
        command
    };
    let mut serve = by_smtp(&["serve", "--listen", "127.0.0.1:0", "--log", "json"]);
    let mut running = Running(serve.stderr(Stdio::piped()).spawn().unwrap());
    let said = until_ready(&mut BufReader::new(running.0.stderr.take().unwrap()));
    for setting in ["HERMES_PUBLIC_URL", "HERMES_SITES_DOMAIN"] {
        let warned =
            |line: &String| line.starts_with("WARN mail leaves this machine") && line.contains(setting);
        assert!(said.iter().any(warned), "{setting}: {said:?}");
    }

    let ill = by_smtp(&["doctor"]).output().unwrap();
    let said = String::from_utf8_lossy(&ill.stdout).into_owned();
    assert!(!ill.status.success() && said.contains("HERMES_PUBLIC_URL is not set"), "{said}");
    assert!(said.contains("HERMES_SITES_DOMAIN is localhost"), "{said}");
    let mut well = by_smtp(&["doctor"]);
    well.env("HERMES_PUBLIC_URL", "https://hermes.agency.com")
        .env("HERMES_SITES_DOMAIN", "previews.agency.com");
    assert!(well.output().unwrap().status.success());
    assert!(run(folder.path(), &["doctor"]).status.success(), "mail goes nowhere");
}

fn nix_pid(child: &Child) -> nix::unistd::Pid {
    nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap())
}

#[test]
fn the_local_cloud_needs_no_provisioning_and_the_doctor_finds_it_well() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    for arguments in [&["provision"][..], &["provision", "--dry-run"], &["provision", "--check"]] {
        assert!(ok(&data, arguments).contains("nothing to do"), "{arguments:?}");
    }
    assert!(!data.exists(), "looking makes no data directory");
    ok(&data, &["projects", "add", "bakery", "--repo-url", "https://github.com/you/bakery.git"]);
    assert!(ok(&data, &["doctor"]).contains("well"));
    std::fs::remove_file(data.join("objects/probe")).unwrap();
    std::fs::create_dir(data.join("objects/probe")).unwrap();
    std::fs::create_dir(data.join("objects/probe/in-the-way")).unwrap();
    std::fs::write(data.join("objects/probe/in-the-way/x"), "x").unwrap();
    let ill = run(&data, &["doctor"]);
    let said = String::from_utf8_lossy(&ill.stdout).into_owned() + &String::from_utf8_lossy(&ill.stderr);
    assert!(!ill.status.success() && said.contains("1 of the checks failed"), "{said}");
}

#[test]
fn a_state_machine_is_refused_where_there_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let mut serve = program(folder.path(), &["serve", "--listen", "127.0.0.1:0"]);
    let output = serve.env("HERMES_ORCHESTRATOR", "step-functions").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("needs HERMES_CLOUD=aws"), "{said}");
}
