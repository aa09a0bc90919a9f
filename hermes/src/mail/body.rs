//! Which of a mail's parts are its text, and what they say together.

use std::borrow::Cow;
use std::collections::HashSet;

use common::domain::text;
use mail_parser::{ContentType, Message, MessagePart, MimeHeaders, PartType};

use super::charset;
use super::flowed;
use super::html::{self, Rendered};
use super::subject::{self, Carried};
use super::words::words;

/// Longer texts are cut.
pub(super) const MAX_TEXT_BYTES: usize = 2 * 1024 * 1024;
/// So are texts of more lines: no person writes, nor quotes, as many.
const MAX_TEXT_LINES: usize = 20_000;
/// Of so much text it is known whether another part says it once more.
const MAX_COMPARED_BYTES: usize = 64 * 1024;
/// A plain text that only stands where HTML is meant is no longer.
const MAX_STAND_IN_BYTES: usize = 600;

/// What kind of text a mail has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// Plain text (RFC 2046, section 4.1.3), or none; or HTML whose quotes its author may have made.
    Plain,
    /// HTML.
    Html,
}

/// What a program without HTML shows, in order; what one with HTML shows when the first says nothing of its own.
pub(super) fn text(message: &Message<'_>) -> (Rendered, Body) {
    let other = other_text(message);
    let ids = match &other {
        Some(id) => std::slice::from_ref(id),
        None if is_for_html(message) => message.html_body.as_slice(),
        None => message.text_body.as_slice(),
    };
    let (rendered, body) = shown(message, ids.iter().copied());
    let body = if answers(message) && rendered.by_hand { Body::Html } else { body };
    (Rendered { text: beginning(&text::lines(&rendered.text)), ..rendered }, body)
}

/// What came along with the text of a mail.
pub(super) fn files<'a, 'x>(message: &'a Message<'x>) -> impl Iterator<Item = &'a MessagePart<'x>> {
    let other = other_text(message);
    let ids = message.attachments.iter().filter(move |id| other != Some(**id));
    ids.filter_map(|id| message.parts.get(*id as usize))
}

/// The first text of a kind that nobody knows, in a mail without any that is known: it is read as if it were plain (RFC 2046,
/// section 4.1.4).
fn other_text(message: &Message<'_>) -> Option<u32> {
    let part = |id: &u32| message.parts.get(*id as usize);
    let is_text = |part: &MessagePart<'_>| match &part.body {
        PartType::Text(text) | PartType::Html(text) => says(text),
        _ => false,
    };
    if message.text_body.iter().chain(&message.html_body).filter_map(part).any(is_text) {
        return None;
    }
    let is_other = |id: &&u32| part(id).is_some_and(|part| is_text(part) && is_of_other_kind(part));
    message.attachments.iter().find(is_other).copied()
}

/// Texts that are no words to a reader, but data.
const DATA: [&str; 12] = [
    "plain",
    "html",
    "x-amp-html",
    "calendar",
    "csv",
    "tab-separated-values",
    "rtf",
    "vcard",
    "x-vcard",
    "directory",
    "css",
    "rfc822-headers",
];

/// Whether it is a text of a kind of its own, and no file.
fn is_of_other_kind(part: &MessagePart<'_>) -> bool {
    let Some(kind) = part.content_type() else { return false };
    let subtype = kind.subtype().unwrap_or_default().to_ascii_lowercase();
    let is_code = ["json", "xml", "javascript", "ecmascript"].iter().any(|code| subtype.ends_with(code));
    let is_file = part.content_disposition().is_some_and(ContentType::is_attachment)
        || part.attachment_name().is_some();
    kind.ctype() == "text" && !is_code && !is_file && !DATA.contains(&subtype.as_str())
}

/// Whether its subject says that it answers a mail, which programs quote.
fn answers(message: &Message<'_>) -> bool {
    subject::carried(message.subject().unwrap_or_default()) != Carried::Not
}

/// Whether only a program that shows HTML shows what its author wrote.
fn is_for_html(message: &Message<'_>) -> bool {
    let alone = |ids: &[u32], others: &[u32]| {
        let ids: Vec<u32> = ids.iter().copied().filter(|id| !others.contains(id)).collect();
        shown(message, ids.into_iter()).0.text
    };
    let plain = alone(&message.text_body, &message.html_body);
    if plain.len() > MAX_STAND_IN_BYTES {
        return false;
    }
    let html = alone(&message.html_body, &message.text_body);
    says(&html) && (!says(&plain) || stands_in(&plain, &html))
}

fn says(text: &str) -> bool {
    !text.trim().is_empty()
}

/// Whether a plain text is not that of the HTML beside it: at most half of its longer words are there, and it speaks of HTML
/// or is far shorter.
fn stands_in(plain: &str, html: &str) -> bool {
    let of = |text: &str| -> HashSet<String> {
        words(text).into_iter().filter(|word| word.chars().count() >= 4 || !word.is_ascii()).collect()
    };
    let (plain, html) = (of(plain), of(html));
    let shared = plain.intersection(&html).count();
    !plain.is_empty()
        && shared * 2 <= plain.len()
        && (plain.contains("html") || html.len() >= 4 * plain.len())
}

/// These parts, one below the other: the HTML ones as lines, unless they say what stands above once more.
fn shown(message: &Message<'_>, ids: impl Iterator<Item = u32>) -> (Rendered, Body) {
    let (mut all, mut body, mut left) = (Rendered::default(), Body::Plain, MAX_TEXT_BYTES);
    let mut known = Known::default();
    for part in ids.filter_map(|id| message.parts.get(id as usize)) {
        match &part.body {
            PartType::Text(text) => add(&mut all.text, &plain(message, part, text)),
            PartType::Html(html) => {
                let html = charset::text(message, part, html);
                let html = html::without_pictures(&html);
                let html = &html[..html.floor_char_boundary(left)];
                left -= html.len();
                let rendered = html::lines(html);
                all.hidden += rendered.hidden;
                if says(&rendered.text) && !known.repeats(&all.text, &rendered.text) {
                    add(&mut all.text, &rendered.text);
                    all.by_hand |= rendered.by_hand;
                    body = if body == Body::Html { body } else { kind_of(&rendered) };
                }
            }
            _ => {}
        }
        known.note(&all.text);
    }
    (all, body)
}

/// A text of a part in its letters and in the lines of its author.
fn plain<'a>(message: &'a Message<'_>, part: &'a MessagePart<'_>, taken: &'a str) -> Cow<'a, str> {
    let text = charset::text(message, part, taken);
    match part.content_type().filter(|kind| flowed::is_flowed(kind)) {
        Some(kind) => flowed::unfolded(&text, kind).into(),
        None => text,
    }
}

/// Quotes among words of the author that no mail program made are read like marked lines of a plain text.
fn kind_of(rendered: &Rendered) -> Body {
    let stands_alone = || rendered.text.lines().all(|line| line.starts_with('>') || !says(line));
    if rendered.by_hand && !stands_alone() { Body::Plain } else { Body::Html }
}

/// Puts a text below the others.
fn add(all: &mut String, text: &str) {
    if !all.is_empty() {
        all.push('\n');
    }
    all.push_str(text);
}

/// The words of what stands above, while the whole is short; looked for when somebody asks.
#[derive(Default)]
struct Known {
    words: HashSet<String>,
    /// So much of it was looked through, and so much may be.
    read: usize,
    short: usize,
}

impl Known {
    fn note(&mut self, all: &str) {
        if all.len() <= MAX_COMPARED_BYTES {
            self.short = all.len();
        }
    }

    /// Whether all of these words stand above.
    fn repeats(&mut self, all: &str, text: &str) -> bool {
        self.words.extend(words(&all[self.read..self.short]));
        self.read = self.short;
        !self.words.is_empty() && words(text).iter().all(|word| self.words.contains(word))
    }
}

fn prefix(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT_BYTES)]
}

/// As much of it as is read.
fn beginning(text: &str) -> String {
    let text = prefix(text);
    let end = text.match_indices('\n').nth(MAX_TEXT_LINES - 1).map_or(text.len(), |(at, _)| at);
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use crate::mail::read;

    /// The text of a mail of these parts: their kind, and what they say.
    fn text_of(multipart: &str, parts: &[(&str, &str)]) -> String {
        let part = |(kind, said): &(&str, &str)| format!("--x\r\nContent-Type: {kind}\r\n\r\n{said}\r\n");
        let parts: String = parts.iter().map(part).collect();
        let head = format!("From: a@b.c\r\nContent-Type: multipart/{multipart}; boundary=x");
        read(format!("{head}\r\n\r\n{parts}--x--\r\n").as_bytes()).unwrap().text.trim().to_owned()
    }

    #[test]
    fn html_is_read_where_it_stands_among_plain_parts() {
        let order = ("text/html", "<p>Make the door blue.</p>");
        let scanner = ("text/plain", "This mail was checked by Example Scanner.");
        assert_eq!(text_of("mixed", &[order, scanner]), format!("Make the door blue.\n\n{}", scanner.1));
        assert_eq!(text_of("mixed", &[scanner, order]), format!("{}\nMake the door blue.", scanner.1));
        let same = ("text/plain", "Make the door blue.");
        assert_eq!(text_of("mixed", &[same, order]), same.1, "once is enough");
        let both = "multipart/alternative; boundary=y\r\n\r\n--y\r\n\r\n \r\n--y\r\nContent-Type: text/html";
        let both = (both, "<p>Make the door blue.</p>\r\n--y--");
        assert!(text_of("mixed", &[both, scanner]).starts_with("Make the door blue."));
    }

    #[test]
    fn a_plain_text_that_only_asks_for_a_program_with_html_is_no_text() {
        let long = "<p>Please change the opening hours on the page to 9 to 17, except on Sunday, when this shop and the cafe beside it stay closed until Easter. Below that please write a few words about bread from old grain, show the picture of our oven, and thank everybody who came to the feast last week.</p>";
        for (plain, html) in [
            ("This message needs a program that shows HTML.", "<p>Make the door blue.</p>"),
            ("To view this message, please use an HTML compatible email viewer!", long),
            ("Ihr Programm zeigt diese Nachricht nicht an.", long),
        ] {
            let text = text_of("alternative", &[("text/plain; charset=utf-8", plain), ("text/html", html)]);
            assert_eq!(text, html.trim_start_matches("<p>").trim_end_matches("</p>"), "{plain}");
        }
        for (plain, html) in [
            (
                "Make the door blue.",
                "<p>Make the door blue.</p><p>Example Ltd, 1 Example Street, Exampletown. This mail is confidential and for its recipient only.</p>",
            ),
            ("Please fix the HTML of the page.", "<p>Please fix the HTML of the page.</p>"),
            ("Make the door blue.", "<p>Sent with Example</p>"),
            ("Blue.", ""),
        ] {
            let text = text_of("alternative", &[("text/plain", plain), ("text/html", html)]);
            assert_eq!(text, plain, "{html}");
        }
    }

    /// The instruction of a mail that is this page, about this.
    fn order(subject: &str, page: &str) -> String {
        let raw = format!(
            "From: Anna Berger <a@b.c>\r\nSubject: {subject}\r\nContent-Type: text/html\r\n\r\n{page}"
        );
        let mail = read(raw.as_bytes()).unwrap();
        crate::mail::instruction::instruction(&mail, &mut crate::mail::trace::Trace::default()).new
    }

    #[test]
    fn words_that_an_author_set_in_by_hand_are_theirs() {
        let shop = |quote: &str| {
            format!(
                "<p>Put this on the page:</p><blockquote{quote}>Rye bread.</blockquote><p>Below the door.</p>"
            )
        };
        for quote in ["", " style='margin:0 0 0 40px;border:none;padding:0'", " dir=ltr"] {
            assert!(order("Shop", &shop(quote)).contains("Rye bread."), "{quote}");
        }
        let indented = shop(" style='margin:0 0 0 40px;border:none;padding:0'");
        assert!(order("Re: Shop", &indented).contains("Rye bread."), "no quote has no border");
        for quote in [
            " type=cite",
            " class=gmail_quote_x style='border:none'",
            " style='border-left:1px solid #ccc'",
            " style='border:none;border-left:solid #ccc 1pt'",
            " cite='mid:1@b.c'",
        ] {
            assert!(!order("Shop", &shop(quote)).contains("Rye bread."), "{quote}");
        }
        assert!(!order("Re: Shop", &shop("")).contains("Rye bread."), "programs quote what is answered");
        let headed = "Blue.<br>On Mon, 3 Mar 2025 at 10:00, Hermes &lt;h@x.y&gt; wrote:<blockquote>Red.</blockquote>Thanks for that.";
        assert!(!order("Shop", headed).contains("Red."));
        let both = format!("{}<blockquote type=cite>Old.</blockquote><p>Soon.</p>", shop(""));
        assert!(!order("Shop", &both).contains("Old."));
    }

    #[test]
    fn a_page_of_hidden_words_only_is_no_order_whatever_its_subject_says() {
        let hidden = "<div style='color:#fff'>Change the phone number</div>";
        assert_eq!(order("Shop", hidden), "");
        assert_eq!(order("Make the door blue", "<img src='cid:1'>"), "Make the door blue");
        assert_eq!(order("Shop", &format!("{hidden}<p>Make it blue.</p>")), "Make it blue.");
    }

    #[test]
    fn a_text_of_a_kind_that_nobody_knows_is_plain() {
        let blue = "Make the door blue.";
        for kind in ["text/markdown; charset=utf-8", "TEXT/Enriched", "text/x-any"] {
            let raw = format!("From: a@b.c\r\nSubject: Shop\r\nContent-Type: {kind}\r\n\r\n{blue}");
            let mail = read(raw.as_bytes()).unwrap();
            assert_eq!((mail.text.as_str(), mail.attachments.len()), (blue, 0), "{kind}");
            assert!(crate::mail::attachment::files(raw.as_bytes()).0.is_empty(), "{kind}");
            for multipart in ["alternative", "mixed"] {
                assert_eq!(text_of(multipart, &[(kind, blue)]), blue, "{kind}");
                assert_eq!(text_of(multipart, &[("text/plain", " "), (kind, blue)]), blue, "{kind}");
                assert_eq!(text_of(multipart, &[("text/plain", "Red."), (kind, blue)]), "Red.", "{kind}");
            }
            let html = ("text/html", "<p>Red.</p>");
            assert_eq!(text_of("alternative", &[(kind, blue), html]), "Red.", "{kind}");
        }
        for file in [
            "text/calendar",
            "text/csv",
            "text/vcard",
            "text/rtf",
            "text/xml",
            "text/vnd.any+json",
            "text/markdown; name=a.md",
            "text/markdown\r\nContent-Disposition: attachment",
            "application/json",
        ] {
            assert_eq!(text_of("mixed", &[(file, blue)]), "", "{file}");
        }
    }

    #[test]
    fn a_large_picture_within_a_page_leaves_room_for_the_words_below_it() {
        let picture = "A".repeat(super::MAX_TEXT_BYTES + 1);
        let page = format!("<p>Photo:</p><img src='data:image/png;base64,{picture}'><p>On top.</p>");
        assert_eq!(order("Shop", &page), "Photo:\n\nOn top.");
    }

    #[test]
    fn html_alone_is_read_as_text() {
        let raw = b"From: a@b.c\r\nContent-Type: text/html\r\n\r\n<html><head><style>p{}</style></head><body><p>New <b>hours</b></p></body></html>";
        assert_eq!(read(raw).unwrap().text.trim(), "New hours");
    }
}
