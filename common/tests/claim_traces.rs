//! 10,000 random traces of claim operations get, step by step, the same answers from the pure rules and from SQL.
#![allow(clippy::unwrap_used, reason = "a test: a panic is how it fails")]

use common::clock::Clock;
use common::cloud::contract::trace;
use common::cloud::local;
use common::domain::ids::ProjectUser;
use common::domain::names::Prefix;

const TRACES: u64 = 10_000;
const PLAYERS: u64 = 64;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sql_answers_as_the_pure_rules_do() {
    let dir = tempfile::tempdir().unwrap();
    let cloud = local::open(dir.path(), Prefix::parse("traces").unwrap(), Clock::System).unwrap();
    let players: Vec<_> = (0..PLAYERS)
        .map(|player| {
            let claims = cloud.claims.clone();
            tokio::spawn(async move {
                for seed in (player..TRACES).step_by(usize::try_from(PLAYERS).unwrap()) {
                    let key = ProjectUser::parse(&format!("site{seed}#scott")).unwrap();
                    trace::play(&*claims, &key, seed).await;
                }
            })
        })
        .collect();
    for player in players {
        player.await.unwrap();
    }
}
