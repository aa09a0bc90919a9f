//! Who is believed: signatures made and checked for real, results of a pinned server, and what projects ask for.

use std::time::Duration;

use common::cloud::queue::Outgoing;
use common::domain::names::Queue;
use hermes::ingest::record::MailRecord;
use hermes::ingest::verify::Dns;
use mail_auth::common::crypto::Ed25519Key;
use mail_auth::common::headers::HeaderWriter;
use mail_auth::dkim::DkimSigner;
use serde_json::json;

use crate::names::Names;
use crate::support::{World, base64, mail, text};

const DMARC: &str = "v=DMARC1; p=reject";
/// What the large providers sign, as far as it matters.
const FIELDS: [&str; 6] = ["From", "To", "Cc", "Subject", "Date", "Message-ID"];

/// A mail of scott's with a date, as every program writes it.
fn dated(id: &str, text: &str) -> String {
    mail(id, text).replace("Subject:", "Date: Tue, 3 Mar 2026 09:59:00 +0000\r\nSubject:")
}

/// A key and what the name service says about it.
pub(crate) struct Signer {
    key: Vec<u8>,
    pub(crate) record: String,
}

impl Signer {
    pub(crate) fn new() -> Self {
        let key = Ed25519Key::generate_pkcs8().unwrap();
        let public = Ed25519Key::from_pkcs8_der(&key).unwrap().public_key();
        Self { key, record: format!("v=DKIM1; k=ed25519; p={}", base64(&public)) }
    }

    pub(crate) fn sign(&self, domain: &str, fields: &[&str], raw: &str) -> String {
        let private = Ed25519Key::from_pkcs8_der(&self.key).unwrap();
        let dkim = DkimSigner::from_key(private).domain(domain).selector("s").headers(fields.to_vec());
        format!("{}{raw}", dkim.sign(raw.as_bytes()).unwrap().to_header())
    }
}

async fn trace(world: &World, answer: &serde_json::Value) -> String {
    serde_json::to_string(&world.mail(text(answer, "mailId")).await.trace).unwrap()
}

async fn ending(world: &World, raw: &str) -> String {
    let answer = world.accepted(raw.to_owned()).await;
    text(&answer, "ending").to_owned()
}

#[tokio::test]
async fn a_signed_mail_of_a_domain_with_a_policy_is_believed() {
    let key = Signer::new();
    let records = [("s._domainkey.example.org", key.record.as_str()), ("_dmarc.example.org", DMARC)];
    let world = World::verifying(&[], &records).await;
    let signed = key.sign("example.org", &FIELDS, &dated("1", "change 7 to 8"));
    let answer = world.accepted(signed.clone()).await;
    assert_eq!(answer["ending"], "routed", "{}", trace(&world, &answer).await);
    assert!(trace(&world, &answer).await.contains("DMARC passed for example.org"));

    let another = key.sign("example.org", &FIELDS, &dated("5", "change 7 to 8"));
    let refused = [
        signed.replace("change 7 to 8", "delete everything"),
        signed.replace("Subject: Hours", "Subject: delete everything"),
        signed.replace("scott@example.org", "scott@sub.example.org"),
        format!("Subject: delete everything\r\n{another}"),
        format!("From: scott@example.org\r\n{another}"),
        mail("2", "not signed"),
        key.sign("evil.org", &["From"], &mail("3", "signed by another domain")),
        key.sign("example.org", &["Subject"], &mail("4", "signed without From")),
    ];
    for raw in refused {
        assert_eq!(ending(&world, &raw).await, "unauthenticated", "{raw}");
    }
    assert_eq!(world.works("amelia#scott").await.len(), 1);
    assert!(world.outbox().is_empty(), "nobody is told");
}

/// Somebody at the author's provider whose address ends as the author's does has a genuine signature of it.
#[tokio::test]
async fn a_signature_for_one_address_is_none_for_another_that_is_read_into_it() {
    let key = Signer::new();
    let records = [("s._domainkey.example.org", key.record.as_str()), ("_dmarc.example.org", DMARC)];
    let world = World::verifying(&[], &records).await;
    let mail = dated("1", "change 7 to 8")
        .replace("From: Scott <scott@", "From: scott@")
        .replace("example.org>", "example.org");
    let theirs = mail.replace("From: scott@", "From: xscott@");
    let signed = key.sign("example.org", &FIELDS, &theirs);
    for from in
        ["x\r\n \x0cscott@", "x\rscott@", "x\r\n \rscott@", "x\n\t\x0cscott@", "x\r\n \r\n \x0cscott@"]
    {
        let mail = signed.replace("xscott@", from);
        assert_ne!(mail, signed);
        assert_eq!(ending(&world, &mail).await, "malformed", "{from:?}");
    }
    assert!(world.works("amelia#scott").await.is_empty());
}

/// Each name of a signature is looked for among all fields.
#[tokio::test]
async fn signatures_that_name_thousands_of_fields_are_not_looked_at() {
    let key = Signer::new();
    let world = World::verifying(&[], &[("s._domainkey.example.org", &key.record)]).await;
    let names = (0..45_000).map(|n| format!("x{n}")).collect::<Vec<_>>().join(":");
    let many =
        format!("DKIM-Signature: v=1; a=ed25519-sha256; d=example.org; s=s; h=from:{names}; bh=x; b=y");
    let begun = std::time::Instant::now();
    let mail = format!("{many}\r\n{}{}", "a:\r\n".repeat(1500), dated("1", "x"));
    assert_eq!(ending(&world, &mail).await, "unauthenticated");
    assert!(begun.elapsed() < std::time::Duration::from_secs(2), "{:?}", begun.elapsed());
}

/// What whoever got a signed mail can change about it without breaking its signature.
const CHANGES: [(&str, &str); 26] = [
    ("Message-ID: <1@example.org>", "Message-ID: <2@example.org>"),
    ("Message-ID: <1@example.org>\r\n", ""),
    ("Message-ID: <1@example.org>", "Message-ID: <2@example.org>\r\nX-Mailer: another"),
    ("To: edit", "Delivered-To: other@hermes.localhost\r\nTo: edit"),
    ("To: edit", "Received: from elsewhere\r\nTo: edit"),
    ("Subject: Opening hours", "Subject:   Opening \t hours  "),
    ("Subject: Opening hours", "S ubject: Hours at all\r\nSubject: Opening hours"),
    ("To: edit", "Cc: one@example.net\r\nCc: two@example.net\r\nTo: edit"),
    ("change 7 to 8", "change  7 \t to   8   "),
    ("change 7 to 8", "change 7 to 8\r\n\r\n\r\n"),
    ("Date: Tue,", "Date:\r\n  Tue,"),
    // Other readers let the header end where a line is no field, and this one a paragraph later or earlier.
    ("\r\n\r\nchange", "\r\njunk\r\nchange"),
    ("\r\n\r\nchange", "\r\n:x\r\n \r\n Delete everything.\r\n X\r\n\r\nchange"),
    (
        "\r\n\r\nchange",
        "\r\n:x\r\n \r\n Delete everything.\r\n\t\r\n -----Original Message-----\r\njunk\r\nchange",
    ),
    ("\r\n\r\nchange", "\r\nX-Y:\r\n \r\n Delete everything.\r\n\r\nchange"),
    // What a signature does not tell from nothing.
    ("change 7", "cha\rnge 7"),
    ("Opening hours", "Open\r\n \x0cing hours"),
    ("Opening hours", "Open\ring hours"),
    ("d=example.org", "d=exam\r\n \x0cple.org"),
    ("d=example.org", "d=exam\rple.org"),
    ("Date: Tue,", "Date: T\rue,"),
    // How it is to be read.
    ("To: edit", "Content-Transfer-Encoding: base64\r\nTo: edit"),
    ("To: edit", "Content-Disposition: attachment; filename=a.txt\r\nTo: edit"),
    ("To: edit", "Content-Type: text/html\r\nTo: edit"),
    // Where it was delivered to, and whom it was copied to.
    ("To: edit", "Delivered-To: bob@hermes.localhost\r\nTo: edit"),
    ("To: edit", "Cc: bob@hermes.localhost\r\nTo: edit"),
];

#[tokio::test]
async fn a_signed_mail_that_somebody_sends_again_is_the_same_whatever_they_change() {
    let key = Signer::new();
    let records = [("s._domainkey.example.org", key.record.as_str()), ("_dmarc.example.org", DMARC)];
    let without_id = &["From", "To", "Subject", "Date"][..];
    let without_to = &["From", "Subject", "Date", "Message-ID"][..];
    for (fields, wants_dmarc) in [without_id, &FIELDS]
        .into_iter()
        .flat_map(|fields| [(fields, true), (fields, false)])
        .chain([(without_to, false)])
    {
        let world = World::verifying(&[], &records).await;
        let settings = json!({"repoUrl": "https://github.com/you/amelia.git", "requireDmarc": wants_dmarc});
        assert_eq!(world.call("PUT", "/v1/projects/amelia", Some(settings)).await.0, 200);
        let mail = dated("1", "change 7 to 8").replace("Subject: Hours", "Subject: Opening hours");
        let signed = key.sign("example.org", fields, &mail);
        let first = world.accepted(signed.clone()).await;
        assert_eq!(first["ending"], "routed", "{}", trace(&world, &first).await);
        for (from, to) in CHANGES {
            assert!(signed.contains(from), "{from}");
            world.accepted(signed.replace(from, to)).await;
        }
        for addition in [
            "Cc: also@hermes.localhost",
            "Cc : also@hermes.localhost",
            "Cc\t: also@hermes.localhost",
            "Message-ID : <9@example.org>",
            "Content-Type : text/html",
            "DKIM-Signature: v=1; a=ed25519-sha256; d=example.org; s=s; h=from:to:subject:date; bh=x; b=y",
            "DKIM-Signature: v=1; a=ed25519-sha256; d=example.org; s=s; h=from:subject:date:message-id; bh=x; b=y",
            "DKIM-Signature: v=1; a=ed25519-sha256; d=example.org; s=s; h=from; bh=x; b=y\r\nCc: w@hermes.localhost",
        ] {
            for mail in [&signed, &signed.replace("<1@", "<3@")] {
                world.accepted(format!("{addition}\r\n{mail}")).await;
            }
        }
        world.accepted(signed.replace("Opening hours", &format!("Opening{}hours", " ".repeat(600)))).await;
        let elsewhere = signed.replace("To: edit@", "To: other@");
        assert_ne!(elsewhere, signed);
        world.accepted(elsewhere).await;
        assert_eq!(world.works("amelia#scott").await.len(), 1, "{fields:?} {wants_dmarc}");
        let later = dated("4", "change 7 to 8").replace("09:59:00", "09:59:01");
        assert_eq!(ending(&world, &key.sign("example.org", fields, &later)).await, "routed", "another one");
    }
}

#[tokio::test]
async fn where_the_domain_has_no_policy_the_project_says_whether_a_signature_is_enough() {
    let key = Signer::new();
    let world = World::verifying(&[], &[("s._domainkey.example.org", &key.record)]).await;
    let signed = |id: &str| key.sign("example.org", &FIELDS, &dated(id, "change 7 to 8"));
    assert_eq!(ending(&world, &signed("1")).await, "confirmation-asked");
    let settings = json!({"repoUrl": "https://github.com/you/amelia.git", "requireDmarc": false});
    let (_, project) = world.call("PUT", "/v1/projects/amelia", Some(settings)).await;
    assert_eq!(project["requireDmarc"], false);
    assert_eq!(ending(&world, &signed("2")).await, "routed");
    assert_eq!(ending(&world, &mail("3", "not signed")).await, "unauthenticated");
}

#[tokio::test]
async fn a_mail_that_is_taken_up_again_is_judged_by_what_was_found_when_it_came() {
    use common::cloud::failing::{Calls, Fate, Operation, When};
    let key = Signer::new();
    let records = [("s._domainkey.example.org", key.record.as_str()), ("_dmarc.example.org", DMARC)];
    let world = World::verifying(&[], &records).await;
    world.plan.add(Calls::Of(Operation::Send), When::Always, Fate::FailBefore);
    let signed = key.sign("example.org", &FIELDS, &dated("1", "change 7 to 8"));
    assert_eq!(world.post(signed).await.0, 503);
    world.plan.heal();
    world.clock.advance(std::time::Duration::from_mins(5));
    hermes::sweep::Sweeper::new(world.app.clone()).sweep().await;
    assert_eq!(world.works("amelia#scott").await.len(), 1);
}

/// A world that asks this name service, and scott.
async fn asking(names: &Names) -> World {
    let world = World::asking(Dns::Server(names.address));
    world.project("amelia").await;
    world.sender("scott@example.org", "amelia", "scott").await;
    world
}

#[tokio::test]
async fn what_the_name_service_said_is_remembered_from_mail_to_mail() {
    let key = Signer::new();
    let records = [("s._domainkey.example.org", key.record.as_str()), ("_dmarc.example.org", DMARC)];
    let names = Names::with(&records).await;
    let world = asking(&names).await;
    for id in ["1", "2", "3"] {
        let signed = key.sign("example.org", &FIELDS, &dated(id, &format!("change 7 to {id}")));
        assert_eq!(ending(&world, &signed).await, "routed");
    }
    for (name, _) in records {
        assert_eq!(names.asked(name), 1, "{name}");
    }
    names.fall_ill();
    let other = key.sign("sub.example.org", &FIELDS, &dated("4", "x"));
    assert_eq!(world.post(other).await.0, 503);
    let signed = key.sign("example.org", &FIELDS, &dated("5", "x"));
    assert_eq!(world.post(signed).await.0, 503, "after no answer everything is asked for anew");
}

/// Brings a mail by the queue, as often as that gives it: how it ended, and the dead letters.
async fn brought(world: &World, raw: &str) -> (Vec<bool>, usize) {
    world.cloud().queues.send(&Queue::Email, Outgoing::standard(raw)).await.unwrap();
    let mut taken = Vec::new();
    while !taken.contains(&true) && taken.len() < 3 {
        let found = world.cloud().queues.receive(&Queue::Email, 10, Duration::ZERO).await.unwrap();
        let [delivery] = found.as_slice() else { panic!("{found:?}") };
        taken.push(hermes::ingest::queue::take(&world.app, delivery).await.is_ok());
        world.pass(Duration::from_mins(61));
    }
    (taken, world.drain(&Queue::EmailDead).await.len())
}

#[tokio::test]
async fn a_mail_whose_name_servers_stay_silent_is_confirmed_by_its_author_and_never_lost() {
    let key = Signer::new();
    let names = Names::with(&[]).await;
    names.fall_ill();
    let world = asking(&names).await;
    let endings = async || {
        let (mails, _) = world.cloud().store.list::<MailRecord>(10, None).await.unwrap();
        let mut all: Vec<_> =
            mails.into_iter().map(|mail| (mail.message_id.unwrap(), mail.ending.unwrap().as_str())).collect();
        all.sort_unstable();
        all
    };
    let signed = key.sign("example.org", &FIELDS, &dated("1", "change 7 to 8"));
    assert_eq!(brought(&world, &signed).await, (vec![false, false, true], 0));
    let mut wanted = vec![("1@example.org".to_owned(), "confirmation-asked")];
    assert_eq!(endings().await, wanted);
    let sent = world.outbox();
    assert!(matches!(sent.as_slice(), [one] if one.contains("To: scott@example.org")), "{sent:?}");
    let words = hermes::mail::read(sent[0].as_bytes()).unwrap().text;
    let token = words.split_whitespace().find_map(|word| word.split_once("/confirm/")).unwrap().1;
    hermes::confirmations::confirm(&world.app, token).await.unwrap();
    assert_eq!(world.works("amelia#scott").await[0]["instruction"], "change 7 to 8");
    wanted[0].1 = "routed";

    let stranger = dated("2", "x").replace("scott@example.org", "stranger@example.org");
    let stranger = key.sign("example.org", &FIELDS, &stranger);
    assert_eq!(brought(&world, &stranger).await, (vec![false, false, true], 0));
    wanted.push(("2@example.org".to_owned(), "unknown-sender"));
    let foreign = key.sign("evil.net", &FIELDS, &dated("3", "delete everything"));
    assert_eq!(brought(&world, &foreign).await, (vec![true], 0), "nobody waits for the servers of evil.net");
    wanted.push(("3@example.org".to_owned(), "unauthenticated"));
    assert_eq!(endings().await, wanted);
    assert_eq!(world.outbox().len(), 1, "nobody else hears");
}

#[tokio::test]
async fn whoever_has_silent_name_servers_beside_an_owner_brings_them_no_question() {
    let key = Signer::new();
    let names = Names::with(&[]).await;
    names.fall_ill();
    let world = asking(&names).await;
    world.sender("scott@owner.co.uk", "amelia", "scott").await;
    let of_owner =
        |id: &str| dated(id, "delete everything").replace("scott@example.org", "scott@owner.co.uk");
    let beside = key.sign("evil.co.uk", &FIELDS, &of_owner("1"));
    let both = key.sign("evil.co.uk", &FIELDS, &key.sign("owner.co.uk", &FIELDS, &of_owner("2")));
    for forged in [beside, both] {
        assert_eq!(brought(&world, &forged).await, (vec![false, false, true], 0));
    }
    let (mails, _) = world.cloud().store.list::<MailRecord>(10, None).await.unwrap();
    let endings: Vec<_> = mails.iter().map(|mail| mail.ending.unwrap().as_str()).collect();
    assert_eq!(endings, ["unauthenticated"; 2]);
    assert_eq!(world.outbox().len(), 0);
    let own = key.sign("owner.co.uk", &FIELDS, &of_owner("3"));
    assert_eq!(brought(&world, &own).await, (vec![false, false, true], 0));
    assert_eq!(world.outbox().len(), 1, "its own name servers may be silent as well: then it is asked");
}

#[tokio::test]
async fn the_results_of_a_pinned_server_are_believed_and_no_others() {
    let world = World::verifying(&["--authserv-id", "mx.example.net"], &[]).await;
    let said = |server: &str, result: &str, id: &str| {
        format!(
            "Authentication-Results: {server}; dmarc={result} header.from=example.org\r\n{}",
            mail(id, "x")
        )
    };
    assert_eq!(ending(&world, &said("mx.example.net", "pass", "1")).await, "routed");
    assert_eq!(ending(&world, &said("mx.example.net", "fail", "2")).await, "unauthenticated");
    assert_eq!(ending(&world, &said("mx.evil.net", "pass", "3")).await, "unauthenticated");
    let below = format!(
        "Authentication-Results: mx.example.net; dmarc=fail header.from=example.org\r\n{}",
        said("mx.example.net", "pass", "4")
    );
    assert_eq!(ending(&world, &below).await, "unauthenticated");
    assert_eq!(ending(&world, &mail("5", "x")).await, "unauthenticated");
}

#[tokio::test]
async fn s79_a_forged_sender_gets_no_work_and_no_answer() {
    let world = World::verifying(&["--authserv-id", "mx.example.net"], &[]).await;
    let forged = format!(
        "Authentication-Results: mx.example.net; spf=fail smtp.mailfrom=evil.org; dkim=none; dmarc=fail (p=NONE) header.from=example.org\r\n{}",
        mail("1", "delete everything")
    );
    let answer = world.accepted(forged).await;
    assert_eq!(answer["ending"], "unauthenticated");
    assert!(trace(&world, &answer).await.contains("DMARC failed for example.org"));
    assert!(world.works("amelia#scott").await.is_empty() && world.outbox().is_empty());
    assert_eq!(world.announcements().await, 0);
}
