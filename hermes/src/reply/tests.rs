use super::*;
use crate::mail::{MailCommand, attachment};
use common::domain::job::{OutcomeNote, WorkAction};
use common::domain::left_out::LeftOutReason;
use common::domain::outcome::JobOutcome;

const OUTCOMES: [JobOutcome; 12] = [
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

fn job(outcome: JobOutcome) -> Job {
    serde_json::from_value(serde_json::json!({
        "commandId": "c1", "projectKey": "amelia#scott", "projectId": "amelia", "userId": "scott",
        "threadId": "abcdef", "branch": "thread-abcdef", "instruction": "x", "state": "done", "attempts": 1,
        "outcome": outcome, "summary": "Now <b>open</b> at 9 & 10.", "filesChanged": ["src/pages/index.astro"],
        "previewUrl": "http://k.amelia.localhost:8025/?a=1&b=2", "createdAt": 0, "day": "1970-01-01"
    }))
    .unwrap()
}

/// Jobs that switched the live site, or were to.
fn of_live() -> Vec<Job> {
    let ends = [
        (WorkAction::Publish, JobOutcome::Changed),
        (WorkAction::Undo, JobOutcome::Changed),
        (WorkAction::Undo, JobOutcome::Answered),
        (WorkAction::Publish, JobOutcome::PublishFailed),
        (WorkAction::Undo, JobOutcome::PublishFailed),
    ];
    let plain = ends.map(|(action, outcome)| Job { action, ..job(outcome) });
    let noted = [
        goes_on(JobOutcome::PublishFailed),
        preview_changed(),
        never_shown(),
        live_changed(),
        replaced(None),
    ];
    plain.into_iter().chain(noted).collect()
}

fn goes_on(outcome: JobOutcome) -> Job {
    Job { action: WorkAction::Undo, note: Some(OutcomeNote::GoesOn), ..job(outcome) }
}

fn replaced(subject: Option<&str>) -> Job {
    let note = Some(OutcomeNote::Replaced { subject: subject.map(str::to_owned) });
    Job { action: WorkAction::Publish, note, ..job(JobOutcome::Changed) }
}

fn preview_changed() -> Job {
    let note = Some(OutcomeNote::PreviewChanged);
    Job { action: WorkAction::Publish, note, ..job(JobOutcome::Answered) }
}

fn never_shown() -> Job {
    Job { note: Some(OutcomeNote::NeverShown), preview_url: None, ..preview_changed() }
}

fn live_changed() -> Job {
    Job { action: WorkAction::Undo, note: Some(OutcomeNote::LiveChanged), ..job(JobOutcome::Answered) }
}

fn not_pushed() -> Job {
    Job { note: Some(OutcomeNote::NotPushed), ..job(JobOutcome::Failed) }
}

#[test]
fn what_a_newer_program_notes_changes_no_answer() {
    for plain in of_live().into_iter().filter(|job| job.note.is_none()) {
        let noted = Job { note: Some(OutcomeNote::Unknown), ..plain.clone() };
        assert_eq!(
            written(&Topic::Ended(&noted), Language::En),
            written(&Topic::Ended(&plain), Language::En)
        );
    }
}

#[test]
fn what_is_kept_beside_a_conversation_is_told_with_its_branch_whatever_else_is_said() {
    let branches = ["thread-abcdef-kept-1", "thread-abcdef-conflict-2"];
    for plain in [job(JobOutcome::Changed), job(JobOutcome::Stopped), not_pushed()] {
        let job = Job { aside: branches.map(str::to_owned).to_vec(), ..plain.clone() };
        for language in Language::ALL {
            let [before, now] = [&plain, &job].map(|job| written(&Topic::Ended(job), language));
            assert!(branches.iter().all(|branch| now.text.contains(branch) && now.html.contains(branch)));
            let first_lines = |letter: &Letter| letter.text.lines().take(3).collect::<String>();
            assert!(plain.note.is_some() || first_lines(&now) == first_lines(&before), "{}", now.text);
        }
    }
}

#[test]
fn whoever_waits_for_a_change_that_is_kept_is_not_told_to_write_it_again() {
    for language in Language::ALL {
        let (letter, words) = (written(&Topic::Ended(&not_pushed()), language), words::of(language));
        assert!(letter.text.contains(words.not_pushed.headline), "{}", letter.text);
        assert!(!letter.text.contains((words.outcome)(Some(JobOutcome::Failed)).next), "{}", letter.text);
    }
}

fn written(topic: &Topic<'_>, language: Language) -> Letter {
    written_to(Role::Owner, topic, language)
}

fn written_to(role: Role, topic: &Topic<'_>, language: Language) -> Letter {
    let thread = ThreadId::parse("abcdef").unwrap();
    write(topic, &Answered { subject: "Opening hours", language, thread: Some(&thread), role }).unwrap()
}

fn topics() -> Vec<Topic<'static>> {
    let site = |id: &str| (ProjectId::parse(id).unwrap(), format!("{id}@localhost"));
    vec![
        Topic::Late,
        Topic::WhichSite(vec![site("amelia"), site("bob")]),
        Topic::WhatToDo,
        Topic::Refused(Refusal::UnknownSender),
        Topic::Refused(Refusal::NotPermitted),
        Topic::Refused(Refusal::RateLimited),
        Topic::Refused(Refusal::NoSite),
        Topic::NothingToStop,
        Topic::DoneBeforeStopped,
        Topic::Status(Vec::new()),
        Topic::Status(vec![Activity { subject: "Hours".into(), running_minutes: Some(3) }]),
        Topic::Help,
        Topic::WhichPreview,
        Topic::Confirm("http://localhost:8025/confirm/abc".into()),
    ]
}

#[test]
fn an_answer_says_what_changed_where_to_look_and_which_conversation_it_is() {
    let letter = written(&Topic::Ended(&job(JobOutcome::Changed)), Language::En);
    assert_eq!(letter.subject, "Re: Opening hours");
    for part in [
        "Your site was changed.",
        "open</b> at 9 & 10",
        "- / (src/pages/index.astro)",
        "http://k.amelia.localhost:8025/?a=1&b=2",
        "\n--\nConversation ID: abcdef\n",
    ] {
        assert!(letter.text.contains(part), "{part} in {}", letter.text);
    }
    assert!(
        letter.html.contains("Conversation ID: abcdef") && letter.html.contains("prefers-color-scheme: dark")
    );
}

#[test]
fn an_answer_names_the_files_that_could_not_be_used_and_why() {
    let name = "<b>IMG 1</b>.heic";
    let left_out = LeftOutReason::ALL.map(|reason| LeftOut { name: name.into(), reason });
    let job = Job { left_out: left_out.to_vec(), ..job(JobOutcome::Changed) };
    for language in Language::ALL {
        let letter = written(&Topic::Ended(&job), language);
        let words = words::of(language);
        assert!(letter.text.contains(words.left_out) && letter.html.contains(words.left_out));
        for reason in LeftOutReason::ALL {
            let line = format!("- {name}: {}\n", (words.why_left_out)(reason));
            assert_eq!(letter.text.matches(&line).count(), 1, "{line} in {}", letter.text);
        }
        let (files, megabytes) = (attachment::MAX_FILES, attachment::MAX_FILE_BYTES / 1024 / 1024);
        assert!((words.why_left_out)(LeftOutReason::TooMany).contains(&files.to_string()));
        assert!((words.why_left_out)(LeftOutReason::TooLarge).contains(&megabytes.to_string()));
        assert!(letter.html.contains("&lt;b&gt;IMG 1") && !letter.html.contains("<b>IMG"));
    }
    assert!(
        !written(&Topic::Ended(&Job { left_out: Vec::new(), ..job }), Language::En)
            .text
            .contains("not be used")
    );
}

#[test]
fn what_the_agent_wrote_is_text_in_html_too() {
    let html = written(&Topic::Ended(&job(JobOutcome::Changed)), Language::En).html;
    assert!(html.contains("&lt;b&gt;open") && !html.contains("<b>open"), "{html}");
}

#[test]
fn nothing_is_fetched_from_anywhere_when_a_letter_is_opened() {
    for topic in topics() {
        let html = written(&topic, Language::En).html;
        for remote in ["<img", "<script", "<link", "@import", "url(", "<iframe", "fonts.googleapis"] {
            assert!(!html.contains(remote), "{remote} in {html}");
        }
    }
}

#[test]
fn every_language_has_words_of_its_own_for_everything() {
    let jobs: Vec<Job> = OUTCOMES.map(job).into_iter().chain(of_live()).collect();
    let all = || jobs.iter().map(Topic::Ended).chain(topics());
    for language in Language::ALL {
        let mut seen = std::collections::BTreeSet::new();
        for topic in all() {
            let letter = written(&topic, language);
            let headline = letter.text.lines().next().unwrap().to_owned();
            assert!(seen.insert(headline), "{topic:?} in {language}");
            for broken in ["{{", "{%", "none", "\n\n\n"] {
                assert!(!letter.text.contains(broken), "{broken:?} in {}", letter.text);
            }
            assert!(letter.html.contains(&format!("lang=\"{language}\"")), "{}", letter.html);
        }
        let english: Vec<String> = all().map(|topic| written(&topic, Language::En).text).collect();
        let here: Vec<String> = all().map(|topic| written(&topic, language).text).collect();
        let same = english.iter().zip(&here).filter(|(one, other)| one == other).count();
        assert_eq!(same == 0, language != Language::En, "{language}");
    }
}

/// Whoever asks for it again would have the version back that was to go.
#[test]
fn nobody_is_told_to_ask_again_for_a_switch_that_goes_on_by_itself() {
    let undone = Job { action: WorkAction::Undo, ..job(JobOutcome::PublishFailed) };
    for language in Language::ALL {
        let (failed, unknown) =
            (goes_on(JobOutcome::PublishFailed), written(&Topic::Ended(&undone), language));
        let letters =
            [failed, goes_on(JobOutcome::Stopped)].map(|job| written(&Topic::Ended(&job), language));
        assert_eq!(letters[0], letters[1], "however its job ended");
        let words = words::of(language);
        assert!(letters[0].text.contains(words.switching.headline), "{}", letters[0].text);
        assert!(!letters[0].text.contains("open</b>"), "no other words: {}", letters[0].text);
        assert!(!unknown.text.contains(words.not_switched.next), "{}", unknown.text);
    }
}

#[test]
fn whoever_publishes_what_they_cannot_have_seen_is_shown_it() {
    let letter = written(&Topic::Ended(&preview_changed()), Language::En);
    for part in
        ["has changed since you wrote", "Look at the preview", "http://k.amelia.localhost:8025/", "“publish”"]
    {
        assert!(letter.text.contains(part), "{part} in {}", letter.text);
    }
}

#[test]
fn whoever_publishes_what_no_answer_has_shown_is_told_how_to_be_shown_it() {
    for language in Language::ALL {
        let (letter, words) = (written(&Topic::Ended(&never_shown()), language), words::of(language));
        assert!(letter.text.contains(words.never_shown.next), "{}", letter.text);
        assert!(commands(&letter.text).is_empty(), "asked for once more it ends the same: {}", letter.text);
        assert!(!letter.text.contains("http") && !letter.text.contains("open</b>"), "{}", letter.text);
    }
}

#[test]
fn whoever_wants_back_what_somebody_else_has_replaced_is_told_so_and_how_to_mean_it() {
    for language in Language::ALL {
        let (letter, words) = (written(&Topic::Ended(&live_changed()), language), words::of(language));
        assert!(letter.text.contains(words.live_changed.headline), "{}", letter.text);
        assert!(commands(&letter.text).contains(&MailCommand::Undo), "{}", letter.text);
        assert!(!letter.text.contains("open</b>"), "no other words: {}", letter.text);
    }
}

#[test]
fn whoever_replaces_what_another_conversation_put_live_is_told_which_and_how_it_comes_back() {
    let undo = [("“undo”", Language::En), ("„rückgängig“", Language::De), ("«deshacer»", Language::Es)];
    for (word, language) in undo.into_iter().chain([("« annuler »", Language::Fr)]) {
        let named = written(&Topic::Ended(&replaced(Some("Rye & spelt"))), language);
        assert!(named.text.contains("Rye & spelt") && named.text.contains(word), "{}", named.text);
        assert!(named.html.contains("Rye &amp; spelt"), "{}", named.html);
        let unnamed = written(&Topic::Ended(&replaced(None)), language);
        assert!(unnamed.text.contains(&(words::of(language).replaced_what)(None)), "{}", unnamed.text);
    }
}

#[test]
fn a_question_lists_the_choices() {
    let letter = written(&topics()[1], Language::En);
    assert!(letter.text.contains("- amelia: write to amelia@localhost\n- bob: write to bob@localhost\n"));
    assert!(letter.html.contains("<li>bob: write to bob@localhost</li>"));
}

#[test]
fn a_letter_without_a_conversation_names_none() {
    let answered = Answered { subject: "", language: Language::De, thread: None, role: Role::Owner };
    let letter = write(&Topic::WhatToDo, &answered).unwrap();
    assert_eq!(letter.subject, "Re: Ihr Auftrag");
    assert!(!letter.text.contains("Conversation") && !letter.html.contains("Conversation"));
}

#[test]
fn work_without_a_subject_is_shown_too() {
    let work = vec![
        Activity { subject: String::new(), running_minutes: Some(0) },
        Activity { subject: "Shop".into(), running_minutes: None },
    ];
    let text = written(&Topic::Status(work), Language::En).text;
    assert!(text.contains("- “your request”, begun just now\n- “Shop”, waits for its turn\n"), "{text}");
}

/// Of the words in quotation marks those that are commands when they stand alone.
fn commands(text: &str) -> std::collections::HashSet<MailCommand> {
    let understood = |word: &str| {
        let raw = format!("From: a@b.c\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{word}\r\n");
        let said = crate::mail::instruction::Words { new: word.into(), ..Default::default() };
        crate::mail::command::command(&crate::mail::read(raw.as_bytes()).unwrap(), &said)
    };
    text.split(['“', '„', '«', '»', '”', '\n']).map(str::trim).filter_map(understood).collect()
}

#[test]
fn the_words_that_help_names_are_understood_as_commands() {
    for language in Language::ALL {
        let named = commands(&help(words::of(language), Role::Owner).join("\n"));
        assert_eq!(named.len(), 5, "{language}: {named:?}");
    }
}

#[test]
fn nobody_is_told_to_do_what_they_may_not() {
    let jobs: Vec<Job> = OUTCOMES.map(job).to_vec();
    for language in Language::ALL {
        for topic in jobs.iter().map(Topic::Ended).chain([Topic::Help, Topic::Late]) {
            let named = commands(&written_to(Role::Editor, &topic, language).text);
            let live = named.contains(&MailCommand::Publish) || named.contains(&MailCommand::Undo);
            assert!(!live, "{topic:?} in {language}");
            let named = commands(&written(&topic, language).text);
            assert_eq!(named.contains(&MailCommand::Publish), topic.is_of_live(), "{topic:?} in {language}");
        }
    }
}

#[test]
fn the_button_says_where_it_leads() {
    for language in Language::ALL {
        let Words { look, look_live, .. } = *words::of(language);
        let leads = |job: &Job| job.note != preview_changed().note && job.preview_url.is_some();
        for job in of_live().into_iter().filter(leads) {
            let text = written(&Topic::Ended(&job), language).text;
            assert!(text.contains(&format!("{look_live}: http")) && !text.contains(look), "{text}");
        }
        for job in [job(JobOutcome::Changed), preview_changed()] {
            let text = written(&Topic::Ended(&job), language).text;
            assert!(text.contains(&format!("{look}: http")), "{text}");
        }
    }
}
