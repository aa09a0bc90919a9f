//! Mail by the webhooks of providers: each is let in by what the provider shows, and by nothing less.

use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use axum::body::Body;
use axum::http::{Request, StatusCode};
use hermes::inbound::Caller;
use hermes::ingest::envelope::{Opened, open};
use hermes::ingest::origins::feedback::Fate;
use hermes::ingest::origins::postmark;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::support::{World, base64, begun, mail, read, serve_settings, text, until};

const SECRET: &str = "a-secret-of-the-tests";

async fn world(arguments: &[&str]) -> World {
    let mut world = World::with_scott().await;
    Arc::get_mut(&mut world.api).unwrap().inbound = serve_settings(arguments).inbound;
    world
}

fn hmac(parts: &[&[u8]]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    for part in parts {
        mac.update(part);
    }
    hex::encode(mac.finalize().into_bytes())
}

fn now(world: &World) -> String {
    (world.cloud().clock.now().millis() / 1000).to_string()
}

async fn post(
    world: &World,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Body>,
) -> (StatusCode, Value) {
    let mut request = Request::post(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    read(world.send(request.body(body.into()).unwrap()).await).await
}

fn endless() -> Body {
    Body::from_stream(futures_util::stream::pending::<Result<bytes::Bytes, std::io::Error>>())
}

#[tokio::test]
async fn a_raw_mail_is_let_in_by_a_signature_over_all_of_it() {
    let world = world(&["--inbound-secret", SECRET]).await;
    let (raw, at) = (mail("1", "change 7 to 8"), now(&world));
    let tag = hmac(&[at.as_bytes(), b".", raw.as_bytes()]);
    let signed = |at: &str, tag: &str| {
        [
            ("content-type", "message/rfc822".to_owned()),
            ("x-hermes-timestamp", at.to_owned()),
            ("x-hermes-signature", tag.to_owned()),
        ]
    };
    let send = async |at: &str, tag: &str, raw: String| {
        let headers = signed(at, tag);
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        post(&world, "/v1/inbound/raw", &headers, raw).await.0
    };
    assert_eq!(send(&at, &tag, raw.replace("7 to 8", "7 to 9")).await, StatusCode::UNAUTHORIZED);
    assert_eq!(send(&at, &tag[2..], raw.clone()).await, StatusCode::UNAUTHORIZED);
    assert_eq!(send("1", &hmac(&[b"1.", raw.as_bytes()]), raw.clone()).await, StatusCode::UNAUTHORIZED);
    assert_eq!(send(&at, &tag, raw.clone()).await, StatusCode::ACCEPTED);
    assert_eq!(world.works("amelia#scott").await.len(), 1);
}

#[tokio::test]
async fn whoever_only_says_that_much_will_come_keeps_nobody_out_and_strangers_take_half_the_room() {
    let mut world = World::with_room(100_000).await;
    Arc::get_mut(&mut world.api).unwrap().inbound = serve_settings(&["--inbound-secret", SECRET]).inbound;
    let at = now(&world);
    let send = |tag: &str, length: usize, body: Body| {
        let request = Request::post("/v1/inbound/raw")
            .header("content-type", "message/rfc822")
            .header("content-length", length)
            .header("x-hermes-timestamp", &at)
            .header("x-hermes-signature", tag);
        tower::ServiceExt::oneshot(hermes::http::router(&world.api), request.body(body).unwrap())
    };
    let signed = |id: &str| {
        let raw = mail(id, &format!("change 7 to {id}"));
        (hmac(&[at.as_bytes(), b".", raw.as_bytes()]), raw)
    };
    let free = |caller: Caller, bytes: usize| world.app.inbound.held_for(caller).grow(bytes).is_ok();
    let mut under_way: Vec<_> =
        (0..8).map(|_| tokio::spawn(send("00", 40 * 1024 * 1024, begun(10)))).collect();
    until("all to have begun", async || !free(Caller::Stranger, 50_000 - 79)).await;
    let (tag, raw) = signed("1");
    let answer = send(&tag, raw.len(), raw.into()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::ACCEPTED, "what is announced takes no room");

    under_way.push(tokio::spawn(send("00", 49_920, begun(49_920))));
    until("the share of strangers to be taken", async || !free(Caller::Stranger, 1)).await;
    let (tag, raw) = signed("2");
    let answer = send(&tag, raw.len(), raw.into()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(free(Caller::Known, 50_000));
    assert_eq!(
        world.accepted(mail("3", "change 7 to 3")).await["ending"],
        "routed",
        "the token has its half"
    );
    under_way.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn a_closed_way_and_a_missing_secret_are_refused_before_the_body_is_read() {
    let closed = World::with_scott().await;
    let open = world(&["--inbound-secret", SECRET, "--postmark-auth", "hermes:open-sesame-1"]).await;
    for path in ["raw", "postmark", "mailgun/mime", "sendgrid", "sns"] {
        let path = format!("/v1/inbound/{path}");
        assert_eq!(post(&closed, &path, &[], endless()).await.0, StatusCode::UNAUTHORIZED, "{path}");
    }
    for path in ["/v1/inbound/raw", "/v1/inbound/postmark"] {
        assert_eq!(post(&open, path, &[], endless()).await.0, StatusCode::UNAUTHORIZED, "{path}");
    }
}

#[tokio::test]
async fn postmark_shows_user_and_password_and_sends_the_raw_mail() {
    let world = world(&["--postmark-auth", "hermes:open-sesame-1"]).await;
    let right = format!("Basic {}", base64(b"hermes:open-sesame-1"));
    let wrong = format!("Basic {}", base64(b"hermes:open-sesame-2"));
    let payload = json!({"RawEmail": mail("1", "change 7 to 8"), "TextBody": "something else"}).to_string();
    let send = async |shown: &str, payload: &str| {
        post(&world, "/v1/inbound/postmark", &[("authorization", shown)], payload.to_owned()).await
    };
    assert_eq!(send(&wrong, &payload).await.0, StatusCode::UNAUTHORIZED);
    let (status, answer) = send(&right, "{\"TextBody\": \"x\"}").await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(text(&answer, "detail").contains("Include raw email content"), "{answer}");
    let (status, answer) = send(&right, &payload).await;
    assert_eq!((status, &answer["ending"]), (StatusCode::OK, &json!("routed")));
    assert_eq!(world.works("amelia#scott").await[0]["instruction"], "change 7 to 8");
}

/// What Mailgun posts, and SendGrid in other fields.
fn form(fields: &[(&str, &str)]) -> String {
    let part = |(name, value): &(&str, &str)| {
        format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    fields.iter().map(part).collect::<String>() + "--b--\r\n"
}

#[tokio::test]
async fn what_is_unwrapped_takes_room_beside_its_wrapping() {
    let mut world = World::with_room(100_000).await;
    let settings = ["--postmark-auth", "hermes:open-sesame-1", "--mailgun-key", SECRET];
    Arc::get_mut(&mut world.api).unwrap().inbound = serve_settings(&settings).inbound;
    let shown = format!("Basic {}", base64(b"hermes:open-sesame-1"));
    let long = |id: &str, bytes: usize| mail(id, &"word ".repeat(bytes / 5));
    let by_postmark = async |raw: String| {
        let payload = json!({"RawEmail": raw}).to_string();
        post(&world, "/v1/inbound/postmark", &[("authorization", &shown)], payload).await.0
    };
    let at = now(&world);
    let by_mailgun = async |token: &str, raw: String| {
        let tag = hmac(&[at.as_bytes(), token.as_bytes()]);
        let body = form(&[("timestamp", &at), ("token", token), ("signature", &tag), ("body-mime", &raw)]);
        let kind = [("content-type", "multipart/form-data; boundary=b")];
        post(&world, "/v1/inbound/mailgun/mime", &kind, body).await.0
    };
    assert_eq!(by_postmark(long("1", 40_000)).await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(by_postmark(long("1", 30_000)).await, StatusCode::OK);
    let mut others = world.app.inbound.held_for(Caller::Known);
    others.grow(20_000).unwrap();
    assert_eq!(by_mailgun("t1", long("2", 45_000)).await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(by_mailgun("t2", long("2", 35_000)).await, StatusCode::OK);
    assert_eq!(others.grow(80_000), Ok(()), "all of it is given back");
}

#[tokio::test]
async fn mailgun_signs_time_and_token_and_each_token_counts_once() {
    let world = world(&["--mailgun-key", SECRET]).await;
    let form = |at: &str, token: &str, tag: &str, raw: &str| {
        form(&[("timestamp", at), ("token", token), ("signature", tag), ("body-mime", raw)])
    };
    let send = async |body: String| {
        let kind = [("content-type", "multipart/form-data; boundary=b")];
        post(&world, "/v1/inbound/mailgun/mime", &kind, body).await
    };
    let (at, raw) = (now(&world), mail("1", "change 7 to 8"));
    let tag = hmac(&[at.as_bytes(), b"token-1"]);
    assert_eq!(send(form(&at, "token-2", &tag, &raw)).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(send(form("1", "token-1", &hmac(&[b"1token-1"]), &raw)).await.0, StatusCode::UNAUTHORIZED);
    let (status, first) = send(form(&at, "token-1", &tag, &raw)).await;
    assert_eq!((status, &first["ending"]), (StatusCode::OK, &json!("routed")), "{first}");
    let (_, again) = send(form(&at, "token-1", &tag, &mail("2", "delete everything"))).await;
    assert_eq!(again["mailId"], first["mailId"], "another mail under a used token is not taken");
    assert_eq!(world.works("amelia#scott").await.len(), 1);

    // Without attachments Mailgun sends the fields like a web form.
    let tag = hmac(&[at.as_bytes(), b"token-3"]);
    let body = format!(
        "timestamp={at}&token=token-3&signature={tag}&body-mime={}",
        percent_encoding::utf8_percent_encode(
            &mail("3", "change 8 to 9"),
            percent_encoding::NON_ALPHANUMERIC
        )
    );
    let kind = [("content-type", "application/x-www-form-urlencoded")];
    let (_, answer) = post(&world, "/v1/inbound/mailgun/mime", &kind, body).await;
    assert_eq!(answer["ending"], "routed", "{answer}");
}

#[tokio::test]
async fn mailgun_may_send_again_what_it_signed_before_an_outage() {
    let world = world(&["--mailgun-key", SECRET]).await;
    let at = now(&world);
    let send = async |token: &str| {
        let tag = hmac(&[at.as_bytes(), token.as_bytes()]);
        let raw = mail(token, &format!("change 7 to {token}"));
        let body = form(&[("timestamp", &at), ("token", token), ("signature", &tag), ("body-mime", &raw)]);
        let kind = [("content-type", "multipart/form-data; boundary=b")];
        post(&world, "/v1/inbound/mailgun/mime", &kind, body).await.0
    };
    world.clock.advance(std::time::Duration::from_hours(8));
    assert_eq!(send("8").await, StatusCode::OK);
    world.clock.advance(std::time::Duration::from_hours(5));
    assert_eq!(send("9").await, StatusCode::UNAUTHORIZED, "tokens are not kept for ever");
    assert_eq!(world.works("amelia#scott").await.len(), 1);
}

#[tokio::test]
async fn sendgrid_signs_the_whole_body() {
    let random = SystemRandom::new();
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    // SPKI of a key on P-256 (RFC 5480): a fixed beginning, then the point.
    let head = hex::decode("3059301306072a8648ce3d020106082a8648ce3d030107034200").unwrap();
    let public = base64(&[&head, key.public_key().as_ref()].concat());
    let world = world(&["--sendgrid-key", &public]).await;
    let at = now(&world);
    let body = form(&[("email", &mail("1", "change 7 to 8")), ("sender_ip", "192.0.2.1")]);
    let signature = base64(key.sign(&random, format!("{at}{body}").as_bytes()).unwrap().as_ref());
    let send = async |at: &str, body: String| {
        let headers = [
            ("content-type", "multipart/form-data; boundary=b"),
            ("x-twilio-email-event-webhook-timestamp", at),
            ("x-twilio-email-event-webhook-signature", signature.as_str()),
        ];
        post(&world, "/v1/inbound/sendgrid", &headers, body).await
    };
    assert_eq!(send(&at, body.replace("7 to 8", "7 to 9")).await.0, StatusCode::UNAUTHORIZED);
    let later = (at.parse::<i64>().unwrap() + 1).to_string();
    assert_eq!(send(&later, body.clone()).await.0, StatusCode::UNAUTHORIZED);
    let (status, answer) = send(&at, body.clone()).await;
    assert_eq!((status, &answer["ending"]), (StatusCode::OK, &json!("routed")), "{answer}");
}

#[test]
fn samples_of_the_providers_are_understood() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/emails/webhooks");
    if !folder.exists() {
        println!("skipped: {} is not here", folder.display());
        return;
    }
    let sample = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let ses = |name: &str| open(&sample(&format!("anymail-amazon_ses_inbound-inbound_{name}.json")));
    for name in ["sns_utf8-raw_sns_message", "sns_utf8-raw_ses_event", "sns_base64-raw_ses_event"] {
        let Ok(Opened::Mail(found)) = ses(name) else { panic!("{name}") };
        let read = hermes::mail::read(&found.raw).unwrap();
        assert_eq!(read.subject, "Test inbound message", "{name}");
    }
    for name in ["s3-raw_ses_event", "s3-raw_sns_message"] {
        let Ok(Opened::Stored(found)) = ses(name) else { panic!("{name}") };
        assert_eq!(found[0].bucket, "InboundEmailBucket-KeepPrivate", "{name}");
        assert!(found[0].key.starts_with("inbound/"), "{name}");
    }
    let Ok(Opened::Stored(found)) = open(&sample("awslambda-ses-s3-event.json")) else { panic!() };
    assert_eq!((found[0].bucket.as_str(), found[0].key.as_str()), ("my-S3-bucket", "email"));
    let Ok(Opened::Stored(found)) = open(&sample("awslambda-s3-event.json")) else { panic!() };
    assert_eq!((found[0].bucket.as_str(), found[0].key.as_str()), ("sourcebucket", "Happy Face.jpg"));
    let with_raw = sample("anymail-postmark-inbound-test-payload-with-raw.json");
    let read = hermes::mail::read(&postmark::read(with_raw.as_bytes()).unwrap().raw).unwrap();
    assert_eq!(read.subject, "Test subject");
    assert!(postmark::read(sample("anymail-postmark-inbound-test-payload.json").as_bytes()).is_err());
    for (name, fate) in [
        ("bounce_event-raw_ses_event", Some(Fate::BouncedForGood)),
        ("complaint_event-raw_sns_message", Some(Fate::Complained)),
        ("reject_event-raw_ses_event", Some(Fate::Rejected)),
        ("delivery_event-raw_sns_message", None),
        ("send_event-raw_ses_event", None),
        ("open_event-raw_sns_message", None),
    ] {
        let found = match open(&sample(&format!("anymail-amazon_ses_webhooks-{name}.json"))) {
            Ok(Opened::Feedback(found)) => Some(found.fate),
            Ok(Opened::Nothing) => None,
            other => panic!("{name}: {other:?}"),
        };
        assert_eq!(found, fate, "{name}");
    }
}
