//! Whether a mail that its author wrote was written to us, and now. A signature holds wherever and whenever a mail is sent
//! again (RFC 6376, section 8.6), so that whoever once got a mail of an owner could send it on to us. Pure.

use std::time::Duration;

use common::domain::ids::EmailAddress;
use common::domain::timestamp::Timestamp;
use mail_parser::DateTime;

use super::Desk;
use super::dkim::OwnSignatures;
use super::parse::ParsedMail;
use super::sender::Assurance;
use super::trace::{Stage, Trace};
use super::verdict::Verdicts;

/// A mail is on its way for no longer: servers try for four to five days (RFC 5321, section 4.5.4.1), and a mail program may
/// have kept it for two before. So much may a clock be ahead, too.
const MAX_AGE: Duration = Duration::from_hours(7 * 24);

/// What tells it from other mails hangs on these, as far as they are signed.
const TELLING: [&str; 4] = ["date", "message-id", "to", "cc"];
/// Of these there is one (RFC 5322, section 3.6; RFC 2045): of several one was signed, and another one may be read.
const ONCE: [&str; 9] = [
    "cc",
    "to",
    "subject",
    "date",
    "message-id",
    "content-type",
    "content-transfer-encoding",
    "content-disposition",
    "mime-version",
];
/// Whom it is written to.
const ADDRESSING: [&str; 2] = ["to", "cc"];

/// How sure it is that a mail is its author's word to us, when so much is sure about who wrote it.
pub(super) fn assurance(
    mail: &ParsedMail,
    author: (&EmailAddress, Assurance),
    found: &Verdicts,
    desk: Desk<'_>,
    at: Timestamp,
    trace: &mut Trace,
) -> Assurance {
    let (author, assured) = author;
    if let Some(why) = stray(mail, desk, at) {
        trace.note(Stage::Sender, format!("{why}; its author has to say that it is meant for us"));
        return Assurance::Stray;
    }
    let Some((left, why)) = changeable(mail, author, found, desk) else { return assured };
    trace.note(Stage::Sender, why);
    match left {
        // Whoever sends it on may make any number of mails of it.
        Left::Mail => Assurance::Stray,
        Left::Place if assured == Assurance::Full => Assurance::Partial,
        Left::Place => assured,
    }
}

/// Why it seems to be written to somebody else, or long ago.
fn stray(mail: &ParsedMail, desk: Desk<'_>, at: Timestamp) -> Option<String> {
    if !ADDRESSING.iter().any(|name| reaches_us(mail, name, desk)) {
        return Some("neither To nor Cc names an address of ours".into());
    }
    let mut dates = mail.header("date").filter(|date| !date.is_empty()).peekable();
    dates.peek()?;
    let Some(date) = date(mail) else { return Some("its Date cannot be read".into()) };
    let away = at.since(date).max(date.since(at));
    (away > MAX_AGE).then(|| format!("it is dated {}, more than {} days away", date.day(), days(MAX_AGE)))
}

fn days(time: Duration) -> u64 {
    time.as_secs() / (24 * 60 * 60)
}

fn date(mail: &ParsedMail) -> Option<Timestamp> {
    let seconds = DateTime::parse_rfc822(mail.header("date").next()?)?.to_timestamp();
    Some(Timestamp::from_millis(seconds.saturating_mul(1000)))
}

/// Whether this field names an address of ours; of several fields, nobody can tell which one was signed.
fn reaches_us(mail: &ParsedMail, name: &str, desk: Desk<'_>) -> bool {
    let addresses = if name == "to" { &mail.to } else { &mail.cc };
    mail.header(name).count() == 1 && addresses.iter().any(|to| desk.is_ours(to))
}

/// What is left to whoever sends a mail on.
enum Left {
    /// To whom and when it was written. It stays the same mail, which counts once.
    Place,
    /// What it says, or what tells it from other mails.
    Mail,
}

/// What of it that matters whoever got it could have changed before they sent it on: nothing when its author's own host
/// brought it, or signed all of that.
fn changeable(
    mail: &ParsedMail,
    author: &EmailAddress,
    found: &Verdicts,
    desk: Desk<'_>,
) -> Option<(Left, String)> {
    if found.sent.as_ref().is_some_and(|host| host.is_kin_of(author.domain())) {
        return None;
    }
    if !mail.all_fields {
        return Some((
            Left::Mail,
            "its header has a line that is no field, where it may end for others".into(),
        ));
    }
    if let Some(name) = ONCE.iter().find(|name| mail.header(name).nth(1).is_some()) {
        return Some((Left::Mail, format!("it has several {name} fields, and one was signed at most")));
    }
    if mail.stray_returns {
        return Some((
            Left::Mail,
            "there are carriage returns within its lines, for which no signature holds".into(),
        ));
    }
    // Which one held is not always told; whoever adds one that does not only makes us ask.
    let own = OwnSignatures::of(mail)?;
    if own.are_partial() {
        let why = "its signature covers the beginning of its text only (RFC 6376, section 8.2)";
        return Some((Left::Mail, why.into()));
    }
    if !own.cover("subject") {
        return Some((Left::Mail, "its subject is not signed".into()));
    }
    if let Some(name) = TELLING.iter().find(|name| own.disagree(name)) {
        return Some((Left::Mail, format!("not all of its signatures cover its {name}")));
    }
    let shaping = [
        ("content-type", mail.shape.usual_type),
        ("content-transfer-encoding", mail.shape.usual_encoding),
        ("content-disposition", mail.shape.usual_disposition),
    ];
    if let Some((name, _)) = shaping.iter().find(|(name, usual)| !usual && !own.cover(name)) {
        return Some((
            Left::Mail,
            format!("its {name} is not signed, and is not what mail programs write there"),
        ));
    }
    // What is signed and not there does not tell it from others.
    let named = own.cover("message-id") && mail.message_id.is_some();
    let dated = own.cover("date") && mail.header("date").any(|date| !date.is_empty());
    if !dated {
        return Some((if named { Left::Place } else { Left::Mail }, "its date is not signed".into()));
    }
    let addressed = ADDRESSING.iter().any(|name| reaches_us(mail, name, desk) && own.cover(name));
    (!addressed).then(|| (Left::Place, "whom it is written to is not signed".into()))
}

#[cfg(test)]
mod tests {
    use super::super::recipient::Place;
    use super::super::verdict::{Dmarc, Domain};
    use super::*;
    use crate::secrets::SecretKey;

    const NOW: &str = "2026-03-03T10:00:00Z";
    const ALL: &str = "from:to:cc:subject:date";
    const TO_US: &str = "To: edit@hermes.org\r\nSubject: x\r\nDate: Tue, 3 Mar 2026 09:00:00 +0000";

    /// Of a mail of a@example.org with these fields, for whose domain DMARC passed.
    fn judged(fields: &str, sent: Option<&str>) -> Assurance {
        judged_of(fields, "hello", sent)
    }

    fn judged_of(fields: &str, body: &str, sent: Option<&str>) -> Assurance {
        let raw = format!("From: a@example.org\r\n{fields}\r\n\r\n{body}");
        let mail = crate::mail::read(raw.as_bytes()).unwrap();
        let (own, key) = (EmailAddress::parse("hermes@hermes.org").unwrap(), SecretKey::fleeting());
        let places: Vec<Place> =
            ["in.example.net", "web@example.org"].map(|text| text.parse().unwrap()).into();
        let desk = Desk { own: &own, places: &places, key: &key };
        let domain = |text: &str| Domain::parse(text).unwrap();
        let dmarc = Dmarc::Pass(domain("example.org"));
        let found = Verdicts { by: "a test".into(), dmarc, signed: Vec::new(), sent: sent.map(domain) };
        let author = EmailAddress::parse("a@example.org").unwrap();
        let at = Timestamp::parse(NOW).unwrap();
        assurance(&mail, (&author, Assurance::Full), &found, desk, at, &mut Trace::default())
    }

    fn signed(domain: &str, names: &str, fields: &str) -> String {
        format!("DKIM-Signature: v=1; a=rsa-sha256; d={domain}; s=s;\r\n h={names}; bh=x; b=y\r\n{fields}")
    }

    #[test]
    fn a_mail_to_somebody_else_is_stray_whoever_brought_it() {
        for to in ["friend@example.net", "x@hermes.org.evil.org", "x@nothermes.org", "staff@example.org"] {
            let fields = TO_US.replace("edit@hermes.org", to);
            assert_eq!(judged(&signed("example.org", ALL, &fields), None), Assurance::Stray, "{to}");
            assert_eq!(judged(&fields, Some("example.org")), Assurance::Stray, "{to}");
        }
        let blind = "Delivered-To: edit@hermes.org\r\nSubject: x\r\nDate: Tue, 3 Mar 2026 09:00:00 +0000";
        assert_eq!(judged(blind, None), Assurance::Stray, "where it was delivered is not its author's word");
    }

    #[test]
    fn every_address_of_ours_counts_among_others_too() {
        let plus = "hermes+a.b@hermes.org";
        for to in ["x@hermes.org", "x@amelia.hermes.org", plus, "X@In.Example.Net", "web+y@example.org"] {
            let fields = TO_US.replace("edit@hermes.org", &format!("friend@example.net, {to}"));
            assert_eq!(judged(&signed("example.org", ALL, &fields), None), Assurance::Full, "{to}");
            let copied = fields.replace("To:", "To: friend@example.net\r\nCc:");
            assert_eq!(judged(&signed("example.org", ALL, &copied), None), Assurance::Full, "{to}");
        }
    }

    #[test]
    fn an_old_mail_is_stray_and_so_is_one_of_the_far_future() {
        for (date, wanted) in [
            ("Tue, 24 Feb 2026 11:00:00 +0000", Assurance::Full),
            ("Tue, 24 Feb 2026 09:00:00 +0000", Assurance::Stray),
            ("Tue, 3 Mar 2020 10:00:00 +0000", Assurance::Stray),
            ("Tue, 10 Mar 2026 09:00:00 +0000", Assurance::Full),
            ("Tue, 10 Mar 2026 11:00:00 +0000", Assurance::Stray),
        ] {
            let fields = TO_US.replace("Tue, 3 Mar 2026 09:00:00 +0000", date);
            assert_eq!(judged(&signed("example.org", ALL, &fields), None), wanted, "{date}");
        }
    }

    #[test]
    fn what_is_not_signed_could_have_been_changed() {
        for (names, wanted) in [
            ("from", Assurance::Stray),
            ("from:to:subject", Assurance::Stray),
            ("from:to:date:message-id", Assurance::Stray),
            ("from:to:subject:message-id", Assurance::Stray),
            ("from:subject:date", Assurance::Partial),
            ("from:cc:subject:date", Assurance::Partial),
        ] {
            assert_eq!(judged(&signed("example.org", names, TO_US), None), wanted, "{names}");
            let brought = judged(&signed("example.org", names, TO_US), Some("bounces.example.org"));
            assert_eq!(brought, Assurance::Full, "its own host brought it: {names}");
        }
        let copied = TO_US.replace("To: edit@hermes.org", "To: friend@example.net\r\nCc: edit@hermes.org");
        let names = "from:to:subject:date";
        assert_eq!(
            judged(&signed("example.org", names, &copied), None),
            Assurance::Partial,
            "a copy was added"
        );
        let twice = format!("Cc: edit@hermes.org\r\n{copied}");
        assert_eq!(judged(&signed("example.org", ALL, &twice), None), Assurance::Stray, "two fields");
        let above = format!("Cc: x@example.net\r\nCc: y@example.net\r\n{TO_US}");
        assert_eq!(judged(&signed("example.org", ALL, &above), None), Assurance::Stray, "one was added");
    }

    #[test]
    fn what_is_signed_and_not_there_does_not_tell_a_mail_from_others() {
        let undated = TO_US.split("\r\nDate").next().unwrap();
        let named = format!("Message-ID: <1@example.org>\r\n{undated}");
        let all = format!("{ALL}:message-id");
        for (fields, wanted) in [(undated, Assurance::Stray), (named.as_str(), Assurance::Partial)] {
            assert_eq!(judged(&signed("example.org", &all, fields), None), wanted, "{fields}");
        }
        let signed_id =
            signed("example.org", "from:to:subject:message-id", &format!("Message-ID: <1@x>\r\n{TO_US}"));
        assert_eq!(judged(&signed_id, None), Assurance::Partial, "its date is not signed");
    }

    #[test]
    fn signed_words_in_letters_that_are_not_signed_could_read_otherwise() {
        let other = format!("Content-Type: text/plain; charset=UTF-7\r\n{TO_US}");
        assert_eq!(judged(&signed("example.org", ALL, &other), None), Assurance::Stray);
        let signed_kind = signed("example.org", &format!("{ALL}:content-type"), &other);
        assert_eq!(judged(&signed_kind, None), Assurance::Full);
    }

    #[test]
    fn parts_that_are_not_signed_are_taken_as_programs_cut_them_only() {
        let text = "Hello.\r\n--x\r\n\r\nRed.\r\n--x--\r\n";
        let parts = "--x\r\n\r\nRed.\r\n--x--\r\n";
        for (body, names, wanted) in [
            (text, ALL, Assurance::Stray),
            (text, &format!("{ALL}:content-type"), Assurance::Full),
            (parts, ALL, Assurance::Full),
        ] {
            let kind = format!("Content-Type: multipart/mixed; boundary=x\r\n{TO_US}");
            let found = judged_of(&signed("example.org", names, &kind), body, None);
            assert_eq!(found, wanted, "{names} {body}");
        }
    }

    #[test]
    fn a_letter_that_came_along_is_no_order_whatever_its_parts_are_said_to_be() {
        let both =
            "Content-Type: multipart/alternative; boundary=y\r\n\r\n--y\r\n\r\nKeep the letter.\r\n--y--";
        let letter = "Content-Disposition: attachment; filename=letter.txt\r\n\r\nDelete the price list.";
        let body = format!("--x\r\n{both}\r\n--x\r\n{letter}\r\n--x--\r\n");
        for (kind, names, wanted) in [
            ("mixed", ALL, Assurance::Full),
            ("alternative", ALL, Assurance::Stray),
            ("digest", ALL, Assurance::Stray),
            ("alternative", &format!("{ALL}:content-type"), Assurance::Full),
        ] {
            let fields = format!("Content-Type: multipart/{kind}; boundary=x\r\n{TO_US}");
            let found = judged_of(&signed("example.org", names, &fields), &body, None);
            assert_eq!(found, wanted, "{kind} {names}");
        }
    }

    #[test]
    fn a_date_that_cannot_be_read_is_none_of_now() {
        for date in ["3 M\r\n \u{e4}r 2020", "yesterday", "Tue, 3 March"] {
            let fields = TO_US.replace("Tue, 3 Mar 2026 09:00:00 +0000", date);
            assert_eq!(judged(&signed("example.org", ALL, &fields), None), Assurance::Stray, "{date}");
        }
    }

    #[test]
    fn returns_within_lines_and_a_second_field_are_nobodys_word() {
        let found = judged_of(&signed("example.org", ALL, TO_US), "he\rllo", None);
        assert_eq!(found, Assurance::Stray);
        let all = format!("{ALL}:content-type");
        let twice = format!("Content-Type: text/plain\r\nContent-Type: text/plain\r\n{TO_US}");
        assert_eq!(judged(&signed("example.org", &all, &twice), None), Assurance::Stray);
    }

    #[test]
    fn a_line_that_is_no_field_may_end_the_header_for_others() {
        for line in ["junk", ":x"] {
            let fields = format!("X-Y: z\r\n{line}\r\n{TO_US}");
            assert_eq!(judged(&signed("example.org", ALL, &fields), None), Assurance::Stray, "{line}");
            assert_eq!(judged(&fields, None), Assurance::Stray, "whoever says so: {line}");
            assert_eq!(
                judged(&fields, Some("example.org")),
                Assurance::Full,
                "its own host brought it: {line}"
            );
        }
    }

    #[test]
    fn a_second_signature_does_not_speak_for_the_first() {
        let first = signed("mail.example.org", "from", TO_US);
        assert_eq!(judged(&signed("example.org", ALL, &first), None), Assurance::Stray);
        let of_a_list = signed("lists.example.net", "from", TO_US);
        assert_eq!(judged(&signed("example.org", ALL, &of_a_list), None), Assurance::Full);
        let named = format!("{ALL}:message-id");
        let both = signed("example.org", ALL, &signed("example.org", &named, TO_US));
        assert_eq!(judged(&both, None), Assurance::Stray, "one of them leaves out what tells mails apart");
        let shortened = signed("example.org", ALL, TO_US).replace("bh=x", "l=5; bh=x");
        assert_eq!(judged(&shortened, None), Assurance::Stray, "text could have been appended");
    }
}
