//! HTML as lines: what is quoted gets its `>` marks, rules become lines of dashes, what is not seen is left out, what is struck
//! out stands between `~~`.

use std::borrow::Cow;
use std::ops::Range;

use html5gum::{HtmlString, StartTag, Token, Tokenizer};
use mail_parser::decoders::base64::base64_decode;

use super::body::MAX_TEXT_BYTES;
use super::hidden::{self, Classes, Letters};

/// The line that stands for `<hr>`.
const RULE: &str = "________________________________";
/// The line that stands for the place where a mail program puts the older mail.
const ORIGINAL: &str = "-----Original Message-----";
/// Deeper elements are taken as if they stood at this depth.
const MAX_DEPTH: usize = 200;
/// So much of what a link shows is looked through for where it leads.
const MAX_SHOWN_BYTES: usize = 1000;
/// A link that leads to more is none that an author wrote.
const MAX_LINK_BYTES: usize = 2000;
/// So many digits show a number that is called.
const MIN_SHOWN_DIGITS: usize = 3;
/// What stands for a sign of a picture's own is no longer.
const MAX_SIGN_CHARS: usize = 12;
/// How a picture begins that stands within a page.
const DATA_PICTURE: &str = "data:image/";
/// The other attributes of a picture are looked past for so far.
const MAX_BEFORE_SOURCE: usize = 2000;
/// Stands before and behind words that are struck out.
const STRUCK: &str = "~~";

/// A page as lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Rendered {
    /// The lines.
    pub(super) text: String,
    /// How many characters were not to be seen.
    pub(super) hidden: usize,
    /// Whether something is marked, and all of it as an author does by hand too: nothing shows that a mail program quotes.
    pub(super) by_hand: bool,
    /// Which of the pictures that stand within the page itself its author shows, by their numbers.
    pub(super) pictures: Vec<usize>,
}

/// Renders.
pub(super) fn lines(html: &str) -> Rendered {
    let mut page = Page::default();
    for Ok(token) in Tokenizer::new(html) {
        match token {
            Token::StartTag(tag) => page.open(&tag),
            Token::EndTag(tag) => page.close(&tag.name),
            Token::String(text) => page.say(&String::from_utf8_lossy(&text)),
            // Sheets of styles stand in comments, for programs that know none.
            Token::Comment(text) if page.is_in_sheet() => page.read_sheet(&String::from_utf8_lossy(&text)),
            Token::Comment(_) | Token::Doctype(_) | Token::Error(_) => {}
        }
    }
    page.end()
}

/// Whether the words in an element are for a reader.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Shown {
    #[default]
    Yes,
    /// Words that a style hides.
    Hidden,
    /// No words at all: styles, scripts, titles.
    Silent,
}

/// Whether the author means words still.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Said {
    #[default]
    Plainly,
    /// Struck out, in a text of the author.
    Struck,
}

/// Where words stand in what Gmail puts below those of an author.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Gmail {
    /// Not in it.
    #[default]
    Outside,
    /// In it: quotes are those of the older mail.
    Older,
    /// In the headline above a quote, in whatever language.
    Headline,
}

/// An open element, as far as it matters.
#[derive(Debug, Clone, Default)]
struct Element {
    name: String,
    /// Whatever its letters are like.
    shown: Shown,
    letters: Letters,
    pre: bool,
    quoted: bool,
    gmail: Gmail,
    said: Said,
    /// In how many lists its words stand.
    lists: usize,
    /// Of an ordered list: the number of its next item.
    next: Option<usize>,
    link: Option<Link>,
}

/// Where a link leads, and in which line and where in it its words begin.
#[derive(Debug, Clone)]
struct Link {
    to: String,
    line: usize,
    from: usize,
}

#[derive(Default)]
struct Page {
    open: Vec<Element>,
    out: String,
    line: String,
    /// How many lines were begun before it.
    number: usize,
    /// Whether the line holds more than blanks.
    says: bool,
    /// Empty lines that are due before the next word.
    due: usize,
    space: bool,
    /// How many cells of a table began since the last word.
    cells: usize,
    /// How the last word of the line is said: the mark of what is struck out is open then.
    said: Said,
    /// Whether what follows is an older mail.
    older: bool,
    /// Where in the lines the last headline of Gmail begins, unless words stand below it.
    headline: Option<usize>,
    quotes: Quotes,
    pictures: Vec<usize>,
    /// What the page lays under all of it.
    around: Letters,
    /// What its sheets of styles say about classes.
    classes: Classes,
    hidden: usize,
}

/// Who made the quotes of a page.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Quotes {
    #[default]
    None,
    /// Maybe the author: they say nothing of what they are.
    ByHand,
    /// A mail program.
    ByProgram,
}

impl Page {
    fn open(&mut self, tag: &StartTag<()>) {
        let name = String::from_utf8_lossy(&tag.name).to_ascii_lowercase();
        let of = |name: &[u8]| attribute(tag, name);
        match name.as_str() {
            "br" => return self.break_line(),
            "hr" => {
                return self.rule(if of(b"id").is_some_and(|id| id == "stopSpelling") {
                    ORIGINAL
                } else {
                    RULE
                });
            }
            "img" => {
                if let Some(sign) = sign(tag) {
                    self.say(&sign);
                }
                return self.picture(tag);
            }
            "input" | "meta" | "link" | "base" | "col" | "wbr" | "area" | "source" => return,
            "li" => {
                self.block();
                self.item();
            }
            "td" | "th" => {
                self.space = true;
                self.cells += 1;
            }
            _ if is_block(&name) => self.block(),
            _ => {}
        }
        if name == "p" || name.len() == 2 && name.starts_with('h') && name != "hr" {
            self.paragraph();
        }
        if begins_signature(tag) {
            self.delimiter();
        }
        let element = self.element(&name, tag);
        if begins_older_mail(tag) && element.shown == Shown::Yes {
            self.rule(ORIGINAL);
        }
        if element.gmail == Gmail::Headline && !self.is_in_headline() {
            self.block();
            self.headline = Some(self.out.len());
        }
        if element.quoted {
            self.block();
            if element.gmail != Gmail::Outside {
                self.mark_headline();
            }
            let by = if is_by_hand(tag) { Quotes::ByHand } else { Quotes::ByProgram };
            self.quotes = if self.quotes == Quotes::ByProgram { self.quotes } else { by };
        }
        if self.open.len() < MAX_DEPTH && !tag.self_closing {
            self.open.push(element);
        }
    }

    fn element(&self, name: &str, tag: &StartTag<()>) -> Element {
        let inherited = self.open.last();
        let class = attribute(tag, b"class").unwrap_or_default();
        let around = inherited.map_or(Gmail::Outside, |element| element.gmail);
        let gmail = match around {
            _ if has_class(&class, "gmail_attr") => Gmail::Headline,
            Gmail::Outside if name == "div" && has_class(&class, "gmail_quote") => Gmail::Older,
            around => around,
        };
        let silent = matches!(
            name,
            "head" | "style" | "script" | "title" | "template" | "noframes" | "object" | "svg"
        );
        let style = attribute(tag, b"style").unwrap_or_default();
        let of = |kind: &[u8]| attribute(tag, kind);
        let words = of(if name == "body" { b"text" } else { b"color" });
        let around = inherited.map_or(self.around, |element| element.letters);
        let around = around.attributes(words.as_deref(), of(b"bgcolor").as_deref());
        let pictured = of(b"background").is_some_and(|picture| !picture.trim().is_empty());
        let unknown = pictured || self.classes.lay_ground(name, &class);
        let look = hidden::look(&style, if unknown { around.on_any() } else { around });
        let by_class = !look.displayed && self.classes.hide(name, &class);
        let hidden = look.gone || attribute(tag, b"hidden").is_some() || by_class;
        let shown = match inherited.map_or(Shown::Yes, |element| element.shown) {
            Shown::Yes if silent => Shown::Silent,
            Shown::Yes if hidden => Shown::Hidden,
            other => other,
        };
        // Gmail marks what its author cites by their own wish like a quote, but outside of the quoted mail.
        let cited = has_class(&class, "gmail_quote") && gmail == Gmail::Outside;
        let quoted = name == "blockquote" && !cited && !is_indent(tag);
        let strikes = look.struck || matches!(name, "s" | "strike" | "del");
        let goes_on = !quoted && inherited.is_some_and(|element| element.said == Said::Struck);
        let begins = strikes && !self.open.iter().any(|element| element.quoted);
        let said = if goes_on || begins { Said::Struck } else { Said::Plainly };
        Element {
            name: name.to_owned(),
            shown,
            letters: look.letters,
            pre: name == "pre" || inherited.is_some_and(|e| e.pre),
            quoted,
            gmail,
            said,
            lists: inherited.map_or(0, |e| e.lists) + usize::from(is_list(name)),
            next: (name == "ol").then(|| of(b"start").and_then(|start| start.parse().ok()).unwrap_or(1)),
            link: of(b"href").filter(|_| name == "a").map(|to| Link {
                to,
                line: self.number,
                from: self.line.len(),
            }),
        }
    }

    fn close(&mut self, name: &HtmlString) {
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        if name == "br" {
            return self.break_line();
        }
        if is_block(&name) {
            self.block();
        }
        if name == "p" {
            self.paragraph();
        }
        // Only near elements are closed, so that a stray end tag does not end the page.
        let Some(back) = self.open.iter().rev().take(MAX_DEPTH).position(|element| element.name == name)
        else {
            return;
        };
        let at = self.open.len() - 1 - back;
        if self.open[at].quoted {
            self.block();
        }
        if let Some(link) = self.open[at].link.take() {
            self.link(&link);
        }
        self.open.truncate(at);
    }

    fn link(&mut self, link: &Link) {
        let to = &link.to;
        let from = if link.line == self.number { link.from } else { 0 };
        let words = self.line.get(from..).unwrap_or_default();
        let told = tells(&words[..words.floor_char_boundary(MAX_SHOWN_BYTES)], to);
        if self.shown() == Shown::Yes && to.len() <= MAX_LINK_BYTES && !told.unwrap_or(true) && self.says {
            self.word(&format!(" <{to}>"));
        }
    }

    /// Notes a picture that stood within the page, unless it is quoted or hidden.
    fn picture(&mut self, tag: &StartTag<()>) {
        let is_quoted = || self.older || self.open.iter().any(|element| element.quoted);
        if let Some(number) =
            attribute(tag, b"src").and_then(|src| src.strip_prefix(DATA_PICTURE)?.parse().ok())
            && self.shown() == Shown::Yes
            && !is_quoted()
        {
            self.pictures.push(number);
        }
    }

    /// Puts the headline of a quote that begins here behind marks, if one stands above: it is none of the author's words.
    fn mark_headline(&mut self) {
        let Some(from) = self.headline.take() else { return };
        for line in self.out.split_off(from).lines() {
            let mark = if line.starts_with('>') || line.is_empty() { "" } else { "> " };
            self.out.push_str(mark);
            self.out.push_str(line);
            self.out.push('\n');
        }
    }

    /// The mark of an item of the list around it, further in than those of the lists around that one.
    fn item(&mut self) {
        let around = self.open.last().map_or(0, |element| element.lists).saturating_sub(1);
        let nearest = self.open.iter_mut().rev().find(|element| is_list(&element.name));
        let next = nearest.and_then(|list| list.next.as_mut());
        let mark = next.map_or_else(
            || "- ".to_owned(),
            |next| {
                *next = next.saturating_add(1);
                format!("{}. ", next.saturating_sub(1))
            },
        );
        self.line.push_str(&"  ".repeat(around.min(9)));
        self.word(&mark);
    }

    fn is_in_headline(&self) -> bool {
        self.open.last().is_some_and(|element| element.gmail == Gmail::Headline)
    }

    fn is_in_sheet(&self) -> bool {
        self.open.last().is_some_and(|element| element.name == "style")
    }

    /// What a sheet of styles says about classes, and about the ground of the page, above its words: where it may be dark, it is
    /// not known.
    fn read_sheet(&mut self, sheet: &str) {
        self.classes.read(sheet);
        if self.out.is_empty() && !self.says && hidden::lays_ground(sheet) {
            self.around = self.around.on_any();
            self.open.iter_mut().for_each(|element| element.letters = element.letters.on_any());
        }
    }

    fn say(&mut self, text: &str) {
        match self.shown() {
            Shown::Yes => {}
            Shown::Hidden => {
                self.hidden += text.chars().filter(|c| c.is_alphanumeric()).count();
                return;
            }
            Shown::Silent if self.is_in_sheet() => return self.read_sheet(text),
            Shown::Silent => return,
        }
        if self.headline.is_some() && !self.is_in_headline() && !text.trim().is_empty() {
            self.headline = None;
        }
        self.end_struck();
        if self.open.last().is_some_and(|element| element.pre) {
            for (at, line) in text.split('\n').enumerate() {
                if at > 0 {
                    self.break_line();
                }
                let line = line.trim_end_matches('\r');
                if !line.trim().is_empty() {
                    self.begin_struck();
                }
                self.word(line);
            }
            return;
        }
        let spaced = |c: char| c.is_ascii_whitespace();
        self.space |= text.starts_with(spaced);
        for word in text.split(spaced).filter(|word| !word.is_empty()) {
            self.separate();
            self.begin_struck();
            self.word(word);
            self.space = true;
        }
        self.space = text.ends_with(spaced) || text.is_empty() && self.space;
    }

    /// What stands before the next word: a blank, or a bar for each cell of a table that began since the last; none behind a
    /// label, which is read with what it is about.
    fn separate(&mut self) {
        let cells = std::mem::take(&mut self.cells);
        if self.says && !self.older && !self.line.ends_with(':') {
            self.line.push_str(&" |".repeat(cells));
        }
        if self.space && !self.line.is_empty() && !self.line.ends_with(' ') {
            self.line.push(' ');
        }
    }

    fn begin_struck(&mut self) {
        if self.said == Said::Plainly && self.strikes() {
            self.line.push_str(STRUCK);
            self.said = Said::Struck;
        }
    }

    /// Closes the mark once words follow that are not struck out.
    fn end_struck(&mut self) {
        if self.said == Said::Struck && !self.strikes() {
            self.line.push_str(STRUCK);
            self.said = Said::Plainly;
        }
    }

    fn strikes(&self) -> bool {
        !self.older && self.open.last().is_some_and(|element| element.said == Said::Struck)
    }

    fn shown(&self) -> Shown {
        match self.open.last() {
            Some(element) if element.shown == Shown::Yes && element.letters.hide() => Shown::Hidden,
            Some(element) => element.shown,
            None => Shown::Yes,
        }
    }

    fn word(&mut self, word: &str) {
        self.line.push_str(word);
        self.says |= word.contains(|c: char| !c.is_whitespace());
    }

    /// The line that ends here; another begins.
    fn begin_line(&mut self) -> String {
        if std::mem::take(&mut self.said) == Said::Struck {
            self.line.truncate(self.line.trim_end().len());
            self.line.push_str(STRUCK);
        }
        self.says = false;
        self.cells = 0;
        self.number += 1;
        std::mem::take(&mut self.line)
    }

    /// A line ends here, even an empty one.
    fn break_line(&mut self) {
        if self.says {
            self.flush();
        } else {
            self.due += 1;
        }
        self.space = false;
    }

    /// A block begins or ends: a new line, unless one has just begun.
    fn block(&mut self) {
        if self.says {
            self.flush();
        }
        self.begin_line();
        self.space = false;
    }

    fn paragraph(&mut self) {
        self.due = self.due.max(1);
    }

    fn rule(&mut self, line: &str) {
        if self.shown() != Shown::Yes {
            return;
        }
        self.older |= line == ORIGINAL;
        self.block();
        self.word(line);
        self.block();
    }

    /// The line above what a mail program marks as a signature, unless the program writes one itself.
    fn delimiter(&mut self) {
        self.block();
        if self.shown() == Shown::Yes && !self.out.is_empty() && !self.out.trim_end().ends_with("--") {
            self.word("--");
            self.block();
        }
    }

    fn flush(&mut self) {
        let depth = self.open.iter().filter(|element| element.quoted).count().min(9);
        let marks = if depth == 0 { String::new() } else { format!("{} ", ">".repeat(depth)) };
        let line = self.begin_line();
        if !self.out.is_empty() {
            let empty = if depth == 0 { "\n" } else { ">\n" };
            (0..self.due.min(2)).for_each(|_| self.out.push_str(empty));
        }
        self.due = 0;
        self.out.push_str(&marks);
        let said = line.trim_end();
        self.out.push_str(said);
        if line == "-- " {
            self.out.push(' '); // It stands above a signature (RFC 3676, section 4.3).
        }
        self.out.push('\n');
    }

    fn end(mut self) -> Rendered {
        self.block();
        let by_hand = self.quotes == Quotes::ByHand && !self.older;
        Rendered { text: self.out, hidden: self.hidden, by_hand, pictures: self.pictures }
    }
}

/// Whether these words show where a link leads; nothing where it leads to no page, address or phone.
fn tells(words: &str, to: &str) -> Option<bool> {
    let (scheme, target) = to.split_once(':')?;
    let target = target.trim_end_matches('/');
    match scheme.to_ascii_lowercase().as_str() {
        "http" | "https" => Some(words.contains(target.strip_prefix("//")?)),
        "mailto" => {
            let address = target.split('?').next().unwrap_or_default();
            Some(words.to_ascii_lowercase().contains(&address.to_ascii_lowercase()))
        }
        "tel" => {
            let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
            // Within its country a number begins with a zero instead of the country's own.
            let shown = digits(words);
            let shown = shown.trim_start_matches('0');
            Some(shown.len() >= MIN_SHOWN_DIGITS && digits(target).ends_with(shown))
        }
        _ => None,
    }
}

fn is_list(name: &str) -> bool {
    matches!(name, "ul" | "ol")
}

fn is_block(name: &str) -> bool {
    matches!(
        name,
        "p" | "div"
            | "tr"
            | "table"
            | "tbody"
            | "ul"
            | "ol"
            | "blockquote"
            | "h1"
            | "h2"
            | "h3"
            | "h4"
            | "h5"
            | "h6"
            | "pre"
            | "section"
            | "article"
            | "header"
            | "footer"
            | "center"
            | "address"
            | "form"
            | "dl"
            | "dt"
            | "dd"
            | "body"
            | "li"
            | "fieldset"
            | "main"
            | "aside"
            | "nav"
            | "figure"
            | "figcaption"
    )
}

/// Where Outlook and its like put the older mail, without marks of their own.
fn begins_older_mail(tag: &StartTag<()>) -> bool {
    const IDS: [&str; 7] = [
        "divRplyFwdMsg",
        "x_divRplyFwdMsg",
        "appendonsend",
        "mail-editor-reference-message-container",
        "OLK_SRC_BODY_SECTION",
        "reply-intro",
        "isReplyContent",
    ];
    let id = attribute(tag, b"id").unwrap_or_default();
    let class = attribute(tag, b"class").unwrap_or_default();
    IDS.contains(&id.as_str())
        || ["yahoo_quoted", "tutanota_quote", "zmail_extra"].iter().any(|name| has_class(&class, name))
}

/// What mail programs put around a signature, where nobody writes.
fn begins_signature(tag: &StartTag<()>) -> bool {
    let class = attribute(tag, b"class").unwrap_or_default();
    ["gmail_signature", "io-ox-signature", "zmail_signature"].iter().any(|name| has_class(&class, name))
}

/// Whether it only indents: so do mail programs when their author asks for it, with a border that is none at all sides.
fn is_indent(tag: &StartTag<()>) -> bool {
    let style = attribute(tag, b"style").unwrap_or_default();
    names_no_quote(tag) && hidden::has_no_border(&style)
}

/// Whether nothing at a quote says what it is; mail programs draw a line at its side, at least.
fn is_by_hand(tag: &StartTag<()>) -> bool {
    let style = attribute(tag, b"style").unwrap_or_default().to_ascii_lowercase();
    names_no_quote(tag) && !style.contains("border")
}

fn names_no_quote(tag: &StartTag<()>) -> bool {
    [&b"type"[..], b"cite", b"class", b"id", b"name"].iter().all(|name| attribute(tag, name).is_none())
}

/// The sign that a picture stands for, as mail programs draw them: 🙂.
fn sign(tag: &StartTag<()>) -> Option<String> {
    let is_drawn = |c: char| matches!(c, '\u{203c}'..='\u{3299}' | '\u{1f000}'..='\u{1faff}');
    let is_called =
        || attribute(tag, b"class").is_some_and(|class| class.to_ascii_lowercase().contains("emoji"));
    let said = attribute(tag, b"alt").filter(|said| !said.trim().is_empty())?;
    let is_short = said.chars().nth(MAX_SIGN_CHARS).is_none();
    let is_sign = said.contains(is_drawn) && !said.contains(char::is_alphabetic);
    (is_short && (is_sign || is_called())).then_some(said)
}

/// A picture that stands within a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Picture {
    /// None where they cannot be decoded.
    pub(super) bytes: Vec<u8>,
    /// Whether the author of the page shows it: it is neither quoted nor hidden.
    pub(super) is_shown: bool,
}

/// The pictures that stand within a page itself, as `data:` URLs (RFC 2397), no more than so many.
pub(super) fn pictures(html: &str, most: usize) -> Vec<Picture> {
    let places: Vec<Range<usize>> = embedded(html).take(most).collect();
    if places.is_empty() {
        return Vec::new();
    }
    let page = without_pictures(html);
    let shown = lines(&page[..page.floor_char_boundary(MAX_TEXT_BYTES)]).pictures;
    let decoded = |at: Range<usize>| {
        let (kind, data) = html[at].split_once(',')?;
        kind.ends_with(";base64").then(|| base64_decode(data.as_bytes()))?
    };
    let picture = |(number, at): (usize, Range<usize>)| Picture {
        bytes: decoded(at).unwrap_or_default(),
        is_shown: shown.contains(&number),
    };
    places.into_iter().enumerate().map(picture).collect()
}

/// A page with the numbers of these pictures instead of their bytes, which leave no room for its words.
pub(super) fn without_pictures(html: &str) -> Cow<'_, str> {
    let (mut page, mut from) = (String::new(), 0);
    for (number, at) in embedded(html).enumerate() {
        page.push_str(&html[from..at.start]);
        page.push_str(DATA_PICTURE);
        page.push_str(&number.to_string());
        from = at.end;
    }
    if from == 0 {
        return Cow::Borrowed(html);
    }
    page.push_str(&html[from..]);
    Cow::Owned(page)
}

/// Where their URLs stand: in elements only, as a text may speak of them.
fn embedded(html: &str) -> impl Iterator<Item = Range<usize>> {
    let (mut from, mut unended) = (0, Vec::new());
    std::iter::from_fn(move || {
        loop {
            let start = from + html[from..].find(DATA_PICTURE)?;
            from = start + DATA_PICTURE.len();
            let quote = html[..start].chars().next_back().filter(|before| matches!(before, '"' | '\''));
            if unended.contains(&quote) {
                continue;
            }
            let length = match quote {
                Some(quote) => html[start..].find(quote),
                None => html[start..].find([' ', '\n', '>']),
            };
            let Some(length) = length else {
                // Nor is there an end for any that comes later.
                unended.push(quote);
                continue;
            };
            if is_source(&html[..start]) {
                from = start + length;
                return Some(start..from);
            }
        }
    })
}

/// Whether the `src=` of an element that began right before stands here.
fn is_source(before: &str) -> bool {
    let near = before.ceil_char_boundary(before.len().saturating_sub(MAX_BEFORE_SOURCE));
    let name = before.strip_suffix(['"', '\'']).unwrap_or(before).as_bytes();
    name.last_chunk().is_some_and(|name: &[u8; 4]| name.eq_ignore_ascii_case(b"src="))
        && before[near..].rfind(['<', '>']).is_some_and(|at| before[near + at..].starts_with('<'))
}

fn has_class(classes: &str, name: &str) -> bool {
    classes.split_ascii_whitespace().any(|class| class == name || class.strip_prefix("x_") == Some(name))
}

fn attribute(tag: &StartTag<()>, name: &[u8]) -> Option<String> {
    let value = tag.attributes.iter().find(|(found, _)| found.as_slice() == name)?.1;
    Some(String::from_utf8_lossy(value).into_owned())
}

#[cfg(test)]
mod tests {
    fn text(page: &str) -> String {
        super::lines(page).text.trim_end().to_owned()
    }

    #[test]
    fn what_is_struck_out_is_told_from_what_is_said() {
        for (page, wanted) in [
            ("<p>Now: <s>Monday closed</s> Monday open</p>", "Now: ~~Monday closed~~ Monday open"),
            ("<p><del> 9 </del>10 Uhr</p>", "~~9~~ 10 Uhr"),
            ("<p>a<strike>b</strike>c</p>", "a~~b~~c"),
            ("<s>one<br>two</s><p>three</p>", "~~one~~\n~~two~~\n\nthree"),
            ("<p><span style='text-decoration: line-through red'>old</span> new</p>", "~~old~~ new"),
            ("<p><s></s>new <s> </s></p>", "new"),
            ("<p><s>a <b>b</b> c</s>.</p>", "~~a b c~~."),
            ("<s>a <i style='display:none'>no</i>b</s>", "~~a b~~"),
            ("<blockquote type=cite><s>red</s> blue</blockquote>", "> red blue"),
            ("<s><blockquote type=cite>red</blockquote></s>", "> red"),
        ] {
            assert_eq!(text(page), wanted, "{page}");
        }
        let older = text("<p>Blue.</p><div id=appendonsend></div><p><s>red</s></p>");
        assert!(older.ends_with("\nred"), "{older}");
    }

    #[test]
    fn items_of_a_list_keep_their_numbers_and_places() {
        let page =
            "<ol><li>Title</li><li>Photos<ul><li>first</li></ul></li><li>Map</li></ol><ul><li>x</li></ul>";
        assert_eq!(text(page), "1. Title\n2. Photos\n  - first\n3. Map\n- x");
        assert_eq!(text("<ol start=4><li>a<li>b</ol>"), "4. a\n5. b");
        assert_eq!(text("<li>a"), "- a");
    }

    #[test]
    fn cells_of_a_table_are_told_apart() {
        let row = |cells: &[&str]| -> String {
            let cells = cells.join(" </td>\n<td> ");
            text(&format!("<table><tr>\n<td> {cells} </td></tr></table>"))
        };
        assert_eq!(row(&["Rye bread", "Mon and Fri", "", "4.50"]), "Rye bread | Mon and Fri | | 4.50");
        assert_eq!(row(&["", "Blue.", "", ""]), "Blue.", "a layout of one column");
        assert_eq!(row(&["From:", "a@b.c"]), "From: a@b.c", "a label");
        assert_eq!(row(&["<div>a</div>", "<div>b</div>"]), "a\nb");
    }

    #[test]
    fn words_on_a_ground_that_a_sheet_lays_are_seen() {
        let page = |sheet: &str| {
            let styled =
                format!("<html><head><style>{sheet}</style></head><body><p style='color:#fff'>Blue.");
            text(&styled)
        };
        for sheet in [
            "body{background:#000}",
            "<!-- p{margin:0} html, body { margin:0; background-color: navy !important } -->",
        ] {
            assert_eq!(page(sheet), "Blue.", "{sheet}");
        }
        for sheet in [
            "",
            "body{background:#fff}",
            "body{color:#000}",
            "p{background:#000}",
            "@media (prefers-color-scheme: dark){p{margin:0} body{background:#000}}",
        ] {
            assert_eq!(page(sheet), "", "{sheet}");
        }
        let below = "<body>Red.<style>body{background:#000}</style><p style='color:#fff'>Blue.";
        assert_eq!(text(below), "Red.", "what was pasted in lays no ground");
        let gone = "<style>body{background:#000}</style><p style='display:none'>Blue.";
        assert_eq!(text(gone), "");
    }

    #[test]
    fn where_links_lead_is_told_unless_their_words_show_it() {
        let link = |to: &str, words: &str| text(&format!("<p>See <a href='{to}'>{words}</a>.</p>"));
        let long = format!("https://x.org/?url={}", "a".repeat(1500));
        for (to, words) in [
            (long.as_str(), "the form"),
            ("mailto:info@x.org?subject=Bread", "write us"),
            ("tel:+4930123456", "call us"),
            ("tel:+4930123456", "12"),
        ] {
            assert_eq!(link(to, words), format!("See {words} <{to}>."));
        }
        let longer = format!("https://x.org/?url={}", "a".repeat(2500));
        for (to, words) in [
            ("https://x.org/", "x.org"),
            ("mailto:info@x.org?subject=Bread", "Info@x.org"),
            ("tel:+49-30-123456", "030 123456"),
            (longer.as_str(), "the form"),
            ("javascript:x()", "here"),
            ("#top", "up"),
        ] {
            assert_eq!(link(to, words), format!("See {words}."));
        }
    }

    #[test]
    fn a_picture_of_a_sign_says_what_it_stands_for() {
        for (picture, wanted) in [
            ("<img alt='😀' src='https://x.org/e.png'>", "Put 😀 there"),
            ("<img alt='❤️' src='cid:e'>", "Put ❤️ there"),
            ("<img alt=':-)' class='EmojiInsert' src='cid:e'>", "Put :-) there"),
            ("<img alt='Logo' src='cid:e'>", "Put there"),
            ("<img alt='Bread 🍞' src='cid:e'>", "Put there"),
            ("<img alt='' src='cid:e'>", "Put there"),
        ] {
            assert_eq!(text(&format!("<p>Put {picture} there</p>")), wanted, "{picture}");
        }
        assert_eq!(text("<p style='display:none'>a<img alt='😀'></p>"), "");
    }

    #[test]
    fn pictures_within_a_page_are_found() {
        let page = "<img src='data:image/png;base64,iVBORw=='><img src='cid:1'><IMG SRC=data:image/gif,x><img src=data:text/plain,x> data:image/png,x";
        let bytes = |most: usize| super::pictures(page, most).into_iter().map(|picture| picture.bytes);
        assert_eq!(bytes(9).collect::<Vec<_>>(), [b"\x89PNG".to_vec(), Vec::new()]);
        assert_eq!(bytes(1).count(), 1);
        let left = "<img src='data:image/0'><img src='cid:1'><IMG SRC=data:image/1><img src=data:text/plain,x> data:image/png,x";
        assert_eq!(super::without_pictures(page), left);
    }

    #[test]
    fn a_text_that_speaks_of_a_picture_within_a_page_stays() {
        for page in [
            "<p>Replace src=\"data:image/png;base64 there.</p><p>Make it \"blue\".</p>",
            "<p>Replace src='data:image/png;base64, it's large.</p><p>Blue.</p>",
            "<p>Replace src=data:image/png there.</p>",
            "<img src='data:image/png;base64,iVBO",
        ] {
            assert_eq!(super::without_pictures(page), page);
            assert_eq!(super::pictures(page, 9), []);
        }
    }

    #[test]
    fn pictures_that_are_quoted_or_hidden_are_not_shown_by_the_author() {
        let img = "<img alt='' src='data:image/png;base64,iVBORw=='>";
        for (page, shown) in [
            (format!("{img}<blockquote type=cite>{img}</blockquote>{img}"), vec![true, false, true]),
            (format!("<p style='display:none'>{img}</p>{img}"), vec![false, true]),
            (format!("{img}<div id=appendonsend></div>{img}"), vec![true, false]),
        ] {
            let found: Vec<bool> =
                super::pictures(&page, 9).into_iter().map(|picture| picture.is_shown).collect();
            assert_eq!(found, shown, "{page}");
        }
    }

    #[test]
    fn what_a_sheet_says_about_a_class_holds_for_its_elements() {
        let page = |sheet: &str, class: &str| {
            text(&format!("<style>{sheet}</style><p>Blue.</p><p class='{class}'>Red.</p>"))
        };
        for (sheet, class) in [
            (".x{display:none}", "x"),
            ("a, p.x { color: red; display: none !important }", "y X"),
            ("<!-- /* a */ .x{display:/**/none} -->", "x"),
        ] {
            assert_eq!(page(sheet, class), "Blue.", "{sheet}");
        }
        for (sheet, class) in [
            (".x{display:none}", "xy"),
            ("td.x{display:none}", "x"),
            (".a .x{display:none}", "x"),
            ("@media print{.x{display:none}}", "x"),
            (".x{display:none} .x{display:block}", "x"),
        ] {
            assert_eq!(page(sheet, class), "Blue.\n\nRed.", "{sheet}");
        }
        assert_eq!(text("<style>.x{display:none}</style><p class=x style='display:block'>Red."), "Red.");
    }

    #[test]
    fn what_programs_mark_as_a_signature_stands_below_a_delimiter() {
        let name = "Anna Berg";
        for (page, wanted) in [
            (format!("<p>Blue.</p><div class=gmail_signature>{name}</div>"), "Blue.\n\n--\nAnna Berg"),
            (
                format!("<div>Blue.</div><span>-- </span><br><div class=gmail_signature>{name}</div>"),
                "Blue.\n--\nAnna Berg",
            ),
            ("<p>Blue.</p><p>-- </p><p>Red.</p>".to_owned(), "Blue.\n\n--\n\nRed."),
            (format!("<div>Blue.</div><pre class=moz-signature>-- \n{name}</pre>"), "Blue.\n-- \nAnna Berg"),
            (format!("<div class=gmail_signature>{name}</div>"), name),
            ("<p>a --<br>--<br>b</p>".to_owned(), "a --\n--\nb"),
        ] {
            assert_eq!(text(&page), wanted, "{page}");
        }
    }

    #[test]
    fn letters_have_the_size_that_the_nearest_element_says() {
        let within = |around: &str, size: &str| {
            text(&format!("<div style='font-size:{around}'>Red<p style='font-size:{size}'>Blue."))
        };
        for (around, size, wanted) in [
            ("0", "13px", "Blue."),
            ("0px", "1rem", "Blue."),
            ("0", "2em", ""),
            ("0", "100%", ""),
            ("13px", "0", "Red"),
            ("13px", ".5em", "Red\n\nBlue."),
        ] {
            assert_eq!(within(around, size), wanted, "{around} {size}");
        }
    }

    #[test]
    fn white_words_on_a_picture_or_on_the_ground_of_a_class_are_seen() {
        for page in [
            "<table background=dark.jpg><tr><td><font color=white>Blue.</font></table>",
            "<style>.card{background:#111}</style><div class=card><p style='color:#fff'>Blue.</p></div>",
            "<style>body.dark{background-color:#000}</style><body class=dark><p style='color:#fff'>Blue.",
        ] {
            assert_eq!(text(page), "Blue.", "{page}");
        }
        for page in [
            "<table background=''><tr><td><font color=white>Blue.</font></table>",
            "<style>.card{background:#fff}</style><div class=card><p style='color:#fff'>Blue.</p></div>",
            "<style>.card{background:#111}</style><div class=card style='background:#fff'><p style='color:#fff'>Blue.",
            "<div class=card><p style='color:#fff'>Blue.</p></div>",
        ] {
            assert_eq!(text(page), "", "{page}");
        }
    }
}
