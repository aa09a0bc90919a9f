//! One function a mail program: how it puts new words, a signature and the mail that is answered together.

use super::{Dice, Language, PEOPLE};

/// A mail, and the words of it that are new.
pub(super) struct Made {
    pub(super) raw: Vec<u8>,
    pub(super) wanted: String,
}

type Shape = fn(&Language, &mut Dice) -> Option<Made>;

/// All of them by name.
pub(super) const PROGRAMS: [(&str, Shape); 19] = [
    ("gmail", gmail),
    ("gmail-html", gmail_html),
    ("gmail-forward", gmail_forward),
    ("apple", apple),
    ("apple-html", apple_html),
    ("iphone", iphone),
    ("outlook", outlook),
    ("outlook-html", outlook_html),
    ("outlook-web", outlook_web),
    ("outlook-web-html", outlook_web_html),
    ("outlook-phone", outlook_phone),
    ("yahoo", yahoo),
    ("yahoo-html", yahoo_html),
    ("proton", proton),
    ("proton-html", proton_html),
    ("thunderbird", thunderbird),
    ("thunderbird-below", thunderbird_below),
    ("thunderbird-between", thunderbird_between),
    ("thunderbird-html", thunderbird_html),
];

/// What every shape is made of.
struct Parts {
    say: String,
    old: String,
    author: (&'static str, &'static str),
    quoted: (&'static str, &'static str),
}

impl Parts {
    fn of(language: &Language, dice: &mut Dice) -> Option<Self> {
        let old = language.one("old", dice)?;
        let earlier = language.one("gmail", dice).filter(|_| dice.once_in(3));
        let (author, quoted) = (*dice.one(&PEOPLE), *dice.one(&PEOPLE));
        let old = match earlier {
            Some(head) => format!("{old}\n\n{}\n> {}", filled(&head, author), language.one("say", dice)?),
            None => old,
        };
        Some(Self { say: language.one("say", dice)?, old, author, quoted })
    }

    fn head(&self, template: &str) -> String {
        filled(template, self.quoted)
    }

    fn first_name(&self) -> &str {
        self.author.0.split([' ', '@']).next().unwrap_or_default()
    }

    /// None, a closing, a block of a firm, a block below its dashes, a block with a disclaimer.
    fn signature(&self, language: &Language, dice: &mut Dice) -> String {
        let closing = language.one("closing", dice).unwrap_or_default();
        let (name, address) = self.author;
        let site = address.split('@').next_back().unwrap_or_default();
        let block = format!("{name}\n\nTel. +49 30 1234-567\n{address}\nwww.{site}");
        match dice.next() % 5 {
            0 => String::new(),
            1 => format!("\n\n{closing}\n{}", self.first_name()),
            2 => format!("\n\n{closing}\n\n{block}"),
            3 => format!("\n\n-- \n{block}"),
            _ => match language.one("disclaimer", dice) {
                Some(disclaimer) => format!("\n\n{closing}\n\n{block}\n\n{disclaimer}"),
                None => format!("\n\n{closing}\n{name}"),
            },
        }
    }

    /// The fields of the answered mail as Outlook shows them.
    fn fields(&self, language: &Language, dice: &mut Dice) -> Option<Vec<(String, String)>> {
        let header = language.one("header", dice)?;
        let [from, date, to, subject, day] = header.split('|').collect::<Vec<_>>().try_into().ok()?;
        let person = |(name, address): (&str, &str)| format!("{name} <{address}>");
        let values = [person(self.quoted), day.to_owned(), person(self.author), "Menu".to_owned()];
        Some([from, date, to, subject].map(str::to_owned).into_iter().zip(values).collect())
    }

    fn made(&self, text: &str, html: Option<&str>, kind: Kind, dice: &mut Dice) -> Made {
        Made { raw: raw(self.author, text, html, kind, dice), wanted: self.say.clone() }
    }

    fn of_page(&self, page: &str, dice: &mut Dice) -> Made {
        Made { raw: raw(self.author, "", Some(page), Kind::Reply, dice), wanted: self.say.clone() }
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Reply,
    Forward,
}

fn filled(template: &str, (name, address): (&str, &str)) -> String {
    template.replace("{n}", name).replace("{e}", address)
}

/// A mail with this text, or page, or both.
fn raw(
    (name, address): (&str, &str),
    text: &str,
    html: Option<&str>,
    kind: Kind,
    dice: &mut Dice,
) -> Vec<u8> {
    let subject = match kind {
        Kind::Reply => dice.one(&["Re: Menu", "AW: Menu", "RE: Menu", "SV: Menu", "Odp: Menu"]),
        Kind::Forward => dice.one(&["Fwd: Menu", "WG: Menu", "FW: Menu", "TR: Menu"]),
    };
    let number = dice.next();
    let mut lines = vec![
        format!("From: \"{name}\" <{address}>"),
        "To: edit@hermes.localhost".to_owned(),
        format!("Subject: {subject}"),
        "Date: Tue, 03 Mar 2026 10:12:13 +0100".to_owned(),
        format!("Message-ID: <made-{number}@{}>", address.split('@').next_back().unwrap_or_default()),
        "MIME-Version: 1.0".to_owned(),
    ];
    let encoded = dice.once_in(2);
    match (text.is_empty(), html) {
        (_, None) => lines.extend(part("plain", text, encoded)),
        (true, Some(page)) => lines.extend(part("html", page, encoded)),
        (false, Some(page)) => {
            lines.push("Content-Type: multipart/alternative; boundary=\"b1\"".to_owned());
            lines.extend([String::new(), "--b1".to_owned()]);
            lines.extend(part("plain", text, encoded));
            lines.push("--b1".to_owned());
            lines.extend(part("html", page, true));
            lines.push("--b1--".to_owned());
        }
    }
    lines.join("\r\n").into_bytes()
}

fn part(kind: &str, text: &str, encoded: bool) -> Vec<String> {
    let encoding = if encoded { "quoted-printable" } else { "8bit" };
    let mut lines = vec![
        format!("Content-Type: text/{kind}; charset=utf-8"),
        format!("Content-Transfer-Encoding: {encoding}"),
        String::new(),
    ];
    lines.extend(text.lines().map(|line| if encoded { quoted_printable(line) } else { line.to_owned() }));
    lines.push(String::new());
    lines
}

/// RFC 2045, section 6.7.
fn quoted_printable(line: &str) -> String {
    let (mut out, mut width) = (String::new(), 0);
    for (at, byte) in line.bytes().enumerate() {
        let last = at + 1 == line.len();
        let plain = byte.is_ascii_graphic() && byte != b'=' || byte == b' ' && !last;
        let piece = if plain { char::from(byte).to_string() } else { format!("={byte:02X}") };
        if width + piece.len() > 75 {
            out.push_str("=\r\n");
            width = 0;
        }
        width += piece.len();
        out.push_str(&piece);
    }
    out
}

fn marked(text: &str) -> String {
    let mark = |line: &str| if line.starts_with('>') { format!(">{line}") } else { format!("> {line}") };
    text.lines().map(|line| mark(line).trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// Broken at spaces, as programs do with plain text.
fn wrapped(line: &str, width: usize) -> String {
    let (mut out, mut used) = (String::new(), 0);
    for word in line.split(' ') {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > width {
            out.push('\n');
            used = 0;
        } else if used > 0 {
            out.push(' ');
            used += 1;
        }
        out.push_str(word);
        used += length;
    }
    out
}

fn page(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn lines_as(tag: &str, text: &str) -> String {
    let line = |line: &str| {
        let inner = if line.is_empty() { "<br>".to_owned() } else { page(line) };
        format!("<{tag}>{inner}</{}>", tag.split(' ').next().unwrap_or_default())
    };
    text.lines().map(line).collect()
}

fn gmail(language: &Language, dice: &mut Dice) -> Option<Made> {
    let parts = Parts::of(language, dice)?;
    let head = parts.head(&language.one("gmail", dice)?);
    let signed = parts.signature(language, dice);
    let text = format!("{}{signed}\n\n{}\n\n{}\n", parts.say, wrapped(&head, 76), marked(&parts.old));
    let html = gmail_page(&parts, &signed, &head);
    Some(parts.made(&text, Some(&html), Kind::Reply, dice))
}

fn gmail_html(language: &Language, dice: &mut Dice) -> Option<Made> {
    let parts = Parts::of(language, dice)?;
    let head = parts.head(&language.one("gmail", dice)?);
    let html = gmail_page(&parts, &parts.signature(language, dice), &head);
    Some(parts.of_page(&html, dice))
}

fn gmail_page(parts: &Parts, signed: &str, head: &str) -> String {
    format!(
        "<div dir=\"ltr\">{}</div><br><div class=\"gmail_quote gmail_quote_container\"><div dir=\"ltr\" class=\"gmail_attr\">{}<br></div><blockquote class=\"gmail_quote\" style=\"margin:0px 0px 0px 0.8ex;border-left:1px solid rgb(204,204,204);padding-left:1ex\">{}</blockquote></div>",
        lines_as("div", &format!("{}{signed}", parts.say)),
        page(head),
        lines_as("div", &parts.old)
    )
}

fn gmail_forward(language: &Language, dice: &mut Dice) -> Option<Made> {
    let parts = Parts::of(language, dice)?;
    let forward = language.one("forward", dice)?;
    let [divider, from, date, subject, to, day] = forward.split('|').collect::<Vec<_>>().try_into().ok()?;
    let (name, address) = parts.quoted;
    let text = format!(
        "{}\n\n{divider}\n{from}: {name} <{address}>\n{date}: {day}\n{subject}: Menu\n{to}: <{}>\n\n\n{}\n",
        parts.say, parts.author.1, parts.old
    );
    Some(parts.made(&text, None, Kind::Forward, dice))
}

fn apple(language: &Language, dice: &mut Dice) -> Option<Made> {
    let parts = Parts::of(language, dice)?;
    let head = parts.head(&language.one("apple", dice)?);
    let signed = parts.signature(language, dice);
    let quote = if dice.once_in(2) {
        marked(&format!("{head}\n\n{}", parts.old))
    } else {
        format!("{head}\n\n{}", marked(&parts.old))
    };
    Some(parts.made(&format!("{}{signed}\n\n{quote}\n", parts.say), None, Kind::Reply, dice))
}

fn apple_html(language: &Language, dice: &mut Dice) -> Option<Made> {
    let parts = Parts::of(language, dice)?;
    let head = parts.head(&language.one("apple", dice)?);
    let html = format!(
        "<html><body style=\"overflow-wrap: break-word;\">{}<div><br><blockquote type=\"cite\"><div>{}</div><br class=\"Apple-interchange-newline\"><div>{}</div></blockquote></div><br></body></html>",
        lines_as("div", &format!("{}{}", parts.say, parts.signature(language, dice))),
        page(&head),
        lines_as("div", &parts.old)
    );
    Some(parts.of_page(&html, dice))
}

fn iphone(language: &Language, dice: &mut Dice) -> Option<Made> {
    let parts = Parts::of(language, dice)?;
    let head = parts.head(&language.one("apple", dice)?);
    let footer = language.one("phone", dice)?;
    let quote = marked(&format!("{head}\n\n\u{feff}{}", parts.old));
    let name = if dice.once_in(3) { format!("\n\n{}", parts.first_name()) } else { String::new() };
    let text = format!("{}{name}\n\n{footer}\n\n{quote}\n", parts.say);
    Some(parts.made(&text, None, Kind::Reply, dice))
}

fn field_lines(fields: &[(String, String)]) -> String {
    fields.iter().map(|(label, value)| format!("{label}: {value}")).collect::<Vec<_>>().join("\n")
}

fn outlook(language: &Language, dice: &mut Dice) -> Option<Made> {
    let parts = Parts::of(language, dice)?;
    let fields = field_lines(&parts.fields(language, dice)?);
    let signed = parts.signature(language, dice);
    let text = format!("{}{signed}\n\n{fields}\n\n{}\n", parts.say, parts.old);
    Some(parts.made(&text, None, Kind::Reply, dice))
}

fn outlook_html(language: &Language, dice: &mut Dice) -> Option<Made> {
    let parts = Parts::of(language, dice)?;
    let fields = parts.fields(language, dice)?;
    let bold = |(label, value): &(String, String)| format!("<b>{}:</b> {}", page(label), page(value));
    let html = format!(
        "<html><body lang=DE link=\"#0563C1\"><div class=WordSection1>{}<p class=MsoNormal><o:p>&nbsp;</o:p></p><div><div style='border:none;border-top:solid #E1E1E1 1.0pt;padding:3.0pt 0cm 0cm 0cm'><p class=MsoNormal>{}<o:p></o:p></p></div></div><p class=MsoNormal><o:p>&nbsp;</o:p></p>{}</div></body></html>",
        lines_as("p class=MsoNormal", &format!("{}{}", parts.say, parts.signature(language, dice))),
        fields.iter().map(bold).collect::<Vec<_>>().join("<br>"),
        lines_as("p class=MsoNormal", &parts.old)
    );
    Some(parts.of_page(&html, dice))
}

const RULE: &str = "________________________________";

fn outlook_web(language: &Language, dice: &mut Dice) -> Option<Made> {
    let parts = Parts::of(language, dice)?;
    let fields = field_lines(&parts.fields(language, dice)?);
    let signed = parts.signature(language, dice);
    let text = format!("{}{signed}\n{RULE}\n{fields}\n\n{}\n", parts.say, parts.old);
    Some(parts.made(&text, None, Kind::Reply, dice))
}

fn outlook_web_html(language: &Language, dice: &mut Dice) -> Option<Made> {
    let parts = Parts::of(language, dice)?;
    let fields = parts.fields(language, dice)?;
    let bold =
        |(label, value): &(String, String)| format!("<b>{}:</b>&nbsp;{}<br>", page(label), page(value));
    let html = format!(
        "<html><body dir=\"ltr\">{}<div id=\"appendonsend\"></div><hr style=\"display:inline-block;width:98%\" tabindex=\"-1\"><div id=\"divRplyFwdMsg\" dir=\"ltr\"><font face=\"Calibri, sans-serif\" style=\"font-size:11pt\" color=\"#000000\">{}</font><div>&nbsp;</div></div><div>{}</div></body></html>",
        lines_as(
            "div class=\"elementToProof\"",
            &format!("{}{}", parts.say, parts.signature(language, dice))
        ),
        fields.iter().map(bold).collect::<String>(),
        lines_as("div", &parts.old)
    );
    Some(parts.of_page(&html, dice))
}

fn outlook_phone(language: &Language, dice: &mut Dice) -> Option<Made> {
    let parts = Parts::of(language, dice)?;
    let fields = field_lines(&parts.fields(language, dice)?);
    let footer = language.one("outlook-phone", dice)?;
    let text = format!("{}\n\n{footer}\n{RULE}\n{fields}\n\n{}\n", parts.say, parts.old);
    Some(parts.made(&text, None, Kind::Reply, dice))
}

fn yahoo(language: &Language, dice: &mut Dice) -> Option<Made> {
    let parts = Parts::of(language, dice)?;
    let head = parts.head(&language.one("yahoo", dice)?);
    let set_in = |text: &str| text.replace('\n', "\n ");
    let text = format!(" {}\n\n    {head}  \n \n {}\n  ", set_in(&parts.say), set_in(&parts.old));
    Some(parts.made(&text, None, Kind::Reply, dice))
}

fn yahoo_html(language: &Language, dice: &mut Dice) -> Option<Made> {
    let parts = Parts::of(language, dice)?;
    let head = parts.head(&language.one("yahoo", dice)?);
    let html = format!(
        "<html><body><div class=\"ydp1 yahoo-style-wrap\"><div dir=\"ltr\">{}</div><div><br></div></div><div id=\"yahoo_quoted_1\" class=\"yahoo_quoted\"><div style=\"font-family:'Helvetica Neue'\"><div>{}</div><div><br></div><div><br></div><div>{}</div></div></div></body></html>",
        lines_as("div", &format!("{}{}", parts.say, parts.signature(language, dice))),
        page(&head),
        lines_as("div", &parts.old)
    );
    Some(parts.of_page(&html, dice))
}

fn proton(language: &Language, dice: &mut Dice) -> Option<Made> {
    let parts = Parts::of(language, dice)?;
    let head = parts.head(&language.one("proton", dice)?);
    let footer = language.one("proton-footer", dice).map(|text| format!("\n\n{text}")).unwrap_or_default();
    let text = format!("{}{footer}\n\n{head}\n\n{}\n", parts.say, marked(&parts.old));
    Some(parts.made(&text, None, Kind::Reply, dice))
}

fn proton_html(language: &Language, dice: &mut Dice) -> Option<Made> {
    let parts = Parts::of(language, dice)?;
    let head = parts.head(&language.one("proton", dice)?);
    let footer = language.one("proton-footer", dice).unwrap_or_default();
    let html = format!(
        "<div style=\"font-family: Arial, sans-serif; font-size: 14px;\">{}</div><div class=\"protonmail_signature_block\"><div class=\"protonmail_signature_block-proton\">{}</div></div><div class=\"protonmail_quote\">{}<br><blockquote class=\"protonmail_quote\" type=\"cite\">{}</blockquote><br></div>",
        lines_as("div", &parts.say),
        page(&footer),
        page(&head),
        lines_as("div", &parts.old)
    );
    Some(parts.of_page(&html, dice))
}

fn thunderbird(language: &Language, dice: &mut Dice) -> Option<Made> {
    let parts = Parts::of(language, dice)?;
    let head = parts.head(&language.one("thunderbird", dice)?);
    let signed = parts.signature(language, dice);
    let text = format!("{}{signed}\n\n{}\n{}\n", parts.say, wrapped(&head, 72), marked(&parts.old));
    Some(parts.made(&text, None, Kind::Reply, dice))
}

fn thunderbird_below(language: &Language, dice: &mut Dice) -> Option<Made> {
    let parts = Parts::of(language, dice)?;
    let head = parts.head(&language.one("thunderbird", dice)?);
    let signed = parts.signature(language, dice);
    let text = format!("{head}\n{}\n\n{}{signed}\n", marked(&parts.old), parts.say);
    Some(parts.made(&text, None, Kind::Reply, dice))
}

fn thunderbird_between(language: &Language, dice: &mut Dice) -> Option<Made> {
    let parts = Parts::of(language, dice)?;
    let head = parts.head(&language.one("thunderbird", dice)?);
    let mut all = vec![head];
    let mut answers = parts.say.lines().filter(|line| !line.is_empty());
    for line in parts.old.lines() {
        let answer = answers.next().map(|answer| format!("\n\n{answer}\n")).unwrap_or_default();
        all.push(format!("{}{answer}", marked(line)));
    }
    all.extend(answers.map(|answer| format!("\n{answer}")));
    Some(parts.made(&(all.join("\n") + "\n"), None, Kind::Reply, dice))
}

fn thunderbird_html(language: &Language, dice: &mut Dice) -> Option<Made> {
    let parts = Parts::of(language, dice)?;
    let head = parts.head(&language.one("thunderbird", dice)?);
    let html = format!(
        "<!DOCTYPE html><html><head><meta http-equiv=\"Content-Type\" content=\"text/html; charset=UTF-8\"></head><body><p>{}</p><div class=\"moz-cite-prefix\">{}<br></div><blockquote type=\"cite\" cite=\"mid:1@example.org\">{}</blockquote></body></html>",
        page(&parts.say).replace('\n', "<br>"),
        page(&head),
        lines_as("p", &parts.old)
    );
    Some(parts.of_page(&html, dice))
}
