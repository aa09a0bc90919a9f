//! What came along with a mail, as files for the site: each with a type from its first bytes and a safe name; programs and
//! what is too large are left out, and the reason is told. Pure.

use std::borrow::Cow;

use common::domain::left_out::{LeftOut, LeftOutReason};
use common::domain::text;
use infer::MatcherType;
use mail_parser::{ContentType, Message, MessagePart, MimeHeaders, PartType};

use super::body;
use super::charset;
use super::html::{self, Picture};
use super::parse::{PARSER, ParsedMail};
use super::tnef;
use super::trace::{Stage, Trace};

/// The largest file that is taken.
pub const MAX_FILE_BYTES: usize = 25 * 1024 * 1024;
/// The most files of one mail.
pub const MAX_FILES: usize = 20;
const MAX_STEM_CHARS: usize = 50;
/// A picture below a signature is no larger.
pub(super) const MAX_LOGO_BYTES: usize = 40 * 1024;
/// Of the name of a file that is left out.
const MAX_TOLD_CHARS: usize = 80;

/// Endings of programs, whatever is in them.
const PROGRAMS: &str =
    "apk app bat bin cmd com cpl deb dll dmg exe hta jar jse lnk msi pif ps1 reg rpm run scr sh vbe vbs wsf";

/// Types that are parts of a mail's make-up, not files that somebody sent.
const MAKE_UP: [&str; 4] = [
    "application/pgp-signature",
    "application/pgp-encrypted",
    "application/pkcs7-signature",
    "application/x-pkcs7-signature",
];

/// What mail programs add to a signature, or to an invitation.
const CARDS: [&str; 5] =
    ["text/vcard", "text/x-vcard", "text/directory", "text/calendar", "application/pgp-keys"];

/// Pictures that are made anew, or in which cameras write nothing. The rest could tell where it was taken.
const TAKEN: [&str; 6] =
    ["image/jpeg", "image/png", "image/webp", "image/gif", "image/bmp", "image/vnd.microsoft.icon"];

/// A file that may go to the site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// A safe name; its ending fits the type.
    pub name: String,
    /// The media type.
    pub mime_type: String,
    /// Whether it is to be made anew as a picture.
    pub kind: Kind,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// What is done with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Kept as it is.
    Plain,
    /// A photo or drawing: made anew, so that nothing but its pixels stays.
    Picture,
}

/// Notes in the trace what came along; what is handed on is said when the mail becomes work.
pub fn note(mail: &ParsedMail, trace: &mut Trace) {
    for file in mail.attachments.iter().take(MAX_FILES) {
        let name = file.name.as_deref().unwrap_or("a file without a name");
        trace.note(Stage::Attachment, format!("{name} came along ({} bytes)", file.size_bytes));
    }
}

/// The files of a mail, and those that are left out: no more of them than a mail may bring.
pub fn files(raw: &[u8]) -> (Vec<File>, Vec<LeftOut>) {
    let Some(message) = PARSER.parse(raw) else { return (Vec::new(), Vec::new()) };
    let (mut taken, mut left_out) = (Vec::new(), Vec::new());
    for (at, part) in body::files(&message).enumerate() {
        let packed = is_packed(part);
        if is_make_up(part) {
            continue;
        }
        let is_mail = matches!(part.body, PartType::Message(_));
        let name =
            text::one_line(part.attachment_name().unwrap_or(if is_mail { "mail.eml" } else { "file" }));
        let found = match at {
            MAX_FILES.. => Err(LeftOutReason::TooMany),
            _ if packed => Err(LeftOutReason::OutlookPack),
            _ => file(&name, &contents(&message, part)),
        };
        match found {
            Ok(file) => taken.push(file),
            Err(reason) => left_out.push(leave_out(&name, reason)),
        }
        if left_out.len() == MAX_FILES {
            break;
        }
    }
    for picture in embedded(&message) {
        let is_full = taken.len() + left_out.len() >= MAX_FILES;
        let found = if is_full { Err(LeftOutReason::TooMany) } else { embedded_file(&picture.bytes) };
        match found {
            Ok(file) => taken.push(file),
            Err(reason) if left_out.len() < MAX_FILES => left_out.push(leave_out("picture", reason)),
            Err(_) => break,
        }
    }
    (taken, left_out)
}

/// The pictures that stand within the pages of a mail, and one more than it may bring at most.
pub(super) fn embedded(message: &Message<'_>) -> Vec<Picture> {
    let parts = message.html_body.iter().filter_map(|id| message.parts.get(*id as usize));
    let pages =
        parts.filter_map(|part| if let PartType::Html(html) = &part.body { Some(html) } else { None });
    pages.flat_map(|html| html::pictures(html, MAX_FILES + 1)).take(MAX_FILES + 1).collect()
}

/// What is in it; text in the letters that it is written in.
fn contents<'a>(message: &'a Message<'_>, part: &'a MessagePart<'_>) -> Cow<'a, [u8]> {
    match &part.body {
        PartType::Text(text) | PartType::Html(text) => match charset::text(message, part, text) {
            Cow::Borrowed(text) => text.as_bytes().into(),
            Cow::Owned(text) => text.into_bytes().into(),
        },
        _ => part.contents().into(),
    }
}

fn embedded_file(bytes: &[u8]) -> Result<File, LeftOutReason> {
    if bytes.is_empty() { Err(LeftOutReason::Unreadable) } else { file("picture", bytes) }
}

fn stated(part: &MessagePart<'_>) -> Option<String> {
    let kind = part.content_type()?;
    Some(format!("{}/{}", kind.ctype(), kind.subtype().unwrap_or_default()).to_ascii_lowercase())
}

/// Whether Outlook packed it.
fn is_packed(part: &MessagePart<'_>) -> bool {
    stated(part).as_deref().is_some_and(tnef::is_type) || tnef::begins(part.contents())
}

/// Whether it is no file that somebody sent.
fn is_make_up(part: &MessagePart<'_>) -> bool {
    stated(part).is_some_and(|stated| MAKE_UP.contains(&stated.as_str()))
        || is_packed(part) && !tnef::may_hold_files(part.contents())
}

/// Whether somebody meant to send it: it is neither of a mail's make-up nor of a signature, as cards are, small pictures that
/// a text shows, and texts that a server took out of it.
pub(super) fn is_meant(part: &MessagePart<'_>) -> bool {
    let is_card = || stated(part).is_some_and(|stated| CARDS.contains(&stated.as_str()));
    !is_make_up(part) && !is_card() && !is_logo(part) && !is_cut_out(part)
}

fn is_logo(part: &MessagePart<'_>) -> bool {
    let name = || part.attachment_name().unwrap_or_default();
    let is_named =
        || mime_guess::from_path(name()).iter().any(|kind| kind.type_() == mime_guess::mime::IMAGE);
    let is_picture = || match stated(part).as_deref() {
        Some("application/octet-stream") => is_named(),
        stated => stated.is_some_and(|stated| stated.starts_with("image/")),
    };
    let is_inline = || part.content_disposition().is_some_and(ContentType::is_inline);
    part.len() <= MAX_LOGO_BYTES && (part.content_id().is_some() || is_inline()) && is_picture()
}

/// Whether Exchange made a file of a piece of text, such as what a list adds below a mail: `ATT00001.txt`.
fn is_cut_out(part: &MessagePart<'_>) -> bool {
    let is_number = |digits: &str| digits.len() == 5 && digits.bytes().all(|digit| digit.is_ascii_digit());
    part.attachment_name()
        .and_then(|name| name.strip_prefix("ATT")?.split_once('.'))
        .is_some_and(|(digits, ending)| is_number(digits) && matches!(ending, "txt" | "htm" | "html"))
}

/// Says that a file stays behind, by the beginning of its name.
pub fn leave_out(name: &str, reason: LeftOutReason) -> LeftOut {
    LeftOut { name: name.chars().take(MAX_TOLD_CHARS).collect(), reason }
}

/// One file.
pub fn file(name: &str, bytes: &[u8]) -> Result<File, LeftOutReason> {
    if bytes.is_empty() {
        return Err(LeftOutReason::Empty);
    }
    if bytes.len() > MAX_FILE_BYTES {
        return Err(LeftOutReason::TooLarge);
    }
    let (stem, ending) = split(name);
    // Some pictures begin with letters alone, and so does "BMW prices".
    let found =
        infer::get(bytes).filter(|found| !(found.mime_type().starts_with("image/") && is_text(bytes)));
    if is_program(bytes, found, &ending) {
        return Err(LeftOutReason::Program);
    }
    let picture = found.map(|found| found.mime_type()).filter(|kind| kind.starts_with("image/"));
    if picture.is_some_and(|kind| !TAKEN.contains(&kind)) {
        return Err(LeftOutReason::PictureKind);
    }
    let (mime_type, ending) = match found {
        Some(found) => by_content(found.mime_type(), found.extension(), &ending),
        None => by_name(bytes, &ending),
    };
    let kind = match mime_type.as_str() {
        "image/jpeg" | "image/png" | "image/webp" => Kind::Picture,
        _ => Kind::Plain,
    };
    Ok(File { name: format!("{stem}.{ending}"), mime_type, kind, bytes: bytes.to_vec() })
}

fn is_program(bytes: &[u8], found: Option<infer::Type>, ending: &str) -> bool {
    PROGRAMS.split(' ').any(|program| program == ending)
        || bytes.starts_with(b"#!")
        || bytes.starts_with(b"MZ")
        || bytes.starts_with(b"\x7fELF")
        || found.is_some_and(|found| found.matcher_type() == MatcherType::App)
}

/// The content decides; a name may say more about it than the first bytes do (a document in a ZIP).
fn by_content(mime_type: &str, usual: &str, ending: &str) -> (String, String) {
    let named = mime_guess::from_ext(ending);
    let is_container = matches!(mime_type, "application/zip" | "text/xml" | "application/xml");
    match named.first_raw() {
        Some(narrower) if is_container && !narrower.starts_with("image/j") => {
            (narrower.to_owned(), ending.to_owned())
        }
        Some(_) if named.iter_raw().any(|kind| kind == mime_type) => {
            (mime_type.to_owned(), ending.to_owned())
        }
        _ => (mime_type.to_owned(), usual.to_owned()),
    }
}

/// Text is what its name says it is; bytes without any known beginning are only bytes.
fn by_name(bytes: &[u8], ending: &str) -> (String, String) {
    let named = mime_guess::from_ext(ending).first_raw().filter(|named| {
        named.starts_with("text/")
            || matches!(*named, "application/json" | "image/svg+xml" | "application/xml" | "message/rfc822")
    });
    match (is_text(bytes), named) {
        (true, Some(named)) => (named.to_owned(), ending.to_owned()),
        (true, None) => ("text/plain".to_owned(), "txt".to_owned()),
        (false, _) => ("application/octet-stream".to_owned(), "dat".to_owned()),
    }
}

fn is_text(bytes: &[u8]) -> bool {
    let strange = |c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{c}');
    std::str::from_utf8(bytes).is_ok_and(|text| !text.contains(strange))
}

/// The name without folders in two: letters and digits of any script, `-` and `_` for the first, the ending in lower case
/// for the second.
fn split(name: &str) -> (String, String) {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default().trim();
    let (stem, ending) = last.rsplit_once('.').unwrap_or((last, ""));
    let ending: String = ending.chars().filter(char::is_ascii_alphanumeric).take(8).collect();
    let mut safe = String::new();
    for c in stem.chars().take(MAX_STEM_CHARS) {
        if c.is_alphanumeric() || c == '_' {
            safe.push(c);
        } else if !safe.ends_with('-') {
            safe.push('-');
        }
    }
    let safe = safe.trim_matches('-');
    (if safe.is_empty() { "file".to_owned() } else { safe.to_owned() }, ending.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
    const PDF: &[u8] = b"%PDF-1.7\n";
    const ELF: &[u8] = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0>\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    const ZIP: &[u8] = b"PK\x03\x04\x14\0\0\0\0\0";

    fn named(name: &str, bytes: &[u8]) -> (String, String) {
        let file = file(name, bytes).unwrap();
        (file.name, file.mime_type)
    }

    #[test]
    fn the_first_bytes_say_what_a_file_is() {
        let pair = |name: &str, kind: &str| (name.to_owned(), kind.to_owned());
        assert_eq!(named("Menu.PDF", PDF), pair("Menu.pdf", "application/pdf"));
        assert_eq!(named("photo.jpg", PDF), pair("photo.pdf", "application/pdf"));
        assert_eq!(named("photo.jpg", PNG), pair("photo.png", "image/png"));
        assert_eq!(named("prices.csv", b"a;b\n1;2\n"), pair("prices.csv", "text/csv"));
        assert_eq!(named("cars.csv", b"BMW;1\n"), pair("cars.csv", "text/csv"));
        assert_eq!(named("notes", b"plain words"), pair("notes.txt", "text/plain"));
        assert_eq!(named("photo.jpg", b"plain words"), pair("photo.txt", "text/plain"));
        assert_eq!(named("odd.pdf", b"\x01\x02\xff\0"), pair("odd.dat", "application/octet-stream"));
        let docx = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";
        assert_eq!(named("a.docx", ZIP), pair("a.docx", docx));
        assert_eq!(file("photo.png", PNG).unwrap().kind, Kind::Picture);
    }

    #[test]
    fn programs_are_refused_whatever_they_are_called() {
        for (name, bytes) in [
            ("photo.jpg", ELF),
            ("menu.pdf", b"MZ\x90\0\x03\0\0\0"),
            ("install", b"#!/bin/sh\nrm -rf /\n"),
            ("menu.pdf.exe", b"anything"),
            ("menu.PDF.Scr", b"anything"),
            ("a.bat", b"echo"),
            ("a.vbs", b"echo"),
        ] {
            assert_eq!(file(name, bytes).unwrap_err(), LeftOutReason::Program, "{name}");
        }
    }

    #[test]
    fn pictures_that_keep_what_cameras_write_are_left_out() {
        let heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic";
        let avif = b"\0\0\0\x18ftypavif\0\0\0\0avifmif1";
        for (name, bytes) in
            [("a.heic", &heic[..]), ("a.jpg", &avif[..]), ("a.tif", b"II*\0\x08\0\0\0\0\0\0\0")]
        {
            assert_eq!(file(name, bytes).unwrap_err(), LeftOutReason::PictureKind, "{name}");
        }
        assert_eq!(file("a.gif", b"GIF89a\x01\0\x01\0").unwrap().kind, Kind::Plain);
    }

    #[test]
    fn a_name_is_only_a_name() {
        for (name, wanted) in [
            ("../../etc/passwd", "passwd.txt"),
            ("C:\\Users\\x\\menu.txt", "menu.txt"),
            (".bashrc", "file.txt"),
            ("", "file.txt"),
            ("..", "file.txt"),
            ("Unsere Preise (neu) für März.txt", "Unsere-Preise-neu-für-März.txt"),
            ("a\u{202e}gpj.txt", "a-gpj.txt"),
            ("-rf.txt", "rf.txt"),
            ("$(reboot).txt", "reboot.txt"),
            ("a\r\nBcc: x.txt", "a-Bcc-x.txt"),
        ] {
            assert_eq!(file(name, b"words").unwrap().name, wanted, "{name:?}");
        }
        assert!(file(&"x".repeat(500), b"words").unwrap().name.len() <= 60);
    }

    #[test]
    fn pictures_within_a_page_come_along_or_are_told_of() {
        let png = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
        let page = |pictures: &str| {
            format!("From: a@b.c\r\nContent-Type: text/html\r\n\r\n<p>Put it up.</p>{pictures}")
        };
        let raw = page(&format!("<img src='{png}'><img src='data:image/png;base64,!'>"));
        let (taken, left_out) = files(raw.as_bytes());
        assert_eq!(taken.iter().map(|file| file.name.as_str()).collect::<Vec<_>>(), ["picture.png"]);
        assert_eq!(left_out, [leave_out("picture", LeftOutReason::Unreadable)]);
        assert_eq!(crate::mail::read(raw.as_bytes()).unwrap().attachments.len(), 2);
        let many = page(&format!("<img src='{png}'>").repeat(MAX_FILES + 9));
        let (taken, left_out) = files(many.as_bytes());
        assert_eq!((taken.len(), left_out), (MAX_FILES, vec![leave_out("picture", LeftOutReason::TooMany)]));
    }

    #[test]
    fn what_is_empty_or_too_large_is_left_out() {
        assert_eq!(file("a.txt", b"").unwrap_err(), LeftOutReason::Empty);
        assert_eq!(file("a.txt", &vec![b'x'; MAX_FILE_BYTES + 1]).unwrap_err(), LeftOutReason::TooLarge);
    }

    #[test]
    fn the_files_of_a_mail_come_with_reasons_for_what_is_left_out() {
        let raw = b"From: a@b.c\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: text/plain\r\n\r\nhello\r\n--x\r\nContent-Type: application/pdf; name=\"../menu.pdf\"\r\nContent-Disposition: attachment\r\nContent-Transfer-Encoding: base64\r\n\r\nJVBERi0xLjcK\r\n--x\r\nContent-Type: application/octet-stream\r\nContent-Disposition: attachment; filename=\"run.exe\"\r\n\r\nanything\r\n--x\r\nContent-Type: application/pgp-signature\r\nContent-Disposition: attachment; filename=\"s.asc\"\r\n\r\nsig\r\n--x--\r\n";
        let (files, left_out) = files(raw);
        assert_eq!(files.iter().map(|file| file.name.as_str()).collect::<Vec<_>>(), ["menu.pdf"]);
        assert_eq!(files[0].bytes, b"%PDF-1.7\n");
        assert_eq!(left_out, [leave_out("run.exe", LeftOutReason::Program)]);
    }
}
