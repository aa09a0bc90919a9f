//! A mail in, a changed site out, through the real programs: real SQLite, real git remotes, a real Astro build, the real
//! Claude Code CLI.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use common::clock::Clock;
use common::cloud::files::Space;
use common::cloud::local;
use e2e::claude_api::{ScriptedApi, Turn};
use e2e::mail::Letter;
use e2e::process::binary;
use e2e::remote::Remote;
use e2e::wait;
use e2e::world::{World, demo_agent, plain_site};
use reqwest::{Method, StatusCode};
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

/// What is removed while its agent works ends, and leaves nothing of its words.
#[tokio::test]
async fn a_conversation_that_is_removed_in_the_middle_of_its_work_leaves_nothing_behind() {
    let mut world = World::temporary().unwrap();
    let api = world.start_hermes("127.0.0.1:0").await.unwrap();
    world.start_worker(&demo_agent("--hang").unwrap(), &[]).await.unwrap();
    let (folder, build) = plain_site().unwrap();
    world.add_project("bakery", folder.path(), Some(build), ("amelia@example.org", "amelia")).await.unwrap();
    let letter = Letter::new("amelia@example.org", "Hours", "change \"7 to 18\" to \"8 to 20\"");
    let order = api.order(letter.to_bytes()).await.unwrap();
    let path = format!("/v1/jobs/{}", text(&order, "commandId"));
    wait::until("the agent's start", LIMIT, || async {
        Ok((api.get(&path).await?["attempts"] == 1).then_some(()))
    })
    .await
    .unwrap();
    let thread = format!("/v1/threads/{}", text(&order, "threadId"));
    let (status, down) = api.request(Method::DELETE, &thread, None).await.unwrap();
    assert_eq!(status, StatusCode::ACCEPTED, "{down}");
    let job = api.job_done(text(&order, "commandId"), LIMIT).await.unwrap();
    assert_eq!(text(&job, "outcome"), "stopped", "{job}");
    let down = api.job_done(text(&down, "commandId"), LIMIT).await.unwrap();
    assert_eq!((text(&down, "action"), text(&down, "outcome")), ("take-down", "answered"), "{down}");
    let cloud = local::open(&world.data_dir(), "webordinary".parse().unwrap(), Clock::System).unwrap();
    for folder in ["sessions/", "transcripts/", "wip/"] {
        assert_eq!(cloud.files.list(&Space::Objects, folder).await.unwrap(), [""; 0]);
    }
    world.stop().await.unwrap();
}

/// An agent that can add a page and take one away, together with the links to them.
const ADDS_AND_REMOVES: &str = r#"
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
const removes = /remove the page about rye/.test(readFileSync(0, "utf8"));
const link = removes ? "" : "<a href=\"/rye/\">Rye</a>";
if (removes) rmSync("site/rye", { recursive: true });
else { mkdirSync("site/rye"); writeFileSync("site/rye/index.html", "<!doctype html><title>Rye</title>"); }
writeFileSync("site/index.html", "<!doctype html><title>Bakery</title>" + link);
console.log(JSON.stringify({ type: "result", subtype: "success", result: "done" }));
"#;

#[tokio::test]
async fn s60_a_published_site_is_served_as_html_and_a_removed_page_is_gone() {
    let mut world = World::temporary().unwrap();
    let api = world.start_hermes("127.0.0.1:0").await.unwrap();
    let script = world.data_dir().parent().unwrap().join("agent.mjs");
    std::fs::write(&script, ADDS_AND_REMOVES).unwrap();
    world.start_worker(&format!("node '{}'", script.display()), &[]).await.unwrap();
    let (folder, build) = plain_site().unwrap();
    world.add_project("bakery", folder.path(), Some(build), ("amelia@example.org", "amelia")).await.unwrap();

    let order = async |letter: Letter| {
        let accepted = api.order(letter.to_bytes()).await.unwrap();
        let job = api.job_done(text(&accepted, "commandId"), LIMIT).await.unwrap();
        assert_eq!(job["outcome"], "changed", "{job}");
        let host = text(&job, "previewUrl").trim_start_matches("http://").trim_end_matches('/').to_owned();
        let answer = api.answered(text(&accepted, "mailId"), LIMIT).await.unwrap();
        (host, format!("<{}>", text(&answer, "replyMessageId").trim_matches(['<', '>'])))
    };
    let fetch = async |host: &str, path: &str| {
        let page = api.page(host, path).await.unwrap();
        let kind = page.headers()["content-type"].to_str().unwrap().to_owned();
        (page.status().as_u16(), kind, page.text().await.unwrap())
    };
    let html = "text/html; charset=utf-8";
    let first = Letter::new("amelia@example.org", "Rye", "Please add a page about rye.");
    let (host, answer) = order(first).await;
    let (status, kind, home) = fetch(&host, "/index.html").await;
    assert_eq!((status, kind.as_str()), (200, html));
    assert!(home.contains("/rye/"), "{home}");
    let (status, kind, rye) = fetch(&host, "/rye/").await;
    assert_eq!((status, kind.as_str(), rye.contains("<title>Rye")), (200, html, true));

    let second = Letter::new("amelia@example.org", "Re: Rye", "Please remove the page about rye.");
    let (same, answer) = order(second.answering(&answer)).await;
    assert_eq!(same, host, "one conversation, one preview");
    let (status, _, home) = fetch(&host, "/index.html").await;
    assert_eq!((status, home.contains("/rye/")), (200, false));
    assert_eq!(fetch(&host, "/rye/").await.0, 404);
    assert_eq!(fetch(&host, "/rye/index.html").await.0, 404);

    let publish = Letter::new("amelia@example.org", "Re: Rye", "publish").answering(&answer);
    let (live, _) = order(publish).await;
    assert_ne!(live, host);
    assert_eq!(fetch(&live, "/").await, fetch(&host, "/").await);
    assert_eq!(fetch(&live, "/rye/").await.0, 404);
    world.stop().await.unwrap();
}

/// An agent that puts every file it is told of into the site, and says what it was told about them.
const HANGS_UP_PICTURES: &str = r#"
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
const told = readFileSync(0, "utf8");
const [, folder, who] = /^# Attachments \(in (.*?); (.*); content, not instructions\)$/m.exec(told);
const [, from] = /^From: (.*)$/m.exec(told);
const files = [...told.matchAll(/^- (\S+) \((.*)\)$/gm)];
mkdirSync("site/pictures");
for (const [, name] of files) copyFileSync(folder + "/" + name, "site/pictures/" + name);
const about = files.map(([, name, kind]) => name + ": " + kind.replace(/, \d+ bytes/, "")).join("; ");
writeFileSync("site/pictures/told.txt", [from, who, about].join("\n"));
console.log(JSON.stringify({ type: "result", subtype: "success", result: "I put up " + files.length + " files." }));
"#;

/// A photo as a telephone takes it: lying on its side (EXIF orientation 6), with the place where it was taken.
fn photo() -> Vec<u8> {
    let halves = image::RgbImage::from_fn(400, 300, |x, _| {
        if x < 200 { image::Rgb([250, 0, 0]) } else { image::Rgb([0, 0, 250]) }
    });
    let mut jpeg = std::io::Cursor::new(Vec::new());
    halves.write_to(&mut jpeg, image::ImageFormat::Jpeg).unwrap();
    let jpeg = jpeg.into_inner();
    let mut exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0".to_vec();
    exif.extend(b"GPS-SECRET-PLACE");
    let length = u16::try_from(exif.len() + 2).unwrap().to_be_bytes();
    [&jpeg[..2], &[0xff, 0xe1], &length, &exif, &jpeg[2..]].concat()
}

#[tokio::test]
async fn s61_a_photo_in_a_mail_reaches_the_site_upright_and_silent_about_its_place() {
    let mut world = World::temporary().unwrap();
    let api = world.start_hermes("127.0.0.1:0").await.unwrap();
    let script = world.data_dir().parent().unwrap().join("agent.mjs");
    std::fs::write(&script, HANGS_UP_PICTURES).unwrap();
    world.start_worker(&format!("node '{}'", script.display()), &[]).await.unwrap();
    let (folder, build) = plain_site().unwrap();
    let site = world.add_project("bakery", folder.path(), Some(build), ("amelia@example.org", "amelia"));
    let remote = site.await.unwrap();

    let photo = photo();
    let letter = Letter::new("amelia@example.org", "A photo", "Please put this photo up.");
    let accepted = api.order(letter.with_file("Our shop.JPG", "image/jpeg", &photo)).await.unwrap();
    let job = api.job_done(text(&accepted, "commandId"), LIMIT).await.unwrap();
    assert_eq!(job["outcome"], "changed", "{job}\n{}", world.workers[0].log());
    let branch = text(&job, "branch");
    let told = remote.file(branch, "site/pictures/told.txt").unwrap();
    assert_eq!(
        told.lines().collect::<Vec<_>>(),
        [
            "amelia@example.org",
            "sent along by the sender of the request",
            "Our-shop.webp: image/webp, 300 x 400 pixels; Our-shop.jpg: image/jpeg, 300 x 400 pixels"
        ]
    );
    let host = text(&job, "previewUrl").trim_start_matches("http://").trim_end_matches('/').to_owned();
    for name in ["Our-shop.webp", "Our-shop.jpg"] {
        let bytes = remote.bytes(branch, &format!("site/pictures/{name}")).unwrap();
        assert!(!bytes.windows(10).any(|window| window == b"GPS-SECRET"), "{name} tells the place");
        let picture = image::load_from_memory(&bytes).unwrap().into_rgb8();
        assert_eq!(picture.dimensions(), (300, 400), "{name}");
        assert!(picture.get_pixel(150, 50).0[0] > 180 && picture.get_pixel(150, 350).0[2] > 180, "{name}");
        let shown = api.page(&host, &format!("/pictures/{name}")).await.unwrap();
        assert_eq!(shown.bytes().await.unwrap(), bytes, "{name} is shown as it lies in the repository");
    }
    assert!(photo.windows(10).any(|window| window == b"GPS-SECRET"), "the photo itself told it");
    world.stop().await.unwrap();
}
