//! A worker that is no root, whose agents and builds take its own rights to what they leave: it takes them back.

use std::os::unix::fs::PermissionsExt as _;

use common::domain::outcome::JobOutcome;
use nix::unistd::Uid;

use crate::support::program::{Program, give};
use crate::support::{AGENT, SITE, World, work};

const USER: u32 = 59_150;
/// Edits, and shuts what it and the worker have.
const SHUT: &str = "cat >/dev/null; echo half >site/half.html; mkdir site/x; echo x >site/x/f; \
    for own in $HOME $TMPDIR; do mkdir $own/x; touch $own/x/f; chmod 0 $own/x; done; \
    chmod 0 site/x/f site/x site .";
const BUILD: &str = "cp -RT site dist; mkdir -p .cache/x $TMPDIR/x $HOME/x; touch .cache/x/f $TMPDIR/x/f; \
    chmod 0 .cache/x $TMPDIR/x $HOME/x; chmod 0500 .";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_agents_and_builds_have_shut_costs_no_work_and_is_in_no_later_jobs_way() {
    if !Uid::effective().is_root() {
        return;
    }
    let world = World::new();
    let remote = world.remote("bakery", SITE);
    world.project_built_by("bakery", &remote, &["sh", "-c", BUILD]).await;
    let stays = format!("sh -c '{SHUT}; exec sleep 600'");
    let ends = format!(
        "sh -c '{SHUT}; echo \"{{\\\"type\\\":\\\"result\\\",\\\"subtype\\\":\\\"success\\\",\\\"result\\\":\\\"ok\\\"}}\"'"
    );
    let demo = world.path("demo-agent");
    std::fs::copy(AGENT, &demo).unwrap();
    let demo = format!("'{}'", demo.display());
    let start = |agent: &str| {
        let env = [("SANDBOX", "off"), ("SHUTDOWN_GRACE_SECS", "12"), ("AGENT_COMMAND", agent)];
        let mut program = Program::start_as(USER, &world, &env);
        program.says("is ready");
        program
    };
    let folder = world.path("data/workspaces/bakery-amelia");
    let is_shut = || folder.join("repo").metadata().is_ok_and(|meta| meta.permissions().mode() & 0o700 == 0);

    world.order("bakery#amelia", work("c-1", "abcdef1", "stay")).await;
    let program = start(&stays);
    world.until("what it shuts", async || is_shut().then_some(())).await;
    let (_, log) = program.terminate();
    give(world.dir.path(), 0);
    let saved = remote.file("thread-abcdef1", "site/half.html");
    assert_eq!(saved.as_deref(), Some("half\n"), "{log:#?}");
    assert_eq!(remote.file("thread-abcdef1", "site/x/f").as_deref(), Some("x\n"));

    for (agent, command, thread) in
        [(&demo, None, ""), (&ends, Some("c-2"), "abcdef2"), (&demo, Some("c-3"), "abcdef3")]
    {
        match command {
            Some(command) => {
                world
                    .order("bakery#amelia", work(command, thread, "change \"7 to 18\" to \"8 to 20\""))
                    .await;
            }
            None => world.announce("bakery#amelia").await,
        }
        let program = start(agent);
        let result = world.result().await;
        let (_, log) = program.terminate();
        let done = [JobOutcome::Changed, JobOutcome::Answered].contains(&result.outcome);
        assert!(done, "{result:?} {log:#?}");
        let names = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name());
        let anew = names.filter(|name| name.to_string_lossy().starts_with("repo.")).collect::<Vec<_>>();
        assert!(anew.is_empty(), "{anew:?} {log:#?}");
    }
}
