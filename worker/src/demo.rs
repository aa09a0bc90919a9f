//! What the demo agent understands and does: three kinds of simple edits in a folder, by plain text. It follows no link and
//! leaves dependencies and built files alone.

use std::io;
use std::path::{Path, PathBuf};

const SKIPPED: [&str; 5] = [".git", "node_modules", "dist", ".astro", ".github"];
const EDITED: [&str; 9] = ["astro", "md", "mdx", "html", "htm", "json", "ts", "js", "yml"];
const MAX_FILE_BYTES: u64 = 1024 * 1024;
/// Configuration, not words of the site.
const LEFT_ALONE: [&str; 3] = ["package.json", "package-lock.json", "tsconfig.json"];

/// What an instruction asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Wish {
    /// Every literal occurrence of a text becomes another.
    Change {
        /// The text.
        from: String,
        /// What it becomes.
        to: String,
    },
    /// A new page.
    Page {
        /// What it is about.
        about: String,
    },
    /// Another title.
    Title {
        /// The new one.
        title: String,
    },
    /// Something only a real agent understands.
    Other,
}

/// The instruction within a prompt: its labelled part, or everything when there are no parts.
pub fn instruction(prompt: &str) -> &str {
    let rest = prompt.split_once("# Instruction\n").map_or(prompt, |(_, rest)| rest);
    rest.split_once("\n\n# Rules\n").map_or(rest, |(instruction, _)| instruction)
}

impl Wish {
    /// Reads the first sentence that is understood.
    pub fn read(instruction: &str) -> Self {
        instruction.lines().find_map(Self::read_line).unwrap_or(Self::Other)
    }

    fn read_line(line: &str) -> Option<Self> {
        let after = |start: &str| find(line, start).map(|at| &line[at + start.len()..]);
        for (verb, between) in [("change ", " to "), ("replace ", " with ")] {
            if let Some((from, to)) = after(verb).and_then(|rest| two(rest, between)) {
                return Some(Self::Change { from, to });
            }
        }
        if let Some(about) = after("add a page about ").map(words).filter(|about| !about.is_empty()) {
            return Some(Self::Page { about });
        }
        let title = after("set the title to ").map(words).filter(|title| !title.is_empty())?;
        Some(Self::Title { title })
    }
}

fn find(line: &str, start: &str) -> Option<usize> {
    line.to_ascii_lowercase().find(start)
}

/// Two texts, each in quotes or not. Quotes decide where the first one ends.
fn two(rest: &str, between: &str) -> Option<(String, String)> {
    let quoted = opening(rest).and_then(|close| {
        let (from, rest) = rest.trim_start()[close.0..].split_once(close.1)?;
        Some((from.to_owned(), rest.strip_prefix(between)?))
    });
    let (from, to) = match quoted {
        Some(parts) => parts,
        None => rest.split_once(between).map(|(from, to)| (from.trim().to_owned(), to))?,
    };
    let to = words(to);
    (!from.is_empty()).then_some((from, to))
}

/// The length of the opening quote and the closing one.
fn opening(text: &str) -> Option<(usize, char)> {
    let first = text.trim_start().chars().next()?;
    let close = match first {
        '"' | '\'' => first,
        '“' | '„' => '”',
        '‘' => '’',
        _ => return None,
    };
    Some((first.len_utf8(), close))
}

/// One text: what stands in its quotes, or all of it without the final stop.
fn words(text: &str) -> String {
    let text = text.trim();
    if let Some((length, close)) = opening(text)
        && let Some((inside, _)) = text[length..].split_once(close)
    {
        return inside.to_owned();
    }
    text.trim_end_matches(['.', '!']).to_owned()
}

/// Does it, and says what was done.
pub fn grant(folder: &Path, wish: &Wish) -> io::Result<String> {
    let did = match wish {
        Wish::Change { from, to } => change(folder, from, to)?,
        Wish::Page { about } => page(folder, about)?,
        Wish::Title { title } => set_title(folder, title)?,
        Wish::Other => {
            "I changed nothing. I only understand: change X to Y; add a page about Z; set the title to Z."
                .to_owned()
        }
    };
    Ok(format!("{did} (I am the demo agent: I make simple edits and do not understand more.)"))
}

fn change(folder: &Path, from: &str, to: &str) -> io::Result<String> {
    let changed = edit(folder, |text| text.contains(from).then(|| text.replace(from, to)))?;
    Ok(match changed.as_slice() {
        [] => format!("I did not find “{from}” anywhere, so I changed nothing."),
        files => format!("I changed “{from}” to “{to}” in {}.", files.join(", ")),
    })
}

fn set_title(folder: &Path, title: &str) -> io::Result<String> {
    let start = folder.join("src/pages/index.astro");
    let retitled = |text: &str| between(text, "<title>", "</title>", &escape(title));
    let mut changed = Vec::new();
    if let Ok(text) = std::fs::read_to_string(&start) {
        let attribute = || between(&text, "title=\"", "\"", &escape(title));
        if let Some(new) = retitled(&text).filter(|_| !text.contains("<title>{")).or_else(attribute) {
            std::fs::write(&start, new)?;
            changed.push("src/pages/index.astro".to_owned());
        }
    }
    if changed.is_empty() {
        changed = edit(folder, |text| retitled(text).filter(|_| !text.contains("<title>{")))?;
    }
    Ok(match changed.as_slice() {
        [] => "I did not find a title, so I changed nothing.".to_owned(),
        files => format!("I set the title to “{title}” in {}.", files.join(", ")),
    })
}

/// The text with what stands between the first such marks replaced.
fn between(text: &str, open: &str, close: &str, new: &str) -> Option<String> {
    let start = text.find(open)? + open.len();
    let end = start + text[start..].find(close)?;
    Some(format!("{}{new}{}", &text[..start], &text[end..]))
}

fn page(folder: &Path, about: &str) -> io::Result<String> {
    let slug = slug(about);
    let pages = folder.join("src/pages");
    let (path, text) = if pages.is_dir() {
        let path = pages.join(format!("{slug}.astro"));
        (path, astro_page(&pages.join("index.astro"), about))
    } else {
        let root = edited_files(folder)?.into_iter().find(|path| path.ends_with("index.html"));
        let home = root.as_deref().and_then(Path::parent).unwrap_or(folder).to_owned();
        (home.join(&slug).join("index.html"), plain_page(about))
    };
    let shown = path.strip_prefix(folder).unwrap_or(&path).display().to_string();
    if path.exists() {
        return Ok(format!("There is a page {shown} already, so I changed nothing."));
    }
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::write(&path, text)?;
    Ok(format!("I added a page about {about} as {shown}."))
}

/// A page in the layout of the start page, when that has one.
fn astro_page(index: &Path, about: &str) -> String {
    let title = escape(about);
    let index = std::fs::read_to_string(index).unwrap_or_default();
    let import = index.lines().find(|line| line.starts_with("import ") && line.contains("layouts/"));
    let name = import.and_then(|line| line.split_whitespace().nth(1));
    match (import, name) {
        (Some(import), Some(name)) => format!(
            "---\n{import}\n---\n\n<{name} title=\"{title}\">\n  <h1>{title}</h1>\n  <p>More about {title} soon.</p>\n</{name}>\n"
        ),
        _ => plain_page(about),
    }
}

fn plain_page(about: &str) -> String {
    let title = escape(about);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n  <head>\n    <meta charset=\"utf-8\" />\n    <title>{title}</title>\n  </head>\n  \
         <body>\n    <h1>{title}</h1>\n    <p>More about {title} soon.</p>\n  </body>\n</html>\n"
    )
}

fn slug(text: &str) -> String {
    let dashed: String =
        text.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let words: Vec<&str> = dashed.split('-').filter(|word| !word.is_empty()).collect();
    let slug: String = words.join("-").chars().take(60).collect();
    if slug.is_empty() { "page".to_owned() } else { slug }
}

/// For HTML, Astro and attribute values alike.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '{' => escaped.push_str("&#123;"),
            '}' => escaped.push_str("&#125;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Rewrites the files whose text the rule changes; their paths.
fn edit(folder: &Path, rule: impl Fn(&str) -> Option<String>) -> io::Result<Vec<String>> {
    let mut changed = Vec::new();
    for path in edited_files(folder)? {
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        if let Some(new) = rule(&text).filter(|new| *new != text) {
            std::fs::write(&path, new)?;
            changed.push(path.strip_prefix(folder).unwrap_or(&path).display().to_string());
        }
    }
    Ok(changed)
}

/// The text files of a site, in order.
fn edited_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut entries = std::fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let (name, kind) = (entry.file_name(), entry.file_type()?);
        let name = name.to_string_lossy();
        if kind.is_dir() && !SKIPPED.contains(&name.as_ref()) {
            found.extend(edited_files(&entry.path())?);
        } else if kind.is_file() && is_edited(&name) && entry.metadata()?.len() <= MAX_FILE_BYTES {
            found.push(entry.path());
        }
    }
    Ok(found)
}

fn is_edited(name: &str) -> bool {
    let ending = name.rsplit_once('.').map(|(_, ending)| ending).unwrap_or_default();
    EDITED.contains(&ending) && !LEFT_ALONE.contains(&name) && !name.contains(".config.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change_of(from: &str, to: &str) -> Wish {
        Wish::Change { from: from.into(), to: to.into() }
    }

    #[test]
    fn wishes_are_read_with_and_without_quotes() {
        assert_eq!(Wish::read("Please change \"7 to 18\" to \"8 to 20\"."), change_of("7 to 18", "8 to 20"));
        assert_eq!(Wish::read("Hi,\n\nreplace red with blue."), change_of("red", "blue"));
        assert_eq!(Wish::read("change “a” to “b”"), change_of("a", "b"));
        assert_eq!(Wish::read("Add a page about our team!"), Wish::Page { about: "our team".into() });
        assert_eq!(Wish::read("Set the title to 'Hello'"), Wish::Title { title: "Hello".into() });
        assert_eq!(Wish::read("What is this?"), Wish::Other);
    }

    #[test]
    fn only_the_instruction_of_a_prompt_counts() {
        let prompt = "# Instruction\nchange a to b\n\n# Rules\n- do not replace c with d\n";
        assert_eq!(instruction(prompt), "change a to b");
        assert_eq!(instruction("change a to b"), "change a to b");
    }

    #[test]
    fn a_text_is_changed_literally_and_not_in_dependencies() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("node_modules")).unwrap();
        std::fs::write(folder.path().join("node_modules/x.js"), "7 to 18").unwrap();
        std::fs::write(folder.path().join("index.html"), "open 7 to 18").unwrap();
        let said = grant(folder.path(), &change_of("7 to 18", "$(id)")).unwrap();
        assert!(said.contains("index.html") && said.contains("demo agent"), "{said}");
        assert_eq!(std::fs::read_to_string(folder.path().join("index.html")).unwrap(), "open $(id)");
        assert_eq!(std::fs::read_to_string(folder.path().join("node_modules/x.js")).unwrap(), "7 to 18");
    }

    #[test]
    fn a_page_uses_the_layout_of_the_start_page() {
        let folder = tempfile::tempdir().unwrap();
        let pages = folder.path().join("src/pages");
        std::fs::create_dir_all(&pages).unwrap();
        let index = "---\nimport Base from '../layouts/Base.astro';\n---\n<Base title=\"Home\">x</Base>\n";
        std::fs::write(pages.join("index.astro"), index).unwrap();
        grant(folder.path(), &Wish::Page { about: "Our <Team>".into() }).unwrap();
        let page = std::fs::read_to_string(pages.join("our-team.astro")).unwrap();
        assert!(page.contains("<Base title=\"Our &lt;Team&gt;\">"), "{page}");
        grant(folder.path(), &Wish::Title { title: "New".into() }).unwrap();
        assert!(std::fs::read_to_string(pages.join("index.astro")).unwrap().contains("title=\"New\""));
    }
}
