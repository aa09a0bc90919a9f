//! Children: an empty environment, bounded output, and groups that are gone when we say so.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use worker::config::Programs;
use worker::process::{Bounds, End, Launch};
use worker::secrets::Secrets;

fn launch(argv: &[&str]) -> Launch {
    let path = ("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned());
    let mut argv: Vec<String> = argv.iter().map(|word| (*word).to_owned()).collect();
    if let Some(name) = argv.first_mut().filter(|name| !name.contains('/')) {
        *name = Programs::of_path(&path.1).find(name).expect("it is installed");
    }
    Launch { argv, dir: "/".into(), env: BTreeMap::from([path]), lock: None, bounds: Bounds::default() }
}

const LONG: Duration = Duration::from_mins(1);

fn is_alive(pid: &str) -> bool {
    let state = std::fs::read_to_string(Path::new("/proc").join(pid.trim()).join("stat"));
    state.is_ok_and(|stat| !stat.contains(") Z "))
}

#[tokio::test]
async fn a_child_sees_only_the_environment_it_is_given() {
    let finished =
        launch(&["env"]).run(LONG, 10_000, &Secrets::default(), &CancellationToken::new()).await.unwrap();
    assert_eq!(finished.output, "PATH=/usr/local/bin:/usr/bin:/bin");
}

#[tokio::test]
async fn a_bare_name_is_never_looked_for_in_the_folder_of_the_child() {
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/bin/true", folder.path().join("agent")).unwrap();
    let mut bare = launch(&["env"]);
    bare.argv[0] = "agent".into();
    bare.dir = folder.path().to_owned();
    bare.env.insert("PATH".into(), format!(".::{}", folder.path().display()));
    assert!(bare.start().unwrap_err().to_string().contains("path"));
}

#[tokio::test]
async fn only_the_end_of_long_output_is_kept() {
    let finished = launch(&["seq", "100000"])
        .run(LONG, 100, &Secrets::default(), &CancellationToken::new())
        .await
        .unwrap();
    assert!(matches!(finished.end, End::Exited(status) if status.success()));
    assert!(
        finished.output.len() <= 100 && finished.output.ends_with("99999\n100000"),
        "{}",
        finished.output
    );
}

#[tokio::test]
async fn a_limit_ends_the_whole_group_even_when_it_does_not_obey() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("pid");
    let script = format!(
        "process.on('SIGTERM',()=>{{}});\
         const c=require('child_process').spawn('sleep',['1000'],{{stdio:'ignore'}});\
         require('fs').writeFileSync('{}',String(c.pid));setInterval(()=>{{}},9e9)",
        place.display()
    );
    let begun = Instant::now();
    let limit = Duration::from_secs(2);
    let finished = launch(&["node", "-e", &script])
        .run(limit, 100, &Secrets::default(), &CancellationToken::new())
        .await
        .unwrap();
    assert_eq!(finished.end, End::TimedOut);
    assert!(begun.elapsed() < Duration::from_secs(8));
    assert!(!is_alive(&std::fs::read_to_string(place).unwrap()), "the grandchild is gone as well");
}

#[tokio::test]
async fn a_cancelled_child_is_gone() {
    let cancel = CancellationToken::new();
    cancel.cancel();
    let finished = launch(&["sleep", "1000"]).run(LONG, 100, &Secrets::default(), &cancel).await.unwrap();
    assert_eq!(finished.end, End::Cancelled);
}

#[tokio::test]
async fn a_dropped_child_is_killed() {
    let mut running = launch(&["cat"]).start().unwrap();
    let mut input = running.take_stdin();
    assert!(input.is_some());
    let child = running.id().expect("it runs").to_string();
    assert!(is_alive(&child));
    drop(running);
    let gone = async {
        while is_alive(&child) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, gone).await.unwrap();
    input.take();
}

#[tokio::test]
async fn a_program_that_does_not_exist_is_an_error_that_names_it() {
    let error = launch(&["/no/such/program"]).start().unwrap_err();
    assert!(error.to_string().contains("/no/such/program"), "{error}");
    assert!(launch(&[]).start().is_err());
}
