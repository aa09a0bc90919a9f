//! A text in pieces: what is new, what is quoted, what is passed on. Reads from the top; each line is looked at once.

use super::block::{Divider, Stated, divider, header_block, is_rule, reply_above, stated};
use super::dates::{has_date, has_time};
use super::headline::{Certainty, has_address, headline, plain, shared};
use crate::mail::subject::Carried;
use crate::mail::thread::conversation_line;
use crate::mail::words::folded;

/// So many marked lines show whether a headline or the header of a mail stands in them.
const MAX_HEAD_LINES: usize = 12;

/// What a piece of the text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Words of the author.
    New,
    /// Marked lines without a headline, be it above them or in their first ones.
    Cited,
    /// The same, right below words of the author that announce them and are no headline themselves.
    Wanted,
    /// A quote whose headline, divider or header says that it is one.
    Quoted,
    /// Somebody else's mail, passed on.
    Forwarded,
}

/// Some lines of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    pub(super) kind: Kind,
    pub(super) lines: Vec<&'a str>,
}

/// What begins at a line.
enum Begins {
    Text,
    Cited,
    /// A headline of so many lines above marked lines.
    Marked(usize),
    /// Everything from here on, of which so many lines are the header.
    Rest(Kind, usize, Proof),
    /// Nothing but a line above which a reply is written.
    End,
}

/// What stands above a line.
#[derive(Clone, Copy)]
struct Above {
    /// A rule.
    rule: bool,
    /// Words of the author that end with a colon, and nothing says that our own mail is below: what comes next may be what
    /// they want.
    colon: bool,
    /// Words of a mail that shows no sign of an older one.
    fresh: bool,
}

/// What shows that the rest is quoted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Proof {
    /// A line between dashes.
    Divider,
    /// Only a headline or header fields, which a citation may have too.
    Header,
}

/// Takes a text apart; `carried` is what the mail says of an older one.
pub(super) fn pieces<'a>(lines: &[&'a str], carried: Carried) -> Vec<Piece<'a>> {
    let mut found = Found { pieces: Vec::new() };
    let ours = lines.iter().rposition(|line| conversation_line(line).is_some());
    let tells = |line: &&str| is_marked(line) || divider(line).is_some() || reply_above(line).is_some();
    let fresh = carried == Carried::Not && ours.is_none() && !lines.iter().any(tells);
    let stated: Vec<Stated> = lines.iter().map(|line| stated(line)).collect();
    let (mut at, mut looked, mut below_rule) = (0, 0, false);
    while at < lines.len() {
        for line in lines[looked..at].iter().filter(|line| !line.trim().is_empty()) {
            below_rule = is_rule(line);
        }
        looked = at;
        let above = Above {
            rule: below_rule,
            colon: !lines[at].trim().is_empty() && found.announces() && ours.is_none_or(|ours| ours < at),
            fresh,
        };
        match begins(&lines[at..], &stated[at..], above) {
            Begins::Text => at = found.text(lines, at),
            Begins::Cited => {
                let kind = match kind_of_marked(&lines[at..]) {
                    Kind::Cited if found.wants_next() => Kind::Wanted,
                    kind => kind,
                };
                at = found.marked(kind, lines, at, 0);
            }
            Begins::Marked(header) => at = found.marked(Kind::Quoted, lines, at, header),
            Begins::Rest(kind, header, proof) => {
                found.drop_rules();
                if proof == Proof::Header && found.says_nothing() && ours.is_none_or(|ours| ours < at) {
                    // Nothing stands above, so what stands below may be all there is to say, unless our own footer does.
                    found.push(kind, &lines[at..at + header]);
                    at += header;
                } else {
                    found.push(kind, &lines[at..]);
                    break;
                }
            }
            Begins::End => {
                found.push(Kind::Quoted, &lines[at..]);
                break;
            }
        }
    }
    found.pieces
}

fn begins(lines: &[&str], stated: &[Stated], above: Above) -> Begins {
    let line = lines[0];
    if line.trim().is_empty() {
        return Begins::Text;
    }
    if reply_above(line).is_some_and(|at| at == 0 || is_marked(line)) {
        return Begins::End;
    }
    match divider(line) {
        Some(Divider::Original) => return Begins::Rest(Kind::Quoted, 1, Proof::Divider),
        Some(Divider::Forward) => return Begins::Rest(Kind::Forwarded, 1, Proof::Divider),
        None => {}
    }
    if is_marked(line) {
        return Begins::Cited;
    }
    if let Some(block) = header_block(lines, stated, above.rule)
        && (above.rule
            || block.is_proof(above.fresh)
            || !above.fresh && (!above.colon || marked_next(&lines[block.length..])))
    {
        let proof = if above.rule { Proof::Divider } else { Proof::Header };
        return Begins::Rest(Kind::Quoted, block.length, proof);
    }
    if shared(line).is_some() {
        return Begins::Text;
    }
    match headline(lines) {
        Some((length, certainty)) => {
            let holds = |is: fn(&str) -> bool| lines[..length].iter().any(|line| is(line));
            let is_proof = || holds(has_address) && (!above.fresh || holds(has_time) && !above.colon);
            let wanted = || (above.fresh || above.colon) && !is_proof();
            match (marked_next(&lines[length..]), certainty) {
                (true, _) => Begins::Marked(length),
                (false, Certainty::Sure) if wanted() => Begins::Text,
                (false, Certainty::Sure) => Begins::Rest(Kind::Quoted, length, Proof::Header),
                (false, Certainty::IfMarked) => Begins::Text,
            }
        }
        None => Begins::Text,
    }
}

/// Whether the next line that says something is one of a quote.
fn marked_next(lines: &[&str]) -> bool {
    lines.iter().find(|line| !line.trim().is_empty()).is_some_and(|line| is_marked(line))
}

/// Whether it is a line of a quote.
pub(super) fn is_marked(line: &str) -> bool {
    let line = line.trim_start_matches([' ', '\t', '\u{200e}']);
    line.starts_with('>') || line.starts_with("&gt;") && line.len() > 4
}

/// A line of a quote without its marks.
fn unmarked(line: &str) -> &str {
    let mut line = line.trim_start_matches([' ', '\t', '\u{200e}']);
    while let Some(rest) = line.strip_prefix('>').or_else(|| line.strip_prefix("&gt;")) {
        line = rest.trim_start();
    }
    line
}

/// What the first of these marked lines say about them: some programs mark what they write above a mail, too.
fn kind_of_marked(lines: &[&str]) -> Kind {
    let marked = lines.iter().take(MAX_HEAD_LINES).take_while(|line| is_marked(line));
    let inside: Vec<&str> = marked.map(|line| unmarked(line)).skip_while(|line| line.is_empty()).collect();
    let Some(first) = inside.first() else { return Kind::Cited };
    let fields: Vec<Stated> = inside.iter().map(|line| stated(line)).collect();
    let is_headed = || matches!(headline(&inside), Some((_, Certainty::Sure)));
    match divider(first) {
        Some(Divider::Forward) => Kind::Forwarded,
        Some(Divider::Original) => Kind::Quoted,
        None if is_headed() || header_block(&inside, &fields, false).is_some() => Kind::Quoted,
        None => Kind::Cited,
    }
}

struct Found<'a> {
    pieces: Vec<Piece<'a>>,
}

impl<'a> Found<'a> {
    fn push(&mut self, kind: Kind, lines: &[&'a str]) {
        match self.pieces.last_mut() {
            Some(last) if last.kind == kind => last.lines.extend(lines),
            _ => self.pieces.push(Piece { kind, lines: lines.to_vec() }),
        }
    }

    /// A line of the author, unless a headline shares it.
    fn text(&mut self, lines: &[&'a str], at: usize) -> usize {
        let line = lines[at];
        let cut = reply_above(line).filter(|cut| *cut > 0);
        let line = cut.map_or(line, |cut| &line[..cut]);
        match shared(line).filter(|_| cut.is_some() || quote_follows(&lines[at + 1..])) {
            Some(own) => {
                self.push(Kind::New, &[&line[..own]]);
                self.push(Kind::Quoted, &[&line[own..]]);
            }
            None => self.push(Kind::New, &[line]),
        }
        if cut.is_some() {
            self.push(Kind::Quoted, &lines[at + 1..]);
            return lines.len();
        }
        at + 1
    }

    /// Marked lines, the empty ones between them, and those that lost their mark when they were wrapped.
    fn marked(&mut self, kind: Kind, lines: &[&'a str], from: usize, header: usize) -> usize {
        let mut end = from + header;
        let mut at = end;
        while at < lines.len() {
            if is_marked(lines[at]) {
                if reply_above(lines[at]).is_some() {
                    end = lines.len();
                    break;
                }
                at += 1;
                end = at;
            } else if lines[at].trim().is_empty()
                || at > from + header && lost_its_mark(&lines[..=at], lines.get(at + 1))
            {
                at += 1;
            } else {
                break;
            }
        }
        self.push(kind, &lines[from..end]);
        end
    }

    /// Whether the last words are the author's and end with a colon.
    fn announces(&self) -> bool {
        let last = self.pieces.last().filter(|last| last.kind == Kind::New);
        let said =
            last.and_then(|last| last.lines.iter().map(|line| line.trim()).rfind(|line| !line.is_empty()));
        said.is_some_and(|line| line.ends_with([':', '：']))
    }

    /// Whether the last words announce what comes next, and say nothing of whoever wrote it, nor when.
    fn wants_next(&self) -> bool {
        let last = self.pieces.last().filter(|last| last.kind == Kind::New);
        let said = last.and_then(|last| last.lines.iter().rfind(|line| !line.trim().is_empty()));
        self.announces() && said.is_some_and(|line| !line.contains(['@', '<']) && !has_date(&folded(line)))
    }

    fn says_nothing(&self) -> bool {
        self.pieces.iter().all(|piece| piece.lines.iter().all(|line| line.trim().is_empty() || is_rule(line)))
    }

    /// Rules and empty lines right above a quote belong to it.
    fn drop_rules(&mut self) {
        let Some(last) = self.pieces.last_mut().filter(|last| last.kind == Kind::New) else { return };
        while last.lines.last().is_some_and(|line| line.trim().is_empty() || is_rule(line)) {
            last.lines.pop();
        }
    }
}

/// Whether a quote comes next, or nothing.
fn quote_follows(lines: &[&str]) -> bool {
    lines.iter().find(|line| !line.trim().is_empty()).is_none_or(|line| is_marked(line))
}

/// A line without a mark between marked lines, the one above of which was too long or broken within a word.
fn lost_its_mark(lines: &[&str], next: Option<&&str>) -> bool {
    let [.., above, line] = lines else { return false };
    if !is_marked(above) || !next.is_some_and(|next| is_marked(next)) {
        return false;
    }
    let above = plain(above);
    let open = above.matches('(').count() > above.matches(')').count()
        || above.matches('<').count() > above.matches('>').count().saturating_sub(1);
    let broken = !line.trim().contains(' ') && line.contains(['=', '/', '_', '?', '&', ')', '>']);
    above.chars().count() >= 65 || open || broken
}
