//! Outgoing mail.

use super::Stage;
use super::queues::assert_invalid;
use crate::cloud::mailer::{OutgoingMail, Ready};
use crate::domain::ids::EmailAddress;

fn mail(dedup_key: &str) -> OutgoingMail {
    OutgoingMail {
        dedup_key: dedup_key.to_owned(),
        to: EmailAddress::parse("success@simulator.amazonses.com").unwrap(),
        bytes: "From: hermes@example.org\r\nSubject: test\r\n\r\nhello\r\n".into(),
    }
}

pub(super) async fn a_mail_is_sent(stage: Stage) {
    let sent = stage.cloud.mailer.send(&mail(&stage.id("Mail_1"))).await.unwrap();
    assert!(!sent.place.is_empty());
}

pub(super) async fn a_second_send_is_fine(stage: Stage) {
    let first = stage.cloud.mailer.send(&mail(&stage.id("twice"))).await.unwrap();
    let second = stage.cloud.mailer.send(&mail(&stage.id("twice"))).await.unwrap();
    assert_eq!(first.place.is_empty(), second.place.is_empty());
}

pub(super) async fn an_unclean_key_is_invalid(stage: Stage) {
    for key in ["", "a/b", "../a", "a b", "ä", "a\0", &"x".repeat(101)] {
        assert_invalid(stage.cloud.mailer.send(&mail(key)).await);
    }
}

/// On one machine all mail stays there, whoever sends it.
pub(super) async fn only_whoever_is_known_may_send(stage: Stage) {
    let ready =
        async |from: &str| stage.cloud.mailer.ready(&EmailAddress::parse(from).unwrap()).await.unwrap();
    let known = ready("hermes@example.org").await;
    assert!(matches!(known, Ready::Yes(_) | Ready::StaysHere(_)), "{known:?}");
    let unknown = ready("hermes@unheard-of.example").await;
    assert!(matches!(unknown, Ready::NotYet(_) | Ready::StaysHere(_)), "{unknown:?}");
}
