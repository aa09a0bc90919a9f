//! Agent and build behind walls: what they see, and that a job is done there as anywhere else.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod support;

use common::cloud::files::{At, IfMatch};
use common::domain::names::ContentHash;
use common::domain::outcome::JobOutcome;
use serde_json::{Value, json};
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

/// Says what lies among the attachments, and fails while the page is broken.
const LOOKING_BUILD: &str = "const fs=require('fs');fs.cpSync('site','dist',{recursive:true});\
    let seen;try{seen=fs.readdirSync('/attachments')}catch(e){seen=e.code}\
    console.log('build: '+seen+';');\
    if(fs.readFileSync('site/index.html','utf8')==='broken')process.exit(1)";
/// Mends the page with what the build saw and what it sees itself.
const LOOKING_AGENT: &str = "const fs=require('fs');const asked=fs.readFileSync(0,'utf8');\
    const built=asked.match(/> (build: [^;]*;)/)[1];\
    fs.writeFileSync('site/index.html',built+' agent: '+fs.readdirSync('/attachments'));\
    console.log(JSON.stringify({type:'result',subtype:'success',result:asked}))";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_came_with_a_mail_is_seen_by_the_agent_that_works_on_it_and_by_nobody_else() {
    let world = World::new();
    let remote = world.bakery().await;
    world.project_built_by("bakery", &remote, &["node", "-e", LOOKING_BUILD]).await;
    // An earlier run did the work and did not live to see it built; a later one of something else was killed.
    let finished = "Hours\n\nHours\n\nThread: abcdef1\nCommand-Id: c-1\nRequested-By: x\n";
    remote.commit("thread-abcdef1", &[("site/index.html", "broken")], finished);
    let folder = world.path("data/workspaces/bakery-amelia/attachments");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("foreign.txt"), "of another conversation").unwrap();
    let key = "mail/attachments/own";
    world.cloud.files.put(&At::object(key), "own".into(), IfMatch::Any).await.unwrap();
    let mut order = work("c-1", "abcdef1", "mend it");
    order["attachments"] = json!([{"key": key, "name": "own.txt", "mimeType": "text/plain",
        "sizeBytes": 3, "sha256": ContentHash::of(b"own")}]);
    let worker =
        world.worker_with_agent(&format!("node -e \"{LOOKING_AGENT}\""), &["--sandbox", "namespaces"]);
    world.order(KEY, order).await;
    let result = world.result().await;
    worker.stop().await;
    assert_eq!(result.outcome, JobOutcome::Changed, "{result:?}");
    assert_eq!(world.page(&result, "index.html").unwrap(), "build: ENOENT; agent: own.txt");
    assert!(!folder.exists(), "it is gone with the agent");
}
