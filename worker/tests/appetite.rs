//! What a hostile agent makes the worker itself hold: however much it says or asks, that stays small.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test may"
)]

mod support;

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use support::program::Program;
use support::{World, work};

/// Says something as the agent of 300 turns, each with an id that is nearly a megabyte long.
const LONG_IDS: &str = r#"
import json
for turn in range(300):
    message = {"id": "%06d" % turn + "x" * 1000000, "model": "m", "usage": {"output_tokens": 1}}
    print(json.dumps({"type": "assistant", "message": message}), flush=True)
"#;
/// Eight requests at once that are little to write and much to hold.
const MANY_PARTS: &str = r#"
import http.client, os, threading
body = b'{"model": "m", "messages": [' + b"0," * (3 * 1024 * 1024) + b"0]}"
def ask():
    line = http.client.HTTPConnection(os.environ["ANTHROPIC_BASE_URL"].removeprefix("http://"))
    line.request("POST", "/v1/messages", body, {"x-api-key": os.environ["ANTHROPIC_API_KEY"]})
    line.getresponse().read()
asking = [threading.Thread(target=ask) for _ in range(8)]
for one in asking: one.start()
for one in asking: one.join()
"#;
const DONE: &str =
    "\nimport json\nprint(json.dumps({'type': 'result', 'subtype': 'success', 'result': 'done'}))\n";

/// A model that reads what it is asked and refuses it.
fn model() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut read = vec![0; 1 << 20];
                let mut last = Vec::new();
                while !last.ends_with(b"0]}") {
                    let Ok(count @ 1..) = stream.read(&mut read) else { return };
                    last.extend_from_slice(&read[count.saturating_sub(3)..count]);
                    last.drain(..last.len().saturating_sub(3));
                }
                stream
                    .write_all(
                        b"HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}",
                    )
                    .ok();
            });
        }
    });
    address
}

/// The most that the worker held at once while this agent ran, in megabytes.
async fn most_held(agent: &str) -> u64 {
    let world = World::new();
    let script = format!("{agent}{DONE}");
    let remote = world.remote("bakery", &[("agent.py", script.as_str()), ("site/index.html", "x")]);
    world.project("bakery", &remote).await;
    let model = model();
    let settings = [
        ("SANDBOX", "off"),
        ("AGENT_COMMAND", "/usr/bin/python3 agent.py"),
        ("ANTHROPIC_API_KEY", "k-1"),
        ("ANTHROPIC_BASE_URL", model.as_str()),
    ];
    let program = Program::start(&world, &settings);
    world.order("bakery#amelia", work("c-1", "abcdef1", "be modest")).await;
    let result = world.result().await;
    assert_eq!(result.summary, "done", "{result:?}");
    let status = std::fs::read_to_string(format!("/proc/{}/status", program.child.id())).unwrap();
    let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    most.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_ids_of_an_agent_are_not_kept() {
    let most = most_held(LONG_IDS).await;
    eprintln!("long ids: {most} MB");
    assert!(most < 250, "{most} MB");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_requests_are_looked_through_without_taking_them_apart() {
    let most = most_held(MANY_PARTS).await;
    eprintln!("many parts: {most} MB");
    assert!(most < 300, "{most} MB");
}
