//! The sentences of our mails, for people who know their site and nothing of branches, builds and agents. Each language
//! is one value of [`Words`]: the compiler sees to it that none lacks a sentence.

mod de;
mod en;
mod es;
mod fr;

use common::domain::language::Language;
use common::domain::left_out::LeftOutReason;
use common::domain::outcome::JobOutcome;

/// What happened, and what the owner may do now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Said {
    pub(super) headline: &'static str,
    pub(super) next: &'static str,
}

const fn say(headline: &'static str, next: &'static str) -> Said {
    Said { headline, next }
}

/// Everything we say in one language.
pub(super) struct Words {
    /// The subject of an answer to a mail without one.
    pub(super) your_request: &'static str,
    /// On the button that leads to the preview.
    pub(super) look: &'static str,
    /// On the button that leads to the live site.
    pub(super) look_live: &'static str,
    /// Above the list of pages and files.
    pub(super) touched: &'static str,
    pub(super) and_more: fn(usize) -> String,
    /// Above the list of files that came with the mail and did not go along.
    pub(super) left_out: &'static str,
    pub(super) why_left_out: fn(LeftOutReason) -> &'static str,
    pub(super) outcome: fn(Option<JobOutcome>) -> Said,
    /// What may be done about a change by whom it may not be put live.
    pub(super) changed_by_editor: &'static str,
    pub(super) acknowledged: Said,
    pub(super) which_site: Said,
    /// A site, and the address that names it.
    pub(super) write_to: fn(&str, &str) -> String,
    pub(super) what_to_do: Said,
    pub(super) unknown_sender: Said,
    pub(super) not_permitted: Said,
    pub(super) rate_limited: Said,
    pub(super) no_site: Said,
    pub(super) nothing_to_stop: Said,
    pub(super) done_before_stopped: Said,
    pub(super) status_idle: Said,
    pub(super) status_busy: Said,
    /// A job's subject and the minutes since it began.
    pub(super) running: fn(&str, u64) -> String,
    /// A job's subject.
    pub(super) waiting: fn(&str) -> String,
    pub(super) help: Said,
    /// What may be written, one line each.
    pub(super) help_orders: &'static [&'static str],
    /// The same, by owners only.
    pub(super) help_live: &'static [&'static str],
    /// The same, by everybody, in one word.
    pub(super) help_commands: &'static [&'static str],
    pub(super) which_preview: Said,
    /// A preview is the live site now.
    pub(super) published: Said,
    /// The same, and what another conversation had put live is not part of it.
    pub(super) replaced: Said,
    /// Which conversation that was, by its subject.
    pub(super) replaced_what: fn(Option<&str>) -> String,
    /// An earlier version is the live site again.
    pub(super) undone: Said,
    /// There was nothing to publish, or nothing to go back to.
    pub(super) live_unchanged: Said,
    /// A preview could not be put live.
    pub(super) not_switched: Said,
    /// An earlier version could not be. Asked for once more, an undo that was done after all would undo itself.
    pub(super) not_undone: Said,
    /// The switch of the live site has begun and goes on by itself.
    pub(super) switching: Said,
    /// Nothing was put live: the preview is another one than its author knew.
    pub(super) preview_changed: Said,
    /// The same: it is of work that did not come to its end.
    pub(super) never_shown: Said,
    /// A change was made and is kept, and is not in the source yet.
    pub(super) not_pushed: Said,
    /// Work on the conversation that conflicted with somebody else's, by the branch that it is kept on.
    pub(super) aside: fn(&str) -> String,
    /// Nothing was taken back: the live site is another one than its author knew.
    pub(super) live_changed: Said,
    pub(super) confirm: Confirmation,
}

/// The sentences around a confirmation: the mail, and the page that its link opens.
pub(super) struct Confirmation {
    pub(super) mail: Said,
    pub(super) open: &'static str,
    pub(super) page_title: &'static str,
    pub(super) page_site: &'static str,
    pub(super) page_from: &'static str,
    pub(super) page_subject: &'static str,
    pub(super) page_instruction: &'static str,
    /// Above the files that came with the mail and would go along.
    pub(super) page_files: &'static str,
    /// So many bytes.
    pub(super) page_size: fn(u64) -> String,
    pub(super) page_button: &'static str,
    pub(super) page_hint: &'static str,
    pub(super) done: Said,
    pub(super) gone: Said,
}

const KILO: u64 = 1024;
const MEGA: u64 = 1024 * KILO;

/// So many bytes in the smaller unit, from one of the larger on in that, with one digit behind the point.
fn size(bytes: u64, [kilo, mega]: [&str; 2], point: char) -> String {
    if bytes < MEGA {
        return format!("{} {kilo}", bytes.div_ceil(KILO));
    }
    let tenths = bytes.saturating_mul(10) / MEGA;
    format!("{}{point}{} {mega}", tenths / 10, tenths % 10)
}

/// The words of a language.
pub(super) fn of(language: Language) -> &'static Words {
    match language {
        Language::En => &en::WORDS,
        Language::De => &de::WORDS,
        Language::Fr => &fr::WORDS,
        Language::Es => &es::WORDS,
    }
}
