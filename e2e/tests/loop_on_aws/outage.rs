//! AWS does not answer for a while: connections break under both programs, and both go on by themselves.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use e2e::wait;
use reqwest::{Method, StatusCode};

use crate::stage::{LIMIT, Stage};
use crate::{hours, pass, text};

#[tokio::test]
async fn s82_broken_connections_make_hermes_unready_and_both_programs_recover_by_themselves() {
    let mut stage = Stage::new("direct", pass).await;
    let gates = [&stage.hermes, &stage.worker].map(|gate| Arc::clone(&gate.outage));
    let outage = |lasts: bool| gates.iter().for_each(|gate| gate.store(lasts, Ordering::SeqCst));
    let api = stage.start_hermes().await;
    stage.start_worker(&[]).await;
    stage.bakery().await;
    let letter = hours();

    outage(true);
    let ready = async |expected: StatusCode| {
        let (what, api) = (format!("/readyz to say {expected}"), &api);
        let look = || async move {
            let (status, _) = api.request(Method::GET, "/readyz", None).await?;
            Ok((status == expected).then_some(()))
        };
        wait::until(&what, LIMIT, look).await.unwrap();
    };
    ready(StatusCode::SERVICE_UNAVAILABLE).await;
    let (status, body) = api.post_mail(letter.to_bytes()).await.unwrap();
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "nothing is acknowledged: {body}");

    outage(false);
    ready(StatusCode::OK).await;
    let accepted = api.order(letter.to_bytes()).await.unwrap();
    let job = api.job_done(text(&accepted, "commandId"), LIMIT).await.unwrap();
    assert_eq!((text(&job, "outcome"), &job["attempts"]), ("changed", &serde_json::json!(1)), "{job}");
    api.answered(text(&accepted, "mailId"), LIMIT).await.unwrap();
    stage.world.stop().await.unwrap();
}
