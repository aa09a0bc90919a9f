//! The README and the `.env.example` files say what the programs say of themselves.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use e2e::process::binary;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every environment variable that `--help` names.
#[allow(clippy::disallowed_methods, reason = "the program is asked as a person asks it")]
fn settings(program: &str, command: &str) -> BTreeSet<String> {
    let output =
        std::process::Command::new(binary(program).unwrap()).args([command, "--help"]).output().unwrap();
    assert!(output.status.success());
    let help = String::from_utf8(output.stdout).unwrap();
    let names = help.split("[env: ").skip(1).map(|rest| {
        rest.chars()
            .take_while(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || *c == '_')
            .collect::<String>()
    });
    names.filter(|name| name != "PATH" && name != "HOME").collect()
}

/// The names in the first column of the table below a heading of the README.
fn table(heading: &str) -> BTreeSet<String> {
    let readme = read("README.md");
    let (_, rest) =
        readme.split_once(&format!("{heading}\n")).unwrap_or_else(|| panic!("no heading {heading:?}"));
    let rows = rest.lines().take_while(|line| !line.starts_with('#')).filter(|line| line.starts_with("| `"));
    rows.map(|row| row.split('`').nth(1).unwrap().to_owned()).collect()
}

fn example(path: &str) -> BTreeSet<String> {
    let text = read(path);
    let lines = text.lines().map(|line| line.trim_start_matches(['#', ' ']));
    let named = lines.filter_map(|line| line.split_once('=')).map(|(name, _)| name.to_owned());
    named
        .filter(|name| {
            !name.is_empty()
                && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
        })
        .collect()
}

#[test]
fn the_readme_lists_the_settings_of_hermes() {
    let settings = settings("hermes", "serve");
    assert!(settings.contains("HERMES_LISTEN"));
    assert_eq!(table("### Settings of hermes"), settings);
    assert_eq!(example("hermes/.env.example"), settings);
}

#[test]
fn the_readme_lists_the_settings_of_the_worker() {
    let settings = settings("worker", "run");
    assert!(settings.contains("AGENT_COMMAND"));
    assert_eq!(table("### Settings of the worker"), settings);
    assert_eq!(example("worker/.env.example"), settings);
}

#[test]
fn every_make_target_of_the_readme_exists() {
    let makefile = read("Makefile");
    let readme = read("README.md");
    let mut found = 0;
    for words in readme.split("make ").skip(1) {
        let target: String = words.chars().take_while(|c| c.is_ascii_lowercase() || *c == '-').collect();
        let called =
            readme.contains(&format!("`make {target}")) || readme.contains(&format!("\nmake {target}"));
        if called && !target.is_empty() {
            assert!(makefile.contains(&format!("\n{target}:")), "make {target}");
            found += 1;
        }
    }
    assert!(found >= 2, "the README opens with make demo and make test");
}

#[test]
fn every_picture_and_page_that_is_linked_exists() {
    for page in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"] {
        let text = read(page);
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap();
            if !file.is_empty() && !file.contains("://") {
                assert!(root().join(file).exists(), "{page} links to {target}");
            }
        }
    }
}

/// The numbers of the scenarios in the files of a test, whose `main.rs` says which those are.
fn scenarios(test: &str) -> BTreeSet<u32> {
    let folder = root().join(test);
    let main = std::fs::read_to_string(folder.join("main.rs")).unwrap();
    let elsewhere = main.split("#[path = \"").skip(1).filter_map(|rest| rest.split('"').next());
    let here = main.lines().filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'));
    let here = here.map(|name| folder.join(format!("{name}.rs"))).filter(|path| path.exists());
    let files: Vec<PathBuf> = elsewhere.map(|path| folder.join(path)).chain(here).collect();
    let texts = files.iter().map(|path| std::fs::read_to_string(path).unwrap());
    texts.flat_map(|text| numbers(&text)).collect()
}

/// Those in the names of a text's functions, such as `s38_s39_a_token_is_answered`.
fn numbers(text: &str) -> Vec<u32> {
    let names = text.split("fn ").skip(1);
    let words = names.flat_map(|name| name.split('_').map_while(|word| word.strip_prefix('s')?.parse().ok()));
    words.collect()
}

/// `1-3, 7` in a row of the table of scenarios.
fn listed(page: &str, test: &str) -> BTreeSet<u32> {
    let row = page.lines().find(|line| line.starts_with("| scenarios ") && line.contains(test)).unwrap();
    let numbers = row.trim_start_matches("| scenarios ").split(" |").next().unwrap();
    let ends = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        first.parse().unwrap()..=last.parse().unwrap()
    };
    numbers.split(", ").flat_map(ends).collect()
}

#[test]
fn the_page_of_the_endpoints_lists_the_scenarios_that_run_on_one() {
    let page = read("docs/aws-endpoints.md");
    let mut all = BTreeSet::new();
    for test in ["hermes/tests/mail_on_aws", "worker/tests/claims_on_aws"] {
        let found = scenarios(test);
        assert_eq!(listed(&page, test), found, "{test}");
        all.extend(found);
    }
    for wanted in [1..=9, 24..=28, 35..=41, 64..=66, 82..=82].into_iter().flatten() {
        assert!(all.contains(&wanted), "scenario {wanted} runs on no endpoint");
    }
}
