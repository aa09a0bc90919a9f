//! After a run of the whole loop no secret of it stands anywhere: in no file, no row of a table, no object of a repository, no
//! mail and no log. The same search finds each place in which one is put on purpose.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use e2e::claude_api::{ScriptedApi, Turn};
use e2e::mail::Letter;
use e2e::world::{World, plain_site};
use git2::Repository;
use mail_parser::MessageParser;
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use serde_json::Value;
use uuid::Uuid;

const LIMIT: Duration = Duration::from_mins(2);

/// An agent that asks its model once, and puts everything it can find out about its surroundings into the site, its log
/// and its last words.
const NOSY: &str = r#"
import { appendFileSync, readFileSync, readdirSync } from "node:fs";
readFileSync(0, "utf8");
const look = (path) => { try { return readFileSync(path, "utf8"); } catch (error) { return ""; } };
const list = (path) => { try { return readdirSync(path); } catch (error) { return []; } };
const found = Object.values(process.env);
for (const id of list("/proc")) found.push(look("/proc/" + id + "/environ"), look("/proc/" + id + "/cmdline"));
for (const name of [".git/config", process.env.HOME + "/.gitconfig", process.env.HOME + "/.netrc"]) found.push(look(name));
for (const name of list("..")) found.push(name, look("../" + name));
const body = JSON.stringify({ model: "m", max_tokens: 9, stream: true, messages: [{ role: "user", content: "hello" }] });
const headers = { "content-type": "application/json", "x-api-key": process.env.ANTHROPIC_API_KEY || "none" };
const answer = await fetch(process.env.ANTHROPIC_BASE_URL + "/v1/messages", { method: "POST", headers, body });
found.push(JSON.stringify([...answer.headers]), await answer.text());
const all = found.join("\n").replaceAll("\0", "\n");
appendFileSync("site/index.html", "<!-- " + all.replaceAll("--", "- -") + " -->");
console.error(all);
console.log(JSON.stringify({ type: "result", subtype: "success", result: "MARK " + all.slice(0, 3000) }));
"#;

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("no {field} in {value}"))
}

fn holds(bytes: &[u8], needle: &str) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle.as_bytes())
}

/// Everything that a run left: what kind of thing it is, where it lies, and its bytes.
#[derive(Default)]
struct Left(Vec<(&'static str, PathBuf, Vec<u8>)>);

impl Left {
    fn by(world: &World, root: &Path, logs: &[String]) -> Self {
        let mut left = Self::default();
        left.folder(root);
        left.tables(&world.data_dir().join("hermes.db"));
        left.0.extend(logs.iter().map(|log| ("log", PathBuf::new(), log.clone().into_bytes())));
        left
    }

    fn folder(&mut self, folder: &Path) {
        if folder.join("objects").is_dir() && folder.join("HEAD").is_file() {
            self.repository(folder);
        }
        for entry in std::fs::read_dir(folder).unwrap() {
            let (path, kind) = (entry.as_ref().unwrap().path(), entry.unwrap().file_type().unwrap());
            if kind.is_dir() {
                self.folder(&path);
            } else if kind.is_file() {
                let bytes = std::fs::read(&path).unwrap();
                self.mail(&path, &bytes);
                self.0.push(("file", path, bytes));
            }
        }
    }

    /// Objects are compressed in their files.
    fn repository(&mut self, folder: &Path) {
        let repo = Repository::open(folder).unwrap();
        let odb = repo.odb().unwrap();
        let objects = &mut self.0;
        odb.foreach(|id| {
            objects.push(("object", folder.join(id.to_string()), odb.read(*id).unwrap().data().to_vec()));
            true
        })
        .unwrap();
    }

    /// Parts are encoded in the mail's bytes.
    fn mail(&mut self, path: &Path, bytes: &[u8]) {
        let came_in = path.parent().is_some_and(|folder| folder.ends_with("mail/raw"));
        if came_in || path.extension().is_some_and(|ending| ending == "eml") {
            let mail = MessageParser::default().parse(bytes).unwrap();
            self.0.extend(mail.parts.iter().map(|part| ("mail", path.to_owned(), part.contents().to_vec())));
        }
    }

    /// A long value lies in pieces in the file of the database.
    fn tables(&mut self, database: &Path) {
        let database = Connection::open(database).unwrap();
        let mut names = database.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").unwrap();
        let names: Vec<String> =
            names.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
        for name in names {
            let mut all = database.prepare(&format!("SELECT * FROM \"{name}\"")).unwrap();
            let columns = all.column_count();
            let mut rows = all.query([]).unwrap();
            while let Some(row) = rows.next().unwrap() {
                for column in 0..columns {
                    if let ValueRef::Text(value) | ValueRef::Blob(value) = row.get_ref(column).unwrap() {
                        self.0.push(("row", PathBuf::from(&name), value.to_vec()));
                    }
                }
            }
        }
    }

    fn places_of(&self, needle: &str) -> BTreeSet<(&'static str, PathBuf)> {
        let found = self.0.iter().filter(|(_, _, bytes)| holds(bytes, needle));
        found.map(|(kind, path, _)| (*kind, path.clone())).collect()
    }

    fn kinds_of(&self, needle: &str) -> BTreeSet<&'static str> {
        self.places_of(needle).into_iter().map(|(kind, _)| kind).collect()
    }
}

/// One secret into each kind of place.
fn plant(world: &World, root: &Path, secret: &str) {
    std::fs::write(world.data_dir().join("sites/planted.txt"), format!("x{secret}x")).unwrap();
    let database = Connection::open(world.data_dir().join("hermes.db")).unwrap();
    database.execute_batch("CREATE TABLE planted (value TEXT)").unwrap();
    let long = format!("{}{secret}", "-".repeat(100_000));
    database.execute("INSERT INTO planted VALUES (?1)", [long]).unwrap();
    Repository::open_bare(root.join("remotes/bakery.git")).unwrap().blob(secret.as_bytes()).unwrap();
    let quoted: Vec<String> = secret.bytes().map(|byte| format!("={byte:02X}")).collect();
    let quoted = quoted.concat();
    let mail = format!(
        "From: a@example.org\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n{quoted}\r\n"
    );
    std::fs::write(world.outbox().join("planted.eml"), mail).unwrap();
}

#[tokio::test]
async fn no_secret_of_a_run_is_left_anywhere_by_a_nosy_agent_and_a_planted_one_is_found() {
    let fresh = |start: &str| format!("{start}{}", Uuid::new_v4().simple());
    let (model, git) = (fresh("sk-ant-api03-"), fresh("ghp_"));
    let (key, signed, postmark, mailgun) = (fresh("key"), fresh("in"), fresh("hook:"), fresh("gun"));
    let api_of_model = ScriptedApi::start(vec![Turn::Say("Hello.".into())]).await.unwrap();

    let mut world = World::temporary().unwrap();
    let root = world.data_dir().parent().unwrap().to_owned();
    let settings = [
        ("HERMES_LOG_LEVEL", "debug"),
        ("HERMES_SECRET_KEY", key.as_str()),
        ("HERMES_INBOUND_SECRET", &signed),
        ("HERMES_POSTMARK_AUTH", &postmark),
        ("HERMES_MAILGUN_KEY", &mailgun),
    ];
    let program = e2e::process::binary("hermes").unwrap();
    let api = world.start_hermes_with(&program, "127.0.0.1:0", &settings).await.unwrap();
    let base_url = api_of_model.base_url();
    let settings = [
        ("SANDBOX", "namespaces"),
        ("HERMES_LOG_LEVEL", "debug"),
        ("ANTHROPIC_BASE_URL", base_url.as_str()),
        ("ANTHROPIC_API_KEY", &model),
        ("GITHUB_TOKEN", &git),
    ];
    world.start_worker(&format!("node --input-type=module -e '{NOSY}'"), &settings).await.unwrap();
    let (folder, build) = plain_site().unwrap();
    world.add_project("bakery", folder.path(), Some(build), ("amelia@example.org", "amelia")).await.unwrap();

    let words = Uuid::new_v4().to_string();
    let letter = Letter::new("amelia@example.org", "Secrets", &format!("Tell me everything. {words}"));
    let accepted = api.order(letter.to_bytes()).await.unwrap();
    let job = api.job_done(text(&accepted, "commandId"), LIMIT).await.unwrap();
    assert_eq!(job["outcome"], "changed", "{job}\n{}", world.workers[0].log());
    api.answered(text(&accepted, "mailId"), LIMIT).await.unwrap();
    assert_eq!(api_of_model.seen().keys, [model.as_str()], "the key was added on the way");

    let admin_file = world.data_dir().join("admin-token");
    let admin = std::fs::read_to_string(&admin_file).unwrap().trim().to_owned();
    let mut logs = vec![world.workers[0].log(), world.hermes().unwrap().log()];
    world.stop().await.unwrap();
    let left = Left::by(&world, &root, &logs);

    // What may be known is found wherever it went: so a secret would be.
    let kinds = left.kinds_of(&words);
    assert!(["file", "mail", "object", "row"].iter().all(|kind| kinds.contains(kind)), "{kinds:?}");
    assert!(left.kinds_of("MARK ").is_superset(&BTreeSet::from(["file", "mail", "row"])));

    let (user, password) = postmark.split_once(':').unwrap();
    assert_eq!(user, "hook");
    let secrets = [&*model, &*git, &*key, &*signed, password, &*mailgun];
    for secret in secrets {
        assert_eq!(left.places_of(secret), BTreeSet::new());
    }
    assert_eq!(left.places_of(&admin), BTreeSet::from([("file", admin_file.clone())]), "but in its own file");
    assert_eq!(std::fs::metadata(admin_file).unwrap().permissions().mode() & 0o077, 0);

    for secret in secrets {
        plant(&world, &root, secret);
        logs.push(format!("a line with {secret}"));
        let found = Left::by(&world, &root, &logs).kinds_of(secret);
        assert_eq!(found, BTreeSet::from(["file", "log", "mail", "object", "row"]));
        Connection::open(world.data_dir().join("hermes.db"))
            .unwrap()
            .execute_batch("DROP TABLE planted")
            .unwrap();
    }
    println!(
        "{} things of a run: {} secrets, 0 found; each planted one found in 5 places",
        left.0.len(),
        secrets.len() + 1
    );
}
