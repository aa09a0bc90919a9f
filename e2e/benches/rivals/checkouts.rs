//! A repository of 100 MB behind git's own server over https: the first checkout of a user, and a branch in a checkout that
//! is there already.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::Context;
use e2e::figures::lasted;
use e2e::mail::Letter;
use e2e::process::binary;
use e2e::remote::Remote;
use e2e::world::{World, demo_agent, plain_site};

use crate::{Bar, Held, LIMIT, ROUNDS, Times, timed};

const FILES: u64 = 100;
const FILE_BYTES: usize = 1024 * 1024;
const SERVER: &str = include_str!("../../../worker/tests/support/git_server.py");
/// What the server lets read and write.
const TOKEN: &str = "the-right-token";

/// git's own server over https, on a free port of the loopback; it ends with this.
struct Server {
    process: Child,
    certificate: PathBuf,
    host: String,
}

impl Server {
    fn of(repositories: &Path, folder: &Path) -> anyhow::Result<Self> {
        let [certificate, key, script, log] =
            ["certificate.pem", "key.pem", "git_server.py", "requests.log"].map(|name| folder.join(name));
        let words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
                     -addext subjectAltName=DNS:localhost";
        let mut openssl = Command::new("openssl");
        timed(openssl.args(words.split_whitespace()).arg("-keyout").arg(&key).arg("-out").arg(&certificate))?;
        std::fs::write(&script, SERVER)?;
        let mut server = Command::new("python3");
        server.arg(&script).args([&certificate, &key]).arg(repositories).arg(&log);
        let mut process = server.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut port = String::new();
        BufReader::new(process.stdout.take().context("its output")?).read_line(&mut port)?;
        Ok(Self { process, certificate, host: format!("localhost:{}", port.trim()) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

pub(crate) async fn compare() -> anyhow::Result<Vec<Held>> {
    let (folder, build) = plain_site()?;
    hundred_megabytes(folder.path())?;
    let mut world = World::temporary()?;
    let path = world.remote_path("bakery");
    Remote::from_folder(folder.path(), &path)?;
    let beside = tempfile::tempdir()?;
    let server = Server::of(path.parent().context("a folder")?, beside.path())?;
    let name = path.file_name().context("a name")?.to_string_lossy().into_owned();
    let url = format!("https://{}/git/{name}", server.host);

    let hosts = [("HERMES_REPO_HOSTS", server.host.as_str())];
    let api = world.start_hermes_with(&binary("hermes")?, "127.0.0.1:0", &hosts).await?;
    let body = serde_json::json!({"repoUrl": url, "defaultBranch": "main", "build": build});
    api.put("/v1/projects/bakery", &body).await?;
    let certificate = server.certificate.display().to_string();
    let settings = [
        // As it is unless somebody said otherwise; without walls, objects are hashed again whenever they are read.
        ("SANDBOX", "namespaces"),
        ("WORKER_CAPACITY", "8"),
        ("HERMES_REPO_HOSTS", &server.host),
        ("GITHUB_TOKEN", TOKEN),
        ("SSL_CERT_FILE", &certificate),
    ];
    world.start_worker(&demo_agent("")?, &settings).await?;

    let [mut first, mut warm, mut clone] =
        ["P7 first checkout, 100 MB", "P6 branch in a warm checkout", "git clone --depth 1"].map(Times::of);
    // What was cloned stays, as a worker's checkouts do: memory of files that are gone is quicker to fill again.
    let mut kept = Vec::new();
    let with_token = format!("https://x-access-token:{TOKEN}@{}/git/{name}", server.host);
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
            cloning.args(["clone", "--quiet", "--depth", "1", &with_token]).arg(target.path().join("site"));
            clone.all.push(timed(cloning.env("GIT_SSL_CAINFO", &certificate))?);
            kept.push(target);
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
