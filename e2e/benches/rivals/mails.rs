//! What a mail costs in hermes over an AWS-compatible endpoint: CPU of the process, and the calls it makes. The project has an
//! owner, a worker that sleeps meanwhile.

use std::time::Duration;

use anyhow::Context;
use common::cloud::contract::endpoint::Endpoint;
use e2e::mail::Letter;
use e2e::world::{World, demo_agent, plain_site};
use nix::sys::signal::Signal;

use crate::endpoint::{Counter, over, said};
use crate::{Bar, Held, LIMIT, figure};

const MAILS: usize = 300;
const OWNER: &str = "amelia@example.org";
/// Of the kernel's accounting (`USER_HZ`).
const MILLIS_PER_TICK: f64 = 10.0;

pub(crate) async fn count() -> anyhow::Result<Vec<Held>> {
    let endpoint = Endpoint::ministack();
    let counter = Counter::before(&endpoint, |call| Some(call.name())).await;
    let (mut world, api, _prefix) = over(&endpoint, counter.url()).await?;
    let (folder, build) = plain_site()?;
    world.add_project("bakery", folder.path(), Some(build), (OWNER, "amelia")).await?;
    // The first one makes the queue, and a claim that is held for a while.
    world.start_worker(&demo_agent("")?, &[]).await?;
    let first = api.order(Letter::new(OWNER, "Hours", "change 7 to 8").to_bytes()).await?;
    api.job_done(first["commandId"].as_str().context("a commandId")?, LIMIT).await?;
    world.workers[0].signal(Signal::SIGSTOP)?;
    // Its answer goes out.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut held = Vec::new();
    for (what, words) in [("taken", "change 7 to 8"), ("taken and answered at once", "help")] {
        counter.taken();
        let before = spent(&mut world)?;
        for _ in 0..MAILS {
            let (status, body) = api.post_mail(Letter::new(OWNER, "Hours", words).to_bytes()).await?;
            anyhow::ensure!(matches!(status.as_u16(), 200 | 202), "{status} {body}");
        }
        let each = (spent(&mut world)? - before) / figure(MAILS);
        let counts = counter.taken();
        let calls = figure(counts.values().sum()) / figure(MAILS);
        println!("\n{MAILS} mails {what}: {calls:.1} calls each: {}", said(&counts));
        held.push((
            format!("P2 CPU in hermes for a mail {what}, over the endpoint, ms"),
            Bar::AtMost(1.5),
            each,
        ));
    }
    world.workers[0].signal(Signal::SIGCONT)?;
    world.workers[0].kill().await?;
    world.stop().await?;
    Ok(held)
}

fn spent(world: &mut World) -> anyhow::Result<f64> {
    let ticks = usize::try_from(world.hermes()?.cpu_ticks()?)?;
    Ok(figure(ticks) * MILLIS_PER_TICK)
}
