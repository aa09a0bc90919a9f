//! Which conversation a mail belongs to, as far as the mail itself tells: signals, strongest first. What they point to is
//! looked up outside, and only within the conversations of whoever wrote the mail: a signal never gives anybody a right.

use common::domain::ids::{EmailAddress, ThreadId};

use super::parse::ParsedMail;
use super::trace::{Stage, Trace};
use crate::secrets::SecretKey;

/// The most ids that are looked up.
const MAX_ANSWERED: usize = 50;
/// The most ids that are read of one mail.
const MAX_REFERENCES: usize = 1000;
const MAX_ID_BYTES: usize = 998;
/// The most `Conversation ID` lines that are believed.
const MAX_LINES: usize = 3;

/// One hint at a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ThreadSignal {
    /// It was sent to an address that only we can make, for this conversation.
    ReplyAddress(ThreadId),
    /// It answers a mail with an id that only we can make, for this conversation.
    OwnMessage(ThreadId),
    /// It answers a mail with this id, whoever wrote that.
    Answers(String),
    /// This is its own id: a mail that came earlier may have answered it.
    Itself(String),
    /// Its text repeats the line of our footer.
    ConversationLine(ThreadId),
}

/// The signals of a mail that reached us by these recipients, strongest first.
pub fn signals(
    mail: &ParsedMail,
    recipients: &[EmailAddress],
    key: &SecretKey,
    trace: &mut Trace,
) -> Vec<ThreadSignal> {
    let answered = answered(mail);
    let mut signals: Vec<ThreadSignal> = Vec::new();
    let mut add = |signal: ThreadSignal| {
        if !signals.contains(&signal) {
            signals.push(signal);
        }
    };
    recipients
        .iter()
        .filter_map(|to| key.thread_of_address(to))
        .for_each(|id| add(ThreadSignal::ReplyAddress(id)));
    answered
        .iter()
        .filter_map(|id| key.thread_of_message_id(id))
        .for_each(|id| add(ThreadSignal::OwnMessage(id)));
    for id in answered {
        add(ThreadSignal::Answers(id));
    }
    mail.message_id.iter().cloned().for_each(|id| add(ThreadSignal::Itself(id)));
    conversation_lines(&mail.text).for_each(|id| add(ThreadSignal::ConversationLine(id)));
    trace.note(Stage::Thread, describe(&signals));
    signals
}

/// The ids that an earlier or later mail of the same conversation is likely to name too: the mail it answers, and the
/// first and last of the chain.
pub fn landmarks(mail: &ParsedMail) -> Vec<String> {
    let chain = chain(mail);
    let mut ids: Vec<String> = Vec::new();
    let replied = mail.header("in-reply-to").flat_map(message_ids).next();
    for id in replied.into_iter().chain(chain.first().cloned()).chain(chain.last().cloned()) {
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    ids
}

/// In-Reply-To, then References from the last to the first; of a very long chain its end and its very first.
fn answered(mail: &ParsedMail) -> Vec<String> {
    let replied = mail.header("in-reply-to").flat_map(message_ids);
    let chain = chain(mail);
    let first = chain.first().cloned();
    let mut ids: Vec<String> = Vec::new();
    for id in replied.chain(chain.into_iter().rev()) {
        if ids.len() < MAX_ANSWERED && !ids.contains(&id) {
            ids.push(id);
        }
    }
    if let Some(first) = first.filter(|first| !ids.contains(first)) {
        ids.pop();
        ids.push(first);
    }
    ids
}

fn chain(mail: &ParsedMail) -> Vec<String> {
    mail.header("references").flat_map(message_ids).take(MAX_REFERENCES).collect()
}

/// The ids in lines `Conversation ID: ...`, however they are quoted or marked.
fn conversation_lines(text: &str) -> impl Iterator<Item = ThreadId> {
    text.lines().filter_map(conversation_line).take(MAX_LINES)
}

pub(super) fn conversation_line(line: &str) -> Option<ThreadId> {
    const LABEL: &str = "conversation id:";
    // Only ASCII letters change their case, so places stay the same.
    let at = line.to_ascii_lowercase().find(LABEL)?;
    if line[..at].chars().any(char::is_alphanumeric) {
        return None;
    }
    let rest = line[at + LABEL.len()..].trim_start_matches(|c: char| c.is_whitespace() || "*_`".contains(c));
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).unwrap_or(rest.len());
    ThreadId::parse_lenient(&rest[..end]).ok()
}

fn describe(signals: &[ThreadSignal]) -> String {
    let count = |is: fn(&ThreadSignal) -> bool| signals.iter().filter(|signal| is(signal)).count();
    let said: Vec<String> = [
        ("an address of ours", count(|signal| matches!(signal, ThreadSignal::ReplyAddress(_)))),
        ("answers of ours", count(|signal| matches!(signal, ThreadSignal::OwnMessage(_)))),
        ("other mails", count(|signal| matches!(signal, ThreadSignal::Answers(_)))),
        ("a conversation line", count(|signal| matches!(signal, ThreadSignal::ConversationLine(_)))),
    ]
    .iter()
    .filter(|(_, count)| *count > 0)
    .map(|(what, count)| format!("{what} ({count})"))
    .collect();
    if said.is_empty() {
        "it answers no other mail".to_owned()
    } else {
        format!("it refers to {}", said.join(", "))
    }
}

/// The `<...@...>` in a header value (comments and prose around them are tolerated), or the whole value when it is a bare
/// id (RFC 5322, section 3.6.4).
pub fn message_ids(value: &str) -> Vec<String> {
    let bracketed: Vec<String> = value
        .split('<')
        .skip(1)
        .filter_map(|rest| rest.split_once('>'))
        .map(|(id, _)| id.trim())
        .filter(|id| is_id(id))
        .map(str::to_owned)
        .collect();
    if bracketed.is_empty() && is_id(value.trim()) {
        return vec![value.trim().to_owned()];
    }
    bracketed
}

fn is_id(text: &str) -> bool {
    text.contains('@')
        && text.len() <= MAX_ID_BYTES
        && !text.contains(|c: char| c.is_whitespace() || c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::domain::ids::CommandId;

    fn key() -> SecretKey {
        SecretKey::fleeting()
    }

    fn of(raw: &str, key: &SecretKey) -> Vec<ThreadSignal> {
        let mail = crate::mail::read(raw.as_bytes()).unwrap();
        signals(&mail, &mail.recipients, key, &mut Trace::default())
    }

    fn thread(id: &str) -> ThreadId {
        ThreadId::parse(id).unwrap()
    }

    #[test]
    fn ids_are_found_among_comments_and_prose() {
        assert_eq!(message_ids("<a@b> (x) <c@d>"), ["a@b", "c@d"]);
        assert_eq!(message_ids("Message from Scott <a@b> of Monday"), ["a@b"]);
        assert_eq!(message_ids("a@b"), ["a@b"]);
        assert_eq!(
            message_ids("<conversation/6b/messages/1@x.y> <c@d>"),
            ["conversation/6b/messages/1@x.y", "c@d"]
        );
        assert!(message_ids("your mail of Monday").is_empty());
        assert!(message_ids("<no-at-sign>").is_empty());
    }

    #[test]
    fn s18_an_id_is_the_same_with_and_without_angle_brackets() {
        let raw = |id: &str| format!("From: a@b.c\r\nIn-Reply-To: {id}\r\n\r\nhello");
        assert_eq!(of(&raw("<x@y>"), &key()), of(&raw("x@y"), &key()));
    }

    #[test]
    fn the_mail_replied_to_counts_more_than_the_chain_and_its_end_more_than_its_start() {
        let raw = "From: a@b.c\r\nIn-Reply-To: <r@x>\r\nReferences: <1@x>\r\n <2@x> <r@x>\r\n\r\nhello";
        let ids = ["r@x", "2@x", "1@x"].map(|id| ThreadSignal::Answers(id.to_owned()));
        assert_eq!(of(raw, &key()), ids);
    }

    #[test]
    fn what_only_we_can_make_comes_first_and_the_line_in_the_text_last() {
        let key = key();
        let own = EmailAddress::parse("hermes@localhost").unwrap();
        let to = key.reply_address(&own, &thread("by-address")).unwrap();
        let id = key.message_id(&thread("by-message"), CommandId::parse("c1").unwrap(), "localhost");
        let raw = format!(
            "From: a@b.c\r\nTo: {to}\r\nMessage-ID: <m@x>\r\nReferences: <1@x> <{id}>\r\n\r\nhello\r\n> *Conversation ID: by-line-1*\r\n"
        );
        let wanted = [
            ThreadSignal::ReplyAddress(thread("by-address")),
            ThreadSignal::OwnMessage(thread("by-message")),
            ThreadSignal::Answers(id),
            ThreadSignal::Answers("1@x".into()),
            ThreadSignal::Itself("m@x".into()),
            ThreadSignal::ConversationLine(thread("by-line-1")),
        ];
        assert_eq!(of(&raw, &key), wanted);
        let others = of(&raw, &SecretKey::fleeting());
        assert!(
            !others.iter().any(|s| matches!(s, ThreadSignal::ReplyAddress(_) | ThreadSignal::OwnMessage(_)))
        );
    }

    #[test]
    fn only_a_line_of_its_own_names_a_conversation() {
        for line in [
            "Conversation ID: abc-123",
            "> > conversation id: thread-abc-123.",
            "| *Conversation ID:* abc-123 |",
        ] {
            assert_eq!(conversation_line(line), Some(thread("abc-123")), "{line}");
        }
        for line in
            ["The Conversation ID: abc-123", "Conversation ID:", "Conversation ID: ab", "conversation"]
        {
            assert_eq!(conversation_line(line), None, "{line}");
        }
    }

    #[test]
    fn a_very_long_chain_keeps_its_end_and_its_first() {
        let chain = (0..2000).map(|n| format!("<{n}@x>")).collect::<Vec<_>>().join("\r\n ");
        let signals = of(&format!("From: a@b.c\r\nReferences: {chain}\r\n\r\nhello"), &key());
        assert_eq!(signals.len(), MAX_ANSWERED);
        assert_eq!(signals[0], ThreadSignal::Answers("999@x".into()));
        assert_eq!(signals[MAX_ANSWERED - 1], ThreadSignal::Answers("0@x".into()));
    }
}
