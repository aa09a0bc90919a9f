//! The page behind the link of a confirmation mail: what would be done and a button, or what became of it. Pure.

use common::domain::language::Language;
use minijinja::value::{Serde, Value};
use serde::Serialize;

use super::words::{self, Said, Words};
use super::{BadTemplate, TEMPLATES};

/// The most characters of a mail's words that are shown.
const MAX_SHOWN: usize = 4000;

/// What the page shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Page {
    /// A mail that waits for its author's word.
    Waiting {
        /// The site it is about; none while that is not clear.
        site: Option<String>,
        /// Who says they wrote it.
        from: String,
        /// Its subject.
        subject: String,
        /// Its new words.
        instruction: String,
        /// What came with it and would go along.
        files: Vec<Shown>,
    },
    /// It was confirmed.
    Confirmed,
    /// There is nothing to confirm under this link.
    Gone,
}

/// A file, as far as its sender can tell it by that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Its name.
    pub name: String,
    /// How large it is.
    pub size_bytes: u64,
}

#[derive(Serialize)]
struct View {
    language: &'static str,
    headline: &'static str,
    facts: Vec<Fact>,
    button: &'static str,
    hint: &'static str,
}

#[derive(Serialize)]
struct Fact {
    name: &'static str,
    value: String,
    class: &'static str,
}

/// The page as HTML; its form posts to its own address.
pub fn page(page: &Page, language: Language) -> Result<String, BadTemplate> {
    let words = words::of(language);
    let view = match page {
        Page::Waiting { site, from, subject, instruction, files } => View {
            facts: facts(words, site.as_deref(), [from, subject, instruction], files),
            ..said(Said { headline: words.confirm.page_title, next: words.confirm.page_hint }, words)
        },
        Page::Confirmed => said(words.confirm.done, words),
        Page::Gone => said(words.confirm.gone, words),
    };
    let view = Value::from(Serde(View { language: language.as_str(), ..view }));
    Ok(TEMPLATES.get_template("page.html")?.render(view)?)
}

fn said(said: Said, words: &'static Words) -> View {
    View {
        language: "",
        headline: said.headline,
        facts: Vec::new(),
        button: words.confirm.page_button,
        hint: said.next,
    }
}

fn facts(
    words: &Words,
    site: Option<&str>,
    [from, subject, instruction]: [&str; 3],
    files: &[Shown],
) -> Vec<Fact> {
    let confirm = &words.confirm;
    let shown: String = instruction.chars().take(MAX_SHOWN).collect();
    let shown = if shown.len() < instruction.len() { shown + " …" } else { shown };
    let line = |file: &Shown| format!("{} ({})", file.name, (confirm.page_size)(file.size_bytes));
    let files = files.iter().map(line).collect::<Vec<_>>().join("\n");
    let plain = |name, value: &str| Fact { name, value: value.to_owned(), class: "" };
    let all = [
        plain(confirm.page_site, site.unwrap_or_default()),
        plain(confirm.page_from, from),
        plain(confirm.page_subject, subject),
        Fact { name: confirm.page_instruction, value: shown, class: "words" },
        plain(confirm.page_files, &files),
    ];
    all.into_iter().filter(|fact| !fact.value.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(instruction: &str) -> Page {
        Page::Waiting {
            site: Some("amelia".into()),
            from: "scott@example.org".into(),
            subject: "Hours".into(),
            instruction: instruction.into(),
            files: vec![
                Shown { name: "<b>menu</b>.pdf".into(), size_bytes: 340_000 },
                Shown { name: "photo.jpg".into(), size_bytes: 3_400_000 },
            ],
        }
    }

    #[test]
    fn the_page_shows_what_would_be_done_as_text_and_a_button() {
        let html = page(&waiting("<script>x</script> open at 9"), Language::En).unwrap();
        assert!(html.contains("&lt;script&gt;") && !html.contains("<script"), "{html}");
        assert!(html.contains("<form method=\"post\"><button type=\"submit\">Yes, do it</button></form>"));
        let long = page(&waiting(&"x".repeat(5000)), Language::En).unwrap();
        assert!(long.contains(&format!("{} …", "x".repeat(4000))));
    }

    #[test]
    fn files_that_would_go_along_are_named_in_every_language() {
        for language in Language::ALL {
            let html = page(&waiting("put it up"), language).unwrap();
            let point = if language == Language::En { '.' } else { ',' };
            let unit = if language == Language::Fr { 'o' } else { 'B' };
            let list =
                format!("&lt;b&gt;menu&lt;&#x2f;b&gt;.pdf (333 K{unit})\nphoto.jpg (3{point}2 M{unit})</dd>");
            assert!(html.contains(&list) && html.contains(words::of(language).confirm.page_files), "{html}");
            assert!(html.contains("<dd class=\"words\">put it up</dd>"), "{html}");
        }
        let Page::Waiting { site, from, subject, instruction, .. } = waiting("hello") else { unreachable!() };
        let bare = Page::Waiting { site, from, subject, instruction, files: Vec::new() };
        assert!(!page(&bare, Language::En).unwrap().contains("Files"));
    }

    #[test]
    fn what_is_done_or_gone_has_no_button() {
        for language in Language::ALL {
            for shown in [Page::Confirmed, Page::Gone] {
                let html = page(&shown, language).unwrap();
                assert!(!html.contains("<form") && html.contains(&format!("lang=\"{language}\"")), "{html}");
            }
        }
    }
}
