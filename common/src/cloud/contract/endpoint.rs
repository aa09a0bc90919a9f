//! AWS-compatible endpoints for tests: processes on free loopback ports that end with whoever started them, and a front
//! before one that answers as AWS does where the endpoint does not, or as AWS does on a bad day.

mod corrections;
pub mod front;

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use clap::Parser;
use uuid::Uuid;

use crate::config::CloudSettings;

pub use corrections::as_aws_does;

/// How long an endpoint may take to start, also on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);
const LOOK: Duration = Duration::from_millis(10);

/// Runs an endpoint whose clock is moved by the lines of its standard input, and which ends with it.
const MINISTACK: &str = "
import os, sys, threading, time
moved, real = [0.0], time.time
time.time = lambda: real() + moved[0]
def listen():
    for line in sys.stdin:
        moved[0] += float(line)
        print('moved', flush=True)
    os._exit(0)
threading.Thread(target=listen, daemon=True).start()
from ministack.app import main
sys.argv = ['ministack']
main()
";

/// A running endpoint.
pub struct Endpoint {
    url: String,
    child: Child,
    words: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
}

impl Endpoint {
    /// One of our own, whose time can be moved.
    pub fn ministack() -> Self {
        let port = free_port();
        #[allow(
            clippy::disallowed_methods,
            reason = "a test starts its stage; what the worker starts children with is not for this crate"
        )]
        let mut child = Command::new(python())
            .args(["-c", MINISTACK])
            .env_clear()
            .env("BIND_HOST", "127.0.0.1")
            .env("MINISTACK_HOST", "127.0.0.1")
            .env("GATEWAY_PORT", port.to_string())
            .env("LOG_LEVEL", "ERROR")
            .current_dir(std::env::temp_dir())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("ministack does not start ({error}): run `make test-setup`"));
        let words = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        listens(&mut child, port);
        Self { url: format!("http://127.0.0.1:{port}"), child, words: Mutex::new(words) }
    }

    /// The one that all tests of this process share; it ends with the process.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Endpoint> = OnceLock::new();
        SHARED.get_or_init(Self::ministack)
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Moves its time on.
    pub fn advance(&self, by: Duration) {
        let mut words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(words.0, "{}", by.as_secs_f64()).unwrap();
        let mut line = String::new();
        while line.trim() != "moved" {
            line.clear();
            assert!(words.1.read_line(&mut line).unwrap() > 0, "the endpoint has ended");
        }
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The settings of a cloud at an endpoint, under a prefix that nobody used before.
pub fn settings(url: &str) -> CloudSettings {
    settings_under(url, &fresh_prefix())
}

/// The same under a chosen prefix.
pub fn settings_under(url: &str, prefix: &str) -> CloudSettings {
    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        cloud: CloudSettings,
    }
    Only::parse_from(std::iter::once("test".to_owned()).chain(arguments(url, prefix))).cloud
}

/// The same as a program is told.
pub fn arguments(url: &str, prefix: &str) -> Vec<String> {
    let words = ["--cloud", "aws", "--aws-endpoint-url", url, "--prefix", prefix];
    // Sites of one prefix are not those of another, as they would be on two accounts.
    let (preview, live) = (format!("edit-{prefix}.{{projectId}}"), format!("live-{prefix}.{{projectId}}"));
    let sites = ["--s3-bucket-pattern", &preview, "--s3-live-bucket-pattern", &live];
    words.into_iter().chain(sites).map(str::to_owned).collect()
}

/// A prefix that nobody used before.
pub fn fresh_prefix() -> String {
    format!("t{}", &Uuid::new_v4().simple().to_string()[..10])
}

/// The Python of the set-up, which has the endpoints.
fn python() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let python = root.join(".tools/venv/bin/python");
    assert!(python.exists(), "{} is not there: run `make test-setup`", python.display());
    python
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

fn listens(child: &mut Child, port: u16) {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return;
        }
        if let Some(status) = child.try_wait().unwrap() {
            panic!("the endpoint has ended ({status}): run `make test-setup`");
        }
        std::thread::park_timeout(LOOK);
    }
    panic!("the endpoint does not listen");
}
