//! What was built is looked at before it is published; what must not be published goes back to the agent, at most twice.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod support;

use common::cloud::files::At;
use common::cloud::queue::Outgoing;
use common::domain::names::{self, Queue};
use common::domain::outcome::JobOutcome;
use common::messages::JobResult;
use support::{World, work};

const KEY: &str = "bakery#amelia";
/// Does as the instruction says: `put PATH` and the page's text behind it; mends with what lies in `mends/N`, in order.
const SCRIPTED: &str = r"
const fs = require('fs');
const path = require('path');
const [, , mends] = process.argv;
const prompt = fs.readFileSync(0, 'utf8');
const put = (text) => {
  const [, file, rest] = text.match(/put (\S+) ([^\n]*)/);
  if (rest === 'nothing') return fs.rmSync(file);
  if (rest === 'half') setInterval(() => {}, 9e9);
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, rest + '\n');
};
if (!prompt.includes('cannot be published')) put(prompt);
else {
  const next = fs.readdirSync(mends).sort()[0];
  if (next) {
    put(fs.readFileSync(path.join(mends, next), 'utf8'));
    fs.rmSync(path.join(mends, next));
  }
}
console.log(JSON.stringify({ type: 'system', subtype: 'init', session_id: 's' }));
if (fs.existsSync('site/half.html')) return;
console.log(JSON.stringify({ type: 'result', subtype: 'success', result: 'Done.', num_turns: 4294967295, total_cost_usd: 0.5 }));
";

const UNTIDY: &str = r"
const fs = require('fs');
fs.cpSync('site', 'dist', { recursive: true });
fs.appendFileSync('stamp.txt', 'built\n');
fs.writeFileSync('left-by-the-build.log', 'x');
fs.writeFileSync(`${process.env.TMPDIR}/x`, 'x');
for (const cache of ['.astro', '.cache']) {
  fs.mkdirSync(cache, { recursive: true });
  fs.writeFileSync(`${cache}/x`, 'x');
}
";
const SOURCE: &[(&str, &str)] = &[("site/index.html", "<p>Open</p>\n"), ("stamp.txt", "")];

struct Stand {
    world: World,
    remote: support::Remote,
    worker: support::Running,
}

impl Stand {
    /// A bakery whose agent mends like this.
    async fn new(mends: &[&str]) -> Self {
        let world = World::new();
        let remote = world.bakery().await;
        Self::over(world, remote, mends)
    }

    /// One whose source has no `.gitignore`, and whose build also rewrites a file of it and leaves caches.
    async fn that_ignores_nothing(files: &[(&str, &str)], mends: &[&str]) -> Self {
        let world = World::new();
        let remote = world.remote("bakery", files);
        world.project_built_by("bakery", &remote, &["node", "-e", UNTIDY]).await;
        Self::over(world, remote, mends)
    }

    fn over(world: World, remote: support::Remote, mends: &[&str]) -> Self {
        std::fs::create_dir(world.path("mends")).unwrap();
        for (number, mend) in mends.iter().enumerate() {
            std::fs::write(world.path("mends").join(number.to_string()), mend).unwrap();
        }
        std::fs::write(world.path("agent.js"), SCRIPTED).unwrap();
        let agent =
            format!("node '{}' '{}'", world.path("agent.js").display(), world.path("mends").display());
        let worker = world.worker_with_agent(&agent, &[]);
        Self { world, remote, worker }
    }

    async fn order(&self, command: &str, instruction: &str) -> JobResult {
        self.world.order(KEY, work(command, "abcdef1", instruction)).await;
        self.world.result().await
    }

    async fn order_on(&self, thread: &str, command: &str, instruction: &str) -> JobResult {
        self.world.order(KEY, work(command, thread, instruction)).await;
        self.world.result().await
    }

    /// The paths that a branch has.
    fn source(&self, branch: &str) -> Vec<String> {
        let repo = self.remote.repo();
        let tree = repo.find_commit(self.remote.tip(branch).unwrap()).unwrap().tree().unwrap();
        let mut paths = Vec::new();
        let note = |folder: &str, entry: &git2::TreeEntry<'_>| {
            if entry.kind() == Some(git2::ObjectType::Blob) {
                paths.push(format!("{folder}{}", entry.name().unwrap()));
            }
            git2::TreeWalkResult::Ok
        };
        tree.walk(git2::TreeWalkMode::PreOrder, note).unwrap();
        paths
    }

    /// How often the agent was started for a command.
    async fn runs(&self, command: &str) -> usize {
        let at = At::object(names::transcript_key(&command.parse().unwrap()));
        let transcript = self.world.cloud.files.get(&at).await.unwrap().unwrap().bytes;
        String::from_utf8_lossy(&transcript).matches("\"type\":\"result\"").count()
    }
}

/// Asks the worker that has the bakery to stop a job.
async fn stop(world: &World, command: &str) {
    let claim = world.cloud.claims.get(&KEY.parse().unwrap()).await.unwrap().unwrap();
    let stop =
        serde_json::json!({"type": "control", "version": 1, "action": "stop-job", "commandId": command});
    let control = Queue::Control(claim.owner.unwrap());
    world.cloud.queues.send(&control, Outgoing::standard(stop.to_string())).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s63_an_address_of_storage_goes_back_to_the_agent_and_never_into_the_site() {
    let stand = Stand::new(&["put site/index.html mended"]).await;
    let result = stand.order("c-1", "put site/index.html <img src=https://b.s3.amazonaws.com/x.png>").await;
    assert_eq!(result.outcome, JobOutcome::Changed, "{result:?}");
    assert_eq!(stand.world.page(&result, "index.html").unwrap(), "mended\n");
    assert_eq!(stand.runs("c-1").await, 2);
    assert!((result.usage.cost_usd - 1.0).abs() < 1e-9, "both runs are paid: {:?}", result.usage);
    assert_eq!(result.usage.turns, 20_000, "nobody has more in a run");
    let messages = stand.remote.messages("thread-abcdef1");
    assert_eq!(messages.len(), 1, "the repair is part of the one commit: {messages:?}");
    stand.worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s42_what_cannot_be_mended_in_two_rounds_is_an_honest_failure_and_the_site_stays_up() {
    let stand =
        Stand::new(&["put site/a.html s3://one", "put site/a.html s3://two", "put site/a.html fine"]).await;
    let up = stand.order("c-1", "put site/b.html fine").await;
    let result = stand.order("c-2", "put site/a.html s3://bucket/x").await;
    assert_eq!(result.outcome, JobOutcome::BuildFailed, "{result:?}");
    assert!(result.error.as_ref().unwrap().contains("a.html: the address s3://two"), "{result:?}");
    assert!(result.summary.contains("stays up") && result.summary.contains("kept"), "{}", result.summary);
    assert_eq!(stand.runs("c-2").await, 3);
    assert_eq!(stand.world.page(&up, "a.html"), None);
    assert_eq!(stand.world.page(&up, "b.html").unwrap(), "fine\n");
    assert_eq!(stand.remote.file("thread-abcdef1", "site/a.html").unwrap(), "s3://two\n", "the work is kept");
    stand.worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_lies_in_git_lfs_is_not_published_as_if_it_were_there_and_no_agent_is_asked_to_mend_it() {
    let stand = Stand::new(&["put site/logo.png mended"]).await;
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n";
    stand.remote.commit("main", &[("site/logo.png", pointer)], "a logo");
    let result = stand.order("c-1", "put site/a.html fine").await;
    assert_eq!(result.outcome, JobOutcome::BuildFailed, "{result:?}");
    let error = result.error.unwrap();
    assert!(error.starts_with("git-lfs: ") && error.ends_with("\n- logo.png"), "{error}");
    assert_eq!(stand.runs("c-1").await, 1);
    stand.worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_mends_nothing_is_not_asked_again() {
    let stand = Stand::new(&[]).await;
    let result = stand.order("c-1", "put site/a.html s3://bucket/x").await;
    assert_eq!((result.outcome, stand.runs("c-1").await), (JobOutcome::BuildFailed, 2), "{result:?}");
    stand.worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_stood_in_the_source_before_is_the_owners_own() {
    let stand = Stand::new(&[]).await;
    stand.remote.commit("main", &[("site/old.html", "<a href=https://b.s3.amazonaws.com/x.pdf>")], "theirs");
    let result = stand.order("c-1", "put site/a.html fine").await;
    assert_eq!((result.outcome, stand.runs("c-1").await), (JobOutcome::Changed, 1), "{result:?}");
    stand.worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_to_pages_that_are_gone_and_pages_that_vanish_go_back_to_the_agent() {
    let stand = Stand::new(&["put site/index.html no link any more"]).await;
    let first = stand
        .order("c-1", "put site/index.html <a href=/about.html>about</a><a href=/never>old fault</a>")
        .await;
    assert_eq!((first.outcome, stand.runs("c-1").await), (JobOutcome::Changed, 1), "{first:?}");
    let second = stand.order("c-2", "put site/about.html nothing").await;
    assert_eq!((second.outcome, stand.runs("c-2").await), (JobOutcome::Changed, 2), "{second:?}");
    assert_eq!(stand.world.page(&second, "index.html").unwrap(), "no link any more\n");

    // The build drops a page that the change is not about.
    let build = ["cp", "-RT", "elsewhere", "dist"];
    stand.world.project_built_by("bakery", &stand.remote, &build).await;
    let third = stand.order("c-3", "put elsewhere/x.html fine").await;
    assert_eq!(third.outcome, JobOutcome::BuildFailed, "{third:?}");
    assert!(third.error.unwrap().contains("index.html: the page was there before"), "{:?}", third.summary);
    stand.worker.stop().await;
}

/// A build that makes a page of each entry of a list.
const CATALOGUE: &str = r"
const fs = require('fs');
fs.cpSync('site', 'dist', { recursive: true });
for (const id of JSON.parse(fs.readFileSync('products.json', 'utf8'))) {
  fs.mkdirSync(`dist/products/${id}`, { recursive: true });
  fs.writeFileSync(`dist/products/${id}/index.html`, id);
}
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_goes_with_its_entry_in_a_list_and_not_by_itself() {
    let stand = Stand::new(&[]).await;
    stand.world.project_built_by("bakery", &stand.remote, &["node", "-e", CATALOGUE]).await;
    let first = stand.order("c-1", r#"put products.json ["rye-bread", "roll", "tea"]"#).await;
    assert_eq!(first.outcome, JobOutcome::Changed, "{first:?}");
    let second = stand.order("c-2", r#"put products.json ["roll", "tea"]"#).await;
    assert_eq!((second.outcome, stand.runs("c-2").await), (JobOutcome::Changed, 1), "{second:?}");
    assert_eq!(stand.world.page(&second, "products/rye-bread/index.html"), None);

    stand.world.project("bakery", &stand.remote).await;
    let third = stand.order("c-3", "put site/x.html fine").await;
    assert_eq!(third.outcome, JobOutcome::BuildFailed, "{third:?}");
    assert!(third.error.unwrap().contains("products/roll/index.html: the page was there before"));
    stand.worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_site_that_is_built_for_a_folder_is_told_as_such_and_costs_no_repair() {
    let stand = Stand::new(&[]).await;
    stand.remote.commit("main", &[("site/style.css", "p {}"), ("site/about.html", "about")], "theirs");
    let page =
        "<link rel=stylesheet href=/docs/style.css><a href=/docs/>home</a><a href=/docs/about>about</a>";
    let result = stand.order("c-1", &format!("put site/index.html {page}")).await;
    assert_eq!((result.outcome, stand.runs("c-1").await), (JobOutcome::BuildFailed, 1), "{result:?}");
    assert!(result.summary.contains("the folder /docs/ of its address"), "{}", result.summary);
    assert!(result.error.unwrap().starts_with("build-base: 3 of the site's 3 links"));
    stand.worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_page_with_the_layouts_dead_links_is_shown() {
    let stand = Stand::new(&[]).await;
    let layout = "<link rel=icon href=/favicon.ico><a href=/privacy>privacy</a>";
    let first = stand.order("c-1", &format!("put site/index.html {layout}")).await;
    assert_eq!(first.outcome, JobOutcome::Changed, "{first:?}");
    let second = stand.order("c-2", &format!("put site/courses.html {layout} courses")).await;
    assert_eq!((second.outcome, stand.runs("c-2").await), (JobOutcome::Changed, 1), "{second:?}");
    let third = stand.order("c-3", &format!("put site/jobs.html {layout} <a href=/typo>apply</a>")).await;
    assert_eq!(third.outcome, JobOutcome::BuildFailed, "{third:?}");
    let error = third.error.unwrap();
    assert!(error.contains("/typo") && !error.contains("/privacy"), "{error}");
    stand.worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_credential_is_never_committed() {
    let stand = Stand::new(&[]).await;
    let key = format!("AKIA{}", "ABCDEFGH234567AB");
    let result = stand.order("c-1", &format!("put site/a.html {key}")).await;
    assert_eq!(result.outcome, JobOutcome::Refused, "{result:?}");
    let error = result.error.unwrap();
    assert!(
        error.contains("aws-access-token") && error.contains("site/a.html") && !error.contains(&key),
        "{error}"
    );
    assert_eq!(stand.remote.branches(), ["main"]);
    stand.worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_a_build_makes_or_rewrites_is_committed_where_no_gitignore_says_so() {
    let stand = Stand::that_ignores_nothing(SOURCE, &["put site/a.html fine"]).await;
    let mended = stand.order("c-1", "put site/a.html s3://bucket/x").await;
    assert_eq!((mended.outcome, stand.runs("c-1").await), (JobOutcome::Changed, 2), "{mended:?}");
    let other = stand.order_on("abcdef2", "c-2", "put site/b.html fine").await;
    assert_eq!(other.outcome, JobOutcome::Changed, "{other:?}");
    let again = stand.order("c-3", "put site/c.html fine").await;
    assert_eq!(again.outcome, JobOutcome::Changed, "{again:?}");

    let expected = ["site/a.html", "site/c.html", "site/index.html", "stamp.txt"];
    assert_eq!(stand.source("thread-abcdef1"), expected);
    assert_eq!(stand.source("thread-abcdef2"), ["site/b.html", "site/index.html", "stamp.txt"]);
    assert_eq!(stand.remote.file("thread-abcdef1", "stamp.txt").unwrap(), "");
    let messages = stand.remote.messages("thread-abcdef1");
    assert_eq!(messages.len(), 2, "nothing was left behind: {messages:?}");
    let folder = stand.world.path("data/workspaces/bakery-amelia/repo");
    let repo = git2::Repository::open(&folder).unwrap();
    let mut options = git2::StatusOptions::new();
    options.include_untracked(true).include_ignored(false);
    assert_eq!(repo.statuses(Some(&mut options)).unwrap().len(), 0, "the folder can be evicted");
    assert!(folder.join(".astro/x").exists(), "caches stay warm");
    let tmp = std::fs::read_dir(folder.with_file_name("build-tmp")).unwrap().count();
    assert_eq!(tmp, 0, "temporary files do not");
    stand.worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_build_that_rewrites_the_source_is_no_mend() {
    let stand = Stand::that_ignores_nothing(SOURCE, &[]).await;
    let result = stand.order("c-1", "put site/a.html s3://bucket/x").await;
    assert_eq!((result.outcome, stand.runs("c-1").await), (JobOutcome::BuildFailed, 2), "{result:?}");
    assert_eq!(stand.remote.messages("thread-abcdef1").len(), 1);
    stand.worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_site_that_is_kept_in_the_source_stays_the_owners_and_the_agents() {
    let kept = [SOURCE, &[("dist/index.html", "old\n")]].concat();
    let stand = Stand::that_ignores_nothing(&kept, &[]).await;
    let result = stand.order("c-1", "put dist/extra.html fine").await;
    assert_eq!(result.outcome, JobOutcome::Changed, "{result:?}");
    assert_eq!(stand.world.page(&result, "extra.html").unwrap(), "fine\n");
    assert_eq!(stand.remote.file("thread-abcdef1", "dist/extra.html").unwrap(), "fine\n");
    assert_eq!(
        stand.remote.file("thread-abcdef1", "dist/index.html").unwrap(),
        "old\n",
        "the build's is not"
    );
    stand.worker.stop().await;
}

/// A build that fails while a page says `broken`.
const STRICT: &str = r"
const fs = require('fs');
fs.cpSync('site', 'dist', { recursive: true });
if (fs.readFileSync('site/a.html', 'utf8').includes('broken')) process.exit(1);
";

fn finished(command: &str) -> String {
    format!("Put\n\nPut\n\nThread: abcdef1\nCommand-Id: {command}\nRequested-By: x\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_whose_worker_died_before_its_build_is_mended_on_top_of_its_commit() {
    let stand = Stand::new(&["put site/a.html mended"]).await;
    stand.world.project_built_by("bakery", &stand.remote, &["node", "-e", STRICT]).await;
    stand.remote.commit(
        "thread-abcdef1",
        &[("site/a.html", "broken\n"), ("site/b.html", "b\n")],
        &finished("c-1"),
    );
    let result = stand.order("c-1", "put site/a.html broken").await;
    assert_eq!(result.outcome, JobOutcome::Changed, "{result:?}");
    assert_eq!(stand.world.page(&result, "a.html").unwrap(), "mended\n");
    assert_eq!(stand.remote.file("thread-abcdef1", "site/a.html").unwrap(), "mended\n");
    assert_eq!(stand.remote.messages("thread-abcdef1").len(), 2, "what was pushed is not rewritten");
    assert_eq!(result.files_changed, ["site/a.html", "site/b.html"]);
    stand.worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_repair_has_done_by_then_is_kept_when_it_is_stopped() {
    let stand = Stand::new(&["put site/half.html half"]).await;
    stand.world.project_built_by("bakery", &stand.remote, &["node", "-e", STRICT]).await;
    stand.world.order(KEY, work("c-1", "abcdef1", "put site/a.html broken")).await;
    let half = stand.world.path("data/workspaces/bakery-amelia/repo/site/half.html");
    let written = async || std::fs::read(&half).ok().filter(|text| text == b"half\n");
    stand.world.until("half of a repair", written).await;
    stop(&stand.world, "c-1").await;
    assert_eq!(stand.world.result().await.outcome, JobOutcome::Stopped);
    assert_eq!(stand.remote.file("thread-abcdef1", "site/half.html").unwrap(), "half\n");
    assert_eq!(stand.remote.file("thread-abcdef1", "site/a.html").unwrap(), "broken\n");
    let messages = stand.remote.messages("thread-abcdef1");
    assert!(messages.len() == 1 && messages[0].starts_with("WIP: Auto-save: Stopped"), "{messages:?}");
    stand.worker.stop().await;
}

/// A build that makes what takes long to be read: files without anything in them, and a last one that says that it is done.
const VAST: &str = r"
const fs = require('fs');
fs.mkdirSync('dist', { recursive: true });
fs.writeFileSync('dist/index.html', 'fine');
for (let n = 0; n < 200; n++) { fs.writeFileSync(`dist/${n}.bin`, ''); fs.truncateSync(`dist/${n}.bin`, 250e6); }
fs.writeFileSync('dist/made', '');
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_is_stopped_while_what_it_built_is_read() {
    let stand = Stand::new(&[]).await;
    stand.world.project_built_by("bakery", &stand.remote, &["node", "-e", VAST]).await;
    stand.world.order(KEY, work("c-1", "abcdef1", "put site/a.html fine")).await;
    let made = stand.world.path("data/workspaces/bakery-amelia/repo/dist/made");
    stand.world.until("a build", async || made.exists().then_some(())).await;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    stop(&stand.world, "c-1").await;
    assert_eq!(stand.world.result().await.outcome, JobOutcome::Stopped);
    assert_eq!(stand.remote.file("thread-abcdef1", "site/a.html").unwrap(), "fine\n");
    stand.worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_is_one_long_address_of_storage_is_told_shortly() {
    const LONG: &str = r"
const fs = require('fs');
fs.mkdirSync('dist', { recursive: true });
fs.writeFileSync('dist/index.html', 's3://'.repeat(600000));
";
    let stand = Stand::new(&[]).await;
    stand.world.project_built_by("bakery", &stand.remote, &["node", "-e", LONG]).await;
    let result = stand.order("c-1", "put site/a.html fine").await;
    assert_eq!(result.outcome, JobOutcome::BuildFailed, "{result:?}");
    let error = result.error.unwrap();
    assert!(error.contains("index.html: the address s3://") && error.len() < 1000, "{error}");
    stand.worker.stop().await;
}

/// Leaves, beside a page, what no commit has: an ignored page, a second name of a page, packages and caches. `quiet` leaves
/// nothing but a page.
const LITTERING: &str = r"
const fs = require('fs');
const quiet = fs.readFileSync(0, 'utf8').includes('quiet');
fs.writeFileSync(`site/${Date.now()}.html`, 'fine');
const litter = (file) => {
  fs.mkdirSync(require('path').dirname(file), { recursive: true });
  fs.writeFileSync(file, 'litter');
};
if (!quiet) {
  for (const file of ['site/ignored.html', 'src/node_modules/e.txt', 'node_modules/e.txt', 'web/node_modules/e.txt']) litter(file);
  fs.linkSync('site/ignored.html', 'site/second.html');
  fs.rmSync('site/index.html');
  fs.linkSync('site/ignored.html', 'site/index.html');
  fs.appendFileSync('.cache/builds', 'litter');
}
console.log(JSON.stringify({ type: 'result', subtype: 'success', is_error: false, result: 'Done.' }));
";

/// Shows what it finds, and remembers how often it ran.
const SHOWING: &str = r"
const fs = require('fs');
fs.cpSync('site', 'dist', { recursive: true });
for (const folder of ['', 'src/', 'web/']) {
  const file = `${folder}node_modules/e.txt`;
  if (fs.existsSync(file)) fs.copyFileSync(file, `dist/${folder.replace('/', '')}e.txt`);
}
fs.mkdirSync('.cache', { recursive: true });
fs.appendFileSync('.cache/builds', 'x');
fs.copyFileSync('.cache/builds', 'dist/builds.txt');
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_agent_leaves_beside_its_commit_is_neither_built_nor_there_for_the_next_job() {
    nothing_is_left_with(&["--sandbox", "off"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_walls_it_is_no_more() {
    nothing_is_left_with(&["--sandbox", "namespaces"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn between_users_it_is_no_more() {
    nothing_is_left_with(&["--sandbox", "uid", "--sandbox-uid", "64400"]).await;
}

async fn nothing_is_left_with(walls: &[&str]) {
    let world = World::new();
    let files = [
        ("site/index.html", "Open"),
        (".gitignore", "ignored.html\n"),
        ("src/a.txt", "a"),
        ("web/package.json", "{}"),
    ];
    let remote = world.remote("bakery", &files);
    world.project_built_by("bakery", &remote, &["node", "-e", SHOWING]).await;
    // A worker that runs children as other users keeps their folders where these may pass.
    let workspaces = tempfile::tempdir().unwrap();
    let workspaces = workspaces.path().display().to_string();
    let walls = [walls, &["--workspace-path", &workspaces][..]].concat();
    let worker = world.worker_with_agent(&format!("node -e {}", shell_words::quote(LITTERING)), &walls);
    let jobs = [
        ("c-1", "aaaaaa1", "quiet", "x"),
        ("c-2", "bbbbbb2", "quiet", "x"),
        ("c-3", "bbbbbb2", "quiet", "xx"),
        ("c-4", "bbbbbb2", "litter", "x"),
        ("c-5", "bbbbbb2", "quiet", "xx"),
        ("c-6", "aaaaaa1", "quiet", "x"),
    ];
    for (command, thread, instruction, builds) in jobs {
        world.order(KEY, work(command, thread, instruction)).await;
        let result = world.result().await;
        assert_eq!(result.outcome, JobOutcome::Changed, "{result:?}");
        for page in ["ignored.html", "second.html", "e.txt", "srce.txt", "webe.txt"] {
            assert_eq!(world.page(&result, page), None, "{command}: {page}");
        }
        assert_eq!(world.page(&result, "index.html").unwrap(), "Open", "{command}");
        assert_eq!(
            world.page(&result, "builds.txt").unwrap(),
            builds,
            "{command}: caches stay for what goes on from the commit that was built, while no agent changes them"
        );
    }
    worker.stop().await;
}

/// Makes the page that it is told of.
const PUTTING: &str = r"
const fs = require('fs');
const page = fs.readFileSync(0, 'utf8').includes('evil') ? 'evil' : Date.now();
fs.writeFileSync(`site/${page}.html`, 'fine');
console.log(JSON.stringify({ type: 'result', subtype: 'success', is_error: false, result: 'Done.' }));
";

/// A package as it lies in a registry, but that it is not compressed.
fn tar(files: &[(&str, &str)]) -> String {
    let packed = files.iter().map(|(name, text)| {
        let name = format!("package/{name}");
        let start =
            format!("{name:\0<100}{:07o}\0{:07o}\0{:07o}\0{:011o}\0{:011o}\0", 0o644, 0, 0, text.len(), 0);
        let end = format!("0{:\0<100}ustar\x0000", "");
        let sum: u32 = [&start, "        ", &end].map(|part| part.bytes().map(u32::from).sum()).iter().sum();
        let header = format!("{start}{sum:06o}\0 {end}");
        format!("{header:\0<512}{text:\0<512}")
    });
    packed.chain([String::from("\0").repeat(1024)]).collect()
}

/// Shows its packages and what it finds of builds before; where there is an evil page, it changes all that it can reach.
const PLANTING: &str = r"
const fs = require('fs');
const rye = 'node_modules/rye/rye.html', settings = `${process.env.HOME}/.npmrc`, cache = '.cache/compiled.js';
fs.cpSync('site', 'dist', { recursive: true });
fs.cpSync(rye, 'dist/rye.html');
fs.writeFileSync('dist/found.txt', [settings, cache].filter((path) => fs.existsSync(path)).join(' '));
if (fs.existsSync('site/evil.html')) {
  fs.mkdirSync('.cache', { recursive: true });
  for (const path of [rye, settings, cache]) fs.writeFileSync(path, 'evil');
}
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_build_changes_is_in_no_build_of_another_conversation() {
    for walls in [
        &["--sandbox", "off"][..],
        &["--sandbox", "namespaces"],
        &["--sandbox", "uid", "--sandbox-uid", "64420"],
    ] {
        let world = World::new();
        let lists = [
            ("package.json", r#"{"name": "x", "dependencies": {"rye": "file:./rye.tar"}}"#),
            (
                "rye.tar",
                &tar(&[("package.json", r#"{"name": "rye", "version": "1.0.0"}"#), ("rye.html", "rye\n")]),
            ),
        ];
        let remote = bakery_with_packages(&world, &lists).await;
        world.project_built_by("bakery", &remote, &["node", "-e", PLANTING]).await;
        // A worker that runs children as other users keeps their folders where these may pass.
        let workspaces = tempfile::tempdir().unwrap();
        let place = workspaces.path().display().to_string();
        let walls = [walls, &["--workspace-path", &place]].concat();
        let worker = world.worker_with_agent(&format!("node -e {}", shell_words::quote(PUTTING)), &walls);
        let installed = workspaces.path().join("bakery-amelia/repo/node_modules/rye");
        let mut seen = Vec::new();
        for (command, thread, page) in [
            ("c-1", "aaaaaa1", "a"),
            ("c-2", "aaaaaa1", "evil"),
            ("c-3", "bbbbbb2", "b"),
            ("c-4", "bbbbbb2", "c"),
        ] {
            world.order(KEY, work(command, thread, page)).await;
            let result = world.result().await;
            assert_eq!(result.outcome, JobOutcome::Changed, "{walls:?}: {result:?}");
            assert_eq!(world.page(&result, "rye.html").unwrap(), "rye\n", "{walls:?}: {command}");
            assert_eq!(world.page(&result, "found.txt").unwrap(), "", "{walls:?}: {command}");
            seen.extend(installed.metadata().and_then(|meta| meta.modified()));
        }
        assert!(!seen.is_empty() && seen.first() != seen.last(), "{walls:?}: installed anew");
        assert_eq!(seen.last(), seen.get(seen.len() - 2), "{walls:?}: and kept while nobody changes them");
        worker.stop().await;
    }
}

/// Makes a file that is long and takes no room, or does as it is told otherwise.
const VAST_FILE: &str = r"
const fs = require('fs');
if (fs.readFileSync(0, 'utf8').includes('film')) {
  fs.writeFileSync('site/film.mp4', '');
  fs.truncateSync('site/film.mp4', 600e6);
}
fs.writeFileSync('site/page.html', 'fine');
console.log(JSON.stringify({ type: 'result', subtype: 'success', is_error: false, result: 'Done.' }));
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_no_remote_would_take_is_refused_before_it_is_read_and_in_nobodys_way() {
    let world = World::new();
    let remote = world.bakery().await;
    std::fs::write(world.path("agent.js"), VAST_FILE).unwrap();
    let worker = world.worker_with_agent(&format!("node '{}'", world.path("agent.js").display()), &[]);
    world.order(KEY, work("c-1", "aaaaaa1", "film")).await;
    let result = world.result().await;
    assert_eq!(result.outcome, JobOutcome::Refused, "{result:?}");
    assert!(
        result.summary.contains("site/film.mp4 has 572 MB, and a file may have 100"),
        "{}",
        result.summary
    );
    assert_eq!(remote.branches(), ["main"]);
    let folder = world.path("data/workspaces/bakery-amelia");
    assert!(folder.join("built").exists(), "nothing of it is worth keeping");
    world.order(KEY, work("c-2", "bbbbbb2", "page")).await;
    let result = world.result().await;
    assert_eq!(result.outcome, JobOutcome::Changed, "{result:?}");
    assert_eq!(result.files_changed, ["site/page.html"]);
    assert!(remote.branches().iter().all(|branch| branch != "thread-aaaaaa1"));
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_project_or_the_machine_is_to_blame_for_never_goes_to_the_agent() {
    let stand = Stand::new(&["put site/a.html mended"; 2]).await;
    stand.world.project_built_by("bakery", &stand.remote, &["true"]).await;
    let no_output = stand.order("c-1", "put site/a.html fine").await;
    assert_eq!((no_output.outcome, stand.runs("c-1").await), (JobOutcome::BuildFailed, 1), "{no_output:?}");
    assert!(no_output.error.unwrap().contains("check build.output"));

    stand.world.project_built_by("bakery", &stand.remote, &["/no/such/program"]).await;
    let not_started = stand.order("c-2", "put site/b.html fine").await;
    assert_eq!((not_started.outcome, stand.runs("c-2").await), (JobOutcome::Failed, 1), "{not_started:?}");
    assert!(not_started.error.unwrap().starts_with("build-not-run: build (/no/such/program)"));
    assert_eq!(stand.world.job("c-2").await.unwrap().attempts, 3);
    assert_eq!(stand.remote.file("thread-abcdef1", "site/b.html").unwrap(), "fine\n", "the work is kept");
    stand.worker.stop().await;
}

const EMPTY_LOCK: &str = r#"{"name": "x", "lockfileVersion": 3, "packages": {"": {"name": "x"}}}"#;

/// A source with these lists of packages beside a package in a folder of its own, a page of which is shown.
async fn bakery_with_packages(world: &World, lists: &[(&str, &str)]) -> support::Remote {
    const SHOWING: &str = "const fs = require('fs');
        fs.cpSync('site', 'dist', { recursive: true });
        fs.cpSync('node_modules/rye/rye.html', 'dist/rye.html');";
    let package = [("rye/package.json", r#"{"name": "rye", "version": "1.0.0"}"#), ("rye/rye.html", "rye\n")];
    let remote = world.remote("bakery", &[support::SITE, &package, lists].concat());
    world.project_built_by("bakery", &remote, &["node", "-e", SHOWING]).await;
    remote
}

async fn with_packages(lists: &[(&str, &str)], mends: &[&str]) -> Stand {
    let world = World::new();
    let remote = bakery_with_packages(&world, lists).await;
    Stand::over(world, remote, mends)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packages_that_could_not_be_fetched_are_fetched_later_and_are_no_matter_for_the_agent() {
    const LIST: &str = r#"{"name": "x", "dependencies": {"rye": "1.0.0"}}"#;
    const LOCK: &str = r#"{"name": "x", "lockfileVersion": 3, "packages": {
        "": {"name": "x", "dependencies": {"rye": "1.0.0"}},
        "node_modules/rye": {"version": "1.0.0", "resolved": "http://127.0.0.1:1/rye-1.0.0.tgz"}}}"#;
    const NEAR: &str = r#"{"name": "x", "dependencies": {"rye": "file:./rye"}}"#;
    const NEAR_LOCK: &str = r#"{"name": "x", "lockfileVersion": 3, "packages": {
        "": {"name": "x", "dependencies": {"rye": "file:./rye"}},
        "rye": {"version": "1.0.0"}, "node_modules/rye": {"resolved": "rye", "link": true}}}"#;
    let lists = [("package.json", LIST), ("package-lock.json", LOCK), (".npmrc", "fetch-retries=0\n")];
    let stand = with_packages(&lists, &["put site/a.html mended"; 2]).await;
    stand.world.order(KEY, work("c-1", "abcdef1", "put site/a.html fine")).await;
    let failed = async || stand.world.job("c-1").await.and_then(|job| job.error);
    let error = stand.world.until("a failed attempt", failed).await;
    assert!(
        error.starts_with("install-failed: install (npm ci") && error.contains("ECONNREFUSED"),
        "{error}"
    );
    // They can be had by now.
    let lists = [("package.json", NEAR), ("package-lock.json", NEAR_LOCK)];
    stand.remote.commit("thread-abcdef1", &lists, "reachable");
    let result = stand.world.result().await;
    assert_eq!((result.outcome, stand.runs("c-1").await), (JobOutcome::Changed, 1), "{result:?}");
    assert_eq!(stand.world.page(&result, "rye.html").unwrap(), "rye\n");
    assert_eq!(stand.world.page(&result, "a.html").unwrap(), "fine\n");
    stand.worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lock_file_follows_what_an_agent_adds_to_the_list_in_the_same_commit() {
    let lists = [("package.json", r#"{"name": "x"}"#), ("package-lock.json", EMPTY_LOCK)];
    let stand = with_packages(&lists, &[]).await;
    let order = r#"put package.json {"name": "x", "dependencies": {"rye": "file:./rye"}}"#;
    let result = stand.order("c-1", order).await;
    assert_eq!((result.outcome, stand.runs("c-1").await), (JobOutcome::Changed, 1), "{result:?}");
    assert_eq!(result.files_changed, ["package-lock.json", "package.json"]);
    assert_eq!(stand.world.page(&result, "rye.html").unwrap(), "rye\n");
    assert!(stand.remote.file("thread-abcdef1", "package-lock.json").unwrap().contains("node_modules/rye"));
    let messages = stand.remote.messages("thread-abcdef1");
    assert!(messages.len() == 1 && messages[0].contains("Command-Id: c-1"), "{messages:?}");
    assert_eq!(result.commit_id, stand.remote.tip("thread-abcdef1").map(|id| id.to_string()));
    stand.worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_file_that_was_left_behind_follows_with_the_next_change() {
    let list = ("package.json", r#"{"name": "x", "dependencies": {"rye": "file:./rye"}}"#);
    let stand = with_packages(&[list, ("package-lock.json", EMPTY_LOCK)], &[]).await;
    let result = stand.order("c-1", "put site/a.html fine").await;
    assert_eq!((result.outcome, stand.runs("c-1").await), (JobOutcome::Changed, 1), "{result:?}");
    assert_eq!(result.files_changed, ["package-lock.json", "site/a.html"]);
    assert_eq!(stand.world.page(&result, "rye.html").unwrap(), "rye\n");
    stand.worker.stop().await;
}

/// Names a package in the list, and nothing else.
const NAMING: &str = r#"
require('fs').writeFileSync('package.json', '{"name": "x", "dependencies": {"rye": "file:./rye"}}');
console.log(JSON.stringify({ type: 'result', subtype: 'success', is_error: false, result: 'Done.' }));
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lock_file_follows_behind_walls_as_well() {
    for walls in [&["--sandbox", "namespaces"][..], &["--sandbox", "uid", "--sandbox-uid", "64410"]] {
        let world = World::new();
        let lists = [("package.json", r#"{"name": "x"}"#), ("package-lock.json", EMPTY_LOCK)];
        let remote = bakery_with_packages(&world, &lists).await;
        // A worker that runs children as other users keeps their folders where these may pass.
        let workspaces = tempfile::tempdir().unwrap();
        let workspaces = workspaces.path().display().to_string();
        let arguments = [walls, &["--workspace-path", &workspaces][..]].concat();
        let worker = world.worker_with_agent(&format!("node -e {}", shell_words::quote(NAMING)), &arguments);
        world.order(KEY, work("c-1", "abcdef1", "name it")).await;
        let result = world.result().await;
        assert_eq!(result.outcome, JobOutcome::Changed, "{walls:?}: {result:?}");
        assert_eq!(world.page(&result, "rye.html").unwrap(), "rye\n");
        assert!(remote.file("thread-abcdef1", "package-lock.json").unwrap().contains("node_modules/rye"));
        worker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_package_that_cannot_be_is_for_the_agent_who_named_it() {
    let lists = [("package.json", r#"{"name": "x"}"#), ("package-lock.json", EMPTY_LOCK)];
    let mend = r#"put package.json {"name": "x", "dependencies": {"rye": "file:./rye"}}"#;
    let stand = with_packages(&lists, &[mend]).await;
    let order = r#"put package.json {"name": "x", "dependencies": {"rye": "no version!"}}"#;
    let result = stand.order("c-1", order).await;
    assert_eq!((result.outcome, stand.runs("c-1").await), (JobOutcome::Changed, 2), "{result:?}");
    assert_eq!(stand.world.page(&result, "rye.html").unwrap(), "rye\n");
    stand.worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packages_that_another_manager_locked_are_refused_before_the_agent_runs() {
    let list = ("package.json", r#"{"name": "x", "dependencies": {"rye": "file:./rye"}}"#);
    let stand = with_packages(&[list, ("yarn.lock", "")], &[]).await;
    let result = stand.order("c-1", "put site/a.html fine").await;
    assert_eq!(result.outcome, JobOutcome::Refused, "{result:?}");
    assert!(result.summary.contains("yarn.lock"), "{}", result.summary);
    assert_eq!(stand.world.job("c-1").await.unwrap().attempts, 0, "no money was spent");
    // Nothing is built with them.
    stand.world.project_built_by("bakery", &stand.remote, &[]).await;
    stand.remote.commit("main", &[("dist/index.html", "built by hand\n")], "by hand");
    let result = stand.order("c-2", "put site/a.html fine").await;
    assert_eq!(result.outcome, JobOutcome::Changed, "{result:?}");
    stand.worker.stop().await;
}
