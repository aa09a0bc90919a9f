//! One publication of the live site, or one undo, whose worker meets a disaster at a named point.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use common::checkpoint::Point;
use nix::sys::signal::Signal;
use reqwest::Method;
use serde_json::{Value, json};

use super::disaster::{Disaster, LIMIT, Scene};
use crate::mail::Letter;

const LIVE: &str = "bakery.localhost";
const ENDED: Duration = Duration::from_secs(30);

/// What the worker is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switch {
    /// The second preview takes the place of the first.
    Publish,
    /// The first comes back.
    Undo,
}

type Pages = BTreeMap<PathBuf, Vec<u8>>;

/// The switch happens once, and its bytes are all in place, whatever becomes of the worker that began it.
pub async fn meet_in_switch(point: Point, disaster: Disaster, switch: Switch) -> anyhow::Result<()> {
    let met = meet(point, disaster, switch).await;
    met.with_context(|| format!("{disaster:?} at {point} of {switch:?}"))
}

async fn meet(point: Point, disaster: Disaster, switch: Switch) -> anyhow::Result<()> {
    let mut scene = Scene::new().await?;
    let (previews, mut releases) = (before(&mut scene, switch).await?, 2);
    scene.hold(point).await?;
    scene.accepted = match switch {
        Switch::Publish => publish(&scene, &previews[1].0).await?,
        Switch::Undo => {
            releases += 1;
            asked(&scene, "undo", None).await?
        }
    };
    scene.reached(point).await?;
    match disaster {
        Disaster::Killed => drop(scene.kill(point).await?),
        Disaster::Frozen => drop(scene.freeze().await?),
        Disaster::Ended => drop(scene.end().await?),
    }
    let job = scene.job().await?;
    ensure!(job["outcome"] == "changed", "the job ended otherwise: {job}");
    let expected = match switch {
        Switch::Publish => &previews[1].1,
        Switch::Undo => &previews[0].1,
    };
    put_up_once(&scene, expected, releases)?;
    if disaster == Disaster::Frozen {
        scene.thaw().await?;
    }
    scene.world.stop().await?;
    put_up_once(&scene, expected, releases)
}

/// Two previews, the first of which is live; before an undo both were.
async fn before(scene: &mut Scene, switch: Switch) -> anyhow::Result<Vec<(Value, Pages)>> {
    scene.another_worker().await?;
    let mut previews = Vec::new();
    for words in ["change \"7 to 18\" to \"8 to 20\"", "add a page about rye"] {
        let letter = Letter::new("amelia@example.org", "Site", words);
        let accepted = scene.api.order(letter.to_bytes()).await?;
        let job = done(scene, &accepted).await?;
        let url = job["previewUrl"].as_str().context("a preview")?;
        let host = url.trim_start_matches("http://").split([':', '/']).next().unwrap_or_default();
        previews.push((job["threadId"].clone(), pages(scene, host)?));
    }
    let live = if switch == Switch::Undo { 2 } else { 1 };
    for (thread, _) in &previews[..live] {
        let job = publish(scene, thread).await?;
        done(scene, &job).await?;
    }
    let mut worker = scene.world.workers.remove(0);
    worker.signal(Signal::SIGTERM)?;
    worker.ended(ENDED).await?;
    ensure!(previews[0].1 != previews[1].1, "the previews differ");
    Ok(previews)
}

async fn publish(scene: &Scene, thread: &Value) -> anyhow::Result<Value> {
    asked(scene, "publish", Some(json!({"threadId": thread}))).await
}

async fn asked(scene: &Scene, how: &str, body: Option<Value>) -> anyhow::Result<Value> {
    let path = format!("/v1/projects/bakery/{how}");
    let (status, job) = scene.api.request(Method::POST, &path, body.as_ref()).await?;
    ensure!(status.is_success(), "{path}: {status} {job}");
    Ok(job)
}

async fn done(scene: &Scene, accepted: &Value) -> anyhow::Result<Value> {
    let command = accepted["commandId"].as_str().context("a commandId")?;
    let job = scene.api.job_done(command, LIMIT).await?;
    ensure!(job["outcome"] == "changed", "{job}");
    Ok(job)
}

fn put_up_once(scene: &Scene, expected: &Pages, releases: u64) -> anyhow::Result<()> {
    ensure!(pages(scene, LIVE)? == *expected, "other bytes are live");
    let manifest = scene.world.data_dir().join(format!("objects/{}", manifest_key()?));
    let manifest: Value = serde_json::from_slice(&std::fs::read(manifest)?)?;
    ensure!(manifest["state"] == "published" && manifest["number"] == releases, "{manifest}");
    Ok(())
}

fn manifest_key() -> anyhow::Result<String> {
    let live = common::domain::names::SiteTarget::from_local_host(LIVE).context("a local site")?;
    Ok(live.manifest_key())
}

/// Every file of a site of this machine.
fn pages(scene: &Scene, host: &str) -> anyhow::Result<Pages> {
    let mut pages = Pages::new();
    let root = scene.world.data_dir().join("sites").join(host);
    read_below(&root, &root, &mut pages).with_context(|| host.to_owned())?;
    Ok(pages)
}

fn read_below(root: &Path, folder: &Path, pages: &mut Pages) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            read_below(root, &path, pages)?;
        } else {
            pages.insert(path.strip_prefix(root)?.to_owned(), std::fs::read(&path)?);
        }
    }
    Ok(())
}
