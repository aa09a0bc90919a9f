//! Which mails a mail answers. Only ids: whether they are known, and to whose conversation they belong, is looked up outside.

use super::parse::ParsedMail;
use super::trace::{Stage, Trace};

/// The most ids that are looked up.
const MAX_RELATED: usize = 50;
const MAX_ID_BYTES: usize = 998;

/// The ids of the mails it answers: In-Reply-To, then References from the last to the first.
pub fn related(mail: &ParsedMail, trace: &mut Trace) -> Vec<String> {
    let replied = mail.header("in-reply-to").flat_map(message_ids);
    let mut chain: Vec<String> = mail.header("references").flat_map(message_ids).collect();
    chain.reverse();
    let mut ids: Vec<String> = Vec::new();
    for id in replied.chain(chain) {
        if ids.len() < MAX_RELATED && !ids.contains(&id) {
            ids.push(id);
        }
    }
    trace.note(
        Stage::Thread,
        match ids.len() {
            0 => "it answers no other mail".to_owned(),
            count => format!("it refers to {count} other mails"),
        },
    );
    ids
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

    #[test]
    fn ids_are_found_among_comments_and_prose() {
        assert_eq!(message_ids("<a@b> (x) <c@d>"), ["a@b", "c@d"]);
        assert_eq!(message_ids("Message from Scott <a@b> of Monday"), ["a@b"]);
        assert_eq!(message_ids("a@b"), ["a@b"]);
        assert!(message_ids("your mail of Monday").is_empty());
        assert!(message_ids("<no-at-sign>").is_empty());
    }

    #[test]
    fn the_mail_replied_to_counts_more_than_the_chain_and_its_end_more_than_its_start() {
        let raw = b"From: a@b.c\r\nIn-Reply-To: <r@x>\r\nReferences: <1@x>\r\n <2@x> <r@x>\r\n\r\nhello";
        let mail = crate::mail::read(raw).unwrap();
        assert_eq!(related(&mail, &mut Trace::default()), ["r@x", "2@x", "1@x"]);
    }
}
