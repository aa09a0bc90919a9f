//! The commands of the README's chapter "By hand", run word by word as a newcomer would type them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use std::fmt::Write as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use e2e::process::binary;
use e2e::wait;
use e2e::world::World;

const LIMIT: Duration = Duration::from_mins(4);

/// The shell blocks of a chapter, in order.
fn blocks(readme: &str, chapter: &str) -> Vec<String> {
    let (_, rest) = readme.split_once(&format!("\n## {chapter}\n")).expect("the chapter is there");
    let chapter = rest.split("\n## ").next().unwrap();
    let fenced = chapter.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    fenced.map(str::to_owned).collect()
}

/// One script: the programs of the block with `hermes serve` run beside the rest, each in its own terminal, so to speak.
fn script(blocks: &[String]) -> String {
    let mut script = "set -euo pipefail\ntrap 'kill $(jobs -p); wait' EXIT\n".to_owned();
    for block in blocks {
        if block.contains("hermes serve") {
            for line in block.lines() {
                let program = line.split(' ').next().unwrap();
                let _ = writeln!(
                    script,
                    "{line} 2> {program}.log &\nuntil grep -q 'is ready' {program}.log; do kill -0 $!; sleep 0.1; done"
                );
            }
        } else {
            script.push_str(block);
        }
    }
    // What the README promises next: answers to read. The script's end ends the programs.
    script
        + "until [ \"$(hermes jobs list --json | grep -c '\"state\": *\"done\"')\" = 2 ]; do sleep 0.2; done\n"
}

fn port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[tokio::test]
#[allow(clippy::disallowed_methods, reason = "the README is followed in a shell, as people do")]
async fn the_readme_by_hand_works_word_by_word() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("target")).unwrap();
    symlink(binary("hermes").unwrap().parent().unwrap(), folder.path().join("target/debug")).unwrap();
    symlink(root.join(".tools"), folder.path().join(".tools")).unwrap();
    symlink(root.join("examples"), folder.path().join("examples")).unwrap();
    let blocks = blocks(&readme, "By hand");
    assert!(blocks.len() >= 6, "{blocks:?}");
    let port = port().to_string();
    let script = script(&blocks).replace("8025", &port);

    let run = tokio::process::Command::new("bash")
        .args(["-c", &script])
        .current_dir(folder.path())
        .env("HERMES_LISTEN", format!("127.0.0.1:{port}"))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(LIMIT, run).await.expect("it ends in time").unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let logs = ["hermes.log", "worker.log"]
        .map(|log| std::fs::read_to_string(folder.path().join(log)).unwrap_or_default());
    assert!(output.status.success(), "{said}\n{}", logs.join("\n"));

    let world = World::over(&folder.path().join(".hermes"));
    let mails = wait::until("the answer", Duration::from_secs(5), || async {
        let mails = world.sent_mails()?;
        Ok((!mails.is_empty()).then_some(mails))
    });
    let mails = mails.await.unwrap();
    assert_eq!(mails.len(), 1, "one mail, one answer: {said}");
    assert!(mails[0].1.contains("amelia.localhost"), "it links to the preview:\n{}", mails[0].1);
}
