//! What we write to owners: an outcome or a question in, text and HTML out. Pure; templates lie beside the code.

pub mod message;
mod words;

use std::sync::LazyLock;

use common::domain::job::Job;
use minijinja::{Environment, UndefinedBehavior, context};

pub use words::Question;

/// The most file names that one answer lists.
const MAX_FILES: usize = 30;

/// A mail as far as its words go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// One line.
    pub subject: String,
    /// For readers of plain text.
    pub text: String,
    /// For everybody else.
    pub html: String,
}

/// A template of ours does not render: a mistake in the program.
#[derive(Debug, thiserror::Error)]
#[error("the reply could not be written: {0}")]
pub struct BadTemplate(#[from] minijinja::Error);

/// The answer to the mail with this subject, whose job has ended.
pub fn answer(job: &Job, subject: &str) -> Result<Letter, BadTemplate> {
    let words = words::of_outcome(job.outcome);
    let files: Vec<String> = job.files_changed.iter().take(MAX_FILES).cloned().collect();
    let summary = job.summary.as_deref().map(str::trim).filter(|text| !text.is_empty());
    let view = context! {
        headline => words.headline,
        next => words.next,
        summary => summary.map(str::to_owned),
        preview => job.preview_url.clone(),
        more_files => job.files_changed.len() - files.len(),
        files => files,
        thread => job.thread_id.to_string(),
    };
    write("answer", &view, subject)
}

/// A question back about the mail with this subject.
pub fn question(question: &Question, subject: &str) -> Result<Letter, BadTemplate> {
    let words = words::of_question(question);
    let view = context! {
        headline => words.headline,
        next => words.next,
        choices => question.choices(),
        thread => "",
    };
    write("question", &view, subject)
}

fn write(kind: &str, view: &minijinja::Value, subject: &str) -> Result<Letter, BadTemplate> {
    let templates = &*TEMPLATES;
    let answered = replied(subject);
    Ok(Letter {
        subject: templates.get_template("subject.txt")?.render(context! { answered })?,
        text: templates.get_template(&format!("{kind}.txt"))?.render(view)?,
        html: templates.get_template(&format!("{kind}.html"))?.render(view)?,
    })
}

/// `Re: ` once, whatever stood there; nothing for nothing.
fn replied(subject: &str) -> String {
    let subject = subject.trim();
    let already = subject.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("re:"));
    match subject {
        "" => String::new(),
        _ if already => subject.to_owned(),
        _ => format!("Re: {subject}"),
    }
}

static TEMPLATES: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let sources = [
        ("subject.txt", include_str!("templates/subject.txt")),
        ("answer.txt", include_str!("templates/answer.txt")),
        ("answer.html", include_str!("templates/answer.html")),
        ("question.txt", include_str!("templates/question.txt")),
        ("question.html", include_str!("templates/question.html")),
        ("layout.html", include_str!("templates/layout.html")),
    ];
    let mut templates = Environment::new();
    templates.set_undefined_behavior(UndefinedBehavior::Strict);
    for (name, source) in sources {
        if let Err(error) = templates.add_template(name, source) {
            tracing::error!(%error, "template {name} cannot be read");
        }
    }
    templates
});

#[cfg(test)]
mod tests {
    use super::*;
    use common::domain::ids::ProjectId;
    use common::domain::outcome::JobOutcome;

    fn job(outcome: JobOutcome) -> Job {
        serde_json::from_value(serde_json::json!({
            "commandId": "c1", "projectKey": "amelia#scott", "projectId": "amelia", "userId": "scott",
            "threadId": "abcdef", "branch": "thread-abcdef", "instruction": "x", "state": "done", "attempts": 1,
            "outcome": outcome, "summary": "Now <b>open</b> at 9 & 10.", "filesChanged": ["src/index.astro"],
            "previewUrl": "http://k.amelia.localhost:8025/", "createdAt": 0, "day": "1970-01-01"
        }))
        .unwrap()
    }

    #[test]
    fn an_answer_says_what_changed_where_to_look_and_which_conversation_it_is() {
        let letter = answer(&job(JobOutcome::Changed), "Opening hours").unwrap();
        assert_eq!(letter.subject, "Re: Opening hours");
        for part in
            ["open</b> at 9", "src/index.astro", "http://k.amelia.localhost:8025/", "Conversation ID: abcdef"]
        {
            assert!(letter.text.contains(part), "{part} in {}", letter.text);
        }
        assert!(
            letter.html.contains("Conversation ID: abcdef") && letter.html.contains("prefers-color-scheme")
        );
    }

    #[test]
    fn what_the_agent_wrote_is_text_in_html_too() {
        let html = answer(&job(JobOutcome::Changed), "x").unwrap().html;
        assert!(html.contains("&lt;b&gt;open") && !html.contains("<b>open"), "{html}");
        assert!(!html.contains("<img") && !html.contains("<script"));
    }

    #[test]
    fn every_outcome_has_words_of_its_own_and_says_what_to_do() {
        let all = [
            JobOutcome::Changed,
            JobOutcome::Answered,
            JobOutcome::Question,
            JobOutcome::Stopped,
            JobOutcome::Interrupted,
            JobOutcome::BudgetExhausted,
            JobOutcome::BuildFailed,
            JobOutcome::PublishFailed,
            JobOutcome::PushConflict,
            JobOutcome::Refused,
            JobOutcome::AgentFailed,
            JobOutcome::Failed,
        ];
        let mut seen = std::collections::BTreeSet::new();
        for outcome in all {
            let letter = answer(&job(outcome), "x").unwrap();
            assert!(seen.insert(letter.text.lines().next().unwrap().to_owned()), "{outcome}");
            assert!(!letter.text.contains("{{") && !letter.text.contains("none"), "{}", letter.text);
        }
    }

    #[test]
    fn a_subject_gets_re_once() {
        assert_eq!(replied("Hours"), "Re: Hours");
        assert_eq!(replied(" RE: Hours"), "RE: Hours");
        assert_eq!(answer(&job(JobOutcome::Changed), "").unwrap().subject, "Re: your request");
    }

    #[test]
    fn a_question_lists_the_choices() {
        let sites = Question::WhichSite(vec![
            (ProjectId::parse("amelia").unwrap(), "amelia@localhost".into()),
            (ProjectId::parse("bob").unwrap(), "bob@localhost".into()),
        ]);
        let letter = question(&sites, "Hours").unwrap();
        assert!(letter.text.contains("- amelia: write to amelia@localhost\n- bob: write to bob@localhost\n"));
        assert!(letter.html.contains("<li>bob: write to bob@localhost</li>"));
        assert!(!question(&Question::WhatToDo, "").unwrap().html.contains("Conversation"));
    }

    #[test]
    fn a_long_list_of_files_is_cut() {
        let mut many = job(JobOutcome::Changed);
        many.files_changed = (0..50).map(|n| format!("f{n}")).collect();
        assert!(answer(&many, "x").unwrap().text.contains("- and 20 more"));
    }
}
