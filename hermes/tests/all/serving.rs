//! `hermes serve` as a process: what it acknowledges is on the disk, and it says when there is no disk to speak of.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::command_line::Running;
use crate::strace::{self, Call, synced_between};
use crate::support::{TOKEN, mail, text};

/// The longest wait, also on a busy machine.
const LIMIT: Duration = Duration::from_mins(1);

struct Serving {
    address: String,
    process: Running,
}

#[allow(clippy::disallowed_methods, reason = "the test starts the program under test")]
fn command(before: &[&str], data: &Path) -> Command {
    let this = env!("CARGO_BIN_EXE_hermes");
    let words: Vec<&str> = before.iter().copied().chain([this]).collect();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).env_clear().arg("--data-dir").arg(data);
    command.args(["serve", "--listen", "127.0.0.1:0", "--trust", "all", "--log", "json"]);
    command.args(["--admin-token", TOKEN]);
    command
}

/// Runs a program to its end.
#[allow(clippy::disallowed_methods, reason = "a test sets its stage")]
fn succeeds(words: &[&str]) -> bool {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

impl Serving {
    /// Starts it, behind a program such as strace when `before` names one, and waits until it is ready.
    fn start(before: &[&str], data: &Path) -> Self {
        let child = command(before, data).stderr(Stdio::piped()).spawn();
        let mut process = Running(child.unwrap_or_else(|error| panic!("{before:?}: {error}: install it")));
        let mut lines = BufReader::new(process.0.stderr.take().unwrap()).lines().map_while(Result::ok);
        let ready = |line: String| {
            let event: Value = serde_json::from_str(&line).ok()?;
            Some(event["message"].as_str()?.strip_prefix("hermes is ready on http://")?.to_owned())
        };
        let address = lines.find_map(ready).expect("it ended before it was ready");
        std::thread::spawn(move || lines.for_each(drop));
        Self { address, process }
    }

    /// Status and JSON of an answer.
    fn call(&self, method: &str, path: &str, kind: &str, body: &str) -> (u16, Value) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap_or_default())
    }

    fn get(&self, path: &str) -> (u16, Value) {
        self.call("GET", path, "application/json", "")
    }

    fn until(&self, what: &str, condition: impl Fn((u16, Value)) -> bool) {
        let deadline = Instant::now() + LIMIT;
        while !condition(self.get("/readyz")) {
            assert!(Instant::now() < deadline, "waited for {what} in vain");
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }
}

#[test]
fn a_full_disk_makes_it_unready_until_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Mounted::tmpfs(folder.path(), "size=10m");
    // Where nothing may be mounted, a limit on the size of files stands for a disk that is full.
    let before: &[&str] = if disk.is_some() { &[] } else { &["env", "--ignore-signal=XFSZ"] };
    let serving = Serving::start(before, &folder.path().join("data"));
    let (pid, ballast) = (serving.process.0.id().to_string(), folder.path().join("ballast"));
    let limit = |size: &str| assert!(succeeds(&["prlimit", "--pid", &pid, &format!("--fsize={size}")]));
    assert_eq!(serving.get("/readyz").0, 200);
    if disk.is_some() {
        std::fs::write(&ballast, vec![0; 12 * 1024 * 1024]).unwrap_err();
    } else {
        limit("1000:unlimited");
    }
    serving.until("a full disk", |(status, problem)| {
        status == 503 && text(&problem, "detail").contains("files")
    });
    assert_eq!(serving.get("/healthz").0, 200);
    if disk.is_some() {
        std::fs::remove_file(&ballast).unwrap();
    } else {
        limit("unlimited");
    }
    serving.until("room", |(status, _)| status == 200);
}

#[test]
fn a_read_only_data_directory_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Mounted::tmpfs(folder.path(), "ro");
    // Nobody, root or not, can make a directory there.
    let data = if disk.is_some() { folder.path().join("data") } else { "/proc/hermes-data".into() };
    let output = command(&[], &data).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("cannot be used") && said.contains(data.to_str().unwrap()), "{said}");
    assert!(disk.is_none() || said.contains("mount it writable"), "{said}");
}

#[test]
fn a_mail_is_acknowledged_after_its_bytes_its_folder_and_the_log_are_synced() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    let (data, log) = (root.join("data"), root.join("strace.log"));
    let traced = "trace=write,writev,sendto,sendmsg,pwrite64,fsync,fdatasync,rename,renameat,renameat2";
    let before = ["strace", "-D", "-f", "-y", "-s", "5000", "-e", traced, "-o", log.to_str().unwrap()];
    let mut serving = Serving::start(&before, &data);
    let json = "application/json";
    let body = r#"{"repoUrl":"https://github.com/you/amelia.git"}"#;
    assert_eq!(serving.call("PUT", "/v1/projects/amelia", json, body).0, 201);
    let body = r#"{"projectId":"amelia","userId":"scott"}"#;
    assert_eq!(serving.call("PUT", "/v1/senders/scott@example.org", json, body).0, 201);
    let (status, taken) = serving.call("POST", "/v1/inbound/raw", "message/rfc822", &mail("1", "7 to 8"));
    assert_eq!((status, &taken["ending"]), (202, &Value::from("routed")));
    let (_, record) = serving.get(&format!("/v1/mails/{}", text(&taken, "mailId")));
    serving.process.0.kill().unwrap();
    let calls = strace::read(&ended(&log));
    let data = data.to_str().unwrap();
    let raw = format!("{data}/objects/{}", text(&record, "rawKey"));
    let command = text(&taken, "commandId");
    assert_eq!(unsynced(&calls, data, &raw, command), [""; 0]);
    for (place, missing) in
        [("/tmp/", "the mail"), ("/objects/", "its folder"), ("/hermes.db-wal", "the log of the database")]
    {
        let there = format!("<{data}{place}");
        let without = |call: &&Call| !(call.is_sync() && call.arguments.contains(&there));
        let calls: Vec<Call> = calls.iter().filter(without).cloned().collect();
        assert_eq!(unsynced(&calls, data, &raw, command), [missing], "without the syncs of {place}");
    }
}

/// The log of strace, once the last process in it has ended.
fn ended(log: &Path) -> String {
    let deadline = Instant::now() + LIMIT;
    loop {
        let text = std::fs::read_to_string(log).unwrap();
        if text.lines().last().is_some_and(|line| line.contains("+++ ")) && text.ends_with('\n') {
            return text;
        }
        assert!(Instant::now() < deadline, "strace does not end");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// What was not on the disk when the mail was acknowledged.
fn unsynced(calls: &[Call], data: &str, raw: &str, command: &str) -> Vec<&'static str> {
    let told = calls.iter().find(|call| call.arguments.contains("HTTP/1.1 202")).expect("the answer").began;
    let placed = calls
        .iter()
        .find(|call| call.name.starts_with("rename") && call.names(raw) && call.succeeded.is_some())
        .expect("the mail takes its place");
    let folder = Path::new(raw).parent().unwrap().to_str().unwrap();
    let log = format!("{data}/hermes.db-wal");
    let written = calls
        .iter()
        .rfind(|call| {
            let writes = call.name == "pwrite64" && call.is_on(&log) && call.began < told;
            writes && call.arguments.contains(command)
        })
        .expect("the work is written to the log");
    let checks = [
        ("the mail", synced_between(calls, placed.first_path(), 0, placed.began)),
        ("its folder", synced_between(calls, folder, placed.succeeded.unwrap(), told)),
        ("the log of the database", synced_between(calls, &log, written.succeeded.unwrap(), told)),
    ];
    checks.into_iter().filter(|(_, synced)| !synced).map(|(what, _)| what).collect()
}

/// A tmpfs that goes away with this value.
struct Mounted<'a> {
    at: &'a Path,
}

impl<'a> Mounted<'a> {
    fn tmpfs(at: &'a Path, options: &str) -> Option<Self> {
        let options = format!("{options},mode=0700");
        let words = ["mount", "-t", "tmpfs", "-o", &options, "tmpfs", at.to_str().unwrap()];
        succeeds(&words).then_some(Self { at })
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        // Detached at once; it is gone when its last file is closed.
        succeeds(&["umount", "--lazy", self.at.to_str().unwrap()]);
    }
}
