//! The new words of a mail, without what it quotes, passes on or signs with. What is cut goes along as background, never as
//! instruction. Where nothing proves that a text is quoted, it is kept: an instruction must not get lost.

mod block;
mod dates;
mod headline;
mod pieces;
mod postscript;
mod signature;

use super::body::Body;
use super::command::is_phrase;
use super::hidden;
use super::parse::ParsedMail;
use super::subject::{self, Carried};
use super::trace::{Stage, Trace};
use super::words::words;
use pieces::{Kind, Piece};
use signature::Place;

/// The queue takes 1 MiB; JSON may write one byte as six.
const MAX_NEW_BYTES: usize = 100 * 1024;
/// Of what is quoted, of what is passed on, and of a signature.
const MAX_CUT_BYTES: usize = 10 * 1024;
/// What stands in the background above words of third parties.
const PASSED_ON: &str = "[passed on by the author, written by others]";
/// What stands there above what was taken for a signature.
const SIGNED: &str = "[cut from below the text: probably only the author's signature, and no order]";

/// A mail's text by who wrote it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Words {
    /// What the author wrote now.
    pub new: String,
    /// What they wrote it below of, or between.
    pub quoted: Option<String>,
    /// What they pass on: words of third parties.
    pub forwarded: Option<String>,
    /// Their signature, and what their phone or mail program adds.
    pub signature: Option<String>,
    /// How many characters were not to be seen; they are nowhere here.
    pub hidden: usize,
    /// Whether the subject stands for the new words, of which there are none.
    pub are_subject: bool,
}

impl Words {
    fn are_all_hidden(&self) -> bool {
        self.hidden > 0
            && self.new.is_empty()
            && [&self.quoted, &self.forwarded, &self.signature].iter().all(|text| text.is_none())
    }

    /// Everything that is no instruction, labelled.
    pub fn background(&self) -> Option<String> {
        let labelled =
            |label: &str, text: &Option<String>| text.as_ref().map(|text| format!("{label}\n{text}"));
        let others = [labelled(PASSED_ON, &self.forwarded), labelled(SIGNED, &self.signature)];
        let parts: Vec<String> =
            self.quoted.clone().into_iter().chain(others.into_iter().flatten()).collect();
        (!parts.is_empty()).then(|| parts.join("\n\n"))
    }
}

/// A background without its signature, which may be in a language of a phone.
pub fn unsigned(background: &str) -> &str {
    background.split(SIGNED).next().unwrap_or_default()
}

/// The instruction: the new words, or the subject when there are none and it was written for this mail. Where all words were
/// hidden there is none: its author did write some.
pub fn instruction(mail: &ParsedMail, trace: &mut Trace) -> Words {
    let mut words = read(mail);
    if mail.is_sealed && signature::is_only_closings(&words.new) {
        trace.note(Stage::Instruction, "what it says is encrypted, or signed so that it cannot be read here");
        words.new.clear();
    } else if signature::is_only_closings(&words.new)
        && !words.are_all_hidden()
        && let Some(written) = subject::written(&mail.subject)
    {
        trace.note(Stage::Instruction, "the text asks for nothing: the subject is the instruction");
        written.clone_into(&mut words.new);
        words.are_subject = true;
    }
    let written = words.new.len();
    cut(&mut words.new, MAX_NEW_BYTES);
    [&mut words.quoted, &mut words.forwarded, &mut words.signature]
        .into_iter()
        .flatten()
        .for_each(|text| cut(text, MAX_CUT_BYTES));
    if words.new.len() < written {
        trace.note(
            Stage::Instruction,
            format!("only the first {} of {written} bytes are kept", words.new.len()),
        );
    }
    describe(&words, trace);
    words
}

fn describe(words: &Words, trace: &mut Trace) {
    let count = |text: &Option<String>| text.as_ref().map_or(0, |text| text.chars().count());
    let mut note =
        format!("{} characters are new, {} are quoted", words.new.chars().count(), count(&words.quoted));
    for (what, count) in [("passed on", count(&words.forwarded)), ("signature", count(&words.signature))] {
        if count > 0 {
            note = format!("{note}, {count} are {what}");
        }
    }
    trace.note(Stage::Instruction, note);
    if words.hidden > 0 {
        let note = format!("{} characters that nobody sees were removed: somebody hid them", words.hidden);
        trace.note(Stage::Instruction, note);
    }
}

fn read(mail: &ParsedMail) -> Words {
    let (text, hidden) = hidden::visible(&mail.text.replace("\r\n", "\n").replace('\u{a0}', " "));
    let name = words(mail.author_name.as_deref().unwrap_or_default());
    let place = match subject::written(&mail.subject) {
        Some(subject) if is_phrase(subject) => Place::Command,
        Some(subject) if !subject.trim_end().ends_with([':', '：']) => Place::Subject,
        Some(_) | None => Place::Top,
    };
    let mut words = split(&text, mail.body, carried(mail), &name, place);
    if words.new.is_empty()
        && !mail.is_sealed
        && subject::written(&mail.subject).is_none()
        && !mail.attachments.is_empty()
    {
        // Somebody sends files: what stands beside them may be all that tells of them.
        words.new = words.signature.take().unwrap_or_default();
    }
    words.hidden = mail.hidden + hidden;
    words
}

/// What its subject and its fields say of an older mail.
fn carried(mail: &ParsedMail) -> Carried {
    let names_one = || mail.header("in-reply-to").chain(mail.header("references")).any(|ids| !ids.is_empty());
    match subject::carried(&mail.subject) {
        Carried::Not if names_one() => Carried::Reply,
        carried => carried,
    }
}

/// Tells new from quoted; `name` is what the author is called, in folded words, and `top` where the first words stand.
fn split(text: &str, body: Body, carried: Carried, name: &[String], top: Place) -> Words {
    let lines: Vec<&str> = text.split('\n').map(ended).collect();
    let mut pieces = pieces::pieces(&lines, carried);
    if carried == Carried::Forward {
        // Mail programs that pass a mail on put its header where they put that of an answered one.
        pieces
            .iter_mut()
            .filter(|piece| piece.kind == Kind::Quoted)
            .for_each(|piece| piece.kind = Kind::Forwarded);
    }
    let mut signature = Vec::new();
    let mut place = top;
    for piece in pieces.iter_mut().filter(|piece| piece.kind == Kind::New) {
        signature.extend(signature::taken(&mut piece.lines, place, name));
        if piece.lines.iter().any(|line| !line.trim().is_empty()) {
            place = Place::Below;
        }
    }
    keep_wanted(&mut pieces, carried == Carried::Not && body == Body::Plain);
    keep_citations(&mut pieces, body);
    let new = of_kind(&pieces, Kind::New);
    let proved = pieces.iter().any(|piece| matches!(piece.kind, Kind::Quoted | Kind::Forwarded));
    let is_signature = !signature.is_empty() && pieces.iter().all(|piece| piece.kind == Kind::New);
    if new.is_empty() && !proved && !is_signature {
        return Words { new: unmarked(text, body), ..Words::default() };
    }
    Words {
        new,
        quoted: background(&pieces),
        forwarded: Some(of_kind(&pieces, Kind::Forwarded)).filter(|text| !text.is_empty()),
        signature: Some(trimmed(&signature)).filter(|text| !text.is_empty()),
        ..Words::default()
    }
}

/// Without blanks at its end, which mean something above a signature only (RFC 3676, section 4.3).
fn ended(line: &str) -> &str {
    if line == "-- " { line } else { line.trim_end() }
}

/// Marked lines that their author announces are what they want where only something below shows what is quoted, or nothing can
/// be (`alone`): in an answer they may be the quote, below a headline in a language that nobody knows.
fn keep_wanted(pieces: &mut [Piece<'_>], alone: bool) {
    let is_quote = |piece: &Piece<'_>| piece.kind == Kind::Quoted;
    let first = pieces.iter().position(is_quote).unwrap_or(if alone { pieces.len() } else { 0 });
    for (at, piece) in pieces.iter_mut().enumerate().filter(|(_, piece)| piece.kind == Kind::Wanted) {
        piece.kind = if at < first { Kind::New } else { Kind::Cited };
    }
}

/// Marked lines above words of the author are what these are about, and stay, unless something in the mail says that it
/// quotes an older one.
fn keep_citations(pieces: &mut [Piece<'_>], body: Body) {
    let says =
        |piece: &Piece<'_>| piece.kind == Kind::New && piece.lines.iter().any(|line| !line.trim().is_empty());
    let Some(last) = pieces.iter().rposition(says) else { return };
    if body == Body::Plain && pieces.iter().all(|piece| matches!(piece.kind, Kind::New | Kind::Cited)) {
        pieces[..last].iter_mut().for_each(|piece| piece.kind = Kind::New);
    }
}

/// The quoted words; with the answers in their places when these stand between or below.
fn background(pieces: &[Piece<'_>]) -> Option<String> {
    let quoted = |piece: &Piece<'_>| matches!(piece.kind, Kind::Quoted | Kind::Cited);
    let first = pieces.iter().position(quoted)?;
    let shown = pieces[first..].iter().filter(|piece| piece.kind != Kind::Forwarded);
    Some(trimmed(&shown.flat_map(|piece| piece.lines.iter().copied()).collect::<Vec<_>>()))
}

fn of_kind(pieces: &[Piece<'_>], kind: Kind) -> String {
    let parts: Vec<String> =
        pieces.iter().filter(|piece| piece.kind == kind).map(|piece| trimmed(&piece.lines)).collect();
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n\n")
}

/// The lines without empty ones at their ends.
fn trimmed(lines: &[&str]) -> String {
    lines.join("\n").trim_matches('\n').trim_end().to_owned()
}

/// A page that is one quote is read as if it were none.
fn unmarked(text: &str, body: Body) -> String {
    match body {
        Body::Plain => text.trim().to_owned(),
        Body::Html => {
            let lines: Vec<&str> = text.lines().map(|line| line.trim_start_matches(['>', ' '])).collect();
            lines.join("\n").trim().to_owned()
        }
    }
}

fn cut(text: &mut String, max_bytes: usize) {
    text.truncate(text.floor_char_boundary(max_bytes));
}

#[cfg(test)]
mod tests;
