//! SNS over HTTP: genuine envelopes are taken once, and forged ones never, with nothing asked but the pinned place.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use common::cloud::files::{At, IfMatch};
use hermes::inbound::{Caller, Full, Inbound};
use hermes::ingest::sns::{Fetch, Sns, Taken, take};
use serde_json::{Value, json};

use crate::support::{World, base64, mail, read, serve_settings, text};

const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:mails";
const PLACE: &str =
    "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0123456789abcdef0123456789abcdef.pem";
/// Made for these tests, signed by itself; nobody else believes it.
const CERTIFICATE: &[u8] = include_bytes!("data/sns.pem");
const KEY: &[u8] = include_bytes!("data/sns-key.pk8");
/// `openssl dgst -sha1 -sign` of the envelope in [`version_1`].
const VERSION_1: &str = "c6/DesDx+1sWKOD5tRjQ5opY5nZW0htmWoY/DyKU97Ukm6TYpYWLSx9iRRbrm5ed0NqMrLy1qx1ELKuvfFw5zLtEfpYQY4jijG/nZHWLFc9z/4kGBRJHy85yTmo0x5qCKUJNn7SBjFxGhJKhbYq9LrZpA+qMT3jD5IaYKDb7kkHgawMs260pZd36kbBi6vtYDSKRr2xULM1gzu1pY6MXkWEYJwYdB/HLHjod3yegdgqdBmx+HXnmQZlWTwuuJ2+JEXJnVPqMRVQ9ySZcfKz9SiPn3owfCtsf0lYKiiRGWj6IS+HSFwhfoRen1smz8Rf+ZNJQ8r34BKjrHotAFYeELw==";

/// A world with SNS, and the addresses it was asked.
async fn world() -> (World, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let note = asked.clone();
    let fetch: Fetch = Arc::new(move |url| {
        note.lock().unwrap().push(url.to_string());
        Box::pin(async { Ok(CERTIFICATE.into()) })
    });
    let mut world = World::verifying(&[], &[]).await;
    let api = Arc::get_mut(&mut world.api).unwrap();
    api.sns = Sns::asking(vec![TOPIC.into()], fetch);
    // The certificate begins in November 2026.
    world.clock.advance(Duration::from_hours(24 * 300));
    (world, asked)
}

fn envelope(id: &str, message: &str) -> Value {
    json!({"Type": "Notification", "MessageId": id, "TopicArn": TOPIC, "Message": message,
        "Timestamp": "2026-12-28T09:30:00.000Z", "SignatureVersion": "2", "SigningCertURL": PLACE})
}

fn confirmation() -> Value {
    let subscribe = format!(
        "https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=t0ken"
    );
    json!({"Type": "SubscriptionConfirmation", "MessageId": "sub-1", "TopicArn": TOPIC, "Message": "You have chosen",
        "Timestamp": "2026-12-28T09:30:00.000Z", "SignatureVersion": "2", "SigningCertURL": PLACE,
        "Token": "t0ken", "SubscribeURL": subscribe})
}

/// Signs an envelope as SNS does, as far as it has the fields.
fn signed(mut envelope: Value) -> Value {
    let fields = if envelope["Type"] == "Notification" {
        &["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"][..]
    } else {
        &["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"][..]
    };
    let line = |name: &&str| envelope[*name].as_str().map(|value| format!("{name}\n{value}\n"));
    let canonical: String = fields.iter().filter_map(line).collect();
    let key = KeyPair::from_pkcs8(KEY).unwrap();
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), canonical.as_bytes(), &mut signature).unwrap();
    envelope["Signature"] = base64(&signature).into();
    envelope
}

async fn post(world: &World, envelope: &Value) -> (StatusCode, Value) {
    let topic = envelope["TopicArn"].as_str().unwrap_or_default();
    let request = Request::post("/v1/inbound/sns").header("content-type", "text/plain; charset=UTF-8");
    let request = request.header("x-amz-sns-topic-arn", topic).body(Body::from(envelope.to_string()));
    read(world.send(request.unwrap()).await).await
}

/// A notice of SES about a mail of scott's, with the results of SES in it.
fn notice(id: &str, dmarc: &str) -> String {
    let field = format!(
        "Authentication-Results: amazonses.com; spf=pass (x) client-ip=192.0.2.1; envelope-from=scott@example.org; helo=mx; dkim=pass header.i=@example.org; dmarc={} header.from=example.org;",
        dmarc.to_lowercase()
    );
    let verdict = |status: &str| json!({"status": status});
    json!({"notificationType": "Received", "content": format!("{field}\r\n{}", mail(id, "change 7 to 8")),
        "mail": {"messageId": id}, "receipt": {"action": {"type": "SNS", "encoding": "UTF8"},
        "spfVerdict": verdict("PASS"), "dkimVerdict": verdict("PASS"), "dmarcVerdict": verdict(dmarc)}})
    .to_string()
}

#[tokio::test]
async fn a_genuine_notice_becomes_work_once() {
    let (world, asked) = world().await;
    let envelope = signed(envelope("m-1", &notice("1", "PASS")));
    let (status, answer) = post(&world, &envelope).await;
    assert_eq!((status, &answer["ending"]), (StatusCode::OK, &json!("routed")), "{answer}");
    assert_eq!(post(&world, &envelope).await.0, StatusCode::NO_CONTENT, "each message is taken once");
    assert_eq!(world.works("amelia#scott").await.len(), 1);
    assert_eq!(asked.lock().unwrap().as_slice(), [PLACE], "the certificate is kept");
    let (_, forged) = post(&world, &signed(self::envelope("m-2", &notice("2", "FAIL")))).await;
    assert_eq!(forged["ending"], "unauthenticated", "a genuine envelope does not make its mail genuine");
}

#[tokio::test]
async fn a_genuine_envelope_leaves_strangers_their_share_and_a_forged_one_does_not() {
    let (world, _) = world().await;
    let room = Inbound::of_bytes(1000);
    let mut forged = signed(envelope("m-1", &notice("1", "PASS")));
    let genuine = forged.to_string();
    forged["MessageId"] = "m-2".into();
    for (envelope, is_taken) in [(forged.to_string(), false), (genuine, true)] {
        let mut held = room.held_for(Caller::Stranger);
        held.grow(500).unwrap();
        let taken = take(&world.app, &world.api.sns, envelope.as_bytes(), &mut held).await.unwrap();
        assert_eq!(matches!(taken, Taken::Mail(_)), is_taken, "{taken:?}");
        assert_eq!(room.held_for(Caller::Stranger).grow(1).is_ok(), is_taken, "{taken:?}");
        assert_eq!(room.held_for(Caller::Known).grow(501), Err(Full), "what it holds is still held");
    }
}

#[tokio::test]
async fn no_envelope_is_larger_than_those_of_sns() {
    let (world, asked) = world().await;
    let large = signed(envelope("m-1", &"x".repeat(2 * 1024 * 1024)));
    assert_eq!(post(&world, &large).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(asked.lock().unwrap().is_empty());
    let largest = signed(envelope("m-1", &"\u{1}".repeat(256 * 1024)));
    assert_eq!(post(&world, &largest).await.1["ending"], "malformed", "genuine, and no mail");
}

#[tokio::test]
async fn version_1_of_the_signature_is_taken_only_when_that_is_said() {
    let (mut world, asked) = world().await;
    let mut old = envelope("fixed-1", "From: scott@example.org\r\nSubject: x\r\n\r\nhello");
    old["SignatureVersion"] = "1".into();
    old["Signature"] = VERSION_1.into();
    let (status, answer) = post(&world, &old).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert!(text(&answer, "detail").contains("HERMES_SNS_SIGNATURES"), "{answer}");
    assert!(asked.lock().unwrap().is_empty(), "nothing is fetched for it");
    let signatures = serve_settings(&["--sns-signatures", "v1-and-v2"]).inbound.sns_signatures;
    let api = Arc::get_mut(&mut world.api).unwrap();
    api.sns = std::mem::replace(&mut api.sns, Sns::new(Vec::new())).believing(signatures);
    let (status, answer) = post(&world, &old).await;
    assert_eq!((status, &answer["ending"]), (StatusCode::OK, &json!("unauthenticated")), "{answer}");
    old["SignatureVersion"] = "2".into();
    old["MessageId"] = "fixed-2".into();
    assert_eq!(post(&world, &old).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_mail_in_s3_is_read_at_our_place_only_and_waited_for() {
    let (world, _) = world().await;
    let bucket = world.cloud().files.objects_bucket().await.unwrap();
    let told = |id: &str, bucket: &str| {
        let mut told: Value = serde_json::from_str(&notice(id, "PASS")).unwrap();
        let raw = told.as_object_mut().unwrap().remove("content").unwrap();
        told["receipt"]["action"] =
            json!({"type": "S3", "bucketName": bucket, "objectKey": "mail/inbound/m"});
        (signed(envelope(&format!("m-{id}"), &told.to_string())), raw.as_str().unwrap().to_owned())
    };
    let (envelope, raw) = told("1", &bucket);
    assert_eq!(post(&world, &envelope).await.0, StatusCode::SERVICE_UNAVAILABLE, "SNS sends it again");
    world.cloud().files.put(&At::object("mail/inbound/m"), raw.into(), IfMatch::Any).await.unwrap();
    let (status, answer) = post(&world, &envelope).await;
    assert_eq!((status, &answer["ending"]), (StatusCode::OK, &json!("routed")), "{answer}");
    let (status, answer) = post(&world, &told("2", "somebody-elses").0).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(text(&answer, "detail").contains("mails are read from objects only"), "{answer}");
    assert_eq!(world.works("amelia#scott").await.len(), 1);
}

#[tokio::test]
async fn an_answer_that_bounced_is_seen_at_its_mail() {
    let (world, _) = world().await;
    let (_, mail) = post(&world, &signed(envelope("m-1", &notice("1", "PASS")))).await;
    let command = text(&mail, "commandId");
    world.report(world.result(command).await.to_json()).await;
    let bounce = json!({"eventType": "Bounce", "bounce": {"bounceType": "Permanent"},
        "mail": {"messageId": "0100", "tags": {"hermes-mail": [format!("answer-{command}")]}}});
    let told = post(&world, &signed(envelope("m-2", &bounce.to_string()))).await;
    assert_eq!(told.0, StatusCode::NO_CONTENT, "{}", told.1);
    let (_, mail) = world.call("GET", &format!("/v1/mails/{}", text(&mail, "mailId")), None).await;
    assert!(text(&mail, "ownerNotReached").contains("takes no mail"), "{mail}");
}

#[tokio::test]
async fn a_subscription_to_an_allowed_topic_is_confirmed_at_the_pinned_host() {
    let (world, asked) = world().await;
    assert_eq!(post(&world, &signed(confirmation())).await.0, StatusCode::NO_CONTENT);
    let asked = asked.lock().unwrap();
    assert_eq!(asked.len(), 2);
    assert!(
        asked[1].starts_with("https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription&"),
        "{asked:?}"
    );
}

#[tokio::test]
async fn an_envelope_that_was_not_acknowledged_may_come_again() {
    use common::cloud::failing::{Calls, Fate, Operation, When};
    let (world, _) = world().await;
    let envelope = signed(envelope("m-1", &notice("1", "PASS")));
    world.plan.add(Calls::Of(Operation::Send), When::Always, Fate::FailBefore);
    assert_eq!(post(&world, &envelope).await.0, StatusCode::SERVICE_UNAVAILABLE);
    world.plan.heal();
    assert_eq!(post(&world, &envelope).await.0, StatusCode::OK);
    assert_eq!(world.works("amelia#scott").await.len(), 1);
}

/// Changes of one field, made before signing (by somebody with a key of their own) or behind it.
fn forgeries() -> Vec<(String, Value)> {
    let mut all: Vec<(String, Value)> = Vec::new();
    let honest = || envelope("m-1", &notice("1", "PASS"));
    let mut add = |what: String, value: Value| all.push((what, value));
    for place in [
        "http://sns.us-east-1.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem",
        "https://sns.us-east-1.amazonaws.com.evil.org/SimpleNotificationService-0123456789abcdef.pem",
        "https://evil.org/SimpleNotificationService-0123456789abcdef.pem",
        "https://sns.us-east-1.amazonaws.com@evil.org/SimpleNotificationService-0123456789abcdef.pem",
        "https://evil.org#sns.us-east-1.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem",
        "https://evil.org?sns.us-east-1.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem",
        "https://evil.org\\.sns.us-east-1.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem",
        "https://sns.us-east-1.amazonaws.com:444/SimpleNotificationService-0123456789abcdef.pem",
        "https://user@sns.us-east-1.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem",
        "https://sns.us-east-1.amazonaws.com/evil.pem",
        "https://sns.us-east-1.amazonaws.com/../SimpleNotificationService-0123456789abcdef.pem",
        "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem?x=y",
        "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem#x",
        "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-01234567%2f89.pem",
        "https://sns.us-east-1.amazonaws.com/x/SimpleNotificationService-0123456789abcdef.pem",
        "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem",
        "https://sns.us-east-1.amazonaws.com.cn/SimpleNotificationService-0123456789abcdef.pem",
        "https://s3.us-east-1.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem",
        "https://sns-us-east-1.s3.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem",
        "https://snsXus-east-1.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem",
        "https://sns.us-east-1.amazonaws.com/\tSimpleNotificationService-0123456789abcdef.pem",
        "https://169.254.169.254/SimpleNotificationService-0123456789abcdef.pem",
        "https://localhost/SimpleNotificationService-0123456789abcdef.pem",
        "https://[::1]/SimpleNotificationService-0123456789abcdef.pem",
        "file:///etc/passwd",
        "gopher://sns.us-east-1.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem",
        "//sns.us-east-1.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem",
        "",
    ] {
        let mut forged = honest();
        forged["SigningCertURL"] = place.into();
        add(format!("certificate at {place:?}"), signed(forged));
    }
    for topic in [
        "arn:aws:sns:us-east-1:999999999999:mails",
        "arn:aws:sns:us-east-1:123456789012:mails2",
        "arn:aws:sns:evil.org/:123456789012:mails",
        "mails",
        "",
    ] {
        let mut forged = honest();
        forged["TopicArn"] = topic.into();
        add(format!("topic {topic:?}"), signed(forged));
    }
    for time in
        ["2026-12-28T08:59:59.000Z", "2026-12-28T10:06:00.000Z", "2016-01-01T00:00:00.000Z", "now", ""]
    {
        let mut forged = honest();
        forged["Timestamp"] = time.into();
        add(format!("time {time:?}"), signed(forged));
    }
    for version in ["0", "3", "", "2 "] {
        let mut forged = honest();
        forged["SignatureVersion"] = version.into();
        add(format!("version {version:?}"), signed(forged));
    }
    for field in ["Message", "MessageId", "Subject", "Timestamp", "Type"] {
        let mut forged = signed(honest());
        forged[field] = match field {
            "Timestamp" => "2026-12-28T09:31:00.000Z".into(),
            "Type" => "UnsubscribeConfirmation".into(),
            _ => "another".into(),
        };
        add(format!("{field} changed behind the signature"), forged);
    }
    for signature in ["", "EXAMPLE_SIGNATURE==", "AAAA", VERSION_1] {
        let mut forged = honest();
        forged["Signature"] = signature.into();
        add(format!("signature {signature:.20?}"), forged);
    }
    for subscribe in [
        "https://evil.org/?Action=ConfirmSubscription&TopicArn=arn:aws:sns:us-east-1:123456789012:mails&Token=t0ken",
        "http://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn=arn:aws:sns:us-east-1:123456789012:mails&Token=t0ken",
        "https://sns.us-east-1.amazonaws.com/?Action=DeleteTopic&TopicArn=arn:aws:sns:us-east-1:123456789012:mails&Token=t0ken",
        "https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn=arn:aws:sns:us-east-1:1:other&Token=t0ken",
        "https://sns.us-east-1.amazonaws.com/x?Action=ConfirmSubscription&TopicArn=arn:aws:sns:us-east-1:123456789012:mails&Token=t0ken",
        "https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn=arn:aws:sns:us-east-1:123456789012:mails&Token=other",
        "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn=arn:aws:sns:us-east-1:123456789012:mails&Token=t0ken",
        "",
    ] {
        let mut forged = confirmation();
        forged["SubscribeURL"] = subscribe.into();
        add(format!("confirmation at {subscribe:?}"), signed(forged));
    }
    let mut missing = signed(honest());
    missing.as_object_mut().unwrap().remove("Signature");
    add("no signature".into(), missing);
    add("no envelope".into(), json!({"content": mail("1", "x"), "TopicArn": TOPIC}));
    all
}

#[tokio::test]
async fn sixty_forged_envelopes_are_refused_and_nothing_else_is_asked() {
    let (world, asked) = world().await;
    let forgeries = forgeries();
    assert!(forgeries.len() >= 60, "{}", forgeries.len());
    for (what, forged) in &forgeries {
        let (status, answer) = post(&world, forged).await;
        let refused = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::BAD_REQUEST);
        assert!(refused, "{what}: {status} {answer}");
    }
    assert!(world.works("amelia#scott").await.is_empty());
    let elsewhere: Vec<String> = asked.lock().unwrap().iter().filter(|url| *url != PLACE).cloned().collect();
    assert!(elsewhere.is_empty(), "{elsewhere:?}");
    println!("{} forged envelopes: 0 accepted, 0 connections elsewhere", forgeries.len());
}

#[tokio::test]
async fn a_certificate_of_somebody_else_signs_nothing() {
    let (mut world, _) = world().await;
    for answer in
        [&b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"[..], b"<html>", b"", KEY]
    {
        let api = Arc::get_mut(&mut world.api).unwrap();
        let fetch: Fetch = Arc::new(move |_| Box::pin(async move { Ok(answer.into()) }));
        api.sns = Sns::asking(vec![TOPIC.into()], fetch);
        let (status, _) = post(&world, &signed(envelope("m-1", "x"))).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn what_is_of_no_allowed_topic_is_refused_before_its_body_is_read() {
    let (world, _) = world().await;
    let endless = Body::from_stream(futures_util::stream::pending::<Result<bytes::Bytes, std::io::Error>>());
    let request = Request::post("/v1/inbound/sns").header("x-amz-sns-topic-arn", "arn:aws:sns:us-east-1:1:x");
    let (status, answer) = read(world.send(request.body(endless).unwrap()).await).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert!(text(&answer, "detail").contains("HERMES_SNS_TOPICS"), "{answer}");
}

/// A forged envelope, and where it says that its certificate lies.
fn forged_at(number: usize) -> Value {
    let mut forged = envelope(&format!("f-{number}"), "x");
    forged["SigningCertURL"] =
        PLACE.replace("0123456789abcdef0123456789abcdef", &format!("{number:032x}")).into();
    forged["Signature"] = "AAAA".into();
    forged
}

#[tokio::test]
async fn forged_envelopes_make_us_ask_for_a_few_certificates_a_minute_and_known_ones_go_on_working() {
    let (world, asked) = world().await;
    let genuine = |id: &str| signed(envelope(&format!("m-{id}"), &notice(id, "PASS")));
    assert_eq!(post(&world, &genuine("1")).await.0, StatusCode::OK);
    let mut refused = [0, 0];
    for number in 0..100 {
        match post(&world, &forged_at(number)).await.0 {
            StatusCode::UNAUTHORIZED => refused[0] += 1,
            StatusCode::SERVICE_UNAVAILABLE => refused[1] += 1,
            other => panic!("{other}"),
        }
    }
    assert_eq!((refused, asked.lock().unwrap().len()), ([59, 41], 60));
    let request = Request::post("/v1/inbound/sns").header("x-amz-sns-topic-arn", TOPIC);
    let later = world.send(request.body(Body::from(forged_at(100).to_string())).unwrap()).await;
    assert!(later.headers().contains_key("retry-after"), "{later:?}");
    assert_eq!(post(&world, &genuine("2")).await.0, StatusCode::OK, "its certificate is kept");
    world.clock.advance(Duration::from_mins(1));
    assert_eq!(post(&world, &forged_at(101)).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(asked.lock().unwrap().len(), 61);
}

#[tokio::test]
async fn envelopes_that_come_at_once_ask_for_their_certificate_once() {
    let (mut world, asked) = world().await;
    let note = asked.clone();
    let fetch: Fetch = Arc::new(move |url| {
        note.lock().unwrap().push(url.to_string());
        Box::pin(async {
            tokio::task::yield_now().await;
            Ok(CERTIFICATE.into())
        })
    });
    Arc::get_mut(&mut world.api).unwrap().sns = Sns::asking(vec![TOPIC.into()], fetch);
    let all: Vec<Value> =
        (0..20).map(|id| signed(envelope(&format!("m-{id}"), &notice(&id.to_string(), "PASS")))).collect();
    for (status, answer) in futures_util::future::join_all(all.iter().map(|one| post(&world, one))).await {
        assert_eq!(status, StatusCode::OK, "{answer}");
    }
    assert_eq!(asked.lock().unwrap().as_slice(), [PLACE]);
}

#[tokio::test]
async fn a_certificate_that_could_not_be_had_is_asked_for_again() {
    let (mut world, asked) = world().await;
    let note = asked.clone();
    let fetch: Fetch = Arc::new(move |url| {
        let mut asked = note.lock().unwrap();
        asked.push(url.to_string());
        let answer = if asked.len() == 1 { Err("no answer".into()) } else { Ok(CERTIFICATE.into()) };
        Box::pin(async { answer })
    });
    Arc::get_mut(&mut world.api).unwrap().sns = Sns::asking(vec![TOPIC.into()], fetch);
    let envelope = signed(envelope("m-1", &notice("1", "PASS")));
    assert_eq!(post(&world, &envelope).await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(post(&world, &envelope).await.0, StatusCode::OK);
}
