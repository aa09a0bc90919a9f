//! Which language the author reads: what their words look like when they are enough to tell, else what their mail program
//! states, which often is only the language that it was set up in.

use common::domain::language::Language;
use whatlang::{Detector, Lang};

use super::instruction::unsigned;
use super::parse::ParsedMail;
use super::trace::{Stage, Trace};

/// Fewer letters say too little.
const MIN_LETTERS: usize = 12;
/// So many say more than the mail program does.
const MANY_LETTERS: usize = 20;
/// Longer texts tell no more.
const MAX_READ_BYTES: usize = 8 * 1024;
/// Surer than this is sure enough among four languages.
const MIN_CONFIDENCE: f64 = 0.6;
/// What we write.
const OURS: [Lang; 4] = [Lang::Eng, Lang::Deu, Lang::Fra, Lang::Spa];
/// What is near to it, and would be taken for it.
const NEAR: [Lang; 14] = [
    Lang::Ita,
    Lang::Por,
    Lang::Nld,
    Lang::Swe,
    Lang::Dan,
    Lang::Nob,
    Lang::Pol,
    Lang::Cat,
    Lang::Ron,
    Lang::Ces,
    Lang::Hun,
    Lang::Fin,
    Lang::Tur,
    Lang::Hrv,
];

/// The language of a mail with these new words; what it quotes counts where they are too few. None when nothing says.
pub fn language(mail: &ParsedMail, new: &str, quoted: Option<&str>, trace: &mut Trace) -> Option<Language> {
    let stated =
        || mail.header("content-language").flat_map(|value| value.split(',')).find_map(Language::of_tag);
    let found = detect(new, MANY_LETTERS)
        .or_else(stated)
        .or_else(|| detect(new, MIN_LETTERS))
        .or_else(|| detect(&format!("{} {new}", mail.subject), MIN_LETTERS))
        .or_else(|| quoted.and_then(|text| detect(unsigned(text), MIN_LETTERS)));
    if let Some(language) = found {
        trace.note(Stage::Instruction, format!("its language is {language}"));
    }
    found
}

/// The one of our languages that a text of at least so many letters surely is in: the likeliest of many, and far likelier than
/// the others of ours.
fn detect(text: &str, min_letters: usize) -> Option<Language> {
    let text = &text[..text.floor_char_boundary(MAX_READ_BYTES)];
    if text.chars().filter(|c| c.is_alphabetic()).count() < min_letters {
        return None;
    }
    let likeliest = Detector::with_allowlist([&OURS[..], &NEAR].concat()).detect(text)?.lang();
    let language = ours(likeliest)?;
    let among_ours = Detector::with_allowlist(OURS.to_vec()).detect(text)?;
    (among_ours.lang() == likeliest && among_ours.confidence() >= MIN_CONFIDENCE).then_some(language)
}

fn ours(found: Lang) -> Option<Language> {
    match found {
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
    fn what_the_mail_states_counts_where_its_words_are_few() {
        let stated = |tag: &str, new: &str| of(&format!("Content-Language: {tag}\r\n"), new, None);
        let order = "Bitte ändern Sie die Öffnungszeiten auf der Startseite.";
        assert_eq!(stated("en-US", order), Some(Language::De));
        assert_eq!(stated("fr-CH", "Photo: 2"), Some(Language::Fr));
        assert_eq!(stated("de-AT", "Logo, Tel. 0664"), Some(Language::De));
        assert_eq!(stated("nl", "ok"), None);
    }

    #[test]
    fn a_language_that_is_near_to_one_of_ours_is_not_taken_for_it() {
        for text in [
            "Buongiorno, può cambiare l'orario di apertura? Da lunedì siamo aperti fino alle sette. Grazie",
            "Bom dia, pode alterar o horário de abertura na página principal? Muito obrigado",
            "Kunt u de openingstijden veranderen? Wij zijn voortaan op maandag gesloten. Bedankt",
            "Kan du ändra öppettiderna på startsidan? Tack så mycket",
            "Lütfen çalışma saatlerini değiştirin, pazartesi günü kapalıyız.",
        ] {
            assert_eq!(of("", text, None), None, "{text}");
        }
        for (text, wanted) in [
            ("Cambie el título por favor, es demasiado largo", Language::Es),
            ("Peux-tu assombrir l'image du haut ?", Language::Fr),
            ("Geht das Bild oben etwas dunkler?", Language::De),
        ] {
            assert_eq!(of("", text, None), Some(wanted), "{text}");
        }
    }
}
