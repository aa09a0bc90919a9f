//! Everything that a run left, looked through; and a secret put into each kind of place.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use e2e::world::World;
use git2::Repository;
use mail_parser::MessageParser;
use rusqlite::Connection;
use rusqlite::types::ValueRef;

fn holds(bytes: &[u8], needle: &str) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle.as_bytes())
}

/// Everything that a run left: what kind of thing it is, where it lies, and its bytes.
#[derive(Default)]
pub(crate) struct Left(pub(crate) Vec<(&'static str, PathBuf, Vec<u8>)>);

impl Left {
    pub(crate) fn by(world: &World, root: &Path, logs: &[String]) -> Self {
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

    pub(crate) fn places_of(&self, needle: &str) -> BTreeSet<(&'static str, PathBuf)> {
        let found = self.0.iter().filter(|(_, _, bytes)| holds(bytes, needle));
        found.map(|(kind, path, _)| (*kind, path.clone())).collect()
    }

    pub(crate) fn kinds_of(&self, needle: &str) -> BTreeSet<&'static str> {
        self.places_of(needle).into_iter().map(|(kind, _)| kind).collect()
    }
}

/// One secret into each kind of place.
pub(crate) fn plant(world: &World, root: &Path, secret: &str) {
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
