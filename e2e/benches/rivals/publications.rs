//! A site of 1,600 pages on its way to S3: all of it, and after a rebuild that changed five of them. Every round has a site of
//! its own, of which nothing was ever stored. The rivals sync a folder of the same pages whose files were all written anew,
//! as a build does.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context;
use common::cloud::contract::endpoint::front::Call;
use common::cloud::contract::endpoint::{Endpoint, arguments};
use e2e::api::Api;
use e2e::figures::lasted;
use e2e::mail::Letter;
use e2e::world::{demo_agent, plain_site};
use serde_json::Value;

use crate::endpoint::{Counter, Counts, over, said};
use crate::{Bar, Held, LIMIT, ROUNDS, Times, figure, timed};

const PAGES: usize = 1600;
/// Pages whose words a rebuild changes, the front page among them.
const CHANGED: usize = 5;
const LOOK_EVERY: Duration = Duration::from_millis(500);
const BUCKET: &str = "rivals";
/// Any will do for an endpoint on this machine.
const KEY: &str = "local";

/// Uploads and copies of the site's files by name, everything else as a request (the manifest, too); none for another
/// service, and for what the agent said.
fn kind(call: &Call) -> Option<String> {
    let of = |folder: &str| call.path.contains(folder);
    if ["/transcripts/", "/sessions/", "/wip/"].into_iter().any(of) {
        return None;
    }
    let kind = match call.name().as_str() {
        "S3 PUT" if of("/manifest.json") => "other requests",
        "S3 PUT" => "uploads",
        "S3 COPY" => "copies",
        name if name.starts_with("S3 ") => "other requests",
        _ => return None,
    };
    Some(kind.to_owned())
}

pub(crate) async fn compare() -> anyhow::Result<Vec<Held>> {
    let endpoint = Endpoint::ministack();
    let (ours, theirs) = (Counter::before(&endpoint, kind).await, Counter::before(&endpoint, kind).await);
    let (mut world, api, prefix) = over(&endpoint, endpoint.url()).await?;
    world.further = arguments(ours.url(), &prefix);
    world.start_worker(&demo_agent("")?, &[]).await?;
    let url = theirs.url();
    timed(&mut aws(url, &["s3", "mb", &format!("s3://{BUCKET}")]))?;

    let mut first = [Times::of("P9 first publication, 1,600 files"), Times::of("s5cmd, all 1,600")];
    let mut again = [
        "P8 publication after a rebuild, 5 of 1,600",
        "s5cmd, the same",
        "aws cli, the same",
        "rclone --checksum, the same",
    ]
    .map(Times::of);
    let mut most = Counts::new();
    for round in 0..ROUNDS {
        let (folder, build) = plain_site()?;
        pages(&folder.path().join("site"), round, "7 to 18")?;
        let owner = format!("owner-{round}@example.org");
        world.add_project(&format!("bakery-{round}"), folder.path(), Some(build), (&owner, "amelia")).await?;
        let site = tempfile::tempdir()?;
        pages(site.path(), round, "7 to 18")?;
        let (before, after) = (format!("8 to {round}"), format!("9 to {round}"));
        ours.taken();
        let (job, mail) = order(&api, &owner, &format!("change \"7 to 18\" to \"{before}\""), None).await?;
        publication(&mut first[0], &job, &ours)?;
        sync(&mut first[1], &mut s5cmd(url, site.path(), round), &theirs)?;
        // The others begin with the same objects.
        timed(&mut rclone(url, site.path(), &format!("{BUCKET}/rclone-{round}")))?;
        timed(&mut s5cmd_to(url, site.path(), &format!("aws-{round}")))?;

        theirs.taken();
        pages(site.path(), round, "9 to 20")?;
        ours.taken();
        let (job, _) =
            order(&api, &owner, &format!("change \"{before}\" to \"{after}\""), Some(&mail)).await?;
        for (kind, count) in publication(&mut again[0], &job, &ours)? {
            most.entry(kind).and_modify(|most| *most = count.max(*most)).or_insert(count);
        }
        sync(&mut again[1], &mut s5cmd(url, site.path(), round), &theirs)?;
        let target = format!("s3://{BUCKET}/aws-{round}");
        let folder = site.path().display().to_string();
        sync(&mut again[2], &mut aws(url, &["s3", "sync", "--quiet", &folder, &target]), &theirs)?;
        let target = format!("{BUCKET}/rclone-{round}");
        sync(&mut again[3], &mut rclone(url, site.path(), &target), &theirs)?;
    }
    world.stop().await?;
    Times::print(&first.iter().chain(&again).collect::<Vec<_>>());
    let count = |kind: &str| figure(most.get(kind).copied().unwrap_or(0));
    Ok(vec![
        ("P8 uploads for 5 changed files".into(), Bar::AtMost(5.0), count("uploads")),
        ("P8 copies on the server".into(), Bar::AtMost(5.0), count("copies")),
        ("P8 other requests".into(), Bar::AtMost(4.0), count("other requests")),
        ("P8 aws cli / it".into(), Bar::AtLeast(8.0), again[2].median() / again[0].median()),
        ("P8 s5cmd / it".into(), Bar::AtLeast(5.0), again[1].median() / again[0].median()),
        ("P9 first publication / s5cmd".into(), Bar::AtMost(1.0), first[0].median() / first[1].median()),
    ])
}

/// Orders an edit; the job and the id of its mail.
async fn order(
    api: &Api,
    owner: &str,
    wish: &str,
    answered: Option<&str>,
) -> anyhow::Result<(Value, String)> {
    let letter = Letter::new(owner, "Hours", wish);
    let letter = match answered {
        Some(id) => letter.answering(id),
        None => letter,
    };
    let accepted = api.order(letter.to_bytes()).await?;
    let job = done(api, accepted["commandId"].as_str().context("a commandId")?).await?;
    anyhow::ensure!(job["outcome"] == "changed", "{job}");
    let mail = api.get(&format!("/v1/mails/{}", accepted["mailId"].as_str().context("a mailId")?)).await?;
    let id = mail["messageId"].as_str().context("a messageId")?;
    Ok((job, format!("<{}>", id.trim_matches(['<', '>']))))
}

/// Waits for the end of a job, and asks seldom: each question is one more request to an endpoint that answers one at a time.
async fn done(api: &Api, command: &str) -> anyhow::Result<Value> {
    let waiting = Instant::now();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let job = api.get(&format!("/v1/jobs/{command}")).await?;
        if job["state"] == "done" {
            return Ok(job);
        }
        anyhow::ensure!(waiting.elapsed() < LIMIT, "job {command} has not ended: {job}");
    }
}

/// Notes what a publication took and asked for.
fn publication(times: &mut Times, job: &Value, counter: &Counter) -> anyhow::Result<Counts> {
    let counts = counter.taken();
    times.besides = said(&counts);
    times.all.push(lasted(job, "publish")?);
    Ok(counts)
}

fn sync(times: &mut Times, command: &mut Command, counter: &Counter) -> anyhow::Result<()> {
    counter.taken();
    times.all.push(timed(command)?);
    times.besides = said(&counter.taken());
    Ok(())
}

/// Writes every page, different in every round; the first few say when it is open.
fn pages(folder: &Path, round: usize, hours: &str) -> std::io::Result<()> {
    for number in 0..PAGES {
        let page = if number == 0 { folder.to_owned() } else { folder.join(format!("page-{number}")) };
        std::fs::create_dir_all(&page)?;
        let words =
            if number < CHANGED { format!("Open from {hours}") } else { "Bread and cake. ".repeat(200) };
        std::fs::write(
            page.join("index.html"),
            format!("<!doctype html><title>Page {number} of site {round}</title><p>{words}</p>\n"),
        )?;
    }
    Ok(())
}

fn with_key(command: &mut Command) -> &mut Command {
    without_bundle(command).envs([
        ("AWS_ACCESS_KEY_ID", KEY),
        ("AWS_SECRET_ACCESS_KEY", KEY),
        ("AWS_REGION", "us-east-1"),
    ])
}

/// The endpoint on this machine has no certificate, and rclone ends when it is told of some.
fn without_bundle(command: &mut Command) -> &mut Command {
    command.env_remove("AWS_CA_BUNDLE")
}

fn s5cmd(url: &str, folder: &Path, round: usize) -> Command {
    s5cmd_to(url, folder, &format!("s5cmd-{round}"))
}

fn s5cmd_to(url: &str, folder: &Path, to: &str) -> Command {
    let mut command = Command::new("s5cmd");
    command.args(["--endpoint-url", url, "sync"]).arg(folder.join("*")).arg(format!("s3://{BUCKET}/{to}/"));
    with_key(&mut command);
    command
}

fn aws(url: &str, words: &[&str]) -> Command {
    let mut command = Command::new("aws");
    with_key(command.args(["--endpoint-url", url]).args(words));
    command
}

fn rclone(url: &str, folder: &Path, to: &str) -> Command {
    let mut command = Command::new("rclone");
    let remote = format!(
        ":s3,provider=Other,endpoint=\"{url}\",access_key_id={KEY},secret_access_key={KEY},region=us-east-1:{to}"
    );
    command.args(["sync", "--checksum"]).arg(folder).arg(remote).env("RCLONE_CONFIG", "/dev/null");
    without_bundle(&mut command);
    command
}
