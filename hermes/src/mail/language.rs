//! Which language the author reads: what their mail program states, else what their words look like.

use common::domain::language::Language;
use whatlang::{Detector, Lang};

use super::instruction::unsigned;
use super::parse::ParsedMail;
use super::trace::{Stage, Trace};

/// Fewer letters say too little.
const MIN_LETTERS: usize = 12;
/// Surer than this is sure enough among four languages.
const MIN_CONFIDENCE: f64 = 0.6;

/// The language of a mail with these new words; what it quotes counts where they are too few. None when nothing says.
pub fn language(mail: &ParsedMail, new: &str, quoted: Option<&str>, trace: &mut Trace) -> Option<Language> {
    let stated =
        mail.header("content-language").flat_map(|value| value.split(',')).find_map(Language::of_tag);
    let found = stated
        .or_else(|| detect(new))
        .or_else(|| detect(&format!("{} {new}", mail.subject)))
        .or_else(|| quoted.map(unsigned).and_then(detect));
    if let Some(language) = found {
        trace.note(Stage::Instruction, format!("its language is {language}"));
    }
    found
}

fn detect(text: &str) -> Option<Language> {
    if text.chars().filter(|c| c.is_alphabetic()).count() < MIN_LETTERS {
        return None;
    }
    let known = vec![Lang::Eng, Lang::Deu, Lang::Fra, Lang::Spa];
    let found = Detector::with_allowlist(known).detect(text)?;
    if found.confidence() < MIN_CONFIDENCE {
        return None;
    }
    match found.lang() {
        Lang::Eng => Some(Language::En),
        Lang::Deu => Some(Language::De),
        Lang::Fra => Some(Language::Fr),
        Lang::Spa => Some(Language::Es),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(header: &str, new: &str, quoted: Option<&str>) -> Option<Language> {
        let raw = format!("From: a@b.c\r\n{header}Subject: x\r\n\r\n{new}");
        let mail = crate::mail::read(raw.as_bytes()).unwrap();
        language(&mail, new, quoted, &mut Trace::default())
    }

    #[test]
    fn sentences_tell_their_language() {
        for (text, wanted) in [
            ("Please change the opening hours on the home page to 9 to 17, and add the photo.", Language::En),
            (
                "Bitte ändern Sie die Öffnungszeiten auf der Startseite, wir haben jetzt bis 18 Uhr offen.",
                Language::De,
            ),
            ("Merci de changer les horaires sur la page d'accueil, nous ouvrons à 9 heures.", Language::Fr),
            ("Por favor, cambie el horario de la página principal, ahora abrimos a las nueve.", Language::Es),
        ] {
            assert_eq!(of("", text, None), Some(wanted), "{text}");
        }
    }

    #[test]
    fn a_few_letters_tell_nothing_but_what_they_answer_may() {
        assert_eq!(of("", "ok", None), None);
        let ours =
            "Ihre Website wurde geändert. Stimmt etwas noch nicht? Antworten Sie einfach auf diese Mail.";
        assert_eq!(of("", "9 Uhr", Some(ours)), Some(Language::De));
    }

    #[test]
    fn what_the_mail_states_counts_first() {
        assert_eq!(
            of("Content-Language: fr-CH\r\n", "Please change the opening hours.", None),
            Some(Language::Fr)
        );
        assert_eq!(of("Content-Language: nl\r\n", "ok", None), None);
    }
}
