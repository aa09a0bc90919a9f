//! Who may name what: the import rules of ARCHITECTURE.md, held against the sources.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use std::path::{Path, PathBuf};

/// One rule: files below `room` (but not below `except`) never contain any of `words`.
struct Rule {
    room: &'static str,
    except: &'static [&'static str],
    words: &'static [&'static str],
    why: &'static str,
}

const RULES: &[Rule] = &[
    Rule {
        room: "common/src/domain",
        except: &[],
        words: &[
            "crate::cloud",
            "crate::messages",
            "crate::config",
            "async fn",
            ".await",
            "std::fs",
            "std::env",
            "tokio::",
            "SystemTime::now",
            "Instant::now",
        ],
        why: "domain is pure and knows nothing else of ours",
    },
    Rule {
        room: "common/src/messages.rs",
        except: &[],
        words: &["crate::cloud", "crate::config", "async fn", "std::fs", "tokio::"],
        why: "messages know only domain",
    },
    Rule {
        room: "common/src/cloud",
        except: &[],
        words: &["axum", "hermes::", "worker::", "git2"],
        why: "the doors know domain and messages",
    },
    Rule {
        room: "common/src",
        except: &["common/src/cloud/aws"],
        words: &["aws_sdk_", "aws_config", "aws_smithy", "aws_types"],
        why: "cloud/aws is the only home of the AWS SDK",
    },
    Rule {
        room: "common/src",
        except: &["common/src/cloud/local"],
        words: &["rusqlite"],
        why: "SQLite lives in cloud/local",
    },
    Rule {
        room: "hermes/src",
        except: &["hermes/src/http"],
        words: &["axum::", "utoipa::", "utoipa_axum::"],
        why: "http is the only home of axum and utoipa",
    },
    Rule {
        room: "hermes/src",
        except: &["hermes/src/http", "hermes/src/lib.rs", "hermes/src/main.rs"],
        words: &["crate::http"],
        why: "nobody imports http but lib.rs",
    },
    Rule {
        room: "hermes/src/mail",
        except: &[],
        words: &["common::cloud", "crate::http", "async ", ".await", "tokio::", "std::fs"],
        why: "mail is pure: bytes in, decision out",
    },
    Rule {
        room: "hermes/src/route.rs",
        except: &[],
        words: &["common::cloud", "crate::http", "async ", ".await", "tokio::", "std::fs"],
        why: "route is pure: request and facts in, work or rejection out",
    },
    Rule {
        room: "hermes/src/reply",
        except: &[],
        words: &["common::cloud", "crate::http", "async ", ".await", "tokio::", "std::fs"],
        why: "reply is pure: outcome in, text and HTML out",
    },
    Rule {
        room: "hermes/src",
        except: &[],
        words: &["worker::", "aws_sdk_", "aws_config", "aws_smithy", "rusqlite", "git2"],
        why: "hermes knows neither worker, AWS, SQLite nor git",
    },
    Rule {
        room: "worker/src",
        except: &[],
        words: &["hermes::", "aws_sdk_", "aws_config", "aws_smithy", "rusqlite", "axum"],
        why: "the worker knows neither hermes, AWS, SQLite nor HTTP",
    },
    Rule {
        room: "worker/src/job",
        except: &[],
        words: &["crate::run", "crate::lease", "cloud::queue", "cloud::claims", ".queues", ".claims"],
        why: "a job knows neither run, lease nor queues",
    },
    Rule {
        room: "worker/src",
        except: &["worker/src/git.rs", "worker/src/git", "worker/src/job"],
        words: &["git2::"],
        why: "git lives in git.rs and the steps",
    },
    Rule {
        room: "worker/src",
        except: &["worker/src/process.rs", "worker/src/inside"],
        words: &["Command::new"],
        why: "children start in process.rs; inside is behind the walls already",
    },
    Rule {
        room: "worker/src",
        except: &["worker/src/gateway", "worker/src/inside"],
        words: &["TcpListener", "UnixListener", "UdpSocket"],
        why: "the worker listens on no socket but the gateway's",
    },
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

fn sources(room: &Path) -> Vec<PathBuf> {
    if room.is_file() {
        return vec![room.to_owned()];
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(room).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
    found
}

/// Product code: what stands before the unit tests, without comments. The tests stand last.
fn product(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let end = text.find("#[cfg(test)]\nmod ").unwrap_or(text.len());
    let behind: Vec<&str> = text[end..].lines().skip_while(|line| *line != "}").skip(1).collect();
    assert!(
        behind.iter().all(|line| line.is_empty()),
        "code behind the unit tests is not looked at: {behind:?}"
    );
    text[..end].lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// Whether `word` stands in `line` and is not the tail of a longer name.
fn names(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !word.starts_with(char::is_alphanumeric) || !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}

#[test]
fn every_room_keeps_to_its_imports() {
    let mut broken = Vec::new();
    for rule in RULES {
        let files = sources(&root().join(rule.room));
        assert!(!files.is_empty(), "{} is empty: the rule guards nothing", rule.room);
        for path in files {
            let short = path.strip_prefix(root()).unwrap().display().to_string();
            if rule.except.iter().any(|except| short.starts_with(except)) {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            for (number, line) in product(&text) {
                for word in rule.words.iter().filter(|word| names(line, word)) {
                    broken.push(format!("{short}:{}: {word} ({})", number + 1, rule.why));
                }
            }
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn the_rules_can_be_broken() {
    assert!(names("use axum::Router;", "axum::"));
    assert!(!names("use not_axum::Router;", "axum::"));
    assert!(
        product("use x;\n// use y;\n#[cfg(test)]\nmod tests { use z; }").all(|(_, line)| line == "use x;")
    );
}

#[test]
fn no_shell_in_the_tree() {
    for room in ["common/src", "hermes/src", "worker/src", "e2e/src"] {
        for path in sources(&root().join(room)) {
            let text = std::fs::read_to_string(&path).unwrap();
            for (number, line) in product(&text) {
                let shell =
                    ["\"sh\"", "\"bash\"", "/bin/sh", "/bin/bash"].iter().any(|word| line.contains(word));
                assert!(
                    !shell,
                    "{}:{}: a shell; start programs by argument vector",
                    path.display(),
                    number + 1
                );
            }
        }
    }
}

/// Whether a line declares a module of this name.
fn declares(line: &str, module: &str) -> bool {
    let words: Vec<&str> = line.trim().trim_end_matches(';').split_whitespace().collect();
    line.trim().ends_with(';')
        && matches!(words.as_slice(), ["mod", name] | [_, "mod", name] if *name == module)
}

/// Who could declare a file as a module: the file or `mod.rs` of its folder, or the root of its crate.
fn parents(path: &Path) -> Vec<PathBuf> {
    let is_mod = path.file_name().is_some_and(|name| name == "mod.rs");
    let folder = path.parent().unwrap();
    let folder = if is_mod { folder.parent().unwrap() } else { folder };
    let beside = ["mod.rs", "lib.rs", "main.rs"].map(|name| folder.join(name));
    beside.into_iter().chain([folder.with_extension("rs")]).filter(|parent| parent != path).collect()
}

/// A root of a crate, or a module that somebody declares.
fn is_compiled(path: &Path) -> bool {
    let name = path.file_stem().unwrap().to_str().unwrap();
    let folder = path.parent().unwrap();
    let of_folder = folder.file_name().unwrap().to_str().unwrap();
    if (matches!(name, "lib" | "main") && of_folder == "src") || of_folder == "bin" {
        return true;
    }
    let module = if name == "mod" { of_folder } else { name };
    parents(path).iter().any(|parent| {
        let text = std::fs::read_to_string(parent).unwrap_or_default();
        text.lines().any(|line| declares(line, module))
    })
}

#[test]
fn no_file_lies_about_that_is_no_module() {
    let rooms = ["common/src", "hermes/src", "worker/src", "openapi/src", "e2e/src"];
    let files: Vec<PathBuf> = rooms.iter().flat_map(|room| sources(&root().join(room))).collect();
    assert!(files.len() > 100, "{} files", files.len());
    let dead: Vec<&PathBuf> = files.iter().filter(|path| !is_compiled(path)).collect();
    assert!(dead.is_empty(), "declared nowhere, so never compiled: {dead:#?}");
    assert!(!is_compiled(&root().join("hermes/src/cli/print.rs")), "the test would not notice one");
}

#[test]
fn the_wanted_rooms_are_there() {
    for room in [
        "common/src/domain",
        "common/src/messages.rs",
        "common/src/cloud/local",
        "common/src/cloud/aws",
        "hermes/src/ingest",
        "hermes/src/mail",
        "hermes/src/reply",
        "hermes/src/http",
        "worker/src/job",
        "openapi/hermes.json",
        "e2e/tests",
        "examples/site",
        "docs/decisions",
        "Dockerfile.hermes",
        "Dockerfile.worker",
        "docker-compose.yml",
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "Makefile",
        "deny.toml",
        ".ci/run",
    ] {
        assert!(root().join(room).exists(), "{room} is missing");
    }
}
