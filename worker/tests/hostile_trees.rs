//! Repositories whose trees were made to break out of their folder: none writes, reads or runs anything outside of it, and
//! the next job is fine.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod support;

use std::path::Path;

use common::domain::outcome::JobOutcome;
use git2::{ObjectType, Oid, Repository, Signature};
use support::{Remote, World, work};

const KEY: &str = "bakery#amelia";
const SECRET: &str = "a-secret-from-outside";

/// What a name in a tree stands for.
enum Node<'a> {
    File(&'a str),
    Program(&'a str),
    Link(String),
    Folder(Vec<(&'a str, Node<'a>)>),
    Submodule,
    /// So many levels of so many entries each, all of them the same.
    Levels(usize, usize),
}
use Node::{File, Folder, Levels, Link, Program, Submodule};

/// Writes the object; trees as they are given, whatever git thinks of them.
fn write(repo: &Repository, node: &Node<'_>) -> (&'static str, Oid) {
    match node {
        File(text) => ("100644", repo.blob(text.as_bytes()).unwrap()),
        Program(text) => ("100755", repo.blob(text.as_bytes()).unwrap()),
        Link(to) => ("120000", repo.blob(to.as_bytes()).unwrap()),
        Submodule => ("160000", Oid::from_str("1234567890123456789012345678901234567890").unwrap()),
        Levels(levels, width) => {
            let (mut mode, mut id) = write(repo, &File("x"));
            for _ in 0..*levels {
                let entry = |number| [format!("{mode} {number:03}\0").as_bytes(), id.as_bytes()].concat();
                let bytes = (0..*width).flat_map(entry).collect::<Vec<_>>();
                (mode, id) = ("40000", repo.odb().unwrap().write(ObjectType::Tree, &bytes).unwrap());
            }
            (mode, id)
        }
        Folder(entries) => {
            let mut bytes = Vec::new();
            for (name, node) in entries {
                let (mode, id) = write(repo, node);
                bytes.extend_from_slice(format!("{mode} {name}\0").as_bytes());
                bytes.extend_from_slice(id.as_bytes());
            }
            ("40000", repo.odb().unwrap().write(ObjectType::Tree, &bytes).unwrap())
        }
    }
}

/// Puts the tree on a branch, beside a site that can be edited.
fn commit(remote: &Remote, branch: &str, hostile: Vec<(&str, Node<'_>)>) {
    let repo = remote.repo();
    let mut entries = hostile;
    entries.push(("site", Folder(vec![("index.html", File("<p>Open 7 to 18</p>"))])));
    let (_, tree) = write(&repo, &Folder(entries));
    let who = Signature::now("Mallory", "mallory@example.org").unwrap();
    let header = format!("tree {tree}\nparent {}\n", remote.tip("main").unwrap());
    let by = format!("{} <{}> 1700000000 +0000", who.name().unwrap(), who.email().unwrap());
    let text = format!("{header}author {by}\ncommitter {by}\n\nhostile\n");
    let id = repo.odb().unwrap().write(ObjectType::Commit, text.as_bytes()).unwrap();
    // By hand: libgit2 would look at the tree.
    let place = remote.path.join("refs/heads").join(branch);
    std::fs::write(place, format!("{id}\n")).unwrap();
}

fn trees(outside: &Path) -> Vec<(&'static str, Vec<(&'static str, Node<'static>)>)> {
    let hook = || Program("#!/bin/sh\ntouch canary\n");
    let hooks = || Folder(vec![("hooks", Folder(vec![("post-checkout", hook())]))]);
    let to = |path: &str| Link(outside.join(path).display().to_string());
    let mut long = Vec::new();
    for _ in 0..300 {
        long = vec![("d", Folder(long))];
    }
    vec![
        ("git folder", vec![(".git", hooks())]),
        ("git folder in capitals", vec![(".GIT", hooks())]),
        ("git folder in mixed case", vec![(".gIt", hooks())]),
        ("git folder as windows shortens it", vec![("GIT~1", hooks())]),
        ("git folder with a dot behind", vec![(".git.", hooks())]),
        ("git folder with a blank behind", vec![(".git ", hooks())]),
        ("git folder with an ignored letter", vec![(".g\u{200c}it", hooks())]),
        ("git folder as a stream", vec![(".git::$INDEX_ALLOCATION", hooks())]),
        ("git folder as a file", vec![(".git", File("gitdir: /tmp"))]),
        ("git folder as a link", vec![(".git", to(""))]),
        ("git folder in a folder", vec![("sub", Folder(vec![(".git", hooks())]))]),
        ("parent as a file", vec![("..", File("x"))]),
        ("parent as a folder", vec![("..", Folder(vec![("canary", File("x"))]))]),
        ("own folder", vec![(".", Folder(vec![("canary", File("x"))]))]),
        ("slash in a name", vec![("../../../canary", File("x"))]),
        ("slash before a name", vec![("/tmp/hermes-canary", File("x"))]),
        ("backslashes in a name", vec![("..\\..\\canary", File("x"))]),
        ("empty name", vec![("", File("x"))]),
        ("link and folder of one name", vec![("a", to("")), ("a", Folder(vec![("canary", File("x"))]))]),
        ("folder and link of one name", vec![("a", Folder(vec![("canary", File("x"))])), ("a", to(""))]),
        ("link to a folder outside", vec![("dist", to(""))]),
        ("links into the site", vec![("dist", Folder(vec![("secret", to("secret"))]))]),
        (
            "submodule",
            vec![
                (".gitmodules", File("[submodule \"x\"]\n\tpath = x\n\turl = ext::sh -c touch% canary\n")),
                ("x", Submodule),
            ],
        ),
        ("filters", vec![(".gitattributes", File("* filter=evil diff=evil merge=evil ident eol=crlf\n"))]),
        (
            "hooks by configuration",
            vec![
                (".gitconfig", File("[core]\n\thooksPath = hooks\n\tfsmonitor = hooks/post-checkout\n")),
                ("hooks", Folder(vec![("post-checkout", hook())])),
            ],
        ),
        ("very deep", long),
        ("deeper than any path", vec![("d", Levels(4000, 1))]),
        ("a few objects for very many paths", vec![("d", Levels(8, 100))]),
    ]
}

/// Everything that lies in a folder, links not followed.
fn listing(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        found.push(entry.path().display().to_string());
        if entry.file_type().unwrap().is_dir() {
            found.extend(listing(&entry.path()));
        }
    }
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_hostile_tree_reaches_out_of_its_folder() {
    let world = World::new();
    let remote = world.bakery().await;
    let outside = world.path("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("secret"), SECRET).unwrap();
    let before = listing(&outside);
    let worker = world.worker(&[]);
    let trees = trees(&outside);
    assert!(trees.len() >= 25);
    let mut refused = 0;
    for (number, (name, tree)) in trees.into_iter().enumerate() {
        let thread = format!("hostile{number}");
        commit(&remote, &format!("thread-{thread}"), tree);
        world.order(KEY, work(&format!("c-{number}"), &thread, "change \"7 to 18\" to \"8 to 20\"")).await;
        let result = world.result().await;
        // This machine's own transport reads all branches for each.
        std::fs::remove_file(remote.path.join("refs/heads").join(format!("thread-{thread}"))).unwrap();
        println!("{name}: {}", result.outcome);
        refused += usize::from(result.outcome == JobOutcome::Refused);
        assert_eq!(listing(&outside), before, "{name}");
        assert_eq!(std::fs::read_to_string(outside.join("secret")).unwrap(), SECRET, "{name}");
        let folder = world.path("data/workspaces/bakery-amelia");
        let repo = folder.join("repo");
        for place in ["post-checkout", "pre-commit"] {
            assert!(!repo.join(".git/hooks").join(place).exists(), "{name}: {place}");
        }
        let canaries = listing(world.dir.path())
            .into_iter()
            .filter(|path| path.ends_with("/canary") && !path.starts_with(&repo.display().to_string()));
        assert_eq!(canaries.collect::<Vec<_>>(), [""; 0], "{name}");
        assert!(!Path::new("/tmp/hermes-canary").exists(), "{name}");
        if result.s3_bucket.is_some() {
            assert!(world.page(&result, "secret").is_none(), "{name}: a link was published");
        }
    }
    assert!(refused >= 10, "only {refused} were refused");
    for object in listing(&world.path("data/sites")) {
        let bytes = std::fs::read(&object).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&bytes).contains(SECRET), "{object}");
    }
    world.order(KEY, work("c-last", "abcdef1", "change \"7 to 18\" to \"8 to 20\"")).await;
    assert_eq!(world.result().await.outcome, JobOutcome::Changed, "the next job is fine");
    worker.stop().await;
}
