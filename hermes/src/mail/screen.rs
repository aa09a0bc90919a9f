//! Whether a person wrote it. Mails of machines (bounces, out-of-office notes, lists, our own mail coming back) are recorded
//! and never answered, so that two machines cannot talk to each other for ever.

use common::domain::ids::EmailAddress;
use common::domain::outcome::MailEnding;

use super::parse::{Author, ParsedMail};
use super::trace::{Stage, Trace};

/// Lets mails of people pass.
pub fn screen(mail: &ParsedMail, own: &EmailAddress, trace: &mut Trace) -> Result<(), MailEnding> {
    if let Some(reason) = automatic(mail, own) {
        trace.note(Stage::Screen, format!("a machine wrote it: {reason}"));
        return Err(MailEnding::Automatic);
    }
    trace.note(Stage::Screen, "nothing says that a machine wrote it");
    Ok(())
}

fn automatic(mail: &ParsedMail, own: &EmailAddress) -> Option<String> {
    let has = |name: &'static str| mail.header(name).next().is_some();
    if let Some(value) = mail.header("auto-submitted").find(|value| marks_automatic(value)) {
        return Some(format!("Auto-Submitted: {value} (RFC 3834)"));
    }
    if mail.header("return-path").any(|path| path == "<>") {
        return Some("its return path is empty, as of a bounce (RFC 5321, section 4.5.5)".into());
    }
    if mail.header("content-type").any(|kind| kind.to_ascii_lowercase().starts_with("multipart/report")) {
        return Some("it is a report (RFC 6522)".into());
    }
    if has("list-id") {
        return Some("it came over a mailing list (RFC 2919)".into());
    }
    if has("x-autoreply") || has("x-autorespond") {
        return Some("it is marked as an automatic reply".into());
    }
    if mail.header("precedence").any(|value| is_one_of(value, &["auto_reply", "bulk", "junk", "list"])) {
        return Some("its precedence is that of bulk mail".into());
    }
    match &mail.author {
        Author::One(address) if address == own => Some("it is our own mail coming back".into()),
        Author::One(address) if is_one_of(address.local(), &["mailer-daemon", "postmaster"]) => {
            Some(format!("{address} is not a person"))
        }
        Author::One(_) | Author::Absent | Author::Unclear(_) => None,
    }
}

/// Every value but `no` and `auto-forwarded` marks a mail that no person sent (RFC 3834, section 5).
fn marks_automatic(value: &str) -> bool {
    let keyword = value.split([';', ' ', '(']).next().unwrap_or_default();
    !keyword.is_empty() && !is_one_of(keyword, &["no", "auto-forwarded"])
}

fn is_one_of(value: &str, words: &[&str]) -> bool {
    words.iter().any(|word| value.trim().eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn screened(header: &str) -> Result<(), MailEnding> {
        let raw = format!("{header}\r\nSubject: x\r\n\r\nhello");
        let own = EmailAddress::parse("hermes@localhost").unwrap();
        screen(&crate::mail::read(raw.as_bytes()).unwrap(), &own, &mut Trace::default())
    }

    #[test]
    fn mails_of_machines_stop_here() {
        for header in [
            "From: a@b.c\r\nAuto-Submitted: auto-replied",
            "From: a@b.c\r\nAuto-Submitted: auto-generated; x=y",
            "From: a@b.c\r\nReturn-Path: <>",
            "From: MAILER-DAEMON@b.c",
            "From: a@b.c\r\nList-Id: <list.b.c>",
            "From: a@b.c\r\nPrecedence: bulk",
            "From: a@b.c\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=x",
            "From: Hermes <hermes@localhost>",
        ] {
            assert_eq!(screened(header), Err(MailEnding::Automatic), "{header}");
        }
    }

    #[test]
    fn mails_of_people_pass() {
        for header in [
            "From: a@b.c",
            "From: a@b.c\r\nAuto-Submitted: no",
            "From: a@b.c\r\nAuto-Submitted: auto-forwarded",
            "From: a@b.c\r\nX-Auto-Response-Suppress: All",
            "From: a@b.c\r\nReturn-Path: <a@b.c>",
        ] {
            assert_eq!(screened(header), Ok(()), "{header}");
        }
    }
}
