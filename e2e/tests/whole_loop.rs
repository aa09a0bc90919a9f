//! A mail in, a changed site out, through the real programs: real SQLite, real git remotes, a real Astro build, the real
//! Claude Code CLI.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use e2e::claude_api::{ScriptedApi, Turn};
use e2e::mail::Letter;
use e2e::process::binary;
use e2e::remote::Remote;
use e2e::world::{World, demo_agent, plain_site};
use serde_json::Value;

const LIMIT: Duration = Duration::from_mins(5);

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("no {field} in {value}"))
}

/// `make demo ONCE=1` without make: the Astro site of `examples/site`, the demo agent, both real programs.
#[tokio::test]
#[allow(clippy::disallowed_methods, reason = "the demo is started as a person starts it")]
async fn the_demo_turns_a_mail_into_a_changed_astro_site() {
    let output = tokio::process::Command::new(binary("demo").unwrap())
        .args(["--once", "--site"])
        .arg(repository().join("examples/site"))
        .env_remove("ANTHROPIC_API_KEY")
        .stdin(Stdio::null())
        .output();
    let output = tokio::time::timeout(LIMIT, output).await.expect("the demo ends in time").unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}");
    let summary: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert_eq!(summary["ok"], true, "{said}");
    let root = Path::new(text(&summary, "answer")).ancestors().nth(3).unwrap().to_owned();
    let remote = Remote::at(&root.join("remotes/amelia.git"));
    assert_eq!(remote.head(text(&summary, "branch")).unwrap(), text(&summary, "commit"));
    assert_eq!(remote.commits_beyond_main(text(&summary, "branch")).unwrap(), 1);
    let answer = std::fs::read_to_string(text(&summary, "answer")).unwrap();
    assert!(answer.contains("demo agent"), "the demo agent says what it is:\n{answer}");
    std::fs::remove_dir_all(root).unwrap();
}

/// With a key in the environment and `claude` on the PATH the demo leaves the demo agent alone.
#[tokio::test]
#[allow(clippy::disallowed_methods, reason = "the demo is started as a person starts it")]
async fn the_demo_uses_the_real_agent_where_there_is_a_key() {
    let page = "src/pages/index.astro".to_owned();
    let (old, new) = ("Open daily from 7 to 18".to_owned(), "Open daily from 8 to 20".to_owned());
    let turns = vec![
        Turn::Read { path: page.clone() },
        Turn::Edit { path: page, old, new },
        Turn::Say("Scripted words.".into()),
    ];
    let api = ScriptedApi::start(turns).await.unwrap();
    let claude = repository().join("e2e/agent/node_modules/.bin");
    let path = std::env::var_os("PATH").unwrap();
    let path = std::env::join_paths(std::iter::once(claude).chain(std::env::split_paths(&path))).unwrap();
    let output = tokio::process::Command::new(binary("demo").unwrap())
        .args(["--once", "--site"])
        .arg(repository().join("examples/site"))
        .env("PATH", path)
        .env("ANTHROPIC_API_KEY", "sk-scripted")
        .env("ANTHROPIC_BASE_URL", api.base_url())
        .stdin(Stdio::null())
        .output();
    let output = tokio::time::timeout(LIMIT, output).await.expect("the demo ends in time").unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("Scripted words.") && !said.contains("I am the demo agent"), "{said}");
    let summary: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    let root = Path::new(text(&summary, "answer")).ancestors().nth(3).unwrap();
    std::fs::remove_dir_all(root).unwrap();
}

/// The real agent edits a file to bytes that only the scripted API knew.
#[tokio::test]
async fn the_real_claude_code_cli_edits_the_site() {
    let claude = repository().join("e2e/agent/node_modules/.bin/claude");
    assert!(claude.is_file(), "the agent is not installed; run `make agent`");
    let secret = e2e::mail::uuid_like();
    let sentence = format!("Open from 9 to 12, {secret}");
    let page = "site/index.html".to_owned();
    let api = ScriptedApi::start(vec![
        Turn::Read { path: page.clone() },
        Turn::Edit { path: page, old: "Open from 7 to 18".into(), new: sentence.clone() },
        Turn::Say(format!("I changed the opening hours. {secret}")),
    ])
    .await
    .unwrap();

    let mut world = World::temporary().unwrap();
    let hermes = world.start_hermes("127.0.0.1:0").await.unwrap();
    let base_url = api.base_url();
    let settings = [
        ("SANDBOX", "namespaces"),
        ("ANTHROPIC_BASE_URL", base_url.as_str()),
        ("ANTHROPIC_API_KEY", "sk-scripted"),
    ];
    // The default command, found by PATH as on a server: its arguments are the worker's own.
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", claude.parent().unwrap().display());
    let mut settings = settings.to_vec();
    settings.push(("PATH", &path));
    world.start_worker("claude", &settings).await.unwrap();
    let (folder, build) = plain_site().unwrap();
    let remote = world
        .add_project("bakery", folder.path(), Some(build), ("amelia@example.org", "amelia"))
        .await
        .unwrap();

    let letter = Letter::new("amelia@example.org", "Hours", "We now open from 9 to 12.");
    let accepted = hermes.order(letter.to_bytes()).await.unwrap();
    let job = hermes.job_done(text(&accepted, "commandId"), LIMIT).await.unwrap();
    assert_eq!(job["outcome"], "changed", "{job}\n{}", world.workers[0].log());
    assert!(remote.file(text(&job, "branch"), "site/index.html").unwrap().contains(&sentence));
    let host = text(&job, "previewUrl").trim_start_matches("http://").trim_end_matches('/').to_owned();
    assert!(hermes.page(&host, "/").await.unwrap().text().await.unwrap().contains(&sentence));
    hermes.answered(text(&accepted, "mailId"), LIMIT).await.unwrap();
    let mails = world.sent_mails().unwrap();
    assert_eq!(mails.len(), 1);
    assert!(mails[0].1.contains(&secret), "the agent's own words are in the answer:\n{}", mails[0].1);

    let seen = api.seen();
    assert!(seen.bodies.iter().any(|body| body.to_string().contains("We now open from 9 to 12.")));
    assert!(seen.keys.iter().all(|key| key == "sk-scripted"));
    world.stop().await.unwrap();
}

/// s66: every result becomes one answer, with outcome, files, preview and conversation.
#[tokio::test]
async fn s66_the_owner_gets_one_answer_with_what_changed_and_where_to_look() {
    let mut world = World::temporary().unwrap();
    let api = world.start_hermes("127.0.0.1:0").await.unwrap();
    world.start_worker(&demo_agent("").unwrap(), &[]).await.unwrap();
    let (folder, build) = plain_site().unwrap();
    world.add_project("bakery", folder.path(), Some(build), ("amelia@example.org", "amelia")).await.unwrap();

    let letter = Letter::new("Amelia <AMELIA@example.org>", "Hours", "change \"7 to 18\" to \"8 to 20\"");
    let accepted = api.order(letter.to_bytes()).await.unwrap();
    let again = api.order(letter.to_bytes()).await.unwrap();
    assert_eq!(accepted, again, "the same delivery is the same mail");
    let job = api.job_done(text(&accepted, "commandId"), LIMIT).await.unwrap();
    api.answered(text(&accepted, "mailId"), LIMIT).await.unwrap();

    let mails = world.sent_mails().unwrap();
    assert_eq!(mails.len(), 1, "{mails:?}");
    let mail = &mails[0].1;
    for needed in
        ["To: amelia@example.org", "Subject: Re: Hours", "Auto-Submitted: auto-replied", "site/index.html"]
    {
        assert!(mail.contains(needed), "{needed} is missing in\n{mail}");
    }
    assert!(mail.contains(letter.message_id.as_deref().unwrap()), "it threads below the mail it answers");
    assert!(mail.contains(text(&job, "threadId")));
    assert!(mail.replace("=\r\n", "").contains(text(&job, "previewUrl")));
    world.stop().await.unwrap();
}

/// A reply to the answer goes on in the same conversation: same thread, same branch, both changes in the preview.
#[tokio::test]
async fn a_reply_to_the_answer_continues_the_conversation() {
    let mut world = World::temporary().unwrap();
    let api = world.start_hermes("127.0.0.1:0").await.unwrap();
    world.start_worker(&demo_agent("").unwrap(), &[]).await.unwrap();
    let (folder, build) = plain_site().unwrap();
    let remote = world
        .add_project("bakery", folder.path(), Some(build), ("amelia@example.org", "amelia"))
        .await
        .unwrap();

    let first = Letter::new("amelia@example.org", "Hours", "change \"7 to 18\" to \"8 to 20\"");
    let first = api.order(first.to_bytes()).await.unwrap();
    let answer = api.answered(text(&first, "mailId"), LIMIT).await.unwrap();
    let second = Letter::new("amelia@example.org", "Re: Hours", "change \"Since 1920\" to \"Since 1919\"")
        .answering(&format!("<{}>", text(&answer, "replyMessageId").trim_matches(['<', '>'])));
    let second = api.order(second.to_bytes()).await.unwrap();
    assert_eq!(text(&first, "threadId"), text(&second, "threadId"));
    let job = api.job_done(text(&second, "commandId"), LIMIT).await.unwrap();
    assert_eq!(job["outcome"], "changed", "{job}");
    assert_eq!(remote.commits_beyond_main(text(&job, "branch")).unwrap(), 2);
    let host = text(&job, "previewUrl").trim_start_matches("http://").trim_end_matches('/').to_owned();
    assert!(api.page(&host, "/").await.unwrap().text().await.unwrap().contains("8 to 20"));
    assert!(api.page(&host, "/about/").await.unwrap().text().await.unwrap().contains("Since 1919"));
    world.stop().await.unwrap();
}
