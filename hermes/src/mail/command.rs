//! Mails that are one word of command: `stop`, `publish`, `undo`, `status`, `help`, in the owner's language, as the whole
//! text or, without text, as the whole subject. Anything more is an instruction. So is what somebody sends files with, unless the
//! text itself says `stop` or `undo`, or `publish` without a word that may mean the files: a command takes no files along.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::instruction::Words;
use super::parse::ParsedMail;
use super::words::{phrases, words};

const TABLE: &str = include_str!("words/commands.txt");
/// Longer texts are instructions, whatever they say.
const MAX_COMMAND_BYTES: usize = 300;

/// What a mail of one word wants done, without a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MailCommand {
    /// The running job of this conversation ends; what it did so far is kept.
    Stop,
    /// What the preview shows goes live.
    Publish,
    /// The live site becomes what it was before.
    Undo,
    /// What is going on.
    Status,
    /// What can be written.
    Help,
}

impl MailCommand {
    const ALL: [Self; 5] = [Self::Stop, Self::Publish, Self::Undo, Self::Status, Self::Help];

    /// The word in English.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Publish => "publish",
            Self::Undo => "undo",
            Self::Status => "status",
            Self::Help => "help",
        }
    }
}

/// What each phrase of the table means.
static PHRASES: LazyLock<HashMap<String, MailCommand>> = LazyLock::new(|| {
    let of = |command: MailCommand| phrases(TABLE, command.as_str()).map(move |phrase| (phrase, command));
    MailCommand::ALL.into_iter().flat_map(of).collect()
});

/// Words that change nothing about what is wanted.
static COURTESIES: LazyLock<HashSet<String>> = LazyLock::new(|| phrases(TABLE, "courtesy").collect());

/// Words that say that all is well, beside `publish` alone: "great progress" asks for nothing.
static PRAISE: LazyLock<HashSet<String>> = LazyLock::new(|| phrases(TABLE, "praise").collect());

/// What may mean a file that came along.
static POINTING: LazyLock<HashSet<String>> = LazyLock::new(|| phrases(TABLE, "pointing").collect());

/// The command of a mail whose words are these.
pub fn command(mail: &ParsedMail, said: &Words) -> Option<MailCommand> {
    let name = words(mail.author_name.as_deref().unwrap_or_default());
    let with_files = mail.attachments.iter().any(|file| file.is_meant);
    let is_meant =
        |command: &MailCommand| !with_files || !said.are_subject && is_without_files(*command, &said.new);
    phrase(&said.new, &name).filter(is_meant)
}

/// Whether a command is meant even where files came along.
fn is_without_files(command: MailCommand, text: &str) -> bool {
    match command {
        MailCommand::Stop | MailCommand::Undo => true,
        MailCommand::Publish => !words(text).iter().any(|word| POINTING.contains(word)),
        MailCommand::Status | MailCommand::Help => false,
    }
}

/// Whether a text is a command by itself.
pub(super) fn is_phrase(text: &str) -> bool {
    phrase(text, &[]).is_some()
}

fn phrase(text: &str, name: &[String]) -> Option<MailCommand> {
    if text.len() > MAX_COMMAND_BYTES {
        return None;
    }
    let all = words(text);
    let is = |said: &[String]| PHRASES.get(&said.join(" ")).copied();
    let courteous = |word: &String| COURTESIES.contains(word.as_str()) || name.contains(word);
    let meant: Vec<String> = all.iter().filter(|word| !courteous(word)).cloned().collect();
    let asks = text.contains(['?', '？', '¿']);
    let publishes = |said: &[String]| is(said).filter(|command| *command == MailCommand::Publish && !asks);
    is(&all)
        .or_else(|| is(&meant))
        .or_else(|| publishes(unpraised(&meant, courteous)))
        .or_else(|| publishes(unpraised(&all, courteous)))
}

/// What stands before a word that says how something is.
const TELLING: [&str; 9] = ["is", "ist", "est", "esta", "es", "das", "bien", "all", "alles"];

/// These words without those of praise and courtesy before them, and of courtesy behind them.
fn unpraised(words: &[String], courteous: impl Fn(&String) -> bool) -> &[String] {
    let is_besides = |word: &&String| PRAISE.contains(word.as_str()) || courteous(word);
    let from = words.iter().take_while(is_besides).count();
    let behind = words[from..].iter().rev().take_while(|word| courteous(word)).count();
    let said = &words[from..words.len() - behind];
    // "C'est publié" says that it is.
    let tells = words[..from].last().is_some_and(|word| TELLING.contains(&word.as_str()));
    if tells { &[] } else { said }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(subject: &str, text: &str) -> Option<MailCommand> {
        let raw = format!(
            "From: Scott Miller <a@b.c>\r\nSubject: {subject}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n"
        );
        of_raw(&raw)
    }

    fn of_raw(raw: &str) -> Option<MailCommand> {
        let mail = crate::mail::read(raw.as_bytes()).unwrap();
        let said = crate::mail::instruction::instruction(&mail, &mut crate::mail::trace::Trace::default());
        command(&mail, &said)
    }

    #[test]
    fn one_word_is_a_command_in_the_owners_language() {
        for (word, wanted) in [
            ("stop", MailCommand::Stop),
            ("Stop!", MailCommand::Stop),
            ("Bitte abbrechen.", MailCommand::Stop),
            ("Arrêtez, s'il vous plaît", MailCommand::Stop),
            ("Para, por favor", MailCommand::Stop),
            ("publish", MailCommand::Publish),
            ("Yes, publish it please.\n\nThanks,\nScott", MailCommand::Publish),
            ("Veröffentlichen", MailCommand::Publish),
            ("Mettre en ligne", MailCommand::Publish),
            ("¡Publícalo!", MailCommand::Publish),
            ("Pubblica", MailCommand::Publish),
            ("Publiceren graag".trim_end_matches(" graag"), MailCommand::Publish),
            ("Publique", MailCommand::Publish),
            ("undo", MailCommand::Undo),
            ("Rückgängig machen", MailCommand::Undo),
            ("Deshacer", MailCommand::Undo),
            ("Ongedaan maken aub", MailCommand::Undo),
            ("Desfazer", MailCommand::Undo),
            ("Status?", MailCommand::Status),
            ("Hilfe", MailCommand::Help),
            ("Looks good, publish it!", MailCommand::Publish),
            ("Perfekt, bitte veröffentlichen", MailCommand::Publish),
            ("Das passt so. Bitte stellen Sie es online.", MailCommand::Publish),
            ("Moin, gerne freigeben. LG", MailCommand::Publish),
            ("Parfait, vous pouvez publier", MailCommand::Publish),
            ("Va bene, pubblica pure", MailCommand::Publish),
            ("Graag publiceren", MailCommand::Publish),
            ("Pode publicar, obrigado", MailCommand::Publish),
            ("Bitte die letzte Änderung rückgängig machen", MailCommand::Undo),
            ("Annulla l'ultima modifica", MailCommand::Undo),
            ("Stoppen a.u.b.", MailCommand::Stop),
            ("Aiuto!", MailCommand::Help),
        ] {
            assert_eq!(of("Re: Hours", word), Some(wanted), "{word}");
        }
    }

    #[test]
    fn a_sentence_is_an_instruction() {
        for text in [
            "don't publish",
            "please do not stop",
            "Publish the new opening hours",
            "stop showing the old banner",
            "undo the blue header and make it red",
            "help page: add a phone number",
            "Scott",
            "",
            "thanks",
            "Great progress!",
            "Looks good",
            "Perfect, stop",
            "That is a good state",
            "Not good, do not publish",
            "Looks good, but do not publish yet",
            "Publish? It looks great, but wait for Anna",
            "Everything is good, publish the menu",
            "Morgen veröffentlichen",
            "Bitte morgen rückgängig machen",
            "C'est publié, merci !",
            "C'est bien publié ?",
            "Esta publica, gracias",
            "Looks good, publish?",
            "So kann veröffentlicht werden?",
        ] {
            assert_eq!(of("Re: Hours", text), None, "{text}");
        }
    }

    #[test]
    fn a_subject_alone_commands_only_when_it_was_written_for_this_mail() {
        assert_eq!(of("stop", ""), Some(MailCommand::Stop));
        assert_eq!(of("Bitte veröffentlichen", " \r\n"), Some(MailCommand::Publish));
        assert_eq!(of("Re: publish", ""), None);
        assert_eq!(of("publish", "only when the menu is done"), None);
    }

    /// The command of a mail with this subject and text, and one part of these fields and so many bytes.
    fn with_part(subject: &str, text: &str, fields: &str, size: usize) -> Option<MailCommand> {
        let head = format!("From: a@b.c\r\nSubject: {subject}\r\nContent-Type: multipart/mixed; boundary=x");
        let part = "a".repeat(size);
        of_raw(&format!("{head}\r\n\r\n--x\r\n\r\n{text}\r\n--x\r\n{fields}\r\n\r\n{part}\r\n--x--"))
    }

    #[test]
    fn what_somebody_sends_a_photo_with_is_no_command_unless_the_text_says_one_by_itself() {
        let photo = "Content-Type: image/jpeg\r\nContent-Disposition: attachment; filename=a.jpg";
        for (subject, text, wanted) in [
            ("Stand", "", None),
            ("Progress", "Best regards\r\nAnna", None),
            ("publish", "", None),
            ("Re: x", "Publish this", None),
            ("Re: x", "Please put it online. Publish it", None),
            ("Re: x", "Help", None),
            ("Re: x", "Status?", None),
            ("Re: x", "Publish, please", Some(MailCommand::Publish)),
            ("Re: x", "Veröffentlichen", Some(MailCommand::Publish)),
            ("Re: x", "Stop it", Some(MailCommand::Stop)),
            ("Re: x", "Undo", Some(MailCommand::Undo)),
            ("Stop", "Stop", Some(MailCommand::Stop)),
            ("publish", "publish", Some(MailCommand::Publish)),
        ] {
            assert_eq!(with_part(subject, text, photo, 100), wanted, "{subject} {text}");
        }
    }

    #[test]
    fn what_belongs_to_a_signature_is_no_file_that_somebody_sends() {
        let logo = "Content-Type: image/png\r\nContent-ID: <1@b.c>";
        for fields in [
            logo,
            "Content-Type: image/png\r\nContent-Disposition: inline",
            "Content-Type: text/vcard\r\nContent-Disposition: attachment; filename=a.vcf",
            "Content-Type: application/pgp-signature",
            "Content-Type: application/pgp-keys; name=key.asc\r\nContent-Disposition: attachment",
            "Content-Type: application/octet-stream; name=image001.png\r\nContent-ID: <1@b.c>",
            "Content-Type: text/plain; name=ATT00001.txt\r\nContent-Disposition: attachment",
            "Content-Type: text/html; name=\"ATT00002.htm\"\r\nContent-Disposition: attachment",
        ] {
            assert_eq!(
                with_part("Re: x", "Publish it", fields, 9000),
                Some(MailCommand::Publish),
                "{fields}"
            );
            assert_eq!(with_part("Status", "", fields, 9000), Some(MailCommand::Status), "{fields}");
        }
        assert_eq!(with_part("Re: x", "Publish it", logo, 90_000), None, "a photo within the text");
        for file in [
            "text/plain; name=ATTENDEES.txt",
            "text/plain; name=ATT1.txt",
            "application/octet-stream; name=a.png",
        ] {
            let fields = format!("Content-Type: {file}\r\nContent-Disposition: attachment");
            assert_eq!(with_part("Re: x", "Publish it", &fields, 100), None, "{file}");
        }
    }

    #[test]
    fn no_phrase_means_two_things() {
        let all: Vec<_> = MailCommand::ALL
            .into_iter()
            .flat_map(|command| phrases(TABLE, command.as_str()))
            .chain(phrases(TABLE, "courtesy"))
            .collect();
        assert!(all.len() > 300);
        for phrase in &all {
            assert_eq!(all.iter().filter(|other| other == &phrase).count(), 1, "{phrase}");
            assert_eq!(words(phrase).join(" "), *phrase, "phrases are written as they are compared");
        }
    }
}
