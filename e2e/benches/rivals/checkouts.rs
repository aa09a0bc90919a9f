//! A repository of 100 MB: the first checkout of a user, and a branch in a checkout that is there already.

use std::path::Path;
use std::process::Command;

use e2e::figures::lasted;
use e2e::mail::Letter;
use e2e::world::{World, demo_agent, plain_site};

use crate::{Bar, Held, LIMIT, ROUNDS, Times, timed};

const FILES: u64 = 100;
const FILE_BYTES: usize = 1024 * 1024;

pub(crate) async fn compare() -> anyhow::Result<Vec<Held>> {
    let (folder, build) = plain_site()?;
    hundred_megabytes(folder.path())?;
    let mut world = World::temporary()?;
    let api = world.start_hermes("127.0.0.1:0").await?;
    let remote =
        world.add_project("bakery", folder.path(), Some(build), ("user-0@example.org", "user-0")).await?;
    world.start_worker(&demo_agent("")?, &[("WORKER_CAPACITY", "8")]).await?;
    let [mut first, mut warm, mut clone] =
        ["P7 first checkout, 100 MB", "P6 branch in a warm checkout", "git clone --depth 1"].map(Times::of);
    for round in 0..ROUNDS {
        let user = format!("user-{round}");
        let body = serde_json::json!({"projectId": "bakery", "userId": user});
        api.put(&format!("/v1/senders/{user}@example.org"), &body).await?;
        for times in [&mut first, &mut warm] {
            let wish = "change \"7 to 18\" to \"8 to 20\"";
            let letter = Letter::new(&format!("{user}@example.org"), times.what, wish);
            let accepted = api.order(letter.to_bytes()).await?;
            let job = api.job_done(accepted["commandId"].as_str().unwrap_or_default(), LIMIT).await?;
            anyhow::ensure!(job["outcome"] == "changed", "{job}");
            times.all.push(lasted(&job, "checkout")?);
            let target = tempfile::tempdir()?;
            let mut cloning = Command::new("git");
            cloning.args(["clone", "--quiet", "--depth", "1", &remote.url()]).arg(target.path().join("site"));
            clone.all.push(timed(&mut cloning)?);
        }
    }
    world.stop().await?;
    Times::print(&[&first, &warm, &clone]);
    Ok(vec![
        ("P6 branch in a warm checkout of 100 MB, s".into(), Bar::AtMost(0.25), warm.median()),
        ("P6 git clone --depth 1 / it".into(), Bar::AtLeast(5.0), clone.median() / warm.median()),
        ("P7 first checkout / git clone --depth 1".into(), Bar::AtMost(1.1), first.median() / clone.median()),
    ])
}

/// Bytes that no compression makes smaller (xorshift, Marsaglia 2003).
fn hundred_megabytes(folder: &Path) -> std::io::Result<()> {
    let pictures = folder.join("pictures");
    std::fs::create_dir_all(&pictures)?;
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    for number in 0..FILES {
        let mut bytes = Vec::with_capacity(FILE_BYTES);
        while bytes.len() < FILE_BYTES {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes.extend(state.to_le_bytes());
        }
        std::fs::write(pictures.join(format!("{number}.jpg")), bytes)?;
    }
    Ok(())
}
