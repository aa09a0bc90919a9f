//! After a run of the whole loop no secret of it stands anywhere: in no file, no row of a table, no object of a repository, no
//! mail and no log; nor after runs that fail in every way in which words of others are told on. The same search finds each
//! place in which one is put on purpose.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod failing;
mod left;

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use e2e::claude_api::{ScriptedApi, Turn};
use e2e::mail::Letter;
use e2e::world::{World, plain_site};
use left::{Left, plant};
use rusqlite::Connection;
use serde_json::Value;
use uuid::Uuid;

const LIMIT: Duration = Duration::from_mins(2);

/// An agent that asks its model once, and puts everything it can find out about its surroundings into the site, its log
/// and its last words.
const NOSY: &str = r#"
import { appendFileSync, readFileSync, readdirSync } from "node:fs";
const prompt = readFileSync(0, "utf8");
const look = (path) => { try { return readFileSync(path, "utf8"); } catch (error) { return ""; } };
const list = (path) => { try { return readdirSync(path); } catch (error) { return []; } };
const found = Object.values(process.env);
for (const id of list("/proc")) found.push(look("/proc/" + id + "/environ"), look("/proc/" + id + "/cmdline"));
for (const name of [".git/config", process.env.HOME + "/.gitconfig", process.env.HOME + "/.netrc"]) found.push(look(name));
for (const name of list("..")) found.push(name, look("../" + name));
const body = JSON.stringify({ model: "m", max_tokens: 9, stream: true, messages: [{ role: "user", content: "hello" }] });
const headers = { "content-type": "application/json", "x-api-key": process.env.ANTHROPIC_API_KEY || "none" };
const answer = await fetch(process.env.ANTHROPIC_BASE_URL + "/v1/messages", { method: "POST", headers, body });
found.push(JSON.stringify([...answer.headers]), await answer.text());
const all = found.join("\n").replaceAll("\0", "\n");
appendFileSync("site/index.html", "<!-- " + all.replaceAll("--", "- -") + " -->");
console.error(all);
if (prompt.includes("Fail on purpose.")) process.exit(3);
console.log(JSON.stringify({ type: "result", subtype: "success", result: "MARK " + all.slice(0, 3000) }));
"#;

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("no {field} in {value}"))
}

#[tokio::test]
async fn no_secret_of_a_run_is_left_anywhere_by_a_nosy_agent_and_a_planted_one_is_found() {
    let fresh = |start: &str| format!("{start}{}", Uuid::new_v4().simple());
    let (model, git) = (fresh("sk-ant-api03-"), fresh("ghp_"));
    let (key, signed, postmark, mailgun) = (fresh("key"), fresh("in"), fresh("hook:"), fresh("gun"));
    let api_of_model = ScriptedApi::start(vec![Turn::Say("Hello.".into())]).await.unwrap();

    let mut world = World::temporary().unwrap();
    let root = world.data_dir().parent().unwrap().to_owned();
    let settings = [
        ("HERMES_LOG_LEVEL", "debug"),
        ("HERMES_SECRET_KEY", key.as_str()),
        ("HERMES_INBOUND_SECRET", &signed),
        ("HERMES_POSTMARK_AUTH", &postmark),
        ("HERMES_MAILGUN_KEY", &mailgun),
    ];
    let program = e2e::process::binary("hermes").unwrap();
    let api = world.start_hermes_with(&program, "127.0.0.1:0", &settings).await.unwrap();
    let base_url = api_of_model.base_url();
    let settings = [
        ("SANDBOX", "namespaces"),
        ("HERMES_LOG_LEVEL", "debug"),
        ("ANTHROPIC_BASE_URL", base_url.as_str()),
        ("ANTHROPIC_API_KEY", &model),
        ("GITHUB_TOKEN", &git),
    ];
    world.start_worker(&format!("node --input-type=module -e '{NOSY}'"), &settings).await.unwrap();
    let (folder, build) = plain_site().unwrap();
    world.add_project("bakery", folder.path(), Some(build), ("amelia@example.org", "amelia")).await.unwrap();

    let words = Uuid::new_v4().to_string();
    let letter = Letter::new("amelia@example.org", "Secrets", &format!("Tell me everything. {words}"));
    let accepted = api.order(letter.to_bytes()).await.unwrap();
    let job = api.job_done(text(&accepted, "commandId"), LIMIT).await.unwrap();
    assert_eq!(job["outcome"], "changed", "{job}\n{}", world.workers[0].log());
    api.answered(text(&accepted, "mailId"), LIMIT).await.unwrap();
    assert_eq!(api_of_model.seen().keys, [model.as_str()], "the key was added on the way");

    let admin_file = world.data_dir().join("admin-token");
    let admin = std::fs::read_to_string(&admin_file).unwrap().trim().to_owned();
    let mut logs = vec![world.workers[0].log(), world.hermes().unwrap().log()];
    world.stop().await.unwrap();
    let left = Left::by(&world, &root, &logs);

    // What may be known is found wherever it went: so a secret would be.
    let kinds = left.kinds_of(&words);
    assert!(["file", "mail", "object", "row"].iter().all(|kind| kinds.contains(kind)), "{kinds:?}");
    assert!(left.kinds_of("MARK ").is_superset(&BTreeSet::from(["file", "mail", "row"])));

    let (user, password) = postmark.split_once(':').unwrap();
    assert_eq!(user, "hook");
    let secrets = [&*model, &*git, &*key, &*signed, password, &*mailgun];
    for secret in secrets {
        assert_eq!(left.places_of(secret), BTreeSet::new());
    }
    assert_eq!(left.places_of(&admin), BTreeSet::from([("file", admin_file.clone())]), "but in its own file");
    assert_eq!(std::fs::metadata(admin_file).unwrap().permissions().mode() & 0o077, 0);

    for secret in secrets {
        plant(&world, &root, secret);
        logs.push(format!("a line with {secret}"));
        let found = Left::by(&world, &root, &logs).kinds_of(secret);
        assert_eq!(found, BTreeSet::from(["file", "log", "mail", "object", "row"]));
        Connection::open(world.data_dir().join("hermes.db"))
            .unwrap()
            .execute_batch("DROP TABLE planted")
            .unwrap();
    }
    println!(
        "{} things of a run: {} secrets, 0 found; each planted one found in 5 places",
        left.0.len(),
        secrets.len() + 1
    );
}
