//! What an endpoint's SNS signs with a key of its own and posts: our check of its signature is not only right about our own.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::{Router, routing};
use common::clock::Clock;
use common::cloud::contract::endpoint::Endpoint;
use hermes::ingest::sns::{Fetch, Sns};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use url::Url;
use url::form_urlencoded::Serializer;

use crate::support::{World, mail, read};

/// Where SNS of AWS keeps the certificate that lies at the endpoint here: a place that we would ask.
const PLACE: &str = "https://sns.us-east-1.amazonaws.com";
const WAIT: Duration = Duration::from_secs(20);

/// Asks SNS of the endpoint, whose answer is XML; the endpoint tells services apart by the scope of a signature.
async fn ask(fields: &[(&str, &str)]) -> String {
    let client = reqwest::Client::new();
    let scope = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/sns/aws4_request, SignedHeaders=host, Signature=0";
    let request = client.post(Endpoint::shared_localemu().url()).header("authorization", scope);
    let form =
        Serializer::new(String::new()).append_pair("Version", "2010-03-31").extend_pairs(fields).finish();
    let request = request.header("content-type", "application/x-www-form-urlencoded").body(form);
    let answer = request.send().await.unwrap();
    assert!(answer.status().is_success(), "{answer:?}");
    answer.text().await.unwrap()
}

/// Hears what is posted to it.
async fn listener() -> (String, mpsc::UnboundedReceiver<Value>) {
    let (heard, posted) = mpsc::unbounded_channel();
    let hear = move |body: String| {
        heard.send(serde_json::from_str(&body).unwrap()).unwrap();
        std::future::ready(StatusCode::OK)
    };
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/", socket.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(socket, Router::new().route("/", routing::post(hear))).await });
    (address, posted)
}

async fn next(posted: &mut mpsc::UnboundedReceiver<Value>) -> Value {
    tokio::time::timeout(WAIT, posted.recv()).await.unwrap().unwrap()
}

/// The same envelope, as if the certificate lay at AWS; where it lies is not part of what is signed.
fn at_aws(mut envelope: Value) -> (Value, Url) {
    let place = Url::parse(envelope["SigningCertURL"].as_str().unwrap()).unwrap();
    let name = place.path().rsplit('/').next().unwrap().to_owned();
    envelope["SigningCertURL"] = format!("{PLACE}/{name}").into();
    (envelope, place)
}

async fn world(topic: &str, certificate: Url) -> World {
    let pem = reqwest::get(certificate).await.unwrap().bytes().await.unwrap();
    let fetch: Fetch = Arc::new(move |url| {
        assert!(url.as_str().starts_with(PLACE), "{url}");
        let pem = pem.clone();
        Box::pin(async move { Ok(pem) })
    });
    let mut world = World::verifying(&[], &[]).await;
    Arc::get_mut(&mut world.api).unwrap().sns = Sns::asking(vec![topic.to_owned()], fetch);
    let now = Clock::System.now().millis();
    let behind = u64::try_from(now - world.cloud().clock.now().millis()).unwrap();
    world.clock.advance(Duration::from_millis(behind));
    world
}

async fn post(world: &World, envelope: &Value) -> (StatusCode, Value) {
    let topic = envelope["TopicArn"].as_str().unwrap();
    let request = Request::post("/v1/inbound/sns").header("x-amz-sns-topic-arn", topic);
    read(world.send(request.body(Body::from(envelope.to_string())).unwrap()).await).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_endpoint_signed_is_taken_once_and_what_was_changed_is_not() {
    let (address, mut posted) = listener().await;
    let version = [("Attributes.entry.1.key", "SignatureVersion"), ("Attributes.entry.1.value", "2")];
    let made = ask(&[&[("Action", "CreateTopic"), ("Name", "mails")], &version[..]].concat()).await;
    let topic = made.split("<TopicArn>").nth(1).and_then(|rest| rest.split('<').next()).unwrap().to_owned();
    ask(&[("Action", "Subscribe"), ("TopicArn", &topic), ("Protocol", "http"), ("Endpoint", &address)]).await;
    let (offered, certificate) = at_aws(next(&mut posted).await);
    let world = world(&topic, certificate).await;

    let (status, answer) = post(&world, &offered).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert!(
        answer["detail"].as_str().unwrap().contains("SubscribeURL"),
        "it is to be confirmed at AWS: {answer}"
    );
    let token = offered["Token"].as_str().unwrap();
    ask(&[("Action", "ConfirmSubscription"), ("TopicArn", &topic), ("Token", token)]).await;

    let pass = json!({"status": "PASS"});
    let notice = json!({"notificationType": "Received", "content": mail("sns-1", "change 7 to 8"),
        "mail": {"messageId": "sns-1"}, "receipt": {"action": {"type": "SNS", "encoding": "UTF8"},
        "spfVerdict": pass, "dkimVerdict": pass, "dmarcVerdict": pass}});
    ask(&[
        ("Action", "Publish"),
        ("TopicArn", &topic),
        ("Subject", "a mail"),
        ("Message", &notice.to_string()),
    ])
    .await;
    let (genuine, _) = at_aws(next(&mut posted).await);
    assert_eq!(genuine["SignatureVersion"], "2");
    for field in ["Message", "Subject", "MessageId"] {
        let mut forged = genuine.clone();
        forged[field] = format!("{} ", forged[field].as_str().unwrap()).into();
        let (status, answer) = post(&world, &forged).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{field}");
        assert!(answer["detail"].as_str().unwrap().contains("signature"), "{field}: {answer}");
    }
    let (status, answer) = post(&world, &genuine).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert!(answer["mailId"].is_string(), "{answer}");
    assert_eq!(post(&world, &genuine).await.0, StatusCode::NO_CONTENT, "each message is taken once");
}
