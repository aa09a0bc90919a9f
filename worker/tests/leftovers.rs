//! What earlier runs, agents and remotes leave behind: real git remotes, real folders, the real demo agent.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod support;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use common::cloud::files::{At, IfMatch};
use common::cloud::store::Table;
use common::domain::ids::{SessionId, ThreadId};
use common::domain::outcome::JobOutcome;
use common::domain::session::Session;
use git2::{Oid, Repository, Signature};
use support::program::Program;
use support::silent::Silent;
use support::{Remote, World, work};

const KEY: &str = "bakery#amelia";
const HOURS: &str = "change \"7 to 18\" to \"8 to 20\"";
const YEAR: &str = "change \"1920\" to \"1921\"";
const UNFINISHED: &str = "WIP: Auto-save: Stopped\n\nUnfinished-Command-Id: c-2\n";
const BRANCH: &str = "thread-abcdef1";

fn folder(world: &World) -> PathBuf {
    world.path("data/workspaces/bakery-amelia/repo")
}

fn finished(command: &str) -> String {
    format!("Hours\n\nHours\n\nThread: abcdef1\nCommand-Id: {command}\nRequested-By: x\n")
}

async fn run(world: &World, command: &str, instruction: &str) -> common::messages::JobResult {
    world.order(KEY, work(command, "abcdef1", instruction)).await;
    world.result().await
}

async fn changed(world: &World, command: &str, instruction: &str) {
    let result = run(world, command, instruction).await;
    assert_eq!(result.outcome, JobOutcome::Changed, "{result:?}");
}

async fn warm() -> (World, Remote, support::Running) {
    let world = World::new();
    let remote = world.bakery().await;
    let worker = world.worker(&[]);
    changed(&world, "c-1", "change \"Bakery\" to \"Baker\"").await;
    (world, remote, worker)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_of_a_command_that_was_done_elsewhere_meanwhile_is_dropped() {
    let (world, remote, worker) = warm().await;
    let text = "<title>Baker</title><p>Open 8 to 20</p>\n";
    let ours = world.commit_unpushed("site/hours.html", text, &finished("c-2"));
    remote.commit(BRANCH, &[("site/index.html", text)], &finished("c-2"));
    changed(&world, "c-3", YEAR).await;
    let messages = remote.messages(BRANCH);
    assert_eq!(messages.len(), 3, "{messages:?}");
    assert_eq!(messages.iter().filter(|text| text.contains("Command-Id: c-2")).count(), 1);
    assert_eq!(remote.file(BRANCH, "site/index.html").unwrap(), text);
    assert_eq!(remote.file(BRANCH, "site/hours.html"), None);
    let kept = format!("refs/hermes/kept/{BRANCH}-{}", &ours.to_string()[..8]);
    assert_eq!(Repository::open(folder(&world)).unwrap().refname_to_id(&kept).unwrap(), ours);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unpushed_commit_of_the_same_command_is_adopted() {
    let (world, remote, worker) = warm().await;
    world.commit_unpushed("site/index.html", "8 to 20\n", &finished("c-2"));
    remote.commit(BRANCH, &[("site/about.html", "theirs\n")], "theirs");
    changed(&world, "c-2", "change \"nothing that is there\" to \"x\"").await;
    let messages = remote.messages(BRANCH);
    assert_eq!(messages.len(), 3, "{messages:?}");
    assert_eq!(remote.file(BRANCH, "site/index.html").unwrap(), "8 to 20\n");
    worker.stop().await;
}

/// The newest commit of the folder as a git bundle; the folder goes back to the one before.
fn bundled(world: &World) -> Vec<u8> {
    let repo = Repository::open(folder(world)).unwrap();
    let tip = repo.head().unwrap().peel_to_commit().unwrap();
    let parent = tip.parent_id(0).unwrap();
    let mut bytes = format!("# v2 git bundle\n-{parent}\n{} refs/heads/{BRANCH}\n\n", tip.id()).into_bytes();
    let (mut pack, mut part) = (repo.packbuilder().unwrap(), git2::Buf::new());
    pack.insert_commit(tip.id()).unwrap();
    pack.write_buf(&mut part).unwrap();
    bytes.extend_from_slice(&part);
    repo.reset(&repo.find_object(parent, None).unwrap(), git2::ResetType::Hard, None).unwrap();
    bytes
}

/// Told once, and where whoever looks after the source finds it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_that_conflicts_with_what_others_pushed_is_kept_on_a_branch_and_told() {
    for bundle in [true, false] {
        let (world, remote, worker) = warm().await;
        let ours = world.commit_unpushed("site/index.html", "ours\n", UNFINISHED);
        let kept = At::object("wip/c-2");
        if bundle {
            world.cloud.files.put(&kept, bundled(&world).into(), IfMatch::Any).await.unwrap();
        }
        remote.commit(BRANCH, &[("site/index.html", "theirs\n")], "theirs");
        let aside = format!("{BRANCH}-kept-{}", &ours.to_string()[..8]);
        for (command, told) in [("c-2", true), ("c-3", false)] {
            let year = if told { YEAR } else { "change \"1921\" to \"1922\"" };
            let result = run(&world, command, year).await;
            assert_eq!(result.outcome, JobOutcome::Changed, "{result:?}");
            assert_eq!(result.aside.contains(&aside), told, "{result:?}");
        }
        assert_eq!(remote.file(BRANCH, "site/index.html").unwrap(), "theirs\n");
        assert_eq!(remote.file(&aside, "site/index.html").unwrap(), "ours\n");
        assert!(!world.cloud.files.exists(&kept).await.unwrap());
        worker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_run_that_died_kept_on_a_branch_is_pushed_and_told_by_the_next_one() {
    let (world, remote, worker) = warm().await;
    let ours = world.commit_unpushed("site/index.html", "ours\n", UNFINISHED);
    let repo = Repository::open(folder(&world)).unwrap();
    let aside = format!("{BRANCH}-kept-{}", &ours.to_string()[..8]);
    repo.reference(&format!("refs/heads/{aside}"), ours, true, "keep").unwrap();
    let parent = repo.find_commit(ours).unwrap().parent(0).unwrap();
    repo.reset(parent.as_object(), git2::ResetType::Hard, None).unwrap();
    for (command, told) in [("c-2", &[aside.clone()][..]), ("c-3", &[])] {
        assert_eq!(run(&world, command, "do nothing").await.aside, told, "{command}");
    }
    assert_eq!(remote.file(&aside, "site/index.html").unwrap(), "ours\n");
    assert!(repo.find_reference(&format!("refs/heads/{aside}")).is_err(), "the remote has it");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kept_work_that_conflicts_is_told_once_although_nothing_else_is_done() {
    let (world, remote, worker) = warm().await;
    world.commit_unpushed("site/index.html", "ours\n", UNFINISHED);
    let kept = At::object("wip/c-2");
    world.cloud.files.put(&kept, bundled(&world).into(), IfMatch::Any).await.unwrap();
    remote.commit(BRANCH, &[("site/index.html", "theirs\n")], "theirs");
    for (command, told) in [("c-2", 1), ("c-2-again", 0)] {
        let result = run(&world, command, "do nothing").await;
        assert_eq!((result.outcome, result.aside.len()), (JobOutcome::Answered, told), "{result:?}");
    }
    assert!(!world.cloud.files.exists(&kept).await.unwrap());
    worker.stop().await;
}

/// Fails, and edits a page when it is started again.
fn fails_once(world: &World) -> String {
    let mark = world.path("failed").display().to_string();
    format!(
        "node -e \"const fs=require('fs');const mark='{mark}';const again=fs.existsSync(mark);fs.writeFileSync(mark,'');\
         if(again)fs.writeFileSync('site/about.html','edited\\n');console.log(JSON.stringify({{type:'result',\
         subtype:again?'success':'error_during_execution',is_error:!again,result:'x'}}))\""
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_on_a_branch_is_told_although_the_attempt_that_met_it_failed() {
    let (world, remote, worker) = warm().await;
    worker.stop().await;
    let ours = world.commit_unpushed("site/index.html", "ours\n", UNFINISHED);
    remote.commit(BRANCH, &[("site/index.html", "theirs\n")], "theirs");
    let worker = world.worker_with_agent(&fails_once(&world), &[]);
    let result = run(&world, "c-2", YEAR).await;
    assert_eq!((result.outcome, world.job("c-2").await.unwrap().attempts), (JobOutcome::Changed, 2));
    assert_eq!(result.aside, [format!("{BRANCH}-kept-{}", &ours.to_string()[..8])], "{result:?}");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kept_work_is_taken_over_although_its_session_was_not_known_at_once() {
    let (world, remote, worker) = warm().await;
    worker.stop().await;
    world.commit_unpushed("site/kept.html", "kept\n", UNFINISHED);
    let kept = ["c-2", "c-broken"].map(|command| At::object(format!("wip/{command}")));
    for (at, bundle) in kept.iter().zip([bundled(&world), b"no bundle".to_vec()]) {
        world.cloud.files.put(at, bundle.into(), IfMatch::Any).await.unwrap();
    }
    let id = SessionId::of_thread(&ThreadId::parse("abcdef1").unwrap());
    let keep = |row: &mut Session| {
        row.kept = ["c-2", "c-broken", "c-gone"].map(|command| command.parse().unwrap()).into();
        ControlFlow::Continue(())
    };
    world.cloud.store.update::<Session>(&id, keep).await.unwrap().unwrap();

    let (silent, cloud) = Silent::over(&world.cloud, Table::EditSessions);
    let worker = world.worker_over(cloud, &[]);
    world.order(KEY, work("c-3", "abcdef1", YEAR)).await;
    // Once when the claim is taken, once when the job is to begin.
    world.until("two questions", async || (silent.asked() >= 2).then_some(())).await;
    silent.let_go();
    let result = world.result().await;
    assert_eq!(result.outcome, JobOutcome::Changed, "{result:?}");
    assert_eq!(remote.file(BRANCH, "site/kept.html").as_deref(), Some("kept\n"));
    for (at, stays) in kept.iter().zip([false, true]) {
        assert_eq!(world.cloud.files.exists(at).await.unwrap(), stays, "{}", at.key);
    }
    let row = world.cloud.store.load::<Session>(&id).await.unwrap().unwrap().value;
    assert_eq!(row.kept, ["c-broken".parse().unwrap()], "it is the only one that is still there");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_earlier_run_could_not_push_is_pushed_also_by_one_that_changes_nothing() {
    let (world, remote, worker) = warm().await;
    let ours = world.commit_unpushed("site/hours.html", "8 to 20\n", &finished("c-2"));
    let result = run(&world, "c-3", "what is this?").await;
    assert_eq!(result.outcome, JobOutcome::Answered, "{result:?}");
    assert_eq!(remote.tip(BRANCH), Some(ours));
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edits_that_a_shutdown_had_no_time_to_commit_are_saved_by_the_next_run_on_their_thread() {
    let (world, remote, worker) = warm().await;
    for (command, cut_short) in [("c-2", false), ("c-3", true)] {
        std::fs::write(folder(&world).join("site/hours.html"), "half done\n").unwrap();
        if cut_short {
            std::fs::write(folder(&world).with_file_name("left"), "").unwrap();
        }
        changed(&world, command, if cut_short { HOURS } else { YEAR }).await;
        assert_eq!(remote.file(BRANCH, "site/hours.html").is_some(), cut_short);
    }
    assert!(remote.messages(BRANCH).iter().any(|message| message.starts_with("WIP: Auto-save: Left behind")));
    assert!(!folder(&world).with_file_name("left").exists());
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_could_not_be_put_up_is_pushed() {
    let (world, remote, worker) = warm().await;
    let sites = world.path("data/sites");
    std::fs::remove_dir_all(&sites).unwrap();
    std::fs::write(&sites, "in the way").unwrap();
    let result = run(&world, "c-2", HOURS).await;
    assert_eq!(result.outcome, JobOutcome::PublishFailed, "{result:?}");
    assert!(remote.file(BRANCH, "site/index.html").unwrap().contains("8 to 20"), "{result:?}");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_git_would_normalise_are_no_change() {
    let world = World::new();
    let remote = world.bakery().await;
    remote.commit("main", &[(".gitattributes", "*.txt text\n"), ("note.txt", "one\r\ntwo\r\n")], "crlf");
    let worker = world.worker(&[]);
    let result = run(&world, "c-1", "what is this?").await;
    assert_eq!(result.outcome, JobOutcome::Answered, "{result:?}");
    let result = run(&world, "c-2", HOURS).await;
    assert_eq!(result.files_changed, ["site/index.html"], "{result:?}");
    assert_eq!(remote.file(BRANCH, "note.txt").unwrap(), "one\r\ntwo\r\n");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_that_the_remote_refuses_is_no_race() {
    let (world, remote, worker) = warm().await;
    std::fs::write(remote.path.join(format!("refs/heads/{BRANCH}.lock")), "").unwrap();
    let result = run(&world, "c-2", HOURS).await;
    let error = result.error.clone().unwrap();
    assert_eq!(result.outcome, JobOutcome::Refused, "{result:?}");
    assert!(error.contains("change-refused") && error.contains("refused it"), "{error}");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_lock_that_a_killed_git_left_stops_a_job() {
    let (world, _remote, worker) = warm().await;
    let git = folder(&world).join(".git");
    let names = [
        "index.lock",
        "HEAD.lock",
        "config.lock",
        "packed-refs.lock",
        "shallow.lock",
        "refs/hermes/push.lock",
    ];
    let thread = format!("refs/heads/{BRANCH}.lock");
    let log = format!("logs/{thread}");
    let names = names.into_iter().chain([thread.as_str(), log.as_str(), "refs/remotes/origin/main.lock"]);
    for (number, name) in names.enumerate() {
        let lock = git.join(name);
        std::fs::create_dir_all(lock.parent().unwrap()).unwrap();
        std::fs::write(&lock, "").unwrap();
        let change = format!("change \"Open\" to \"Open Open\" {number}");
        changed(&world, &format!("c-lock-{number}"), &change).await;
        assert!(!lock.exists(), "{name}");
    }
    worker.stop().await;
}

fn script(world: &World, body: &str) -> String {
    let path = world.path("agent.mjs");
    let head = "import { execFileSync } from 'node:child_process';\n\
        import { mkdirSync, writeFileSync } from 'node:fs';\n\
        const git = (...args) => execFileSync('git', ['-c', 'user.name=a', '-c', 'user.email=a@example.org', ...args]);\n";
    let tail = "\nconsole.log(JSON.stringify({ type: 'result', subtype: 'success', is_error: false, result: 'done' }));\n";
    std::fs::write(&path, format!("{head}{body}{tail}")).unwrap();
    format!("node '{}'", path.display())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repository_inside_the_repository_becomes_plain_files() {
    let world = World::new();
    let remote = world.bakery().await;
    let agent = script(
        &world,
        "for (const name of ['empty', 'full']) {\n\
           mkdirSync(`site/${name}`); git('init', '-q', `site/${name}`); writeFileSync(`site/${name}/a.html`, name);\n\
         }\n\
         git('-C', 'site/full', 'add', '.'); git('-C', 'site/full', 'commit', '-q', '-m', 'x');",
    );
    let worker = world.worker_with_agent(&agent, &[]);
    let result = run(&world, "c-1", HOURS).await;
    assert_eq!(result.outcome, JobOutcome::Changed, "{result:?}");
    assert_eq!(result.files_changed, ["site/empty/a.html", "site/full/a.html"]);
    assert_eq!(remote.file(BRANCH, "site/full/a.html").unwrap(), "full");
    worker.stop().await;
    for name in ["empty", "full"] {
        assert!(!folder(&world).join("site").join(name).join(".git").exists());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pipes_sockets_and_ignored_repositories_are_gone_in_the_next_job() {
    let (world, _remote, worker) = warm().await;
    let repo = folder(&world);
    nix::unistd::mkfifo(&repo.join("site/pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let socket = std::os::unix::net::UnixListener::bind(repo.join("site/socket")).unwrap();
    Repository::init(repo.join("dist/nested")).unwrap();
    std::fs::create_dir_all(repo.join("node_modules/kept")).unwrap();
    std::os::unix::fs::symlink(world.path("data"), repo.join("dist/link")).unwrap();
    changed(&world, "c-2", HOURS).await;
    drop(socket);
    for gone in ["site/pipe", "site/socket", "dist/nested", "dist/link"] {
        assert!(repo.join(gone).symlink_metadata().is_err(), "{gone}");
    }
    assert!(repo.join("node_modules/kept").is_dir(), "caches stay");
    assert!(world.path("data/sites").is_dir(), "no link was followed");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_checkout_is_put_aside_and_its_unpushed_commits_come_along() {
    let (world, remote, worker) = warm().await;
    world.commit_unpushed("site/by-hand.html", "unpushed\n", &finished("c-2"));
    std::fs::remove_file(folder(&world).join(".git/HEAD")).unwrap();
    std::fs::write(folder(&world).join("site/half.html"), "not even committed\n").unwrap();
    changed(&world, "c-3", HOURS).await;
    assert_eq!(remote.file(BRANCH, "site/by-hand.html").unwrap(), "unpushed\n");
    assert_eq!(remote.messages(BRANCH).len(), 3);
    let damaged = folder(&world).with_extension("damaged");
    assert_eq!(std::fs::read_to_string(damaged.join("site/half.html")).unwrap(), "not even committed\n");
    worker.stop().await;
}

/// Such as one that came along into a copy that was made anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_branch_that_the_remote_has_it_is_known_although_nobody_saw_it_go_there() {
    let (world, remote, worker) = warm().await;
    world.order(KEY, work("c-2", "bbbbbb2", HOURS)).await;
    assert_eq!(world.result().await.outcome, JobOutcome::Changed);
    let repo = Repository::open(folder(&world)).unwrap();
    let seen = "refs/remotes/origin/thread-bbbbbb2";
    repo.find_reference(seen).unwrap().delete().unwrap();
    changed(&world, "c-3", HOURS).await;
    assert_eq!(repo.refname_to_id(seen).ok(), remote.tip("thread-bbbbbb2"));
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_remote_that_cannot_be_read_costs_no_checkout() {
    let (world, remote, worker) = warm().await;
    let ours = world.commit_unpushed("site/by-hand.html", "unpushed\n", &finished("c-2"));
    let theirs = remote.commit(BRANCH, &[("site/x.html", "theirs\n")], "theirs").to_string();
    let object = remote.path.join("objects").join(&theirs[..2]).join(&theirs[2..]);
    std::fs::remove_file(&object).unwrap();
    std::fs::write(&object, "garbage").unwrap();
    let result = run(&world, "c-3", HOURS).await;
    assert_eq!(result.outcome, JobOutcome::Failed, "{result:?}");
    assert!(!folder(&world).with_extension("damaged").exists());
    let tip =
        Repository::open(folder(&world)).unwrap().refname_to_id(&format!("refs/heads/{BRANCH}")).unwrap();
    assert_eq!(tip, ours);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_tree_is_refused_and_costs_no_unpushed_commit() {
    let (world, remote, worker) = warm().await;
    world.commit_unpushed("site/by-hand.html", "unpushed\n", &finished("c-2"));
    hostile(&remote, "thread-evil001");
    world.order(KEY, work("c-3", "evil001", HOURS)).await;
    let result = world.result().await;
    assert_eq!(result.outcome, JobOutcome::Refused, "{result:?}");
    assert!(result.error.unwrap().contains("repository-hostile"));
    changed(&world, "c-4", HOURS).await;
    assert_eq!(remote.file(BRANCH, "site/by-hand.html").unwrap(), "unpushed\n");
    assert_eq!(remote.messages(BRANCH).len(), 3, "nothing was taken for deleted");
    assert!(!folder(&world).with_extension("damaged").exists());
    worker.stop().await;
}

/// A branch whose tree has an entry `.git`.
fn hostile(remote: &Remote, branch: &str) {
    let repo = remote.repo();
    let blob = repo.blob(b"[core]\n").unwrap();
    let entry =
        |mode: &str, name: &str, id: Oid| [format!("{mode} {name}\0").as_bytes(), id.as_bytes()].concat();
    let odb = repo.odb().unwrap();
    let inner = odb.write(git2::ObjectType::Tree, &entry("100644", "config", blob)).unwrap();
    let tree = odb.write(git2::ObjectType::Tree, &entry("40000", ".git", inner)).unwrap();
    let parent = remote.tip("main").unwrap();
    let text = format!(
        "tree {tree}\nparent {parent}\nauthor x <x@example.org> 1 +0000\ncommitter x <x@example.org> 1 +0000\n\nevil\n"
    );
    let commit = odb.write(git2::ObjectType::Commit, text.as_bytes()).unwrap();
    repo.reference(&format!("refs/heads/{branch}"), commit, true, "test").unwrap();
}

/// A folder as it is at this moment.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (entry, target) = entry.map(|entry| (entry.path(), to.join(entry.file_name()))).unwrap();
        if entry.is_dir() {
            copy(&entry, &target);
        } else {
            std::fs::copy(entry, target).unwrap();
        }
    }
}

/// Writes half a page and waits for how it should end.
const IN_TWO_HALVES: &str = "import { existsSync, readFileSync, rmSync } from 'node:fs';\n\
    const asked = readFileSync(0, 'utf8');\n\
    if (asked.includes('in halves')) {\n\
      writeFileSync('site/half.html', 'half\\n');\n\
      while (!existsSync(process.argv[2])) await new Promise((done) => setTimeout(done, 10));\n\
      rmSync('site/half.html');\n\
    }\n\
    const ends = asked.includes('in halves') ? readFileSync(process.argv[2], 'utf8') : 'later';\n\
    if (ends !== 'nothing') writeFileSync(`site/${ends}.html`, ends);";

/// One worker is killed in the middle of the agent's work, which another one brings to its end; then the first one's disk
/// is used again.
async fn after_a_kill(ends: &str) -> (World, Remote) {
    let world = World::new();
    let remote = world.bakery().await;
    let go = world.path("go");
    let agent = format!("{} '{}'", script(&world, IN_TWO_HALVES), go.display());
    let worker = world.worker_with_agent(&agent, &[]);
    world.order(KEY, work("c-1", "abcdef1", "in halves")).await;
    let half = folder(&world).join("site/half.html");
    world.until("half of the work", async || half.exists().then_some(())).await;
    copy(&world.path("data/workspaces"), &world.path("killed"));
    std::fs::write(world.path("go.new"), ends).unwrap();
    std::fs::rename(world.path("go.new"), go).unwrap();
    let outcome = world.result().await.outcome;
    assert_eq!(outcome, if ends == "nothing" { JobOutcome::Answered } else { JobOutcome::Changed });
    worker.stop().await;

    let killed = world.path("killed").display().to_string();
    let worker = world.worker_with_agent(&agent, &["--workspace-path", &killed]);
    world.order(KEY, work("c-2", "bbbbbb2", "go on")).await;
    assert_eq!(world.result().await.outcome, JobOutcome::Changed);
    changed(&world, "c-3", "go on").await;
    worker.stop().await;
    (world, remote)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_worker_left_does_not_come_back_on_top_of_the_same_work_ended_elsewhere() {
    for (ends, commits) in [("whole", 2), ("nothing", 1)] {
        let (world, remote) = after_a_kill(ends).await;
        assert_eq!(remote.file(BRANCH, "site/half.html"), None, "{ends}");
        assert_eq!(remote.file(BRANCH, "site/whole.html").is_some(), ends == "whole");
        let messages = remote.messages(BRANCH);
        assert_eq!(messages.len(), commits, "{messages:?}");
        assert_eq!(remote.file("thread-bbbbbb2", "site/half.html"), None, "{ends}");
        let repo = Repository::open(world.path("killed/bakery-amelia/repo")).unwrap();
        let kept = repo.references_glob(&format!("refs/hermes/kept/{BRANCH}-*")).unwrap();
        let [kept] = &kept.flatten().collect::<Vec<_>>()[..] else { panic!("it is kept aside: {ends}") };
        assert!(kept.peel_to_tree().unwrap().get_path("site/half.html".as_ref()).is_ok());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_repository_is_another_clone_and_work_that_the_old_one_has_not_got_is_kept_aside() {
    let (world, old, worker) = warm().await;
    world.commit_unpushed("site/by-hand.html", "unpushed\n", &finished("c-2"));
    let tip = old.tip(BRANCH);
    let moved = ["site/index.html", "site/about.html"].map(|path| (path, "moved to 7 to 18\n"));
    let new = world.remote("moved", &[moved[0], moved[1], (".gitignore", "dist/\n")]);
    world.project("bakery", &new).await;
    changed(&world, "c-3", HOURS).await;
    assert_eq!(new.file(BRANCH, "site/index.html").unwrap(), "moved to 8 to 20\n");
    assert_eq!((new.file(BRANCH, "site/by-hand.html"), new.messages(BRANCH).len()), (None, 1));
    assert_eq!(old.tip(BRANCH), tip);
    let kept = folder(&world).with_file_name("repo.kept-1");
    assert_eq!(std::fs::read_to_string(kept.join("site/by-hand.html")).unwrap(), "unpushed\n");

    // Nothing is kept of a clone whose work is all where it came from.
    world.project("bakery", &old).await;
    changed(&world, "c-4", HOURS).await;
    assert_eq!(old.messages(BRANCH).len(), 2);
    assert!(!folder(&world).with_file_name("repo.kept-2").exists());
    changed(&world, "c-5", YEAR).await;
    assert_eq!(old.messages(BRANCH).len(), 3, "the clone is kept warm");
    worker.stop().await;
}

/// Puts other bytes under the name of the blob that the folder's HEAD has of a file, and takes the file away.
fn forge(world: &World, path: &str, text: &str) {
    let repo = Repository::open(folder(world)).unwrap();
    let tree = repo.head().unwrap().peel_to_tree().unwrap();
    let object = |repo: &Repository, id: Oid| {
        let id = id.to_string();
        repo.path().join("objects").join(&id[..2]).join(&id[2..])
    };
    let victim = object(&repo, tree.get_path(path.as_ref()).unwrap().id());
    let elsewhere = Repository::init_bare(world.path("forge")).unwrap();
    let forged = elsewhere.blob(text.as_bytes()).unwrap();
    std::fs::remove_file(&victim).unwrap();
    std::fs::copy(object(&elsewhere, forged), victim).unwrap();
    std::fs::remove_file(folder(world).join(path)).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_an_agent_without_walls_has_forged_is_not_taken_for_what_its_name_says() {
    let (world, remote, worker) = warm().await;
    forge(&world, "site/index.html", "<p>forged</p>\n");
    let result = run(&world, "c-2", YEAR).await;
    assert_eq!(result.outcome, JobOutcome::Changed, "{result:?}");
    let page = world.page(&result, "index.html").unwrap();
    assert!(page.contains("<title>Baker</title>"), "{page}");
    assert_eq!(remote.messages(BRANCH).len(), 2);
    worker.stop().await;
}

/// A worker that is given this work and killed as soon as its folder looks like that.
async fn killed(world: &World, walls: &str, order: serde_json::Value, looks: impl Fn(&Path) -> bool) {
    let mut program = Program::start(world, &[("SANDBOX", walls), ("HERMES_LEASE_SECS", "2")]);
    world.order(KEY, order).await;
    let root = folder(world).parent().unwrap().to_owned();
    let end = std::time::Instant::now() + support::LIMIT;
    while !looks(&root) {
        assert!(std::time::Instant::now() < end, "it never looked like that: {:#?}", program.log);
        tokio::task::yield_now().await;
    }
    program.child.kill().unwrap();
    program.child.wait().unwrap();
}

/// A worker that goes on with what a killed one had begun.
async fn followed(world: &World, walls: &str) -> support::Running {
    let claim = async || world.cloud.claims.get(&KEY.parse().unwrap()).await.unwrap().unwrap();
    let epoch = claim().await.epoch;
    let worker = world.worker(&["--sandbox", walls, "--lease-secs", "2"]);
    let taken_over = async || {
        world.announce(KEY).await;
        (claim().await.epoch > epoch).then_some(())
    };
    world.until("the take-over", taken_over).await;
    worker
}

/// Whether a checkout was put aside, and the one in its place is asking the remote.
fn is_made_anew(root: &Path) -> bool {
    let aside = std::fs::read_dir(root).unwrap().flatten();
    let is_aside = aside.into_iter().any(|entry| entry.file_name().to_string_lossy().starts_with("repo."));
    is_aside && root.join("repo/.git/hermes-origin").exists()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_killed_while_it_makes_a_checkout_anew_loses_nothing_of_the_old_one() {
    for (walls, damaged) in [("off", true), ("namespaces", false)] {
        let (world, remote, worker) = warm().await;
        worker.stop().await;
        world.commit_unpushed("site/by-hand.html", "unpushed\n", &finished("c-2"));
        if damaged {
            std::fs::remove_file(folder(&world).join(".git/HEAD")).unwrap();
        } else {
            std::fs::write(folder(&world).join("site/half.html"), "half done\n").unwrap();
        }
        // Whoever reads it waits for somebody to write.
        let hangs = remote.path.join("packed-refs");
        nix::unistd::mkfifo(&hangs, nix::sys::stat::Mode::S_IRWXU).unwrap();
        killed(&world, walls, work("c-3", "bbbbbb2", HOURS), is_made_anew).await;
        std::fs::remove_file(hangs).unwrap();
        let worker = followed(&world, walls).await;
        assert_eq!(world.result().await.outcome, JobOutcome::Changed);
        changed(&world, "c-4", YEAR).await;
        worker.stop().await;
        assert_eq!(remote.file(BRANCH, "site/by-hand.html").unwrap(), "unpushed\n", "{walls}");
        assert_eq!(remote.file(BRANCH, "site/half.html").is_some(), !damaged, "{walls}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_killed_while_it_lays_out_a_branch_mixes_it_with_no_other() {
    let (world, remote, worker) = warm().await;
    worker.stop().await;
    let names: Vec<_> = (0..20_000).map(|number| format!("many/{number}.txt")).collect();
    let files: Vec<_> = names.iter().map(|name| (name.as_str(), "one of many\n")).collect();
    remote.commit("thread-bbbbbb2", &files, "many");
    let is_half_there = |root: &Path| root.join("repo/many").exists();
    killed(&world, "off", work("c-2", "bbbbbb2", HOURS), is_half_there).await;
    let head = Repository::open(folder(&world)).unwrap().head().unwrap().name().map(str::to_owned);
    assert_eq!(head.unwrap(), format!("refs/heads/{BRANCH}"), "it was killed in between");
    let worker = followed(&world, "off").await;
    assert_eq!(world.result().await.outcome, JobOutcome::Changed);
    changed(&world, "c-3", YEAR).await;
    worker.stop().await;
    assert_eq!(remote.messages(BRANCH).len(), 2, "{:?}", remote.messages(BRANCH));
    assert!(remote.file(BRANCH, "site/index.html").unwrap().contains("Baker<"));
}

/// A branch of the folder that never got to the remote and that no checkout takes.
fn too_deep(world: &World, branch: &str) {
    let repo = Repository::open(folder(world)).unwrap();
    let parent = repo.head().unwrap().peel_to_commit().unwrap();
    let mut tree = repo.treebuilder(None).unwrap();
    tree.insert("f", repo.blob(b"deep").unwrap(), 0o100_644).unwrap();
    let mut inner = tree.write().unwrap();
    for _ in 0..510 {
        let mut tree = repo.treebuilder(None).unwrap();
        tree.insert("d", inner, 0o040_000).unwrap();
        inner = tree.write().unwrap();
    }
    let (tree, who) = (repo.find_tree(inner).unwrap(), Signature::now("x", "x@example.org").unwrap());
    repo.commit(Some(&format!("refs/heads/{branch}")), &who, &who, "deep", &tree, &[&parent]).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkout_that_could_not_be_made_anew_is_back_with_all_that_is_noted_beside_it() {
    let (world, remote, worker) = warm().await;
    worker.stop().await;
    too_deep(&world, "thread-deep001");
    std::fs::write(folder(&world).join("site/made.html"), "made by a build\n").unwrap();
    let notes = ["built", "left", "begun", "agent"].map(|name| folder(&world).with_file_name(name));
    let texts = || notes.each_ref().map(|note| std::fs::read_to_string(note).ok());
    for note in &notes {
        std::fs::write(note, "c-1 1\n").unwrap();
    }
    let before = texts();
    let worker = world.worker(&["--sandbox", "namespaces"]);
    world.order(KEY, work("c-2", "deep001", HOURS)).await;
    let result = world.result().await;
    assert_eq!(result.outcome, JobOutcome::Refused, "{result:?}");
    assert_eq!(texts(), before);
    world.order(KEY, work("c-3", "bbbbbb2", HOURS)).await;
    assert_eq!(world.result().await.outcome, JobOutcome::Changed);
    assert_eq!(texts(), [const { None }; 4], "they were about the checkout before");
    changed(&world, "c-4", YEAR).await;
    assert_eq!(remote.file(BRANCH, "site/made.html"), None);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_killed_while_it_removes_the_clone_of_another_repository_takes_nothing_of_it_along()
{
    let (world, _old, worker) = warm().await;
    worker.stop().await;
    for number in 0..256 {
        let objects = folder(&world).join(format!(".git/objects/{number:02x}"));
        std::fs::create_dir_all(&objects).unwrap();
        (0..100).for_each(|name| std::fs::write(objects.join(name.to_string()), "").unwrap());
    }
    let moved = ["site/index.html", "site/about.html"].map(|path| (path, "moved to 7 to 18 in 1920\n"));
    let new = world.remote("moved", &[moved[0], moved[1], (".gitignore", "dist/\n")]);
    world.project("bakery", &new).await;
    let is_going = |root: &Path| !root.join("repo/.git/HEAD").exists();
    killed(&world, "off", work("c-2", "abcdef1", HOURS), is_going).await;
    let worker = followed(&world, "off").await;
    assert_eq!(world.result().await.outcome, JobOutcome::Changed);
    changed(&world, "c-3", YEAR).await;
    worker.stop().await;
    assert_eq!(new.messages(BRANCH).len(), 2, "{:?}", new.messages(BRANCH));
    let root = std::fs::read_dir(folder(&world).parent().unwrap()).unwrap().flatten();
    let aside: Vec<_> = root
        .map(|entry| entry.file_name())
        .filter(|name| name.to_string_lossy().starts_with("repo."))
        .collect();
    assert!(aside.is_empty(), "{aside:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_too_large_costs_no_unfinished_work_beside_it() {
    let (world, remote, worker) = warm().await;
    let site = folder(&world).join("site");
    std::fs::write(site.join("half.html"), "half done\n").unwrap();
    std::fs::write(site.join("index.html"), "half done\n").unwrap();
    std::fs::File::create(site.join("all.tar")).unwrap().set_len(150 * 1024 * 1024).unwrap();
    world.order(KEY, work("c-2", "bbbbbb2", HOURS)).await;
    assert_eq!(world.result().await.outcome, JobOutcome::Changed);
    changed(&world, "c-3", YEAR).await;
    assert_eq!(remote.file(BRANCH, "site/half.html").unwrap(), "half done\n");
    assert_eq!(remote.file(BRANCH, "site/index.html").unwrap(), "half done\n");
    assert_eq!(remote.file(BRANCH, "site/all.tar"), None);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_no_checkout_would_take_is_not_committed() {
    const DEEP: &str = "import { rmSync, existsSync, readFileSync } from 'node:fs';\n\
        const asked = readFileSync(0, 'utf8');\n\
        writeFileSync('site/new.html', asked.includes('deep') ? 'deep' : 'plain');\n\
        if (asked.includes('deep')) { mkdirSync('d/'.repeat(510), { recursive: true }); writeFileSync('d/'.repeat(510) + 'f', 'x'); }";
    let world = World::new();
    let remote = world.bakery().await;
    let worker = world.worker_with_agent(&script(&world, DEEP), &[]);
    let result = run(&world, "c-1", "deep").await;
    let error = result.error.clone().unwrap_or_default();
    assert_eq!(result.outcome, JobOutcome::Refused, "{result:?}");
    assert!(error.contains("too-large") && error.contains("lie in one another"), "{error}");
    changed(&world, "c-2", "plain").await;
    assert_eq!(remote.messages(BRANCH).len(), 1);
    worker.stop().await;
}
