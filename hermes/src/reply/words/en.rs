//! English.

use common::domain::left_out::LeftOutReason;
use common::domain::outcome::JobOutcome;

use super::{Confirmation, Said, Words, say, size};

pub(super) static WORDS: Words = Words {
    your_request: "your request",
    look: "Look at the preview",
    look_live: "Look at your site",
    touched: "Pages and files touched:",
    and_more: |count| format!("and {count} more"),
    left_out: "These files could not be used:",
    why_left_out,
    outcome,
    changed_by_editor: "Something is not right yet? Just reply and say what. To have it put live, ask whoever looks after the site.",
    acknowledged: say(
        "Your mail has arrived and is being worked on.",
        "It takes a little longer than usual; the answer follows as soon as it is done. To stop it, reply with the one word “stop”.",
    ),
    which_site: say(
        "Which of your sites do you mean?",
        "Please send your mail once more, to the address of the site.",
    ),
    write_to: |site, address| format!("{site}: write to {address}"),
    what_to_do: say("Your mail arrived without words.", "Please write what should change on your site."),
    unknown_sender: say(
        "We do not know this address.",
        "Nobody is registered under it, so nothing was done. Write from the address that was registered for your site, or ask whoever looks after it to add this one.",
    ),
    not_permitted: say(
        "This may not be done from your address.",
        "Nothing was changed. Ask whoever looks after the site to give you the right to do it.",
    ),
    rate_limited: say(
        "That was a lot of mail in a short time.",
        "This mail, and those that follow within the hour, are not worked on. Please send it once more later.",
    ),
    no_site: say(
        "Your site is not set up at present.",
        "Nothing was changed. Please ask whoever looks after it.",
    ),
    nothing_to_stop: say(
        "There was nothing to stop.",
        "No work was running or waiting in this conversation. Reply to this mail to order some.",
    ),
    done_before_stopped: say(
        "It was finished before it could be stopped.",
        "What became of it is in the mail that came with it. Reply to that mail if something should be different.",
    ),
    status_idle: say(
        "Nothing is being worked on.",
        "Reply to this mail with what should change on your site.",
    ),
    status_busy: say(
        "This is being worked on for you:",
        "To stop it, reply to its mail with the one word “stop”.",
    ),
    running: |subject, minutes| match minutes {
        0 => format!("“{subject}”, begun just now"),
        1 => format!("“{subject}”, for a minute"),
        _ => format!("“{subject}”, for {minutes} minutes"),
    },
    waiting: |subject| format!("“{subject}”, waits for its turn"),
    help: say(
        "How to change your site by mail",
        "Pictures and documents may be attached. Mails of one conversation build on each other; a new mail begins a new one.",
    ),
    help_orders: &[
        "Write what should change, in your own words. The answer shows a preview.",
        "Reply to the answer to go on from there.",
    ],
    help_live: &["“publish” puts live what the preview shows.", "“undo” takes back what was put live."],
    help_commands: &[
        "“stop” as the only word stops what is being worked on in the conversation.",
        "“status” says what is being worked on.",
        "“help” shows this list.",
    ],
    which_preview: say(
        "Which change should go live?",
        "Reply with the one word “publish” to the mail whose preview you mean.",
    ),
    published: say(
        "Your change is live.",
        "You want the version from before back? Reply to this mail with the one word “undo”.",
    ),
    replaced: say(
        "Your change is live, in the place of another one.",
        "You want the version from before back? Reply to this mail with the one word “undo”. You want both? Reply and say what is missing.",
    ),
    replaced_what: |subject| {
        let whose =
            subject.map_or("another conversation".to_owned(), |it| format!("the conversation “{it}”"));
        format!("What {whose} had put live is not part of it: your visitors do not see that any more.")
    },
    undone: say(
        "Your visitors see the version from before again.",
        "You did not mean that? Reply with the one word “undo” once more, and it is taken back.",
    ),
    live_unchanged: say(
        "Your live site did not have to be switched.",
        "If you expected something else, reply to this mail and say what.",
    ),
    not_switched: say(
        "Your live site could not be switched.",
        "Nothing is lost: the preview is as it was. Reply with the same word to try again.",
    ),
    not_undone: say(
        "Your live site could not be switched back.",
        "Look at it in a few minutes. Only if it still shows the version that should go, reply with the one word “undo” once more.",
    ),
    switching: say(
        "Your live site is being switched.",
        "That has begun and goes on by itself; it is complete in a few minutes. Please do not ask for it again.",
    ),
    preview_changed: say(
        "The preview has changed since you wrote.",
        "Nothing was put live. Look at the preview; if it is what you want, reply to this mail with the one word “publish”.",
    ),
    never_shown: say(
        "The preview shows work that did not come to its end.",
        "Nothing was put live. Reply “show the preview again”, or write what you want; what you are shown then can be put live.",
    ),
    not_pushed: say(
        "The change was made, but it is not in the source of your site yet.",
        "That was not possible just now. Your change is kept and goes there with your next mail in this conversation; you need not write it again. What visitors see is unchanged.",
    ),
    aside: |branch| {
        format!(
            "Some work on this conversation had not reached the source of your site when somebody else changed the same lines there. \
             Nothing was overwritten: it is not part of what is shown now, and is kept on the branch {branch}."
        )
    },
    live_changed: say(
        "Your live site has changed since you wrote.",
        "Somebody else put another version live, so nothing was taken back. Look at your site; if you still want the version from before back, reply to this mail with the one word “undo”.",
    ),
    confirm: Confirmation {
        mail: say(
            "Did you write this mail?",
            "It is not certain that this mail is from you and meant for your site, so nothing was done yet. Open the link to see what would be done, and confirm it there. If you did not write it, you need not do anything.",
        ),
        open: "See and confirm",
        page_title: "Is this mail from you?",
        page_site: "Site",
        page_from: "From",
        page_subject: "Subject",
        page_instruction: "What would be done",
        page_files: "Files that go along",
        page_size: |bytes| size(bytes, ["KB", "MB"], '.'),
        page_button: "Yes, do it",
        page_hint: "Nothing happens until you press the button. If you did not write this mail, just close this page.",
        done: say("Thank you.", "You get an answer by mail. You can close this page."),
        gone: say(
            "This link is no longer valid.",
            "It is too old, or a part of it is missing. If your mail was not answered, please send it once more.",
        ),
    },
};

fn outcome(outcome: Option<JobOutcome>) -> Said {
    match outcome {
        Some(JobOutcome::Changed) => say(
            "Your site was changed.",
            "To put it live, reply with the one word “publish”. Something is not right yet? Just reply and say what.",
        ),
        Some(JobOutcome::Answered) => {
            say("Nothing had to be changed.", "If you meant something else, reply to this mail and say what.")
        }
        Some(JobOutcome::Question) => {
            say("One question before your site is changed.", "Please reply to this mail with the answer.")
        }
        Some(JobOutcome::Stopped) => say(
            "The work was stopped.",
            "What was done so far is kept. Reply to this mail to go on from there.",
        ),
        Some(JobOutcome::Interrupted) => {
            say("Your newer mail goes first.", "This one is taken up again right after it.")
        }
        Some(JobOutcome::BudgetExhausted) => say(
            "This was more work than one run may take.",
            "What was done so far is kept. Reply to this mail to go on, best with one thing at a time.",
        ),
        Some(JobOutcome::BuildFailed) => say(
            "The change was made, but the site cannot be built with it.",
            "What visitors see is unchanged. Reply to this mail with what should be different, or ask whoever looks after your site.",
        ),
        Some(JobOutcome::PublishFailed) => say(
            "The change was made, but the preview could not be put up.",
            "What visitors see is unchanged and your change is kept. Reply to this mail to try again.",
        ),
        Some(JobOutcome::PushConflict) => say(
            "Somebody else changed the same place meanwhile.",
            "Both versions are kept. Ask whoever looks after your site which one should stay.",
        ),
        Some(JobOutcome::Refused) => say(
            "This could not be done.",
            "Your site is unchanged. Ask whoever looks after it; they find the reason under the conversation ID below.",
        ),
        Some(JobOutcome::AgentFailed) => say(
            "The change could not be made.",
            "Your site is unchanged. Reply to this mail to try again, perhaps in other words.",
        ),
        Some(JobOutcome::Failed) | None => say(
            "Something went wrong on our side.",
            "Your site is unchanged. Reply to this mail to try again; if it happens twice, ask whoever looks after your site.",
        ),
    }
}

fn why_left_out(reason: LeftOutReason) -> &'static str {
    match reason {
        LeftOutReason::Empty => "it is empty",
        LeftOutReason::TooLarge => "it is larger than 25 MB",
        LeftOutReason::TooMany => "a mail may bring 20 files",
        LeftOutReason::Program => "it is a program",
        LeftOutReason::PictureKind => {
            "this kind of picture (HEIC, TIFF, AVIF or raw) cannot be used; please send it as a JPEG"
        }
        LeftOutReason::TooManyPixels => "it has too many pixels; please send it smaller",
        LeftOutReason::OutlookPack => {
            "Outlook packed what you attached in a format of its own; please send the mail again as HTML or plain text"
        }
        LeftOutReason::Unreadable => "it is damaged or cannot be read",
    }
}
