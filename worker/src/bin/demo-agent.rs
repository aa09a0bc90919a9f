//! The demo agent: reads a prompt on standard input, makes simple literal edits in the current folder and speaks the event
//! stream of the Claude Code CLI, so that everything runs without an account. It knows no model and no network.

#![allow(clippy::print_stdout, reason = "the event stream is written to standard output")]

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use serde_json::json;

/// Larger files are left alone.
const MAX_FILE_BYTES: u64 = 1024 * 1024;
/// Folders that are not the site's source.
const SKIPPED: [&str; 3] = ["node_modules", "dist", "target"];
/// Endings of files whose text may be edited.
const TEXT: [&str; 10] = ["astro", "md", "mdx", "html", "json", "ts", "js", "css", "svg", "txt"];
const SESSION: &str = "00000000-0000-4000-8000-000000000000";

/// Makes simple edits without a model: `change "X" to "Y"`, `add a page about Z`, `set the title to "T"`.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// End with an error instead.
    #[arg(long)]
    fail: bool,
    /// Say hello and then nothing more.
    #[arg(long)]
    hang: bool,
    /// Wait so long before the edits.
    #[arg(long, default_value_t = 0, value_name = "MILLISECONDS")]
    delay_ms: u64,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Wish {
    /// Replace a text wherever it stands.
    Change { old: String, new: String },
    /// Set the title of the home page.
    Title(String),
    /// Make a new page.
    Page(String),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut prompt = String::new();
    if let Err(error) = std::io::stdin().read_to_string(&mut prompt) {
        return finish(&format!("the prompt could not be read: {error}"), ExitCode::FAILURE);
    }
    say(&json!({"type": "system", "subtype": "init", "session_id": SESSION, "model": "demo", "tools": []}));
    if arguments.hang {
        loop {
            std::thread::park();
        }
    }
    std::thread::park_timeout(Duration::from_millis(arguments.delay_ms));
    if arguments.fail {
        return finish("I am the demo agent and was told to fail.", ExitCode::FAILURE);
    }
    match work(Path::new("."), instruction(&prompt)) {
        Ok(summary) => finish(&summary, ExitCode::SUCCESS),
        Err(error) => finish(&format!("The demo agent could not edit the site: {error}"), ExitCode::FAILURE),
    }
}

fn say(event: &serde_json::Value) {
    println!("{event}");
}

fn finish(summary: &str, code: ExitCode) -> ExitCode {
    let is_error = code != ExitCode::SUCCESS;
    say(&json!({
        "type": "assistant", "session_id": SESSION,
        "message": {"role": "assistant", "content": [{"type": "text", "text": summary}]},
    }));
    say(&json!({
        "type": "result", "subtype": if is_error { "error_during_execution" } else { "success" }, "is_error": is_error,
        "result": summary, "session_id": SESSION, "num_turns": 1, "total_cost_usd": 0.0, "duration_ms": 0,
    }));
    code
}

/// The owner's words within the prompt.
fn instruction(prompt: &str) -> &str {
    let inner = prompt.split_once("<instruction>").and_then(|(_, rest)| rest.split_once("</instruction>"));
    inner.map_or(prompt, |(instruction, _)| instruction)
}

/// Fulfils what it understands and says in plain words what came of it.
fn work(site: &Path, instruction: &str) -> std::io::Result<String> {
    let wishes = wishes(instruction);
    if wishes.is_empty() {
        return Ok("I am the demo agent and understand three things: change \"X\" to \"Y\", set the title to \"T\", \
                   and add a page about Z. I have changed nothing."
            .to_owned());
    }
    let mut report = vec!["I am the demo agent; a real agent would understand more.".to_owned()];
    for wish in wishes {
        report.push(match wish {
            Wish::Change { old, new } => change(site, &old, &new)?,
            Wish::Title(title) => set_title(site, &title)?,
            Wish::Page(topic) => add_page(site, &topic)?,
        });
    }
    Ok(report.join("\n"))
}

fn wishes(instruction: &str) -> Vec<Wish> {
    instruction.lines().filter_map(|line| wish(line.trim())).collect()
}

fn wish(line: &str) -> Option<Wish> {
    let after = |key: &str| find_word(line, key).map(|at| &line[at + key.len()..]);
    if let Some(rest) = after("set the title to ") {
        return Some(Wish::Title(value(rest)));
    }
    if let Some(rest) = after("add a page about ") {
        return Some(Wish::Page(value(rest)));
    }
    let rest = after("change ").or_else(|| after("replace "))?;
    let (old, rest) = quoted(rest).or_else(|| {
        [" to ", " with "]
            .iter()
            .filter_map(|word| rest.find(word))
            .min()
            .map(|at| (rest[..at].to_owned(), &rest[at..]))
    })?;
    let rest = rest.trim_start();
    let new = rest
        .strip_prefix("to ")
        .or_else(|| rest.strip_prefix("with "))
        .or_else(|| rest.strip_prefix("by "))?;
    (!old.is_empty()).then(|| Wish::Change { old, new: value(new) })
}

/// Where `word` stands, whatever its letter case.
fn find_word(line: &str, word: &str) -> Option<usize> {
    line.char_indices().map(|(at, _)| at).find(|&at| {
        let candidate = line.get(at..at + word.len());
        let starts = at == 0 || line[..at].ends_with(|c: char| !c.is_alphanumeric());
        starts && candidate.is_some_and(|text| text.eq_ignore_ascii_case(word))
    })
}

/// A text in quotes, or the rest of the sentence.
fn value(text: &str) -> String {
    quoted(text).map_or_else(|| text.trim().trim_end_matches(['.', '!']).to_owned(), |(value, _)| value)
}

/// A text in quotes at the start, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let text = text.trim_start();
    let open = text.chars().next()?;
    let close = match open {
        '"' | '\'' | '`' => open,
        '“' => '”',
        '„' => '“',
        '«' => '»',
        _ => return None,
    };
    let inner = &text[open.len_utf8()..];
    let end = inner.find(close)?;
    Some((inner[..end].to_owned(), &inner[end + close.len_utf8()..]))
}

fn change(site: &Path, old: &str, new: &str) -> std::io::Result<String> {
    let mut touched = Vec::new();
    for path in sources(site)? {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        if text.contains(old) {
            fs::write(&path, text.replace(old, new))?;
            touched.push(shown(site, &path));
        }
    }
    Ok(match touched.as_slice() {
        [] => format!("I did not find \"{old}\" on the site, so I have not changed it to \"{new}\"."),
        files => format!("I changed \"{old}\" to \"{new}\" in {}.", files.join(", ")),
    })
}

fn set_title(site: &Path, title: &str) -> std::io::Result<String> {
    const MARKS: [(&str, &str); 4] =
        [("<title>", "</title>"), ("title=\"", "\""), ("title: ", "\n"), ("title = \"", "\"")];
    let homes =
        sources(site)?.into_iter().filter(|path| path.file_stem().is_some_and(|stem| stem == "index"));
    for path in homes {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        for (open, close) in MARKS {
            let found = text
                .find(open)
                .and_then(|at| text[at + open.len()..].find(close).map(|len| (at + open.len(), len)));
            if let Some((at, len)) = found.filter(|&(at, len)| !text[at..at + len].contains('{')) {
                fs::write(&path, format!("{}{title}{}", &text[..at], &text[at + len..]))?;
                return Ok(format!("I set the title to \"{title}\" in {}.", shown(site, &path)));
            }
        }
    }
    Ok("I did not find a title on the home page, so I have not changed it.".to_owned())
}

fn add_page(site: &Path, topic: &str) -> std::io::Result<String> {
    let slug: String =
        topic.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    let slug = slug.trim_matches('-').to_owned();
    let pages = site.join("src/pages");
    let path =
        if pages.is_dir() { pages.join(format!("{slug}.md")) } else { site.join(&slug).join("index.html") };
    if slug.is_empty() || path.exists() {
        return Ok(format!("There is a page about {topic} already, so I have not added one."));
    }
    let content = if pages.is_dir() { markdown_page(site, topic)? } else { html_page(topic) };
    fs::create_dir_all(path.parent().unwrap_or(site))?;
    fs::write(&path, content)?;
    Ok(format!("I added a page about {topic}: {}.", shown(site, &path)))
}

/// A page in the first layout of the site.
fn markdown_page(site: &Path, topic: &str) -> std::io::Result<String> {
    let layouts = site.join("src/layouts");
    let first = if layouts.is_dir() { sources(&layouts)?.into_iter().next() } else { None };
    let layout =
        first.map(|path| format!("layout: ../layouts/{}\n", shown(&layouts, &path))).unwrap_or_default();
    Ok(format!(
        "---\n{layout}title: {}\n---\n\n# {topic}\n\nMore about {topic} will follow here.\n",
        json!(topic)
    ))
}

fn html_page(topic: &str) -> String {
    let safe = topic.replace('&', "&amp;").replace('<', "&lt;");
    format!(
        "<!doctype html>\n<title>{safe}</title>\n<h1>{safe}</h1>\n<p>More about {safe} will follow here.</p>\n"
    )
}

/// The text files of the site, in order; never through a link.
fn sources(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (name, path, kind) = (entry.file_name(), entry.path(), entry.file_type()?);
        let hidden =
            name.to_string_lossy().starts_with('.') || SKIPPED.iter().any(|skipped| name == *skipped);
        if kind.is_dir() && !hidden {
            found.extend(sources(&path)?);
        } else if kind.is_file() && !hidden && is_text(&path) && entry.metadata()?.len() <= MAX_FILE_BYTES {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn is_text(path: &Path) -> bool {
    let lock = path.file_name().is_some_and(|name| name == "package-lock.json");
    !lock && path.extension().is_some_and(|ending| TEXT.iter().any(|text| ending == *text))
}

fn shown(site: &Path, path: &Path) -> String {
    path.strip_prefix(site).unwrap_or(path).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change_of(old: &str, new: &str) -> Wish {
        Wish::Change { old: old.into(), new: new.into() }
    }

    #[test]
    fn a_change_is_understood_with_and_without_quotes() {
        assert_eq!(wish("please change \"7 to 18\" to \"8 to 20\"."), Some(change_of("7 to 18", "8 to 20")));
        assert_eq!(wish("Change 7am to 8am."), Some(change_of("7am", "8am")));
        assert_eq!(wish("Replace “old” with “new”"), Some(change_of("old", "new")));
        assert_eq!(wish("nothing to do"), None);
    }

    #[test]
    fn only_the_instruction_of_the_prompt_counts() {
        let prompt =
            "change \"rules\" to \"x\"\n<instruction>\nset the title to \"Hi\"\n</instruction>\nmore";
        assert_eq!(wishes(instruction(prompt)), [Wish::Title("Hi".into())]);
    }

    #[test]
    fn a_literal_text_is_replaced_everywhere_but_in_lock_files() {
        let site = tempfile::tempdir().unwrap();
        fs::create_dir_all(site.path().join("src")).unwrap();
        fs::write(site.path().join("src/a.md"), "open $(x) daily").unwrap();
        fs::write(site.path().join("package-lock.json"), "open $(x) daily").unwrap();
        let report = work(site.path(), "change \"$(x)\" to \"`y`\"").unwrap();
        assert!(report.contains("demo agent") && report.contains("src/a.md"), "{report}");
        assert_eq!(fs::read_to_string(site.path().join("src/a.md")).unwrap(), "open `y` daily");
        assert!(fs::read_to_string(site.path().join("package-lock.json")).unwrap().contains("$(x)"));
    }

    #[test]
    fn a_page_is_added_once_in_the_layout_of_the_site() {
        let site = tempfile::tempdir().unwrap();
        fs::create_dir_all(site.path().join("src/pages")).unwrap();
        fs::create_dir_all(site.path().join("src/layouts")).unwrap();
        fs::write(site.path().join("src/layouts/Layout.astro"), "<slot />").unwrap();
        work(site.path(), "Add a page about Rye & Spelt.").unwrap();
        let page = fs::read_to_string(site.path().join("src/pages/rye---spelt.md")).unwrap();
        assert!(page.contains("layout: ../layouts/Layout.astro") && page.contains("# Rye & Spelt"), "{page}");
        assert!(work(site.path(), "add a page about Rye & Spelt").unwrap().contains("already"));
    }

    #[test]
    fn the_title_of_the_home_page_is_set() {
        let site = tempfile::tempdir().unwrap();
        fs::write(site.path().join("index.html"), "<title>Old</title>").unwrap();
        work(site.path(), "set the title to New").unwrap();
        assert_eq!(fs::read_to_string(site.path().join("index.html")).unwrap(), "<title>New</title>");
    }

    #[test]
    fn what_it_does_not_understand_changes_nothing() {
        let site = tempfile::tempdir().unwrap();
        assert!(work(site.path(), "make it nicer").unwrap().contains("changed nothing"));
    }
}
