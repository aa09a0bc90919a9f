//! Mails that no person wrote, those that only look so, and conversations.

use std::fmt::Write as _;
use std::path::Path;

use super::{Dice, Language, PEOPLE};

/// A mail and what wrote it.
pub(super) struct Machine {
    pub(super) class: &'static str,
    pub(super) raw: String,
}

/// How Exchange begins the subject of a note of absence, and how a person may say the like.
const ABSENCES: [(&str, &str); 22] = [
    ("en", "Automatic reply: "),
    ("de", "Automatische Antwort: "),
    ("fr", "Réponse automatique : "),
    ("es", "Respuesta automática: "),
    ("it", "Risposta automatica: "),
    ("pt", "Resposta automática: "),
    ("nl", "Automatisch antwoord: "),
    ("sv", "Automatiskt svar: "),
    ("da", "Automatisk svar: "),
    ("nb", "Automatisk svar: "),
    ("fi", "Automaattinen vastaus: "),
    ("pl", "Odpowiedź automatyczna: "),
    ("cs", "Automatická odpověď: "),
    ("hu", "Automatikus válasz: "),
    ("ro", "Răspuns automat: "),
    ("tr", "Otomatik yanıt: "),
    ("el", "Αυτόματη απάντηση: "),
    ("ru", "Автоматический ответ: "),
    ("uk", "Автоматична відповідь: "),
    ("ja", "自動応答: "),
    ("zh", "自动答复: "),
    ("ko", "자동 회신: "),
];

/// Some of a language.
pub(super) fn mails(name: &str, language: &Language, dice: &mut Dice) -> Vec<Machine> {
    let (person, address) = *dice.one(&PEOPLE);
    let say = language.one("say", dice).unwrap_or_default();
    let mail = |class, fields: &str, subject: &str| Machine {
        class,
        raw: format!(
            "From: \"{person}\" <{address}>\r\nTo: edit@hermes.localhost\r\nSubject: {subject}\r\nDate: Tue, 03 Mar 2026 10:12:13 +0100\r\nMessage-ID: <{}@made.example>\r\n{fields}Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n{say}\r\n",
            subject.len()
        ),
    };
    let absence = ABSENCES.iter().find(|(known, _)| *known == name).map_or("", |(_, text)| *text);
    let plain = absence.trim_end_matches([' ', ':']);
    vec![
        mail(
            "auto-reply",
            "X-Auto-Response-Suppress: All\r\nAuto-Submitted: auto-generated\r\n",
            &format!("{absence}Menu"),
        ),
        mail("auto-reply", "", &format!("{absence}Menu")),
        mail("auto-reply", "Auto-Submitted: auto-replied (vacation)\r\n", "Re: Menu"),
        mail("auto-reply", "Precedence: bulk\r\nX-Autoreply: yes\r\n", "Re: Menu"),
        mail("list", "List-Id: <news.made.example>\r\nPrecedence: list\r\n", "Menu"),
        mail("bounce", "Return-Path: <>\r\nX-Failed-Recipients: hermes@localhost\r\n", "Menu"),
        mail("normal", "", "Menu"),
        mail(
            "normal",
            "X-Auto-Response-Suppress: DR, OOF, AutoReply\r\nReturn-Path: <x@made.example>\r\n",
            "Re: Menu",
        ),
        mail("normal", "Auto-Submitted: no\r\nX-Priority: 1\r\n", &format!("Re: {plain}")),
    ]
}

/// The header fields that refer to these mails.
type Refer = fn(&[String]) -> String;

/// How programs refer to the mails before: the first, those between, the last.
const REFERRING: [(&str, Refer); 7] = [
    ("whole", |ids| format!("In-Reply-To: {}\r\nReferences: {}\r\n", ids[ids.len() - 1], ids.join("\r\n "))),
    ("last", |ids| format!("In-Reply-To: {}\r\n", ids[ids.len() - 1])),
    ("references", |ids| format!("References: {}\r\n", ids.join(" "))),
    ("first-and-last", |ids| format!("References: {} {}\r\n", ids[0], ids[ids.len() - 1])),
    ("prose", |ids| format!("In-Reply-To: \"Bob's message of Tue, 3 Mar 2026\" {}\r\n", ids[ids.len() - 1])),
    ("comment", |ids| format!("In-Reply-To: {} (Bob, Tue)\r\n", ids[ids.len() - 1])),
    ("bare", |ids| format!("In-Reply-To: {}\r\n", ids[ids.len() - 1].trim_matches(['<', '>']))),
];

/// Two conversations of each kind with one subject.
pub(super) fn conversations(folder: &Path) -> anyhow::Result<()> {
    let mut sets = "set\tscore\n".to_owned();
    for (name, refer) in REFERRING {
        let own = folder.join(name);
        std::fs::create_dir_all(&own)?;
        let (mut messages, mut pairs) = ("file\tthread\n".to_owned(), "a\tb\texpected\n".to_owned());
        for talk in ["a", "b"] {
            let mut ids: Vec<String> = Vec::new();
            for number in 0..5 {
                let (person, address) = PEOPLE[7 + number % 2];
                let id = format!("<{talk}{number}.{name}@made.example>");
                let fields = if ids.is_empty() { String::new() } else { refer(&ids) };
                let raw = format!(
                    "From: \"{person}\" <{address}>\r\nTo: edit@hermes.localhost\r\nSubject: Re: Menu\r\nDate: Tue, 03 Mar 2026 10:1{number}:13 +0100\r\nMessage-ID: {id}\r\n{fields}\r\nno {number}\r\n"
                );
                std::fs::write(own.join(format!("{talk}{number}.eml")), raw)?;
                writeln!(messages, "{talk}{number}.eml\t{talk}")?;
                if number > 0 {
                    writeln!(pairs, "{talk}0\t{talk}{number}\tsame")?;
                    writeln!(pairs, "a0\tb{number}\tdifferent")?;
                }
                ids.push(id);
            }
        }
        std::fs::write(own.join("messages.tsv"), messages)?;
        std::fs::write(own.join("pairs.tsv"), pairs)?;
        writeln!(sets, "{name}\tyes")?;
    }
    std::fs::write(folder.join("manifest.tsv"), sets)?;
    Ok(())
}
