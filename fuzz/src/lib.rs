//! What the targets do with bytes; each target is one of these functions.

use std::sync::LazyLock;

use common::domain::ids::EmailAddress;
use common::domain::timestamp::Timestamp;
use hermes::config::SnsSignatures;
use hermes::ingest::envelope::{self, Opened};
use hermes::ingest::origins::signed::Shared;
use hermes::ingest::origins::{mailgun, postmark, sendgrid, sns};
use hermes::mail::command::command;
use hermes::mail::instruction::instruction as new_words;
use hermes::mail::trace::Trace;
use hermes::mail::verdict::{self, Evidence};
use hermes::mail::{Desk, MAX_RAW_BYTES, read, trace_parsed, understand};
use hermes::secrets::SecretKey;

static OWN: LazyLock<EmailAddress> =
    LazyLock::new(|| EmailAddress::parse("hermes@localhost").expect("an address"));
static KEY_OF_MAILGUN: LazyLock<Shared> =
    LazyLock::new(|| format!("key-{}", uuid::Uuid::new_v4()).parse().expect("a key of some length"));
static KEY: LazyLock<SecretKey> = LazyLock::new(SecretKey::fleeting);

fn desk() -> Desk<'static> {
    Desk { own: &OWN, places: &[], key: &KEY }
}

/// Raw bytes through every pure stage that a live mail goes through, with each kind of evidence.
pub fn parse(raw: &[u8]) {
    let Ok(mail) = read(raw) else { return };
    assert!(raw.len() <= MAX_RAW_BYTES);
    assert!(!mail.subject.contains(['\r', '\n']), "a subject is one line");
    let pinned = verdict::pinned(&mail, "mx.example.org");
    let nothing = Evidence::Nothing("nobody looked".into());
    for evidence in [Evidence::Vouched, nothing.clone(), pinned] {
        let mut trace = Trace::default();
        trace_parsed(&mail, &mut trace);
        let Ok(request) = understand(&mail, desk(), &evidence, Timestamp::from_millis(0), &mut trace) else { continue };
        assert!(evidence != nothing, "nothing shows who wrote it");
        assert!(!request.from.as_str().contains(char::is_control), "an address is one word");
    }
}

/// Text and HTML, with a plain header before it, to what is new in it.
pub fn instruction(bytes: &[u8]) {
    let said = String::from_utf8_lossy(bytes);
    for kind in ["plain", "html"] {
        let raw = format!(
            "From: scott@example.org\nSubject: Re: Hours\nContent-Type: text/{kind}; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n{said}"
        );
        let mail = read(raw.as_bytes()).expect("a plain header and any body is a mail");
        let words = new_words(&mail, &mut Trace::default());
        let written = |text: &str| text.chars().filter(|c| !c.is_whitespace()).count();
        assert!(written(&words.new) <= written(&mail.text), "more was found than was written");
        let _ = command(&mail, &words);
    }
}

/// What queues and webhooks bring, through each way of mail: notifications, wrapped mails, raw ones, forms.
pub fn envelopes(bytes: &[u8]) {
    let body = String::from_utf8_lossy(bytes);
    if let Ok(Opened::Mail(incoming)) = envelope::open(&body) {
        parse(&incoming.raw);
    }
    if let Ok(incoming) = postmark::read(bytes) {
        parse(&incoming.raw);
    }
    signed(bytes);
    forms(bytes);
}

/// An SNS message up to its signature, its topic taken for an allowed one and its time for now.
fn signed(bytes: &[u8]) {
    let Ok(envelope) = sns::Envelope::parse(bytes) else { return };
    let value = serde_json::from_slice::<serde_json::Value>(bytes).unwrap_or_default();
    let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
    let now = Timestamp::parse(&text("Timestamp")).unwrap_or(Timestamp::from_millis(0));
    if let Ok(plausible) = envelope.check(&[text("TopicArn")], SnsSignatures::V1AndV2, now) {
        let host = plausible.certificate.host_str().unwrap_or_default().to_owned();
        assert!(host.starts_with("sns.") && host.contains(".amazonaws.com"), "a certificate is fetched from {host}");
        assert!(plausible.verify(bytes, now).is_err(), "the message is not its own certificate");
    }
}

/// The fields of a form, one a line: name, `=`, value.
fn forms(bytes: &[u8]) {
    let (mut mailgun, mut sendgrid) = (mailgun::Form::default(), sendgrid::Form::default());
    for line in bytes.split(|byte| *byte == b'\n') {
        let at = line.iter().position(|byte| *byte == b'=').unwrap_or(line.len());
        let name = String::from_utf8_lossy(&line[..at]);
        let value = line.get(at + 1..).unwrap_or_default();
        mailgun.take(&name, value.to_vec());
        sendgrid.take(&name, value.to_vec());
    }
    assert!(!mailgun.is_genuine(&KEY_OF_MAILGUN, Timestamp::from_millis(0)), "nobody knows the key");
    for incoming in [mailgun.into_mail(), sendgrid.into_mail()].into_iter().flatten() {
        parse(&incoming.raw);
    }
}

/// hermes catches panics of its mail parser, and would so hide those of its own code in the same run: these end the target.
pub fn own_panics_are_findings() {
    // The first mail sets hermes' own hook; ours is around it.
    let _ = read(b"From: a@b.c\r\n\r\nhello");
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let own = panic.location().is_some_and(|at| !at.file().contains("/mail-parser-"));
        if own {
            eprintln!("{panic}");
            std::process::abort();
        }
        before(panic);
    }));
}
