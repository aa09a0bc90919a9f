//! What a hostile agent makes the worker itself hold: however much it says or asks, that stays small.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test may"
)]

mod support;

use support::program::Program;
use support::{World, work};

/// Says something as the agent of 150 turns, each with an id that is nearly a megabyte long.
const LONG_IDS: &str = r#"
import json
for turn in range(150):
    message = {"id": "%06d" % turn + "x" * 1000000, "model": "m", "usage": {"output_tokens": 1}}
    print(json.dumps({"type": "assistant", "message": message}), flush=True)
"#;
const DONE: &str =
    "\nimport json\nprint(json.dumps({'type': 'result', 'subtype': 'success', 'result': 'done'}))\n";

/// The most that the worker held at once while this agent ran, in megabytes.
async fn most_held(agent: &str) -> u64 {
    let world = World::new();
    let script = format!("{agent}{DONE}");
    let remote = world.remote("bakery", &[("agent.py", script.as_str()), ("site/index.html", "x")]);
    world.project("bakery", &remote).await;
    let settings = [
        ("SANDBOX", "off"),
        ("AGENT_COMMAND", "/usr/bin/python3 agent.py"),
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
