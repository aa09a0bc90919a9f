//! The letters of a text whose mail does not say, or says wrongly, in which alphabet its bytes are. Pure.

use std::borrow::Cow;

use mail_parser::decoders::charsets::map::charset_decoder;
use mail_parser::parsers::MessageStream;
use mail_parser::{Encoding, Message, MessagePart, MimeHeaders};

/// Names of the alphabet that has no other letters than those of ASCII: whoever states it and writes others is wrong.
const ASCII: [&str; 10] = [
    "us-ascii",
    "ascii",
    "us",
    "ansi_x3.4-1968",
    "ansi_x3.4-1986",
    "iso-ir-6",
    "iso_646.irv:1991",
    "iso646-us",
    "cp367",
    "csascii",
];

/// The text of a part that was taken for this one: UTF-8 where its bytes are, and else what programs for Windows write.
pub(super) fn text<'a>(message: &'a Message<'_>, part: &'a MessagePart<'_>, taken: &'a str) -> Cow<'a, str> {
    if taken.is_ascii() || is_stated(part) {
        return taken.into();
    }
    let body = part.raw_body_offset() as usize..part.raw_end_offset() as usize;
    message.raw_message().get(body).map_or(taken.into(), |raw| read(&decoded(raw, part.encoding)).into())
}

/// Whether it says in which alphabet it is, and not that it is in none.
fn is_stated(part: &MessagePart<'_>) -> bool {
    let charset = part.content_type().and_then(|kind| kind.attribute("charset")).unwrap_or_default();
    let charset = charset.trim().to_ascii_lowercase();
    let is_unicode = || charset.starts_with("utf") || charset.starts_with("unicode");
    !ASCII.contains(&charset.as_str()) && (is_unicode() || charset_decoder(charset.as_bytes()).is_some())
}

fn decoded(raw: &[u8], encoding: Encoding) -> Cow<'_, [u8]> {
    let mut stream = MessageStream::new(raw);
    match encoding {
        Encoding::None => raw.into(),
        Encoding::Base64 => stream.decode_base64_mime(b"").1,
        Encoding::QuotedPrintable => stream.decode_quoted_printable_mime(b"").1,
    }
}

/// Line by line, since a footer may be in another alphabet than the text above it.
fn read(bytes: &[u8]) -> String {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return text.to_owned();
    }
    let windows = charset_decoder(b"windows-1252");
    let line = |line: &[u8]| match (std::str::from_utf8(line), windows) {
        (Ok(text), _) => text.to_owned(),
        (Err(_), Some(windows)) => windows(line),
        (Err(_), None) => String::from_utf8_lossy(line).into_owned(),
    };
    bytes.split_inclusive(|byte| *byte == b'\n').map(line).collect()
}

#[cfg(test)]
mod tests {
    use crate::mail::attachment::files;
    use crate::mail::read;

    const UTF8: &[u8] = "Tür für 5 €".as_bytes();
    const WINDOWS: &[u8] = b"T\xfcr f\xfcr 5 \x80";

    fn mail(fields: &str, body: &[u8]) -> Vec<u8> {
        [format!("From: a@b.c\r\n{fields}\r\n").as_bytes(), body].concat()
    }

    fn text(fields: &str, body: &[u8]) -> String {
        read(&mail(fields, body)).unwrap().text.trim().to_owned()
    }

    #[test]
    fn bytes_are_read_as_what_they_are_where_nothing_says_it() {
        let coded = "T=FCr f=FCr 5 =80".as_bytes();
        for kind in [
            "",
            "Content-Type: text/plain\r\n",
            "Content-Type: text/plain; charset=us-ascii\r\n",
            "Content-Type: text/plain; charset=\"US-ASCII\"\r\n",
            "Content-Type: text/plain; charset=ANSI_X3.4-1968\r\n",
            "Content-Type: text/plain; charset=unknown-8bit\r\n",
            "Content-Type: text/html\r\n",
        ] {
            assert_eq!(text(kind, UTF8), "Tür für 5 €", "{kind}");
            assert_eq!(text(kind, WINDOWS), "Tür für 5 €", "{kind}");
            let quoted = format!("{kind}Content-Transfer-Encoding: quoted-printable\r\n");
            assert_eq!(text(&quoted, coded), "Tür für 5 €", "{kind}");
            let based = format!("{kind}Content-Transfer-Encoding: base64\r\n");
            assert_eq!(text(&based, b"VMO8ciBmw7xyIDUg4oKs"), "Tür für 5 €", "{kind}");
        }
        let both = [UTF8, b"\r\n", WINDOWS].concat();
        assert_eq!(text("", &both).replace('\r', ""), "Tür für 5 €\nTür für 5 €");
    }

    #[test]
    fn an_alphabet_that_is_stated_is_the_one() {
        let stated = |charset: &str| format!("Content-Type: text/plain; charset={charset}\r\n");
        assert_eq!(text(&stated("iso-8859-1"), b"T\xfcr"), "Tür");
        assert_eq!(text(&stated("iso-8859-5"), b"\xb4\xd2\xd5\xe0\xec"), "Дверь");
        assert_eq!(text(&stated("utf-8"), b"T\xfcr"), "T\u{fffd}r");
        assert_eq!(text(&stated("iso-2022-jp"), b"\x1b$B%I%\"\x1b(B"), "ドア");
    }

    #[test]
    fn so_are_the_parts_of_a_mail_and_the_texts_that_are_files() {
        let kind = "Content-Type: multipart/mixed; boundary=x\r\n";
        let parts = [
            b"--x\r\n\r\n".as_slice(),
            WINDOWS,
            b"\r\n--x\r\nContent-Type: text/csv; name=a.csv\r\n\r\n",
            WINDOWS,
            b"\r\n--x--\r\n",
        ];
        let raw = mail(kind, &parts.concat());
        assert_eq!(read(&raw).unwrap().text.trim(), "Tür für 5 €");
        assert_eq!(files(&raw).0[0].bytes, UTF8);
    }
}
