//! AWS-compatible endpoints for tests: processes on free loopback ports that end with whoever started them, and a front
//! before one that answers as AWS does where the endpoint does not, or as AWS does on a bad day.

mod corrections;
pub mod front;
mod programs;

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use clap::Parser;
use uuid::Uuid;

use crate::config::CloudSettings;

pub use corrections::as_aws_does;
use programs::{LOCALEMU, MINISTACK, MOTO, Program};

/// How long an endpoint may take to start, also on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);
const SET_UP: &str = "run `make test-setup`";
const LOOK: Duration = Duration::from_millis(10);

/// A running endpoint.
pub struct Endpoint {
    url: String,
    child: Child,
    words: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
}

impl Endpoint {
    /// One of our own, whose time can be moved.
    pub fn ministack() -> Self {
        Self::start(&MINISTACK)
    }

    /// One of our own that is right about Step Functions and signs what SNS says; slow to start.
    pub fn localemu() -> Self {
        Self::start(&LOCALEMU)
    }

    /// One of our own that knows the bounds of SQS.
    pub fn moto() -> Self {
        Self::start(&MOTO)
    }

    fn start(program: &'static Program) -> Self {
        let port = free_port();
        #[allow(
            clippy::disallowed_methods,
            reason = "a test starts its stage; what the worker starts children with is not for this crate"
        )]
        let mut child = Command::new(program.python())
            .args(["-c", &program.script(), &port.to_string()])
            .env_clear()
            .envs(program.environment(port))
            .current_dir(std::env::temp_dir())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{} does not start ({error}): {SET_UP}", program.name));
        let mut words = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        listens(&mut child, port);
        if let Some(ready) = program.ready {
            says(&mut words.1, ready);
        }
        Self { url: format!("http://127.0.0.1:{port}"), child, words: Mutex::new(words) }
    }

    /// The one that all tests of this process share; it ends with the process.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Endpoint> = OnceLock::new();
        SHARED.get_or_init(Self::ministack)
    }

    /// The same of localemu.
    pub fn shared_localemu() -> &'static Self {
        static SHARED: OnceLock<Endpoint> = OnceLock::new();
        SHARED.get_or_init(Self::localemu)
    }

    /// The same of moto.
    pub fn shared_moto() -> &'static Self {
        static SHARED: OnceLock<Endpoint> = OnceLock::new();
        SHARED.get_or_init(Self::moto)
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Moves its time on.
    pub fn advance(&self, by: Duration) {
        let mut words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(words.0, "{}", by.as_secs_f64()).unwrap();
        says(&mut words.1, "moved");
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

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// Reads until a line is this word.
fn says(words: &mut BufReader<ChildStdout>, word: &str) {
    let mut line = String::new();
    while line.trim() != word {
        line.clear();
        assert!(words.read_line(&mut line).unwrap() > 0, "the endpoint has ended: {SET_UP}");
    }
}

fn listens(child: &mut Child, port: u16) {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return;
        }
        if let Some(status) = child.try_wait().unwrap() {
            panic!("the endpoint has ended ({status}): {SET_UP}");
        }
        std::thread::park_timeout(LOOK);
    }
    panic!("the endpoint does not listen");
}
