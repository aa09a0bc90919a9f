//! Agent and build behind walls: what they see, and that a job is done there as anywhere else.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod support;

use common::domain::outcome::JobOutcome;
use serde_json::Value;
use support::{World, work};

const KEY: &str = "bakery#amelia";
/// Tells what it sees of the machine as its result.
const LOOK: &str = "const fs=require('fs'),os=require('os');\
    const list=p=>{try{return fs.readdirSync(p).sort()}catch(e){return e.code}};\
    const read=p=>{try{return fs.readFileSync(p,'utf8')}catch(e){return e.code}};\
    const write=p=>{try{fs.writeFileSync(p,'x');return 'written'}catch(e){return e.code}};\
    const seen={uid:os.userInfo().uid,cwd:process.cwd(),env:Object.keys(process.env).sort(),\
    first:read('/proc/1/environ'),processes:list('/proc').filter(n=>/^[0-9]+$/.test(n)).length,\
    root:list('/'),home:list(os.homedir()),net:Object.keys(os.networkInterfaces()),\
    git:write('.git/config'),own:write('site/own.txt'),usr:write('/usr/x'),top:write('/x'),tmp:write('/tmp/x')};\
    console.log(JSON.stringify({type:'result',subtype:'success',result:JSON.stringify(seen)}))";

async fn seen_by_agent(world: &World) -> Value {
    world.bakery().await;
    let worker = world.worker_with_agent(&format!("node -e \"{LOOK}\""), &["--sandbox", "namespaces"]);
    world.order(KEY, work("c-1", "abcdef1", "look around")).await;
    let result = world.result().await;
    worker.stop().await;
    serde_json::from_str(&result.summary).unwrap_or_else(|_| panic!("{result:?}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_namespaces_a_job_is_done_as_anywhere_else() {
    let world = World::new();
    let remote = world.bakery().await;
    let worker = world.worker(&["--sandbox", "namespaces"]);
    world.order(KEY, work("c-1", "abcdef1", "change \"7 to 18\" to \"8 to 20\"")).await;
    let result = world.result().await;
    assert_eq!(result.outcome, JobOutcome::Changed, "{result:?}");
    assert!(world.page(&result, "index.html").unwrap().contains("8 to 20"));
    assert!(remote.file("thread-abcdef1", "site/index.html").unwrap().contains("8 to 20"));
    world.order(KEY, work("c-2", "abcdef1", "change \"8 to 20\" to \"9 to 21\"")).await;
    assert_eq!(world.result().await.outcome, JobOutcome::Changed);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_namespaces_an_agent_sees_its_site_and_nothing_of_the_worker() {
    let world = World::new();
    let seen = seen_by_agent(&world).await;
    assert_eq!((seen["uid"].as_u64(), seen["cwd"].as_str()), (Some(1000), Some("/site")), "{seen:#}");
    assert_eq!(seen["first"], "EACCES", "the first process belongs to somebody else: {seen:#}");
    assert!(seen["processes"].as_u64().unwrap() <= 4, "{seen:#}");
    assert_eq!(seen["net"], serde_json::json!(["lo"]), "{seen:#}");
    assert_eq!(seen["git"], "EROFS", "{seen:#}");
    assert_eq!((&seen["own"], &seen["tmp"]), (&"written".into(), &"written".into()), "{seen:#}");
    for closed in ["usr", "top"] {
        assert!(["EROFS", "EACCES"].contains(&seen[closed].as_str().unwrap()), "{seen:#}");
    }
    let root = seen["root"].to_string();
    for hidden in ["boot", "mnt", "opt", "srv", "sys"] {
        assert!(!root.contains(hidden), "{root}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clone_that_was_used_without_walls_is_made_anew_before_it_is_used_behind_them() {
    let world = World::new();
    let remote = world.bakery().await;
    let git = world.path("data/workspaces/bakery-amelia/repo/.git");
    let planted = git.join("planted");
    for (command, walls, stays) in [
        ("c-1", "off", true),
        ("c-2", "namespaces", false),
        ("c-3", "namespaces", true),
        ("c-4", "off", true),
    ] {
        if git.exists() {
            std::fs::write(&planted, "").unwrap();
        }
        if command == "c-2" {
            std::fs::write(git.with_file_name("site/left.html"), "cut short\n").unwrap();
            std::fs::write(world.path("data/workspaces/bakery-amelia/left"), "").unwrap();
        }
        let worker = world.worker(&["--sandbox", walls]);
        world.order(KEY, work(command, "abcdef1", &format!("add a page about {command}"))).await;
        let result = world.result().await;
        worker.stop().await;
        assert_eq!(result.outcome, JobOutcome::Changed, "{result:?}");
        assert!(command == "c-1" || planted.exists() == stays, "{command}");
    }
    assert_eq!(remote.messages("thread-abcdef1").len(), 5);
    assert_eq!(remote.file("thread-abcdef1", "site/left.html").unwrap(), "cut short\n", "it comes along");
}
