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
    },
    /// It was confirmed.
    Confirmed,
    /// There is nothing to confirm under this link.
    Gone,
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
}

/// The page as HTML; its form posts to its own address.
pub fn page(page: &Page, language: Language) -> Result<String, BadTemplate> {
    let words = words::of(language);
    let view = match page {
        Page::Waiting { site, from, subject, instruction } => {
            let facts = facts(words, site.as_deref(), from, subject, instruction);
            View {
                facts,
                ..said(Said { headline: words.confirm.page_title, next: words.confirm.page_hint }, words)
            }
        }
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

fn facts(words: &Words, site: Option<&str>, from: &str, subject: &str, instruction: &str) -> Vec<Fact> {
    let confirm = &words.confirm;
    let shown: String = instruction.chars().take(MAX_SHOWN).collect();
    let shown = if shown.len() < instruction.len() { shown + " …" } else { shown };
    let site = site.map(|site| (confirm.page_site, site.to_owned()));
    site.into_iter()
        .chain([
            (confirm.page_from, from.to_owned()),
            (confirm.page_subject, subject.to_owned()),
            (confirm.page_instruction, shown),
        ])
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| Fact { name, value })
        .collect()
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
    fn what_is_done_or_gone_has_no_button() {
        for language in Language::ALL {
            for shown in [Page::Confirmed, Page::Gone] {
                let html = page(&shown, language).unwrap();
                assert!(!html.contains("<form") && html.contains(&format!("lang=\"{language}\"")), "{html}");
            }
        }
    }
}
