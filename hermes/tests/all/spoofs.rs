//! Mails that pretend: 18 classes of forged authors x 5 findings x 2 ways in, genuine ones beside them, conversations that are
//! not one's own, and words that would be header fields.

use std::time::Duration;

use common::cloud::queue::Outgoing;
use common::domain::names::Queue;
use serde_json::{Value, json};

use crate::support::{World, mail, text};

const SERVER: &str = "mx.example.net";

/// Header fields that would have a reader, or a lenient parser, see scott@example.org.
const FORGED: [&str; 18] = [
    "From: scott@example.org",
    "From: \"Scott\" <scott@example.org>",
    "From: \"scott@example.org\" <x@evil.org>",
    "From: x@evil.org\r\nFrom: scott@example.org",
    "From: scott@example.org\r\nFrom: x@evil.org",
    "From: scott@example.org, x@evil.org",
    "From: <x@evil.org>, <scott@example.org>",
    "From: friends: scott@example.org, x@evil.org;",
    "From: x@evil.org\r\nfrom : scott@example.org",
    "From: Scott\r\n <scott@example.org>",
    "From: x@evil.org (scott@example.org)",
    "From: =?utf-8?q?scott=40example.org?= <x@evil.org>",
    "From: scott@ex\u{430}mple.org",
    "From: scott@sub.example.org",
    "From: scott@example.org.evil.org",
    "From: x@evil.org\r\nSender: scott@example.org\r\nReply-To: scott@example.org",
    "From: \"scott@example.org\"@evil.org",
    "Authentication-Results: mx.example.net; dmarc=pass header.from=example.org\r\nAuthentication-Results: amazonses.com; dmarc=pass header.from=example.org\r\nFrom: scott@example.org",
];

/// What the server, or SES, found: never a pass for example.org.
const FINDINGS: [&str; 5] = [
    "spf=fail smtp.mailfrom=x@evil.org; dkim=none; dmarc=fail header.from=example.org",
    "spf=pass smtp.mailfrom=x@evil.org; dkim=pass header.d=evil.org; dmarc=pass header.from=evil.org",
    "spf=none; dkim=pass header.d=evil.org; dmarc=none header.from=example.org",
    "spf=pass smtp.mailfrom=x@evil.org; dkim=none; dmarc=none header.from=example.org",
    "spf=softfail smtp.mailfrom=scott@example.org; dkim=fail header.d=example.org; dmarc=temperror header.from=example.org",
];

fn raw(results: &str, from: &str, id: usize) -> String {
    format!(
        "Authentication-Results: {results}\r\n{from}\r\nTo: edit@hermes.localhost\r\nSubject: Hours\r\nMessage-ID: <{id}@x>\r\n\r\nchange 7 to 8 ({id})\r\n"
    )
}

/// The notice of SES about a mail, its receipt as its results.
fn notice(findings: &str, from: &str, id: usize) -> String {
    let verdict = |name: &str| match findings.split(&format!("{name}=")).nth(1) {
        Some(rest) if rest.starts_with("pass") => json!({"status": "PASS"}),
        Some(rest) if rest.starts_with("fail") => json!({"status": "FAIL"}),
        _ => json!({"status": "GRAY"}),
    };
    let content = raw(&format!("amazonses.com; {findings}"), from, id);
    json!({"notificationType": "Received", "content": content, "receipt": {"action": {"encoding": "UTF8"},
        "spfVerdict": verdict("spf"), "dkimVerdict": verdict("dkim"), "dmarcVerdict": verdict("dmarc")}})
    .to_string()
}

async fn by_queue(world: &World, body: String) {
    world.cloud().queues.send(&Queue::Email, Outgoing::standard(body)).await.unwrap();
    for delivery in world.cloud().queues.receive(&Queue::Email, 10, Duration::ZERO).await.unwrap() {
        hermes::ingest::queue::take(&world.app, &delivery).await.unwrap();
    }
}

async fn pinning() -> World {
    World::verifying(&["--authserv-id", SERVER], &[]).await
}

#[tokio::test]
async fn forged_authors_are_refused_whatever_was_found_and_on_every_way() {
    let world = pinning().await;
    let settings = json!({"repoUrl": "https://github.com/you/amelia.git", "requireDmarc": false});
    world.call("PUT", "/v1/projects/amelia", Some(settings)).await;
    let mut tried = 0;
    for from in FORGED {
        for findings in FINDINGS {
            tried += 1;
            let answer = world.accepted(raw(&format!("{SERVER}; {findings}"), from, tried)).await;
            assert_ne!(answer["ending"], "routed", "{from:?} {findings}");
            assert!(answer.get("commandId").is_none(), "{from:?} {findings}");
            by_queue(&world, notice(findings, from, 1000 + tried)).await;
        }
    }
    assert_eq!(tried, 90);
    let works = world.works("amelia#scott").await;
    assert!(works.is_empty(), "{works:?}");
    assert_eq!(world.announcements().await, 0, "and no worker hears of it");
    assert_eq!(
        addressed(&world),
        ["To: x@evil.org"],
        "only who shows to be x@evil.org hears, once, that they are unknown"
    );
}

#[tokio::test]
async fn twenty_genuine_mails_are_taken() {
    let world = pinning().await;
    let found = "spf=pass smtp.mailfrom=scott@example.org; dkim=pass header.d=example.org; dmarc=pass header.from=example.org";
    let genuine = [
        "From: scott@example.org",
        "From: <scott@example.org>",
        "From: Scott <scott@example.org>",
        "From: \"Scott, the owner\" <scott@example.org>",
        "From: =?utf-8?q?Sc=C3=B6tt?= <scott@example.org>",
        "From: Scott\r\n <scott@example.org>",
        "FROM: SCOTT@EXAMPLE.ORG",
        "from: scott@example.org (Scott)",
        "From: \"x@evil.org\" <scott@example.org>",
        "From: scott@example.org\r\nReply-To: elsewhere@example.net",
    ];
    for (at, from) in genuine.iter().enumerate() {
        let answer = world.accepted(raw(&format!("{SERVER}; {found}"), from, at)).await;
        assert_eq!(answer["ending"], "routed", "{from:?}");
        by_queue(&world, notice(found, from, 100 + at)).await;
    }
    assert_eq!(world.works("amelia#scott").await.len(), 20);
}

/// Fields that one reader takes for an author or an addressee, and another does not.
const HALF_SEEN: [&str; 8] = [
    "F rom: scott@example.org",
    "Fro\tm: scott@example.org",
    ":From: scott@example.org",
    "X: y\r\n : From: scott@example.org\r\n:From: scott@example.org",
    "From\r\n : scott@example.org\r\nF\u{c}rom: scott@example.org",
    "T o: edit@hermes.localhost",
    "C c: edit@hermes.localhost",
    "S ubject: delete everything",
];

#[tokio::test]
async fn a_field_that_only_some_readers_see_shows_nobody_as_the_author_and_reaches_nobody() {
    let world = pinning().await;
    let found = "spf=none; dkim=pass header.d=example.org; dmarc=pass header.from=example.org";
    for (at, field) in HALF_SEEN.iter().enumerate() {
        for (from, to) in
            [("eve@example.org", "edit@hermes.localhost"), ("scott@example.org", "friend@example.net")]
        {
            let genuine = raw(&format!("{SERVER}; {found}"), &format!("From: {from}"), at);
            let genuine = genuine.replace("edit@hermes.localhost", to);
            for mail in [
                genuine.replacen("\r\n\r\n", &format!("\r\n{field}\r\n\r\n"), 1),
                format!("{field}\r\n{genuine}"),
            ] {
                let answer = world.accepted(mail).await;
                assert_ne!(answer["ending"], "routed", "{from} {to} {field:?}");
            }
        }
    }
    assert!(world.works("amelia#scott").await.is_empty());
}

/// What scott once wrote, and signed, and what somebody who got it may make of it: none of it was written to us, now.
const PASSED_ON: [(&str, &str); 9] = [
    ("to a friend", "To: friend@example.net"),
    ("to a friend who added us, unsigned", "To: friend@example.net\r\nX-Copy: edit@hermes.localhost"),
    (
        "to a friend whose server says where it was delivered",
        "Delivered-To: edit@hermes.localhost\r\nTo: friend@example.net",
    ),
    ("to a friend, and sent to us anew", "Resent-To: edit@hermes.localhost\r\nTo: friend@example.net"),
    ("to a list of people who are not named", "To: undisclosed-recipients:;"),
    ("to nobody", "Bcc: edit@hermes.localhost"),
    ("to a domain that looks like ours", "To: edit@hermes.localhost.evil.org"),
    ("to us by name only", "To: \"edit@hermes.localhost\" <friend@example.net>"),
    ("to us, with a second Cc", "Cc: edit@hermes.localhost\r\nCc: x@example.net\r\nTo: friend@example.net"),
];

#[tokio::test]
async fn a_genuine_mail_that_somebody_sends_on_to_us_has_to_be_confirmed() {
    let world = pinning().await;
    let settings = json!({"repoUrl": "https://github.com/you/amelia.git", "requireDmarc": false});
    world.call("PUT", "/v1/projects/amelia", Some(settings)).await;
    let signed = |names: &str, date: &str, to: &str| {
        format!(
            "DKIM-Signature: v=1; d=example.org; s=s; h={names}; bh=x; b=y\r\nDate: {date}\r\nFrom: scott@example.org\r\n{to}"
        )
    };
    let found = "dkim=pass header.d=example.org; dmarc=pass header.from=example.org";
    let (all, now) = ("from:to:cc:subject:date", "Tue, 3 Mar 2026 09:59:00 +0000");
    let mut tried = 0;
    let mut send = async |fields: &str, wanted: &str, what: &str| {
        tried += 1;
        let raw = |results: &str, id: usize| {
            raw(results, fields, id).replace("\r\nTo: edit@hermes.localhost\r\nSubject", "\r\nSubject")
        };
        let answer = world.accepted(raw(&format!("{SERVER}; {found}"), tried)).await;
        assert_eq!(answer["ending"], wanted, "{what}");
        let content = raw(&format!("amazonses.com; {found}"), 1000 + tried);
        let pass = json!({"status": "PASS"});
        let notice = json!({"notificationType": "Received", "content": content, "receipt": {
            "action": {"encoding": "UTF8"}, "spfVerdict": {"status": "GRAY"}, "dkimVerdict": pass, "dmarcVerdict": pass}});
        by_queue(&world, notice.to_string()).await;
        let works = world.works("amelia#scott").await.len();
        assert_eq!(works, if wanted == "routed" { 2 } else { 0 }, "{what}");
        world.clock.advance(Duration::from_mins(1));
    };
    send(&signed(all, now, "To: edit@hermes.localhost"), "routed", "to us, now").await;
    for (what, to) in PASSED_ON {
        send(&signed(all, now, to), "confirmation-asked", what).await;
    }
    let old = "Mon, 16 Feb 2026 10:00:00 +0000";
    send(&signed(all, old, "To: edit@hermes.localhost"), "confirmation-asked", "to us, two weeks ago").await;
    assert!(addressed(&world).iter().all(|to| to == "To: scott@example.org"), "only scott is asked");
}

#[tokio::test]
async fn what_somebody_could_have_changed_has_to_be_confirmed_where_dmarc_is_wanted() {
    let world = pinning().await;
    let found = "dkim=pass header.d=example.org; dmarc=pass header.from=example.org";
    let date = "Date: Tue, 3 Mar 2026 09:59:00 +0000";
    for (at, names) in ["from", "from:to:subject", "from:subject:date", "from:to:date"].iter().enumerate() {
        let from = format!(
            "DKIM-Signature: v=1; d=example.org; s=s; h={names}; bh=x; b=y\r\n{date}\r\nFrom: scott@example.org"
        );
        let answer = world.accepted(raw(&format!("{SERVER}; {found}"), &from, at)).await;
        assert_eq!(answer["ending"], "confirmation-asked", "{names}");
        let sent = format!("{SERVER}; spf=pass smtp.mailfrom=scott@example.org; {found}");
        let answer = world.accepted(raw(&sent, &from, 100 + at)).await;
        assert_eq!(answer["ending"], "routed", "its own host brought it: {names}");
    }
}

#[tokio::test]
async fn an_address_that_passes_mail_on_to_us_is_ours_when_that_is_said() {
    let arguments = ["--authserv-id", SERVER, "--mail-to", "in.example.net,web@bakery.example"];
    let world = World::verifying(&arguments, &[]).await;
    let found = "dmarc=pass header.from=example.org";
    for (at, (to, wanted)) in [
        ("x@in.example.net", "routed"),
        ("web@bakery.example", "routed"),
        ("staff@bakery.example", "confirmation-asked"),
    ]
    .iter()
    .enumerate()
    {
        let raw = raw(&format!("{SERVER}; {found}"), "From: scott@example.org", at);
        let answer = world.accepted(raw.replace("edit@hermes.localhost", to)).await;
        assert_eq!(answer["ending"], *wanted, "{to}");
    }
}

fn reply(from: &str, id: &str, fields: &str, words: &str) -> String {
    let raw = mail(id, words).replace("Scott <scott@example.org>", from);
    if fields.is_empty() { raw } else { raw.replace("Subject:", &format!("{fields}\r\nSubject:")) }
}

#[tokio::test]
async fn a_conversation_of_somebody_else_cannot_be_entered_and_answers_go_to_the_author_alone() {
    let world = World::with_scott().await;
    world.sender("bob@example.org", "amelia", "bob").await;
    let first = world.accepted(mail("1", "change 7 to 8")).await;
    let (thread, command) = (text(&first, "threadId").to_owned(), text(&first, "commandId").to_owned());
    world.report(world.result(&command).await.to_json()).await;
    let answer = world.outbox().remove(0);
    let field = |name: &str| {
        let line = answer.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_once(':').map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    };
    let (ours, reply_to) = (field("Message-ID:"), field("Reply-To:"));
    world.works("amelia#scott").await;
    let fields = [
        format!("In-Reply-To: {ours}"),
        format!("References: {ours}"),
        format!("References: <1@example.org> {ours}"),
        "In-Reply-To: <1@example.org>".to_owned(),
        "References: <0@x> <1@example.org>".to_owned(),
        format!("Cc: {reply_to}"),
        format!("Cc: scott@example.org\r\nIn-Reply-To: {ours}"),
        format!("Reply-To: scott@example.org\r\nIn-Reply-To: {ours}"),
        format!("Sender: scott@example.org\r\nIn-Reply-To: {ours}"),
        format!("Delivered-To: {reply_to}"),
    ];
    let mut tried = 0;
    let conversation = format!("Conversation ID: {thread}");
    for field in &fields {
        for (who, known) in
            [("bob@example.org", true), ("stranger@example.net", false), ("scott@example.net", false)]
        {
            tried += 1;
            let words = format!("mine now {tried}\r\n\r\n{conversation}");
            let taken = world.accepted(reply(who, &format!("abuse-{tried}"), field, &words)).await;
            if known {
                assert_ne!(taken["threadId"], thread.as_str(), "{who} {field}");
            } else {
                assert_eq!(taken["ending"], "unknown-sender", "{who} {field}");
            }
        }
    }
    assert_eq!(tried, 30);
    assert!(world.works("amelia#scott").await.is_empty(), "nothing was done in scott's name");
    let work = world.works("amelia#bob").await.remove(0);
    world.report(world.result(text(&work, "commandId")).await.to_json()).await;
    let strangers = ["To: stranger@example.net", "To: scott@example.net"];
    let mut to = addressed(&world);
    to.sort_unstable_by_key(|to| std::cmp::Reverse(to.clone()));
    let (refusals, answers): (Vec<&str>, Vec<&str>) =
        to.iter().map(String::as_str).partition(|to| strangers.contains(to));
    assert_eq!(answers, ["To: scott@example.org", "To: bob@example.org"]);
    assert_eq!(refusals, strangers, "each hears once that they are unknown");
}

/// Whom the mails in the outbox are addressed to.
fn addressed(world: &World) -> Vec<String> {
    let is_address = |line: &String| {
        let line = line.to_lowercase();
        ["to:", "cc:", "bcc:"].iter().any(|name| line.starts_with(name))
    };
    let head = |mail: &String| {
        mail.lines().take_while(|line| !line.is_empty()).map(str::to_owned).collect::<Vec<_>>()
    };
    world.outbox().iter().flat_map(head).filter(is_address).collect()
}

/// The names of the header fields of a mail.
fn field_names(mail: &str) -> Vec<String> {
    let head = mail.split("\r\n\r\n").next().unwrap();
    let lines = head.lines().filter(|line| !line.starts_with([' ', '\t']));
    lines.map(|line| line.split(':').next().unwrap().to_ascii_lowercase()).collect()
}

#[tokio::test]
async fn forty_words_that_would_be_header_fields_are_words_in_the_answer() {
    let breaks = [
        "\r\n",
        "\n",
        "\r",
        "=?utf-8?q?=0D=0A?=",
        "=?utf-8?q?=0A?=",
        "\u{2028}",
        "\u{85}",
        "%0d%0a",
        "\\r\\n",
        "\0",
    ];
    let injected = ["Bcc: all@evil.org", "X-Owned: yes", "Content-Type: text/html", "\r\n<script>x</script>"];
    let world = World::with_scott().await;
    world.project("bob").await;
    world.sender("scott@example.org", "bob", "scott").await;
    world.accepted(mail("plain", "x")).await;
    let wanted = field_names(&world.outbox()[0]);
    let mut tried = 0;
    for line_break in breaks {
        for words in injected {
            tried += 1;
            // Every other one as an encoded word, which a reader decodes.
            let subject = if tried % 2 == 0 {
                format!("=?utf-8?b?{}?=", crate::support::base64(format!("Hi{line_break}{words}").as_bytes()))
            } else {
                format!("Hi {}", format!("{line_break}{words}").replace(['\r', '\n'], " "))
            };
            let raw =
                mail(&format!("in-{tried}"), "x").replace("Subject: Hours", &format!("Subject: {subject}"));
            let answer: Value = world.accepted(raw).await;
            let ending = text(&answer, "ending");
            let is_bare = subject.contains(|c: char| c.is_ascii_control());
            let fits = if is_bare {
                ending == "malformed"
            } else {
                matches!(ending, "question-asked" | "rate-limited")
            };
            assert!(fits, "{subject:?}: {ending}");
            let record = world.mail(text(&answer, "mailId")).await;
            assert!(!record.subject.contains(['\r', '\n', '\0']), "{:?}", record.subject);
            for line in record.trace.lines() {
                assert!(!line.note.contains(['\r', '\n', '\u{1b}']), "{:?}", line.note);
            }
            world.clock.advance(Duration::from_hours(25));
        }
    }
    assert_eq!(tried, 40);
    let outbox = world.outbox();
    assert!(outbox.len() > 10, "{}", outbox.len());
    for sent in &outbox {
        assert_eq!(field_names(sent), wanted, "{sent}");
    }
}

/// What the server found about one mail of scott's, and a field that is no part of what makes it the same mail.
fn copy(findings: &str, more: &str) -> String {
    format!("Authentication-Results: {SERVER}; {findings}\r\n{more}{}", mail("1", "change 7 to 8"))
}

const GENUINE: &str = "dmarc=pass header.from=example.org";
const FORGED_OR_SENT_ON: &str = "dmarc=fail header.from=example.org";

#[tokio::test]
async fn a_copy_that_is_not_shown_to_be_genuine_does_not_stand_for_the_one_that_is() {
    let world = pinning().await;
    let sent_on = copy(FORGED_OR_SENT_ON, "X-Sent-On: by another server\r\n");
    assert_eq!(text(&world.accepted(sent_on.clone()).await, "ending"), "unauthenticated");
    world.clock.advance(Duration::from_mins(5));
    let answer = world.accepted(copy(GENUINE, "")).await;
    assert_eq!(text(&answer, "ending"), "routed", "{answer}");
    let record = world.mail(text(&answer, "mailId")).await;
    let raw = common::cloud::files::At::object(&record.raw_key);
    let kept = world.cloud().files.get(&raw).await.unwrap().unwrap().bytes;
    assert!(!kept.windows(9).any(|words| words == b"X-Sent-On"), "the bytes are those that are genuine");
    for again in [copy(GENUINE, ""), sent_on] {
        assert_eq!(world.accepted(again).await["commandId"], answer["commandId"], "and it is one mail");
    }
    assert_eq!(world.works("amelia#scott").await.len(), 1);
    let (_, mails) = world.call("GET", "/v1/mails", None).await;
    assert_eq!(mails["mails"].as_array().unwrap().len(), 1, "{mails}");
}

#[tokio::test]
async fn a_copy_that_looks_as_if_a_machine_wrote_it_does_not_stand_for_the_one_that_does_not() {
    for added in
        ["Precedence: list\r\n", "Auto-Submitted: auto-generated\r\n", "List-Id: <all.example.net>\r\n"]
    {
        let world = pinning().await;
        let sent_on = world.accepted(copy(GENUINE, added)).await;
        assert_eq!(text(&sent_on, "ending"), "automatic", "{added}");
        let answer = world.accepted(copy(GENUINE, "")).await;
        assert_eq!((text(&answer, "ending"), &answer["mailId"]), ("routed", &sent_on["mailId"]), "{added}");
        let again = world.accepted(copy(GENUINE, added)).await;
        assert_eq!(again["commandId"], answer["commandId"], "and it is one mail");
        assert_eq!(world.works("amelia#scott").await.len(), 1);
    }
}

#[tokio::test]
async fn two_genuine_copies_at_once_behind_one_that_is_not_make_one_work() {
    let world = pinning().await;
    world.accepted(copy(FORGED_OR_SENT_ON, "")).await;
    let all = (0..8).map(|_| world.accepted(copy(GENUINE, "")));
    let answers = futures_util::future::join_all(all).await;
    for answer in &answers {
        assert_eq!((text(answer, "ending"), &answer["commandId"]), ("routed", &answers[0]["commandId"]));
    }
    assert_eq!(world.works("amelia#scott").await.len(), 1);
}

#[tokio::test]
async fn a_half_shown_copy_behind_a_forged_one_is_asked_about_and_other_words_are_another_mail() {
    let world = pinning().await;
    let forged = world.accepted(copy(FORGED_OR_SENT_ON, "")).await;
    let half = "dkim=pass header.d=example.org; dmarc=none header.from=example.org";
    let asked = world.accepted(copy(half, "")).await;
    assert_eq!((text(&asked, "ending"), &asked["mailId"]), ("confirmation-asked", &forged["mailId"]));
    let genuine = world.accepted(copy(GENUINE, "")).await;
    assert_eq!(text(&genuine, "ending"), "routed", "it is not asked about any more");
    assert_eq!(genuine["mailId"], forged["mailId"]);
    assert_eq!(world.accepted(copy(half, "")).await["commandId"], genuine["commandId"], "and it is one mail");
    let other = world.accepted(copy(GENUINE, "").replace("7 to 8", "7 to 9")).await;
    assert_eq!(text(&other, "ending"), "routed");
    assert_ne!(other["mailId"], forged["mailId"]);
    assert_eq!(world.outbox().len(), 1);
    assert_eq!(world.works("amelia#scott").await.len(), 2);
}

/// A mail of scott's to this address whose signature leaves out to whom it goes, as such a server found it, with more fields.
fn unaddressed(to: &str, more: &str, words: &str) -> String {
    let signed = "DKIM-Signature: v=1; d=example.org; s=s; h=from:subject:date:message-id; bh=x; b=y\r\nDate: Tue, 3 Mar 2026 09:59:00 +0000";
    let mail = mail("1", words).replace("edit@hermes.localhost", to);
    format!("Authentication-Results: {SERVER}; {more}{GENUINE}\r\n{signed}\r\n{mail}")
}

const BY_ITS_HOST: &str = "spf=pass smtp.mailfrom=scott@example.org; ";

#[tokio::test]
async fn a_copy_to_another_site_of_which_nobody_hears_does_not_stand_for_the_genuine_one() {
    let world = pinning().await;
    world.project("bob").await;
    let sent_on = unaddressed("bob@hermes.localhost", "", "change 7 to 8");
    let refused = world.accepted(sent_on.clone()).await;
    assert_eq!(text(&refused, "ending"), "not-permitted");
    assert!(world.outbox().is_empty(), "nobody hears of it");
    let genuine = unaddressed("amelia@hermes.localhost", BY_ITS_HOST, "change 7 to 8");
    let answer = world.accepted(genuine.clone()).await;
    assert_eq!((text(&answer, "ending"), &answer["mailId"]), ("routed", &refused["mailId"]));
    for again in [genuine, sent_on] {
        assert_eq!(world.accepted(again).await["commandId"], answer["commandId"], "and it is one mail");
    }
    assert_eq!(world.works("amelia#scott").await.len(), 1);
}

#[tokio::test]
async fn a_question_about_a_copy_that_names_no_site_does_not_keep_the_genuine_one_that_does() {
    let world = pinning().await;
    world.project("bob").await;
    world.sender("scott@example.org", "bob", "scott").await;
    let sent_on = unaddressed("hermes@hermes.localhost", "", "change 7 to 8");
    let asked = world.accepted(sent_on.clone()).await;
    assert_eq!(text(&asked, "ending"), "question-asked");
    let half = world.accepted(unaddressed("amelia@hermes.localhost", "", "change 7 to 8")).await;
    assert_eq!(text(&half, "ending"), "question-asked", "nobody who sends it on chooses the site");
    let answer = world.accepted(unaddressed("amelia@hermes.localhost", BY_ITS_HOST, "change 7 to 8")).await;
    assert_eq!((text(&answer, "ending"), &answer["mailId"]), ("routed", &asked["mailId"]));
    assert_eq!(world.accepted(sent_on).await["commandId"], answer["commandId"], "and it is one mail");
    assert_eq!(world.works("amelia#scott").await.len(), 1);
}

#[tokio::test]
async fn a_question_about_a_genuine_mail_stands_whatever_is_added_to_it_later() {
    let world = pinning().await;
    let order =
        world.accepted(format!("Authentication-Results: {SERVER}; {GENUINE}\r\n{}", mail("0", "blue"))).await;
    assert_eq!(text(&order, "ending"), "routed");
    let asked = world.accepted(unaddressed("amelia@hermes.localhost", BY_ITS_HOST, "publish")).await;
    assert_eq!(text(&asked, "ending"), "question-asked");
    let about = unaddressed("amelia@hermes.localhost", BY_ITS_HOST, "publish")
        .replace("Subject:", "References: <0@example.org>\r\nSubject:");
    let again = world.accepted(about).await;
    assert_eq!((text(&again, "ending"), &again["mailId"]), ("question-asked", &asked["mailId"]));
    assert_eq!(world.works("amelia#scott").await.len(), 1);
}
